"""What people read on stdout: complete, with units, whole in pipes and in any locale."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
import report_fixtures as made

from koopman_cli.report.text import gap_line, print_fit, printable, quantity
from koopman_cli.types import Gap, Mode, Quantity, ScoreEntry, TimeStep


def shown(result, run=None, encoding="utf-8"):
    """The text that a pipe of that encoding gets."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    print_fit(result, run=run, file=stream)
    stream.flush()
    return raw.getvalue().decode(encoding)


def lines_with(text, start):
    """The lines that begin so."""
    return [line for line in text.splitlines() if line.startswith(start)]


def test_everything_is_told_in_order():
    """Input, choices, scores, modes, gap, warnings, RUN: all there, warnings and RUN last."""
    text = shown(made.result(), Path("out/ala2.koopman"))
    order = [
        "99000 frames from 2 files",
        "rün 2.xtc: 49500 frames",
        "1 ps (from time stamps of run1.xtc)",
        "lag 5 frames (5 ps)",
        "lag: 5 frames, timescales still rise",
        "1 of each is the constant function",
        "VAMP-E   1.9000   1.8400 ± 0.0500",
        "33.2 [27.1, 41] ps",
        "eigenvalue not positive: no timescale",
        "Gap: after mode 1, ratio 6.1 [4.4, 8.2]",
        "Warning: lag not converged",
        "Written to out/ala2.koopman",
    ]
    places = [text.find(part) for part in order]
    assert -1 not in places
    assert places == sorted(places)


def test_undefined_is_a_dash_with_a_reason():
    """A mode without a timescale shows "-", never a number."""
    (row,) = lines_with(shown(made.result()), "3 ")
    assert row.split()[:3] == ["3", "-0.0500", "-"]
    assert row.endswith("eigenvalue not positive: no timescale")


def test_constants_and_residuals_of_zero_are_told():
    """Constant columns are named, a residual of exactly 0 is told as not told from it, and one
    month is singular.
    """
    base = made.result()
    first = replace(base.modes[0], residual=0.0)
    step = TimeStep(1.0, "months", "its clock")
    found = replace(
        base,
        model=replace(base.model, dropped=("still", "wall")),
        modes=(first, *base.modes[1:]),
        input=replace(base.input, dt=step),
    )
    text = shown(found)
    assert "left out, constant: still, wall" in text
    assert "not told from 0" in text
    assert "Time step: 1 month (from its clock)" in text
    assert "left out" not in shown(replace(base, model=replace(base.model, dropped=())))


def test_certificates_say_which_is_which():
    """Both intervals of a mode are printed, with one sentence on what each takes for granted."""
    text = shown(made.result())
    (row,) = lines_with(text, "1 ")[1:2]
    assert "[0.8000, 0.9000]   Kato-Temple, given the next mode   [0.7000, 0.9500]" in row
    assert (
        "Certified: holds some true eigenvalue, not always that of this mode, if the residual"
        in text
    )
    bare = tuple(replace(mode, certificate=None) for mode in made.result().modes)
    assert "guaranteed" not in shown(replace(made.result(), modes=bare))


def test_pairs_without_a_time_step():
    """Complex pairs show decay and period in frames; columns without content are left out."""
    text = shown(made.complex_result())
    assert "none known; times are in frames" in text
    (row,) = lines_with(text, "2 ")
    assert "0.9076-0.2807i" in row
    assert "19.5 frames   20.94 frames" in row
    assert "growth" not in text
    assert "period" not in shown(made.result())


def test_coherences_are_not_called_eigenvalues():
    """A model of singular values has a column of coherences."""
    text = shown(replace(made.result(), modes=(Mode(1, None, singular_value=0.75),)))
    assert "coherence" in text
    assert "eigenvalue" not in text
    assert "0.7500" in text


def test_pipes_get_whole_lines_without_colour():
    """No escape codes, no ellipsis, no wrapping, no trailing blanks, however long a cell is."""
    reason = "below the noise floor " * 30 + "end"
    mode = Mode(1, 0.5 + 0j, timescale=Quantity(1.0, unit="ps"), reason=reason)
    text = shown(replace(made.result(), modes=(mode,)))
    (row,) = lines_with(text, "1 ")
    assert row.endswith(reason)
    assert "\x1b" not in text
    assert "…" not in text
    assert not [line for line in text.split("\n") if line != line.rstrip()]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding(encoding):
    """Where ± and µ are missing plain characters stand in; unknown ones are escaped."""
    result = made.result()
    modes = (Mode(1, 0.5 + 0j, timescale=Quantity(3.0, 2.0, 4.0, "µs"), reason="λ above 日"),)
    text = shown(replace(result, modes=modes), encoding=encoding)
    assert "lambda above \\u65e5" in text
    assert ("3 [2, 4] us" if encoding == "ascii" else "3 [2, 4] µs") in text
    assert ("+-" if encoding == "ascii" else "±") in text


def test_a_name_that_is_no_text():
    """A file name with bytes outside its encoding is escaped, not a crash."""
    assert printable("a\udcff.xtc ± 1", "utf-8") == "a\\udcff.xtc ± 1"


def test_brackets_are_not_markup():
    """A reason or a path with [brackets] is printed as it is."""
    modes = (replace(made.result().modes[0], reason="see [bold]run[/bold]"),)
    text = shown(replace(made.result(), modes=modes, warnings=("[red]x[/red]",)))
    assert "see [bold]run[/bold]" in text
    assert "Warning: [red]x[/red]" in text


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_terminal_keeps_to_its_width(monkeypatch):
    """On a terminal long reasons wrap inside their column; numbers stay whole."""
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    modes = (replace(made.result().modes[0], residual=None, reason="too close " * 20),)
    stream = _Terminal()
    print_fit(replace(made.result(), modes=modes), file=stream)
    assert "\x1b[1m" in stream.getvalue()
    text = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert "33.2 [27.1, 41] ps" in text
    assert text.count("close") == 20
    assert max(len(line) for line in text.splitlines()) <= 90


def test_parts_that_are_not_there():
    """Without score, gap, modes and interval nothing is invented."""
    bare = replace(made.result(), score=None, gap=None, modes=(), warnings=())
    text = shown(bare)
    for word in ("Scores", "Modes", "Gap", "Warning", "Written"):
        assert word not in text
    entry = ScoreEntry(1.5)
    only_train = replace(made.result().score, vampe=entry, vamp2=entry)
    (row,) = lines_with(shown(replace(made.result(), score=only_train)), "VAMP-E")
    assert row.split() == ["VAMP-E", "1.5000", "-"]


def test_gap_lines():
    """A gap names its mode and ratio with interval; no gap says why."""
    gap = Gap(2, Quantity(3.0, 2.6, None, ""), True, "")
    assert gap_line(gap) == "Gap: after mode 2, ratio 3 [2.6, -]"
    assert gap_line(Gap(None, None, False, "")) == "Gap: none resolved"
    assert quantity(Quantity(5.0)) == "5"
