"""The modes of a solved model: eigenvalues where they mean something, then verdicts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.certificate import LARGE_RESIDUAL, Certificate, FlowResiduals
from koopman_cli.analysis.consistency import Drift, first_drift
from koopman_cli.analysis.intervals import ModeInterval
from koopman_cli.analysis.spectrum import time_symmetric
from koopman_cli.linalg import keep_pairs
from koopman_cli.models.solve import Solution, solve
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.nouns import timed
from koopman_cli.types import Lag, Mode, Quantity

#: Functions beyond dim that are computed, so that what follows the slow ones can be seen.
EXTRA = 5

#: Share of the variance of a right function within the left ones, below which it is noise.
WITHIN = 0.7

#: Singular values of white noise reach 2 sqrt(m / n) with m functions and n pairs; those above
#: this many times sqrt(m / n) are none of chance, wherever their right functions lie.
CHANCE = 3.0

#: A mode seen to change sides fewer times than this is an anecdote.
FEW_CROSSINGS = 3


def in_own_span(moments: Moments, solution: Solution, count: int) -> Solution:
    """Solve reversibly in the span of the leading ``count`` functions of a solution.

    The result is in the same lifted features, as if they had been solved reversibly.
    """
    span = solution.left[:, :count]
    inner = solve(moments.projected(solution.mean_x, span), "reversible")
    left = span @ inner.left
    mean = (moments.mean_x + moments.mean_y) / 2
    return replace(
        solution,
        left=left,
        right=left,
        mean_x=mean,
        mean_y=mean,
        eigenvalues=inner.eigenvalues,
        singular_values=None,
        rank=inner.rank,
        freedom=inner.rank,
    )


def symmetric_in_time(blocks: BlockMoments, solution: Solution, dim: int) -> bool:
    """Whether xy of a solution's functions is symmetric within its block-to-block error.

    Singular functions of noise are those of which xy is largest by chance, and it is no more
    symmetric than chance: with many features they fail a test whose error knows nothing of the
    choice. Their right functions lie anywhere, those of a process in the span of the left ones
    (of two slow functions among 40 features, 2 to 28% of the variance, and all of it). What is
    no noise by its size, as along an orbit of the cat map, counts wherever it lies.
    """
    wide = min(dim + EXTRA, solution.count)
    left = solution.left[:, :wide]
    if solution.singular_values is not None:
        total = blocks.total()
        told = _variance_within(total, solution, wide) >= WITHIN
        chance = CHANCE * np.sqrt(solution.freedom / total.n)
        told |= solution.singular_values[:wide] > chance
        told[:2] = True
        left = left[:, told]
    return time_symmetric(blocks.projected(solution.mean_x, left))


def _variance_within(total: Moments, solution: Solution, wide: int) -> NDArray[np.float64]:
    """Share of the variance of each of the first right functions in the span of the left ones."""
    both = np.concatenate([solution.left[:, :wide], solution.right[:, :wide]], axis=1)
    c = total.projected(solution.mean_x, both).covariances().c00
    share = c[:wide, wide:] ** 2 / np.outer(np.diag(c)[:wide], np.diag(c)[wide:])
    found: NDArray[np.float64] = share.sum(axis=0)
    return found


def reversible_values(
    blocks: BlockMoments, solution: Solution, dim: int
) -> NDArray[np.complex128] | None:
    """Eigenvalues of an svd model, re-solved reversibly in its own span.

    Only where xy is symmetric within its block-to-block error; otherwise None, and the
    singular values are coherences without timescales.

    Parameters
    ----------
    blocks : BlockMoments
        Of the lifted features, merged to independent blocks.
    solution : Solution
        From the svd solver.
    dim : int
        Number of functions of the model.
    """
    if not symmetric_in_time(blocks, solution, dim):
        return None
    return in_own_span(blocks.total(), solution, dim).eigenvalues


def wide_count(solution: Solution, dim: int) -> int:
    """Functions that are looked at: dim and five more, as far as there are any."""
    count = min(dim + EXTRA, solution.count)
    return min(keep_pairs(solution.eigenvalues, count), solution.count)


# ------------------------------------------------------------------ what is known of each


def with_interval(mode: Mode, interval: ModeInterval, lag: Lag) -> Mode:
    """The mode with 95% intervals of eigenvalue, timescale, period and growth."""
    low, high = interval.eigenvalue or (None, None)
    if low is not None and high is not None and mode.eigenvalue is not None:
        low, high = max(low, -1.0), min(high, 1.0) if abs(mode.eigenvalue) < 1 else high
    return replace(
        mode,
        eigenvalue_low=low,
        eigenvalue_high=high,
        timescale=_bounded(mode.timescale, interval.timescale, lag.value),
        period=_bounded(mode.period, interval.period, lag.value),
        growth=_growth(mode.growth, interval.eigenvalue, lag),
    )


def _bounded(q: Quantity | None, pair: tuple[float, float] | None, unit: float) -> Quantity | None:
    if q is None or pair is None:
        return q
    return replace(q, low=pair[0] * unit, high=pair[1] * unit)


def _growth(q: Quantity | None, pair: tuple[float, float] | None, lag: Lag) -> Quantity | None:
    if q is None or pair is None or pair[0] <= 0:
        return q
    low, high = (float(np.log(size)) / lag.value for size in pair)
    return replace(q, low=low, high=high)


def with_certificates(modes: Sequence[Mode], found: Sequence[Certificate]) -> tuple[Mode, ...]:
    """Modes with intervals of a true eigenvalue, or invalid where r2 contradicts reversibility.

    One contradiction refutes what every mode of a reversible model assumes.
    """
    refuted = next((i for i, c in enumerate(found) if c.invalid), None)
    told = []
    for mode, own in zip(modes, found, strict=False):
        if own.invalid:
            told.append(_invalid(mode, _contradiction(own)))
        elif refuted is not None:
            told.append(_invalid(mode, f"mode {refuted + 1} contradicts reversibility"))
        else:
            told.append(_certified(mode, own))
    return tuple(told)


def _contradiction(found: Certificate) -> str:
    return (
        f"contradicts reversibility: r2 = {found.r2:.3g} ± {found.r2_error:.1g} is below zero "
        "(the timescale of this function falls with the lag)"
    )


def _invalid(mode: Mode, reason: str) -> Mode:
    return replace(mode, timescale=None, period=None, verdict="invalid", reason=reason)


def _certified(mode: Mode, found: Certificate) -> Mode:
    kind, interval = found.certified
    certificate = {**_ends(interval), "kind": kind}
    certificate["guaranteed"] = _ends(found.guaranteed)
    residual = float(np.sqrt(max(found.r2, 0.0)))
    return replace(mode, residual=residual, certificate=certificate)


def _ends(interval: tuple[float, float]) -> dict[str, Any]:
    """No reversible process has an eigenvalue beyond 1 or -1."""
    low, high = np.clip(interval, -1.0, 1.0).tolist()
    return {"low": low, "high": high}


def with_residuals(modes: Sequence[Mode], found: FlowResiduals) -> tuple[Mode, ...]:
    """Modes of a flow with their residuals; a large one means that there is no such eigenpair.

    On invariant data the residual is sqrt(1 - |lambda|^2) whatever the function is, and decides
    nothing.
    """
    told = []
    for mode, value in zip(modes, found.values, strict=False):
        mode = replace(mode, residual=float(value))
        if not found.invariant and value > LARGE_RESIDUAL and mode.verdict == "resolved":
            reason = f"residual {value:.3g} too large: no eigenpair of a deterministic flow"
            mode = replace(mode, verdict="unresolved", reason=reason)
        told.append(mode)
    return tuple(told)


def with_condition(mode: Mode, *, ill: bool) -> Mode:
    """The mode without timescale where noise in the moments can have made its eigenvalue."""
    if not ill or mode.verdict != "resolved":
        return mode
    reason = "ill-conditioned: noise in the moments can make an eigenvalue of this size"
    return replace(mode, verdict="unresolved", reason=reason, timescale=None, period=None)


def with_drifts(modes: Sequence[Mode], found: Sequence[Drift | None], lag: Lag) -> tuple[Mode, ...]:
    """Modes without a time from the slowest on that does not decay as its eigenvalue says.

    Where a slow function breaks with its eigenvalue the functions are not closed under the
    dynamics, and nothing faster that they show can be trusted.
    """
    fails = first_drift(found)
    if fails is None:
        return tuple(modes)
    told = list(modes[:fails])
    for i, mode in enumerate(modes[fails:], fails):
        own = found[i]
        reason = f"mode {fails + 1}, which is slower, does not decay as its eigenvalue says"
        if own is not None:
            time = f"{timed(own.lag / lag.frames * lag.value, lag.unit, 'g')}"
            reason = (
                f"does not decay as its eigenvalue says: at lag {time} its correlation is "
                f"{abs(own.found - own.predicted):.2g} from λ^{own.lag // lag.frames} "
                f"({own.errors:.0f} errors)"
            )
        reason = reason if mode.verdict == "resolved" else mode.reason
        told.append(replace(mode, timescale=None, period=None, verdict="unresolved", reason=reason))
    return tuple(told)


INVARIANT_NOTE = (
    "the data are invariant in time, so the residual of every eigenpair is sqrt(1 - |λ|²) and "
    "proves nothing"
)


def with_crossings(
    modes: Sequence[Mode], counts: NDArray[np.int64], noise: Collection[int] = ()
) -> tuple[Mode, ...]:
    """Modes that changed sides less than three times unresolved, without a timescale if never;
    those (from 0) that are fitted ``noise`` stay as they are.
    """
    pairs = zip(modes, counts.tolist(), strict=False)
    return tuple(m if i in noise else _crossed(m, c) for i, (m, c) in enumerate(pairs))


def _crossed(mode: Mode, count: int) -> Mode:
    if count >= FEW_CROSSINGS or mode.verdict == "invalid" or mode.eigenvalue is None:
        return mode
    if mode.eigenvalue.imag or mode.eigenvalue.real <= 0:
        return mode
    if count == 0:
        reason = "never crossed: no trajectory goes from one side of this mode to the other"
        return replace(mode, verdict="unresolved", reason=reason, timescale=None)
    times = "one crossing" if count == 1 else f"{count} crossings"
    reason = f"seen in {times} only: its timescale is an anecdote"
    return replace(mode, verdict="unresolved", reason=reason)


def with_objections(
    modes: Sequence[Mode], reasons: Mapping[int, str], *, overrule: bool = False
) -> tuple[Mode, ...]:
    """Modes (from 0) with a reason against them unresolved, without a timescale.

    Those that are unresolved already keep their reason, unless it is overruled.
    """
    over = ("resolved", "unresolved") if overrule else ("resolved",)
    return tuple(
        replace(mode, verdict="unresolved", reason=reasons[i], timescale=None)
        if i in reasons and mode.verdict in over
        else mode
        for i, mode in enumerate(modes)
    )


def with_reservations(modes: Sequence[Mode], told: Mapping[int, str]) -> tuple[Mode, ...]:
    """Modes (from 0) that keep their timescale and verdict, with what is to be known of both.

    >>> mode = Mode(1, 0.9 + 0j, timescale=Quantity(9.5), verdict="resolved", reason="slow")
    >>> with_reservations([mode], {0: "at least this long"})[0].reason
    'slow; at least this long'
    """
    return tuple(
        replace(mode, reason=f"{mode.reason}; {told[i]}")
        if i in told and mode.verdict == "resolved" and mode.timescale is not None
        else mode
        for i, mode in enumerate(modes)
    )


def degenerate(modes: Sequence[Mode], intervals: Sequence[ModeInterval]) -> tuple[str, ...]:
    """Which resolved modes cannot be told apart; only the space they span is determined."""
    told = []
    for group in dict.fromkeys(interval.group for interval in intervals[: len(modes)]):
        members = [i for i in group if i < len(modes) and modes[i].verdict == "resolved"]
        real = all(not (modes[i].eigenvalue or 0j).imag for i in members)
        if len(members) > 1 and real:
            named = _enumerated([i + 1 for i in members])
            told.append(
                f"modes {named} are degenerate within their errors: only the space they span is "
                "determined"
            )
    return tuple(told)


def _enumerated(numbers: list[int]) -> str:
    """Rising numbers in words; three and more in a row as their ends.

    >>> _enumerated([1, 2]), _enumerated([1, 3, 4]), _enumerated([1, 2, 3, 4])
    ('1 and 2', '1, 3 and 4', '1 to 4')
    """
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
