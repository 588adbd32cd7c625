"""FeatureStream: columns of numbers, in time order, readable again and again in chunks.

Everything downstream (moments, projection, fitted lifts) consumes this one type, whether
the numbers come from files through featurizers or from arrays in a notebook.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from koopman_cli.errors import DataError
from koopman_cli.nouns import counted
from koopman_cli.types import FeatureSpec, TimeStep

#: Bytes of features that a chunk may hold; with the tiles of :mod:`koopman_cli.moments`
#: this bounds peak memory whatever the length of the input.
CHUNK_BYTES = 16 * 2**20

#: Bytes that functions of a slice of a chunk may take: they stay in the cache until they are
#: used. Larger arrays would be given back to the system each time, at the cost of a product.
SLICE_BYTES = 2 * 2**20

#: Fewest frames of a slice, unless they alone are more than a chunk.
SLICE = 256

#: Features smaller than this are kept in memory between passes instead of being read again.
CACHE_BYTES = 96 * 2**20


def slice_frames(width: int, limit: int = SLICE_BYTES) -> int:
    """Frames of which ``width`` float64 functions are small.

    >>> slice_frames(1000), slice_frames(10)
    (262, 26214)
    """
    return max(SLICE, limit // (8 * max(width, 1)))


@dataclass(frozen=True)
class FeatureStream:
    """Feature columns of one or several trajectories.

    Parameters
    ----------
    spec : FeatureSpec
        Names, units and recipe of the d columns.
    labels : sequence of str
        One name per trajectory, for messages.
    lengths : sequence of int
        Frames per trajectory.
    segments : sequence of (s, 2) int arrays
        Half-open ranges of frames inside each trajectory that are contiguous in time; no
        lagged pair crosses from one to the next.
    read : callable
        ``read(i, size)`` iterates over (n, d) arrays of at most ``size`` frames of
        trajectory i, from its first frame to its last, finite throughout.
    dtype : numpy dtype
        float32 or float64 (complex128 for DMD).
    dt : TimeStep or None
    offsets : sequence of int
        Index, in frames as read, of each trajectory's first feature frame (delays
        consume frames).
    window : int
        Frames that a delay embedding reaches back; blocks keep that much more distance.
    warnings : sequence of str
        What was noticed while reading and featurizing.
    field : FieldStream or None
        Where the rows came from, for fields (:mod:`koopman_cli.features.field`).

    Examples
    --------
    >>> stream = FeatureStream.from_arrays([[0.0, 1.0, 2.0], [3.0, 4.0]])
    >>> stream.n_frames, stream.n_features, stream.labels
    (5, 1, ('trajectory 1', 'trajectory 2'))
    >>> [chunk.shape for chunk in stream.chunks(0, 2)]
    [(2, 1), (1, 1)]
    """

    spec: FeatureSpec
    labels: tuple[str, ...]
    lengths: tuple[int, ...]
    segments: tuple[NDArray[np.int64], ...]
    read: Callable[[int, int], Iterator[NDArray[Any]]]
    dtype: np.dtype[Any]
    dt: TimeStep | None = None
    offsets: tuple[int, ...] = ()
    window: int = 0
    said: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    fitted: tuple[str, ...] = ()
    origins: tuple[NDArray[np.int64], ...] = ()
    late: Callable[[], tuple[str, ...]] | None = None
    field: Any = None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was noticed so far; complete once every trajectory has been read once."""
        return self.said + (self.late() if self.late else ())

    @property
    def n_frames(self) -> int:
        """Frames in all trajectories together."""
        return sum(self.lengths)

    @property
    def n_features(self) -> int:
        """Number of columns d."""
        return len(self.spec.names)

    @property
    def begins(self) -> NDArray[np.int64]:
        """First row of every trajectory, these laid end to end, and the end of the last one."""
        ends = (int(part[-1, 1]) if len(part) else 0 for part in self.segments)
        return np.cumsum([0, *ends])

    def chunk_frames(self) -> int:
        """Frames of a chunk of about :data:`CHUNK_BYTES`, at least 256."""
        return max(256, CHUNK_BYTES // max(1, self.n_features * self.dtype.itemsize))

    def chunks(self, trajectory: int, size: int | None = None) -> Iterator[NDArray[Any]]:
        """Iterate over (n, d) chunks of one trajectory, in order."""
        return self.read(trajectory, size or self.chunk_frames())

    def slices(
        self, trajectory: int, width: int, limit: int = SLICE_BYTES
    ) -> Iterator[NDArray[Any]]:
        """Chunks of one trajectory cut so that ``width`` float64 functions of each are small.

        >>> [len(a) for a in FeatureStream.from_arrays(np.zeros((700, 2))).slices(0, 4, 2**14)]
        [512, 188]
        """
        size = min(slice_frames(width, limit), self.chunk_frames())
        for chunk in self.chunks(trajectory):
            for start in range(0, len(chunk), size):
                yield chunk[start : start + size]

    def with_warnings(self, *more: str) -> FeatureStream:
        """The same stream with further warnings."""
        return replace(self, said=(*self.said, *more))

    def too_short(self, lag: int) -> tuple[str, ...]:
        """What to say about trajectories without a pair of frames a lag apart; none if all have.

        >>> FeatureStream.from_arrays([[0.0, 1.0, 2.0], [3.0, 4.0]]).too_short(2)[0]
        'skipped 1 of 2 trajectories not longer than lag 2 frames (trajectory 2, 2 frames)'
        """
        short = [
            f"{label}, {counted(length, 'frame')}"
            for label, length, part in zip(self.labels, self.lengths, self.segments, strict=True)
            if not (part[:, 1] - part[:, 0] > lag).any()
        ]
        if not short:
            return ()
        more = f"; and {len(short) - 3} more" if len(short) > 3 else ""
        frames = counted(lag, "frame")
        said = (
            f"skipped {len(short)} of {counted(len(self.labels), 'trajectory')} not longer than "
            f"lag {frames} ({'; '.join(short[:3])}{more})"
        )
        return (said,)

    def overlapping(self, lag: int) -> tuple[str, ...]:
        """What to say where the delay windows of the two ends of a pair share frames.

        >>> stream = FeatureStream.from_arrays([[0.0, 1.0, 2.0]])
        >>> stream.overlapping(2), len(replace(stream, window=4).overlapping(4))
        ((), 1)
        """
        if not self.window or self.window < lag:
            return ()
        said = (
            f"delay windows reach back {counted(self.window, 'frame')}, so at lag {lag} both ends "
            "of a pair share frames: values near 1 only say that"
        )
        return (said,)

    def frame_index(
        self, trajectory: int, rows: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """Frame as read of rows (all rows if none are given) of one trajectory.

        Rows and frames differ once frames were dropped or consumed by delays.

        >>> FeatureStream.from_arrays([[0.0, 1.0, 2.0]]).frame_index(0)
        array([0, 1, 2])
        """
        segments = self.segments[trajectory]
        if rows is None:
            rows = np.arange(self.lengths[trajectory])
        if self.origins:
            starts = self.origins[trajectory]
        else:
            starts = segments[:, 0] + (self.offsets[trajectory] if self.offsets else 0)
        inside = np.searchsorted(segments[:, 0], rows, side="right") - 1
        return rows + (starts - segments[:, 0])[inside]

    def cached(self, limit: int = CACHE_BYTES) -> FeatureStream:
        """The same stream, kept in memory after its first complete reading if it is small.

        Streams above ``limit`` bytes are returned unchanged and are read again each pass.
        """
        if self.n_frames * self.n_features * self.dtype.itemsize > limit:
            return self
        kept: dict[int, NDArray[Any]] = {}
        read = self.read

        def read_cached(i: int, size: int) -> Iterator[NDArray[Any]]:
            if i not in kept:
                full = np.empty((self.lengths[i], self.n_features), self.dtype)
                at = 0
                for chunk in read(i, size):
                    full[at : at + len(chunk)] = chunk
                    at += len(chunk)
                    yield chunk
                if at == self.lengths[i]:
                    kept[i] = full
                return
            full = kept[i]
            for start in range(0, len(full), size):
                yield full[start : start + size]

        return replace(self, read=read_cached)

    @classmethod
    def from_arrays(
        cls,
        arrays: Sequence[ArrayLike] | NDArray[Any],
        names: Sequence[str] | None = None,
        dt: TimeStep | None = None,
        labels: Sequence[str] | None = None,
    ) -> FeatureStream:
        """Wrap arrays of shape (frames, d) or (frames,), one per trajectory.

        Raises
        ------
        DataError
            If there is nothing in them, they are no numbers, differ in d, or a value is not
            finite.
        """
        try:
            data = [np.asarray(a) for a in ([arrays] if isinstance(arrays, np.ndarray) else arrays)]
        except ValueError as error:
            raise DataError(
                f"rows of different length: {error}", "give arrays of shape (frames, d)"
            ) from None
        data = [a[:, None] if a.ndim == 1 else a for a in data]
        if not data or any(a.ndim != 2 or 0 in a.shape for a in data):
            shapes = ", ".join(str(a.shape) for a in data[:3])
            raise DataError(
                f"expected arrays of shape (frames, d), got {shapes or 'none'}",
                "reshape each to two axes, with at least one frame and one column",
            )
        odd = next((a.dtype for a in data if a.dtype.kind not in "biufc"), None)
        if odd is not None:
            raise DataError(
                f"an array holds values of type {odd}, not numbers",
                "save plain numbers, for example with array.astype('float64')",
            )
        if len({a.shape[1] for a in data}) > 1:
            raise DataError(
                f"arrays differ in columns: {sorted({a.shape[1] for a in data})}",
                "give trajectories of the same columns",
            )
        kind = np.result_type(*(a.dtype for a in data))
        dtype = kind if kind in (np.float32, np.float64, np.complex128) else np.dtype(np.float64)
        data = [np.ascontiguousarray(a, dtype) for a in data]
        labels = tuple(labels or (f"trajectory {i + 1}" for i in range(len(data))))
        for label, a in zip(labels, data, strict=True):
            # One number per array is enough to see that all is well, and needs no copy.
            with np.errstate(over="ignore", invalid="ignore"):
                fine = np.isfinite(a.sum())
            if not fine and not np.isfinite(a).all():
                frame, column = np.argwhere(~np.isfinite(a))[0]
                raise DataError(
                    f"{label}: frame {frame}, column {column} is not finite",
                    "remove it or split the trajectory there",
                )
        width = data[0].shape[1]
        names = tuple(names or (f"x{j + 1}" for j in range(width)))

        def read(i: int, size: int) -> Iterator[NDArray[Any]]:
            for start in range(0, len(data[i]), size):
                yield data[i][start : start + size]

        return cls(
            spec=FeatureSpec(text="identity", names=names, units=("",) * width),
            labels=labels,
            lengths=tuple(len(a) for a in data),
            segments=tuple(np.array([[0, len(a)]], np.int64) for a in data),
            read=read,
            dtype=np.dtype(dtype),
            dt=dt,
            offsets=(0,) * len(data),
        )
