"""Leading functions of wide regressions with a ridge, without the many others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.sparse import linalg as sparse

from koopman_cli.blas import product
from koopman_cli.linalg import (
    Whitening,
    leading_eigh,
    sorted_eig,
    sorted_svd,
    unit_variance,
    whiten,
)
from koopman_cli.moments import Covariances

Matrix = NDArray[np.float64]

#: Left and right functions, eigenvalues or singular values.
Functions = tuple[Matrix, Matrix, NDArray[np.complex128] | None, Matrix | None]

#: Functions above which only the leading ones of a regression with a ridge are computed.
WIDE = 300
LEADING = 60

#: Random vectors that a trace is estimated with.
PROBES = 30

#: Singular values below this share of the largest belong to no direction of their own.
INDEPENDENT = 1e-8


def whiten_ridged(covariance: Matrix) -> Whitening:
    """Whitening by a Cholesky factor: with a ridge no direction needs to be dropped."""
    lower = _factor(covariance)
    if lower is None:
        return whiten(covariance)
    matrix = scipy.linalg.lapack.dtrtri(lower, lower=1)[0].T
    return Whitening(matrix, len(lower), _condition(lower))


def _factor(covariance: Matrix) -> Matrix | None:
    """Lower Cholesky factor; None where the ridge is below the rounding of the covariance."""
    try:
        # The transpose of a matrix in rows is one in columns, which needs no reordering.
        found: Matrix = scipy.linalg.cholesky(covariance.T, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    return found


def _condition(lower: Matrix) -> float:
    pivots = np.diag(lower)
    return float((pivots.max() / pivots.min()) ** 2)


@dataclass(frozen=True)
class Regression:
    """Functions of a regression, and what is known of it.

    condition : of C00, the ridge included
    neglected : size of what the regression leaves out
    rank : directions that it was solved in
    freedom : those that a ridge leaves free
    """

    functions: Functions
    condition: float
    neglected: float
    rank: int
    freedom: float


def leading_reversible(c: Covariances, ridge: float) -> Regression | None:
    """Leading functions of C01 v = lambda C00 v, of a C00 that holds a ridge.

    Without a whitening: what it takes costs more than all the rest. None where C00 has no
    Cholesky factor.
    """
    lower = _factor(c.c00)
    if lower is None:
        return None
    values, functions = leading_eigh(c.c01, LEADING, lower)
    found = (functions, functions, values.astype(np.complex128), None)
    free = len(lower) - ridge * _inverse_trace(lower)
    return Regression(found, _condition(lower), ridge**0.5, len(lower), free)


def _inverse_trace(lower: Matrix) -> float:
    """Tr (L L')^-1, within a few percent of the width, from random signs (Hutchinson 1990)."""
    signs = np.random.default_rng(0).integers(0, 2, (len(lower), PROBES)) * 2.0 - 1.0
    half = scipy.linalg.solve_triangular(lower, signs, lower=True, check_finite=False)
    return float(np.sum(half**2)) / PROBES


def leading(c: Covariances, w0: Whitening, solver: str) -> Functions | None:
    """The leading functions of a wide problem in whitened directions.

    Where the problem is not symmetric, Lanczos and Arnoldi iterations find the space that they
    span, in which the small problem is then solved; None where they do not converge.
    """
    options: dict[str, Any] = {"k": LEADING, "ncv": 3 * LEADING, "v0": np.ones(w0.rank)}
    w1 = w0 if solver != "svd" else whiten_ridged(c.c11)
    small = product(product(w0.matrix.T, c.c01), w1.matrix)
    try:
        if solver == "svd":
            u, _, vt = sparse.svds(small, **options)
            u, v = np.linalg.qr(u)[0], np.linalg.qr(vt.T)[0]
            inner, s, outer = sorted_svd(u.T @ small @ v)
            return w0.matrix @ (u @ inner), w1.matrix @ (v @ outer), None, s
        if solver == "reversible":
            values, vectors = leading_eigh(small, LEADING)
            functions = product(w0.matrix, vectors)
            return functions, functions, values.astype(np.complex128), None
        vectors = sparse.eigs(small, which="LM", **options)[1]
    except sparse.ArpackError:
        return None
    # Real and imaginary parts span what the complex vectors span; both halves of a pair.
    basis, size, _ = np.linalg.svd(np.hstack([vectors.real, vectors.imag]), full_matrices=False)
    basis = basis[:, size > INDEPENDENT * size[0]]
    complex_values, inner = sorted_eig(basis.T @ small @ basis)
    functions = w0.matrix @ (basis @ unit_variance(inner, complex_values))
    return functions, functions, complex_values, None
