"""Residuals and pseudospectra of a flow that preserves volume."""

from math import factorial

import numpy as np
from numpy.polynomial.hermite import hermval
from report_fixtures import result

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.certificate import LARGE_RESIDUAL, flow_residuals
from koopman_cli.analysis.modes import INVARIANT_NOTE
from koopman_cli.analysis.pseudospectrum import smallest_residuals
from koopman_cli.models.solve import solve
from koopman_cli.moments import Moments
from koopman_cli.report.figures import draw


def pendulum(angle, speed, dt=0.5, steps=20):
    """Flow of theta'' = -sin theta over dt, by fourth-order volume-preserving steps."""
    h = dt / steps
    for _ in range(steps):
        for w in (1.3512071919596578, -1.7024143839193153, 1.3512071919596578):
            angle = angle + w * h / 2 * speed
            speed = speed - w * h * np.sin(angle)
            angle = angle + w * h / 2 * speed
    return angle, speed


def fourier_hermite(angle, speed, waves=5, degree=8):
    """Products of Fourier modes of the angle and Hermite functions of the speed."""
    hermite = [
        hermval(speed, [0] * j + [1]) * np.exp(-(speed**2) / 2) / np.sqrt(2.0**j * factorial(j))
        for j in range(degree)
    ]
    fourier = [np.cos(k * angle) for k in range(waves + 1)]
    fourier += [np.sin(k * angle) for k in range(1, waves + 1)]
    return np.array([f * g for f in fourier for g in hermite]).T


def pendulum_moments():
    """Moments of the dictionary on a grid that the flow leaves invariant."""
    angles = np.linspace(-np.pi, np.pi, 120, endpoint=False)
    grid = [a.ravel() for a in np.meshgrid(angles, np.linspace(-10, 10, 240))]
    return Moments.of_pairs(fourier_hermite(*grid), fourier_hermite(*pendulum(*grid)))


def test_residuals_of_the_pendulum():
    """On invariant data the residual is sqrt(1 - |lambda|^2) to 1e-6; most are flagged."""
    moments = pendulum_moments()
    solution = solve(moments, "eig", center=False)
    found = flow_residuals(moments, solution, len(solution.eigenvalues))
    exact = np.sqrt(np.clip(1 - np.abs(solution.eigenvalues) ** 2, 0, None))
    assert np.abs(found.values - exact).max() < 1e-6
    assert np.mean(found.values > LARGE_RESIDUAL) >= 0.85
    assert 0.85 < np.mean(found.values > 0.25) < 0.9
    assert found.invariant


def test_invariant_data_are_told():
    """The result of a fit to stationary data says that the residual proves nothing there."""
    angle = np.cumsum(0.25 + 0.2 * np.random.default_rng(0).standard_normal(20_000))
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    options = FitOptions(model="tica", settings={"reversible": "false"}, lag="4", dim="2")
    found = fit(ring, options)
    assert INVARIANT_NOTE in found.notes
    assert found.modes[0].verdict == "resolved"


def test_a_decay_over_the_run_is_not_invariant():
    """A wave beside a mode that decays to a twelfth along the run changes little from frame to
    frame, but the result does not call such data invariant.
    """
    t = np.arange(400)
    wave = [np.cos(0.3 * t), np.sin(0.3 * t), np.exp(-t / 160)]
    x = np.column_stack(wave) + 1e-3 * np.random.default_rng(0).standard_normal((400, 3))
    assert INVARIANT_NOTE not in fit(x, FitOptions(model="dmd", lag="1", dim="3")).notes


def test_smallest_residual_is_below_every_own():
    """At an eigenvalue the pseudospectrum lies at or below the residual of its own function."""
    moments = pendulum_moments()
    solution = solve(moments, "eig", center=False)
    own = flow_residuals(moments, solution, 6).values
    least = smallest_residuals(moments, solution.eigenvalues[:6])
    assert np.all(least <= own + 1e-6)


def test_pseudospectrum_needs_an_eig_model():
    """A reversible model has no pseudospectrum figure."""
    assert draw(result(), "pseudospectrum") is None
