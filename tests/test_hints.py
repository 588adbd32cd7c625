"""Errors that say what a thing is, and hints that help when they are typed."""

import json
import re

import numpy as np
import pytest
from cli_support import SAMPLES, done, relaxing, run

from koopman_cli.analysis.certificate import Certificate
from koopman_cli.analysis.consistency import rising
from koopman_cli.nouns import chance
from koopman_cli.report import statetext
from koopman_cli.types import ChapmanKolmogorov, Lag


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """RUNs of a flow, and of the same with delays; and the field they are of."""
    folder = tmp_path_factory.mktemp("runs")
    x, t = np.linspace(0, 2 * np.pi, 24, endpoint=False), np.arange(200)[:, None]
    noise = 0.01 * np.random.default_rng(0).standard_normal((200, 24))
    np.save(folder / "wave.npy", np.sin(x - 0.3 * t) + noise)
    options = ["--kind", "field", "--set", "rank=2", "-q", "-o"]
    done("fit", folder / "wave.npy", *options, folder / "flow")
    done("fit", folder / "wave.npy", *options, folder / "delayed", "--set", "delays=2")
    return folder


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """A RUN of an ensemble in which two halves of a disc turn, and stay apart."""
    folder = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(1)
    side = rng.integers(0, 2, 400)
    angle = 2 * np.pi * rng.random(400)
    radius = np.sqrt(rng.random(400))
    turn = angle[:, None] + np.array([0.0, 1.0]) * (1 + radius[:, None])
    disc = radius[:, None, None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1)
    np.save(folder / "discs.npy", disc + 3.0 * side[:, None, None] * np.array([1.0, 0]))
    options = ["--ensemble", "--model", "kedmd", "--set", "solve=svd", "--set", "bandwidth=1"]
    options += ["--set", "landmarks=60", "--lag", "1", "--dim", "3", "-o", folder / "RUN", "-q"]
    done("fit", folder / "discs.npy", *options)
    return folder / "RUN"


@pytest.mark.parametrize("count", [[], ["--count", "2"]])
def test_flows_have_no_states(folder, count):
    """Whatever number of states is asked of a flow: it has none, and is not divided."""
    told = run("states", folder / "flow", *count)
    assert told.code == 4
    assert "no metastable states" in told.err
    assert "koopman forecast RUN" in told.err
    assert "--count" not in told.err


def test_coherent_sets_are_where_the_hint_says(sets):
    """States of a RUN with coherent sets: their memberships are in the arrays that are named."""
    import h5py

    told = run("states", sets)
    assert told.code == 4
    assert "2 coherent sets" in told.err
    named = re.findall(r"coherent/\w+", told.err)
    assert len(named) == 4
    with h5py.File(sets / "model.h5") as file:
        shapes = {name: file[name].shape for name in named}
    pairs = int(re.search(r"in (\d+) lagged pairs", told.err).group(1))
    assert all(shape == (pairs, 2) for shape in shapes.values())
    assert (sets / "figures" / "coherent-sets.png").exists()


def test_flows_that_cannot_be_compared_say_why(folder):
    """Delays make other columns: no --features would change that."""
    told = run("compare", folder / "flow", folder / "delayed")
    assert told.code == 3
    assert "--set delays" in told.err
    assert "--features" not in told.err
    done("compare", folder / "flow", folder / "flow")
    done("report", folder / "flow", folder / "delayed", "-o", folder / "both.html")


@pytest.mark.parametrize("verb", ["fit", "info", "vamp-score"])
def test_a_run_is_no_trajectory(folder, verb):
    """A RUN where data are wanted is named as one."""
    told = run(verb, folder / "flow")
    assert told.code == 5
    assert "is a RUN, the result of a fit" in told.err
    assert "koopman report" in told.err


def test_the_variable_offered_is_that_of_the_positions(tmp_path):
    """Of variables on different grids the hint takes the grid that most share, there positions."""
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, shape in (("box", (20, 3, 3)), ("force", (20, 8, 3)), ("position", (20, 8, 3))):
            file[name] = np.random.default_rng(0).standard_normal(shape)
    told = run("info", tmp_path / "a.h5")
    assert told.code == 3
    assert "--var position" in told.err


def test_the_end_of_the_data_is_a_date_where_they_have_dates(tmp_path):
    """A forecast until before the end says when that was, in months and in days, and how a date
    is written; without dates it says the time.
    """
    xarray = pytest.importorskip("xarray")
    x, t = np.linspace(0, 2 * np.pi, 12, endpoint=False), np.arange(96)
    wave = np.sin(x - 0.5 * t[:, None]).reshape(96, 3, 4)
    wave += 0.01 * np.random.default_rng(0).standard_normal(wave.shape)
    space = {"lat": np.linspace(-10, 10, 3), "lon": np.arange(4.0)}
    months = [np.datetime64(f"{2000 + i // 12}-{i % 12 + 1:02}-01", "ns") for i in t]
    days = np.datetime64("2000-01-01", "ns") + np.arange(96) * np.timedelta64(1, "D")
    for name, times, end in (("m", months, "2007-12"), ("d", days, "2000-04-05"), ("n", t, "95")):
        data = xarray.Dataset({"sst": (("time", "lat", "lon"), wave)}, {"time": times, **space})
        data.to_netcdf(tmp_path / f"{name}.nc", engine="h5netcdf")
        done("fit", tmp_path / f"{name}.nc", "--set", "rank=2", "-o", tmp_path / name, "-q")
        told = run("forecast", tmp_path / name, "--until", "10")
        assert told.code == 2
        assert f"the data end at {end}\n" in told.err
        assert ("2025-12-31" in told.err) == (name != "n")


def test_the_largest_usable_lag_is_told_in_time_too():
    """A lag beyond the data: what may be typed instead has the unit of what was typed."""
    told = run("fit", SAMPLES / "ala2" / "run1.h5", "--lag", "5us")
    assert told.code == 3
    assert "lag 1000000 frames (5000000 ps)" in told.err
    assert "9899 frames (49495 ps)" in told.err


def test_a_p_beside_its_level_has_digits_that_tell():
    """0.0496 is below 0.05 and is not told as 0.05; 0.3 needs no more digits."""
    assert chance(0.0496) == "0.0496"
    assert chance(0.31234) == "0.31"
    assert float(chance(np.nextafter(0.05, 0))) < 0.05
    none = ((0.0, 0.0),)
    failed = ChapmanKolmogorov((6,), none, none, none, 0.1, 0.0496, "failed")
    assert "failed (p = 0.0496 up to" in statetext.test_line(failed)


def test_an_interrupted_grid_says_what_is_kept(tmp_path, monkeypatch):
    """Ctrl-C after the first cells: 130, where they are, and the same command goes on from there;
    before there are any nothing is said to be kept, and --resume is not needed.
    """
    import koopman_cli.scores as scores

    def interrupted(*args):
        raise KeyboardInterrupt

    np.save(tmp_path / "x.npy", relaxing(2000, seed=0, memory=(0.95,)))
    asked = ["vamp-score", tmp_path / "x.npy", "--model", "tica", "--lag", "2", "--dim", "1"]
    asked += ["-o", tmp_path / "scores", "-q"]
    with monkeypatch.context() as early:
        early.setattr(scores, "open_source", interrupted)
        told = run(*asked)
    assert told.code == 130
    assert "kept" not in told.err
    with monkeypatch.context() as late:
        late.setattr(scores, "_table", interrupted)
        told = run(*asked)
    assert told.code == 130
    assert f"kept in '{tmp_path / 'scores' / 'cells.jsonl'}'" in told.err
    assert "nothing half-written" not in told.err
    before = (tmp_path / "scores" / "cells.jsonl").read_bytes()
    assert "the same --out" in run(*asked, "--resume").err
    done(*asked)
    assert (tmp_path / "scores" / "cells.jsonl").read_bytes() == before


def test_strict_names_what_the_warnings_come_to(tmp_path):
    """A walk with a column that drifts: --strict tells the first warning and that no slow mode is
    resolved, and counts the others.
    """
    rng = np.random.default_rng(3)
    walk = rng.standard_normal((4000, 2)).cumsum(axis=0)
    np.save(tmp_path / "walk.npy", walk)
    options = ["--model", "tica", "--lag", "5", "--dim", "2", "--strict", "-q"]
    told = run("fit", tmp_path / "walk.npy", *options, "-o", tmp_path / "RUN")
    assert told.code == 4
    warnings = [w[9:] for w in told.out.splitlines() if w.startswith("Warning: ")]
    whole = next(w for w in warnings if w.startswith(("no slow mode", "what is slow is not")))
    assert whole != warnings[0]
    assert f"--strict: {warnings[0]}; {whole}" in told.err
    assert len(warnings) == 2 or f"and {len(warnings) - 2} more warning" in told.err


def test_a_bandwidth_of_zero_is_what_the_hint_says(tmp_path):
    """@0 is the median distance, as a bandwidth that is not given; -1 is refused with that."""
    np.save(tmp_path / "x.npy", relaxing(2000, seed=0, memory=(0.95, 0.5)))
    options = ["--model", "kedmd", "--set", "landmarks=20", "--lag", "2", "--dim", "1", "-q"]
    values = []
    for k, kernel in enumerate(("gaussian", "gaussian@0")):
        out = tmp_path / f"RUN{k}"
        done("fit", tmp_path / "x.npy", *options, "--set", f"kernel={kernel}", "-o", out)
        values.append(json.loads((out / "summary.json").read_text())["modes"][0]["eigenvalue"])
    assert values[0] == values[1]
    told = run("fit", tmp_path / "x.npy", *options, "--set", "kernel=gaussian@-1")
    assert told.code == 2
    assert "or 0 for the median distance" in told.err


def test_held_out_timescales_are_called_so():
    """What stands in a reason beside the timescale of the table says that it is held out."""
    (told,) = rising([Certificate(0.4, 0.01, 0.28 - 0.16, 0.01)], Lag(4, 4.0, "frames")).values()
    assert told.endswith("at twice the lag, held out")


def test_particles_in_a_plane_are_not_taken_for_a_field_in_silence(tmp_path):
    """(particles, time, 2) without --ensemble is read as a field with a warning that names
    --ensemble and is gone with --kind field; with --ensemble it is what it is.
    """
    rng = np.random.default_rng(0)
    path = tmp_path / "gyre.npz"
    np.savez(path, positions=rng.standard_normal((300, 11, 2)).cumsum(axis=1))
    told = done("info", path).out
    (line,) = (w for w in told.splitlines() if "--ensemble" in w)
    assert "300 particles at 11 times in 2 dimensions" in line
    for more in (["--kind", "field"], ["--ensemble"], ["--time-axis", "0"]):
        assert "--ensemble" not in done("info", path, *more).out
    fitted = run("fit", path, "--set", "rank=2", "--allow-empty", "-o", tmp_path / "RUN", "-q")
    assert "add --ensemble" in fitted.out
