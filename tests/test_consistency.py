"""Modes of the eig solver against multiples of the lag, and how few runs contradict by chance."""

import numpy as np
import pytest
from scipy.signal import lfilter
from systems import CIRCLE, DOUBLE_WELL, ROTATIONAL_OU
from test_models import started_on_the_left

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.certificate import certificates
from koopman_cli.analysis.consistency import doubled_lags
from koopman_cli.analysis.heldout import HeldOut
from koopman_cli.analysis.spectrum import Context
from koopman_cli.diagnosis import diagnose
from koopman_cli.estimate import estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.request import Request
from koopman_cli.units import make_lag

EIG = {"reversible": "false"}


def ar(a, frames, seed):
    """An autoregressive run of unit variance."""
    kicks = np.random.default_rng(seed).standard_normal(frames)
    return lfilter([np.sqrt(1 - a * a)], [1, -a], kicks)


@pytest.mark.parametrize(("system", "lag"), [(CIRCLE, "4"), (ROTATIONAL_OU, "2")])
def test_true_oscillations_keep_their_times(system, lag):
    """Eigenfunctions of rotations decay as their eigenvalues say at every multiple of the lag."""
    for seed in range(5):
        result = fit(
            system.simulate(seed, 20_000)[0],
            FitOptions(model="tica", settings=EIG, lag=lag, dim="2", folds=0),
        )
        assert result.modes[0].period is not None
        assert result.modes[0].timescale is not None
        assert result.modes[0].verdict == "resolved"


def test_a_mixture_of_decays_is_no_eigenfunction():
    """The sum of a slow and a fast column has a correlation, but no eigenvalue."""
    mixed = ar(0.99, 50_000, 0) + ar(0.6, 50_000, 1)
    result = fit(mixed[:, None], FitOptions(model="tica", settings=EIG, lag="5", dim="1"))
    first = result.modes[0]
    assert first.timescale is None
    assert first.verdict == "unresolved"
    assert "does not decay as its eigenvalue says" in first.reason
    assert not result.gap.resolved
    assert result.states is None


def test_what_is_faster_than_a_broken_mode_is_not_trusted():
    """Behind a mode that breaks with its eigenvalue no other mode keeps a timescale."""
    mixed = ar(0.99, 50_000, 0) + ar(0.6, 50_000, 1)
    x = np.column_stack([mixed, ar(0.8, 50_000, 2)])
    result = fit(x, FitOptions(model="tica", settings=EIG, lag="2", dim="2"))
    assert [mode.timescale for mode in result.modes] == [None, None]


def test_multiples_end_with_the_data():
    """Multiples stay below twice the timescale and half of what can be seen; two is always one."""
    assert doubled_lags(1, 1.0, 10_000, 500.0) == [1, 2]
    assert doubled_lags(1, 1e9, 10_000, 50.0) == [1, 2, 4, 8, 16]
    assert doubled_lags(10, 1e9, 15, 10.0) == [10]


def held(errors, symmetric):
    """The certificate of one function whose r2 is ``errors`` errors below zero."""
    rng = np.random.default_rng(0)
    spread = rng.standard_normal(400)
    spread -= spread.mean()
    q00 = np.ones((2, 400, 1))
    q01 = np.empty((2, 400, 1))
    q01[0, :, 0] = 0.9
    error = 0.1 * np.sqrt(np.sum(spread**2) / 400 / 399)
    q01[1, :, 0] = 0.81 - errors * error + 0.1 * spread
    return certificates(HeldOut(q00, q01), [[0]], symmetric=symmetric)[0]


def test_symmetric_data_contradict_beyond_four_errors():
    """r2 alone contradicts beyond four errors, and beyond three where xy is asymmetric too."""
    assert not held(2.5, symmetric=False).invalid
    assert held(3.5, symmetric=False).invalid
    assert not held(3.5, symmetric=True).invalid
    assert held(4.5, symmetric=True).invalid


def test_reweighted_fits_have_certificates():
    """Runs started out of equilibrium: certificates of the weighted frames hold the truth."""
    truth = DOUBLE_WELL.eigenvalues(2, 5).real
    for seed in range(5):
        stream = FeatureStream.from_arrays(started_on_the_left(seed))
        found = estimate(stream, Request.of("tica", {"reweight": True}), 2, dim=1, folds=0)
        context = Context(make_lag(2, None), None, 10, "reversible")
        first = diagnose(found, stream, context).certificates[0]
        assert not first.invalid
        assert first.residual[0] < truth[0] < first.residual[1]
        assert abs(first.value - truth[0]) < 4 * first.error
