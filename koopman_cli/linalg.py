"""Whitening and sorted decompositions: the one place where cut-offs are decided.

All matrices here are small (functions x functions). Covariances are first divided by the
square root of their diagonal, so that no result depends on the units of the features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.errors import SupportError

Matrix = NDArray[np.float64]

#: Relative cut-off on the eigenvalues of the correlation matrix, by precision.
RTOL = {"float64": 1e-10, "float32": 1e-6}


#: A function that spreads less is constant: its coefficients, at least one over this, would be
#: no numbers.
SMALLEST = 1e-302


@dataclass(frozen=True)
class Whitening:
    """Functions W with W' C W = 1, one column per kept direction.

    matrix : (m, rank)
    rank : number of directions above the cut-off
    condition : largest over smallest eigenvalue of the correlation matrix, inf if singular
    """

    matrix: Matrix
    rank: int
    condition: float


def power_of_two(size: Matrix) -> Matrix:
    """Powers of two that bring sizes near 1; exactly 1 for ordinary sizes, zero and infinity.

    >>> power_of_two(np.array([3.0, 0.0, 2.0**600, 1e-300])).tolist() == [
    ...     1.0, 1.0, 2.0**-601, 2.0**996]
    True
    """
    usable = np.isfinite(size) & (size > 0)
    ordinary = (size > 1e-8) & (size < 1e8)
    exponent = np.frexp(np.where(usable & ~ordinary, size, 0.5))[1]
    scale: Matrix = np.ldexp(1.0, np.clip(-exponent, -1020, 1020))
    return scale


def balanced(x: Matrix) -> tuple[Matrix, Matrix]:
    """Rows x (n, d) times a power of two per column, and these (d,).

    Squares of the result neither overflow nor vanish, and no digit is lost: whatever squares
    values as they come (a variance, a distance) takes them from here.

    >>> x = np.array([[1e200, 2.0], [3e200, 3.0]])
    >>> z, scale = balanced(x)
    >>> bool(np.isfinite(z.var(axis=0)).all()), bool((z / scale == x).all())
    (True, True)
    """
    size: Matrix = np.abs(x).max(axis=0, initial=0.0)
    scale = power_of_two(size)
    return x * scale, scale


def whiten(covariance: Matrix, rtol: float = RTOL["float64"]) -> Whitening:
    """Whiten a covariance: drop directions below ``rtol`` times the largest eigenvalue.

    With D = diag(C) and D^-1/2 C D^-1/2 = Q L Q', W = D^-1/2 Q L^-1/2.

    Parameters
    ----------
    covariance : (m, m) array
        Symmetric, with a positive diagonal (constant functions are dropped before).
    rtol : float
        Relative cut-off on the eigenvalues of the correlation matrix.

    Raises
    ------
    SupportError
        If no direction has any variance.

    Examples
    --------
    >>> covariance = np.array([[4e12, 1.0], [1.0, 1e-12]])
    >>> white = whiten(covariance)
    >>> white.rank, np.allclose(white.matrix.T @ covariance @ white.matrix, np.eye(2))
    (2, True)
    """
    variance = np.diag(covariance)
    # Rounding can leave the variance of what never moves below zero.
    if not variance.size or not np.all(variance > 0):
        raise SupportError(
            "no function with any variance is left",
            "choose features that move, or check the selection",
        )
    scale = np.sqrt(variance)
    values, vectors = scipy.linalg.eigh(covariance / np.outer(scale, scale))
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = int(np.count_nonzero(values > rtol * values[0]))
    condition = float(values[0] / values[-1]) if values[-1] > 0 else np.inf
    matrix = vectors[:, :rank] / np.sqrt(values[:rank]) / scale[:, None]
    return Whitening(matrix, rank, condition)


def condition(covariance: Matrix) -> float:
    """Condition number of the correlation matrix of a covariance with a positive diagonal.

    >>> round(condition(np.array([[4e12, 1.0], [1.0, 1e-12]])), 12)
    3.0
    """
    scale = np.sqrt(np.diag(covariance))
    values = scipy.linalg.eigvalsh(covariance / np.outer(scale, scale))
    return float(values[-1] / values[0]) if values[0] > 0 else np.inf


def sorted_eigh(matrix: Matrix) -> tuple[Matrix, Matrix]:
    """Eigenvalues and vectors of a symmetric matrix, by descending absolute value.

    >>> sorted_eigh(np.diag([0.5, -0.9, 0.1]))[0].tolist()
    [-0.9, 0.5, 0.1]
    """
    values, vectors = scipy.linalg.eigh((matrix + matrix.T) / 2)
    # Ties in |lambda| go to the larger real part, so that the order is always the same.
    order = np.lexsort((-values, -np.abs(values)))
    return values[order], vectors[:, order]


def leading_eigh(matrix: Matrix, count: int, lower: Matrix | None = None) -> tuple[Matrix, Matrix]:
    """The ``count`` leading ones of :func:`sorted_eigh`, without the others.

    Parameters
    ----------
    matrix : (n, n) symmetric array, of which one triangle is read
    count : int
    lower : (n, n) array, optional
        Cholesky factor L of B = L L', for matrix v = lambda B v with v' B v = 1.

    Examples
    --------
    >>> leading_eigh(np.diag([0.5, -0.9, 0.1]), 2)[0].tolist()
    [-0.9, 0.5]
    >>> leading_eigh(np.diag([0.5, -0.9, 0.1]), 1, np.diag([0.1, 1.0, 1.0]))[0].round(9).tolist()
    [50.0]
    """
    n, lapack = len(matrix), scipy.linalg.lapack
    # The transpose of a matrix in rows is one in columns, which needs no reordering.
    held = np.array(matrix.T, order="F")
    if lower is not None:
        held = lapack.dsygst(held, lower, lower=1, overwrite_a=1)[0]
    # Q' A Q = T tridiagonal, once for both ends of the spectrum.
    work = int(lapack.dsytrd_lwork(n, lower=1)[0])
    reflected, main, side, tau, _ = lapack.dsytrd(held, lower=1, lwork=work, overwrite_a=1)
    values, vectors = _leading_of_tridiagonal(main, side, count)
    rows, reflectors = vectors[1:], reflected[1:, :-1]
    size = int(lapack.dormqr("L", "N", reflectors, tau, rows, -1)[1][0])
    vectors[1:] = lapack.dormqr("L", "N", reflectors, tau, rows, size)[0]
    if lower is not None:
        vectors = scipy.linalg.blas.dtrsm(1.0, lower, vectors, lower=1, trans_a=1)
    return values, vectors


def _leading_of_tridiagonal(main: Matrix, side: Matrix, count: int) -> tuple[Matrix, Matrix]:
    """The same of a tridiagonal matrix with this diagonal and this one beside it."""
    n = len(main)
    every = scipy.linalg.eigvalsh_tridiagonal(main, side)
    order = np.lexsort((-every, -np.abs(every)))[:count]
    below = int(np.count_nonzero(every[order] < 0))
    parts = []
    for first, last in ((0, below - 1), (n - count + below, n - 1)):
        if first <= last:
            parts.append(
                scipy.linalg.eigh_tridiagonal(
                    main, side, select="i", select_range=(first, last), lapack_driver="stemr"
                )
            )
    values, vectors = np.concatenate([v for v, _ in parts]), np.hstack([q for _, q in parts])
    order = np.lexsort((-values, -np.abs(values)))
    return values[order], np.asfortranarray(vectors[:, order])


def sorted_svd(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """Thin singular value decomposition (U, s, V) with matrix = U diag(s) V'."""
    u, s, vt = scipy.linalg.svd(matrix, full_matrices=False)
    return u, s, vt.T


def sorted_eig(matrix: Matrix) -> tuple[NDArray[np.complex128], Matrix]:
    """Eigenvalues and right vectors of a real matrix, in the package's order.

    Returns
    -------
    values : (r,) complex
        By descending absolute value, then real part; conjugates adjacent, positive imaginary
        part first.
    vectors : (r, r) real
        Real and imaginary part of a complex vector stand in two neighbouring columns; with
        v = a + ib for the eigenvalue with positive imaginary part.

    Examples
    --------
    >>> values, vectors = sorted_eig(np.array([[0.0, -0.5, 0], [0.5, 0.0, 0], [0, 0, 0.9]]))
    >>> np.round(values, 12).tolist()
    [(0.9+0j), 0.5j, -0.5j]
    """
    values, vectors = scipy.linalg.eig(matrix)
    # Rounding keeps the two halves of a pair together when |lambda| differs in the last bit.
    size = np.round(np.abs(values), 13)
    order = np.lexsort((-values.imag, np.abs(values.imag), -np.round(values.real, 13), -size))
    values, vectors = values[order], vectors[:, order]
    real = np.empty(vectors.shape)
    j = 0
    while j < len(values):
        if values[j].imag > 0 and j + 1 < len(values):
            real[:, j], real[:, j + 1] = vectors[:, j].real, vectors[:, j].imag
            values[j + 1] = values[j].conjugate()
            j += 2
        else:
            real[:, j] = vectors[:, j].real
            values[j] = values[j].real
            j += 1
    return values, real


def keep_pairs(values: NDArray[np.complex128] | None, count: int) -> int:
    """The smallest number >= ``count`` of leading eigenvalues that splits no complex pair.

    >>> keep_pairs(np.array([0.9, 0.5j, -0.5j]), 2)
    3
    """
    if values is None or not 0 < count < len(values):
        return count
    return count + 1 if values[count - 1].imag > 0 else count


def pair_sums(size: Matrix, values: NDArray[np.complex128]) -> Matrix:
    """Sizes with those of both parts of a complex function added."""
    size = size.copy()
    for j in np.flatnonzero(values.imag > 0):
        size[j : j + 2] = size[j : j + 2].sum()
    return size


def unit_variance(vectors: Matrix, values: NDArray[np.complex128]) -> Matrix:
    """Scale eigenvectors (in whitened coordinates) so that E|psi|^2 = 1, pairs together."""
    size = pair_sums(np.sum(vectors**2, axis=0), values)
    return vectors / np.sqrt(np.where(size > 0, size, 1.0))


def fix_signs(vectors: Matrix, weights: Matrix | None = None) -> NDArray[Any]:
    """Signs (+1 or -1) that make the largest component of each column positive."""
    size = vectors if weights is None else vectors * weights[:, None]
    leading = np.argmax(np.abs(size), axis=0)
    signs: NDArray[Any] = np.where(size[leading, np.arange(size.shape[1])] < 0, -1.0, 1.0)
    return signs
