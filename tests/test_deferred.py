"""Wide kernel lifts: whitening that is left to the sums of frames, and memory that stays small."""

import gc
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from koopman_cli import FitOptions, fit
from koopman_cli.accumulate import accumulate
from koopman_cli.bound import Bound
from koopman_cli.estimate import _fitted, estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import apply
from koopman_cli.lifts.deferred import FEWEST, GROWTH, first_landmarks, growth
from koopman_cli.lifts.kernel import Basis, coordinates, function, kernel_lift, kernel_of
from koopman_cli.lifts.kernelfunctions import Evaluator, Kernel, parse_kernel
from koopman_cli.models.restrict import Reduction
from koopman_cli.models.solve import solve
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.request import Request
from koopman_cli.results import project

COUNT = 300


def frames(n=4000, dtype=np.float64):
    """Four columns that remember, the first of them longest."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, 4))
    for t in range(1, n):
        x[t] = [0.98, 0.9, 0.8, 0.5] * x[t - 1] + [0.2, 0.44, 0.6, 0.87] * x[t]
    return x.astype(dtype)


def lift_of(x, kernel="gaussian@1.5", count=COUNT):
    """A lift of so many landmarks."""
    return kernel_lift(x, Kernel(parse_kernel(kernel, list("abcd"))), Basis(count))


def whole(lift):
    """The same lift with its whitening done on the frames, as of versions without `first`."""
    values = Evaluator(kernel_of(lift), lift.arrays["landmarks"])(lift.arrays["landmarks"])
    transform = np.linalg.inv(np.linalg.cholesky(values)).T
    return replace(
        lift,
        arrays=lift.arrays | {"transform": transform},
        settings={k: v for k, v in lift.settings.items() if k != "first"},
    )


def test_coordinates_are_those_of_the_whole_division():
    """The functions of a lift and what is left to the sums together are L^-1 k(z, x), and the
    functions are fewer divisions than that.
    """
    x = frames(6000)
    lift = lift_of(x)
    assert 0 < lift.settings["first"] <= COUNT / 2
    k = Evaluator(Kernel(parse_kernel("gaussian@1.5", list("abcd"))), lift.arrays["landmarks"])(x)
    wanted = k @ whole(lift).arrays["transform"]
    np.testing.assert_allclose(coordinates(lift, x), wanted, atol=1e-9)
    np.testing.assert_allclose(coordinates(whole(lift), x), wanted, atol=1e-9)
    assert function(whole(lift)).later is None
    assert np.abs(function(lift)(x) - coordinates(lift, x)).max() > 0.1


def test_earlier_versions_refuse_what_they_would_misread():
    """A lift whose arrays mean something else is of another kind, which they do not know."""
    x = frames(6000)
    assert lift_of(x).kind == "deferred-kernel"
    assert lift_of(x, count=100).kind == "kernel"


def test_moments_become_those_of_the_coordinates():
    """About any shift and scale, moments of the functions become those of the coordinates, and
    coefficients of one those of the other.
    """
    x = frames(700)
    lift = lift_of(x)
    found, phi = function(lift)(x), coordinates(lift, x)
    rng = np.random.default_rng(1)
    shift, scale = rng.standard_normal(COUNT), 2.0 ** rng.integers(-3, 4, COUNT)
    sums = Moments.of_pairs(found[:-1], found[1:], shift=shift, scale=scale)
    sums = replace(sums, later=function(lift).later)
    made = sums.orthonormal()
    wanted = Moments.of_pairs(phi[:-1], phi[1:], shift=made.shift, scale=made.scale)
    for name in ("xx", "xy", "yy"):
        a, b = getattr(made, name), getattr(wanted, name)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-9 * np.abs(b).max())
    weights = rng.standard_normal((COUNT, 2))
    np.testing.assert_allclose(found @ sums.of_functions(weights), phi @ weights, atol=1e-9)
    assert made.orthonormal() is made
    assert (sums + sums).later is sums.later
    assert sums.rebased(np.zeros(COUNT), np.ones(COUNT)).later is sums.later
    assert sums.projected(np.zeros(COUNT), weights).later is None


@pytest.mark.parametrize(
    ("solver", "reduction"),
    [
        ("reversible", Reduction(1e-5)),
        ("eig", Reduction(1e-5)),
        ("svd", Reduction(1e-5)),
        ("eig", Reduction(1e-5, 20, "rrr")),
        ("eig", Reduction(1e-5, 30)),
    ],
)
def test_solutions_are_the_same_functions(solver, reduction):
    """Eigenvalues, bias, means and values of the leading functions are those of the coordinates,
    by every solver: the ridge and the rank mean the same.
    """
    x = frames(3000)
    lift = lift_of(x)
    found, phi = function(lift)(x), coordinates(lift, x)
    parts = []
    for values, later in ((found, function(lift).later), (phi, None)):
        sums = replace(Moments.of_pairs(values[:-1], values[1:]), later=later)
        parts.append((solve(sums, solver, reduction=reduction), values))
    (a, own), (b, plain) = parts
    for name in ("eigenvalues", "singular_values", "bias"):
        ours, theirs = getattr(a, name), getattr(b, name)
        assert (ours is None) == (theirs is None)
        if theirs is not None:
            np.testing.assert_allclose(ours[:8], theirs[:8], rtol=1e-6, atol=1e-9)
    assert a.rank == b.rank
    ours, theirs = ((v - s.mean_x) @ s.left[:, :2] for s, v in ((a, own), (b, plain)))
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), atol=1e-5)


@pytest.mark.parametrize("kernel", ["gaussian@1.5", "matern52@2", "laplacian@2"])
def test_float32_sums_are_as_exact_as_those_of_the_coordinates(kernel):
    """What float32 makes of the covariances of phi, in units of a ridge of 1e-5, is below a
    hundredth or at most twice what it makes of them where every frame is divided.
    """
    x = frames(6000, np.float32)
    lift = lift_of(x, kernel, 400)
    assert lift.settings["first"] < 200
    exact = coordinates(lift, x)
    wanted = Moments.of_pairs(exact[:-1], exact[1:])
    white = np.linalg.inv(np.linalg.cholesky(wanted.covariances().c00 + 1e-5 * np.eye(400)))
    error = []
    for each in (lift, whole(lift)):
        lifted = (400, function(each, single=True))
        assert lifted[1].dtype == np.float32
        stream = FeatureStream.from_arrays(x)
        sums, _ = accumulate(stream, [1], lift=lifted, precision="float32", n_blocks=5)
        made = sums.total().orthonormal()
        c = made.covariances().c00 / np.outer(made.scale, made.scale)
        error.append(np.linalg.norm(white @ (c - wanted.covariances().c00) @ white.T, 2))
    assert error[0] < max(0.01, 2 * error[1])


def test_what_rounding_forbids_is_divided_out_of_frames():
    """Landmarks are taken first until the rounding of sums grows little; all of them where that
    would be most of them, and where they are few.
    """
    x = frames(6000)
    steep = lift_of(x, "gaussian@1.5", 400)
    inverse = whole(steep).arrays["transform"].T
    lower = np.linalg.inv(inverse)
    first = steep.settings["first"]
    assert growth(inverse, lower, first) <= GROWTH < growth(inverse, lower, 32)
    assert lift_of(x, "gaussian@4", 400).settings["first"] == 400
    assert lift_of(x, "laplacian@2", 400).settings["first"] < first
    assert first_landmarks(np.eye(FEWEST - 1), np.eye(FEWEST - 1)) == FEWEST - 1
    assert lift_of(x, "gaussian@1.5", 100).settings["first"] == 100


# ------------------------------------------------------------------ memory of wide lifts


def test_functions_of_many_frames_take_the_memory_of_few():
    """Slow functions of 20,000 frames in a lift of 300 functions, which are 48 MB, take less than
    12 MB, and are what all frames at once give.
    """
    x = frames(20_000)
    settings = {"landmarks": COUNT, "bandwidth": 1.5}
    model = fit(x, FitOptions(model="kedmd", lag="5", dim="2", folds=0, settings=settings)).model
    wanted = (apply(model.lift, x) - model.mean) @ model.left
    tracemalloc.start()
    try:
        found = project(model, x)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(found, wanted, atol=1e-8)
    assert peak < 12e6


def test_folds_hold_no_blocks():
    """Folds with lifts of their own keep the sums of their two parts, not the blocks."""
    stream = FeatureStream.from_arrays(frames(3000))
    request = Request.of("kedmd", {"landmarks": 40, "bandwidth": 1.5})
    _, bound, _ = _fitted(stream, request, 5)
    before = {id(o) for o in gc.get_objects() if type(o) is BlockMoments}
    folds, passes = bound.folds(bound.request.lift(stream, None, 5), 4, None)
    gc.collect()
    after = {id(o) for o in gc.get_objects() if type(o) is BlockMoments}
    assert len(folds) == passes == 4
    assert after <= before
    assert all(np.isfinite(fold.solve(fold.moments()[0]).eigenvalues).all() for fold in folds)


def test_what_chose_the_dim_is_not_solved_again(monkeypatch):
    """Every fold is solved once where dims are compared, and the score is that of a fit of this
    dim.
    """
    stream = FeatureStream.from_arrays(frames(3000))
    request = Request.of("kedmd", {"landmarks": 40, "bandwidth": 1.5})
    calls, plain = [], Bound.solve
    monkeypatch.setattr(Bound, "solve", lambda self, m: calls.append(1) or plain(self, m))
    chosen = estimate(stream, request, 5, folds=4)
    assert len(calls) == 4
    fixed = estimate(stream, request, 5, folds=4, dim=chosen.dim)
    assert chosen.score.vampe.test == pytest.approx(fixed.score.vampe.test, abs=1e-12)
    assert chosen.score.vamp2.folds == pytest.approx(fixed.score.vamp2.folds, abs=1e-12)
