"""Systems with known spectra: eigenvalues from 20 replicates lie within 4 standard errors.

Each exact value is that of the simulated chain (:mod:`systems`). The families are rich
enough that their own limit lies within the errors; where a basis is poor on purpose, the
comparison is with the limit of that basis.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from systems import (
    AR1,
    CIRCLE,
    DOUBLE_WELL,
    OU,
    PRINZ,
    QUADRUPLE_WELL,
    RING_ANGLE,
    ROTATIONAL_OU,
    System,
    galerkin,
    wrapped_angle_autocorrelation,
)

from koopman_cli.estimate import estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import apply
from koopman_cli.request import Request

REPLICATES = range(20)


@dataclass(frozen=True)
class Case:
    """A system, the family that can represent its modes, and how its eigenvalues group.

    groups : sizes of the groups of equal eigenvalues, which are compared by their mean
        (only the span of such modes is determined, and sampling splits their values)
    """

    system: System
    family: str
    settings: dict[str, object]
    groups: tuple[int, ...]
    frames: int = 20_000

    def __str__(self) -> str:
        return f"{self.system.name}, {self.family}"


CASES = (
    Case(OU, "edmd", {"degree": 3}, (1, 1, 1)),
    Case(AR1, "tica", {}, (1,)),
    Case(AR1, "vamp", {}, (1,)),
    Case(DOUBLE_WELL, "edmd", {"basis": "gaussians", "centers": 12}, (1, 1), 40_000),
    Case(PRINZ, "edmd", {"basis": "gaussians", "centers": 30}, (1, 1, 1), 40_000),
    Case(
        QUADRUPLE_WELL,
        "edmd",
        {"basis": "gaussians", "centers": 49, "width": 0.45},
        (2, 1),
        40_000,
    ),
    Case(CIRCLE, "tica", {"reversible": False}, (1, 1)),
    Case(CIRCLE, "edmd", {"degree": 2, "solve": "eig"}, (1, 1, 1, 1)),
    Case(ROTATIONAL_OU, "edmd", {"degree": 2, "solve": "eig"}, (1, 1, 1, 1, 1)),
    Case(RING_ANGLE, "edmd", {"basis": "fourier", "order": 2}, (2, 2)),
)


@cache
def simulated(system: System, frames: int, seed: int) -> FeatureStream:
    """One replicate."""
    return FeatureStream.from_arrays(system.simulate(seed, frames))


def spectrum(system: System, request: Request, frames: int, seed: int) -> NDArray[np.complex128]:
    """All eigenvalues (or singular values) of one replicate."""
    stream = simulated(system, frames, seed)
    found = estimate(stream, request, system.lag, dim=1, folds=0).solution
    values = found.singular_values if found.eigenvalues is None else found.eigenvalues
    return np.asarray(values, np.complex128)


def matched(
    values: NDArray[np.complex128], exact: NDArray[np.complex128]
) -> NDArray[np.complex128]:
    """The estimated eigenvalue of each exact one, by least total distance."""
    distance = np.abs(values[None, :] - np.asarray(exact)[:, None])
    return values[linear_sum_assignment(distance)[1]]


def averaged(values: NDArray[np.complex128], groups: tuple[int, ...]) -> NDArray[np.complex128]:
    """Means over groups of equal eigenvalues."""
    return np.array([part.mean() for part in np.split(values, np.cumsum(groups)[:-1])])


def assert_within_errors(sample: NDArray[np.float64], exact: NDArray[np.float64]) -> None:
    """The mean over replicates is within 4 standard errors of the exact value."""
    error = sample.std(axis=0, ddof=1) / np.sqrt(len(sample))
    assert np.all(np.abs(sample.mean(axis=0) - exact) <= 4 * error), (
        f"mean {sample.mean(axis=0)}, exact {exact}, standard error {error}"
    )
    # An error bar as wide as the eigenvalue would prove nothing.
    assert np.all(error < 0.01)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_eigenvalues(case):
    """Mean eigenvalues over seeds 0 to 19 lie within 4 standard errors of the exact ones."""
    count = sum(case.groups)
    exact = case.system.eigenvalues(case.system.lag, count)
    request = Request.of(case.family, case.settings)
    sample = np.array(
        [
            averaged(matched(spectrum(case.system, request, case.frames, s), exact), case.groups)
            for s in REPLICATES
        ]
    )
    expected = averaged(exact, case.groups)
    assert_within_errors(sample.real, expected.real)
    turning = np.abs(expected.imag) > 0
    assert_within_errors(sample.imag[:, turning], expected.imag[turning])
    assert np.all(np.abs(sample.imag[:, ~turning]) < 1e-12)


@pytest.mark.parametrize("system", [CIRCLE, ROTATIONAL_OU], ids=lambda s: s.name)
def test_singular_values_of_rotations(system):
    """VAMP of a rotation reads |lambda| twice: it decays, and how it turns is not seen."""
    exact = np.abs(system.eigenvalues(system.lag, 1))
    sample = np.array(
        [
            spectrum(system, Request.of("vamp"), 20_000, seed).real[:2].mean(keepdims=True)
            for seed in REPLICATES
        ]
    )
    assert_within_errors(sample, exact)


def test_symmetrised_rotation_reads_the_real_part():
    """Reversible TICA of a rotation gives Re(lambda): why verdicts must look for asymmetry."""
    exact = CIRCLE.eigenvalues(CIRCLE.lag, 1).real
    sample = np.array(
        [
            spectrum(CIRCLE, Request.of("tica"), 20_000, seed).real[:2].mean(keepdims=True)
            for seed in REPLICATES
        ]
    )
    assert_within_errors(sample, exact)


def test_degenerate_pair_spans_the_right_space():
    """The two slowest functions of the quadruple well span x and y of its double wells."""
    case = next(c for c in CASES if c.system is QUADRUPLE_WELL)
    runs = QUADRUPLE_WELL.simulate(0, 40_000)
    request = Request.of(case.family, case.settings)
    stream = FeatureStream.from_arrays(runs)
    found = estimate(stream, request, QUADRUPLE_WELL.lag, dim=2, folds=0)
    data = np.concatenate(runs)
    psi = (apply(found.lift, data) - found.solution.mean_x) @ found.solution.left[:, :2]
    wells = np.sign(data) - np.sign(data).mean(axis=0)
    a, b = np.linalg.qr(psi - psi.mean(axis=0))[0], np.linalg.qr(wells)[0]
    assert np.linalg.svd(a.T @ b, compute_uv=False).min() > 0.95


def test_a_poor_basis_reaches_its_own_limit_and_not_the_system():
    """TICA of x alone on Prinz finds the limit of that basis, far below the eigenvalue."""
    limit = galerkin(PRINZ.process, PRINZ.stride * PRINZ.lag, lambda x: x[:, None])[:1].real
    sample = np.array(
        [spectrum(PRINZ, Request.of("tica"), 40_000, seed).real for seed in REPLICATES]
    )
    assert_within_errors(sample, limit)
    exact = PRINZ.eigenvalues(PRINZ.lag, 1)[0].real
    assert np.all(sample < exact)
    assert exact - limit[0] > 4 * sample.std() / np.sqrt(len(sample))


def test_raw_wrapped_angle_reads_its_own_autocorrelation():
    """A wrapped angle as a plain column gives .77 where cos and sin give .951."""
    sample = np.array(
        [spectrum(RING_ANGLE, Request.of("tica"), 20_000, seed).real for seed in REPLICATES]
    )
    exact = wrapped_angle_autocorrelation(1.0, RING_ANGLE.dt * RING_ANGLE.lag)
    assert exact == pytest.approx(0.77, abs=0.005)
    assert_within_errors(sample, np.array([exact]))
