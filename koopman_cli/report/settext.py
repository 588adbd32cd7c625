"""Coherent sets as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from koopman_cli.report.text import add_row, make_table
from koopman_cli.types import CoherentSets

if TYPE_CHECKING:
    from rich.console import Console


def render_sets(sets: CoherentSets, console: Console) -> None:
    """Share of every set, and how much of it is still together at the final time."""
    console.print(
        f"\n{sets.count} coherent sets (from the gap of the singular values)", style="bold"
    )
    table = make_table(["set", "share", "still together"])
    for i, (share, kept) in enumerate(zip(sets.shares, sets.kept, strict=True), start=1):
        add_row(table, [str(i), f"{share:.3f}", f"{kept:.3f}"])
    console.print(table)
