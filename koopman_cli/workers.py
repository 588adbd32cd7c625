"""Threads that multiply tiles while the next one is being filled."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

#: Columns below which tiles are multiplied without threads.
NARROW = 128


class Workers:
    """Threads that multiply tiles while the next one is being filled.

    BLAS is kept to one thread meanwhile: for narrow tiles its own threads cost more than
    they bring, and they spin where other processes want the processor. Results are added in
    the order of the tiles, so that the number of threads never changes a sum.
    """

    def __init__(self, width: int) -> None:
        # A thread that comes back from a short product waits for the interpreter longer than
        # the product took: narrow tiles are multiplied where they are filled.
        self.count = _threads() if width >= NARROW else 0
        self.pool = ThreadPoolExecutor(max(self.count, 1))
        self.waiting: deque[tuple[Future[Any], Callable[[Any], None], NDArray[Any]]] = deque()
        # Fresh memory costs more than the product that is made from it: buffers are kept.
        self.free: list[NDArray[Any]] = []

    def __enter__(self) -> Workers:
        self.limit = _blas().limit(limits=1, user_api="blas")
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.pool.shutdown(cancel_futures=True)
        self.limit.restore_original_limits()

    def rows(self, count: int, width: int, dtype: Any) -> NDArray[Any]:
        """``count`` rows of a tile whose last column is 1; given back by :meth:`submit`."""
        self.wait()
        fitting = [b for b in self.free if len(b) >= count and b.dtype == dtype]
        buffer = fitting[0] if fitting else np.empty((max(count, 1), width), dtype)
        self.free = [b for b in self.free if b is not buffer]
        buffer[:count, -1] = 1
        return buffer

    def wait(self) -> None:
        """Wait until few enough tiles are under way."""
        while len(self.waiting) > self.count:
            self._finish_one()

    def submit(
        self, work: Callable[[], Any], receive: Callable[[Any], None], buffer: NDArray[Any]
    ) -> None:
        """Run ``work``, on a thread if any; hand its result to ``receive`` in this order."""
        if not self.count:
            receive(work())
            if isinstance(buffer, np.ndarray):
                self.free.append(buffer)
            return
        self.waiting.append((self.pool.submit(work), receive, buffer))

    def finish(self) -> None:
        """Wait for everything submitted."""
        while self.waiting:
            self._finish_one()

    def _finish_one(self) -> None:
        future, receive, buffer = self.waiting.popleft()
        receive(future.result())
        if isinstance(buffer, np.ndarray):
            self.free.append(buffer)


def one_thread() -> Any:
    """A context in which BLAS keeps to one thread: for many small products."""
    return _blas().limit(limits=1, user_api="blas")


def _threads() -> int:
    """Processors this process may use, or fewer if the environment says so."""
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(processors, int(asked) if asked.isdigit() else processors, 16))


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
