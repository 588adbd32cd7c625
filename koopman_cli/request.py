"""What is asked for: a family with its settings, its lift, its moments and its folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.floor import noise_floor
from koopman_cli.analysis.projection import sample_pairs
from koopman_cli.blocks import BlockPlan, plan_blocks
from koopman_cli.devices import torch_device
from koopman_cli.errors import SupportError, UsageError
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import evaluator
from koopman_cli.lifts.pod import fit_pod, joined, overlaps, resolve_rank
from koopman_cli.linalg import RTOL
from koopman_cli.memory import check_fits
from koopman_cli.models import dmd, family, kedmd, make_settings, msm, optdmd
from koopman_cli.models.pod import PodSettings
from koopman_cli.models.restrict import Reduction
from koopman_cli.models.solve import Solution, solve
from koopman_cli.models.weights import koopman_weights
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.types import Lift, Progress, no_progress
from koopman_cli.validation import Fold, assign_folds, make_folds

#: Families of flows: on POD coordinates, all modes, oscillations and growth allowed.
FLOWS = ("dmd", "optdmd")

#: Frames from which lifts learn.
LIFT_FRAMES = 20_000

#: Ridge on functions of unit size from which products in float32 suffice.
SAFE_RIDGE = 1e-7

#: Directions of a wide lift that the noise floor looks at.
FLOOR_DIRECTIONS = 200

Lifted = tuple[int, Callable[[NDArray[Any]], NDArray[Any]]]


@dataclass(frozen=True)
class Request:
    """A family with its settings, and how precisely and reproducibly to fit it.

    name : key in MODELS
    settings : the family's settings dataclass
    """

    name: str
    settings: Any
    seed: int = 0
    precision: str = "auto"
    progress: Progress = no_progress
    device: str = "cpu"

    @classmethod
    def of(cls, name: str, settings: dict[str, Any] | None = None, **more: Any) -> Request:
        """A request from a family's name and the texts or values of its settings."""
        return cls(name, make_settings(name, settings or {}), **more)

    @property
    def solver(self) -> Any:
        """Which problem its moments are solved by."""
        return family(self.name).solver(self.settings)

    @property
    def learns_lift(self) -> bool:
        """Whether the lift learns from data (POD, where a field needs one, always does)."""
        return bool(family(self.name).fits_lift(self.settings))

    def takes_pod(self, stream: FeatureStream) -> bool:
        """Whether the lift is POD: always for DMD, for fields in any family that knows rank.

        Raises
        ------
        UsageError
            If the input is a field and the family cannot stand on POD coordinates.
        """
        if self.name in FLOWS:
            return True
        if stream.field is not None and not isinstance(self.settings, PodSettings):
            raise UsageError(
                f"{self.name} does not take fields", "choose dmd, optdmd, vamp or tica"
            )
        return stream.field is not None

    def resolved(
        self, stream: FeatureStream, lag: int
    ) -> tuple[Request, tuple[str, ...], tuple[str, ...]]:
        """The request with its POD rank decided once for all folds, notes and warnings."""
        if not self.takes_pod(stream):
            return self, (), ()
        rank, rule, warned = resolve_rank(
            stream, self.settings.asked(), lag, center=self.settings.center
        )
        settings = replace(self.settings, rank=rank, energy=0.0)
        return replace(self, settings=settings), (f"POD rank {rank}: {rule}",), warned

    @property
    def reweights(self) -> bool:
        """Whether frames are weighted towards equilibrium."""
        return bool(getattr(self.settings, "reweight", False))

    def lift(
        self,
        stream: FeatureStream,
        ranges: list[NDArray[np.int64]] | None = None,
        lag: int = 1,
    ) -> Lift:
        """The lift fitted to frames of the stream, optionally only to some ranges of each
        trajectory. POD takes every frame that starts a pair at the lag.
        """
        if self.takes_pod(stream):
            rank = self.settings.rank or self.resolved(stream, lag)[0].settings.rank
            return fit_pod(stream, rank, lag, ranges, center=self.settings.center)
        if self.name == "kedmd":
            self.check_memory(stream, lag)
        most = max(LIFT_FRAMES, getattr(self.settings, "landmarks", 0))
        wanted = thinned_frames(stream.lengths, most)
        if ranges is not None:
            wanted = [_inside(frames, r) for frames, r in zip(wanted, ranges, strict=True)]
        sample = np.empty((0, stream.n_features))
        if family(self.name).needs_sample(self.settings):
            parts = gather(stream, wanted, None, self.progress)
            sample = np.concatenate([p for p in parts if len(p)])
        lift: Lift = family(self.name).make_lift(sample, stream.spec, self.settings, self.seed)
        return lift

    def optimised(
        self,
        stream: FeatureStream,
        lift: Lift,
        lag: int,
        plain: Solution,
        ranges: list[NDArray[np.int64]] | None = None,
    ) -> Solution:
        """For optdmd the plain solution improved on the frames themselves; else as it is."""
        if self.name != "optdmd":
            return plain
        evaluate = evaluator(lift)
        assert evaluate is not None
        assert plain.eigenvalues is not None
        stretches = []
        for i, segments in enumerate(stream.segments):
            rows = np.concatenate([evaluate[1](chunk) for chunk in stream.chunks(i)])
            spans = (
                segments
                if ranges is None
                else list(overlaps(segments, joined(ranges[i], 2 * lag + stream.window)))
            )
            stretches += [optdmd.Stretch(np.arange(b - a) / lag, rows[a:b]) for a, b in spans]
        start = np.log(np.where(plain.eigenvalues == 0, 1e-12, plain.eigenvalues))
        rates = optdmd.optimise(stretches, start)
        if self.settings.bags:
            rates = optdmd.bagged(stretches, rates, self.settings.bags, self.seed)[0]
        return dmd.arrange(optdmd.solution_of(plain, rates, stretches))

    def solve(self, moments: Moments, precision: str, eps: float) -> Solution:
        """Solve moments with this family's solver and cut-offs."""
        if self.name == "msm":
            return msm.solve_moments(moments)
        rtol = self.settings.rtol or RTOL[precision]
        found = solve(
            moments,
            self.solver,
            center=self.settings.center,
            rtol=rtol,
            eps=eps,
            operator=dmd.operator(self.settings) if self.name == "dmd" else None,
            reduction=self.reduction,
        )
        return dmd.arrange(found) if self.name in FLOWS else found

    @property
    def reduction(self) -> Reduction | None:
        """Ridge and rank of the regression, in the families that have them."""
        return kedmd.reduction(self.settings) if self.name == "kedmd" else None

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
        device = self.where(lift.kind)
        precision = self.precision
        if precision == "auto" and stream.dtype == np.float32 and self.ridge >= SAFE_RIDGE:
            precision = "float32"
        return {
            "lift": evaluator(lift, device, single=precision == "float32"),
            "precision": precision,
            "device": device,
            "progress": self.progress,
        }

    def where(self, kind: str) -> Any:
        """The torch device for a kind of lift; ``auto`` keeps narrow lifts on the processor."""
        return torch_device("cpu" if self.device == "auto" and kind != "kernel" else self.device)

    @property
    def ridge(self) -> float:
        """The ridge of the regression, 0 for none."""
        return self.reduction.ridge if self.reduction else 0.0

    def notes(self, lift: Lift) -> tuple[str, ...]:
        """What is to be said of a fitted lift."""
        return kedmd.notes(lift, self.settings) if self.name == "kedmd" else ()

    def check_memory(self, stream: FeatureStream, lag: int) -> None:
        """Raise ResourceError where so many landmarks cannot fit; nothing is allocated yet."""
        width = kedmd.width(self.settings, stream.n_frames)
        plan = plan_blocks(stream.segments, [lag], width, window=stream.window)
        sampled = min(stream.n_frames, kedmd.CANDIDATES * width, LIFT_FRAMES)
        check_fits(width, len(plan.is_block), sampled, self.where("kernel"))

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
            rtol=self.settings.rtol or RTOL[precision],
            ridge=self.ridge,
            seed=self.seed,
        )


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


def _inside(frames: NDArray[np.int64], ranges: NDArray[np.int64]) -> NDArray[np.int64]:
    keep = np.zeros(len(frames), bool)
    for start, stop in ranges:
        keep |= (frames >= start) & (frames < stop)
    return frames[keep]


@dataclass(frozen=True)
class Reweighting:
    """Effective number of pairs, and the share of frames whose weight came out negative."""

    effective: float
    negative: float


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
    return weighted, precision, Reweighting(effective, float(np.mean(sample < 0))), 2


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
            return self._test_parts(lift, test, count), 1
        if count < 2 or self.merged.n_blocks < 2:
            return [], 0
        fixed = not self.request.learns_lift and not self.request.takes_pod(self.stream)
        if fixed and not self.request.reweights:
            return make_folds(self.merged, self.solve, count, repeat), 0
        found = [self._refitted(held) for held in assign_folds(self.merged, count, repeat)]
        passes = 2 if self.request.reweights else 1
        return found, passes * len(found)

    def _test_parts(self, lift: Lift, test: FeatureStream, count: int) -> list[Fold]:
        """A separate test set, in parts so that its score has an error."""
        held, _ = replace(self.request, precision=self.precision).moments(test, [self.lag], lift)
        need = min(self.merged.frames, held.frames) / (4 * max(count, 1))
        held = held.merged(need)
        train = self.merged.total()
        groups = assign_folds(held, max(count, 1))
        return [Fold(train, held.sum_joined(g), self.solve) for g in groups]

    def _refitted(self, held: list[int]) -> Fold:
        """A fold whose lift (or weights) saw the training blocks only."""
        regions = np.flatnonzero(self.merged.is_block)
        rest = [b for b in range(len(regions)) if b not in set(held)]
        ranges = self._ranges(regions[rest])
        lift = self.request.lift(self.stream, ranges, self.lag)
        function = evaluator(lift)
        again = replace(self.request, precision=self.precision)
        blocks, _ = again.moments(self.stream, [self.lag], lift, plan=self.plan)
        blocks = self._like_merged(blocks)
        if self.request.reweights:
            weights, _ = koopman_weights(blocks.sum_joined(rest), function, blocks.eps)
            blocks, _ = accumulate(
                self.stream, [self.lag], lift=function, weights=weights, plan=self.plan,
                precision="float64", progress=self.request.progress,
            )  # fmt: skip
            blocks = self._like_merged(blocks)
        train = blocks.sum_joined(rest)
        bound = replace(self, merged=blocks, fixed=None)
        if self.fixed is not None:
            plain = bound.solve(train)
            fixed = self.request.optimised(self.stream, lift, self.lag, plain, ranges)
            bound = replace(bound, fixed=fixed)
        return Fold(train, blocks.sum_joined(held), bound.solve)

    def _like_merged(self, blocks: BlockMoments) -> BlockMoments:
        """Blocks with the cuts of ``merged``."""
        return blocks.merged_like(self.merged)

    def _ranges(self, regions: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Frames of some blocks, by trajectory; a block may run on through several."""
        m = self.merged
        ends = np.cumsum([int(part[-1, 1]) if len(part) else 0 for part in self.stream.segments])
        ranges = []
        for end, length in zip(ends, np.diff(ends, prepend=0), strict=True):
            shift = np.append(0, ends)[m.trajectory[regions]] - (end - length)
            spans = np.stack([m.start[regions] + shift, m.stop[regions] + shift], axis=1)
            spans = np.clip(spans, 0, length)
            ranges.append(spans[spans[:, 1] > spans[:, 0]])
        return ranges
