"""Modes in the field's own space, and a model that stands without the input."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.estimate import Estimate
from koopman_cli.features.field import FieldStream
from koopman_cli.features.stream import FeatureStream
from koopman_cli.flow.linear import (
    Linear,
    heads_of,
    linear_of,
    pairs_of,
    stream_rows,
)
from koopman_cli.flow.skill import forecast_skill
from koopman_cli.lifts.pod import pod_columns
from koopman_cli.types import FeatureSpec, Flow, Lift, Model, Progress

Matrix = NDArray[np.float64]

#: Maps above this size are stored in float32.
STORED_BYTES = 64 * 2**20


def describe_flow(
    found: Estimate, stream: FeatureStream, model: Model, progress: Progress
) -> tuple[Flow, Model]:
    """Modes in the field's own space, the skill of forecasts, and a model that stands alone.

    Returns
    -------
    flow : Flow
    model : Model
        With features that project snapshots onto a stored basis, not on those of this input.
    """
    field: FieldStream = stream.field
    k = model.left.shape[1]
    linear = linear_of(found, stream, k)
    d, q, _ = pod_columns(stream)
    rows = stream_rows(stream)
    basis, lift = _stored_basis(found.lift, stream)
    heads = heads_of(model.eigenvalues, k)
    middle = rows[0][len(rows[0]) // 2]
    mean = _mean(linear, found, stream)
    guess = linear.coordinates(linear.functions(middle[None, :]), middle[None, d : d + q], mean)[0]
    wanted = np.concatenate(
        [
            basis, linear.inner[:, heads].real, linear.inner[:, heads].imag,
            linear.known.T, np.stack([mean, middle[:d], guess], axis=1),
        ],
        axis=1,
    )  # fmt: skip
    whole = field.snapshots.combine(wanted, progress, weighted=True)
    s, h = basis.shape[1], len(heads)
    weights = field.snapshots.weights
    maps = whole[:, s:] if weights is None else whole[:, s:] / weights[:, None]
    # What is stored of a large field is rounded to float32: it is drawn and projected on.
    coarse = field.snapshots.dtype == "float32" or whole.nbytes > STORED_BYTES
    kind = np.float32 if coarse else np.float64
    modes = np.empty((len(maps), h), np.result_type(kind, np.complex64))
    modes.real, modes.imag = maps[:, :h], maps[:, h : 2 * h]
    flow = Flow(
        modes=modes,
        heads=heads,
        known=maps[:, 2 * h : 2 * h + q].astype(kind),
        mean=maps[:, -3].astype(kind),
        truth=maps[:, -2].astype(kind),
        guess=maps[:, -1].astype(kind),
        frame=int(stream.frame_index(0, np.array([len(rows[0]) // 2]))[0]),
        singular_values=np.asarray(found.lift.arrays["singular"]),
        last=np.concatenate([linear.functions(r[-1:]) for r in rows]),
        times=np.array([t[-1] for t in field.times]),
        labels=stream.labels,
        skill=forecast_skill(found, stream) if found.request.settings.flow else None,
    )
    spec = _portable(stream, whole[:, :s].astype(kind))
    return flow, replace(model, features=spec, lift=lift)


def _portable(stream: FeatureStream, basis: NDArray[np.floating[Any]]) -> FeatureSpec:
    """Features that project snapshots of any input onto a stored basis (columns, s)."""
    field: FieldStream = stream.field
    state = {
        **field.snapshots.geometry.to_arrays(),
        "valid": field.snapshots.valid,
        "basis": basis,
        "design": field.design.to_array(),
        "delays": np.array([field.delays.number, field.delays.spacing]),
    }
    if field.snapshots.weights is not None:
        state["weights"] = field.snapshots.weights
    names = (*(f"basis {j + 1}" for j in range(basis.shape[1])), *field.design.names)
    full = list(names)
    for k in range(1, field.delays.number):
        full += [f"{name}(t-{k * field.delays.spacing})" for name in names]
    return replace(stream.spec, names=tuple(full), units=("",) * len(full), state=state)


def _mean(linear: Linear, found: Estimate, stream: FeatureStream) -> Matrix:
    """Mean coordinates of centred models, zero else."""
    d, q, _ = pod_columns(stream)
    if not found.request.settings.center:
        return np.zeros(d)
    x = pairs_of(stream, found.lag).x
    mean: Matrix = (x[:, :d] - x[:, d : d + q] @ linear.known).mean(axis=0)
    return mean


def _stored_basis(lift: Lift, stream: FeatureStream) -> tuple[Matrix, Lift]:
    """Directions that the lift needs, (d, s), and the lift on coordinates in them."""
    d, q, blocks = pod_columns(stream)
    matrix = np.asarray(lift.arrays["matrix"])
    parts = [matrix[k * (d + q) : k * (d + q) + d] for k in range(blocks)]
    u, s, _ = np.linalg.svd(np.concatenate(parts, axis=1), full_matrices=False)
    basis = u[:, s > 1e-12 * s[0]]
    small = [
        np.concatenate([basis.T @ part, matrix[k * (d + q) + d : (k + 1) * (d + q)]])
        for k, part in enumerate(parts)
    ]
    arrays = {"matrix": np.concatenate(small), "singular": lift.arrays["singular"]}
    return basis, replace(lift, arrays=arrays)
