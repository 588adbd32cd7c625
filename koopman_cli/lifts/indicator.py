"""The indicator lift of Markov state models: which cluster centre is nearest.

chi_i(x) = 1 if centre i is the nearest to x, else 0; the functions sum to 1 everywhere. Near
is meant in the features, or in a few coordinates (x - mean) functions of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import SupportError
from koopman_cli.linalg import power_of_two
from koopman_cli.nouns import counted
from koopman_cli.types import Lift

Matrix = NDArray[np.float64]

#: Above this many frames k-means works on mini-batches.
MINI_BATCH = 50_000


def indicator(centers: NDArray[Any]) -> Lift:
    """The lift of given centres (m, d)."""
    points = np.atleast_2d(np.asarray(centers, np.float64))
    names = tuple(f"cluster {i + 1}" for i in range(len(points)))
    return Lift("indicator", names, {}, {"centers": points})


def of_coordinates(lift: Lift, mean: Matrix, functions: Matrix) -> Lift:
    """The lift of features x whose coordinates (x - mean) functions a lift is of.

    >>> own = of_coordinates(indicator([[-1.0], [1.0]]), np.zeros(2), np.array([[0.0], [1.0]]))
    >>> nearest(own, np.array([[5.0, -2.0]])).tolist()
    [0]
    """
    return replace(lift, arrays={**lift.arrays, "mean": mean, "functions": functions})


def cluster(sample: NDArray[Any], count: int, seed: int) -> Lift:
    """Centres by k-means of sample frames (n, d), in the units of the features.

    Raises
    ------
    SupportError
        If there are fewer distinct frames than centres.

    Examples
    --------
    >>> lift = cluster(np.r_[np.zeros((50, 1)), np.ones((50, 1))], 2, seed=0)
    >>> sorted(lift.arrays["centers"].ravel().tolist())
    [0.0, 1.0]
    """
    from sklearn.cluster import KMeans, MiniBatchKMeans

    x = np.asarray(sample, np.float64)
    distinct = len(np.unique(x, axis=0)) if len(x) < 10 * count else len(x)
    if distinct < count:
        raise SupportError(
            f"{counted(count, 'cluster')} from {distinct} distinct frames",
            "take fewer with --set clusters=N",
        )
    settings: dict[str, Any] = {"n_clusters": count, "random_state": seed, "n_init": 1}
    unit = _unit(x)
    if len(x) > MINI_BATCH:
        found = MiniBatchKMeans(batch_size=4096, **settings).fit(x * unit)
    else:
        found = KMeans(**settings).fit(x * unit)
    return indicator(found.cluster_centers_ / unit)


def _unit(x: Matrix) -> float:
    """A power of two that lets squared distances be finite; one for all columns."""
    return float(power_of_two(np.array([np.abs(x).max(initial=0.0)]))[0])


def nearest(lift: Lift, x: NDArray[Any]) -> NDArray[np.int64]:
    """Number of the nearest centre of every frame."""
    centers = lift.arrays["centers"]
    if "functions" in lift.arrays:
        x = (np.asarray(x, np.float64) - lift.arrays["mean"]) @ lift.arrays["functions"]
    # |x - c|^2 less |x|^2, about the mean of the centres, which keeps the digits.
    middle = centers.mean(axis=0)
    unit = _unit(centers - middle)
    moved = (centers - middle) * unit
    away = (np.asarray(x, np.float64) - middle) * unit
    distance = np.sum(moved**2, axis=1) - 2 * away @ moved.T
    found: NDArray[np.int64] = np.argmin(distance, axis=1)
    return found


def evaluate(lift: Lift, x: NDArray[Any]) -> Matrix:
    """Indicators of frames (n, d), giving (n, m)."""
    rows = np.zeros((len(x), len(lift.names)))
    rows[np.arange(len(x)), nearest(lift, x)] = 1.0
    return rows
