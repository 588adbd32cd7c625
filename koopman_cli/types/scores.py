"""How good a model is: scores in all folds, and what is chosen by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


#: Share of the folds that must lie below a level for the score to be below it.
MOST = 0.8


@dataclass(frozen=True)
class ScoreEntry:
    """Train and held-out value of one score, standard error over folds, value per fold."""

    train: float
    test: float | None = None
    stderr: float | None = None
    folds: tuple[float, ...] = ()

    def below(self, level: float) -> bool:
        """Whether the held-out value is below a level beyond two errors, or in all folds but one
        in five: folds that collapse make the error large, and must not hide how bad they are.

        >>> ScoreEntry(27.0, -42.0, 30.0, (-18.5, 1.4, -18.8, -13.0, -160.0)).below(14.0)
        True
        >>> ScoreEntry(6.0, -9.1, 14.6, (-67.4, 5.3, 5.2, 5.7, 5.9)).below(3.5)
        False
        """
        if self.test is None or self.test >= level:
            return False
        low = sum(fold < level for fold in self.folds)
        most = len(self.folds) > 1 and low >= MOST * len(self.folds)
        return most or self.test + 2 * (self.stderr or 0.0) < level


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
    readings : how often the data were read for it
    """

    lags: tuple[int, ...]
    timescales: Array
    chosen: int
    converged: bool
    reason: str
    readings: int = 1


@dataclass(frozen=True)
class DimChoice:
    """Scores of the nested models of dim 0 .. K (entry i has dim i) and the dim taken."""

    scores: tuple[Score, ...]
    chosen: int
    reason: str
