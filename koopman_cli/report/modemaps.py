"""Modes of a flow as maps: real and imaginary part of every variable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.geometry import Geometry, scatter
from koopman_cli.nouns import unit_word
from koopman_cli.report.drawing import DIVERGING, fixed_figure, frame_time, place
from koopman_cli.report.fieldmaps import (
    BAR,
    BETWEEN,
    BOTTOM,
    CUT,
    LEFT,
    MAX_VARIABLES,
    RIGHT,
    TITLE,
    Plane,
    colour_bar,
    draw_map,
    frame_map,
    map_height,
    number,
    place_of,
    plane_of,
)
from koopman_cli.types import FitResult, Mode

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Modes drawn, and rows of maps in all; more do not fit a page.
MAX_MODES, MAX_ROWS = 4, 6

#: Another line of a title, and what separates two variables of a mode, in mm.
LINE, GAP = 3.2, 1.5


def _interval(
    value: float, low: float | None, high: float | None, unit: str, digits: int = 3
) -> str:
    """Value, 95% interval where there is one, and unit."""
    told = [number(end, digits) for end in (low, high) if end is not None]
    ends = f" [{', '.join(told)}]" if len(told) == 2 else ""
    return f"{number(value, digits)}{ends}{unit}"


def mode_title(mode: Mode, time_unit: str) -> str:
    """Frequency (or period), and below it growth, with intervals and units."""
    per = f" /{unit_word(1, time_unit or 'time units')}"
    if mode.frequency is not None:
        q = mode.frequency
        name = f"f = {_interval(q.value, q.low, q.high, per, 4)}"
        if time_unit == "months" and mode.period is not None:
            q = mode.period
            low, high = (None if e is None else e / 12 for e in (q.low, q.high))
            name = f"period {_interval(q.value / 12, low, high, ' years')}"
    else:
        name = "left over, no mode" if mode.verdict == "invalid" else "no oscillation"
    g = mode.growth
    growth = "" if g is None else f"\ngrowth {_interval(g.value, g.low, g.high, per)}"
    return f"Mode {mode.index}: {name}{growth}"


def drawn_modes(result: FitResult, modes: Sequence[int] | None = None) -> list[tuple[int, Mode]]:
    """Which modes are drawn: those asked for, or resolved ones by their order in the table."""
    assert result.flow is not None
    rows = [
        (i, result.modes[h])
        for i, h in enumerate(result.flow.heads)
        if h < min(len(result.modes), result.model.dim) and result.modes[h].verdict != "invalid"
    ]
    if modes is not None:
        heads = [(i, result.modes[h]) for i, h in enumerate(result.flow.heads)
                 if h < len(result.modes)]  # fmt: skip
        return [row for row in heads if row[1].index in modes]
    moving = [row for row in rows if row[1].verdict == "resolved"]
    return (moving or rows)[:MAX_MODES]


def modes(
    result: FitResult, width_mm: float = 85, modes: Sequence[int] | None = None
) -> Figure | None:
    """Real and imaginary part of the leading modes; variables of one unit share a scale."""
    flow = result.flow
    if flow is None:
        return None
    rows = drawn_modes(result, modes)
    geometry, valid = place_of(result)
    count = min(len(geometry.variables), MAX_VARIABLES)
    if modes is None:
        rows = rows[: max(2, MAX_ROWS // count) if count > 1 else MAX_MODES]
    full = scatter(flow.modes.T, valid, geometry)
    full = full.reshape(len(full), len(geometry.variables), -1)[:, :count]
    strength = np.abs(full[[i for i, _ in rows]]).sum(axis=(0, 1)) if rows else np.empty(0)
    plane = plane_of(geometry, strength) if rows else None
    if plane is None:
        return None
    complex_modes = any(np.abs(full[i].imag[np.isfinite(full[i].imag)]).max() > 0 for i, _ in rows)
    across = 2 if complex_modes else 1
    map_width = (width_mm - LEFT - RIGHT - (across - 1) * BETWEEN) / across
    up = map_height(plane, map_width)
    each = count * up + (count - 1) * GAP + TITLE + LINE + 1.0
    total = BOTTOM + TITLE + len(rows) * each
    figure = fixed_figure(width_mm, total)
    for r, (i, mode) in enumerate(rows):
        base = total - TITLE - (r + 1) * each + 1.0
        title = mode_title(mode, frame_time(result)[1])
        _mode_rows(figure, (plane, geometry), full[i], title, (base, map_width, up),
                   last=r == len(rows) - 1)  # fmt: skip
    for k, name in enumerate(["real part", "imaginary part"][:across]):
        at = LEFT + k * (map_width + BETWEEN) + map_width / 2
        whose = f"{geometry.variables[0]}, " if count == 1 else ""
        figure.text(at / width_mm, 1 - 1.0 / total, f"{whose}{name}", ha="center", va="top")
    return figure


def _mode_rows(
    figure: Figure,
    where: tuple[Plane, Geometry],
    values: NDArray[Any],
    title: str,
    box: tuple[float, float, float],
    *,
    last: bool,
) -> None:
    """The variables (variables, points) of a mode, one below the other."""
    plane, geometry = where
    base, width, up = box
    count = len(values)
    finite = values[np.isfinite(values.real)]
    masked = np.where(np.isnan(values.real), np.nan, 0.0)
    parts = [values.real]
    if np.abs(finite.imag).max() > 0:
        # The phase of a mode is free: the real part is made as large as it can be.
        turn = np.exp(-0.5j * np.angle(np.sum(finite**2)))
        parts = [(values * turn).real + masked, (values * turn).imag + masked]
    shared = len(set(geometry.units[:count])) == 1
    for v in range(count):
        own = [part if shared else part[v : v + 1] for part in parts]
        sizes = np.abs(np.concatenate([part[np.isfinite(part)] for part in own]))
        reach = float(np.quantile(sizes, CUT)) or 1.0
        style = {"cmap": DIVERGING, "vmin": -reach, "vmax": reach}
        level = base + (count - 1 - v) * (up + GAP)
        drawn: Any = None
        for k, part in enumerate(parts):
            axes = place(figure, LEFT + k * (width + BETWEEN), level, width, up)
            drawn = draw_map(axes, plane, geometry, part[v], style)
            frame_map(axes, plane, left=k == 0, bottom=last and v == count - 1)
            if k == 0 and v == 0:
                axes.set_title(title, loc="left", pad=2.5)
            if k == 0 and count > 1:
                white = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1.0}
                axes.text(0.02, 0.94, geometry.variables[v], transform=axes.transAxes,
                          ha="left", va="top", bbox=white)  # fmt: skip
        at = LEFT + len(parts) * (width + BETWEEN) - BETWEEN + 1.5
        side = place(figure, at, level, BAR, up)
        colour_bar(figure, drawn, side, geometry.units[v], signed=True)
