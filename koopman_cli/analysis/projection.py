"""The second pass: slow functions along the data, and thinned pairs for the noise floor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.stream import FeatureStream
from koopman_cli.types import Progress, no_progress

Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Frames kept for figures, and numbers kept for the noise floor.
FIGURE_FRAMES = 50_000
FLOOR_PAIRS = 20_000
FLOOR_NUMBERS = 4_000_000


def thinned_frames(lengths: tuple[int, ...], limit: int) -> list[NDArray[np.int64]]:
    """Evenly spaced frames of each trajectory, at most ``limit`` in all.

    >>> [a.tolist() for a in thinned_frames((4, 2), 3)]
    [[0, 2], [0]]
    """
    step = max(1, -(-sum(lengths) // limit))
    return [np.arange(0, n, step) for n in lengths]


def gather(
    stream: FeatureStream,
    wanted: list[NDArray[np.int64]],
    function: Function | None = None,
    progress: Progress = no_progress,
    label: str = "sampling",
) -> list[NDArray[Any]]:
    """Values of a function at some (sorted) frames of each trajectory, in one pass."""
    found = []
    with progress(label, stream.n_frames) as advance:
        for i, frames in enumerate(wanted):
            parts, at, last = [], 0, int(frames[-1]) if len(frames) else -1
            if last < 0:
                found.append(np.empty((0, 0)))
                continue
            for chunk in stream.chunks(i):
                low, high = np.searchsorted(frames, [at, at + len(chunk)])
                if high > low:
                    taken = chunk[frames[low:high] - at]
                    parts.append(taken if function is None else function(taken))
                at += len(chunk)
                advance(len(chunk))
                if at > last:
                    break
            found.append(np.concatenate(parts))
    return found


@dataclass(frozen=True)
class Samples:
    """Thinned lagged pairs of lifted features, and the file of each."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    groups: NDArray[np.int64]


def sample_pairs(
    stream: FeatureStream, lag: int, lift: tuple[int, Function] | None, progress: Progress
) -> Samples:
    """At most 20,000 lagged pairs (x_t, x_{t+lag}), evenly thinned, inside segments."""
    width = lift[0] if lift else stream.n_features
    limit = max(100, min(FLOOR_PAIRS, FLOOR_NUMBERS // (2 * width)))
    starts = []
    for frames, segments in zip(
        thinned_frames(stream.lengths, limit), stream.segments, strict=True
    ):
        inside = np.searchsorted(segments[:, 0], frames, side="right") - 1
        ok = (inside >= 0) & (frames + lag < segments[np.maximum(inside, 0), 1])
        starts.append(frames[ok])
    wanted = [np.union1d(s, s + lag) for s in starts]
    values = gather(stream, wanted, lift[1] if lift else None, progress)
    parts = [
        (v[np.searchsorted(w, s)], v[np.searchsorted(w, s + lag)])
        for s, w, v in zip(starts, wanted, values, strict=True)
        if len(s)
    ]
    empty = np.empty((0, width))
    return Samples(
        np.concatenate([p[0] for p in parts] or [empty]).astype(np.float64),
        np.concatenate([p[1] for p in parts] or [empty]).astype(np.float64),
        np.repeat(np.arange(len(starts)), [len(s) for s in starts]),
    )
