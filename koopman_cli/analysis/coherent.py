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

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.pcca import simplex
from koopman_cli.types import CoherentSets

Matrix = NDArray[np.float64]


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
        Features of the pairs, at the initial and at the final time; the first two are kept.
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
    return CoherentSets(
        len(order),
        tuple(float(v) for v in counts / len(before)),
        tuple(float(v) for v in kept),
        tuple(names[:2]),
        points[0][:, :2],
        points[1][:, :2],
        before,
        after,
    )
