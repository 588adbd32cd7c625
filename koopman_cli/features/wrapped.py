"""Which columns are wrapped angles?

A wrapped angle stays within one period, comes close to both ends of it, and steps from one
end to the other: steps of nearly a full period that, taken back by the period, are ordinary
steps. A signal that switches between two levels near the ends fails the last test.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.base import Context
from koopman_cli.types import Trajectory

#: (low end, period) of the ways in which people wrap angles.
WINDOWS = tuple((low * p, p) for p, low in product((2 * np.pi, 360.0), (-0.5, 0.0)))

#: Frames looked at before deciding that no column can be one and the rest need no reading.
SAMPLE_FRAMES = 20_000

#: Frames read at a time; fixed, so that the answer never depends on the chunk.
READ_FRAMES = 8192

#: Units that say it without looking.
UNITS = {"rad": 2 * np.pi, "radian": 2 * np.pi, "radians": 2 * np.pi}

_ENDS = 0.02  # of the period: how near to both ends the values must come
_JUMPS = 3  # crossings of the boundary needed
_RATIO = 4.0  # crossing steps may be this much larger than ordinary ones


@dataclass
class _Evidence:
    """What has been seen of d columns in w windows; (w, d) unless said otherwise."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    jumps: NDArray[np.int64]
    between: NDArray[np.int64]
    crossing: NDArray[np.float64] = field(repr=False)
    ordinary: NDArray[np.float64] = field(repr=False)
    steps: NDArray[np.int64] = field(repr=False)

    @classmethod
    def empty(cls, width: int) -> _Evidence:
        shape = (len(WINDOWS), width)
        zero, count = np.zeros(shape), np.zeros(shape, np.int64)
        return cls(
            np.full(width, np.inf),
            np.full(width, -np.inf),
            count,
            count.copy(),
            zero,
            zero.copy(),
            count.copy(),
        )

    def see(self, values: NDArray[np.float64], steps: NDArray[np.float64]) -> None:
        """Take in values (n, d) and absolute steps (m, d) between consecutive frames."""
        if len(values):
            self.low = np.fmin(self.low, np.fmin.reduce(values, axis=0))
            self.high = np.fmax(self.high, np.fmax.reduce(values, axis=0))
        for w, (_, period) in enumerate(WINDOWS):
            big, small = steps > 0.6 * period, steps < 0.4 * period
            self.jumps[w] += big.sum(axis=0)
            self.steps[w] += small.sum(axis=0)
            self.between[w] += np.isfinite(steps).sum(axis=0) - big.sum(axis=0) - small.sum(axis=0)
            back = np.where(big, np.minimum(np.abs(period - steps), period), 0)
            self.crossing[w] += (back**2).sum(axis=0)
            self.ordinary[w] += (np.where(small, steps, 0) ** 2).sum(axis=0)

    def inside(self, spread: float) -> NDArray[np.bool_]:
        """(w, d): all values in the window, over at least this part of it."""
        found = []
        for low, period in WINDOWS:
            slack = 1e-5 * period
            within = (self.low >= low - slack) & (self.high <= low + period + slack)
            found.append(within & (self.high - self.low >= spread * period))
        return np.array(found)

    def wrapped(self) -> NDArray[np.bool_]:
        """(w, d): the column is an angle wrapped into the window."""
        ends = self.inside(1 - 2 * _ENDS)
        with np.errstate(invalid="ignore", divide="ignore"):
            crossing = np.sqrt(self.crossing / self.jumps)
            ordinary = np.sqrt(self.ordinary / self.steps)
            alike = crossing <= _RATIO * ordinary
        return ends & alike & (self.jumps >= _JUMPS) & (10 * self.between <= self.jumps)


def find_periods(context: Context) -> NDArray[np.float64]:
    """Period of each column that is a wrapped angle, 0 for the others.

    Parameters
    ----------
    context : Context
        Array trajectories. All frames are read only if the first
        :data:`SAMPLE_FRAMES` leave a candidate.

    Returns
    -------
    (d,) array
        2 pi or 360 for an angle, by its unit or by its values; else 0.
    """
    first = context.first
    period = np.array([UNITS.get(unit.lower(), 0.0) for unit in first.units])
    evidence = _Evidence.empty(len(first.names))
    seen, sampled = 0, False
    total = sum(t.n_frames for t in context.trajectories)
    with context.progress("looking for angles", total) as advance:
        for trajectory in context.trajectories:
            for values, steps in _steps(trajectory):
                evidence.see(values, steps)
                seen += len(values)
                advance(len(values))
                if seen >= SAMPLE_FRAMES and not sampled:
                    sampled = True
                    if not (evidence.inside(0.25) & (period == 0)).any():
                        return period
    for w, (_, length) in enumerate(WINDOWS):
        period[evidence.wrapped()[w] & (period == 0)] = length
    return period


def _steps(
    trajectory: Trajectory,
) -> Iterator[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Values and absolute steps, none across the boundary of a segment."""
    starts = trajectory.segments[:, 0]
    last: NDArray[np.float64] | None = None
    for frames in trajectory.read(READ_FRAMES):
        values = np.asarray(frames.values, np.float64)
        before = values[:0] if last is None else last
        joined = np.concatenate([before, values])
        index = frames.start - len(before) + np.arange(1, len(joined))
        with np.errstate(invalid="ignore", over="ignore"):
            steps = np.abs(np.diff(joined, axis=0))[~np.isin(index, starts)]
        yield values, steps
        last = values[-1:]
