"""The work of a grid, cut into pieces and done here or by several processes.

A piece is one lift at all lags (fixed lifts: one reading serves all) or one lift at one lag
(lifts that learn are refitted per fold and lag anyway).
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from koopman_cli import errors
from koopman_cli.candidates import Candidate, Refusal
from koopman_cli.errors import KoopmanError, ResourceError, UsageError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.grid import Design, Scorer, groups_of, is_fixed
from koopman_cli.heldout import open_test
from koopman_cli.request import Request
from koopman_cli.source import open_source
from koopman_cli.types import ReadOptions, no_progress

#: Dims that are wanted of a request at a lag.
Todo = Mapping[tuple[int, int], Sequence[int]]


@dataclass(frozen=True)
class Done:
    """Cells with the index of their request, and what they took."""

    cells: tuple[tuple[int, Candidate], ...]
    readings: int
    refused: tuple[Refusal, ...] = ()


def pieces(requests: Sequence[Request], stream: FeatureStream, todo: Todo) -> list[Todo]:
    """The work in pieces that share no moments."""
    found: dict[Any, dict[tuple[int, int], Sequence[int]]] = {}
    for number, group in enumerate(groups_of(requests, stream)):
        first = requests[group[0]]
        # Lifts that are fitted as one are one piece of work.
        shared = number if first.settings.company is None else first.settings.company
        for key, dims in todo.items():
            if key[0] in group and dims:
                lag = None if is_fixed(first, stream) else key[1]
                found.setdefault((shared, lag), {})[key] = dims
    return list(found.values())


def work_here(
    requests: Sequence[Request], stream: FeatureStream, design: Design, todo: Todo
) -> Iterator[Done]:
    """Do all in this process; what is finished comes out lag by lag."""
    scorer = Scorer(stream, design)
    read = 0
    found = scorer.score(requests, lambda i, lag: todo.get((i, lag), ()))
    for _, cells in groupby(found, key=lambda pair: (pair[0], pair[1].lag)):
        done = tuple(cells)
        yield Done(done, scorer.readings - read)
        read = scorer.readings
    yield Done((), scorer.readings - read, tuple(scorer.refused))


# ------------------------------------------------------------------ several processes


@dataclass(frozen=True)
class Order:
    """What another process needs to do a piece: everything but open files.

    options : GridOptions (it makes the requests)
    """

    source: Any
    read: ReadOptions
    spec: str | None
    options: Any
    lags: tuple[int, ...]


def work_in_processes(order: Order, todo: Sequence[Todo], jobs: int) -> Iterator[Done]:
    """Do pieces in ``jobs`` processes; each comes out as it is finished.

    Raises
    ------
    UsageError
        If the source cannot be handed to another process.
    ResourceError
        If a process died (most often for want of memory).
    KoopmanError
        What a process raised.
    """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    if isinstance(order.source, FeatureStream):
        raise UsageError("a FeatureStream cannot be shared by processes", "give paths, or jobs=1")
    count = min(jobs, len(todo))
    with _threads(max(1, (os.cpu_count() or 1) // count)):
        pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), _settle)
        try:
            futures = [pool.submit(_work, order, piece) for piece in todo]
            for future in as_completed(futures):
                yield _unpacked(future.result())
        except BrokenProcessPool as error:
            raise ResourceError(
                "a process of the grid died (out of memory?)", "give a smaller --jobs"
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()


@contextmanager
def _threads(each: int) -> Iterator[None]:
    """Let processes started inside use a share of the cores each."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    fresh = [name for name in names if name not in os.environ]
    os.environ.update(dict.fromkeys(fresh, str(each)))
    try:
        yield
    finally:
        for name in fresh:
            os.environ.pop(name, None)


def _settle() -> None:
    """Leave Ctrl-C to the parent, and do not outlive it."""
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(order: Order, todo: Todo) -> Done | tuple[str, str, str]:
    try:
        stream = open_source(order.source, order.spec, order.read, no_progress).stream.cached()
        options = order.options
        test = open_test(options.test, stream, order.read, no_progress)
        held = None if test is None else test.stream
        design = Design(order.lags, options.folds, options.repeats, held)
        parts = list(work_here(options.requests(), stream, design, todo))
    except KoopmanError as error:
        # Exceptions of two arguments do not survive the way back; their parts do.
        return type(error).__name__, str(error), error.hint
    return Done(
        tuple(cell for part in parts for cell in part.cells),
        sum(part.readings for part in parts),
        tuple(said for part in parts for said in part.refused),
    )


def _unpacked(result: Done | tuple[str, str, str]) -> Done:
    if isinstance(result, Done):
        return result
    name, message, hint = result
    raise getattr(errors, name)(message, hint)
