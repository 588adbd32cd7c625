"""Timescales against lag: table, JSON, csv and the figure with bands."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from koopman_cli.lagscan import LagBands
from koopman_cli.nouns import counted, lag_text, timed, times
from koopman_cli.report.drawing import colour, log_ticks, look, new_figure, readable_unit, style
from koopman_cli.report.json import encode, number
from koopman_cli.report.quantities import Column, print_columns
from koopman_cli.report.text import print_rendered
from koopman_cli.store.atomic import refusals, write_atomic
from koopman_cli.types import Quantity

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import Console

SCHEMA = 1

#: Timescales that a table shows on the narrowest terminal.
FEWEST = 2

#: Rows of the printed table; the csv holds all lags.
MOST_ROWS = 25


def _per_frame(bands: LagBands) -> float:
    first = bands.lags[0]
    return first.value / first.frames


def _quantity(bands: LagBands, i: int, m: int) -> Quantity | None:
    value, step = bands.times[i, m], _per_frame(bands)
    if not np.isfinite(value):
        return None
    low, high = (number(step * float(end[i, m])) for end in (bands.low, bands.high))
    return Quantity(float(value) * step, low, high, bands.lags[i].unit)


def _lag(bands: LagBands, i: int) -> dict[str, Any]:
    found = bands.lags[i]
    return {"frames": found.frames, "value": found.value, "unit": found.unit}


def document(bands: LagBands) -> dict[str, Any]:
    """The content of ``timescales.json``."""

    def plain(q: Quantity | None) -> dict[str, Any] | None:
        if q is None:
            return None
        return {"value": q.value, "low": q.low, "high": q.high, "unit": q.unit}

    modes = range(bands.times.shape[1])
    rows = [
        {
            "lag": _lag(bands, i),
            "timescales": [plain(_quantity(bands, i, m)) for m in modes],
            "reliable": bands.reliable[i],
            "together": [[m + 1 for m in group] for group in bands.together[i]],
        }
        for i in range(len(bands.lags))
    ]
    converged = None if bands.converged is None else _lag(bands, bands.converged)
    return {
        "schema": SCHEMA,
        "model": bands.model,
        "features": bands.features,
        "lags": rows,
        "converged": {"lag": converged, "reason": bands.reason},
        "auto": _taken(bands),
        "readings": bands.readings,
        "notes": list(bands.notes),
        "warnings": list(bands.warnings),
    }


def _taken(bands: LagBands) -> dict[str, Any] | None:
    """The lag that a fit takes by itself."""
    if bands.auto is None:
        return None
    (at,) = (i for i, lag in enumerate(bands.lags) if lag.frames == bands.auto.chosen)
    return {"lag": _lag(bands, at), "converged": bands.auto.converged, "reason": bands.auto.reason}


def csv_text(bands: LagBands) -> str:
    """``timescales.csv``: one row per lag and mode; empty where there is no timescale.

    ``together`` names the modes, joined by +, that share the interval of a row.
    """
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    names = ("lag_frames", "lag", "unit", "mode", "timescale", "low", "high")
    table.writerow([*names, "reliable", "together"])
    for i, lag in enumerate(bands.lags):
        for m in range(bands.times.shape[1]):
            q = _quantity(bands, i, m)
            cells = ["", "", ""] if q is None else [q.value, q.low, q.high]
            head = [lag.frames, lag.value, lag.unit, m + 1]
            own = [_joined(group) for group in bands.together[i] if m in group]
            table.writerow([*head, *cells, str(bands.reliable[i]).lower(), "".join(own)])
    return buffer.getvalue()


def _joined(group: tuple[int, ...]) -> str:
    """Modes as they are printed, "1+2"."""
    return "+".join(str(m + 1) for m in group)


def _below(bands: LagBands, i: int, m: int) -> bool:
    """Whether a timescale is shorter than its lag."""
    return bool(bands.times[i, m] < bands.lags[i].frames)


def _marks(bands: LagBands, i: int) -> str:
    """What is to be said of a row of the printed table."""
    marks = [] if bands.reliable[i] else ["unreliable"]
    return ", ".join([*marks, *(_joined(group) for group in bands.together[i])])


def _columns(bands: LagBands, shown: Sequence[int]) -> list[Column | tuple[str, list[str]]]:
    """Columns of the printed table; a timescale below its lag stands in parentheses."""
    timescales = [
        Column(
            f"timescale {m + 1}",
            tuple(_quantity(bands, i, m) for i in shown),
            tuple(_below(bands, i, m) for i in shown),
        )
        for m in range(bands.times.shape[1])
    ]
    lags = [lag_text(bands.lags[i]) for i in shown]
    return [("lag", lags), *timescales, ("", [_marks(bands, i) for i in shown])]


def bands_figure(bands: LagBands, width_mm: float = 95) -> Figure:
    """Implied timescales with bands; where a timescale is below the lag the area is grey."""
    longest = np.nanmax(bands.times) if np.isfinite(bands.times).any() else bands.lags[-1].frames
    step = _per_frame(bands)
    factor, unit = readable_unit(float(longest) * step, bands.lags[0].unit)
    scale = step * factor
    lags = np.array([lag.frames for lag in bands.lags]) * scale
    with style():
        figure = new_figure(width_mm, 0.75 * width_mm)
        axes = figure.add_subplot()
        for m in range(bands.times.shape[1]):
            own = colour(m)
            ends = bands.low[:, m] * scale, bands.high[:, m] * scale
            # What is left of a mode below its lag is noise: its band is there, not in the way.
            above = bands.times[:, m] * scale >= lags
            above[1:] |= above[:-1].copy()
            for where, alpha in ((above, 0.25), (~above, 0.07)):
                axes.fill_between(lags, *ends, where=where, color=own, alpha=alpha, linewidth=0)
            axes.plot(lags, bands.times[:, m] * scale, "o-", color=own, markersize=2,
                      label=f"mode {m + 1}")  # fmt: skip
        axes.set_xscale("log")
        axes.set_yscale("log")
        edge = np.array([lags[0] / 1.1, lags[-1] * 1.1])
        shown = bands.times[np.isfinite(bands.times)] * scale
        bottom = min(shown.min(initial=np.inf) / 1.5, lags[0])
        axes.fill_between(edge, bottom / 10, edge, color=look().faint, linewidth=0, zorder=0,
                          label="timescale < lag")  # fmt: skip
        axes.plot(edge, edge, color=look().grey, linewidth=0.6, zorder=1)
        if bands.converged is not None:
            at = lags[bands.converged]
            label = f"constant from {timed(at, unit)}"
            axes.axvline(at, color=look().ink, linestyle="--", linewidth=0.8, label=label)
        axes.set_xlim(*edge)
        axes.set_ylim(bottom, shown.max(initial=lags[-1]) * 1.6)
        for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            log_ticks(axis, low, high)
        axes.set_xlabel(f"lag ({unit})")
        axes.set_ylabel(f"implied timescale ({unit})")
        # "not converged" or "not known", without the reason.
        title = "" if bands.converged is not None else bands.reason.partition(":")[0]
        figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2, title=title)
    return figure


def _ordinal(n: int) -> str:
    """English ordinal of a small number above 1."""
    ends = {2: "nd", 3: "rd"}
    return f"{n}{ends.get(n % 10, 'th') if n % 100 // 10 != 1 else 'th'}"


def render(bands: LagBands, console: Console, out: Path | None = None) -> None:
    """Print timescales lag by lag."""

    def say(line: str, look: str | None = None) -> None:
        console.print(line, style=look, markup=False, highlight=False)

    say(
        f"{bands.model} on {bands.features}: {counted(len(bands.lags), 'lag')}, data read "
        f"{times(bands.readings)}"
    )
    modes = range(bands.times.shape[1])
    every = -(-len(bands.lags) // MOST_ROWS)
    shown = range(0, len(bands.lags), every)
    spare = [f"timescale {m + 1}" for m in reversed(modes) if m >= FEWEST]
    left = print_columns(_columns(bands, shown), console, spare).left
    if left:
        names = sorted(head.partition("\n")[0] for head in left)
        say(f"not shown: {', '.join(names)} (timescales.csv)")
    if every > 1:
        say(
            f"Every {_ordinal(every)} of {counted(len(bands.lags), 'lag')} is shown; all are in "
            "the csv file."
        )
    if any(_below(bands, i, m) for i in shown for m in modes):
        say("In parentheses: shorter than the lag, where little of the mode is left.")
    if any(bands.together[i] for i in shown):
        say("Modes joined by + cannot be told apart at that lag: each has the interval of all.")
    say("")
    found = (
        ""
        if bands.converged is None
        else f"Constant from lag {lag_text(bands.lags[bands.converged])}: "
    )
    say(found + bands.reason)
    if bands.auto is not None:
        taken = next(lag for lag in bands.lags if lag.frames == bands.auto.chosen)
        say(f"koopman fit --lag auto takes {lag_text(taken)}: {bands.auto.reason}")
    for note in bands.notes:
        say(note)
    for warning in bands.warnings:
        say(f"Warning: {warning}", "yellow")
    if out is not None:
        say(f"Written to {out}")


def print_bands(bands: LagBands, out: Path | None = None) -> None:
    """Print timescales against lag to standard output."""
    print_rendered(lambda console: render(bands, console, out))


def write_bands(bands: LagBands, folder: Path) -> None:
    """Write ``timescales.json``, ``.csv`` and ``.png`` into a directory, made if missing.

    Raises
    ------
    FileError
        If the file system refuses.
    """
    from koopman_cli.report.figures import encode_figure

    with refusals(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "timescales.json", encode(document(bands)))
    write_atomic(folder / "timescales.csv", csv_text(bands).encode("utf-8", "backslashreplace"))
    write_atomic(folder / "timescales.png", encode_figure(bands_figure(bands), "png"))
