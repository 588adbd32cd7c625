"""How regularly a slow function changes sides: what returns like a clock does not relax.

A process that relaxes leaves a side after times that scatter about as much as their mean; a
square wave has an eigenvalue and a converged-looking timescale too, but its sojourns are alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from koopman_cli.nouns import number, unit_word
from koopman_cli.types import Lag, Mode

Matrix = NDArray[np.float64]

#: Standard deviation of sojourns over their mean below which they are alike. Measured: at least
#: .5 in 15 sojourns of a Gaussian process and .7 in 100, .7 for telegraph noise and double wells;
#: at most .2 where periods scatter by a fifth.
ALIKE = 0.3

#: Complete sojourns on either side that are needed; five with a memoryless process on each side
#: are alike once in 8000 times.
FEWEST = 5

#: Mean sojourns on the two sides that differ by a smaller share are told as one interval.
EQUAL = 0.1


class Sojourns:
    """Number, sum and sum of squares of the complete sojourns on each side of k functions.

    A sojourn lasts from one change of side to the next one in the same stretch of frames.

    Examples
    --------
    >>> seen = Sojourns(1)
    >>> seen.add(0, np.array([100, 200]), np.array([1, -1]))
    >>> seen.add(0, np.array([310]), np.array([1]))
    >>> seen.sums[:, 0].tolist()
    [[1.0, 100.0, 10000.0], [1.0, 110.0, 12100.0]]
    """

    def __init__(self, count: int) -> None:
        self.sums: Matrix = np.zeros((2, count, 3))
        self._since = np.full(count, -1, np.int64)

    def cut(self, function: int) -> None:
        """A stretch ends: what began in it has no end that was seen."""
        self._since[function] = -1

    def add(self, function: int, frames: NDArray[np.int64], left: NDArray[np.int64]) -> None:
        """Changes of side at rising frames, and the sides, -1 or 1, that were left."""
        if not len(frames):
            return
        before = np.concatenate([[self._since[function]], frames[:-1]])
        complete = before >= 0
        for side, own in enumerate((left < 0, left > 0)):
            lengths = (frames - before)[own & complete].astype(np.float64)
            self.sums[side, function] += len(lengths), lengths.sum(), (lengths**2).sum()
        self._since[function] = frames[-1]


def variation(sums: Matrix) -> Matrix:
    """Larger coefficient of variation of the sojourns on the two sides; NaN where too few.

    Parameters
    ----------
    sums : (2, k, 3) array
        Number, sum and sum of squares of sojourns on each side.

    Examples
    --------
    >>> lengths = np.array([90.0, 110.0, 90.0, 110.0, 100.0])
    >>> sums = np.array([5, lengths.sum(), (lengths**2).sum()])
    >>> variation(np.stack([[sums], [sums]])).round(3).tolist()
    [0.1]
    """
    n, total, squares = np.moveaxis(sums, 2, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / n
        spread = np.sqrt(np.maximum(squares / n - mean**2, 0.0) * n / (n - 1))
        found: Matrix = np.where(n >= FEWEST, spread / mean, np.nan).max(axis=0)
    return found


def regular_jumps(modes: Sequence[Mode], sums: Matrix, lag: Lag) -> dict[int, str]:
    """Modes (from 0) that outlive the lag and change sides like a clock, and at what intervals.

    Only real modes: what turns has a period of its own.

    Parameters
    ----------
    modes : sequence of Mode
    sums : (2, k, 3) array
        Of the sojourns of their functions.
    lag : Lag

    Examples
    --------
    >>> clock = np.array([[[10, 300.0, 9000.0]], [[10, 3000.0, 900_000.0]]])
    >>> regular_jumps([Mode(1, 0.9 + 0j)], clock, Lag(1, 0.1, "ns"))[0].split(":")[0]
    'changes sides at regular intervals of 3 and 30 ns'
    """
    told = {}
    for i, (mode, spread) in enumerate(zip(modes, variation(sums), strict=False)):
        value = mode.eigenvalue
        if value is None or value.imag or value.real <= np.exp(-1.0) or not spread < ALIKE:
            continue
        each = sorted(float(t / n) for n, t, _ in sums[:, i])
        mean = float(sums[:, i, 1].sum() / sums[:, i, 0].sum())
        shown = [mean] if each[1] - each[0] < EQUAL * mean else each
        physical = [t * lag.value / lag.frames for t in shown]
        interval = " and ".join(map(number, physical))
        told[i] = (
            f"changes sides at regular intervals of {interval} "
            f"{unit_word(physical[-1], lag.unit)}: a period, not a relaxation"
        )
    return told
