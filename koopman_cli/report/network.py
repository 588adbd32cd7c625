"""The transition network: states as discs, ways between them as arrows with mean times."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.nouns import number
from koopman_cli.report.drawing import colour, fixed_figure, look, place, readable_unit
from koopman_cli.types import FitResult, States

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Matrix = NDArray[np.float64]

#: Room for a line of text below, in mm.
FOOT = 4.0

#: A way out of a state that takes less than this share of what leaves it is not drawn.
SHARE = 0.05

#: Radius of the disc of a state that holds everything, in units of the half width.
LARGEST, SMALLEST = 0.3, 0.09


def network(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Area of a disc: population. Width of an arrow: flux. Text: mean first-passage time."""
    found = result.states
    if found is None or found.count < 2 or not _any_time(found):
        return None
    count = found.count
    aspect = 0.42 if count == 2 else 0.92
    height = aspect * width_mm
    figure = fixed_figure(width_mm, height + FOOT)
    axes = place(figure, 0, FOOT, width_mm, height)
    axes.set_axis_off()
    axes.set_xlim(-1, 1)
    axes.set_ylim(-aspect, aspect)
    axes.set_aspect("equal")
    centres = _positions(found)
    share = np.array([q.value for q in found.hard])
    radii = np.maximum(LARGEST * np.sqrt(share), SMALLEST)
    times = [q for row in found.mfpt for q in row if q is not None]
    factor, unit = readable_unit(max(q.value for q in times), times[0].unit)
    for way in _ways(found):
        _arrow(axes, found, (centres, radii), way, factor)
    axes.text(-0.97, -aspect, f"arrows: mean first-passage time ({unit})", va="top")
    for i in range(count):
        _disc(axes, centres[i], float(radii[i]), i, f"{i + 1}", f"{100 * share[i]:.3g}%")
    return figure


def _any_time(found: States) -> bool:
    return any(q is not None for row in found.mfpt for q in row)


def _positions(found: States) -> Matrix:
    """States on a circle, so ordered that neighbours exchange most."""
    if found.count == 2:
        return np.array([[-0.6, 0.0], [0.6, 0.0]])
    p = np.maximum(np.asarray(found.transition_matrix, float), 0.0)
    share = np.array([q.value for q in found.hard])
    flux = share[:, None] * p
    flux = flux + flux.T
    order = [int(np.argmin(flux.sum(axis=1) - np.diag(flux)))]
    while len(order) < found.count:
        rest = [i for i in range(found.count) if i not in order]
        order.append(max(rest, key=lambda i: float(flux[order[-1], i])))
    angle = np.pi * (0.75 - 2 * np.argsort(order) / found.count)
    return 0.66 * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def _ways(found: States) -> list[tuple[int, int]]:
    """Direct ways that carry at least a twentieth of what leaves a state."""
    p = np.maximum(np.asarray(found.transition_matrix, float), 0.0)
    np.fill_diagonal(p, 0.0)
    leaving = np.maximum(p.sum(axis=1, keepdims=True), 1e-300)
    ways = [(int(i), int(j)) for i, j in np.argwhere(p / leaving >= SHARE)]
    return [way for way in ways if found.mfpt[way[0]][way[1]] is not None]


def _arrow(
    axes: Axes, found: States, discs: tuple[Matrix, Matrix], way: tuple[int, int], factor: float
) -> None:
    from matplotlib.patches import FancyArrowPatch

    (i, j), (centres, radii) = way, discs
    time = found.mfpt[i][j]
    assert time is not None
    p = np.maximum(np.asarray(found.transition_matrix, float), 0.0)
    strongest = max(found.hard[a].value * p[a, b] for a, b in _ways(found))
    width = 0.6 + 2.4 * math.sqrt(found.hard[i].value * p[i, j] / max(strongest, 1e-300))
    along = centres[j] - centres[i]
    length = float(np.hypot(*along))
    unit = along / length
    side = np.array([-unit[1], unit[0]])
    # Ways there and back run side by side, each to the left of its own direction.
    aside = 0.055 * side
    start = centres[i] + unit * (radii[i] + 0.03) + aside
    end = centres[j] - unit * (radii[j] + 0.03) + aside
    scale = look().scale
    axes.add_patch(
        FancyArrowPatch(
            (float(start[0]), float(start[1])),
            (float(end[0]), float(end[1])),
            arrowstyle=f"-|>,head_length={3 * scale},head_width={1.6 * scale}",
            linewidth=width * scale,
            color=look().grey,
            shrinkA=0,
            shrinkB=0,
        )
    )
    middle = (start + end) / 2 + 0.075 * side
    turn = math.degrees(math.atan2(unit[1], unit[0]))
    turn = turn - 180 if turn > 90.01 else turn + 180 if turn < -89.99 else turn
    text = number(float(f"{time.value * factor:.3g}"))
    axes.text(
        float(middle[0]),
        float(middle[1]),
        text,
        ha="center",
        va="center",
        rotation=turn,
        rotation_mode="anchor",
    )


def _disc(axes: Axes, centre: Matrix, radius: float, i: int, name: str, share: str) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((float(centre[0]), float(centre[1])), radius, color=colour(i), zorder=3))
    inside = radius > 0.17
    weight: dict[str, Any] = {"fontweight": "bold", "zorder": 4, "ha": "center"}
    if inside:
        axes.text(centre[0], centre[1], f"state {name}\n{share}", va="center", color=_on(colour(i)),
                  **weight)  # fmt: skip
        return
    axes.text(centre[0], centre[1], name, va="center", color=_on(colour(i)), **weight)
    down = -1 if centre[1] <= 0 else 1
    axes.text(centre[0], centre[1] + down * (radius + 0.03), share, zorder=4, ha="center",
              va="top" if down < 0 else "bottom")  # fmt: skip


def _on(background: str) -> str:
    """Black or white, whichever is read better on a colour (relative luminance of WCAG)."""
    parts = [int(background[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#000000" if luminance > 0.179 else "#ffffff"
