"""Coherent sets at the initial and the final time: one row per set, points by membership."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from koopman_cli.report.drawing import SEQUENTIAL, fixed_figure, place, verbatim
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Margins and gaps in mm: left, right (colour bar), bottom, top, between panels.
LEFT, RIGHT, BOTTOM, TOP, GAP = 17.0, 15.0, 9.5, 5.0, 2.5


def coherent_sets(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Memberships of every coherent set where the points were and where they went."""
    sets = result.coherent
    if sets is None or len(sets.names) < 2:
        return None
    both = np.concatenate([sets.start, sets.end])
    low, high = both.min(axis=0), both.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    across = (width_mm - LEFT - RIGHT - GAP) / 2
    # Panels keep the shape of the space unless that is extreme.
    up = across * float(np.clip(span[1] / span[0], 0.4, 1.5))
    figure = fixed_figure(width_mm, BOTTOM + TOP + sets.count * up + (sets.count - 1) * GAP)
    for row in range(sets.count):
        bottom = BOTTOM + (sets.count - 1 - row) * (up + GAP)
        for column, (points, chi, title) in enumerate(
            ((sets.start, sets.before, "initial time"), (sets.end, sets.after, "final time"))
        ):
            axes = place(figure, LEFT + column * (across + GAP), bottom, across, up)
            # Full members last, so that they are not hidden.
            order = np.argsort(chi[:, row], kind="stable")
            drawn = axes.scatter(
                points[order, 0], points[order, 1], c=chi[order, row], s=1.5, linewidths=0,
                vmin=0, vmax=1, cmap=SEQUENTIAL, rasterized=True,
            )  # fmt: skip
            axes.set_xlim(low[0], high[0])
            axes.set_ylim(low[1], high[1])
            axes.locator_params(nbins=4)
            last = row == sets.count - 1
            axes.tick_params(labelbottom=last, labelleft=column == 0)
            if last:
                axes.set_xlabel(verbatim(sets.names[0]))
            if column == 0:
                axes.set_ylabel(f"set {row + 1}\n{verbatim(sets.names[1])}", labelpad=1)
            if row == 0:
                axes.set_title(title)
    height = sets.count * up + (sets.count - 1) * GAP
    bar = place(figure, LEFT + 2 * across + GAP + 2, BOTTOM, 2.2, height)
    figure.colorbar(drawn, cax=bar, ticks=[0, 0.5, 1]).set_label("membership", labelpad=2)
    return figure
