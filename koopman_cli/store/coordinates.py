"""Slow coordinates on disk: one .npy array, or an HDF5 file with a dataset per trajectory."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import UsageError
from koopman_cli.nouns import counted
from koopman_cli.store.atomic import refusals, sibling, sync_directory


@dataclass(frozen=True)
class Coordinates:
    """Slow coordinates of one trajectory, to be read in chunks.

    label : name of the trajectory
    frames, dim : shape of the whole
    frame_index : () -> (frames,) frame as read of each row
    chunks : () -> iterator over (n, dim) arrays
    outside : () -> (frames,) which rows lie outside the domain of the model, once ``chunks`` was
        read to its end; None where the model knows no domain
    """

    label: str
    frames: int
    dim: int
    frame_index: Callable[[], NDArray[np.int64]]
    chunks: Callable[[], Iterator[NDArray[np.float64]]]
    outside: Callable[[], NDArray[np.bool_]] | None = None

    def array(self) -> NDArray[np.float64]:
        """All rows at once, (frames, dim)."""
        parts = list(self.chunks())
        return np.concatenate(parts) if parts else np.empty((0, self.dim))


def check_target(out: str | PathLike[str], count: int, *, force: bool = False) -> Path:
    """Make sure that ``count`` trajectories may be written to ``out``.

    Raises
    ------
    UsageError
        Unknown suffix, several trajectories for one .npy, or a file that is already there.
    """
    path = Path(out)
    if path.suffix not in (".npy", ".h5", ".hdf5"):
        raise UsageError(f"{str(path)!r}: cannot write this kind of file", "use .npy or .h5")
    if path.suffix == ".npy" and count != 1:
        raise UsageError(
            f"{str(path)!r}: {counted(count, 'trajectory')} do not fit into one .npy",
            "use --out NAME.h5",
        )
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a directory", "name a file in it")
    if path.exists() and not force:
        raise UsageError(f"{str(path)!r} exists", "add --force to replace it, or use --out")
    return path


def write_coordinates(
    runs: Sequence[Coordinates],
    out: str | PathLike[str],
    *,
    attributes: Mapping[str, Any] | None = None,
    force: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> Path:
    """Write slow coordinates chunk by chunk; ``out`` appears when it is complete.

    ``.npy`` holds one (frames, dim) float64 array. ``.h5`` holds groups ``trajectory_1`` ...
    with datasets ``coordinates`` (frames, dim) and ``frame`` (frames,), and the attribute
    ``label``.

    Raises
    ------
    UsageError
        See :func:`check_target`.
    FileError
        If the file system refuses; nothing is left behind then.
    """
    path = check_target(out, len(runs), force=force)
    partial = sibling(path, "part")
    with refusals(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if path.suffix == ".npy":
                _write_npy(runs[0], partial, advance)
            else:
                _write_h5(runs, partial, attributes or {}, advance)
            partial.replace(path)
            sync_directory(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    return path


def _write_npy(run: Coordinates, path: Path, advance: Callable[[int], None]) -> None:
    with path.open("xb") as file:
        np.lib.format.write_array_header_2_0(
            file, {"descr": "<f8", "fortran_order": False, "shape": (run.frames, run.dim)}
        )
        for chunk in run.chunks():
            file.write(np.ascontiguousarray(chunk, "<f8").tobytes())
            advance(len(chunk))
        file.flush()
        os.fsync(file.fileno())


class _Spared(io.FileIO):
    """A file that keeps the first refusal to itself: HDF5 crashes when closing after one.

    error : that refusal, for whoever opened the file to raise
    """

    error: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write all of it, or pretend to once a write has been refused."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Change the size, or pretend to where that is refused."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0

    def flush(self) -> None:
        """Nothing to do (h5py does not find the method of the base class)."""

    def readinto(self, buffer: Any, /) -> int:
        """Read all of it; zeros stand for what could not be written."""
        view = memoryview(buffer).cast("B")
        done = super().readinto(view)
        view[done:] = bytes(len(view) - done)
        return len(view)


def _write_h5(
    runs: Sequence[Coordinates],
    path: Path,
    attributes: Mapping[str, Any],
    advance: Callable[[int], None],
) -> None:
    import h5py

    with _Spared(path, "x+") as raw:
        with h5py.File(raw, "w") as file:
            _fill_h5(file, runs, attributes, lambda n: _go_on(raw, n, advance))
        os.fsync(raw.fileno())
        if raw.error is not None:
            raise raw.error


def _go_on(raw: _Spared, rows: int, advance: Callable[[int], None]) -> None:
    if raw.error is not None:
        raise raw.error
    advance(rows)


def _fill_h5(
    file: Any,
    runs: Sequence[Coordinates],
    attributes: Mapping[str, Any],
    advance: Callable[[int], None],
) -> None:
    file.attrs.update(attributes)
    for i, run in enumerate(runs):
        group = file.create_group(f"trajectory_{i + 1}")
        # A file name may be no text; HDF5 takes nothing else.
        group.attrs["label"] = run.label.encode("utf-8", "backslashreplace").decode()
        group.create_dataset("frame", data=run.frame_index())
        rows = group.create_dataset("coordinates", (run.frames, run.dim), "f8", fletcher32=True)
        at = 0
        for chunk in run.chunks():
            rows[at : at + len(chunk)] = chunk
            at += len(chunk)
            advance(len(chunk))
        if run.outside is not None:
            group.create_dataset("outside", data=run.outside())
