"""How often a slow function was seen to change sides: once is no statistics.

In a run longer than the timescale, going from one side to the other is what can be counted.
Shorter ones (pairs of snapshots at the shortest) hardly ever go all the way even where the
data are connected; there every run that passes the middle is one observation.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.sojourns import Sojourns
from koopman_cli.analysis.spectrum import WALK_ALIKE, Context
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.types import Mode

Matrix = NDArray[np.float64]

#: Frames from which the two sides are learnt.
SAMPLE = 50_000

#: Changes of side after which nobody asks how many more there are.
ENOUGH = 100

#: Frames looked at between two such questions.
FRAMES = 2**16

#: Starts that vary less than this, of what the function varies by, are alike.
ALIKE = 0.5

#: A side begins at this fraction of the way to where the function typically is.
CORE = 0.5


#: Runs of a set that are named one by one.
SHOWN = 3


@dataclass(frozen=True)
class Crossings:
    """Changes of side per slow function, and on which side each trajectory was.

    counts : (k,) changes from one side to the other, inside trajectories; those at or above
        ``ENOUGH`` were not counted to the end
    sides : (runs, k) -1 or 1 where a run (:func:`runs`) was on one side only, else 0; told of
        functions that never change sides
    sojourns : (2, k, 3) number, sum and sum of squares of the frames spent below and above
        between two changes of side, as far as these were counted; empty where none were asked
    """

    counts: NDArray[np.int64]
    sides: NDArray[np.int64]
    sojourns: Matrix = field(default_factory=lambda: np.zeros((2, 0, 3)))


def side_levels(values: Matrix) -> tuple[Matrix, Matrix]:
    """Levels below and above which a function of mean zero is clearly on one side.

    Half of E[f^2; f > 0] / E[f; f > 0], and the same below: for two states these are half-way
    between the mean and each state, however rare one of them is.

    >>> rare = np.r_[np.full(990, -0.1), np.full(10, 9.9)][:, None]
    >>> [np.round(level, 3).tolist() for level in side_levels(rare)]
    [[-0.05], [4.95]]
    """
    levels = []
    for sign in (-1, 1):
        part = np.maximum(sign * values, 0.0)
        total = part.sum(axis=0)
        levels.append(sign * CORE * (part**2).sum(axis=0) / np.where(total > 0, total, 1.0))
    return levels[0], levels[1]


def count_crossings(slow: FeatureStream, times: Matrix | None = None) -> Crossings:
    """Count for every slow function how often it went from one side to the other.

    Parameters
    ----------
    slow : FeatureStream
        Slow functions of mean zero.
    times : (k,) array, optional
        Their timescales in frames, NaN where there is none. Functions slower than the longest
        run lasts are counted once for every run that passes the middle.

    Examples
    --------
    >>> steps = np.repeat([1.0, -1.0, 1.0], 50)
    >>> count_crossings(FeatureStream.from_arrays(steps - steps.mean())).counts.tolist()
    [2]
    """
    sample = gather(slow, thinned_frames(slow.lengths, SAMPLE))
    low, high = side_levels(np.concatenate([s for s in sample if len(s)]))
    k = slow.n_features
    short = _outlast(slow, times)
    low, high = (np.where(short, (low + high) / 2, level) for level in (low, high))
    counts = np.zeros(k, np.int64)
    begun = runs(slow)
    visited = np.zeros((2, sum(map(len, begun)), k), bool)
    sojourns = Sojourns(k)
    for i, segments in enumerate(slow.segments):
        starts = {int(a) for a in segments[:, 0]}
        before = sum(map(len, begun[:i])) - 1
        last = np.zeros(k, np.int64)
        at = 0
        for chunk in slow.chunks(i, FRAMES):
            asked = np.flatnonzero(counts < ENOUGH).tolist()
            if not asked:
                break
            cuts = sorted(s - at for s in starts if at < s < at + len(chunk))
            for j in asked:
                above, below = chunk[:, j] > high[j], chunk[:, j] < low[j]
                for a, b in pairwise([0, *cuts, len(chunk)]):
                    run = before + bisect_right(begun[i], at + a)
                    visited[:, run, j] |= below[a:b].any(), above[a:b].any()
                    if at + a in starts:
                        last[j] = 0
                        sojourns.cut(j)
                    changes, left, last[j] = _changes(above[a:b], below[a:b], int(last[j]))
                    counts[j] += min(len(changes), 1) if short[j] else len(changes)
                    sojourns.add(j, at + a + changes, left)
            at += len(chunk)
    sides = visited[1].astype(np.int64) - visited[0]
    return Crossings(counts, sides, sojourns.sums)


def runs(stream: FeatureStream) -> list[list[int]]:
    """First frame of every run in each trajectory: of every member of an ensemble.

    Stretches with no frame missing between them are runs of their own; those between dropped
    frames are parts of one.

    >>> runs(FeatureStream.from_arrays([[0.0, 1.0], [3.0, 4.0]]))
    [[0], [0]]
    """
    found = []
    origins = stream.origins or [part[:, 0] for part in stream.segments]
    for part, begins in zip(stream.segments, origins, strict=True):
        ends = begins + part[:, 1] - part[:, 0]
        fresh = np.append(True, begins[1:] - ends[:-1] <= stream.window)[: len(part)]
        found.append(part[fresh, 0].tolist())
    return found


def started_alike(slow: FeatureStream) -> frozenset[int]:
    """Functions (from 0) whose values at the first frames of the runs are close together.

    Their variance is below half of that of all frames, and below what 95% of as many independent
    starts from all frames would have.

    Parameters
    ----------
    slow : FeatureStream
        Slow functions of mean zero.

    Examples
    --------
    >>> walks = np.random.default_rng(0).standard_normal((20, 100)).cumsum(axis=1)[..., None]
    >>> sorted(started_alike(FeatureStream.from_arrays(list(walks))))
    [0]
    """
    from scipy.special import chdtri

    starts = [np.unique(segments[:, 0]) for segments in slow.segments]
    count = sum(map(len, starts))
    if count < 2:
        return frozenset()
    first, sample = (
        np.concatenate([s for s in gather(slow, frames) if len(s)])
        for frames in (starts, thinned_frames(slow.lengths, SAMPLE))
    )
    share = min(ALIKE, float(chdtri(count - 1, 0.95)) / (count - 1))
    near = first.var(axis=0, ddof=1) < share * sample.var(axis=0)
    return frozenset(np.flatnonzero(near).tolist())


def with_starts(context: Context, slow: FeatureStream, times: Matrix | None) -> Context:
    """The context with what the runs start alike in; asked only where a run is short for it."""
    if times is None or not np.any(WALK_ALIKE * np.nan_to_num(times, nan=0.0) > context.longest):
        return context
    return replace(context, alike=started_alike(slow))


def _outlast(slow: FeatureStream, times: Matrix | None) -> NDArray[np.bool_]:
    """Which functions are slower than the longest run of the data lasts."""
    longest = max((int(b - a) for part in slow.segments for a, b in part), default=0)
    known = np.zeros(slow.n_features)
    if times is not None:
        known[: len(times)] = np.nan_to_num(times[: len(known)], nan=0.0)
    short: NDArray[np.bool_] = known >= max(longest - 1, 1)
    return short


def _changes(
    above: NDArray[np.bool_], below: NDArray[np.bool_], last: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Changes of side of one function, which was on side ``last`` before (0: on none yet).

    Returns
    -------
    frames, the sides that were left there, and the side where it ends

    Examples
    --------
    >>> found = _changes(np.array([True, False, False]), np.array([False, False, True]), -1)
    >>> [part.tolist() for part in found[:2]], found[2]
    ([[0, 2], [-1, 1]], -1)
    """
    side = above.view(np.int8) - below.view(np.int8)
    # Only where it differs from the frame before can it change: far fewer than all frames.
    at = np.concatenate([[0], np.flatnonzero(side[1:] != side[:-1]) + 1])[: len(side)]
    at = at[side[at] != 0]
    if not len(at):
        return at, at, last
    now = side[at].astype(np.int64)
    before = np.concatenate([[last], now[:-1]])
    changed = now == -before
    return at[changed], before[changed], int(now[-1])


def never_crossed(modes: Sequence[Mode], found: Crossings) -> tuple[int, ...]:
    """Modes (from 0), slower than the lag, that no trajectory ever crosses."""
    return tuple(
        i
        for i, (mode, count) in enumerate(zip(modes, found.counts, strict=False))
        if count == 0 and mode.eigenvalue is not None and mode.eigenvalue.real > np.exp(-1.0)
    )


def disconnected(stream: FeatureStream, found: Crossings, apart: Sequence[int]) -> tuple[str, ...]:
    """One warning per mode of ``apart`` that names the runs on either side.

    >>> stream = FeatureStream.from_arrays([[0.0], [1.0], [1.0]])
    >>> sides = Crossings(np.array([0]), np.array([[-1], [1], [1]]))
    >>> disconnected(stream, sides, [0])[0].split(";")[0][:63]
    'the data are disconnected along mode 1: {trajectory 1} and {tra'
    """
    names = [
        (label, member if len(own) > 1 else None)
        for label, own in zip(stream.labels, runs(stream), strict=True)
        for member in range(1, len(own) + 1)
    ]
    told = []
    for i in apart:
        sets = []
        for side in (-1, 1):
            here = [name for name, at in zip(names, found.sides[:, i], strict=True) if at == side]
            if here:
                sets.append(f"{{{_set(here)}}}")
        named = f": {' and '.join(sets)} never meet" if len(sets) > 1 else ""
        told.append(
            f"the data are disconnected along mode {i + 1}{named}; no timescale follows from them"
        )
    return tuple(told)


def _set(names: Sequence[tuple[str, int | None]]) -> str:
    """Trajectories, and members of ensembles, in words: three of them and how many more.

    >>> _set([("a", None), ("b", None)]), _set([("a", 1), ("a", 2), ("a", 5), ("a", 7)])
    ('a, b', 'members 1, 2, 5 and 1 more of a')
    >>> _set([("a", 4)]), _set([("a", 4), ("b", None)])
    ('member 4 of a', 'member 4 of a, b')
    """
    rest = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    first, number = names[0]
    if len(names) > 1 and number is not None and all(label == first for label, _ in names):
        return f"members {', '.join(str(n) for _, n in names[:SHOWN])}{rest} of {first}"
    each = [label if n is None else f"member {n} of {label}" for label, n in names[:SHOWN]]
    return ", ".join(each) + rest
