"""Fitting one model: lift, moments, solution, held-out scores, in that order.

Works on a :class:`FeatureStream`; knows neither files nor a command line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.intervals import mode_intervals
from koopman_cli.analysis.lags import implied_timescales
from koopman_cli.analysis.spectrum import time_symmetric
from koopman_cli.analysis.trends import drift_warning
from koopman_cli.analysis.uncertainty import influences
from koopman_cli.blocks import plan_blocks
from koopman_cli.bound import Bound, Reweighting, lifted_moments
from koopman_cli.errors import DataError, SupportError, UsageError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.hints import rank_command
from koopman_cli.linalg import keep_pairs
from koopman_cli.models.exact import carried_over, reproduced
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.nouns import counted, lag_text
from koopman_cli.request import Request
from koopman_cli.types import DimChoice, Lift, Score
from koopman_cli.units import make_lag
from koopman_cli.validation import (
    MAX_DIM,
    Fold,
    assign_folds,
    choose_dim,
    fewer_folds,
    make_folds,
    poor_folds,
    score_dims,
)

Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Gap between training and held-out score, in r^2 / n, that over-fitting does not explain.
CHANCE = 50.0

#: Fewest blocks that merging leaves for folds and error bars.
MIN_BLOCKS = 20

#: Folds of a flow that is checked although none were asked for.
CHECKED = 5


@dataclass(frozen=True)
class Estimate:
    """A solved model with everything its analysis needs.

    blocks : fine block moments at the lag; merged : the same, at least three slowest
    timescales long where the data allow it
    passes : how often the data were read
    rivals : scores of other families on the same lift and folds
    """

    request: Request
    lift: Lift
    lag: int
    blocks: BlockMoments
    merged: BlockMoments
    precision: str
    solution: Solution
    dim: int
    score: Score | None
    dims: DimChoice | None
    passes: int
    weighting: Reweighting | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = field(default=())
    rivals: tuple[tuple[str, Score], ...] = ()

    @property
    def slowest(self) -> float:
        """Slowest timescale in frames, at least the lag."""
        return slowest_timescale(self.solution, self.lag)


def slowest_timescale(solution: Solution, lag: int) -> float:
    """Slowest timescale in frames, at least the lag; that of the first coherence for svd."""
    values = solution.eigenvalues
    if values is None:
        assert solution.singular_values is not None
        values = solution.singular_values.astype(np.complex128)
    times = implied_timescales(values[:1], lag)
    return float(np.nanmax(np.append(times, lag)))


def check_lag(lag: int, stream: FeatureStream) -> None:
    """Raise unless the lag is at least 1 and shorter than the longest trajectory.

    Raises
    ------
    UsageError, DataError
    """
    longest = max((b - a for part in stream.segments for a, b in part), default=0)
    if lag < 1:
        raise UsageError(f"lag {lag}: a lag is at least one frame", "for example --lag 10")
    if lag >= longest:
        raise DataError(
            f"lag {lag_text(make_lag(lag, stream.dt))}: the longest trajectory has "
            f"{counted(longest, 'frame')}",
            f"the largest usable lag is {lag_text(make_lag(max(int(longest) - 1, 0), stream.dt))}",
        )


def merge_blocks(
    blocks: BlockMoments, slowest: float, lag: int, longest: float = np.inf
) -> tuple[BlockMoments, str | None]:
    """Blocks of at least three slowest timescales and three lags; a warning where too few fit.

    Runs are independent, however slow what happens in them: none is longer than ``longest``.
    """
    need = 3 * max(min(slowest, longest), lag)
    merged = blocks.merged(min(need, blocks.frames / MIN_BLOCKS))
    independent = blocks.frames / need
    if independent < MIN_BLOCKS:
        spans = blocks.frames / max(slowest, 1e-300)
        many = f"{spans:.0f}" if spans >= 10 else f"{spans:.2g}"
        return merged, (
            f"error bars are unreliable: the data hold only {many} times the slowest "
            "timescale, which is too few independent blocks (20 of three timescales are needed)"
        )
    return merged, None


def estimate(
    stream: FeatureStream,
    request: Request,
    lag: int,
    *,
    dim: int | None = None,
    folds: int = 5,
    test: FeatureStream | None = None,
) -> Estimate:
    """Fit one family at one lag.

    Parameters
    ----------
    stream : FeatureStream
    request : Request
    lag : int
        Frames.
    dim : int, optional
        Number of non-constant functions; None chooses by the held-out VAMP-E.
    folds : int
        Folds of blocks for the held-out scores; below 2 none are computed.
    test : FeatureStream, optional
        A separate test set instead of folds.

    Raises
    ------
    UsageError, DataError, SupportError
        Lag out of range, or data that support no model.
    """
    check_lag(lag, stream)
    found, bound, total = _fitted(stream, request, lag)
    return _scored(found, bound, total, dim, folds, test)


def _fitted(stream: FeatureStream, request: Request, lag: int) -> tuple[Estimate, Bound, Moments]:
    """The model of all data, not scored yet; what can be held out of it; its total moments."""
    lift = request.lift(stream, None, lag)
    # The cuts of this lift are those of all folds, whose lifts may be narrower.
    plan = plan_blocks(
        stream.segments, [lag], len(lift.names), window=stream.window, origins=stream.origins
    )
    blocks, precision, weighting, passes = lifted_moments(stream, request, lift, lag, plan)
    total = blocks.total()
    solution = request.solve(total, precision, blocks.eps)
    solution = request.refined(stream, lift, lag, solution)
    notes, warnings = list(request.settings.notes(lift)), list(stream.too_short(lag))
    if solution.freedom * 2 > total.n:
        many = counted(round(solution.freedom), "function")
        warnings.append(f"{counted(total.n, 'pair', 'g')} for {many}: expect over-fitting")
    longest = max(int(b - a) for part in stream.segments for a, b in part)
    slowest = slowest_timescale(solution, lag)
    merged, unreliable = merge_blocks(blocks, slowest, lag, longest)
    # A sustained oscillation never decays: its blocks cannot be independent, nor need be.
    sustained = slowest > max(stream.lengths)
    if unreliable is not None and not (request.settings.flow and sustained):
        warnings.append(unreliable)
    if weighting is not None:
        notes.append(
            f"Koopman reweighting: {weighting.effective:.0f} effective of "
            f"{counted(total.n, 'pair', '.0f')}"
        )
        if weighting.negative > 0:
            warnings.append(
                f"Koopman reweighting gives {weighting.negative:.1%} of the frames a negative "
                "weight: the weights are a rough estimate (take fewer features or more data)"
            )
    found = Estimate(
        request, lift, lag, blocks, merged, precision, solution, solution.count, None, None,
        passes, weighting, tuple(notes), tuple(warnings),
    )  # fmt: skip
    fixed = solution if request.settings.refines else None
    return found, Bound(stream, request, lag, precision, merged, plan, fixed), total


def _scored(
    found: Estimate,
    bound: Bound,
    total: Moments,
    dim: int | None,
    folds: int,
    test: FeatureStream | None,
) -> Estimate:
    """The estimate with its dim, its scores, and what they tell."""
    solution, merged, flow = found.solution, found.merged, found.request.settings.flow
    parts, more = bound.folds(found.lift, folds, test)

    def solve(moments: Moments) -> Solution:
        """Solve once what is solved already: wide problems take seconds."""
        return solution if moments is total else bound.solve(moments)

    choice, warnings, scores = None, list(found.warnings), None
    if not flow and (dim is None or dim <= MAX_DIM):
        # Also for a dim that is given: beside the others it has the digits of one that is chosen.
        dims = range(min(MAX_DIM, solution.count) + 1)
        scores = score_dims(total, solve, parts, dims, merged.n_blocks)
    if dim is None and scores is None:
        # A flow is the sum of all its modes; fewer would not reconstruct it.
        dim = solution.count
    elif dim is None:
        assert scores is not None
        choice = _with_partner(_chosen(scores, asked=folds >= 2 or test is not None), found)
        dim = max(choice.chosen, 1)
    elif dim > solution.count:
        which = "the rank of the data"
        if solution.count < solution.rank:
            which = f"the leading functions, which alone are computed of {solution.rank}"
        warnings.append(f"dim {dim} reduced to {solution.count}, {which}")
    used = min(keep_pairs(solution.eigenvalues, min(dim, solution.count)), solution.count)
    score = next((s for s in scores or () if s.dim == used), None)
    score = score or score_dims(total, solve, parts, [used], merged.n_blocks)[0]
    notes, said = _about_folds(found, score, folds if test is None else None)
    said += _overfitted(found, score) if flow else ()
    return replace(
        found,
        dim=used,
        score=score,
        dims=choice,
        passes=found.passes + more,
        notes=(*found.notes, *notes),
        warnings=(*warnings, *score.warnings, *said),
        rivals=_rivals(bound, parts, used) if flow else (),
    )


def unsupported_flow(found: Estimate) -> bool:
    """Whether held-out data score a flow below the constant: surely, or over-fitted.

    Where no folds were asked for, those of :func:`score_of_blocks` tell.
    """
    score = found.score
    if score is not None and score.vampe.test is None:
        score = score_of_blocks(found)
    if score is None or score.vampe.test is None or score.vampe.test >= 1:
        return False
    if _carried_over(found):
        return False
    return score.vampe.below(1.0) or bool(_overfitted(found, score))


def _carried_over(found: Estimate) -> bool:
    """Whether the regression on every training part of the blocks also predicts the rest."""
    blocks, center = found.merged, found.request.settings.center
    if blocks.n_blocks < 2:
        return False
    for held in assign_folds(blocks, CHECKED):
        rest = sorted(set(range(blocks.n_blocks)) - set(held))
        if not carried_over(blocks.sum_joined(rest), blocks.sum_joined(held), center=center):
            return False
    return True


def score_of_blocks(found: Estimate) -> Score | None:
    """The score of the regression on blocks held out of it; None where there are too few.

    From moments that are there already, so the lift has seen all frames: enough to refute a
    model that fits noise, not enough to be reported.
    """
    blocks = found.merged
    if blocks.n_blocks < 2:
        return None

    def solve(moments: Moments) -> Solution:
        return found.request.solve(moments, found.precision, blocks.eps)

    parts = make_folds(blocks, solve, CHECKED)
    return score_dims(found.blocks.total(), solve, parts, [found.dim], blocks.n_blocks)[0]


def _overfitted(found: Estimate, score: Score) -> tuple[str, ...]:
    """A warning where held-out data surely keep less than half of what a
    flow's modes score on training data.
    """
    told, rank = score.vampe, found.request.settings.pod_rank
    if told.test is None or not told.below((1 + told.train) / 2):
        return ()
    if reproduced(found.blocks.total(), center=found.request.settings.center):
        return ()
    if _carried_over(found):
        said = (
            f"VAMP-E is {told.test:.3g} on held-out data because the flow decays or grows along "
            "the data and its parts differ in size, which that score does not allow for: a linear "
            "map fitted without them predicts held-out snapshots as well as its own"
        )
        return (said,)
    scores = (
        f"VAMP-E is {told.train:.3g} on the training data and {told.test:.3g} on held-out data (1: "
        "the constant alone)"
    )
    pairs = found.blocks.total().n
    # Noise in r functions of n pairs adds about r^2 / n to the training score.
    if told.train - told.test > CHANCE * rank**2 / pairs:
        chance = f"{counted(rank, 'function')}, {counted(pairs, 'pair', 'g')}"
        said = (
            f"{scores}, more than over-fitting explains ({chance}): the data change along the way, "
            "and one linear model does not describe them"
        )
        return (said,)
    compare = rank_command(found.request.name, rank, found.lag)
    return (f"rank {rank} over-fits: {scores}; compare ranks with {compare}",)


def _with_partner(choice: DimChoice, found: Estimate) -> DimChoice:
    """The choice with both functions of a rotation, where it would have taken one of them.

    The two singular values of a rotation are equal and its functions any two of its plane;
    noise tells them apart. Like a complex pair they are taken together or not at all.
    """
    solution, d = found.solution, choice.chosen
    if not 0 < d < len(choice.scores) - 1 or solution.singular_values is None:
        return choice
    here, there = choice.scores[d].vampe.test, choice.scores[d + 1].vampe.test
    if here is None or there is None or there <= here:
        return choice
    plane = found.merged.projected(solution.mean_x, solution.left[:, d - 1 : d + 1])
    group = mode_intervals(influences(found.merged, solution, "svd", d + 1))[d - 1].group
    if d in group:
        why = f"singular values {d} and {d + 1} are equal within their errors"
    elif not time_symmetric(plane):
        why = f"functions {d} and {d + 1} rotate into each other"
    else:
        return choice
    return replace(choice, chosen=d + 1, reason=f"{choice.reason}, and a pair is not split: {why}")


def _about_folds(
    found: Estimate, score: Score, folds: int | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes and warnings about held-out scores; ``folds`` is None for a separate test set."""
    notes: list[str] = []
    warnings: list[str] = []
    blocks = found.merged.n_blocks
    if folds is not None:
        warnings += fewer_folds(folds, blocks)
        if folds >= 2 and blocks >= 2:
            notes.append(f"{counted(score.folds, 'fold')} of {counted(blocks, 'block')}")
            held = assign_folds(found.merged, folds)
            warnings += drift_warning(found.merged, found.lift, held)
    warnings += poor_folds(score, flow=found.request.settings.flow)
    return tuple(notes), tuple(warnings)


def _rivals(bound: Bound, parts: list[Fold], dim: int) -> tuple[tuple[str, Score], ...]:
    """VAMP on the lift of a flow: what the best functions of the same coordinates score."""
    vamp = Request.of("vamp")

    def solve(moments: Moments) -> Solution:
        return vamp.solve(moments, bound.precision, bound.merged.eps)

    folds = [replace(part, solve=solve) for part in parts]
    try:
        score = score_dims(bound.merged.total(), solve, folds, [dim], bound.merged.n_blocks)[0]
    except SupportError:
        return ()
    return (("vamp on the same POD coordinates", score),)


def _chosen(scores: tuple[Score, ...], *, asked: bool) -> DimChoice:
    if len(scores[0].vampe.folds) < 2:
        lack = "too few independent blocks" if asked else "no folds"
        return DimChoice(scores, 1, f"{lack} to choose dim by held-out scores: 1 taken")
    return choose_dim(scores)
