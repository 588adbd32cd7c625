"""A request bound to its data: the moments of its lift, and its folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate
from koopman_cli.blocks import BlockPlan
from koopman_cli.errors import SupportError
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import evaluator
from koopman_cli.linalg import whiten
from koopman_cli.models.base import LIFT_FRAMES
from koopman_cli.models.solve import Solution, moving_functions
from koopman_cli.models.weights import koopman_weights
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.nouns import counted
from koopman_cli.request import Request
from koopman_cli.types import Lift
from koopman_cli.validation import Fold, assign_folds, fold_of, make_folds


@dataclass(frozen=True)
class Reweighting:
    """Effective number of pairs, the share of frames whose weight came out negative, and the
    weight of the pair that starts at each frame of a chunk of features.
    """

    effective: float
    negative: float
    weights: Callable[[NDArray[Any]], NDArray[Any]]


def lifted_moments(
    stream: FeatureStream, request: Request, lift: Lift, lag: int, plan: BlockPlan | None = None
) -> tuple[BlockMoments, str, Reweighting | None, int]:
    """Block moments, precision, what weighting did if asked for, passes."""
    blocks, precision = request.moments(stream, [lag], lift, plan=plan)
    if not request.reweights:
        return blocks, precision, None, 1
    weighted, weighting = reweighted(stream, request, lift, (blocks, precision), plan)
    return weighted, "float64", weighting, 2


def reweighted(
    stream: FeatureStream,
    request: Request,
    lift: Lift,
    plain: tuple[BlockMoments, str],
    plan: BlockPlan | None = None,
) -> tuple[BlockMoments, Reweighting]:
    """Block moments of weighted frames, at the one lag of unweighted ones, in float64.

    Raises
    ------
    SupportError
        Where the frames determine no weights, or weights that are none of an equilibrium.
    """
    blocks, precision = plain
    function = evaluator(lift)
    weights, effective = koopman_weights(blocks.total(), function, blocks.eps)
    rank = request.solve(blocks.total(), precision, blocks.eps).rank
    if effective < 10 * rank:
        raise SupportError(
            f"Koopman reweighting leaves {effective:.0f} effective frames for "
            f"{counted(rank, 'function')}",
            "leave out --set tica.reweight=true, or take fewer features",
        )
    weighted, _ = accumulate(
        stream,
        list(blocks.lags),
        lift=function,
        weights=weights,
        plan=plan,
        precision="float64",
        progress=request.progress,
    )
    _check_positive(blocks.total(), weighted.total(), blocks.eps)
    wanted = thinned_frames(stream.lengths, LIFT_FRAMES)
    sample = np.concatenate([w for w in gather(stream, wanted, weights) if len(w)])
    return weighted, Reweighting(effective, float(np.mean(sample < 0)), weights)


def _check_positive(plain: Moments, weighted: Moments, eps: float) -> None:
    """Raise where negative weights have taken the variance of a combination of features.

    In the whitened coordinates of the frames themselves variances are 1; the weighted ones are
    averages of squares by the weights, and positive where these are those of an equilibrium.
    """
    moving = np.flatnonzero(moving_functions(plain, eps))
    inner = np.ix_(moving, moving)
    white = whiten(plain.covariances().c00[inner]).matrix
    least = 0.0
    if weighted.n > 0:
        c00 = weighted.rebased(plain.shift, plain.scale).covariances().c00[inner]
        least = float(np.linalg.eigvalsh(white.T @ c00 @ white)[0])
    if least <= 0:
        raise SupportError(
            "Koopman reweighting: negative weights leave no positive variance, so these frames do "
            "not determine an equilibrium",
            "leave out --set tica.reweight=true, or take more data or fewer features",
        )


@dataclass(frozen=True)
class Bound:
    """A request bound to its data, able to make folds.

    merged : blocks that folds are made of
    plan : where its fine blocks were cut, if not by default
    fixed : the solution itself, for families that do not come from moments alone
    """

    stream: FeatureStream
    request: Request
    lag: int
    precision: str
    merged: BlockMoments
    plan: BlockPlan | None = None
    fixed: Solution | None = None

    def solve(self, moments: Moments) -> Solution:
        """Solve with the request's cut-offs; what is no moment algebra is solved before."""
        if self.fixed is not None:
            return self.fixed
        return self.request.solve(moments, self.precision, self.merged.eps)

    def folds(
        self, lift: Lift, count: int, test: FeatureStream | None, repeat: int = 0
    ) -> tuple[list[Fold], int]:
        """Folds, and how many further readings they took."""
        if test is not None:
            return self._test_parts(lift, test, count), 3 if self.request.reweights else 1
        if count < 2 or self.merged.n_blocks < 2:
            return [], 0
        if not self.request.learns(self.stream):
            return make_folds(self.merged, self.solve, count, repeat), 0
        held = assign_folds(self.merged, count, repeat)
        ranges = [self._ranges(self._rest(blocks)) for blocks in held]
        lifts = self.request.lifts(self.stream, ranges, self.lag)
        found = [self._refitted(*fold) for fold in zip(held, ranges, lifts, strict=True)]
        passes = 2 if self.request.reweights else 1
        return found, passes * len(found)

    def _test_parts(self, lift: Lift, test: FeatureStream, count: int) -> list[Fold]:
        """A separate test set, in parts so that its score has an error.

        Where training frames are weighted, test frames are by the same function of the frame.
        """
        again = replace(self.request, precision=self.precision)
        if self.request.reweights:
            plain, _ = again.moments(self.stream, [self.lag], lift, plan=self.plan)
            held = self._weighted(test, lift, plain.total(), plain.eps)
        else:
            held, _ = again.moments(test, [self.lag], lift)
        need = min(self.merged.frames, held.frames) / (4 * max(count, 1))
        held = held.merged(need)
        train = self.merged.total()
        groups = assign_folds(held, max(count, 1))
        return [fold_of(held, g, self.solve).trained_on(train) for g in groups]

    def _rest(self, held: list[int]) -> list[int]:
        """The training blocks of a fold."""
        return [b for b in range(self.merged.n_blocks) if b not in set(held)]

    def _refitted(self, held: list[int], ranges: list[NDArray[np.int64]], lift: Lift) -> Fold:
        """A fold whose lift (or weights) saw the training blocks only."""
        rest = self._rest(held)
        again = replace(self.request, precision=self.precision)
        blocks, _ = again.moments(self.stream, [self.lag], lift, plan=self.plan)
        blocks = self._like_merged(blocks)
        if self.request.reweights:
            of_rest = blocks.sum_joined(rest)
            blocks = self._weighted(self.stream, lift, of_rest, blocks.eps, plan=self.plan)
            blocks = self._like_merged(blocks)
        train = blocks.sum_joined(rest)
        # What solves the fold must not hold its blocks, which are large for wide lifts.
        bound = replace(self, fixed=None)
        if self.fixed is not None:
            plain = bound.solve(train)
            fixed = self.request.refined(self.stream, lift, self.lag, plain, ranges)
            bound = replace(bound, fixed=fixed)
        return fold_of(blocks, held, bound.solve).kept()

    def _weighted(
        self, stream: FeatureStream, lift: Lift, trained: Moments, eps: float, **blocks: Any
    ) -> BlockMoments:
        """Block moments of a stream, its frames weighted as the training moments ask for."""
        function = evaluator(lift)
        weights, _ = koopman_weights(trained, function, eps)
        found, _ = accumulate(
            stream, [self.lag], lift=function, weights=weights,
            precision="float64", progress=self.request.progress, **blocks,
        )  # fmt: skip
        return found

    def _like_merged(self, blocks: BlockMoments) -> BlockMoments:
        """Blocks with the cuts of ``merged``."""
        return blocks.merged_like(self.merged)

    def _ranges(self, blocks: list[int]) -> list[NDArray[np.int64]]:
        """Frames of some blocks, by trajectory; a block may run on through several."""
        m = self.merged
        regions = np.flatnonzero(m.is_block)[blocks]
        ends = np.cumsum([int(part[-1, 1]) if len(part) else 0 for part in self.stream.segments])
        ranges = []
        for end, length in zip(ends, np.diff(ends, prepend=0), strict=True):
            shift = np.append(0, ends)[m.trajectory[regions]] - (end - length)
            spans = np.stack([m.start[regions] + shift, m.stop[regions] + shift], axis=1)
            spans = np.clip(spans, 0, length)
            ranges.append(spans[spans[:, 1] > spans[:, 0]])
        return ranges
