"""Which columns are wrapped angles?

A wrapped angle stays within one period, comes close to both ends of it, and steps from one
end to the other: steps of nearly a full period are more frequent than steps of about half a
period (a bounded signal has them less often), and taken back by the period they are
ordinary steps (a signal that switches between two levels near the ends fails here). An angle
sampled so sparsely that it forgets itself between frames cannot be told from other numbers.

Angles come in groups: beside one that is known, a column of the same period is one too if it
crosses its boundary at all, or has the name of a torsion. A name is no evidence by itself: a
column named so needs no company only if its values cover nearly one whole period.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.base import Context
from koopman_cli.types import Trajectory

PERIODS = (2 * np.pi, 360.0)

#: Where an angle is cut when it is wrapped, in periods.
CUTS = (-0.5, 0.0)

#: Frames looked at before deciding that no column can be one and the rest need no reading.
SAMPLE_FRAMES = 20_000

#: Frames read at a time; fixed, so that the answer never depends on the chunk.
READ_FRAMES = 8192

#: Units that say it without looking.
UNITS = {"rad": 2 * np.pi, "radian": 2 * np.pi, "radians": 2 * np.pi}

#: Words that only torsions are called by; "theta" or "angle" may be a bending angle.
_TORSION = re.compile(r"(phi|psi|omega|chi|dih|dihedral|tor|torsion|rama)\d*")

#: Words that make of it another quantity: its rate, its cosine, a force along it.
_OTHER = frozenset(
    {"acceleration", "cos", "cosine", "derivative", "diff", "dot", "energy", "force", "grad"}
    | {"gradient", "momentum", "potential", "rate", "sin", "sine", "speed", "torque", "vel"}
    | {"velocity"}
)

_COVERED = 0.9  # of the period: what a column that is a torsion by name covers by itself
_ENDS = 0.02  # of the period: how near to both ends the values must come
_JUMPS = 3  # crossings of the boundary needed
_RATIO = 4.0  # crossing steps may be this much larger than ordinary ones


@dataclass
class _Evidence:
    """What has been seen of d columns: extremes (d,), and per period and column (2, d) ...

    jumps, halves, steps : steps of nearly a period, of about half of one, ordinary ones
    crossing, ordinary : sums of squares of the jumps taken back by a period, of the steps
    """

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    jumps: NDArray[np.float64]
    halves: NDArray[np.float64]
    steps: NDArray[np.float64]
    crossing: NDArray[np.float64]
    ordinary: NDArray[np.float64]

    @classmethod
    def none(cls, width: int) -> _Evidence:
        sums = [np.zeros((len(PERIODS), width)) for _ in range(5)]
        return cls(np.full(width, np.inf), np.full(width, -np.inf), *sums)

    def see(self, values: NDArray[np.float64], steps: NDArray[np.float64]) -> None:
        """Take in values (n, d) and absolute steps (m, d) between consecutive frames."""
        if len(values):
            self.low = np.fmin(self.low, np.fmin.reduce(values, axis=0))
            self.high = np.fmax(self.high, np.fmax.reduce(values, axis=0))
        for p, period in enumerate(PERIODS):
            big, small = steps > 0.8 * period, steps < 0.4 * period
            self.jumps[p] += big.sum(axis=0)
            self.steps[p] += small.sum(axis=0)
            self.halves[p] += ((steps > 0.5 * period) & (steps < 0.7 * period)).sum(axis=0)
            self.crossing[p] += np.square(period - steps, where=big, out=np.zeros_like(steps)).sum(
                axis=0
            )
            self.ordinary[p] += np.square(steps, where=small, out=np.zeros_like(steps)).sum(axis=0)

    def inside(self, spread: float) -> NDArray[np.bool_]:
        """(2, d): all values in one period between cuts, over at least this part of it."""
        found = []
        for period in PERIODS:
            slack = 1e-5 * period
            within = [
                (self.low >= cut * period - slack) & (self.high <= (cut + 1) * period + slack)
                for cut in CUTS
            ]
            found.append(np.any(within, axis=0) & (self.high - self.low >= spread * period))
        return np.array(found)

    def wrapped(self, fewest: int = _JUMPS) -> NDArray[np.bool_]:
        """(2, d): the column is an angle wrapped to this period, by so many jumps at least."""
        with np.errstate(invalid="ignore", divide="ignore"):
            crossing = np.sqrt(self.crossing / self.jumps)
            ordinary = np.sqrt(self.ordinary / self.steps)
            alike = crossing <= _RATIO * ordinary
        often = (self.jumps >= fewest) & (self.jumps > self.halves)
        return self.inside(1 - 2 * _ENDS) & alike & often


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
    evidence = _Evidence.none(len(first.names))
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
                        return _grouped(period, evidence, first.names)
    for p, length in enumerate(PERIODS):
        period[evidence.wrapped()[p] & (period == 0)] = length
    return _grouped(period, evidence, first.names)


def _grouped(
    period: NDArray[np.float64], evidence: _Evidence, names: tuple[str, ...]
) -> NDArray[np.float64]:
    """Periods with those of columns that are angles by their name or beside others."""
    found = period.copy()
    named = np.array([_is_torsion(name) for name in names])
    inside, spread = evidence.inside(0.0), evidence.inside(_COVERED)
    crossing = evidence.wrapped(1)
    for p, length in enumerate(PERIODS):
        own = spread[p] & named
        # A torsion in degrees that stays within a few of them lies in one period of radians too.
        company = (period == length) | own
        partner = crossing[p] | (inside[p] & named)
        found[(own | (partner & company.any())) & (found == 0)] = length
    return found


def _is_torsion(name: str) -> bool:
    """Whether a column has the name of a torsion.

    >>> [_is_torsion(n) for n in ("phi", "psi_2", "chi1 ALA3", "theta", "phase", "torsion")]
    [True, True, True, False, False, True]
    >>> [_is_torsion(n) for n in ("phi_velocity", "cos phi", "psi_dot")]
    [False, False, False]
    """
    words = re.split(r"[\W_]+", name.lower())
    return _OTHER.isdisjoint(words) and any(_TORSION.fullmatch(word) for word in words)


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
        # Longer than any period is as good as infinite, but has a square.
        yield values, np.minimum(steps, 10 * max(PERIODS))
        last = values[-1:]
