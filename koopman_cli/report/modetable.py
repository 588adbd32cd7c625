"""The table of modes: on a narrow terminal with short columns, and reasons below it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from koopman_cli.nouns import number
from koopman_cli.report.narrow import GAP, Fitted, table_width
from koopman_cli.report.quantities import FULL, Column, print_columns
from koopman_cli.report.text import add_row, eigenvalue, make_table, residual, shown_rows
from koopman_cli.types import Mode

#: Characters that reasons need beside a table, to be read there.
REASON = 28

#: Columns that may go where a terminal is too narrow, the first one first.
SPARE = ("frequency", "amplitude", "growth", "spectral bias", "residual")


def print_modes(modes: Sequence[Mode], console: Console) -> None:
    """Print the modes that a table shows; each column only where a mode has it."""
    shown = [modes[i] for i in shown_rows(modes)]
    columns = _columns(shown)
    written = [c.written(FULL) if isinstance(c, Column) else c for c in columns]
    heads, cells = zip(*written, strict=True)
    rows = list(zip(*cells, strict=True))
    longest = max((len(mode.reason) for mode in shown), default=0)
    if table_width(heads, rows) + GAP + min(REASON, longest) <= console.width:
        table = make_table([*heads, "reason"])
        for row, mode in zip(rows, shown, strict=True):
            add_row(table, [*row, mode.reason])
        console.print(table)
        return
    small = print_columns(columns, console, SPARE)
    for line in _below(shown, small):
        console.print(line, markup=False, highlight=False)


def _columns(modes: Sequence[Mode]) -> list[Column | tuple[str, list[str]]]:
    """All columns that any of the modes has, without the reasons."""
    spectral = any(mode.eigenvalue is not None for mode in modes)
    measured = [
        Column(name, tuple(getattr(mode, name) for mode in modes))
        for name in ("timescale", "period", "frequency", "growth", "amplitude")
    ]
    bias = ["-" if m.spectral_bias is None else number(m.spectral_bias) for m in modes]
    told = [("residual", [residual(m.residual) for m in modes]), ("spectral bias", bias)]
    return [
        ("mode", [str(mode.index) for mode in modes]),
        ("eigenvalue" if spectral else "coherence", [eigenvalue(mode) for mode in modes]),
        *(c for c in measured if c.name == "timescale" or any(q is not None for q in c.values)),
        *(c for c in told if set(c[1]) != {"-"}),
        ("verdict", [mode.verdict for mode in modes]),
    ]


def _below(modes: Sequence[Mode], table: Fitted) -> list[str]:
    """Lines below a narrow table: what is not in it, and the reasons, each once."""
    lines = []
    if table.same:
        lines.append("all rows: " + ", ".join(f"{name} {value}" for name, value in table.same))
    if table.left:
        names = (head.partition("\n")[0] for head in table.left)
        lines.append(f"not shown: {', '.join(names)} (summary.json)")
    reasons: dict[str, list[str]] = {}
    for mode in modes:
        reasons.setdefault(mode.reason, []).append(str(mode.index))
    for reason, of in reasons.items():
        if reason:
            lines.append(f"mode{'s' if len(of) > 1 else ''} {', '.join(of)}: {reason}")
    return lines
