"""Coherences: waves are resolved; noise, drifts and too little data are not."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import run
from scipy.signal import lfilter

from koopman_cli import FitOptions, fit
from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.coherences import Seen, judge_coherences
from koopman_cli.analysis.coherent import coherent_sets
from koopman_cli.analysis.modes import symmetric_in_time
from koopman_cli.analysis.onestep import NOT_SEEN
from koopman_cli.analysis.spectrum import Context
from koopman_cli.features.stream import FeatureStream
from koopman_cli.models.solve import solve
from koopman_cli.scores import GridOptions, score_grid
from koopman_cli.types import Lag, Mode

VAMP = {"model": "vamp", "lag": "1"}


def waves(frames: int = 400, points: int = 60, noise: float = 0.02, seed: int = 0):
    """Two waves that travel to either side, periods 25 and 11 frames."""
    x, t = np.linspace(0, 2 * np.pi, points, endpoint=False), np.arange(frames)[:, None]
    field = np.sin(x - 2 * np.pi * t / 25) + 0.6 * np.sin(2 * x + 2 * np.pi * t / 11)
    return field + noise * np.random.default_rng(seed).standard_normal(field.shape)


def test_waves_are_resolved_without_a_floor(tmp_path):
    """60 points in 400 frames are too many for a floor: held-out data decide, exit 0."""
    path = tmp_path / "wave.npy"
    np.save(path, waves())
    done = run("fit", path, "-o", tmp_path / "run", "--json")
    assert done.code == 0
    assert [mode["verdict"] for mode in done.json["modes"][:4]] == ["resolved"] * 4
    assert all(mode["timescale"] is None for mode in done.json["modes"])


@pytest.mark.parametrize("noise", [0.0, 0.02, 0.3])
def test_waves_are_resolved_whatever_the_floor(noise):
    """Where a shift of periodic data proves nothing, held-out coherences do."""
    result = fit(waves(points=10, noise=noise), FitOptions(dim="4", **VAMP))
    assert [mode.verdict for mode in result.modes] == ["resolved"] * 4
    assert result.slow


@pytest.mark.parametrize(("frames", "columns"), [(400, 60), (400, 100), (2000, 22)])
def test_noise_beside_waves_has_no_coherences(frames, columns):
    """Independent columns beside two waves, with a floor and without: only the waves, 4 seeds."""
    for seed in range(4):
        noise = np.random.default_rng(seed).standard_normal((frames, columns))
        field = np.hstack([waves(frames, points=10, seed=seed), noise])
        found = fit(field, FitOptions(dim="7", **VAMP)).modes
        assert [mode.verdict for mode in found] == ["resolved"] * 4 + ["unresolved"] * 3
        assert all(mode.eigenvalue is None for mode in found)


def test_a_column_of_time_is_a_drift():
    """Time beside waves: its coherence of 1 is unresolved, those of the waves are resolved."""
    both = np.c_[np.arange(400) / 400, waves(points=10)]
    drift, *others = fit(both, FitOptions(dim="5", **VAMP)).modes
    assert drift.verdict == "unresolved"
    assert drift.reason.startswith("a trend, not a mode: its mean drifts by 3.5 standard")
    assert all(mode.verdict == "resolved" for mode in others)


def test_two_periods_are_too_few():
    """50 frames of waves: coherences of 1, unresolved, told from nothing; a warning, exit 0."""
    result = fit(waves(frames=50, points=10), FitOptions(dim="2", **VAMP))
    assert all(mode.verdict == "unresolved" for mode in result.modes)
    assert "not told from a random walk" in result.modes[0].reason
    assert result.slow
    assert any("random walk" in said for said in result.warnings)


def test_walks_that_look_driven():
    """60 walks in 400 frames, which a test of symmetry in time refuses, resolve nothing."""
    for seed in range(4):
        steps = np.random.default_rng(seed).standard_normal((400, 60))
        result = fit(steps.cumsum(axis=0), FitOptions(dim="5", **VAMP))
        assert all(mode.verdict != "resolved" for mode in result.modes)


def among_noise(slow, seed, columns=40):
    """Slow columns mixed into many of white noise, (n, columns)."""
    rng = np.random.default_rng(seed)
    mixed = slow @ rng.standard_normal((slow.shape[1], columns))
    return mixed + rng.standard_normal((len(slow), columns))


def said_symmetric(x):
    """Whether two functions of VAMP at lag 5 are said to be symmetric in time."""
    blocks, _ = accumulate(FeatureStream.from_arrays(x), [5], n_blocks=40)
    return symmetric_in_time(blocks, solve(blocks.total(), "svd"), 2)


def test_functions_of_noise_do_not_make_data_irreversible():
    """Two reversible columns among forty of noise are called symmetric in time on 39 of 40 seeds:
    that singular functions of noise are chosen is allowed for.
    """
    symmetric = 0
    for seed in range(40):
        rng = np.random.default_rng(1000 + seed)
        parts = [lfilter([1], [1, -a], rng.standard_normal(20_000)) for a in (0.95, 0.9)]
        slow = np.stack([p / p.std() for p in parts], axis=1)
        symmetric += said_symmetric(among_noise(slow, seed))
    assert symmetric >= 39


def test_a_rotation_among_noise_is_irreversible():
    """A diffusing rotation among forty columns of noise is told from a reversible process on each
    of 10 seeds, also where its functions are half noise.
    """
    for seed in range(10):
        rng = np.random.default_rng(1000 + seed)
        phase = np.cumsum(0.05 + 0.1 * rng.standard_normal(20_000))
        turning = np.stack([np.cos(phase), np.sin(phase)], axis=1)
        for size in (1.0, 0.2):
            assert not said_symmetric(among_noise(size * turning, seed)), (seed, size)


def test_sets_are_drawn_over_the_columns_that_tell_them():
    """Three sets of the plane of two columns among five, one alone of which tells little, are
    kept with these two columns, and with both of two.
    """
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (3000, 5))
    inside = np.hypot(x[:, 1], x[:, 4]) < 0.6
    functions = np.column_stack([inside, ~inside & (x[:, 1] > 0)]).astype(float)
    functions -= functions.mean(axis=0)
    later = x + 0.01 * rng.standard_normal(x.shape)
    sets = coherent_sets((x, later), (functions, functions), list("abcde"))
    assert sets.count == 3
    assert sets.names == ("b", "e")
    np.testing.assert_array_equal(sets.start, x[:, [1, 4]])
    np.testing.assert_array_equal(sets.end, later[:, [1, 4]])
    assert coherent_sets((x[:, :2], x[:, :2]), (functions, functions), "ab").names == ("a", "b")


def gyres(members, frames, rng):
    """Members that circle within four cells, which they never leave: deterministic, not mixing."""
    cell = rng.integers(0, 4, members)[:, None]
    radius, phase = 0.45 * np.sqrt(rng.random(members)), 2 * np.pi * rng.random(members)
    angle = phase[:, None] + (1 + radius)[:, None] * 0.2 * np.arange(frames)
    x = cell % 2 + radius[:, None] * np.cos(angle)
    y = cell // 2 + radius[:, None] * np.sin(angle)
    return np.stack([x, y], axis=-1)


@pytest.mark.parametrize("bandwidth", [0.5, 1.0])
def test_members_of_one_pair_have_coherences_and_no_timescale(bandwidth):
    """From starts to ends of 21 frames no bandwidth makes a timescale of hundreds of frames; the
    coherent sets are found.
    """
    x = gyres(500, 21, np.random.default_rng(3))
    settings = {"solve": "svd", "bandwidth": bandwidth, "landmarks": 60}
    result = fit(list(x), FitOptions(lag="20", model="kedmd", settings=settings, dim="4"))
    assert all(mode.timescale is None and mode.eigenvalue is None for mode in result.modes)
    assert [m.verdict for m in result.modes[:3]] == ["resolved"] * 3
    assert any(NOT_SEEN in warning for warning in result.warnings)


def test_members_of_three_lags_are_solved_again():
    """Stationary runs longer than two lags have the timescale of the process, with vamp as with
    tica; of at most two lags tica keeps none above the run and vamp none at all.
    """
    rng = np.random.default_rng(5)
    keep = np.exp(-1 / 60)
    x = np.empty((2000, 31))
    x[:, 0] = rng.standard_normal(2000)
    for t in range(1, 31):
        x[:, t] = keep * x[:, t - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(2000)
    for model in ("vamp", "tica"):
        for lag, known in (("10", True), ("20", False)):
            (mode,) = fit(list(x[:, :, None]), FitOptions(lag=lag, model=model, dim="1")).modes
            assert (mode.timescale is not None) == known
            if mode.timescale is not None:
                assert mode.timescale.value == pytest.approx(60, rel=0.15)


def test_members_held_out_decide_where_the_floor_is_near_1():
    """A coherence below a floor of 0.95 that other members keep is one, though none ever leaves
    its set; in one run it must go to and fro.
    """
    for runs, verdict in ((50, "resolved"), (1, "unresolved")):
        context = Context(Lag(20, 20.0, "frames"), 0.95, 100, "svd", 100 * runs)
        seen = Seen(np.array([5]), np.array([[0.92, 0.01]]))
        ((mode,), _) = judge_coherences([Mode(1, None, 0.93)], seen, context)
        assert mode.verdict == verdict


@pytest.mark.parametrize("bandwidth", [0.4, 1.5])
def test_an_ensemble_of_noise_has_nothing_whatever_its_floor(bandwidth):
    """Where the floor is near 1, members of noise are neither recommended nor resolved."""
    x = list(np.random.default_rng(3).standard_normal((200, 3, 2)))
    settings = {"solve": "svd", "bandwidth": bandwidth, "landmarks": 60}
    grid = {"kedmd": {name: [value] for name, value in settings.items()}}
    table = score_grid(x, GridOptions(models=("kedmd",), lags=("2",), dims=(1, 3), settings=grid))
    assert table.cells[0].floor > 0.9
    assert table.recommended[0].cell is None
    result = fit(x, FitOptions(lag="2", model="kedmd", settings=settings, dim="3"))
    assert not any(mode.verdict == "resolved" for mode in result.modes)
