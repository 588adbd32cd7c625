"""Tiles of wide lifts: threads evaluate the functions where they multiply them.

Evaluating hundreds of functions costs as much as one of their products, so raw frames are
handed to the threads. The ``lag`` frames behind a tile are evaluated with both of their tiles,
which long lags make dearer than evaluating every frame once: see :data:`LONGEST`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blocks import Segment
from koopman_cli.sums import Sums, Unit
from koopman_cli.tiles import TILE, SegmentRun
from koopman_cli.window import Window
from koopman_cli.workers import Buffers, Workers

#: Functions from which their evaluation is worth a thread.
NARROW = 128

#: Lag in frames up to which tiles are evaluated by the threads that multiply them.
LONGEST = TILE // 8

#: Frames evaluated at once: what stands between the steps stays in the cache.
ROWS = 512


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
    """Products of a tile; rows of its edges and of the pairs of the boundary in float64."""

    gram: NDArray[Any] | None
    cross: NDArray[Any] | None
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    complete: bool


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
        # Sums of one block, in float64 whatever the dtype of the products.
        width = self.width
        self.gram, self.cross = np.zeros((width + 1, width + 1)), np.zeros((width, width))
        self.scratch = np.empty_like(self.gram)
        self.held_edges: list[tuple[NDArray[np.float64], int]] = []

    def convert(self, parts: list[NDArray[Any]], buffers: Buffers, name: str) -> Any:
        """Raw frames as z, evaluated here."""
        raw = np.concatenate(parts)
        buffer = buffers.rows(name, len(raw), self.width + 1, self.dtype)
        self.evaluate(raw, buffer)
        return buffer

    def evaluate(self, raw: NDArray[Any], buffer: NDArray[Any]) -> None:
        """Fill a buffer with z of raw frames."""
        # Some functions can fill rows of a tile themselves, if these are of their own type.
        fits = getattr(self.function, "dtype", None) == self.dtype
        into = getattr(self.function, "into", None) if fits else None
        for at in range(0, len(raw), ROWS):
            part = raw[at : at + ROWS]
            rows = buffer[at : at + len(part), :-1]
            if into is None:
                np.subtract(self.function(part), self.shift, out=rows, casting="same_kind")
            else:
                into(part, rows)
                rows -= self.shift
        if self.scaled:
            buffer[: len(raw), :-1] *= self.scale
        buffer[: len(raw), -1] = 1

    def run_unit(self, unit: Unit, start: int, stop: int, until: int) -> None:
        """Evaluate and multiply the tiles of a block and the gap behind it."""
        lag = self.lags[0]
        turn = stop - lag
        for at in range(start, until, TILE):
            to = min(at + TILE, until)
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
            out = spare.pop() if spare else np.empty((size, self.width + 1), self.dtype)
            self.workers.submit(
                partial(self.multiply, raw, out, part),
                partial(self.take, unit, out),
                (end - at) * self.width,
            )

    def multiply(
        self, parts: list[NDArray[Any]], out: NDArray[Any], part: _Part, buffers: Buffers
    ) -> _Products:
        """What one tile contributes. An overflow shows in the sums."""
        lag = self.lags[0]
        with np.errstate(over="ignore", invalid="ignore"):
            buffer = self.convert(parts, buffers, "x")
            gram = cross = None
            if part.inner:
                z, width = buffer[: part.inner], self.width
                gram, cross = out[: width + 1], out[width + 1 :, :-1]
                np.matmul(z.T, z, out=gram)
                np.matmul(z[:, :-1].T, buffer[lag : part.inner + lag, :-1], out=cross)
            edges = (part.first, part.last, slice(part.inner, part.pairs))
            first, last, x = (buffer[rows].astype(np.float64) for rows in edges)
            y = buffer[part.inner + lag : part.inner + lag + len(x)].astype(np.float64)
        return _Products(gram, cross, first, last, x, y, part.complete)

    def take(self, unit: Unit, out: NDArray[Any], found: _Products) -> None:
        """Add the products of a tile to those of its block and of the boundary behind it."""
        if found.gram is not None and found.cross is not None:
            self.gram += found.gram
            self.cross += found.cross
        for edge, sign in ((found.first, -1), (found.last, 1)):
            if len(edge):
                self.held_edges.append((edge, sign))
        xx, xy, yy = (part[0] for part in self.sums.all)
        for target, a, b in ((xx, "x", "x"), (xy, "x", "y"), (yy, "y", "y")):
            if len(found.x):
                target[unit.after] += self.product(getattr(found, a), getattr(found, b))
        if found.complete:
            xx[unit.block] += self.gram
            xy[unit.block, :-1, :-1] += self.cross
            for edge, sign in self.held_edges:
                self.gram += self.product(sign * edge, edge)
            yy[unit.block] += self.gram
            self.gram[:], self.cross[:], self.held_edges = 0, 0, []
        self.workers.spare.append(out)

    def product(self, a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
        """Product a'b of a few rows, in memory that the next one takes again."""
        return np.matmul(a.T, b, out=self.scratch)
