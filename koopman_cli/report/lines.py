"""Figures made of points and lines: spectrum, implied timescales, coordinates, scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.nouns import counted, timed
from koopman_cli.report.drawing import (
    colour,
    column_labels,
    frame_time,
    look,
    new_figure,
    pick,
    readable_unit,
)
from koopman_cli.types import FitResult, Mode, Projection, Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Points per panel of a scatter over time; more only blacken it.
MAX_POINTS = 5000

#: What varies by less than this share of its size is drawn as a constant.
FLAT = 0.01

#: Members of an ensemble drawn over each other; more hide each other.
MOST_MEMBERS = 6

#: Marker of every verdict; shape and colour both tell.
_MARKERS = {"resolved": "o", "unresolved": "s", "invalid": "X"}


def verdict_look(verdict: str) -> tuple[str, str]:
    """Colour and marker of a verdict."""
    shades = {"resolved": colour(0), "unresolved": look().grey, "invalid": colour(1)}
    return shades[verdict], _MARKERS[verdict]


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
        own, marker = verdict_look(mode.verdict)
        axes.vlines(mode.index, 0.0, value.real, color=own, linewidth=1.0)
        axes.errorbar(
            mode.index,
            value.real,
            yerr=_error_bar(mode, value.real),
            fmt=marker,
            color=own,
            capsize=2,
            markersize=4,
            markerfacecolor=own if mode.index <= dim else look().paper,
        )
    indices = [mode.index for mode, _ in values]
    axes.axhline(0.0, color=look().ink, linewidth=0.6)
    axes.set_xlim(min(indices) - 0.6, max(indices) + 0.6)
    axes.set_ylim(min(0.0, min(v.real for _, v in values) - 0.05), 1.02)
    axes.set_xticks(indices if len(indices) <= 12 else indices[:: math.ceil(len(indices) / 12)])
    axes.set_xlabel("mode")


def _plane(axes: Axes, values: list[tuple[Mode, complex]], dim: int) -> None:
    angle = np.linspace(0.0, 2 * np.pi, 361)
    axes.plot(np.cos(angle), np.sin(angle), color=look().ink, linewidth=0.6)
    axes.axhline(0.0, color=look().grey, linewidth=0.4)
    axes.axvline(0.0, color=look().grey, linewidth=0.4)
    for mode, value in values:
        own, marker = verdict_look(mode.verdict)
        face = own if mode.index <= dim else look().paper
        axes.plot(value.real, value.imag, marker, color=own, markersize=4, markerfacecolor=face)
    axes.set_aspect("equal")
    reach = max(1.0, *(abs(value) for _, value in values)) * 1.08
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.locator_params(nbins=5)
    axes.set_xlabel("Re λ")
    axes.set_ylabel("Im λ")


def verdict_legend(axes: Axes, modes: list[Mode], dim: int) -> None:
    """Above the figure: the verdicts that occur, and that open markers lie beyond dim."""
    from matplotlib.lines import Line2D

    def key(shade: str, marker: str, face: str, label: str) -> Line2D:
        line = {"linestyle": "none", "marker": marker, "markersize": 4}
        return Line2D([], [], color=shade, markerfacecolor=face, label=label, **line)  # type: ignore[arg-type]

    present = [name for name in _MARKERS if any(mode.verdict == name for mode in modes)]
    keys = [key(*verdict_look(name), verdict_look(name)[0], name) for name in present]
    if any(mode.index > dim for mode in modes):
        keys.append(key(look().grey, "o", look().paper, f"open: beyond dim {dim}"))
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
    verdict_legend(axes, [mode for mode, _ in values], result.model.dim)
    return figure


# ------------------------------------------------------------------ timescales


def timescales(
    result: FitResult, width_mm: float = 85, modes: Sequence[int] | None = None
) -> Figure | None:
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
    usual = min(values.shape[1], max(2, result.model.dim) + 1, len(look().colours))
    shown = pick(modes, values.shape[1], usual)
    if not shown or not np.isfinite(values[:, shown]).any():
        return None
    for i in shown:
        if not np.isfinite(values[:, i]).any():
            continue
        axes.plot(lags, values[:, i], "o-", color=colour(i), label=f"mode {i + 1}", markersize=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    positive = values[:, shown][np.isfinite(values[:, shown])]
    low, high = lags[0] / 1.15, lags[-1] * 1.15
    bottom, top = min(positive.min() / 1.3, lags[0]), positive.max() * 1.5
    edge = np.array([low, high])
    shade: dict[str, Any] = {"color": look().faint, "linewidth": 0, "label": "timescale < τ"}
    axes.fill_between(edge, bottom / 10, edge, zorder=0, **shade)
    axes.plot(edge, edge, color=look().grey, linewidth=0.6, zorder=1)
    chosen = scan.chosen * step * factor
    state = "" if scan.converged else ", not converged"
    mark = f"τ = {timed(chosen, unit)}{state}"
    axes.axvline(chosen, color=look().ink, linestyle="--", linewidth=0.8, label=mark)
    axes.set_xlim(low, high)
    axes.set_ylim(bottom, top)
    axes.set_xlabel(f"lag τ ({unit})")
    axes.set_ylabel(f"implied timescale ({unit})")
    figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2)
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


def _members(result: FitResult) -> list[NDArray[np.intp]]:
    """Rows of the projection of each member of an ensemble, at most :data:`MOST_MEMBERS` of them,
    evenly chosen; none where the input is no ensemble.
    """
    projection = result.projection
    if projection is None or projection.begins is None:
        return []
    if not result.config.get("read", {}).get("ensemble"):
        return []
    place = np.stack([projection.trajectory, projection.begins], axis=1)
    _, owner = np.unique(place, axis=0, return_inverse=True)
    owner = owner.reshape(-1)
    count = int(owner.max()) + 1
    kept = np.unique(np.linspace(0, count - 1, min(count, MOST_MEMBERS)).round().astype(int))
    return [np.flatnonzero(owner == member) for member in kept]


def _columns(result: FitResult, modes: Sequence[int] | None) -> list[tuple[str, list[int]]]:
    """Panels: a label and the columns in it, both parts of a complex pair in one."""
    projection, eigenvalues = result.projection, result.model.eigenvalues
    assert projection is not None
    values, labels = projection.values, column_labels(result)
    panels: list[tuple[str, list[int]]] = []
    i = 0
    while i < len(labels):
        paired = eigenvalues is not None and i + 1 < len(labels) and eigenvalues[i].imag > 0
        columns = [i, i + 1] if paired else [i]
        spread = values[:, columns].std(axis=0)
        steady = bool(np.all(spread <= 1e-6 * np.abs(values[:, columns]).max(axis=0)))
        # The steady part of a flow is a number, not a curve.
        if not (result.flow is not None and steady):
            panels.append((f"mode {i + 1}", columns))
        i += len(columns)
    if modes is not None:
        return [p for p in panels if any(c + 1 in modes for c in p[1])]
    within = [p for p in panels if p[1][0] < max(1, result.model.dim)]
    return within[:4]


def coordinates(
    result: FitResult, width_mm: float = 85, modes: Sequence[int] | None = None
) -> Figure | None:
    """Slow coordinates against time, trajectories one after another, thinned evenly."""
    projection = result.projection
    if projection is None or not projection.values.size:
        return None
    panels = _columns(result, modes)
    if not panels:
        return None
    members = _members(result)
    if members:
        return _side_by_side(result, members, panels, width_mm)
    time, borders = _along(projection)
    step, unit = frame_time(result)
    factor, unit = readable_unit(float(time.max()) * step, unit)
    every = max(1, math.ceil(len(time) / MAX_POINTS))
    at = time[::every] * step * factor
    form = "-" if result.flow is not None and not len(borders) else "."
    how: dict[str, Any] = {"markersize": 1.2 * look().scale, "linewidth": 0.8, "rasterized": True}
    figure = new_figure(width_mm, 12 + 21 * len(panels) + (4 if _paired(panels) else 0))
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, columns) in zip(rows, panels, strict=True):
        for k, column in enumerate(columns):
            shown = projection.values[::every, column]
            part = ("real part", "imaginary part")[k] if len(columns) == 2 else None
            axes.plot(at, shown, form, color=colour(k), label=part, **how)
        for border in borders if len(borders) <= 20 else ():
            axes.axvline(border * step * factor, color=look().ink, linewidth=0.6)
        axes.set_ylabel(label)
        if ends := _of_constant(projection.values[::every, columns]):
            axes.set_ylim(*ends)
    figure.align_ylabels(rows)
    along = ", trajectories in turn" if len(borders) else ""
    rows[-1].set_xlabel(f"time ({unit}{along})")
    rows[-1].set_xlim(0.0, max(float(time.max()), 1.0) * step * factor)
    if _paired(panels):
        from matplotlib.lines import Line2D

        names = ("real part", "imaginary part")
        keys = [Line2D([], [], color=colour(k), label=name) for k, name in enumerate(names)]
        figure.legend(handles=keys, loc="outside upper left", ncols=2)
    return figure


def _of_constant(values: NDArray[Any]) -> tuple[float, float] | None:
    """Ends of an axis on which what is constant looks so: zero is on it; None for what moves.

    >>> _of_constant(np.array([[1.0], [0.99999]])), _of_constant(np.array([[1.0], [-1.0]]))
    ((0.0, 1.25), None)
    """
    size = float(np.abs(values).max(initial=0.0))
    if not size or np.ptp(values, axis=0).max() > FLAT * size:
        return None
    ends = sorted((0.0, 1.25 * size * float(np.sign(values[0, 0]))))
    return ends[0], ends[1]


def _side_by_side(
    result: FitResult,
    members: list[NDArray[np.intp]],
    panels: list[tuple[str, list[int]]],
    width_mm: float,
) -> Figure:
    """Slow coordinates of members of an ensemble, each against the time since its own start."""
    projection = result.projection
    assert projection is not None
    assert projection.begins is not None
    every = len(np.unique(np.stack([projection.trajectory, projection.begins]), axis=1).T)
    age = projection.frame - projection.begins
    step, unit = frame_time(result)
    longest = max(float(age.max()), 1.0) * step
    factor, unit = readable_unit(longest, unit)
    figure = new_figure(width_mm, 12 + 21 * len(panels))
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (label, columns) in zip(rows, panels, strict=True):
        for k, member in enumerate(members):
            at, shown = age[member] * step * factor, projection.values[member, columns[0]]
            axes.plot(at, shown, "-", color=colour(k), linewidth=0.6, alpha=0.7, rasterized=True)
        axes.set_ylabel(f"Re {label}" if len(columns) == 2 else label)
    figure.align_ylabels(rows)
    some = f"{len(members)} of {every}" if len(members) < every else f"{every}"
    rows[-1].set_xlabel(f"time in a member ({unit}, {some} members)")
    rows[-1].set_xlim(0.0, longest * factor)
    return figure


def _paired(panels: list[tuple[str, list[int]]]) -> bool:
    return any(len(columns) == 2 for _, columns in panels)


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
    axes.plot(
        [s.dim for s in every], train, "s--", color=look().grey, label="training", markersize=3
    )
    held_out = [s.vampe.test for s in tested]
    bars = [s.vampe.stderr or 0.0 for s in tested]
    label = f"held out ({counted(tested[0].folds, 'fold')}, ± standard error)"
    axes.errorbar(
        [s.dim for s in tested],
        np.asarray(held_out, float),
        yerr=bars,
        fmt="o-",
        color=colour(0),
        capsize=2,
        label=label,
    )
    axes.axhline(1.0, color=look().ink, linewidth=0.6)
    axes.axvline(choice.chosen, color=look().ink, linestyle="--", linewidth=0.8, label="chosen")
    axes.set_xticks([s.dim for s in every])
    axes.set_xlabel("dim (functions besides the constant)")
    axes.set_ylabel("VAMP-E")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0)
    return figure
