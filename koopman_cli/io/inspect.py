"""What is in a file: one pass over it, for ``koopman info``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.io.molecules import real_bonds
from koopman_cli.io.opening import open_trajectories
from koopman_cli.io.wholeness import FrameWatch, frame_warnings
from koopman_cli.types import (
    FileRecord,
    Frames,
    Kind,
    Progress,
    ReadOptions,
    TimeStep,
    Trajectory,
    no_progress,
)

#: Bytes of frames looked at together.
_CHUNK = 16 * 2**20

#: Ranges of frames listed; what lies beyond is only counted.
_LISTED = 100


@dataclass(frozen=True)
class NonFinite:
    """Values that are NaN or infinite.

    values : how many
    frames : how many frames hold one
    ranges : (first, last) frames, both included, at most 100 of them
    first : frame and name of the first one, None where there is none
    """

    values: int = 0
    frames: int = 0
    ranges: tuple[tuple[int, int], ...] = ()
    first: tuple[int, str] | None = None


@dataclass(frozen=True)
class Inspection:
    """What one trajectory holds.

    files : path and frames of each file
    frames, dt : as read, after the stride; ``dt.origin`` says where it is from
    time : first and last time stamp and their unit, None where the file keeps none
    atoms, residues : None for arrays
    columns : number of columns (3 per atom for MD); ``names`` of arrays
    constant : names of columns that never change
    repeated : (first, last) of runs of identical consecutive frames, at most 100 of them
    repeated_frames : frames that equal the one before
    memory : bytes for all columns as "float32" and "float64"
    lags : smallest and largest usable lag in frames, None where no pair exists
    cell : whether a valid unit cell stands beside the coordinates, None for arrays
    """

    label: str
    kind: Kind
    files: tuple[FileRecord, ...]
    frames: int
    dt: TimeStep | None
    time: tuple[float, float] | None
    segments: int
    atoms: int | None
    residues: int | None
    columns: int
    names: tuple[str, ...]
    units: tuple[str, ...]
    dtype: str
    nonfinite: NonFinite
    constant: tuple[str, ...]
    repeated: tuple[tuple[int, int], ...]
    repeated_frames: int
    memory: dict[str, int]
    lags: tuple[int, int] | None
    cell: bool | None
    warnings: tuple[str, ...]


@dataclass
class _Runs:
    """Ranges of neighbouring frame numbers, collected chunk by chunk."""

    ranges: list[tuple[int, int]] = field(default_factory=list)
    count: int = 0
    last: int = -2

    def add(self, frames: NDArray[np.int64]) -> None:
        """Append increasing frame numbers."""
        if not len(frames):
            return
        self.count += len(frames)
        breaks = np.flatnonzero(np.diff(frames) > 1) + 1
        for run in np.split(frames, breaks[: _LISTED + 1]):
            if run[0] == self.last + 1 and self.ranges:
                self.ranges[-1] = (self.ranges[-1][0], int(run[-1]))
            elif len(self.ranges) < _LISTED:
                self.ranges.append((int(run[0]), int(run[-1])))
            self.last = int(run[-1])


class _Pass:
    """What one pass over the frames collects."""

    def __init__(self, trajectory: Trajectory) -> None:
        self.trajectory = trajectory
        self.starts = trajectory.segments[:, 0]
        self.bad, self.same = _Runs(), _Runs()
        self.values = 0
        self.first_bad: tuple[int, int] | None = None
        self.first: NDArray[Any] | None = None
        self.varies: NDArray[np.bool_] | None = None
        self.before: NDArray[Any] | None = None
        self.times: tuple[float, float] | None = None
        self.cell = False
        topology = trajectory.topology
        self.watch = None if topology is None else FrameWatch(real_bonds(topology))

    def add(self, chunk: Frames) -> None:
        """Take in a chunk."""
        flat = chunk.values.reshape(len(chunk.values), -1)
        if self.first is None or self.varies is None:
            self.first, self.varies = flat[0].copy(), np.zeros(flat.shape[1], bool)
        self._finite(flat, chunk.start)
        self.varies |= (flat != self.first).any(axis=0)
        self._repeats(flat, chunk.start)
        self.cell = self.cell or chunk.cell is not None
        if self.watch is not None:
            self.watch.see(chunk)
        if chunk.time is not None:
            begin = self.times[0] if self.times else float(chunk.time[0])
            self.times = (begin, float(chunk.time[-1]))

    def _finite(self, flat: NDArray[Any], start: int) -> None:
        finite = np.isfinite(flat)
        if self.trajectory.field is not None and self.first is not None:
            # Land and solids: missing from the first frame on, by design.
            finite |= np.isnan(self.first)
        if finite.all():
            return
        frames = np.flatnonzero(~finite.all(axis=1))
        self.values += int((~finite).sum())
        self.bad.add(frames + start)
        if self.first_bad is None:
            row = int(frames[0])
            self.first_bad = (row + start, int(np.flatnonzero(~finite[row])[0]))

    def _repeats(self, flat: NDArray[Any], start: int) -> None:
        same = np.zeros(len(flat), bool)
        same[1:] = (flat[1:] == flat[:-1]).all(axis=1)
        same[0] = self.before is not None and bool((flat[0] == self.before).all())
        low, high = np.searchsorted(self.starts, [start, start + len(flat)])
        same[self.starts[low:high] - start] = False
        self.same.add(np.flatnonzero(same) + start)
        self.before = flat[-1].copy()


def _width(trajectory: Trajectory) -> int:
    """Numbers in a frame."""
    if trajectory.field is not None:
        return int(trajectory.field.geometry.cells)
    topology = trajectory.topology
    return 3 * topology.n_atoms if topology is not None else len(trajectory.names)


def _column_name(trajectory: Trajectory, column: int) -> str:
    if trajectory.field is not None:
        return str(trajectory.field.geometry.name_of(column))
    if trajectory.topology is None:
        return trajectory.names[column]
    return f"{'xyz'[column % 3]} of {trajectory.topology.atom(column // 3)}"


def _constant(trajectory: Trajectory, varies: NDArray[np.bool_] | None) -> tuple[str, ...]:
    if varies is None or trajectory.n_frames < 2:
        return ()
    if trajectory.topology is None:
        return tuple(_column_name(trajectory, int(j)) for j in np.flatnonzero(~varies))
    fixed = np.flatnonzero(~varies.reshape(-1, 3).any(axis=1))
    return tuple(str(trajectory.topology.atom(int(j))) for j in fixed)


def _said(trajectory: Trajectory, watch: FrameWatch | None) -> tuple[str, ...]:
    """Warnings of the trajectory, also those that only its frames could give."""
    if watch is None:
        return trajectory.warnings
    watch.done = True
    return (*trajectory.warnings, *frame_warnings([watch], [trajectory.label]))


def _inspect(trajectory: Trajectory, found: _Pass) -> Inspection:
    topology = trajectory.topology
    columns = _width(trajectory)
    longest = int((trajectory.segments[:, 1] - trajectory.segments[:, 0]).max(initial=0))
    first = found.first_bad
    nonfinite = NonFinite(
        found.values,
        found.bad.count,
        tuple(found.bad.ranges),
        None if first is None else (first[0], _column_name(trajectory, first[1])),
    )
    return Inspection(
        label=trajectory.label,
        kind=trajectory.kind,
        files=trajectory.files,
        frames=trajectory.n_frames,
        dt=trajectory.dt,
        time=found.times,
        segments=len(trajectory.segments),
        atoms=None if topology is None else topology.n_atoms,
        residues=None if topology is None else topology.n_residues,
        columns=columns,
        names=trajectory.names if trajectory.field is None else trajectory.field.geometry.variables,
        units=trajectory.units,
        dtype=trajectory.dtype,
        nonfinite=nonfinite,
        constant=_constant(trajectory, found.varies),
        repeated=tuple((low - 1, high) for low, high in found.same.ranges),
        repeated_frames=found.same.count,
        memory={k: trajectory.n_frames * columns * b for k, b in (("float32", 4), ("float64", 8))},
        lags=(1, longest - 1) if longest > 1 else None,
        cell=None if topology is None else found.cell,
        warnings=_said(trajectory, found.watch),
    )


def inspect(
    paths: Sequence[str | Path], options: ReadOptions, progress: Progress = no_progress
) -> tuple[Inspection, ...]:
    """Read every frame once and tell what is there.

    Parameters
    ----------
    paths : sequence of str or Path
    options : ReadOptions
    progress : Progress

    Returns
    -------
    tuple of Inspection
        One per trajectory.

    Raises
    ------
    KoopmanError
        As :func:`koopman_cli.io.open_trajectories`; also for frames that are damaged.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", [[0.0, 7], [1, 7], [1, 7], [np.nan, 7]])
    ...     (seen,) = inspect([f"{folder}/x.npy"], ReadOptions())
    >>> seen.constant, seen.repeated, seen.nonfinite.first, seen.lags
    (('x2',), ((1, 2),), (3, 'x1'), (1, 3))
    """
    trajectories = open_trajectories(paths, options, progress)
    results = []
    with progress("reading", sum(t.n_frames for t in trajectories)) as advance:
        for trajectory in trajectories:
            found = _Pass(trajectory)
            width = _width(trajectory)
            for chunk in trajectory.read(max(1, _CHUNK // (16 * width))):
                found.add(chunk)
                advance(len(chunk.values))
            results.append(_inspect(trajectory, found))
    return tuple(results)
