"""Other snapshots in the columns of a field that was fitted: new input, or a test set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from koopman_cli.errors import DataError
from koopman_cli.features.agree import common_step
from koopman_cli.features.design import Design
from koopman_cli.features.field import FieldStream, field_stream, finite_frames, frame_times
from koopman_cli.features.reading import split_runs
from koopman_cli.features.spec import Delays
from koopman_cli.features.stream import FeatureStream
from koopman_cli.geometry import Geometry
from koopman_cli.types import FeatureSpec, Progress, ReadOptions, Trajectory, no_progress


def _same_field(trajectories: Sequence[Trajectory], geometry: Geometry) -> None:
    for trajectory in trajectories:
        if trajectory.kind != "field":
            raise DataError(
                f"{trajectory.label}: is not a field, but the model was made from one",
                "give input of the kind the model was fitted on",
            )
        differ = geometry.differs(trajectory.field.geometry)
        if differ:
            raise DataError(
                f"{trajectory.label}: another field than that of the model: {differ}",
                "give the variables and the grid that the model was fitted on",
            )


def rebuild_field(
    trajectories: Sequence[Trajectory],
    spec: FeatureSpec,
    options: ReadOptions,
    progress: Progress = no_progress,
) -> FeatureStream:
    """Rows of other snapshots in the basis that a stored model keeps.

    Raises
    ------
    DataError
        Another grid, other variables, or values missing where the model has none missing.
    """
    geometry = Geometry.from_arrays(spec.state)
    _same_field(trajectories, geometry)
    valid = np.asarray(spec.state["valid"], bool)
    weights = spec.state.get("weights")
    basis = np.asarray(spec.state["basis"], np.float64)
    factors = basis if weights is None else weights[:, None] * basis
    design = Design.from_array(spec.state["design"])
    delays = Delays(*(int(n) for n in spec.state["delays"]))
    rows, times, segments, warned = [], [], [], []
    with progress("projecting", sum(t.n_frames for t in trajectories)) as advance:
        for trajectory in trajectories:
            parts = []
            for frames in trajectory.read(max(1, 2**22 // geometry.cells)):
                parts.append(frames.values[:, valid] @ factors)
                advance(len(frames.values))
            z = np.concatenate(parts)
            bad = ~np.isfinite(z).all(axis=1)
            if bad.any() and not options.drop_nonfinite:
                raise DataError(
                    f"{trajectory.label}: frame {int(np.flatnonzero(bad)[0])}: a cell of the model "
                    "is missing",
                    "add --drop-nonfinite to leave such frames out, or fill the gaps",
                )
            if bad.any():
                warned.append(f"{trajectory.label}: {int(bad.sum())} incomplete frames removed")
            t = frame_times(trajectory)
            segments.append(split_runs(trajectory.segments, np.flatnonzero(bad)))
            rows.append(np.concatenate([z, design.rows(t)], axis=1))
            times.append(t)
    width = basis.shape[1]
    field = FieldStream(None, design, delays, tuple(rows), tuple(times), width)
    names = spec.names[: width + len(design.names)]
    dt, unsure = common_step(trajectories)
    stream = field_stream(field, names, [t.label for t in trajectories], segments, dt)
    said = [w for t in trajectories for w in t.warnings]
    return replace(stream, spec=spec, said=tuple(dict.fromkeys([*said, *warned, *unsure])))


def more_rows(
    stream: FeatureStream, trajectories: Sequence[Trajectory], options: ReadOptions
) -> FeatureStream:
    """Rows of a test set in the coordinates of a stream that is being fitted."""
    field: FieldStream = stream.field
    old = field.snapshots
    _same_field(trajectories, old.geometry)
    segments, keep, valid, warned = finite_frames(trajectories, options, no_progress)
    if not np.array_equal(valid, old.valid):
        raise DataError(
            f"{trajectories[0].label}: other cells are masked than in the training data",
            "give fields with the same mask",
        )
    runs = tuple(t.field for t in trajectories)
    coordinates = old.project(runs, keep)
    times = tuple(frame_times(t)[k] for t, k in zip(trajectories, keep, strict=True))
    edges = np.cumsum([0, *(len(t) for t in times)])
    rows = tuple(
        np.concatenate([coordinates[a:b], field.design.rows(t)], axis=1)
        for (a, b), t in zip(pairwise(edges), times, strict=True)
    )
    names = stream.spec.names[: field.width + len(field.design.names)]
    own = replace(field, rows=rows, times=times)
    dt, _ = common_step(trajectories)
    made = field_stream(own, names, [t.label for t in trajectories], segments, dt)
    return made.with_warnings(*warned)
