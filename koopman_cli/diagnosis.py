"""Judging one estimate: intervals, certificates, crossings, the gap; one projection pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.certificate import (
    Certificate,
    FlowResiduals,
    certificates,
    flow_residuals,
    ill_conditioned,
    steady,
)
from koopman_cli.analysis.coherences import (
    Seen,
    held_out_coherences,
    held_out_memory,
    judge_coherences,
    not_supported,
)
from koopman_cli.analysis.consistency import (
    Drift,
    doubled_lags,
    drifts,
    first_drift,
    still_rising,
)
from koopman_cli.analysis.crossings import (
    Crossings,
    count_crossings,
    disconnected,
    never_crossed,
    with_starts,
)
from koopman_cli.analysis.floor import PAIRS_PER_FUNCTION
from koopman_cli.analysis.gap import spectral_gap
from koopman_cli.analysis.heldout import HeldOut, Withheld, owners_of_folds, padded
from koopman_cli.analysis.intervals import ModeInterval, mode_intervals
from koopman_cli.analysis.lags import implied_timescales
from koopman_cli.analysis.modes import (
    FEW_CROSSINGS,
    INVARIANT_NOTE,
    degenerate,
    in_own_span,
    symmetric_in_time,
    wide_count,
    with_certificates,
    with_condition,
    with_crossings,
    with_drifts,
    with_interval,
    with_objections,
    with_reservations,
    with_residuals,
)
from koopman_cli.analysis.onestep import beyond_runs, one_step
from koopman_cli.analysis.outliers import watch
from koopman_cli.analysis.overfitting import of_noise, overfitted
from koopman_cli.analysis.realpairs import as_real, not_turning, with_pairs
from koopman_cli.analysis.slowpass import SlowPass
from koopman_cli.analysis.sojourns import regular_jumps
from koopman_cli.analysis.spectrum import Context, describe_modes, walks
from koopman_cli.analysis.states import Question, find_states
from koopman_cli.analysis.steps import split, step_warnings, steps
from koopman_cli.analysis.trends import is_level, once
from koopman_cli.analysis.uncertainty import Influences
from koopman_cli.analysis.windows import within
from koopman_cli.effects import View, effects
from koopman_cli.errors import SupportError
from koopman_cli.estimate import Estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.foldfits import Trained, trained_on_folds
from koopman_cli.lifts import evaluator
from koopman_cli.types import Gap, Mode, States

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Diagnosis:
    """What is known of the modes of one estimate.

    influences : of the blocks on all eigenvalues that were looked at
    values : eigenvalues, or None where the model has coherences only
    passed : the slow functions along the data
    never_crossed : modes (from 0) that no trajectory ever crosses
    wandering : modes (from 0) that are not told from random walks
    unmeasured : modes (from 0) that are slow, but of which no timescale can be given
    once : modes (from 0) that are a trend, a transient or a change of level, and which
    certificates : of reversible modes, where blocks can be held out
    """

    view: View
    influences: Influences
    modes: tuple[Mode, ...]
    values: NDArray[np.complex128] | None
    gap: Gap
    states: States | None
    passed: SlowPass
    never_crossed: tuple[int, ...] = ()
    wandering: tuple[int, ...] = ()
    once: Mapping[int, str] = field(default_factory=dict)
    unmeasured: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] | None = None


def diagnose(found: Estimate, stream: FeatureStream, context: Context) -> Diagnosis:
    """Judge an estimate; reads the data once.

    Parameters
    ----------
    found : Estimate
    stream : FeatureStream
        What it was estimated from.
    context : Context
        Lag, noise floor and length of the data.
    """
    view, flow = _view(found, context), found.request.settings.flow
    trained, passed = trained_on_folds(found, view), _pass(found, stream, view)
    held = _held_out(found, passed, view, trained)
    certified = None if held is None else _certified(found, held, [], view)
    if view.own_span and certified and any(c.invalid for c in certified[: view.dim]):
        # What is symmetric at one lag may still contradict itself at twice the lag.
        view, held, certified = _plain_view(found), None, None
    effect = effects(found, view, stream)
    intervals = mode_intervals(effect)
    if held is not None:
        certified = _certified(found, held, intervals, view)
    values = view.solution.eigenvalues
    values = None if values is None or view.solver == "svd" else values[: view.count]
    times = None if values is None else implied_timescales(values, found.lag)
    crossings = count_crossings(passed.slow, times)
    if not found.request.reweights:
        context = with_starts(context, passed.slow, times)
    alike, asked = _alike(found, view, effect, intervals)
    modes = describe_modes(asked, found.solution.singular_values, context, view.dim)
    modes = tuple(map(partial(with_interval, lag=context.lag), modes, intervals))
    about = (context.floor, stream.window)
    unsupported, noise = _not_supported(found, trained, asked, about, certified or ())
    modes = with_objections(modes, unsupported)
    modes, notes = _examined(modes, found, view, trained)
    if certified is not None:
        modes = with_certificates(modes, certified)
    refuted = any(c.invalid for c in certified or ())
    apart_from = _drifts(found, view, passed)
    modes = with_drifts(modes, apart_from, context.lag)
    fails = first_drift(apart_from)
    barred = list(range(0 if refuted else view.count if fails is None else fails, view.count))
    barred += unsupported
    if view.solver != "svd":
        modes = with_crossings(modes, crossings.counts, noise)
        barred += [int(i) for i in np.flatnonzero(crossings.counts < FEW_CROSSINGS)]
    periodic = {} if flow else regular_jumps(modes, crossings.sojourns, context.lag)
    modes = with_objections(modes, periodic, overrule=True)
    wandering = tuple(i for i, _ in walks(asked, context) if i not in periodic)
    barred += [*wandering, *periodic]
    if values is None:
        modes, wandering = judge_coherences(modes, _seen(found, view, trained, crossings), context)
        barred += [i for i, mode in enumerate(modes) if mode.verdict != "resolved"]
    modes, seen_once, stepping = _once(modes, found, view, context, noise)
    rising = still_rising(certified or (), context.lag) | beyond_runs(modes, context, flow=flow)
    before, modes = modes, with_objections(modes, rising)
    changed = {i for i, mode in enumerate(modes[: view.dim]) if mode is not before[i]}
    modes = with_pairs(modes, values, alike)
    unmeasured = (*changed, *periodic, *(i for i, why in seen_once.items() if is_level(why)))
    gap = spectral_gap(effect, context.floor, [*barred, *seen_once, *rising])
    if values is None:
        gap = replace(gap, reason=gap.reason.replace("of timescales", "of ln s"))
    told: list[str] = []
    states = _states(found, view, gap, passed, context, told)
    apart = never_crossed(modes, crossings)
    warnings = disconnected(stream, crossings, apart) + step_warnings(stepping, modes)
    notes += (*degenerate(modes, intervals), *told)
    return Diagnosis(
        view, effect, modes, values, gap, states, passed, apart, wandering, seen_once, unmeasured,
        notes, warnings, certified,
    )  # fmt: skip


def _alike(
    found: Estimate, view: View, effect: Influences, intervals: Sequence[ModeInterval]
) -> tuple[frozenset[int], NDArray[np.complex128] | None]:
    """Modes (from 0) with complex eigenvalues that may be real, and eigenvalues that are asked what
    real ones are asked where they may be. Flows have periods of their own.
    """
    settings, values = found.request.settings, view.solution.eigenvalues
    if values is None or view.solver == "svd":
        return frozenset(), None
    asked = values[: view.count]
    if view.solver != "eig" or settings.flow or not settings.algebraic:
        return frozenset(), asked
    alike = not_turning(effect, values, intervals)
    return alike, as_real(asked, alike)


def _not_supported(
    found: Estimate,
    trained: Trained | None,
    values: NDArray[np.complex128] | None,
    about: tuple[float | None, int],
    certified: Sequence[Certificate],
) -> tuple[dict[int, str], frozenset[int]]:
    """Modes (from 0) that held-out blocks, or windows of delays, do not know, and those of noise;
    flows are asked as a whole. ``about``: the noise floor, and the frames of the window.
    """
    floor, window = about
    if values is None or found.request.settings.flow:
        return {}, frozenset()
    held = None
    if trained is not None:
        held = held_out_memory(found.merged, trained.held, trained.solutions, values)
    functions, pairs = found.solution.freedom, found.blocks.total().n
    few = pairs < PAIRS_PER_FUNCTION * functions
    unknown = overfitted(certified, values, not_supported(held, values, floor, few=few))
    unknown |= within(values, window, found.lag) if found.request.solver == "eig" else {}
    return unknown, of_noise(held, values, functions / pairs, few=few)


def _seen(found: Estimate, view: View, trained: Trained | None, crossings: Crossings) -> Seen:
    held = None
    if trained is not None:
        held = held_out_coherences(found.merged, trained.held, trained.solutions, view.dim)
    return Seen(crossings.counts, held)


def _once(
    modes: tuple[Mode, ...], found: Estimate, view: View, context: Context, noise: frozenset[int]
) -> tuple[tuple[Mode, ...], Mapping[int, str], Mapping[int, str]]:
    """Modes judged by what the data hold once (a trend, a transient, a step); which they are and
    what; others that a step makes too slow, and by how much.
    """
    values = view.solution.eigenvalues
    if view.solver == "svd" or values is None:
        assert view.solution.singular_values is not None
        values = view.solution.singular_values.astype(np.complex128)
    functions = view.solution.left[:, : view.count]
    course = found.merged.projected(view.solution.mean_x, functions)
    values = values[: view.count]
    in_time = found.request.settings.refines
    told = {i: why for i, why in once(course, values, in_time=in_time).items() if i not in noise}
    modes = with_objections(modes, told, overrule=True)
    if view.solver == "svd" or found.request.settings.flow or found.request.reweights:
        return modes, told, {}
    against, about = split(steps(course, values), values, context.lag)
    modes = with_reservations(with_objections(modes, against), about)
    return modes, against | told, about


def _certified(
    found: Estimate, held: HeldOut, intervals: Sequence[ModeInterval], view: View
) -> tuple[Certificate, ...] | None:
    assert view.solution.eigenvalues is not None
    values = view.solution.eigenvalues[: view.count].real
    groups = list(dict.fromkeys(interval.group for interval in intervals))
    told = certificates(held, groups, values)
    if told and any(c.invalid for c in told):
        symmetric = symmetric_in_time(found.merged, found.solution, found.dim)
        return certificates(held, groups, values, symmetric=symmetric)
    return told


def _plain_view(found: Estimate) -> View:
    count = wide_count(found.solution, found.dim)
    return View(found.solution, found.request.solver, count, min(found.dim, count))


def _view(found: Estimate, context: Context) -> View:
    view = _plain_view(found)
    asked = view.solver == "svd" and not one_step(context.longest, found.lag)
    if not asked or not symmetric_in_time(found.merged, found.solution, found.dim):
        return view
    again = in_own_span(found.merged.total(), found.solution, view.count)
    count = min(view.count, again.count)
    return View(again, "reversible", count, min(found.dim, count), own_span=True)


def _states(
    found: Estimate,
    view: View,
    gap: Gap,
    passed: SlowPass,
    context: Context,
    notes: list[str],
) -> States | None:
    """States of the slow modes before a gap; None without one, or for coherences."""
    values = view.solution.eigenvalues
    if gap.after is None or values is None or view.solver == "svd":
        return None
    if np.any(values[: gap.after].imag != 0):
        return None
    if found.request.reweights:
        notes.append("no states: their populations are not estimated from weighted frames")
        return None
    asked = Question(
        context.lag,
        len(found.lift.names),
        found.merged,
        reversible=view.solver == "reversible",
        chosen_by="gap",
        slowest=found.slowest,
        reliable=not any("unreliable" in warning for warning in found.warnings),
        seed=found.request.seed,
    )
    try:
        return find_states(passed.first(gap.after), asked, found.request.progress)
    except SupportError as error:
        notes.append(f"no states: {error}")
        return None


# ------------------------------------------------ the projection pass and certificates


def _pass(found: Estimate, stream: FeatureStream, view: View) -> SlowPass:
    functions = view.solution.left[:, : view.count]
    lift, mean = evaluator(found.lift), view.solution.mean_x
    single = found.precision == "float32"
    passed = SlowPass.of(stream, lift, mean, functions, single=single)
    if found.request.reweights:
        return passed
    asked = (mean, functions[:, : view.dim])
    return replace(
        passed, watch=watch(stream, found.blocks, asked, (found.lift.names, lift and lift[1]))
    )


def _asks_multiples(found: Estimate, view: View) -> bool:
    """Whether the modes are looked at at multiples of the lag.

    Flows are forecast instead, and frames with weights have no moments but at the lag.
    """
    weighted = found.request.reweights
    return view.solver == "eig" and not found.request.settings.flow and not weighted


def _drifts(found: Estimate, view: View, passed: SlowPass) -> tuple[Drift | None, ...]:
    """Which modes of an eig model do not decay as their eigenvalues say."""
    if not _asks_multiples(found, view):
        return ()
    longest = max(int(b - a) for part in passed.stream.segments for a, b in part)
    inside = found.merged.is_block
    block = float(np.median((found.merged.stop - found.merged.start)[inside]))
    lags = doubled_lags(found.lag, found.slowest, longest, block)
    itself = (view.count, lambda psi: psi)
    moments = passed.slow_moments(lags, len(found.lift.names), itself, found.request.progress)
    return drifts(moments.merged_like(found.merged), view.solution, view.count)


def _held_out(
    found: Estimate, passed: SlowPass, view: View, trained: Trained | None
) -> HeldOut | None:
    """Quadratic forms of the functions of every fold on the blocks it holds out."""
    stream = passed.stream
    longest = max(int(b - a) for part in stream.segments for a, b in part)
    if trained is None or view.solver != "reversible" or longest <= 2 * found.lag:
        return None
    functions = tuple(padded(s.left[:, : view.count], view.count) for s in trained.solutions)
    owner, lags = owners_of_folds(found.merged, stream, trained.held), (found.lag, 2 * found.lag)
    weights = None if found.weighting is None else found.weighting.weights
    return passed.held_out(Withheld(functions, owner, lags, weights), found.request.progress)


def _residuals(found: Estimate, view: View, trained: Trained) -> FlowResiduals:
    """Held-out ResDMD residuals of an eig model, mean square over folds."""
    assert view.solution.eigenvalues is not None
    wanted = view.solution.eigenvalues[: view.count]
    rows, invariant = [], []
    for members, solution in zip(trained.held, trained.solutions, strict=True):
        assert solution.eigenvalues is not None
        fresh = found.merged.sum_blocks(members)
        own = flow_residuals(fresh, solution, len(solution.eigenvalues))
        nearest = np.argmin(np.abs(wanted[:, None] - solution.eigenvalues[None, :]), axis=1)
        rows.append(own.values[nearest] ** 2)
        invariant.append(own.invariant)
    return FlowResiduals(np.sqrt(np.mean(rows, axis=0)), bool(np.mean(invariant) > 0.5))


def _examined(
    modes: tuple[Mode, ...], found: Estimate, view: View, trained: Trained | None
) -> tuple[tuple[Mode, ...], tuple[str, ...]]:
    """Modes of an eig model with residual and conditioning, and what is to be told."""
    if view.solver != "eig" or trained is None:
        return modes, ()
    residuals = _residuals(found, view, trained)
    modes = with_residuals(modes, residuals)
    center = found.request.settings.center
    ill = ill_conditioned(found.merged, view.solution, view.count, center=center)
    modes = tuple(with_condition(m, ill=bool(i)) for m, i in zip(modes, ill, strict=False))
    same = residuals.invariant and steady(found.merged, view.solution, view.dim)
    return modes, (INVARIANT_NOTE,) if same else ()
