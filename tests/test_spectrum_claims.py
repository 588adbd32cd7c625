"""What the spectrum means: intervals, certificates, gap, crossings, verdicts."""

import numpy as np
import pytest
from scipy.signal import lfilter
from systems import AR1, CIRCLE, OU, ROTATIONAL_OU

from koopman_cli import FitOptions, fit
from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.certificate import Certificate, certificates, flow_residuals
from koopman_cli.analysis.gap import spectral_gap
from koopman_cli.analysis.heldout import HeldOut
from koopman_cli.analysis.intervals import mode_intervals
from koopman_cli.analysis.modes import with_certificates, with_residuals
from koopman_cli.analysis.resampling import each, resampled
from koopman_cli.analysis.uncertainty import Influences, influences
from koopman_cli.blocks import plan_blocks
from koopman_cli.features.stream import FeatureStream
from koopman_cli.models.solve import solve
from koopman_cli.moments import Moments
from koopman_cli.types import Mode


def ar(a, frames, seed):
    """An autoregressive run of unit variance."""
    kicks = np.random.default_rng(seed).standard_normal(frames)
    return lfilter([np.sqrt(1 - a * a)], [1, -a], kicks)


# ------------------------------------------------------------------ error bars


@pytest.mark.parametrize("solver", ["reversible", "eig", "svd"])
def test_influences_are_what_resolving_gives(solver):
    """The first-order influence of a block equals re-solving with that block reweighted."""
    x = np.column_stack([ar(0.95, 20_000, 0), ar(0.7, 20_000, 1)])
    x = np.column_stack([x, x[:, 0] * x[:, 1]])
    moments, _ = accumulate(FeatureStream.from_arrays(x), [2])
    solution = solve(moments.total(), solver)
    quick = influences(moments, solution, solver, 2)

    def again(total):
        found = solve(total, solver)
        values = found.eigenvalues if found.singular_values is None else found.singular_values
        return values[:2].real

    _, slow, _ = resampled(moments, each(again), step=0.01)
    assert np.abs(quick.blocks.real - slow).max() < 0.02 * np.abs(slow).max()


@pytest.mark.filterwarnings("error")
def test_a_statistic_that_is_infinite_has_no_influence():
    """Infinite with and without a block (a state never left) is NaN; the others are told."""
    moments, _ = accumulate(FeatureStream.from_arrays(ar(0.9, 2000, 0)), [1])

    def infinite(total):
        return np.array([np.inf, total.n])

    value, influence, spread = resampled(moments, each(infinite))
    assert np.isinf(value[0])
    assert np.isnan(influence[:, 0]).all()
    assert (influence[:, 1] > 0).all()
    assert np.isnan(spread.error(influence)).tolist() == [True, False]


def test_error_of_an_autoregression():
    """At lag 1 the error of the eigenvalue of AR(1) is sqrt((1 - lambda^2) / T) on average."""
    errors = []
    for seed in range(10):
        stream = FeatureStream.from_arrays(AR1.simulate(seed, 20_000))
        moments, _ = accumulate(stream, [1])
        found = influences(moments, solve(moments.total(), "reversible"), "reversible", 1)
        errors.append(found.errors()[0])
    exact = np.sqrt((1 - np.exp(-2 / 20)) / 20_000)
    assert 0.9 < np.mean(errors) / exact < 1.1


def test_degenerate_modes_share_an_interval():
    """Two equal eigenvalues are a group, and each gets the hull of both intervals."""
    x = np.column_stack([ar(0.9, 20_000, 1), ar(0.9, 20_000, 2), ar(0.2, 20_000, 3)])
    moments, _ = accumulate(FeatureStream.from_arrays(x), [1])
    solution = solve(moments.total(), "reversible")
    first, second, third = mode_intervals(influences(moments, solution, "reversible", 3))
    assert first.group == second.group == (0, 1)
    assert first.eigenvalue == second.eigenvalue != third.eigenvalue
    assert third.group == (2,)


def test_period_of_a_rotation_has_an_interval():
    """The period of circle drift lies in its interval, which is a few percent wide."""
    result = fit(
        CIRCLE.simulate(0, 20_000)[0],
        FitOptions(model="tica", settings={"reversible": "false"}, lag="4", dim="2"),
    )
    period = result.modes[0].period
    exact = 2 * np.pi / 0.25
    assert period.low < exact < period.high
    assert period.high / period.low < 1.1


# ------------------------------------------------------------------ certificates


def test_exact_moments_certify():
    """With exact two-lag moments lambda +- r always holds an eigenvalue of a reversible chain."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        weights = rng.random((6, 6))
        weights = weights + weights.T
        pi = weights.sum(axis=1) / weights.sum()
        p = weights / weights.sum(axis=1, keepdims=True)
        psi = rng.standard_normal(6)
        psi -= pi @ psi
        norm = pi @ psi**2
        c1, c2 = (pi * psi) @ p @ psi / norm, (pi * psi) @ p @ p @ psi / norm
        own = np.full((2, 10, 1), norm)
        (found,) = certificates(HeldOut(own, own * np.array([c1, c2])[:, None, None]), [[0]])
        exact = np.linalg.eigvals(p).real
        assert found.residual == pytest.approx(found.guaranteed, abs=1e-7)
        assert found.value == pytest.approx(c1)
        reach = found.residual[1] - c1
        assert reach == pytest.approx(np.sqrt(max(c2 - c1**2, 0.0)), abs=1e-7)
        assert np.min(np.abs(exact - c1)) <= reach + 1e-7


def test_two_intervals_of_a_certificate():
    """The residual interval is as wide as the error of lambda where r2 is not told from 0; the
    guaranteed one is as wide as the error of r2 allows, and never the narrower of the two.
    """
    told = Certificate(0.9, 0.01, -1e-4, 2e-3, quantile=2.7)
    assert told.residual == pytest.approx((0.9 - 0.027, 0.9 + 0.027))
    reach = np.sqrt(1.645 * 2e-3)
    assert told.guaranteed == pytest.approx((0.9 - reach, 0.9 + reach))
    far = Certificate(0.9, 0.001, 0.04, 1e-4)
    assert far.residual == pytest.approx(far.guaranteed, abs=1e-3)
    few = Certificate(0.9, 0.05, 0.0, 1e-4)
    assert few.guaranteed == few.residual


def test_both_intervals_are_reported():
    """Reported intervals end at 1; the guaranteed one holds the other in every mode."""
    run = OU.simulate(0, 100_000)[0]
    result = fit(run, FitOptions(model="edmd", settings={"degree": "3"}, lag="5", dim="2"))
    first, second = (mode.certificate for mode in result.modes)
    assert first["kind"] == "kato-temple"
    assert second["kind"] == "residual"
    sure = second["guaranteed"]
    assert sure["low"] <= second["low"] < second["high"] <= sure["high"] <= 1
    (mode,) = with_certificates([Mode(1, 0.99 + 0j)], [Certificate(0.99, 0.01, 0.0, 0.01)])
    assert mode.certificate["high"] == mode.certificate["guaranteed"]["high"] == 1


def test_kato_temple_never_reaches_beyond_what_is_guaranteed():
    """A jump process behind noise: Kato-Temple would be [.34, 1] beside guaranteed [.01, .77];
    the residual interval is reported, and every reported one lies within the guaranteed one.
    """
    rng = np.random.default_rng(7)
    jumps = np.cumsum(rng.random(60_000) < 0.005) % 2
    run = np.column_stack([jumps, 1 - jumps]) + rng.standard_normal((60_000, 2))
    result = fit(run, FitOptions(model="tica", lag="48", dim="1"))
    wide = Certificate(0.3925, 0.0278, 0.127, 0.0093, kato=(0.338, 1.1))
    told = [*with_certificates([Mode(1, 0.3925 + 0j)], [wide]), *result.modes]
    for mode in told:
        own, sure = mode.certificate, mode.certificate["guaranteed"]
        assert own["kind"] == "residual" or own["high"] <= sure["high"]
        assert sure["low"] <= own["low"] < own["high"] <= sure["high"]
    assert told[0].certificate["kind"] == "residual"


@pytest.mark.parametrize("model", ["tica", "vamp"])
def test_a_rotation_has_no_timescale(model):
    """A rotating Ornstein-Uhlenbeck process: tica is invalid, vamp reports coherences."""
    run = ROTATIONAL_OU.simulate(0, 20_000)[0]
    result = fit(run, FitOptions(model=model, lag="2", dim="2"))
    assert all(mode.timescale is None for mode in result.modes)
    if model == "tica":
        assert {mode.verdict for mode in result.modes} == {"invalid"}
        assert not result.slow
    else:
        assert all(mode.eigenvalue is None for mode in result.modes)
        assert result.modes[0].singular_value == pytest.approx(0.904837, abs=0.01)


def test_traces_of_two_states_do_not_contradict_reversibility():
    """Without noise rare jumps hardly ever come twice in two lags: no error below theirs counts."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        state = np.where(np.cumsum(rng.random(20_000) < 1 / 300) % 2, 1.0, -1.0)
        x = np.column_stack([state, rng.standard_normal(20_000)])
        mode = fit(x, FitOptions(model="tica", lag="1", dim="1")).modes[0]
        assert mode.verdict == "resolved", mode.reason
        assert mode.timescale.low < 150 < mode.timescale.high * 1.2


def test_a_contradiction_needs_its_errors():
    """r2 below zero is invalid only beyond the limit."""
    assert Certificate(0.9, 0.01, -0.05, 0.01).invalid
    assert not Certificate(0.9, 0.01, -0.02, 0.01).invalid


def damped_oscillator(points):
    """Images of points after dt = .5 of x'' = -x - .2 x' in its exact linear form."""
    from scipy.linalg import expm

    return points @ expm(0.5 * np.array([[0.0, 1.0], [-1.0, -0.2]])).T


def test_residuals_tell_true_eigenpairs_of_a_flow():
    """Damped oscillator: 10 of 35 pairs are true on fresh points; the other 25 are flagged."""
    rng = np.random.default_rng(0)
    grid = np.linspace(-1, 1, 5)
    centers = np.array([(a, b) for a in grid for b in grid])

    def lift(x):
        powers = [x[:, 0] ** i * x[:, 1] ** j for i in range(4) for j in range(4 - i)]
        bumps = np.exp(-((x[:, None] - centers) ** 2).sum(axis=2) / (2 * 0.3**2))
        return np.column_stack([*powers, bumps])

    def moments(n):
        x = rng.uniform(-1, 1, (n, 2))
        return Moments.of_pairs(lift(x), lift(damped_oscillator(x)))

    train, fresh = moments(4000), moments(4000)
    solution = solve(train, "eig", rtol=1e-14, center=False)
    assert solution.rank == 35
    found = flow_residuals(fresh, solution, 35)
    true = found.values < 1e-6
    assert true.sum() == 10
    assert found.values[~true].min() > 0.003
    assert not found.invariant
    rate = np.linalg.eigvals(np.array([[0.0, 1.0], [-1.0, -0.2]]))[0]
    pair = np.exp(0.5 * np.array([rate, rate.conj()]))
    exact = np.array([pair[0] ** i * pair[1] ** j for i in range(4) for j in range(4 - i)])
    distance = np.abs(solution.eigenvalues[true][:, None] - exact)
    assert distance.min(axis=0).max() < 1e-8
    assert distance.min(axis=1).max() < 1e-8
    modes = [Mode(i + 1, v, verdict="resolved") for i, v in enumerate(solution.eigenvalues)]
    kept = [mode.verdict == "resolved" for mode in with_residuals(modes, found)]
    assert kept == true.tolist()


# ------------------------------------------------------------------ gap and verdicts


def spectrum(values, error, blocks=50):
    """Influences of independent errors of one size on given eigenvalues."""
    rng = np.random.default_rng(0)
    g = rng.standard_normal((blocks, len(values)))
    g *= error / np.sqrt(np.sum(g**2, axis=0) * blocks / (blocks - 1))
    stack = accumulate(FeatureStream.from_arrays(rng.standard_normal(5000)), [1])[0]
    from koopman_cli.analysis.uncertainty import stack as stacked

    whole = stacked(stack, joint=True)
    return Influences(np.array(values, complex), g.astype(complex), whole)


def test_gap_is_the_last_sure_ratio():
    """Of two sure ratios the last counts; an uncertain one does not."""
    assert spectral_gap(spectrum([0.99, 0.9, 0.4, 0.35], 1e-3), 0.1).after == 2
    assert spectral_gap(spectrum([0.9, 0.77, 0.7], 1e-3), 0.1).after is None
    assert spectral_gap(spectrum([0.9, 0.7, 0.6], 0.05), 0.1).after is None


def test_gap_before_nothing():
    """A next eigenvalue at or below zero counts as t = 0, and one function has no gap."""
    gap = spectral_gap(spectrum([0.9, -0.01], 0.02), 0.1)
    assert gap.after == 1
    assert spectral_gap(spectrum([0.9], 1e-3), 0.1).reason == "one function fitted"


def test_no_gap_below_the_noise_or_the_lag():
    """A mode at the noise floor or faster than the lag is followed by no gap."""
    assert spectral_gap(spectrum([0.9, 0.1], 1e-3), 0.95).after is None
    assert spectral_gap(spectrum([0.3, 1e-4], 1e-5), 0.1).after is None


def test_ornstein_uhlenbeck_has_no_gap():
    """Monomials of an Ornstein-Uhlenbeck process: t1/t2 = 2 is no gap, and no states follow."""
    run = OU.simulate(1, 20_000)[0]
    result = fit(run, FitOptions(model="edmd", settings={"degree": "5"}, lag="5", dim="3"))
    assert not result.gap.resolved
    assert result.states is None
    assert "no ratio" in result.gap.reason


def well(frames, seed):
    """Fast fluctuations in one well."""
    return 0.1 * ar(0.8, frames, seed)


@pytest.mark.parametrize("model", ["tica", "vamp", "edmd"])
def test_wells_never_connected(model):
    """Two runs in two wells: the sets are named, no timescale is invented, and it is no error."""
    runs = [(well(5000, 0) - 1)[:, None], (well(5000, 1) + 1)[:, None]]
    result = fit(runs, FitOptions(model=model, lag="2"))
    first = result.modes[0]
    assert first.timescale is None
    assert first.verdict == "unresolved"
    assert first.reason.startswith("never crossed")
    assert any("{trajectory 1} and {trajectory 2} never meet" in w for w in result.warnings)
    assert result.slow


def test_a_mode_seen_once_is_unresolved():
    """A run that changes wells once: the mode is unresolved and the count is told."""
    run = well(10_000, 0) + np.where(np.arange(10_000) < 6000, -1, 1)
    result = fit(run[:, None], FitOptions(model="tica", lag="2"))
    assert result.modes[0].verdict == "unresolved"
    assert "one crossing" in result.modes[0].reason
    assert not result.gap.resolved


@pytest.mark.parametrize("model", ["tica", "vamp", "edmd"])
def test_noise_has_no_slow_mode(model):
    """Independent noise: no slow mode, no gap, no states, whatever the family."""
    noise = np.random.default_rng(3).standard_normal((20_000, 4))
    result = fit(noise, FitOptions(model=model, lag="1"))
    assert not result.slow
    assert not result.gap.resolved
    assert result.states is None


def test_moments_at_twice_the_lag_share_the_blocks():
    """Blocks planned for one lag hold exactly the pairs of twice that lag inside them."""
    from dataclasses import replace

    x = np.random.default_rng(0).standard_normal((333, 2))
    stream = FeatureStream.from_arrays(x)
    plan = replace(plan_blocks(stream.segments, [10], 2), lags=(10, 20))
    moments, _ = accumulate(stream, (10, 20), plan=plan)
    for i, (_, start, stop) in enumerate(plan.segments[0].cuts):
        found = moments.block(i, 20).rebased(np.zeros(2), np.ones(2)).xy[:2, :2]
        assert np.allclose(found, x[start : stop - 20].T @ x[start + 20 : stop])
    whole = moments.total(20).rebased(np.zeros(2), np.ones(2)).xy[:2, :2]
    assert np.allclose(whole, x[:-20].T @ x[20:])
