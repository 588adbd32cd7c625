"""Streaming accumulation of block moments: one Gram matrix for every lag.

With S the sum of z z' over a run of frames, xx and yy of every lag are S less ``lag`` edge
frames. Each block is therefore cut into a first edge, a middle and a last edge of the
largest lag; Gram matrices of these pieces are computed once (a symmetric rank-k update)
and put together for each lag, which itself costs one product xy.

Frames pass through tiles of fixed length that start at fixed frames, so the size of the
chunks in which the data arrive never changes a result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blocks import BlockPlan, Segment, plan_blocks
from koopman_cli.errors import DataError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.linalg import whiten
from koopman_cli.moments import BlockMoments, products
from koopman_cli.types import Progress, no_progress

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Frames multiplied at once. In float32 a sum of so many rounded products still has about
#: six digits; the sums of tiles are float64.
TILE = 4096

#: Frames of the first trajectory from which shift and scale are taken.
PILOT = 1000

#: Largest condition number of the correlation matrix that float32 products may have.
MAX_CONDITION_FLOAT32 = 1e4


@dataclass(frozen=True)
class Mapped:
    """What accumulation reads: a stream seen through a function of its chunks.

    width : columns that ``function`` gives; weights : optional weight of the pair that
    starts at each frame, from the raw chunk.
    """

    stream: FeatureStream
    width: int
    function: Function | None = None
    weights: Function | None = None

    def chunks(self, trajectory: int) -> Iterator[NDArray[Any]]:
        """Chunks of one trajectory after the function; weights travel as a last column."""
        size = None
        if self.function is not None:
            # The lifted chunk is what must fit, not the raw one.
            raw = self.stream.n_features
            size = max(256, self.stream.chunk_frames() * raw // max(raw, self.width))
        for chunk in self.stream.chunks(trajectory, size):
            lifted = chunk if self.function is None else self.function(chunk)
            if self.weights is not None:
                lifted = np.column_stack([lifted, self.weights(chunk)])
            yield lifted


class _Window:
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


class _Sums:
    """The growing matrices of all regions and lags."""

    def __init__(self, plan: BlockPlan, width: int, shift: Matrix, scale: Matrix) -> None:
        shape = (len(plan.lags), len(plan.is_block), width + 1, width + 1)
        self.plan = plan
        self.xx, self.xy, self.yy = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.shift, self.scale = shift, scale
        # Fresh memory costs more than the product that goes into it, so both are kept.
        self.buffer: NDArray[Any] = np.empty((0, width + 1))
        self.product: NDArray[Any] = np.empty(0)

    def rows(self, count: int, dtype: Any) -> NDArray[Any]:
        """``count`` rows of a tile, their last column 1; overwritten by the next call."""
        if len(self.buffer) < count or self.buffer.dtype != dtype:
            self.buffer = np.empty((count, len(self.shift) + 1), dtype)
            self.product = np.empty((len(self.shift) + 1,) * 2, dtype)
        self.buffer[:count, -1] = 1
        return self.buffer[:count]

    def multiply(self, a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
        """A' b of rows of a tile; overwritten by the next call."""
        product: NDArray[Any] = np.matmul(a.T, b, out=self.product)
        return product


@dataclass(frozen=True)
class _Piece:
    """A run of frames whose Gram matrix is needed on its own: (edge, rank of its lag)."""

    start: int
    stop: int
    edge: str
    rank: int


class _SegmentRun:
    """Accumulates one segment: a block with the gap behind it is a unit of work."""

    def __init__(self, sums: _Sums, window: _Window, segment: Segment, dtype: Any) -> None:
        self.sums, self.window, self.segment, self.dtype = sums, window, segment, dtype
        self.lags = sums.plan.lags
        self.order = sorted(range(len(self.lags)), key=lambda j: self.lags[j])
        self.width = len(sums.shift)
        # Constants in the dtype of the products keep the conversion of a tile one pass.
        self.shift = sums.shift.astype(dtype)
        self.scale = sums.scale.astype(dtype)
        self.scaled = bool(np.any(sums.scale != 1))
        self.zero = np.zeros((self.width + 1, self.width + 1))

    def tile(self, start: int, stop: int) -> NDArray[Any]:
        """Frames [start, stop) as z; the rows live until the next call."""
        z = self.sums.rows(stop - start, self.dtype)
        at = 0
        for part in self.window.parts(start, stop):
            rows = z[at : at + len(part), :-1]
            np.subtract(part, self.shift, out=rows, casting="same_kind")
            at += len(part)
        if self.scaled:
            z[:, :-1] *= self.scale
        return z

    def run(self) -> None:
        reach = max(self.lags)
        cuts = self.segment.cuts
        if any(stop - start < 2 * reach for _, start, stop in cuts):
            self.run_short()
            return
        previous: int | None = None
        for i, (block, start, stop) in enumerate(cuts):
            last = i == len(cuts) - 1
            after = None if last else self.segment.boundaries[i]
            until = stop if last else cuts[i + 1][1]
            grams = self.unit(block, after, (start, stop, until))
            self.distribute(grams, block, after, previous)
            previous = after

    def run_short(self) -> None:
        """A segment with a block shorter than two lags: pair by pair, the plain way."""
        z = self.tile(self.segment.start, self.segment.stop)
        for j, lag in enumerate(self.lags):
            for region, a, b in self.spans(lag):
                a, b = a - self.segment.start, b - self.segment.start
                if a < b:
                    xx, xy, yy = products(z[a:b], z[a + lag : b + lag])
                    self.sums.xx[j, region] += xx
                    self.sums.xy[j, region] += xy
                    self.sums.yy[j, region] += yy

    def spans(self, lag: int) -> Iterator[tuple[int, int, int]]:
        """(region, first start, last start + 1) of the pairs of each region."""
        cuts = self.segment.cuts
        for i, (block, start, stop) in enumerate(cuts):
            yield block, start, stop - lag
            if i < len(cuts) - 1:
                yield self.segment.boundaries[i], stop - lag, cuts[i + 1][1]

    def pieces(self, start: int, stop: int, until: int) -> list[_Piece]:
        """First edge and last edge cut at every lag, the middle, the gap."""
        marks = [0, *(self.lags[j] for j in self.order)]
        steps = list(enumerate(pairwise(marks)))
        first = [_Piece(start + a, start + b, "first", r) for r, (a, b) in steps]
        final = [_Piece(stop - b, stop - a, "last", r) for r, (a, b) in reversed(steps)]
        middle = [_Piece(start + marks[-1], stop - marks[-1], "middle", 0)]
        gap = [_Piece(stop, until, "gap", 0)]
        return [p for p in (*first, *middle, *final, *gap) if p.stop > p.start]

    def unit(
        self, block: int, after: int | None, span: tuple[int, int, int]
    ) -> dict[tuple[str, int], Matrix]:
        """Gram matrices of the pieces; products xy go straight into their regions."""
        start, stop, until = span
        grams: dict[tuple[str, int], Matrix] = {}
        pieces = self.pieces(start, stop, until)
        end = self.segment.stop
        for at in range(start, until, TILE):
            to = min(at + TILE, until)
            z = self.tile(at, min(to + max(self.lags), end))
            for p in pieces:
                a, b = max(p.start, at), min(p.stop, to)
                if a < b:
                    rows = z[a - at : b - at]
                    gram = self.sums.multiply(rows, rows)
                    key = (p.edge, p.rank)
                    if key in grams:
                        grams[key] += gram
                    else:
                        grams[key] = gram.astype(np.float64)
            for j, lag in enumerate(self.lags):
                self.cross(z, j, (at, min(to, stop - lag), lag), block)
                if after is not None:
                    self.cross(z, j, (at, to, lag), after, begin=stop - lag)
        return grams

    def cross(
        self, z: NDArray[Any], j: int, span: tuple[int, int, int], region: int, begin: int = -1
    ) -> None:
        at, to, lag = span
        a, b = max(at, begin) - at, to - at
        if a < b:
            self.sums.xy[j, region] += self.sums.multiply(z[a:b], z[a + lag : b + lag])

    def distribute(
        self,
        grams: dict[tuple[str, int], Matrix],
        block: int,
        after: int | None,
        previous: int | None,
    ) -> None:
        """Put the Gram matrices of the pieces together for each lag."""
        zero = self.zero
        middle, gap = grams.get(("middle", 0), zero), grams.get(("gap", 0), zero)
        # first[r] holds the first lag_r frames, first[-1] the whole edge; final likewise.
        first, final = [zero], [zero]
        for r in range(len(self.order)):
            first.append(first[-1] + grams[("first", r)] if ("first", r) in grams else first[-1])
            final.append(final[-1] + grams[("last", r)] if ("last", r) in grams else final[-1])
        for r, j in enumerate(self.order, start=1):
            xx, yy = self.sums.xx[j], self.sums.yy[j]
            xx[block] += first[-1] + middle
            yy[block] += middle + final[-1]
            if len(self.order) > 1:
                xx[block] += final[-1] - final[r]
                yy[block] += first[-1] - first[r]
            if previous is not None:
                yy[previous] += first[r]
            if after is not None:
                xx[after] += final[r] + gap
                yy[after] += gap


class _WeightedRun(_SegmentRun):
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


def pilot(source: Mapped) -> tuple[Matrix, Matrix]:
    """Shift and power-of-two scale from the first frames of the first trajectory.

    They only have to be near: moments are exact about any shift; a near one saves digits.
    """
    first = next(i for i, n in enumerate(source.stream.lengths) if n)
    parts: list[NDArray[Any]] = []
    for chunk in source.stream.chunks(first, PILOT):
        parts.append(chunk)
        if sum(map(len, parts)) >= PILOT:
            break
    sample = np.concatenate(parts)[:PILOT]
    if source.function is not None:
        sample = source.function(sample)
    sample = np.asarray(sample, np.float64)
    shift = sample.mean(axis=0) if np.isfinite(sample).all() else sample[0]
    # A constant column must deviate by exactly nothing, which a rounded mean does not grant.
    shift = np.where((sample == sample[0]).all(axis=0), sample[0], shift)
    spread = np.abs(sample - shift).max(axis=0)
    return shift, _power_of_two(np.where(spread > 0, spread, np.abs(sample).max(axis=0)))


def _power_of_two(spread: Matrix) -> Matrix:
    usable = np.isfinite(spread) & (spread > 0)
    # Ordinary sizes need no scale, and a tile one pass less.
    ordinary = (spread > 1e-8) & (spread < 1e8)
    exponent = np.frexp(np.where(usable & ~ordinary, spread, 0.5))[1]
    scale: Matrix = np.ldexp(1.0, np.clip(-exponent, -1020, 1020))
    return scale


def _pass(
    source: Mapped, plan: BlockPlan, base: tuple[Matrix, Matrix], dtype: Any, progress: Progress
) -> _Sums:
    """One reading of the data."""
    # Overflow (also of the constants, in float32) shows in the sums and is mended there.
    with np.errstate(over="ignore", invalid="ignore"):
        return _read(source, plan, base, dtype, progress)


def _read(
    source: Mapped, plan: BlockPlan, base: tuple[Matrix, Matrix], dtype: Any, progress: Progress
) -> _Sums:
    # A shift that the dtype holds exactly, so that what is subtracted is what is stored.
    shift = base[0].astype(dtype).astype(np.float64)
    sums = _Sums(plan, source.width, shift, base[1])
    runner = _SegmentRun if source.weights is None else _WeightedRun
    by_trajectory: dict[int, list[Segment]] = {}
    for segment in plan.segments:
        by_trajectory.setdefault(segment.trajectory, []).append(segment)
    with progress("reading", source.stream.n_frames) as advance:
        for trajectory, segments in by_trajectory.items():
            window = _Window(source.chunks(trajectory), advance)
            for segment in segments:
                runner(sums, window, segment, dtype).run()
    return sums


def _check_finite(sums: _Sums, source: Mapped) -> None:
    """Sums that are not finite mean a frame that is not; find and name it."""
    # Squares overflow before sums do, so every entry counts.
    if all(np.isfinite(m).all() for m in (sums.xx, sums.xy, sums.yy)):
        return
    stream = source.stream
    for i, label in enumerate(stream.labels):
        at = 0
        for chunk in stream.chunks(i):
            bad = ~np.isfinite(chunk)
            if bad.any():
                frame, column = np.argwhere(bad)[0]
                where = int(stream.frame_index(i, np.array([at + frame]))[0])
                raise DataError(
                    f"{label}: frame {where}, {stream.spec.names[column]} is not finite",
                    "add --drop-nonfinite to leave such frames out",
                )
            at += len(chunk)
    raise OverflowError


def accumulate(
    stream: FeatureStream,
    lags: Sequence[int],
    *,
    lift: tuple[int, Function] | None = None,
    weights: Function | None = None,
    plan: BlockPlan | None = None,
    n_blocks: int | None = None,
    precision: str = "auto",
    progress: Progress = no_progress,
) -> tuple[BlockMoments, str]:
    """Block moments of a stream at one or several lags, in one reading.

    Parameters
    ----------
    stream : FeatureStream
        What to read.
    lags : sequence of int
        Lags in frames, each at least 1.
    lift : (m, function), optional
        Functions of a chunk, (n, d) -> (n, m), whose moments are wanted instead.
    weights : function, optional
        Weight of the pair starting at each frame of a chunk, (n, d) -> (n,).
    plan : BlockPlan, optional
        Blocks to use; by default about a hundred.
    n_blocks : int, optional
        Blocks aimed at when no plan is given.
    precision : {"auto", "float64", "float32"}
        "auto" multiplies float32 input in float32 while the correlation matrix has a
        condition number below 1e4, and otherwise reads again in float64.

    Returns
    -------
    moments : BlockMoments
    precision : str
        The precision of the products.

    Raises
    ------
    DataError
        If a frame is not finite, or no trajectory is longer than the lag.

    Examples
    --------
    >>> stream = FeatureStream.from_arrays(np.sin(np.arange(200.0)))
    >>> moments, precision = accumulate(stream, [1, 5])
    >>> moments.total(5).n, precision
    (195.0, 'float64')
    """
    width = lift[0] if lift else stream.n_features
    source = Mapped(stream, width, lift[1] if lift else None, weights)
    if plan is None:
        blocks = {} if n_blocks is None else {"n_blocks": n_blocks}
        plan = plan_blocks(
            stream.segments, lags, width, window=stream.window, origins=stream.origins, **blocks
        )
    single = precision == "float32" or (
        precision == "auto" and stream.dtype == np.float32 and lift is None and weights is None
    )
    base = pilot(source)
    try:
        sums = _pass(source, plan, base, np.float32 if single else np.float64, progress)
        _check_finite(sums, source)
    except OverflowError:
        base, single = _wide_base(source), False
        sums = _pass(source, plan, base, np.float64, progress)
    result = _result(sums, source)
    if single and precision == "auto" and not _single_suffices(result):
        sums = _pass(source, plan, base, np.float64, progress)
        return _result(sums, source), "float64"
    return result, "float32" if single else "float64"


def _wide_base(source: Mapped) -> tuple[Matrix, Matrix]:
    """Shift and scale from all frames, for data whose first frames are no guide."""
    low, high = np.full(source.width, np.inf), np.full(source.width, -np.inf)
    for i in range(len(source.stream.labels)):
        for chunk in replace(source, weights=None).chunks(i):
            low = np.minimum(low, chunk.min(axis=0))
            high = np.maximum(high, chunk.max(axis=0))
    return low / 2 + high / 2, _power_of_two(high / 2 - low / 2)


def _result(sums: _Sums, source: Mapped) -> BlockMoments:
    plan = sums.plan
    return BlockMoments(
        plan.lags,
        sums.xx,
        sums.xy,
        sums.yy,
        sums.shift,
        sums.scale,
        plan.is_block,
        plan.trajectory,
        plan.start,
        plan.stop,
        plan.frames,
        float(np.finfo(source.stream.dtype).eps),
    )


def _single_suffices(moments: BlockMoments) -> bool:
    total = moments.total()
    cov = total.covariances()
    sd = np.sqrt(np.maximum(np.diag(cov.c00), 0))
    moving = sd > 0
    # Cancellation about a far shift costs digits like a bad condition number does.
    if np.any(np.abs(cov.mean_x[moving]) > 10 * sd[moving]) or not moving.any():
        return False
    inner = np.ix_(moving, moving)
    return whiten(cov.c00[inner]).condition < MAX_CONDITION_FLOAT32
