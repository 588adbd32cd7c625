"""Motion that outlasts the data is not reported as a slow mode."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.linalg
from cli_support import run
from systems import AR1

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.spectrum import Context, walks
from koopman_cli.types import Lag, ReadOptions

ONE = Context(Lag(1, 1.0, "frames"), 0.1, 1000, "reversible")


def walk(frames: int, columns: int, seed: int):
    """Sums of independent steps."""
    return np.cumsum(np.random.default_rng(seed).standard_normal((frames, columns)), axis=0)


@pytest.mark.parametrize(
    ("family", "columns"), [("tica", 1), ("tica", 3), ("vamp", 1), ("edmd", 1), ("edmd", 3)]
)
def test_a_random_walk_resolves_nothing(family, columns):
    """Random walks of 3000 frames: no mode resolved, no gap, no states, on 5 of 5 seeds."""
    for seed in range(5):
        result = fit(walk(3000, columns, seed), FitOptions(model=family, lag="1"))
        assert not result.slow or any("random walk" in said for said in result.warnings)
        assert all(mode.verdict == "unresolved" for mode in result.modes)
        assert result.gap is not None
        assert not result.gap.resolved
        assert result.states is None


def test_the_reason_of_a_random_walk(tmp_path):
    """Data too short to tell are a warning (4 with --strict), and the mode tells why."""
    path = tmp_path / "walk.npy"
    np.save(path, walk(2000, 1, 0))
    done = run("fit", path, "-o", tmp_path / "run")
    assert "not told from a random walk: the data hold 3.4 of its timescales" in done.out
    assert "the slowest motion is not told from a random walk" in done.out + done.err
    assert done.code == 0
    assert (tmp_path / "run" / "model.h5").exists()
    assert run("fit", path, "-o", tmp_path / "again", "--strict").code == 4


def test_walks_are_recognised():
    """Eigenvalues of one to three walks of 1000 frames pass for modes in at most 8% of 200."""
    passed = np.zeros(3)
    for seed in range(200):
        for p in (1, 2, 3):
            x = walk(1000, p, 1000 * p + seed)
            x, y = x[:-1] - x.mean(axis=0), x[1:] - x.mean(axis=0)
            values = scipy.linalg.eigh(x.T @ y + y.T @ x, x.T @ x + y.T @ y, eigvals_only=True)
            passed[p - 1] += len(walks(values[::-1].astype(complex), ONE)) < p
    assert passed.max() <= 16


def test_a_stationary_process_is_told_from_a_walk():
    """An autoregression of 20 frames is resolved in 2000 frames, on 10 of 10 seeds."""
    for seed in range(10):
        result = fit(AR1.simulate(seed, 2000)[0], FitOptions(model="tica", lag="1", dim="1"))
        assert result.modes[0].verdict == "resolved"
        assert result.slow


def test_an_oscillation_is_no_walk():
    """Complex pairs are not asked for timescales that the data hold."""
    assert walks(np.array([0.999 + 0.02j, 0.999 - 0.02j, 0.5]), ONE) == ()


def ensemble(path, runs, **options):
    """Fit of runs (runs, frames, columns) as ``--ensemble`` reads them."""
    np.save(path, runs)
    return fit([str(path)], FitOptions(**options), read=ReadOptions(ensemble=True))


@pytest.mark.parametrize("family", ["tica", "edmd"])
def test_many_walks_from_one_place_resolve_nothing(tmp_path, family):
    """20 walks of 1000 frames from one start: unresolved on 4 of 4 seeds, and the mode says why."""
    for seed in range(4):
        steps = np.random.default_rng(seed).standard_normal((20, 1000, 1))
        result = ensemble(tmp_path / "walks.npy", steps.cumsum(axis=1), model=family, lag="5")
        assert all(mode.verdict != "resolved" for mode in result.modes)
        assert "the runs start alike" in result.modes[0].reason
        assert not result.slow or any("random walk" in said for said in result.warnings)
        assert not result.gap.resolved


def test_short_runs_from_equilibrium_are_resolved(tmp_path):
    """200 runs of 60 frames of an autoregression of 50 frames: resolved on 4 of 4 seeds."""
    kept = np.exp(-1 / 50)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        runs = rng.standard_normal((60, 200))
        for before, now in pairwise(runs):
            now[:] = kept * before + np.sqrt(1 - kept**2) * now
        found = ensemble(tmp_path / "runs.npy", runs.T[..., None], model="tica", lag="5", dim="1")
        assert found.modes[0].verdict == "resolved"
        assert found.modes[0].timescale.value == pytest.approx(50, rel=0.25)


def test_few_runs_that_start_alike_must_hold_both():
    """Runs that start alike are never asked for less: 15 timescales in all, 3 in the longest."""
    context = replace(ONE, frames=2000, alike=frozenset({0}))
    assert walks(np.exp(-1 / np.array([130.0])) + 0j, context) == ()
    assert walks(np.exp(-1 / np.array([150.0])) + 0j, context) == ((0, 15.0),)
    many = replace(context, frames=20_000)
    assert walks(np.exp(-1 / np.array([330.0])) + 0j, many) == ()
    assert walks(np.exp(-1 / np.array([350.0])) + 0j, many) == ((0, 3.0),)
    assert walks(np.exp(-1 / np.array([350.0])) + 0j, replace(many, alike=frozenset())) == ()
