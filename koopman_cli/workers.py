"""Threads that fill and multiply tiles while the next frames are being read."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

#: Numbers in the tiles of one task, about. A thread that comes back from a short product waits
#: for the interpreter longer than the product took, so small tiles go together.
TASK = 2**20

#: Functions from which the threads of BLAS bring more than they cost.
NARROW = 200

#: A piece of work, given the buffers of its thread; and what to do with its result.
Work = Callable[["Buffers"], Any]
Receive = Callable[[Any], None]


class Buffers:
    """Arrays that a thread uses again and again.

    Fresh memory costs more than the product that is made from it.
    """

    def __init__(self) -> None:
        self.arrays: dict[tuple[str, int], NDArray[Any]] = {}

    def rows(self, name: str, count: int, width: int, dtype: Any, aligned: int = 1) -> NDArray[Any]:
        """``count`` rows of an array of zeros, with whatever was last left in them.

        aligned : every row begins at a multiple of so many bytes
        """
        held = self.arrays.get((name, width))
        if held is None or len(held) < count or held.dtype != dtype:
            held = self.arrays[name, width] = _aligned(count, width, np.dtype(dtype), aligned)
        return held[:count]


def _aligned(count: int, width: int, dtype: np.dtype[Any], aligned: int) -> NDArray[Any]:
    """Zeros whose rows begin at multiples of so many bytes."""
    unit = max(1, aligned // dtype.itemsize)
    step = -(-width // unit) * unit
    found = np.zeros(count * step + unit, dtype)
    begin = -found.ctypes.data % aligned // dtype.itemsize
    return found[begin : begin + count * step].reshape(count, step)[:, :width]


class Workers:
    """Threads that fill and multiply tiles while the next frames are being read.

    BLAS is kept to one thread meanwhile: for narrow tiles its own threads cost more than
    they bring, and they spin where other processes want the processor. Results are added in
    the order of the tiles, so that the number of threads never changes a sum.

    inline : work at once in the calling thread, as a GPU wants it
    """

    def __init__(self, *, inline: bool = False) -> None:
        self.count = 0 if inline else _threads()
        self.pool = ThreadPoolExecutor(max(self.count, 1))
        self.local = threading.local()
        self.waiting: deque[tuple[Future[list[Any]], list[Receive]]] = deque()
        self.gathered: list[tuple[Work, Receive]] = []
        # For results too large for fresh memory each time: receivers leave them here.
        self.spare: list[NDArray[Any]] = []
        self.size = 0

    def __enter__(self) -> Workers:
        self.limit = _blas().limit(limits=1, user_api="blas")
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.limit.restore_original_limits()

    def submit(self, work: Work, receive: Receive, size: int) -> None:
        """Have ``work`` done, and its result handed to ``receive`` in this order.

        size : how many numbers the work is about
        """
        if not self.count:
            receive(work(self._buffers()))
            return
        self.gathered.append((work, receive))
        self.size += size
        if self.size >= TASK:
            self._send()
            while len(self.waiting) > self.count:
                self._finish_one()

    def finish(self) -> None:
        """Wait for everything submitted."""
        self._send()
        while self.waiting:
            self._finish_one()

    def ahead(
        self, function: Callable[[NDArray[Any]], Any], chunks: Iterable[NDArray[Any]]
    ) -> Iterator[Any]:
        """The function of every chunk, in their order; threads compute the next ones meanwhile.

        Examples
        --------
        >>> with Workers() as workers:
        ...     [int(x) for x in workers.ahead(np.sum, np.arange(6).reshape(3, 2))]
        [1, 5, 9]
        """
        # A single thread multiplies what the calling one evaluates.
        if self.count < 2:
            yield from map(function, chunks)
            return
        coming: deque[Future[Any]] = deque()
        for chunk in chunks:
            coming.append(self.pool.submit(function, chunk))
            if len(coming) > self.count:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()

    def _send(self) -> None:
        works, receives = [w for w, _ in self.gathered], [r for _, r in self.gathered]
        self.gathered, self.size = [], 0
        if works:
            self.waiting.append((self.pool.submit(self._run, works), receives))

    def _run(self, works: list[Work]) -> list[Any]:
        return [work(self._buffers()) for work in works]

    def _buffers(self) -> Buffers:
        if not hasattr(self.local, "buffers"):
            self.local.buffers = Buffers()
        found: Buffers = self.local.buffers
        return found

    def _finish_one(self) -> None:
        future, receives = self.waiting.popleft()
        for receive, result in zip(receives, future.result(), strict=True):
            receive(result)


def one_thread() -> Any:
    """A context in which BLAS keeps to one thread: for many small products."""
    return _blas().limit(limits=1, user_api="blas")


def threads_for(width: int) -> Any:
    """A context for the algebra of so many functions: one thread of BLAS if they are few."""
    return one_thread() if width < NARROW else nullcontext()


def _threads() -> int:
    """Processors this process may use, or fewer if the environment says so."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(processors, int(asked) if asked.isdigit() else processors, 16))


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
