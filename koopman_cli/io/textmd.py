"""GROMACS gro and XYZ trajectories, frame by frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.io.source import Source, damaged
from koopman_cli.io.textframes import Index, fixed_columns, text_source
from koopman_cli.io.topology import Request, load_topology
from koopman_cli.nouns import counted

_TIME = re.compile(rb"\bt=\s*([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)")


def _count(path: str, line: bytes, frame: int) -> int:
    try:
        atoms = int(line)
    except ValueError:
        raise damaged(path, frame, f"{line[:30]!r} is no number of atoms") from None
    if atoms < 1:
        raise damaged(path, frame, f"{counted(atoms, 'atom')}")
    return atoms


def _skip(handle: IO[bytes], lines: int) -> int:
    """Skip lines; how many were there, the last one with its end of line or not."""
    for done in range(lines):
        if not handle.readline():
            return done
    return lines


def _index_gro(path: str) -> Index:
    index = Index()
    with Path(path).open("rb") as handle:
        while title := handle.readline():
            start = handle.tell() - len(title)
            second = handle.readline()
            if not second.strip() and not title.strip():
                continue
            if not second.endswith(b"\n"):
                index.cut = "its header is cut"
                break
            atoms = _count(path, second, len(index.offsets))
            there = _skip(handle, atoms)
            box = handle.readline()
            if there < atoms or len(box.split()) not in (3, 9):
                if there == atoms and handle.read(1):
                    raise damaged(path, len(index.offsets), "no box line where it should be")
                index.cut = f"{there} of {counted(atoms, 'atom')}"
                break
            index.add(path, start, handle.tell(), atoms)
            if match := _TIME.search(title):
                index.stamps.append(float(match[1]))
    return index


def _gro_box(line: bytes) -> NDArray[np.float64]:
    """Box vectors from v1(x) v2(y) v3(z) [v1(y) v1(z) v2(x) v2(z) v3(x) v3(y)]."""
    v = [float(word) for word in line.split()]
    v += [0.0] * (9 - len(v))
    return np.array([[v[0], v[3], v[4]], [v[5], v[1], v[6]], [v[7], v[8], v[2]]])


def _parse_gro(data: bytes, frame: int) -> tuple[NDArray[Any], NDArray[Any]]:
    lines = data.splitlines()
    atoms = lines[2 : 2 + int(lines[1])]
    first = atoms[0].index(b".", 20)
    width = atoms[0].index(b".", first + 1) - first
    return fixed_columns(atoms, 20, width), _gro_box(lines[2 + len(atoms)])


def open_gro(path: str, request: Request) -> Source:
    """Open a gro file of one or many frames; times in the titles (``t=``) are used.

    Raises
    ------
    DataError
        Damaged, truncated, or frames of different atoms.
    """
    own = (f"gro:{path}", lambda: load_topology(path))
    return text_source(path, "gro", _index_gro(path), _parse_gro, request, own)


def _index_xyz(path: str) -> Index:
    index = Index()
    with Path(path).open("rb") as handle:
        while line := handle.readline():
            if not line.strip():
                continue
            start = handle.tell() - len(line)
            atoms = _count(path, line.split()[0], len(index.offsets))
            there = _skip(handle, atoms - 1) if handle.readline() else 0
            last = handle.readline() if there == atoms - 1 else b""
            if len(last.split()) < 4:
                index.cut = f"{there} of {counted(atoms, 'atom')}"
                break
            index.add(path, start, handle.tell(), atoms)
    return index


def _parse_xyz(data: bytes, frame: int) -> tuple[NDArray[Any], None]:
    lines = data.splitlines()
    atoms = int(lines[0].split()[0])
    words = [line.split()[1:4] for line in lines[2 : 2 + atoms]]
    return np.array(words).astype(np.float64) * 0.1, None


def open_xyz(path: str, request: Request) -> Source:
    """Open an XYZ trajectory; Angstrom become nm.

    Raises
    ------
    UsageError
        No topology given, or a bad selection.
    DataError
        Damaged, truncated, or frames of different atoms.
    """
    return text_source(path, "xyz", _index_xyz(path), _parse_xyz, request)
