"""Several runs beside each other: their timescales with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from koopman_cli.report.drawing import colour, new_figure, readable_unit, verbatim
from koopman_cli.types import FitResult, Quantity
from koopman_cli.units import SECONDS, convert

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Modes of a run that are drawn.
MODES = 6


def _times(results: Sequence[FitResult]) -> tuple[list[list[tuple[int, Quantity]]], str] | None:
    """Timescales of each run in one unit; None where there are none, or units do not meet."""
    rows = [
        [(m.index, m.timescale) for m in result.modes[:MODES] if m.timescale is not None]
        for result in results
    ]
    units = {q.unit for row in rows for _, q in row}
    if not units or (len(units) > 1 and not units <= set(SECONDS)):
        return None
    unit = min(units)

    def scale(q: Quantity) -> float:
        return 1.0 if q.unit == unit else convert(1.0, q.unit, unit)

    factor, shown = readable_unit(max(q.value * scale(q) for row in rows for _, q in row), unit)

    def made(q: Quantity) -> Quantity:
        by = factor * scale(q)
        low, high = (None if end is None else end * by for end in (q.low, q.high))
        return Quantity(q.value * by, low, high, shown)

    return [[(i, made(q)) for i, q in row] for row in rows], shown


def timescales_of_runs(
    results: Sequence[FitResult], names: Sequence[str], width_mm: float = 120
) -> Figure | None:
    """Timescale of every mode of every run, with 95% intervals, on one logarithmic axis."""
    found = _times(results)
    if found is None:
        return None
    rows, unit = found
    figure = new_figure(width_mm, 0.62 * width_mm)
    axes = figure.add_subplot()
    for k, (row, name) in enumerate(zip(rows, names, strict=True)):
        aside = 0.5 * ((k + 0.5) / len(rows) - 0.5)
        for n, (index, q) in enumerate(row):
            at = index + aside
            if q.low is not None and q.high is not None and q.low > 0:
                axes.vlines(at, q.low, q.high, color=colour(k), linewidth=1.4)
            axes.plot(at, q.value, "osD^vP"[k % 6], color=colour(k), markersize=4,
                      label=verbatim(name) if n == 0 else None)  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("mode")
    axes.set_ylabel(f"timescale ({unit})")
    most = max(index for row in rows for index, _ in row)
    axes.set_xticks(range(1, most + 1))
    axes.set_xlim(0.4, most + 0.6)
    figure.legend(loc="outside upper left", ncols=1 if len(rows) > 3 else len(rows))
    return figure
