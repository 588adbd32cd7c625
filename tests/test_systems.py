"""The yardsticks themselves: closed forms, generators and simulators of :mod:`systems` agree."""

import numpy as np
import pytest
import systems
from systems import (
    AR1,
    CIRCLE,
    DOUBLE_WELL,
    OU,
    PRINZ,
    QUADRUPLE_WELL,
    RING_ANGLE,
    ROTATIONAL_OU,
    SYSTEMS,
)


@pytest.mark.parametrize(
    ("system", "rates"),
    [(DOUBLE_WELL, [0.748682, 6.00411, 11.6607]), (QUADRUPLE_WELL, [0.0297796, 3.31039])],
    ids=lambda value: getattr(value, "name", ""),
)
def test_double_well_generator(system, rates):
    """Finite volumes with Richardson extrapolation give the rates of the double wells."""
    assert system.process.generator(1000, len(rates)) == pytest.approx(rates, rel=3e-6)


def test_prinz_generator():
    """The Prinz potential has timescales .83403, .12677, .065098 and then .01218."""
    rates = PRINZ.process.generator(2000, 4)
    assert 1 / rates == pytest.approx([0.83403, 0.12677, 0.065098, 0.01218], abs=5e-6)


def test_generator_converges():
    """Doubling the cells changes the extrapolated rates by less than one part in a million."""
    once, twice = (PRINZ.process.generator(n, 3) for n in (1000, 2000))
    assert once == pytest.approx(twice, rel=1e-6)


@pytest.mark.parametrize(("tau", "expected"), [(0.05, 2.556937), (0.1, 2.039551)])
def test_prinz_vamp2(tau, expected):
    """VAMP-2 of all functions, 1 + sum of squared eigenvalues, as published for Prinz."""
    rates = PRINZ.process.generator(2000, 80)
    assert 1 + np.sum(np.exp(-2 * rates * tau)) == pytest.approx(expected, abs=2e-6)


def test_prinz_chain_is_slower_than_its_equation():
    """One Euler-Maruyama step of 1e-3 moves the timescales to .84443, .12553, .06428."""
    step = PRINZ.process.step
    found = -step / np.log(systems.step_eigenvalues(PRINZ.process)[:3])
    assert found == pytest.approx([0.84443, 0.12553, 0.06428], abs=5e-6)


def test_prinz_populations():
    """The basins between the three barriers hold .169, .233, .338 and .261."""
    x = np.linspace(-1.8, 1.8, 40001)
    v = systems.prinz_potential(x)
    tops = [
        x[cut][np.argmax(v[cut])]
        for cut in (np.abs(x + 0.5) < 0.2, np.abs(x) < 0.2, np.abs(x - 0.5) < 0.2)
    ]
    weights = np.bincount(np.searchsorted(tops, x), np.exp(-v))
    assert weights / weights.sum() == pytest.approx([0.169, 0.233, 0.338, 0.261], abs=6e-4)


@pytest.mark.parametrize("process", [DOUBLE_WELL.process, PRINZ.process], ids=["double", "prinz"])
def test_force_is_minus_gradient(process):
    """``force`` is minus the derivative of ``V``."""
    x, h = np.linspace(-1.2, 1.2, 241), 1e-5
    slope = (process.V(x + h) - process.V(x - h)) / (2 * h)
    assert process.force(x) == pytest.approx(-slope, abs=1e-5)


def test_quadruple_well_is_degenerate():
    """Its second and third eigenvalue coincide and the fourth is their product."""
    first, second, third, fourth = QUADRUPLE_WELL.eigenvalues(1, 4)
    assert first == second
    assert third == pytest.approx(first * second, rel=1e-12)
    assert abs(fourth) < 0.2 * abs(third)


def test_closed_forms():
    """OU, AR(1), circle and rotational OU have the eigenvalues of the literature."""
    assert OU.eigenvalues(5, 3) == pytest.approx([0.60653, 0.36788, 0.22313], abs=1e-5)
    assert AR1.eigenvalues(1, 1) == pytest.approx([np.exp(-1 / 20)])
    assert CIRCLE.eigenvalues(4, 2)[0] == pytest.approx(0.488886 + 0.761394j, abs=1e-6)
    assert ROTATIONAL_OU.eigenvalues(2, 2)[0] == pytest.approx(0.794070 + 0.433802j, abs=1e-6)
    assert RING_ANGLE.eigenvalues(1, 2) == pytest.approx([np.exp(-0.05)] * 2)


def test_circle_vamp2():
    """The singular values exp(-D k^2 tau), twice each up to k = 3, give VAMP-2 = 3.866717."""
    values = CIRCLE.eigenvalues(CIRCLE.lag, 6)
    assert 1 + np.sum(np.abs(values) ** 2) == pytest.approx(3.866717, abs=1e-6)


def test_wrapped_angle_misleads():
    """The raw wrapped angle decays to .77 where the process itself decays to .951."""
    assert systems.wrapped_angle_autocorrelation(1.0, 0.05) == pytest.approx(0.774, abs=5e-4)
    raw = RING_ANGLE.simulate(1, 2_000_000)[0]
    assert raw.min() > -np.pi
    assert raw.max() <= np.pi
    assert correlation([raw], 1, 0.0) == pytest.approx(0.774, abs=0.005)


def test_galerkin_approaches_the_chain_from_below():
    """More monomials bring the variational eigenvalues up to those of the chain."""
    exact = DOUBLE_WELL.eigenvalues(2, 2).real
    steps = 2 * DOUBLE_WELL.stride
    by_degree = [
        systems.galerkin(DOUBLE_WELL.process, steps, lambda x, d=d: x[:, None] ** np.arange(1, d))
        for d in (4, 8, 12)
    ]
    found = np.array([values[:2].real for values in by_degree])
    assert (np.diff(found, axis=0) > 0).all()
    assert found[-1] == pytest.approx(exact, rel=1e-3)


def correlation(trajectories, lag, mean):
    """Lagged over unlagged moment about ``mean``: <conj(x) y> / <|x|^2>."""
    pairs = [(t[:-lag] - mean, t[lag:] - mean) for t in trajectories]
    return sum(np.vdot(x, y) for x, y in pairs) / sum(
        (np.vdot(x, x).real + np.vdot(y, y).real) / 2 for x, y in pairs
    )


def observed(system, seed):
    """Correlation of x, or of x + iy (in its sense of rotation), over 20,000 frames."""
    lag = system.lag
    trajectories = system.simulate(seed, 20_000)
    if system in (CIRCLE, ROTATIONAL_OU):
        turn = 1j if system is CIRCLE else -1j
        return correlation([t[:, 0] + turn * t[:, 1] for t in trajectories], lag, 0.0)
    if system is RING_ANGLE:
        return correlation([np.exp(1j * t[:, 0]) for t in trajectories], lag, 0.0).real
    mean = 0.0
    if system.process:
        mean = systems.stationary(system.process) @ system.process.grid()
    return correlation([t[:, 0] for t in trajectories], lag, mean)


def expected(system):
    """The same for endless data: an eigenvalue, or what x alone reaches in a potential."""
    if system.process is None:
        return system.eigenvalues(system.lag, 1)[0]
    steps = system.lag * system.stride
    return systems.galerkin(system.process, steps, lambda x: x[:, None])[0]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
def test_simulations_are_the_chains_they_claim(system):
    """Over 20 seeds the simulated correlation lies within 4 standard errors of the exact one."""
    runs = np.array([observed(system, seed) for seed in range(20)], complex)
    truth = expected(system)
    for part in (np.real, np.imag) if np.iscomplex(truth) else (np.real,):
        values = part(runs)
        error = values.std(ddof=1) / np.sqrt(len(values))
        assert abs(values.mean() - part(truth)) < 4 * error


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda s: s.name)
def test_simulations_repeat(system):
    """The same seed gives the same numbers, another seed others, in the shape asked for."""
    one, two, other = (system.simulate(seed, 400, walkers=4) for seed in (7, 7, 8))
    assert [t.shape[0] for t in one] == [100] * 4
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[0], other[0])


def test_uneven_walkers_are_refused():
    """Frames that walkers cannot share evenly are refused, not dropped."""
    with pytest.raises(ValueError, match="10 frames cannot be shared evenly by 3 walkers"):
        OU.simulate(0, 10, walkers=3)
