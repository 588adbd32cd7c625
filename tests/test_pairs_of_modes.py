"""Oscillations in few noisy columns: neither the choice of dim nor of a POD rank cuts them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from systems import AR1

from koopman_cli import FitOptions, fit
from koopman_cli.estimate import estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.request import Request


def rotation(frames: int, turn: float, noise: float, seed: int) -> NDArray[np.float64]:
    """A point on a circle, ``turn`` radians per frame, read with noise."""
    angle = turn * np.arange(frames)
    kicks = np.random.default_rng(seed).standard_normal((frames, 2))
    return np.column_stack([np.cos(angle), np.sin(angle)]) + noise * kicks


def test_dim_auto_takes_both_functions_of_a_rotation():
    """Where one function scores within an error of two, the pair is still not split."""
    stream = FeatureStream.from_arrays([rotation(1500, 0.05, 1.5, 8)])
    found = estimate(stream, Request.of("vamp"), 3)
    one, two = (found.dims.scores[d].vampe.test for d in (1, 2))
    assert two > one
    assert found.dim == found.dims.chosen == 2
    assert "a pair is not split" in found.dims.reason


def test_dim_auto_adds_no_function_of_noise():
    """One slow column beside two of noise stays one function, on at least 18 of 20 seeds."""
    kept = 0
    for seed in range(20):
        noise = np.random.default_rng(seed).standard_normal((3000, 2))
        x = np.column_stack([AR1.simulate(seed, 3000)[0], noise])
        kept += estimate(FeatureStream.from_arrays([x]), Request.of("vamp"), 2).dim == 1
    assert kept >= 18


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_dmd_finds_a_noisy_rotation_by_default(noise):
    """DMD of two noisy columns keeps both and tells the period, 2 pi / 0.2 frames."""
    result = fit(rotation(5000, 0.2, noise, 0), FitOptions(model="dmd"))
    assert result.model.rank == 2
    first = result.modes[0]
    assert first.period.low < 2 * np.pi / 0.2 < first.period.high
    assert first.period.value == pytest.approx(2 * np.pi / 0.2, rel=0.05)


def test_few_columns_of_no_size_are_left_out():
    """A third column of a hundredth of the size is noise to the default rank, as it was."""
    x = rotation(3000, 0.2, 0.1, 0)
    dust = 0.01 * np.random.default_rng(1).standard_normal((3000, 1))
    result = fit(np.hstack([x, dust]), FitOptions(model="dmd"))
    assert result.model.rank == 2


@pytest.mark.parametrize("model", ["vamp", "tica"])
def test_the_way_to_a_period_is_named(model):
    """Models without periods warn that the data rotate and name those that tell periods."""
    result = fit(rotation(5000, 0.2, 0.5, 0), FitOptions(model=model, lag="1"))
    (told,) = (w for w in result.warnings if "not symmetric in time" in w)
    assert "--model dmd" in told
    assert "--model edmd --set solve=eig" in told
    still = fit(AR1.simulate(0, 5000)[0], FitOptions(model=model, lag="1"))
    assert not any("symmetric" in w for w in still.warnings)


def test_many_modes_that_are_not_told_apart_are_named_by_their_ends():
    """Six independent columns of the same memory: "modes 1 to 6", not a list of six."""
    columns = np.hstack([AR1.simulate(seed, 4000)[0] for seed in range(6)])
    result = fit(columns, FitOptions(model="tica", lag="1", dim="6"))
    (told,) = (note for note in result.notes if "degenerate" in note)
    assert told.startswith("modes 1 to 6 are degenerate")
