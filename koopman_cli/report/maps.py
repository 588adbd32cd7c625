"""Figures made of maps: free energy and eigenfunctions over torsions and slow coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.report.drawing import COLOURS, DIVERGING, SEQUENTIAL, new_figure
from koopman_cli.types import FitResult, Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Modes shown as maps; more do not fit a column.
MAX_MODES = 4


@dataclass(frozen=True)
class Plane:
    """Two coordinates of the frames to bin over, and how their axes look."""

    x: NDArray[Any]
    y: NDArray[Any]
    labels: tuple[str, str]
    edges: tuple[NDArray[Any], NDArray[Any]]
    angles: bool


def torsion_pair(projection: Projection) -> tuple[int, int] | None:
    """Columns of the first phi that has a psi of the same residue; None without torsions.

    >>> empty = np.zeros(0, int)
    >>> names = ("phi ALA2", "psi ALA2", "phi GLY3")
    >>> torsion_pair(Projection(empty, empty, np.zeros((0, 1)), np.zeros((0, 3)), names))
    (0, 1)
    """
    names = projection.torsion_names
    if projection.torsions is None:
        return None
    for i, name in enumerate(names):
        kind, _, residue = name.partition(" ")
        if kind == "phi" and f"psi {residue}" in names:
            return i, names.index(f"psi {residue}")
    return None


def _bins(frames: int) -> int:
    """Enough frames per bin to see a mean, few enough bins to see at column width."""
    return int(np.clip(1.6 * frames ** (1 / 3), 12, 60))


def _torsion_plane(projection: Projection) -> Plane | None:
    pair = torsion_pair(projection)
    if pair is None or projection.torsions is None or not len(projection.torsions):
        return None
    x, y = (np.rad2deg(projection.torsions[:, i]) for i in pair)
    residue = projection.torsion_names[pair[0]].partition(" ")[2]
    edges = np.linspace(-180.0, 180.0, _bins(len(x)) + 1)
    return Plane(x, y, (f"φ {residue} (deg)", f"ψ {residue} (deg)"), (edges, edges), angles=True)


def _slow_plane(projection: Projection) -> Plane | None:
    if projection.values.ndim != 2 or min(projection.values.shape) < 2:
        return None
    x, y = projection.values[:, 0], projection.values[:, 1]
    n = _bins(len(x)) + 1
    edges = (np.linspace(x.min(), x.max(), n), np.linspace(y.min(), y.max(), n))
    if edges[0][0] == edges[0][-1] or edges[1][0] == edges[1][-1]:
        return None
    return Plane(x, y, ("slow coordinate 1", "slow coordinate 2"), edges, angles=False)


def planes(result: FitResult) -> list[Plane]:
    """Torsions where there are any, then the first two slow coordinates where there are two."""
    if result.projection is None:
        return []
    found = (_torsion_plane(result.projection), _slow_plane(result.projection))
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


def _finish(axes: Axes, plane: Plane) -> None:
    axes.set_xlabel(plane.labels[0])
    axes.set_ylabel(plane.labels[1])
    if plane.angles:
        axes.set_xticks([-180, 0, 180])
        axes.set_yticks([-180, 0, 180])
        axes.set_aspect("equal")
    else:
        axes.set_box_aspect(1)
    axes.tick_params(direction="out", length=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(True)


def _draw_row(
    figure: Figure,
    row: list[Axes],
    shown: list[tuple[Plane, NDArray[Any]]],
    label: str,
    limit: float | None,
) -> None:
    """Maps of one quantity side by side with one colour bar; ``limit`` makes it diverging."""
    colours: dict[str, Any] = {"cmap": SEQUENTIAL, "vmin": 0.0}
    if limit is not None:
        colours = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit}
    else:
        colours["vmax"] = max(1.0, *(float(values.max()) for _, values in shown))
    for axes, (plane, values) in zip(row, shown, strict=True):
        mesh = axes.pcolormesh(*plane.edges, values.T, rasterized=True, **colours)
        _finish(axes, plane)
    extend = "both" if limit is not None else "neither"
    bar = figure.colorbar(mesh, ax=row, label=label, extend=extend, aspect=18, pad=0.02)
    bar.outline.set_linewidth(0.4)


def _limit(maps: list[tuple[Plane, NDArray[Any]]]) -> float:
    """Symmetric colour limit: nearly all bins inside, a few extreme ones saturated."""
    seen = np.concatenate([np.abs(np.ma.compressed(values)) for _, values in maps])
    return float(np.quantile(seen, 0.98)) or 1.0


def eigenfunctions(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Free energy, then each slow function, over torsions and over the slow coordinates."""
    found = planes(result)
    projection = result.projection
    if projection is None or not found:
        return None
    count = min(projection.values.shape[1], max(1, result.model.dim), MAX_MODES)
    across = len(found)
    side = (width_mm - 16) / 2
    figure = new_figure(width_mm, (count + 1) * (side + 1))
    grid = figure.subplots(count + 1, across, squeeze=False)
    energies = [(plane, _free_energy(plane)) for plane in found]
    _draw_row(figure, list(grid[0]), energies, "free energy (kT)", None)
    for i in range(count):
        maps = [(plane, _mean(plane, projection.values[:, i])) for plane in found]
        _draw_row(figure, list(grid[i + 1]), maps, f"ψ$_{{{i + 1}}}$", _limit(maps))
    return figure


def _profile(projection: Projection, width_mm: float) -> Figure:
    x = projection.values[:, 0]
    counts, edges = np.histogram(x, bins=_bins(len(x)))
    energy = np.full(len(counts), np.nan)
    energy[counts > 0] = -np.log(counts[counts > 0] / counts.max())
    figure = new_figure(width_mm, 0.62 * width_mm)
    axes = figure.add_subplot()
    axes.plot((edges[1:] + edges[:-1]) / 2, energy, color=COLOURS[0])
    axes.set_xlabel("slow coordinate 1")
    axes.set_ylabel("free energy (kT)")
    axes.set_ylim(bottom=0.0)
    return figure


def free_energy(result: FitResult, width_mm: float = 85) -> Figure | None:
    """-ln p in kT over torsions and over the slow coordinates; a profile if there is one."""
    found = planes(result)
    projection = result.projection
    if projection is None or not projection.values.size:
        return None
    if not found:
        return _profile(projection, width_mm)
    height = (width_mm - 16) / len(found)
    figure = new_figure(width_mm, height + 4)
    row = list(figure.subplots(1, len(found), squeeze=False)[0])
    _draw_row(figure, row, [(p, _free_energy(p)) for p in found], "free energy (kT)", None)
    return figure
