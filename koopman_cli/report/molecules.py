"""Representative structures of states, drawn flat: what a page shows without JavaScript."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from koopman_cli.report.drawing import colour, fixed_figure, look, place
from koopman_cli.types import FitResult, Structures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Matrix = NDArray[np.float64]

#: Colours of elements, after Corey, Pauling and Koltun; carbon takes the colour of its state.
ELEMENTS = {"N": "#3050F8", "O": "#E0201B", "S": "#B8A000", "P": "#E07000", "H": "#bfbfbf"}

#: More atoms are drawn as a trace of the backbone alone.
MAX_DISCS = 400


def structures(result: FitResult, width_mm: float = 85) -> Figure | None:
    """Each state in a panel, all in the same orientation; further examples lie behind, pale."""
    found, states = result.structures, result.states
    if found is None or states is None or len(found.xyz) != states.count:
        return None
    count = len(found.xyz)
    columns = min(count, 2 if width_mm < 120 else 3)
    rows = -(-count // columns)
    side = width_mm / columns
    height = 0.85 * side
    flat = _flattened(found)
    low, high = flat[..., :2].min(axis=(0, 1, 2)), flat[..., :2].max(axis=(0, 1, 2))
    figure = fixed_figure(width_mm, rows * (height + 5))
    for i in range(count):
        row, column = divmod(i, columns)
        top = (rows - row) * (height + 5)
        axes = place(figure, column * side + 1, top - height - 5, side - 2, height)
        _panel(axes, found, flat[i], i)
        pad = 0.08 * float(max(high - low))
        axes.set_xlim(low[0] - pad, high[0] + pad)
        axes.set_ylim(low[1] - pad, high[1] + pad)
        axes.set_aspect("equal")
        axes.set_axis_off()
        share = 100 * states.hard[i].value
        axes.set_title(f"state {i + 1}: {share:.3g}%", pad=1, color=look().ink)
    return figure


def _flattened(found: Structures) -> Matrix:
    """Coordinates along the principal axes of the first structure, longest across, in nm."""
    first = np.asarray(found.xyz[0, 0], float)
    _, _, axes = np.linalg.svd(first - first.mean(axis=0), full_matrices=False)
    turned = (np.asarray(found.xyz, float) - first.mean(axis=0)) @ axes.T
    # A sign is a convention: the largest deviation of the first structure is positive.
    along = (first - first.mean(axis=0)) @ axes.T
    signs = np.sign(along[np.argmax(np.abs(along), axis=0), np.arange(3)])
    result: Matrix = turned * np.where(signs == 0, 1.0, signs)
    return result


def drawn_bonds(found: Structures) -> NDArray[np.int64]:
    """Pairs of atoms that are joined by a line: bonds, or the trace of a large molecule."""
    trace = np.array([i for i, name in enumerate(found.atoms) if name in ("CA", "P")], np.int64)
    if (len(found.atoms) <= MAX_DISCS and len(found.bonds)) or len(trace) < 2:
        return found.bonds
    a, b = trace[:-1], trace[1:]
    beside = np.abs(found.residue_numbers[b] - found.residue_numbers[a]) <= 1
    joined = beside & (found.chains[a] == found.chains[b])
    return np.stack([a[joined], b[joined]], axis=1)


def _panel(axes: Axes, found: Structures, samples: Matrix, state: int) -> None:
    from matplotlib.collections import LineCollection

    scale, bonds = look().scale, drawn_bonds(found)
    for sample in range(len(samples) - 1, -1, -1):
        xyz = samples[sample]
        strong = sample == 0
        if len(bonds):
            lines = xyz[bonds][:, :, :2]
            axes.add_collection(
                LineCollection(
                    list(lines),
                    colors=colour(state),
                    linewidths=(2.2 if strong else 1.0) * scale,
                    alpha=1.0 if strong else 0.3,
                    zorder=2 if strong else 1,
                    capstyle="round",
                )
            )
    xyz = samples[0]
    if len(xyz) <= MAX_DISCS:
        order = np.argsort(xyz[:, 2])
        shades = [ELEMENTS.get(found.elements[i], colour(state)) for i in order]
        axes.scatter(xyz[order, 0], xyz[order, 1], s=28 * scale**2, c=shades, zorder=3,
                     edgecolors=look().ink, linewidths=0.4 * scale)  # fmt: skip
