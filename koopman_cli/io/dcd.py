"""DCD of CHARMM, NAMD and X-PLOR: its header is checked against what the file holds.

Frames are records of fixed size, so they are counted, found and strided by arithmetic, and
the record marks around every block of numbers are checked while reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.cells import box_vectors
from koopman_cli.io.rows import RowFile
from koopman_cli.io.source import Chunk, Source, block_size, spans, truncated
from koopman_cli.io.topology import Request
from koopman_cli.nouns import are, counted


@dataclass(frozen=True)
class Header:
    """What the header says.

    order : "<" or ">"
    claimed : number of frames, 0 where the writing program did not know
    free : indices of the atoms that move, None where all do
    offset : where the first frame begins
    """

    order: str
    claimed: int
    n_atoms: int
    cell: bool
    free: NDArray[np.int64] | None
    offset: int


class _Records:
    """Fortran records: a length, the bytes, the same length again."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data, self.at = path, data, 0
        self.order = "<" if data[:4] == b"T\0\0\0" else ">"

    def next(self) -> bytes:
        """The bytes of the next record."""
        length = int(np.frombuffer(self.data[self.at : self.at + 4], f"{self.order}i4")[0])
        end = self.at + 4 + length
        mark = self.data[end : end + 4]
        if length < 0 or mark != self.data[self.at : self.at + 4]:
            raise IndexError
        body = self.data[self.at + 4 : end]
        self.at = end + 4
        return body


def _parse_header(records: _Records, rest: IO[bytes]) -> tuple[Header, bool]:
    """The header, and whether it speaks of four dimensions.

    Raises
    ------
    ValueError, IndexError
        It is damaged.
    """
    control = records.next()
    order = records.order
    words = np.frombuffer(control[4:84], f"{order}i4")
    records.next()
    n_atoms = int(np.frombuffer(records.next(), f"{order}i4")[0])
    n_fixed, charmm = int(words[8]), bool(words[19])
    good = len(words) == 20 and control[:4] == b"CORD" and n_atoms > 0 and 0 <= n_fixed < n_atoms
    free = None
    if good and n_fixed:
        if records.at + 4 * n_atoms > len(records.data):
            records.data += rest.read(4 * n_atoms + 8)
        free = np.frombuffer(records.next(), f"{order}i4").astype(np.int64) - 1
        good = len(free) == n_atoms - n_fixed and free.min() >= 0 and bool(free.max() < n_atoms)
    if not good:
        raise IndexError
    cell = charmm and bool(words[10])
    return Header(order, int(words[0]), n_atoms, cell, free, records.at), bool(words[11]) and charmm


def read_header(path: str) -> Header:
    """Parse the header of a DCD file.

    Raises
    ------
    DataError
        It is damaged, or of a kind that is not read (64-bit marks, four dimensions).
    """
    with Path(path).open("rb") as handle:
        records = _Records(path, handle.read(2**20))
        try:
            header, four = _parse_header(records, handle)
        except (IndexError, ValueError):
            raise DataError(
                f"{path}: its DCD header is damaged, or has marks of 64 bits",
                "copy the file again, or convert it (for example with mdconvert or catdcd)",
            ) from None
    if four:
        raise DataError(f"{path}: a DCD file of four dimensions", "convert it to three")
    return header


def _frame_dtype(header: Header, n_atoms: int) -> np.dtype[Any]:
    """One frame on disk, record marks included."""
    mark, fields = f"{header.order}i4", []
    if header.cell:
        fields += [("c0", mark), ("cell", f"{header.order}f8", (6,)), ("c1", mark)]
    for axis in "xyz":
        fields += [(f"{axis}0", mark), (axis, f"{header.order}f4", (n_atoms,)), (f"{axis}1", mark)]
    return np.dtype(fields)


def _check_marks(path: str, frames: NDArray[Any], header: Header, first: int, step: int) -> None:
    good = np.ones(len(frames), bool)
    for name in (["c"] if header.cell else []) + ["x", "y", "z"]:
        length = 48 if name == "c" else frames.dtype[name].itemsize
        good &= (frames[f"{name}0"] == length) & (frames[f"{name}1"] == length)
    if not good.all():
        frame = first + int(np.flatnonzero(~good)[0]) * step
        raise DataError(
            f"{path}: frame {frame} is damaged (its record marks are wrong)",
            f"copy the file again, or use the frames before it with --end {frame}",
        )


def _vectors(cell: NDArray[Any]) -> NDArray[np.float32]:
    """Box vectors in nm from (A, gamma, B, beta, alpha, C); angles may be given as cosines."""
    lengths, angles = cell[:, [0, 2, 5]] * 0.1, cell[:, [4, 3, 1]].astype(np.float64)
    cosines = (np.abs(angles) <= 1.0).all(axis=1)
    angles[cosines] = np.rad2deg(np.arccos(angles[cosines]))
    return box_vectors(lengths, angles)


def count_frames(
    path: str, header: Header, *, allow_truncated: bool
) -> tuple[int, tuple[str, ...]]:
    """Frames that are there, and a warning if the header knew fewer.

    Raises
    ------
    DataError
        The header says more, or the last frame is cut, unless that is allowed.
    """
    size = Path(path).stat().st_size - header.offset
    moving = header.n_atoms if header.free is None else len(header.free)
    first = _frame_dtype(header, header.n_atoms).itemsize
    other = _frame_dtype(header, moving).itemsize
    n = 0 if size < first else 1 + (size - first) // other
    rest = size - (first + (n - 1) * other if n else 0)
    if n < header.claimed or rest or not n:
        said = f"header says {counted(header.claimed, 'frame')}, {n} {are(n)} readable"
        if header.claimed <= n and rest:
            said = (
                f"ends inside frame {n} ({rest} of {counted(other, 'byte')}); "
                f"{counted(n, 'frame')} {are(n)} readable"
            )
        if not n or not allow_truncated:
            raise truncated(path, said, n)
        return n, (f"{path}: {said}",)
    if 0 < header.claimed < n:
        said = f"header says {counted(header.claimed, 'frame')}, all {n} in the file {are(n)} used"
        return n, (f"{path}: {said}",)
    return n, ()


def open_dcd(path: str, request: Request) -> Source:
    """Open a DCD file; Angstrom become nm. It keeps no time stamps that can be trusted.

    Raises
    ------
    UsageError
        No topology given, or a bad selection.
    DataError
        Damaged, truncated, or of another number of atoms.
    """
    header = read_header(path)
    n, warned = count_frames(path, header, allow_truncated=request.options.allow_truncated)
    topology, atoms = request.atoms(path, header.n_atoms)
    whole = _frame_dtype(header, header.n_atoms)
    moving = whole if header.free is None else _frame_dtype(header, len(header.free))

    def pack(frames: NDArray[Any], fixed: NDArray[np.float32] | None) -> Chunk:
        xyz = np.stack([frames[axis] for axis in "xyz"], axis=-1).astype(np.float32)
        if fixed is not None:
            full = np.repeat(fixed[None], len(xyz), axis=0)
            full[:, header.free] = xyz
            xyz = full
        xyz = (xyz if atoms is None else xyz[:, atoms]) * np.float32(0.1)
        return Chunk(xyz, _vectors(frames["cell"]) if header.cell else None)

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        fixed = None
        with RowFile(path, header.offset, whole) as rows:
            if header.free is not None:
                frame = rows.rows(0, 1)
                _check_marks(path, frame, header, 0, 1)
                fixed = np.stack([frame[axis][0] for axis in "xyz"], axis=-1).astype(np.float32)
                if start == 0:
                    yield pack(frame, fixed if len(frame["x"][0]) != header.n_atoms else None)
                    start += step
        # Row 1 is the second frame: counted back from it, row 0 would be as short as the others.
        offset = header.offset + (whole.itemsize - moving.itemsize)
        with RowFile(path, offset, moving) as rows:
            for first, count in spans(start, stop, step, block_size(size, 2 * whole.itemsize)):
                frames = rows.rows(first, count, step)
                _check_marks(path, frames, header, first, step)
                yield pack(frames, fixed)

    return Source(path, "md", "dcd", n, "float32", read, topology=topology, warnings=warned)
