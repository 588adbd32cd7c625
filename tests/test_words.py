"""Numbers in text: one is singular everywhere, and signs are those of their place."""

import io
import json
import re

import numpy as np
import pytest
import report_fixtures as made
from cli_support import done, process, relaxing, run, two_lines
from rich.console import Console

from koopman_cli.analysis.periods import clear_periods
from koopman_cli.api import FitOptions, fit
from koopman_cli.report.cells import MINUS, signed
from koopman_cli.report.page import page
from koopman_cli.report.scores import HEAD, csv_text, render
from koopman_cli.report.words import summary_sentences
from koopman_cli.scores import GridOptions, score_grid
from koopman_cli.types import Quantity

#: One of something, told as several; an interval or a decimal point before it is none.
WRONG = re.compile(
    r"(?<![\d.,\]])\b1 (frames|files|features|columns|pairs|lagged pairs|atoms|residues|states"
    r"|months|years|time units|lags|folds|blocks|cells|trajectories|values|warnings|functions)\b"
)


@pytest.fixture(scope="module")
def monthly(tmp_path_factory):
    """A RUN of one column of one file, a month apart, at a lag of one frame."""
    folder = tmp_path_factory.mktemp("monthly")
    np.save(folder / "one.npy", relaxing(1500, memory=(0.9,)))
    np.save(folder / "single.npy", np.zeros((1, 1)))
    fitted = done("fit", folder / "one.npy", "--dt", "1month", "-o", folder / "run.koopman")
    return folder, fitted


def test_one_of_everything_is_singular(monthly):
    """One file, column, lag or month is told in the singular, on the terminal and in pages."""
    folder, fitted = monthly
    data = folder / "one.npy"
    told = [fitted.out + fitted.err]
    for verb in (
        ("info", data, "--dt", "1month"),
        ("info", folder / "single.npy"),
        ("timescales", data, "--lag", "1", "--dt", "1month", "-o", folder / "t"),
        ("timescales", data, "-o", folder / "u"),
        ("vamp-score", data, "--lag", "1", "--dt", "1month", "-o", folder / "v", "--folds", "2"),
        ("transform", folder / "run.koopman", data, "--dt", "1month", "-o", folder / "x.npy"),
        ("compare", folder / "run.koopman", folder / "run.koopman"),
    ):
        outcome = run(*verb)
        assert outcome.code == 0, outcome
        told.append(outcome.out + outcome.err)
    told.append((folder / "run.koopman/report.html").read_text("utf-8").split("3Dmol")[0])
    assert [WRONG.search(text) for text in told] == [None] * len(told)
    assert "lag 1 frame (1 month): " in told[0]


def test_errors_count_as_well(monthly):
    """Errors about a single frame tell of one frame."""
    folder, _ = monthly
    outcome = run("fit", folder / "single.npy", "--lag", "1", "-o", folder / "no")
    assert outcome.code in (3, 4)
    assert "1 frame" in " ".join(two_lines(outcome))
    assert not WRONG.search(outcome.err)


def test_timescale_figure_names_one_frame_as_one():
    """The mark of the lag in the figure of timescales is singular at one frame."""
    from koopman_cli.report.drawing import style
    from koopman_cli.report.lines import timescales

    result = made.result()
    scan = made.replace(result.lag_scan, chosen=1)
    model = made.replace(result.model, dt=None)
    with style():
        figure = timescales(made.replace(result, lag_scan=scan, model=model))
        names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert any(name.startswith("τ = 1 frame") and "frames" not in name for name in names)


def test_signs_of_pages_are_true_and_those_of_files_plain():
    """A page has true minus signs in sentences and tables, the values in them are plain."""
    result = made.result()
    reason = "anywhere from -0.25 to 3e-05, for run-3.npy"
    modes = (
        made.replace(result.modes[0], growth=Quantity(-0.5, -0.75, -0.25, "1/ps"), reason=reason),
        *result.modes[1:],
    )
    text = page(made.replace(result, modes=modes), {}).decode()
    assert f"anywhere from {MINUS}0.25 to 3e{MINUS}05, for run-3.npy" in text
    assert f">{MINUS}0.75</data>" in text
    assert 'value="-0.75"' in text


def test_hyphens_that_are_no_signs_stay():
    """Dates, ranges, options, names and the dashes of empty cells are left as they are."""
    for text in (
        "1979-01",
        "frames 600-800",
        "VAMP-2",
        "run-3.npy",
        "[0.5, -]",
        "a -- b",
        "Kato-T",
    ):
        assert signed(text) == text


def test_numbers_on_a_terminal_can_be_copied(tmp_path):
    """Printed numbers carry the minus that every program reads back."""
    rng = np.random.default_rng(0)
    time = np.arange(1500)
    turn = np.stack([np.cos(0.2 * time), np.sin(0.2 * time)], axis=1)
    np.save(tmp_path / "a.npy", turn * np.exp(-time / 2000)[:, None] + 1e-3 * rng.standard_normal())
    out = tmp_path / "a.koopman"
    printed = process("fit", tmp_path / "a.npy", "--model", "dmd", "-o", out).out
    growth = json.loads((out / "summary.json").read_text())["modes"][0]["growth"]["value"]
    assert growth < 0
    assert f"{growth:.4g}" in printed
    assert MINUS not in printed


# ------------------------------------------------------------------ periods without a slow mode


def turning(noise, seed=3, frames=6000):
    """A rotation with a period of 37 frames, in white noise."""
    angle = 2 * np.pi * np.arange(frames) / 37
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return circle + noise * np.random.default_rng(seed).standard_normal(circle.shape)


def linear(data):
    """Eigenvalues of the columns themselves."""
    settings = {"degree": 1, "solve": "eig"}
    return fit(data, FitOptions(model="edmd", settings=settings, lag="1"))


@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_a_period_in_noise_is_named_where_nothing_is_slow(noise):
    """An oscillation that noise hides is told with its period beside the missing slow mode."""
    result = linear(turning(noise))
    assert not result.slow
    (said,) = (w for w in result.warnings if w.startswith("no slow mode"))
    ((mode, period),) = clear_periods(result.modes, result.model.lag)
    assert mode == 1
    assert period.value == pytest.approx(37, rel=0.15)
    assert f"a period of {period.value:.4g}" in said
    assert any(f"a period of {period.value:.4g}" in s for s in summary_sentences(result))


def test_noise_has_no_period():
    """White noise and relaxation have no period to tell, whatever their eigenvalues do."""
    for seed in range(6):
        noise = np.random.default_rng(seed).standard_normal((4000, 3))
        for data in (noise, relaxing(4000, seed=seed, memory=(0.6, 0.3, 0.0))):
            result = linear(data)
            assert clear_periods(result.modes, result.model.lag) == []


# ------------------------------------------------------------------ narrow terminals


@pytest.fixture(scope="module")
def grid():
    """Scores of two families, three dims and two lags."""
    data = relaxing(2000, memory=(0.95, 0.8, 0.0))
    asked = GridOptions(models=("tica", "vamp"), lags=("1", "5"), dims=(1, 2, 3))
    return score_grid(data, asked)


def printed(table, width):
    """The lines of a table of scores on a terminal of this width."""
    file = io.StringIO()
    render(table, Console(file=file, width=width))
    return file.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 100])
def test_scores_fit_a_terminal(grid, width):
    """No line is cut or broken: every cell stands in one, with its model, dim and VAMP-E."""
    lines = printed(grid, width)
    assert max(map(len, lines)) <= width
    for cell in grid.cells:
        value = f"{cell.score.vampe.test:.4f} ± {cell.score.vampe.stderr:.4f}"
        row = re.compile(rf"{cell.model} .*\b{cell.dim} +{re.escape(value)}")
        assert any(row.search(line) for line in lines), value


def test_what_does_not_fit_is_said_and_stays_in_the_files(grid):
    """Columns with one value are told once, those left out are named and stand in scores.csv."""
    lines = printed(grid, 80)
    (told, *_) = (line for line in lines if line.startswith("all rows: "))
    assert "features identity" in told
    (left, *_) = (line for line in lines if line.startswith("not shown: "))
    assert left.endswith("(scores.csv)")
    assert "vamp1" in csv_text(grid).splitlines()[0]
    full = printed(grid, 4000)
    assert not [line for line in full if line.startswith(("all rows", "not shown"))]
    assert all(name in " ".join(full) for name in HEAD)
