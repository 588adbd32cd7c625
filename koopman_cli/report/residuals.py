"""Certificates: how far each eigenvalue may be from a true one, and the residual behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from koopman_cli.report.certified import ends
from koopman_cli.report.drawing import colour, look, new_figure
from koopman_cli.report.lines import verdict_legend, verdict_look
from koopman_cli.types import FitResult, Mode

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def residuals(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Residual of every mode; above it, where there are any, eigenvalues with certificates."""
    modes = [m for m in result.modes if m.residual is not None and np.isfinite(m.residual)]
    if not modes:
        return None
    certified = [m for m in modes if _bounds(m) is not None]
    if certified:
        figure = new_figure(width_mm, 0.95 * width_mm)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        _certificates(upper, modes, result.model.dim)
        figure.align_ylabels((upper, lower))
    else:
        figure = new_figure(width_mm, 0.62 * width_mm)
        lower = figure.add_subplot()
    _residuals(lower, modes, result.model.dim)
    verdict_legend(lower, modes, result.model.dim)
    return figure


def _bounds(mode: Mode) -> tuple[float, float] | None:
    return None if mode.eigenvalue is None else ends(mode.certificate)


def _certificates(axes: Axes, modes: list[Mode], dim: int) -> None:
    for mode in modes:
        bounds, value = _bounds(mode), mode.eigenvalue
        if bounds is None or value is None:
            continue
        sure = ends((mode.certificate or {}).get("guaranteed"))
        if sure is not None:
            wide = 8 * look().scale
            axes.vlines(mode.index, *sure, color=look().faint, linewidth=wide, zorder=1)
        wide = 4.5 * look().scale
        axes.vlines(mode.index, *bounds, color=look().grey, linewidth=wide, alpha=0.5, zorder=1.5)
        low, high = mode.eigenvalue_low, mode.eigenvalue_high
        if low is not None and high is not None:
            axes.vlines(mode.index, low, high, color=colour(0), linewidth=2.0, zorder=2)
        _point(axes, mode, value.real, dim, markersize=3.5, zorder=3)
    axes.set_ylabel("eigenvalue λ, certified")


def _point(axes: Axes, mode: Mode, value: float, dim: int, **how: Any) -> None:
    own, marker = verdict_look(mode.verdict)
    face = own if mode.index <= dim else look().paper
    axes.plot(mode.index, value, marker, color=own, markerfacecolor=face, **how)


def _residuals(axes: Axes, modes: list[Mode], dim: int) -> None:
    values = np.array([m.residual for m in modes], float)
    for mode, value in zip(modes, values, strict=True):
        _point(axes, mode, value, dim, markersize=4)
    positive = values[values > 0]
    if len(positive) == len(values) and positive.max() > 30 * positive.min():
        axes.set_yscale("log")
    else:
        # A residual is 1 where nothing of the function is predicted: the scale if all are 0.
        top = 1.15 * values.max() if len(positive) else 1.0
        axes.set_ylim(-0.03 * top, top)
    if not len(positive):
        said = "no residual is told from 0"
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", color=look().grey)
    indices = [m.index for m in modes]
    axes.set_xlim(min(indices) - 0.6, max(indices) + 0.6)
    axes.set_xticks(indices if len(indices) <= 12 else indices[:: -(-len(indices) // 12)])
    axes.set_xlabel("mode")
    axes.set_ylabel("residual")
