"""What is read: options, frames, trajectories, and what turns them into features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

Kind = Literal["md", "array", "field"]


@dataclass(frozen=True)
class TimeStep:
    """Time between two consecutive frames as read (after the stride).

    ``origin`` says where it is from: "time stamps of run1.xtc", "--dt", ...
    """

    value: float
    unit: str
    origin: str = ""


@dataclass(frozen=True)
class ReadOptions:
    """Everything that decides how paths become trajectories (see the CLI reference)."""

    top: str | None = None
    select: str | None = None
    kind: Kind | None = None
    var: tuple[str, ...] = ()
    time_axis: int | None = None
    begin: str | None = None
    end: str | None = None
    stride: int = 1
    dt: str | None = None
    join: bool = False
    ensemble: bool = False
    anomaly: str | None = None
    detrend: str | None = None
    area_weights: str = "auto"
    drop_nonfinite: bool = False
    allow_truncated: bool = False


@dataclass(frozen=True)
class Frames:
    """A chunk of consecutive frames.

    values : (n, atoms, 3) coordinates in nm for MD, (n, columns) else
    cell : (n, 3, 3) box vectors in nm, or None where there is no valid cell (MD only)
    time : (n,) time stamps in the unit of the file, or None where it keeps none
    """

    start: int
    values: Array
    cell: Array | None = None
    time: Array | None = None


@dataclass(frozen=True)
class FileRecord:
    """One input file: path as given and number of frames used from it."""

    path: str
    frames: int


@dataclass(frozen=True)
class Trajectory:
    """One run: what it is, and how to read it again, in chunks, from its start.

    label : name in messages and tables
    n_frames : frames as read (after begin, end, stride)
    segments : (s, 2) half-open ranges of frames; no lagged pair crosses from one to the
        next (ensemble members, stretches between dropped frames)
    names, units : of the columns; empty for MD, where ``topology`` is set instead
    dtype : "float32", "float64" or "complex128" of the values that ``read`` yields
    read : ``read(size)`` iterates over :class:`Frames` of at most ``size`` frames
    field : :class:`koopman_cli.io.fieldruns.FieldRun` for kind "field": geometry, times and
        blocks of cells; ``names`` is then empty and a frame is a row of all cells
    packed : whether columns are stored as other numbers, with a scale and an offset
    """

    label: str
    kind: Kind
    files: tuple[FileRecord, ...]
    n_frames: int
    segments: NDArray[np.int64]
    dt: TimeStep | None
    dtype: str
    read: Callable[[int], Iterator[Frames]]
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    topology: Any = None
    warnings: tuple[str, ...] = ()
    field: Any = None
    packed: bool = False


@dataclass(frozen=True)
class FeatureSpec:
    """What turns frames into feature columns, complete enough to do it again.

    text : the resolved specification, e.g. "torsions+torsion-products"
    names, units : of the columns, in order
    state : arrays the featurizers had to remember (reference frame, means, ...)
    kind, select : of the input they apply to
    """

    text: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    kind: Kind = "array"
    select: str | None = None
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class InputSummary:
    """What was read, as ``summary.json`` tells it.

    files : (path, sha256, frames) of what was trained on
    test : the same of a separate test set, empty where there is none
    """

    kind: Kind
    files: tuple[tuple[str, str, int], ...]
    frames: int
    features: int
    dt: TimeStep | None
    test: tuple[tuple[str, str, int], ...] = ()
