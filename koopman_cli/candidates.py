"""Candidate models with their held-out scores, and what is concluded from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from koopman_cli.nouns import plural
from koopman_cli.types import Lag, Score


@dataclass(frozen=True)
class Candidate:
    """One cell of a grid: a model that was scored on held-out data.

    features : resolved specification
    settings : those that differ from the defaults of the family
    floor : noise floor of the leading eigenvalue or singular value, None where there is none
    leading : leading eigenvalue (modulus) or singular value on all data
    slowest : its timescale in frames, at least the lag
    rank, width : numerical rank, and number of functions before whitening
    pairs : lagged pairs in all data
    passes : readings of the data that its moments took; cells that share moments share them
    seconds : its share of the time
    key : what it is stored under
    window : frames that its delay windows reach back, 0 without delays
    whole : whether every fold holds out whole runs
    """

    features: str
    model: str
    lag: Lag
    dim: int
    settings: Mapping[str, Any]
    score: Score
    floor: float | None
    leading: float
    slowest: float
    rank: int
    width: int
    pairs: int
    passes: int
    seconds: float
    key: str = ""
    window: int = 0
    whole: bool = False


@dataclass(frozen=True)
class Refusal:
    """What was left out of a grid: of which model (and settings) on which features, and why.

    lag : frames; None where it holds at every lag
    """

    model: str
    features: str
    lag: int | None
    said: str


def told(refusals: Sequence[Refusal]) -> list[str]:
    """What was left out in words: what holds at several lags is said once.

    >>> why = "dims 1, 3 would split a conjugate pair and were left out"
    >>> told([Refusal("dmd", "field", lag, why) for lag in (1, 4)])
    ['dmd on field, lags 1, 4: dims 1, 3 would split a conjugate pair and were left out']
    """
    lags: dict[tuple[str, str, str], list[int]] = {}
    for r in refusals:
        at = lags.setdefault((r.model, r.features, r.said), [])
        at += [r.lag] if r.lag is not None and r.lag not in at else []
    found = []
    for (model, features, said), at in lags.items():
        where = f", {plural(len(at), 'lag')} {', '.join(map(str, at))}" if at else ""
        found.append(f"{model} on {features}{where}: {said}")
    return found


@dataclass(frozen=True)
class Recommendation:
    """What to take at one lag: index of the cell, or None, and why.

    window : frames that the delay windows of these cells reach back
    """

    lag: Lag
    cell: int | None
    reason: str
    window: int = 0


@dataclass(frozen=True)
class Difference:
    """Held-out VAMP-E of the best cell less that of the second, fold by fold.

    value, low, high : mean over folds and its 95% interval (None with fewer than two folds)
    folds : the difference in every fold
    """

    lag: Lag
    best: int
    second: int
    value: float
    low: float | None
    high: float | None
    folds: tuple[float, ...]


@dataclass(frozen=True)
class ScoreTable:
    """All cells of a grid in its order, and what they say lag by lag.

    folds, repeats : folds of one assignment, and assignments
    blocks : blocks that folds are made of
    readings : how often the data were read for moments, by feature set
    computed : how many of the cells were computed now; the others were there
    """

    folds: int
    repeats: int
    blocks: int
    cells: tuple[Candidate, ...]
    recommended: tuple[Recommendation, ...] = ()
    differences: tuple[Difference, ...] = ()
    readings: Mapping[str, int] = field(default_factory=dict)
    computed: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
