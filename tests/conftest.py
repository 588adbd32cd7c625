"""What all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest


@pytest.fixture
def measured(record_property) -> Callable[..., None]:
    """Tell what a slow test measured, and with which seeds; ``make validate`` lists it."""

    def tell(text: str, seeds: Iterable[int] = ()) -> None:
        numbers = sorted(seeds)
        if numbers and numbers == list(range(numbers[0], numbers[-1] + 1)):
            listed = f"{numbers[0]}-{numbers[-1]}" if len(numbers) > 1 else str(numbers[0])
        else:
            listed = ", ".join(map(str, numbers))
        record_property("measured", text)
        record_property("seeds", listed)

    return tell
