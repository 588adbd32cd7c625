"""Frames on a device: all of them at once where they fit, else in large pieces, again and again.

Frames are numbered through all trajectories laid end to end. Batches are rows picked by index;
no frame is ever handled on its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.stream import FeatureStream
from koopman_cli.types import Progress, no_progress

Tensor = Any
Matrix = NDArray[np.float64]
Index = NDArray[np.int64]

#: Pieces that training spans are cut into for the inner split; one in five is held out.
PIECES = 20
EVERY = 5


@dataclass(frozen=True)
class Pairs:
    """First frames of lagged pairs to train on, and of those that decide when to stop."""

    train: Index
    held: Index


def laid_out(
    stream: FeatureStream, spans: Sequence[Sequence[tuple[int, int]]] | None = None
) -> Index:
    """Stretches (n, 2) of frames, counted through all trajectories laid end to end.

    spans : stretches inside each trajectory; its segments where left out

    >>> laid_out(FeatureStream.from_arrays([np.zeros(4), np.zeros(3)])).tolist()
    [[0, 4], [4, 7]]
    """
    begins = np.cumsum([0, *stream.lengths]).tolist()
    parts = [s.tolist() for s in stream.segments] if spans is None else spans
    found = [
        (begin + a, begin + b) for begin, part in zip(begins, parts, strict=False) for a, b in part
    ]
    return np.array(found, np.int64).reshape(-1, 2)


def starts(spans: Index, lag: int) -> Index:
    """First frames of all pairs with both ends in one span.

    >>> starts(np.array([[0, 4], [10, 11]]), 2).tolist()
    [0, 1]
    """
    parts = [np.arange(a, b - lag) for a, b in spans.tolist() if b - a > lag]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def inner_split(spans: Index, lag: int, share: float) -> Pairs:
    """Cut training spans so that about ``share`` of them can be held out inside.

    Held-out pieces are each a fifth to a quarter of a row of pieces, spread over the data, and a
    lag apart from what is trained on.

    Parameters
    ----------
    spans : (n, 2)
    lag : int
    share : float
        0 holds nothing out; otherwise one piece in round(1 / share).

    Examples
    --------
    >>> pairs = inner_split(np.array([[0, 1000]]), 10, 0.2)
    >>> len(pairs.held), np.intersect1d(pairs.train + 10, pairs.held).size
    (140, 0)
    """
    if share <= 0:
        return Pairs(starts(spans, lag), np.empty(0, np.int64))
    every = max(2, round(1 / share))
    total = int((spans[:, 1] - spans[:, 0]).sum())
    target = max(total / (PIECES * every / EVERY), 10 * lag)
    cuts: list[tuple[int, int, int]] = []
    for row, (a, b) in enumerate(spans.tolist()):
        count = max(1, round((b - a) / target))
        edges = np.linspace(a, b, count + 1).astype(int)
        cuts += [(row, int(c), int(d)) for c, d in pairwise(edges)]
    if len(cuts) < every:
        row, a, b = cuts[-1]
        middle = b - max(int((b - a) * share), min(2 * lag + 2, (b - a) // 2))
        cuts[-1:] = [(row, a, middle), (row, middle, b)]
        chosen = {len(cuts) - 1}
    else:
        chosen = set(range(every // 2, len(cuts), every))
    kept = [(a, b) for i, (_, a, b) in enumerate(cuts) if i not in chosen]
    held = []
    for i in sorted(chosen):
        row, a, b = cuts[i]
        before = i > 0 and cuts[i - 1][0] == row
        after = i + 1 < len(cuts) and cuts[i + 1][0] == row
        held.append((a + lag * before, b - lag * after))
    return Pairs(*(starts(np.array(part, np.int64).reshape(-1, 2), lag) for part in (kept, held)))


@dataclass(frozen=True)
class Standard:
    """Constants of the inputs of one training set: (x - mean) * scale has unit variance."""

    mean: Matrix
    scale: Matrix


def standards(
    stream: FeatureStream, sets: Sequence[Index], progress: Progress = no_progress
) -> list[Standard]:
    """Means and scales of several training sets (spans) in one reading.

    Columns that do not vary get scale 0 and so never enter a network.
    """
    d = stream.n_features
    count, sums, squares = np.zeros(len(sets)), np.zeros((len(sets), d)), np.zeros((len(sets), d))
    shift: Matrix = np.zeros(0)
    begin = 0
    with progress("scaling", stream.n_frames) as advance:
        for i, length in enumerate(stream.lengths):
            at = begin
            for chunk in stream.chunks(i):
                x = np.asarray(chunk, np.float64)
                shift = x[0].copy() if not shift.size else shift
                z = x - shift
                for j, spans in enumerate(sets):
                    inside = _inside(spans, at, len(z))
                    part = z if inside.all() else z[inside]
                    count[j] += len(part)
                    sums[j] += part.sum(axis=0)
                    squares[j] += np.einsum("ij,ij->j", part, part)
                at += len(chunk)
                advance(len(chunk))
            begin += length
    mean = sums / np.maximum(count, 1)[:, None]
    variance = squares / np.maximum(count, 1)[:, None] - mean**2
    base = shift if shift.size else np.zeros(d)
    eps = float(np.finfo(stream.dtype).eps)
    moving = variance > (8 * eps * (np.abs(mean) + np.abs(base))) ** 2 + 1e-14 * mean**2
    scale = np.where(moving, 1 / np.sqrt(np.where(moving, variance, 1.0)), 0.0)
    return [Standard(base + m, s) for m, s in zip(mean, scale, strict=True)]


def _inside(spans: Index, at: int, count: int) -> NDArray[np.bool_]:
    keep = np.zeros(count, bool)
    first = np.searchsorted(spans[:, 1], at, side="right")
    for a, b in spans[first:].tolist():
        if a >= at + count:
            break
        keep[max(a - at, 0) : max(b - at, 0)] = True
    return keep


@dataclass(frozen=True)
class Piece:
    """Frames [first, first + len(x)) on the device; pairs that start before ``end`` are its own."""

    x: Tensor
    first: int
    end: int

    def own(self, index: Index) -> Index:
        """Those of some (sorted) first frames that belong to this piece, counted from its start."""
        low, high = np.searchsorted(index, [self.first, self.end])
        return index[low:high] - self.first


def _itemsize(dtype: Any) -> int:
    return 8 if "64" in str(dtype) else 4


@dataclass
class Frames:
    """Frames of a stream, standardised, on a device.

    resident : all frames in one piece that stays; else ``size`` frames at a time
    """

    stream: FeatureStream
    lag: int
    base: Standard
    device: Any
    dtype: Any
    size: int
    resident: bool
    _kept: Piece | None = None

    @classmethod
    def of(
        cls, stream: FeatureStream, lag: int, base: Standard, place: tuple[Any, Any], limit: int
    ) -> Frames:
        """Frames that stay on the device if they take at most ``limit`` bytes there.

        place : device and dtype
        """
        device, dtype = place
        row = stream.n_features * _itemsize(dtype)
        resident = stream.n_frames * row <= limit
        size = stream.n_frames if resident else max(4 * lag + 2, limit // (2 * row), 1000)
        return cls(stream, lag, base, device, dtype, size, resident)

    @property
    def bytes(self) -> int:
        """What all frames take on the device."""
        return self.stream.n_frames * self.stream.n_features * _itemsize(self.dtype)

    def pieces(self) -> Iterator[Piece]:
        """All frames once, in time order."""
        if self._kept is not None:
            yield self._kept
            return
        for piece in self._read():
            if self.resident:
                self._kept = piece
            yield piece

    def _read(self) -> Iterator[Piece]:
        total, first = self.stream.n_frames, 0
        buffer: list[NDArray[Any]] = []
        held = 0
        for i in range(len(self.stream.lengths)):
            for chunk in self.stream.chunks(i):
                buffer.append(((chunk - self.base.mean) * self.base.scale).astype(self._numpy()))
                held += len(chunk)
                while held >= self.size + self.lag and not self.resident:
                    x = np.concatenate(buffer)
                    yield Piece(self._moved(x[: self.size + self.lag]), first, first + self.size)
                    buffer, held = [x[self.size :]], held - self.size
                    first += self.size
        if held:
            yield Piece(self._moved(np.concatenate(buffer)), first, total)

    def _numpy(self) -> Any:
        return np.float64 if "64" in str(self.dtype) else np.float32

    def _moved(self, x: NDArray[Any]) -> Tensor:
        import torch

        found = torch.from_numpy(np.ascontiguousarray(x))
        if self.device.type == "cuda":
            # Pinned memory lets the copy run beside the computation.
            return found.pin_memory().to(self.device, non_blocking=True)
        return found
