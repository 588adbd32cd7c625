"""What figures and reports show beside the numbers: slow functions, correlations, structures.

One pass at the end of a fit, over thinned frames; memory does not grow with the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.correlations import MAX_FEATURES, Tally, block_of, correlate, grouped
from koopman_cli.analysis.projection import FIGURE_FRAMES
from koopman_cli.errors import DataError
from koopman_cli.estimate import Estimate
from koopman_cli.exemplars import state_structures
from koopman_cli.features import build_features
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.models.solve import Solver
from koopman_cli.moments import BlockMoments
from koopman_cli.results import project
from koopman_cli.source import Opened
from koopman_cli.types import Correlations, FitResult, Model, Progress, Projection

#: Numbers of the input that are held to choose the two columns of a map.
HELD = 4_000_000

#: Functions that are correlated with features.
MOST_FUNCTIONS = 8


def with_showcase(
    result: FitResult, found: Estimate, opened: Opened, stream: FeatureStream, progress: Progress
) -> FitResult:
    """The result with its projection, correlations and structures.

    Parameters
    ----------
    result : FitResult
        Modes, states and model.
    found : Estimate
        What they are of.
    opened, stream
        The data; thinned frames are read once, and a few frames of atoms.
    """
    model = result.model
    wanted = thinned_frames(stream.lengths, FIGURE_FRAMES)
    tally, blocks = _tally(found, model, stream, wanted)
    hold = stream.spec.kind == "array" and sum(map(len, wanted)) * stream.n_features <= HELD
    held: list[NDArray[Any]] = []

    def functions(x: NDArray[Any]) -> NDArray[np.float64]:
        psi = project(model, x)
        if tally is not None:
            tally.add(x, psi)
        if hold:
            held.append(np.asarray(x, np.float64))
        return psi

    values = gather(stream, wanted, functions, progress, "projecting")
    names, torsions = _torsions(opened, stream, wanted, progress)
    correlations = None
    if tally is not None and blocks is not None:
        labels = [f"mode {i + 1}" for i in range(blocks.xx.shape[-1] - 1)]
        correlations = correlate(tally, blocks, _solver(model), labels, model.seed)
    shown = _shown(correlations, stream.spec.names) if held else []
    rows = np.concatenate(held) if shown else np.empty((0, 0))
    projection = Projection(
        np.repeat(np.arange(len(wanted)), [len(w) for w in wanted]),
        np.concatenate([stream.frame_index(i, w) for i, w in enumerate(wanted)]),
        np.concatenate([v for v in values if len(v)]),
        torsions,
        names,
        np.stack([_input(rows, columns) for _, columns in shown], axis=1) if shown else None,
        tuple(_label(*one) for one in shown),
        _begins(stream, wanted),
    )
    structures = state_structures(result.states, projection, opened.trajectories)
    return replace(result, projection=projection, correlations=correlations, structures=structures)


def _begins(stream: FeatureStream, wanted: list[NDArray[np.int64]]) -> NDArray[np.int64] | None:
    """Frame at which the stretch of each frame begins; None where no trajectory has several."""
    if all(len(part) <= 1 for part in stream.segments):
        return None
    found = []
    for i, rows in enumerate(wanted):
        first = stream.segments[i][:, 0]
        inside = np.searchsorted(first, rows, side="right") - 1
        found.append(stream.frame_index(i, first)[inside])
    return np.concatenate(found)


def _tally(
    found: Estimate, model: Model, stream: FeatureStream, wanted: list[NDArray[np.int64]]
) -> tuple[Tally | None, BlockMoments | None]:
    """Where correlations are counted; none for fields, whose modes are maps."""
    if stream.field is not None or stream.n_features > MAX_FEATURES:
        return None, None
    k = min(max(model.dim, 1), MOST_FUNCTIONS, model.left.shape[1])
    blocks = found.merged.projected(found.solution.mean_x, found.solution.left[:, :k])
    owner = block_of(blocks, wanted)
    return Tally(stream.spec.names, k, owner, blocks.n_blocks), blocks


def _solver(model: Model) -> Solver | None:
    """How functions are found again; complex pairs have a free phase and are held fixed."""
    return None if model.solve == "eig" else model.solve


def _shown(
    correlations: Correlations | None, names: Sequence[str]
) -> list[tuple[str, tuple[int, ...]]]:
    """At most two inputs with their columns: all, or the one each of the first modes follows most.

    The cosine and sine of an angle are one input.
    """
    inputs = grouped(names)
    if len(inputs) <= 2:
        return inputs
    if correlations is None:
        return []
    strength = np.abs(correlations.values)
    first = int(np.argmax(strength[:, 0]))
    other = strength[:, min(1, strength.shape[1] - 1)].copy()
    other[first] = -1.0
    chosen = {correlations.names[i] for i in (first, int(np.argmax(other)))}
    return [one for one in inputs if one[0] in chosen]


def _input(rows: NDArray[np.float64], columns: tuple[int, ...]) -> NDArray[np.float64]:
    """An input of frames: its column, or the angle (rad) whose cosine and sine they are."""
    if len(columns) == 1:
        return rows[:, columns[0]]
    angle: NDArray[np.float64] = np.arctan2(rows[:, columns[1]], rows[:, columns[0]])
    return angle


def _label(name: str, columns: tuple[int, ...]) -> str:
    return name if len(columns) == 1 else f"{name} (rad)"


def _torsions(
    opened: Opened, stream: FeatureStream, wanted: list[NDArray[np.int64]], progress: Progress
) -> tuple[tuple[str, ...], NDArray[np.float64] | None]:
    """Backbone torsions at the frames of the figures, from the features where they are there."""
    if stream.spec.kind != "md":
        return (), None
    from koopman_cli.features import angles

    source = stream
    if not angles(stream.spec.names, np.empty((0, stream.n_features)))[0]:
        try:
            source = build_features(opened.trajectories, "torsions")
        except DataError:
            return (), None
        if source.lengths != stream.lengths:
            return (), None
    values = np.concatenate([v for v in gather(source, wanted, None, progress) if len(v)])
    names, found = angles(source.spec.names, values)
    return names, found.astype(np.float64)
