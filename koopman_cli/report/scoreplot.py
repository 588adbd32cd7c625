"""Held-out VAMP-E against dim: a line per family and settings, one panel per lag."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from koopman_cli.candidates import Candidate, Recommendation, ScoreTable
from koopman_cli.nouns import lag_text
from koopman_cli.report.drawing import colour, look, new_figure, style
from koopman_cli.report.legends import legend_above
from koopman_cli.report.scores import window_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Panels side by side.
ACROSS = 3
MARKERS = "osD^vP"


def _label(cell: Candidate, *, features: bool) -> str:
    settings = ",".join(f"{name}={value}" for name, value in cell.settings.items())
    model = f"{cell.model} {settings}".strip()
    return f"{model}, {cell.features}" if features else model


def _panel(
    axes: Axes,
    cells: Sequence[tuple[int, Candidate]],
    names: list[str],
    taken: int | None,
    *,
    features: bool,
) -> None:
    lines: dict[str, list[Candidate]] = {}
    for _, cell in cells:
        if cell.score.vampe.test is not None:
            lines.setdefault(_label(cell, features=features), []).append(cell)
    for name, row in lines.items():
        i = names.index(name)
        ordered = sorted(row, key=lambda cell: cell.dim)
        dims = np.array([cell.dim for cell in ordered], float)
        # Lines that lie on each other are told apart by a small step aside.
        dims += 0.06 * (i - (len(names) - 1) / 2)
        held = [cell.score.vampe.test or 0.0 for cell in ordered]
        bars = [cell.score.vampe.stderr or 0.0 for cell in ordered]
        how: Any = {"color": colour(i), "capsize": 1.5, "markersize": 3}
        axes.errorbar(dims, held, yerr=bars, fmt=f"{MARKERS[i % len(MARKERS)]}-", label=name, **how)
    floors = [(c.dim, 1 + c.dim * c.floor**2) for _, c in cells if c.floor is not None]
    if floors:
        worst = {dim: max(v for d, v in floors if d == dim) for dim, _ in floors}
        dims_at = sorted(worst)
        axes.plot(dims_at, [worst[d] for d in dims_at], ":", color=look().grey, label="noise floor")
    axes.axhline(1.0, color=look().ink, linewidth=0.6)
    if taken is not None:
        chosen = next(cell for i, cell in cells if i == taken)
        top = chosen.score.vampe.test or 1.0
        axes.plot(
            [chosen.dim],
            [top],
            "o",
            markersize=8,
            fillstyle="none",
            color=look().ink,
            label="recommended",
        )


def score_figure(table: ScoreTable, width_mm: float = 170) -> Figure:
    """Score against dim with standard errors and noise floor; one panel per lag and window."""
    shown = table.recommended
    columns = min(ACROSS, len(shown))
    rows = -(-len(shown) // columns)
    width = width_mm if columns > 1 else min(width_mm, 95.0)
    features = len({cell.features for cell in table.cells}) > 1
    windows = len({cell.window for cell in table.cells}) > 1
    names = list(dict.fromkeys(_label(cell, features=features) for cell in table.cells))
    with style():
        figure = new_figure(width, 10 + 52 * rows)
        panels = figure.subplots(rows, columns, squeeze=False)
        for axes, found in zip(panels.flat, shown, strict=False):
            key = found.lag, found.window
            cells = [(i, c) for i, c in enumerate(table.cells) if (c.lag, c.window) == key]
            _panel(axes, cells, names, found.cell, features=features)
            _finish(axes, found, sorted({c.dim for _, c in cells}), windows=windows)
        for axes in list(panels.flat)[len(shown) :]:
            axes.set_visible(False)
        # One label for all panels: under each it would run into its neighbours.
        figure.supxlabel("dim (functions besides the constant)", fontsize="medium")
        figure.supylabel("held-out VAMP-E", fontsize="medium")
        keys = {
            label: h
            for a in panels.flat
            for h, label in zip(*a.get_legend_handles_labels(), strict=True)
        }
        legend_above(figure, keys)
    return figure


def _finish(axes: Axes, found: Recommendation, dims: list[int], *, windows: bool) -> None:
    window = f", {window_text(found.window)}" if windows else ""
    axes.set_title(f"lag {lag_text(found.lag)}{window}")
    axes.set_xticks(dims if len(dims) <= 12 else dims[:: -(-len(dims) // 12)])


def save_score_figure(table: ScoreTable, folder: Path) -> Path:
    """Write ``scores.png`` into a directory, which is made if missing."""
    from koopman_cli.report.figures import encode_figure
    from koopman_cli.store.atomic import refusals, write_atomic

    with refusals(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / "scores.png"
    write_atomic(path, encode_figure(score_figure(table), "png"))
    return path
