"""Oscillations are claimed of what turns, not of real eigenvalues that noise makes a pair of."""

import numpy as np
import pytest
from scipy.signal import lfilter
from systems import CIRCLE, ROTATIONAL_OU

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.periods import period_words
from koopman_cli.analysis.realpairs import ALIKE

LINEAR = {"model": "tica", "settings": {"reversible": "false"}, "folds": 3}
SQUARES = {"model": "edmd", "settings": {"solve": "eig"}, "folds": 3}
KERNEL = {"model": "kedmd", "settings": {"solve": "eig", "landmarks": "60"}, "folds": 3}


def ar(a, frames, columns, seed):
    """Independent autoregressive columns of one decay."""
    kicks = np.random.default_rng(seed).standard_normal((frames, columns))
    return lfilter([np.sqrt(1 - a * a)], [1, -a], kicks, axis=0)


def rotation(turn, seed, noise=0.0):
    """Two columns that turn by ``turn`` a frame and decay within 50 frames."""
    rng = np.random.default_rng(seed)
    kicks = rng.standard_normal((20_000, 2)) @ [1, 1j]
    z = lfilter([1], [1, -np.exp(-1 / 50 + 1j * turn)], kicks)
    x = np.column_stack([z.real, z.imag])
    return x + noise * x.std() * rng.standard_normal(x.shape)


def fitted(x, options, lag, dim):
    """A fit at a lag."""
    return fit(x, FitOptions(**options, lag=str(lag), dim=str(dim)))


@pytest.mark.parametrize(
    ("options", "a", "columns", "lag"),
    [(LINEAR, 0.9, 20, 3), (LINEAR, 0.95, 8, 5), (SQUARES, 0.9, 3, 2), (KERNEL, 0.9, 3, 2)],
)
def test_equal_real_eigenvalues_have_no_period(options, a, columns, lag):
    """Independent columns of one decay have real eigenvalues: whatever pairs the estimate makes of
    them, no mode has a period or is called an oscillation, and slow ones keep their timescale.
    """
    pairs = 0
    for seed in range(4):
        result = fitted(ar(a, 8000, columns, seed), options, lag, 3)
        assert all(m.period is None and "oscillation" not in m.reason for m in result.modes)
        alike = [m for m in result.modes if m.eigenvalue.imag]
        assert all(m.reason.endswith(ALIKE) for m in alike)
        assert all(m.timescale is not None for m in alike if m.verdict == "resolved")
        assert period_words(result.modes, result.model.lag) == ""
        pairs += len(alike)
    assert pairs


@pytest.mark.parametrize("turn", [0.1, 0.02])
@pytest.mark.parametrize("fast", [0, 10])
def test_true_rotations_keep_their_period(turn, fast):
    """A rotation of 63 or 314 frames that decays within 50 is resolved, alone and among ten
    columns that decay faster, and its interval holds the period about as often as it should.
    """
    held = 0
    for seed in range(4):
        x = np.column_stack([rotation(turn, seed), ar(np.exp(-1 / 20), 20_000, fast, seed + 50)])
        first = fitted(x, LINEAR, 5, 2).modes[0]
        assert first.verdict == "resolved"
        assert first.reason.startswith("decaying oscillation")
        held += first.period.low < 2 * np.pi / turn < first.period.high
    assert held >= 3


@pytest.mark.parametrize(("system", "lag"), [(CIRCLE, 4), (ROTATIONAL_OU, 2)])
@pytest.mark.parametrize("options", [LINEAR, SQUARES, KERNEL])
def test_driven_systems_keep_their_period(system, lag, options):
    """The leading pair of driven systems is an oscillation by functions of every kind."""
    for seed in range(2):
        first = fitted(system.simulate(seed, 20_000)[0], options, lag, 2).modes[0]
        assert first.period is not None
        assert first.period.low is not None


def test_pairs_that_may_be_real_are_asked_what_real_ones_are():
    """A pair that two random walks make is no more resolved than each of them alone."""
    asked = 0
    for seed in range(8):
        walks = np.random.default_rng(seed).standard_normal((4000, 2)).cumsum(axis=0)
        first = fitted(walks, LINEAR, 1, 2).modes[0]
        if first.eigenvalue.imag and first.reason.endswith(ALIKE):
            assert first.verdict == "unresolved"
            asked += 1
    assert asked
