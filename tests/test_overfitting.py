"""Modes that a fit makes of noise are not resolved, and are told as such."""

import numpy as np
import pytest
from scipy.signal import lfilter
from systems import DOUBLE_WELL, OU, PRINZ, QUADRUPLE_WELL

from koopman_cli import FitOptions, fit

LOST = "held-out data do not support it"


def ar(a, frames, columns, seed):
    """Independent autoregressive columns of one decay."""
    kicks = np.random.default_rng(seed).standard_normal((frames + 50, columns))
    return lfilter([np.sqrt(1 - a * a)], [1, -a], kicks, axis=0)[50:]


def kernel(lag, dim, **settings):
    """Options of a kernel model."""
    return FitOptions(model="kedmd", lag=str(lag), dim=str(dim), settings=settings)


def test_fitted_noise_has_no_timescale():
    """400 narrow functions of 3000 frames make 2.5 frames and more of 1.96, with intervals above
    the truth; held out a third of that is left, and no such mode is resolved.
    """
    for seed in (50, 53, 55):
        x = ar(0.6, 3000, 3, seed)
        first = fit(x, kernel(1, 1, kernel="laplacian@0.7")).modes[0]
        assert first.eigenvalue.real > 0.65
        assert first.verdict == "unresolved"
        assert first.reason.startswith(LOST)
        assert first.timescale is None


@pytest.mark.parametrize("alpha", ["0", "1e-6"])
def test_fitted_noise_is_no_transient(alpha):
    """A stationary process of 2 frames has no transient and no rare crossing: modes that 400
    functions make of it are told to be fitted noise, and nothing is slow.
    """
    for seed in (50, 51):
        found = fit(ar(0.6, 3000, 3, seed), kernel(1, 2, kernel="gaussian@0.8", alpha=alpha))
        assert all(m.verdict == "unresolved" and m.timescale is None for m in found.modes)
        assert found.modes[0].reason.startswith(LOST)
        assert not any("once" in m.reason or "crossing" in m.reason for m in found.modes)
        assert not found.slow


def test_transients_of_few_functions_stay_what_they_are():
    """What happens once at the start is no noise of a fit, however little of it is held out."""
    x = ar(0.5, 10_000, 2, 0)
    x[:1500, 0] += 8 * np.exp(-np.arange(1500) / 300)
    first = fit(x, FitOptions(model="tica", lag="5", dim="1")).modes[0]
    assert first.reason.startswith("seen once, at the start")


@pytest.mark.parametrize(
    ("system", "frames", "lag", "slow"),
    [
        (PRINZ, 5000, 2, 1),
        (DOUBLE_WELL, 4000, 2, 1),
        (QUADRUPLE_WELL, 5000, 2, 3),
        (OU, 5000, 1, 2),
    ],
)
def test_true_modes_of_kernels_stay_resolved(system, frames, lag, slow):
    """Slow modes of wells keep their timescale by the kernel as it is set by default."""
    for seed in range(3):
        data = system.simulate(seed, frames, walkers=4)
        modes = fit(data, kernel(lag, slow)).modes
        assert [m.verdict for m in modes] == ["resolved"] * slow
        assert all(m.timescale is not None for m in modes)
