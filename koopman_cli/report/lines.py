"""Figures made of points and lines: spectrum, implied timescales, coordinates, scores."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.report.drawing import (
    COLOURS,
    GREY,
    column_labels,
    frame_time,
    new_figure,
    readable_unit,
)
from koopman_cli.types import FitResult, Mode, Projection, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Points per panel of a scatter over time; more only blacken it.
MAX_POINTS = 5000

_VERDICTS = {
    "resolved": (COLOURS[0], "o"),
    "unresolved": (GREY, "s"),
    "invalid": (COLOURS[1], "X"),
}


# ------------------------------------------------------------------ spectrum


def _values(result: FitResult) -> tuple[list[tuple[Mode, complex]], str]:
    """Modes with what is plotted of them, and the name of that axis."""
    spectral = [(m, m.eigenvalue) for m in result.modes if m.eigenvalue is not None]
    if spectral:
        return spectral, "eigenvalue λ"
    found = [(m, complex(m.singular_value)) for m in result.modes if m.singular_value is not None]
    return found, "coherence σ"


def _error_bar(mode: Mode, value: float) -> NDArray[Any] | None:
    if mode.eigenvalue_low is None or mode.eigenvalue_high is None:
        return None
    below, above = value - mode.eigenvalue_low, mode.eigenvalue_high - value
    return np.array([[max(below, 0.0)], [max(above, 0.0)]])


def _stems(axes: Axes, values: list[tuple[Mode, complex]], dim: int) -> None:
    for mode, value in values:
        colour, marker = _VERDICTS[mode.verdict]
        axes.vlines(mode.index, 0.0, value.real, color=colour, linewidth=1.0)
        axes.errorbar(
            mode.index,
            value.real,
            yerr=_error_bar(mode, value.real),
            fmt=marker,
            color=colour,
            capsize=2,
            markersize=4,
            markerfacecolor=colour if mode.index <= dim else "white",
        )
    indices = [mode.index for mode, _ in values]
    axes.axhline(0.0, color="black", linewidth=0.6)
    axes.set_xlim(min(indices) - 0.6, max(indices) + 0.6)
    axes.set_ylim(min(0.0, min(v.real for _, v in values) - 0.05), 1.02)
    axes.set_xticks(indices if len(indices) <= 12 else indices[:: math.ceil(len(indices) / 12)])
    axes.set_xlabel("mode")


def _plane(axes: Axes, values: list[tuple[Mode, complex]], dim: int) -> None:
    angle = np.linspace(0.0, 2 * np.pi, 361)
    axes.plot(np.cos(angle), np.sin(angle), color="black", linewidth=0.6)
    axes.axhline(0.0, color=GREY, linewidth=0.4)
    axes.axvline(0.0, color=GREY, linewidth=0.4)
    for mode, value in values:
        colour, marker = _VERDICTS[mode.verdict]
        face = colour if mode.index <= dim else "white"
        axes.plot(value.real, value.imag, marker, color=colour, markersize=4, markerfacecolor=face)
    axes.set_aspect("equal")
    reach = max(1.0, *(abs(value) for _, value in values)) * 1.08
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.locator_params(nbins=5)
    axes.set_xlabel("Re λ")
    axes.set_ylabel("Im λ")


def _verdict_legend(axes: Axes, modes: list[Mode], dim: int) -> None:
    from matplotlib.lines import Line2D

    def key(colour: str, marker: str, face: str, label: str) -> Line2D:
        line = {"linestyle": "none", "marker": marker, "markersize": 4}
        return Line2D([], [], color=colour, markerfacecolor=face, label=label, **line)  # type: ignore[arg-type]

    present = [name for name in _VERDICTS if any(mode.verdict == name for mode in modes)]
    keys = [key(*_VERDICTS[name], _VERDICTS[name][0], name) for name in present]
    if any(mode.index > dim for mode in modes):
        keys.append(key(GREY, "o", "white", f"open: beyond dim {dim}"))
    axes.figure.legend(handles=keys, loc="outside upper left", ncols=len(keys), columnspacing=1.2)


def spectrum(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Eigenvalues (or coherences) with intervals: stems if real, the complex plane if not."""
    values, label = _values(result)
    if not values:
        return None
    is_complex = any(value.imag for _, value in values)
    figure = new_figure(width_mm, width_mm if is_complex else 0.62 * width_mm)
    axes = figure.add_subplot()
    if is_complex:
        _plane(axes, values, result.model.dim)
    else:
        _stems(axes, values, result.model.dim)
        axes.set_ylabel(label)
    _verdict_legend(axes, [mode for mode, _ in values], result.model.dim)
    return figure


# ------------------------------------------------------------------ timescales


def timescales(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Implied timescales against lag; below the diagonal a timescale cannot be resolved."""
    scan = result.lag_scan
    if scan is None or not scan.lags or not np.isfinite(scan.timescales).any():
        return None
    step, unit = frame_time(result)
    factor, unit = readable_unit(float(np.nanmax(scan.timescales)) * step, unit)
    lags = np.asarray(scan.lags, float) * step * factor
    values = np.asarray(scan.timescales, float) * step * factor
    figure = new_figure(width_mm, 0.72 * width_mm)
    axes = figure.add_subplot()
    # the modes of the model and the next one, to see what they stand out from
    shown = min(values.shape[1], max(2, result.model.dim) + 1, len(COLOURS))
    for i in range(shown):
        axes.plot(lags, values[:, i], "o-", color=COLOURS[i], label=f"mode {i + 1}", markersize=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    positive = values[:, :shown][np.isfinite(values[:, :shown])]
    low, high = lags[0] / 1.15, lags[-1] * 1.15
    bottom, top = min(positive.min() / 1.3, lags[0]), positive.max() * 1.5
    edge = np.array([low, high])
    shade: dict[str, Any] = {"color": "#dddddd", "linewidth": 0, "label": "timescale < τ"}
    axes.fill_between(edge, bottom / 10, edge, zorder=0, **shade)
    axes.plot(edge, edge, color=GREY, linewidth=0.6, zorder=1)
    chosen = scan.chosen * step * factor
    state = "" if scan.converged else ", not converged"
    mark = f"τ = {chosen:g} {unit}{state}"
    axes.axvline(chosen, color="black", linestyle="--", linewidth=0.8, label=mark)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.set_xlabel(f"lag τ ({unit})")
    axes.set_ylabel(f"implied timescale ({unit})")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.2)
    return figure


# ------------------------------------------------------------------ coordinates


def _along(projection: Projection) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Time of each stored frame, trajectories one after another, and where each next begins."""
    _, index = np.unique(projection.trajectory, return_inverse=True)
    frame = np.asarray(projection.frame, float)
    length = np.zeros(index.max() + 1)
    np.maximum.at(length, index, frame + 1.0)
    ends = np.cumsum(length)
    return frame + (ends - length)[index], ends[:-1]


def coordinates(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Slow coordinates against time, trajectories one after another, thinned evenly."""
    projection = result.projection
    if projection is None or not projection.values.size:
        return None
    time, borders = _along(projection)
    step, unit = frame_time(result)
    factor, unit = readable_unit(float(time.max()) * step, unit)
    every = max(1, math.ceil(len(time) / MAX_POINTS))
    labels = column_labels(result)
    count = min(len(labels), max(1, result.model.dim), 4)
    figure = new_figure(width_mm, 12 + 21 * count)
    panels = figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0]
    for i, axes in enumerate(panels):
        shown = projection.values[::every, i]
        at = time[::every] * step * factor
        axes.plot(at, shown, ".", color=COLOURS[0], markersize=1.2, rasterized=True)
        for border in borders if len(borders) <= 20 else ():
            axes.axvline(border * step * factor, color="black", linewidth=0.6)
        axes.set_ylabel(labels[i])
    figure.align_ylabels(panels)
    along = ", trajectories in turn" if len(borders) else ""
    panels[-1].set_xlabel(f"time ({unit}{along})")
    panels[-1].set_xlim(0.0, max(float(time.max()), 1.0) * step * factor)
    return figure


# ------------------------------------------------------------------ scores


def scores(result: FitResult, width_mm: float = 85) -> Figure | None:
    """VAMP-E of the nested models against dim: held out with standard error, and in training."""
    choice = result.dim_choice
    tested: list[Score] = [s for s in choice.scores if s.vampe.test is not None] if choice else []
    if choice is None or not tested:
        return None
    figure = new_figure(width_mm, 0.66 * width_mm)
    axes = figure.add_subplot()
    every = choice.scores
    train = [s.vampe.train for s in every]
    axes.plot([s.dim for s in every], train, "s--", color=GREY, label="training", markersize=3)
    held_out = [s.vampe.test for s in tested]
    bars = [s.vampe.stderr or 0.0 for s in tested]
    label = f"held out ({tested[0].folds} folds, ± standard error)"
    axes.errorbar(
        [s.dim for s in tested],
        np.asarray(held_out, float),
        yerr=bars,
        fmt="o-",
        color=COLOURS[0],
        capsize=2,
        label=label,
    )
    axes.axhline(1.0, color="black", linewidth=0.6)
    axes.axvline(choice.chosen, color="black", linestyle="--", linewidth=0.8, label="chosen")
    axes.set_xticks([s.dim for s in every])
    axes.set_xlabel("dim (functions besides the constant)")
    axes.set_ylabel("VAMP-E")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0)
    return figure
