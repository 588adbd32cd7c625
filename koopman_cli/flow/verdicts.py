"""Modes of a flow judged as oscillations, growth and steady parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.flows import Findings, changed_halves, flow_modes, left_over
from koopman_cli.analysis.spectrum import Context
from koopman_cli.diagnosis import Diagnosis
from koopman_cli.errors import KoopmanError
from koopman_cli.estimate import Estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.flow.linear import (
    amplitudes,
    linear_of,
    pairs_of,
    unit_of,
)
from koopman_cli.lifts import apply
from koopman_cli.moments import Moments
from koopman_cli.types import Mode

Matrix = NDArray[np.float64]


def flow_verdicts(
    found: Estimate, stream: FeatureStream, judged: Diagnosis, context: Context
) -> tuple[Mode, ...]:
    """Modes of a flow judged as oscillations, growth and steady parts."""
    values = found.solution.eigenvalues
    assert values is not None
    cut = _left_over(found, stream)
    modes, halves = judged.modes, {}
    if found.request.settings.refines:
        # A fit of all snapshots at once has no residual of pairs, nor a rate of each block.
        modes = tuple(replace(m, residual=None) for m in modes)
    else:
        halves = changed_halves(judged.influences, found.merged, len(modes))
    sizes, unit = None, ""
    if stream.field is not None:
        linear = linear_of(found, stream, len(values))
        sizes, unit = amplitudes(linear, stream.field), unit_of(stream.field)
    return flow_modes(modes, context, Findings(cut, halves, sizes, unit, judged.once))


def _left_over(found: Estimate, stream: FeatureStream) -> NDArray[np.bool_]:
    values = found.solution.eigenvalues
    assert values is not None
    spare = None if found.request.settings.refines else found.lift.arrays.get("spare")
    nothing = np.zeros(len(values), bool)
    if spare is None or spare.shape[1] == 0:
        return nothing
    both = np.concatenate([found.lift.arrays["matrix"], spare], axis=1)
    lift = replace(found.lift, arrays={**found.lift.arrays, "matrix": both})
    pairs = pairs_of(stream, found.lag)
    moments = Moments.of_pairs(apply(lift, pairs.x), apply(lift, pairs.y))
    try:
        more = found.request.solve(moments, found.precision, found.blocks.eps).eigenvalues
    except KoopmanError:
        return nothing
    assert more is not None
    return left_over(values, more)
