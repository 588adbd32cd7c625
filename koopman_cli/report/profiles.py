"""Figures over a single input: free energy, slow functions and memberships as curves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from koopman_cli.report.drawing import colour, energy_label, look, new_figure, verbatim
from koopman_cli.types import FitResult, Projection

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]

#: Bins of a curve.
BINS = 80


def is_line(projection: Projection) -> bool:
    """Whether the input is one number per frame, so that curves show everything."""
    inputs = projection.inputs
    return inputs is not None and inputs.shape[1] == 1 and bool(np.ptp(inputs) > 0)


def _binned(x: Array, values: Array | None = None) -> tuple[Array, Array]:
    """Centres of bins, and -ln p or the mean of values there; NaN where no frame is."""
    bins = int(np.clip(2 * len(x) ** (1 / 3), 8, BINS))
    counts, edges = np.histogram(x, bins=bins)
    found = np.full(len(counts), np.nan)
    seen = counts > 0
    if values is None:
        found[seen] = -np.log(counts[seen] / counts.max())
    else:
        sums, _ = np.histogram(x, bins=edges, weights=values)
        found[seen] = sums[seen] / counts[seen]
    return (edges[1:] + edges[:-1]) / 2, found


def _energy(axes: Axes, result: FitResult, x: Array) -> None:
    axes.plot(*_binned(x), color=look().ink)
    axes.set_ylabel(energy_label(result))
    axes.set_ylim(bottom=0.0)


def _input(projection: Projection) -> tuple[Array, str]:
    assert projection.inputs is not None
    return np.asarray(projection.inputs[:, 0], float), verbatim(projection.input_names[0])


def eigenfunctions(result: FitResult, width_mm: float, modes: Sequence[int]) -> Figure:
    """-ln p, and below it the slow functions, over the only input."""
    assert result.projection is not None
    x, name = _input(result.projection)
    figure = new_figure(width_mm, 0.85 * width_mm)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    _energy(upper, result, x)
    for i in modes:
        values = np.asarray(result.projection.values[:, i], float)
        lower.plot(*_binned(x, values), color=colour(i), label=f"mode {i + 1}")
    lower.axhline(0.0, color=look().grey, linewidth=0.6)
    lower.set_xlabel(name)
    lower.set_ylabel("slow function")
    figure.align_ylabels((upper, lower))
    figure.legend(loc="outside upper left", ncols=4, columnspacing=1.2)
    return figure


def free_energy(result: FitResult, width_mm: float) -> Figure:
    """-ln p over the only input, or over the only slow coordinate."""
    projection = result.projection
    assert projection is not None
    line = is_line(projection)
    x, name = (
        _input(projection) if line else (np.asarray(projection.values[:, 0], np.float64), "mode 1")
    )
    figure = new_figure(width_mm, 0.62 * width_mm)
    axes = figure.add_subplot()
    _energy(axes, result, x)
    axes.set_xlabel(name)
    return figure


def states(result: FitResult, chi: Array, width_mm: float) -> Figure:
    """-ln p with each stretch in the colour of its state, and memberships below."""
    assert result.projection is not None
    assert result.states is not None
    x, name = _input(result.projection)
    figure = new_figure(width_mm, 0.85 * width_mm)
    upper, lower = figure.subplots(2, 1, sharex=True)
    at, energy = _binned(x)
    upper.plot(at, energy, color=look().grey, linewidth=0.6)
    means = np.array([_binned(x, chi[:, i])[1] for i in range(chi.shape[1])])
    owner = np.argmax(np.nan_to_num(means), axis=0)
    for i in range(chi.shape[1]):
        label = f"state {i + 1}: {100 * result.states.hard[i].value:.3g}%"
        upper.plot(at[owner == i], energy[owner == i], "o", color=colour(i), markersize=3,
                   label=label)  # fmt: skip
        lower.plot(at, means[i], color=colour(i))
    upper.set_ylabel(energy_label(result))
    upper.set_ylim(bottom=0.0)
    lower.set_ylim(-0.03, 1.03)
    lower.set_ylabel("membership")
    lower.set_xlabel(name)
    figure.align_ylabels((upper, lower))
    figure.legend(loc="outside upper left", ncols=2, columnspacing=1.2)
    return figure
