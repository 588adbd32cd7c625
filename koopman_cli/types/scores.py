"""How good a model is: scores in all folds, and what is chosen by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ScoreEntry:
    """Train and held-out value of one score, standard error over folds, value per fold."""

    train: float
    test: float | None = None
    stderr: float | None = None
    folds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Score:
    """VAMP scores of a model at fixed ``dim``; each includes 1 for the constant function."""

    dim: int
    vamp1: ScoreEntry
    vamp2: ScoreEntry
    vampe: ScoreEntry
    folds: int
    blocks: int
    poor_folds: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class LagScan:
    """Implied timescales against lag, and the lag that was taken from them.

    lags : frames, increasing
    timescales : (n_lags, k) in frames, NaN where undefined
    chosen : frames
    converged : whether the leading two stay within 10% at twice the lag
    """

    lags: tuple[int, ...]
    timescales: Array
    chosen: int
    converged: bool
    reason: str


@dataclass(frozen=True)
class DimChoice:
    """Scores of the nested models of dim 0 .. K (entry i has dim i) and the dim taken."""

    scores: tuple[Score, ...]
    chosen: int
    reason: str
