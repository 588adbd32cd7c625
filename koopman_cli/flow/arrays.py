"""DMD of snapshots in memory, without scores, folds or files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.design import Design
from koopman_cli.features.field import FieldStream, field_stream
from koopman_cli.features.snapshots import ArrayRun, Snapshots, compress, needs_double
from koopman_cli.features.spec import Delays
from koopman_cli.features.stream import FeatureStream
from koopman_cli.flow.linear import (
    amplitudes,
    heads_of,
    linear_model,
    pairs_of,
)
from koopman_cli.geometry import Geometry
from koopman_cli.lifts import apply
from koopman_cli.moments import Moments
from koopman_cli.request import Request

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class ArrayModes:
    """DMD of an array: eigenvalues (r,) at the lag, and modes of the pairs' first members.

    modes : (columns, h) complex; heads : (h,) their eigenvalues; amplitudes : (r,)
    """

    eigenvalues: NDArray[np.complex128]
    modes: NDArray[np.complex128]
    heads: NDArray[np.int64]
    amplitudes: Matrix


def dmd(values: NDArray[Any], lag: int = 1, **settings: Any) -> ArrayModes:
    """DMD of snapshots (frames, columns) in memory, without scores, folds or files.

    Parameters
    ----------
    values : (frames, columns) array
        float32 or float64, finite.
    lag : int
        Frames.
    **settings
        Of the family ``dmd`` (rank, energy, method, variant).

    Examples
    --------
    >>> t = np.arange(60)
    >>> x = np.outer(np.cos(0.3 * t), [1, 2, 0]) + np.outer(np.sin(0.3 * t), [0, 1, 1])
    >>> found = dmd(x, rank=2)
    >>> np.round(np.angle(found.eigenvalues), 9).tolist(), found.modes.shape
    ([0.3, -0.3], (3, 1))
    """
    request = Request.of("dmd", settings)
    stream = array_stream(values)
    request = request.completed(stream, lag)[0]
    field: FieldStream = stream.field
    if needs_double(field.snapshots, request.settings.pod_rank):
        stream = array_stream(values, "float64")
        field = stream.field
    lift = request.lift(stream, None, lag)
    pairs = pairs_of(stream, lag)
    moments = Moments.of_pairs(apply(lift, pairs.x), apply(lift, pairs.y))
    solution = request.solve(moments, "float64", 2.0**-52)
    assert solution.eigenvalues is not None
    k = len(solution.eigenvalues)
    linear = linear_model(stream, request, lift, solution, k, pairs, lag)
    heads = heads_of(solution.eigenvalues, k)
    modes = field.snapshots.combine(linear.inner[:, heads])
    return ArrayModes(solution.eigenvalues, modes, heads, amplitudes(linear, field))


def array_stream(values: NDArray[Any], precision: str = "auto") -> FeatureStream:
    """Snapshots in memory as the stream of a field without coordinates."""
    frames, columns = values.shape
    grid = Geometry(("field",), ("",), ("point",), (columns,))
    keep = (np.ones(frames, bool),)
    empty = np.empty((0, 0))
    raw = Snapshots(
        (ArrayRun(values),), keep, grid, values.dtype.name, np.ones(columns, bool), None, empty,
        None, empty, 0.0, "", "",
    )  # fmt: skip
    found = compress(raw, precision)
    times = (np.arange(frames, dtype=float),)
    rows = (found.coordinates,)
    field = FieldStream(found, Design(), Delays(), rows, times, rows[0].shape[1])
    names = tuple(f"c{j + 1}" for j in range(rows[0].shape[1]))
    return field_stream(field, names, ("array",), (np.array([[0, frames]]),), None)
