"""How often a slow function was seen to change sides: once is no statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.types import Mode

Matrix = NDArray[np.float64]

#: Frames from which the two sides are learnt.
SAMPLE = 50_000

#: A side begins at this fraction of the way to where the function typically is.
CORE = 0.5


@dataclass(frozen=True)
class Crossings:
    """Changes of side per slow function, and on which side each trajectory was.

    counts : (k,) changes from one side to the other, inside trajectories
    sides : (trajectories, k) -1 or 1 where a trajectory was on one side only, else 0
    """

    counts: NDArray[np.int64]
    sides: NDArray[np.int64]


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


def count_crossings(slow: FeatureStream) -> Crossings:
    """Count for every slow function how often it went from one side to the other.

    Parameters
    ----------
    slow : FeatureStream
        Slow functions of mean zero.

    Examples
    --------
    >>> steps = np.repeat([1.0, -1.0, 1.0], 50)
    >>> count_crossings(FeatureStream.from_arrays(steps - steps.mean())).counts.tolist()
    [2]
    """
    sample = gather(slow, thinned_frames(slow.lengths, SAMPLE))
    low, high = side_levels(np.concatenate([s for s in sample if len(s)]))
    k = slow.n_features
    counts = np.zeros(k, np.int64)
    sides = np.zeros((len(slow.lengths), k), np.int64)
    for i, segments in enumerate(slow.segments):
        starts = {int(a) for a in segments[:, 0]}
        last = np.zeros(k, np.int64)
        visited = np.zeros((2, k), bool)
        at = 0
        for chunk in slow.chunks(i):
            side = (chunk > high).astype(np.int64) - (chunk < low)
            visited |= np.stack([(side < 0).any(axis=0), (side > 0).any(axis=0)])
            cuts = sorted(s - at for s in starts if at < s < at + len(chunk))
            for a, b in zip([0, *cuts], [*cuts, len(chunk)], strict=True):
                if at + a in starts:
                    last = np.zeros(k, np.int64)
                counts += _changes(side[a:b], last)
            at += len(chunk)
        sides[i] = np.where(visited.all(axis=0), 0, visited[1].astype(int) - visited[0])
    return Crossings(counts, sides)


def _changes(side: NDArray[np.int64], last: NDArray[np.int64]) -> NDArray[np.int64]:
    """Changes of side of every column; ``last`` is the side before, and is brought up to date."""
    found = np.zeros_like(last)
    for j in range(side.shape[1]):
        seen = side[:, j][side[:, j] != 0]
        if last[j]:
            seen = np.append(last[j], seen)
        if len(seen):
            found[j] = np.count_nonzero(np.diff(seen))
            last[j] = seen[-1]
    return found


def never_crossed(modes: Sequence[Mode], found: Crossings) -> tuple[int, ...]:
    """Modes (from 0), slower than the lag, that no trajectory ever crosses."""
    return tuple(
        i
        for i, (mode, count) in enumerate(zip(modes, found.counts, strict=False))
        if count == 0 and mode.eigenvalue is not None and mode.eigenvalue.real > np.exp(-1.0)
    )


def disconnected(labels: Sequence[str], found: Crossings, apart: Sequence[int]) -> tuple[str, ...]:
    """One warning per mode of ``apart`` that names the trajectories on either side.

    >>> sides = Crossings(np.array([0]), np.array([[-1], [1], [1]]))
    >>> disconnected(["a", "b", "c"], sides, [0])[0].split(";")[0]
    'the data are disconnected along mode 1: {a} and {b, c} never meet'
    """
    told = []
    for i in apart:
        sets = []
        for side in (-1, 1):
            here = [
                label for label, at in zip(labels, found.sides[:, i], strict=True) if at == side
            ]
            if here:
                rest = f" and {len(here) - 3} more" if len(here) > 3 else ""
                sets.append(f"{{{', '.join(here[:3])}{rest}}}")
        named = f": {' and '.join(sets)} never meet" if len(sets) > 1 else ""
        told.append(
            f"the data are disconnected along mode {i + 1}{named}; no timescale follows from them"
        )
    return tuple(told)
