"""Influence of blocks on quantities whose derivative is not written down, by solving again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.uncertainty import Stack, stack
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments, Moments

Matrix = NDArray[np.float64]

#: By how much the weight of a block is raised and lowered.
STEP = 0.2


@dataclass(frozen=True)
class Totals:
    """Sums over all pairs: as they are, then with one block after another weighing more, then less.

    lags : frames
    xx, xy, yy : (1 + 2 blocks, lags, k + 1, k + 1) as in the block moments they come from
    shift, scale : (k,) of these
    """

    lags: tuple[int, ...]
    xx: Matrix
    xy: Matrix
    yy: Matrix
    shift: Matrix
    scale: Matrix
    later: Matrix | None = None

    @classmethod
    def of(cls, blocks: BlockMoments, step: float = STEP) -> Totals:
        """All reweighted sums of some blocks."""
        inside = np.flatnonzero(blocks.is_block)

        def sums(part: Matrix) -> Matrix:
            total, moved = part.sum(axis=1), step * part[:, inside].transpose(1, 0, 2, 3)
            value: Matrix = np.concatenate([total[None], total + moved, total - moved])
            return value

        xx, xy, yy = (sums(part) for part in (blocks.xx, blocks.xy, blocks.yy))
        return cls(blocks.lags, xx, xy, yy, blocks.shift, blocks.scale, blocks.later)

    def raw(self) -> tuple[Matrix, Matrix, Matrix]:
        """xx, xy, yy about zero in the units of the functions."""
        transform = np.diag(np.append(1 / self.scale, 1.0))
        transform[-1, :-1] = self.shift
        left = transform.T
        xx, xy, yy = (left @ part @ transform for part in (self.xx, self.xy, self.yy))
        return xx, xy, yy

    def moments(self, lag: int | None = None) -> list[Moments]:
        """The same one by one, at one of the lags."""
        i = 0 if lag is None else self.lags.index(lag)
        rows = zip(self.xx[:, i], self.xy[:, i], self.yy[:, i], strict=True)
        return [Moments(*row, self.shift, self.scale, self.later) for row in rows]


def each(statistic: Callable[[Moments], Matrix]) -> Callable[[Totals], Matrix]:
    """A statistic of moments (at one lag) as one of all reweighted sums."""
    return lambda totals: np.stack([np.asarray(statistic(m), float) for m in totals.moments()])


def followed(
    solve: Callable[[Moments], Solution], reference: Solution, total: Moments, count: int
) -> Callable[[Moments], Matrix]:
    """The leading ``count`` real eigenvalues of a reference, found again by their functions.

    Two eigenvalues of like size, and opposite sign perhaps, exchange their places in the order
    when blocks are reweighted; their functions, which overlap with those of the reference, do
    not. Eigenvalues that are gone (emptied clusters) count as 0.

    Parameters
    ----------
    solve : function of Moments
        Solves similar sums.
    reference : Solution
    total : Moments
        What the reference was solved from.
    count : int
    """
    from scipy.optimize import linear_sum_assignment

    c00 = total.covariances().c00 / np.outer(total.scale, total.scale)
    wanted = c00 @ reference.left[:, :count]

    def again(moments: Moments) -> Matrix:
        found = solve(moments)
        assert found.eigenvalues is not None
        overlap = np.abs(found.left.T @ wanted)
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        values = np.zeros(count)
        values[columns] = found.eigenvalues.real[rows]
        return values

    return again


def resampled(
    blocks: BlockMoments, statistic: Callable[[Totals], Matrix], step: float = STEP
) -> tuple[Matrix, Matrix, Stack]:
    """Influence of each block on any statistic, by solving again with that block reweighted.

    g_b = (T(w_b = 1 + h) - T(w_b = 1 - h)) / (2 h): a central difference, for statistics whose
    derivative is not written down (populations, rates, a maximum-likelihood estimate).

    Parameters
    ----------
    blocks : BlockMoments
        Merged to independent blocks.
    statistic : function of Totals
        Gives (1 + 2 blocks, ...), an array of any shape for each of the sums; see :func:`each`.
    step : float
        h.

    Returns
    -------
    value : array
        The statistic of all blocks.
    influence : (blocks, ...) array
    stack : Stack
        For :meth:`Stack.error`.
    """
    found = np.asarray(statistic(Totals.of(blocks, step)), float)
    count = blocks.n_blocks
    more, less = found[1 : 1 + count], found[1 + count :]
    # Infinite on both sides (a state that is never left) has no influence to tell.
    told = np.isfinite(more) | np.isfinite(less)
    influence = np.full(more.shape, np.nan)
    np.subtract(more, less, out=influence, where=told)
    return found[0], influence / (2 * step), stack(blocks, blocks.lags[0], joint=False)
