"""What a fit found, as tables for people: on terminals, in pipes, under any locale.

Piped output has no colours and is never cut: tables are as wide as their content. Where
the stream cannot show a character, a plain one stands in.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from koopman_cli.nouns import counted, lag_text, number, timed, unit_word
from koopman_cli.types import (
    FitResult,
    ForecastSkill,
    Gap,
    Mode,
    Quantity,
    Score,
    ScoreEntry,
    TimeStep,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

#: Width of output that is not shown on a terminal: wider than any table, so nothing wraps.
PLAIN_WIDTH = 4000

#: A table of more modes than this shows only the first few of those that are not resolved.
LONG = 12
FIRST = 4

#: A forecast is worse than another whose error it exceeds by this factor.
LOSES = 1.01

_PLAIN = {"±": "+-", "µ": "u", "τ": "tau", "λ": "lambda", "Å": "A", "°": "deg", "²": "2"}


def quantity(q: Quantity | None) -> str:
    """Value, interval where there is one, and unit; "-" where undefined.

    >>> quantity(Quantity(33.04, 27.0, 41.2, "ps")), quantity(None)
    ('33.04 [27, 41.2] ps', '-')
    """
    if q is None:
        return "-"
    interval = ""
    if q.low is not None or q.high is not None:
        ends = ("-" if end is None else number(end) for end in (q.low, q.high))
        interval = f" [{', '.join(ends)}]"
    unit = q.unit if interval else unit_word(q.value, q.unit)
    return f"{number(q.value)}{interval} {unit}".rstrip()


def residual(value: float | None) -> str:
    """A residual; an estimate of its square at or below zero is stored as 0 and told as such.

    >>> residual(0.25), residual(0.0), residual(None)
    ('0.25', 'not told from 0', '-')
    """
    if value is None:
        return "-"
    return number(value) if value else "not told from 0"


def eigenvalue(mode: Mode) -> str:
    """Eigenvalue (complex as a+bi), or the coherence of a model without eigenvalues.

    >>> eigenvalue(Mode(1, 0.5 - 0.25j)), eigenvalue(Mode(1, None, singular_value=0.75))
    ('0.5000-0.2500i', '0.7500')
    """
    value = mode.eigenvalue
    if value is None:
        return "-" if mode.singular_value is None else f"{mode.singular_value:.4f}"
    return f"{value.real:.4f}" + (f"{value.imag:+.4f}i" if value.imag else "")


def printable(text: str, encoding: str | None) -> str:
    r"""The text in characters that the encoding has.

    >>> printable("2 ± 1 µs, é", "ascii")
    '2 +- 1 us, \\xe9'
    """
    encoding = encoding or "utf-8"
    for symbol, plain in _PLAIN.items():
        if symbol in text and symbol.encode(encoding, "replace") == b"?":
            text = text.replace(symbol, plain)
    return text.encode(encoding, "backslashreplace").decode(encoding)


# ------------------------------------------------------------------ tables


def make_table(columns: Sequence[str], wrapped: Sequence[str] = ("reason",)) -> Table:
    """A plain table; only some columns, by default one named reason, may wrap."""
    from rich.box import Box
    from rich.table import Table

    rule = Box("    \n    \n -- \n    \n    \n    \n    \n    \n", ascii=True)
    table = Table(box=rule, pad_edge=False, show_edge=False)
    for name in columns:
        table.add_column(name, overflow="fold", header_style="", no_wrap=name not in wrapped)
    return table


def add_row(table: Table, cells: Sequence[str]) -> None:
    """Add cells as they are written."""
    from rich.text import Text

    table.add_row(*(Text(cell) for cell in cells))  # a plain string would be read as markup


def _read_lines(result: FitResult) -> list[str]:
    read, lag = result.input, result.model.lag
    files, features = counted(len(read.files), "file"), counted(read.features, "feature")
    lines = [f"Read: {counted(read.frames, 'frame')} from {files}, {features} ({read.kind})"]
    lines += [f"  {path}: {counted(frames, 'frame')}" for path, _, frames in read.files[:20]]
    if len(read.files) > 20:
        lines.append(f"  and {len(read.files) - 20} more files")
    if read.test:
        tested = ", ".join(
            f"{path} ({counted(frames, 'frame')})" for path, _, frames in read.test[:5]
        )
        more = f" and {len(read.test) - 5} more" if len(read.test) > 5 else ""
        lines.append(f"Tested on: {tested}{more}")
    step = read.dt
    if step is None:
        lines.append("Time step: none known; times are in frames")
    else:
        origin = f" (from {step.origin})" if step.origin else ""
        lines.append(f"Time step: {timed(step.value, step.unit or 'time units')}{origin}")
    model = result.model
    lines.append(
        f"Model: {model.family} on {model.features.text}, lag {lag_text(lag)}, "
        f"dim {model.dim}, rank {model.rank}, {counted(model.pairs, 'pair')}"
    )
    if model.dropped:
        more = f" and {len(model.dropped) - 8} more" if len(model.dropped) > 8 else ""
        lines.append(f"  left out, constant: {', '.join(model.dropped[:8])}{more}")
    return lines + [f"  {note}" for note in result.notes]


def score_text(value: float) -> str:
    """A score with four decimals; one that an outlier blew up with as many digits.

    >>> score_text(1.95), score_text(-2.1211e16)
    ('1.9500', '-2.121e+16')
    """
    return f"{value:.4f}" if abs(value) < 1e6 else f"{value:.4g}"


def _score_row(name: str, entry: ScoreEntry) -> tuple[str, str, str]:
    test = "-" if entry.test is None else score_text(entry.test)
    if entry.test is not None and entry.stderr is not None:
        test += f" ± {score_text(entry.stderr)}"
    return name, f"{entry.train:.4f}", test


def _score_table(result: FitResult, score: Score) -> Table:
    """Scores of the model and, where there are any, of its rivals on the same coordinates."""
    held_out = f"held out ({counted(score.folds, 'fold')})" if score.folds else "held out"
    rivals = result.rivals
    table = make_table([*(["model"] if rivals else []), "score", "train", held_out])
    for owner, found in ((result.model.family, score), *rivals):
        for name, entry in (("VAMP-E", found.vampe), ("VAMP-2", found.vamp2)):
            add_row(table, [*([owner] if rivals else []), *_score_row(name, entry)])
    return table


def is_conjugate(modes: Sequence[Mode], i: int) -> bool:
    """Whether a mode of a flow is the second of a pair, which the first one stands for."""
    value, before = modes[i].eigenvalue, modes[i - 1].eigenvalue if i else None
    flow = modes[i].frequency is not None
    return flow and value is not None and before is not None and value == before.conjugate()


def shown_rows(modes: Sequence[Mode]) -> list[int]:
    """Which modes the table shows: one of each pair; of a long list what is resolved, and the
    first few of the others.

    >>> long = [Mode(k + 1, 0.5 + 0j, verdict="unresolved") for k in range(40)]
    >>> shown_rows(long), shown_rows(long[:3])
    ([0, 1, 2, 3], [0, 1, 2])
    """
    rows = [i for i in range(len(modes)) if not is_conjugate(modes, i)]
    kept = [i for k, i in enumerate(rows) if k < FIRST or modes[i].verdict == "resolved"]
    return rows if len(rows) <= LONG or len(rows) - len(kept) < FIRST else kept


def _left_out(modes: Sequence[Mode], shown: Sequence[int]) -> str:
    """What a long table does not show, and where it is; empty where it shows all."""
    left = [i for i in range(len(modes)) if not is_conjugate(modes, i) and i not in shown]
    if not left:
        return ""
    same = {modes[i].verdict for i in left} == {"unresolved"}
    return f"and {len(left)} more, {'all unresolved' if same else 'none resolved'} (summary.json)"


def skill_lines(skill: ForecastSkill | None, dt: TimeStep | None) -> list[str]:
    """Errors of held-out forecasts at a few horizons, as a table of text."""
    if skill is None:
        return ["Held-out forecasts: too little data to hold any out"]
    rows = sorted({0, len(skill.steps) // 4, len(skill.steps) // 2, len(skill.steps) - 1})
    unit = f" ({skill.unit})" if skill.unit else ""
    lines = [
        f"Error per cell{unit} on the last fifth of the data, {counted(skill.starts, 'forecast')}"
    ]
    lines.append(f"{'frames ahead':>16}{'model':>14}{'persistence':>14}{'climatology':>14}")
    for i in rows:
        step = int(skill.steps[i])
        time = "" if dt is None else f" ({timed(step * dt.value, dt.unit)})"
        errors = (skill.model[i], skill.persistence[i], skill.climatology[i])
        cells = "".join(f"{number(v) if v == v else '-':>14}" for v in errors)
        lines.append(f"{f'{step}{time}':>16}{cells}")
    return [*lines, *_losses(skill)]


def _losses(skill: ForecastSkill) -> list[str]:
    """A sentence where forecasts are worse than no change, or than the mean (or the cycle).

    >>> import numpy as np
    >>> ones = np.ones(4)
    >>> _losses(ForecastSkill(np.arange(1, 5), 2 * ones, 3 * ones, ones, "K", 9))
    ['The model is worse than climatology at 4 of 4 horizons.']
    """
    told = []
    for name, other in (("persistence", skill.persistence), ("climatology", skill.climatology)):
        model = [float(v) if v == v else float("inf") for v in skill.model]
        worse = sum(a > LOSES * float(b) for a, b in zip(model, other, strict=True) if b == b)
        if 10 * worse >= len(model):
            told.append(f"{name} at {worse} of {counted(len(model), 'horizon')}")
    return [f"The model is worse than {' and than '.join(told)}."] if told else []


def gap_line(gap: Gap) -> str:
    """One sentence on the spectral gap.

    >>> gap_line(Gap(None, None, False, "one function fitted"))
    'Gap: none resolved (one function fitted)'
    """
    if not gap.resolved or gap.after is None:
        return f"Gap: none resolved ({gap.reason})" if gap.reason else "Gap: none resolved"
    ratio = "" if gap.ratio is None else f", ratio {quantity(gap.ratio)}"
    return f"Gap: after mode {gap.after}{ratio}" + (f" ({gap.reason})" if gap.reason else "")


def render_fit(result: FitResult, console: Console, run: Path | None = None) -> None:
    """Print a fit to a rich console, top to bottom: input, choices, scores, modes, warnings."""

    def say(line: str, style: str | None = None) -> None:
        console.print(line, style=style, markup=False, highlight=False)

    for line in _read_lines(result):
        say(line)
    if result.score is not None:
        say(f"\nScores at dim {result.score.dim} (1 of each is the constant function)", "bold")
        console.print(_score_table(result, result.score))
    if result.modes:
        say("\nModes", "bold")
        from koopman_cli.report.modetable import print_modes

        print_modes(result.modes, console)
        if left_out := _left_out(result.modes, shown_rows(result.modes)):
            say(left_out)
        say("")
        from koopman_cli.report.certified import render_certificates

        render_certificates(result.modes, console)
    if result.gap is not None:
        say(gap_line(result.gap))
    if result.states is not None:
        from koopman_cli.report.statetext import render_states

        render_states(result.states, console)
    if result.coherent is not None:
        from koopman_cli.report.settext import render_sets

        render_sets(result.coherent, console)
    for warning in result.warnings:
        say(f"Warning: {warning}", "yellow")
    if run is not None:
        say(f"Written to {run}")


def print_fit(result: FitResult, *, run: Path | None = None, file: TextIO | None = None) -> None:
    """Print what a fit found.

    Parameters
    ----------
    result : FitResult
        What was found.
    run : Path, optional
        The RUN directory, named in the last line.
    file : text stream, optional
        Where to; standard output by default. A terminal gets its own width and colours,
        anything else plain lines of full length.
    """
    print_rendered(lambda console: render_fit(result, console, run), file)


def print_rendered(render: Callable[[Console], object], file: TextIO | None = None) -> None:
    """Print what a function renders: coloured on a terminal, plain and uncut elsewhere."""
    from rich.console import Console

    stream = sys.stdout if file is None else file
    terminal = stream.isatty()
    width = None if terminal else PLAIN_WIDTH
    target = Console(file=stream, width=width)
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        width=target.width,
        force_terminal=terminal and target.is_terminal,
        color_system=target.color_system if terminal else None,  # type: ignore[arg-type]
        no_color=target.no_color,
        legacy_windows=False,
    )
    render(console)
    lines = printable(buffer.getvalue(), stream.encoding).split("\n")
    stream.write("\n".join(line.rstrip() for line in lines))
