"""Figures made of maps: free energy and eigenfunctions over torsions and slow coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.report.drawing import (
    DIVERGING,
    SEQUENTIAL,
    column_labels,
    energy_label,
    fixed_figure,
    look,
    pick,
    place,
    verbatim,
)
from koopman_cli.types import Correlations, FitResult, Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Modes shown as maps; more do not fit a column.
MAX_MODES = 4

#: Margins in mm: room for ticks and a label left of a map, between maps, right of it (with its
#: colour bar), and below.
LEFT, BETWEEN, BAR, BOTTOM = 12.5, 11.5, 16.5, 9.0
BAR_WIDTH = 2.0


@dataclass(frozen=True)
class Plane:
    """Two coordinates of the frames to bin over, and how their axes look."""

    x: NDArray[Any]
    y: NDArray[Any]
    labels: tuple[str, str]
    edges: tuple[NDArray[Any], NDArray[Any]]
    angles: bool


def torsion_pair(
    projection: Projection, correlations: Correlations | None = None
) -> tuple[int, int] | None:
    """Columns of a phi and the psi of the same residue; None without torsions.

    The residue whose phi or psi the first mode follows most, else the first one.

    >>> empty = np.zeros(0, int)
    >>> names = ("phi ALA2", "psi ALA2", "phi GLY3")
    >>> torsion_pair(Projection(empty, empty, np.zeros((0, 1)), np.zeros((0, 3)), names))
    (0, 1)
    """
    names = projection.torsion_names
    if projection.torsions is None:
        return None
    pairs = [
        (i, names.index(f"psi {residue}"))
        for i, (kind, _, residue) in enumerate(name.partition(" ") for name in names)
        if kind == "phi" and f"psi {residue}" in names
    ]
    if not pairs:
        return None
    strength: dict[str, float] = {}
    if correlations is not None:
        first = np.abs(correlations.values[:, 0])
        strength = dict(zip(correlations.names, first.tolist(), strict=True))
    return max(pairs, key=lambda pair: max(strength.get(names[i], 0.0) for i in pair))


def _bins(frames: int) -> int:
    """Enough frames per bin to see a mean, few enough bins to see at column width."""
    return int(np.clip(1.6 * frames ** (1 / 3), 12, 60))


def _torsion_plane(result: FitResult, projection: Projection) -> Plane | None:
    pair = torsion_pair(projection, result.correlations)
    if pair is None or projection.torsions is None or not len(projection.torsions):
        return None
    x, y = (np.rad2deg(projection.torsions[:, i]) for i in pair)
    residue = verbatim(projection.torsion_names[pair[0]].partition(" ")[2])
    edges = np.linspace(-180.0, 180.0, _bins(len(x)) + 1)
    return Plane(x, y, (f"φ {residue} (deg)", f"ψ {residue} (deg)"), (edges, edges), angles=True)


def _input_plane(projection: Projection) -> Plane | None:
    """The two input columns that the modes follow most."""
    inputs = projection.inputs
    if inputs is None or inputs.shape[1] < 2 or len(inputs) < 2:
        return None
    x, y = inputs[:, 0], inputs[:, 1]
    n = _bins(len(x)) + 1
    edges = (np.linspace(x.min(), x.max(), n), np.linspace(y.min(), y.max(), n))
    if edges[0][0] == edges[0][-1] or edges[1][0] == edges[1][-1]:
        return None
    first, second = map(verbatim, projection.input_names[:2])
    return Plane(x, y, (first, second), edges, angles=False)


def _slow_plane(result: FitResult, projection: Projection) -> Plane | None:
    if projection.values.ndim != 2 or min(projection.values.shape) < 2:
        return None
    x, y = projection.values[:, 0], projection.values[:, 1]
    first, second = column_labels(result)[:2]
    n = _bins(len(x)) + 1
    edges = (np.linspace(x.min(), x.max(), n), np.linspace(y.min(), y.max(), n))
    if edges[0][0] == edges[0][-1] or edges[1][0] == edges[1][-1]:
        return None
    return Plane(x, y, (first, second), edges, angles=False)


def planes(result: FitResult) -> list[Plane]:
    """Torsions or inputs where there are any, then the first two slow coordinates."""
    if result.projection is None or result.flow is not None:
        return []
    projection = result.projection
    given = _torsion_plane(result, projection) or _input_plane(projection)
    if given is not None and result.model.dim < 2:
        # A second slow coordinate was not asked for: no map over what nobody fitted.
        return [given]
    found = (given, _slow_plane(result, projection))
    return [plane for plane in found if plane is not None]


def _free_energy(plane: Plane) -> NDArray[Any]:
    """-ln p per bin in kT, its minimum at zero, masked where no frame is."""
    counts, _, _ = np.histogram2d(plane.x, plane.y, bins=plane.edges)
    energy = np.full(counts.shape, np.nan)
    seen = counts > 0
    energy[seen] = -np.log(counts[seen] / counts.max())
    return np.ma.masked_invalid(energy)


def _mean(plane: Plane, values: NDArray[Any]) -> NDArray[Any]:
    """Mean of ``values`` per bin, masked where no frame is."""
    counts, _, _ = np.histogram2d(plane.x, plane.y, bins=plane.edges)
    sums, _, _ = np.histogram2d(plane.x, plane.y, bins=plane.edges, weights=values)
    return np.ma.masked_where(counts == 0, sums / np.maximum(counts, 1))


def _finish(axes: Axes, plane: Plane, bottom: bool, left: bool) -> None:
    if plane.angles:
        axes.set_xticks([-180, 0, 180])
        axes.set_yticks([-180, 0, 180])
    else:
        axes.locator_params(nbins=4)
    if bottom:
        axes.set_xlabel(plane.labels[0])
    else:
        axes.tick_params(labelbottom=False)
    if left:
        axes.set_ylabel(plane.labels[1], labelpad=1)
    else:
        axes.tick_params(labelleft=False)
    axes.set_facecolor(look().unvisited)
    axes.tick_params(length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


@dataclass(frozen=True)
class _Layer:
    """One quantity on every plane: its maps, the label of its colour bar, whether it has a sign."""

    label: str
    maps: list[NDArray[Any]]
    signed: bool

    def colours(self) -> dict[str, Any]:
        """Colour map and norm.

        A signed quantity has white exactly at zero and both ends in full colour, so that the
        sign shows even where one side is small (a rare state: +0.2 here, -4 there).
        """
        from matplotlib.colors import Normalize, TwoSlopeNorm

        seen = np.concatenate([np.ma.compressed(values) for values in self.maps])
        if not self.signed:
            return {"cmap": SEQUENTIAL, "norm": Normalize(0.0, max(1.0, float(seen.max())))}
        low, high = np.quantile(seen, [0.01, 0.99])
        norm = TwoSlopeNorm(0.0, min(float(low), -1e-12), max(float(high), 1e-12))
        return {"cmap": DIVERGING, "norm": norm}


def _short(value: float) -> str:
    """At most five characters: what fits between a colour bar and its label."""
    digits = 0 if value == 0 or abs(value) >= 10 else 1 if abs(value) >= 1 else 2
    return f"{value:.{digits}f}".replace("-", "\u2212")


def _draw(axes: Axes, bar: Axes | None, plane: Plane, values: NDArray[Any], layer: _Layer) -> None:
    """One map, and the colour bar of its layer where ``bar`` is a place for it."""
    from matplotlib.ticker import MaxNLocator

    colours = layer.colours()
    mesh = axes.pcolormesh(*plane.edges, values.T, rasterized=True, **colours)
    if bar is None:
        return
    extend = "both" if layer.signed else "neither"
    scale = axes.figure.colorbar(mesh, cax=bar, extend=extend)
    scale.set_label(layer.label)
    scale.ax.yaxis.set_label_coords((BAR - 4.5) / BAR_WIDTH, 0.5)  # one distance in every row
    scale.outline.set_linewidth(0.4)
    if layer.signed:
        ends = (float(colours["norm"].vmin), 0.0, float(colours["norm"].vmax))
        scale.set_ticks(ends, labels=[_short(end) for end in ends])
    else:
        scale.locator = MaxNLocator(5, integer=True)


def _energy_layer(result: FitResult, found: list[Plane]) -> _Layer:
    return _Layer(energy_label(result), [_free_energy(plane) for plane in found], signed=False)


def eigenfunctions(
    result: FitResult, width_mm: float = 85, modes: Sequence[int] | None = None
) -> Figure | None:
    """Free energy, then each slow function, over torsions or inputs and the slow coordinates."""
    from koopman_cli.report import profiles

    projection = result.projection
    if projection is None or not projection.values.size or result.flow is not None:
        return None
    labels = column_labels(result)
    shown = pick(modes, len(labels), min(max(1, result.model.dim), MAX_MODES, len(labels)))
    if profiles.is_line(projection):
        return profiles.eigenfunctions(result, width_mm, shown)
    found = planes(result)
    if not found:
        return None
    layers = [_energy_layer(result, found)]
    for i in shown:
        maps = [_mean(plane, projection.values[:, i]) for plane in found]
        layers.append(_Layer(labels[i], maps, signed=True))
    return _tile(found, layers, width_mm)


def _tile(found: list[Plane], layers: list[_Layer], width_mm: float) -> Figure:
    """Square maps in two columns: both planes of a layer, or two layers of the only plane."""
    paired = len(found) == 2
    rows = len(layers) if paired else -(-len(layers) // 2)
    gap = BETWEEN if paired else BAR + 4
    side = (width_mm - LEFT - gap - BAR) / 2
    height = rows * (side + 4) + BOTTOM - 2
    figure = fixed_figure(width_mm, height)
    cells = [(plane, layer, j) for layer in layers for j, plane in enumerate(found)]
    for i, (plane, layer, j) in enumerate(cells):
        row, column = divmod(i, 2)
        x, y = LEFT + column * (side + gap), height - 2 - side - row * (side + 4)
        axes = place(figure, x, y, side, side)
        has_bar = not paired or column == 1
        bar = place(figure, x + side + 2, y, BAR_WIDTH, side) if has_bar else None
        _draw(axes, bar, plane, layer.maps[j], layer)
        _finish(axes, plane, bottom=i + 2 >= len(cells), left=paired or column == 0)
    return figure


def free_energy(result: FitResult, width_mm: float = 85) -> Figure | None:
    """-ln p in kT over torsions and over the slow coordinates; a profile if there is one."""
    from koopman_cli.report import profiles

    found = planes(result)
    projection = result.projection
    if projection is None or not projection.values.size or result.flow is not None:
        return None
    if profiles.is_line(projection) or not found:
        return profiles.free_energy(result, width_mm)
    layer = _energy_layer(result, found)
    if len(found) == 2:
        return _tile(found, [layer], width_mm)
    side = width_mm - LEFT - BAR
    figure = fixed_figure(width_mm, side + BOTTOM + 2)
    bar = place(figure, LEFT + side + 2, BOTTOM, BAR_WIDTH, side)
    axes = place(figure, LEFT, BOTTOM, side, side)
    _draw(axes, bar, found[0], layer.maps[0], layer)
    _finish(axes, found[0], bottom=True, left=True)
    return figure
