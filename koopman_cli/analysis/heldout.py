"""Functions of the training part of every fold on the blocks that the fold holds out."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.leasterror import places, stretches
from koopman_cli.features.stream import FeatureStream
from koopman_cli.moments import BlockMoments

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True)
class HeldOut:
    """Quadratic forms of held-out functions, one row per held-out block.

    q00, q01 : (2, blocks, k) <psi, psi> and <psi, K psi>, both directions of time averaged, at the
        lag and at twice the lag
    near : (lag,) how many places of r2 are 0, 1, ... frames apart; empty if that is not known
    """

    q00: Matrix
    q01: Matrix
    near: Matrix = field(default_factory=lambda: np.zeros(0))


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
class _Open:
    """A block of which frames are still missing: its functions (q, n) and weights (n,)."""

    values: Matrix
    weights: Matrix | None
    missing: int


@dataclass
class BlockForms:
    """Collects functions block by block; only the blocks that are being read are in memory.

    Threads may add frames in any order.

    asked : Withheld
    segments : (s, 2) frames, trajectories laid end to end, that no pair may leave
    """

    asked: Withheld
    segments: NDArray[np.int64]
    order: NDArray[np.int64] = field(init=False)
    forms: Matrix = field(init=False)
    open: dict[int, _Open] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

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

    def add(
        self, block: int, start: int, rows: NDArray[Any], found: NDArray[Any], offset: Matrix
    ) -> None:
        """Add frames of a block, from ``start`` on.

        rows : (n, d) features, for their weights
        found, offset : (q, n) functions of them, and what is taken off these
        """
        weights = None if self.asked.weights is None else self.asked.weights(rows)
        first, last, _ = self.asked.owner[block].tolist()
        with self.lock:
            if block not in self.open:
                weight = None if weights is None else np.empty(last - first)
                held = np.empty((len(found), last - first))
                self.open[block] = _Open(held, weight, last - first)
            own = self.open[block]
        here = slice(start - first, start - first + len(rows))
        np.subtract(found, offset, out=own.values[:, here])
        if weights is not None and own.weights is not None:
            own.weights[here] = weights
        with self.lock:
            own.missing -= len(rows)
            if own.missing:
                return
            del self.open[block]
        for i, lag in enumerate(self.asked.lags):
            self.forms[:, i, block] = self._forms(own, first, last, lag)

    def _forms(self, own: _Open, first: int, last: int, lag: int) -> Matrix:
        """<f, f> and <f, K f> of the pairs inside a block."""
        if last - first <= lag:
            return np.zeros((2, len(own.values)))
        x, y = own.values[:, :-lag], own.values[:, lag:]
        factor = self._counted(
            None if own.weights is None else own.weights[:-lag], first, last, lag
        )
        left = x if factor is None else x * factor
        later = y if factor is None else y * factor
        return np.stack([(_rows(left, x) + _rows(later, y)) / 2, _rows(left, y)])

    def _counted(self, weight: Matrix | None, first: int, last: int, lag: int) -> Matrix | None:
        """Weight of every pair, 0 where it would cross from one segment to the next."""
        inside = np.searchsorted(self.segments[:, 0], (first, last - 1), side="right") - 1
        if inside[0] == inside[1]:
            return weight
        frames = np.arange(first, last)
        owner = np.searchsorted(self.segments[:, 0], frames, side="right")
        same: Matrix = (owner[lag:] == owner[:-lag]).astype(np.float64)
        return same if weight is None else np.asarray(same * weight, np.float64)

    def result(self) -> HeldOut:
        """The forms of all blocks."""
        lengths = stretches(self.asked.owner[:, :2], self.segments)
        return HeldOut(self.forms[0], self.forms[1], places(lengths, self.asked.lags[0]))


def owners_of_folds(
    blocks: BlockMoments, stream: FeatureStream, held: Sequence[Sequence[int]]
) -> NDArray[np.int64]:
    """(blocks, 3) frames [start, stop) of every block, trajectories laid end to end, and the fold
    that holds it out.
    """
    fold = np.zeros(blocks.n_blocks, np.int64)
    for i, members in enumerate(held):
        fold[list(members)] = i
    regions = np.flatnonzero(blocks.is_block)
    offset = stream.begins[blocks.trajectory[regions]]
    return np.column_stack([offset + blocks.start[regions], offset + blocks.stop[regions], fold])


def padded(columns: Matrix, count: int) -> Matrix:
    """As many columns as asked for; a fold may have a lower rank."""
    missing = count - columns.shape[1]
    return np.pad(columns, ((0, 0), (0, max(missing, 0))))


def _rows(x: Matrix, y: Matrix) -> Matrix:
    """Products of the rows of x with those of y, (q,)."""
    value: Matrix = np.matmul(x[:, None, :], y[:, :, None])[:, 0, 0]
    return value
