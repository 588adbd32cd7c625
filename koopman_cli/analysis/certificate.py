"""Certificates: how far a true eigenvalue can be from the one that is reported.

Functions come from the training part of every fold and meet the held-out part at the lag
and at twice the lag; everything follows from c(s) = <psi, K_s psi> / <psi, psi>. Flows have a
residual of their own, which needs the lag only.
Sources: Kato, J. Phys. Soc. Jpn. 4, 334 (1949); Colbrook and Townsend, Commun. Pure Appl.
Math. 77, 221 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.heldout import HeldOut
from koopman_cli.analysis.leasterror import least_error
from koopman_cli.analysis.quantiles import NORMAL_QUANTILE, reach, refuting, telling
from koopman_cli.analysis.uncertainty import complex_pairs
from koopman_cli.linalg import whiten
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments, Moments

Matrix = NDArray[np.float64]

#: One-sided 95% and two-sided 95% quantiles of the normal distribution.
ONE_SIDED, TWO_SIDED = 1.645, 1.96


#: r2 below zero by this many errors contradicts reversibility. The probability that belongs
#: to it is shared by all modes that are looked at.
CONTRADICTION = 3.0

#: The same where xy is symmetric within its errors, as reversible data have it. The errors of
#: the two are uncorrelated in a reversible process, so that both together are hardly ever
#: wrong; one reversible run in 740 is beyond three errors of r2 alone.
CONTRADICTION_ALONE = 4.0

#: A next eigenvalue nearer than this many errors gives no Kato-Temple interval.
SEPARATION = 3.0

#: Fewer held-out blocks give no error of r2.
MIN_BLOCKS = 5

#: A flow's eigenpair with a larger relative residual is no eigenpair.
LARGE_RESIDUAL = 1e-3

#: Condition number above which an eigenvalue is examined for noise.
LARGE_CONDITION = 5.0

#: Relative change of the variance of a function from x to y below which data are invariant.
INVARIANT = 0.02

#: Factor between the sizes of a function at the start and at the end of steady data.
STEADY = 2.0


@dataclass(frozen=True)
class Certificate:
    """Intervals that hold a true eigenvalue near the one that is reported.

    value, error : c(tau) of the held-out functions and its standard error
    r2, r2_error : squared residual c(2 tau) - 2 lambda c(tau) + lambda^2 and its error
    quantile : errors of the value that the residual interval allows for
    kato : the Kato-Temple interval of the slowest eigenvalue, or None
    limit : errors below zero at which r2 contradicts reversibility

    Examples
    --------
    >>> told = Certificate(0.9, 0.01, 0.0, 0.002, quantile=2.0)
    >>> [tuple(round(end, 3) for end in ends) for ends in (told.residual, told.guaranteed)]
    [(0.88, 0.92), (0.843, 0.957)]
    """

    value: float
    error: float
    r2: float
    r2_error: float
    quantile: float = NORMAL_QUANTILE
    kato: tuple[float, float] | None = None
    limit: float = CONTRADICTION

    @property
    def residual(self) -> tuple[float, float]:
        """Holds a true eigenvalue if r2 is what it is estimated to be."""
        return self.value - self._reach, self.value + self._reach

    @property
    def guaranteed(self) -> tuple[float, float]:
        """Holds a true eigenvalue if r2 is anything up to its upper 95% bound."""
        reach = max(float(np.sqrt(self.r2_up)), self._reach)
        return self.value - reach, self.value + reach

    @property
    def certified(self) -> tuple[str, tuple[float, float]]:
        """Kind and ends of the interval to report: Kato-Temple within the guaranteed one.

        Both allow for the error of r2, so like is compared with like. Where the residual is as
        large as the distance to the next mode Kato-Temple reaches farther and tells less; the
        residual interval is reported then. No reversible process has an eigenvalue above 1.

        >>> far = Certificate(0.4, 0.02, 0.13, 0.01, kato=(0.36, 1.1))
        >>> near = Certificate(0.9, 0.01, 0.01, 0.001, kato=(0.88, 0.95))
        >>> far.certified[0], near.certified
        ('residual', ('kato-temple', (0.88, 0.95)))
        """
        low, high = (min(end, 1.0) for end in self.guaranteed)
        if self.kato is not None and low <= self.kato[0] and min(self.kato[1], 1.0) <= high:
            return "kato-temple", self.kato
        return "residual", self.residual

    @property
    def _reach(self) -> float:
        return float(np.hypot(np.sqrt(max(self.r2, 0.0)), self.quantile * self.error))

    @property
    def invalid(self) -> bool:
        """Whether r2 contradicts reversibility: no reversible process has r2 < 0."""
        return self.r2 + self.limit * self.r2_error < 0

    @property
    def barrier(self) -> float:
        """Where the eigenvalue ends that a slower one must be told from."""
        return self.value + max(float(np.sqrt(max(self.r2, 0.0))), TWO_SIDED * self.error)

    @property
    def r2_up(self) -> float:
        """Upper 95% bound of r2."""
        return max(self.r2, 0.0) + ONE_SIDED * self.r2_error


def certificates(
    found: HeldOut,
    groups: Sequence[Sequence[int]],
    values: Matrix | None = None,
    *,
    symmetric: bool = False,
) -> tuple[Certificate, ...] | None:
    """Residual, guaranteed and Kato-Temple intervals of k modes; None with too few blocks.

    With lambda := c(tau) of the held-out functions, se' its error, r2 = c(2 tau) - lambda^2,
    se the error of r2 (at least :func:`least_error`) and r2_up = max(r2, 0) + 1.645 se,

        residual     lambda +- sqrt(max(r2, 0) + (t se')^2)
        guaranteed   lambda +- sqrt(r2_up), at least the residual interval
        Kato-Temple  [lambda - 1.96 se', lambda + 1.96 se' + r2_up / (lambda - b)]

    A self-adjoint K has an eigenvalue within |(K - mu) psi| / |psi| of any mu. At mu = lambda,
    an estimate of c = c(tau), the square of that is r2 + (lambda - c)^2: the residual interval,
    t the 99% quantile of Student's distribution. It takes r2 for what is estimated; the
    guaranteed interval allows for its error.

    b is the next group's eigenvalue plus its residual sqrt(max(r2, 0)) or 1.96 se', whichever
    is larger. The Kato-Temple interval is given to the slowest group, where lambda - b is above
    3 se', and is conditional on b, which therefore is an estimate and no upper bound. It is
    reported where it lies within the guaranteed interval (:attr:`Certificate.certified`).

    Parameters
    ----------
    found : HeldOut
    groups : sequence of sequences of int
        Modes that cannot be told apart, slowest first.
    values : (k,) array, optional
        Eigenvalues of the model itself.
    symmetric : bool
        xy of the functions is symmetric within its errors: then r2 contradicts reversibility
        beyond four errors only, not three.

    Examples
    --------
    >>> ones = np.ones((2, 10, 2))
    >>> exact = HeldOut(ones, ones * np.array([[0.9, 0.5], [0.81, 0.25]])[:, None, :])
    >>> first, second = certificates(exact, [[0], [1]])
    >>> round(first.value, 12), abs(first.r2) < 1e-12, first.invalid
    (0.9, True, False)
    """
    usable = found.q00.min(axis=(0, 2)) > 0
    if np.count_nonzero(usable) < MIN_BLOCKS:
        return None
    q00, q01 = found.q00[:, usable], found.q01[:, usable]
    own = q00.sum(axis=1)
    c = q01.sum(axis=1) / own
    g = (q01 - c[:, None] * q00) / own[:, None]
    errors = _error(g[0])
    r2 = c[1] - c[0] ** 2
    r2_errors = np.maximum(_error(g[1] - 2 * c[0] * g[0]), least_error(c, found.near))
    size = np.abs(c[0]) if values is None else np.minimum(np.abs(c[0]), np.abs(values))
    alone = CONTRADICTION_ALONE if symmetric else CONTRADICTION
    blocks = telling(q00[0])
    rows = np.stack([c[0], errors, r2, r2_errors, reach(blocks), _limits(size, blocks, alone)])
    made = [
        Certificate(v, e, square, se, t, limit=most)
        for v, e, square, se, t, most in rows.T.tolist()
    ]
    return tuple(
        _with_kato(one, made, groups) if groups and j in groups[0] else one
        for j, one in enumerate(made)
    )


def _limits(size: Matrix, blocks: Matrix, errors: float) -> Matrix:
    """Errors below zero at which the r2 of each mode contradicts reversibility.

    Only modes that outlive the lag are given a timescale that could be contradicted; faster ones
    are often heavy-tailed functions, whose errors are no guide this far out.
    """
    outlive = size > np.exp(-1.0)
    most = refuting(blocks, max(1, int(outlive.sum())), errors)
    found: Matrix = np.where(outlive, most, np.inf)
    return found


def _error(influence: Matrix) -> Matrix:
    count = len(influence)
    value: Matrix = np.sqrt(np.sum(influence**2, axis=0) * count / (count - 1))
    return value


def _with_kato(
    one: Certificate, others: Sequence[Certificate], groups: Sequence[Sequence[int]]
) -> Certificate:
    from dataclasses import replace

    following = [j for group in groups[1:2] for j in group if j < len(others)]
    if not following:
        return one
    b = max(others[j].barrier for j in following)
    if one.value - b < SEPARATION * one.error:
        return one
    spread = TWO_SIDED * one.error
    high = one.value + spread + one.r2_up / (one.value - b)
    return replace(one, kato=(one.value - spread, high))


# ------------------------------------------------------------------ flows


@dataclass(frozen=True)
class FlowResiduals:
    """Relative residuals of eigenpairs of a flow on points that were not fitted.

    values : (k,) |K g - lambda g| / |g|
    invariant : the points are distributed like their images, so that the residual is
        sqrt(1 - |lambda|^2) whatever the function is
    """

    values: Matrix
    invariant: bool


def flow_residuals(fresh: Moments, solution: Solution, count: int) -> FlowResiduals:
    """ResDMD residuals of the leading ``count`` eigenpairs of an eig solution.

    residual^2 = g*(C11 - lambda C01' - conj(lambda) C01 + |lambda|^2 C00)g / g*C00 g, uncentred.
    A solver that removed means still determines g up to a constant c, which follows from
    the two means: c = (mean_x - mean_y) v / (1 - lambda).

    Parameters
    ----------
    fresh : Moments
        Of the lifted features on fresh points.
    solution : Solution
        Of the eig solver.
    count : int

    Examples
    --------
    >>> from koopman_cli.models.solve import solve
    >>> x = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    >>> moments = Moments.of_pairs(x, x @ np.diag([0.9, 0.5]))
    >>> bool(flow_residuals(moments, solve(moments, "eig"), 2).values.max() < 1e-6)
    True
    """
    assert solution.eigenvalues is not None
    values = solution.eigenvalues[:count]
    k = len(values)
    shift = (solution.mean_x - solution.mean_y) @ solution.left[:, : k + 1]
    small = fresh.projected(solution.mean_x, solution.left[:, : k + 1])
    residuals, drifts = np.empty(k), np.empty(k)
    for j, value in enumerate(values):
        pair = (j, j + 1) if value.imag > 0 else (j - 1, j) if value.imag < 0 else (j, j)
        weights = np.zeros(small.xx.shape[0], np.complex128)
        offset = complex(shift[pair[0]])
        weights[pair[0]] = 1.0
        if value.imag:
            sign = np.sign(value.imag) * 1j
            weights[pair[1]] = sign
            offset = offset + complex(sign * shift[pair[1]])
        weights[-1] = offset / (1 - value) if value != 1 else 0.0
        residuals[j], drifts[j] = _residual(small, weights, complex(value))
    return FlowResiduals(residuals, bool(np.median(drifts) < INVARIANT) if k else False)


def steady(blocks: BlockMoments, solution: Solution, count: int) -> bool:
    """Whether each leading function has about the same size in the first and last third.

    From one frame to the next a mode that decays over the whole run hardly changes; over the
    run it does, and then the data are not invariant. Within a factor :data:`STEADY`.

    Parameters
    ----------
    blocks : BlockMoments
        Of the lifted features, in order of time.
    solution : Solution
    count : int
    """
    third = max(blocks.n_blocks // 3, 1)
    parts = (range(third), range(blocks.n_blocks - third, blocks.n_blocks))
    left = solution.left[:, :count]
    first, last = (
        np.diagonal(blocks.sum_blocks(part).projected(solution.mean_x, left).xx)[:-1]
        for part in parts
    )
    return bool(np.all((first < STEADY * last) & (last < STEADY * first)))


def _residual(m: Moments, g: NDArray[np.complex128], value: complex) -> tuple[float, float]:
    """Residual of one function, and by how much its size changes from x to y."""
    at_x, at_y = (float((g.conj() @ part @ g).real) for part in (m.xx, m.yy))
    cross = complex(g.conj() @ m.xy @ g)
    if at_x <= 0:
        return 0.0, 0.0
    # <g(x), g(y)> = cross; the cross terms of |g(y) - lambda g(x)|^2 are -2 Re(conj(lambda) cross)
    squared = at_y - 2 * (np.conj(value) * cross).real + abs(value) ** 2 * at_x
    return float(np.sqrt(max(squared, 0.0) / at_x)), abs(at_y / at_x - 1)


# ------------------------------------------------------------------ conditioning


def ill_conditioned(
    blocks: BlockMoments, solution: Solution, count: int, *, center: bool = True
) -> NDArray[np.bool_]:
    """Which leading eigenvalues of an eig solution noise in the moments can have made.

    An error E of the whitened matrix moves a simple eigenvalue by at most kappa |E| to first
    order, kappa = |w| |v| / |w* v|. A nearly nilpotent matrix (functions that leave the
    dictionary in a few steps) so turns noise into eigenvalues of any size. |E| is half the
    spectral norm of the difference between odd and even blocks; eigenvalues with kappa > 5
    that it can carry from 1/e (a timescale of one lag) to where they are count as such.

    Parameters
    ----------
    blocks : BlockMoments
        Of the lifted features, merged to independent blocks.
    """
    assert solution.eigenvalues is not None
    total = blocks.total()
    right, dual = complex_pairs(total, solution, center=center)
    right, dual = right[:, :count], dual[:, :count]
    moving = solution.moving
    inner = np.ix_(moving, moving)
    c00 = total.covariances(center=center).c00 / np.outer(total.scale, total.scale)
    sizes = [
        np.sqrt(np.einsum("ij,ik,kj->j", a.conj(), c00, a, optimize=True).real)
        for a in (right, dual)
    ]
    white = whiten(c00[inner]).matrix
    halves = []
    for start in (0, 1):
        half = blocks.sum_blocks(range(start, blocks.n_blocks, 2))
        c01 = half.covariances(center=center).c01 / np.outer(half.scale, half.scale)
        halves.append(white.T @ c01[inner] @ white)
    noise = float(np.linalg.norm(halves[0] - halves[1], 2)) / 2
    condition = sizes[0] * sizes[1]
    size = np.abs(solution.eigenvalues[:count])
    found: NDArray[np.bool_] = (condition > LARGE_CONDITION) & (
        condition * noise > size - np.exp(-1.0)
    )
    return found
