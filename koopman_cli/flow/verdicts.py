"""Modes of a flow judged as oscillations, growth and steady parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.consistency import shrunk, turning
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
    modes, halves, objections = judged.modes, {}, {}
    if found.request.settings.refines:
        # A fit of all snapshots at once has no residual of pairs, nor a rate of each block.
        modes = tuple(replace(m, residual=None) for m in modes)
    else:
        halves = changed_halves(judged.influences, found.merged, len(modes))
        objections = {**_standing(found, judged, context), **_mixed(found, modes)}
    sizes, unit = None, ""
    if stream.field is not None:
        linear = linear_of(found, stream, len(values))
        sizes, unit = amplitudes(linear, stream.field), unit_of(stream.field)
    told = Findings(
        cut, halves, sizes, unit, judged.once, objections=objections,
        constant=_constant(found, len(modes)),
    )  # fmt: skip
    return flow_modes(modes, context, told)


#: Share of the mean square of a function that its mean is where it stands for the time mean.
MEAN_SHARE = 0.9


def _constant(found: Estimate, count: int) -> frozenset[int]:
    """Modes whose functions are little else than their means."""
    left = found.solution.left[:, :count]
    m = found.blocks.total().projected(np.zeros(len(left)), left)
    share = (m.xx[:-1, -1] / m.n) ** 2 / np.maximum(np.diag(m.xx)[:-1] / m.n, 1e-300)
    return frozenset(int(j) for j in np.flatnonzero(share > MEAN_SHARE))


#: Multiples of the lag at which a mode that decays must have decayed.
MULTIPLES = (1, 2, 4, 8, 16)


def _standing(found: Estimate, judged: Diagnosis, context: Context) -> dict[int, str]:
    """Real modes that turn over: one phase of an oscillation, whose other phase is missing."""
    inside = found.merged.is_block
    block = float(np.median((found.merged.stop - found.merged.start)[inside]))
    lags = [found.lag * k for k in MULTIPLES if 2 * found.lag * k <= min(context.longest, block)]
    width, count = len(found.lift.names), judged.view.count
    if len(lags) < 2:
        return {}
    moments = judged.passed.slow_moments(lags, width, (count, lambda psi: psi))
    told = {}
    turns = turning(moments.merged_like(found.merged), judged.view.solution, count)
    for j, turn in enumerate(turns):
        if turn is None:
            continue
        after = timed(turn.lag * context.per_frame, context.lag.unit, "g")
        # Windows as long as the correlation takes to turn hold both phases.
        delays = max(2, turn.lag // found.lag)
        told[j] = (
            f"turns over instead of decaying (correlation {turn.found:.2g} after {after}, where "
            f"its eigenvalue says {turn.predicted:.2g}): one phase of a standing oscillation, "
            f"whose other phase earlier snapshots hold (--set delays={delays})"
        )
    return told


def _shown(value: complex) -> str:
    return f"{value:.4g}" if value.imag else f"{value.real:.4g}"


#: Errors of ln |lambda|, and share of it, by which a mode may depend on whether means are removed.
CENTRED_ERRORS, CENTRED_SHARE = 3.0, 0.1


def _mixed(found: Estimate, modes: Sequence[Mode]) -> dict[int, str]:
    """Modes that are other modes once means are removed: the mean enters them.

    y = A x keeps a mean only if a combination of the columns is constant. Where none is, as in a
    few columns about a value that is not zero, what brings them back to it changes A.
    """
    if found.request.settings.center:
        return {}
    total = found.blocks.total()
    request = replace(found.request, settings=replace(found.request.settings, center=True))
    try:
        centred = request.solve(total, found.precision, found.blocks.eps).eigenvalues
    except KoopmanError:
        return {}
    assert centred is not None
    rates = np.log(np.append(centred[np.abs(centred) > 0], 1.0).astype(np.complex128))
    told = {}
    for j, mode in enumerate(modes):
        value, low, high = mode.eigenvalue, mode.eigenvalue_low, mode.eigenvalue_high
        if value is None or not abs(value) or not low or not high or low <= 0:
            continue
        rate = complex(np.log(value))
        distance = np.abs(rates - rate)
        near = int(np.argmin(distance))
        error, size = np.log(high / low) / 4, max(abs(rates[near]), abs(rate))
        if distance[near] > max(CENTRED_ERRORS * error, CENTRED_SHARE * size):
            # The steady part, which is none of the modes with means removed, stands last.
            other = np.exp(rates[int(np.argmin(distance[:-1]))]) if len(rates) > 1 else None
            told[j] = "mixed with the mean of the columns, which no linear map of them keeps: " + (
                "it vanishes with means removed" if other is None else
                f"the eigenvalue is {_shown(value)}, with means removed {_shown(other)}"
            ) + " (--set center=true)"  # fmt: skip
    return told


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
