"""How core functions tell of progress, without knowing a terminal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol


class Progress(Protocol):
    """How core functions report progress without knowing a terminal.

    ``with progress("reading", total) as advance: advance(n)``.
    """

    def __call__(
        self, label: str, total: int | None
    ) -> AbstractContextManager[Callable[[int], None]]: ...


def no_progress(label: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    """The silent :class:`Progress`, the default of every core function."""
    return nullcontext(lambda n: None)
