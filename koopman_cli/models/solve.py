"""From moments to functions: the three solvers all families share.

reversible : moments symmetrised in time; real eigenvalues
eig        : eigenfunctions of C00^+ C01; complex eigenvalues in conjugate pairs
svd        : C00^-1/2 C01 C11^-1/2 = U S V' (VAMP); left and right singular functions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blas import product
from koopman_cli.errors import SupportError
from koopman_cli.linalg import (
    RTOL,
    SMALLEST,
    Whitening,
    fix_signs,
    pair_sums,
    sorted_eig,
    sorted_eigh,
    sorted_svd,
    unit_variance,
    whiten,
)
from koopman_cli.models import wide as wide_problems
from koopman_cli.models.restrict import Reduction
from koopman_cli.models.wide import Functions, Regression
from koopman_cli.moments import Covariances, Moments
from koopman_cli.nouns import are, counted

Matrix = NDArray[np.float64]
Solver = Literal["reversible", "eig", "svd"]

Operator = Callable[[Covariances, Matrix], Matrix]

#: Share of the sum of all variances, per squared norm of a function, that rounding leaves.
ROUNDING = 4 * 2.0**-52


@dataclass(frozen=True)
class Solution:
    """All functions that the moments determine, in the units of the lifted features.

    left, right : (m, count); unit variance on the data they were solved on
    mean_x, mean_y : (m,)
    eigenvalues : (count,) complex, or None (svd)
    singular_values : (count,), or None (reversible, eig)
    rank : directions that the problem was solved in; of wide problems only the leading functions
        are computed
    moving : (m,) which functions are not constant
    bias : (count,) estimate of the spectral bias, of regressions with a ridge or reduced rank
    freedom : directions that a ridge leaves free, tr C00 (C00 + alpha)^-1; the rank without one
    """

    left: Matrix
    right: Matrix
    mean_x: Matrix
    mean_y: Matrix
    eigenvalues: NDArray[np.complex128] | None
    singular_values: Matrix | None
    rank: int
    moving: NDArray[np.bool_]
    condition: float
    bias: Matrix | None = None
    freedom: float = 0.0

    @property
    def count(self) -> int:
        """Functions that are computed."""
        return int(self.left.shape[1])

    def leading(self, count: int) -> Solution:
        """The solution with its first functions only; rank and condition stay what they are."""
        return self if count >= self.left.shape[1] else self._only(np.arange(count))

    def varying(self, kept: NDArray[np.bool_]) -> Solution:
        """The solution without functions that are none, which the rank does not count."""
        none = int(np.count_nonzero(~kept))
        free = min(self.freedom, self.rank - none)
        return replace(self._only(np.flatnonzero(kept)), rank=self.rank - none, freedom=free)

    def _only(self, index: NDArray[np.int64]) -> Solution:
        values, singular, bias = self.eigenvalues, self.singular_values, self.bias
        return replace(
            self,
            # Copies, so that the rest is given back.
            left=self.left[:, index],
            right=self.right[:, index],
            eigenvalues=None if values is None else values[index],
            singular_values=None if singular is None else singular[index],
            bias=None if bias is None else bias[index],
        )


def moving_functions(moments: Moments, eps: float) -> NDArray[np.bool_]:
    """Which functions vary by more than the rounding of their own values.

    ``eps`` is the machine epsilon of the input.
    """
    x, y = (_mean_and_variance(part) for part in (moments.xx, moments.yy))
    mean, variance = x[0], np.minimum(x[1], y[1])
    size = np.abs(mean + moments.shift * moments.scale)
    moving: NDArray[np.bool_] = variance > (4 * eps * size) ** 2
    moving &= np.sqrt(np.maximum(variance, 0.0)) > SMALLEST * moments.scale
    # Cancellation in the centred variance itself; the shift makes the mean small.
    return moving & (variance > 1e-14 * mean**2)


def _mean_and_variance(sums: Matrix) -> tuple[Matrix, Matrix]:
    """Of each function, without the other entries of a covariance."""
    mean = sums[:-1, -1] / sums[-1, -1]
    return mean, np.diag(sums)[:-1] / sums[-1, -1] - mean * mean


def _supported(moments: Moments, eps: float) -> NDArray[np.bool_]:
    """Which functions vary; raises where there are no pairs, or none does."""
    if moments.n < 2:
        raise SupportError(
            f"{counted(moments.n, 'lagged pair', 'g')} {are(moments.n)} too few for any model",
            "take a shorter lag or longer trajectories",
        )
    moving = moving_functions(moments, eps)
    if not moving.any():
        raise SupportError(
            "none of the features varies", "choose features that move, or check the selection"
        )
    return moving


def solve(
    moments: Moments,
    solver: Solver,
    *,
    center: bool = True,
    rtol: float = RTOL["float64"],
    eps: float = 2.0**-52,
    operator: Operator | None = None,
    reduction: Reduction | None = None,
) -> Solution:
    """Solve for the slow functions.

    Parameters
    ----------
    moments : Moments
        Of the lifted features.
    solver : {"reversible", "eig", "svd"}
        Which problem.
    center : bool
        Whether means are removed first.
    rtol : float
        Cut-off of :func:`koopman_cli.linalg.whiten`.
    eps : float
        Machine epsilon of the input, for the search of constants.
    operator : callable, optional
        Another regression than least squares for ``eig``: (covariances, whitening) -> K in
        whitened coordinates.
    reduction : Reduction, optional
        A ridge, a rank, or both, for functions that are orthonormal coordinates.

    Raises
    ------
    SupportError
        If there are too few pairs, or nothing varies.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((1000, 2)).cumsum(axis=0)
    >>> found = solve(Moments.of_pairs(x[:-1], x[1:]), "reversible")
    >>> found.rank, bool(found.eigenvalues[0].real > 0.9)
    (2, True)
    """
    source = moments.symmetrized() if solver == "reversible" else moments
    if moments.later is not None:
        found = solve(
            source.orthonormal(), solver, center=center, rtol=rtol, eps=eps, operator=operator,
            reduction=reduction,
        )  # fmt: skip
        return _in_functions(found, source, center=center)
    moving = _supported(source, eps)
    raw = source.covariances(center=center)
    if not center:
        # Without centring a constant is a function like others: its eigenvalue is 1.
        moving = np.sqrt(np.diag(raw.c00)) > SMALLEST * moments.scale
    c = _restricted(raw, moving)
    scale = moments.scale[moving]
    if reduction is not None:
        c = _unscaled(c, scale)
        found = _varying(_solve_reduced(c, solver, rtol, reduction, moments.n - center), c, solver)
    else:
        w0 = _supported_whitening(c, rtol, moments.n, center=center)
        own = None if operator is None else _in_units(operator, scale)
        found = _solve_whitened(c, w0, solver, rtol, own)
        units = scale[:, None]
        found = replace(found, left=found.left * units, right=found.right * units)
    return _assembled(found, source, moving, center=center)


def _supported_whitening(c: Covariances, rtol: float, pairs: float, *, center: bool) -> Whitening:
    """The whitening; as many functions as pairs (less the mean) fit anything."""
    w0 = whiten(c.c00, rtol)
    if w0.rank >= pairs - center:
        raise SupportError(
            f"{pairs:g} lagged pairs cannot support {w0.rank} independent functions",
            "take fewer features, a shorter lag or more data",
        )
    return w0


def _solve_whitened(
    c: Covariances, w0: Whitening, solver: Solver, rtol: float, operator: Operator | None
) -> Solution:
    """Solve in all directions that vary, signs fixed."""
    left, right, values, singular = _decompose(c, w0, solver, rtol, operator)
    signs = fix_signs(left, np.sqrt(np.diag(c.c00)))
    if values is not None:
        signs = _pair_signs(signs, values)
    zero, moving = np.zeros(left.shape[1]), np.ones(len(left), bool)
    return Solution(
        left * signs, right * signs, zero, zero, values, singular, left.shape[1], moving,
        w0.condition, freedom=left.shape[1],
    )  # fmt: skip


def _assembled(
    found: Solution, source: Moments, moving: NDArray[np.bool_], *, center: bool
) -> Solution:
    """A solution in the moving functions as one in all functions, with its means."""
    zero = np.zeros(len(moving))
    return replace(
        found,
        left=_spread(found.left, moving),
        right=_spread(found.right, moving),
        mean_x=source.mean_x if center else zero,
        mean_y=source.mean_y if center else zero,
        moving=moving,
    )


def _in_functions(found: Solution, source: Moments, *, center: bool) -> Solution:
    """A solution in orthonormal coordinates as one in the functions that they are made of."""
    left = source.of_functions(found.left)
    right = left if found.right is found.left else source.of_functions(found.right)
    zero = np.zeros(len(source.shift))
    means = (source.mean_x, source.mean_y) if center else (zero, zero)
    return replace(found, left=left, right=right, mean_x=means[0], mean_y=means[1])


def _in_units(operator: Operator, scale: Matrix) -> Operator:
    """The operator of covariances in the units of the functions: some depend on them."""

    def scaled(c: Covariances, white: Matrix) -> Matrix:
        return operator(_unscaled(c, scale), white * scale[:, None])

    return scaled


def _unscaled(c: Covariances, scale: Matrix) -> Covariances:
    if np.all(scale == 1):
        return c
    square = np.outer(scale, scale)
    return Covariances(
        c.c00 / square, c.c01 / square, c.c11 / square, c.mean_x / scale, c.mean_y / scale
    )


def _solve_reduced(
    c: Covariances, solver: Solver, rtol: float, reduction: Reduction, support: float
) -> Solution:
    """Solve with a ridge on the variances, in few directions where a rank is asked for.

    Functions have unit variance without the ridge. Spectral bias: |psi| / sqrt(E psi^2) in
    the norm of the coordinates, times the size of what the regression neglects.
    """
    found = _regression(c, solver, rtol, reduction, support)
    left, right, values, singular = found.functions
    left = _of_unit_variance(left, c.c00, values)
    right = _of_unit_variance(right, c.c11, values) if solver == "svd" else left
    signs = fix_signs(left)
    size = np.sum(left**2, axis=0)
    if values is not None:
        signs, size = _pair_signs(signs, values), pair_sums(size, values)
    left = left * signs
    right = right * signs if solver == "svd" else left
    zero, moving = np.zeros(left.shape[1]), np.ones(len(left), bool)
    return Solution(
        left, right, zero, zero, values, singular, found.rank, moving, found.condition,
        np.sqrt(size) * found.neglected, found.freedom,
    )  # fmt: skip


def _regression(
    c: Covariances, solver: Solver, rtol: float, reduction: Reduction, support: float
) -> Regression:
    """Functions of a regression, and what is known of it."""
    c00 = _ridged(c.c00, reduction.ridge)
    c11 = c00 if c.c11 is c.c00 else _ridged(c.c11, reduction.ridge)
    ridged = replace(c, c00=c00, c11=c11)
    wide = len(c00) > wide_problems.WIDE
    if wide and solver == "reversible" and reduction.ridge and not reduction.rank:
        direct = wide_problems.leading_reversible(ridged, reduction.ridge)
        if direct is not None:
            return direct
    w0 = wide_problems.whiten_ridged(c00) if reduction.ridge else whiten(c.c00, rtol)
    if reduction.ridge == 0 and w0.rank >= support:
        raise SupportError(
            f"{support:g} lagged pairs cannot support {w0.rank} independent functions "
            "without a ridge",
            "take fewer landmarks, or a ridge such as --set kedmd.alpha=1e-6",
        )
    directions, neglected = reduction.directions(c.c00, c.c01, w0.matrix)
    kept = Whitening(directions, directions.shape[1], w0.condition)
    found = None
    if wide and directions.shape[1] > wide_problems.WIDE:
        found = wide_problems.leading(ridged, kept, solver)
    free = min(w0.rank - reduction.ridge * float(np.sum(w0.matrix**2)), float(kept.rank))
    functions = found or _decompose(ridged, kept, solver, rtol)
    return Regression(functions, w0.condition, neglected, kept.rank, free)


def _varying(found: Solution, c: Covariances, solver: Solver) -> Solution:
    """Without functions whose variance is rounding, as that of a constant which a kernel holds.

    A ridge gives them a norm, and the scores, which have none, cannot whiten them.
    """
    kept = np.ones(found.left.shape[1], bool)
    ends = ((found.left, c.c00), (found.right, c.c11))
    for functions, covariance in ends if solver == "svd" else ends[:1]:
        size = np.sum(functions * product(covariance, functions), axis=0)
        norm = np.sum(functions**2, axis=0)
        if found.eigenvalues is not None:
            size, norm = (pair_sums(part, found.eigenvalues) for part in (size, norm))
        kept &= size > ROUNDING * np.trace(covariance) * norm
    if kept.all() or not kept.any():
        return found
    return found.varying(kept)


def _ridged(covariance: Matrix, ridge: float) -> Matrix:
    found = covariance.copy()
    found[np.diag_indices_from(found)] += ridge
    return found


def _of_unit_variance(
    functions: Matrix, c: Matrix, values: NDArray[np.complex128] | None
) -> Matrix:
    """Functions divided by the root of f' C f, both parts of a pair together."""
    size = np.sum(functions * product(c, functions), axis=0)
    if values is not None:
        size = pair_sums(size, values)
    # What has no variance but rounding stays as it is.
    usable = size > 1e-14 * size.max(initial=0.0)
    return functions / np.sqrt(np.where(usable, size, 1.0))


def _restricted(c: Covariances, keep: NDArray[np.bool_]) -> Covariances:
    if keep.all():
        return c
    inner = np.ix_(keep, keep)
    return Covariances(c.c00[inner], c.c01[inner], c.c11[inner], c.mean_x[keep], c.mean_y[keep])


def _decompose(
    c: Covariances, w0: Whitening, solver: Solver, rtol: float, operator: Operator | None = None
) -> Functions:
    if solver == "svd":
        w1 = whiten(c.c11, rtol)
        u, s, v = sorted_svd(w0.matrix.T @ c.c01 @ w1.matrix)
        return w0.matrix @ u, w1.matrix @ v, None, s
    small = w0.matrix.T @ c.c01 @ w0.matrix
    if solver == "reversible":
        values, vectors = sorted_eigh(small)
        functions = w0.matrix @ vectors
        return functions, functions, values.astype(np.complex128), None
    if operator is not None:
        small = operator(c, w0.matrix)
    complex_values, vectors = sorted_eig(small)
    functions = w0.matrix @ unit_variance(vectors, complex_values)
    return functions, functions, complex_values, None


def _pair_signs(signs: Matrix, values: NDArray[np.complex128]) -> Matrix:
    """Both parts of a complex function take the sign of its real part."""
    signs = signs.copy()
    pairs = np.flatnonzero(values.imag > 0)
    signs[pairs + 1] = signs[pairs]
    return signs


def _spread(rows: Matrix, moving: NDArray[np.bool_]) -> Matrix:
    full = np.zeros((len(moving), rows.shape[1]))
    full[moving] = rows
    return full
