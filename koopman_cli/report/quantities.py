"""Columns of quantities with intervals, in as few characters as a table has place for."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from koopman_cli.nouns import number
from koopman_cli.report.narrow import GAP, Fitted, fitted, table_width
from koopman_cli.report.text import add_row, make_table, quantity
from koopman_cli.types import Quantity

if TYPE_CHECKING:
    from rich.console import Console

#: Ways to write a column, each narrower: the unit in every cell; once, in the head; and the
#: interval on a line of its own.
FULL, UNIT_ONCE, TWO_LINES = 0, 1, 2


@dataclass(frozen=True)
class Column:
    """Quantities of a column; those of ``enclosed`` are written in parentheses."""

    name: str
    values: tuple[Quantity | None, ...]
    enclosed: tuple[bool, ...] = ()

    def written(self, way: int) -> tuple[str, list[str]]:
        r"""Head and cells.

        >>> column = Column("t", (Quantity(5.0, 4.0, 6.0, "ps"), None), (True, False))
        >>> column.written(FULL), column.written(UNIT_ONCE)
        (('t', ['(5 [4, 6] ps)', '-']), ('t (ps)', ['(5 [4, 6])', '-']))
        >>> column.written(TWO_LINES)
        ('t\n(ps)', ['(5\n[4, 6])', '-'])
        """
        units = {q.unit for q in self.values if q is not None}
        if way == FULL or len(units) != 1:
            return self.name, self._marked([quantity(q) for q in self.values])
        between = " " if way == UNIT_ONCE else "\n"
        (unit,) = units
        head = f"{self.name}{between}({unit})" if unit else self.name
        return head, self._marked([_short(q, between) for q in self.values])

    def _marked(self, cells: list[str]) -> list[str]:
        marks = self.enclosed or (False,) * len(cells)
        return [f"({c})" if mark else c for c, mark in zip(cells, marks, strict=True)]


def _short(q: Quantity | None, between: str) -> str:
    """A quantity without its unit.

    >>> _short(Quantity(5.0, 4.0, None, "ps"), " ")
    '5 [4, -]'
    """
    if q is None:
        return "-"
    if q.low is None and q.high is None:
        return number(q.value)
    ends = ("-" if end is None else number(end) for end in (q.low, q.high))
    return f"{number(q.value)}{between}[{', '.join(ends)}]"


def print_columns(
    columns: Sequence[Column | tuple[str, Sequence[str]]],
    console: Console,
    spare: Sequence[str] = (),
) -> Fitted:
    """Print a table in the first way that fits, without spare columns if none does.

    What fits in no way is printed as wide as it is: no number is ever cut.

    Parameters
    ----------
    columns : sequence of Column, or of head and cells
    console : Console
    spare : sequence of str
        Names of columns that may go, the first one first.

    Returns
    -------
    Fitted
        What was printed, and what was taken out.
    """
    for way in (FULL, UNIT_ONCE, TWO_LINES):
        written = [c.written(way) if isinstance(c, Column) else c for c in columns]
        heads, cells = zip(*written, strict=True)
        rows = list(zip(*cells, strict=True))
        found = Fitted(tuple(heads), tuple(rows))
        if table_width(heads, rows) <= console.width:
            break
    else:
        may_go = [head for name in spare for head in heads if head.partition("\n")[0] == name]
        found = fitted(heads, rows, console.width, may_go)
    table = make_table(found.names)
    for row in found.rows:
        add_row(table, row)
    if table_width(found.names, found.rows) <= console.width:
        console.print(table)
    else:
        from rich.console import Console as Sheet

        wide = Sheet(file=io.StringIO(), width=table_width(found.names, found.rows) + GAP)
        with wide.capture() as text:
            wide.print(table)
        console.print(text.get(), markup=False, highlight=False, soft_wrap=True, end="")
    return found
