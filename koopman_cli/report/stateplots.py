"""Figures of metastable states: where they lie, and the Chapman-Kolmogorov test."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.pcca import Simplex
from koopman_cli.analysis.pseudospectrum import smallest_residuals
from koopman_cli.report.drawing import COLOURS, GREY, frame_time, new_figure, readable_unit
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points of a scatter plot; more only blacken it.
MAX_POINTS = 6000

#: Points per side of the grid of a pseudospectrum.
GRID = 61


def states(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Frames coloured by state, in the torsion plane or else in slow coordinates."""
    found, projection = result.states, result.projection
    if found is None or projection is None or result.model.solve == "svd":
        return None
    psi = np.asarray(projection.values[:, : found.count - 1], np.float64)
    chi = Simplex(np.asarray(found.matrix), np.empty((0, 0)), 0.0).memberships(psi)
    state = np.argmax(chi, axis=1)
    points, labels = _plane(result)
    every = max(1, math.ceil(len(state) / MAX_POINTS))
    figure = new_figure(width_mm, 0.95 * width_mm)
    axes = figure.add_subplot()
    for i in range(found.count):
        own = points[::every][state[::every] == i]
        label = f"state {i + 1}: {100 * found.hard[i].value:.3g}%"
        axes.plot(*own.T, ".", color=COLOURS[i % len(COLOURS)], markersize=2, label=label)
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])
    figure.legend(loc="outside upper left", ncols=2, markerscale=4, columnspacing=1.0)
    return figure


def _plane(result: FitResult) -> tuple[NDArray[np.float64], tuple[str, str]]:
    """Two coordinates of every stored frame, and their names."""
    projection = result.projection
    assert projection is not None
    angles = projection.torsions
    if angles is not None and angles.shape[1] >= 2:
        names = projection.torsion_names
        return np.degrees(angles[:, :2]), (f"{names[0]} (°)", f"{names[1]} (°)")
    values = projection.values
    if values.shape[1] > 1:
        return np.asarray(values[:, :2], np.float64), ("ψ1", "ψ2")
    along = np.arange(len(values), dtype=np.float64)
    return np.column_stack([along, values[:, 0]]), ("stored frame", "ψ1")


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
    for i in range(predicted.shape[1]):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(lags, predicted[:, i], "-", color=colour, label=f"state {i + 1}")
        bars = 1.96 * error[:, i]
        axes.errorbar(lags, estimated[:, i], bars, fmt="o", color=colour, capsize=2, markersize=3)
    axes.set_ylim(min(0.0, float(estimated.min()) - 0.05), 1.02)
    axes.set_xlabel(f"lag ({unit})")
    axes.set_ylabel("probability to be in the state again")
    title = f"lines: powers of P(τ), points: data; p = {test.p:.2g} ({test.verdict})"
    axes.set_title(title, fontsize="small")
    figure.legend(loc="outside upper left", ncols=3, columnspacing=1.0)
    return figure


def pseudospectrum(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Smallest residual of any function over the complex plane, with the eigenvalues."""
    model = result.model
    if model.solve != "eig" or model.blocks is None or model.eigenvalues is None:
        return None
    axis = np.linspace(-1.25, 1.25, GRID)
    plane = axis[None, :] + 1j * axis[:, None]
    found = smallest_residuals(model.blocks.total(), plane)
    figure = new_figure(width_mm, 0.92 * width_mm)
    axes = figure.add_subplot()
    levels = [1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0]
    shown = axes.contourf(axis, axis, np.clip(found, 1e-3, 1.0), levels, cmap="viridis",
                          norm="log")  # fmt: skip
    figure.colorbar(shown, ax=axes, label="smallest residual")
    circle = np.exp(2j * np.pi * np.linspace(0, 1, 361))
    axes.plot(circle.real, circle.imag, color=GREY, linewidth=0.6)
    axes.plot(model.eigenvalues.real, model.eigenvalues.imag, "x", color="white", markersize=4)
    axes.set_aspect("equal")
    axes.set_xlabel("Re z")
    axes.set_ylabel("Im z")
    return figure
