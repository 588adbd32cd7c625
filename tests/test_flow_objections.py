"""Eigenvalues of DMD that are no rates: one phase of an oscillation, a mean that is mixed in."""

import json

import numpy as np
import pytest
from cli_support import run
from scipy.signal import lfilter

from koopman_cli import FitOptions, fit


def turning_pair(n=12_000, seed=2):
    """A noise-driven rotation in two columns: decay within 40 steps, period 31.4 steps."""
    rng = np.random.default_rng(seed)
    shrink, turn = np.exp(-1 / 40), 0.2
    step = shrink * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    x, noise = np.zeros((n, 2)), rng.standard_normal((n, 2)) * np.sqrt(1 - shrink**2)
    for t in range(n - 1):
        x[t + 1] = step @ x[t] + noise[t]
    return x


def dmd(x, **settings):
    """Plain DMD at lag 1 of an array, or of what a path holds."""
    return fit(x, FitOptions(model="dmd", lag="1", settings=settings))


def saved(folder, **arrays):
    """The path of a file that holds one array, or a field with its coordinates."""
    path = folder / ("x.npz" if len(arrays) > 1 else "x.npy")
    if len(arrays) > 1:
        np.savez(path, **arrays)
    else:
        np.save(path, arrays["x"])
    return str(path)


@pytest.mark.parametrize("mean", [(1.0, 0.5), (5.0, 2.0)])
def test_a_mean_that_the_columns_cannot_keep_is_said(mean):
    """Columns about a mean have other eigenvalues than about zero: the mode is unresolved and names
    the setting, with which period and decay hold the true ones; about zero they do at once.
    """
    x = turning_pair()
    mode = dmd(x + np.array(mean)).modes[0]
    assert mode.verdict == "unresolved"
    assert mode.reason.startswith("mixed with the mean")
    assert "(--set center=true)" in mode.reason
    for result in (dmd(x + np.array(mean), center=True), dmd(x)):
        mode = result.modes[0]
        assert mode.verdict == "resolved", mode.reason
        assert mode.period.low < 10 * np.pi < mode.period.high
        assert mode.timescale.low < 40 < mode.timescale.high


def test_one_phase_of_an_oscillation_is_no_decay(tmp_path):
    """A sine in one column has the eigenvalue cos(w): it is unresolved and says how many earlier
    snapshots to take, and with these its period is found.
    """
    t = np.arange(6000)
    x = (np.cos(2 * np.pi * t / 20) + 0.2 * np.random.default_rng(1).standard_normal(6000))[:, None]
    path = saved(tmp_path, x=x)
    (mode,) = dmd(path).modes
    assert mode.verdict == "unresolved"
    assert mode.timescale is None
    assert mode.reason.startswith("turns over instead of decaying")
    delays = int(mode.reason.partition("delays=")[2].rstrip(")"))
    found = dmd(path, delays=delays).modes[0]
    assert found.period.value == pytest.approx(20, rel=0.01)


def test_a_standing_wave_beside_a_travelling_one(tmp_path):
    """Of a travelling wave, a damped standing one and a mean, all but the standing wave are found
    from pairs of snapshots, and with earlier ones all: periods 7.3 and 2.9, decay 50.
    """
    rng = np.random.default_rng(2)
    t, s = 0.25 * np.arange(400), np.linspace(0, 2 * np.pi, 60, endpoint=False)
    field = 0.4 + np.cos(s[None] - 2 * np.pi * t[:, None] / 7.3)
    field += 1.5 * (np.exp(-0.02 * t) * np.cos(2 * np.pi * t / 2.9))[:, None] * np.sin(2 * s)
    field += 0.05 * rng.standard_normal(field.shape)
    path = saved(tmp_path, u=field, t=t, x=s)
    plain = dmd(path, rank=4).modes
    assert "turns" in [m.reason.partition(" ")[0] for m in plain]
    assert not any(m.verdict == "resolved" and m.timescale for m in plain)
    modes = dmd(path, rank=5, delays=4).modes
    waves = [m for m in modes if m.eigenvalue.imag > 0]
    periods = sorted(m.period.value for m in waves)
    assert periods == pytest.approx([2.9, 7.3], rel=5e-3)
    (damped,) = (m for m in waves if m.timescale)
    assert damped.timescale.value == pytest.approx(50, rel=0.15)


def test_decays_of_every_kind_are_left_alone():
    """Sums of decays at different rates, noisy ones, and columns that decay along the data neither
    turn over nor mix with their mean (4 seeds of each).
    """

    def memory(a, rng, k=1):
        return lfilter([np.sqrt(1 - a * a)], [1, -a], rng.standard_normal((6000, k)), axis=0)

    for seed in range(4):
        rng = np.random.default_rng(seed)
        t = np.arange(400.0)
        decay = np.exp(-t / 60)[:, None] * [1, 0.5] + np.exp(-t / 20)[:, None] * [0.3, -1]
        cases = (
            memory(0.99, rng) + memory(0.8, rng),
            memory(0.98, rng, 2) + 0.3 * rng.standard_normal((6000, 2)),
            np.hstack([memory(a, rng) for a in (0.98, 0.9, 0.7)]) @ rng.standard_normal((3, 3)),
            decay + 1e-6 * rng.standard_normal((400, 2)),
        )
        for x in cases:
            for mode in dmd(x).modes:
                assert not mode.reason.startswith(("turns over", "mixed with")), mode.reason


def test_the_command_line_hints_at_the_setting(tmp_path):
    """Where nothing else is resolved, ``koopman fit`` ends with 4 and a hint that names the
    setting, and with it ends with 0.
    """
    path, out = saved(tmp_path, x=turning_pair() + 3), tmp_path / "run"
    asked = ["fit", path, "--model", "dmd", "--lag", "1", "-q", "--force", "-o", out]
    done = run(*asked)
    assert done.code == 4
    assert "--set center=true" in done.err.splitlines()[-1]
    done = run(*asked, "--set", "center=true", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["modes"][0]["verdict"] == "resolved"
