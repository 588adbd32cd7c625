"""Timescales that rise with the lag are told as lower bounds, and others are not."""

from dataclasses import replace

import numpy as np
import pytest
from cli_support import relaxing
from scipy.signal import lfilter
from systems import AR1, OU

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.consistency import AT_LEAST
from koopman_cli.analysis.reservations import RICHER
from koopman_cli.report.words import summary_sentences

GO_ON = "timescales go on rising"


def rare(seed, frames=60_000):
    """Jumps of timescale 736 frames seen through relaxation within 20 frames."""
    rng = np.random.default_rng(seed)
    side = 1.0 - 2.0 * (np.cumsum(rng.random(frames) < 0.5 / 736) % 2)
    fast = np.zeros(frames)
    kicks = rng.standard_normal(frames) * 0.3 * np.sqrt(1 - 0.95**2)
    for i in range(1, frames):
        fast[i] = 0.95 * fast[i - 1] + kicks[i]
    return (side + fast)[:, None]


@pytest.mark.parametrize("seed", range(3))
def test_a_slow_rise_is_warned_of(seed):
    """Where every doubling changes the timescale by less than a tenth, but the end of the scan is
    far above its start, the fit warns and its summary says "at least"; the truth is above.
    """
    result = fit(rare(seed), FitOptions(model="tica"))
    assert result.lag_scan.converged
    assert result.modes[0].timescale.high < 736
    assert [w for w in result.warnings if w.startswith(GO_ON)]
    assert AT_LEAST in result.modes[0].reason
    assert "takes at least" in summary_sentences(result)[0]


@pytest.mark.parametrize("seed", range(10))
def test_a_markov_chain_does_not_rise(seed):
    """A timescale that does not depend on the lag is not called a lower bound."""
    for system in (AR1, OU):
        result = fit(system.simulate(seed, 20_000)[0], FitOptions(model="tica"))
        assert not [w for w in result.warnings if w.startswith(GO_ON)]
        assert AT_LEAST not in result.modes[0].reason


def test_a_lag_asked_for_has_the_reservation_too():
    """Slow jumps behind noise at lag 48: the timescale at twice the lag is told, and "at least"."""
    rng = np.random.default_rng(1)
    state = np.cumsum(rng.random(60_000) < 0.004) % 2
    x = state[:, None] + rng.standard_normal((60_000, 1)) * 0.35
    asked = fit(x, FitOptions(model="tica", lag="48", dim="1"))
    assert asked.modes[0].verdict == "resolved"
    assert "at twice the lag" in asked.modes[0].reason
    assert "takes at least" in summary_sentences(asked)[0]
    bare = replace(asked, modes=(replace(asked.modes[0], reason="slow"),))
    assert "at least" not in summary_sentences(bare)[0]


def test_the_richer_functions_that_are_advised_are_richer():
    """Of a slow switch beside four faster columns the family that is advised sees more than linear
    functions do.
    """
    rng = np.random.default_rng(0)
    switch = np.where(np.cumsum(rng.random(6000) < 0.01) % 2, 1.0, -1.0)
    kicks = np.random.default_rng(1).standard_normal((6000, 5))
    x = lfilter([1], [1, -0.8], 0.6 * kicks, axis=0) * [0.5, 1, 1, 1, 1]
    x[:, 0] += 0.8 * switch

    def slowest(model, **settings):
        options = FitOptions(model=model, lag="5", dim="1", folds=0, settings=settings)
        return fit(x, options).modes[0].eigenvalue.real

    assert slowest("kedmd") > slowest("tica") + 0.02
    assert "--model kedmd" in RICHER


@pytest.mark.parametrize("name", ["tica", "kedmd"])
def test_no_family_is_advised_to_become_itself(name):
    """Under noise the lag never converges: kernel EDMD is what linear models are told to try, and
    is told of its features and its bandwidth instead.
    """
    noisy = relaxing(8000, seed=1, memory=(0.98, 0.8))
    noisy = noisy + 3 * np.random.default_rng(2).standard_normal(noisy.shape)
    settings = {"landmarks": 40} if name == "kedmd" else {}
    said = fit(noisy, FitOptions(model=name, settings=settings)).warnings
    (told,) = (w for w in said if w.startswith("lag not converged"))
    assert ("--model kedmd" in told) == (name != "kedmd")
    assert ("--set bandwidth" in told) == (name == "kedmd")


def test_folds_of_a_transient_are_told_in_words_of_flows():
    """Of a flow that decays no fold has "too few events"; of rare jumps they have."""
    t = np.arange(400)
    rng = np.random.default_rng(0)
    wave = np.exp(-t / 80)[:, None] * np.stack([np.cos(0.2 * t), np.sin(0.2 * t)], axis=1)
    decaying = wave @ rng.standard_normal((2, 6)) + 1e-4 * rng.standard_normal((400, 6))
    said = fit(decaying, FitOptions(model="dmd", lag="1")).warnings
    (told,) = (w for w in said if " of 5 folds hold " in w)
    assert "more than twice or less than half as strong as the rest" in told
    assert "events" not in told
    jumps = (np.arange(4000) > 3600) * 4.0 + rng.standard_normal(4000)
    said = fit(jumps[:, None], FitOptions(model="tica", lag="5", dim="1")).warnings
    assert any("too few events to judge the model" in w for w in said)
