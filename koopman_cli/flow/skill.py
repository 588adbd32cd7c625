"""The skill of forecasts on the end of the data, which they were not fitted on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import KoopmanError
from koopman_cli.estimate import Estimate
from koopman_cli.features.field import FieldStream
from koopman_cli.features.stream import FeatureStream
from koopman_cli.flow.linear import (
    linear_model,
    pairs_of,
    stream_rows,
    total_weight,
    unit_of,
)
from koopman_cli.lifts import apply
from koopman_cli.lifts.pod import pod_columns
from koopman_cli.moments import Moments
from koopman_cli.types import ForecastSkill

Matrix = NDArray[np.float64]

#: Share of each trajectory that the forecast is tested on, and most starts of a forecast.
HELD = 0.2
STARTS = 50


def forecast_skill(found: Estimate, stream: FeatureStream) -> ForecastSkill | None:
    """Errors of forecasts on the last fifth of every trajectory, fitted on what is before.

    None where that leaves too little to fit or to test.
    """
    field: FieldStream = stream.field
    d, q, _ = pod_columns(stream)
    cuts = [int(n * (1 - HELD)) for n in stream.lengths]
    ranges = [np.array([[0, cut]]) for cut in cuts]
    rows = stream_rows(stream)
    horizon = min((n - c for n, c in zip(stream.lengths, cuts, strict=True)), default=0) // 2
    if horizon < 1:
        return None
    request = found.request
    try:
        lift = request.lift(stream, ranges, found.lag)
        pairs = pairs_of(stream, found.lag, ranges)
        moments = Moments.of_pairs(apply(lift, pairs.x), apply(lift, pairs.y))
        solution = request.solve(moments, found.precision, found.blocks.eps)
        solution = request.refined(stream, lift, found.lag, solution, ranges)
        k = len(solution.eigenvalues) if solution.eigenvalues is not None else 0
        linear = linear_model(stream, request, lift, solution, k, pairs, found.lag)
    except (KoopmanError, np.linalg.LinAlgError):
        return None
    # Sums of the runs, not a copy of them: the rows of wide fields are most of what is in memory.
    centre = np.sum([r[:c].sum(axis=0) for r, c in zip(rows, cuts, strict=True)], axis=0) / sum(
        cuts
    )
    mean = centre[:d] - centre[d : d + q] @ linear.known
    shift = mean if request.settings.center else np.zeros(d)
    steps = np.unique(np.linspace(1, horizon, min(horizon, 60)).round().astype(int))
    sums, count = np.zeros((len(steps), 3)), 0
    for r, cut in zip(rows, cuts, strict=True):
        starts = np.unique(np.linspace(cut - 1, len(r) - 1 - horizon, STARTS).astype(int))
        psi = linear.functions(r[starts])
        for i, step in enumerate(steps):
            later = r[starts + step]
            truth, design = later[:, :d], later[:, d : d + q]
            guess = linear.coordinates(linear.advance(psi, float(step)), design, shift)
            before = r[starts]
            same = before[:, :d] - before[:, d : d + q] @ linear.known + design @ linear.known
            usual = design @ linear.known + mean
            for j, value in enumerate((guess, same, usual)):
                with np.errstate(over="ignore", invalid="ignore"):
                    sums[i, j] += np.sum((value - truth) ** 2)
        count += len(starts)
    errors = np.sqrt(sums / count / total_weight(field))
    errors = np.where(np.isfinite(errors), errors, np.nan)
    return ForecastSkill(
        steps, errors[:, 0], errors[:, 1], errors[:, 2], unit_of(field), int(count)
    )
