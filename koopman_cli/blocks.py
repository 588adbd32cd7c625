"""Where blocks begin and end: about a hundred, each in one trajectory, with gaps between.

The gap between neighbours is twice the largest lag plus the delay window, so that a test
block and its neighbouring training blocks share no frame and are a lag apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError

#: Fine blocks aimed at; they are merged later, when the slowest timescale is known.
N_BLOCKS = 100

#: Fewer are taken only where the memory does not suffice.
FEWEST_BLOCKS = 40

#: Bytes that the matrices of all blocks and boundaries may take.
BLOCK_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Segment:
    """A contiguous stretch [start, stop) of one trajectory and its cuts.

    cuts : ((block, start, stop), ...) its blocks in time order, frames of the trajectory
    boundaries : region index of the boundary after each block but the last
    Several short segments may share one block.
    """

    trajectory: int
    start: int
    stop: int
    cuts: tuple[tuple[int, int, int], ...]
    boundaries: tuple[int, ...]


@dataclass(frozen=True)
class BlockPlan:
    """All segments with their blocks, and the regions these refer to."""

    lags: tuple[int, ...]
    segments: tuple[Segment, ...]
    is_block: NDArray[np.bool_]
    trajectory: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    frames: int
    skipped: int


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
    return max(10, min(20, affordable)), True


class _Regions:
    """Collects regions in time order."""

    def __init__(self) -> None:
        self.rows: list[tuple[bool, int, int, int]] = []

    def add(self, trajectory: int, start: int, stop: int, *, is_block: bool = True) -> int:
        self.rows.append((is_block, trajectory, start, stop))
        return len(self.rows) - 1


def plan_blocks(
    segments: Sequence[NDArray[np.int64]],
    lags: Sequence[int],
    width: int,
    *,
    n_blocks: int = N_BLOCKS,
    window: int = 0,
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

    Raises
    ------
    DataError
        If every segment is too short for the largest lag.
    """
    reach = max(lags)
    rows = [(i, int(a), int(b)) for i, part in enumerate(segments) for a, b in part]
    usable = [row for row in rows if row[2] - row[1] > reach]
    if not usable:
        longest = max((b - a for _, a, b in rows), default=0)
        raise DataError(
            f"lag {reach}: the longest trajectory has {longest} frames",
            f"the largest usable lag is {max(longest - 1, 0)}",
        )
    total = sum(b - a for _, a, b in usable)
    wanted, pooled = _budgeted(n_blocks, len(lags), width, total)
    regions = _Regions()
    if len(usable) > wanted:
        cut = _group_short(usable, wanted, regions)
    else:
        gap = 2 * reach + window
        target = max(total / wanted - gap, 3 * reach, 2)
        cut = [_cut_segment(row, gap, target, regions, pooled=pooled) for row in usable]
    return _finish(tuple(lags), cut, regions, len(rows) - len(usable), pooled=pooled)


def _group_short(rows: list[tuple[int, int, int]], wanted: int, regions: _Regions) -> list[Segment]:
    """Many segments: a block is a group of neighbouring ones, none is cut."""
    total = sum(b - a for _, a, b in rows)
    cut, seen, block = [], 0, -1
    for trajectory, a, b in rows:
        if block < 0 or seen >= (block + 1) * total / wanted:
            block = regions.add(trajectory, a, b)
        cut.append(Segment(trajectory, a, b, ((block, a, b),), ()))
        seen += b - a
    return cut


def _cut_segment(
    row: tuple[int, int, int], gap: int, target: float, regions: _Regions, *, pooled: bool
) -> Segment:
    trajectory, a, b = row
    count = max(1, int((b - a + gap) // (target + gap)))
    inner = b - a - (count - 1) * gap
    cuts, boundaries = [], []
    for i in range(count):
        start = a + inner * i // count + i * gap
        stop = a + inner * (i + 1) // count + i * gap
        cuts.append((regions.add(trajectory, start, stop), start, stop))
        if i < count - 1:
            # A pooled boundary gets its region later; -1 stands for "the remainder".
            where = -1 if pooled else regions.add(trajectory, stop, stop + gap, is_block=False)
            boundaries.append(where)
    return Segment(trajectory, a, b, tuple(cuts), tuple(boundaries))


def _finish(
    lags: tuple[int, ...], cut: list[Segment], regions: _Regions, skipped: int, *, pooled: bool
) -> BlockPlan:
    if pooled:
        # Start -1: belongs to no place in time, so nothing can be merged through it.
        remainder = regions.add(-1, -1, -1, is_block=False)
        cut = [
            Segment(s.trajectory, s.start, s.stop, s.cuts, (remainder,) * len(s.boundaries))
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
        skipped,
    )
