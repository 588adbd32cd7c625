"""Lags: the grid, timescales from eigenvalues, the lag taken, and the floor of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cli_support import done, relaxing, run
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter
from systems import AR1, OU, PRINZ, ar1

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.floor import noise_floor
from koopman_cli.analysis.lags import choose_lag, implied_timescales, lag_grid
from koopman_cli.analysis.projection import sample_pairs
from koopman_cli.autolag import scan_lags
from koopman_cli.errors import DataError, UsageError
from koopman_cli.estimate import check_lag, estimate
from koopman_cli.features import build_features
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
from koopman_cli.models.solve import solve
from koopman_cli.moments import Moments
from koopman_cli.request import Request
from koopman_cli.store import load_result
from koopman_cli.types import ReadOptions, no_progress

SAMPLES = Path(__file__).parents[1] / "sample_data"
NAN = float("nan")


def stream_of(*arrays: NDArray[np.float64]) -> FeatureStream:
    """A stream of one trajectory per array."""
    return FeatureStream.from_arrays(list(arrays))


# ------------------------------------------------------------------ grid and timescales


@given(longest=st.integers(2, 10**7), fine=st.booleans())
def test_grid(longest, fine):
    """Lags start at 1, rise to a fiftieth of the longest run, and come with their doubles."""
    grid = lag_grid(longest, fine=fine)
    limit = max(1, longest // 50)
    assert grid[0] == 1
    assert list(grid) == sorted(set(grid))
    assert grid[-1] <= limit
    assert all(2 * lag in grid for lag in grid if 2 * lag <= limit)
    assert grid[-1] > limit / 2 or limit == 1


@given(time=st.floats(0.1, 1e4), lag=st.integers(1, 100), angle=st.floats(-3, 3))
def test_timescale_is_the_decay_of_the_modulus(time, lag, angle):
    """Timescales are -lag / ln|lambda|, for complex ones too; undefined where meaningless."""
    size = np.exp(-lag / time)
    if not 0 < size < 1:
        return
    found = implied_timescales(np.array([size * np.exp(1j * angle)]), lag)
    if np.imag(size * np.exp(1j * angle)) != 0 or angle == 0:
        assert found[0] == pytest.approx(time, rel=1e-3)
    undefined = implied_timescales(np.array([-size, 0.0, 1.0, 1.5, 1j, 2j]), lag)
    assert np.isnan(undefined).all()


@pytest.mark.parametrize(
    ("times", "chosen", "converged"),
    [
        ([[9, 1], [9.5, 1], [9.6, 1], [9.7, 1]], 1, True),
        ([[5, 1], [9, 1], [9.5, 1], [9.6, 1]], 2, True),
        # A second timescale above the lag must be constant too; one below it need not.
        ([[9, 3], [9, 5], [9, 5.2], [9, 5.3]], 2, True),
        ([[9, 0.5], [9, 0.9], [9, NAN], [9, NAN]], 1, True),
        # Just below a tenth is constant, a little more is not.
        ([[10, 1], [10.99, 1], [99, 1], [NAN, 1]], 1, True),
        ([[10, 1], [11.01, 1], [99, 1], [NAN, 1]], 1, False),
        # Never constant: the shortest lag that is below its slowest timescale.
        ([[0.9, NAN], [1.9, NAN], [4.5, NAN], [9, NAN]], 4, False),
        ([[0.9, NAN], [1.9, NAN], [3.5, NAN], [7, NAN]], 1, False),
        ([[NAN, NAN]] * 4, 1, False),
    ],
)
def test_lag_taken(times, chosen, converged):
    """The first lag from which the leading two timescales stay within 10% at twice the lag."""
    found = choose_lag([1, 2, 4, 8], np.array(times, float))
    assert (found.chosen, found.converged) == (chosen, converged)
    assert found.reason.startswith("not converged") is not converged


@pytest.mark.parametrize(
    ("times", "noise", "chosen"),
    [
        # Rising slower and slower, but never constant: the longest lag below its timescale.
        ([2, 3.5, 4.8, 6.6], 1e-5, 4),
        ([2, 4, 7, 9.5], 1e-5, 8),
        # At the rate of the lag: a correlation that stays as it is has no timescale.
        ([2, 4, 8, 16], 1e-5, 1),
        # As large an eigenvalue as noise has, at lags from 4 frames on.
        ([2, 3.5, 4.8, 9.6], 0.04, 1),
        ([2, 3.5, 4.8, 6.6], None, 1),
    ],
)
def test_lag_taken_where_none_is_constant(times, noise, chosen):
    """The longest lag that resolves the slowest timescale, where noise allows to say so."""
    found = choose_lag([1, 2, 4, 8], np.array(times, float)[:, None], noise)
    assert (found.chosen, found.converged) == (chosen, False)
    assert ("longest lag that resolves" in found.reason) == (chosen > 1)


def test_a_slow_coordinate_under_noise_is_followed_as_far_as_it_can_be():
    """A process of 100 frames, three tenths of its variance noise, is told within 40%, not as 3."""
    rng = np.random.default_rng(4)
    slow = lfilter([np.sqrt(1 - np.exp(-0.02))], [1, -np.exp(-0.01)], rng.standard_normal(102_000))
    x = np.sqrt(0.7) * slow[2000:] + np.sqrt(0.3) * rng.standard_normal(100_000)
    for name in ("tica", "vamp"):
        scan = scan_lags(stream_of(x[:, None]), Request.of(name))
        assert not scan.converged
        assert 48 <= scan.chosen <= 96
        assert 60 < scan.timescales[scan.lags.index(scan.chosen), 0] < 140


# ------------------------------------------------------------------ scans


@pytest.mark.parametrize("name", ["tica", "vamp", "edmd"])
def test_scan_equals_one_fit_per_lag(name):
    """One reading for all lags gives the timescales of a fit at each lag, in every family."""
    rng = np.random.default_rng(0)
    slow = AR1.simulate(1, 4000)[0]
    stream = stream_of(
        np.hstack([slow, 0.3 * slow**2 + rng.standard_normal((4000, 1))]),
        rng.standard_normal((30, 2)),
    )
    request = Request.of(name)
    scan = scan_lags(stream, request)
    assert scan.lags == lag_grid(4000)
    for lag, times in zip(scan.lags, scan.timescales, strict=True):
        found = estimate(stream, request, lag, dim=1, folds=0).solution
        values = found.singular_values if name == "vamp" else found.eigenvalues
        np.testing.assert_allclose(times[:2], implied_timescales(values, lag)[:2], rtol=1e-8)


@pytest.mark.parametrize("system", [AR1, OU], ids=lambda s: s.name)
def test_a_markov_chain_needs_no_lag(system):
    """A chain whose timescale does not depend on the lag converges at once, at the true value."""
    scan = scan_lags(stream_of(*system.simulate(0, 50_000)), Request.of("tica"))
    exact = -1 / np.log(system.eigenvalues(1, 1)[0].real)
    assert scan.converged
    assert scan.chosen <= 2
    assert scan.timescales[0, 0] == pytest.approx(exact, rel=0.1)


def test_hidden_fast_motion_needs_a_lag():
    """Slow motion seen through noise: the timescale rises with the lag, and the lag is longer."""
    rng = np.random.default_rng(0)
    slow = ar1(100.0).simulate(0, 200_000)[0]
    fast = 0.3 * ar1(3.0).simulate(1, 200_000)[0]
    seen = slow + fast + 0.2 * rng.standard_normal(slow.shape)
    scan = scan_lags(stream_of(seen), Request.of("tica"))
    assert scan.converged
    assert 24 <= scan.chosen <= 128
    at = scan.lags.index(scan.chosen)
    assert scan.timescales[0, 0] < 20
    assert scan.timescales[at, 0] > 70


def test_noise_never_converges():
    """Noise has no lag below its timescale: lag 1, not converged, and the reason."""
    x = np.random.default_rng(0).standard_normal((5000, 4))
    scan = scan_lags(stream_of(x), Request.of("tica"))
    assert not scan.converged
    assert scan.chosen == 1
    assert "no lag has a timescale above it" in scan.reason


def test_alanine_dipeptide():
    """Torsions of the sample data: a converged lag below 100 ps and a slow phi flip."""
    paths = [SAMPLES / "ala2" / name for name in ("run1.h5", "run2.h5")]
    stream = build_features(open_trajectories(paths, ReadOptions(), no_progress), "torsions")
    scan = scan_lags(stream.cached(), Request.of("tica"))
    assert scan.converged
    assert 5 * scan.chosen < 100
    assert 30 < 5 * scan.timescales[scan.lags.index(scan.chosen), 0] < 300


def test_prinz_sample():
    """The simulated Prinz potential through Gaussians: the slowest timescale of its README."""
    x = np.load(SAMPLES / "prinz" / "prinz.npy").astype(float).reshape(-1, 1)
    request = Request.of("edmd", {"basis": "gaussians", "centers": 25})
    scan = scan_lags(stream_of(x), request)
    assert scan.converged
    assert scan.chosen <= 3


@pytest.mark.parametrize("lag", [0, -1])
def test_lags_below_one_are_refused(lag):
    """Lag 0 and -1 are usage errors."""
    with pytest.raises(UsageError, match=f"lag {lag}"):
        check_lag(lag, stream_of(np.zeros((10, 1))))


@pytest.mark.parametrize("lag", [10, 11])
def test_lags_beyond_the_data_are_refused(lag):
    """A lag of the length or more is a data error that names the largest usable lag."""
    with pytest.raises(DataError, match="longest trajectory has 10 frames") as caught:
        check_lag(lag, stream_of(np.zeros((10, 1)), np.zeros((4, 1))))
    assert "9 frames" in caught.value.hint
    check_lag(9, stream_of(np.zeros((10, 1)), np.zeros((4, 1))))


# ------------------------------------------------------------------ floor


def floor_of(x: NDArray[np.float64], *, reversible: bool = True, lag: int = 1) -> float:
    """Noise floor of the columns of one trajectory."""
    groups = np.zeros(len(x) - lag, int)
    found = noise_floor(x[:-lag], x[lag:], groups, reversible=reversible)
    assert found is not None
    return found


def leading(x: NDArray[np.float64], name: str = "tica", lag: int = 1) -> float:
    """Leading eigenvalue or singular value."""
    found = estimate(stream_of(x), Request.of(name), lag, dim=1, folds=0).solution
    return float(abs((found.singular_values if name == "vamp" else found.eigenvalues)[0]))


@pytest.mark.parametrize("name", ["tica", "vamp"])
@pytest.mark.parametrize("d", [1, 5])
def test_noise_is_below_its_floor(name, d):
    """Leading (largest) eigenvalues of noise exceed the floor on about 5% of 200 seeds."""
    above = 0
    for seed in range(200):
        x = np.random.default_rng(seed).standard_normal((1000, d))
        if name == "vamp":
            value = leading(x, "vamp")
        else:
            found = estimate(stream_of(x), Request.of("tica"), 1, dim=1, folds=0)
            value = float(found.solution.eigenvalues.real.max())
        above += value > floor_of(x, reversible=name == "tica")
    # 10 of 200, within three binomial errors.
    assert 2 <= above <= 19


@pytest.mark.parametrize("reversible", [True, False])
@pytest.mark.parametrize("d", [1, 3])
def test_memory_without_relation_is_below_its_floor(d, reversible):
    """Two unrelated AR(1) runs of 10 frames pass for related on about 5% of 200 seeds."""
    above = 0
    a = np.exp(-0.1)
    for seed in range(200):
        kicks = np.random.default_rng(seed).standard_normal((2, 2000, d))
        x, y = lfilter([np.sqrt(1 - a * a)], [1, -a], kicks, axis=1)
        both = Moments.of_pairs(x, y)
        found = solve(both, "reversible" if reversible else "svd")
        values = found.eigenvalues.real if reversible else found.singular_values
        floor = noise_floor(x, y, np.zeros(2000, int), reversible=reversible)
        above += values.max() > floor
    assert 2 <= above <= 19


@pytest.mark.parametrize("seed", range(10))
def test_slow_columns_are_above_the_floor(seed):
    """An AR(1) column of 20 frames among noise is far above the floor of 2000 frames."""
    x = np.random.default_rng(seed).standard_normal((2000, 4))
    x[:, :1] = AR1.simulate(seed, 2000)[0]
    assert leading(x) > 2 * floor_of(x)


def test_memory_raises_the_floor():
    """Slow independent columns meet by chance: their floor is well above that of noise."""
    slow = np.hstack(ar1(50.0).simulate(0, 20_000, walkers=5))
    noise = np.random.default_rng(0).standard_normal(slow.shape)
    assert floor_of(slow, lag=10) > 3 * floor_of(noise, lag=10)


def test_floor_needs_enough_pairs():
    """Below ten pairs to a function nothing can be told, and None says so."""
    x = np.random.default_rng(0).standard_normal((90, 9))
    assert noise_floor(x[:-1], x[1:], np.zeros(89, int), reversible=True) is None
    still = np.ones((500, 2))
    assert noise_floor(still, still, np.zeros(500, int), reversible=True) is None


def test_samples_are_lagged_pairs_inside_segments():
    """Thinned pairs are (x_t, x_t+lag) of one file each, at most 20,000 of them."""
    clock = [np.arange(50_000.0), 1e6 + np.arange(30_000.0), 2e6 + np.arange(4.0)]
    found = sample_pairs(stream_of(*clock), 7, None, no_progress)
    np.testing.assert_array_equal(found.y - found.x, 7)
    np.testing.assert_array_equal(found.groups, found.x[:, 0] // 1e6)
    assert 10_000 < len(found.x) <= 20_000
    assert set(found.groups) == {0, 1}


@pytest.mark.parametrize("name", ["tica", "vamp"])
def test_noise_is_reported_as_no_slow_mode(name):
    """Fitting noise gives no resolved mode and says so."""
    resolved = 0
    for seed in range(10):
        x = np.random.default_rng(seed).standard_normal((2000, 3))
        result = fit(x, FitOptions(model=name, lag="1", dim="2"))
        resolved += any(mode.verdict == "resolved" for mode in result.modes)
        assert result.slow is any(mode.verdict == "resolved" for mode in result.modes)
    assert resolved <= 1


def test_prinz_modes_are_resolved():
    """The three slow modes of the Prinz potential stand above the floor of their dictionary."""
    data = [np.concatenate(PRINZ.simulate(0, 40_000))]
    runs = np.split(data[0], 400)
    result = fit(
        list(runs),
        FitOptions(model="edmd", lag="1", dim="3", settings={"basis": "gaussians", "centers": 25}),
    )
    times = [mode.timescale.value for mode in result.modes]
    exact = -1 / np.log(PRINZ.eigenvalues(1, 3).real)
    assert times == pytest.approx(exact, rel=0.15)


PRINZ_FIT = ("--ensemble", "--dt", "0.05", "--model", "edmd", "--set", "basis=gaussians")

SCANNED = {
    "AR(1)": ("--model", "tica"),
    "AR(1) by its singular values": ("--model", "vamp"),
    "AR(1) under noise": ("--model", "tica"),
    "windows": ("--model", "tica", "--features", "delays:3"),
    "prinz": PRINZ_FIT,
    "ala2": (),
}


@pytest.mark.parametrize("case", SCANNED)
def test_timescales_names_the_lag_that_a_fit_takes(case, tmp_path):
    """``koopman timescales`` and ``koopman fit`` tell one lag, one verdict and one reason."""
    if case in ("prinz", "ala2"):
        paths = sorted(map(str, (SAMPLES / case).glob("*.npy" if case == "prinz" else "run*.h5")))
    else:
        data = relaxing(10_000, seed=1, memory=(0.98, 0.8))
        if case.endswith("noise"):
            data += 3 * np.random.default_rng(2).standard_normal(data.shape)
        np.save(tmp_path / "x.npy", data)
        paths = [str(tmp_path / "x.npy")]
    told = done("timescales", *paths, *SCANNED[case], "-o", tmp_path / "scan", "--json").json
    assert run("fit", *paths, *SCANNED[case], "-o", tmp_path / "run", "--dim", "1").code == 0
    result = load_result(tmp_path / "run" / "model.h5")
    scan = result.lag_scan
    assert told["auto"]["lag"]["frames"] == result.model.lag.frames == scan.chosen
    assert told["auto"]["converged"] == scan.converged == (case != "AR(1) under noise")
    assert told["auto"]["reason"] == scan.reason


def test_scans_that_do_not_hold_the_grid_name_no_lag(tmp_path):
    """Lags of one's own, and families whose fit asks another, tell nothing of ``--lag auto``."""
    np.save(tmp_path / "x.npy", relaxing(4000))
    args = ("timescales", tmp_path / "x.npy", "--json", "--force", "-o", tmp_path / "scan")
    assert done(*args, "--lag", "1,2,5").json["auto"] is None
    assert done(*args, "--lag", "1:80").json["auto"] is not None
    assert done(*args, "--model", "msm", "--set", "input=slow").json["auto"] is None
