"""Modes of a flow judged as oscillations, growth and steady parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.consistency import shrunk
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
from koopman_cli.nouns import timed
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


CURES = (
    "take a longer lag or delays, or, if nothing but sensors is noisy, --set variant=tls or "
    "--model optdmd (which see no decay where noise drives the flow)"
)


def noise_warnings(
    found: Estimate, judged: Diagnosis, modes: Sequence[Mode], context: Context
) -> tuple[str, ...]:
    """A warning for the slowest mode whose decay time noise in the frames makes too short."""
    lags = [found.lag * k for k in (1, 2, 4)]
    if not found.request.settings.shrinks_with_noise or 2 * lags[-1] >= context.longest:
        return ()
    width, count = len(found.lift.names), judged.view.count
    moments = judged.passed.slow_moments(lags, width, (count, lambda psi: psi))
    shrinks = shrunk(moments.merged_like(found.merged), judged.view.solution, count)
    for mode, one in zip(modes, shrinks, strict=False):
        if one is None or mode.verdict != "resolved":
            continue
        unit = context.lag.unit
        at = [t * context.per_frame for t in one.times]
        named = [f"{lag * context.per_frame:g}" for lag in lags]
        rest = (
            "none" if one.without == np.inf else timed(one.without * context.per_frame, unit, ".3g")
        )
        said = (
            f"mode {mode.index} decays within {timed(at[0], unit, '.3g')} at lag {named[0]}, "
            f"{at[1]:.3g} at "
            f"lag {named[1]} and {at[2]:.3g} at lag {named[2]}: noise in the frames shortens decay "
            f"times at a short lag (without it about {rest}); {CURES}"
        )
        return (said,)
    return ()


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
