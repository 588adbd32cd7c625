"""The kernel lift: functions phi with phi(x).phi(z) = k(x, z), from landmarks or at random.

Landmarks z_j with K_zz = L L' (pivoted Cholesky) give phi(x) = L^-1 [k(z_1, x), ...]. Their
inner product is the Nystrom approximation of k, exact at the landmarks, so with all frames as
landmarks linear algebra on phi is kernel algebra on all frames, and the length of a vector of
coefficients is the norm of its function in the space of the kernel. Of many landmarks the lift
evaluates functions that span the same, of which :meth:`Moments.orthonormal` makes phi
(:mod:`koopman_cli.lifts.deferred`).

Random Fourier features phi(x) = [cos w_j.x, sin w_j.x] / sqrt(count), with w_j drawn from the
spectral density of a stationary kernel, have that product on average.
Sources: Williams and Seeger, NIPS 2000; Rahimi and Recht, NIPS 2007.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.blas import product
from koopman_cli.errors import SupportError, UsageError
from koopman_cli.lifts.deferred import Split, first_landmarks, joined
from koopman_cli.lifts.kernelfunctions import Evaluator, Kernel, diagonal, embed, parse_kernel
from koopman_cli.lifts.landmarks import landmarks_with_factor
from koopman_cli.linalg import power_of_two
from koopman_cli.triangular import LowerTriangular
from koopman_cli.types import Lift

Matrix = NDArray[np.float64]

#: Pivots below this share of the largest are repetitions of other landmarks.
PIVOT = 1e-12

#: Largest 1 / pivot with which the kernel may be evaluated in float32.
STEEPEST_SINGLE = 300.0

#: Frames by which bandwidth and approximation error are estimated.
JUDGED = 500

#: Kernel value to the nearest landmark below which frames are strangers to each other.
STRANGERS = 1e-3


@dataclass(frozen=True)
class Basis:
    """How functions are made of a kernel.

    count : landmarks, or random features
    method : "cholesky", "kmeans", "uniform" (landmarks) or "fourier"
    candidates : frames per landmark among which cholesky chooses
    floor : variation of the kernel over the data below which nothing but a constant is left
    """

    count: int
    method: str = "cholesky"
    seed: int = 0
    floor: float = 1e-10
    candidates: int = 8


def kernel_lift(sample: NDArray[Any], kernel: Kernel, basis: Basis) -> Lift:
    """Fit a kernel lift to sample frames.

    Parameters
    ----------
    sample : (n, d) array
        Training frames, from which landmarks and bandwidths are taken.
    kernel : Kernel
        A factor of bandwidth 0 gets the median distance between frames.
    basis : Basis

    Returns
    -------
    Lift
        ``settings["error"]``: relative error of the kernel matrix of sample frames,
        ||K - Phi Phi'||_F / ||K||_F; ``settings["repeated"]``: landmarks that repeat others;
        ``settings["first"]``: functions that are coordinates of phi as they are.

    Raises
    ------
    UsageError
        Random features of a kernel that is not stationary.
    SupportError
        A bandwidth so small that frames are strangers, or so large that nothing varies.

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(-1, 1, (60, 2))
    >>> kernel = Kernel(parse_kernel("gaussian@0.5", ["x", "y"]))
    >>> lift = kernel_lift(x, kernel, Basis(60))
    >>> phi = coordinates(lift, x)
    >>> bool(np.abs(phi @ phi.T - Evaluator(kernel, x)(x)).max() < 1e-9)
    True
    """
    x = np.asarray(sample, np.float64)
    rng = np.random.default_rng(basis.seed)
    judged = x[rng.permutation(len(x))[:JUDGED]]
    kernel = with_bandwidths(kernel, judged)
    _check_spread(kernel, judged, basis.floor)
    make = _random_features if basis.method == "fourier" else _against_landmarks
    arrays, told = make(kernel, x, basis)
    if kernel.stationary and "landmarks" in arrays:
        _check_neighbours(kernel, arrays["landmarks"], judged)
    shared = {"degree": kernel.degree, "offset": kernel.offset, "period": kernel.period}
    settings: dict[str, Any] = {
        "kernel": kernel.text,
        "method": basis.method,
        "columns": x.shape[1],
        **shared,
        **told,
    }
    width = arrays["transform" if "transform" in arrays else "frequencies"].shape[1]
    kind = "random feature" if basis.method == "fourier" else "landmark"
    count = 2 * width if basis.method == "fourier" else width
    names = tuple(f"{kind} {i + 1}" for i in range(count))
    deferred = told.get("first", count) < count
    lift = Lift("deferred-kernel" if deferred else "kernel", names, settings, arrays)
    settings["error"] = approximation_error(lift, kernel, judged)
    return lift


def _against_landmarks(
    kernel: Kernel, x: Matrix, basis: Basis
) -> tuple[dict[str, NDArray[Any]], dict[str, int]]:
    step = max(1, len(x) // (basis.candidates * basis.count))
    candidates = x[::step] if basis.method == "cholesky" and basis.count < len(x) else x
    chosen, lower = landmarks_with_factor(kernel, candidates, basis.count, basis.method, basis.seed)
    points, rank = candidates[chosen], len(chosen)
    # The factor that random pivots leave behind, unless one of them repeats others.
    if lower is None or np.diag(lower).min() ** 2 <= PIVOT * float(diagonal(kernel, points).max()):
        lower, order, rank, _ = _pivoted_cholesky(Evaluator(kernel, points)(points))
        points = points[order]
    inverse = scipy.linalg.lapack.dtrtri(lower, lower=1)[0]
    inverse, lower = np.tril(inverse), np.tril(lower)
    first = first_landmarks(inverse, lower)
    arrays = {"landmarks": points, "transform": joined(inverse, lower, first)}
    return arrays, {"repeated": len(chosen) - rank, "first": first}


def _pivoted_cholesky(matrix: Matrix) -> tuple[Matrix, NDArray[np.int64], int, int]:
    """(L, rows kept in order of their pivots, rank, info) of a kernel matrix."""
    limit = PIVOT * float(np.diag(matrix).max())
    factor, pivots, rank, info = scipy.linalg.lapack.dpstrf(matrix, tol=limit, lower=1)
    return np.tril(factor[:rank, :rank]), pivots[:rank] - 1, int(rank), int(info)


def _random_features(
    kernel: Kernel, x: Matrix, basis: Basis
) -> tuple[dict[str, NDArray[Any]], dict[str, int]]:
    if not kernel.stationary:
        raise UsageError(
            "random Fourier features need a stationary kernel, which polynomial is not",
            "choose --set kedmd.basis=cholesky, or another kernel",
        )
    rng = np.random.default_rng(basis.seed)
    rows = []
    for factor in kernel.factors:
        d = embed(kernel, factor, x[:1]).shape[1]
        draws = rng.standard_normal((d, max(1, basis.count // 2))) / factor.bandwidth
        # Matern and Laplacian: Student t spectra of twice their smoothness degrees of freedom.
        freedom = {"laplacian": 1, "matern32": 3, "matern52": 5}.get(factor.name)
        if freedom is not None:
            draws /= np.sqrt(rng.chisquare(freedom, draws.shape[1]) / freedom)
        rows.append(draws)
    return {"frequencies": np.concatenate(rows)}, {"repeated": 0}


def with_bandwidths(kernel: Kernel, x: Matrix) -> Kernel:
    """The kernel with the median distance of frames where a factor has no bandwidth."""
    from scipy.spatial.distance import pdist

    factors = []
    for factor in kernel.factors:
        width = factor.bandwidth
        if width == 0:
            z = embed(kernel, factor, x)
            # One unit for all columns: their squares must be finite, their shares untouched.
            unit = float(power_of_two(np.abs(z).max(initial=0.0, keepdims=True))[0, 0])
            distances = pdist(z * unit)
            distances = distances[distances > 0]
            width = float(np.median(distances)) / unit if len(distances) else 1.0
        factors.append(replace(factor, bandwidth=width))
    return replace(kernel, factors=tuple(factors))


def _check_spread(kernel: Kernel, x: Matrix, floor: float) -> None:
    """Refuse a kernel that is flat over the data."""
    values = Evaluator(kernel, x)(x)
    variation = float(diagonal(kernel, x).mean() - values.mean())
    if kernel.stationary and variation < floor:
        raise SupportError(
            f"the bandwidth {_widths(kernel)} is far too large: the kernel varies by "
            f"{variation:.1g} over the data",
            f"the median distance between frames is {_widths(_automatic(kernel, x))}",
        )


def _check_neighbours(kernel: Kernel, landmarks: Matrix, x: Matrix) -> None:
    """Refuse a kernel for which every frame is alone."""
    values = Evaluator(kernel, landmarks)(x)
    # A frame that is a landmark itself says nothing; its neighbours do.
    values[values > 1 - PIVOT] = 0.0
    nearest = float(np.median(values.max(axis=1)))
    if nearest < STRANGERS:
        raise SupportError(
            f"the bandwidth {_widths(kernel)} is far too small: the kernel between a frame and "
            f"its nearest landmark is {nearest:.1g}",
            f"the median distance between frames is {_widths(_automatic(kernel, x))}",
        )


def _automatic(kernel: Kernel, x: Matrix) -> Kernel:
    free = replace(kernel, factors=tuple(replace(f, bandwidth=0.0) for f in kernel.factors))
    return with_bandwidths(free, x)


def _widths(kernel: Kernel) -> str:
    return ", ".join(f"{factor.bandwidth:.3g}" for factor in kernel.factors)


def approximation_error(lift: Lift, kernel: Kernel, x: Matrix) -> float:
    """||K - Phi Phi'||_F / ||K||_F of frames x (n, d)."""
    exact, phi = Evaluator(kernel, x)(x), coordinates(lift, x)
    # Sums of squares, since the norms of numpy are products of its BLAS.
    missing = exact - product(phi, phi.T)
    return float(np.sqrt(np.sum(missing * missing) / np.sum(exact * exact)))


def kernel_of(lift: Lift) -> Kernel:
    """The kernel of a fitted lift."""
    s = lift.settings
    names = [str(j + 1) for j in range(int(s["columns"]))]
    factors = parse_kernel(s["kernel"], names)
    return Kernel(factors, int(s["degree"]), float(s["offset"]), float(s["period"]))


def function(lift: Lift, device: Any = None, *, single: bool = False) -> Callable[[Any], Any]:
    """The lift as a function (n, d) -> (n, m), its arrays prepared once.

    Parameters
    ----------
    device : torch device, optional
        Where to compute, with torch tensors in and out; None computes with numpy.
    single : bool
        Evaluate in float32 where the landmarks are independent enough for it (numpy only).
    """
    kernel, arrays = kernel_of(lift), lift.arrays
    if "frequencies" in arrays:
        return _waves(kernel, _on(device, arrays["frequencies"]))
    split = Split.of(arrays["transform"], int(lift.settings.get("first", len(lift.names))))
    if device is not None:
        return _OnDevice(
            Evaluator(kernel, _on(device, arrays["landmarks"])),
            _on(device, split.head.T), _on(device, split.known.T), split.later,
        )  # fmt: skip
    # The rounding of k grows by the largest 1 / pivot.
    fine = np.diag(arrays["transform"]).max() <= STEEPEST_SINGLE
    dtype = np.float32 if single and fine and kernel.stationary else np.float64
    return _Against(
        Evaluator(kernel, arrays["landmarks"].astype(dtype)),
        LowerTriangular(split.head.astype(dtype)), split.known.astype(dtype), split.later, dtype,
    )  # fmt: skip


@dataclass(frozen=True)
class _Against:
    """[phi_1, r] of rows x (n, d), products in place; ``later`` makes phi_2 of sums of r."""

    values: Evaluator
    head: LowerTriangular
    known: NDArray[Any]
    later: Matrix | None
    dtype: Any

    def __call__(self, x: NDArray[Any]) -> NDArray[Any]:
        phi = np.empty((len(x), len(self.head.matrix) + len(self.known)), self.dtype)
        self.into(x, phi)
        return phi

    def into(self, x: NDArray[Any], out: NDArray[Any]) -> None:
        """The same into rows of an array."""
        first = len(self.head.matrix)
        self.values.into(np.asarray(x, self.dtype), out)
        phi = self.head.times(out[:, :first])
        if len(self.known):
            product(phi, self.known.T, out[:, first:], keep=1.0)


@dataclass(frozen=True)
class _OnDevice:
    """The same with torch tensors, in float64."""

    values: Evaluator
    head: Any
    known: Any
    later: Matrix | None

    def __call__(self, x: Any) -> Any:
        import torch

        k = self.values(_on(self.head.device, x))
        first = len(self.head)
        phi = k[:, :first] @ self.head
        return torch.cat([phi, k[:, first:] + phi @ self.known], dim=1)


def _on(device: Any, array: Any) -> Any:
    """An array as a tensor in float64, or as it is without a device."""
    if device is None:
        return array
    import torch

    return torch.as_tensor(np.ascontiguousarray(array), dtype=torch.float64, device=device)


def _waves(kernel: Kernel, frequencies: Any) -> Callable[[Any], Any]:
    import array_api_compat

    xp: Any = array_api_compat.array_namespace(frequencies)
    root = 1 / np.sqrt(frequencies.shape[1])

    def waves(x: Any) -> Any:
        x = xp.asarray(x, dtype=frequencies.dtype, device=frequencies.device)
        parts = [embed(kernel, factor, x) for factor in kernel.factors]
        phase = xp.concat(parts, axis=1) @ frequencies
        return xp.concat([xp.cos(phase), xp.sin(phase)], axis=1) * root

    return waves


def evaluate(lift: Lift, x: NDArray[Any]) -> Matrix:
    """Evaluate the lift on frames (n, d), giving (n, m) in float64."""
    value: Matrix = function(lift)(x)
    return value


def coordinates(lift: Lift, x: NDArray[Any]) -> Matrix:
    """Orthonormal coordinates phi (n, m) of frames (n, d), in float64."""
    found = function(lift)
    phi: Matrix = found(x)
    later = getattr(found, "later", None)
    if later is not None:
        phi[:, -len(later) :] = product(phi[:, -len(later) :], later.T)
    return phi
