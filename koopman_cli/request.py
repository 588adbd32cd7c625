"""What is asked for: a family with its settings, its lift and its moments."""

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
from koopman_cli.errors import UsageError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import device_for, evaluator
from koopman_cli.lifts.pod import joined, overlaps
from koopman_cli.models import make_settings, taking_fields
from koopman_cli.models.base import Family
from koopman_cli.models.solve import Solution, Solver
from koopman_cli.models.training import Training
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.types import Lift, Progress, no_progress

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
    coordinates = total.orthonormal()
    c00 = coordinates.covariances().c00 / np.outer(coordinates.scale, coordinates.scale)
    count = len(c00)
    values, vectors = scipy.linalg.eigh(
        c00, subset_by_index=[max(0, count - FLOOR_DIRECTIONS), count - 1]
    )
    kept = total.of_functions(vectors[:, values > ridge])
    return kept.shape[1], lambda x: function[1](x) @ kept
