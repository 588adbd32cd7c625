"""From frames to finite feature rows: segments, dropped frames, delays, checks.

A *run* is a stretch [begin, end) of frames as read that are contiguous in time and all
kept. A row with delays exists for every frame that has the whole delay window inside its
run, so no row and no lagged pair ever reaches across a boundary or a removed frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.features.base import Block, Chunk
from koopman_cli.features.spec import Delays
from koopman_cli.features.stream import CHUNK_BYTES
from koopman_cli.io.wholeness import FrameWatch
from koopman_cli.types import Frames, Trajectory

#: Non-finite features named in one message.
_NAMED = 3


@dataclass(frozen=True)
class Recipe:
    """Prepared featurizers and what holds them together; the same for every trajectory."""

    blocks: tuple[Block, ...]
    dtype: np.dtype[Any]
    delays: Delays = field(default_factory=Delays)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns before delays."""
        return tuple(name for block in self.blocks for name in block.names)

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the columns before delays."""
        return tuple(unit for block in self.blocks for unit in block.units)

    def columns(self, chunk: Chunk) -> NDArray[Any]:
        """(n, d) columns before delays; not yet checked."""
        # What is not finite is an error with a name below, not a warning of numpy's here.
        with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
            if len(self.blocks) == 1:
                return self.blocks[0].compute(chunk).astype(self.dtype, copy=False)
            result = np.empty((len(chunk), len(self.names)), self.dtype)
            at = 0
            for block in self.blocks:
                result[:, at : at + len(block.names)] = block.compute(chunk)
                at += len(block.names)
            return result

    def frames_at_once(self, trajectory: Trajectory, size: int) -> int:
        """At most ``size`` frames, fewer where they or their features are large."""
        width = 3 * trajectory.topology.n_atoms if trajectory.topology else len(trajectory.names)
        per_frame = 2 * width * np.dtype(trajectory.dtype).itemsize
        per_frame += 2 * len(self.names) * self.dtype.itemsize * self.delays.number
        per_frame += sum(block.scratch for block in self.blocks)
        return max(1, min(size, CHUNK_BYTES // max(1, per_frame)))

    def explain(self, column: int) -> str:
        """Words that follow the name of a column that is not finite."""
        for block in self.blocks:
            if column < len(block.names):
                return block.explain(column) if block.explain else ""
            column -= len(block.names)
        return ""


def locate(trajectory: Trajectory, frame: int) -> str:
    """A frame as people find it: label and frame, and the file where a run has several.

    Frames count as read, after begin and stride.
    """
    files = trajectory.files
    if len(files) > 1 and sum(f.frames for f in files) == trajectory.n_frames:
        rest = frame
        for record in files:
            if rest < record.frames:
                return f"{trajectory.label}: frame {frame} ({record.path}, its frame {rest})"
            rest -= record.frames
    return f"{trajectory.label}: frame {frame}"


def kept(runs: NDArray[np.int64], begin: int, end: int, window: int = 0) -> NDArray[np.bool_]:
    """Which frames of [begin, end) lie in a run, at least ``window`` after its start."""
    frames = np.arange(begin, end)
    if not len(runs):
        return np.zeros(len(frames), bool)
    k = np.searchsorted(runs[:, 0], frames, side="right") - 1
    inside: NDArray[np.bool_] = frames < runs[k, 1]
    inside &= (k >= 0) & (frames >= runs[k, 0] + window)
    return inside


def split_runs(runs: NDArray[np.int64], bad: NDArray[np.int64]) -> NDArray[np.int64]:
    """Runs without the bad frames: each is cut there.

    >>> split_runs(np.array([[0, 10]]), np.array([3, 4, 9])).tolist()
    [[0, 3], [5, 9]]
    """
    found = []
    for begin, end in runs.tolist():
        inside = bad[(bad >= begin) & (bad < end)]
        edges = np.concatenate([[begin - 1], inside, [end]])
        found += [(a + 1, b) for a, b in pairwise(edges.tolist()) if b > a + 1]
    return np.array(found, np.int64).reshape(-1, 2)


def find_bad(trajectory: Trajectory, recipe: Recipe) -> NDArray[np.int64]:
    """Frames, inside the segments, with a column that is not finite."""
    found = [np.empty(0, np.int64)]
    for frames in trajectory.read(recipe.frames_at_once(trajectory, 2**30)):
        columns = recipe.columns(Chunk(frames, trajectory.topology))
        bad = ~np.isfinite(columns).all(axis=1)
        bad &= kept(trajectory.segments, frames.start, frames.start + len(bad))
        found.append(frames.start + np.flatnonzero(bad))
    return np.concatenate(found)


def read_rows(
    trajectory: Trajectory,
    recipe: Recipe,
    runs: NDArray[np.int64],
    size: int,
    watch: FrameWatch | None = None,
) -> Iterator[NDArray[Any]]:
    """Feature rows of the runs, in order, at most ``size`` at a time.

    Parameters
    ----------
    trajectory, recipe
        What to read, and what to make of it.
    runs : (r, 2) int array
        Frames to use.
    size : int
        Rows of a chunk; fewer where frames are large.
    watch : FrameWatch, optional
        Looks at the frames on the way.

    Yields
    ------
    (n, d * delays) arrays

    Raises
    ------
    DataError
        A column is not finite: file, frame and feature are named.
    """
    spacing, number = recipe.delays.spacing, recipe.delays.number
    window = recipe.delays.window
    tail = np.empty((0, len(recipe.names)), recipe.dtype)
    for frames in trajectory.read(recipe.frames_at_once(trajectory, size)):
        chunk = Chunk(frames, trajectory.topology)
        columns = recipe.columns(chunk)
        _check_finite(trajectory, recipe, frames, columns, runs)
        end = frames.start + len(columns)
        if watch is not None:
            watch.see(frames)
            # Who has all rows does not ask whether there are more.
            watch.done = watch.done or end >= runs[-1, 1]
        rows = kept(runs, frames.start, end, window)
        if window:
            joined = np.concatenate([tail, columns])
            tail = joined[-window:]
            present = np.flatnonzero(rows) + (len(joined) - len(columns))
            if len(present):
                yield np.concatenate([joined[present - k * spacing] for k in range(number)], axis=1)
        elif rows.all():
            yield columns
        elif rows.any():
            yield columns[rows]


def _check_finite(
    trajectory: Trajectory,
    recipe: Recipe,
    frames: Frames,
    columns: NDArray[Any],
    runs: NDArray[np.int64],
) -> None:
    finite = np.isfinite(columns)
    if finite.all():
        return
    bad = ~finite & kept(runs, frames.start, frames.start + len(columns))[:, None]
    if not bad.any():
        return
    row = int(np.flatnonzero(bad.any(axis=1))[0])
    names = [recipe.names[j] for j in np.flatnonzero(bad[row])]
    first = int(np.flatnonzero(bad[row])[0])
    listed = ", ".join(names[:_NAMED])
    if len(names) > _NAMED:
        listed += f" and {len(names) - _NAMED} more"
    verb = "is" if len(names) == 1 else "are"
    cure = "add --drop-nonfinite to remove such frames and split there"
    if not finite.all(axis=1).any():
        cure = f"{_never(finite)}; if later frames are whole, {cure}"
    raise DataError(
        f"{locate(trajectory, frames.start + row)}: {listed} {verb} not finite"
        f"{_cause(recipe, frames, row, first)}",
        cure,
    )


def _never(finite: NDArray[np.bool_]) -> str:
    """What helps where leaving out the frames that are not whole would leave none of these."""
    if not finite.any():
        return "not one number so far: leave the file out, or look how it was written"
    return (
        "no frame is whole so far: write the file without the columns that are not finite, or "
        "pick the others with --features python:PATH:FUNCTION"
    )


def _cause(recipe: Recipe, frames: Frames, row: int, column: int) -> str:
    values = np.asarray(frames.values[row])
    if values.ndim == 2 and not np.isfinite(values).all():
        return f"; the coordinates of atom index {np.argwhere(~np.isfinite(values))[0, 0]} are not"
    return recipe.explain(column)
