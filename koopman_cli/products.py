"""Products of lagged pairs in the plain way, that all fast ways must equal; maps of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def augment(x: NDArray[Any], shift: Matrix, scale: Matrix, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Frames x (n, d) to z = [(x - shift) * scale, 1]."""
    z = np.empty((len(x), x.shape[1] + 1), dtype)
    z[:, -1] = 1
    np.subtract(x, shift, out=z[:, :-1], casting="same_kind")
    z[:, :-1] *= scale
    return z


def products(
    zx: NDArray[Any], zy: NDArray[Any], weights: NDArray[Any] | None = None
) -> tuple[Matrix, Matrix, Matrix]:
    """(xx, xy, yy) of augmented pairs, optionally weighted by pair."""
    wx, wy = (zx, zy) if weights is None else (zx * weights[:, None], zy * weights[:, None])
    parts = (wx.T @ zx, wx.T @ zy, wy.T @ zy)
    xx, xy, yy = (np.asarray(p, np.float64) for p in parts)
    return xx, xy, yy


def affine(shift: Matrix, scale: Matrix, origin: Matrix, functions: Matrix) -> Matrix:
    """T with [f, 1] = [z, 1] T for f = (x - origin) @ functions."""
    scaled = functions / scale[:, None]
    transform = np.zeros((len(scale) + 1, functions.shape[1] + 1))
    transform[:-1, :-1] = scaled
    transform[-1, :-1] = ((shift - origin) * scale) @ scaled
    transform[-1, -1] = 1.0
    return transform


def congruence(
    parts: tuple[Matrix, Matrix, Matrix], transform: Matrix
) -> tuple[Matrix, Matrix, Matrix]:
    """T' M T of (xx, xy, yy)."""
    xx, xy, yy = (transform.T @ part @ transform for part in parts)
    return xx, xy, yy
