"""Kernels k(x, z): named functions of columns, and products of them.

A kernel is written as factors joined by ``*``, each ``name``, ``name:columns`` or
``name:columns@bandwidth``; columns are names or numbers (from 1) joined by ``+``:
``gaussian``, ``periodic:theta*gaussian:x+y@0.5``. With r = |x - z| / bandwidth,

    gaussian    exp(-r^2 / 2)
    laplacian   exp(-r)
    matern32    (1 + sqrt(3) r) exp(-sqrt(3) r)
    matern52    (1 + sqrt(5) r + 5 r^2 / 3) exp(-sqrt(5) r)
    polynomial  (offset + x.z / bandwidth^2)^degree
    periodic    exp(-2 sum_j sin^2(pi (x_j - z_j) / period) / bandwidth^2)

periodic is the Gaussian kernel between points on circles of radius 1, so that its bandwidth is
in radians. Everything here takes numpy arrays and torch tensors alike.
Source: Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), chapter 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blas import product
from koopman_cli.errors import UsageError, did_you_mean

KERNELS = ("gaussian", "laplacian", "matern32", "matern52", "polynomial", "periodic")


@dataclass(frozen=True)
class Factor:
    """One factor of a kernel: its name, the columns it sees, its bandwidth (0: automatic)."""

    name: str
    columns: tuple[int, ...]
    bandwidth: float = 0.0


@dataclass(frozen=True)
class Kernel:
    """A product of factors, and the numbers that they share."""

    factors: tuple[Factor, ...]
    degree: int = 3
    offset: float = 1.0
    period: float = 2 * math.pi

    @property
    def text(self) -> str:
        """The kernel as it can be written, with numbered columns and bandwidths."""
        return "*".join(
            f"{f.name}:{'+'.join(str(j + 1) for j in f.columns)}@{f.bandwidth!r}"
            for f in self.factors
        )

    @property
    def stationary(self) -> bool:
        """Whether k(x, z) depends on x - z only, so that k(x, x) = 1."""
        return all(f.name != "polynomial" for f in self.factors)


def parse_kernel(text: str, names: Sequence[str]) -> tuple[Factor, ...]:
    """Factors of a kernel from its text.

    Parameters
    ----------
    text : str
        Factors joined by ``*`` as described above.
    names : sequence of str
        Names of the columns; a factor without columns takes all of them.

    Raises
    ------
    UsageError
        For a kernel, a column or a bandwidth that does not exist.

    Examples
    --------
    >>> parse_kernel("gaussian:r+2*periodic:phi@0.5", ["phi", "psi", "r"])
    (Factor(name='gaussian', columns=(2, 1), bandwidth=0.0),
     Factor(name='periodic', columns=(0,), bandwidth=0.5))
    """
    return tuple(_factor(part.strip(), names) for part in text.split("*"))


def _factor(part: str, names: Sequence[str]) -> Factor:
    head, at, width = part.partition("@")
    name, colon, listed = head.partition(":")
    if name not in KERNELS:
        raise UsageError(f"no such kernel: {name!r}", did_you_mean(name, KERNELS))
    try:
        bandwidth = float(width) if at else 0.0
    except ValueError:
        bandwidth = -1.0
    if not 0 <= bandwidth < math.inf:
        raise UsageError(
            f"kernel {part!r}: {width!r} is no bandwidth",
            "give a positive number, or 0 for the median distance of the data",
        )
    columns = tuple(range(len(names)))
    if colon:
        columns = tuple(_column(word, names) for word in listed.split("+"))
    return Factor(name, columns, bandwidth)


def _column(word: str, names: Sequence[str]) -> int:
    if word in names:
        return list(names).index(word)
    if word.isdigit() and 1 <= int(word) <= len(names):
        return int(word) - 1
    raise UsageError(f"kernel: no such column: {word!r}", did_you_mean(word, tuple(names)))


def embed(kernel: Kernel, factor: Factor, x: Any) -> Any:
    """The columns of a factor (n, c), angles as points on circles (n, 2c)."""
    import array_api_compat

    xp: Any = array_api_compat.array_namespace(x)
    if factor.columns != tuple(range(x.shape[1])):
        x = xp.stack([x[:, j] for j in factor.columns], axis=1)
    if factor.name != "periodic":
        return x
    angle = x * (2 * math.pi / kernel.period)
    return xp.concat([xp.cos(angle), xp.sin(angle)], axis=1)


class Evaluator:
    """k(x, z_j) against fixed points z (m, d), as a function (n, d) -> (n, m).

    Distances come from one matrix product per factor, about the mean of the points.
    """

    def __init__(self, kernel: Kernel, points: Any) -> None:
        self.kernel = kernel
        self.parts = [self._prepared(factor, points) for factor in kernel.factors]

    def _prepared(self, factor: Factor, points: Any) -> tuple[Factor, Any, Any]:
        import array_api_compat

        xp: Any = array_api_compat.array_namespace(points)
        z = embed(self.kernel, factor, points)
        zero = factor.name in ("polynomial", "laplacian")
        shift = xp.zeros_like(z[0, :]) if zero else xp.mean(z, axis=0)
        z = (z - shift) / factor.bandwidth
        if not zero:
            size = xp.sum(z * z, axis=1)[:, None] / 2
            z = xp.concat([z, -xp.ones_like(size), -size], axis=1)
        return factor, shift, z

    def __call__(self, x: Any) -> Any:
        """Kernel values (n, m)."""
        value = None
        for part in self.parts:
            found = self._factor(x, *part)
            value = found if value is None else value * found
        return value

    def into(self, x: NDArray[Any], out: NDArray[Any]) -> None:
        """Kernel values (n, m) into an array of numpy, without another of its size."""
        factor, shift, z = self.parts[0]
        if len(self.parts) > 1 or factor.name not in ("gaussian", "periodic"):
            out[:] = self(x)
            return
        product(self._exponents(x, factor, shift), z.T, out)
        _exp(np, out)

    def _exponents(self, x: Any, factor: Factor, shift: Any) -> Any:
        """Rows whose product with the prepared points is -r^2/2 = u.z - u.u/2 - z.z/2."""
        import array_api_compat

        xp: Any = array_api_compat.array_namespace(x)
        u = (embed(self.kernel, factor, x) - shift) / factor.bandwidth
        half = xp.sum(u * u, axis=1)[:, None] / 2
        return xp.concat([u, half, xp.ones_like(half)], axis=1)

    def _factor(self, x: Any, factor: Factor, shift: Any, z: Any) -> Any:
        import array_api_compat

        xp: Any = array_api_compat.array_namespace(x, z)
        if factor.name in ("polynomial", "laplacian"):
            u = (embed(self.kernel, factor, x) - shift) / factor.bandwidth
            if factor.name == "polynomial":
                return (u @ z.T + self.kernel.offset) ** self.kernel.degree
            # exp(-r) has a kink at 0, where distances from products keep half their digits.
            r = _distances(u, z)
            r *= -1
            return _exp(xp, r)
        value = _times(self._exponents(x, factor, shift), z.T)
        if factor.name in ("gaussian", "periodic"):
            return _exp(xp, value)
        r = xp.sqrt(xp.clip(-2 * value, 0, None))
        if factor.name == "matern32":
            r = math.sqrt(3) * r
            return (1 + r) * xp.exp(-r)
        r = math.sqrt(5) * r
        return (1 + r + r * r / 3) * xp.exp(-r)


def _times(a: Any, b: Any) -> Any:
    """``a @ b``, by the BLAS of all other wide algebra where these are arrays of numpy."""
    return product(a, b) if isinstance(a, np.ndarray) and a.dtype == b.dtype else a @ b


def _exp(xp: Any, value: Any) -> Any:
    """Exp of values that are at most 0 up to rounding, in place where that is possible."""
    if isinstance(value, np.ndarray):
        np.minimum(value, 0.0, out=value)
        return np.exp(value, out=value)
    return xp.exp(xp.clip(value, None, 0))


def _distances(u: Any, z: Any) -> Any:
    if isinstance(u, np.ndarray):
        from scipy.spatial.distance import cdist

        return cdist(u, z)
    import torch

    return torch.cdist(u, z, compute_mode="donot_use_mm_for_euclid_dist")


def diagonal(kernel: Kernel, x: Any) -> Any:
    """k(x, x) of every frame (n,)."""
    import array_api_compat

    xp: Any = array_api_compat.array_namespace(x)
    value = xp.ones_like(x[:, 0])
    for factor in kernel.factors:
        if factor.name == "polynomial":
            u = embed(kernel, factor, x) / factor.bandwidth
            value = value * (kernel.offset + xp.sum(u * u, axis=1)) ** kernel.degree
    return value
