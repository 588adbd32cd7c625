"""Frames of a stream picked for figures and samples, and functions of them, in one pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.stream import FeatureStream
from koopman_cli.types import Progress, no_progress

Function = Callable[[NDArray[Any]], NDArray[Any]]


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
