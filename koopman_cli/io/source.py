"""What every reader hands over: one file, how long it is, and how to read it in chunks."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from numpy.typing import NDArray

from koopman_cli.errors import DataError, FileError
from koopman_cli.types import Kind

#: Bytes of raw records that a reader holds at a time, whatever the chunk asked for: a small
#: selection from a huge system would otherwise read all its atoms for thousands of frames.
BLOCK_BYTES = 16 * 2**20


class Chunk(NamedTuple):
    """Consecutive frames of one file: values, and box vectors for MD."""

    values: NDArray[Any]
    cell: NDArray[Any] | None = None


@dataclass(frozen=True)
class Source:
    """One input file.

    n_frames : frames in the file (per member for ensembles)
    read : ``read(start, stop, step, size)`` yields frames start, start + step, ... below
        stop as :class:`Chunk` of at most ``size`` frames; of every member in turn
    stamps : (n_frames,) time stamps in ``unit``, None where the format keeps none
    stamps_single : whether stamps went through float32, so that their last digits are noise
    members : number of ensemble members, 0 where the file is one run
    stamp : size and modification time when opened
    field : :class:`koopman_cli.io.fields.FieldData` where snapshots are a field
    packed : whether columns are stored as other numbers, with a scale and an offset
    """

    path: str
    kind: Kind
    form: str
    n_frames: int
    dtype: str
    read: Callable[[int, int, int, int], Iterator[Chunk]]
    stamps: NDArray[Any] | None = None
    unit: str = ""
    stamps_single: bool = True
    stamps_origin: str = "time stamps"
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    topology: Any = None
    members: int = 0
    warnings: tuple[str, ...] = ()
    stamp: tuple[int, int] = (0, 0)
    field: Any = None
    packed: bool = False


def check_file(path: str) -> tuple[int, int]:
    """Size and modification time of a readable, regular, non-empty file.

    Raises
    ------
    FileError
        Missing, a broken link, a directory, a pipe or device, or not readable.
    DataError
        Empty.
    """
    try:
        info = Path(path).stat()
    except PermissionError:
        raise FileError(f"{path}: permission denied", "check the rights of the directory") from None
    except (OSError, ValueError) as error:
        if Path(path).is_symlink():
            raise FileError(f"{path}: broken link", "make it point to the data") from None
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise FileError(f"{path}: {reason}", "check the path") from None
    if stat.S_ISDIR(info.st_mode):
        if (Path(path) / "model.h5").exists():
            raise FileError(
                f"{path}: is a RUN, the result of a fit, and no trajectory",
                "koopman report, plot, states and timescales take a RUN; fit and info take data",
            )
        raise FileError(f"{path}: is a directory", "name the files in it, for example with *.xtc")
    if not stat.S_ISREG(info.st_mode):
        raise FileError(f"{path}: not a regular file", "write the data to a file first")
    if not os.access(path, os.R_OK):
        raise FileError(f"{path}: permission denied", "make the file readable (chmod +r)")
    if info.st_size == 0:
        raise DataError(f"{path}: empty file", "the run or the copy that made it has failed")
    return info.st_size, info.st_mtime_ns


def check_unchanged(source: Source) -> None:
    """Raise a DataError if the file was modified since it was opened."""
    if source.stamp != (0, 0) and check_file(source.path) != source.stamp:
        raise DataError(
            f"{source.path}: changed while it was read",
            "wait for the program that writes it, or analyse a copy",
        )


def truncated(path: str, said: str, complete: int, what: str = "frames") -> DataError:
    """The error of a cut file; the hint offers what can still be read."""
    hint = (
        f"add --allow-truncated to use the {complete} complete {what}"
        if complete
        else f"there are no complete {what} in it: copy it again"
    )
    return DataError(f"{path}: {said}", hint)


def damaged(path: str, frame: int, what: str) -> DataError:
    """The error of a frame that does not parse."""
    return DataError(
        f"{path}: frame {frame} is damaged ({what})",
        f"copy the file again, or use the frames before it with --end {frame}"
        if frame
        else "check that the file is what its suffix says",
    )


def block_size(size: int, frame_bytes: int) -> int:
    """Frames to read at a time: at most ``size``, and about :data:`BLOCK_BYTES`."""
    return max(1, min(size, BLOCK_BYTES // max(1, frame_bytes)))


def spans(start: int, stop: int, step: int, size: int) -> Iterator[tuple[int, int]]:
    """Cut range(start, stop, step) into (first frame, number of frames) of at most ``size``.

    >>> list(spans(0, 10, 3, 3))
    [(0, 3), (9, 1)]
    """
    total = len(range(start, stop, step))
    for done in range(0, total, size):
        yield start + done * step, min(size, total - done)
