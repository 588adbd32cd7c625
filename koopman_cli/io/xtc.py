"""GROMACS xtc: a walk over the frame headers, then decoding.

The walk costs a hundred bytes per frame and gives the number of frames and their time stamps
without decoding a coordinate. Before frames are handed to the decoder in C, their bits are
walked too: damage would make it write beyond its buffers.
"""

from __future__ import annotations

import math
import struct
import tempfile
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.source import BLOCK_BYTES, Chunk, Source, block_size, damaged, spans, truncated
from koopman_cli.io.topology import Request
from koopman_cli.io.xtcbits import atom_bits, sound
from koopman_cli.nouns import are, counted

_XTC = struct.Struct(">iiif9fi")  # magic, atoms, step, time, box, atoms again
_PACKED = struct.Struct(">f3i3ii")  # precision, least and largest integers, index into a table
_LARGE = 2023  # magic of xtc files whose frames may exceed 2 GiB
_SMALLEST, _TABLE = 9, 73  # valid indices into the xtc table of magic integers
_WINDOW = 2**20

#: Above this, walking the bits costs more than decoding, and only the headers and the last
#: frame, which a run that died may have left half written, are checked.
_CHECKED_ATOMS = 10_000

#: So many zero bytes at the end are no atoms but space that was never written to: zeros unpack,
#: to atoms that all lie in the least corner.
_ZEROS = 64


@dataclass(frozen=True)
class Walk:
    """Offsets, time stamps and atoms of the complete frames, which end at byte ``end``.

    ``cut`` says what follows them ("" where nothing does).
    """

    offsets: NDArray[np.int64]
    stamps: NDArray[np.float64]
    n_atoms: int
    cut: str = ""
    end: int = 0
    magic: int = 0


class Window:
    """Bytes at an offset, read ahead so that a walk over small frames needs few reads."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle, self.at, self.data = handle, 0, b""

    def get(self, offset: int, count: int) -> bytes:
        """Up to ``count`` bytes from ``offset`` on."""
        if not self.at <= offset <= offset + count <= self.at + len(self.data):
            self.handle.seek(offset)
            self.at, self.data = offset, self.handle.read(max(count, min(_WINDOW, 64 * count)))
        return self.data[offset - self.at : offset - self.at + count]


def _xtc_frame(head: bytes, first: tuple[int, int] | None) -> tuple[int, float, int]:
    """Length, time and atoms of an xtc frame from its first 96 bytes.

    Raises
    ------
    ValueError
        A field is impossible; the text says which.
    EOFError
        The header is cut.
    """
    if len(head) < _XTC.size:
        raise EOFError
    magic, atoms, _, time, *_, again = _XTC.unpack_from(head)
    if magic not in (1995, _LARGE) or (first and magic != first[0]):
        raise ValueError(f"magic number {magic}")
    if atoms != again or atoms < 1 or (first and atoms != first[1]):
        raise ValueError(f"{counted(atoms, 'atom')} in its header")
    if atoms <= 9:
        return _XTC.size + 12 * atoms, time, atoms
    wide = magic == _LARGE
    if len(head) < _XTC.size + _PACKED.size + (8 if wide else 4):
        raise EOFError
    precision, *bounds, small = _PACKED.unpack_from(head, _XTC.size)
    (count,) = struct.unpack_from(">q" if wide else ">i", head, _XTC.size + _PACKED.size)
    if not (math.isfinite(precision) and precision > 0):
        raise ValueError(f"precision {precision}")
    if any(low > high for low, high in zip(bounds[:3], bounds[3:], strict=True)):
        raise ValueError("its least coordinate exceeds its largest")
    if not _SMALLEST <= small < _TABLE:
        raise ValueError("table index out of range")
    # The decoder keeps 14.4 bytes per atom; more than that cannot have been packed.
    if not atoms // 32 <= count <= 14 * atoms:
        raise ValueError(f"{counted(count, 'byte')} for {counted(atoms, 'atom')}")
    return _XTC.size + _PACKED.size + (8 if wide else 4) + (count + 3) // 4 * 4, time, atoms


def walk_xtc(path: str) -> Walk:
    """Check every frame header of an xtc file.

    Raises
    ------
    DataError
        A header is impossible, naming the frame.
    """
    size = Path(path).stat().st_size
    offsets, stamps = array("q"), array("d")
    at, first, cut = 0, None, ""
    with Path(path).open("rb") as handle:
        window = Window(handle)
        while at < size:
            head = window.get(at, 96)
            try:
                length, time, atoms = _xtc_frame(head, first)
            except EOFError:
                cut = f"{counted(size - at, 'byte')} of a frame header"
                break
            except ValueError as error:
                raise damaged(path, len(offsets), str(error)) from None
            if at + length > size:
                cut = f"{size - at} of {counted(length, 'byte')}"
                break
            if first is None:
                first = (struct.unpack(">i", head[:4])[0], atoms)
            offsets.append(at)
            stamps.append(time)
            at += length
    magic, n_atoms = first or (0, 0)
    return Walk(np.array(offsets, np.int64), np.array(stamps, np.float64), n_atoms, cut, at, magic)


def complete(path: str, walk: Walk, request: Request) -> tuple[str, ...]:
    """Raise unless all frames are complete, or the complete ones will do (with a warning)."""
    n = len(walk.offsets)
    said = (
        f"the file ends inside frame {n} ({walk.cut}); {counted(n, 'complete frame')} {are(n)} "
        "readable"
    )
    if not n or (walk.cut and not request.options.allow_truncated):
        raise truncated(path, said, n)
    return (f"{path}: {said}",) if walk.cut else ()


def _bytes_of(handle: IO[bytes], walk: Walk, frames: range) -> tuple[NDArray[np.uint8], list[int]]:
    """The bytes of some frames one after the other, and where each begins among them."""
    ends = np.append(walk.offsets[1:], walk.end)
    if frames.step == 1:
        pieces = [(int(walk.offsets[frames[0]]), int(ends[frames[-1]]))]
        starts = [int(walk.offsets[i]) - pieces[0][0] for i in frames]
    else:
        pieces = [(int(walk.offsets[i]), int(ends[i])) for i in frames]
        starts = list(accumulate((b - a for a, b in pieces[:-1]), initial=0))
    data = bytearray()
    for begin, end in pieces:
        handle.seek(begin)
        data += handle.read(end - begin)
    return np.frombuffer(data, np.uint8), starts


def check_frames(path: str, handle: IO[bytes], walk: Walk, frames: range) -> None:
    """Raise unless every frame unpacks to exactly its atoms (see :mod:`xtcbits`)."""
    if walk.n_atoms <= 9 or walk.n_atoms > _CHECKED_ATOMS:
        return
    good = _unpacks(handle, walk, frames)
    if not good.all():
        raise damaged(path, frames[int(np.flatnonzero(~good)[0])], "it does not unpack")


def _checked_end(path: str, walk: Walk) -> Walk:
    """The walk without a last frame whose header is there but not all of its data."""
    last = len(walk.offsets) - 1
    if walk.n_atoms <= _CHECKED_ATOMS or walk.magic == _LARGE or last < 0:
        return walk
    with Path(path).open("rb") as handle:
        good = _unpacks(handle, walk, range(last, last + 1)).all()
        handle.seek(walk.end - _ZEROS)
        if good and any(handle.read(_ZEROS)):
            return walk
    return replace(
        walk,
        offsets=walk.offsets[:last],
        stamps=walk.stamps[:last],
        cut="it ends in zeros" if good else "it does not unpack",
        end=int(walk.offsets[last]),
    )


def _unpacks(handle: IO[bytes], walk: Walk, frames: range) -> NDArray[np.bool_]:
    """Which frames unpack to exactly their atoms."""
    data, starts = _bytes_of(handle, walk, frames)
    begins = np.array(starts, np.int64)
    head = data[begins[:, None] + np.arange(_XTC.size, _XTC.size + _PACKED.size + 4)]
    words = np.ascontiguousarray(head).view(">i4").astype(np.int64)
    places = np.stack([begins + _XTC.size + _PACKED.size + 4, words[:, 8]], axis=1)
    good: NDArray[np.bool_] = sound(
        data, places, atom_bits(words[:, 1:7]), words[:, 7], walk.n_atoms
    )
    return good


@contextmanager
def ascii_name(path: str) -> Iterator[str]:
    """A name of the file in plain ASCII, which is all that mdtraj's reader takes."""
    if path.isascii():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder, "run.xtc")
        link.symlink_to(Path(path).resolve())
        yield str(link)


def open_xtc(path: str, request: Request) -> Source:
    """Open an xtc file.

    Raises
    ------
    UsageError
        No topology given, or a bad selection.
    DataError
        Damaged, truncated, or of another number of atoms.
    """
    walk = _checked_end(path, walk_xtc(path))
    warned = complete(path, walk, request)
    if walk.magic == _LARGE:
        raise DataError(
            f"{path}: an xtc file for frames beyond 2 GiB (magic 2023), which cannot be decoded",
            "write the atoms of interest to a new file (gmx trjconv with an index group)",
        )
    topology, atoms = request.atoms(path, walk.n_atoms)

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        from mdtraj.formats import XTCTrajectoryFile

        with (
            ascii_name(path) as name,
            XTCTrajectoryFile(name) as handle,
            Path(path).open("rb") as raw,
        ):
            checked = start
            for first, count in spans(start, stop, step, block_size(size, 12 * walk.n_atoms)):
                if first >= checked:
                    ahead = max(count, BLOCK_BYTES * len(walk.offsets) // walk.end)
                    frames = range(first, min(stop, first + ahead * step), step)
                    check_frames(path, raw, walk, frames)
                    checked = frames[-1] + 1
                try:
                    if first and (step > 1 or first == start):
                        handle.seek(first)
                    xyz, _, _, box = handle.read(
                        count, stride=step if step > 1 else None, atom_indices=atoms
                    )
                except (OSError, RuntimeError, ValueError) as error:
                    raise damaged(path, first, str(error)) from None
                if len(xyz) < count:
                    raise damaged(path, first + len(xyz) * step, "it does not unpack")
                yield Chunk(xyz, box)

    return Source(
        path,
        "md",
        "xtc",
        len(walk.offsets),
        "float32",
        read,
        stamps=walk.stamps,
        unit="ps",
        topology=topology,
        warnings=warned,
    )
