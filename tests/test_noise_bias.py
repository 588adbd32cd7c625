"""Noise in snapshots shortens decay times of plain DMD: told where it does, and nowhere else."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cli_support import SAMPLES, relaxing, run
from systems import rotational_ou

from koopman_cli import FitOptions, fit

SYSTEM = rotational_ou(a=1 / 99.5, omega=2 * np.pi / 25, dt=1.0, lag=1)


def warned(data, **settings):
    """The warning about noise in the frames, or an empty text."""
    found = fit(data, FitOptions(model="dmd", lag="1", settings=settings))
    return next((w for w in found.warnings if "noise in the frames" in w), "")


def noisy(frames: int, noise: float, seed: int = 0):
    """A driven rotation that decays within 99.5 frames, seen with noise."""
    clean = SYSTEM.simulate(seed, frames)[0]
    return clean + noise * np.random.default_rng(seed + 100).standard_normal(clean.shape)


def test_a_decay_that_noise_shortens_is_told():
    """Sensor noise: warned on 4 of 4 seeds, and the time without it is right within 25%."""
    for seed in range(4):
        for noise in (0.07, 0.15):
            said = warned(noisy(20_000, noise, seed))
            at = [float(t) for t in re.findall(r"([\d.]+) (?:frames )?at lag", said)]
            assert at == sorted(at)
            assert at[0] < 85
            assert float(re.search(r"about ([\d.]+)", said)[1]) == pytest.approx(99.5, rel=0.25)
            for cure in ("variant=tls", "--model optdmd", "longer lag", "delays"):
                assert cure in said


def test_exact_snapshots_are_not_warned_about(tmp_path):
    """The wake, a driven rotation, a damped one, autoregressions: nothing is said."""
    t = np.arange(2000)
    damped = np.exp(-t / 300)[:, None] * np.c_[np.cos(0.3 * t), np.sin(0.3 * t)]
    angle = 0.8 * np.cos(0.1 * t)
    pendulum = np.c_[angle, np.sin(angle), -0.08 * np.sin(0.1 * t)]
    for seed in range(4):
        assert warned(noisy(20_000, 0.0, seed)) == ""
        assert warned(relaxing(5000, seed, (0.98, 0.9))) == ""
    assert warned(damped) == ""
    assert warned(pendulum) == ""
    told = run("fit", SAMPLES / "wake" / "wake.npz", "-o", tmp_path / "run")
    assert "noise in the frames" not in told.out


@pytest.mark.parametrize("rank", [5, 10, 20])
def test_sea_surface_temperatures_are_not_warned_about(rank, tmp_path):
    """Weather drives these; what their decay times gain at longer lags is within the errors."""
    path = SAMPLES / "enso" / "sst.nc"
    more = ("--anomaly", "cycle:12", "--set", f"rank={rank}", "--allow-empty")
    told = run("fit", path, *more, "-o", tmp_path / "run")
    assert told.code == 0
    assert "noise in the frames" not in told.out


def test_variants_for_noise_are_not_warned_about():
    """Total least squares and forward-backward regression allow for noise."""
    for variant in ("tls", "fb"):
        assert warned(noisy(5000, 0.15), variant=variant) == ""
