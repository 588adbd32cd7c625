"""Tiles: how frames that stream by become sums of products, on several threads.

Tiles start at fixed frames, whatever the chunks. What their products become is said in
:mod:`koopman_cli.sums`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blocks import Segment
from koopman_cli.products import products
from koopman_cli.sums import Piece, Sums, Unit
from koopman_cli.window import Window
from koopman_cli.workers import Buffers, Workers

Matrix = NDArray[np.float64]

#: What a tile is asked for: pieces with their rows, and what its pairs add to; and the products.
Wanted = tuple[list[tuple[Piece, int, int]], list[Any]]
Found = tuple[list[NDArray[Any]], list[NDArray[Any]]]

#: Frames multiplied at once. In float32 a sum of so many rounded products still has about
#: six digits; the sums of tiles are float64.
TILE = 4096

#: Numbers of a tile of few columns in float64, whose sums may be longer: calls cost less then.
NARROW = 2**17

#: Segments of at most this many frames share a tile.
SMALL = 64


class Tile:
    """Frames [start, stop) of a segment and, for each lag, those a lag later."""

    def __init__(self, run: SegmentRun, start: int, stop: int, end: int) -> None:
        self.run, self.count = run, min(stop + run.reach, end) - start
        self.rows = run.window.parts(start, start + self.count, keep=start)
        # Frames much later are a tile of their own, lag by lag.
        self.late = {
            j: run.window.parts(start + lag, min(stop + lag, end), keep=start)
            for j, lag in enumerate(run.lags)
            if lag > run.reach and start + lag < end
        }
        self.size = (self.count + sum(map(len, self.late.values()))) * run.width

    def fill(self, buffers: Buffers) -> Any:
        """Frames as z = [(x - shift) * scale, 1] (n, columns), in a buffer."""
        return self.run.convert(self.rows, buffers, "x")

    def later(self, j: int, z: Any, buffers: Buffers) -> Any:
        """Frames a lag later: row t belongs to row t of ``z``."""
        if j not in self.late:
            return z[self.run.lags[j] :]
        return self.run.convert(self.late[j], buffers, "y")


class SegmentRun:
    """Accumulates one segment: a block with the gap behind it is a unit of work."""

    def __init__(self, sums: Sums, workers: Workers, window: Window, segment: Segment) -> None:
        self.sums, self.workers, self.window, self.segment = sums, workers, window, segment
        self.dtype = sums.dtype
        self.lags = sums.plan.lags
        self.reach = reach(self.lags)
        self.width = sums.width
        # Constants in the dtype of the products keep the conversion of a tile one pass.
        self.shift = sums.shift.astype(sums.dtype)
        self.scale = sums.scale.astype(sums.dtype)
        self.scaled = bool(np.any(sums.scale != 1))
        wide = self.dtype == np.float32 or sums.device is not None
        self.tile = TILE if wide else max(TILE, NARROW // (self.width + 2))

    def convert(self, parts: list[NDArray[Any]], buffers: Buffers, name: str) -> Any:
        """Frames as z; products of an even number of columns are faster."""
        count, d = sum(map(len, parts)), self.width
        if self.sums.device is not None:
            return self.convert_on_device(parts, count)
        z = buffers.rows(name, count, d + 2 - d % 2, self.dtype)
        at = 0
        for part in parts:
            np.subtract(part, self.shift, out=z[at : at + len(part), :d], casting="same_kind")
            at += len(part)
        if self.scaled:
            z[:, :d] *= self.scale
        z[:, d] = 1
        return z

    def convert_on_device(self, parts: list[NDArray[Any]], count: int) -> Any:
        """The same in a tensor; TF32 never enters, everything is float64."""
        import torch

        options: dict[str, Any] = {"dtype": torch.float64, "device": self.sums.device}
        z = torch.ones((count, self.width + 2 - self.width % 2), **options)
        at = 0
        for part in parts:
            z[at : at + len(part), : self.width] = torch.as_tensor(part, **options)
            at += len(part)
        z[:, : self.width] -= torch.as_tensor(self.shift, **options)
        z[:, : self.width] *= torch.as_tensor(self.scale, **options)
        z[:, self.width :] = torch.tensor([1.0, 0.0][: z.shape[1] - self.width], **options)
        return z

    def run(self) -> None:
        """Read the segment and add its moments."""
        cuts = self.segment.cuts
        if is_short(self.segment, max(self.lags)):
            self.run_short([self.segment])
            return
        previous: int | None = None
        for i, (block, start, stop) in enumerate(cuts):
            last = i == len(cuts) - 1
            after = None if last else self.segment.boundaries[i]
            until = stop if last else cuts[i + 1][1]
            self.run_unit(Unit(block, after, previous), start, stop, until)
            previous = after

    def run_short(self, segments: Sequence[Segment]) -> None:
        """Neighbouring segments with blocks shorter than two lags: pair by pair."""
        spans = [
            (j, region, a, b)
            for j, lag in enumerate(self.lags)
            for segment in segments
            for region, a, b in _spans(segment, lag)
            if a < b
        ]
        for at, to in tiles(segments[0].start, segments[-1].stop, self.tile):
            starts: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
            for j, region, a, b in spans:
                a, b = max(a, at), min(b, to)
                if a < b:
                    starts.setdefault((j, region), []).append(np.arange(a, b) - at)
            wanted = [(j, r, np.concatenate(found)) for (j, r), found in starts.items()]
            tile = Tile(self, at, to, segments[-1].stop)
            work = partial(_multiply_each, tile, wanted)
            self.workers.submit(work, partial(self.receive_pairs, wanted), tile.size)

    def receive_pairs(
        self, wanted: list[tuple[int, int, NDArray[np.int64]]], found: list[tuple[Any, Any, Any]]
    ) -> None:
        """Add the products of pairs."""
        for (j, region, _), parts in zip(wanted, found, strict=True):
            for sums, part in zip(self.sums.all, parts, strict=True):
                sums[j, region] += part

    def pieces(self, start: int, stop: int, until: int) -> list[Piece]:
        """First edge and last edge cut at every lag, the middle, the gap."""
        marks = [0, *(self.lags[j] for j in self.sums.order)]
        steps = list(enumerate(pairwise(marks)))
        first = [Piece(start + a, start + b, "first", r) for r, (a, b) in steps]
        final = [Piece(stop - b, stop - a, "last", r) for r, (a, b) in reversed(steps)]
        middle = [Piece(start + marks[-1], stop - marks[-1], "middle", 0)]
        gap = [Piece(stop, until, "gap", 0)]
        return [p for p in (*first, *middle, *final, *gap) if p.stop > p.start]

    def run_unit(self, unit: Unit, start: int, stop: int, until: int) -> None:
        """Multiply the tiles of a block and the gap behind it."""
        pieces = self.pieces(start, stop, until)
        for at, to in tiles(start, until, self.tile):
            tile = Tile(self, at, to, self.segment.stop)
            wanted = _within(pieces, at, to), self.pairs(unit, stop, at, to)
            work = partial(_multiply, tile, wanted)
            receive = partial(self.receive, unit, wanted, to == until)
            self.workers.submit(work, receive, tile.size)

    def pairs(self, unit: Unit, stop: int, at: int, to: int) -> list[Any]:
        """What the pairs that start in a tile add to: (lag, region, first row, last row + 1)."""
        found: list[Any] = []
        for j, lag in enumerate(self.lags):
            turn = turn_of(stop, lag, at, to) - at
            if turn:
                found.append((j, unit.block, 0, turn))
            if unit.after is not None and turn < to - at:
                found.append((j, unit.after, turn, to - at))
        return found

    def multiply_pairs(
        self, tile: Tile, z: Any, pairs: list[Any], buffers: Buffers
    ) -> list[NDArray[Any]]:
        """Products of pairs, without the column of ones: its sums are in the Gram matrices."""
        d = self.width
        even = d + d % 2
        found = []
        for j, those in groupby(pairs, key=itemgetter(0)):
            y = tile.later(j, z, buffers)
            found += [(z[a:b, :even].T @ y[a:b, :even])[:d, :d] for _, _, a, b in those]
        return found

    def receive(self, unit: Unit, wanted: Wanted, complete: bool, found: Found) -> None:
        """Add the products of a tile to those of its unit."""
        for (p, _, _), gram in zip(wanted[0], found[0], strict=True):
            self.sums.gather(unit.grams, (p.edge, p.rank), gram)
        for pair, product in zip(wanted[1], found[1], strict=True):
            self.add(unit, pair, product)
        if complete:
            self.sums.take(unit)

    def add(self, unit: Unit, pair: Any, product: NDArray[Any]) -> None:
        """Add a product of pairs to those of its unit."""
        self.sums.gather(unit.crosses, pair[:2], product)


def tiles(start: int, stop: int, size: int = TILE) -> Iterator[tuple[int, int]]:
    """First frame and last + 1 of the tiles of frames [start, stop).

    >>> list(tiles(10, 5000))
    [(10, 4106), (4106, 5000)]
    """
    return ((at, min(at + size, stop)) for at in range(start, stop, size))


def turn_of(stop: int, lag: int, at: int, to: int) -> int:
    """Where frames [at, to) turn from pairs that end inside a block to pairs that end beyond.

    ``stop`` is the end of the block. Pairs that start before the turn are the block's, those
    from it on belong to the boundary behind the block.

    >>> turn_of(100, 10, 80, 120), turn_of(100, 10, 0, 50), turn_of(100, 10, 95, 120)
    (90, 50, 95)
    """
    return min(max(stop - lag, at), to)


def _spans(segment: Segment, lag: int) -> Iterator[tuple[int, int, int]]:
    """(region, first start, last start + 1) of the pairs of each region.

    Together they are all starts of the segment, each once, also where a block planned for a
    shorter lag is shorter than this one (and has no pair of its own).
    """
    cuts, end = segment.cuts, segment.stop - lag
    for i, (block, start, stop) in enumerate(cuts):
        last = i == len(cuts) - 1
        until = stop if last else cuts[i + 1][1]
        turn = turn_of(stop, lag, start, until)
        yield block, start, min(turn, end)
        if not last:
            yield segment.boundaries[i], turn, min(until, end)


def reach(lags: Sequence[int]) -> int:
    """The largest lag that is reached by going on in the same tile.

    Every tile is that much longer; a longer lag takes a tile of its own for its later frames.
    What is filled altogether is least.

    >>> reach([1, 10, 100]), reach([1, 10, 100_000])
    (100, 10)
    """
    near = [0, *sorted(lags)]
    return min(near, key=lambda r: r + TILE * sum(lag > r for lag in lags))


def is_short(segment: Segment, reach: int) -> bool:
    """Whether a block of a segment has no middle between the edges of the largest lag."""
    return any(stop - start < 2 * reach for _, start, stop in segment.cuts)


def bundles(segments: Sequence[Segment], reach: int) -> Iterator[list[Segment]]:
    """Runs of small neighbouring segments (ensembles) that fit one tile; others alone."""
    held: list[Segment] = []
    for segment in segments:
        small = segment.stop - segment.start <= SMALL or is_short(segment, reach)
        if held and not (small and segment.stop - held[0].start <= TILE):
            yield held
            held = []
        if small:
            held.append(segment)
        else:
            yield [segment]
    if held:
        yield held


def _within(pieces: list[Piece], at: int, to: int) -> list[tuple[Piece, int, int]]:
    """Pieces that reach into a tile, with the first row and the last + 1 of each in it."""
    return [
        (p, max(p.start, at) - at, min(p.stop, to) - at)
        for p in pieces
        if max(p.start, at) < min(p.stop, to)
    ]


def _multiply(tile: Tile, wanted: Wanted, buffers: Buffers) -> Found:
    """The products that one tile contributes. An overflow shows in the sums."""
    d = tile.run.width + 1
    grams, pairs = wanted
    with np.errstate(over="ignore", invalid="ignore"):
        z = tile.fill(buffers)
        squares = [(z[a:b].T @ z[a:b])[:d, :d] for _, a, b in grams]
        return squares, tile.run.multiply_pairs(tile, z, pairs, buffers)


def _multiply_each(
    tile: Tile, wanted: list[tuple[int, int, NDArray[np.int64]]], buffers: Buffers
) -> list[tuple[Any, Any, Any]]:
    """xx, xy, yy of the pairs that start at some frames of a tile."""
    d = tile.run.width + 1
    found = []
    with np.errstate(over="ignore", invalid="ignore"):
        z = tile.fill(buffers)
        for j, those in groupby(wanted, key=itemgetter(0)):
            later = tile.later(j, z, buffers)
            for _, _, at in those:
                x, y = z[at], later[at]
                found.append(tuple(part[:d, :d] for part in (x.T @ x, x.T @ y, y.T @ y)))
    return found


class WeightedRun(SegmentRun):
    """Pairs with weights have no common Gram matrix: every pair is multiplied."""

    def run(self) -> None:
        end, reach = self.segment.stop, max(self.lags)
        for at, to in tiles(self.segment.start, end, self.tile):
            raw = np.concatenate(self.window.parts(at, min(to + reach, end), keep=at))
            z = np.ones((len(raw), self.width + 1), self.dtype)
            z[:, :-1] = (raw[:, :-1] - self.shift) * self.scale
            for j, lag in enumerate(self.lags):
                for region, a, b in _spans(self.segment, lag):
                    a, b = max(a, at) - at, min(b, to) - at
                    if a < b:
                        parts = products(z[a:b], z[a + lag : b + lag], raw[a:b, -1])
                        for sums, part in zip(self.sums.all, parts, strict=True):
                            sums[j, region] += part
