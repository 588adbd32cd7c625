"""From a solved model of a field to what it says in the field's own space.

A snapshot is x(t) = b(t) C + sum_j psi_j(x(t)) v_j + rest: the known part (anomalies, trend),
the modes v_j with their functions psi_j, and what the POD left out. Modes come from one small
regression in the coordinates of :mod:`koopman_cli.features.snapshots` and one pass over the
field; forecasts replace psi_j by lambda_j^(s / lag) psi_j.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.flows import Findings, changed_halves, flow_modes, left_over
from koopman_cli.analysis.spectrum import Context
from koopman_cli.diagnosis import Diagnosis
from koopman_cli.errors import KoopmanError
from koopman_cli.estimate import Estimate
from koopman_cli.features.field import Design, FieldStream, field_stream
from koopman_cli.features.snapshots import ArrayRun, Snapshots, compress, needs_double
from koopman_cli.features.spec import Delays
from koopman_cli.features.stream import FeatureStream
from koopman_cli.geometry import Geometry
from koopman_cli.lifts import apply
from koopman_cli.lifts.pod import pod_columns, starting_frames
from koopman_cli.models.dmd import complex_columns
from koopman_cli.models.solve import Solution
from koopman_cli.moments import Moments
from koopman_cli.request import Request
from koopman_cli.types import Flow, ForecastSkill, Lift, Mode, Model, Progress, Quantity

Matrix = NDArray[np.float64]

#: Share of each trajectory that the forecast is tested on, and most starts of a forecast.
HELD = 0.2
STARTS = 50


#: Maps above this size are stored in float32.
STORED_BYTES = 64 * 2**20


# ------------------------------------------------------------------ rows and modes


@dataclass(frozen=True)
class Pieces:
    """Pairs of a stream as plain arrays: rows that start pairs, and the ones a lag later."""

    x: Matrix
    y: Matrix


def stream_rows(stream: FeatureStream) -> list[Matrix]:
    """All rows of each trajectory; rows of fields are small."""
    return [
        np.concatenate([np.asarray(c, np.float64) for c in stream.chunks(i)])
        for i in range(len(stream.labels))
    ]


def pairs_of(
    stream: FeatureStream, lag: int, ranges: Sequence[NDArray[np.int64]] | None = None
) -> Pieces:
    """Rows of the pairs inside ``ranges``."""
    masks = starting_frames(stream, lag, ranges)
    parts = [
        (r[m], r[np.flatnonzero(m) + lag]) for r, m in zip(stream_rows(stream), masks, strict=True)
    ]
    return Pieces(np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts]))


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
    residual = target[:, :d] - target[:, d : d + q] @ known
    psi = (apply(lift, pairs.x) - solution.mean_x) @ solution.left[:, :k]
    if request.settings.center:
        residual = residual - residual.mean(axis=0)
    found = np.linalg.lstsq(psi, residual, rcond=None)[0].T
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
    found: Matrix = size / np.sqrt(_total_weight(field))
    return found


def _total_weight(field: FieldStream) -> float:
    weights = field.snapshots.weights
    return float(field.snapshots.columns if weights is None else np.sum(weights**2))


def _unit(field: FieldStream) -> str:
    units = set(field.snapshots.geometry.units)
    return units.pop() if len(units) == 1 else ""


# ------------------------------------------------------------------ verdicts


def flow_verdicts(
    found: Estimate, stream: FeatureStream, judged: Diagnosis, context: Context
) -> tuple[Mode, ...]:
    """Modes of a flow judged as oscillations, growth and steady parts."""
    values = found.solution.eigenvalues
    assert values is not None
    cut = _left_over(found, stream)
    modes, halves = judged.modes, {}
    if found.request.settings.refines:
        # Influences belong to regressions; this model has no intervals yet.
        modes = tuple(_without_intervals(m) for m in modes)
    else:
        halves = changed_halves(judged.influences, found.merged, len(modes))
    sizes, unit = None, ""
    if stream.field is not None:
        linear = _linear(found, stream, len(values))
        sizes, unit = amplitudes(linear, stream.field), _unit(stream.field)
    return flow_modes(modes, context, Findings(cut, halves, sizes, unit))


def _without_intervals(mode: Mode) -> Mode:
    def bare(q: Quantity | None) -> Quantity | None:
        return None if q is None else replace(q, low=None, high=None)

    return replace(
        mode,
        eigenvalue_low=None,
        eigenvalue_high=None,
        residual=None,
        timescale=bare(mode.timescale),
        period=bare(mode.period),
        growth=bare(mode.growth),
    )


def _left_over(found: Estimate, stream: FeatureStream) -> NDArray[np.bool_]:
    values = found.solution.eigenvalues
    assert values is not None
    spare = None if found.request.settings.refines else found.lift.arrays.get("spare")
    nothing = np.zeros(len(values), bool)
    if spare is None or spare.shape[1] == 0:
        return nothing
    both = np.concatenate([found.lift.arrays["matrix"], spare], axis=1)
    lift = replace(found.lift, arrays={**found.lift.arrays, "matrix": both})
    pairs = pairs_of(stream, found.lag)
    moments = Moments.of_pairs(apply(lift, pairs.x), apply(lift, pairs.y))
    try:
        more = found.request.solve(moments, found.precision, found.blocks.eps).eigenvalues
    except KoopmanError:
        return nothing
    assert more is not None
    return left_over(values, more)


def _linear(found: Estimate, stream: FeatureStream, k: int) -> Linear:
    pairs = pairs_of(stream, found.lag)
    return linear_model(stream, found.request, found.lift, found.solution, k, pairs, found.lag)


# ------------------------------------------------------------------ in the field's space


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
    linear = _linear(found, stream, k)
    d, q, _ = pod_columns(stream)
    rows = stream_rows(stream)
    basis, lift = _stored_basis(found.lift, stream)
    heads = _heads(model.eigenvalues, k)
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
        skill=_skill(found, stream) if found.request.settings.flow else None,
    )
    state = {
        **field.snapshots.geometry.to_arrays(),
        "valid": field.snapshots.valid,
        "basis": whole[:, :s].astype(kind),
        "design": field.design.to_array(),
        "delays": np.array([field.delays.number, field.delays.spacing]),
    }
    if weights is not None:
        state["weights"] = weights
    names = (*(f"basis {j + 1}" for j in range(s)), *field.design.names)
    full = list(names)
    for k in range(1, field.delays.number):
        full += [f"{name}(t-{k * field.delays.spacing})" for name in names]
    spec = replace(stream.spec, names=tuple(full), units=("",) * len(full), state=state)
    return flow, replace(model, features=spec, lift=lift)


def _heads(values: NDArray[np.complex128] | None, k: int) -> NDArray[np.int64]:
    """Columns that are drawn: one of each conjugate pair."""
    if values is None:
        return np.arange(k)
    return np.flatnonzero(values[:k].imag >= 0)


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


# ------------------------------------------------------------------ forecasts on held-out data


def _skill(found: Estimate, stream: FeatureStream) -> ForecastSkill | None:
    """Errors of forecasts on the last fifth of every trajectory, fitted on what is before.

    None where that leaves too little to fit or to test.
    """
    field: FieldStream = stream.field
    d, q, _ = pod_columns(stream)
    cuts = [int(n * (1 - HELD)) for n in stream.lengths]
    ranges = [np.array([[0, cut]]) for cut in cuts]
    rows = stream_rows(stream)
    horizon = min((n - c for n, c in zip(stream.lengths, cuts, strict=True)), default=0) // 2
    if horizon < 1:
        return None
    request = found.request
    try:
        lift = request.lift(stream, ranges, found.lag)
        pairs = pairs_of(stream, found.lag, ranges)
        moments = Moments.of_pairs(apply(lift, pairs.x), apply(lift, pairs.y))
        solution = request.solve(moments, found.precision, found.blocks.eps)
        solution = request.refined(stream, lift, found.lag, solution, ranges)
        k = len(solution.eigenvalues) if solution.eigenvalues is not None else 0
        linear = linear_model(stream, request, lift, solution, k, pairs, found.lag)
    except (KoopmanError, np.linalg.LinAlgError):
        return None
    train = np.concatenate([r[:c] for r, c in zip(rows, cuts, strict=True)])
    mean = (train[:, :d] - train[:, d : d + q] @ linear.known).mean(axis=0)
    shift = mean if request.settings.center else np.zeros(d)
    steps = np.unique(np.linspace(1, horizon, min(horizon, 60)).round().astype(int))
    sums, count = np.zeros((len(steps), 3)), 0
    for r, cut in zip(rows, cuts, strict=True):
        starts = np.unique(np.linspace(cut - 1, len(r) - 1 - horizon, STARTS).astype(int))
        psi = linear.functions(r[starts])
        for i, step in enumerate(steps):
            later = r[starts + step]
            truth, design = later[:, :d], later[:, d : d + q]
            guess = linear.coordinates(linear.advance(psi, float(step)), design, shift)
            before = r[starts]
            same = before[:, :d] - before[:, d : d + q] @ linear.known + design @ linear.known
            usual = design @ linear.known + mean
            for j, value in enumerate((guess, same, usual)):
                with np.errstate(over="ignore", invalid="ignore"):
                    sums[i, j] += np.sum((value - truth) ** 2)
        count += len(starts)
    errors = np.sqrt(sums / count / _total_weight(field))
    errors = np.where(np.isfinite(errors), errors, np.nan)
    return ForecastSkill(steps, errors[:, 0], errors[:, 1], errors[:, 2], _unit(field), int(count))


# ------------------------------------------------------------------ arrays in memory


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
    heads = _heads(solution.eigenvalues, k)
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
