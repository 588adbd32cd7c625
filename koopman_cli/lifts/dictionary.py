"""The dictionary lift of EDMD: monomials, Fourier modes and Gaussian bumps of the features.

Monomials and Gaussians are taken of standardised features u = (x - mean) / sd, whose mean
and sd belong to the lift and come from its training frames only.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import SupportError, UsageError, did_you_mean
from koopman_cli.linalg import SMALLEST, balanced
from koopman_cli.nouns import counted
from koopman_cli.types import Lift

Matrix = NDArray[np.float64]

BASES = ("monomials", "fourier", "gaussians")

#: More functions than this are refused before anything is computed.
MAX_FUNCTIONS = 3000


def dictionary(
    sample: NDArray[Any],
    names: Sequence[str],
    bases: Sequence[str] = ("monomials",),
    *,
    degree: int = 2,
    order: int = 3,
    period: float = 0.0,
    centers: int = 20,
    width: float = 0.0,
    seed: int = 0,
) -> Lift:
    """Fit a dictionary to sample frames.

    Functions, by basis:

    - monomials: all products of the u_j up to total degree ``degree``, without the constant;
    - fourier: cos(2 pi n x_j / L) and sin, n = 1 .. ``order``, for each column;
    - gaussians: exp(-|x - c|^2 / (2 w^2)) about ``centers`` centres c (even in one dimension,
      k-means otherwise).

    Parameters
    ----------
    sample : (n, d) array
        Training frames from which means, ranges and centres are taken.
    names : sequence of str
        Names of the d features.
    period : float
        L in the units of the features; 0 takes 2 pi for angles, else the range of the sample.
    width : float
        w in the units of the features; 0 takes the median distance between neighbouring
        centres, of standardised features.

    Raises
    ------
    UsageError
        A basis or a number that makes no sense.
    SupportError
        More than :data:`MAX_FUNCTIONS` functions, or more centres than frames.

    Examples
    --------
    >>> lift = dictionary(np.linspace(-1, 1, 101)[:, None], ["x"], ["monomials"], degree=2)
    >>> lift.names
    ('x', 'x^2')
    """
    x = np.asarray(sample, np.float64)
    d = x.shape[1]
    _check_bases(bases)
    _check_numbers(degree=degree, order=order, centers=centers)
    _check_size(d, bases, degree, order, centers)
    z, unit = balanced(x)
    mean, sd = z.mean(axis=0) / unit, z.std(axis=0) / unit
    arrays: dict[str, Any] = {"mean": mean, "sd": np.where(sd > SMALLEST, sd, 1.0)}
    found: list[str] = []
    if "monomials" in bases:
        arrays["exponents"] = _exponents(d, degree)
        found += [_monomial_name(row, names) for row in arrays["exponents"]]
    if "fourier" in bases:
        arrays["length"] = np.full(d, period) if period else _periods(x)
        found += [
            f"{f} {n} {name}" for name in names for n in range(1, order + 1) for f in ("cos", "sin")
        ]
    if "gaussians" in bases:
        scale = np.full(d, width) if width else arrays["sd"]
        points = _centers(x / scale, centers, seed)
        arrays["centers"], arrays["scale"] = points * scale, scale
        arrays["width"] = np.array(1.0 if width else _spacing(points))
        found += [f"gaussian {i + 1}" for i in range(len(points))]
    return Lift("dictionary", tuple(found), {"bases": "+".join(bases), "order": order}, arrays)


def evaluate(lift: Lift, x: NDArray[Any]) -> Matrix:
    """Evaluate the dictionary on frames (n, d), giving (n, m) in float64."""
    x = np.asarray(x, np.float64)
    parts = []
    bases = lift.settings["bases"].split("+")
    if "monomials" in bases:
        parts.append(
            _monomials((x - lift.arrays["mean"]) / lift.arrays["sd"], lift.arrays["exponents"])
        )
    if "fourier" in bases:
        parts.append(_fourier(x, lift.arrays["length"], int(lift.settings["order"])))
    if "gaussians" in bases:
        scale = lift.arrays["scale"]
        parts.append(
            _gaussians(x / scale, lift.arrays["centers"] / scale, float(lift.arrays["width"]))
        )
    return np.concatenate(parts, axis=1)


def _check_bases(bases: Sequence[str]) -> None:
    for basis in bases:
        if basis not in BASES:
            raise UsageError(f"unknown basis {basis!r}", did_you_mean(basis, BASES))


def _check_numbers(**values: int) -> None:
    for name, value in values.items():
        if value < 1:
            raise UsageError(f"{name} is {value}", f"{name} must be at least 1")


def _check_size(d: int, bases: Sequence[str], degree: int, order: int, centers: int) -> None:
    count = {
        "monomials": comb(d + degree, degree) - 1,
        "fourier": 2 * d * order,
        "gaussians": centers,
    }
    total = sum(count[basis] for basis in bases)
    if total > MAX_FUNCTIONS:
        raise SupportError(
            f"a dictionary of {counted(total, 'function')} of {counted(d, 'feature')} is too large "
            f"(at most {MAX_FUNCTIONS})",
            "take fewer features, a lower degree (--set edmd.degree=2) or basis=gaussians",
        )


def _exponents(d: int, degree: int) -> NDArray[np.int64]:
    rows = []
    for total in range(1, degree + 1):
        for chosen in combinations_with_replacement(range(d), total):
            row = np.zeros(d, np.int64)
            np.add.at(row, list(chosen), 1)
            rows.append(row)
    return np.array(rows)


def _monomial_name(row: NDArray[np.int64], names: Sequence[str]) -> str:
    factors = [names[j] if p == 1 else f"{names[j]}^{p}" for j, p in enumerate(row) if p]
    return " * ".join(factors)


def _monomials(u: Matrix, exponents: NDArray[np.int64]) -> Matrix:
    powers = np.stack([u**p for p in range(int(exponents.max()) + 1)])
    out = np.ones((len(u), len(exponents)))
    for j in range(u.shape[1]):
        used = exponents[:, j] > 0
        out[:, used] *= powers[exponents[used, j], :, j].T
    return out


def _periods(x: Matrix) -> Matrix:
    """2 pi for columns that look like angles, else the range of the sample."""
    low, high = x.min(axis=0), x.max(axis=0)
    tight = high - low
    angle = (tight > 0.9 * 2 * np.pi) & (tight <= 2 * np.pi + 1e-6)
    length: Matrix = np.where(angle, 2 * np.pi, np.where(tight > 0, tight, 1.0))
    return length


def _fourier(x: Matrix, length: Matrix, order: int) -> Matrix:
    phase = 2 * np.pi * x[:, :, None] * np.arange(1, order + 1) / length[:, None]
    waves: Matrix = np.stack([np.cos(phase), np.sin(phase)], axis=3)
    return waves.reshape(len(x), -1)


def _centers(u: Matrix, count: int, seed: int) -> Matrix:
    if count > len(u):
        raise SupportError(
            f"{counted(count, 'centre')} from {counted(len(u), 'frame')}",
            "take fewer centres or more frames",
        )
    if u.shape[1] == 1:
        return np.linspace(u.min(), u.max(), count)[:, None]
    from scipy.cluster.vq import kmeans2

    points: Matrix = kmeans2(u, count, minit="++", seed=np.random.default_rng(seed))[0]
    return points[np.lexsort(points.T[::-1])]


def _spacing(points: Matrix) -> float:
    """Median distance of a centre to its nearest neighbour."""
    if len(points) < 2:
        return 1.0
    square = _square_distances(points, points)
    np.fill_diagonal(square, np.inf)
    return float(np.sqrt(np.median(square.min(axis=1)))) or 1.0


def _square_distances(a: Matrix, b: Matrix) -> Matrix:
    square = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    floored: Matrix = np.maximum(square, 0.0)
    return floored


def _gaussians(u: Matrix, centers: Matrix, width: float) -> Matrix:
    value: Matrix = np.exp(-_square_distances(u, centers) / (2 * width**2))
    return value
