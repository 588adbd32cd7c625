"""Tiles: how frames that stream by become sums of products, on several threads.

A block is cut into a first edge, a middle and a last edge of the largest lag; the Gram
matrices of these pieces are computed once and put together for each lag (see
:mod:`koopman_cli.accumulate`). Tiles start at fixed frames, whatever the chunks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blocks import BlockPlan, Segment
from koopman_cli.moments import products
from koopman_cli.workers import Workers

Matrix = NDArray[np.float64]

#: Frames multiplied at once. In float32 a sum of so many rounded products still has about
#: six digits; the sums of tiles are float64.
TILE = 4096

#: Segments of at most this many frames share a tile.
SMALL = 64


class Window:
    """Frames of one trajectory as they stream by; ``fill`` copies a range into a tile."""

    def __init__(self, chunks: Iterator[NDArray[Any]], advance: Callable[[int], None]) -> None:
        self.chunks = chunks
        self.advance = advance
        self.held: deque[tuple[int, NDArray[Any]]] = deque()
        self.end = 0

    def parts(self, start: int, stop: int) -> Iterator[NDArray[Any]]:
        """Views that together are frames [start, stop); earlier frames are forgotten."""
        while self.held and self.held[0][0] + len(self.held[0][1]) <= start:
            self.held.popleft()
        while self.end < stop:
            chunk = next(self.chunks)
            if self.end + len(chunk) > start:
                self.held.append((self.end, chunk))
            self.end += len(chunk)
            self.advance(len(chunk))
        for base, chunk in self.held:
            if base < stop and base + len(chunk) > start:
                yield chunk[max(start - base, 0) : stop - base]


class Sums:
    """The growing matrices of all regions and lags.

    device : where they grow, and tiles are multiplied: a torch device, or None for numpy
    dtype : float32 for the sums of wide lifts multiplied in it, which are added in float64
        before (:mod:`koopman_cli.liftedtiles`)
    """

    def __init__(
        self,
        plan: BlockPlan,
        base: tuple[Matrix, Matrix],
        device: Any = None,
        dtype: Any = np.float64,
    ) -> None:
        self.plan, self.device = plan, device
        self.shift, self.scale = base
        width = len(self.shift) + 1
        shape = (len(plan.lags), len(plan.is_block), width, width)
        self.xx, self.xy, self.yy = (self.zeros(shape, dtype) for _ in range(3))

    @property
    def all(self) -> tuple[Matrix, Matrix, Matrix]:
        """xx, xy, yy."""
        return self.xx, self.xy, self.yy

    def zeros(self, shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
        """Zeros where the sums are; on a device always in float64."""
        if self.device is None:
            return np.zeros(shape, dtype)
        import torch

        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def collect(self) -> None:
        """Bring the sums back to numpy."""
        if self.device is not None:
            sums: tuple[Any, ...] = self.all
            self.xx, self.xy, self.yy = (part.cpu().numpy() for part in sums)
            self.device = None

    def close(self) -> None:
        """Give xy its sums of x (last column) and of y (last row), from xx and yy."""
        self.xy[..., -1] = self.xx[..., -1]
        self.xy[..., -1, :] = self.yy[..., -1, :]


@dataclass(frozen=True)
class _Piece:
    """A run of frames whose Gram matrix is needed on its own: (edge, rank of its lag)."""

    start: int
    stop: int
    edge: str
    rank: int


@dataclass
class _Unit:
    """A block with the gap behind it: its regions, and the Gram matrices of its pieces."""

    block: int
    after: int | None
    previous: int | None
    grams: dict[tuple[str, int], Matrix] = field(default_factory=dict)


class SegmentRun:
    """Accumulates one segment: a block with the gap behind it is a unit of work."""

    def __init__(
        self, sums: Sums, workers: Workers, window: Window, segment: Segment, dtype: Any
    ) -> None:
        self.sums, self.window, self.segment, self.dtype = sums, window, segment, dtype
        self.workers = workers
        self.lags = sums.plan.lags
        self.order = sorted(range(len(self.lags)), key=lambda j: self.lags[j])
        self.width = len(sums.shift)
        # Constants in the dtype of the products keep the conversion of a tile one pass.
        self.shift = sums.shift.astype(dtype)
        self.scale = sums.scale.astype(dtype)
        self.scaled = bool(np.any(sums.scale != 1))
        self.precise = sums.device is not None or dtype == np.float64
        self.zero = sums.zeros((self.width + 1, self.width + 1))

    def tile(self, start: int, stop: int) -> NDArray[Any]:
        """Frames [start, stop) as z, in a buffer of the workers."""
        count = stop - start
        if self.sums.device is not None:
            on_device: NDArray[Any] = self.tile_on_device(start, stop)
            return on_device
        buffer = self.workers.rows(count, self.width + 1, self.dtype)
        at = 0
        for part in self.window.parts(start, stop):
            rows = buffer[at : at + len(part), :-1]
            np.subtract(part, self.shift, out=rows, casting="same_kind")
            at += len(part)
        if self.scaled:
            buffer[:count, :-1] *= self.scale
        return buffer

    def tile_on_device(self, start: int, stop: int) -> Any:
        """Frames [start, stop) as z in a tensor; TF32 never enters, everything is float64."""
        import torch

        self.workers.wait()
        options: dict[str, Any] = {"dtype": torch.float64, "device": self.sums.device}
        z = torch.ones((stop - start, self.width + 1), **options)
        at = 0
        for part in self.window.parts(start, stop):
            z[at : at + len(part), :-1] = torch.as_tensor(part, **options)
            at += len(part)
        z[:, :-1] -= torch.as_tensor(self.shift, **options)
        z[:, :-1] *= torch.as_tensor(self.scale, **options)
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
            self.run_unit(_Unit(block, after, previous), start, stop, until)
            previous = after

    def run_short(self, segments: Sequence[Segment]) -> None:
        """Neighbouring segments with blocks shorter than two lags: pair by pair, in one tile."""
        first = segments[0].start
        z = self.tile(first, segments[-1].stop)
        starts: dict[tuple[int, int], list[NDArray[np.int64]]] = {}
        for j, lag in enumerate(self.lags):
            for segment in segments:
                for region, a, b in _spans(segment, lag):
                    if a < b:
                        starts.setdefault((j, region), []).append(np.arange(a, b) - first)
        wanted = {key: np.concatenate(found) for key, found in starts.items()}

        def work() -> list[tuple[Any, Any, Any]]:
            pairs = ((z[at], z[at + self.lags[j]]) for (j, _), at in wanted.items())
            with np.errstate(over="ignore", invalid="ignore"):
                return [(x.T @ x, x.T @ y, y.T @ y) for x, y in pairs]

        def receive(found: list[tuple[Any, Any, Any]]) -> None:
            for (j, region), parts in zip(wanted, found, strict=True):
                for sums, part in zip(self.sums.all, parts, strict=True):
                    sums[j, region] += part

        self.workers.submit(work, receive, z)

    def spans(self, lag: int) -> Iterator[tuple[int, int, int]]:
        """(region, first start, last start + 1) of the pairs of each region."""
        yield from _spans(self.segment, lag)

    def pieces(self, start: int, stop: int, until: int) -> list[_Piece]:
        """First edge and last edge cut at every lag, the middle, the gap."""
        marks = [0, *(self.lags[j] for j in self.order)]
        steps = list(enumerate(pairwise(marks)))
        first = [_Piece(start + a, start + b, "first", r) for r, (a, b) in steps]
        final = [_Piece(stop - b, stop - a, "last", r) for r, (a, b) in reversed(steps)]
        middle = [_Piece(start + marks[-1], stop - marks[-1], "middle", 0)]
        gap = [_Piece(stop, until, "gap", 0)]
        return [p for p in (*first, *middle, *final, *gap) if p.stop > p.start]

    def run_unit(self, unit: _Unit, start: int, stop: int, until: int) -> None:
        """Multiply the tiles of a block and the gap behind it."""
        pieces = self.pieces(start, stop, until)
        for at in range(start, until, TILE):
            to = min(at + TILE, until)
            z = self.tile(at, min(to + max(self.lags), self.segment.stop))
            grams = [
                (p, max(p.start, at) - at, min(p.stop, to) - at)
                for p in pieces
                if max(p.start, at) < min(p.stop, to)
            ]
            crosses = [
                (j, region, a - at, b - at)
                for j, lag in enumerate(self.lags)
                for region, a, b in _crossings(unit, (at, to), stop - lag)
                if a < b
            ]
            work = partial(_multiply, z, grams, crosses, self.lags)
            receive = partial(self.receive, unit, grams, crosses, to == until)
            self.workers.submit(work, receive, z)

    def receive(
        self,
        unit: _Unit,
        grams: list[tuple[_Piece, int, int]],
        crosses: list[tuple[int, int, int, int]],
        complete: bool,
        found: tuple[list[NDArray[Any]], list[NDArray[Any]]],
    ) -> None:
        """Add the products of a tile; with the last tile of a unit, its Gram matrices."""
        for (p, _, _), gram in zip(grams, found[0], strict=True):
            key = (p.edge, p.rank)
            if key in unit.grams:
                unit.grams[key] += gram
            else:
                # Products of float32 tiles are float32; their sums are not.
                unit.grams[key] = gram if self.precise else self.zero + gram
        for (j, region, _, _), cross in zip(crosses, found[1], strict=True):
            self.sums.xy[j, region, :-1, :-1] += cross
        if complete:
            self.distribute(unit)

    def distribute(self, unit: _Unit) -> None:
        """Put the Gram matrices of the pieces together, for all lags at once."""
        if len(self.order) == 1:
            self.distribute_one(unit)
            return
        grams, zero = unit.grams, self.zero
        middle, gap = grams.get(("middle", 0), zero), grams.get(("gap", 0), zero)
        # first[r] holds the first lag_r frames, first[-1] the whole edge; final likewise.
        first, final = self.edges(grams, "first"), self.edges(grams, "last")
        xx, yy = self.sums.xx, self.sums.yy
        at: Any = slice(None) if self.order == sorted(self.order) else np.array(self.order)
        whole = first[-1] + middle + final[-1]
        xx[at, unit.block] += whole - final
        yy[at, unit.block] += whole - first
        if unit.previous is not None:
            yy[at, unit.previous] += first
        if unit.after is not None:
            final += gap
            xx[at, unit.after] += final
            yy[at, unit.after] += gap

    def distribute_one(self, unit: _Unit) -> None:
        """The same for one lag, in place: wide matrices cost more to allocate than to add."""
        xx, yy, grams = self.sums.xx[0], self.sums.yy[0], unit.grams
        parts = [
            ("first", xx, unit.block), ("first", yy, unit.previous),
            ("middle", xx, unit.block), ("middle", yy, unit.block),
            ("last", yy, unit.block), ("last", xx, unit.after),
            ("gap", xx, unit.after), ("gap", yy, unit.after),
        ]  # fmt: skip
        for edge, target, region in parts:
            if region is not None and (edge, 0) in grams:
                target[region] += grams[edge, 0]

    def edges(self, grams: dict[tuple[str, int], Matrix], edge: str) -> Matrix:
        """Gram matrices of an edge of every lag, shortest first."""
        parts = [grams.get((edge, r), self.zero) for r in range(len(self.order))]
        if self.sums.device is None:
            stacked = np.stack(parts)
            return np.cumsum(stacked, axis=0, out=stacked)
        import torch

        tensors: Any = parts
        summed: Any = torch.stack(tensors).cumsum(0)
        found: Matrix = summed
        return found


def _spans(segment: Segment, lag: int) -> Iterator[tuple[int, int, int]]:
    """(region, first start, last start + 1) of the pairs of each region.

    Together they are all starts of the segment, each once, also where a block planned for a
    shorter lag is shorter than this one (and has no pair of its own).
    """
    cuts, end = segment.cuts, segment.stop - lag
    for i, (block, start, stop) in enumerate(cuts):
        turn = max(start, stop - lag)
        yield block, start, min(turn, end)
        if i < len(cuts) - 1:
            yield segment.boundaries[i], turn, min(cuts[i + 1][1], end)


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


def _crossings(unit: _Unit, tile: tuple[int, int], turn: int) -> Iterator[tuple[int, int, int]]:
    """(region, first start, last start + 1) of the pairs that start in a tile.

    ``turn`` is the first start whose pair no longer ends inside the block.
    """
    yield unit.block, tile[0], min(tile[1], turn)
    if unit.after is not None:
        yield unit.after, max(tile[0], turn), tile[1]


def _multiply(
    z: NDArray[Any],
    grams: list[tuple[_Piece, int, int]],
    crosses: list[tuple[int, int, int, int]],
    lags: tuple[int, ...],
) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """The products that one tile contributes. An overflow shows in the sums."""
    with np.errstate(over="ignore", invalid="ignore"):
        return (
            [z[a:b].T @ z[a:b] for _, a, b in grams],
            # Without the column of ones: its sums stand in the Gram matrices already, and an
            # even number of columns is multiplied faster.
            [z[a:b, :-1].T @ z[a + lags[j] : b + lags[j], :-1] for j, _, a, b in crosses],
        )


class WeightedRun(SegmentRun):
    """Pairs with weights have no common Gram matrix: every pair is multiplied."""

    def tile(self, start: int, stop: int) -> NDArray[Any]:
        """Frames [start, stop) as z, with the weight of each as a last column."""
        parts = list(self.window.parts(start, stop))
        raw = np.concatenate(parts)
        z = np.empty((stop - start, self.width + 2), self.dtype)
        z[:, :-2] = (raw[:, :-1] - self.shift) * self.scale
        z[:, -2] = 1
        z[:, -1] = raw[:, -1]
        return z

    def run(self) -> None:
        end = self.segment.stop
        for at in range(self.segment.start, end, TILE):
            z = self.tile(at, min(at + TILE + max(self.lags), end))
            for j, lag in enumerate(self.lags):
                for region, a, b in self.spans(lag):
                    a, b = max(a, at) - at, min(b, at + TILE) - at
                    if a < b:
                        self.add(z, j, (a, b, lag), region)

    def add(self, z: NDArray[Any], j: int, span: tuple[int, int, int], region: int) -> None:
        a, b, lag = span
        xx, xy, yy = products(z[a:b, :-1], z[a + lag : b + lag, :-1], z[a:b, -1])
        self.sums.xx[j, region] += xx
        self.sums.xy[j, region] += xy
        self.sums.yy[j, region] += yy
