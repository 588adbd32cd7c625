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

from koopman_cli.analysis.uncertainty import TIMESCALES_PER_BLOCK, student

Matrix = NDArray[np.float64]

#: Modes whose constancy decides.
WATCHED = 2

#: Changes of a timescale below this share are of no consequence, however sure they are.
NEGLIGIBLE = 0.02

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
    """

    lag: int
    times: Matrix
    influence: Matrix
    share: float
    frames: int
    reliable: bool


def first_constant(estimates: Sequence[LagEstimate]) -> tuple[int | None, str]:
    r"""The first lag from which the leading timescales are constant within their intervals.

    The timescale t at a lag is compared with those t' at all longer lags up to its own length,
    and at least up to twice the lag; beyond, little of the mode is left. It has changed where

        \|ln t' - ln t\| > q e   and   > 0.02

    with e the error of the difference from blocks of three timescales, and q Student's
    two-sided quantile of 95% for as many comparisons as the lag doubles on the way
    (Bonferroni: neighbouring lags say the same). A second timescale at or below the lag is not
    asked to be constant.

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
    for i, found in enumerate(estimates):
        if estimates[-1].lag < 2 * found.lag:
            break
        if not found.times[0] > found.lag:
            continue
        judged = True
        watched = [m for m in range(min(WATCHED, len(found.times))) if found.times[m] > found.lag]
        if all(_stays(estimates, i, m) for m in watched):
            return i, (
                "the first lag from which the leading timescales change by no more than the "
                "error of the change"
            )
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


def _changed(here: LagEstimate, there: LagEstimate, m: int, comparisons: float) -> bool:
    """Whether ln t of mode m differs between two lags by more than its error."""
    gap = float(np.log(there.times[m] / here.times[m]))
    moves = _grouped(there.influence[:, m] - here.influence[:, m], here, there, m)
    count = len(moves)
    if count < 2 or not np.isfinite(gap):
        return True
    error = np.sqrt(np.sum(moves**2) * count / (count - 1) / min(here.share, there.share))
    level = 1 - 0.05 / comparisons
    return abs(gap) > NEGLIGIBLE and not abs(gap) <= student(count, level) * error


def _grouped(moves: Matrix, here: LagEstimate, there: LagEstimate, m: int) -> Matrix:
    """Influences of groups of neighbouring blocks, at least three timescales and lags long."""
    need = TIMESCALES_PER_BLOCK * max(here.times[m], there.lag)
    fitting = int(here.frames // need)
    count = min(len(moves), max(fitting, FEWEST_GROUPS))
    return np.array([part.sum() for part in np.array_split(moves, count)])
