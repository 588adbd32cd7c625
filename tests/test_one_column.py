"""One column that hops between two levels: how its two states are found."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import run
from systems import AR1

from koopman_cli import FitOptions, fit


def telegraph(frames: int = 20_000, rate: float = 0.01, seed: int = 0):
    """-1 and 1 with switches at a rate per frame, read with noise of .4."""
    rng = np.random.default_rng(seed)
    level = 2.0 * (np.cumsum(rng.random(frames) < rate) % 2) - 1
    return (level + 0.4 * rng.standard_normal(frames))[:, None]


@pytest.mark.parametrize("model", ["tica", "vamp"])
def test_one_function_shows_no_gap_and_says_what_does(model):
    """A single slow function: no gap is claimed, and both ways to states are named."""
    result = fit(telegraph(), FitOptions(model=model))
    assert result.modes[0].verdict == "resolved"
    assert result.gap.reason == "one function fitted"
    assert result.states is None
    (told,) = (note for note in result.notes if "no gap after it can be seen" in note)
    assert "--model edmd" in told
    assert "koopman states RUN --count 2" in told


@pytest.mark.parametrize("model", ["edmd", "msm"])
def test_further_functions_of_one_column_find_its_two_states(model):
    """The levels of a telegraph signal are two states of half each, lifetimes 100 frames."""
    result = fit(telegraph(), FitOptions(model=model))
    assert result.gap.after == 1
    assert result.states.count == 2
    for population in result.states.hard:
        assert population.low < 0.5 < population.high
    assert [q.value for q in result.states.lifetimes] == pytest.approx([100, 100], rel=0.25)


def test_further_functions_of_one_well_find_no_states():
    """An autoregression of one column has no gap, whatever functions of it are taken."""
    result = fit(AR1.simulate(0, 20_000)[0], FitOptions(model="edmd", lag="5"))
    assert not result.gap.resolved
    assert result.states is None


def test_two_states_by_count(tmp_path):
    """``koopman states RUN --count 2`` divides one column into its two levels."""
    path = tmp_path / "telegraph.npy"
    np.save(path, telegraph())
    fitted = run("fit", path, "-o", tmp_path / "run")
    assert fitted.code == 0
    assert "koopman states RUN --count 2" in " ".join(fitted.out.split())
    told = run("states", tmp_path / "run", "--count", "2", "--json")
    assert told.code == 0
    states = told.json["states"]
    assert states["count"] == 2
    hard = [q["value"] for q in states["populations"]["hard"]]
    assert hard == pytest.approx([0.5, 0.5], abs=0.06)


def test_all_of_two_columns_slow():
    """Two independent telegraph signals: the note counts both functions, and three states."""
    both = np.hstack([telegraph(seed=0), telegraph(rate=0.02, seed=1)])
    result = fit(both, FitOptions(model="tica", lag="5", dim="2"))
    assert any("all 2 functions are slow" in note for note in result.notes)
    noise = np.hstack([telegraph(), np.random.default_rng(2).standard_normal((20_000, 1))])
    result = fit(noise, FitOptions(model="tica", lag="5"))
    assert result.gap.after == 1
    assert not any("no gap after it" in note for note in result.notes)
