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


def batch_covariances(pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Centred C00, C01, C11 of functions of lagged pairs (S, 2, n, k), each (S, k, k), float64."""
    z = pairs.double()
    z = z - z.mean(dim=2, keepdim=True)
    x, y = z[:, 0], z[:, 1]
    n = z.shape[2]
    xt = x.transpose(1, 2) / n
    return xt @ x, xt @ y, y.transpose(1, 2) @ y / n


def reversible_covariances(pairs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """C0, C1, C0 with every pair counted in both directions of time."""
    z = pairs.double()
    z = z - z.mean(dim=(1, 2), keepdim=True)
    x, y = z[:, 0], z[:, 1]
    n = 2 * z.shape[2]
    xt, yt = x.transpose(1, 2), y.transpose(1, 2)
    c0, c1 = (xt @ x + yt @ y) / n, (xt @ y + yt @ x) / n
    return c0, c1, c0


def batch_score(pairs: Tensor, loss: str = "vamp2", ridge: float = 0.0) -> Tensor:
    """Scores (S,) of functions (S, 2, n, k) of lagged pairs; NaN where they are dependent.

    Examples
    --------
    >>> import torch
    >>> x = torch.randn(1, 1, 100, 2, dtype=torch.float64)
    >>> bool((batch_score(torch.cat([x, x], 1)) - 3).abs() < 1e-9)
    True
    """
    cov = reversible_covariances if loss == "reversible" else batch_covariances
    c = cov(pairs)
    if loss == "vampe":
        return _own_vampe(c, ridge)
    return vamp_score(*c, r=1 if loss == "vamp1" else 2, ridge=ridge)


def _own_vampe(c: tuple[Tensor, Tensor, Tensor], ridge: float) -> Tensor:
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
