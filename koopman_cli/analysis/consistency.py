"""Whether an eigenfunction decays as its eigenvalue says at multiples of the lag.

The residual of an eigenpair proves nothing on stationary data, and r2 asks for reversible
ones. What is left for modes of the eig solver is the Chapman-Kolmogorov test of each: for a
true eigenfunction c(k tau) = <g, K_k g> / <g, g> equals lambda^k, whatever the measure is.
Source: Prinz et al., J. Chem. Phys. 134, 174105 (2011).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.certificate import Certificate
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import timed
from koopman_cli.types import Lag

Matrix = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Errors, and share of |lambda|^k, beyond which c(k tau) and lambda^k differ.
ERRORS = 4.0
SHARE = 0.1

#: Errors by which the decay must depend on the lag, the factor by which its time must grow without
#: noise, and how unlike the steps from one to two and from two to four lags may be.
SHRINK_ERRORS = 3.0
GROWS = 1.15
UNLIKE = 2.5

#: Factor by which a mode decays more slowly after the lag than within it that is too much.
RISING = 3.0

#: How the reservation begins that a timescale is a lower bound.
AT_LEAST = "at least this long"

#: Fewer blocks give no error.
MIN_BLOCKS = 5

#: Multiples of the lag that are looked at, at most: 2, 4, 8, ...
MAX_MULTIPLES = 6


@dataclass(frozen=True)
class Drift:
    """A function that does not decay as its eigenvalue says.

    lag : frames at which it was looked at
    found, predicted : c(k tau) and c(tau)^k
    errors : their distance in standard errors
    """

    lag: int
    found: complex
    predicted: complex
    errors: float


@dataclass(frozen=True)
class Turn:
    """A real function that turns over, although its eigenvalue says that it decays.

    lag : frames after which it was looked at
    found, predicted : c(k tau) and lambda^k
    """

    lag: int
    found: float
    predicted: float


@dataclass(frozen=True)
class Shrinkage:
    """A decay that noise in the frames makes faster at short lags.

    times : decay times in frames at one, two and four lags
    without : about what it is without noise; infinite if there is no decay
    """

    times: tuple[float, float, float]
    without: float


def doubled_lags(lag: int, slowest: float, longest: int, block: float) -> list[int]:
    """The lag and 2, 4, 8 ... times it, up to twice the slowest timescale and half a block.

    Parameters
    ----------
    lag : int
    slowest, block : float
        Timescale and typical length of a block, in frames.
    longest : int
        Frames of the longest stretch.

    Examples
    --------
    >>> doubled_lags(5, 30.0, 10_000, 500.0)
    [5, 10, 20, 40]
    """
    most = min(2 * slowest, longest / 2, block / 2)
    further = [lag * 2**i for i in range(1, MAX_MULTIPLES + 1)]
    return [lag, *(s for s in further if s <= most or s == 2 * lag < longest)]


def drifts(moments: BlockMoments, solution: Solution, count: int) -> tuple[Drift | None, ...]:
    """For each leading function of an eig solution, where it breaks with its eigenvalue.

    None where it does not: where c(k tau) and c(tau)^k differ by less than four errors (shared
    by all that is compared) or a tenth of |c(tau)|^k, and where the function does not outlive
    the lag.

    Parameters
    ----------
    moments : BlockMoments
        Of the leading functions, at the lag and multiples of it, merged to independent blocks.
    solution : Solution
        Of the eig solver.
    count : int
        Functions, a complex pair not split.
    """
    assert solution.eigenvalues is not None
    values = solution.eigenvalues[:count]
    steps = np.array(moments.lags) // moments.lags[0]
    if len(steps) < 2 or moments.n_blocks < MIN_BLOCKS:
        return (None,) * count
    own, cross = _own_and_cross(moments, solution, values)
    outlive = np.abs(values) > np.exp(-1.0)
    limit = _limit(moments.n_blocks, max(1, int(outlive.sum())) * (len(steps) - 1))
    found = [
        _worst(own[..., j], cross[..., j], steps, limit) if outlive[j] else None
        for j in range(count)
    ]
    return tuple(None if f is None else Drift(moments.lags[f[0]], f[1], f[2], f[3]) for f in found)


def still_rising(found: Sequence[Certificate], lag: Lag) -> dict[int, str]:
    """Reversible modes (from 0) that decay far more slowly after the lag than within it, and why.

    From one to two lags the held-out function decays as c(2 tau) / c(tau). Where that is slower by
    more than a factor :data:`RISING`, beyond three errors, most of the decay within the lag is
    that of fast parts of the function (noise on a slow coordinate), and t is no timescale.

    Examples
    --------
    >>> mixed = Certificate(0.5, 0.01, 0.49 - 0.25, 0.01)
    >>> still_rising([mixed], Lag(1, 1.0, "ns"))[0][:58]
    'a timescale of this lag alone: from one to two lags it dec'
    """
    told = {}
    for i, one in enumerate(found):
        if not 0 < one.value < 1 or one.r2 <= SHRINK_ERRORS * one.r2_error:
            continue
        ratio = (one.r2 + one.value**2) / one.value
        here = -lag.value / float(np.log(one.value))
        after = -lag.value / float(np.log(ratio)) if ratio < 1 else np.inf
        if after > RISING * here:
            length = f"within {timed(after, lag.unit, '.3g')}" if after < np.inf else "not at all"
            told[i] = (
                f"a timescale of this lag alone: from one to two lags it decays {length}, not "
                f"within {here:.3g} (take a longer lag)"
            )
    return told


def rising(found: Sequence[Certificate], lag: Lag) -> dict[int, str]:
    """Reversible modes (from 0) whose timescale is longer at twice the lag, and how much.

    The factor must be above :data:`GROWS`, beyond three errors of r2: then the timescale is a
    lower bound of what a longer lag or richer functions would give.

    Examples
    --------
    >>> rising([Certificate(0.4, 0.01, 0.28 - 0.16, 0.01)], Lag(48, 48.0, "frames"))
    {0: 'at least this long: 52.4 frames at this lag, 75.4 at twice the lag, held out'}
    """
    told = {}
    for i, one in enumerate(found):
        double = one.r2 + one.value**2
        if not (0 < one.value < 1 and 0 < double < 1) or one.r2 <= SHRINK_ERRORS * one.r2_error:
            continue
        here, there = (-k * lag.value / float(np.log(c)) for k, c in ((1, one.value), (2, double)))
        if there > GROWS * here:
            told[i] = (
                f"{AT_LEAST}: {timed(here, lag.unit, '.3g')} at this lag, {there:.3g} at twice the "
                "lag, held out"
            )
    return told


def turning(moments: BlockMoments, solution: Solution, count: int) -> tuple[Turn | None, ...]:
    """For each leading function of an eig solution with a real eigenvalue, whether it turns over.

    One pattern of an oscillation without the other is a function with c(k tau) = cos(w k tau),
    whose eigenvalue cos(w tau) is no rate of decay: at some multiple of the lag c falls below
    lambda^k, beyond four errors (shared by all that is compared) and by a tenth of |lambda|^k,
    to below 0 or below lambda^2k. What decays in several ways falls behind lambda^k nowhere.
    Here c is about the mean, which a flow that is not centred has in its functions too.

    Parameters
    ----------
    moments : BlockMoments
        Of the leading functions, at the lag and multiples of it, merged to independent blocks.
    solution : Solution
        Of the eig solver.
    count : int
        Functions, a complex pair not split.
    """
    assert solution.eigenvalues is not None
    values = solution.eigenvalues[:count]
    found: list[Turn | None] = [None] * count
    real = [j for j in range(count) if values[j].imag == 0 and values[j].real > np.exp(-1.0)]
    steps = np.array(moments.lags) // moments.lags[0]
    if not real or len(steps) < 2 or moments.n_blocks < MIN_BLOCKS:
        return tuple(found)
    own, cross = _about_means(moments, solution, values)
    limit = _limit(moments.n_blocks, len(real) * (len(steps) - 1))
    for j in real:
        total = own[..., j].sum(axis=1)
        if np.any(total <= 0):
            continue
        c, predicted, error = _against_powers(own[..., j], cross[..., j], steps)
        short = predicted.real - c.real
        low = (c.real < 0) | (c.real < predicted.real**2)
        sure = low & (short > limit * error) & (short > SHARE * np.abs(predicted))
        if sure[1:].any():
            i = 1 + int(np.argmax(np.where(sure[1:], short[1:], -np.inf)))
            found[j] = Turn(moments.lags[i], float(c[i].real), float(predicted[i].real))
    return tuple(found)


def shrunk(moments: BlockMoments, solution: Solution, count: int) -> tuple[Shrinkage | None, ...]:
    r"""For each leading function of an eig solution, whether noise in the frames shrinks its value.

    A function of which the part q of the variance is motion and the rest noise that forgets
    itself within a lag has c(k tau) = q lambda^k: its decay time grows with the lag, and

        d = ln\|c(2 tau)\| - 2 ln\|c(tau)\| = ln\|c(4 tau)\| - 2 ln\|c(2 tau)\| = -ln q

    Both must be alike, d above three errors (shared by all functions), and the time without
    noise, from \|c(2 tau) / c(tau)\|, longer by 15%.

    Parameters
    ----------
    moments : BlockMoments
        Of the leading functions, at one, two and four lags, merged to independent blocks.
    solution : Solution
        Of the eig solver.
    count : int
        Functions, a complex pair not split.
    """
    assert solution.eigenvalues is not None
    values = solution.eigenvalues[:count]
    if len(moments.lags) != 3 or moments.n_blocks < MIN_BLOCKS:
        return (None,) * count
    own, cross = _own_and_cross(moments, solution, values)
    limit = _limit(moments.n_blocks, count, SHRINK_ERRORS)
    return tuple(_shrinks(own[..., j], cross[..., j], moments.lags, limit) for j in range(count))


def _shrinks(own: Matrix, cross: Complex, lags: tuple[int, ...], limit: float) -> Shrinkage | None:
    total = own.sum(axis=1)
    if np.any(total <= 0):
        return None
    c = cross.sum(axis=1) / total
    size = np.abs(c)
    if not (np.exp(-1.0) < size[0] < 1 and np.all((size > 0) & (size < 1))):
        return None
    relative = ((cross - c[:, None] * own) / total[:, None] / c[:, None]).real
    blocks = own.shape[1]
    steps = []
    for i in (0, 1):
        d = float(np.log(size[i + 1]) - 2 * np.log(size[i]))
        moved = relative[i + 1] - 2 * relative[i]
        steps.append((d, float(np.sqrt(np.sum(moved**2) * blocks / (blocks - 1)))))
    (first, error), (second, spread) = steps
    alike = second + 2 * spread > first / UNLIKE and second - 2 * spread < first * UNLIKE
    if not (first > limit * error and alike):
        return None
    times = [-lag / float(np.log(s)) for lag, s in zip(lags, size, strict=True)]
    ratio = float(size[1] / size[0])
    without = -lags[0] / float(np.log(ratio)) if ratio < 1 else np.inf
    if without < GROWS * times[0]:
        return None
    return Shrinkage((times[0], times[1], times[2]), without)


def _own_and_cross(
    moments: BlockMoments, solution: Solution, values: Complex
) -> tuple[Matrix, Complex]:
    """<g, g> and <g, K g> of every function in every block, at all lags."""
    weights, inside = _weights(moments, solution, values), moments.is_block
    return _forms(moments.xx[:, inside], weights).real, _forms(moments.xy[:, inside], weights)


def _about_means(
    moments: BlockMoments, solution: Solution, values: Complex
) -> tuple[Matrix, Complex]:
    """The same about the mean of x at each lag; about which y is taken makes no difference then."""
    inside = moments.is_block
    plain = _weights(moments, solution, values)
    parts = []
    for xx, xy in zip(moments.xx[:, inside], moments.xy[:, inside], strict=True):
        weights = plain.copy()
        sums = xx.sum(axis=0)[-1]
        weights[-1] -= sums @ plain / sums[-1]
        parts.append([_forms(part[None], weights)[0] for part in (xx, xy)])
    own, cross = (np.stack([part[i] for part in parts]) for i in (0, 1))
    return own.real, cross


def _weights(moments: BlockMoments, solution: Solution, values: Complex) -> Complex:
    """(k + 1, k) weights of the eigenfunctions in the augmented sums of ``moments``.

    Removed means leave each determined up to c = (mean_x - mean_y) v / (1 - lambda).
    """
    k = len(values)
    combined = np.eye(k, dtype=np.complex128)
    for j in np.flatnonzero(values.imag > 0):
        if j + 1 < k:
            combined[j + 1, j] = 1j
            combined[:, j + 1] = combined[:, j].conj()
    offset = (solution.mean_x - solution.mean_y) @ solution.left[:, :k] @ combined
    offset = np.where(values != 1, offset / np.where(values != 1, 1 - values, 1.0), 0.0)
    constant = moments.shift @ combined + offset
    return np.asarray(np.vstack([combined / moments.scale[:, None], constant]), np.complex128)


def _forms(sums: Matrix, weights: Complex) -> Complex:
    """g* S g for every lag, block and function: (lags, blocks, k)."""
    value: Complex = np.einsum("aj,lbaj->lbj", weights.conj(), sums @ weights)
    return value


def _worst(
    own: Matrix, cross: Complex, steps: NDArray[np.int64], limit: float
) -> tuple[int, complex, complex, float] | None:
    """Which lag departs most beyond the limit: its number, c(k tau), c(tau)^k, errors."""
    if np.any(own.sum(axis=1) <= 0):
        return None
    c, predicted, error = _against_powers(own, cross, steps)
    apart = np.abs(c - predicted)
    sure = (apart > limit * error) & (apart > SHARE * np.abs(predicted))
    if not sure[1:].any():
        return None
    errors = np.where(sure, apart / np.where(error > 0, error, np.inf), 0.0)
    i = 1 + int(np.argmax(errors[1:]))
    return i, complex(c[i]), complex(predicted[i]), float(errors[i])


def _against_powers(
    own: Matrix, cross: Complex, steps: NDArray[np.int64]
) -> tuple[Complex, Complex, Matrix]:
    """c(k tau), c(tau)^k and the standard error of their difference, for every lag."""
    total = own.sum(axis=1)
    c = cross.sum(axis=1) / total
    g = (cross - c[:, None] * own) / total[:, None]
    influence = g - (steps * c[0] ** (steps - 1))[:, None] * g[0]
    blocks = own.shape[1]
    error = np.sqrt(np.sum(np.abs(influence) ** 2, axis=1) * blocks / (blocks - 1))
    return c, c[0] ** steps, error


def _limit(blocks: int, compared: int, errors: float = ERRORS) -> float:
    from scipy.special import ndtr, stdtrit

    return float(-stdtrit(blocks - 1, ndtr(-errors) / compared))


def first_drift(found: Sequence[Drift | None]) -> int | None:
    """The slowest function that breaks with its eigenvalue."""
    return next((i for i, one in enumerate(found) if one is not None), None)
