"""Timescales against lag: bands that cover, convergence that is or is not found."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner
from systems import AR1, OU, PRINZ, galerkin, step_eigenvalues

from koopman_cli.accumulate import accumulate
from koopman_cli.cli import koopman
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lagscan import first_constant, scan_timescales
from koopman_cli.request import Request

SEEDS = range(200)


def lorenz63(frames: int, dt: float, seed: int) -> np.ndarray:
    """Lorenz's three equations at the classical parameters, by Runge-Kutta, from the attractor."""

    def slope(x: np.ndarray) -> np.ndarray:
        return np.array([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

    x = np.array([1.0, 1.0, 20.0]) + np.random.default_rng(seed).standard_normal(3)
    out = np.empty((frames, 3))
    for i in range(-2000, frames):
        a = slope(x)
        b = slope(x + dt / 2 * a)
        c = slope(x + dt / 2 * b)
        d = slope(x + dt * c)
        x = x + dt / 6 * (a + 2 * b + 2 * c + d)
        if i >= 0:
            out[i] = x
    return out


def coverage(arrays, request, lag, truth):
    """Share of runs whose band holds the truth, mode by mode; all bands must be reliable."""
    count = len(truth)
    inside = np.zeros(count)
    for data in arrays:
        stream = FeatureStream.from_arrays(data)
        bands = scan_timescales(stream, request, [lag], count)
        assert bands.reliable == (True,)
        inside += (bands.low[0] <= truth) & (truth <= bands.high[0])
    return inside / len(arrays)


def times(eigenvalues, lag):
    return -lag / np.log(np.abs(eigenvalues))


@pytest.mark.slow
def test_bands_cover_ar1(measured):
    """AR(1): 95% bands hold the true timescale in 88 to 99% of 200 runs."""
    truth = times(AR1.eigenvalues(5, 1), 5)
    runs = [AR1.simulate(seed, 20_000) for seed in SEEDS]
    found = coverage(runs, Request.of("tica"), 5, truth)
    measured(f"mode 1: {found[0]:.1%}", SEEDS)
    assert 0.88 <= found[0] <= 0.99


@pytest.mark.slow
def test_bands_cover_ornstein_uhlenbeck(measured):
    """Ornstein-Uhlenbeck: 95% bands hold timescales 1 and 2 in 88 to 99% of 200 runs."""
    truth = times(OU.eigenvalues(OU.lag, 2), OU.lag)
    runs = [OU.simulate(seed, 20_000) for seed in SEEDS]
    found = coverage(runs, Request.of("edmd", {"degree": "3"}), OU.lag, truth)
    measured(", ".join(f"mode {i + 1}: {x:.1%}" for i, x in enumerate(found)), SEEDS)
    assert np.all((found >= 0.88) & (found <= 0.99))


@pytest.mark.slow
def test_bands_cover_prinz(measured):
    """Prinz, 20 Gaussians: 95% bands hold timescales 1 to 3 in 88 to 99% of 200 runs."""
    truth = times(step_eigenvalues(PRINZ.process)[:3] ** (PRINZ.stride * PRINZ.lag), PRINZ.lag)
    runs = [PRINZ.simulate(seed, 10_000, walkers=20) for seed in SEEDS]
    request = Request.of("edmd", {"basis": "gaussians", "centers": "20"})
    found = coverage(runs, request, PRINZ.lag, truth)
    measured(", ".join(f"mode {i + 1}: {x:.1%}" for i, x in enumerate(found)), SEEDS)
    assert np.all((found >= 0.88) & (found <= 0.99))
