"""Tables on terminals of 80 columns: no line is longer, and no number is cut."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from cli_support import ALA2, SAMPLES, done, relaxing
from rich.console import Console

from koopman_cli import FitOptions, fit
from koopman_cli.report.quantities import Column, print_columns
from koopman_cli.report.run import open_run
from koopman_cli.report.text import eigenvalue, number, print_fit, render_fit, shown_rows
from koopman_cli.report.timescales import render
from koopman_cli.timescales import TimescaleOptions, timescales
from koopman_cli.types import Quantity, ReadOptions

SST = ReadOptions(anomaly="cycle:12", detrend="linear")

FITS = {
    "wake": ([SAMPLES / "wake" / "wake.npz"], FitOptions(), ReadOptions()),
    "enso": ([SAMPLES / "enso" / "sst.nc"], FitOptions(lag="3months", settings={"rank": 10}), SST),
    "ala2": (sorted(ALA2.glob("run*.h5")), FitOptions(), ReadOptions()),
}


@pytest.fixture(scope="module", params=FITS)
def result(request):
    """A fit of sample data."""
    paths, options, read = FITS[request.param]
    return fit([str(path) for path in paths], options, read=read)


def on_terminal(show, width: int = 80) -> list[str]:
    """The lines that a terminal of this width gets."""
    stream = io.StringIO()
    show(Console(file=stream, width=width, force_terminal=True, color_system=None))
    return re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()


def test_fits_of_samples_keep_to_eighty_columns(result):
    """Every mode with eigenvalue, timescale, period and their intervals, verdict and reason."""
    lines = on_terminal(lambda console: render_fit(result, console))
    assert max(map(len, lines)) <= 80
    text = " ".join("\n".join(lines).split())
    rows = [result.modes[i] for i in shown_rows(result.modes)]
    for mode in rows:
        (row,) = (line for line in lines if re.match(rf"{mode.index} .*{mode.verdict}", line))
        assert eigenvalue(mode) in row
        for found in (mode.timescale, mode.period):
            if found is not None:
                assert f" {number(found.value)} " in f"{row} "
            if found is not None and found.low is not None:
                assert f"[{number(found.low)}, {number(found.high)}]" in text
        assert mode.reason in text


def test_pipes_get_every_column(result):
    """Beyond a terminal nothing is left out: one line for a mode, units and reason in it."""
    stream = io.StringIO()
    print_fit(result, file=stream)
    lines = stream.getvalue().splitlines()
    for mode in (result.modes[i] for i in shown_rows(result.modes)):
        (row,) = (
            line for line in lines if line.startswith(f"{mode.index} ") and mode.verdict in line
        )
        assert row.endswith(mode.reason)
        if mode.period is not None:
            assert f"{number(mode.frequency.value)} " in row
            assert mode.period.unit in row


def test_timescales_against_lag_keep_to_eighty_columns():
    """Intervals are whole, a column that has no place is named, what is below its lag is marked."""
    bands = timescales(relaxing(20_000), TimescaleOptions())
    lines = on_terminal(lambda console: render(bands, console))
    table = lines[: lines.index("")]
    assert max(map(len, table)) <= 80
    text = "\n".join(table)
    for i in range(len(bands.lags)):
        value, low, high = (a[i, 0] for a in (bands.times, bands.low, bands.high))
        if np.isfinite(value):
            assert f"[{number(low)}, {number(high)}]" in text
            below = value < bands.lags[i].frames
            assert (f"({number(value)} " in text) == bool(below)
    assert "timescale 2" in text
    assert ("timescale 3" in lines[1]) != ("not shown: timescale 3 (timescales.csv)" in text)


def test_runs_beside_each_other_keep_to_eighty_columns(tmp_path, monkeypatch):
    """``compare`` shows both timescales, their ratio and all three intervals."""
    np.save(tmp_path / "x.npy", relaxing(6000))
    done("fit", tmp_path / "x.npy", "--model", "tica", "--lag", "2", "-o", tmp_path / "run")
    mode = open_run(tmp_path / "run").result.modes[0]
    told = f"[{number(mode.timescale.low)}, {number(mode.timescale.high)}]"
    monkeypatch.setattr("koopman_cli.report.text.PLAIN_WIDTH", 80)
    text = done("compare", tmp_path / "run", tmp_path / "run").out
    table = [line for line in text.splitlines() if not line.startswith(("Note", "Principal"))]
    assert max(map(len, table)) <= 80
    assert text.count(told) == 2


def test_what_fits_in_no_way_is_not_cut():
    """Nine columns of intervals are wider than 80 characters; every digit is there."""
    values = (Quantity(123456.0, 101234.0, 151234.0, "ps"),)
    columns = [Column(f"to {j}", values) for j in range(9)]
    lines = on_terminal(lambda console: print_columns(columns, console))
    told = f"[{number(101234.0)}, {number(151234.0)}]"
    assert sum(line.count(told) for line in lines) == 9
