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
from numpy.typing import NDArray

from koopman_cli.blas import add_product
from koopman_cli.lifts.kernelfunctions import Evaluator, Kernel, diagonal
from koopman_cli.triangular import divide

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
    return landmarks_with_factor(kernel, x, count, method, seed)[0]


def landmarks_with_factor(
    kernel: Kernel, x: Matrix, count: int, method: str, seed: int
) -> tuple[NDArray[np.int64], Matrix | None]:
    """The same, and the lower Cholesky factor of the kernel between them where it is known.

    Examples
    --------
    >>> from koopman_cli.lifts.kernelfunctions import parse_kernel
    >>> kernel = Kernel(parse_kernel("gaussian@0.5", ["x"]))
    >>> x = np.linspace(0, 1, 50)[:, None]
    >>> chosen, lower = landmarks_with_factor(kernel, x, 5, "cholesky", 0)
    >>> between = Evaluator(kernel, x[chosen])(x[chosen])
    >>> bool(np.abs(lower @ lower.T - between).max() < 1e-12)
    True
    """
    rng = np.random.default_rng(seed)
    if count >= len(x):
        return np.arange(len(x)), None
    if method == "uniform":
        return rng.choice(len(x), count, replace=False), None
    if method == "kmeans":
        return _spread_out(x, count, rng), None
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
) -> tuple[NDArray[np.int64], Matrix]:
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
        fresh = rows[done : done + len(taken)]
        values.into(x[taken], fresh)
        if done:
            add_product(fresh, rows[:done].take(taken, axis=1), rows[:done], -1.0)
        divide(fresh, lower[: len(taken), : len(taken)])
        left = np.maximum(left - np.einsum("ij,ij->j", fresh, fresh), 0.0)
        left[taken] = 0.0
        left[left <= limit] = 0.0
        chosen += taken.tolist()
    found = np.array(chosen)
    return found, np.triu(rows[: len(found)].take(found, axis=1)).T


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
    rest = Evaluator(kernel, x[drawn])(x[drawn])
    if len(rows):
        known = rows.take(drawn, axis=1)
        add_product(rest, known, known, -1.0)
    before = left[drawn]
    asked = np.maximum(before * rng.random(len(drawn)), NOTHING * before.max())
    # Cholesky rows of those taken, for all drawn behind them; ``rest`` is what they leave.
    described = np.zeros((len(drawn), len(drawn)))
    taken: list[int] = []
    for i in range(len(drawn)):
        own = rest[i, i]
        if own > asked[i]:
            row = described[len(taken), i:]
            np.divide(rest[i, i:], np.sqrt(own), out=row)
            rest[i + 1 :, i + 1 :] -= row[1:, None] * row[1:]
            taken.append(i)
    return drawn[taken], described[: len(taken), taken].T
