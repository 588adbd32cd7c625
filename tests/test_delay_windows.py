"""Delay windows of reversible processes: no false irreversibility, no inflated timescales."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import done, run, two_lines
from scipy.signal import lfilter

from koopman_cli.analysis.windows import AVERAGED, NO_TIME, ONE_WAY, SHARED
from koopman_cli.api import FitOptions, fit
from koopman_cli.timescales import TimescaleOptions, timescales

#: Timescale of the AR(1) process under the noise.
TRUTH = -1 / np.log(0.95)


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """An AR(1) process under white noise: reversible, and better known from ten frames than one."""
    rng = np.random.default_rng(3)
    x = lfilter([1], [1, -0.95], rng.standard_normal(60_000)) + 2 * rng.standard_normal(60_000)
    path = tmp_path_factory.mktemp("windows") / "noisy.npy"
    np.save(path, x)
    return [str(path)]


def fitted(path, lag, model, dim="1", **settings):
    """A fit of windows of ten frames."""
    options = FitOptions(
        features="delays:10", lag=str(lag), model=model, dim=dim, settings=settings
    )
    return fit(path, options)


@pytest.mark.parametrize("lag", [10, 20, 40])
def test_timescales_without_symmetry_are_true(noisy, lag):
    """Without the average over both directions the interval holds the true timescale, 19.5."""
    mode = fitted(noisy, lag, "tica", reversible="false").modes[0]
    assert mode.verdict == "resolved" or lag > TRUTH
    assert mode.timescale.low < TRUTH < mode.timescale.high


def test_a_reversible_model_of_windows_gives_no_timescale(noisy):
    """tica, whose eigenvalue means 30 frames, gives none; says so, and not that nothing is slow or
    that the data contradict reversibility, which they do not.
    """
    result = fitted(noisy, 10, "tica")
    assert result.slow
    assert -10 / np.log(result.modes[0].eigenvalue.real) > 1.3 * TRUTH
    assert (result.modes[0].verdict, result.modes[0].reason) == ("unresolved", AVERAGED)
    assert result.modes[0].timescale is None
    assert result.modes[0].certificate is None
    said = " ".join(result.warnings)
    assert ONE_WAY in said
    assert "contradict" not in said
    assert "the data are not symmetric" not in said


def test_coherences_of_windows_stay(noisy):
    """Vamp needs no symmetry: its coherence is resolved, and says nothing of the process."""
    result = fitted(noisy, 10, "vamp")
    assert (result.modes[0].verdict, result.modes[0].reason) == ("resolved", NO_TIME)
    assert not any("the data are not symmetric" in said for said in result.warnings)


def test_windows_that_overlap_resolve_nothing(noisy):
    """Coherences of 1 of windows that share frames are unresolved with that reason; eigenvalues of
    shifted copies, as in a companion matrix, are what they were.
    """
    result = fitted(noisy, 5, "vamp", dim="4")
    assert result.modes[0].singular_value > 0.999
    assert {(m.verdict, m.reason) for m in result.modes} == {("unresolved", SHARED)}
    assert result.slow
    assert result.gap.after is None
    own = fitted(noisy, 5, "tica", reversible="false").modes[0]
    assert own.reason != SHARED


@pytest.mark.parametrize("lag", [1, 3])
@pytest.mark.parametrize("slow", [False, True])
def test_companion_eigenvalues_of_noise_are_not_resolved(tmp_path, lag, slow):
    """At a lag inside the window noise has eigenvalues of size 0.7 all around the circle, with the
    residual that every eigenvalue of this size has: unresolved; a slow mode beside them is kept.
    """
    for seed in range(3):
        rng = np.random.default_rng(seed)
        noise = rng.standard_normal((3000, 2))
        x = lfilter([1], [1, -0.95], noise, axis=0) if slow else noise
        path = tmp_path / f"noise{seed}.npy"
        np.save(path, x)
        result = fitted([str(path)], lag, "tica", dim="10", reversible="false")
        sizes = np.abs([m.eigenvalue for m in result.modes])
        assert np.count_nonzero((sizes > 0.6**lag) & (sizes < 0.85**lag)) >= 3
        kept = [m for m in result.modes if m.verdict == "resolved"]
        assert all(-lag / np.log(abs(m.eigenvalue)) > 9 for m in kept)
        assert bool(kept) == slow
        told = {m.reason.split(" (")[0] for m in result.modes[4:6]}
        assert lag > 1 or told == {"decays within its delay window"}


@pytest.mark.parametrize("model", ["tica", "vamp"])
def test_an_automatic_lag_is_beyond_the_window(noisy, model):
    """``--lag auto`` of windows looks beyond them, at timescales that need no symmetry in time."""
    result = fitted(noisy, "auto", model)
    scan = result.lag_scan
    assert scan is not None
    assert scan.converged
    assert min(scan.lags) > 9
    assert scan.timescales[scan.lags.index(scan.chosen), 0] == pytest.approx(TRUTH, rel=0.1)
    assert any("without symmetry in time" in note for note in result.notes)


def test_a_scan_of_windows_is_warned_of(noisy):
    """Implied timescales of windows may be too long, which is said unless no symmetry is asked."""
    asked = {"features": "delays:10", "lags": ("10", "20")}
    told = timescales(noisy, TimescaleOptions(**asked, model="tica"))
    assert any(ONE_WAY in said for said in told.warnings)
    free = TimescaleOptions(**asked, model="tica", settings={"reversible": "false"})
    assert not any(ONE_WAY in said for said in timescales(noisy, free).warnings)


def test_coherences_of_delay_windows_name_the_window(noisy, tmp_path):
    """VAMP on delays of reversible data: the window is blamed, and the cure named works."""
    args = ["timescales", *noisy, "--features", "delays:10", "-o", tmp_path / "t"]
    refused = run(*args, "--lag", "10,20", "--model", "vamp")
    assert refused.code == 4
    error, hint = two_lines(refused)
    assert error.startswith("a delay window is not symmetric in time")
    cure = hint.split("take ")[1].split()
    found = done(*args, "--lag", "10,20", *cure, "--json").json
    assert found["lags"][0]["timescales"][0]["value"] == pytest.approx(TRUTH, rel=0.2)
