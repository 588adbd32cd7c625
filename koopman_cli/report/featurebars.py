"""Which features carry a mode: bars of correlations, the strongest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from koopman_cli.report.drawing import colour, fixed_figure, look, pick, place, verbatim
from koopman_cli.types import Correlations, FitResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Features per mode, and modes.
MOST, MAX_MODES = 6, 4

#: Sizes in mm: a row, a title, the axis at the foot, the margin right, characters of a name.
ROW, TITLE, FOOT, RIGHT, LONGEST = 4.2, 6.0, 9.0, 3.0, 30


def ranked(found: Correlations, mode: int, count: int = MOST) -> list[int]:
    """Rows of the features that correlate most with a mode (from 0), strongest first."""
    order = np.argsort(-np.abs(found.values[:, mode]), kind="stable")
    return [int(i) for i in order[:count]]


def shorten(name: str, longest: int = LONGEST) -> str:
    """A name that fits beside a bar.

    >>> shorten("distance of the first atom from the last", 20)
    'distance o…the last'
    """
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[: longest - half - 1]}…{name[-half:]}"[:longest].replace("… ", "…")


def features(
    result: FitResult, width_mm: float = 85, modes: Sequence[int] | None = None
) -> Figure | None:
    """Correlation of each mode with the features it follows most; hollow bars are unstable."""
    found = result.correlations
    if found is None or not len(found.names):
        return None
    shown = pick(
        modes, len(found.modes), min(len(found.modes), max(1, result.model.dim), MAX_MODES)
    )
    if not shown:
        return None
    rows = min(MOST, len(found.names))
    longest = max(len(shorten(found.names[i])) for m in shown for i in ranked(found, m))
    left = min(4 + 1.45 * longest, 0.55 * width_mm)
    panel = TITLE + rows * ROW
    total = len(shown) * panel + FOOT
    figure = fixed_figure(width_mm, total)
    axes = None
    signed = any((found.low[ranked(found, m), m] < 0).any() for m in shown)
    for k, mode in enumerate(shown):
        base = total - (k + 1) * panel
        axes = place(figure, left, base, width_mm - left - RIGHT, rows * ROW)
        _bars(axes, found, mode, signed=signed)
        axes.set_title(found.modes[mode], loc="left", pad=2.5)
        axes.tick_params(labelbottom=k == len(shown) - 1)
    assert axes is not None
    axes.set_xlabel("correlation (hollow: unstable)")
    return figure


def _bars(axes: Axes, found: Correlations, mode: int, *, signed: bool) -> None:
    order = ranked(found, mode)
    for at, i in enumerate(order):
        value, steady = float(found.values[i, mode]), bool(found.stable[i, mode])
        axes.barh(at, value, height=0.68, color=colour(0) if steady else look().paper,
                  edgecolor=colour(0) if steady else look().grey, linewidth=0.8)  # fmt: skip
        low, high = float(found.low[i, mode]), float(found.high[i, mode])
        axes.plot([low, high], [at, at], color=look().ink, linewidth=0.8)
    axes.axvline(0.0, color=look().ink, linewidth=0.6)
    axes.set_xlim(-1.02 if signed else 0.0, 1.02)
    axes.set_xticks([-1, -0.5, 0, 0.5, 1] if signed else [0, 0.25, 0.5, 0.75, 1])
    axes.set_yticks(range(len(order)), [verbatim(shorten(found.names[i])) for i in order])
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
