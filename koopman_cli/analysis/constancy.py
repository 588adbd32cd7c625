"""From which lag on implied timescales are constant: paired differences between lags.

Timescales of neighbouring lags come from the same frames and rise and fall together, so their
bands overlap whatever the timescale does. What tells is the error of their difference,
from the influence of every block on both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.uncertainty import MIN_BLOCKS, TIMESCALES_PER_BLOCK, student
from koopman_cli.nouns import counted, timed

Matrix = NDArray[np.float64]

#: Modes whose constancy decides.
WATCHED = 2

#: Changes of a timescale below this share are of no consequence, however sure they are.
NEGLIGIBLE = 0.02

#: A rise of a timescale that the error of its change may hide is said if it is above this share.
MATTERS = 0.25

#: A timescale at a lag beyond its reach is longer if it is so by this factor.
RISE = 1.25

#: Groups of blocks that an error is estimated from, at least, if there are as many blocks.
FEWEST_GROUPS = 20


@dataclass(frozen=True)
class LagEstimate:
    """Timescales at one lag and what every block contributes to them.

    times : (modes,) in frames, slowest first; NaN where undefined
    influence : (blocks, modes) on ln t; NaN where undefined
    share : part of the pairs that is in blocks; the others are between them
    frames : of all blocks
    reliable : whether blocks are many and long enough for an error
    rank : functions among which the slowest was sought
    """

    lag: int
    times: Matrix
    influence: Matrix
    share: float
    frames: int
    reliable: bool
    rank: int = 1


def first_constant(estimates: Sequence[LagEstimate]) -> tuple[int | None, str]:
    r"""The first lag from which the leading timescales are constant within their intervals.

    The timescale t at a lag is compared with those t' at all longer lags up to its own length,
    and at least up to twice the lag; beyond, little of the mode is left. It has changed where

        \|ln t' - ln t\| > q e   and   > 0.02

    with e the error of the difference from blocks of three timescales, and q Student's
    two-sided quantile of 95% for as many comparisons as the lag doubles on the way
    (Bonferroni: neighbouring lags say the same). A second timescale at or below the lag is not
    asked to be constant.

    At still longer lags :math:`\tau'` with reliable errors a process that is slower, and that
    the functions hold weakly, shows by what is left when the leading one is gone:

        lambda' - exp(-tau' / t) > q (1 + sqrt(2 (r - 1))) e'   and   t' > 1.25 t

    with e' the error of the left side and r the rank: the largest of many eigenvalues of noise
    is about sqrt(2 r) times the error of one (radius of the semicircle law). Where it shows, t
    is not constant.

    Parameters
    ----------
    estimates : sequence of LagEstimate
        By increasing lag, of the same blocks.

    Returns
    -------
    index or None, reason

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> common = 0.02 * rng.standard_normal((40, 1))
    >>> found = [
    ...     LagEstimate(lag, np.array([t]), common + 1e-3 * rng.standard_normal((40, 1)),
    ...                 1.0, 4000, True)
    ...     for lag, t in [(1, 5.0), (2, 9.0), (4, 9.5), (8, 9.6)]
    ... ]
    >>> first_constant(found)[0]
    2
    """
    judged = False
    refused: list[str] = []
    for i, found in enumerate(estimates):
        if estimates[-1].lag < 2 * found.lag:
            break
        if not found.times[0] > found.lag:
            continue
        judged = True
        watched = [m for m in range(min(WATCHED, len(found.times))) if found.times[m] > found.lag]
        if not all(_stays(estimates, i, m) for m in watched):
            continue
        objection = _unsupported(found) or _slower(estimates, i)
        if not objection:
            return i, (
                "the first lag from which the leading timescales change by no more than the "
                "error of the change" + _hidden(estimates, i)
            )
        refused.append(objection)
    if refused:
        return None, refused[0]
    if len(estimates) == 1:
        return None, "not known: one lag does not show whether timescales are constant"
    if not judged:
        return None, "not converged: no timescale above a lag whose double is in the scan"
    return None, (
        "not converged: at every lag the leading timescales change at longer lags by more than "
        "the error of the change"
    )


def _stays(estimates: Sequence[LagEstimate], i: int, m: int) -> bool:
    """Whether mode m has at later lags the timescale that it has at lag i."""
    here = estimates[i]
    reach = max(2 * here.lag, here.times[m])
    later = [e for e in estimates[i + 1 :] if e.lag <= reach]
    # An interval that is not reliable decides nothing where others are.
    later = [e for e in later if e.reliable or not here.reliable or e.lag <= 2 * here.lag]
    if not later:
        return False
    doublings = 1 + np.log2(later[-1].lag / here.lag)
    return not any(_changed(here, e, m, float(doublings)) for e in later)


def _hidden(estimates: Sequence[LagEstimate], i: int) -> str:
    """By how much the leading timescale may still rise, where that is no small matter (95%).

    That a change is within its error is no proof of constancy where the error is large.
    """
    here = estimates[i]
    reach = max(2 * here.lag, here.times[0])
    last = [e for e in estimates[i + 1 :] if e.lag <= reach and np.isfinite(e.times[0])][-1]
    need = TIMESCALES_PER_BLOCK * max(here.times[0], last.lag)
    error, count = _error((here, -here.influence[:, 0]), (last, last.influence[:, 0]), need)
    gap = float(np.log(last.times[0] / here.times[0]))
    rise = float(np.exp(min(gap + student(count, 0.95) * error, 5.0))) - 1
    if not rise > MATTERS:
        return ""
    return f"; a rise of the first by up to {rise:.0%} at lag {last.lag} would not be told from it"


def _changed(here: LagEstimate, there: LagEstimate, m: int, comparisons: float) -> bool:
    """Whether ln t of mode m differs between two lags by more than its error."""
    gap = float(np.log(there.times[m] / here.times[m]))
    need = TIMESCALES_PER_BLOCK * max(here.times[m], there.lag)
    error, count = _error((here, -here.influence[:, m]), (there, there.influence[:, m]), need)
    if count < 2 or not np.isfinite(gap):
        return True
    level = 1 - 0.05 / comparisons
    return abs(gap) > NEGLIGIBLE and not abs(gap) <= student(count, level) * error


def _unsupported(here: LagEstimate) -> str | None:
    """What to say of a constancy that no error bar stands for."""
    if here.reliable:
        return None
    return (
        f"not known: the data hold the slowest timescale at lag {here.lag} only "
        f"{here.frames / here.times[0]:.2g} times, too few for an error of its change "
        f"({counted(MIN_BLOCKS, 'block')} of three are needed)"
    )


def _slower(estimates: Sequence[LagEstimate], i: int) -> str | None:
    """What to say where the leading timescale, constant from lag i on, rises far beyond."""
    here = estimates[i]
    reach = max(2 * here.lag, here.times[0])
    beyond = [e for e in estimates[i + 1 :] if e.lag > reach and e.reliable]
    risen = [e for e in beyond if _outlasts(here, e, len(beyond))]
    if not risen:
        return None
    until = here.lag
    for e in estimates[i + 1 :]:
        if _changed(here, e, 0, len(beyond)):
            break
        until = e.lag
    top = max(risen, key=lambda e: float(e.times[0]))
    return (
        f"not converged: constant from lag {here.lag} to {counted(until, 'frame')} "
        f"({timed(here.times[0], 'frames', '.3g')}), but at longer lags the timescale rises, to "
        f"{timed(top.times[0], 'frames', '.3g')} at lag {top.lag}: the features carry a slower "
        "process weakly"
    )


def _outlasts(here: LagEstimate, there: LagEstimate, comparisons: int) -> bool:
    """Whether more is left at a long lag than the timescale of a shorter one leaves."""
    t, late, lag = float(here.times[0]), float(there.times[0]), there.lag
    if not late > RISE * t:
        return False
    left, expected = np.exp(-lag / late), np.exp(-lag / t)
    # d lambda = lambda (lag / t) d ln t
    moved = left * lag / late * there.influence[:, 0]
    implied = expected * lag / t * here.influence[:, 0]
    need = TIMESCALES_PER_BLOCK * max(late, lag)
    error, count = _error((here, -implied), (there, moved), need)
    if count < 2:
        return False
    bound = student(count, 1 - 0.05 / comparisons) * (1 + np.sqrt(2 * (there.rank - 1)))
    return bool(left - expected > bound * error)


def _error(
    first: tuple[LagEstimate, Matrix], second: tuple[LagEstimate, Matrix], need: float
) -> tuple[float, int]:
    """Error of a sum of two estimates from what blocks contribute to each, and groups of blocks.

    On the same blocks the contributions are added first; on others nothing is known of what
    the two have in common, and they count as independent.
    """
    (here, a), (there, b) = first, second
    if len(a) == len(b):
        return _spread(a + b, min(here.share, there.share), need, here.frames)
    alone = [_spread(moves, e.share, need, e.frames) for e, moves in (first, second)]
    return float(np.hypot(alone[0][0], alone[1][0])), min(alone[0][1], alone[1][1])


def _spread(moves: Matrix, share: float, need: float, frames: int) -> tuple[float, int]:
    """Root of the sum of squares of groups of neighbouring blocks of ``need`` frames at least."""
    count = min(len(moves), max(int(frames // need), FEWEST_GROUPS))
    if count < 2:
        return np.nan, count
    groups = np.array([part.sum() for part in np.array_split(moves, count)])
    return float(np.sqrt(np.sum(groups**2) * count / (count - 1) / share)), count
