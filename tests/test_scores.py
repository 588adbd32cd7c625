"""Grids of scores: equal to refitting, without leaks, honest about nothing, and continued."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import lfilter

from koopman_cli.accumulate import accumulate
from koopman_cli.blocks import plan_blocks
from koopman_cli.candidates import Candidate
from koopman_cli.centring import offset
from koopman_cli.choice import differences, recommend
from koopman_cli.cli import koopman
from koopman_cli.features.stream import FeatureStream
from koopman_cli.grid import Design, Scorer
from koopman_cli.models.solve import solve
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.request import Request
from koopman_cli.scores import GridOptions, score_grid
from koopman_cli.store.journal import Journal
from koopman_cli.types import Lag, Score, ScoreEntry
from koopman_cli.validation import assign_folds, make_folds

ALA2 = Path(__file__).parents[1] / "sample_data" / "ala2"
RUNS = [str(ALA2 / "run1.h5"), str(ALA2 / "run2.h5")]


def columns(seed: int, timescales, frames: int = 5000) -> np.ndarray:
    """Independent AR(1) columns of unit variance, started in equilibrium."""
    a = np.exp(-1 / np.asarray(timescales, float))
    kicks = np.random.default_rng(seed).standard_normal((frames, len(a)))
    kicks[1:] *= np.sqrt(1 - a * a)
    return np.column_stack([lfilter([1], [1, -x], k) for x, k in zip(a, kicks.T, strict=True)])


def two_slow(seed: int) -> np.ndarray:
    """Timescales 50 and 20 beside twenty of 2."""
    return columns(seed, [50, 20] + [2] * 20)


def cells_of(data, names, lags, dims, **design):
    """Cells of an array, and the scorer that made them."""
    scorer = Scorer(FeatureStream.from_arrays(data), Design(tuple(lags), **design))
    found = scorer.score([Request.of(name) for name in names], lambda i, lag: dims)
    return [cell for _, cell in found], scorer


# ------------------------------------------------------------------ the numbers


def inverse_root(c):
    """C^-1/2."""
    values, vectors = np.linalg.eigh(c)
    return vectors / np.sqrt(values) @ vectors.T


def pairs_of(data, ranges, lag):
    """All pairs inside ranges of frames."""
    x = np.concatenate([data[a : b - lag] for a, b in ranges])
    y = np.concatenate([data[a + lag : b] for a, b in ranges])
    return x, y


def reference_scores(train, test, dim, *, reversible):
    """Fit on train pairs and score on test pairs, from the definitions and from scratch."""
    x, y = train
    if reversible:
        both = np.concatenate([x, y])
        mean = both.mean(axis=0)
        c00 = (both - mean).T @ (both - mean) / len(both)
        c01 = (x - mean).T @ (y - mean) / len(x)
        root = inverse_root(c00)
        values, vectors = np.linalg.eigh(root @ (c01 + c01.T) / 2 @ root)
        functions = root @ vectors[:, np.argsort(-np.abs(values))[:dim]]
        x, y = x @ functions, y @ functions
    else:
        functions = np.eye(x.shape[1])
    x0, y0 = x - x.mean(axis=0), y - y.mean(axis=0)
    r0, r1 = inverse_root(x0.T @ x0 / len(x)), inverse_root(y0.T @ y0 / len(y))
    u, s, vt = np.linalg.svd(r0 @ (x0.T @ y0 / len(x)) @ r1)
    left, right, s = functions @ r0 @ u[:, :dim], functions @ r1 @ vt[:dim].T, s[:dim]
    # Held-out pairs of a run are centred by the mean of all pairs of the run.
    f, g = (
        (test[i] - np.concatenate([train[i], test[i]]).mean(axis=0)) @ functions
        for i, functions in enumerate((left, right))
    )
    c00, c01, c11 = f.T @ f / len(f), f.T @ g / len(f), g.T @ g / len(f)
    small = np.linalg.svd(inverse_root(c00) @ c01 @ inverse_root(c11), compute_uv=False)
    vampe = 1 + np.trace(2 * np.diag(s) @ c01 - np.diag(s) @ c00 @ np.diag(s) @ c11)
    return 1 + small.sum(), 1 + (small**2).sum(), vampe


def test_scores_equal_refitting_every_fold():
    """VAMP-1, -2 and -E of every fold equal those of fitting its pairs from scratch, to 1e-6."""
    data = columns(0, [30, 10, 5, 2, 2], 3000)
    lags, dims = (3, 11), (1, 2, 4)
    cells, scorer = cells_of(data, ["tica", "vamp"], lags, dims)
    plan = scorer.plan(data.shape[1])
    blocks, _ = accumulate(FeatureStream.from_arrays(data), lags, plan=plan.at(lags))
    held = assign_folds(blocks, 5)
    spans = [(int(a), int(b)) for a, b in zip(plan.start, plan.stop, strict=True)]
    inside = [spans[r] for r in np.flatnonzero(plan.is_block)]

    def ranges(chosen):
        """Neighbouring blocks run on into each other."""
        rows = []
        for b in sorted(chosen):
            if rows and b - 1 in chosen:
                rows[-1] = (rows[-1][0], inside[b][1])
            else:
                rows.append(inside[b])
        return rows

    assert len(cells) == 12
    for cell in cells:
        for fold, test in enumerate(held):
            rest = set(range(len(inside))) - set(test)
            expected = reference_scores(
                pairs_of(data, ranges(rest), cell.lag.frames),
                pairs_of(data, ranges(set(test)), cell.lag.frames),
                cell.dim,
                reversible=cell.model == "tica",
            )
            entries = (cell.score.vamp1, cell.score.vamp2, cell.score.vampe)
            np.testing.assert_allclose([e.folds[fold] for e in entries], expected, rtol=1e-6)


def test_scores_equal_those_of_deeptime():
    """VAMP-1, -2 and -E of a VAMP model on a test set equal deeptime's to 1e-8."""
    decomposition = pytest.importorskip("deeptime.decomposition")
    from koopman_cli.scoring import score_nested

    data = columns(1, [30, 10, 5, 2], 4000)
    lag, train, test = 5, data[:2500], data[2600:]
    ours = [Moments.of_pairs(part[:-lag], part[lag:]) for part in (train, test)]
    fitted = solve(ours[0], "svd")

    def peer(part, dim=None):
        return decomposition.VAMP(lagtime=lag, dim=dim, scaling=None, epsilon=1e-12).fit_fetch(part)

    for dim in (1, 2, 3):
        model, held = peer(train, dim), peer(test)
        (found,) = score_nested(*ours, fitted.left, fitted.right, [dim])
        for r, value in ((1, found.vamp1), (2, found.vamp2), ("E", found.vampe)):
            expected = model.score(r, test_model=held, epsilon=1e-12, dim=dim)
            assert value == pytest.approx(expected, rel=1e-8), (dim, r)


@pytest.mark.parametrize(("runs", "repeat"), [(1, 0), (2, 0), (4, 9)])
def test_held_out_covariances_are_not_too_small(runs, repeat):
    """Folds of a few timescales, of parts of one or several runs: the mean over 200 seeds of the
    held-out covariance of a known function is at most exp(-lag/t), and less only by what the
    means of the runs take away; about the mean of each fold it is below.
    """
    lag, t, frames = 10, 50.0, 5000 // runs
    about_run, about_own = np.empty((200, 5)), np.empty((200, 5))
    for seed in range(200):
        data = [columns(1000 * i + seed, [t], frames) for i in range(runs)]
        blocks, _ = accumulate(FeatureStream.from_arrays(data), [lag])
        folds = make_folds(blocks, lambda m: solve(m, "svd"), repeat=repeat)
        for k, fold in enumerate(folds):
            dx, dy = fold.away
            test = fold.moments()[1]
            own = float(test.covariances().c01[0, 0] / test.scale[0] ** 2)
            about_own[seed, k], about_run[seed, k] = own, own + dx[0] * dy[0]
    # The mean of a run takes 2 t / frames away; of several in one fold, less.
    exact, error = np.exp(-lag / t), about_run.mean(axis=1).std() / np.sqrt(200)
    assert exact - 2 * t / frames - 3 * error < about_run.mean() < exact + 3 * error
    gained = (about_run - about_own).mean(axis=1)
    assert gained.mean() > 4 * gained.std() / np.sqrt(200)


def test_whole_runs_keep_their_own_mean():
    """Runs held out as a whole have no offset, as trajectories or as members of an ensemble: what
    differs between runs is no slow mode. Half of a run beside a whole one has one.
    """
    runs = [columns(seed, [5.0], 600) + 10 * seed for seed in range(5)]
    blocks, _ = accumulate(FeatureStream.from_arrays(runs), [2])
    owner = blocks.trajectory[blocks.is_block]
    assert all(fold.away is None for fold in make_folds(blocks, lambda m: solve(m, "svd")))
    members = [np.array([[600 * i, 600 * (i + 1)] for i in range(5)])]
    plan = plan_blocks(members, [2], 1, n_blocks=5)
    stream = FeatureStream.from_arrays(np.concatenate(runs))
    together, _ = accumulate(replace(stream, segments=tuple(members)), [2], plan=plan)
    assert len(np.unique(together.trajectory[together.is_block])) == 1
    assert all(fold.away is None for fold in make_folds(together, lambda m: solve(m, "svd")))
    half = np.flatnonzero(owner == 0)[: np.count_nonzero(owner == 0) // 2].tolist()
    held = half + np.flatnonzero(owner == 1).tolist()
    dx, _ = offset(blocks, held, [b for b in range(blocks.n_blocks) if b not in held])
    part, every = blocks.sum_joined(half), blocks.sum_joined(np.flatnonzero(owner == 0).tolist())
    share = part.n / blocks.sum_joined(held).n
    # The boundary between the halves belongs to neither.
    assert dx[0] == pytest.approx(share * (part.mean_x[0] - every.mean_x[0]), abs=0.05)


@pytest.mark.parametrize("moving", ["step", "line", None])
def test_means_that_move_are_named(moving):
    """A change of level and a trend in noise score like a slow mode, and are named; a slow column
    of 30 timescales is not.
    """
    noise = np.random.default_rng(0).standard_normal((6000, 1))
    if moving == "step":
        noise[3000:] += 1.8
    elif moving == "line":
        noise[:, 0] += np.linspace(0, 5, len(noise))
    data = noise if moving else columns(0, [200.0], 6000)
    _, scorer = cells_of(data, ["tica"], [5], (1,))
    said = " ".join(refusal.said for refusal in scorer.refused)
    assert ("the mean of x1" in said) is (moving is not None)


# ------------------------------------------------------------------ no leak


@given(
    lengths=st.lists(st.integers(60, 400), min_size=1, max_size=7),
    lag=st.integers(1, 12),
    folds=st.integers(2, 6),
    repeat=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_train_and_test_are_a_lag_apart(lengths, lag, folds, repeat):
    """Other frames in a test set, or within a lag of it, change no number of its training set."""
    assert not any(changed(lengths, lag, folds, repeat, BlockMoments.sum_joined))


def test_the_leak_test_sees_a_leak():
    """Total minus test, which keeps the pairs on the border, is caught."""

    def all_but_test(blocks, rest):
        held = sorted(set(range(blocks.n_blocks)) - set(rest))
        return blocks.total() - blocks.sum_blocks(held)

    assert all(changed([400], 5, 5, 0, all_but_test))


def changed(lengths, lag, folds, repeat, train_of):
    """For each fold: whether the training moments change with frames of and near its test set."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((n, 1)) for n in lengths]
    scorer = Scorer(FeatureStream.from_arrays(arrays), Design((lag,)))
    plan = scorer.plan(1).at((lag,))
    blocks, _ = accumulate(scorer.stream, [lag], plan=plan)
    regions = np.flatnonzero(blocks.is_block)
    found = []
    for held in assign_folds(blocks, folds, repeat):
        other = [a.copy() for a in arrays]
        for r in regions[held]:
            spread_over(other, int(blocks.trajectory[r]), (blocks.start[r], blocks.stop[r]), lag)
        moved, _ = accumulate(FeatureStream.from_arrays(other), [lag], plan=plan)
        rest = sorted(set(range(blocks.n_blocks)) - set(held))
        before, after = train_of(blocks, rest), train_of(moved, rest)
        after = after.rebased(before.shift, before.scale)
        parts = zip((before.xx, before.xy, before.yy), (after.xx, after.xy, after.yy), strict=True)
        found.append(not all(np.allclose(a, b, rtol=1e-9, atol=1e-9) for a, b in parts))
    return found


def spread_over(arrays, trajectory, span, lag):
    """Replace the frames of a block, which may run on through several arrays, and those near."""
    start, stop = (int(x) for x in span)
    while start < stop:
        n = len(arrays[trajectory])
        end = min(stop, n)
        arrays[trajectory][max(start - lag, 0) : end + lag] += 3.0
        start, stop, trajectory = 0, stop - n, trajectory + 1


# ------------------------------------------------------------------ the rule


def cell(dim, folds, *, model="tica", lag=5, floor=0.05, poor=0):
    """A candidate with given scores per fold."""
    entry = ScoreEntry(1.5, float(np.mean(folds)), 0.1, tuple(folds))
    score = Score(dim, entry, entry, entry, len(folds), 20, poor)
    return Candidate(
        "identity", model, Lag(lag, float(lag), "frames"), dim, {}, score, floor, 0.8, 20.0,
        5, 5, 1000, 1, 0.1,
    )  # fmt: skip


def test_simplest_within_one_error_is_recommended():
    """Fewest functions within one error of the fold-wise difference to the best, lag by lag."""
    cells = [
        cell(1, [1.3, 1.5, 1.4, 1.2, 1.6]),
        cell(2, [1.5, 1.7, 1.6, 1.4, 1.79]),
        cell(3, [1.5, 1.7, 1.6, 1.4, 1.8]),
        cell(3, [1.9, 1.9, 1.9, 1.8, 1.8], lag=1),
    ]
    found = recommend(cells)
    assert [(r.lag.frames, r.cell) for r in found] == [(5, 1), (1, 3)]
    (gap,) = differences(cells)
    assert (gap.best, gap.second) == (2, 1)
    assert gap.low < gap.value < gap.high


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (cell(1, [1.01, 0.97, 1.02, 0.99, 1.0]), "no slow mode"),
        (cell(1, [1.5, 1.4, 1.6, 1.5, 1.5], floor=0.9), "noise floor"),
        (cell(1, [1.5, 1.4, 1.6, 1.5, 1.5], poor=2), "too few events"),
    ],
    ids=["constant", "floor", "poor"],
)
def test_nothing_is_recommended_without_reason(candidate, why):
    """No cell where 1 is not beaten by two errors, the floor not passed, or folds too poor."""
    (found,) = recommend([candidate])
    assert found.cell is None
    assert why in found.reason


@pytest.mark.parametrize(
    ("folds", "floor", "whole", "taken"),
    [
        ([1.5, 1.4, 1.6, 1.5, 1.5], 0.95, True, 0),
        ([1.5, 1.4, 1.6, 1.5, 1.5], 0.95, False, None),
        # Less than half of the training score is left, as of fitted noise.
        ([1.2, 1.2, 1.3, 1.2, 1.2], 0.95, True, None),
        ([1.5, 1.4, 1.6, 1.5, 1.5], 0.85, True, None),
    ],
)
def test_whole_runs_held_out_decide_above_a_floor_of_nine_tenths(folds, floor, whole, taken):
    """Independent runs that keep the score outweigh a floor near 1; parts of one run do not."""
    (found,) = recommend([replace(cell(1, folds, floor=floor), whole=whole)])
    assert found.cell == taken


def test_only_folds_of_whole_runs_count_as_such():
    """Members of an ensemble are held out whole; one run cut into blocks is not."""
    rng = np.random.default_rng(0)
    for x, whole in (([rng.standard_normal((30, 2)) for _ in range(40)], True),
                     (rng.standard_normal((1200, 2)), False)):  # fmt: skip
        table = score_grid(x, GridOptions(models=("vamp",), lags=("2",), dims=(1,)))
        assert all(c.whole == whole for c in table.cells)


def dims_recommended(data, names, lag=20, dims=range(1, 11)):
    """Dim of the recommended cell (None for none), and of the cell that scores best."""
    cells, _ = cells_of(data, names, [lag], tuple(dims))
    (answer,) = recommend(cells)
    best = max(cells, key=lambda c: c.score.vampe.test)
    return None if answer.cell is None else cells[answer.cell].dim, best.dim


@pytest.mark.slow
@pytest.mark.parametrize("families", ["tica", "vamp", "tica,vamp"])
def test_two_slow_columns_are_found(families, measured):
    """Two AR(1) columns (50, 20) beside twenty of 2: dim 2 on at least 18 of 20 seeds."""
    both = [dims_recommended(two_slow(seed), families.split(",")) for seed in range(20)]
    found, best = [dim for dim, _ in both], [dim for _, dim in both]
    other = [dim for dim in found if dim != 2]
    measured(
        f"{found.count(2)} of 20; otherwise {other}; best score at dim 2 on {best.count(2)}",
        range(20),
    )
    assert found.count(2) >= 18


@pytest.mark.slow
@pytest.mark.parametrize("family", ["tica", "vamp"])
def test_noise_has_no_slow_mode(family, measured):
    """22 columns of independent noise: nothing recommended on 20 of 20 seeds."""
    noise = [np.random.default_rng(seed).standard_normal((5000, 22)) for seed in range(20)]
    found = [dims_recommended(data, [family])[0] for data in noise]
    measured(f"{found.count(None)} of 20", range(20))
    assert found.count(None) == 20


@pytest.mark.slow
@pytest.mark.parametrize("family", ["tica", "vamp"])
def test_one_column_of_noise_has_no_slow_mode(family, measured):
    """One column of independent noise: nothing recommended on at least 94 of 100 seeds."""
    noise = [np.random.default_rng(seed).standard_normal((5000, 1)) for seed in range(100)]
    found = [dims_recommended(data, [family], dims=[1])[0] for data in noise]
    measured(f"{found.count(None)} of 100", range(100))
    assert found.count(None) >= 94


def test_torsions_beat_distances_beat_an_angle(tmp_path):
    """Alanine dipeptide, k = 2, 10 ps: torsions, then heavy-atom distances, then one angle."""
    angle = tmp_path / "angle.py"
    angle.write_text(ANGLE)
    specs = ("torsions", "heavy-distances", f"python:{angle}:corner")
    options = GridOptions(features=specs, models=("tica",), lags=("10ps",), dims=(2,))
    table = score_grid(RUNS, options)
    torsions, distances, corner = (c.score.vampe.test for c in table.cells)
    assert torsions > distances > corner


ANGLE = """
import numpy as np


def corner(frames):
    x = frames.xyz
    # CH3 of the acetyl group, CA, and the methyl carbon at the other end.
    pairs = [(0, 4), (4, 9), (0, 9)]
    return np.stack([np.linalg.norm(x[:, i] - x[:, j], axis=1) for i, j in pairs], axis=1)
"""


# ------------------------------------------------------------------ the command line


def run(*args):
    """Run the command line in this process; its error, if any, is ``exception``."""
    return CliRunner().invoke(koopman, [str(a) for a in args], standalone_mode=False)


@pytest.fixture
def slow_file(tmp_path):
    """Columns of which one is slow, in a file."""
    np.save(tmp_path / "x.npy", columns(3, [50, 10, 2, 2], 4000))
    return tmp_path / "x.npy"


def test_json_csv_and_figure_agree(slow_file, tmp_path):
    """scores.json, --json and scores.csv tell the same numbers; the figure is there."""
    done = run(
        "vamp-score", slow_file, "--lag", "5,10", "--dim", "1:3", "--json", "-o", tmp_path / "s"
    )
    told = json.loads(done.output)
    assert told == json.loads((tmp_path / "s" / "scores.json").read_text())
    assert {"schema", "folds", "blocks", "cells", "recommended"} <= set(told)
    assert len(told["cells"]) == 2 * 2 * 3
    rows = list(csv.DictReader((tmp_path / "s" / "scores.csv").read_text().splitlines()))
    for i, found in enumerate(told["cells"]):
        folds = [float(r["vampe"]) for r in rows if r["cell"] == str(i) and r["fold"].isdigit()]
        assert folds == found["vampe"]["folds"]
        assert np.mean(folds) == pytest.approx(found["vampe"]["test"])
    assert (tmp_path / "s" / "figures" / "scores.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_but_a_path(slow_file, tmp_path, monkeypatch):
    """With a path alone the lag is that of a fit, said with its reason; a RUN is left alone."""
    from koopman_cli.api import FitOptions, fit

    monkeypatch.chdir(tmp_path)
    told = json.loads(run("vamp-score", slow_file, "--json").stdout)
    chosen = fit([str(slow_file)], FitOptions(model="tica")).model.lag
    assert {c["lag"]["frames"] for c in told["cells"]} == {chosen.frames}
    assert (tmp_path / "x-scores.koopman" / "scores.json").exists()
    assert not (tmp_path / "x.koopman").exists()
    assert "stay within 10%" in run("vamp-score", slow_file).stdout


def test_several_processes_find_the_same(slow_file):
    """--jobs 2 gives the cells of one process, to the last bit."""
    options = GridOptions(
        models=("tica", "edmd"), lags=("5",), dims=(1, 2),
        settings={"edmd": {"basis": ("gaussians",), "centers": ("5", "10")}},
    )  # fmt: skip
    from dataclasses import replace

    alone = score_grid([str(slow_file)], options)
    shared = score_grid([str(slow_file)], replace(options, jobs=2))
    assert [c.score for c in alone.cells] == [c.score for c in shared.cells]


GRID = (
    *("--lag", "1,2,5", "--dim", "1:3", "--model", "tica,edmd", "--set", "edmd.basis=gaussians"),
    *("--set", "edmd.centers=8,12,16,20,24", "--json"),
)


def table_of(text):
    """Cells without the seconds they took."""
    told = json.loads(text)
    for found in told["cells"]:
        del found["seconds"]
    return told["cells"], told["recommended"]


def test_a_killed_grid_goes_on(slow_file, tmp_path):
    """Kill -9 in the middle, run again: the same table, and only missing cells computed."""
    whole = run("vamp-score", slow_file, *GRID, "-o", tmp_path / "whole")
    out = tmp_path / "killed"
    command = [sys.executable, "-c", "from koopman_cli.cli import main; main()"]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "vamp-score", str(slow_file), *GRID, "-o", str(out)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env,
    )  # fmt: skip
    book = out / "cells.jsonl"
    while process.poll() is None and not (book.exists() and len(Journal(book).read()) >= 12):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = book.read_bytes()
    kept = Journal(book).read()
    assert 12 <= len(kept) < len(json.loads(whole.output)["cells"])
    again = run("vamp-score", slow_file, *GRID, "-o", out)
    assert book.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    lines = [line for line in book.read_text().splitlines() if line.endswith("}")]
    keys = [json.loads(line.partition(" ")[2])["key"] for line in lines]
    assert len(keys) == len(set(keys)) == len(json.loads(whole.output)["cells"])
    assert table_of(again.stdout) == table_of(whole.stdout)


def test_a_cut_line_of_the_journal_is_passed_over(tmp_path):
    """A line that lost its end counts as not written, and does not spoil the next one."""
    journal = Journal(tmp_path / "cells.jsonl")
    journal.append([{"key": "a", "v": 1}, {"key": "b", "v": 2}])
    content = journal.path.read_bytes()
    journal.path.write_bytes(content[:-5])
    assert set(journal.read()) == {"a"}
    journal.append([{"key": "c", "v": 3}])
    assert set(journal.read()) == {"a", "c"}


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["--lag", "5", "--dim", "0"], 2, "dim 0"),
        (["--lag", "5", "--dim", "two"], 2, "whole numbers"),
        (["--lag", "5", "--folds", "1"], 2, "at least two"),
        (["--lag", "5", "--model", "tcia"], 2, "tcia"),
        (["--lag", "5", "--set", "tica.rtl=1"], 2, "rtl"),
        (["--lag", "5", "--set", "edmd.degree=2"], 2, "edmd is not scored"),
        (["--lag", "5000"], 3, "lag 5000"),
    ],
    ids=lambda value: "_".join(value) if isinstance(value, list) else None,
)
def test_mistakes_are_told(slow_file, tmp_path, args, code, says):
    """A mistake ends with its exit code and names what is wrong; nothing is scored."""
    done = run("vamp-score", slow_file, *args, "-o", tmp_path / "s")
    assert done.exception.code == code
    assert says in str(done.exception)
    assert not (tmp_path / "s" / "scores.json").exists()


def test_noise_ends_with_4_and_results(tmp_path):
    """Nothing recommended: the table is written and the exit code is 4, or 0 if allowed."""
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).standard_normal((3000, 5)))
    args = ["vamp-score", tmp_path / "noise.npy", "--lag", "5", "-o", tmp_path / "s"]
    done = run(*args)
    assert done.exception.code == 4
    assert "no slow mode in these features" in str(done.exception)
    assert (
        json.loads((tmp_path / "s" / "scores.json").read_text())["recommended"][0]["cell"] is None
    )
    assert run(*args, "--allow-empty").exception is None
