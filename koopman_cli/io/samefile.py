"""Are two inputs one and the same? By place on the disk, and by what is in them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

#: Bytes at either end that tell most files of one size apart.
_ENDS = 2**16


class Twins(NamedTuple):
    """Two paths that give the same data; ``linked`` if they are one file."""

    first: str
    second: str
    linked: bool


def sha256(path: str, advance: Callable[[int], None] = lambda n: None) -> str:
    """SHA-256 of a file, read in pieces; ``advance`` is told the bytes of each."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()


def find_twins(paths: Iterable[str], others: Iterable[str] | None = None) -> Twins | None:
    """The first two paths that lead to one file, or to two with the same bytes.

    With ``others`` one of the two is among ``paths`` and one among them. Whole files are read
    only where size and both ends agree. Paths that cannot be read are left to their readers.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name, text in (("a", "1 2"), ("b", "3 4"), ("c", "1 2")):
    ...         _ = Path(folder, name).write_text(text)
    ...     found = find_twins(f"{folder}/{name}" for name in "abc")
    ...     Path(found.first).name, Path(found.second).name, found.linked
    ('a', 'c', False)
    """
    ours = [(path, False) for path in paths if _readable(path)]
    theirs = [(path, True) for path in others or () if _readable(path)]
    everything = [*ours, *theirs]
    if pair := _pair(_alike([everything], _place), across=others is not None):
        return Twins(*pair, linked=True)
    groups = [everything]
    for key in (_size, _ends, sha256):
        groups = _alike(groups, key)
    pair = _pair(groups, across=others is not None)
    return Twins(*pair, linked=False) if pair else None


#: A path, and whether it is among the others.
_Entry = tuple[str, bool]


def _alike(
    groups: Iterable[Sequence[_Entry]], key: Callable[[str], Hashable]
) -> list[list[_Entry]]:
    """The groups split by a key; those of a single path are dropped."""
    found: list[list[_Entry]] = []
    for group in groups:
        parts: dict[Hashable, list[_Entry]] = {}
        for entry in group:
            parts.setdefault(key(entry[0]), []).append(entry)
        found += [part for part in parts.values() if len(part) > 1]
    return found


def _pair(groups: Iterable[Sequence[_Entry]], *, across: bool) -> tuple[str, str] | None:
    """Two paths of one group, of both sides if that is asked for."""
    for group in groups:
        (first, side), *rest = group
        partner = next((path for path, own in rest if own != side or not across), None)
        if partner is not None:
            return first, partner
    return None


def _readable(path: str) -> bool:
    try:
        # Opening a pipe would wait for whoever writes it.
        return Path(path).is_file() and os.access(path, os.R_OK) and _size(path) > 0
    except (OSError, ValueError):
        return False


def _place(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def _size(path: str) -> int:
    return Path(path).stat().st_size


def _ends(path: str) -> bytes:
    with Path(path).open("rb") as file:
        first = file.read(_ENDS)
        file.seek(max(0, _size(path) - _ENDS))
        return hashlib.sha256(first + file.read(_ENDS)).digest()
