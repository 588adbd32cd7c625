"""Optimised DMD: all snapshots at once, x(t) = sum_j b_j exp(omega_j t), by variable projection.

For given omega the b_j are linear least squares; what remains depends on omega alone and is
minimised by Levenberg-Marquardt (Kaufman's Jacobian). Noise then biases no eigenvalue. With
``bags`` the fit is repeated on random subsets of the snapshots and the median of each
eigenvalue is taken (BOP-DMD).
Sources: Askham and Kutz, SIAM J. Appl. Dyn. Syst. 17, 380 (2018); Sashidhar and Kutz, Phil.
Trans. R. Soc. A 380, 20210199 (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import SupportError, UsageError
from koopman_cli.models.base import setting
from koopman_cli.models.dmd import arrange
from koopman_cli.models.pod import PodSettings
from koopman_cli.models.solve import Solution, Solver
from koopman_cli.moments import Moments
from koopman_cli.nouns import counted

Matrix = NDArray[np.float64]
Rates = NDArray[np.complex128]

#: By how much the weight of a block is raised and lowered for its influence.
STEP = 0.2

#: Largest exponent of a rate over its stretch: squares of its exponential stay finite.
LARGEST_EXPONENT = 150.0

#: Steps of Levenberg-Marquardt, and the relative decrease at which it stops.
STEPS = 60
STOP = 1e-12


@dataclass(frozen=True)
class Settings(PodSettings):
    """Settings of optimised DMD."""

    center: bool = setting("remove the means first", default=False)
    bags: int = setting("fits on random subsets whose median is taken; 0: one fit of all", 0)
    delays: int = setting("snapshots stacked in a row, the present and earlier ones", 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bags < 0:
            raise UsageError(f"bags {self.bags}: cannot be negative", "0 fits all snapshots once")
        if self.delays < 1:
            raise UsageError(f"delays {self.delays}: at least 1", "1 is the present alone")
        if self.center:
            raise UsageError("optdmd has no centring", "use --anomaly mean to remove the mean")

    flow: ClassVar[bool] = True
    refines: ClassVar[bool] = True

    @property
    def solver(self) -> Solver:
        """Eigenvalues, found by variable projection."""
        return "eig"

    def solve_moments(self, moments: Moments, precision: str, eps: float) -> Solution:
        """What variable projection begins with: plain DMD."""
        return arrange(super().solve_moments(moments, precision, eps))

    def refine(self, plain: Solution, stretches: Sequence[Matrix], lag: int, seed: int) -> Solution:
        """Variable projection on all snapshots at once."""
        assert plain.eigenvalues is not None
        parts = [Stretch(np.arange(len(rows)) / lag, rows) for rows in stretches]
        start = np.log(np.where(plain.eigenvalues == 0, 1e-12, plain.eigenvalues))
        rates = optimise(parts, start)
        if self.bags:
            rates = bagged(parts, rates, self.bags, seed)[0]
        return arrange(solution_of(plain, rates, parts))

    def influence(
        self,
        found: Solution,
        stretches: Sequence[Matrix],
        owners: Sequence[NDArray[np.int64]],
        lag: int,
    ) -> NDArray[np.complex128]:
        """How much each block of snapshots moves each eigenvalue: fitted again with the block
        weighing more, then less. With bags, of the fit of all snapshots.
        """
        assert found.eigenvalues is not None
        start = np.log(found.eigenvalues)
        count = 1 + max(int(owner.max(initial=-1)) for owner in owners)
        moved = np.zeros((count, len(start)), np.complex128)
        for block in range(count):
            for sign in (1, -1):
                parts = [
                    Stretch(np.arange(len(rows)) / lag, rows, 1 + sign * STEP * (owner == block))
                    for rows, owner in zip(stretches, owners, strict=True)
                ]
                rates = optimise(parts, start)
                nearest = np.argmin(np.abs(start[:, None] - rates[None, :]), axis=1)
                moved[block] += sign * np.exp(rates[nearest]) / (2 * STEP)
        heads = np.flatnonzero(start.imag > 0)
        moved[:, heads + 1] = moved[:, heads].conj()
        return moved


# ------------------------------------------------------------------ variable projection


@dataclass(frozen=True)
class Stretch:
    """Snapshots (n, r) of one stretch at times (n,) counted from its start, in lags.

    weights : (n,) of the squared residuals, None for ones
    """

    times: Matrix
    rows: Matrix
    weights: Matrix | None = None


def _fit(stretch: Stretch, rates: Rates) -> tuple[Matrix, Any, Any, NDArray[np.complex128]]:
    """Residual, exponentials, their orthonormal basis, and amplitudes (k, r); all but the
    amplitudes times the roots of the weights.

    Exponentials are 1 where they are largest: what grows along a long stretch overflows otherwise.
    """
    powers, rows = np.outer(stretch.times, rates), stretch.rows
    phi = np.exp(powers - powers.real.max(axis=0))
    if stretch.weights is not None:
        root = np.sqrt(stretch.weights)[:, None]
        phi, rows = phi * root, rows * root
    q, upper = np.linalg.qr(phi)
    inner = q.conj().T @ rows
    amplitudes = np.linalg.lstsq(upper, inner, rcond=1e-12)[0]
    return rows - q @ inner, phi, q, amplitudes


def _most(stretches: Sequence[Stretch]) -> float:
    """The fastest growth whose exponential stays finite on every stretch."""
    return LARGEST_EXPONENT / max(float(s.times[-1]) for s in stretches)


def _objective(stretches: Sequence[Stretch], rates: Rates) -> float:
    """Sum of squared residuals; infinite for rates that fit no more than one frame: those that
    explode at the end of a stretch, or are gone after its first frame.
    """
    if not np.all((rates.real <= _most(stretches)) & (rates.real >= -2 * LARGEST_EXPONENT)):
        return np.inf
    with np.errstate(over="ignore", invalid="ignore"):
        try:
            total = sum(float(np.sum(np.abs(_fit(s, rates)[0]) ** 2)) for s in stretches)
        except np.linalg.LinAlgError:
            return np.inf
    return total if np.isfinite(total) else np.inf


def _normal(stretches: Sequence[Stretch], rates: Rates) -> tuple[Any, Any]:
    """J'J and J'residual of Kaufman's Jacobian: column j is (1 - QQ') t phi_j b_j."""
    k = len(rates)
    square, slope = np.zeros((k, k), complex), np.zeros(k, complex)
    for s in stretches:
        rest, phi, q, b = _fit(s, rates)
        moved = s.times[:, None] * phi
        moved = moved - q @ (q.conj().T @ moved)
        # <moved_i b_i, moved_j b_j> factorises into time and space.
        square += (moved.conj().T @ moved) * (b.conj() @ b.T)
        slope += np.einsum("ti,tr,ir->i", moved.conj(), rest, b.conj())
    return square, slope


def optimise(stretches: Sequence[Stretch], start: Rates) -> Rates:
    """Rates omega per lag that minimise the residual of all stretches.

    Raises
    ------
    SupportError
        If no stretch is longer than the number of rates.

    Examples
    --------
    >>> t = np.arange(50.0)
    >>> rows = np.stack([np.cos(0.3 * t), np.sin(0.3 * t)], axis=1)
    >>> found = optimise([Stretch(t, rows)], np.array([0.25j, -0.25j]))
    >>> np.round(np.sort(found.imag), 8).tolist()
    [-0.3, 0.3]
    """
    stretches = [s for s in stretches if len(s.rows) > len(start)]
    if not stretches:
        raise SupportError(
            f"no stretch of the data has more than {counted(len(start), 'frame')}",
            "take a smaller rank, or model dmd",
        )
    rates, damping = np.array(start, np.complex128), 1e-2
    rates.real = np.minimum(rates.real, _most(stretches))
    best = _objective(stretches, rates)
    for _ in range(STEPS):
        square, slope = _normal(stretches, rates)
        before = best
        for _ in range(12):
            scaled = square + damping * np.diag(np.diag(square).real + 1e-300)
            trial = rates + np.linalg.lstsq(scaled, slope, rcond=None)[0]
            value = _objective(stretches, trial)
            if value < best:
                rates, best, damping = trial, value, max(damping / 3, 1e-12)
                break
            damping *= 4
        if not best < before * (1 - STOP):
            break
    return rates


def paired(rates: Rates) -> Rates:
    """Rates of a real flow: exact conjugates, positive imaginary part first, reals real.

    >>> paired(np.array([0.1 - 1j, 0.1 + 1.0000001j, 0.5 + 1e-12j])).round(3).tolist()
    [(0.1+1j), (0.1-1j), (0.5+0j)]
    """
    # An eigenvalue holds no more than one turn in a lag.
    left = list(rates.real + 1j * np.angle(np.exp(1j * rates.imag)))
    found: list[complex] = []
    while left:
        value = left.pop(0)
        mirror = min(range(len(left)), key=lambda j: abs(left[j] - np.conj(value)), default=None)
        if abs(value.imag) > 1e-9 and mirror is not None and left[mirror].imag * value.imag < 0:
            other = left.pop(mirror)
            middle = (value + np.conj(other)) / 2
            middle = complex(middle.real, abs(middle.imag))
            found += [middle, middle.conjugate()]
        else:
            found.append(complex(value.real, 0.0))
    return np.array(found)


def bagged(
    stretches: Sequence[Stretch], start: Rates, bags: int, seed: int
) -> tuple[Rates, Matrix]:
    """Median of the rates over fits to random four fifths of the snapshots, and their spread."""
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(bags):
        parts = []
        for s in stretches:
            chosen = np.sort(rng.choice(len(s.rows), max(2, int(0.8 * len(s.rows))), replace=False))
            parts.append(Stretch(s.times[chosen], s.rows[chosen]))
        rates = optimise(parts, start)
        order = np.argmin(np.abs(start[:, None] - rates[None, :]), axis=1)
        draws.append(rates[order])
    table = np.array(draws)
    middle = np.median(table.real, axis=0) + 1j * np.median(table.imag, axis=0)
    spread: Matrix = np.sqrt(table.real.var(axis=0) + table.imag.var(axis=0))
    return middle, spread


def solution_of(plain: Solution, rates: Rates, stretches: Sequence[Stretch]) -> Solution:
    """Functions of the optimised modes: psi = pinv(B) x, where x(t) = B exp(omega t)."""
    rates = paired(rates)
    total, weight = (
        np.zeros((len(rates),) * 2, complex),
        np.zeros((stretches[0].rows.shape[1], len(rates)), complex),
    )
    for s in stretches:
        _, phi, _, b = _fit(s, rates)
        # Each stretch has amplitudes of its own; what is common is the direction of a mode.
        trace = phi * np.linalg.norm(b, axis=1)
        total += trace.conj().T @ trace
        weight += s.rows.T @ trace.conj()
    modes = weight @ np.linalg.pinv(total).T
    functions = np.linalg.pinv(modes).T  # psi(x) = x' functions
    left = functions.real.copy()
    heads = np.flatnonzero(rates.imag > 0)
    left[:, heads + 1] = functions[:, heads].imag
    rows = np.concatenate([s.rows for s in stretches])
    size = np.mean((rows @ left) ** 2, axis=0)
    size[heads] = size[heads + 1] = size[heads] + size[heads + 1]
    left = left / np.sqrt(np.where(size > 0, size, 1.0))
    return replace(
        plain, left=left, right=left, eigenvalues=np.exp(rates), rank=len(rates), freedom=len(rates)
    )
