"""Array columns: as they are, or standardised; wrapped angles as cosine and sine."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.base import Block, Chunk, Context, State
from koopman_cli.features.wrapped import find_periods

#: Frames read at a time by a fitting pass: fixed, so that results never depend on chunks.
FIT_FRAMES = 8192


def _periods(context: Context, options: tuple[str, ...], state: State | None) -> NDArray[Any]:
    width = len(context.first.names)
    if state is not None:
        return np.asarray(state.get("period", np.zeros(width)), np.float64)
    if options == ("raw",) or context.first.dtype == "complex128":
        return np.zeros(width)
    return find_periods(context)


def _prepare(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """Columns before standardising: cosine and sine where ``period`` is not 0."""
    first = context.first
    period = _periods(context, options, state)
    if len(period) != len(first.names):
        # Another width than at the fit: plain names let the comparison say what differs.
        period = np.zeros(len(first.names))
    names, units, notes = [], [], []
    for name, unit, length in zip(first.names, first.units, period, strict=True):
        if length:
            names += [f"cos {name}", f"sin {name}"]
            units += ["", ""]
            notes.append(f"column {name} is a wrapped angle: cos and sin used")
        else:
            names.append(name)
            units.append(unit)
    return Block(
        names=tuple(names),
        units=tuple(units),
        compute=(lambda chunk: _unwrap(chunk, period)) if period.any() else _values,
        state={"period": period} if period.any() else {},
        scratch=16 * len(names) if period.any() else 0,
        notes=tuple(notes),
    )


def _values(chunk: Chunk) -> NDArray[Any]:
    return np.asarray(chunk.frames.values)


def _unwrap(chunk: Chunk, period: NDArray[np.float64]) -> NDArray[Any]:
    values = _values(chunk)
    columns: list[NDArray[Any]] = []
    for j, length in enumerate(period):
        if length:
            angle = values[:, j] * (2 * np.pi / length)
            columns += [np.cos(angle), np.sin(angle)]
        else:
            columns.append(values[:, j])
    return np.stack(columns, axis=1).astype(values.dtype, copy=False)


def prepare_identity(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``identity``: the columns; a wrapped angle as cosine and sine (``identity:raw``: never)."""
    return _prepare(context, options, state)


def prepare_standardised(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``standardised``: (x - mean) / sd with mean and sd of all finite frames of the input.

    A constant column keeps sd 1 and becomes zero.
    """
    plain = _prepare(context, options, state)
    if state is not None and {"mean", "sd"} <= set(state):
        mean, sd = np.asarray(state["mean"]), np.asarray(state["sd"])
    else:
        mean, sd = _fit(context, plain)

    def compute(chunk: Chunk) -> NDArray[Any]:
        values = plain.compute(chunk)
        return np.asarray((values - mean) / sd, values.dtype)

    return Block(
        names=plain.names,
        units=("",) * len(plain.names),
        compute=compute if len(mean) == len(plain.names) else plain.compute,
        state={**plain.state, "mean": mean, "sd": sd},
        scratch=plain.scratch + 32 * len(plain.names),
        notes=plain.notes,
        fitted=True,
    )


def _fit(context: Context, plain: Block) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Mean and standard deviation in one pass, safe from overflow for any finite input.

    Moments of chunks are merged by Chan's formula on root sums of squares instead of sums
    of squares: values of 1e200 must not become infinite.
    """
    kind = np.complex128 if context.first.dtype == "complex128" else np.float64
    count, mean, root = 0, np.zeros(len(plain.names), kind), np.zeros(len(plain.names))
    total = sum(t.n_frames for t in context.trajectories)
    with context.progress("standardising", total) as advance:
        for trajectory in context.trajectories:
            for frames in trajectory.read(FIT_FRAMES):
                x = plain.compute(Chunk(frames)).astype(kind)
                advance(len(x))
                x = x[np.isfinite(x).all(axis=1)]
                if not len(x):
                    continue
                scale = np.maximum(np.abs(x).max(axis=0), np.finfo(np.float64).tiny)
                middle = (x / scale).mean(axis=0)
                spread = np.sqrt((np.abs(x / scale - middle) ** 2).sum(axis=0)) * scale
                delta = middle * scale - mean
                n, count = len(x), count + len(x)
                between = np.abs(delta) * np.sqrt(n * (count - n) / count)
                root = np.hypot(np.hypot(root, spread), between)
                mean = mean + delta * (n / count)
    sd = root / np.sqrt(max(count, 1))
    # Rounding leaves a constant column with a spread of a few units in the last place.
    sd[sd <= 1e-14 * np.abs(mean)] = 1.0
    sd[sd == 0] = 1.0
    return mean, sd
