"""Figures of fields as curves: POD against rank, error of forecasts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from koopman_cli.report.drawing import colour, frame_time, look, new_figure
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def singular_values(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Decay of the POD singular values, and the error of leaving all beyond a rank out."""
    flow = result.flow
    if flow is None or not len(flow.singular_values) or not flow.singular_values[0] > 0:
        return None
    s = flow.singular_values / flow.singular_values[0]
    rank = len(result.model.lift.names)
    last = min(len(s), max(4 * rank, 30))
    figure = new_figure(width_mm, width_mm)
    upper, lower = figure.subplots(2, 1, sharex=True)
    index = np.arange(1, len(s) + 1)
    shown = (s > 0) & (index <= last)
    for part, kept in ((shown & (index <= rank), True), (shown & (index > rank), False)):
        upper.plot(
            index[part],
            s[part],
            "o",
            color=colour(0) if kept else look().grey,
            markersize=(3.5 if kept else 2.5) * look().scale,
            markerfacecolor=None if kept else look().paper,
            label="kept" if kept else "left out",
        )
    upper.set_ylabel("singular value / largest")
    # What the first r modes leave of the snapshots, root mean square, relative to all of it.
    left = np.sqrt(np.maximum(np.cumsum(s[::-1] ** 2)[::-1], 0.0) / np.sum(s**2))
    error = np.append(left[1:], 0.0)[:last]
    lower.plot(index[:last][error > 0], error[error > 0], "-", color=colour(0))
    lower.set_ylabel("error with the first r")
    for axes, values in ((upper, s[:last]), (lower, error)):
        if values[values > 0].min(initial=1.0) < 0.05:
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1.05 * float(values.max()))
    lower.set_xlabel("rank r (POD modes)")
    lower.set_xlim(0, last + 1)
    for axes in (upper, lower):
        axes.axvline(rank + 0.5, color=colour(1), linewidth=0.8, linestyle="--")
    upper.annotate(f"rank {rank}", (rank + 0.5, 1), xytext=(3, 0), textcoords="offset points",
                   color=colour(1), va="top")  # fmt: skip
    upper.legend(loc="upper right")
    figure.align_ylabels((upper, lower))
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
        (skill.model, result.model.family, colour(0), "-"),
        (skill.persistence, "persistence", colour(1), "--"),
        (skill.climatology, "climatology", look().grey, ":"),
    )
    for values, name, own, line in curves:
        axes.plot(skill.steps * step, values, line, color=own, label=name)
    largest = np.nanmax([skill.persistence, skill.climatology])
    if np.nanmin(skill.model) < 0.03 * largest:
        axes.set_yscale("log")
    else:
        axes.set_ylim(0, 1.3 * largest)
    axes.set_xlabel("frames ahead" if unit == "frames" else f"time ahead ({unit})")
    axes.set_ylabel("error per cell" + (f" ({skill.unit})" if skill.unit else ""))
    axes.legend(loc="best")
    return figure
