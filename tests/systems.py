"""Processes whose spectrum is known: what a simulation of each must give, and the simulation.

Every :class:`System` answers two questions about the *chain that is simulated* (which for
Euler-Maruyama differs from the stochastic differential equation by its time step):

- ``eigenvalues(lag, k)``: the k leading non-constant eigenvalues at a lag in frames, by modulus,
  then real part, conjugates adjacent with the positive imaginary part first;
- ``simulate(seed, n_frames, walkers)``: trajectories of shape (frames, d) from equilibrium.

One-dimensional chains also know what a finite dictionary can reach (:func:`galerkin`).

    dx = -(D/kT) V'(x) dt + sqrt(2 D) dW,   t_i = -1 / mu_i,   lambda_i(tau) = exp(mu_i tau)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float64]
Potential = Callable[[Floats], Floats]


# ------------------------------------------------------------------ order of a spectrum


def sort_spectrum(values: Sequence[complex] | NDArray[np.complex128], k: int) -> NDArray:
    """The k leading values by modulus, then real part, then positive imaginary part first."""
    z = np.asarray(values, complex)
    keys = (-z.imag, -z.real.round(12), -np.abs(z).round(12))
    return z[np.lexsort(keys)][:k]


# ------------------------------------------------------------------ overdamped motion in 1-D


@dataclass(frozen=True)
class Overdamped:
    """Motion in a potential, as its generator and as the Euler-Maruyama chain of one step.

    V, force : potential and -V'
    low, high : interval that holds all but about 1e-12 of the probability
    D, kT : diffusion constant and temperature
    step : of Euler-Maruyama
    """

    V: Potential
    force: Potential
    low: float
    high: float
    step: float
    D: float = 1.0
    kT: float = 1.0  # noqa: N815 -- the name it has in every equation

    def generator(self, n: int, k: int) -> Floats:
        """-mu_1 .. -mu_k by finite volumes on n and 2 n cells, Richardson-extrapolated.

        Rates between neighbouring cells are D/h^2 exp(-(V_face - V_cell)/kT); symmetrised by
        the square root of the Boltzmann weights they form a tridiagonal matrix. Its error is
        O(h^2), of which extrapolation removes the leading term.
        """
        coarse, fine = (self._generator(cells, k) for cells in (n, 2 * n))
        return (4 * fine - coarse) / 3

    def _generator(self, n: int, k: int) -> Floats:
        h = (self.high - self.low) / n
        v = self.V(self.low + h * (np.arange(n) + 0.5)) / self.kT
        face = self.V(self.low + h * np.arange(1, n)) / self.kT
        diagonal = np.zeros(n)
        diagonal[:-1] += np.exp(v[:-1] - face)
        diagonal[1:] += np.exp(v[1:] - face)
        neighbour = -np.exp((v[:-1] + v[1:]) / 2 - face)
        rate = self.D / h**2
        mu = scipy.linalg.eigh_tridiagonal(
            rate * diagonal, rate * neighbour, select="i", select_range=(0, k), eigvals_only=True
        )
        return mu[1:]

    def grid(self) -> Floats:
        """Points three to a standard deviation of one Euler-Maruyama step.

        The trapezoidal rule is then exact to rounding for everything a step has smoothed.
        """
        spacing = math.sqrt(2 * self.D * self.step) / 3
        return np.linspace(self.low, self.high, math.ceil((self.high - self.low) / spacing) + 1)

    def transition(self) -> Floats:
        """Row-stochastic matrix of one Euler-Maruyama step between the points of ``grid``."""
        x = self.grid()
        landed = x + self.D / self.kT * self.force(x) * self.step
        p = np.exp(-((x[None, :] - landed[:, None]) ** 2) / (4 * self.D * self.step))
        return p / p.sum(axis=1, keepdims=True)


@cache
def stationary(process: Overdamped) -> Floats:
    """Equilibrium of the Euler-Maruyama chain on the points of ``grid``."""
    p = process.transition()
    balance = np.vstack([p.T - np.eye(len(p)), np.ones(len(p))])
    pi = np.linalg.lstsq(balance, np.append(np.zeros(len(p)), 1.0), rcond=None)[0].clip(0)
    return pi / pi.sum()


@cache
def step_eigenvalues(process: Overdamped) -> Floats:
    """Non-constant eigenvalues of one Euler-Maruyama step, decreasing."""
    return np.sort(np.linalg.eigvals(process.transition()).real)[::-1][1:]


def euler_maruyama(
    process: Overdamped, rng: np.random.Generator, frames: int, stride: int, shape: tuple[int, ...]
) -> Floats:
    """(frames, *shape): independent coordinates, started in equilibrium, every ``stride`` steps."""
    points = process.grid()
    edges = points + (points[1] - points[0]) / 2
    x = np.interp(rng.random(shape), np.cumsum(stationary(process)), edges)
    noise = math.sqrt(2 * process.D * process.step)
    pull = process.D / process.kT * process.step
    out = np.empty((frames, *shape))
    for frame in range(frames):
        for kick in noise * rng.standard_normal((stride, *shape)):
            x = x + (pull * process.force(x) + kick)
        out[frame] = x
    return out


def galerkin(
    process: Overdamped, steps: int, chi: Callable[[Floats], Floats], *, reversible: bool = True
) -> NDArray:
    """Eigenvalues that a model with functions ``chi``: (n,) -> (n, m) reaches on endless data.

    With P the transition matrix over ``steps`` steps and pi its equilibrium, C00 = chi' pi chi
    and C01 = chi' pi P chi, centred; symmetrised for ``reversible``. Dictionaries that cannot
    represent an eigenfunction are so compared with their own limit, not with the system's.
    """
    f = chi(process.grid())
    pi = stationary(process)
    f = f - pi @ f
    ahead = np.linalg.matrix_power(process.transition(), steps) @ f
    c00, c01 = f.T @ (pi[:, None] * f), f.T @ (pi[:, None] * ahead)
    if reversible:
        c01 = (c01 + c01.T) / 2
    return sort_spectrum(np.linalg.eigvals(np.linalg.lstsq(c00, c01, rcond=1e-12)[0]), len(c00))


# ------------------------------------------------------------------ systems


@dataclass(frozen=True)
class System:
    """A process with a known spectrum.

    dt : time between frames
    lag : in frames, at which the leading eigenvalues are well apart
    eigenvalues : ``eigenvalues(lag, k)``, exact for the simulated chain
    simulate : ``simulate(seed, n_frames, walkers=...)``, n_frames in all
    process, stride : of the Euler-Maruyama chain of each coordinate, where there is one
    reversible : whether the chain is
    """

    name: str
    dt: float
    lag: int
    eigenvalues: Callable[[int, int], NDArray]
    simulate: Callable[..., list[Floats]]
    process: Overdamped | None = None
    stride: int = 1
    reversible: bool = True


def _split(n_frames: int, walkers: int) -> int:
    if n_frames % walkers:
        raise ValueError(f"{n_frames} frames cannot be shared evenly by {walkers} walkers")
    return n_frames // walkers


def ornstein_uhlenbeck(theta: float = 1.0, dt: float = 0.1, lag: int = 5) -> System:
    """Exactly sampled dx = -theta x dt + sqrt(2 theta) dW: lambda_k = exp(-k theta tau).

    The eigenfunctions are the Hermite polynomials, so monomials up to degree k hold the first k.
    """
    a = math.exp(-theta * dt)

    def simulate(seed: int, n_frames: int, walkers: int = 1) -> list[Floats]:
        rng = np.random.default_rng(seed)
        kicks = rng.standard_normal((_split(n_frames, walkers), walkers))
        kicks[1:] *= math.sqrt(1 - a * a)
        x = lfilter([1.0], [1.0, -a], kicks, axis=0)
        return [x[:, [w]] for w in range(walkers)]

    return System(
        "Ornstein-Uhlenbeck",
        dt,
        lag,
        lambda lag, k: a ** (lag * np.arange(1, k + 1)).astype(complex),
        simulate,
    )


def ar1(timescale: float = 20.0) -> System:
    """Per frame x' = a x + noise, a = exp(-1/timescale), of unit variance at equilibrium."""
    process = ornstein_uhlenbeck(theta=1 / timescale, dt=1.0, lag=1)
    return System("AR(1)", 1.0, 1, process.eigenvalues, process.simulate)


def _overdamped_system(
    name: str, process: Overdamped, stride: int, lag: int, copies: int = 1
) -> System:
    """``copies`` independent coordinates: eigenvalues are all products of theirs."""

    def eigenvalues(lag: int, k: int) -> NDArray:
        one = np.append(1.0, step_eigenvalues(process)[: k + 1]) ** (stride * lag)
        values = np.ones(1)
        for _ in range(copies):
            values = np.multiply.outer(values, one).ravel()
        return sort_spectrum(values, k + 1)[1:]

    def simulate(seed: int, n_frames: int, walkers: int | None = None) -> list[Floats]:
        walkers = walkers or max(1, n_frames // 100)
        shape = (walkers, copies)
        rng = np.random.default_rng(seed)
        x = euler_maruyama(process, rng, _split(n_frames, walkers), stride, shape)
        return list(np.ascontiguousarray(x.transpose(1, 0, 2)))

    return System(name, stride * process.step, lag, eigenvalues, simulate, process, stride)


def _double_well(D: float, kT: float, step: float) -> Overdamped:
    return Overdamped(
        V=lambda x: (x * x - 1) ** 2,
        force=lambda x: 4 * x * (1 - x * x),
        low=-3.0,
        high=3.0,
        D=D,
        kT=kT,
        step=step,
    )


def prinz_potential(x: Floats) -> Floats:
    """4 (x^8 + .8 exp(-80 x^2) + .2 exp(-80 (x - .5)^2) + .5 exp(-40 (x + .5)^2)): four wells."""
    bumps = 0.8 * np.exp(-80 * x**2) + 0.2 * np.exp(-80 * (x - 0.5) ** 2)
    return 4 * (x**8 + bumps + 0.5 * np.exp(-40 * (x + 0.5) ** 2))


def prinz_force(x: Floats) -> Floats:
    """Minus the derivative of :func:`prinz_potential`."""
    bumps = 128 * x * np.exp(-80 * x * x) + 32 * (x - 0.5) * np.exp(-80 * (x - 0.5) ** 2)
    return 4 * (bumps + 40 * (x + 0.5) * np.exp(-40 * (x + 0.5) ** 2) - 8 * x**7)


def circle(omega: float = 1.0, D: float = 0.1, dt: float = 0.25, lag: int = 4) -> System:
    """Drift and diffusion on a circle, read as (cos, sin): dtheta = omega dt + sqrt(2 D) dW.

    lambda_k = exp((-D k^2 +- i omega k) tau), singular values exp(-D k^2 tau).

    ``omega=0`` is diffusion on a ring, reversible, each eigenvalue twice.
    """

    def eigenvalues(lag: int, k: int) -> NDArray:
        order = np.arange(1, k // 2 + 2)
        values = np.exp((-D * order**2 + 1j * omega * order) * lag * dt)
        mirrored = values.conj() if omega else values
        return sort_spectrum(np.concatenate([values, mirrored]), k)

    def simulate(seed: int, n_frames: int, walkers: int = 1) -> list[Floats]:
        angles = _angles(seed, (_split(n_frames, walkers), walkers), omega * dt, 2 * D * dt)
        return [np.column_stack([np.cos(a), np.sin(a)]) for a in angles.T]

    name = "circle drift-diffusion" if omega else "ring diffusion"
    return System(name, dt, lag, eigenvalues, simulate, reversible=omega == 0)


def _angles(seed: int, shape: tuple[int, int], drift: float, variance: float) -> Floats:
    rng = np.random.default_rng(seed)
    steps = drift + math.sqrt(variance) * rng.standard_normal(shape)
    steps[0] = 2 * np.pi * rng.random(shape[1])
    return np.cumsum(steps, axis=0)


def ring_angle(D: float = 1.0, dt: float = 0.05) -> System:
    """Ring diffusion read as one column, the angle wrapped into (-pi, pi].

    ``eigenvalues`` are those of the process, which cos and sin of the column reach; the raw
    column itself reaches :func:`wrapped_angle_autocorrelation` only.
    """

    def simulate(seed: int, n_frames: int, walkers: int = 1) -> list[Floats]:
        angles = _angles(seed, (_split(n_frames, walkers), walkers), 0.0, 2 * D * dt)
        return [np.pi - (np.pi - a[:, None]) % (2 * np.pi) for a in angles.T]

    ring = circle(omega=0.0, D=D, dt=dt, lag=1)
    return System("ring diffusion as an angle", dt, 1, ring.eigenvalues, simulate)


def wrapped_angle_autocorrelation(D: float, tau: float, terms: int = 2000) -> float:
    """As theta = 2 sum (-1)^(k+1) sin(k theta)/k: 6/pi^2 sum over k of exp(-D k^2 tau)/k^2."""
    k = np.arange(1, terms)
    return float(6 / np.pi**2 * np.sum(np.exp(-D * k**2 * tau) / k**2))


def rotational_ou(a: float = 0.2, omega: float = 1.0, dt: float = 0.25, lag: int = 2) -> System:
    """Exactly sampled dx = -[[a, -omega], [omega, a]] x dt + noise.

    With z = x1 + i x2 this is dz = -(a + i omega) z dt + noise, a complex AR(1);
    lambda = exp((-a +- i omega) tau) on the coordinates; all eigenvalues are products of these.
    """
    z = np.exp((-a + 1j * omega) * dt)

    def eigenvalues(lag: int, k: int) -> NDArray:
        order = range(k + 1)
        products = [(z**lag) ** m * (z.conjugate() ** lag) ** n for m in order for n in order]
        return sort_spectrum(products, k + 1)[1:]

    def simulate(seed: int, n_frames: int, walkers: int = 1) -> list[Floats]:
        rng = np.random.default_rng(seed)
        pair = rng.standard_normal((2, _split(n_frames, walkers), walkers))
        kicks = pair[0] + 1j * pair[1]
        kicks[1:] *= math.sqrt(1 - abs(z) ** 2)
        x = lfilter([1.0], [1.0, -z.conjugate()], kicks, axis=0)
        return [np.column_stack([c.real, c.imag]) for c in x.T]

    return System("rotational OU", dt, lag, eigenvalues, simulate, reversible=False)


OU = ornstein_uhlenbeck()
AR1 = ar1()
DOUBLE_WELL = _overdamped_system("double well", _double_well(1.0, 1.0, 0.01), stride=10, lag=2)
PRINZ = _overdamped_system(
    "Prinz four wells",
    Overdamped(prinz_potential, prinz_force, -1.8, 1.8, step=1e-3),
    stride=50,
    lag=1,
)
QUADRUPLE_WELL = _overdamped_system(
    "quadruple well", _double_well(0.25, 0.25, 0.02), stride=50, lag=1, copies=2
)
CIRCLE = circle()
ROTATIONAL_OU = rotational_ou()
RING_ANGLE = ring_angle()

SYSTEMS = (OU, AR1, DOUBLE_WELL, PRINZ, QUADRUPLE_WELL, CIRCLE, ROTATIONAL_OU, RING_ANGLE)
