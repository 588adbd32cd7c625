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
    # Row j is column j of the Cholesky factor: what landmark j describes of every frame.
    rows = np.empty((count, len(x)))
    values = Evaluator(kernel, x)
    chosen: list[int] = []
    block = max(1, min(200, count // 5))
    while len(chosen) < count and left.max() > limit:
        done = len(chosen)
        drawn = rng.choice(len(x), block, p=left / left.sum())
        taken, lower = _accepted(kernel, x, rows[:done], drawn, left, rng)
        taken = taken[: count - done]
        if not len(taken):
            continue
        rest = values(x[taken])
        rest -= rows[:done, taken].T @ rows[:done]
        inverse = scipy.linalg.lapack.dtrtri(lower[: len(taken), : len(taken)], lower=1)[0]
        fresh = np.matmul(np.tril(inverse), rest, out=rows[done : done + len(taken)])
        left = np.maximum(left - np.einsum("ij,ij->j", fresh, fresh), 0.0)
        left[taken] = 0.0
        left[left <= limit] = 0.0
        chosen += taken.tolist()
    return np.array(chosen)


def _accepted(
    kernel: Kernel,
    x: Matrix,
    rows: Matrix,
    drawn: NDArray[np.int64],
    left: Matrix,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], Matrix]:
    """Of frames drawn at once those that drawing one by one would have taken, and the lower
    Cholesky factor of what is left of the kernel between them.
    """
    inner = Evaluator(kernel, x[drawn])(x[drawn]) - rows[:, drawn].T @ rows[:, drawn]
    before = left[drawn]
    nothing = NOTHING * before.max()
    # Cholesky rows of those taken, for all drawn.
    described = np.empty((len(drawn), len(drawn)))
    taken: list[int] = []
    for i in range(len(drawn)):
        so_far = described[: len(taken)]
        own = inner[i, i] - so_far[:, i] @ so_far[:, i]
        if own > nothing and rng.random() * before[i] < own:
            described[len(taken)] = (inner[i] - so_far[:, i] @ so_far) / np.sqrt(own)
            taken.append(i)
    return drawn[taken], described[: len(taken), taken].T
