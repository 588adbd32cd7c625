"""What verbs print: JSON, plain lines, and a progress bar on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from koopman_cli.cli.guard import EARS

if TYPE_CHECKING:
    from koopman_cli.types import Progress


def say(line: str = "") -> None:
    """Print a line to stdout in characters that it can show."""
    from koopman_cli.report.text import printable

    click.echo(printable(line, getattr(sys.stdout, "encoding", None)))


def note(line: str) -> None:
    """Print a line to stderr."""
    from koopman_cli.report.text import printable

    click.echo(printable(line, getattr(sys.stderr, "encoding", None)), err=True)


def print_json(document: Any) -> None:
    """Print a document as JSON to stdout."""
    from koopman_cli.report.json import dumps

    sys.stdout.write(dumps(document))


def make_progress(*, quiet: bool, verbose: bool) -> Progress:
    """A bar on stderr where that is a terminal; a line per pass with --verbose; else silence.

    No pass begins after an interrupt.
    """
    from koopman_cli.types import no_progress

    silent = quiet or not sys.stderr.isatty()
    return partial(_unless_stopped, _logged if verbose else no_progress if silent else _bar)


def _unless_stopped(
    progress: Progress, label: str, total: int | None
) -> AbstractContextManager[Callable[[int], None]]:
    EARS.obey()
    return progress(label, total)


class _Count:
    """Progress that counts, and shows what long work has to tell."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.done = 0
        self.tell = tell
        self.step: Callable[[int], None] = lambda n: None

    def __call__(self, n: int) -> None:
        self.done += n
        self.step(n)


@contextmanager
def _logged(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    begun, advance = time.perf_counter(), _Count(note)
    yield advance
    note(f"{label}: {advance.done} of {total} in {time.perf_counter() - begun:.2f} s")


@contextmanager
def _bar(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:>10}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        advance = _Count(lambda text: bar.update(task, description=text))
        advance.step = lambda n: bar.advance(task, n)
        yield advance
