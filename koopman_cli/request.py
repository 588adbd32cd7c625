"""What is asked for: a family with its settings, its lift, its moments and its folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.floor import noise_floor
from koopman_cli.analysis.projection import sample_pairs
from koopman_cli.blocks import BlockPlan
from koopman_cli.errors import SupportError, UsageError
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import device_for, evaluator
from koopman_cli.lifts.pod import joined, overlaps
from koopman_cli.models import make_settings, taking_fields
from koopman_cli.models.base import LIFT_FRAMES, Family
from koopman_cli.models.solve import Solution, Solver
from koopman_cli.models.training import Training
from koopman_cli.models.weights import koopman_weights
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.types import Lift, Progress, no_progress
from koopman_cli.validation import Fold, assign_folds, make_folds

#: Ridge on functions of unit size from which products in float32 suffice.
SAFE_RIDGE = 1e-7

#: Directions of a wide lift that the noise floor looks at.
FLOOR_DIRECTIONS = 200

Lifted = tuple[int, Callable[[NDArray[Any]], NDArray[Any]]]


@dataclass(frozen=True)
class Request:
    """A family with its settings, and how precisely and reproducibly to fit it.

    name : key in MODELS
    settings : of the family, which are the family
    place : where long training keeps checkpoints
    companions : requests whose lifts are fitted together with those of this one
    shelf : lifts that were fitted for a companion, until it asks for them
    """

    name: str
    settings: Family
    seed: int = 0
    precision: str = "auto"
    progress: Progress = no_progress
    device: str = "cpu"
    place: Any = None
    companions: tuple[Request, ...] = field(default=(), repr=False, compare=False)
    shelf: dict[Any, list[Lift]] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def of(cls, name: str, settings: dict[str, Any] | None = None, **more: Any) -> Request:
        """A request from a family's name and the texts or values of its settings."""
        return cls(name, make_settings(name, settings or {}), **more)

    @property
    def solver(self) -> Solver:
        """Which problem its moments are solved by."""
        return self.settings.solver

    @property
    def reweights(self) -> bool:
        """Whether frames are weighted towards equilibrium."""
        return self.settings.reweights

    def learns(self, stream: FeatureStream) -> bool:
        """Whether folds need moments of their own: a lift, or weights, learn from data."""
        return self.settings.learns_lift(stream) or self.reweights

    def completed(
        self, stream: FeatureStream, lag: int
    ) -> tuple[Request, tuple[str, ...], tuple[str, ...]]:
        """The request with what data decide once for all folds, notes and warnings.

        Raises
        ------
        UsageError
            If the input is a field and the family cannot stand on its coordinates.
        """
        self._check_kind(stream)
        settings, notes, warnings = self.settings.completed(stream, lag)
        return replace(self, settings=settings), notes, warnings

    def for_lags(self) -> Request:
        """The request whose implied timescales choose the lag."""
        return replace(self, settings=self.settings.for_lags())

    def lift(
        self,
        stream: FeatureStream,
        ranges: list[NDArray[np.int64]] | None = None,
        lag: int = 1,
    ) -> Lift:
        """The lift fitted to frames of the stream, optionally only to some ranges of each
        trajectory.
        """
        return next(self.lifts(stream, [ranges], lag))

    def lifts(
        self, stream: FeatureStream, parts: Sequence[list[NDArray[np.int64]] | None], lag: int
    ) -> Iterator[Lift]:
        """A lift for each of several training sets, fitted as one where the family can."""
        self._check_kind(stream)
        training = [
            Training(
                stream, lag, ranges, self.seed, self.device, self.precision, self.progress,
                self.place,
            )
            for ranges in parts
        ]  # fmt: skip
        if not self.companions:
            return self.settings.fit_lifts(training)
        data = stream.spec.text, stream.lengths, lag, [_content(ranges) for ranges in parts]
        if (self.settings, repr(data)) not in self.shelf:
            members = [self.settings, *(r.settings for r in self.companions)]
            found = self.settings.fit_company(members, training)
            self.shelf.update({(m, repr(data)): f for m, f in zip(members, found, strict=True)})
        own = self.shelf[self.settings, repr(data)]
        if parts[0] is None:
            self.settings.accepted(own[0])
        return iter(own)

    def with_companions(self, others: Sequence[Request]) -> Request:
        """The request with those of the others whose lifts can be fitted together with its own."""
        key = self.settings.company
        near = tuple(r for r in others if r.settings != self.settings)
        own = tuple(r for r in near if key is not None and r.settings.company == key)
        return replace(self, companions=own)

    def _check_kind(self, stream: FeatureStream) -> None:
        if stream.field is not None and not self.settings.takes_fields:
            *others, last = taking_fields()
            raise UsageError(
                f"{self.name} does not take fields", f"choose {', '.join(others)} or {last}"
            )

    def refined(
        self,
        stream: FeatureStream,
        lift: Lift,
        lag: int,
        plain: Solution,
        ranges: list[NDArray[np.int64]] | None = None,
    ) -> Solution:
        """A solution of moments, improved on the frames themselves where the family does so."""
        if not self.settings.refines:
            return plain
        parts = [rows for _, _, rows in self.stretches(stream, lift, lag, ranges)]
        return self.settings.refine(plain, parts, lag, self.seed)

    def stretches(
        self,
        stream: FeatureStream,
        lift: Lift,
        lag: int,
        ranges: list[NDArray[np.int64]] | None = None,
    ) -> list[tuple[int, int, NDArray[np.float64]]]:
        """Trajectory, first frame and lifted frames of each stretch without a gap in time."""
        evaluate = evaluator(lift)
        found = []
        for i, segments in enumerate(stream.segments):
            chunks = stream.chunks(i)
            rows = np.concatenate([c if evaluate is None else evaluate[1](c) for c in chunks])
            spans = (
                segments
                if ranges is None
                else list(overlaps(segments, joined(ranges[i], 2 * lag + stream.window)))
            )
            found += [(i, int(a), rows[a:b]) for a, b in spans]
        return found

    def solve(self, moments: Moments, precision: str, eps: float) -> Solution:
        """Solve moments with this family's solver and cut-offs."""
        return self.settings.solve_moments(moments, precision, eps)

    def moments(
        self, stream: FeatureStream, lags: Sequence[int], lift: Lift, **blocks: Any
    ) -> tuple[BlockMoments, str]:
        """Block moments of lifted features, on the device asked for; see ``accumulate``."""
        return accumulate(stream, lags, **self.how(lift, stream), **blocks)

    def how(self, lift: Lift, stream: FeatureStream) -> dict[str, Any]:
        """Lift, precision, device and progress, as ``accumulate`` takes them.

        A ridge far above the rounding of single precision lets float32 input be multiplied in
        it, however ill-conditioned the functions of a kernel are.
        """
        device = device_for(lift.kind, self.device)
        precision = self.precision
        if precision == "auto" and stream.dtype == np.float32 and self.ridge >= SAFE_RIDGE:
            precision = "float32"
        return {
            "lift": evaluator(lift, device, single=precision == "float32"),
            "precision": precision,
            "device": device,
            "progress": self.progress,
        }

    @property
    def ridge(self) -> float:
        """The ridge of the regression, 0 for none."""
        reduction = self.settings.reduction
        return reduction.ridge if reduction else 0.0

    def noise_floor(
        self, stream: FeatureStream, lift: Lift, total: Moments, lag: int, precision: str
    ) -> float | None:
        """The leading eigenvalue where there is nothing to find; None where it has no meaning.

        With a ridge, lifts are looked at in their leading directions of variance above it.
        """
        if self.solver == "eig":
            return None
        function = evaluator(lift)
        if self.ridge and function is not None:
            function = _leading(function, total, self.ridge)
        pairs = sample_pairs(stream, lag, function, self.progress)
        return noise_floor(
            pairs.x,
            pairs.y,
            pairs.groups,
            reversible=self.solver == "reversible",
            rtol=self.settings.cutoff(precision),
            ridge=self.ridge,
            seed=self.seed,
        )


def _content(ranges: list[NDArray[np.int64]] | None) -> Any:
    return None if ranges is None else [part.tolist() for part in ranges]


def _leading(function: Lifted, total: Moments, ridge: float) -> Lifted:
    """A lift in the directions of its covariance above the ridge, at most 200 of them."""
    raw = total.covariances()
    c00 = raw.c00 / np.outer(total.scale, total.scale)
    count = len(c00)
    values, vectors = scipy.linalg.eigh(
        c00, subset_by_index=[max(0, count - FLOOR_DIRECTIONS), count - 1]
    )
    kept = vectors[:, values > ridge]
    return kept.shape[1], lambda x: function[1](x) @ kept


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
    function = evaluator(lift)
    blocks, precision = request.moments(stream, [lag], lift, plan=plan)
    if not request.reweights:
        return blocks, precision, None, 1
    weights, effective = koopman_weights(blocks.total(), function, blocks.eps)
    rank = request.solve(blocks.total(), precision, blocks.eps).rank
    if effective < 10 * rank:
        raise SupportError(
            f"Koopman reweighting leaves {effective:.0f} effective frames for {rank} functions",
            "leave out --set tica.reweight=true, or take fewer features",
        )
    weighted, precision = accumulate(
        stream,
        [lag],
        lift=function,
        weights=weights,
        plan=plan,
        precision="float64",
        progress=request.progress,
    )
    wanted = thinned_frames(stream.lengths, LIFT_FRAMES)
    sample = np.concatenate([w for w in gather(stream, wanted, weights) if len(w)])
    return weighted, precision, Reweighting(effective, float(np.mean(sample < 0)), weights), 2


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
        return [Fold(train, held.sum_joined(g), self.solve) for g in groups]

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
        bound = replace(self, merged=blocks, fixed=None)
        if self.fixed is not None:
            plain = bound.solve(train)
            fixed = self.request.refined(self.stream, lift, self.lag, plain, ranges)
            bound = replace(bound, fixed=fixed)
        return Fold(train, blocks.sum_joined(held), bound.solve)

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
