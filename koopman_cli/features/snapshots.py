"""Snapshots to small coordinates with the same inner products, in one pass over the cells.

With the weighted snapshots X (frames x columns), the Gram matrix G = X X' = U S^2 U' gives
coordinates A = U S (frames x m) and an orthonormal basis Phi = X' U S^-1 (columns x m) with
X = A Phi': a rotation that loses nothing but what lies below ``floor``. Everything that
happens along time (anomalies, trends, delays, POD of some of the frames, DMD) is the same in
A as in X, so folds need no second look at the field; a linear combination of snapshots takes
one more pass (:meth:`Snapshots.combine`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.geometry import Geometry
from koopman_cli.memory import check_field
from koopman_cli.types import Progress, no_progress

Matrix = NDArray[np.float64]

#: Bytes of a block of cells; the only part of the field that is ever in memory.
BLOCK_BYTES = 32 * 2**20

#: Up to this many numbers the field is decomposed itself, which keeps every digit.
SMALL = 4_000_000

#: Fields of fewer points than frames keep their points as columns up to this width.
DIRECT = 2000

#: More frames than this are compressed by a randomised range finder.
GRAM_FRAMES = 4000

#: Directions kept for everything that follows.
KEPT = 1000
SKETCH = 300


class Run(Protocol):
    """What is asked of a run of snapshots (:class:`koopman_cli.io.fieldruns.FieldRun`)."""

    @property
    def n_frames(self) -> int:
        """Snapshots."""

    def cells(self, start: int, stop: int, dtype: str) -> NDArray[Any]:
        """All frames of some cells."""


@dataclass(frozen=True)
class ArrayRun:
    """Snapshots (frames, cells) in memory as a run."""

    values: NDArray[Any]

    @property
    def n_frames(self) -> int:
        """Snapshots."""
        return len(self.values)

    def cells(self, start: int, stop: int, dtype: str) -> NDArray[Any]:
        """A view of some cells."""
        return self.values[:, start:stop]


@dataclass(frozen=True)
class Snapshots:
    """A field in coordinates that keep its inner products.

    runs, keep : where the field is read from, and which frames of each are used
    valid : (cells,) cells that are not masked
    weights : (columns,) square roots of areas, None for ones
    coordinates : (frames, m) A, all runs one after the other
    coefficients : (frames, m) U S^-1, so that Phi = X' coefficients; None: Phi is the identity
    singular : (m,) singular values of X
    floor : singular values below this share of the largest are rounding
    method : "points", "svd", "gram" or "sketch"; captured : share of the sum of squares kept
    """

    runs: tuple[Run, ...]
    keep: tuple[NDArray[np.bool_], ...]
    geometry: Geometry
    dtype: str
    valid: NDArray[np.bool_]
    weights: Matrix | None
    coordinates: Matrix
    coefficients: Matrix | None
    singular: Matrix
    floor: float
    method: str
    precision: str
    captured: float = 1.0

    @property
    def columns(self) -> int:
        """Cells that are not masked."""
        return int(np.count_nonzero(self.valid))

    def project(self, runs: tuple[Run, ...], keep: tuple[NDArray[np.bool_], ...]) -> Matrix:
        """Coordinates of other snapshots of the same field: X_new Phi."""
        new = replace(self, runs=runs, keep=keep)
        if self.coefficients is not None:
            found: Matrix = _sum_products(self, new) @ self.coefficients
            return found
        parts = [b for _, b in _blocks(new, no_progress, "reading", "float64")]
        return np.concatenate(parts, axis=1)

    def combine(
        self, inner: NDArray[Any], progress: Progress = no_progress, *, weighted: bool = False
    ) -> NDArray[Any]:
        """Phi @ inner in the units of the field: (m, k) -> (columns, k), in one pass.

        ``weighted`` leaves the weights in, so that columns keep their inner products.
        """
        if self.coefficients is None:
            found = inner.copy()
        else:
            factors = self.coefficients @ inner
            found = np.empty((self.columns, inner.shape[1]), np.result_type(factors, np.float64))
            at = 0
            for _, block in _blocks(self, progress, "modes"):
                found[at : at + block.shape[1]] = _times(block, factors)
                at += block.shape[1]
        if self.weights is not None and not weighted:
            found /= self.weights[:, None]
        return found


def _sum_products(old: Snapshots, new: Snapshots) -> Matrix:
    """X_new X_old', block by block."""
    product: Matrix = np.zeros(
        (sum(int(k.sum()) for k in new.keep), sum(int(k.sum()) for k in old.keep))
    )
    for span in _spans(old.geometry.cells, max(product.shape), 8):
        valid = old.valid[span[0] : span[1]]
        pair = [
            _raw(s.runs, s.keep, span, s.dtype)[:, valid].astype(np.float64) for s in (new, old)
        ]
        if old.weights is not None:
            first = int(np.count_nonzero(old.valid[: span[0]]))
            square = old.weights[first : first + int(valid.sum())] ** 2
            pair[0] = pair[0] * square
        product += pair[0] @ pair[1].T
    return product


def _times(block: NDArray[Any], factors: NDArray[Any]) -> NDArray[Any]:
    """Transposed block times factors, without a complex copy of the block."""
    kind = block.dtype
    if np.iscomplexobj(factors):
        real, imaginary = (block.T @ part.astype(kind) for part in (factors.real, factors.imag))
        both: NDArray[Any] = real + 1j * imaginary
        return both
    product: NDArray[Any] = block.T @ factors.astype(kind)
    return product


def _spans(cells: int, frames: int, itemsize: int) -> Iterator[tuple[int, int]]:
    size = max(64, BLOCK_BYTES // max(1, frames * itemsize))
    for start in range(0, cells, size):
        yield start, min(start + size, cells)


def _raw(
    runs: Sequence[Run], keep: Sequence[NDArray[np.bool_]], span: tuple[int, int], dtype: str
) -> NDArray[Any]:
    parts = []
    for run, frames in zip(runs, keep, strict=True):
        block = run.cells(*span, dtype)
        parts.append(block if frames.all() else block[frames])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _blocks(
    found: Snapshots, progress: Progress, label: str, dtype: str | None = None
) -> Iterator[tuple[tuple[int, int], NDArray[Any]]]:
    """Weighted, valid cells of all frames, block by block."""
    frames = sum(int(k.sum()) for k in found.keep)
    at = 0
    with progress(label, found.geometry.cells) as advance:
        for span in _spans(found.geometry.cells, frames, np.dtype(found.dtype).itemsize):
            block = _raw(found.runs, found.keep, span, found.dtype)
            valid = found.valid[span[0] : span[1]]
            if not valid.all():
                block = block[:, valid]
            block = block.astype(dtype or found.dtype, copy=False)
            if found.weights is not None:
                block = block * found.weights[at : at + block.shape[1]].astype(block.dtype)
            at += block.shape[1]
            advance(span[1] - span[0])
            if block.shape[1]:
                yield span, block


@dataclass(frozen=True)
class Scan:
    """What is not a number: masked cells, and frames where others are missing.

    bad : per run, frames with a missing value; first : (run, frame, cell) of the first one
    """

    valid: NDArray[np.bool_]
    bad: tuple[NDArray[np.bool_], ...]
    first: tuple[int, int, int] | None


def scan_missing(
    runs: Sequence[Run], geometry: Geometry, dtype: str, progress: Progress = no_progress
) -> Scan:
    """Find masked cells (NaN in every frame) and frames with other missing values."""
    total = sum(run.n_frames for run in runs)
    everything = [np.ones(run.n_frames, bool) for run in runs]
    valid = np.ones(geometry.cells, bool)
    bad = np.zeros(total, bool)
    first: tuple[int, int] | None = None
    with progress("looking for missing values", geometry.cells) as advance:
        for span in _spans(geometry.cells, total, np.dtype(dtype).itemsize):
            block = _raw(runs, everything, span, dtype)
            advance(span[1] - span[0])
            with np.errstate(over="ignore", invalid="ignore"):
                if np.isfinite(block.sum()):
                    continue
            missing = ~np.isfinite(block)
            masked = np.isnan(block).all(axis=0)
            valid[span[0] : span[1]] = ~masked
            missing[:, masked] = False
            rows = missing.any(axis=1)
            if rows.any():
                frame = int(np.flatnonzero(rows)[0])
                if first is None or frame < first[0]:
                    first = frame, span[0] + int(np.flatnonzero(missing[frame])[0])
            bad |= rows
    edges = np.cumsum([run.n_frames for run in runs])[:-1]
    parts = tuple(np.split(bad, edges))
    if first is None:
        return Scan(valid, parts, None)
    run = int(np.searchsorted(edges, first[0], side="right"))
    start = int(edges[run - 1]) if run else 0
    return Scan(valid, parts, (run, first[0] - start, first[1]))


def compress(
    found: Snapshots, precision: str = "auto", progress: Progress = no_progress, seed: int = 0
) -> Snapshots:
    """Coordinates with the inner products of the weighted field.

    Parameters
    ----------
    found : Snapshots
        With everything but the coordinates.
    precision : {"auto", "float64", "float32"}
        Of the products; auto takes float32 for float32 data (see :func:`needs_double`).

    Raises
    ------
    DataError
        If the field is zero everywhere, or its squares overflow.
    ResourceError
        If the coordinates of a field of few points and many frames do not fit.
    """
    frames, columns = sum(int(k.sum()) for k in found.keep), found.columns
    if frames * columns > SMALL and columns <= min(DIRECT, frames):
        check_field(frames, columns)
    if frames * columns <= SMALL or (columns <= DIRECT and columns <= frames):
        x = np.empty((frames, columns))
        at = 0
        for _, block in _blocks(found, progress, "reading", "float64"):
            x[:, at : at + block.shape[1]] = block
            at += block.shape[1]
        if columns <= frames and columns <= DIRECT:
            singular = np.sqrt(np.maximum(scipy.linalg.eigvalsh(x.T @ x)[::-1], 0))
            found = replace(found, coordinates=x, singular=singular, method="points")
            return replace(found, floor=_eps(found), precision="float64")
        u, s, _ = scipy.linalg.svd(x, full_matrices=False)
        return _rotated(found, u, s, 1e-14, "svd", "float64")
    single = found.dtype == "float32" and precision != "float64"
    if frames <= GRAM_FRAMES:
        kind = "float32" if single else "float64"
        gram = _gram(found, kind, progress)
        values, u = scipy.linalg.eigh(gram)
        values, u = np.maximum(values[::-1], 0), u[:, ::-1]
        floor = np.sqrt(frames * np.finfo(kind).eps)
        return _rotated(found, u, np.sqrt(values), float(floor), "gram", kind)
    return _sketched(found, progress, seed)


def _eps(found: Snapshots) -> float:
    return float(np.finfo(found.dtype).eps)


def _rotated(
    found: Snapshots, u: Matrix, s: Matrix, floor: float, method: str, precision: str
) -> Snapshots:
    if not np.isfinite(s).all():
        raise DataError("the squares of the field overflow", "scale it, or choose other units")
    if not s[0] > 0:
        raise DataError("the field is zero everywhere", "choose another variable with --var")
    rank = min(int(np.count_nonzero(s > floor * s[0])), KEPT)
    kept = float((s[:rank] ** 2).sum() / (s**2).sum())
    return replace(
        found,
        coordinates=u[:, :rank] * s[:rank],
        coefficients=u[:, :rank] / s[:rank],
        singular=s,
        floor=max(floor, _eps(found)),
        method=method,
        precision=precision,
        captured=kept,
    )


def _gram(found: Snapshots, kind: str, progress: Progress) -> Matrix:
    frames = sum(int(k.sum()) for k in found.keep)
    gram = np.zeros((frames, frames))
    for _, block in _blocks(found, progress, "snapshot products", kind):
        gram += block @ block.T
    return gram


def _sketched(found: Snapshots, progress: Progress, seed: int) -> Snapshots:
    """Randomised range finder with one power iteration: Halko, Martinsson and Tropp 2011."""
    frames = sum(int(k.sum()) for k in found.keep)
    width = min(SKETCH, frames, found.columns)
    rng = np.random.default_rng(seed)
    sketch, total = np.zeros((frames, width)), 0.0
    for _, block in _blocks(found, progress, "sketching", "float64"):
        sketch += block @ rng.standard_normal((block.shape[1], width))
        total += float(np.vdot(block, block))
    q = scipy.linalg.qr(sketch, mode="economic")[0]
    sketch = np.zeros_like(sketch)
    for _, block in _blocks(found, progress, "sketching", "float64"):
        sketch += block @ (block.T @ q)
    q = scipy.linalg.qr(sketch, mode="economic")[0]
    small = np.zeros((width, width))
    for _, block in _blocks(found, progress, "snapshot products", "float64"):
        part = q.T @ block
        small += part @ part.T
    values, u = scipy.linalg.eigh(small)
    values, u = np.maximum(values[::-1], 0), u[:, ::-1]
    done = _rotated(found, q @ u, np.sqrt(values), 1e-7, "sketch", "float64")
    return replace(done, captured=float((done.coordinates**2).sum() / total))


def needs_double(found: Snapshots, rank: int) -> bool:
    """Whether float32 products were too coarse for a rank: condition of the Gram above 1e4."""
    if found.precision != "float32":
        return False
    s = found.singular
    return bool(rank >= len(s) or (s[0] / max(s[rank - 1], 1e-300)) ** 2 > 1e4)
