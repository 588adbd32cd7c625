"""Legends above a figure that are as wide as the figure at most, however long their entries."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from koopman_cli.report.drawing import MM, look

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Space between columns, and what stands beside the text of an entry, in widths of its type.
SPACING = 1.2
BESIDE = 2.8
#: Height of a row of entries in heights of its type.
LINE = 1.6


def legend_above(figure: Figure, entries: Mapping[str, Any], most: int = 3) -> None:
    """A legend above the panels in as many columns as fit; the figure grows by its rows.

    Parameters
    ----------
    figure : Figure
        Of :func:`koopman_cli.report.drawing.new_figure`, as high as its panels are.
    entries : mapping of str to artist
    most : int
        Columns at most. An entry that is wider than the figure is broken after commas.
    """
    import matplotlib as mpl

    size = float(mpl.rcParams["legend.fontsize"])
    across, high = (float(inches) * 72 for inches in figure.get_size_inches())
    room = across - 2 * size
    labels = [broken(label, room - BESIDE * size, size) for label in entries]
    widths = [
        BESIDE * size + max(text_width(t, size) for t in label.split("\n")) for label in labels
    ]
    columns = fitting(widths, room, SPACING * size, most)
    rows = max(sum(label.count("\n") + 1 for label in part) for part in split(labels, columns))
    figure.set_size_inches(across / 72, (high + LINE * size * rows) / 72 + 2 * MM * look().scale)
    figure.legend(
        list(entries.values()),
        labels,
        loc="outside upper left",
        ncols=columns,
        columnspacing=SPACING,
    )


def text_width(text: str, size: float) -> float:
    """Width of one line of text in points, as it is drawn."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).get_extents().x1) if text.strip() else 0.0


def broken(text: str, room: float, size: float) -> str:
    r"""Text in lines no wider than ``room`` points, broken after spaces and commas only.

    >>> broken("kedmd bandwidth=0.5,landmarks=100", 70, 7).split("\n")
    ['kedmd', 'bandwidth=0.5,', 'landmarks=100']
    """
    lines = [""]
    for part in re.findall(r"[^ ,]*[ ,]*", text):
        if lines[-1] and text_width((lines[-1] + part).rstrip(), size) > room:
            lines.append("")
        lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def fitting(widths: Sequence[float], room: float, space: float, most: int) -> int:
    """The most columns of a legend that are not wider than the room together, at least one.

    >>> fitting([40, 10, 10, 10], 60, 5, 3), fitting([40, 40, 40], 60, 5, 3)
    (2, 1)
    """
    for columns in range(min(most, len(widths)), 1, -1):
        across = [max(part) for part in split(widths, columns)]
        if sum(across) + space * (len(across) - 1) <= room:
            return columns
    return 1


def split(entries: Sequence[Any], columns: int) -> list[Sequence[Any]]:
    """Entries of each column of a legend: one after the other, the first columns the longer.

    >>> split([1, 2, 3, 4, 5], 3)
    [[1, 2], [3, 4], [5]]
    """
    each, more = divmod(len(entries), columns)
    ends = [k * each + min(k, more) for k in range(columns + 1)]
    return [entries[a:b] for a, b in pairwise(ends)]
