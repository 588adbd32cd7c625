"""Errors that say what a thing is, and hints that help when they are typed."""

import re

import numpy as np
import pytest
from cli_support import done, run


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
