"""Implied timescales against lag, and the choice of a lag from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from koopman_cli.types import LagScan

#: Relative change of a timescale at twice the lag that counts as constant.
TOLERANCE = 0.1

#: Correlations below so many times their noise tell no timescale.
ABOVE_NOISE = 4.0

#: The largest of many eigenvalues of noise, in errors of one (semicircle law).
RADIUS = 2.0

#: Growth of a timescale at twice the lag below which it comes to an end. What has no timescale, a
#: correlation that stays as it is, grows at the rate of the lag, twofold.
ENDING = 2 ** (2 / 3)


def lag_grid(longest: int, *, fine: bool = True) -> tuple[int, ...]:
    """Lags 1, 2, 3, 4, 6, 8, 12, ... up to a fiftieth of the longest trajectory.

    With every lag below the last two its double is there too, so that constancy can be judged.

    >>> lag_grid(600)
    (1, 2, 3, 4, 6, 8, 12)
    >>> lag_grid(40)
    (1,)
    """
    limit = max(1, longest // 50)
    steps = {2**k for k in range(40)} | ({3 * 2**k for k in range(40)} if fine else set())
    return tuple(sorted(lag for lag in steps if lag <= limit))


#: Lags of a fiftieth of a run below which a grid is too short to show anything.
FEW_LAGS = 4


def member_grid(longest: int, frames: int) -> tuple[int, ...]:
    """The grid of :func:`lag_grid`; of many short runs up to half of one, in which two lags fit.

    longest, frames : of the longest run, and of all together, of which a fiftieth is the limit

    >>> member_grid(11, 22_000), member_grid(600, 6000) == lag_grid(600), member_grid(60, 60)
    ((1, 2, 3, 4), True, (1,))
    """
    if longest // 50 >= FEW_LAGS:
        return lag_grid(longest)
    limit = min((longest - 1) // 2, frames // 50)
    return lag_grid(50 * max(limit, longest // 50))


def beyond(window: int, lags: Sequence[int]) -> tuple[int, ...]:
    """The lags above a delay window; the longest alone where none is.

    >>> beyond(9, [1, 8, 12, 16]), beyond(9, [1, 2])
    ((12, 16), (2,))
    """
    return tuple(lag for lag in lags if lag > window) or (max(lags),)


def implied_timescales(eigenvalues: NDArray[np.complex128], lag: float) -> NDArray[np.float64]:
    """Timescales t = -lag / ln|lambda|, NaN where undefined.

    Undefined are real eigenvalues at or below 0 and any |lambda| of 0 or at least 1.

    >>> np.round(implied_timescales(np.array([np.exp(-0.1), -0.5, 1.2]), 1.0), 6).tolist()
    [10.0, nan, nan]
    """
    values = np.asarray(eigenvalues, np.complex128)
    size = np.abs(values)
    real = np.abs(values.imag) == 0
    defined = (size > 0) & (size < 1) & ~(real & (values.real <= 0))
    times = np.full(len(values), np.nan)
    times[defined] = -lag / np.log(size[defined])
    return times


def choose_lag(
    lags: Sequence[int], timescales: NDArray[np.float64], noise: float | None = None
) -> LagScan:
    """The first lag whose leading two timescales stay within 10% at twice the lag.

    Parameters
    ----------
    lags : increasing frames
    timescales : (n_lags, k) in frames, NaN where undefined
    noise : float, optional
        Functions per pair: with blocks of one timescale t for independent ones, the largest
        eigenvalue of noise is :data:`RADIUS` sqrt(noise t).

    Returns
    -------
    LagScan
        A second timescale at or below the lag is not asked to be constant: the lag has outlived
        it. Where no lag qualifies, marked as not converged: the longest lag that resolves the
        slowest timescale, which exceeds it, is above noise and rises there, since half the lag,
        by less than :data:`ENDING`; without ``noise``, or where no lag does, the shortest with a
        timescale above it.

    Examples
    --------
    >>> times = np.array([[5.0, 1.0], [9.0, 1.0], [9.5, 1.0], [9.6, 1.0]])
    >>> choose_lag([1, 2, 4, 8], times).chosen
    2
    """
    at = {lag: i for i, lag in enumerate(lags)}
    for lag in lags:
        if 2 * lag in at and _constant(timescales[at[lag]], timescales[at[2 * lag]], lag):
            reason = (
                f"shortest lag from which the leading timescales stay within "
                f"{TOLERANCE:.0%} at twice the lag"
            )
            return LagScan(tuple(lags), timescales, lag, converged=True, reason=reason)
    resolved = [lag for lag in lags if noise and _ends(timescales[:, 0], at, lag, noise)]
    with np.errstate(invalid="ignore"):
        above = [lag for lag in lags if timescales[at[lag], 0] > lag]
    if resolved:
        chosen, what = resolved[-1], "this is the longest lag that resolves the slowest timescale"
    elif above:
        chosen, what = above[0], "this is the shortest lag with a timescale above it"
    else:
        chosen, what = lags[0], "no lag has a timescale above it"
    reason = (
        "not converged: at no lag up to a fiftieth of the data do the leading timescales stay "
        f"within 10% at twice the lag; {what}"
    )
    return LagScan(tuple(lags), timescales, chosen, converged=False, reason=reason)


def _ends(times: NDArray[np.float64], at: Mapping[int, int], lag: int, noise: float) -> bool:
    """Whether a lag resolves a timescale that has nearly come to the end of its rise."""
    here, half = float(times[at[lag]]), lag // 2
    if lag % 2 or half not in at or not here > lag:
        return False
    if not np.exp(-lag / here) > RADIUS * np.sqrt(noise * here):
        return False
    return bool(1 - TOLERANCE <= here / times[at[half]] <= ENDING)


def _constant(here: NDArray[np.float64], there: NDArray[np.float64], lag: int) -> bool:
    if not here[0] > lag:
        return False
    watched = [i for i in range(min(2, len(here))) if here[i] > lag]
    change = np.abs(there[watched] / here[watched] - 1)
    return bool(np.all(change <= TOLERANCE))


def rises_on(scan: LagScan, high: float, pairs: int, rank: int) -> tuple[int, float] | None:
    r"""The longest lag that still tells, if the leading timescale there is above the one taken.

    A slow rise passes the rule of a tenth per doubling at every lag far below the timescale:
    1 and 2 frames differ by one frame's rise only. So the end of the scan is looked at as well.
    A lag tells where the correlation c = exp(-s/t) is far above its noise, sqrt(rank t / pairs),
    and ln t rises by more than two of its errors, sqrt((t (1 - c^2) - 2 s c^2) / pairs) t / (c s)
    (Bartlett, of an exponential decay), by more than a fifth, and above ``high``, there and at the
    lag before.

    Parameters
    ----------
    scan : LagScan
    high : float
        Upper end of the interval of the leading timescale at the lag taken, in frames.
    pairs, rank : int
        Of the fit.

    Returns
    -------
    (lag, timescale) or None
        In frames.

    Examples
    --------
    >>> times = np.array([[211.0], [218.0], [254.0], [350.0], [461.0]])
    >>> scan = LagScan((1, 2, 8, 24, 48), times, 1, converged=True, reason="")
    >>> rises_on(scan, 220.0, 60_000, 1)
    (48, 461.0)
    """
    first = scan.lags.index(scan.chosen)
    here = float(scan.timescales[first, 0])
    later = [
        (lag, float(t))
        for lag, t in zip(scan.lags[first + 1 :], scan.timescales[first + 1 :, 0], strict=True)
        if np.isfinite(t) and np.exp(-lag / t) > ABOVE_NOISE * np.sqrt(rank * t / pairs)
    ]
    if len(later) < 2 or not here > 0:
        return None
    (lag, t), before = later[-1], later[-2][1]
    c = np.exp(-lag / t)
    error = np.sqrt((t * (1 - c**2) - 2 * lag * c**2) / pairs) / (c * lag / t)
    least = max(here * (1 + 2 * TOLERANCE), high * float(np.exp(2 * error)))
    return (lag, t) if t > least and before > max(here * (1 + TOLERANCE), high) else None
