"""Where blocks begin and end: about a hundred, each in one trajectory, with gaps between.

The gap between neighbours is twice the largest lag plus the delay window, so that a test
block and its neighbouring training blocks share no frame and are a lag apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.nouns import counted

#: Fine blocks aimed at; they are merged later, when the slowest timescale is known.
N_BLOCKS = 100

#: Fewer are taken only where the memory does not suffice.
FEWEST_BLOCKS = 40

#: Bytes that the matrices of all blocks and boundaries may take.
BLOCK_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Segment:
    """A contiguous stretch [start, stop) of one trajectory and its cuts.

    cuts : ((region, start, stop), ...) its blocks in time order, frames of the trajectory
    boundaries : region index of the boundary after each block but the last
    Several segments may share one block; a short one may lie in a boundary as a whole.
    """

    trajectory: int
    start: int
    stop: int
    cuts: tuple[tuple[int, int, int], ...]
    boundaries: tuple[int, ...]


@dataclass(frozen=True)
class _Row:
    """A segment long enough to use. ``near``: frames missing between it and the one before
    in the same run, where these are fewer than a gap; None for a segment of its own.
    """

    trajectory: int
    start: int
    stop: int
    flat: int
    near: int | None


@dataclass(frozen=True)
class BlockPlan:
    """All segments with their blocks, and the regions these refer to.

    start, stop : (regions,) frames of ``trajectory``; of a block that runs on through the
        following short trajectories, ``stop`` counts on through them
    """

    lags: tuple[int, ...]
    segments: tuple[Segment, ...]
    is_block: NDArray[np.bool_]
    trajectory: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    frames: int

    def at(self, lags: Sequence[int]) -> BlockPlan:
        """The same blocks for other lags, none longer than the longest planned for."""
        return replace(self, lags=tuple(lags))


def usable_lags(lengths: Sequence[int]) -> int:
    """The largest lag for which at least one pair exists.

    >>> usable_lags([10, 4])
    9
    """
    return max(lengths, default=0) - 1


def _budgeted(n_blocks: int, n_lags: int, width: int, frames: int) -> tuple[int, bool]:
    """Blocks that fit the memory budget, and whether boundaries must be pooled.

    Touching fresh memory costs more than the products of a small data set, so the matrices
    of the blocks stay below about a quarter of the data, down to :data:`FEWEST_BLOCKS`.
    """
    region = 3 * 8 * n_lags * (width + 1) ** 2
    modest = frames * width * 4 // 4 // (2 * region)
    n_blocks = min(n_blocks, max(FEWEST_BLOCKS, modest))
    affordable = BLOCK_BYTES // region
    if affordable >= 2 * n_blocks:
        return n_blocks, False
    if affordable >= FEWEST_BLOCKS:
        return affordable // 2, False
    return min(n_blocks, max(10, min(20, affordable))), True


class _Regions:
    """Collects regions in time order, as [is_block, trajectory, start, stop]."""

    def __init__(self) -> None:
        self.rows: list[list[int]] = []

    def add(self, row: _Row, start: int, stop: int, *, is_block: bool = True) -> int:
        self.rows.append([is_block, row.trajectory, start, stop])
        return len(self.rows) - 1


def plan_blocks(
    segments: Sequence[NDArray[np.int64]],
    lags: Sequence[int],
    width: int,
    *,
    n_blocks: int = N_BLOCKS,
    window: int = 0,
    origins: Sequence[NDArray[np.int64]] = (),
) -> BlockPlan:
    """Cut the segments of all trajectories into blocks and boundaries.

    Parameters
    ----------
    segments : one (s, 2) array per trajectory
        Half-open ranges of frames that are contiguous in time.
    lags : sequence of int
        Lags in frames; the largest decides the gaps.
    width : int
        Number of functions, which decides how many blocks the memory affords.
    n_blocks : int
        Blocks aimed at.
    window : int
        Frames that a delay embedding reaches back.
    origins : one (s,) array per trajectory, optional
        Frame as read of the start of each segment. Segments a few frames apart are parts of
        one run and keep the distance that blocks keep; segments with nothing missing
        between them are runs of their own (members of an ensemble).

    Raises
    ------
    DataError
        If every segment is too short for the largest lag.

    Notes
    -----
    At lags shorter than the largest, pairs of segments too short for the largest count too.
    """
    reach = max(lags)
    longest = max((int(b - a) for part in segments for a, b in part), default=0)
    if longest <= reach:
        raise DataError(
            f"lag {reach}: the longest trajectory has {counted(longest, 'frame')}",
            f"the largest usable lag is {max(longest - 1, 0)}",
        )
    gap = 2 * reach + window
    rows = _rows(segments, origins or [part[:, 0] for part in segments], (window, gap))
    usable = [row for row in rows if row.stop - row.start > min(lags)]
    total = sum(row.stop - row.start for row in usable)
    wanted, pooled = _budgeted(n_blocks, len(lags), width, total)
    cutter = _Cutter(usable, wanted, (reach, gap), pooled=pooled)
    cut = [cutter.cut(row) for row in usable]
    return _finish(tuple(lags), cut, cutter.regions, pooled=pooled)


def _rows(
    segments: Sequence[NDArray[np.int64]],
    origins: Sequence[NDArray[np.int64]],
    span: tuple[int, int],
) -> list[_Row]:
    window, gap = span
    rows: list[_Row] = []
    flat = 0
    for i, (part, begins) in enumerate(zip(segments, origins, strict=True)):
        ended: int | None = None
        for (a, b), begin in zip(part.tolist(), begins.tolist(), strict=True):
            missing = None if ended is None else begin - ended
            near = missing if missing is not None and window < missing < gap else None
            rows.append(_Row(i, a, b, flat, near))
            ended = begin + b - a
        flat += int(part[-1, 1]) if len(part) else 0
    return rows


class _Cutter:
    """Walks through the segments in time order and says where their blocks are."""

    def __init__(
        self, rows: list[_Row], wanted: int, span: tuple[int, int], *, pooled: bool
    ) -> None:
        self.reach, self.gap = span
        self.pooled = pooled
        self.regions = _Regions()
        total = sum(row.stop - row.start for row in rows)
        # Many short runs share blocks; a few are blocks each.
        self.share = len(rows) > wanted
        self.full = total / wanted
        self.target = max(self.full - self.gap, 3 * self.reach, 2)
        self.block: int | None = None
        self.held = 0.0
        self.resting: int | None = None
        self.rested = 0
        self.origin = 0

    def cut(self, row: _Row) -> Segment:
        """Blocks of the next segment."""
        size = row.stop - row.start
        count = max(1, int((size + self.gap) // (self.target + self.gap)))
        filled = self.held >= (self.full if self.share else self.target)
        if row.near is None:
            self._end_rest()
            fresh = filled or count > 1 or not self.share
        else:
            if filled and count == 1 and size >= self.gap + 6 * self.reach:
                count = 2
            if self.resting is not None:
                self.rested += row.near
            if (filled or self.resting is not None) and count == 1 and not self._rested():
                return self._rest(row)
            fresh = self._rested()
            self.resting = None
        return self._divide(row, count, fresh=fresh or self.block is None)

    def _end_rest(self) -> None:
        """A boundary at the end of a run joins its last block to nothing."""
        if self.resting is not None and self.resting >= 0:
            self.regions.rows[self.resting][2] = -1
        self.resting = None

    def _rested(self) -> bool:
        return self.resting is not None and self.rested >= self.gap

    def _rest(self, row: _Row) -> Segment:
        """A segment right behind a full block, as a whole in the boundary after it."""
        if self.resting is None:
            self.rested = row.near or 0
            self.resting = self._boundary(row, row.start, row.stop)
        self.rested += row.stop - row.start
        return Segment(
            row.trajectory, row.start, row.stop, ((self.resting, row.start, row.stop),), ()
        )

    def _boundary(self, row: _Row, start: int, stop: int) -> int:
        # A pooled boundary gets its region later; -1 stands for "the remainder".
        return -1 if self.pooled else self.regions.add(row, start, stop, is_block=False)

    def _divide(self, row: _Row, count: int, *, fresh: bool) -> Segment:
        a, inner = row.start, row.stop - row.start - (count - 1) * self.gap
        cuts, boundaries = [], []
        for i in range(count):
            start = a + inner * i // count + i * self.gap
            stop = a + inner * (i + 1) // count + i * self.gap
            if i or fresh or self.block is None:
                self.block = self.regions.add(row, start, stop)
                self.held, self.origin = 0, row.flat
            self.held += stop - start
            self.regions.rows[self.block][3] = row.flat + stop - self.origin
            cuts.append((self.block, start, stop))
            if i < count - 1:
                boundaries.append(self._boundary(row, stop, stop + self.gap))
        return Segment(row.trajectory, a, row.stop, tuple(cuts), tuple(boundaries))


def _finish(
    lags: tuple[int, ...], cut: list[Segment], regions: _Regions, *, pooled: bool
) -> BlockPlan:
    if pooled:
        # Start -1: belongs to no place in time, so nothing can be merged through it.
        remainder = len(regions.rows)
        regions.rows.append([False, -1, -1, -1])
        cut = [
            Segment(
                s.trajectory,
                s.start,
                s.stop,
                tuple((remainder if r < 0 else r, a, b) for r, a, b in s.cuts),
                (remainder,) * len(s.boundaries),
            )
            for s in cut
        ]
    flags, trajectory, start, stop = zip(*regions.rows, strict=True)
    return BlockPlan(
        lags,
        tuple(cut),
        np.array(flags, bool),
        np.array(trajectory, np.int64),
        np.array(start, np.int64),
        np.array(stop, np.int64),
        sum(s.stop - s.start for s in cut),
    )


def pooled(plan: BlockPlan) -> BlockPlan:
    """The same blocks with all boundaries in one region, where nothing will be merged.

    >>> plan = plan_blocks([np.array([[0, 1000]])], [1], 2, n_blocks=4)
    >>> len(plan.is_block), len(pooled(plan).is_block), pooled(plan).is_block.sum()
    (7, 5, np.int64(4))
    """
    keep = np.flatnonzero(plan.is_block)
    place = {int(r): i for i, r in enumerate(keep)}
    rest = len(keep)
    segments = tuple(
        Segment(
            s.trajectory,
            s.start,
            s.stop,
            tuple((place.get(r, rest), a, b) for r, a, b in s.cuts),
            (rest,) * len(s.boundaries),
        )
        for s in plan.segments
    )
    # Start -1: belongs to no place in time, so nothing can be merged through it.
    trajectory, start, stop = (
        np.append(part[keep], -1) for part in (plan.trajectory, plan.start, plan.stop)
    )
    flags = np.append(np.ones(rest, bool), False)
    return BlockPlan(plan.lags, segments, flags, trajectory, start, stop, plan.frames)
