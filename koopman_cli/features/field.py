"""Fields to a stream of small rows: coordinates of each snapshot, and functions of its time.

A row is [a, b]: a the coordinates of :mod:`koopman_cli.features.snapshots`, b what anomalies
and trends are regressed on (a constant, the phase of a cycle, the time). The regression
itself belongs to the lift, so that it is fitted on training frames only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.features.agree import check_agreement, common_step
from koopman_cli.features.design import Design, parse_design
from koopman_cli.features.reading import split_runs
from koopman_cli.features.snapshots import Run, Snapshots, compress, scan_missing
from koopman_cli.features.spec import Delays, parse_delays, parse_spec
from koopman_cli.features.stream import FeatureStream
from koopman_cli.geometry import Geometry
from koopman_cli.nouns import are, counted, verb
from koopman_cli.types import FeatureSpec, Progress, ReadOptions, TimeStep, Trajectory, no_progress

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class FieldStream:
    """What a stream of a field knows beside its rows; ``FeatureStream.field``.

    origin : the snapshots, None where rows are in the basis of a stored model
    rows : per trajectory, (frames, d + q) before delays; times : in frames
    """

    origin: Snapshots | None
    design: Design
    delays: Delays
    rows: tuple[Matrix, ...]
    times: tuple[Matrix, ...]
    width: int

    @property
    def snapshots(self) -> Snapshots:
        """The snapshots that the rows are coordinates of."""
        assert self.origin is not None, "rows in the basis of a stored model"
        return self.origin


def frame_times(trajectory: Trajectory) -> Matrix:
    """Time of each frame in frames: absolute where time stamps are regular, else from 0."""
    run, step = trajectory.field, trajectory.dt
    if run.times is None or step is None or "--dt" in step.origin or not step.value:
        return np.arange(trajectory.n_frames, dtype=float)
    return np.asarray(run.times / step.value, np.float64)


def area_weights(
    geometry: Geometry, named: NDArray[np.float64] | None, asked: str
) -> tuple[NDArray[np.float64] | None, str | None]:
    """Square roots of areas, (cells,), and what to say of them."""
    if named is not None:
        return named, f"weights: square root of {asked}"
    latitude = geometry.latitude() if asked == "auto" else None
    if latitude is None:
        return None, None
    # A pole has no area but must not divide by zero on the way back.
    weight = np.sqrt(np.maximum(np.cos(np.radians(latitude)), 1e-6))
    return np.tile(weight, len(geometry.variables)), "weights: square root of cos latitude"


def build_field(
    trajectories: Sequence[Trajectory],
    spec: str | None,
    options: ReadOptions,
    progress: Progress = no_progress,
    precision: str = "auto",
) -> FeatureStream:
    """Turn trajectories of kind field into rows of coordinates.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Of the same variables and grid.
    spec : str, optional
        ``field``, ``delays:N`` or both.
    options : ReadOptions
        For anomalies, weights and dropped frames.

    Returns
    -------
    FeatureStream
        With ``field`` set.

    Raises
    ------
    DataError
        Missing values, a variable that is nowhere a number, different grids.
    UsageError
        A specification or an option that makes no sense for fields.
    """
    design = parse_design(options.anomaly, options.detrend)
    delays = field_delays(spec)
    check_agreement(trajectories)
    first = trajectories[0]
    geometry = first.field.geometry
    runs = tuple(t.field for t in trajectories)
    segments, keep, valid, warned = finite_frames(trajectories, options, progress)
    weights, note = area_weights(geometry, first.field.weights, options.area_weights)
    notes = [f"field: {_describe(geometry, valid)}"] + ([note] if note else [])
    empty = np.empty((0, 0))
    raw = Snapshots(
        runs, keep, geometry, first.dtype, valid, None if weights is None else weights[valid],
        empty, None, empty, 0.0, "", "",
    )  # fmt: skip
    found = compress(raw, precision, progress)
    notes += _lost(found)
    times = tuple(frame_times(t)[k] for t, k in zip(trajectories, keep, strict=True))
    design = _placed(design, times)
    edges = np.cumsum([0, *(len(t) for t in times)])
    # Rows of a field without design are views: coordinates of many points are not kept twice.
    rows = tuple(
        np.concatenate([found.coordinates[a:b], design.rows(t)], axis=1)
        if design.names
        else found.coordinates[a:b]
        for (a, b), t in zip(pairwise(edges), times, strict=True)
    )
    field = FieldStream(found, design, delays, rows, times, found.coordinates.shape[1])
    dt, unsure = common_step(trajectories)
    names = (*(f"c{j + 1}" for j in range(field.width)), *design.names)
    said = [w for t in trajectories for w in t.warnings]
    stream = field_stream(field, names, [t.label for t in trajectories], segments, dt)
    return replace(stream, said=tuple(dict.fromkeys([*said, *warned, *unsure])), notes=tuple(notes))


def _lost(found: Snapshots) -> list[str]:
    """What the coordinates leave out of the snapshots."""
    notes = []
    if found.captured < 1 - 1e-9:
        notes.append(
            f"the leading {counted(found.coordinates.shape[1], 'direction')} of all snapshots are "
            f"kept: {found.captured:.6%} of the sum of squares"
        )
    if found.method == "gram" and found.coordinates.shape[1] < len(found.singular):
        lost = len(found.singular) - found.coordinates.shape[1]
        notes.append(
            f"the Gram matrix of the snapshots ({found.precision}) squares the condition number: "
            f"{lost} singular values below {found.floor:.1e} of the largest are lost in rounding"
        )
    return notes


def _placed(design: Design, times: Sequence[Matrix]) -> Design:
    """The design with its trend about the middle of all times, of size 1 at their ends."""
    if not design.trend:
        return design
    low, high = min(t.min() for t in times), max(t.max() for t in times)
    return replace(design, origin=float(low + high) / 2, span=max(float(high - low) / 2, 1.0))


def field_delays(spec: str | None) -> Delays:
    """The delay embedding of a specification for a field, which knows ``field`` and ``delays``."""
    parts = parse_spec(spec or "field")
    for part in parts:
        if part.name not in ("field", "delays"):
            raise UsageError(
                f"features {part.text!r} is not for fields", "choose among: field, delays:N"
            )
    return parse_delays(parts)


def _describe(geometry: Geometry, valid: NDArray[np.bool_]) -> str:
    named = [
        f"{a}s" if a == "point" and n != 1 else a
        for n, a in zip(geometry.shape, geometry.axes, strict=True)
    ]
    size = " x ".join(f"{n} {a}" for n, a in zip(geometry.shape, named, strict=True))
    masked = len(valid) - int(valid.sum())
    land = f", {masked} masked (NaN at all times)" if masked else ""
    return f"{', '.join(geometry.variables)} on {size}, {counted(len(valid), 'cell')}{land}"


def finite_frames(
    trajectories: Sequence[Trajectory], options: ReadOptions, progress: Progress
) -> tuple[list[NDArray[np.int64]], tuple[NDArray[np.bool_], ...], NDArray[np.bool_], list[str]]:
    """Segments, frames kept and valid cells; an error names the first missing value."""
    runs: tuple[Run, ...] = tuple(t.field for t in trajectories)
    geometry = trajectories[0].field.geometry
    scan = scan_missing(runs, geometry, trajectories[0].dtype, progress)
    for k, name in enumerate(geometry.variables):
        if not scan.valid[k * geometry.points : (k + 1) * geometry.points].any():
            raise DataError(
                f"{trajectories[0].label}: {name} is NaN everywhere",
                "choose another variable with --var",
            )
    if scan.first is None:
        return [t.segments for t in trajectories], tuple(~b for b in scan.bad), scan.valid, []
    if not options.drop_nonfinite:
        run, frame, cell = scan.first
        count = sum(int(b.sum()) for b in scan.bad)
        raise DataError(
            f"{trajectories[run].label}: frame {frame}: {geometry.name_of(cell)} is missing, but "
            f"not at all times ({count} of {counted(sum(map(len, scan.bad)), 'frame')} "
            f"{are(count)} incomplete)",
            "add --drop-nonfinite to leave such frames out and split there, or fill the gaps",
        )
    segments, warned = [], []
    for trajectory, bad in zip(trajectories, scan.bad, strict=True):
        pieces = split_runs(trajectory.segments, np.flatnonzero(bad))
        ends = np.cumsum(pieces[:, 1] - pieces[:, 0])
        segments.append(np.stack([ends - (pieces[:, 1] - pieces[:, 0]), ends], axis=1))
        if bad.any():
            warned.append(
                f"{trajectory.label}: {int(bad.sum())} of {counted(len(bad), 'frame')} "
                f"{are(bad.sum())} incomplete and {verb(bad.sum(), 'was', 'were')} removed "
                f"(first: frame {int(np.flatnonzero(bad)[0])})"
            )
        if bad.all():
            raise DataError(f"{trajectory.label}: no frame is complete", "fill the gaps first")
    return segments, tuple(~b for b in scan.bad), scan.valid, warned


def field_stream(
    field: FieldStream,
    names: tuple[str, ...],
    labels: Sequence[str],
    segments: Sequence[NDArray[np.int64]],
    dt: TimeStep | None,
) -> FeatureStream:
    """The stream of rows with their delays; rows lost to delays are those at each start."""
    window, number, spacing = field.delays.window, field.delays.number, field.delays.spacing
    starts, own = [], []
    for part in segments:
        part = part[part[:, 1] - part[:, 0] > window]
        starts.append(part[:, 0] + window)
        ends = np.cumsum(part[:, 1] - part[:, 0] - window)
        own.append(np.stack([ends - (part[:, 1] - part[:, 0] - window), ends], axis=1))
    if not any(len(part) for part in own):
        longest = max((int((s[:, 1] - s[:, 0]).max(initial=0)) for s in segments), default=0)
        raise DataError(
            f"{labels[0]}: no stretch is longer than the {counted(window, 'frame')} of the delays "
            f"(longest: {longest})",
            "take fewer delays",
        )
    embedded = tuple(
        _embedded(rows, first, part[:, 1] - part[:, 0], (number, spacing))
        for rows, first, part in zip(field.rows, starts, own, strict=True)
    )

    def read(i: int, size: int) -> Iterator[NDArray[Any]]:
        for start in range(0, len(embedded[i]), size):
            yield embedded[i][start : start + size]

    full = list(names)
    for k in range(1, number):
        full += [f"{name}(t-{k * spacing})" for name in names]
    text = "field" + (f"+delays:{number}:{spacing}" if number > 1 else "")
    return FeatureStream(
        spec=FeatureSpec(text, tuple(full), ("",) * len(full), "field"),
        labels=tuple(labels),
        lengths=tuple(len(e) for e in embedded),
        segments=tuple(own),
        read=read,
        dtype=np.dtype(np.float64),
        dt=dt,
        offsets=tuple(int(s[0]) if len(s) else 0 for s in starts),
        window=window,
        origins=tuple(starts),
        field=field,
    )


def _embedded(
    rows: Matrix, starts: NDArray[np.int64], counts: NDArray[np.int64], delays: tuple[int, int]
) -> Matrix:
    """Rows with their past beside them, for stretches that begin at ``starts``."""
    number, spacing = delays
    if number == 1 and len(starts) == 1 and counts[0] == len(rows):
        return rows
    index = np.concatenate([s + np.arange(n) for s, n in zip(starts, counts, strict=True)])
    return np.concatenate([rows[index - k * spacing] for k in range(number)], axis=1)
