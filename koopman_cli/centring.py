"""What the mean of a part of a run takes away from the run's slow functions.

A held-out set is centred by its own mean. Where it was cut from a run, that mean follows the
slow functions which the set should judge: over n frames it takes about 2 t / n of the variance
of a function of timescale t, and as much of its correlation, away. The distance of the mean
from that of the run puts this back. How the means of separate runs differ is no
evidence of a slow mode, so a run that is held out as a whole keeps its own mean.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from koopman_cli.moments import BlockMoments

Matrix = NDArray[np.float64]

#: A share of the pairs of a set, and the distance of the means of x and of y from the run's.
Offset = tuple[float, Matrix, Matrix]


def offsets(blocks: BlockMoments, held: Iterable[int], rest: Iterable[int]) -> tuple[Offset, ...]:
    """How far the mean of a held-out set is, in each run, from the mean of that run.

    With shares p and distances d, e of the means of x and y, covariances about the means of the
    runs are those about the set's own mean plus sum p d d', sum p d e' and sum p e e'. (Where a
    set holds parts of several runs, the differences between these stay in it as they are.)

    Parameters
    ----------
    blocks : BlockMoments
        Its first lag is used.
    held, rest : iterables of int
        Blocks of the set, and all others.

    Returns
    -------
    tuple of (share, (d,) array, (d,) array)
        In the units of x; one of each run that lies in both sets.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> x = np.arange(100.0)
    >>> blocks, _ = accumulate(FeatureStream.from_arrays(x), [1], n_blocks=2)
    >>> ((share, dx, dy),) = offsets(blocks, [0], [1])
    >>> share, dx.tolist(), dy.tolist()
    (1.0, [-25.5], [-25.5])
    """
    inside, outside = blocks.joined(held), blocks.joined(rest)
    pairs = blocks.xx[0, :, -1, -1].astype(np.float64)

    def mean(part: Matrix, regions: NDArray[np.int64]) -> Matrix:
        total = part[0, regions, :-1, -1].sum(axis=0, dtype=np.float64)
        found: Matrix = total / pairs[regions].sum() / blocks.scale
        return found

    found: list[Offset] = []
    for run in np.unique(blocks.trajectory[inside]):
        own = inside[blocks.trajectory[inside] == run]
        others = outside[blocks.trajectory[outside] == run]
        if not (pairs[own].sum() > 0 and pairs[others].sum() > 0):
            continue
        whole = np.concatenate([own, others])
        dx, dy = (mean(part, own) - mean(part, whole) for part in (blocks.xx, blocks.yy))
        found.append((float(pairs[own].sum() / pairs[inside].sum()), dx, dy))
    return tuple(found)
