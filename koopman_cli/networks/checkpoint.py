"""Checkpoints that survive being killed: two slots, each with a checksum, written in turns.

A file is ``KPMCKPT1``, the SHA-256 of all that follows, the length of a JSON header (8 bytes,
little-endian), the header and the bytes of the arrays: pure data, nothing to be executed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import ModelFileError
from koopman_cli.store.atomic import refusals, write_atomic

MAGIC = b"KPMCKPT1"
SLOTS = ("a", "b")

Arrays = dict[str, NDArray[Any]]


def pack(arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> bytes:
    """Arrays and plain values as the bytes of a checkpoint."""
    layout = [
        {"name": k, "dtype": np.asarray(a).dtype.str, "shape": list(np.shape(a))}
        for k, a in arrays.items()
    ]
    header = json.dumps({"told": told, "arrays": layout}, sort_keys=True).encode()
    body = len(header).to_bytes(8, "little") + header
    body += b"".join(np.ascontiguousarray(a).tobytes() for a in arrays.values())
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(content: bytes) -> tuple[Arrays, dict[str, Any]] | None:
    """The inverse of :func:`pack`; None where the bytes are not whole.

    >>> arrays, told = unpack(pack({"x": np.arange(3)}, {"epoch": 2}))
    >>> arrays["x"].tolist(), told, unpack(pack({"x": np.arange(3)}, {})[:-1])
    ([0, 1, 2], {'epoch': 2}, None)
    """
    start = len(MAGIC) + 32
    body = content[start:]
    whole = content[: len(MAGIC)] == MAGIC and len(body) >= 8
    if not whole or hashlib.sha256(body).digest() != content[len(MAGIC) : start]:
        return None
    at = 8 + int.from_bytes(body[:8], "little")
    header = json.loads(body[8:at])
    arrays: Arrays = {}
    for part in header["arrays"]:
        dtype, shape = np.dtype(part["dtype"]), tuple(part["shape"])
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        arrays[part["name"]] = np.frombuffer(body[at : at + size], dtype).reshape(shape).copy()
        at += size
    return arrays, header["told"]


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two descriptions, by name.

    >>> differences({"lag": 10, "width": 16}, {"lag": 5, "width": 16})
    ['lag (10, now 5)']
    """
    names = [n for n in {**before, **now} if before.get(n) != now.get(n)]
    long = {n for n in names if len(str(before.get(n))) + len(str(now.get(n))) > 60}
    return [n if n in long else f"{n} ({before.get(n)}, now {now.get(n)})" for n in names]


@dataclass
class Place:
    """Where checkpoints of one command lie.

    folder : directory of all stages of the training
    resume : whether what is there is to be gone on with, or replaced
    keyed : whether stages are told apart by what they belong to (several trainings in one folder)
    every : seconds between checkpoints
    said : what was noticed while reading
    """

    folder: Path
    resume: bool = False
    keyed: bool = False
    every: float = 10.0
    said: list[str] = field(default_factory=list)

    def named(self, stage: str, about: Mapping[str, Any]) -> str:
        """The name of a stage; where several trainings share the folder, it tells which."""
        text = json.dumps(about, sort_keys=True)
        return f"{stage}-{hashlib.sha256(text.encode()).hexdigest()[:12]}" if self.keyed else stage

    def _files(self, stage: str) -> list[Path]:
        return [self.folder / f"{stage}.{slot}" for slot in SLOTS]

    def write(self, stage: str, arrays: Arrays, told: Mapping[str, Any], count: int) -> None:
        """Write the next checkpoint of a stage into the slot that is not the newest.

        Raises
        ------
        FileError
            If the file system refuses; the other slot is then as it was.
        """
        with refusals(self.folder, "write"):
            self.folder.mkdir(parents=True, exist_ok=True)
        path = self._files(stage)[count % 2]
        write_atomic(path, pack(arrays, {**told, "count": count}))

    def read(self, stage: str, about: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]] | None:
        """The newest whole checkpoint of a stage; None where there is none or none is wanted.

        Raises
        ------
        ModelFileError
            If it belongs to other data, another lag or other networks, or no slot is whole.
        """
        files = [path for path in self._files(stage) if path.exists()]
        if not self.resume or not files:
            return None
        found, broken = [], []
        for path in files:
            with refusals(path, "read"):
                content = unpack(path.read_bytes())
            if content is None:
                broken.append(path)
            else:
                found.append(content)
        if not found:
            raise ModelFileError(
                f"{str(files[0])!r}: no whole checkpoint", "leave out --resume to train again"
            )
        arrays, told = max(found, key=lambda pair: int(pair[1]["count"]))
        changed = differences(told["about"], about)
        if changed:
            raise ModelFileError(
                f"{str(self.folder)!r} cannot be resumed: other {', '.join(changed)}",
                "give the same input and settings, or leave out --resume to train again",
            )
        self.said += [
            f"{str(path)!r} is damaged: the checkpoint before it was used" for path in broken
        ]
        return arrays, told

    def forget(self) -> None:
        """Remove all checkpoints; the result that they led to is written."""
        for path in self.folder.glob("*.[ab]"):
            with suppress(OSError):
                path.unlink()
        # What else lies there is not ours.
        with suppress(OSError):
            self.folder.rmdir()
