"""Implied timescales against lag with block-bootstrap bands, from few readings of the data.

Every lag is solved from its own moments, and the spread of its eigenvalues over blocks gives
the band. Where they stay constant within their bands the lag no longer matters.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate_turns
from koopman_cli.analysis.constancy import LagEstimate, first_constant
from koopman_cli.analysis.heldonce import HeldOnce
from koopman_cli.analysis.intervals import mode_intervals
from koopman_cli.analysis.lags import implied_timescales
from koopman_cli.analysis.modes import in_own_span, symmetric_in_time
from koopman_cli.analysis.onestep import NOT_SEEN, one_step
from koopman_cli.analysis.uncertainty import influences
from koopman_cli.autolag import LagChoice
from koopman_cli.blocks import BlockPlan, plan_blocks, pooled
from koopman_cli.bound import reweighted
from koopman_cli.errors import SupportError
from koopman_cli.estimate import merge_blocks, slowest_timescale
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import evaluator
from koopman_cli.linalg import keep_pairs
from koopman_cli.models.solve import Solution, Solver
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import counted
from koopman_cli.request import Request
from koopman_cli.scanned import AsymmetricError, Failures, Lasting, OneWay
from koopman_cli.types import Lag, LagScan, Lift
from koopman_cli.units import make_lag
from koopman_cli.workers import threads_for

#: Blocks of a scan; a few more than an interval needs.
SCAN_BLOCKS = 25

#: Fine blocks are kept apart, and merged for slow modes, while all moments stay below this.
FINE_BYTES = 32 * 2**20

#: Modes of a flow that are looked at beyond those shown, since some do not decay.
AHEAD = 20

#: Bytes that the moments of one reading may take; more lags are read in turns.
SCAN_BYTES = 192 * 2**20


@dataclass(frozen=True)
class LagBands:
    """Implied timescales against lag.

    lags : in increasing order
    times, low, high : (lags, modes) in frames, with 95% intervals; NaN where undefined
    eigenvalues : (lags, modes)
    reliable : per lag, whether the blocks are long and many enough for the interval
    together : per lag, modes (from 0) that cannot be told apart and share one interval
    converged : index of the first lag from which the leading timescales are constant within
        their intervals, or None
    notes : modes of flows that have no timescale, and at which lags
    auto : the lag that ``koopman fit --lag auto`` takes, None where the scan does not hold its
        lags or the family chooses otherwise
    """

    model: str
    features: str
    lags: tuple[Lag, ...]
    times: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    eigenvalues: NDArray[np.complex128]
    reliable: tuple[bool, ...]
    together: tuple[tuple[tuple[int, ...], ...], ...]
    converged: int | None
    reason: str
    readings: int
    warnings: tuple[str, ...] = ()
    auto: LagScan | None = None
    notes: tuple[str, ...] = ()


def scan_timescales(
    stream: FeatureStream, request: Request, lags: Sequence[int], count: int = 3
) -> LagBands:
    """Implied timescales of the ``count`` leading modes at many lags, with bands.

    Parameters
    ----------
    stream : FeatureStream
    request : Request
        Family and settings. An svd family is solved reversibly in the span of its own
        functions, at lags where the data are symmetric in time.
    lags : sequence of int
        In frames.
    count : int
        Modes followed.

    Raises
    ------
    DataError, SupportError
        If the data are too short for a lag, or support no model at any.

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> x = lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal(20_000))
    >>> bands = scan_timescales(FeatureStream.from_arrays(x), Request.of("tica"), [1, 2, 4, 8], 1)
    >>> bands.converged, bool(bands.low[0, 0] < -1 / np.log(0.9) < bands.high[0, 0])
    (0, True)
    """
    ordered = sorted(set(lags))
    rows, estimates, together, failed = [], [], [], Failures()
    readings, watching = 0, _Watching.of(stream, request)
    for turn in _moments(stream, request, ordered):
        readings += turn.readings
        watching.choice = watching.choice or LagChoice(
            stream, request, turn.blocks.xx.shape[-1] - 1
        )
        try:
            with threads_for(turn.blocks.xx.shape[-1]):
                row, found, groups = _at_lag(request, turn, count, watching)
        except SupportError as error:
            row, found, groups = _nothing(turn.blocks, count)
            failed.add(turn.lag, error)
        watching.once.follow(turn.blocks, turn.lift)
        rows.append(row)
        estimates.append(found)
        together.append(groups)
    eigenvalues, times, low, high = np.array(rows).transpose(1, 0, 2)
    reliable = [found.reliable for found in estimates]
    solved = np.isfinite(eigenvalues).any(axis=1)
    failed.check(solved, np.array(reliable), windowed=stream.window > 0)
    bands = times.real, low.real, high.real
    converged, reason = first_constant(estimates)
    if watching.lasting is not None and not np.isfinite(times.real).any():
        reason = "not known: of the leading modes of this flow none decays at any lag"
    warnings = [
        *failed.warnings(),
        *watching.once.said,
        *watching.once.turning.said(),
        *watching.one_way.said(),
        *_of_bands(request, ordered, reliable),
    ]
    return LagBands(
        request.name,
        stream.spec.text,
        tuple(make_lag(lag, stream.dt) for lag in ordered),
        *bands,
        eigenvalues,
        tuple(reliable),
        tuple(together),
        converged,
        reason,
        readings,
        tuple(warnings),
        watching.taken() if _chooses(stream, request) else None,
        tuple(watching.lasting.said() if watching.lasting else ()),
    )


def _of_bands(request: Request, lags: Sequence[int], reliable: Sequence[bool]) -> list[str]:
    """What bands are not: those of the family itself, or sure."""
    told = []
    if request.settings.refines:
        told.append(
            f"the scan solves the moments of each lag: {request.name} itself, refined on all "
            "frames by `koopman fit`, may have other timescales"
        )
    shaky = [lag for lag, fine in zip(lags, reliable, strict=True) if not fine]
    if shaky:
        start = f"{shaky[0]} to " if len(shaky) > 1 else ""
        span = start + counted(shaky[-1], "frame")
        told.append(
            f"bands at lag {span} are unreliable: fewer than 20 blocks of three slowest timescales"
        )
    return told


def _chooses(stream: FeatureStream, request: Request) -> bool:
    """Whether a fit of this family takes its lag from timescales as they are scanned here."""
    same = request.for_lags().settings == request.settings
    return same and not request.reweights and stream.field is None


@dataclass(frozen=True)
class _Turn:
    """One lag of a scan.

    readings : of the data that began with it
    refused : why frames cannot be weighted at this lag; the moments are then those without
    """

    lag: int
    blocks: BlockMoments
    precision: str
    readings: int
    lift: Lift
    refused: SupportError | None = None


def _moments(stream: FeatureStream, request: Request, lags: list[int]) -> Iterator[_Turn]:
    """Moments lag by lag, all of the same blocks."""
    if not (request.settings.learns_lag(stream) or request.reweights):
        lift = request.lift(stream)
        shared = _plan(stream, lags, _width(lift, stream), len(lags))
        yield from _turns(stream, request, lift, shared.at(lags))
        return
    plan: BlockPlan | None = None
    for lag in lags:
        resolved = request.completed(stream, lag)[0]
        lift = resolved.lift(stream, lag=lag)
        # Widths differ little between lags; the blocks must not differ at all.
        plan = plan or _plan(stream, lags, _width(lift, stream), 1)
        if resolved.reweights:
            yield _weighted(stream, resolved, lift, plan.at([lag]))
        else:
            yield from _turns(stream, resolved, lift, plan.at([lag]))


def _weighted(stream: FeatureStream, request: Request, lift: Lift, plan: BlockPlan) -> _Turn:
    """Moments of weighted frames at the one lag of a plan."""
    (lag,) = plan.lags
    plain = request.moments(stream, [lag], lift, plan=plan)
    try:
        blocks, _ = reweighted(stream, request, lift, plain, plan)
    except SupportError as error:
        return _Turn(lag, *plain, 1, lift, error)
    return _Turn(lag, blocks, "float64", 2, lift)


def _width(lift: Lift, stream: FeatureStream) -> int:
    function = evaluator(lift)
    return function[0] if function else stream.n_features


def _plan(stream: FeatureStream, lags: list[int], width: int, together: int) -> BlockPlan:
    """Blocks that serve all lags, of which ``together`` are read at once."""

    def cut(count: int) -> BlockPlan:
        return plan_blocks(
            stream.segments,
            sorted({lags[0], lags[-1]}),
            1,
            n_blocks=count,
            window=stream.window,
            origins=stream.origins,
        )

    plan = cut(SCAN_BLOCKS * 2)
    if 3 * 8 * (width + 1) ** 2 * len(plan.is_block) * together > FINE_BYTES:
        return pooled(cut(SCAN_BLOCKS))
    return plan


def _turns(stream: FeatureStream, request: Request, lift: Lift, plan: BlockPlan) -> Iterator[_Turn]:
    turns = accumulate_turns(
        stream,
        plan,
        limit=SCAN_BYTES,
        **request.how(lift, stream),
    )
    for blocks, precision in turns:
        for lag in blocks.lags:
            yield _Turn(lag, blocks.at_lag(lag), precision, int(lag == blocks.lags[0]), lift)


#: (eigenvalue, time, low, high) x modes, what each block contributes, modes not told apart.
_AtLag = tuple[NDArray[np.complex128], LagEstimate, tuple[tuple[int, ...], ...]]


def _nothing(blocks: BlockMoments, count: int) -> _AtLag:
    """What a lag without a model has to tell."""
    row = np.full((4, count), np.nan, np.complex128)
    nothing = np.full((blocks.n_blocks, count), np.nan)
    found = LagEstimate(blocks.lags[0], nothing[0], nothing, 1.0, blocks.frames, reliable=True)
    return row, found, ()


@dataclass
class _Watching:
    """What is followed along the lags.

    one_way : for reversible models of single frames: windows are none in any case
    lasting : of a flow
    """

    once: HeldOnce
    one_way: OneWay
    lasting: Lasting | None
    reversible: bool
    longest: int
    choice: LagChoice | None = None

    @classmethod
    def of(cls, stream: FeatureStream, request: Request) -> _Watching:
        """For the lags of one scan."""
        longest = max(int(b - a) for part in stream.segments for a, b in part)
        return cls(
            HeldOnce(in_time=request.settings.refines),
            OneWay(),
            Lasting(longest) if request.settings.flow else None,
            request.solver == "reversible" and not stream.window,
            longest,
        )

    def taken(self) -> LagScan | None:
        """The lag of ``--lag auto``."""
        return self.choice.scan() if self.choice else None


def _at_lag(request: Request, turn: _Turn, count: int, watching: _Watching) -> _AtLag:
    """Timescales of one lag with their bands."""
    if turn.refused is not None:
        raise turn.refused
    lag, blocks = turn.lag, turn.blocks
    total = blocks.total()
    solution = request.solve(total, turn.precision, blocks.eps)
    assert watching.choice is not None
    watching.choice.see(lag, total, (turn.precision, blocks.eps), solution)
    merged, unreliable = merge_blocks(blocks, _slowest(solution, lag, watching.lasting), lag)
    row, nothing, _ = _nothing(blocks, count)
    shown = _spectral(solution, merged, count, watching.longest)
    assert shown.eigenvalues is not None
    solver: Solver = "reversible" if request.solver == "svd" else request.solver
    times = implied_timescales(shown.eigenvalues, lag)
    order = _slowest_first(times, count)
    ahead = 0 if watching.lasting is None else AHEAD
    k = min(keep_pairs(shown.eigenvalues, int(order.max()) + 1 + ahead), shown.count)
    center = request.settings.center
    found = influences(merged, shown, solver, k, center=center)
    intervals = mode_intervals(found)
    if watching.lasting is not None:
        times = times[:k]
        times[watching.lasting.without(shown.eigenvalues[:k], lag, intervals)] = np.nan
        order = _slowest_first(times, count)
        known = np.isfinite(times)
        slowest = float(times[known].max(initial=lag))
        unreliable = merge_blocks(blocks, slowest, lag)[1] if known.any() else None
    if watching.reversible:
        watching.one_way.see(merged, solution, count)
    nothing = replace(nothing, reliable=unreliable is None)
    for j, i in enumerate(order):
        row[0, j], row[1, j] = shown.eigenvalues[i], times[i]
        interval = intervals[i].timescale
        if interval is not None and np.isfinite(times[i]):
            row[2, j], row[3, j] = (lag * end for end in interval)
    watching.once.see(merged, shown, turn.lift, [int(i) for i in order])
    # Differences between lags are taken on blocks that all lags have in common.
    fine = found if merged is blocks else influences(blocks, shown, solver, k, center=center)
    moves = nothing.influence.copy()
    moves[:, : len(order)] = fine.log_time[:, order]
    share = float(fine.stack.pairs.sum() / fine.stack.n)
    place = {int(i): j for j, i in enumerate(order)}
    told = [i for i in place if ahead == 0 or np.isfinite(times[i])]
    groups = {tuple(sorted(place[j] for j in intervals[i].group if j in place)) for i in told}
    return (
        row,
        replace(
            nothing, times=row[1].real, influence=moves, share=share, rank=round(shown.freedom)
        ),
        tuple(sorted(group for group in groups if len(group) > 1)),
    )


def _slowest_first(times: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Places of the slowest; what has no timescale comes last."""
    return np.argsort(-np.nan_to_num(times, nan=-1.0), kind="stable")[:count]


def _slowest(solution: Solution, lag: int, lasting: Lasting | None) -> float:
    """The slowest of all timescales; what does not decay along the data, as in a flow, has none."""
    if lasting is not None and solution.eigenvalues is not None:
        return lasting.slowest(solution.eigenvalues, lag)
    times = [slowest_timescale(solution, lag)]
    if solution.eigenvalues is not None:
        times.extend(implied_timescales(solution.eigenvalues, lag))
    return float(np.nanmax(times))


def _spectral(solution: Solution, blocks: BlockMoments, count: int, longest: int) -> Solution:
    """A solution with eigenvalues, which coherences of data that are not reversible have not."""
    if solution.eigenvalues is not None:
        return solution
    if one_step(longest, blocks.lags[0]):
        raise SupportError(f"{NOT_SEEN}: singular values are coherences", "take shorter lags")
    if not symmetric_in_time(blocks, solution, count):
        raise AsymmetricError
    return in_own_span(blocks.total(), solution, min(count + 5, solution.count))
