"""A separate test set: it must be other data, of the same step and columns, and be on record."""

import hashlib
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from cli_support import done, relaxing, run, two_lines

from koopman_cli import FitOptions, fit
from koopman_cli.errors import DataError, KoopmanError, UsageError
from koopman_cli.estimate import estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.models.weights import koopman_weights
from koopman_cli.request import Request
from koopman_cli.scores import GridOptions, score_grid
from koopman_cli.scoring import vamp_score
from koopman_cli.types import TimeStep

FIT = ("--model", "tica", "--lag", "5", "--dim", "1")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two runs of one process, a.npy and b.npy, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate("ab"):
        np.save(f"{name}.npy", relaxing(2000, seed))
    return tmp_path


def write_colvar(path, values, step):
    """Three columns as a COLVAR file with a frame every ``step`` ps."""
    rows = np.column_stack([np.arange(len(values)) * step, values])
    np.savetxt(path, rows, header="! FIELDS time a b c", comments="#", fmt="%.5f")


def test_another_time_step_is_refused(folder):
    """A test set with a frame every 2 ps is not scored at a lag counted in frames of 1 ps."""
    write_colvar("one.colvar", relaxing(500, 0), 1.0)
    write_colvar("two.colvar", relaxing(500, 1), 2.0)
    for verb in ("fit", "vamp-score"):
        outcome = run(verb, "one.colvar", "--lag", "5", "--test", "two.colvar", "-q")
        error, hint = two_lines(outcome)
        assert outcome.code == 3
        assert "1 ps in one.colvar, 2 ps in two.colvar" in error
        assert "--dt" in hint


def test_a_time_step_on_one_side_only_is_said(folder):
    """Without a step of its own a test set takes that of the training set, with a warning."""
    write_colvar("one.colvar", relaxing(500, 0), 1.0)
    np.savetxt("no_time.csv", relaxing(500, 1), header="a,b,c", delimiter=",")
    told = done("fit", "one.colvar", *FIT, "--test", "no_time.csv", "--json", "-o", "r").json
    assert any("no_time.csv has no time step" in w and "1 ps" in w for w in told["warnings"])


def test_test_files_are_on_record(folder):
    """summary.json names the files of the test set with the sha256 of each."""
    told = done("fit", "a.npy", *FIT, "--test", "b.npy", "--json", "-o", "r").json
    digest = hashlib.sha256((folder / "b.npy").read_bytes()).hexdigest()
    assert told["input"]["test"] == [{"path": "b.npy", "sha256": digest, "frames": 2000}]
    assert "test" not in done("fit", "a.npy", *FIT, "--json", "-o", "s").json["input"]


def test_stored_result_keeps_the_test_files(folder):
    """What is read back from model.h5 still knows what the model was tested on."""
    from koopman_cli.store import load_result

    done("fit", "a.npy", *FIT, "--test", "b.npy", "-o", "r")
    ((path, digest, frames),) = load_result("r/model.h5").input.test
    assert (path, len(digest), frames) == ("b.npy", 64, 2000)


def test_a_test_file_that_changes_is_noticed(folder):
    """A test set that is written to during the fit ends the fit, as a training file does."""

    def meddle(label, total):
        if label == "hashing":
            os.utime("b.npy", ns=(1, 1))
        from koopman_cli.types import no_progress

        return no_progress(label, total)

    with pytest.raises(DataError, match=r"b\.npy changed"):
        fit("a.npy", FitOptions(model="tica", lag="5", test="b.npy"), progress=meddle)


@pytest.mark.parametrize("how", ["name", "symlink", "hardlink", "copy"])
def test_training_data_are_no_test_data(folder, how):
    """A training file under --test is refused, by its name, a link to it, or a copy of it."""
    made = {"symlink": os.symlink, "hardlink": os.link, "copy": shutil.copy}
    if how in made:
        made[how]("a.npy", "other.npy")
    path = "other.npy" if how in made else "./a.npy"
    for verb in ("fit", "vamp-score"):
        outcome = run(verb, "b.npy", "a.npy", "--lag", "5", "--test", path, "-q")
        error, _ = two_lines(outcome)
        assert outcome.code == 2
        assert "a.npy is to be trained on and tested on" in error


@pytest.mark.parametrize("how", ["name", "symlink", "hardlink"])
def test_no_file_counts_twice(folder, how):
    """One file given twice, by name or link, ends with 2."""
    made = {"symlink": os.symlink, "hardlink": os.link}
    if how in made:
        made[how]("a.npy", "other.npy")
    outcome = run("fit", "a.npy", "b.npy", "other.npy" if how in made else "a.npy", *FIT, "-q")
    error, _ = two_lines(outcome)
    assert outcome.code == 2
    assert "a.npy" in error
    assert not (folder / "a.koopman").exists()


def test_a_copy_is_said(folder):
    """Two files with the same bytes are fitted with a warning, which --strict makes exit 3."""
    shutil.copy("a.npy", "other.npy")
    told = done("fit", "a.npy", "b.npy", "other.npy", *FIT, "--json", "-o", "r").json
    assert any("other.npy is a copy of a.npy" in w for w in told["warnings"])
    outcome = run("fit", "a.npy", "other.npy", *FIT, "--strict", "-q", "-o", "s")
    assert outcome.code == 3


def test_copies_within_a_set_hide_no_copy_across(folder):
    """A training file that is given twice under two names is still found among the test files."""
    for name in ("c.npy", "d.npy"):
        shutil.copy("a.npy", name)
    outcome = run("fit", "a.npy", "c.npy", *FIT, "--test", "b.npy", "--test", "d.npy", "-q")
    assert outcome.code == 2
    assert "d.npy is a copy of it" in two_lines(outcome)[0]


def test_files_that_differ_in_the_middle_are_two(folder):
    """Same size and same ends do not make files one: every byte is compared."""
    long = np.zeros((60_000, 2))
    long[:, 0] = np.sin(np.arange(60_000) * 0.001)
    np.save("one.npy", long)
    long[30_000] += 1.0
    np.save("two.npy", long)
    outcome = run("fit", "one.npy", "--model", "tica", "--lag", "5", "--test", "two.npy", "-q")
    assert "trained on and tested on" not in outcome.err


@pytest.mark.parametrize(
    "test",
    [
        relaxing(500, 1)[:, :2],
        relaxing(500, 1) * 1j,
        np.array([["a", "b", "c"]] * 50),
        np.full((50, 3), None),
        [relaxing(50, 1), relaxing(50, 2)[:, :1]],
        relaxing(500, 1)[None, None],
        relaxing(3, 1),
        np.empty((0, 3)),
    ],
    ids=["narrow", "complex", "text", "objects", "ragged", "axes", "short", "empty"],
)
@pytest.mark.parametrize("call", [fit, score_grid])
def test_arrays_that_cannot_test_are_refused(test, call):
    """A test array of other columns, type or length is a KoopmanError, not one of numpy's."""
    options = {
        fit: FitOptions(model="tica", lag="5", dim="1", test=test),
        score_grid: GridOptions(lags=("5",), dims=(1,), test=test),
    }[call]
    with pytest.raises(KoopmanError) as caught:
        call(relaxing(500), options)
    assert caught.value.code in (2, 3)


def test_a_stream_can_be_a_test_set():
    """A FeatureStream is taken as a test set; its time step is compared too."""
    train, test = (FeatureStream.from_arrays(relaxing(900, k)) for k in range(2))
    options = FitOptions(model="tica", lag="5", dim="1", test=test)
    plain = fit(train, replace(options, test=relaxing(900, 1)))
    assert fit(train, options).score == plain.score
    slower = replace(test, dt=TimeStep(2.0, "ps"))
    with pytest.raises(DataError, match="time steps differ"):
        fit(replace(train, dt=TimeStep(1.0, "ps")), replace(options, test=slower))


def test_arrays_are_no_test_set_of_a_field(folder):
    """A field is tested on a field: arrays in memory are refused in words."""
    np.save("field.npy", np.random.default_rng(0).standard_normal((40, 6, 5)))
    with pytest.raises(UsageError, match="test set of arrays"):
        fit("field.npy", FitOptions(test=np.zeros((40, 30))))


def test_other_columns_are_refused_on_disk(folder):
    """--test with other columns than the training set has ends with 3."""
    np.save("two.npy", relaxing(300)[:, :2])
    outcome = run("fit", "a.npy", *FIT, "--test", "two.npy", "-q")
    two_lines(outcome)
    assert outcome.code == 3


def test_scores_of_another_test_set_are_computed_anew(folder):
    """A grid continued after its test file was replaced does not return the old scores."""
    grid = ("vamp-score", "a.npy", "--lag", "5", "--dim", "1", "--test", "b.npy")
    grid += ("--json", "-o", "scores", "--allow-empty")
    first = done(*grid).json["cells"][0]["vampe"]["test"]
    np.save("b.npy", relaxing(2000, 7))
    second = done(*grid).json["cells"][0]["vampe"]["test"]
    assert second != first


def test_reweighting_weighs_the_test_set():
    """With --test a reweighted model is scored on frames weighted by the trained weights."""
    rng = np.random.default_rng(3)
    start = rng.standard_normal((400, 1)) + 1

    def runs(seed):
        noise = np.random.default_rng(seed).standard_normal((400, 30))
        x = np.empty((400, 30))
        x[:, :1] = start
        for t in range(1, 30):
            x[:, t] = 0.9 * x[:, t - 1] + noise[:, t] * np.sqrt(1 - 0.81)
        return FeatureStream.from_arrays([part[:, None] for part in x])

    train, test = runs(1), runs(2)
    request = Request.of("tica", {"reweight": "true"})
    found = estimate(train, request, 1, dim=1, folds=2, test=test)

    plain, _ = Request.of("tica").moments(train, [1], found.lift)
    weigh, _ = koopman_weights(plain.total(), None)

    def weighted(stream):
        x = np.concatenate([c[:-1] for i in range(400) for c in stream.chunks(i)])
        y = np.concatenate([c[1:] for i in range(400) for c in stream.chunks(i)])
        w = weigh(x) / weigh(x).sum()
        dx, dy = x - w @ x, y - w @ y
        return tuple((a * w[:, None]).T @ b for a, b in ((dx, dx), (dx, dy), (dy, dy)))

    # One function: VAMP-1 on the whole test set is the weighted correlation of x and y.
    c00, c01, c11 = weighted(test)
    whole = float(1 + abs(c01 / np.sqrt(c00 * c11))[0, 0])
    parts = estimate(train, request, 1, dim=1, folds=0, test=test).score
    assert parts.vamp1.test == pytest.approx(whole, abs=2e-3)
    assert found.score.vamp1.test == pytest.approx(whole, abs=0.02)
    assert vamp_score(c00, c01, c11, r=1) == pytest.approx(whole, abs=1e-9)
