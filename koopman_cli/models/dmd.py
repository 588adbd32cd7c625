"""Dynamic mode decomposition: y = A x in the leading POD coordinates of the snapshots.

With x, y the POD coordinates of lagged pairs, plain DMD is the regression A = E[yx'] E[xx']^-1;
the eigenvalues of A are those of the flow at the lag. Noise in x biases them towards zero;
``variant=fb`` takes the geometric mean of the forward and the inverse backward regression,
``variant=tls`` lets x and y have errors alike (total least squares).
Sources: Schmid, J. Fluid Mech. 656, 5 (2010); Tu et al., J. Comput. Dyn. 1, 391 (2014); Dawson
et al., Exp. Fluids 57, 42 (2016); Hemati et al., Theor. Comput. Fluid Dyn. 31, 349 (2017).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.errors import SupportError, UsageError, did_you_mean
from koopman_cli.linalg import fix_signs
from koopman_cli.models.base import setting
from koopman_cli.models.pod import PodSettings
from koopman_cli.models.solve import Solution, Solver, solve
from koopman_cli.moments import Covariances, Moments

Matrix = NDArray[np.float64]

_VARIANTS = ("plain", "fb", "tls")
METHODS = ("exact", "projected")

#: Moduli closer than this are a tie, which the amplitude decides.
TIE = 1e-3


@dataclass(frozen=True)
class Settings(PodSettings):
    """Settings of DMD."""

    center: bool = setting("remove the means first", default=False)
    method: str = setting("exact modes (of y) or projected ones (in the POD space)", "exact")
    variant: str = setting("plain, fb (forward-backward) or tls (total least squares)", "plain")
    delays: int = setting("snapshots stacked in a row, the present and earlier ones", 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.variant not in _VARIANTS:
            raise UsageError(
                f"variant {self.variant!r} is not known", did_you_mean(self.variant, _VARIANTS)
            )
        if self.method not in METHODS:
            raise UsageError(
                f"method {self.method!r} is not known", did_you_mean(self.method, METHODS)
            )
        if self.delays < 1:
            raise UsageError(f"delays {self.delays}: at least 1", "1 is the present alone")

    flow: ClassVar[bool] = True

    @property
    def solver(self) -> Solver:
        """Eigenvalues of the regression."""
        return "eig"

    @property
    def exact_modes(self) -> bool:
        """As set."""
        return self.method == "exact"

    @property
    def shrinks_with_noise(self) -> bool:
        """Plain regression takes x for exact."""
        return self.variant == "plain"

    def solve_moments(self, moments: Moments, precision: str, eps: float) -> Solution:
        """The regression of the variant, modes by modulus and amplitude."""
        found = solve(
            moments,
            self.solver,
            center=self.center,
            rtol=self.cutoff(precision),
            eps=eps,
            operator={"plain": None, "fb": forward_backward, "tls": total_least_squares}[
                self.variant
            ],
        )
        return arrange(found)


def forward_backward(c: Covariances, white: Matrix) -> Matrix:
    """K = (K_f K_b^-1)^1/2 in whitened coordinates, of the roots the one nearest to K_f.

    K_f = C00^-1 C01 regresses y on x, K_b = C11^-1 C01' regresses x on y.
    """
    forward = white.T @ c.c01 @ white
    later = white.T @ c.c11 @ white
    try:
        backward = scipy.linalg.solve(later, forward.T, assume_a="pos")
        square = forward @ np.linalg.inv(backward)
    except np.linalg.LinAlgError:
        raise SupportError(
            "the backward regression is singular", "take a smaller rank, or variant=tls"
        ) from None
    values, vectors = np.linalg.eig(square)
    roots = np.sqrt(values.astype(np.complex128))
    inverse = np.linalg.inv(vectors)
    # The sign of each root is that of the matching direction of the forward regression.
    along = np.diag(inverse @ forward @ vectors)
    roots = np.where((roots * along.conj()).real < 0, -roots, roots)
    found: Matrix = ((vectors * roots) @ inverse).real
    return found


def total_least_squares(c: Covariances, white: Matrix) -> Matrix:
    """K of the r leading directions (q1, q2) of the stacked (x, y): y = q2 q1^-1 x.

    Taken in the POD coordinates themselves, where noise is the same in every direction.
    """
    r = white.shape[1]
    stacked = np.block([[c.c00, c.c01], [c.c01.T, c.c11]])
    leading = scipy.linalg.eigh(stacked)[1][:, ::-1][:, :r]
    d = len(c.c00)
    first, second = leading[:d], leading[d:]
    if np.linalg.cond(first) > 1e12:
        raise SupportError("total least squares is not determined", "take a smaller rank")
    step = second @ np.linalg.pinv(first)
    # x' K = y' with K = step'; white K_w = K white on the span of white.
    found: Matrix = np.linalg.lstsq(white, step.T @ white, rcond=None)[0]
    return found


def complex_columns(real: NDArray[Any], values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Columns (Re, Im) of conjugate pairs as complex columns, conjugates adjacent.

    >>> complex_columns(np.array([[1.0, 2.0]]), np.array([1j, -1j])).tolist()
    [[(1+2j), (1-2j)]]
    """
    full = real.astype(np.complex128)
    for j in np.flatnonzero(values.imag > 0):
        full[:, j] = real[:, j] + 1j * real[:, j + 1]
        full[:, j + 1] = full[:, j].conj()
    return full


def mode_sizes(solution: Solution) -> Matrix:
    """Amplitude of each mode: its norm in the lifted features when |psi|^2 averages 1."""
    assert solution.eigenvalues is not None
    functions = complex_columns(solution.left, solution.eigenvalues)
    sizes: Matrix = np.linalg.norm(np.linalg.pinv(functions), axis=1)
    return sizes


def arrange(solution: Solution) -> Solution:
    """By |lambda|, ties within :data:`TIE` by amplitude; conjugates stay adjacent."""
    values = solution.eigenvalues
    assert values is not None
    sizes = mode_sizes(solution)
    heads = [int(j) for j in np.flatnonzero(values.imag >= 0)]
    heads = [heads[i] for i in np.argsort(-np.abs(values[heads]), kind="stable")]
    order: list[int] = []
    while heads:
        top = abs(values[heads[0]])
        tied = [j for j in heads if abs(values[j]) > top - TIE]
        for i in np.argsort(-sizes[tied], kind="stable"):
            j = tied[i]
            order += [j, j + 1] if values[j].imag > 0 else [j]
        heads = heads[len(tied) :]
    left, right = solution.left[:, order], solution.right[:, order]
    values = values[order]
    signs = fix_signs(left)
    pairs = np.flatnonzero(values.imag > 0)
    signs[pairs + 1] = signs[pairs]
    return replace(solution, left=left * signs, right=right * signs, eigenvalues=values)
