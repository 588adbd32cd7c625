"""Candidate models with their held-out scores, and what is concluded from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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


@dataclass(frozen=True)
class Recommendation:
    """What to take at one lag: index of the cell, or None, and why."""

    lag: Lag
    cell: int | None
    reason: str


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
