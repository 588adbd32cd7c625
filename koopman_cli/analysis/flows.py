"""What the eigenvalues of a flow mean: steady part, oscillations, growth; and what they do not.

Two things make an eigenvalue of DMD mean nothing. A POD rank that cuts a pair of modes in two
leaves a real eigenvalue behind, which one more POD mode turns into a pair. And a transient
whose frequency or growth changes along the data has no eigenvalue at all, though a
regression always returns one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.lasting import STEADY, SUSTAINED, sustained, undetermined
from koopman_cli.analysis.spectrum import Context, Verdict
from koopman_cli.analysis.uncertainty import Influences
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import per, timed
from koopman_cli.types import Mode, Quantity

Matrix = NDArray[np.float64]

#: Relative change of ln(lambda) between the halves of the data that matters at all, and the
#: probability at which a steady flow is called a transient.
CHANGE = 0.02
LEVEL = 1e-3

#: Factor on that probability where the rates of neighbouring blocks correlate by more than
#: TOGETHER errors, which those of a steady flow do not: a transient passes through its rates in
#: order.
ALONG = 10
TOGETHER = 3.3

#: Ratio of the ends of its interval from which a period is undetermined.
WIDE = 10.0

#: |ln|lambda|| over the data below which the eigenvalue of a trend is that of a line, 1.
JORDAN = 3.0

JORDAN_BLOCK = " (an eigenvalue at 1 with a Jordan block: it grows as t, not as an exponential)"

#: A residual above which noise drives a mode more than its own past does.
NOISY = 0.5


@dataclass(frozen=True)
class Findings:
    """What is known of the modes of a flow beside their eigenvalues.

    left_over : which real eigenvalues come from a pair that the POD rank cuts in two
    halves : mode -> ln(lambda) in the first and second half, where they surely differ; None
        for modes that only accompany such a one
    amplitudes : (k,) root-mean-square contribution per cell, in ``unit``
    once : modes that are a trend, a transient or a change of level, and which
    double : whether more than one eigenvalue is 1
    objections : modes whose eigenvalue is no rate of the flow, and why
    constant : modes whose functions are little else than their means
    """

    left_over: NDArray[np.bool_]
    halves: Mapping[int, tuple[complex, complex] | None] = field(default_factory=dict)
    amplitudes: Matrix | None = None
    unit: str = ""
    once: Mapping[int, str] = field(default_factory=dict)
    double: bool = False
    objections: Mapping[int, str] = field(default_factory=dict)
    constant: frozenset[int] = frozenset()


def left_over(values: NDArray[np.complex128], more: NDArray[np.complex128]) -> NDArray[np.bool_]:
    """Real eigenvalues that one more POD mode turns into a conjugate pair.

    Parameters
    ----------
    values : (r,) of the model
    more : (r + 1,) of the same data with one more POD mode

    Examples
    --------
    >>> left_over(np.array([1, 0.6 + 0j]), np.array([1, 0.5 + 0.8j, 0.5 - 0.8j])).tolist()
    [False, True]
    """
    cut = np.zeros(len(values), bool)
    real = [j for j in range(len(values)) if values[j].imag == 0]
    there = [complex(v) for v in more if v.imag == 0]
    gained = sum(v.imag > 0 for v in more) - sum(v.imag > 0 for v in values)
    if gained <= 0 or len(there) >= len(real):
        return cut
    # Each real eigenvalue that survives takes its nearest partner; who is left is left over.
    pairs = sorted((abs(values[j] - v), j, k) for j in real for k, v in enumerate(there))
    kept: set[int] = set()
    taken: set[int] = set()
    for _, j, k in pairs:
        if j not in kept and k not in taken:
            kept.add(j)
            taken.add(k)
    for j in real:
        cut[j] = j not in kept
    return cut


def changed_halves(
    effect: Influences, blocks: BlockMoments, count: int
) -> dict[int, tuple[complex, complex]]:
    """Modes whose ln(lambda) differs between the two halves of the data, and both values.

    Each block moves lambda by g_b; its own lambda is about lambda + g_b n / n_b. The means of
    the blocks in the first and in the second half of each trajectory are compared by
    Student's t, in growth and in frequency; where the values of neighbouring blocks run
    together, which those of a steady flow do not, less is asked of t.
    """
    from scipy import stats

    later = _second_half(blocks)
    n_blocks = min(len(later), effect.n_blocks)
    later = later[:n_blocks]
    first, second = int((~later).sum()), int(later.sum())
    if min(first, second) < 3:
        return {}
    found = {}
    weight = effect.stack.n / np.maximum(effect.stack.pairs[:n_blocks], 1)
    for j in range(min(count, len(effect.values))):
        value = complex(effect.values[j])
        if abs(value) == 0 or not np.isfinite(effect.blocks[:, j]).all():
            continue
        local = effect.blocks[:n_blocks, j] * weight / value
        a, b = local[~later], local[later]
        gap = b.mean() - a.mean()
        if abs(gap) < CHANGE * max(abs(np.log(value)), 1e-12):
            continue
        for part in (np.real, np.imag):
            spread = np.sqrt(part(a).var(ddof=1) / first + part(b).var(ddof=1) / second)
            level = LEVEL * (ALONG if _run_together(part(local), blocks) else 1)
            limit = stats.t.ppf(1 - level / 2, min(first, second) - 1)
            if abs(part(gap)) > limit * spread and abs(part(gap)) > CHANGE * abs(np.log(value)):
                base = np.log(value)
                found[j] = (complex(base + a.mean()), complex(base + b.mean()))
    return found


def _run_together(rates: Matrix, blocks: BlockMoments) -> bool:
    """Whether neighbouring blocks of a trajectory have like rates, as those of noise have not.

    By the correlation of ranks, which a few loud blocks do not decide.
    """
    from scipy import stats

    owner = blocks.trajectory[blocks.is_block][: len(rates)]
    ranks = stats.rankdata(rates)
    ranks -= ranks.mean()
    product = float(np.sum((ranks[1:] * ranks[:-1])[owner[1:] == owner[:-1]]))
    return bool(product * np.sqrt(len(ranks)) > TOGETHER * float(np.sum(ranks**2)))


def _second_half(blocks: BlockMoments) -> NDArray[np.bool_]:
    """Which blocks lie in the second half of their trajectory."""
    inside = blocks.is_block
    owner = blocks.trajectory[inside]
    middle = (blocks.start[inside] + blocks.stop[inside]) / 2
    later = np.zeros(len(owner), bool)
    for t in np.unique(owner):
        own = owner == t
        low, high = blocks.start[inside][own].min(), blocks.stop[inside][own].max()
        later[own] = middle[own] > (low + high) / 2
    return later


def flow_modes(modes: Sequence[Mode], context: Context, found: Findings) -> tuple[Mode, ...]:
    """Modes of a flow with frequency, amplitude, and verdicts that allow for growth.

    Parameters
    ----------
    modes : sequence of Mode
        As described and bounded for any model.
    context : Context
    found : Findings
    """
    told = []
    found = replace(found, halves=_all_or_own(modes, found), double=_double(modes, context))
    for j, mode in enumerate(modes):
        value = mode.eigenvalue
        assert value is not None
        verdict, reason, timescale = _judge(j, mode, value, context, found)
        amplitude = None
        if found.amplitudes is not None:
            amplitude = Quantity(float(found.amplitudes[j]), unit=found.unit)
        told.append(
            replace(
                mode,
                timescale=timescale,
                period=None if found.left_over[j] else mode.period,
                frequency=None if found.left_over[j] else _frequency(mode, value, context),
                growth=None if found.left_over[j] else _growth(mode),
                amplitude=amplitude,
                verdict=verdict,
                reason=reason,
            )
        )
    return tuple(told)


def _all_or_own(
    modes: Sequence[Mode], found: Findings
) -> dict[int, tuple[complex, complex] | None]:
    """A flow whose largest oscillation is a transient has no other modes either: None.

    Columns of an array have no common amplitude: there it is the slowest one.
    """
    sizes = found.amplitudes
    waves = [j for j, m in enumerate(modes) if m.eigenvalue is not None and m.eigenvalue.imag]
    largest = max(waves, key=lambda j: -j if sizes is None else float(sizes[j]), default=None)
    if largest not in found.halves:
        return dict(found.halves)
    return {j: found.halves.get(j) for j in range(len(modes))}


def _growth(mode: Mode) -> Quantity | None:
    """The growth rate, with the interval of the timescale turned over if it has none itself."""
    rate, time = mode.growth, mode.timescale
    if rate is None or rate.low is not None or time is None or not time.low or not time.high:
        return rate
    return replace(rate, low=-1 / time.low, high=-1 / time.high)


def _frequency(mode: Mode, value: complex, context: Context) -> Quantity | None:
    """arg(lambda) / (2 pi tau), with the interval of the period turned over."""
    if not value.imag:
        return None
    unit = f"1/{context.lag.unit}"
    exact = abs(float(np.angle(value))) / (2 * np.pi * context.lag.value)
    period = mode.period
    if period is None or not period.low or not period.high:
        return Quantity(exact, unit=unit)
    return Quantity(exact, 1 / period.high, 1 / period.low, unit)


def _judge(
    j: int, mode: Mode, value: complex, context: Context, found: Findings
) -> tuple[Verdict, str, Quantity | None]:
    """Verdict, reason, and the timescale if it means something; the first objection decides."""
    lag = context.lag
    refused = _no_rate(j, value, found)
    if refused is not None:
        return *refused, None
    growth = float(np.log(abs(value))) / lag.value
    span = context.longest * context.per_frame
    change = growth * span
    steady = undetermined(mode.eigenvalue_low, mode.eigenvalue_high)
    if not value.imag and (sustained(change) or (steady and j in found.constant)):
        return "unresolved", _steady(j, found), None
    # What may not decay at all has no timescale, just as it has no sign of its growth rate.
    own = None if steady else _decay_time(mode)
    if j in found.once or j in found.halves:
        return "unresolved", _passing(j, value, context, found), own
    if value.imag and mode.period is not None and mode.period.value > span:
        return "unresolved", f"period longer than the data ({timed(span, lag.unit, 'g')})", own
    if value.imag and not _has_period(mode):
        return "unresolved", f"period undetermined: {_why_no_period(mode)}", own
    if value.imag and (sustained(change) or steady):
        return "resolved", f"sustained oscillation{_alias(context)}", None
    if steady:
        return "unresolved", f"neither growth nor decay: {_why_no_rate(mode)}", None
    word = "oscillation" if value.imag else "mode"
    if growth > 0:
        return "resolved", f"growing {word}{_alias(context) if value.imag else ''}", None
    timescale = own or _with_rate(Quantity(-1 / growth, unit=lag.unit), mode.growth)
    if timescale.value < lag.value:
        text = f"timescale shorter than the lag ({timed(lag.value, lag.unit, 'g')})"
        return "unresolved", text, timescale
    noisy = ""
    if mode.residual is not None and mode.residual > NOISY and abs(value) < 0.98:
        noisy = f", driven by noise (residual {mode.residual:.2g})"
    alias = _alias(context) if value.imag else ""
    return "resolved", f"decaying {word}{noisy}{alias}", timescale


def _no_rate(j: int, value: complex, found: Findings) -> tuple[Verdict, str] | None:
    """Why an eigenvalue is no rate of the flow, whatever its size."""
    if found.left_over[j] and j not in found.once:
        reason = "left over from a pair of POD modes that the rank cuts in two: no mode of the flow"
        return "invalid", reason
    if abs(value) == 0 or (not value.imag and value.real < 0):
        return "unresolved", "eigenvalue not positive: no timescale"
    if j in found.objections and j not in found.once:
        return "unresolved", found.objections[j]
    return None


def _double(modes: Sequence[Mode], context: Context) -> bool:
    """Whether more than one eigenvalue is 1 within what the data tell."""
    near = SUSTAINED * context.lag.frames / context.longest
    return sum(m.eigenvalue is not None and abs(m.eigenvalue - 1) < near for m in modes) > 1


def _steady(j: int, found: Findings) -> str:
    """The time mean; where that has a companion which drifts, a Jordan block."""
    if found.double and found.once.get(j, "").startswith("a trend"):
        return f"steady part with a linear drift{JORDAN_BLOCK}"
    return f"{STEADY}: its time mean"


def _jordan(why: str, change: float) -> str:
    """What is said of a trend whose eigenvalue is about 1."""
    if not why.startswith("a trend") or abs(change) > JORDAN:
        return ""
    return JORDAN_BLOCK


def _has_period(mode: Mode) -> bool:
    """Whether the data determine the period of an oscillation within a factor :data:`WIDE`."""
    period = mode.period
    if period is None or period.low is None or period.high is None:
        return False
    return 0 < period.high <= WIDE * period.low


def _why_no_rate(mode: Mode) -> str:
    if mode.eigenvalue_low is None:
        return "too few independent blocks for an error of its rate"
    return "its rate may be zero within its error"


def _why_no_period(mode: Mode) -> str:
    period = mode.period
    if period is not None and period.low is not None and period.high is not None:
        return f"anywhere from {period.low:.3g} to {timed(period.high, period.unit, '.3g')}"
    if mode.eigenvalue_low is None:
        return "too few independent blocks for an error of its frequency"
    return "its frequency may be zero within its error"


def _decay_time(mode: Mode) -> Quantity | None:
    """The timescale with an interval: where it has none of its own, that of the growth rate."""
    time = mode.timescale
    return time if time is None else _with_rate(time, mode.growth)


def _with_rate(time: Quantity, growth: Quantity | None) -> Quantity:
    """A decay time with the interval of a growth rate that is surely below 0."""
    if time.low is not None or growth is None:
        return time
    if growth.low is None or growth.high is None or growth.high >= 0:
        return time
    return replace(time, low=-1 / growth.low, high=-1 / growth.high)


def _alias(context: Context) -> str:
    if context.lag.frames == 1:
        return ""
    return "; periods below twice the lag would alias"


def _passing(j: int, value: complex, context: Context, found: Findings) -> str:
    """Why a mode is no mode of a steady flow: held once, or changing along the data."""
    if j in found.once:
        change = float(np.log(abs(value))) / context.lag.frames * context.longest
        return f"{found.once[j]}{_jordan(found.once[j], change)}"
    return _transient(found.halves[j], value, context)


def _transient(halves: tuple[complex, complex] | None, value: complex, context: Context) -> str:
    if halves is None:
        return "the leading oscillation is a transient, so the flow has no modes of its own"
    unit = context.lag.unit
    (a, b), tau = halves, context.lag.value
    growth = f"growth {a.real / tau:.3g} to {b.real / tau:.3g} {per(unit)}"
    if not value.imag:
        return f"changes between the halves of the data ({growth}): a transient"
    turns = [abs(z.imag) / (2 * np.pi * tau) for z in (a, b)]
    return (
        f"changes between the halves of the data (frequency {turns[0]:.4g} to {turns[1]:.4g} "
        f"{per(unit)}, {growth}): a transient"
    )
