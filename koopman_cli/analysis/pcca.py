"""PCCA+: memberships of metastable states from slow eigenfunctions.

The slow functions of m + 1 metastable states lie in a simplex with m + 1 corners; the corners
are the states and barycentric coordinates the memberships. An inner simplex is found first
(among cluster centres, so that no single extreme frame decides) and then moved until the
memberships are as crisp as feasible.
Sources: Deuflhard and Weber, Linear Algebra Appl. 398, 161 (2005); Roblitz and Weber, Adv. Data
Anal. Classif. 7, 147 (2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import SupportError
from koopman_cli.nouns import counted
from koopman_cli.types import Model, Projection, States

Matrix = NDArray[np.float64]

#: Cluster centres among which the corners are looked for.
CENTERS = 200

#: Relative distance from the span of the stored functions that is rounding.
SPAN = 1e-6

#: Clusters with fewer frames than this are not trusted to be corners.
MIN_FRAMES = 5


@dataclass(frozen=True)
class Simplex:
    """The linear map from slow functions to memberships.

    matrix : (m + 1, m + 1) A of chi = [1, psi] A before clipping
    corners : (m + 1, m) the values of the slow functions in each pure state
    crispness : trace(S) / (m + 1) in (0, 1]; 1 for states without any overlap
    """

    matrix: Matrix
    corners: Matrix
    crispness: float

    def memberships(self, psi: Matrix) -> Matrix:
        """Memberships of frames with slow functions psi (n, m): non-negative, of sum 1.

        Frames outside the simplex (there are few, and they were not its corners) go to the
        nearest face by clipping.
        """
        # Rows of states and not of frames: numpy adds long rows fast and short ones slowly.
        raw: Matrix = self.matrix[1:].T @ psi.T
        raw += self.matrix[0][:, None]
        np.maximum(raw, 0.0, out=raw)
        raw /= raw.sum(axis=0)
        return raw.T


def simplex(psi: Matrix, seed: int = 0) -> Simplex:
    """The simplex of m slow functions, from frames or from a sample of them.

    Parameters
    ----------
    psi : (n, m) array
        Slow functions without the constant, of mean zero, evenly sampled.
    seed : int
        Of the clustering.

    Raises
    ------
    SupportError
        If the functions do not span a simplex.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> state = rng.integers(0, 3, 3000)
    >>> corners = np.array([[-1.0, -1.0], [2.0, -1.0], [0.0, 2.0]])
    >>> psi = corners[state] + 0.1 * rng.standard_normal((3000, 2))
    >>> chi = simplex(psi - psi.mean(axis=0)).memberships(psi - psi.mean(axis=0))
    >>> bool(chi.min() >= 0), bool(np.allclose(chi.sum(axis=1), 1))
    (True, True)
    >>> len({int(i) for s in range(3) for i in np.unique(np.argmax(chi[state == s], axis=1))})
    3
    """
    centers, weights = _clusters(psi, seed)
    m = psi.shape[1]
    if len(centers) < m + 1:
        raise SupportError(
            f"{len(centers)} distinct values of the slow functions cannot show "
            f"{counted(m + 1, 'state')}",
            "take fewer states, or more data",
        )
    vectors = np.column_stack([np.ones(len(centers)), centers])
    corners = inner_simplex(vectors)
    start = np.linalg.inv(vectors[corners])
    matrix = _optimised(start, vectors, weights)
    pure = np.linalg.inv(matrix)
    return Simplex(matrix, pure[:, 1:] / pure[:, :1], _crispness(matrix, vectors, weights))


def _clusters(psi: Matrix, seed: int) -> tuple[Matrix, Matrix]:
    """Centres of a k-means clustering and their weights; sparse clusters are left out."""
    spread = psi.std(axis=0)
    scaled = psi / np.where(spread > 0, spread, 1.0)
    count = min(CENTERS, max(psi.shape[1] + 1, len(psi) // (2 * MIN_FRAMES)))
    from scipy.cluster.vq import kmeans2

    rng = np.random.default_rng(seed)
    start = scaled[_spread_points(scaled, count, rng)]
    import warnings

    with warnings.catch_warnings():
        # A cluster that runs empty is no news: it is dropped below.
        warnings.simplefilter("ignore")
        _, labels = kmeans2(scaled, start, minit="matrix", iter=5)
    sizes = np.bincount(labels, minlength=count)
    kept = np.flatnonzero(sizes >= min(MIN_FRAMES, sizes.max()))
    sums = np.stack([np.bincount(labels, psi[:, j], minlength=count) for j in range(psi.shape[1])])
    centers: Matrix = (sums[:, kept] / sizes[kept]).T
    return centers, sizes[kept] / sizes[kept].sum()


def _spread_points(x: Matrix, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Half of the starting points far from each other, half at random."""
    picked = [int(rng.integers(len(x)))]
    columns = np.ascontiguousarray(x.T)

    def distance(i: int) -> Matrix:
        value: Matrix = ((columns - columns[:, [i]]) ** 2).sum(axis=0)
        return value

    nearest = distance(picked[0])
    while len(picked) < count // 2:
        picked.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, distance(picked[-1]))
    rest = rng.choice(len(x), size=count - len(picked), replace=False)
    return np.append(picked, rest)


def inner_simplex(vectors: Matrix) -> NDArray[np.int64]:
    """Rows of [1, psi] that span the largest simplex, found one by one.

    The point farthest from the origin of the slow functions, then again and again the one
    farthest from the hyperplane through those found (Weber and Galliat 2002).

    >>> inner_simplex(np.array([[1.0, 0.0], [1.0, 3.0], [1.0, -1.0]])).tolist()
    [1, 2]
    """
    points = vectors[:, 1:]
    size = points.std(axis=0)
    points = points / np.where(size > 0, size, 1.0)
    corners = [int(np.argmax(np.sum((points - points.mean(axis=0)) ** 2, axis=1)))]
    rest = points - points[corners[0]]
    for _ in range(points.shape[1]):
        distance = np.sum(rest**2, axis=1)
        corners.append(int(np.argmax(distance)))
        direction = rest[corners[-1]] / np.sqrt(distance[corners[-1]])
        rest = rest - np.outer(rest @ direction, direction)
    return np.array(corners)


def _feasible(inner: Matrix, vectors: Matrix) -> Matrix:
    """The full A from its inner block so that memberships are non-negative and sum to 1."""
    k = vectors.shape[1]
    matrix = np.empty((k, k))
    matrix[1:, 1:] = inner
    matrix[1:, 0] = -inner.sum(axis=1)
    matrix[0] = -np.min(vectors[:, 1:] @ matrix[1:], axis=0)
    total = matrix[0].sum()
    scaled: Matrix = matrix / total
    return scaled


def _crispness(matrix: Matrix, vectors: Matrix, weights: Matrix) -> float:
    """sum_i <chi_i, chi_i> / <chi_i, 1> over the number of states."""
    chi = vectors @ matrix
    mass = weights @ chi
    if np.any(mass <= 0):
        return 0.0
    return float(np.sum((weights @ chi**2) / mass) / len(mass))


def _optimised(start: Matrix, vectors: Matrix, weights: Matrix) -> Matrix:
    """A feasible A of maximal crispness, from the inner simplex."""
    from scipy.optimize import minimize

    shape = (start.shape[0] - 1, start.shape[1] - 1)

    def cost(flat: Matrix) -> float:
        return -_crispness(_feasible(flat.reshape(shape), vectors), vectors, weights)

    first = start[1:, 1:].ravel()
    steps = 400 * len(first)
    options = {"maxiter": steps, "xatol": 1e-4 * np.abs(first).max(), "fatol": 1e-6}
    found = minimize(cost, first, method="Nelder-Mead", options=options)
    best = found.x if found.fun < cost(first) else first
    matrix = _feasible(best.reshape(shape), vectors)
    if not np.all(np.isfinite(matrix)) or np.linalg.cond(matrix) > 1e10:
        raise SupportError(
            "the slow functions do not span a simplex of states", "take fewer states with --count"
        )
    return matrix


def state_functions(model: Model, states: States, projection: Projection) -> Matrix | None:
    """The slow functions that states are made of, at the frames of a projection, (n, count - 1).

    States of a model solved by svd have functions of their own in its span; None where these
    are not in the span of the functions that were stored.
    """
    values, m = np.asarray(projection.values, np.float64), states.count - 1
    if values.shape[1] < m:
        return None
    if model.solve != "svd":
        return values[:, :m]
    left, functions = np.asarray(model.left), np.asarray(states.functions)
    mixing = np.linalg.lstsq(left, functions, rcond=None)[0]
    if np.linalg.norm(left @ mixing - functions) > SPAN * np.linalg.norm(functions):
        return None
    shift = (np.asarray(states.mean) - np.asarray(model.mean)) @ left
    psi: Matrix = (values - shift) @ mixing
    return psi
