"""Figures of metastable states: where they lie, and the Chapman-Kolmogorov test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.pcca import Simplex, state_functions
from koopman_cli.analysis.pseudospectrum import smallest_residuals
from koopman_cli.nouns import chance
from koopman_cli.report import profiles
from koopman_cli.report.drawing import (
    colour,
    fixed_figure,
    frame_time,
    look,
    new_figure,
    place,
    readable_unit,
)
from koopman_cli.report.maps import planes
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of a scatter plot; more only blacken it.
MAX_POINTS = 6000

#: Margins in mm of the pseudospectrum: left, below, and right with the colour bar.
LEFT, BOTTOM, RIGHT = 12.0, 9.0, 19.0

#: Points per side of the grid of a pseudospectrum.
GRID = 61


def states(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Frames coloured by state, in the torsion plane or else in slow coordinates."""
    found, projection = result.states, result.projection
    if found is None or projection is None:
        return None
    psi = state_functions(result.model, found, projection)
    if psi is None:
        return None
    chi = Simplex(np.asarray(found.matrix), np.empty((0, 0)), 0.0).memberships(psi)
    if profiles.is_line(projection):
        return profiles.states(result, chi, width_mm)
    state = np.argmax(chi, axis=1)
    points, labels, angles = _plane(result)
    every = max(1, math.ceil(len(state) / MAX_POINTS))
    figure = new_figure(width_mm, 0.95 * width_mm)
    axes = figure.add_subplot()
    for i in range(found.count):
        own = points[::every][state[::every] == i]
        label = f"state {i + 1}: {100 * found.hard[i].value:.3g}%"
        how: dict[str, Any] = {"markersize": 2 * look().scale, "rasterized": True}
        axes.plot(*own.T, ".", color=colour(i), label=label, **how)
    if angles:
        axes.set_xlim(-180, 180)
        axes.set_ylim(-180, 180)
        axes.set_xticks([-180, -90, 0, 90, 180])
        axes.set_yticks([-180, -90, 0, 90, 180])
        axes.set_aspect("equal")
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    figure.legend(loc="outside upper left", ncols=2, markerscale=4, columnspacing=1.0)
    return figure


def _plane(result: FitResult) -> tuple[NDArray[np.float64], tuple[str, str], bool]:
    """Two coordinates of every stored frame, their names, and whether they are angles."""
    projection = result.projection
    assert projection is not None
    found = planes(result)
    if found:
        plane = found[0]
        return np.column_stack([plane.x, plane.y]), plane.labels, plane.angles
    values = projection.values
    along = np.arange(len(values), dtype=np.float64)
    return np.column_stack([along, values[:, 0]]), ("stored frame", "mode 1"), False


def chapman_kolmogorov(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Probability to be in each state again: from the lag by powers, and from the data."""
    test = None if result.states is None else result.states.chapman_kolmogorov
    if test is None:
        return None
    step, unit = frame_time(result)
    factor, unit = readable_unit(test.lags[-1] * step, unit)
    lags = np.asarray(test.lags, float) * step * factor
    figure = new_figure(width_mm, 0.72 * width_mm)
    axes = figure.add_subplot()
    predicted, estimated, error = (
        np.asarray(part) for part in (test.predicted, test.estimated, test.error)
    )
    # What the test looks at; a RUN of an older version only has the errors of the points.
    reach = None if test.reach is None else np.asarray(test.reach)
    for i in range(predicted.shape[1]):
        own, middle = colour(i), predicted[:, i]
        axes.plot(lags, middle, "-", color=own, label=f"state {i + 1}")
        if reach is None:
            bars = 1.96 * error[:, i]
            axes.errorbar(lags, estimated[:, i], bars, fmt="o", color=own, capsize=2, markersize=3)
            continue
        band = np.clip([middle - reach[:, i], middle + reach[:, i]], 0.0, 1.0)
        axes.fill_between(lags, *band, color=own, alpha=0.2, linewidth=0)
        axes.plot(lags, estimated[:, i], "o", color=own, markersize=3)
    axes.set_ylim(min(0.0, float(estimated.min()) - 0.05), 1.02)
    axes.set_xlabel(f"lag ({unit})")
    axes.set_ylabel("probability to stay or return")
    drawn = ("lines", "data, 95%") if reach is None else ("line, band", "data")
    words = f"{drawn[0]}: powers of P(τ); points: {drawn[1]}; p = {chance(test.p)} ({test.verdict})"
    figure.legend(loc="outside upper left", ncols=4, columnspacing=1.0, title=words,
                  alignment="left", title_fontsize="medium")  # fmt: skip
    return figure


def pseudospectrum(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Smallest residual of any function over the complex plane, with the eigenvalues."""
    model = result.model
    if model.solve != "eig" or model.blocks is None or model.eigenvalues is None:
        return None
    axis = np.linspace(-1.25, 1.25, GRID)
    plane = axis[None, :] + 1j * axis[:, None]
    found = smallest_residuals(model.blocks.total(), plane)
    side = width_mm - LEFT - RIGHT
    figure = fixed_figure(width_mm, side + BOTTOM + 2)
    axes = place(figure, LEFT, BOTTOM, side, side)
    levels = [1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0]
    shown = axes.contourf(axis, axis, np.clip(found, 1e-3, 1.0), levels, cmap="viridis",
                          norm="log")  # fmt: skip
    bar = place(figure, LEFT + side + 2, BOTTOM, 2.2, side)
    figure.colorbar(shown, cax=bar, label="smallest residual", format="%g")
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 361))
    axes.plot(circle.real, circle.imag, color=look().grey, linewidth=0.6)
    axes.plot(model.eigenvalues.real, model.eigenvalues.imag, "x", color="#ffffff", markersize=4)
    axes.set_aspect("equal")
    axes.set_xlabel("Re z")
    axes.set_ylabel("Im z")
    return figure
