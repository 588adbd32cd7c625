"""The linear model of a flow on rows: functions, their modes in coordinates, their advance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.estimate import Estimate
from koopman_cli.features.field import FieldStream
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import apply
from koopman_cli.lifts.pod import pod_columns, starting_frames
from koopman_cli.models.dmd import complex_columns
from koopman_cli.models.solve import Solution
from koopman_cli.request import Request
from koopman_cli.types import Lift

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Pieces:
    """Pairs of a stream as plain arrays: rows that start pairs, and the ones a lag later."""

    x: Matrix
    y: Matrix


def stream_rows(stream: FeatureStream) -> list[Matrix]:
    """All rows of each trajectory."""
    return [
        _joined([np.asarray(c, np.float64) for c in stream.chunks(i)])
        for i in range(len(stream.labels))
    ]


def _joined(parts: list[Matrix]) -> Matrix:
    """Parts as one array; a single one, which may be as large as the data, is not copied."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def pairs_of(
    stream: FeatureStream, lag: int, ranges: Sequence[NDArray[np.int64]] | None = None
) -> Pieces:
    """Rows of the pairs inside ``ranges``."""
    masks = starting_frames(stream, lag, ranges)
    rows = stream_rows(stream)
    return Pieces(
        _joined([r[m] for r, m in zip(rows, masks, strict=True)]),
        _joined([r[np.flatnonzero(m) + lag] for r, m in zip(rows, masks, strict=True)]),
    )


@dataclass(frozen=True)
class Linear:
    """A solved model on rows: functions, their modes in coordinates, eigenvalues.

    inner : (d, k) complex modes, one column per function; conjugates adjacent
    known : (q, d) regression on the design
    """

    lift: Lift
    solution: Solution
    inner: NDArray[np.complex128]
    known: Matrix
    lag: int

    def functions(self, rows: Matrix) -> NDArray[np.complex128]:
        """Psi of rows, (n, k)."""
        k = self.inner.shape[1]
        values = (apply(self.lift, rows) - self.solution.mean_x) @ self.solution.left[:, :k]
        eigenvalues = self.solution.eigenvalues
        return (
            values.astype(np.complex128)
            if eigenvalues is None
            else complex_columns(values, eigenvalues[:k])
        )

    def advance(self, psi: NDArray[np.complex128], frames: float) -> NDArray[np.complex128]:
        """Functions ``frames`` later."""
        assert self.solution.eigenvalues is not None
        rate = self.solution.eigenvalues[: psi.shape[-1]] ** (frames / self.lag)
        return psi * rate

    def coordinates(self, psi: NDArray[np.complex128], design: Matrix, mean: Matrix) -> Matrix:
        """Coordinates of snapshots from functions and design, (n, d)."""
        found: Matrix = (psi @ self.inner.T).real + design @ self.known + mean
        return found


def linear_model(
    stream: FeatureStream, request: Request, lift: Lift, solution: Solution, k: int, pairs: Pieces,
    lag: int,
) -> Linear:  # fmt: skip
    """Modes by regression of coordinates on the functions: of x, or of y for exact DMD modes."""
    d, q, _ = pod_columns(stream)
    known = np.asarray(lift.arrays["coefficients"]) if q else np.zeros((0, d))
    exact = request.settings.exact_modes and solution.eigenvalues is not None
    target = pairs.y if exact else pairs.x
    # In place, and by the pseudo-inverse of the few functions: no further copies of wide rows.
    residual = target[:, :d].copy()
    if q:
        residual -= target[:, d : d + q] @ known
    psi = (apply(lift, pairs.x) - solution.mean_x) @ solution.left[:, :k]
    if request.settings.center:
        residual -= residual.mean(axis=0)
    cut = np.finfo(np.float64).eps * max(psi.shape)
    found = (np.linalg.pinv(psi, rcond=cut) @ residual).T
    values = solution.eigenvalues
    inner = found.astype(np.complex128)
    if values is not None:
        heads = np.flatnonzero(values[:k].imag > 0)
        inner[:, heads] = (found[:, heads] - 1j * found[:, heads + 1]) / 2
        inner[:, heads + 1] = inner[:, heads].conj()
        if exact:
            small = np.abs(values[:k]) < 1e-12
            inner = inner / np.where(small, 1.0, values[:k])
    return Linear(lift, solution, inner, known, lag)


def amplitudes(linear: Linear, field: FieldStream) -> Matrix:
    """Root-mean-square contribution of each mode per cell, in units of the field."""
    values = linear.solution.eigenvalues
    size = np.linalg.norm(linear.inner, axis=0)
    if values is not None:
        size = np.where(values[: len(size)].imag != 0, np.sqrt(2) * size, size)
    found: Matrix = size / np.sqrt(total_weight(field))
    return found


def total_weight(field: FieldStream) -> float:
    """Sum of the weights of all cells: that of an amplitude of 1 everywhere."""
    weights = field.snapshots.weights
    return float(field.snapshots.columns if weights is None else np.sum(weights**2))


def unit_of(field: FieldStream) -> str:
    """The unit of the variables, where they share one."""
    units = set(field.snapshots.geometry.units)
    return units.pop() if len(units) == 1 else ""


def heads_of(values: NDArray[np.complex128] | None, k: int) -> NDArray[np.int64]:
    """Columns that are drawn: one of each conjugate pair."""
    if values is None:
        return np.arange(k)
    return np.flatnonzero(values[:k].imag >= 0)


def linear_of(found: Estimate, stream: FeatureStream, k: int) -> Linear:
    """Modes of the first ``k`` functions of an estimate."""
    pairs = pairs_of(stream, found.lag)
    return linear_model(stream, found.request, found.lift, found.solution, k, pairs, found.lag)
