"""From an estimate to a result: modes, noise floor, the model to store, the projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.coherences import NO_TIME
from koopman_cli.analysis.coherent import coherent_sets
from koopman_cli.analysis.domain import training_domain
from koopman_cli.analysis.gap import MAX_AFTER
from koopman_cli.analysis.modes import EXTRA, symmetric_in_time, with_objections
from koopman_cli.analysis.onestep import NOT_SEEN, one_step
from koopman_cli.analysis.outliers import lone_warnings
from koopman_cli.analysis.periods import period_words
from koopman_cli.analysis.projection import sample_pairs
from koopman_cli.analysis.reservations import settled
from koopman_cli.analysis.spectrum import Context, Verdict
from koopman_cli.analysis.states import not_markovian
from koopman_cli.analysis.windows import (
    AVERAGES,
    CURE,
    NOT_SYMMETRIC,
    ONE_WAY,
    PERIODS,
    SHARED,
    objection,
)
from koopman_cli.analysis.windows import NO_TIME as OF_WINDOWS
from koopman_cli.diagnosis import Diagnosis, diagnose
from koopman_cli.errors import SupportError
from koopman_cli.estimate import Estimate, unsupported_flow
from koopman_cli.features.stream import FeatureStream, slice_frames
from koopman_cli.flow.verdicts import flow_verdicts, noise_warnings
from koopman_cli.lifts import apply, evaluator
from koopman_cli.linalg import keep_pairs
from koopman_cli.nouns import counted
from koopman_cli.types import (
    CoherentSets,
    FitResult,
    Gap,
    InputSummary,
    LagScan,
    Mode,
    Model,
)
from koopman_cli.units import make_lag

#: Frames of block moments kept in a stored model, as bytes.
STORED_BLOCK_BYTES = 32 * 2**20
STORED_DIRECTIONS = 100

NONE_SLOW = "no slow mode in these features at this lag"
NO_MODE = "no mode of this flow is resolved, each for the reason beside it"
UNSUPPORTED = "no mode of this flow that held-out snapshots support"
UNCHECKED = "no folds: modes are checked on held-out blocks, in the POD modes of all frames"
TURNING = "for oscillations there are --model dmd and optdmd"
UNMEASURED = "what is slow is not resolved, for the reason beside each mode"
OUTLASTS = "no slow mode is resolved: the slowest motion is not told from a random walk"

#: Lagged pairs that coherent sets are drawn with.
SET_PAIRS = 5000


def analyse(found: Estimate, stream: FeatureStream, scan: LagScan | None) -> FitResult:
    """Modes, verdicts, warnings and the model to store; the input is described elsewhere."""
    request, lag, flow = found.request, found.lag, found.request.settings.flow
    floor = request.noise_floor(stream, found.lift, found.blocks.total(), lag, found.precision)
    context = _context(found, stream, floor)
    judged = _of_windows(diagnose(found, stream, context), found, stream)
    modes, values = judged.modes, judged.values
    # A flow has no gap: it is the sum of all its oscillations.
    gap, unsupported, noisy = None if flow else judged.gap, False, tuple[str, ...]()
    if flow:
        modes = flow_verdicts(found, stream, judged, context)
        unsupported = unsupported_flow(found)
        if unsupported:
            modes = tuple(map(_unsupported, modes))
        noisy = noise_warnings(found, judged, modes, context)
    modes = _with_bias(modes, found)
    # Crossings are asked of modes that hop between states, not of flows; told first, as causes.
    said = () if flow else judged.warnings
    warnings = [*said, *found.warnings, *lone_warnings(stream, judged.passed.watch), *noisy]
    about, richer = (context, round(found.solution.freedom)), request.settings.richer
    modes, unsettled = settled(modes, judged.certificates, scan, about, richer)
    warnings += unsettled
    warnings += _asymmetric(found, values, context, windowed=stream.window > 0)
    none_slow = (found.dims is not None and found.dims.chosen == 0) or not (
        any(_is_slow(mode, context) for mode in modes) or (values is None and judged.wandering)
    )
    none_slow = none_slow and not judged.never_crossed and not judged.unmeasured
    if none_slow and not flow:
        modes = tuple(map(_unsupported, modes))
        gap = Gap(None, None, resolved=False, reason="no slow mode")
        # What outlasts the data is slow, however held-out parts of it score.
        none_slow = not judged.wandering
    if flow:
        none_slow = not any(mode.verdict == "resolved" for mode in modes)
    if none_slow:
        no_mode = UNSUPPORTED if unsupported else NO_MODE
        warnings.append(no_mode if flow else _none_slow(modes, context))
    elif not any(mode.verdict == "resolved" for mode in modes):
        warnings += [OUTLASTS] if judged.wandering else [UNMEASURED] if judged.unmeasured else []
    states = None if gap is None or none_slow else judged.states
    warnings += [*stream.overlapping(lag), *not_markovian(states, richer)]
    unresolved = [mode for mode in modes if mode.verdict != "resolved"]
    unseen = [] if unresolved else _unseen_gap(found, values, gap, floor)
    notes = [*judged.notes, *unseen, *_unchecked(found)]
    model = _model(found, stream, values, tuple(warnings))
    if stream.field is None:
        model = replace(model, domain=training_domain(stream, request.progress))
    return FitResult(
        input=InputSummary("array", (), 0, 0, None),
        model=model,
        modes=modes,
        score=found.score,
        gap=gap,
        states=states,
        coherent=None if values is not None else _sets(found, stream, gap),
        lag_scan=scan,
        dim_choice=found.dims,
        notes=tuple(notes),
        warnings=tuple(warnings),
        slow=not none_slow,
        rivals=found.rivals,
    )


def _of_windows(judged: Diagnosis, found: Estimate, stream: FeatureStream) -> Diagnosis:
    """The diagnosis without what cannot be said of delay windows."""
    if not stream.window:
        return judged
    symmetric = symmetric_in_time(found.merged, found.solution, found.dim)
    why = objection(stream.window, found.lag, judged.view.solver, symmetric=symmetric)
    if why is None:
        renamed = tuple(
            replace(m, reason=m.reason.replace(NO_TIME, OF_WINDOWS)) for m in judged.modes
        )
        return replace(judged, modes=renamed)
    judged_well = [i for i, m in enumerate(judged.modes) if m.verdict != "unresolved"]
    told = range(len(judged.modes)) if why == SHARED else judged_well
    modes = with_objections(
        [_without_times(m) for m in judged.modes], dict.fromkeys(told, why), overrule=True
    )
    gap = Gap(None, None, resolved=False, reason="delay windows, of which no mode is measured")
    # Something may well be slow; it is only not measured.
    unmeasured = (*judged.unmeasured, *judged_well)
    return replace(judged, modes=modes, gap=gap, states=None, unmeasured=unmeasured)


def _without_times(mode: Mode) -> Mode:
    """The mode without what rests on a symmetry that its windows lack."""
    verdict: Verdict = "unresolved" if mode.verdict == "invalid" else mode.verdict
    return replace(
        mode, verdict=verdict, timescale=None, period=None, residual=None, certificate=None
    )


def _unchecked(found: Estimate) -> list[str]:
    """How a flow was checked where no folds were asked for."""
    asked = found.score is None or found.score.vampe.test is not None
    return [] if asked or not found.request.settings.flow else [UNCHECKED]


def _asymmetric(
    found: Estimate, values: NDArray[np.complex128] | None, context: Context, *, windowed: bool
) -> list[str]:
    """A warning where the data are driven or rotate, and which models tell of oscillations.

    Of delay windows (``windowed``) nothing follows for the process.
    """
    solver, lacks = found.request.solver, NOT_SYMMETRIC
    cure, averages = PERIODS, AVERAGES
    if windowed:
        lacks, cure, averages = ONE_WAY, CURE, "and a reversible model takes it to be"
    if solver == "svd" and values is None and one_step(context.longest, found.lag):
        return [f"{NOT_SEEN}: singular values are coherences, and no timescales are given"]
    if solver == "svd" and values is None:
        if not windowed and symmetric_in_time(found.merged, found.solution, found.dim):
            lacks = "correlations at twice the lag contradict reversibility, as oscillations do"
        return [f"{lacks}, so singular values are coherences and no timescales are given; {cure}"]
    if solver == "reversible" and not symmetric_in_time(found.merged, found.solution, found.dim):
        return [f"{lacks}, {averages}; {cure}"]
    return []


def _unseen_gap(
    found: Estimate, values: NDArray[np.complex128] | None, gap: Gap | None, floor: float | None
) -> list[str]:
    """What to do where every linear function is slow, so that no gap after them can be seen."""
    count = found.solution.rank
    if gap is None or gap.resolved or found.lift.kind != "identity":
        return []
    if values is None or len(values) < count or count >= MAX_AFTER:
        return []
    if np.any(values.imag != 0) or not values[-1].real > max(floor or 0.0, np.exp(-1.0)):
        return []
    who = "the only function is" if count == 1 else f"all {counted(count, 'function')} are"
    told = (
        f"{who} slow, so no gap after it can be seen: --model edmd takes further functions of the "
        f"same columns; without a gap, koopman states RUN --count {count + 1}"
    )
    return [told]


def _context(found: Estimate, stream: FeatureStream, floor: float | None) -> Context:
    """What verdicts depend on; runs of an ensemble count one by one."""
    spans = [int(b - a) for part in stream.segments for a, b in part]
    return Context(
        make_lag(found.lag, stream.dt),
        floor,
        max(spans),
        found.request.solver,
        sum(spans) - len(spans),
    )


def _unsupported(mode: Mode) -> Mode:
    """The mode of a model that held-out data do not support: nothing in it is resolved."""
    if mode.verdict != "resolved":
        return mode
    reason = "held-out data do not support it: their VAMP-E is not above that of the constant"
    return replace(mode, verdict="unresolved", reason=reason)


def _with_bias(modes: tuple[Mode, ...], found: Estimate) -> tuple[Mode, ...]:
    """Spectral bias of regressions in a kernel's space, beside each eigenvalue."""
    bias = found.solution.bias
    if bias is None or found.solution.eigenvalues is None:
        return modes
    return tuple(replace(m, spectral_bias=float(b)) for m, b in zip(modes, bias, strict=False))


def _sets(found: Estimate, stream: FeatureStream, gap: Gap | None) -> CoherentSets | None:
    """Coherent sets of a model with coherences, where a gap says how many."""
    if gap is None or gap.after is None or found.solution.singular_values is None:
        return None
    pairs = sample_pairs(stream, found.lag, None, found.request.progress)
    step = -(-len(pairs.x) // SET_PAIRS)
    x, y = pairs.x[::step], pairs.y[::step]
    solution, m = found.solution, gap.after
    left = (apply(found.lift, x) - solution.mean_x) @ solution.left[:, :m]
    right = (apply(found.lift, y) - solution.mean_y) @ solution.right[:, :m]
    try:
        return coherent_sets((x, y), (left, right), stream.spec.names, found.request.seed)
    except SupportError:
        return None


def _none_slow(modes: Sequence[Mode], context: Context) -> str:
    """That nothing is slow, and what turns nevertheless."""
    turning = period_words(modes, context.lag)
    hidden = f", but {turning}: an oscillation that decays within the lag or stands in noise"
    return NONE_SLOW + (f"{hidden}; {TURNING}" if turning else "")


def _is_slow(mode: Mode, context: Context) -> bool:
    """Whether anything slow is there at all, resolved or not (the data may be too short)."""
    if mode.verdict == "resolved":
        return True
    if mode.eigenvalue is None or mode.verdict == "invalid":
        return False
    size = abs(mode.eigenvalue) if mode.eigenvalue.imag else mode.eigenvalue.real
    outlives_lag = mode.timescale is not None and mode.timescale.value > context.lag.value
    return (size >= 1 or outlives_lag) and size > (context.floor or 0.0)


def _model(
    found: Estimate,
    stream: FeatureStream,
    values: NDArray[np.complex128] | None,
    warnings: tuple[str, ...],
) -> Model:
    solution = found.solution
    k = keep_pairs(solution.eigenvalues, min(found.dim + EXTRA, solution.count))
    blocks, basis = found.blocks, None
    if solution.left.shape[0] > STORED_DIRECTIONS:
        basis = solution.left[:, :STORED_DIRECTIONS]
        blocks = blocks.projected(solution.mean_x, basis)
    size = 3 * blocks.xx.nbytes
    if size > STORED_BLOCK_BYTES:
        blocks = blocks.merged(blocks.frames * size / STORED_BLOCK_BYTES / blocks.n_blocks)
    constant = tuple(
        name for name, moves in zip(found.lift.names, solution.moving, strict=True) if not moves
    )
    singular = solution.singular_values
    return Model(
        family=found.request.name,
        solve=found.request.solver,
        settings=asdict(found.request.settings),
        lag=make_lag(found.lag, stream.dt),
        dt=stream.dt,
        features=stream.spec,
        lift=found.lift,
        dropped=constant,
        mean=solution.mean_x,
        mean_right=solution.mean_y,
        left=solution.left[:, :k],
        right=solution.right[:, :k],
        eigenvalues=None if values is None else values[:k],
        singular_values=None if singular is None else singular[:k],
        dim=found.dim,
        rank=solution.rank,
        pairs=round(found.blocks.total().n),
        seed=found.request.seed,
        precision=found.precision,
        blocks=blocks,
        basis=basis,
        warnings=warnings,
    )


def project(model: Model, features: NDArray[Any]) -> NDArray[np.float64]:
    """Slow functions of frames: psi(x) = (chi(x) - mean) left, (n, d) -> (n, k).

    A few frames at a time are lifted, so that memory does not follow the width of the lift.
    """
    lift, found = evaluator(model.lift), np.empty((len(features), model.left.shape[1]))
    step = slice_frames(len(model.mean))
    for at in range(0, len(features), step):
        part = features[at : at + step]
        lifted = np.asarray(part if lift is None else lift[1](part), np.float64)
        np.matmul(lifted - model.mean, model.left, out=found[at : at + step])
    return found
