"""Tiles of wide lifts: threads evaluate the functions where they multiply them.

Evaluating hundreds of functions costs as much as one of their products, so raw frames are
handed to the threads. A few frames are evaluated and at once multiplied, while they are in the
cache. The ``lag`` frames behind a tile are evaluated with both of their tiles, which long lags
make dearer than evaluating every frame once: see :data:`LONGEST`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blas import add_gram, add_product, mirror
from koopman_cli.blocks import Segment
from koopman_cli.sums import Sums, Unit
from koopman_cli.tiles import TILE, SegmentRun
from koopman_cli.window import Window
from koopman_cli.workers import Buffers, Workers

#: Functions from which their evaluation is worth a thread.
NARROW = 128

#: Lag in frames up to which tiles are evaluated by the threads that multiply them.
LONGEST = TILE // 8

#: Frames evaluated and multiplied at once: what stands between the steps stays in the cache.
ROWS = 384

#: Rows of the buffer begin at multiples of so many bytes, as wide registers are filled.
ALIGNED = 64

#: Most frames of a tile. A block is cut into as few tiles of one length as this allows: the
#: sums of each are read and written once more.
LONG_TILE = TILE + TILE // 4


def suits(width: int, lags: tuple[int, ...]) -> bool:
    """Whether a lift of so many functions is evaluated by threads: wide, at one short lag."""
    return width >= NARROW and len(lags) == 1 and lags[0] <= LONGEST


@dataclass(frozen=True)
class _Part:
    """Rows of a tile: pairs inside the block [0, inner), of the boundary behind it [inner,
    pairs), edges of the block; and whether it is the last tile of its block.
    """

    inner: int
    pairs: int
    first: slice
    last: slice
    complete: bool


@dataclass(frozen=True)
class _Products:
    """What a tile contributes.

    sums : (2m + 1, m + 1) the Gram matrix (its lower triangle) over the cross product, whose
        last column is nothing; None for a tile without pairs of the block
    first, last, x, y : rows of the edges and of the pairs of the boundary
    """

    sums: NDArray[Any] | None
    first: NDArray[Any]
    last: NDArray[Any]
    x: NDArray[Any]
    y: NDArray[Any]
    complete: bool


class _Edges:
    """Copies of some rows of a tile, taken as they are evaluated."""

    def __init__(self, wanted: tuple[slice, ...], width: int, dtype: Any) -> None:
        self.wanted = wanted
        self.rows = [np.empty((max(w.stop - w.start, 0), width), dtype) for w in wanted]

    def keep(self, rows: NDArray[Any], at: int) -> None:
        """Keep what is wanted of rows ``at`` and following."""
        for wanted, kept in zip(self.wanted, self.rows, strict=True):
            a, b = max(wanted.start, at), min(wanted.stop, at + len(rows))
            if a < b:
                kept[a - wanted.start : b - wanted.start] = rows[a - at : b - at]


class _BlockSums:
    """The sum of the products of one block's tiles, in float64.

    The sum of two tiles in their own type is that of float64 rounded to it, so that pairs are
    added first and a block of two tiles needs no more.
    """

    def __init__(self, spare: list[NDArray[Any]]) -> None:
        self.spare = spare
        self.pair: list[NDArray[Any]] = []
        self.total: NDArray[np.float64] | None = None

    def add(self, sums: NDArray[Any]) -> None:
        """Add the products of a tile."""
        if len(self.pair) == 2:
            self._add_pair()
        self.pair.append(sums)

    def _add_pair(self) -> None:
        held = self._own()
        if self.total is None:
            self.total = held.astype(np.float64)
        else:
            self.total += held
        self.spare.append(held)
        self.pair.clear()

    def _own(self) -> NDArray[Any]:
        """The sum of the pair, in the array of its first."""
        first, *others = self.pair
        for other in others:
            first += other
            self.spare.append(other)
        return first

    def close(self) -> NDArray[Any] | None:
        """The sum, to be read before the next tile is multiplied; the sums start anew."""
        if self.total is not None and self.pair:
            self._add_pair()
        found = self.total
        if found is None and self.pair:
            found = self._own()
            self.spare.append(found)
        self.total = None
        self.pair.clear()
        return found


class _BoundarySums:
    """Pairs of the boundaries between blocks, multiplied many at a time.

    A product of few rows costs what reading and writing its sum does, and boundaries of wide
    lifts share their sums.
    """

    def __init__(self, sums: Sums) -> None:
        self.sums = sums
        self.region = -1
        self.held: list[tuple[NDArray[Any], NDArray[Any]]] = []

    def add(self, region: int, x: NDArray[Any], y: NDArray[Any]) -> None:
        """Hold rows x and y of pairs of a region."""
        if region != self.region or sum(len(rows) for rows, _ in self.held) > ROWS:
            self.close()
        self.region = region
        self.held.append((x, y))

    def close(self) -> None:
        """Multiply what is held."""
        if not self.held:
            return
        x, y = (np.concatenate(rows) for rows in zip(*self.held, strict=True))
        self.held = []
        for target, a, b in zip(self.sums.all, (x, x, y), (x, y, y), strict=True):
            add_product(target[0, self.region], a, b)


class LiftedRun(SegmentRun):
    """Accumulates one segment at one lag, seen through a function of its frames.

    The window holds raw frames. One Gram matrix, of the frames that start a pair in a block,
    serves x and y, which differ by the ``lag`` frames at both ends of the block.
    """

    def __init__(
        self,
        sums: Sums,
        workers: Workers,
        window: Window,
        segment: Segment,
        function: Callable[[Any], Any],
    ) -> None:
        super().__init__(sums, workers, window, segment)
        self.function = function
        self.block_sums = _BlockSums(workers.spare)
        self.boundary = _BoundarySums(sums)
        self.edges: list[tuple[NDArray[Any], float]] = []

    def convert(self, parts: list[NDArray[Any]], buffers: Buffers, name: str) -> Any:
        """Raw frames as z, evaluated here."""
        raw = np.concatenate(parts)
        buffer = buffers.rows(name, len(raw), self.width + 1, self.dtype)
        for at in range(0, len(raw), ROWS):
            self.evaluate(raw[at : at + ROWS], buffer[at : at + ROWS])
        return buffer

    def evaluate(self, raw: NDArray[Any], rows: NDArray[Any]) -> None:
        """Fill rows of a buffer with z of raw frames."""
        # Some functions can fill rows of a tile themselves, if these are of their own type.
        fits = getattr(self.function, "dtype", None) == self.dtype
        into = getattr(self.function, "into", None) if fits else None
        z = rows[:, :-1]
        if into is None:
            np.subtract(self.function(raw), self.shift, out=z, casting="same_kind")
        else:
            into(raw, z)
            z -= self.shift
        if self.scaled:
            z *= self.scale
        rows[:, -1] = 1

    def run_unit(self, unit: Unit, start: int, stop: int, until: int) -> None:
        """Evaluate and multiply the tiles of a block and the gap behind it."""
        lag = self.lags[0]
        turn = stop - lag
        step = -(-(until - start) // -(-(until - start) // LONG_TILE))
        for at in range(start, until, step):
            to = min(at + step, until)
            end = min(to + lag, self.segment.stop)
            raw = self.window.parts(at, end)
            starts = max(min(to, end - lag) - at, 0)
            part = _Part(
                inner=min(max(min(to, turn) - at, 0), starts),
                pairs=starts if unit.after is not None else 0,
                first=slice(0, max(start + lag - at, 0)),
                last=slice(max(turn - at, 0), max(min(stop, to) - at, 0)),
                complete=to == until,
            )
            spare, size = self.workers.spare, 2 * self.width + 1
            # Fresh memory for the products would cost as much as they do.
            out = spare.pop() if spare else np.zeros((size, self.width + 1), self.dtype)
            self.workers.submit(
                partial(self.multiply, raw, out, part),
                partial(self.take, unit, out),
                (end - at) * self.width,
            )

    def multiply(
        self, parts: list[NDArray[Any]], out: NDArray[Any], part: _Part, buffers: Buffers
    ) -> _Products:
        """What one tile contributes. An overflow shows in the sums."""
        lag, width = self.lags[0], self.width
        raw = np.concatenate(parts)
        gram, cross = out[: width + 1], out[width + 1 :, :-1]
        x = slice(part.inner, part.pairs)
        y = slice(part.inner + lag, part.inner + lag + max(part.pairs - part.inner, 0))
        edges = _Edges((part.first, part.last, x, y), width + 1, self.dtype)
        # What is evaluated is multiplied before it leaves the cache: rows of the buffer are
        # used again, after the last ``lag`` of them, which start pairs of the next step.
        step = -(-len(raw) // -(-len(raw) // ROWS))
        buffer = buffers.rows("x", step + lag, width + 1, self.dtype, ALIGNED)
        with np.errstate(over="ignore", invalid="ignore"):
            for at in range(0, len(raw), step):
                held = min(lag, len(raw) - at) if at else 0
                buffer[:held] = buffer[step : step + held].copy()
                to = min(at + step + lag, len(raw))
                fresh = buffer[held : to - at]
                self.evaluate(raw[at + held : to], fresh)
                edges.keep(fresh, at + held)
                inside = min(at + step, part.inner) - at
                if inside > 0:
                    z, later = buffer[:inside], buffer[lag : lag + inside, :-1]
                    again = 1.0 if at else 0.0
                    add_gram(gram, z, again)
                    add_product(cross, z[:, :-1], later, keep=again)
        first, last, starts, ends = edges.rows
        found = out if part.inner else None
        return _Products(found, first, last, starts, ends, part.complete)

    def take(self, unit: Unit, out: NDArray[Any], found: _Products) -> None:
        """Add the products of a tile to those of its block and of the boundary behind it."""
        if found.sums is None:
            self.workers.spare.append(out)
        else:
            self.block_sums.add(found.sums)
        self.edges += [(found.first, -1.0), (found.last, 1.0)]
        if len(found.x) and unit.after is not None:
            self.boundary.add(unit.after, found.x, found.y)
        if not found.complete:
            return
        xx, xy, yy = (part[0] for part in self.sums.all)
        sums = self.block_sums.close()
        if sums is not None:
            gram, cross = sums[: self.width + 1], sums[self.width + 1 :, :-1]
            mirror(gram)
            xx[unit.block] += gram
            yy[unit.block] += gram
            xy[unit.block, :-1, :-1] += cross
        rows = np.concatenate([edge for edge, _ in self.edges])
        signed = np.concatenate([sign * edge for edge, sign in self.edges])
        add_product(yy[unit.block], signed.astype(rows.dtype, copy=False), rows)
        self.edges = []
        if unit.after is None:
            self.boundary.close()
