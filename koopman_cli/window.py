"""Frames of one trajectory as they stream by, as far back as the largest lag reaches."""

from __future__ import annotations

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import FileError

#: Bytes of frames that wait in memory; what a long lag needs beyond goes through a file.
HELD_BYTES = 64 * 2**20

#: A chunk that is a view of so many times its own size costs nothing to hold: the array that
#: it is part of is there anyway.
PART_OF_MORE = 4


class Window:
    """Frames of one trajectory as they stream by.

    Frames are asked for in rising order; those before ``keep`` are forgotten. Where a lag is
    so long that the frames between x and y take more than :data:`HELD_BYTES`, the later ones
    wait in an unnamed temporary file, so that memory does not follow the lag.

    Parameters
    ----------
    chunks : iterator of (n, d) arrays
    advance : callable
        Told of every frame that was read.

    Examples
    --------
    >>> window = Window(iter(np.arange(6).reshape(3, 2, 1)), lambda n: None)
    >>> [part.ravel().tolist() for part in window.parts(1, 4)]
    [[1], [2, 3]]
    >>> [part.ravel().tolist() for part in window.parts(3, 6)]
    [[3], [4, 5]]
    """

    def __init__(self, chunks: Iterator[NDArray[Any]], advance: Callable[[int], None]) -> None:
        self.chunks = chunks
        self.advance = advance
        self.held: deque[tuple[int, NDArray[Any] | _Spooled]] = deque()
        self.bytes = 0
        self.end = 0
        self.spool: _Spool | None = None

    def close(self) -> None:
        """Let go of the temporary file, if there is one."""
        if self.spool is not None:
            self.spool.file.close()

    def parts(self, start: int, stop: int, keep: int | None = None) -> list[NDArray[Any]]:
        """Arrays that together are frames [start, stop).

        keep : first frame that is still wanted afterwards, ``start`` unless given. Only where
            it is earlier may frames wait in the file: others are used at once, and forgotten
        """
        later = keep is not None and keep < start
        self._forget(start if keep is None else keep)
        while self.end < stop:
            chunk = next(self.chunks)
            self.held.append((self.end, self._hold(chunk, later=later)))
            self.end += len(chunk)
            self.advance(len(chunk))
            self._forget(start if keep is None else keep)
        return [
            chunk[max(start - base, 0) : stop - base]
            for base, chunk in self.held
            if base < stop and base + len(chunk) > start
        ]

    def _forget(self, keep: int) -> None:
        while self.held and self.held[0][0] + len(self.held[0][1]) <= keep:
            _, gone = self.held.popleft()
            if isinstance(gone, _Spooled):
                gone.release()
            else:
                self.bytes -= _cost(gone)

    def _hold(self, chunk: NDArray[Any], *, later: bool) -> NDArray[Any] | _Spooled:
        cost = _cost(chunk)
        if not later or self.bytes + cost <= HELD_BYTES:
            self.bytes += cost
            return chunk
        self.spool = self.spool or _Spool()
        return _Spooled(self.spool, chunk)


def _cost(chunk: Any) -> int:
    """Bytes that holding a chunk keeps from being freed."""
    if not isinstance(chunk, np.ndarray):
        return 0  # a tensor, which stays on its device
    base = chunk.base
    shared = isinstance(base, np.ndarray) and base.nbytes >= PART_OF_MORE * chunk.nbytes
    return 0 if shared else chunk.nbytes


class _Spool:
    """A temporary file without a name, whose places are used again."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile(prefix="koopman-")  # noqa: SIM115  (lives with the window)
        self.free: list[tuple[int, int]] = []
        self.end = 0

    def place(self, size: int) -> tuple[int, int]:
        """(offset, size) of a place that holds ``size`` bytes."""
        found = next((p for p in self.free if p[1] >= size), None)
        if found is not None:
            self.free.remove(found)
            return found
        self.end += size
        return self.end - size, size


class _Spooled:
    """A chunk in the temporary file; a slice of it is read back."""

    def __init__(self, spool: _Spool, chunk: NDArray[Any]) -> None:
        self.spool, self.shape, self.dtype = spool, chunk.shape, chunk.dtype
        self.place = spool.place(chunk.nbytes)
        rest = memoryview(np.ascontiguousarray(chunk).data).cast("B")
        at = self.place[0]
        try:
            while rest:
                written = os.pwrite(spool.file.fileno(), rest, at)
                rest, at = rest[written:], at + written
        except OSError as error:
            raise FileError(
                f"{tempfile.gettempdir()}: {error.strerror} (frames wait there for a lag that is "
                "too long for memory)",
                "free some space there, set TMPDIR to another place, or take a shorter lag",
            ) from error

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, frames: slice) -> NDArray[Any]:
        start, stop, _ = frames.indices(len(self))
        found = np.empty((stop - start, *self.shape[1:]), self.dtype)
        rest = memoryview(found.data).cast("B")
        at = self.place[0] + start * (found[:1].nbytes if len(found) else 0)
        while rest:
            count = os.preadv(self.spool.file.fileno(), [rest], at)
            if not count:
                raise OSError("a temporary file was cut short while it was in use")
            rest, at = rest[count:], at + count
        return found

    def release(self) -> None:
        """Give the place back."""
        self.spool.free.append(self.place)
