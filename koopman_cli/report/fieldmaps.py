"""Figures of fields: modes as maps, reconstruction against truth, singular values, forecasts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.geometry import Geometry, scatter
from koopman_cli.report.drawing import (
    COLOURS,
    DIVERGING,
    GREY,
    SEQUENTIAL,
    fixed_figure,
    frame_time,
    new_figure,
    place,
)
from koopman_cli.types import FitResult, Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Modes drawn; more do not fit a page.
MAX_MODES = 4

#: Margins in mm: left of the first map, between two, right (colour bar), above and below.
LEFT, BETWEEN, RIGHT, TITLE, BOTTOM, BAR = 12.5, 2.5, 14.0, 4.5, 9.0, 2.0

#: Outliers are cut at this quantile of |value|, so that one cell does not pale all others.
CUT = 0.995


@dataclass(frozen=True)
class Plane:
    """Where the cells of one variable are drawn: points, or edges of a grid.

    order : columns of the grid, rolled so that what moves is not cut at the map's edge
    """

    x: NDArray[Any]
    y: NDArray[Any]
    labels: tuple[str, str]
    order: NDArray[np.int64]
    scattered: bool
    degrees: bool


def _label(geometry: Geometry, name: str) -> str:
    unit = geometry.coordinate_units.get(name, "")
    known = {"degrees_north": "°N", "degrees_east": "°E", "degree_north": "°N"}
    unit = known.get(unit, unit)
    words = {"lat": "latitude", "lon": "longitude"}
    degrees = name.lower() in ("lat", "latitude", "lon", "longitude")
    unit = unit or ("°" if degrees else "")
    return f"{words.get(name.lower(), name)} ({unit})" if unit else words.get(name.lower(), name)


def _plane(geometry: Geometry, strength: NDArray[Any]) -> Plane | None:
    """The plane of a geometry; None where its cells do not lie in one."""
    names = geometry.plane
    if names is None:
        return None
    labels = _label(geometry, names[0]), _label(geometry, names[1])
    degrees = names[0].lower() in ("lon", "longitude")
    if geometry.scattered:
        x, y = (np.asarray(geometry.coordinates[n], float).reshape(-1) for n in names)
        every = np.arange(len(x))
        return Plane(x, y, labels, every, scattered=True, degrees=degrees)
    if len(geometry.shape) != 2:
        return None
    if any(np.ndim(geometry.coordinates.get(n, np.empty(0))) == 2 for n in names):
        x, y = (np.asarray(geometry.coordinates[n], float).reshape(-1) for n in names)
        every = np.arange(len(x))
        return Plane(x, y, labels, every, scattered=True, degrees=degrees)
    flip = geometry.axes[0] == names[0]
    x, y = geometry.axis_values(0 if flip else 1), geometry.axis_values(1 if flip else 0)
    order = np.arange(len(x))
    around = len(x) > 2 and abs(np.ptp(x) + abs(x[1] - x[0]) - 360) < 1e-3 * 360
    if degrees and around:
        table = strength.reshape(geometry.shape)
        each = np.nan_to_num(table.T if flip else table).sum(axis=0)
        # A circular mean: the strongest longitudes come to the middle.
        turn = np.exp(2j * np.pi * np.arange(len(x)) / len(x))
        middle = round(float(np.angle(np.sum(each**2 * turn))) / (2 * np.pi) * len(x))
        order = np.roll(order, len(x) // 2 - middle)
        x = np.unwrap(np.asarray(x, float)[order], period=360)
    return Plane(
        np.asarray(x, float), np.asarray(y, float), labels, order, scattered=False, degrees=degrees
    )


def _edges(centres: NDArray[Any]) -> NDArray[Any]:
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def _height(plane: Plane, width: float) -> float:
    """Height in mm of a map of a width, true to scale between 1:3 and 1:1."""
    ratio = np.ptp(plane.y) / max(float(np.ptp(plane.x)), 1e-300)
    return width * float(np.clip(ratio, 0.4, 1.1))


def _triangles(plane: Plane) -> Any:
    """Triangles of scattered points; those that bridge holes are left out."""
    from matplotlib.tri import Triangulation
    from scipy.spatial import cKDTree

    made = Triangulation(plane.x, plane.y)
    points = np.stack([plane.x, plane.y], axis=1)
    near = cKDTree(points).query(points, k=min(5, len(points)))[0][:, -1]
    corners = made.triangles
    sides = [
        np.linalg.norm(points[corners[:, i]] - points[corners[:, i - 1]], axis=1) for i in range(3)
    ]
    made.set_mask(np.max(sides, axis=0) > 4 * near[corners].max(axis=1))
    return made


def _draw(axes: Axes, plane: Plane, geometry: Geometry, values: NDArray[Any], style: Any) -> Any:
    """Draw one variable of a snapshot, (points,); masked cells stay white."""
    if plane.scattered:
        triangles = _triangles(plane)
        return axes.tripcolor(
            triangles, np.nan_to_num(values), shading="gouraud", rasterized=True, **style
        )
    table = values.reshape(geometry.shape)
    names = geometry.plane
    if names is not None and geometry.axes[0] == names[0]:
        table = table.T
    table = table[:, plane.order]
    x, y = _edges(plane.x), _edges(plane.y)
    drawn = axes.pcolormesh(x, y, np.ma.masked_invalid(table), rasterized=True, **style)
    _coast(axes, np.isnan(table), x, y)
    return drawn


def _coast(axes: Axes, masked: NDArray[np.bool_], x: NDArray[Any], y: NDArray[Any]) -> None:
    """A thin line between masked and other cells: white land beside near-white zeros."""
    across = masked[:, 1:] != masked[:, :-1]
    down = masked[1:] != masked[:-1]
    rows, columns = np.nonzero(across)
    axes.vlines(x[columns + 1], y[rows], y[rows + 1], color=GREY, linewidth=0.5)
    rows, columns = np.nonzero(down)
    axes.hlines(y[rows + 1], x[columns], x[columns + 1], color=GREY, linewidth=0.5)


def _frame(axes: Axes, plane: Plane, *, left: bool, bottom: bool) -> None:
    axes.spines[["top", "right"]].set_visible(True)
    axes.set_xlim(plane.x.min(), plane.x.max())
    axes.set_ylim(plane.y.min(), plane.y.max())
    if not plane.scattered:
        x, y = _edges(plane.x), _edges(plane.y)
        axes.set_xlim(x.min(), x.max())
        axes.set_ylim(max(y.min(), -90) if plane.degrees else y.min(),
                      min(y.max(), 90) if plane.degrees else y.max())  # fmt: skip
    axes.locator_params(axis="x", nbins=4)
    axes.locator_params(axis="y", nbins=4)
    if plane.degrees:
        step = 90 if np.ptp(plane.x) > 200 else None
        if step:
            low = np.ceil(plane.x.min() / step) * step
            ticks = np.arange(low, plane.x.max(), step)
            axes.set_xticks(ticks, [_degrees(t) for t in ticks])
            axes.set_yticks([-60, -30, 0, 30, 60])
    axes.tick_params(labelleft=left, labelbottom=bottom)
    if left:
        axes.set_ylabel(plane.labels[1])
    if bottom:
        axes.set_xlabel(plane.labels[0])


def _degrees(value: float) -> str:
    turned = (value + 180) % 360 - 180
    if abs(abs(turned) - 180) < 1e-9:
        return "180"
    return "0" if turned == 0 else f"{abs(turned):g}{'E' if turned > 0 else 'W'}"


def _number(value: float) -> str:
    """Three digits with a true minus; powers of ten written as such.

    >>> _number(-0.0783), _number(2.5e-7)
    ('\u22120.0783', '2.5·10\u207b\u2077')
    """
    small = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    text = f"{value:.3g}"
    if "e" in text:
        digits, power = text.split("e")
        text = f"{digits}·10{str(int(power)).translate(small)}"
    return text.replace("-", "\u2212")


def _title(mode: Mode, time_unit: str) -> str:
    """Frequency (or period) and growth of a mode, with units, short enough for a column."""
    one = {"months": "month", "years": "year", "frames": "frame"}.get(time_unit, time_unit)
    per = f" /{one}" if one not in ("", "time units") else ""
    growth = "" if mode.growth is None else f", growth {_number(mode.growth.value)}{per}"
    if mode.frequency is not None:
        name = f"f = {mode.frequency.value:.4g}{per}"
        if time_unit == "months" and mode.period is not None:
            name = f"period {mode.period.value / 12:.2g} years"
        return f"Mode {mode.index}: {name}{growth}"
    if mode.verdict == "invalid":
        return f"Mode {mode.index}: left over, no mode"
    return f"Mode {mode.index}: no oscillation{growth}"


def _drawn_modes(result: FitResult) -> list[tuple[int, Mode]]:
    """Which modes are drawn: oscillations first, by their order in the table."""
    assert result.flow is not None
    rows = [
        (i, result.modes[h])
        for i, h in enumerate(result.flow.heads)
        if h < min(len(result.modes), result.model.dim) and result.modes[h].verdict != "invalid"
    ]
    moving = [row for row in rows if row[1].verdict == "resolved"]
    return (moving or rows)[:MAX_MODES]


def modes(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Real and imaginary part of the leading modes, each row on one scale about zero."""
    flow = result.flow
    if flow is None:
        return None
    rows = _drawn_modes(result)
    geometry, valid = _place_of(result)
    full = scatter(flow.modes.T, valid, geometry)[:, 0].reshape(len(flow.modes.T), -1)
    strength = np.abs(full[[i for i, _ in rows]]).sum(axis=0) if rows else np.empty(0)
    plane = _plane(geometry, strength) if rows else None
    if plane is None:
        return None
    complex_modes = any(np.abs(full[i].imag[np.isfinite(full[i].imag)]).max() > 0 for i, _ in rows)
    across = 2 if complex_modes else 1
    map_width = (width_mm - LEFT - RIGHT - (across - 1) * BETWEEN) / across
    map_height = _height(plane, map_width)
    total = BOTTOM + TITLE + len(rows) * (map_height + TITLE + 1.0)
    figure = fixed_figure(width_mm, total)
    for r, (i, mode) in enumerate(rows):
        base = total - TITLE - (r + 1) * (map_height + TITLE + 1.0) + 1.0
        _mode_row(figure, (plane, geometry), full[i], mode, (base, map_width, map_height),
                  last=r == len(rows) - 1, unit=frame_time(result)[1])  # fmt: skip
    names = ["real part", "imaginary part"][:across]
    for k, name in enumerate(names):
        at = LEFT + k * (map_width + BETWEEN) + map_width / 2
        figure.text(at / width_mm, 1 - 1.0 / total, f"{geometry.variables[0]}, {name}",
                    ha="center", va="top")  # fmt: skip
    return figure


def _mode_row(
    figure: Figure,
    where: tuple[Plane, Geometry],
    values: NDArray[Any],
    mode: Mode,
    box: tuple[float, float, float],
    *,
    last: bool,
    unit: str,
) -> None:
    plane, geometry = where
    base, width, height = box
    finite = values[np.isfinite(values.real)]
    masked = np.where(np.isnan(values.real), np.nan, 0.0)
    parts = [values.real]
    if np.abs(finite.imag).max() > 0:
        # The phase of a mode is free: the real part is made as large as it can be.
        turn = np.exp(-0.5j * np.angle(np.sum(finite**2)))
        finite = finite * turn
        parts = [(values * turn).real + masked, (values * turn).imag + masked]
    reach = float(np.quantile(np.abs(np.concatenate([finite.real, finite.imag])), CUT)) or 1.0
    style = {"cmap": DIVERGING, "vmin": -reach, "vmax": reach}
    drawn: Any = None
    for k, part in enumerate(parts):
        axes = place(figure, LEFT + k * (width + BETWEEN), base, width, height)
        drawn = _draw(axes, plane, geometry, part, style)
        _frame(axes, plane, left=k == 0, bottom=last)
        if k == 0:
            axes.set_title(_title(mode, unit), loc="left", pad=2.5)
    side = place(figure, LEFT + len(parts) * (width + BETWEEN) - BETWEEN + 1.5, base, BAR, height)
    bar = figure.colorbar(drawn, cax=side)
    bar.locator = _three()
    bar.update_ticks()
    bar.ax.ticklabel_format(useMathText=True, scilimits=(-2, 3))
    bar.outline.set_linewidth(0.4)
    if geometry.units[0]:
        bar.set_label(geometry.units[0])


def _three() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(3, symmetric=True)


def _place_of(result: FitResult) -> tuple[Geometry, NDArray[np.bool_]]:
    state = result.model.features.state
    return Geometry.from_arrays(state), np.asarray(state["valid"], bool)


def reconstruction(result: FitResult, width_mm: float = 85) -> Figure | None:
    """A snapshot, what the modes make of it, and the difference on a scale of its own."""
    flow = result.flow
    if flow is None:
        return None
    geometry, valid = _place_of(result)
    both = scatter(np.stack([flow.truth, flow.guess]), valid, geometry)[:, 0].reshape(2, -1)
    plane = _plane(geometry, np.abs(np.nan_to_num(both[0])))
    if plane is None:
        return None
    difference = both[1] - both[0]
    finite = np.isfinite(both[0])
    low, high = np.quantile(both[0][finite], [1 - CUT, CUT])
    reach = max(float(np.quantile(np.abs(difference[finite]), CUT)), 1e-300)
    main = {"cmap": SEQUENTIAL, "vmin": low, "vmax": high}
    rest = {"cmap": DIVERGING, "vmin": -reach, "vmax": reach}
    width = width_mm - LEFT - RIGHT
    height = _height(plane, width) * 0.8
    total = BOTTOM + 3 * (height + TITLE + 1.0)
    figure = fixed_figure(width_mm, total)
    name = geometry.variables[0]
    titles = (
        f"{name}, frame {flow.frame}", f"{name}, from {result.model.dim} modes", "difference"
    )  # fmt: skip
    rows = zip((both[0], both[1], difference), (main, main, rest), titles, strict=True)
    for r, (values, style, title) in enumerate(rows):
        base = total - (r + 1) * (height + TITLE + 1.0) + 1.0
        axes = place(figure, LEFT, base, width, height)
        drawn = _draw(axes, plane, geometry, values, style)
        _frame(axes, plane, left=True, bottom=r == 2)
        axes.set_title(title, loc="left", pad=2.5)
        bar = figure.colorbar(drawn, cax=place(figure, LEFT + width + 1.5, base, BAR, height))
        bar.locator = _three() if r == 2 else bar.locator
        bar.update_ticks()
        bar.ax.ticklabel_format(useMathText=True, scilimits=(-2, 3))
        bar.outline.set_linewidth(0.4)
        if geometry.units[0]:
            bar.set_label(geometry.units[0])
    return figure


def singular_values(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Decay of the POD singular values, and how many of them the model stands on."""
    flow = result.flow
    if flow is None:
        return None
    s = flow.singular_values / flow.singular_values[0]
    rank = len(result.model.lift.names)
    figure = new_figure(width_mm, 0.62 * width_mm)
    axes = figure.add_subplot()
    index = np.arange(1, len(s) + 1)
    shown = s > 0
    axes.semilogy(index[shown][rank:], s[shown][rank:], "o", color=GREY, markersize=2.5,
                  markerfacecolor="white", label="left out")  # fmt: skip
    axes.semilogy(index[:rank], s[:rank], "o", color=COLOURS[0], markersize=3.5, label="kept")
    axes.axvline(rank + 0.5, color=COLOURS[1], linewidth=0.8, linestyle="--")
    axes.annotate(f"rank {rank}", (rank + 0.5, 1), xytext=(3, -2), textcoords="offset points",
                  color=COLOURS[1], va="top")  # fmt: skip
    axes.set_xlim(0, min(len(s), max(4 * rank, 30)) + 1)
    axes.set_xlabel("POD mode")
    axes.set_ylabel("singular value / largest")
    axes.legend(loc="upper right")
    return figure


def forecast(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Error of held-out forecasts against the horizon, beside persistence and climatology."""
    flow = result.flow
    if flow is None or flow.skill is None:
        return None
    skill = flow.skill
    step, unit = frame_time(result)
    figure = new_figure(width_mm, 0.62 * width_mm)
    axes = figure.add_subplot()
    curves = (
        (skill.model, result.model.family, COLOURS[0], "-"),
        (skill.persistence, "persistence", COLOURS[1], "--"),
        (skill.climatology, "climatology", GREY, ":"),
    )
    for values, name, colour, line in curves:
        axes.plot(skill.steps * step, values, line, color=colour, label=name)
    largest = np.nanmax([skill.persistence, skill.climatology])
    if np.nanmin(skill.model) < 0.03 * largest:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.3 * largest)
    axes.set_xlabel(f"ahead ({unit})")
    axes.set_ylabel("error per cell" + (f" ({skill.unit})" if skill.unit else ""))
    axes.legend(loc="best")
    return figure
