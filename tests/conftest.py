"""What all tests share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Reports of slow tests carry their claim, for the page that ``make validate`` writes."""
    for item in items:
        if item.get_closest_marker("slow"):
            text = inspect.getdoc(getattr(item, "function", None)) or item.name
            first = " ".join(text.split("\n\n")[0].split())
            case = item.name.partition("[")[2].rstrip("]")
            item.user_properties.append(("claim", f"{first} ({case})" if case else first))


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
