"""The error of r2 that is there whatever the blocks have seen.

r2 is the mean of A_t B_t, the residuals after and before frame t of a function psi,

    A_t = psi_{t+lag} - lambda psi_t,    B_t = psi_{t-lag} - lambda psi_t.

In a reversible process both have the same autocovariance, and for an eigenfunction they are
independent given the frame, so that <A^2 B^2> is at least <A^2>^2 = (1 - lambda^2)^2: the error
of r2 is not below that of a Gaussian process of these covariances. Where rare jumps make the
error (A and B are both large only at two jumps within two lags) blocks that saw no such pair of
jumps tell far too small a one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def stretches(blocks: NDArray[np.int64], segments: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frames of every contiguous stretch inside the blocks.

    Parameters
    ----------
    blocks, segments : (., 2) int arrays
        First and last + 1 frame of each, segments in order.

    Examples
    --------
    >>> stretches(np.array([[0, 50], [60, 100]]), np.array([[0, 70], [70, 100]])).tolist()
    [50, 10, 30]
    """
    found = [np.zeros(0, np.int64)]
    for first, last in blocks.tolist():
        begin = max(int(np.searchsorted(segments[:, 0], first, side="right")) - 1, 0)
        part = segments[begin : int(np.searchsorted(segments[:, 0], last))]
        found.append(np.minimum(part[:, 1], last) - np.maximum(part[:, 0], first))
    lengths = np.concatenate(found)
    return lengths[lengths > 0]


def places(lengths: NDArray[np.int64], lag: int) -> Matrix:
    """(lag,) pairs of places of r2 (a lag from both ends of a stretch) that are 0, 1, ... apart.

    Examples
    --------
    >>> places(np.array([10, 7]), 3).tolist()
    [5.0, 3.0, 2.0]
    """
    inner = np.sort(np.maximum(lengths - 2 * lag, 0)).astype(np.float64)
    apart = np.arange(lag)
    longer = np.searchsorted(inner, apart, side="right")
    left = np.append(np.cumsum(inner[::-1])[::-1], 0.0)
    found: Matrix = left[longer] - apart * (len(inner) - longer)
    return found


def least_error(c: Matrix, near: Matrix) -> Matrix:
    r"""Least standard error of r2 of k functions with correlations c.

    With R(s) the autocovariance of A and n_s the number of pairs of places s frames apart,

        se^2 = (n_0 R(0)^2 + 2 \sum_{0 < s < lag} n_s R(s)^2) / n_0^2,    R(0) = 1 - lambda^2,
        R(s) = q (mu^s (1 + lambda^2) - lambda (mu^{lag-s} + mu^{lag+s}))

    for a function of which the part q of the variance is motion and the rest noise that forgets
    itself within a frame: c(s) = q mu^s, which its correlations at the lag and at twice the lag
    determine (q = 1 where they contradict reversibility). For slow motion without noise that is
    (1 - lambda^2) sqrt((2 lag^2 + 1) / (3 lag N)).

    Parameters
    ----------
    c : (2, k) array
        Correlations at the lag and at twice the lag, lambda the first.
    near : (lag,) array
        n_s, as of :func:`places`; none gives no error.

    Examples
    --------
    >>> near = places(np.array([100_000]), 50)
    >>> slow, noisy = least_error(np.array([[0.99, 0.5], [0.99**2, 0.499]]), near)
    >>> told = (1 - 0.99**2) * np.sqrt((2 * 50**2 + 1) / (3 * 50 * near[0]))
    >>> round(float(slow / told), 2), round(float(noisy / 0.75 * np.sqrt(near[0])), 1)
    (1.0, 1.9)
    """
    if not len(near) or near[0] <= 0:
        return np.zeros(c.shape[1])
    lag, value = len(near), c[0]
    moving = (value > 0) & (c[1] > 0)
    safe = np.where(moving, c, 0.5)
    motion = np.minimum(safe[0] ** 2 / safe[1], 1.0)
    step = np.minimum(safe[0] / motion, 1.0)[:, None] ** (1 / lag)
    s, lam = np.arange(1, lag), safe[0][:, None]
    covariance = motion[:, None] * (
        step**s * (1 + lam**2) - lam * (step ** (lag - s) + step ** (lag + s))
    )
    overlap = np.where(moving, 2 * np.square(covariance) @ near[1:], 0.0)
    squared = near[0] * (1 - value**2) ** 2 + overlap
    error: Matrix = np.sqrt(squared) / near[0]
    return error
