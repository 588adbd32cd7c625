"""Wide tables on narrow terminals: what all rows share is said once, the least needed goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: Blanks between two columns of a printed table.
GAP = 3


@dataclass(frozen=True)
class Fitted:
    """A table that fits, and what was taken out of it.

    same : name and value of columns with one value in all rows
    left : columns that are not shown
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    same: tuple[tuple[str, str], ...] = ()
    left: tuple[str, ...] = ()


def table_width(names: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    r"""Characters in a line of a printed table; cells may have several lines.

    >>> table_width(["a", "bcd"], [["12", "3"]]), table_width(["a\n(ps)"], [["12"]])
    (8, 4)
    """
    each = [
        max(len(line) for cell in column for line in cell.split("\n"))
        for column in zip(names, *rows, strict=True)
    ]
    return sum(each) + GAP * (len(each) - 1)


def fitted(
    names: Sequence[str], rows: Sequence[Sequence[str]], width: int, spare: Sequence[str]
) -> Fitted:
    """A table without as many columns as it takes to fit.

    Parameters
    ----------
    names, rows
        The table.
    width : int
        Characters there are.
    spare : sequence of str
        Columns that may go, the first one first; while they have one value in all rows they are
        said once, otherwise they are left out.

    Examples
    --------
    >>> rows = [["tica", "1", "0.1"], ["vamp", "1", "0.2"]]
    >>> found = fitted(["model", "lag", "s"], rows, 12, ["s", "lag"])
    >>> found.names, found.same, found.left
    (('model', 's'), (('lag', '1'),), ())
    """
    columns = {name: tuple(row[i] for row in rows) for i, name in enumerate(names)}
    same: dict[str, str] = {}
    left: dict[str, str] = {}

    def wide() -> bool:
        rest = list(zip(*columns.values(), strict=True))
        return table_width(list(columns), rest) > width

    for gone, alike in ((same, True), (left, False)):
        for name in spare:
            one = len(set(columns.get(name, ("", "")))) == 1
            if name in columns and (one or not alike) and wide():
                gone[name] = columns.pop(name)[0]
    kept = tuple(zip(*columns.values(), strict=True))
    return Fitted(tuple(columns), kept, tuple(same.items()), tuple(left))
