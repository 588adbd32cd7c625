"""Scoring many models of one feature set: shared moments, shared folds, few readings.

Cells that share features and lift share their moments, whatever their family, settings,
lag and dim; one reading gives them for all lags and folds. Lifts that learn from data are
refitted on the training part of every fold by :class:`koopman_cli.bound.Bound`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from koopman_cli.accumulate import accumulate_turns
from koopman_cli.analysis.trends import drift_warning
from koopman_cli.blocks import BlockPlan, plan_blocks
from koopman_cli.bound import Bound, lifted_moments
from koopman_cli.candidates import Candidate, Refusal
from koopman_cli.errors import SupportError
from koopman_cli.estimate import merge_blocks, slowest_timescale
from koopman_cli.features.stream import FeatureStream
from koopman_cli.linalg import keep_pairs
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments
from koopman_cli.request import Request
from koopman_cli.types import Lift
from koopman_cli.units import make_lag
from koopman_cli.validation import Fold, assign_folds, score_dims
from koopman_cli.workers import threads_for

#: Blocks that folds are made of: as many as error bars need, few enough to be long.
GRID_BLOCKS = 20

#: Bytes that the block moments of one reading may take; more lags are read in turns.
GRID_BYTES = 192 * 2**20


@dataclass(frozen=True)
class Design:
    """How every cell of a grid is scored.

    lags : all lags of the grid in frames; the largest decides the gaps between blocks
    folds, repeats : folds of one assignment, and assignments
    test : a separate test set instead of folds
    floor : whether noise floors are computed
    """

    lags: tuple[int, ...]
    folds: int = 5
    repeats: int = 1
    test: FeatureStream | None = None
    floor: bool = True


#: Dims that are wanted of a request at a lag.
Wanted = Callable[[int, int], Sequence[int]]


@dataclass
class Scorer:
    """Scores requests on one feature set, cell by cell.

    readings : how often the data were read for moments so far
    refused : what could not be scored, and why
    looked : whether the means were looked at for drifts
    """

    stream: FeatureStream
    design: Design
    readings: int = 0
    refused: list[Refusal] = field(default_factory=list)
    floors: dict[Any, float | None] = field(default_factory=dict)
    looked: bool = False

    def score(self, requests: Sequence[Request], wanted: Wanted) -> Iterator[tuple[int, Candidate]]:
        """Candidates with the index of their request, as soon as each is known.

        Parameters
        ----------
        requests : sequence of Request
        wanted : function (index of a request, lag) -> dims
            Nothing is computed for a lag without dims.
        """
        for group in groups_of(requests, self.stream):
            lags = [g for g in self.design.lags if any(wanted(i, g) for i in group)]
            if not lags:
                continue
            try:
                yield from self._group(requests, group, lags, wanted)
            except SupportError as error:
                for i in group:
                    self._refuse(requests[i], None, str(error))

    def _group(
        self, requests: Sequence[Request], group: list[int], lags: list[int], wanted: Wanted
    ) -> Iterator[tuple[int, Candidate]]:
        first = requests[group[0]]
        parts = self._shared if is_fixed(first, self.stream) else self._own
        for part in parts(first, lags):
            share = part.seconds / sum(len(wanted(i, part.lag)) for i in group)
            for i in group:
                try:
                    found = self._cells(requests[i], part, wanted(i, part.lag))
                except SupportError as error:
                    self._refuse(requests[i], part.lag, str(error))
                    continue
                yield from ((i, replace(c, seconds=c.seconds + share)) for c in found)

    def _shared(self, request: Request, lags: list[int]) -> Iterator[_Part]:
        """Moments at all lags from one reading, or few where memory is short."""
        lift = request.lift(self.stream)
        plan = self.plan(len(lift.names))
        begun = time.perf_counter()
        turns = accumulate_turns(
            self.stream,
            plan.at(lags),
            limit=GRID_BYTES,
            **request.how(lift, self.stream),
        )
        for turn, (blocks, precision) in enumerate(turns, start=1):
            self.readings += 1
            seconds = (time.perf_counter() - begun) / len(blocks.lags)
            for lag in blocks.lags:
                yield _Part(lag, lift, blocks.at_lag(lag), precision, plan, turn, seconds)
            begun = time.perf_counter()

    def _own(self, request: Request, lags: list[int]) -> Iterator[_Part]:
        """Lifts that learn, and weights, depend on the lag: every lag is read for itself."""
        for lag in lags:
            begun = time.perf_counter()
            resolved = request.completed(self.stream, lag)[0]
            lift = resolved.lift(self.stream, lag=lag)
            plan = self.plan(len(lift.names))
            one = plan.at((lag,))
            blocks, precision, _, passes = lifted_moments(self.stream, resolved, lift, lag, one)
            self.readings += passes
            seconds = time.perf_counter() - begun
            yield _Part(lag, lift, blocks, precision, plan, passes, seconds, resolved)

    def plan(self, width: int) -> BlockPlan:
        """Where blocks are cut: the same for all cells, unless one is too wide for memory."""
        lags = sorted({min(self.design.lags), max(self.design.lags)})
        fits = 3 * 8 * (width + 1) ** 2 * 2 * GRID_BLOCKS <= GRID_BYTES
        return plan_blocks(
            self.stream.segments,
            lags,
            1 if fits else width,
            n_blocks=GRID_BLOCKS,
            window=self.stream.window,
            origins=self.stream.origins,
        )

    def _cells(self, request: Request, part: _Part, dims: Sequence[int]) -> list[Candidate]:
        if not dims:
            return []
        with threads_for(len(part.lift.names)):
            return self._scored(request, part, dims)

    def _scored(self, request: Request, part: _Part, dims: Sequence[int]) -> list[Candidate]:
        lift = part.lift
        asked, request = request, part.request or request
        begun = time.perf_counter()
        plan = part.plan.at((part.lag,))
        bound = Bound(self.stream, request, part.lag, part.precision, part.blocks, plan)
        solution = bound.solve(part.blocks.total())
        used = self._whole_pairs(asked, part.lag, solution, dims)
        folds, more = self._folds(bound, lift)
        self.readings += more
        self._drifts(asked, part, solution)
        total = part.blocks.total()
        scores = score_dims(total, bound.solve, folds, used, part.blocks.n_blocks)
        for said in scores[0].warnings if scores else ():
            self._refuse(asked, part.lag, said)
        first = Candidate(
            features=self.stream.spec.text,
            model=request.name,
            lag=make_lag(part.lag, self.stream.dt),
            dim=0,
            settings=changed_settings(asked),
            score=scores[0] if scores else score_dims(total, bound.solve, [], [0], 0)[0],
            floor=self.floor(asked, part),
            leading=_leading(solution),
            slowest=slowest_timescale(solution, part.lag),
            rank=solution.rank,
            width=len(lift.names),
            pairs=round(total.n),
            passes=part.passes + more,
            seconds=(time.perf_counter() - begun) / max(len(used), 1),
            window=self.stream.window,
            # Boundaries are what is left between the blocks of one run.
            whole=self.design.test is None and bool(part.blocks.is_block.all()),
        )
        return [replace(first, dim=score.dim, score=score) for score in scores]

    def _folds(self, bound: Bound, lift: Lift) -> tuple[list[Fold], int]:
        """Folds of all repeats, and the further readings they took."""
        design = self.design
        folds: list[Fold] = []
        passes = 0
        for repeat in range(design.repeats if design.test is None else 1):
            found, more = bound.folds(lift, design.folds, design.test, repeat)
            folds += found
            passes += more
        return folds, passes

    def _drifts(self, asked: Request, part: _Part, solution: Solution) -> None:
        """Says once which means move: no score tells a drift or a change of level from a mode."""
        design = self.design
        if self.looked or design.test is not None or asked.settings.flow:
            return
        self.looked = True
        blocks, _ = merge_blocks(part.blocks, slowest_timescale(solution, part.lag), part.lag)
        if design.folds >= 2 and blocks.n_blocks >= 2:
            held = assign_folds(blocks, design.folds)
            for said in drift_warning(blocks, part.lift, held):
                self.refused.append(Refusal("every model", self.stream.spec.text, None, said))

    def _whole_pairs(
        self, asked: Request, lag: int, solution: Solution, dims: Sequence[int]
    ) -> list[int]:
        """The dims that the solution on all data has: up to its rank, no conjugate pair split."""
        within = [dim for dim in dims if dim <= solution.count]
        if len(within) < len(dims):
            which = "the rank" if solution.count == solution.rank else "the functions computed"
            self._refuse(asked, lag, f"dims above {solution.count}, {which}, were left out")
        split = [dim for dim in within if keep_pairs(solution.eigenvalues, dim) != dim]
        if split:
            named = f"dim {split[0]}" if len(split) == 1 else f"dims {', '.join(map(str, split))}"
            were = "was" if len(split) == 1 else "were"
            self._refuse(asked, lag, f"{named} would split a conjugate pair and {were} left out")
        return [dim for dim in within if dim not in split]

    def _refuse(self, request: Request, lag: int | None, said: str) -> None:
        refusal = Refusal(_label(request), self.stream.spec.text, lag, said)
        if refusal not in self.refused:
            self.refused.append(refusal)

    def floor(self, request: Request, part: _Part) -> float | None:
        """Noise floor of a lift and solver; shifting y against x leaves no lag to depend on."""
        if not self.design.floor or request.solver == "eig":
            return None
        key = (_lift_key(request, self.stream), request.solver, request.settings.rtol)
        if key not in self.floors:
            lag = min(self.design.lags)
            self.floors[key] = request.noise_floor(
                self.stream, part.lift, part.blocks.total(), lag, part.precision
            )
        return self.floors[key]


@dataclass(frozen=True)
class _Part:
    """Moments at one lag, and what they cost; the request where data completed it."""

    lag: int
    lift: Lift
    blocks: BlockMoments
    precision: str
    plan: BlockPlan
    passes: int
    seconds: float
    request: Request | None = None


def is_fixed(request: Request, stream: FeatureStream) -> bool:
    """Whether moments serve all lags and folds: nothing but linear algebra learns."""
    return not request.learns(stream)


def _lift_key(request: Request, stream: FeatureStream) -> Any:
    """What decides the lift: requests of equal keys share their moments."""
    fixed = is_fixed(request, stream)
    if fixed and not request.settings.needs_sample and request.lift(stream).kind == "identity":
        return "identity"
    return (request.name, tuple(sorted(asdict(request.settings).items())))


def groups_of(requests: Sequence[Request], stream: FeatureStream) -> list[list[int]]:
    """Indices of requests that share their lift and so their moments.

    >>> stream = FeatureStream.from_arrays([[0.0, 1.0, 2.0]])
    >>> groups_of([Request.of("tica"), Request.of("edmd"), Request.of("vamp")], stream)
    [[0, 2], [1]]
    """
    found: dict[Any, list[int]] = {}
    for i, request in enumerate(requests):
        found.setdefault(_lift_key(request, stream), []).append(i)
    return list(found.values())


def _leading(solution: Solution) -> float:
    found: Any = solution.eigenvalues
    if found is None:
        found = solution.singular_values
    return float(abs(found[0])) if len(found) else 0.0


def changed_settings(request: Request) -> dict[str, Any]:
    """Settings that differ from the defaults of the family.

    >>> changed_settings(Request.of("edmd", {"degree": "3"}))
    {'degree': 3}
    """
    default = type(request.settings)()
    names = [f.name for f in fields(default)]
    pairs = {name: (getattr(request.settings, name), getattr(default, name)) for name in names}
    return {name: now for name, (now, before) in pairs.items() if now != before}


def _label(request: Request) -> str:
    settings = ",".join(f"{k}={v}" for k, v in changed_settings(request).items())
    return f"{request.name}({settings})" if settings else request.name
