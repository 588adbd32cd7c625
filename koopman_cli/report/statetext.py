"""Metastable states as a table and a line on the Chapman-Kolmogorov test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from koopman_cli.nouns import chance
from koopman_cli.report.quantities import Column, print_columns
from koopman_cli.types import ChapmanKolmogorov, States

if TYPE_CHECKING:
    from rich.console import Console


def test_line(test: ChapmanKolmogorov | None) -> str:
    """One sentence on the Chapman-Kolmogorov test.

    >>> test_line(None)
    'Chapman-Kolmogorov test: not possible, no multiple of the lag fits into the data'
    """
    if test is None:
        return "Chapman-Kolmogorov test: not possible, no multiple of the lag fits into the data"
    return (
        f"Chapman-Kolmogorov test {test.verdict} (p = {chance(test.p)} up to lag {test.lags[-1]} "
        f"frames, largest deviation {test.deviation:.2g})"
    )


def render_states(states: States, console: Console) -> None:
    """Print states, largest first: populations, lifetimes, first passages, the test."""

    def say(line: str, style: str | None = None) -> None:
        console.print(line, style=style, markup=False, highlight=False)

    chosen = "chosen by the user" if states.chosen_by == "user" else "from the spectral gap"
    say(f"\n{states.count} metastable states ({chosen})", "bold")
    every = [str(i + 1) for i in range(states.count)]
    measured = (("population (hard)", states.hard), ("population (soft)", states.soft))
    columns = [Column(name, tuple(values)) for name, values in measured]
    print_columns(
        [("state", every), *columns, Column("lifetime", tuple(states.lifetimes))], console
    )
    say("\nMean first-passage times, from row to column", "bold")
    passages = [
        Column(f"to {name}", tuple(row[j] for row in states.mfpt)) for j, name in enumerate(every)
    ]
    print_columns([("", [f"from {name}" for name in every]), *passages], console)
    say("")
    say(test_line(states.chapman_kolmogorov))
    for note in states.notes:
        say(f"Note: {note}")
    for warning in states.warnings:
        say(f"Warning: {warning}", "yellow")
    if not states.reliable:
        say("Warning: the intervals are unreliable (fewer than 20 independent blocks)", "yellow")
