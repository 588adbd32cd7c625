"""Models: equal to deeptime's, blind to units, duplicates and constants, and reweighted."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import lfilter
from systems import DOUBLE_WELL, ROTATIONAL_OU

from koopman_cli import FitOptions, fit
from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.modes import reversible_values
from koopman_cli.analysis.spectrum import time_symmetric
from koopman_cli.autolag import scan_lags
from koopman_cli.errors import SupportError, UsageError
from koopman_cli.estimate import estimate
from koopman_cli.features import build_features
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
from koopman_cli.lagscan import scan_timescales
from koopman_cli.lifts import apply
from koopman_cli.lifts.dictionary import dictionary
from koopman_cli.models import make_settings
from koopman_cli.models.solve import solve
from koopman_cli.models.weights import koopman_weights
from koopman_cli.moments import Moments
from koopman_cli.request import Request
from koopman_cli.types import ReadOptions, no_progress

SAMPLES = Path(__file__).parents[1] / "sample_data" / "ala2"


def slow_columns(frames: int = 4000, seed: int = 0) -> np.ndarray:
    """Four columns: two slow modes mixed with two columns of noise."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((frames, 4))
    for t in range(1, frames):
        x[t, :2] = [0.95, 0.8] * x[t - 1, :2] + np.sqrt([1 - 0.95**2, 0.36]) * x[t, :2]
    return x @ rng.standard_normal((4, 4))


def values(x: np.ndarray, solver: str = "reversible", **options: object) -> np.ndarray:
    """Eigenvalues (singular values) of columns at lag 1."""
    blocks, _ = accumulate(FeatureStream.from_arrays([x]), [1])
    found = solve(blocks.total(), solver, eps=blocks.eps, **options)
    return found.singular_values if solver == "svd" else found.eigenvalues


@pytest.fixture(scope="module")
def torsions():
    """Backbone torsions of the sample runs as a stream of float32, and as float64 arrays."""
    paths = [SAMPLES / "run1.h5", SAMPLES / "run2.h5"]
    stream = build_features(open_trajectories(paths, ReadOptions(), no_progress), "torsions")
    stream = stream.cached()
    return stream, [np.concatenate(list(stream.chunks(i))).astype(np.float64) for i in (0, 1)]


# ------------------------------------------------------------------ deeptime


@pytest.mark.parametrize("lag", [1, 5, 20])
@pytest.mark.parametrize("name", ["tica", "vamp"])
def test_eigenvalues_equal_deeptime(torsions, name, lag):
    """TICA and VAMP of the torsions of the sample data equal deeptime's to 1e-8."""
    from deeptime.decomposition import TICA, VAMP

    stream, data = torsions
    theirs = {"tica": TICA, "vamp": VAMP}[name](lagtime=lag, epsilon=1e-10, scaling=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = theirs.fit_from_timeseries(data).fetch_model()
    found = estimate(stream, Request.of(name, precision="float64"), lag, dim=2).solution
    ours = found.eigenvalues.real if name == "tica" else found.singular_values
    np.testing.assert_allclose(ours, model.singular_values, rtol=0, atol=1e-8)
    quick = estimate(stream, Request.of(name), lag, dim=2)
    assert quick.precision == "float32"
    ours = quick.solution.eigenvalues if name == "tica" else quick.solution.singular_values
    np.testing.assert_allclose(ours, model.singular_values, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["tica", "vamp"])
def test_functions_equal_deeptime(torsions, name):
    """Slow functions correlate perfectly with deeptime's along the trajectory."""
    from deeptime.decomposition import TICA, VAMP

    stream, data = torsions
    theirs = {"tica": TICA, "vamp": VAMP}[name](lagtime=5, epsilon=1e-10, scaling=None, dim=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        projected = theirs.fit_from_timeseries(data).fetch_model().transform(data[0])
    found = estimate(stream, Request.of(name, precision="float64"), 5, dim=2).solution
    ours = (data[0] - found.mean_x) @ found.left[:, :2]
    for j in range(2):
        assert abs(np.corrcoef(ours[:, j], projected[:, j])[0, 1]) == pytest.approx(1, abs=1e-8)


def test_koopman_weights_equal_deeptime(torsions):
    """Koopman weights and the TICA they weight equal deeptime's to 1e-6."""
    from deeptime.covariance import KoopmanWeightingEstimator
    from deeptime.decomposition import TICA

    data = [x[2000:5000] for x in torsions[1]]
    lag = 5
    blocks, _ = accumulate(FeatureStream.from_arrays(data), [lag])
    weights, effective = koopman_weights(blocks.total(), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = KoopmanWeightingEstimator(lagtime=lag, epsilon=1e-10).fit(data).fetch_model()
        tica = TICA(lagtime=lag, epsilon=1e-10, scaling=None)
        tica = tica.fit_from_timeseries(data, weights=theirs).fetch_model()
    ours = weights(data[0])
    np.testing.assert_allclose(ours, theirs.weights(data[0]), rtol=0, atol=1e-6)
    x = np.concatenate([d[:-lag] for d in data])
    w = weights(x)
    assert w.mean() == pytest.approx(1, abs=1e-9)
    assert effective == pytest.approx(w.sum() ** 2 / (w**2).sum(), rel=1e-9)
    request = Request.of("tica", {"reweight": True})
    found = estimate(FeatureStream.from_arrays(data), request, lag, dim=1, folds=0)
    np.testing.assert_allclose(
        found.solution.eigenvalues.real, tica.singular_values, rtol=0, atol=1e-6
    )


def test_weighted_averages_are_stationary():
    """Under Koopman weights the functions have the same mean at both ends of the pairs."""
    x = slow_columns() + np.linspace(0, 1, 4000)[:, None]
    weights, _ = koopman_weights(Moments.of_pairs(x[:-1], x[1:]), None)
    w = weights(x[:-1])
    np.testing.assert_allclose(w @ x[:-1], w @ x[1:], rtol=1e-8)
    assert not np.allclose(x[:-1].mean(axis=0), x[1:].mean(axis=0), rtol=1e-8, atol=0)


# ------------------------------------------------------------------ reweighting


def started_on_the_left(seed: int, runs: int = 1000, frames: int = 10) -> list[np.ndarray]:
    """Short runs in the double well, all from x = -1, as nine Gaussians of x."""
    process, rng = DOUBLE_WELL.process, np.random.default_rng(seed)
    x, out = np.full(runs, -1.0), np.empty((runs, frames))
    kick = np.sqrt(2 * process.D * process.step)
    for frame in range(frames):
        out[:, frame] = x
        for _ in range(DOUBLE_WELL.stride):
            force = process.force(x) * process.D / process.kT
            x = x + force * process.step + kick * rng.standard_normal(runs)
    centers = np.linspace(-1.8, 1.8, 9)
    return list(np.exp(-((out[:, :, None] - centers) ** 2) / (2 * 0.45**2)))


def test_reweighting_mends_runs_started_out_of_equilibrium():
    """Runs of 10 frames from one well: plain TICA reads 5.4 frames, reweighted 13.5, exact 13.1."""
    lag, plain, mended, effective = 2, [], [], []
    for seed in range(5):
        stream = FeatureStream.from_arrays(started_on_the_left(seed))
        plain.append(estimate(stream, Request.of("tica"), lag, dim=1, folds=0))
        request = Request.of("tica", {"reweight": True})
        mended.append(estimate(stream, request, lag, dim=1, folds=0))
        effective.append(mended[-1].weighting.effective / mended[-1].blocks.total().n)
    exact = -lag / np.log(DOUBLE_WELL.eigenvalues(lag, 1)[0].real)
    assert exact == pytest.approx(13.101, abs=1e-3)
    times = [
        -lag / np.log(np.mean([e.solution.eigenvalues[0].real for e in found]))
        for found in (plain, mended)
    ]
    assert times[0] == pytest.approx(5.4, abs=0.4)
    assert times[1] == pytest.approx(exact, abs=1.5)
    assert np.all(np.abs(np.array(effective) - 0.21) < 0.05)


def test_reweighting_is_scored_with_weights_of_the_training_part():
    """A reweighted model has held-out scores, from one weighted pass per fold."""
    stream = FeatureStream.from_arrays(started_on_the_left(0, runs=400))
    found = estimate(stream, Request.of("tica", {"reweight": True}), 2, dim=1)
    assert found.passes == 2 + 2 * 5
    assert found.score.vampe.test == pytest.approx(1.7, abs=0.15)
    settings = {"reweight": "true"}
    notes = fit(stream, FitOptions("identity", "tica", "2", "1", settings, folds=0)).notes
    assert any(n.startswith("Koopman reweighting: ") and "effective" in n for n in notes)


def test_scans_of_timescales_are_reweighted():
    """``koopman timescales`` weighs the frames at every lag, as the fit at that lag does."""
    stream = FeatureStream.from_arrays(started_on_the_left(0))
    request = Request.of("tica", {"reweight": True})
    bands = scan_timescales(stream, request, [1, 2], 1)
    for lag, time in zip((1, 2), bands.times[:, 0], strict=True):
        found = estimate(stream, request, lag, dim=1, folds=0)
        assert time == pytest.approx(-lag / np.log(found.solution.eigenvalues[0].real), rel=1e-6)
    assert bands.readings == 4
    assert scan_lags(stream, request, (1, 2)).reason.endswith("of frames without weights")


def test_a_lag_without_weights_leaves_the_others_in_the_scan():
    """A lag at which frames determine no equilibrium has no timescale and says why, as a lag
    without a model does; the other lags keep theirs.
    """
    rng = np.random.default_rng(0)
    runs = np.zeros((8, 400, 3))
    runs[:, 0] = 3
    for t in range(1, 400):
        runs[:, t] = runs[:, t - 1] * [0.99, 0.8, 0.5] + 0.3 * rng.standard_normal((8, 3))
    stream, request = FeatureStream.from_arrays(list(runs)), Request.of("tica", {"reweight": True})
    bands = scan_timescales(stream, request, [1, 20, 395], 1)
    assert np.isfinite(bands.times[:2]).all()
    assert np.isnan(bands.times[2]).all()
    assert any("lag 395 frames: Koopman reweighting" in text for text in bands.warnings)
    assert bands.readings == 5


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_reweighting_is_blind_to_offsets(dtype):
    """Columns about 10,000 have the reweighted eigenvalues of columns about 0: to 1e-9 in float64,
    to the rounding of the data (1e-3 of their size) in float32.
    """
    rng = np.random.default_rng(0)
    runs = []
    for _ in range(200):
        kicks = rng.standard_normal(200) * np.sqrt(1 - 0.95**2)
        kicks[0] = -3.0
        runs.append(np.column_stack([lfilter([1], [1, -0.95], kicks), rng.standard_normal(200)]))
    request = Request.of("tica", {"reweight": True})
    values = [
        estimate(
            FeatureStream.from_arrays([(run + offset).astype(dtype) for run in runs]),
            request,
            2,
            dim=1,
            folds=0,
        ).solution.eigenvalues
        for offset in (0.0, 1e4)
    ]
    np.testing.assert_allclose(*values, atol=1e-9 if dtype == np.float64 else 1e-4)


def test_weights_that_leave_no_variance_are_refused():
    """Runs that never meet determine no equilibrium: refused as that, not as constant features."""
    runs = [0.05 * run + side for side in (-3, 3) for run in (slow_columns(300, 1)[:, :2],)]
    with pytest.raises(SupportError, match=r"equilibrium|not determined"):
        estimate(FeatureStream.from_arrays(runs), Request.of("tica", {"reweight": True}), 5)


def test_reweighting_refuses_what_it_cannot_support():
    """Fewer than ten effective frames per function are refused (exit 4), naming both numbers."""
    x = np.random.default_rng(0).standard_normal((60, 8)).cumsum(axis=0)
    with pytest.raises(SupportError, match="effective frames for 8 functions"):
        estimate(FeatureStream.from_arrays([x]), Request.of("tica", {"reweight": True}), 1)


# ------------------------------------------------------------------ units, duplicates, constants


@pytest.mark.parametrize("solver", ["reversible", "svd", "eig"])
def test_units_leave_the_spectrum(solver):
    """Features scaled by 1e+-6, one by one, leave the spectrum to 1e-8."""
    x = slow_columns()
    expected = values(x, solver)
    found = values(x * [1e6, 1e-6, 1.0, 1e3], solver)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)
    shifted = values(x + np.array([1e3, -50.0, 0.0, 1e2]), solver)
    np.testing.assert_allclose(shifted, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("solver", ["reversible", "svd", "eig"])
@pytest.mark.parametrize("near", [0.0, 1e-9])
def test_duplicates_leave_the_spectrum(solver, near):
    """A column repeated, or repeated up to 1e-9, only lowers the rank."""
    x = slow_columns()
    noise = near * np.random.default_rng(9).standard_normal(len(x))
    doubled = np.column_stack([x, x[:, 0] + noise, 3 * x[:, 2] - 7, x[:, 1] + x[:, 3]])
    blocks, _ = accumulate(FeatureStream.from_arrays([doubled]), [1])
    found = solve(blocks.total(), solver, eps=blocks.eps)
    assert found.rank == 4
    got = found.singular_values if solver == "svd" else found.eigenvalues
    np.testing.assert_allclose(got, values(x, solver), rtol=0, atol=1e-6)
    clean = solve(Moments.of_pairs(x[:-1], x[1:]), solver)
    ours = (doubled - found.mean_x) @ found.left[:, :2]
    theirs = (x - clean.mean_x) @ clean.left[:, :2]
    for j in range(2):
        assert abs(np.corrcoef(ours[:, j], theirs[:, j])[0, 1]) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e6, -3e-20])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_constants_are_dropped_and_named(level, dtype):
    """A constant column of any level is left out, named, and changes nothing."""
    x = slow_columns().astype(dtype)
    still = np.insert(x, 2, dtype(level), axis=1)
    stream = FeatureStream.from_arrays([still], names=["a", "b", "still", "c", "d"])
    model = fit(stream, FitOptions(model="tica", lag="1", dim="2")).model
    assert model.dropped == ("still",)
    assert model.rank == 4
    np.testing.assert_array_equal(model.left[2], 0)
    tolerance = 1e-10 if dtype == np.float64 else 1e-5
    expected = fit(x, FitOptions(model="tica", lag="1", dim="2")).model.eigenvalues
    np.testing.assert_allclose(model.eigenvalues, expected, atol=tolerance)


def test_a_constant_that_only_rounding_moves():
    """A column that differs by the last bit of its numbers is constant; a moving one is not."""
    x = slow_columns()
    rng = np.random.default_rng(0)
    bit = 5.0 + np.spacing(5.0) * rng.integers(-1, 2, len(x))
    found = solve(Moments.of_pairs(*_pairs(np.column_stack([x, bit]))), "reversible")
    assert found.moving.tolist() == [True] * 4 + [False]
    tiny = 1e-9 * x[:, :1] + 5.0
    blocks, _ = accumulate(FeatureStream.from_arrays([np.column_stack([x, tiny])]), [1])
    assert solve(blocks.total(), "reversible").moving.all()


def _pairs(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return x[:-1], x[1:]


def test_nothing_that_moves_is_no_model():
    """Only constants: exit 4 with the reason."""
    with pytest.raises(SupportError, match="none of the features varies"):
        estimate(FeatureStream.from_arrays([np.ones((100, 3))]), Request.of("tica"), 1)


@pytest.mark.parametrize("name", ["tica", "vamp"])
def test_more_functions_than_pairs_are_refused(name):
    """Ten pairs support no model of twenty columns."""
    x = np.random.default_rng(0).standard_normal((11, 20))
    with pytest.raises(SupportError, match="10 lagged pairs cannot support"):
        estimate(FeatureStream.from_arrays([x]), Request.of(name), 1, dim=1)


def test_sides_of_different_rank():
    """Snapshots y of lower rank than x: as many functions as the smaller side has."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 4))
    y = np.column_stack([x[:, :2], x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]])
    runs = list(np.stack([x, y], axis=1))
    found = estimate(FeatureStream.from_arrays(runs), Request.of("vamp"), 1, dim=4)
    assert found.solution.rank == found.dim == 2
    assert found.solution.singular_values == pytest.approx([1, 1], abs=1e-9)
    assert any("reduced to 2" in w for w in found.warnings)
    assert len(fit(runs, FitOptions(model="vamp", lag="1", dim="4")).modes) == 2


# ------------------------------------------------------------------ solvers


@pytest.mark.parametrize("solver", ["reversible", "svd", "eig"])
def test_functions_solve_the_problem_they_name(solver):
    """Unit variance, the eigenvalue equation, largest component positive."""
    x = slow_columns() @ np.diag([1.0, 10.0, 0.1, 1.0]) + 3
    moments = Moments.of_pairs(*_pairs(x))
    found = solve(moments, solver)
    c = (moments.symmetrized() if solver == "reversible" else moments).covariances()
    left, right = found.left, found.right
    np.testing.assert_allclose(np.diag(left.T @ c.c00 @ left), 1, rtol=1e-8)
    if solver == "svd":
        np.testing.assert_allclose(
            left.T @ c.c01 @ right, np.diag(found.singular_values), atol=1e-9
        )
        np.testing.assert_allclose(right.T @ c.c11 @ right, np.eye(4), atol=1e-9)
    else:
        assert np.all(found.eigenvalues.imag == 0)
        np.testing.assert_allclose(c.c01 @ left, c.c00 @ left * found.eigenvalues.real, atol=1e-8)
    weight = np.sqrt(np.diag(c.c00))[:, None]
    largest = np.argmax(np.abs(left * weight), axis=0)
    assert np.all(left[largest, range(4)] > 0)


def test_complex_pairs_stand_together():
    """On a rotation: real and imaginary part satisfy the equation of the complex pair."""
    x = ROTATIONAL_OU.simulate(0, 20_000)[0]
    x = np.column_stack([x, slow_columns(20_000)[:, :1], x[:, 0] * x[:, 1]])
    moments = Moments.of_pairs(*_pairs(x))
    found = solve(moments, "eig")
    c = moments.covariances()
    assert found.eigenvalues[1].imag > 0 or found.eigenvalues[0].imag > 0
    j = int(np.flatnonzero(found.eigenvalues.imag > 0)[0])
    assert found.eigenvalues[j + 1] == found.eigenvalues[j].conjugate()
    psi = found.left[:, j] + 1j * found.left[:, j + 1]
    np.testing.assert_allclose(c.c01 @ psi, found.eigenvalues[j] * (c.c00 @ psi), atol=1e-9)
    assert (psi.conj() @ c.c00 @ psi).real == pytest.approx(1)
    sizes = np.abs(found.eigenvalues)
    assert all(a >= b - 1e-12 for a, b in pairwise(sizes))
    np.testing.assert_allclose(
        np.sort(sizes), np.sort(np.abs(np.linalg.eigvals(np.linalg.solve(c.c00, c.c01))))
    )


def test_dim_never_splits_a_pair():
    """One function asked of a rotation is its pair: dim 2."""
    stream = FeatureStream.from_arrays(ROTATIONAL_OU.simulate(0, 5000))
    found = estimate(stream, Request.of("tica", {"reversible": False}), 2, dim=1)
    assert found.dim == 2
    assert found.score.dim == 2


def test_without_centring_the_origin_counts():
    """Raw moments (center=false) give decaying columns their own rates."""
    t = np.arange(200)
    x = np.column_stack([0.97**t, 0.8**t])
    found = values(x, "eig", center=False)
    np.testing.assert_allclose(found, [0.97, 0.8], atol=1e-9)
    settings = make_settings("tica", {"center": "false", "reversible": "no"})
    assert (settings.center, settings.reversible) == (False, False)


def test_settings_are_typed_and_explained():
    """A misspelt setting is met with a suggestion, a wrong value with what it must be."""
    with pytest.raises(UsageError, match="edmd has no setting 'degre'") as caught:
        make_settings("edmd", {"degre": "2"})
    assert "did you mean degree" in caught.value.hint
    with pytest.raises(UsageError, match="degree=two"):
        make_settings("edmd", {"degree": "two"})
    with pytest.raises(UsageError, match="solve=svdd"):
        make_settings("edmd", {"solve": "svdd"})


# ------------------------------------------------------------------ symmetry in time


def test_reversible_data_let_vamp_speak_of_timescales():
    """VAMP of a reversible process is re-solved reversibly in its own span."""
    blocks, _ = accumulate(FeatureStream.from_arrays([slow_columns(20_000)]), [1])
    found = solve(blocks.total(), "svd")
    eigenvalues = reversible_values(blocks.merged(200), found, 2)
    expected = solve(blocks.total(), "reversible").eigenvalues[:2]
    np.testing.assert_allclose(eigenvalues, expected, atol=2e-3)
    assert np.all(eigenvalues.real <= expected.real + 1e-12)


def test_rotation_is_not_symmetric_in_time():
    """VAMP of a rotating process has coherences and no eigenvalues, however many seeds."""
    for seed in range(5):
        stream = FeatureStream.from_arrays(ROTATIONAL_OU.simulate(seed, 10_000))
        blocks, _ = accumulate(stream, [2])
        found = solve(blocks.total(), "svd")
        assert reversible_values(blocks, found, 2) is None
        assert found.singular_values == pytest.approx([0.904837] * 2, abs=0.03)


def test_reversible_processes_are_rarely_called_irreversible():
    """At level 1% at most 5 of 100 reversible runs are rejected."""
    rejected = 0
    for seed in range(100):
        x = slow_columns(3000, seed=seed)
        blocks, _ = accumulate(FeatureStream.from_arrays([x]), [1])
        rejected += not time_symmetric(blocks.merged(100))
    assert rejected <= 5


# ------------------------------------------------------------------ dictionaries


def test_monomials_are_all_products():
    """Monomials to degree 3 of two columns: nine functions, named, equal to their products."""
    x = np.random.default_rng(0).standard_normal((50, 2)) * [2.0, 0.5] + [1.0, -3.0]
    lift = dictionary(x, ["a", "b"], ["monomials"], degree=3)
    assert lift.names == (
        "a", "b", "a^2", "a * b", "b^2", "a^3", "a^2 * b", "a * b^2", "b^3",
    )  # fmt: skip
    u = (x - x.mean(axis=0)) / x.std(axis=0)
    a, b = u.T
    expected = np.column_stack([a, b, a**2, a * b, b**2, a**3, a**2 * b, a * b**2, b**3])
    np.testing.assert_allclose(apply(lift, x), expected, rtol=1e-12)


def test_fourier_and_gaussians_are_their_formulas():
    """Angles get the period 2 pi; Gaussians their centres and width in units of the columns."""
    angle = np.random.default_rng(0).uniform(-np.pi, np.pi, (500, 1))
    lift = dictionary(angle, ["phi"], ["fourier"], order=2)
    p = angle[:, 0]
    expected = np.column_stack([np.cos(p), np.sin(p), np.cos(2 * p), np.sin(2 * p)])
    np.testing.assert_allclose(apply(lift, angle), expected, atol=1e-9)
    assert lift.names == ("cos 1 phi", "sin 1 phi", "cos 2 phi", "sin 2 phi")
    x = np.random.default_rng(0).standard_normal((500, 2)) * [1.0, 30.0]
    lift = dictionary(x, ["a", "b"], ["gaussians"], centers=6, width=4.0)
    away = ((x[:, None] - lift.arrays["centers"]) ** 2).sum(axis=2)
    np.testing.assert_allclose(apply(lift, x), np.exp(-away / 32), rtol=1e-9, atol=1e-12)


def test_edmd_with_degree_one_is_tica():
    """EDMD with the columns themselves as dictionary is TICA, for every solver."""
    stream = FeatureStream.from_arrays([slow_columns()])
    for solver, other in (
        ("reversible", Request.of("tica")),
        ("eig", Request.of("tica", {"reversible": False})),
        ("svd", Request.of("vamp")),
    ):
        request = Request.of("edmd", {"degree": 1, "solve": solver})
        ours, theirs = (estimate(stream, r, 3, dim=2).solution for r in (request, other))
        for name in ("eigenvalues", "singular_values"):
            a, b = getattr(ours, name), getattr(theirs, name)
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_allclose(a, b, atol=1e-9)


def test_dictionaries_too_large_are_refused():
    """A dictionary of thousands of functions is refused before anything is computed."""
    with pytest.raises(SupportError, match="too large"):
        dictionary(np.zeros((10, 100)), [f"x{i}" for i in range(100)], degree=3)
    with pytest.raises(SupportError, match="30 centres from 10 frames"):
        dictionary(np.zeros((10, 1)), ["x"], ["gaussians"], centers=30)
