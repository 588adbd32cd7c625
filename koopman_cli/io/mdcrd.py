"""AMBER mdcrd: numbers in columns of eight, ten to a line, frames without any header."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.cells import box_vectors
from koopman_cli.io.rows import RowFile
from koopman_cli.io.source import Chunk, Source, block_size, damaged, spans, truncated
from koopman_cli.io.topology import Request
from koopman_cli.nouns import are, counted

_WIDTH = 8


def _lines_of(count: int, end: int) -> int:
    """Bytes of ``count`` numbers, ten to a line."""
    return _WIDTH * count + end * math.ceil(count / 10)


def _numbers(raw: NDArray[np.uint8], count: int, end: int) -> NDArray[np.float64]:
    """(frames, count) numbers from (frames, bytes) text.

    Raises
    ------
    ValueError
        Ends of line elsewhere than expected, or no numbers.
    """
    full, rest = divmod(count, 10)
    line = 10 * _WIDTH + end
    body = raw[:, : full * line].reshape(len(raw), full, line)
    tail = raw[:, full * line :]
    if (body[:, :, -1] != 10).any() or (rest and (tail[:, -1] != 10).any()):
        raise ValueError("lines are not ten numbers of eight characters")
    digits = [body[:, :, : 10 * _WIDTH].reshape(len(raw), -1)]
    if rest:
        digits.append(tail[:, : rest * _WIDTH])
    text = np.ascontiguousarray(np.concatenate(digits, axis=1))
    return text.view(f"S{_WIDTH}").astype(np.float64)


def _sides(raw: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Box lengths from (frames, bytes) text: AMBER writes 3F8.3, others put spaces between."""
    lines = [line.tobytes() for line in raw]
    if any(line[-1:] != b"\n" for line in lines):
        raise ValueError("no line of three numbers")
    return np.array([line.split() for line in lines]).astype(np.float64).reshape(-1, 3)


def _atoms_in(data: bytes, start: int) -> tuple[int, ...]:
    """What the number of atoms may be, as far as a short line ends the first frame."""
    count = 0
    for line in data[start:].splitlines():
        here = len(line.rstrip()) // _WIDTH
        count += here
        if here < 10:
            # A line of three after full lines only may be the box.
            found = (count // 3, (count - 3) // 3) if here == 3 else (count // 3,)
            return found if count % 3 == 0 else ()
    return ()


def open_mdcrd(path: str, request: Request) -> Source:
    """Open an AMBER mdcrd trajectory; Angstrom become nm. The topology gives the atoms.

    Raises
    ------
    UsageError
        No topology given, or a bad selection.
    DataError
        Damaged, truncated, or of another number of atoms.
    """
    if request.options.top is None:
        request.atoms(path, 0)
    n_atoms = request.top.n_atoms
    topology, atoms = request.atoms(path, n_atoms)
    end_of_title, end, box, there = _shape(path, n_atoms)
    if there and n_atoms not in there:
        raise DataError(
            f"{path} holds {counted(there[0], 'atom')}, {request.options.top} has {n_atoms}",
            "give the topology of exactly these atoms with --top",
        )
    frame = _lines_of(3 * n_atoms, end) + box
    size = Path(path).stat().st_size - end_of_title
    n, rest = divmod(size, frame)
    # The end of the very last line may be missing.
    if rest == frame - end:
        rest = 0
        n += 1
    said = (
        f"ends inside frame {n} ({rest} of {counted(frame, 'byte')}); {counted(n, 'frame')} "
        f"{are(n)} readable"
    )
    if not n or (rest and not request.options.allow_truncated):
        raise truncated(path, said, n)
    warned = (f"{path}: {said}",) if rest else ()
    dtype = np.dtype([("raw", "u1", (frame,))])

    def parse(raw: NDArray[Any], first: int, step: int) -> Chunk:
        try:
            split = _lines_of(3 * n_atoms, end)
            xyz = _numbers(raw[:, :split], 3 * n_atoms, end).reshape(len(raw), n_atoms, 3) * 0.1
            sides = _sides(raw[:, split:]) * 0.1 if box else None
        except ValueError:
            if len(raw) > 1:
                for i in range(len(raw)):
                    parse(raw[i : i + 1], first + i * step, step)
            raise damaged(path, first, "no numbers where they should be") from None
        cell = None if sides is None else box_vectors(sides, np.full_like(sides, 90.0))
        xyz = xyz if atoms is None else xyz[:, atoms]
        return Chunk(xyz.astype(np.float32), cell)

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        with _Padded(path, end_of_title, dtype) as rows:
            for first, count in spans(start, stop, step, block_size(size, 6 * frame)):
                yield parse(rows.rows(first, count, step)["raw"], first, step)

    return Source(path, "md", "mdcrd", n, "float32", read, topology=topology, warnings=warned)


class _Padded(RowFile):
    """Rows of a text whose very last end of line may be missing."""

    def checked(self, rows: NDArray[Any], count: int) -> NDArray[Any]:
        if len(rows) == count:
            return rows
        self.handle.seek(self.offset + self._last_row())
        raw = self.handle.read().ljust(self.dtype.itemsize, b"\n")
        return super().checked(np.concatenate([rows, np.frombuffer(raw, self.dtype)]), count)

    def _last_row(self) -> int:
        size = Path(self.path).stat().st_size - self.offset
        return (size // self.dtype.itemsize) * self.dtype.itemsize


def _shape(path: str, n_atoms: int) -> tuple[int, int, int, tuple[int, ...]]:
    """Bytes of the title, of an end of line and of a line with the box; atoms that show."""
    need = max(_lines_of(3 * n_atoms, 2) + 4096, 4 * 2**20)
    with Path(path).open("rb") as handle:
        data = handle.read(need)
    title = data.find(b"\n") + 1
    if not title:
        raise DataError(f"{path}: holds no frames", "check that it is an AMBER trajectory")
    end = 2 if data[title - 2 : title] == b"\r\n" else 1
    after = data[title + _lines_of(3 * n_atoms, end) :].split(b"\n", 1)[0]
    has_box = n_atoms > 1 and len(after.split()) == 3
    return title, end, len(after) + 1 if has_box else 0, _atoms_in(data, title)
