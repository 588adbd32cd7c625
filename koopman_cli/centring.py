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

#: The distance of the means of x and of y of a set from those it should be centred by.
Offset = tuple[Matrix, Matrix]


def offset(blocks: BlockMoments, held: Iterable[int], rest: Iterable[int]) -> Offset | None:
    """How far the mean of a held-out set is from where the means of its runs would put it.

    The set is centred by sum p M, p the share of a run in its pairs and M the mean of the whole
    run, held-out or not. Covariances about that are those about its own mean m plus d d', d e'
    and e e', with d = m - sum p M for x and e for y.

    Parameters
    ----------
    blocks : BlockMoments
        Its first lag is used.
    held, rest : iterables of int
        Blocks of the set, and all others.

    Returns
    -------
    two (d,) arrays, in the units of x, or None
        None where no run lies in both sets.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> x = np.arange(100.0)
    >>> blocks, _ = accumulate(FeatureStream.from_arrays(x), [1], n_blocks=2)
    >>> dx, dy = offset(blocks, [0], [1])
    >>> dx.tolist(), dy.tolist()
    ([-25.5], [-25.5])
    >>> print(offset(blocks, [0, 1], []))
    None
    """
    inside, outside = blocks.joined(held), blocks.joined(rest)
    pairs, runs = blocks.xx[0, :, -1, -1].astype(np.float64), blocks.runs()

    def mean(part: Matrix, regions: NDArray[np.int64]) -> Matrix:
        total = part[0, regions, :-1, -1].sum(axis=0, dtype=np.float64)
        found: Matrix = total / pairs[regions].sum() / blocks.scale
        return found

    found: Offset | None = None
    for run in np.unique(runs[inside]):
        own, others = inside[runs[inside] == run], outside[runs[outside] == run]
        if not (pairs[own].sum() > 0 and pairs[others].sum() > 0):
            continue
        whole = np.concatenate([own, others])
        share = float(pairs[own].sum() / pairs[inside].sum())
        d, e = (share * (mean(part, own) - mean(part, whole)) for part in (blocks.xx, blocks.yy))
        found = (d, e) if found is None else (found[0] + d, found[1] + e)
    return found
