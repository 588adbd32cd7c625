"""Functions of the training part of every fold on the blocks that the fold holds out."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.stream import FeatureStream
from koopman_cli.moments import BlockMoments

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class HeldOut:
    """Quadratic forms of held-out functions, one row per held-out block.

    q00, q01 : (2, blocks, k) <psi, psi> and <psi, K psi>, both directions of time averaged, at the
        lag and at twice the lag
    """

    q00: Matrix
    q01: Matrix


@dataclass(frozen=True)
class Withheld:
    """Which functions are evaluated where.

    functions : (m, q) matrices, one per fold
    owner : (blocks, 3) int array: first and last + 1 frame of each block, trajectories laid end to
        end, and the fold whose functions are evaluated there
    lags : the lag and twice the lag
    weights : weight of the pair that starts at a frame, from a chunk of features; or None
    """

    functions: tuple[Matrix, ...]
    owner: NDArray[np.int64]
    lags: tuple[int, int]
    weights: Function | None = None


@dataclass
class BlockForms:
    """Collects functions block by block; only the block that is being read is in memory.

    asked : Withheld
    segments : (s, 2) frames, trajectories laid end to end, that no pair may leave
    """

    asked: Withheld
    segments: NDArray[np.int64]
    order: NDArray[np.int64] = field(init=False)
    forms: Matrix = field(init=False)
    held: Matrix | None = None
    weight: Matrix | None = None

    def __post_init__(self) -> None:
        self.order = np.argsort(self.asked.owner[:, 0], kind="stable")
        self.starts = self.asked.owner[self.order, 0].tolist()
        q = self.asked.functions[0].shape[1]
        self.forms = np.zeros((2, 2, len(self.order), q))

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, int | None]]:
        """Frames [start, stop) cut at the blocks: (from, to, block), None between blocks."""
        at = start
        while at < stop:
            i = bisect_right(self.starts, at) - 1
            block = int(self.order[i]) if i >= 0 else None
            if block is not None and at < self.asked.owner[block, 1]:
                to = int(self.asked.owner[block, 1])
            else:
                block = None
                to = self.starts[i + 1] if i + 1 < len(self.starts) else stop
            to = min(to, stop)
            yield at, to, block
            at = to

    def add(self, block: int, start: int, values: Matrix, weights: Matrix | None) -> None:
        """Functions (q, n) of the frames of a block from ``start`` on, with their weights."""
        first, last, _ = self.asked.owner[block].tolist()
        if self.held is None or start == first:
            self.held = np.empty((len(values), last - first))
            self.weight = None if weights is None else np.empty(last - first)
        at = slice(start - first, start - first + values.shape[1])
        self.held[:, at] = values
        if weights is not None and self.weight is not None:
            self.weight[at] = weights
        if at.stop == last - first:
            for i, lag in enumerate(self.asked.lags):
                self.forms[:, i, block] = self._forms(first, last, lag)
            self.held = self.weight = None

    def _forms(self, first: int, last: int, lag: int) -> Matrix:
        """<f, f> and <f, K f> of the pairs inside the block in hand."""
        assert self.held is not None
        if last - first <= lag:
            return np.zeros((2, len(self.held)))
        x, y = self.held[:, :-lag], self.held[:, lag:]
        factor = self._counted(first, last, lag)
        left = x if factor is None else x * factor
        own = np.einsum("ij,ij->i", left, x)
        after = np.einsum("ij,ij->i", y if factor is None else y * factor, y)
        return np.stack([(own + after) / 2, np.einsum("ij,ij->i", left, y)])

    def _counted(self, first: int, last: int, lag: int) -> Matrix | None:
        """Weight of every pair, 0 where it would cross from one segment to the next."""
        weight: Matrix | None = None if self.weight is None else self.weight[:-lag]
        inside = np.searchsorted(self.segments[:, 0], (first, last - 1), side="right") - 1
        if inside[0] == inside[1]:
            return weight
        frames = np.arange(first, last)
        owner = np.searchsorted(self.segments[:, 0], frames, side="right")
        same: Matrix = (owner[lag:] == owner[:-lag]).astype(np.float64)
        return same if weight is None else np.asarray(same * weight, np.float64)

    def result(self) -> HeldOut:
        """The forms of all blocks."""
        return HeldOut(self.forms[0], self.forms[1])


def owners_of_folds(
    blocks: BlockMoments, stream: FeatureStream, held: Sequence[Sequence[int]]
) -> NDArray[np.int64]:
    """(blocks, 3) frames [start, stop) of every block, trajectories laid end to end, and the fold
    that holds it out.
    """
    begins = np.cumsum([0, *(int(part[-1, 1]) if len(part) else 0 for part in stream.segments)])
    fold = np.zeros(blocks.n_blocks, np.int64)
    for i, members in enumerate(held):
        fold[list(members)] = i
    regions = np.flatnonzero(blocks.is_block)
    offset = begins[blocks.trajectory[regions]]
    return np.column_stack([offset + blocks.start[regions], offset + blocks.stop[regions], fold])
