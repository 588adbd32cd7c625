"""A table of scores: for people, as JSON, as csv with every fold, and its directory."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from koopman_cli.candidates import Candidate, Recommendation, ScoreTable
from koopman_cli.choice import describe
from koopman_cli.nouns import counted, lag_text, times
from koopman_cli.nouns import number as digits
from koopman_cli.report.json import encode, finite, number
from koopman_cli.report.narrow import fitted
from koopman_cli.report.text import add_row, make_table, print_rendered, score_text
from koopman_cli.store.atomic import write_atomic
from koopman_cli.store.plain import to_plain
from koopman_cli.types import Lag, ScoreEntry

if TYPE_CHECKING:
    from rich.console import Console

SCHEMA = 1

#: Scores in the order in which they are told; the first one decides.
SCORES = ("vampe", "vamp2", "vamp1")


# ------------------------------------------------------------------ json and csv


def _lag(lag: Lag) -> dict[str, Any]:
    return {"frames": int(lag.frames), "value": float(lag.value), "unit": lag.unit}


def _entry(entry: ScoreEntry) -> dict[str, Any]:
    told = {name: number(getattr(entry, name)) for name in ("train", "test", "stderr")}
    return {**told, "folds": [number(value) for value in entry.folds]}


def _cell(cell: Candidate) -> dict[str, Any]:
    return {
        "features": cell.features,
        "model": cell.model,
        "lag": _lag(cell.lag),
        "dim": cell.dim,
        "settings": finite(to_plain(cell.settings)),
        **{name: _entry(getattr(cell.score, name)) for name in SCORES},
        "poor_folds": cell.score.poor_folds,
        "floor": number(cell.floor),
        "leading": number(cell.leading),
        "rank": cell.rank,
        "pairs": cell.pairs,
        "readings": cell.passes,
        "seconds": number(cell.seconds),
    }


def document(table: ScoreTable) -> dict[str, Any]:
    """The content of ``scores.json``: schema, folds, blocks, cells, recommended, ..."""
    return {
        "schema": SCHEMA,
        "folds": table.folds,
        "repeats": table.repeats,
        "blocks": table.blocks,
        "cells": [_cell(cell) for cell in table.cells],
        "recommended": [
            {"lag": _lag(r.lag), "window": r.window + 1, "cell": r.cell, "reason": r.reason}
            for r in table.recommended
        ],
        "differences": [
            {
                "lag": _lag(d.lag),
                "cells": [d.best, d.second],
                "value": number(d.value),
                "low": number(d.low),
                "high": number(d.high),
                "folds": [number(value) for value in d.folds],
            }
            for d in table.differences
        ],
        "readings": dict(table.readings),
        "warnings": list(table.warnings),
    }


def _csv_rows(table: ScoreTable) -> Iterator[list[Any]]:
    yield [
        *("cell", "features", "model", "settings", "lag_frames", "lag", "unit", "dim", "fold"),
        *("vampe", "vamp2", "vamp1"),
    ]
    for i, cell in enumerate(table.cells):
        settings = " ".join(f"{name}={value}" for name, value in cell.settings.items())
        lag = cell.lag
        head = [i, cell.features, cell.model, settings, lag.frames, lag.value, lag.unit, cell.dim]
        entries = [getattr(cell.score, name) for name in SCORES]
        yield [*head, "train", *(entry.train for entry in entries)]
        yield [*head, "mean", *("" if e.test is None else e.test for e in entries)]
        yield [*head, "stderr", *("" if e.stderr is None else e.stderr for e in entries)]
        for fold in range(len(entries[0].folds)):
            yield [*head, fold + 1, *(entry.folds[fold] for entry in entries)]


def csv_text(table: ScoreTable) -> str:
    """``scores.csv``: one row per cell and fold, and rows for train, mean and error."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(_csv_rows(table))
    return buffer.getvalue()


def table_files(table: ScoreTable) -> dict[str, bytes]:
    """``scores.json`` and ``scores.csv`` by name."""
    return {
        "scores.json": encode(document(table)),
        "scores.csv": csv_text(table).encode("utf-8", "backslashreplace"),
    }


def write_tables(table: ScoreTable, folder: Path) -> None:
    """Replace ``scores.json`` and ``scores.csv`` of a directory.

    Raises
    ------
    FileError
        If the file system refuses.
    """
    for name, content in table_files(table).items():
        write_atomic(folder / name, content)


# ------------------------------------------------------------------ for people


def _value(entry: ScoreEntry) -> str:
    if entry.test is None:
        return "-"
    error = "" if entry.stderr is None else f" ± {score_text(entry.stderr)}"
    return score_text(entry.test) + error


def _rows(table: ScoreTable, of: Recommendation) -> Iterator[list[str]]:
    index = [i for i, c in enumerate(table.cells) if (c.lag, c.window) == (of.lag, of.window)]

    def rank(i: int) -> float:
        test = table.cells[i].score.vampe.test
        return float("inf") if test is None else -test

    for i in sorted(index, key=rank):
        cell = table.cells[i]
        settings = " ".join(f"{name}={value}" for name, value in cell.settings.items())
        poor = f"{cell.score.poor_folds} of {len(cell.score.vampe.folds)}"
        yield [
            "*" if i == of.cell else "",
            f"{cell.model} {settings}".strip(),
            cell.features,
            str(cell.dim),
            *(_value(getattr(cell.score, name)) for name in SCORES),
            f"{cell.score.vampe.train:.4f}",
            "-" if cell.floor is None else digits(cell.floor),
            poor if cell.score.poor_folds else "",
            str(cell.rank),
            str(cell.pairs),
            str(cell.passes),
            f"{cell.seconds:.3f}",
        ]


def window_text(window: int) -> str:
    """Delay windows that reach back so many frames, in words.

    >>> window_text(0), window_text(9)
    ('no delays', 'windows of 10 frames')
    """
    return f"windows of {counted(window + 1, 'frame')}" if window else "no delays"


HEAD = (
    *("", "model", "features", "dim", "VAMP-E", "VAMP-2", "VAMP-1", "train E"),
    *("floor", "poor folds", "rank", "pairs", "read", "s"),
)


#: Columns that may go where a terminal is too narrow, the first one first.
SPARE = ("s", "read", "pairs", "rank", "VAMP-1", "features", "train E", "VAMP-2", "floor")


def _print_rows(table: ScoreTable, of: Recommendation, console: Console) -> None:
    """The cells of one lag, in as many columns as the terminal has place for."""
    shown = fitted(HEAD, list(_rows(table, of)), console.width, SPARE)
    rows = make_table(shown.names, ("model", "features"))
    for row in shown.rows:
        add_row(rows, row)
    console.print(rows)
    told = ", ".join(f"{name} {value}" for name, value in shown.same)
    left = f"not shown: {', '.join(shown.left)} (scores.csv)" if shown.left else ""
    for line in (f"all rows: {told}" if told else "", left):
        if line:
            console.print(line, markup=False, highlight=False)


def render(table: ScoreTable, console: Console, out: Path | None = None) -> None:
    """Print a table of scores lag by lag, best held-out VAMP-E first."""

    def say(line: str, style: str | None = None) -> None:
        console.print(line, style=style, markup=False, highlight=False)

    repeats = f", {counted(table.repeats, 'assignment')}" if table.repeats > 1 else ""
    say(
        f"Held-out scores: {counted(table.folds, 'fold')} of "
        f"{counted(table.blocks, 'block')}{repeats}"
    )
    say("1 of every score is the constant function; lags are not comparable with each other")
    say("read: readings of the data that the moments of a cell took; s: its share of the seconds")
    for note in table.notes:
        say(f"  {note}")
    several = len({cell.window for cell in table.cells}) > 1
    for features, count in table.readings.items():
        say(
            f"  {features}: data read {times(count)} for moments"
            if count
            else f"  {features}: not read"
        )
    for recommended in table.recommended:
        of_window = f", {window_text(recommended.window)}" if several else ""
        say(f"\nlag {lag_text(recommended.lag)}{of_window}", "bold")
        _print_rows(table, recommended, console)
        say("")
        mark = "Recommended (*): " if recommended.cell is not None else "Nothing recommended: "
        say(mark + recommended.reason)
        for d in table.differences:
            if (d.lag, table.cells[d.best].window) == (recommended.lag, recommended.window):
                say(_compared(table, d.best, d.second, (d.value, d.low, d.high)))
    for warning in table.warnings:
        say(f"Warning: {warning}", "yellow")
    if out is not None:
        say(f"Written to {out}")


def _compared(
    table: ScoreTable, best: int, second: int, found: tuple[float, float | None, float | None]
) -> str:
    value, low, high = found
    sure = low is not None and low > 0
    ends = "" if low is None or high is None else f" [{digits(low)}, {digits(high)}]"
    verdict = "better" if sure else "not proven better"
    return (
        f"Two best: {describe(table.cells[best])} is {verdict} than "
        f"{describe(table.cells[second])}: difference {digits(value)}{ends} (95%, fold by fold)"
    )


def print_scores(table: ScoreTable, out: Path | None = None) -> None:
    """Print a table of scores to standard output."""
    print_rendered(lambda console: render(table, console, out))
