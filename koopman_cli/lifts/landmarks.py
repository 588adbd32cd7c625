"""Landmarks: which frames a kernel is taken against.

cholesky  randomly pivoted Cholesky: frames are drawn with probability proportional to what the
          landmarks so far leave of k(x, x), in blocks with rejection, which draws the same
          distribution as one by one
kmeans    seeding of k-means++: drawn in proportion to the squared distance to the nearest
uniform   drawn evenly

Sources: Chen, Epperly, Tropp and Webber, Commun. Pure Appl. Math. 78, 995 (2025); Epperly,
Tropp and Webber, arXiv:2410.03969 (blocks with rejection); Arthur and Vassilvitskii, SODA 2007.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.lifts.kernelfunctions import Evaluator, Kernel, diagonal

Matrix = NDArray[np.float64]

METHODS = ("cholesky", "kmeans", "uniform")

#: What is left of k(x, x) below this share of its mean counts as nothing.
NOTHING = 1e-12


def choose_landmarks(kernel: Kernel, x: Matrix, count: int, method: str, seed: int) -> Any:
    """Indices of at most ``count`` frames of x (n, d), in the order chosen.

    Examples
    --------
    >>> from koopman_cli.lifts.kernelfunctions import parse_kernel
    >>> kernel = Kernel(parse_kernel("gaussian@0.5", ["x"]))
    >>> x = np.array([[0.0], [0.0], [0.0], [9.0]])
    >>> sorted(x[choose_landmarks(kernel, x, 3, "cholesky", 0), 0].tolist())
    [0.0, 9.0]
    """
    rng = np.random.default_rng(seed)
    if count >= len(x):
        return np.arange(len(x))
    if method == "uniform":
        return rng.choice(len(x), count, replace=False)
    if method == "kmeans":
        return _spread_out(x, count, rng)
    return _random_pivots(kernel, x, count, rng)


def _spread_out(x: Matrix, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    chosen = [int(rng.integers(len(x)))]
    nearest = np.full(len(x), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, ((x - x[chosen[-1]]) ** 2).sum(axis=1))
        total = nearest.sum()
        if total <= 0:
            break
        chosen.append(int(rng.choice(len(x), p=nearest / total)))
    return np.array(chosen)


def _random_pivots(
    kernel: Kernel, x: Matrix, count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    left = np.array(diagonal(kernel, x))
    limit = NOTHING * left.mean()
    factor = np.empty((len(x), count))
    chosen: list[int] = []
    block = max(1, min(200, count // 5))
    while len(chosen) < count and left.max() > limit:
        done = len(chosen)
        drawn = rng.choice(len(x), block, p=left / left.sum())
        taken = _accepted(kernel, x, factor[:, :done], drawn, left, rng)[: count - done]
        if not len(taken):
            continue
        columns = Evaluator(kernel, x[taken])(x) - factor[:, :done] @ factor[taken, :done].T
        own = columns[taken]
        lower = np.linalg.cholesky((own + own.T) / 2 + limit / 1e3 * np.eye(len(taken)))
        fresh = scipy.linalg.solve_triangular(lower, columns.T, lower=True).T
        factor[:, done : done + len(taken)] = fresh
        left = np.maximum(left - (fresh**2).sum(axis=1), 0.0)
        left[taken] = 0.0
        left[left <= limit] = 0.0
        chosen += taken.tolist()
    return np.array(chosen)


def _accepted(
    kernel: Kernel,
    x: Matrix,
    factor: Matrix,
    drawn: NDArray[np.int64],
    left: Matrix,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Of frames drawn at once those that drawing one by one would have taken."""
    inner = Evaluator(kernel, x[drawn])(x[drawn]) - factor[drawn] @ factor[drawn].T
    before = left[drawn]
    taken = []
    for i in range(len(drawn)):
        if inner[i, i] > NOTHING * before.max() and rng.random() * before[i] < inner[i, i]:
            taken.append(int(drawn[i]))
            inner = inner - np.outer(inner[:, i], inner[i]) / inner[i, i]
    return np.array(taken, np.int64)
