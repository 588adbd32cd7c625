"""Whether complex eigenvalues turn: pairs that noise can have made of two real eigenvalues.

Where two real eigenvalues meet, an error E of the matrix moves them by the root of E, off the
real axis or along it, and the linearised error of the angle says nothing. What is smooth there is
the matrix on the plane of the pair.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.intervals import ModeInterval
from koopman_cli.analysis.uncertainty import Influences, student
from koopman_cli.types import Mode

Matrix = NDArray[np.float64]
Complex = NDArray[np.complex128]

#: Why a pair has no period.
ALIKE = "not told from two real eigenvalues: no period"


@dataclass(frozen=True)
class Plane:
    """The matrix on the plane of a pair, in orthonormal functions of the plane, and its blocks.

    matrix : (2, 2)
    moved : (blocks, 2, 2) influence of every block on it
    """

    matrix: Matrix
    moved: Matrix


def not_turning(
    found: Influences, values: Complex, intervals: Sequence[ModeInterval]
) -> frozenset[int]:
    r"""Modes (from 0) with a complex eigenvalue that may be one of two real ones.

    On the plane of a pair, in orthonormal functions of it, the matrix is

        a + [d, s + w; s - w, -d],    eigenvalues a +- i sqrt(w^2 - r^2),  r^2 = d^2 + s^2

    \|w\| - r is the size (2-norm) of the smallest change that makes them real. It must be above its
    error e over the blocks, times the 95% quantile + sqrt(2(m - 2)): noise e in m equal real
    eigenvalues scatters them over a disc of radius e sqrt(m) (circular law), in which \|w\| reaches
    about as much. m is the most eigenvalues that lie within such a diameter of a. Left functions
    enter e, so that planes of matrices that are far from normal have the errors that go with it.

    Source: Ginibre, J. Math. Phys. 6, 440 (1965).

    Parameters
    ----------
    found : Influences
        Of the ``eig`` solver (its stack holds right and left functions).
    values : (m,) array
        All eigenvalues of the model.
    intervals : of the modes; a pair without an interval of its period counts as well.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.analysis.intervals import mode_intervals
    >>> from koopman_cli.analysis.uncertainty import influences
    >>> from koopman_cli.features.stream import FeatureStream
    >>> from koopman_cli.models.solve import solve
    >>> from scipy.signal import lfilter
    >>> kicks = np.random.default_rng(7).standard_normal((2, 5000))
    >>> z = lfilter([1], [1, -0.9 * np.exp(0.1j)], kicks[0] + 1j * kicks[1])
    >>> def asked(x):
    ...     moments, _ = accumulate(FeatureStream.from_arrays(x), [1])
    ...     found = influences(moments, solve(moments.total(), "eig"), "eig", 2)
    ...     told = not_turning(found, found.values, mode_intervals(found))
    ...     return bool(found.values[0].imag), sorted(told)
    >>> asked(np.column_stack([z.real, z.imag])), asked(lfilter([1], [1, -0.9], kicks.T, axis=0))
    ((True, []), (True, [0, 1]))
    """
    alike: set[int] = set()
    for j in np.flatnonzero(found.values.imag > 0).tolist():
        if j + 1 == len(found.values):
            continue
        if intervals[j].period is None or not _turns(found, j, values):
            alike |= {j, j + 1}
    return frozenset(alike)


def _turns(found: Influences, j: int, values: Complex) -> bool:
    try:
        plane = _plane(found, j)
    except np.linalg.LinAlgError:
        # Real and imaginary part are one function but for rounding.
        return False
    d, s, w = _parts(plane.matrix)
    moved = _parts(plane.moved)
    r = np.hypot(d, s)
    # Where r is zero it only grows.
    along = (d * moved[0] + s * moved[1]) / r if r > 0 else np.zeros(len(moved[2]))
    error = float(found.stack.error(np.sign(w) * moved[2] - along))
    apart = np.sort(np.abs(values - found.values[j].real))
    near = np.flatnonzero(apart <= 2 * error * np.sqrt(1 + np.arange(len(apart)))) + 1
    bound = student(found.n_blocks) + np.sqrt(2 * max(near.max(initial=2) - 2, 0))
    return bool(abs(w) - r > bound * error)


def _parts(matrix: Matrix) -> tuple[Matrix, Matrix, Matrix]:
    """d, s and w of matrices (..., 2, 2)."""
    a, b, c, d = (matrix[..., i, j] for i in (0, 1) for j in (0, 1))
    return (a - d) / 2, (b + c) / 2, (b - c) / 2


def _plane(found: Influences, j: int) -> Plane:
    """Of the pair of mode j (from 0), the one with the positive imaginary part.

    The stack holds re v, im v, re w and im w of all functions; w* C00 v = 1 and w* C00 conj(v) = 0
    make 2 re w and 2 im w the dual of re v and im v.
    """
    k, sums = len(found.values), found.stack
    right, dual = [j, k + j], [2 * k + j, 3 * k + j]
    a, b = found.values[j].real, found.values[j].imag
    matrix = np.array([[a, b], [-b, a]])
    xy, xx = (part[:, dual][:, :, right] for part in (sums.xy, sums.xx))
    moved = 2 * (xy - xx @ matrix) / sums.n
    root = np.linalg.cholesky(sums.c00[np.ix_(right, right)]).T
    back = np.linalg.inv(root)
    return Plane(root @ matrix @ back, root @ moved @ back)


def as_real(values: Complex, alike: Collection[int]) -> Complex:
    """Eigenvalues with the size of a pair in place of both of it, for modes (from 0) in ``alike``.

    >>> as_real(np.array([0.6 + 0.8j, 0.6 - 0.8j, 0.3]), {0, 1}).real.tolist()
    [1.0, 1.0, 0.3]
    """
    told = values.copy()
    which = sorted(i for i in alike if i < len(values))
    told[which] = np.abs(values[which])
    return told


def with_pairs(
    modes: Sequence[Mode], values: Complex | None, alike: Collection[int]
) -> tuple[Mode, ...]:
    """Modes (from 0) of ``alike``, judged as real ones, with their own eigenvalues again."""
    if values is None:
        return tuple(modes)
    return tuple(
        replace(mode, eigenvalue=complex(values[i]), reason=f"{mode.reason}; {ALIKE}")
        if i in alike
        else mode
        for i, mode in enumerate(modes)
    )
