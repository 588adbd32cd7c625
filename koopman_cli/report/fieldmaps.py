"""Fields as maps: planes of grids and points, and reconstruction against truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.geometry import Geometry, scatter
from koopman_cli.report.drawing import (
    DIVERGING,
    SEQUENTIAL,
    fixed_figure,
    look,
    place,
)
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Margins in mm: left of the first map, between two, right (colour bar), above and below.
LEFT, BETWEEN, RIGHT, TITLE, BOTTOM, BAR = 12.5, 2.5, 18.0, 4.5, 9.0, 2.0

#: Variables of a field that are drawn.
MAX_VARIABLES = 3

#: Sizes of the numbers at a colour bar that need no power of ten.
LEAST_PLAIN, MOST_PLAIN = 0.01, 1e4

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


def plane_of(geometry: Geometry, strength: NDArray[Any]) -> Plane | None:
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


def edges_of(centres: NDArray[Any]) -> NDArray[Any]:
    """Edges of cells half way between their centres; a single cell is one wide.

    >>> edges_of(np.array([1.0, 2.0, 4.0])).tolist(), edges_of(np.array([3.0])).tolist()
    ([0.5, 1.5, 3.0, 5.0], [2.5, 3.5])
    """
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    first, last = 2 * centres[0] - middle[0], 2 * centres[-1] - middle[-1]
    return np.concatenate([[first], middle, [last]])


def map_height(plane: Plane, width: float) -> float:
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


def draw_map(axes: Axes, plane: Plane, geometry: Geometry, values: NDArray[Any], style: Any) -> Any:
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
    x, y = edges_of(plane.x), edges_of(plane.y)
    drawn = axes.pcolormesh(x, y, np.ma.masked_invalid(table), rasterized=True, **style)
    _coast(axes, np.isnan(table), x, y)
    return drawn


def _coast(axes: Axes, masked: NDArray[np.bool_], x: NDArray[Any], y: NDArray[Any]) -> None:
    """A thin line between masked and other cells: white land beside near-white zeros."""
    across = masked[:, 1:] != masked[:, :-1]
    down = masked[1:] != masked[:-1]
    rows, columns = np.nonzero(across)
    axes.vlines(x[columns + 1], y[rows], y[rows + 1], color=look().grey, linewidth=0.5)
    rows, columns = np.nonzero(down)
    axes.hlines(y[rows + 1], x[columns], x[columns + 1], color=look().grey, linewidth=0.5)


def frame_map(axes: Axes, plane: Plane, *, left: bool, bottom: bool) -> None:
    """Limits, ticks and labels of a map."""
    axes.spines[["top", "right"]].set_visible(True)
    if plane.scattered:
        axes.set_xlim(plane.x.min(), plane.x.max())
        axes.set_ylim(plane.y.min(), plane.y.max())
    else:
        x, y = edges_of(plane.x), edges_of(plane.y)
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
            axes.set_yticks([-60, 0, 60])
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


def number(value: float, digits: int = 3) -> str:
    """Some digits with a true minus; powers of ten written as such.

    >>> number(-0.0783), number(2.5e-7)
    ('\u22120.0783', '2.5·10\u207b\u2077')
    """
    text = f"{value:.{digits}g}"
    if "e" in text:
        leading, power = text.split("e")
        text = f"{leading}·{_ten_to(int(power))}"
    return text.replace("-", "\u2212")


def _ten_to(power: int) -> str:
    return f"10{str(power).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def colour_bar(figure: Figure, drawn: Any, side: Axes, unit: str, *, signed: bool) -> None:
    """A colour bar; the power of ten of small or large numbers stands with the unit, since above
    the bar it would touch the title and in every number push the unit out of the figure.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    bar = figure.colorbar(drawn, cax=side)
    bar.locator = MaxNLocator(3, symmetric=True) if signed else MaxNLocator(4)
    top = float(np.max(np.abs(drawn.get_clim())))
    plain = not np.isfinite(top) or top == 0 or LEAST_PLAIN <= top < MOST_PLAIN
    power = 0 if plain else int(np.floor(np.log10(top)))
    size = 10.0**power
    bar.formatter = FuncFormatter(lambda v, _: number(v / size) if abs(v) > 1e-12 * size else "0")
    bar.update_ticks()
    bar.outline.set_linewidth(0.4)
    label = unit if plain else f"{_ten_to(power)} {unit}".strip()
    if label:
        bar.set_label(label)


def place_of(result: FitResult) -> tuple[Geometry, NDArray[np.bool_]]:
    """Geometry of the field, and which of its cells are not masked."""
    state = result.model.features.state
    return Geometry.from_arrays(state), np.asarray(state["valid"], bool)


def reconstruction(result: FitResult, width_mm: float = 85) -> Figure | None:
    """A snapshot, what the modes make of it, and the difference on a scale of its own.

    One below the other for up to :data:`MAX_VARIABLES` variables.
    """
    flow = result.flow
    if flow is None:
        return None
    geometry, valid = place_of(result)
    every = scatter(np.stack([flow.truth, flow.guess]), valid, geometry)
    every = every.reshape(2, len(geometry.variables), -1)[:, :MAX_VARIABLES]
    plane = plane_of(geometry, np.abs(np.nan_to_num(every[0, 0])))
    if plane is None:
        return None
    width = width_mm - LEFT - RIGHT
    height = map_height(plane, width) * 0.8
    count = 3 * every.shape[1]
    total = BOTTOM + count * (height + TITLE + 1.0)
    figure = fixed_figure(width_mm, total)
    for r in range(count):
        variable, kind = divmod(r, 3)
        truth, guess = every[:, variable]
        base = total - (r + 1) * (height + TITLE + 1.0) + 1.0
        axes = place(figure, LEFT, base, width, height)
        name = geometry.variables[variable]
        title = (f"{name}, frame {flow.frame}", f"{name}, from {result.model.dim} modes",
                 "difference")[kind]  # fmt: skip
        values = (truth, guess, guess - truth)[kind]
        drawn = draw_map(axes, plane, geometry, values, _scale(truth, guess, kind == 2))
        frame_map(axes, plane, left=True, bottom=r == count - 1)
        axes.set_title(title, loc="left", pad=2.5)
        side = place(figure, LEFT + width + 1.5, base, BAR, height)
        colour_bar(figure, drawn, side, geometry.units[variable], signed=kind == 2)
    return figure


def _scale(truth: NDArray[Any], guess: NDArray[Any], difference: bool) -> dict[str, Any]:
    finite = np.isfinite(truth)
    if difference:
        far = np.abs((guess - truth)[finite])
        reach = max(float(np.quantile(far, CUT)), 1e-300)
        return {"cmap": DIVERGING, "vmin": -reach, "vmax": reach}
    low, high = np.quantile(truth[finite], [1 - CUT, CUT])
    return {"cmap": SEQUENTIAL, "vmin": low, "vmax": high}
