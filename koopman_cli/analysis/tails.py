"""How likely the tail of a sample has a value that far beyond all others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Largest values of a sample, and of what was looked at closely, from which the tail is told.
TAIL = 0.01
FARTHEST = 8


def chance(far: float, away: Matrix, near: Matrix) -> float:
    r"""Probability that the farthest of the frames is so far beyond the next one.

    In a tail P(x) ~ x^-a the ratio of the largest to the second largest exceeds r with probability
    r^-a. The index a is Hill's, from the largest hundredth of a sample or from the few farthest
    frames, whichever is heavier.

    Parameters
    ----------
    far : float
        Distance of the farthest frame.
    away : (n,) array
        Distances of a sample of all other frames.
    near : (m,) array
        Distances of the next farthest ones.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> normal, cauchy = np.abs(rng.standard_normal(5000)), np.abs(rng.standard_cauchy(5000))
    >>> chance(30.0, normal, np.sort(normal)[::-1][:8]) < 1e-6
    True
    >>> bool(chance(5 * cauchy.max(), cauchy, np.sort(cauchy)[::-1][:8]) > 0.1)
    True

    Source: Hill, Annals of Statistics 3, 1163 (1975).
    """
    tail = np.sort(away)[::-1]
    farthest = np.sort(np.unique(np.concatenate([near, tail[: FARTHEST + 1]])))[::-1]
    second = float(farthest[0])
    if second <= 0:
        # A state of an idealised trace that lasts one frame: all others are alike.
        return 1.0
    many = max(FARTHEST, int(TAIL * len(tail)))
    index = min(_hill(tail[: many + 1]), _hill(farthest[: FARTHEST + 1]))
    return float((far / second) ** -index) if far > second else 1.0


def _hill(falling: Matrix) -> float:
    """Hill's tail index of the largest values; 1 where the next one is zero, 0 of too few."""
    if len(falling) < 3:
        return 0.0
    if falling[-1] <= 0:
        return 1.0
    spread = float(np.sum(np.log(falling[:-1] / falling[-1])))
    return (len(falling) - 1) / spread if spread > 0 else np.inf
