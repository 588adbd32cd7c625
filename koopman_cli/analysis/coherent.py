"""Coherent sets: parts of the space that stay together from the present to the future.

The m leading singular functions before the gap give m + 1 sets: left functions of x make a
simplex, whose corners are the sets; the same map takes the right functions of y to the
memberships at the later time. A point belongs to the set of its largest membership; ``kept``
is the share of those that still do at the later time.
Sources: Froyland, Santitissadeekorn and Monahan, Chaos 20, 043116 (2010); Klus, Husic,
Mollenhauer and Noe, Chaos 29, 123112 (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.pcca import simplex
from koopman_cli.types import CoherentSets

Matrix = NDArray[np.float64]

#: Columns, by what they tell alone, of which pairs are compared.
PAIRED = 8
#: Points a cell of a pair of columns should hold, and the most cells along a column.
PER_CELL, MOST_CELLS = 8, 12


def coherent_sets(
    points: tuple[Matrix, Matrix],
    functions: tuple[Matrix, Matrix],
    names: Sequence[str],
    seed: int = 0,
) -> CoherentSets:
    """Coherent sets of lagged pairs, largest first.

    Parameters
    ----------
    points : two (n, d) arrays
        Features of the pairs, at the initial and at the final time; the two are kept over which
        the memberships differ most.
    functions : two (n, m) arrays
        The m singular functions before the gap, left of x and right of y.
    names : sequence of str
        Of the features.
    seed : int
        Of the clustering behind the simplex.

    Raises
    ------
    SupportError
        If the functions do not span a simplex.

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    >>> side = np.sign(x[:, :1])
    >>> sets = coherent_sets((x, x), (side, side), ["a", "b"])
    >>> sets.count, [round(k, 6) for k in sets.kept]
    (2, [1.0, 1.0])
    """
    first, last = functions
    found = simplex(first, seed)
    before, after = found.memberships(first), found.memberships(last)
    order = np.argsort(-before.mean(axis=0), kind="stable")
    before, after = before[:, order], after[:, order]
    members = [np.argmax(chi, axis=1)[:, None] == np.arange(len(order)) for chi in (before, after)]
    counts = members[0].sum(axis=0)
    kept = np.sum(members[0] & members[1], axis=0) / np.maximum(counts, 1)
    drawn = carrying(points[0], before)
    return CoherentSets(
        len(order),
        tuple(float(v) for v in counts / len(before)),
        tuple(float(v) for v in kept),
        tuple(names[j] for j in drawn),
        points[0][:, drawn],
        points[1][:, drawn],
        before,
        after,
    )


def carrying(points: Matrix, values: Matrix) -> list[int]:
    """The two columns of ``points`` that tell most of ``values``, in their order; all of two.

    Told: the share of the variance between the cells of a grid, less what as many cells would
    tell by chance. Functions of a plane need not follow one of its columns by itself, so pairs
    are compared and not correlations.

    >>> x = np.random.default_rng(0).uniform(-1, 1, (2000, 4))
    >>> carrying(x, np.sign(x[:, 1:2] * x[:, 3:]))
    [1, 3]
    """
    n, d = points.shape
    if d <= 2:
        return list(range(d))
    along = int(np.clip(np.sqrt(n / PER_CELL), 2, MOST_CELLS))
    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    cells = np.minimum((along * ((points - low) / span)).astype(np.int64), along - 1)
    alone = np.array([_told(cells[:, j], values) for j in range(d)])
    best = np.sort(np.argsort(-alone, kind="stable")[:PAIRED]).tolist()
    pairs = list(combinations(best, 2))
    told = [_told(cells[:, i] * along + cells[:, j], values) for i, j in pairs]
    return list(pairs[int(np.argmax(told))])


def _told(cell: NDArray[np.int64], values: Matrix) -> float:
    """Share of the variance of the values between cells, adjusted for their number."""
    _, index, counts = np.unique(cell, return_inverse=True, return_counts=True)
    centred = values - values.mean(axis=0)
    sums = np.zeros((len(counts), values.shape[1]))
    np.add.at(sums, index, centred)
    total = float((centred**2).sum())
    left = total - float((sums**2 / counts[:, None]).sum())
    return 1 - left / max(total, 1e-300) * (len(cell) - 1) / max(len(cell) - len(counts), 1)
