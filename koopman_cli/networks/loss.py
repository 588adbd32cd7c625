"""What is maximised: the package's VAMP score of a batch of lagged pairs.

vamp1, vamp2  VAMP-1 and VAMP-2 of the batch's moments
vampe         VAMP-E with the singular functions and values of the batch itself
reversible    VAMP-2 of moments averaged over both directions of time: 1 + sum of lambda^2

VAMP-E with the batch's own functions has the value and the gradient of VAMP-2 (what they
maximise cannot change it to first order); it is there for comparison with other programs.
Sources: Mardt et al., Nat. Commun. 9, 5 (2018); Chen, Sidky and Ferguson, J. Chem. Phys. 150,
214114 (2019).
"""

from __future__ import annotations

from typing import Any

from koopman_cli.scoring import vamp_score

Tensor = Any

LOSSES = ("vamp1", "vamp2", "vampe", "reversible")


def centred(pairs: Tensor, *, reversible: bool) -> Tensor:
    """Functions (S, 2, n, k) in float64 less their means, of both ends together if reversible."""
    import torch

    z = pairs.to(torch.float64, memory_format=torch.contiguous_format)
    mean = z.mean(dim=(1, 2) if reversible else 2, keepdim=True)
    # In place only where the copy is our own and no gradient is asked for.
    own = z.data_ptr() != pairs.data_ptr() and not z.requires_grad
    return z.sub_(mean) if own else z - mean


def covariances(z: Tensor, *, reversible: bool) -> tuple[Tensor, ...]:
    """C00, C01, C11 of centred functions, each (S, k, k); C0, C1 with pairs counted both ways."""
    x, y, n = z[:, 0], z[:, 1], z.shape[2]
    xt, yt = x.transpose(1, 2), y.transpose(1, 2)
    if reversible:
        return (xt @ x + yt @ y) / (2 * n), (xt @ y + yt @ x) / (2 * n)
    return xt @ x / n, xt @ y / n, yt @ y / n


def _score_of(c: tuple[Tensor, ...], loss: str, ridge: float) -> Tensor:
    if loss == "vampe":
        return _own_vampe(c, ridge)
    if loss == "reversible":
        c = *c, c[0]
    return vamp_score(*c, r=1 if loss == "vamp1" else 2, ridge=ridge)


def batch_score(pairs: Tensor, loss: str = "vamp2", ridge: float = 0.0) -> Tensor:
    """Scores (S,) of functions (S, 2, n, k) of lagged pairs; NaN where they are dependent.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(1, 1, 100, 2, dtype=torch.float64)
    >>> bool((batch_score(torch.cat([x, x], 1)) - 3).abs() < 1e-9)
    True
    """
    reversible = loss == "reversible"
    return _score_of(
        covariances(centred(pairs, reversible=reversible), reversible=reversible), loss, ridge
    )


def score_and_slope(pairs: Tensor, loss: str, ridge: float = 0.0) -> tuple[Tensor, Tensor]:
    """The score of :func:`batch_score` and its derivative with respect to the functions.

    With G00, G01, G11 the derivatives of the score by the covariances it is

        d/dX = (X (G00 + G00') + Y G01') / n,   d/dY = (X G01 + Y (G11 + G11')) / n

    written out, which spares a chain of operations on long arrays.
    """
    import torch

    reversible = loss == "reversible"
    with torch.no_grad():
        z = centred(pairs, reversible=reversible)
        c = covariances(z, reversible=reversible)
    find = _squares if loss in ("vamp2", "reversible") else _by_autograd
    score, found = find(c, loss, ridge)
    with torch.no_grad():
        g01 = found[1]
        g00, g11 = (g + g.transpose(1, 2) for g in (found[0], found[-1]))
        if reversible:
            # C0 and C1 are means over both directions: half of each slope, and C0 has both ends.
            g01 = (g01 + g01.transpose(1, 2)) / 2
            g00 = g11 = g00 / 2
        x, y, n = z[:, 0], z[:, 1], z.shape[2]
        g00, g01, g11 = g00 / n, g01 / n, g11 / n
        slope = torch.empty_like(pairs, memory_format=torch.contiguous_format)
        slope[:, 0] = torch.baddbmm(y @ g01.transpose(1, 2), x, g00)
        slope[:, 1] = torch.baddbmm(x @ g01, y, g11)
        return score.detach(), slope


def _by_autograd(c: tuple[Tensor, ...], loss: str, ridge: float) -> tuple[Tensor, Any]:
    """Score and its derivatives by the covariances."""
    import torch

    for m in c:
        m.requires_grad_()
    with torch.enable_grad():
        score = _score_of(c, loss, ridge)
        return score, torch.autograd.grad(score.sum(), c)


def _squares(c: tuple[Tensor, ...], loss: str, ridge: float) -> tuple[Tensor, Any]:
    """The same for VAMP-2 = 1 + tr(A C01') with A = C00^-1 C01 C11^-1, in closed form.

    d/dC01 = 2 A, d/dC00 = -A C01' C00^-1, d/dC11 = -C11^-1 C01' A; the score is ``vamp_score``.
    """
    import torch

    with torch.no_grad():
        score = _score_of(c, loss, ridge)
        c01, first = c[1], _inverse(c[0], ridge)
        last = first if len(c) == 2 else _inverse(c[2], ridge)
        a = first @ c01 @ last
        across = a @ c01.transpose(1, 2)
        if len(c) == 2:
            return score, (-2 * across @ first, 2 * a)
        return score, (-across @ first, 2 * a, -last @ (c01.transpose(1, 2) @ a))


def _inverse(c: Tensor, ridge: float) -> Tensor:
    """Inverses of positive definite matrices, without waiting for the device."""
    import torch

    eye = torch.eye(c.shape[-1], dtype=c.dtype, device=c.device)
    lower = torch.linalg.cholesky_ex(c + ridge * eye if ridge else c)[0]
    half = torch.linalg.solve_triangular(lower, eye.expand_as(c), upper=False)
    return half.transpose(-1, -2) @ half


def _own_vampe(c: tuple[Tensor, ...], ridge: float) -> Tensor:
    """VAMP-E of the functions that the covariances themselves determine, held fixed."""
    import torch

    c00, c01, c11 = c
    eye = ridge * torch.eye(c00.shape[-1], dtype=c00.dtype, device=c00.device)
    with torch.no_grad():
        lower = [torch.linalg.cholesky_ex(m + eye) for m in (c00, c11)]
        inner = torch.linalg.solve_triangular(lower[0][0], c01, upper=False)
        inner = torch.linalg.solve_triangular(lower[1][0], inner.transpose(-1, -2), upper=False)
        bad = (lower[0][1] > 0) | (lower[1][1] > 0) | ~torch.isfinite(inner).all(-1).all(-1)
        u, s, vt = torch.linalg.svd(torch.where(bad[:, None, None], 0.0, inner.transpose(-1, -2)))
        u = torch.linalg.solve_triangular(lower[0][0].transpose(-1, -2), u, upper=True)
        v = torch.linalg.solve_triangular(lower[1][0].transpose(-1, -2), vt.mT, upper=True)
    score = vamp_score(u.mT @ (c00 + eye) @ u, u.mT @ c01 @ v, v.mT @ (c11 + eye) @ v,
                       s[..., None, :].squeeze(-2), r="E")  # fmt: skip
    return torch.where(bad, torch.nan, score)
