"""The VAMP score: one function for numpy arrays and torch tensors, the only scores here.

Every score contains 1 for the constant function, which every model has for nothing.
Scores at different lags mean different things and are never ranked against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import SupportError
from koopman_cli.linalg import fix_signs, sorted_svd, whiten
from koopman_cli.moments import Covariances, Moments

Matrix = NDArray[np.float64]
Kind = Literal[1, 2, "E"]


def vamp_score(
    c00: Any,
    c01: Any,
    c11: Any,
    singular_values: Any = None,
    *,
    r: Kind = 2,
    ridge: float = 0.0,
) -> Any:
    r"""VAMP score of k functions from their centred covariances.

    With C00 = L0 L0', C11 = L1 L1' and the Schatten norm,

        VAMP-r = 1 + \|\| L0^-1 C01 L1^-T \|\|_r^r,   r = 1, 2
        VAMP-E = 1 + tr[2 S C01 - S C00 S C11]

    where, for VAMP-E, the functions are the whitened singular functions of the training set,
    the covariances those of the test set, and S = diag(singular values of the training set).

    Parameters
    ----------
    c00, c01, c11 : (k, k) numpy arrays or torch tensors
        Covariances of the left functions, of left with right, of the right functions.
        (..., k, k) scores a batch.
    singular_values : (k,) array
        S, for VAMP-E.
    r : 1, 2 or "E"
        Which score.
    ridge : float
        Added to the diagonals of C00 and C11. A regulariser for training; 0 in comparisons.

    Returns
    -------
    scalar (or batch) of the kind given, differentiable for tensors.

    Raises
    ------
    SupportError
        If C00 or C11 is not positive definite (numpy).

    Notes
    -----
    Cholesky factors instead of eigenvectors keep the gradient finite at equal eigenvalues.
    Source: Wu and Noe, J. Nonlinear Sci. 30, 23 (2020).

    Examples
    --------
    >>> one, c01 = np.eye(2), np.diag([0.9, 0.5])
    >>> float(round(vamp_score(one, c01, one, r=2), 12))
    2.06
    >>> float(round(vamp_score(one, c01, one, [0.9, 0.5], r="E"), 12))
    2.06
    """
    import array_api_compat

    xp: Any = array_api_compat.array_namespace(c00, c01, c11)
    if r == "E":
        s = xp.asarray(singular_values, dtype=c01.dtype)
        cross = xp.sum(s * xp.linalg.diagonal(c01), axis=-1)
        inner = s[..., :, None] * c00 * s[..., None, :]
        return 1 + 2 * cross - xp.sum(inner * xp.matrix_transpose(c11), axis=(-2, -1))
    if ridge:
        eye = xp.eye(c00.shape[-1], dtype=c00.dtype)
        c00, c11 = c00 + ridge * eye, c11 + ridge * eye
    try:
        lower0, lower1 = xp.linalg.cholesky(c00), xp.linalg.cholesky(c11)
    except np.linalg.LinAlgError as error:
        raise SupportError(
            "the functions are linearly dependent on this set: no VAMP score",
            "take fewer functions, or a ridge",
        ) from error
    half = xp.linalg.solve(lower0, c01)
    koopman = xp.linalg.solve(lower1, xp.matrix_transpose(half))
    if r == 2:
        return 1 + xp.sum(koopman * koopman, axis=(-2, -1))
    if r == 1:
        return 1 + xp.sum(xp.linalg.svdvals(koopman), axis=-1)
    raise ValueError(f"r must be 1, 2 or 'E', not {r!r}")


@dataclass(frozen=True)
class FoldScore:
    """The three scores of one model on one set; ``poor``: too few events to judge."""

    vamp1: float
    vamp2: float
    vampe: float
    poor: bool = False


def _through(c: Covariances, left: Matrix, right: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    return left.T @ c.c00 @ left, left.T @ c.c01 @ right, right.T @ c.c11 @ right


def singular_functions(
    train: Moments, left: Matrix, right: Matrix, rtol: float = 1e-10
) -> tuple[Matrix, Matrix, Matrix]:
    """Whitened singular functions (U, s, V) of the span of a model on its training set.

    left, right : (d, k) coefficients, in the units of the features. The functions returned
    are coefficients in units of z (see :mod:`koopman_cli.moments`).
    """
    c = train.covariances()
    left, right = left / train.scale[:, None], right / train.scale[:, None]
    c00, c01, c11 = _through(c, left, right)
    w0, w1 = whiten(c00, rtol).matrix, whiten(c11, rtol).matrix
    u, s, v = sorted_svd(w0.T @ c01 @ w1)
    k = len(s)
    u, v = left @ w0 @ u[:, :k], right @ w1 @ v[:, :k]
    signs = fix_signs(u)
    return u * signs, s, v * signs


def score_set(u: Matrix, s: Matrix, v: Matrix, test: Moments) -> FoldScore:
    """Score singular functions (in units of z of ``test``) on the moments of a set.

    VAMP-1 and VAMP-2 whiten again on this set and cannot see over-fitting; VAMP-E can.
    """
    c00, c01, c11 = _through(test.covariances(), u, v)
    vampe = float(vamp_score(c00, c01, c11, s, r="E"))
    # A function that never moves on this set adds nothing to VAMP-1 and VAMP-2.
    moving = (np.diag(c00) > 1e-12) & (np.diag(c11) > 1e-12)
    if not moving.any():
        return FoldScore(1.0, 1.0, vampe, poor=True)
    inner = np.ix_(moving, moving)
    w0, w1 = whiten(c00[inner]).matrix, whiten(c11[inner]).matrix
    small = w0.T @ c01[inner] @ w1
    ones = np.eye(w0.shape[1]), np.eye(w1.shape[1])
    ratio = np.diag(c00)
    return FoldScore(
        float(vamp_score(ones[0], small, ones[1], r=1)),
        float(vamp_score(ones[0], small, ones[1], r=2)),
        vampe,
        # A mode contributes s^2 (2 r - r^2), r = var(test)/var(train): outside [1/2, 2] the
        # fold says how often the rare state was visited, not how good the model is.
        poor=bool(np.any((ratio > 2) | (ratio < 0.5))),
    )
