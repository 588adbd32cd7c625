"""What the data hold once is no mode: trends, transients, changes of level, of every family."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import relaxing, run
from systems import ar1

from koopman_cli import FitOptions, fit
from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.trends import once, trends
from koopman_cli.features.stream import FeatureStream

#: Of a line; and of one that squares of other columns bend.
LINE = ("a trend, not a mode: its mean drifts by 3.", "its mean changes once only in all the data")

FAMILIES = ("tica", "vamp", "edmd", "dmd")


def noise(frames: int, columns: int = 1, seed: int = 0):
    """Independent normal numbers."""
    return np.random.default_rng(seed).standard_normal((frames, columns))


def drifting(seed: int = 0, frames: int = 5000):
    """A line that rises by twelve standard deviations of the noise on it; 20 and 5 frames."""
    line = 12 * np.arange(frames)[:, None] / frames + noise(frames, seed=seed)
    slow = [ar1(t).simulate(seed + 10 + int(t), frames)[0] for t in (20.0, 5.0)]
    return np.hstack([line, *slow])


def ringing(seed: int = 0, frames: int = 5000):
    """An oscillation of 21 frames that is over after 15% of the run, in stationary noise."""
    t = np.arange(frames)
    rings = 5 * np.exp(-t / 200) * (t < 0.15 * frames)
    wave = rings[:, None] * np.c_[np.cos(0.3 * t), np.sin(0.3 * t)]
    return wave + 0.3 * noise(frames, 2, seed)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_line_in_noise_is_a_trend(family):
    """Alone it is no mode; beside modes of 20 and 5 frames they are what is resolved."""
    for seed in range(3):
        alone = fit(drifting(seed)[:, :1], FitOptions(model=family))
        assert not any(mode.verdict == "resolved" for mode in alone.modes)
        beside = fit(drifting(seed), FitOptions(model=family, lag="1", dim="3"))
        for found in (alone, beside):
            told = [m for m in found.modes if m.verdict == "unresolved"]
            assert told[0].reason.startswith(LINE[: 2 if family == "edmd" else 1])
            assert all(m.timescale is None for m in told)
            assert any("drifts by 3." in w and "a trend, not a mode" in w for w in found.warnings)
        resolved = [m.timescale.value for m in beside.modes if m.verdict == "resolved"]
        # Squares of a column have modes of their own, of half its time.
        true = [20, 10] if family == "edmd" else [20, 5]
        assert resolved == pytest.approx(true, rel=0.25)


def test_a_trend_is_told_on_the_command_line(tmp_path):
    """`koopman fit` names the column and what to do, and ends with 4: there is no slow mode."""
    path = tmp_path / "drift.npy"
    np.save(path, drifting()[:, :1])
    told = run("fit", path, "-o", tmp_path / "run")
    assert told.code == 4
    assert "the mean of x1 drifts by 3.3 standard deviations over the run" in told.out
    assert "--detrend linear" in told.out
    assert "--begin" in told.out


@pytest.mark.parametrize("family", ["tica", "vamp", "dmd", "optdmd"])
def test_an_oscillation_over_at_the_start_is_a_transient(family):
    """After 15% of the run it is over: nothing is resolved, and the reason says why, 3 seeds."""
    for seed in range(3):
        found = fit(ringing(seed), FitOptions(model=family))
        assert not found.slow
        assert found.modes[0].verdict == "unresolved"
        assert found.modes[0].reason == "seen once, at the start: a transient"


@pytest.mark.parametrize("family", ["tica", "vamp", "dmd"])
def test_a_decaying_start_is_a_transient(family):
    """A start that decays in noise is not resolved; a mode of 10 frames beside it is."""
    t = np.arange(5000)[:, None]
    start = 5 * np.exp(-t / 200) + 0.5 * noise(5000, seed=1)
    data = np.hstack([start, ar1(10.0).simulate(2, 5000)[0]])
    slow, passing = fit(data, FitOptions(model=family, lag="1", dim="2")).modes
    assert slow.verdict == "resolved"
    assert slow.timescale.value == pytest.approx(10, rel=0.2)
    assert passing.verdict == "unresolved"
    assert passing.reason == "seen once, at the start: a transient"


def test_a_ring_down_without_noise_is_a_mode():
    """A damped oscillation that all of the data obey is resolved, however small its end is."""
    t = np.arange(2000)
    wave = np.exp(-t / 100)[:, None] * np.c_[np.cos(0.3 * t), np.sin(0.3 * t)]
    found = fit(wave, FitOptions(model="dmd")).modes[0]
    assert found.verdict == "resolved"
    assert found.timescale.value == pytest.approx(100, rel=1e-6)


def test_two_systems_end_to_end_are_two_levels():
    """Noise about one mean and then about another: a change of level, not a relaxation."""
    both = noise(6000)
    both[3000:] += 2
    found = fit(both, FitOptions(model="tica", lag="1"))
    assert "its mean changes once only in all the data" in found.modes[0].reason
    assert not any(mode.verdict == "resolved" for mode in found.modes)
    apart = fit([both[:3000], both[3000:]], FitOptions(model="tica", lag="1"))
    assert "its mean differs between the trajectories" in apart.modes[0].reason


def test_a_line_in_a_flow_is_a_jordan_block():
    """A line has an eigenvalue of 1 and is no exponential: said, whether the rank splits it."""
    t = np.arange(1000.0)
    rising = np.c_[t / 100, np.ones(1000), np.cos(0.3 * t), np.sin(0.3 * t)]
    alone = fit(rising[:, :2], FitOptions(model="dmd")).modes[0]
    assert alone.reason.startswith("a trend, not a mode")
    assert "a Jordan block" in alone.reason
    for rank in (3, 4):
        *line, wave = fit(rising, FitOptions(model="dmd", settings={"rank": rank})).modes[
            : rank - 1
        ]
        assert wave.verdict == "resolved"
        assert wave.period.value == pytest.approx(2 * np.pi / 0.3, rel=1e-3)
        assert all(m.verdict == "unresolved" and "a Jordan block" in m.reason for m in line)


def test_stationary_processes_are_held_often():
    """Autoregressions that the data hold 15 to 300 times are never held once: 0 of 120."""
    for t in (20.0, 100.0, 400.0):
        for seed in range(40):
            blocks, _ = accumulate(FeatureStream.from_arrays(ar1(t).simulate(seed, 6000)[0]), [1])
            merged = blocks.merged(min(3 * t, 300))
            assert once(merged, np.array([np.exp(-1 / t) + 0j])) == {}


def test_a_walk_is_no_line():
    """The scatter of random walks about their line runs together: at most 2 of 100 are lines."""
    sure = 0
    for seed in range(100):
        walk = noise(2000, seed=seed).cumsum(axis=0)
        blocks, _ = accumulate(FeatureStream.from_arrays(walk), [1], n_blocks=20)
        sure += int(trends(blocks).sure[0])
    assert sure <= 4


def test_optimised_dmd_of_long_noise_ends(tmp_path):
    """Exponentials that would overflow are refused: no crash on 5000 frames of noise."""
    path = tmp_path / "noise.npy"
    np.save(path, relaxing(5000))
    told = run("fit", path, "--model", "optdmd", "-o", tmp_path / "run")
    assert told.code in (0, 4)
    assert "bug in koopman" not in told.err
    assert all(m.verdict != "resolved" or abs(m.growth.value) * 5000 < 30
               for m in fit(relaxing(5000), FitOptions(model="optdmd")).modes)  # fmt: skip


def test_a_slow_coordinate_under_noise_has_no_timescale_at_a_short_lag(tmp_path):
    """100 frames under noise: the 4 frames of lag 1 are no timescale; at lag 30 there is one.

    It is slow all the same, so that the command ends with 0.
    """
    slow = ar1(100.0).simulate(3, 20_000)[0]
    data = slow + 0.5 * noise(20_000, seed=4)
    path = tmp_path / "noisy.npy"
    np.save(path, data)
    told = run("fit", path, "--lag", "1", "-o", tmp_path / "run")
    assert told.code == 0
    assert "a timescale of this lag alone" in told.out
    short = fit(data, FitOptions(model="tica", lag="1")).modes[0]
    assert (short.verdict, short.timescale) == ("unresolved", None)
    long = fit(data, FitOptions(model="tica", lag="30")).modes[0]
    assert long.verdict == "resolved"
    assert 40 < long.timescale.value < 130


def test_a_level_seen_once_is_slow(tmp_path):
    """A jump seen once is slow and not measured: unresolved, exit 0, and no advice about gaps."""
    both = 0.3 * noise(4000)
    both[2000:] += 1
    path = tmp_path / "jump.npy"
    np.save(path, both)
    told = run("fit", path, "-o", tmp_path / "run")
    assert told.code == 0
    assert "no slow mode" not in told.out
    assert "so no gap after it can be seen" not in told.out


def test_coherences_have_no_ratio_of_timescales():
    """The gap of two travelling waves is one of ln s."""
    t, x = np.arange(4000)[:, None], np.linspace(0, 2 * np.pi, 16, endpoint=False)
    wave = np.sin(x - 2 * np.pi * t / 40) + 0.1 * noise(4000, 16)
    gap = fit(wave, FitOptions(model="vamp", lag="1", dim="2")).gap
    assert gap.resolved
    assert gap.reason == "the ratio of ln s is surely above 2.5"
