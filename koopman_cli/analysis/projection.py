"""Thinned lagged pairs of lifted features, for the noise floor and for drawing sets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.sampling import Function, gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.types import Progress

#: Frames kept for figures, and numbers kept for the noise floor.
FIGURE_FRAMES = 50_000
FLOOR_PAIRS = 20_000
FLOOR_NUMBERS = 4_000_000


@dataclass(frozen=True)
class Samples:
    """Thinned lagged pairs of lifted features, and the file of each."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    groups: NDArray[np.int64]


def _either(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """Frames that are in a or b, in order."""
    found = np.zeros(max(a.max(initial=-1), b.max(initial=-1)) + 1, bool)
    found[a] = found[b] = True
    return np.flatnonzero(found)


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
    wanted = [_either(s, s + lag) for s in starts]
    values = gather(stream, wanted, lift[1] if lift else None, progress)
    parts = [
        (v[np.searchsorted(w, s)], v[np.searchsorted(w, s + lag)])
        for s, w, v in zip(starts, wanted, values, strict=True)
        if len(s)
    ]
    empty = np.empty((0, width))
    return Samples(
        np.concatenate([p[0] for p in parts] or [empty], dtype=np.float64),
        np.concatenate([p[1] for p in parts] or [empty], dtype=np.float64),
        np.repeat(np.arange(len(starts)), [len(s) for s in starts]),
    )
