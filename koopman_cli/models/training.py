"""What a lift learns from: the training frames of a fold or of everything, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import device_for
from koopman_cli.lifts.pod import overlaps
from koopman_cli.types import Progress, no_progress


@dataclass(frozen=True)
class Training:
    """The frames that a lift may see, and how reproducibly and where to fit it.

    ranges : per trajectory the half-open ranges of frames, (s, 2), one for each training
        block; None for all frames
    lag : in frames, of the model that the lift is for
    device : as asked for: "auto", "cpu", "cuda" or "cuda:N"
    place : where long training keeps checkpoints (:mod:`koopman_cli.networks.checkpoint`)
    """

    stream: FeatureStream
    lag: int = 1
    ranges: Sequence[NDArray[np.int64]] | None = None
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    progress: Progress = no_progress
    place: Any = None

    def sample(self, most: int) -> NDArray[Any]:
        """Training frames among at most ``most`` evenly spaced ones, (n, d).

        >>> stream = FeatureStream.from_arrays(np.arange(6.0)[:, None])
        >>> Training(stream, ranges=[np.array([[0, 2], [4, 6]])]).sample(6)[:, 0].tolist()
        [0.0, 1.0, 4.0, 5.0]
        """
        wanted = thinned_frames(self.stream.lengths, most)
        if self.ranges is not None:
            wanted = [_inside(frames, r) for frames, r in zip(wanted, self.ranges, strict=True)]
        parts = gather(self.stream, wanted, None, self.progress)
        return np.concatenate([p for p in parts if len(p)])

    def spans(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Stretches of training frames of each trajectory, none across a cut in the data.

        Lagged pairs may be taken inside a stretch, never from one to the next: what lies
        between may be held out.

        >>> stream = FeatureStream.from_arrays(np.arange(6.0)[:, None])
        >>> Training(stream, ranges=[np.array([[0, 2], [4, 6]])]).spans()
        (((0, 2), (4, 6)),)
        """
        if self.ranges is None:
            return tuple(tuple((int(a), int(b)) for a, b in s) for s in self.stream.segments)
        both = zip(self.stream.segments, self.ranges, strict=True)
        return tuple(tuple(overlaps(segments, ranges)) for segments, ranges in both)

    def where(self, kind: str) -> Any:
        """The torch device for a lift of a kind, None for numpy on the processor."""
        return device_for(kind, self.device)


def _inside(frames: NDArray[np.int64], ranges: NDArray[np.int64]) -> NDArray[np.int64]:
    keep = np.zeros(len(frames), bool)
    for start, stop in ranges:
        keep |= (frames >= start) & (frames < stop)
    return frames[keep]
