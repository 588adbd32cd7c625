"""The VAMP score: one function for numpy arrays and torch tensors, the only scores here.

Every score contains 1 for the constant function, which every model has for nothing.
Scores at different lags mean different things and are never ranked against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blas import product
from koopman_cli.centring import Offset
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
        If C00 or C11 is not positive definite (numpy; tensors score NaN there).

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
        eye = xp.eye(c00.shape[-1], dtype=c00.dtype, device=array_api_compat.device(c00))
        c00, c11 = c00 + ridge * eye, c11 + ridge * eye
    half = _solve_lower(xp, _lower(xp, c00), c01)
    koopman = _solve_lower(xp, _lower(xp, c11), xp.matrix_transpose(half))
    if r == 2:
        return 1 + xp.sum(koopman * koopman, axis=(-2, -1))
    if r == 1:
        return 1 + _nuclear_norm(xp, koopman)
    raise ValueError(f"r must be 1, 2 or 'E', not {r!r}")


def _lower(xp: Any, c: Any) -> Any:
    """Cholesky factors; of what has none an error (numpy) or NaN (torch)."""
    if hasattr(xp.linalg, "cholesky_ex"):
        # Unlike ``cholesky`` this does not wait for the device, and one bad matrix spoils no batch.
        lower, info = xp.linalg.cholesky_ex(c)
        return xp.where((info > 0)[..., None, None], xp.nan, lower)
    try:
        return xp.linalg.cholesky(c)
    except np.linalg.LinAlgError as error:
        raise SupportError(
            "the functions are linearly dependent on this set: no VAMP score",
            "take fewer functions, or a ridge",
        ) from error


def _nuclear_norm(xp: Any, matrix: Any) -> Any:
    """Sum of the singular values; NaN of what is not finite, which svd would refuse."""
    fine = xp.all(xp.isfinite(matrix), axis=(-2, -1))
    values = xp.linalg.svdvals(xp.where(fine[..., None, None], matrix, xp.zeros_like(matrix)))
    return xp.where(fine, xp.sum(values, axis=-1), xp.nan)


def _solve_lower(xp: Any, lower: Any, b: Any) -> Any:
    if hasattr(xp.linalg, "solve_triangular"):
        return xp.linalg.solve_triangular(lower, b, upper=False)
    return xp.linalg.solve(lower, b)


@dataclass(frozen=True)
class FoldScore:
    """The three scores of one model on one set; ``poor``: too few events to judge."""

    vamp1: float
    vamp2: float
    vampe: float
    poor: bool = False


def _through(c: Covariances, left: Matrix, right: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    return left.T @ c.c00 @ left, left.T @ c.c01 @ right, right.T @ c.c11 @ right


def _seen(m: Moments, left: Matrix, right: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """The covariances of functions (in units of z), without those of all that they are made of."""
    if m.n <= 0:
        m.covariances()  # raises
    f, g = left.T @ m.xx[:-1, -1] / m.n, right.T @ m.yy[:-1, -1] / m.n
    found = []
    for part, a, b, at, to in (
        (m.xx, left, left, f, f), (m.xy, left, right, f, g), (m.yy, right, right, g, g),
    ):  # fmt: skip
        found.append(a.T @ product(part[:-1, :-1], b) / m.n - np.outer(at, to))
    return found[0], found[1], found[2]


def singular_functions(
    train: Moments, left: Matrix, right: Matrix, rtol: float = 1e-10
) -> tuple[Matrix, Matrix, Matrix]:
    """Whitened singular functions (U, s, V) of the span of a model on its training set.

    left, right : (d, k) coefficients, in the units of the features. The functions returned
    are coefficients in units of z (see :mod:`koopman_cli.moments`).
    """
    c = train.covariances()
    unit = train.scale[:, None]
    left, right = left / unit, right / unit
    c00, c01, c11 = _through(c, left, right)
    still = (np.diag(c00) <= 0) | (np.diag(c11) <= 0)
    if still.any() and not still.all():
        # Such as the steady part of a flow without noise: it scores what the constant does.
        return singular_functions(train, left[:, ~still] * unit, right[:, ~still] * unit, rtol)
    w0, w1 = whiten(c00, rtol).matrix, whiten(c11, rtol).matrix
    u, s, v = sorted_svd(w0.T @ c01 @ w1)
    k = len(s)
    u, v = left @ w0 @ u[:, :k], right @ w1 @ v[:, :k]
    signs = fix_signs(u)
    return u * signs, s, v * signs


def _about_runs(
    parts: tuple[Matrix, Matrix, Matrix], u: Matrix, v: Matrix, away: Offset | None
) -> tuple[Matrix, Matrix, Matrix]:
    """Covariances of functions about the means of the runs, from those about their own mean."""
    if away is None:
        return parts
    f, g = away[0] @ u, away[1] @ v
    return parts[0] + np.outer(f, f), parts[1] + np.outer(f, g), parts[2] + np.outer(g, g)


def score_set(
    u: Matrix, s: Matrix, v: Matrix, test: Moments, away: Offset | None = None
) -> FoldScore:
    """Score singular functions (in units of z of ``test``) on the moments of a set.

    VAMP-1 and VAMP-2 whiten again on this set and cannot see over-fitting; VAMP-E can.
    ``away`` is the offset of a part of a run (:func:`koopman_cli.centring.offset`).
    """
    own = _through(test.covariances(), u, v)
    c00, c01, c11 = _about_runs(own, u * test.scale[:, None], v * test.scale[:, None], away)
    vampe = float(vamp_score(c00, c01, c11, s, r="E"))
    # A function that never moves on this set adds nothing to VAMP-1 and VAMP-2.
    moving = (np.diag(c00) > 1e-12) & (np.diag(c11) > 1e-12)
    if not moving.any():
        return FoldScore(1.0, 1.0, vampe, poor=True)
    inner = np.ix_(moving, moving)
    w0, w1 = whiten(c00[inner]).matrix, whiten(c11[inner]).matrix
    small = w0.T @ c01[inner] @ w1
    ones = np.eye(w0.shape[1]), np.eye(w1.shape[1])
    return FoldScore(
        float(vamp_score(ones[0], small, ones[1], r=1)),
        float(vamp_score(ones[0], small, ones[1], r=2)),
        vampe,
        poor=_too_few(np.diag(own[0])),
    )


def _too_few(ratio: Matrix) -> bool:
    """Whether a set holds too few events to judge, from var(test)/var(train) of its modes.

    A mode contributes s^2 (2 r - r^2): with r outside [1/2, 2] the score says how often the
    rare state was visited, not how good the model is. The variance is that about the set's own
    mean, since a part of a run may be far from the mean of the run and hold no event.
    """
    return bool(np.any((ratio > 2) | (ratio < 0.5)))


#: Smallest pivot of a Cholesky factor with which nested models are scored at once.
MIN_PIVOT = 1e-5


def score_nested(
    train: Moments,
    test: Moments,
    left: Matrix,
    right: Matrix,
    dims: Sequence[int],
    away: Offset | None = None,
) -> list[FoldScore]:
    r"""Scores of the models made of the first k functions, for several k at the cost of one.

    With F = L L' (Cholesky) the leading block of L belongs to the leading block of F, so

        P = L0^-1 (U'C01V) L1^-T

    is whitened for every k by its own leading block: VAMP-2(k) = 1 + \|P[:k, :k]\|_F^2. VAMP-1
    and VAMP-E need one singular value decomposition of a k x k matrix each.

    Parameters
    ----------
    train, test : Moments
        About the same shift and scale.
    left, right : (d, k) arrays
        Functions of the model, in the units of the features, slowest first.
    dims : sequence of int
        Numbers of functions, each at least 1 and at most k.
    away : two (d,) arrays, optional
        Offset of a test set that is part of a run (:func:`koopman_cli.centring.offset`).

    Returns
    -------
    list of FoldScore
        Equal to :func:`singular_functions` and :func:`score_set` for each dim.
    """
    widest = max(dims)
    a, b = left[:, :widest] / train.scale[:, None], right[:, :widest] / train.scale[:, None]
    seen = _seen(train, a, b)
    inner = seen if test.xx is train.xx else _seen(test, a, b)
    held = _about_runs(inner, left[:, :widest], right[:, :widest], away)
    factors = [_cholesky(m) for m in (seen[0], seen[2], held[0], held[2])]
    if any(f is None for f in factors):
        return [_score_one(train, test, (left[:, :k], right[:, :k]), away) for k in dims]
    (t00, t01, t11), m = _between(factors[:2], held), _between(factors[:2], seen)[1]
    # Whether a part holds events is asked about its own mean.
    inside = _between(factors[:2], inner)[0]
    p = _between(factors[2:], held)[1]
    squares = np.cumsum(np.cumsum(p * p, axis=0), axis=1)
    # All dims in one call: functions beyond k have the singular value 0 and add nothing.
    stacks, s = np.zeros((3, len(dims), widest, widest)), np.zeros((len(dims), widest))
    poor = []
    for i, k in enumerate(dims):
        u, s[i, :k], vt = np.linalg.svd(m[:k, :k])
        stacks[0, i, :k, :k] = u.T @ t00[:k, :k] @ u
        stacks[1, i, :k, :k] = u.T @ t01[:k, :k] @ vt.T
        stacks[2, i, :k, :k] = vt @ t11[:k, :k] @ vt.T
        poor.append(_too_few(np.diag(u.T @ inside[:k, :k] @ u)))
    vampe = vamp_score(stacks[0], stacks[1], stacks[2], s, r="E")
    return [
        FoldScore(
            1 + float(np.linalg.svd(p[:k, :k], compute_uv=False).sum()),
            1 + float(squares[k - 1, k - 1]),
            float(vampe[i]),
            poor[i],
        )
        for i, k in enumerate(dims)
    ]


def _cholesky(matrix: Matrix) -> Matrix | None:
    """Lower factor, or None where the functions are too nearly dependent for it."""
    try:
        lower = np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return None
    return np.asarray(lower) if np.diag(lower).min() > MIN_PIVOT else None


def _between(factors: Sequence[Matrix | None], parts: tuple[Matrix, ...]) -> list[Matrix]:
    """L0^-1 C00 L0^-T, L0^-1 C01 L1^-T and L1^-1 C11 L1^-T."""
    inverse0, inverse1 = (np.linalg.inv(f) for f in factors if f is not None)
    c00, c01, c11 = parts
    return [
        inverse0 @ c00 @ inverse0.T,
        inverse0 @ c01 @ inverse1.T,
        inverse1 @ c11 @ inverse1.T,
    ]


def _score_one(
    train: Moments, test: Moments, functions: tuple[Matrix, Matrix], away: Offset | None
) -> FoldScore:
    return score_set(*singular_functions(train, *functions), test, away)
