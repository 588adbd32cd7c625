"""What is said of the lags of a scan: those that fail, one-way data, modes of flows that last."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.intervals import ModeInterval
from koopman_cli.analysis.lasting import lasting, sustained
from koopman_cli.analysis.modes import symmetric_in_time
from koopman_cli.analysis.windows import AVERAGES, CURE, NOT_SYMMETRIC, ONE_WAY, PERIODS
from koopman_cli.errors import SupportError
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import counted


class AsymmetricError(SupportError):
    """Data that have coherences at a lag, and no timescales."""

    def __init__(self) -> None:
        super().__init__(
            "singular values of data that are not symmetric in time are coherences, no timescales",
            "take eigenvalues: --model dmd, or --model edmd --set solve=eig",
        )


class Failures:
    """Lags without timescales, and why."""

    def __init__(self) -> None:
        self.found: dict[int, SupportError] = {}

    def add(self, lag: int, error: SupportError) -> None:
        self.found[lag] = error

    def check(
        self, solved: NDArray[np.bool_], reliable: NDArray[np.bool_], *, windowed: bool
    ) -> None:
        """Raise where nothing is left to show.

        Data that are not symmetric in time at a third of the lags are taken to be so at none:
        symmetric ones are mistaken in at most 3% of scans (1% at each lag, Markov's inequality),
        and others look symmetric where blocks are few or whole periods fit the lag.
        """
        asymmetric = [e for e in self.found.values() if isinstance(e, AsymmetricError)]
        many = 3 * len(asymmetric) >= len(solved)
        if asymmetric and (many or not np.any(solved & reliable)):
            if windowed:
                raise SupportError(f"{ONE_WAY}: singular values are coherences", CURE)
            raise asymmetric[0]
        if not solved.any():
            lag, error = next(iter(self.found.items()))
            raise SupportError(
                f"no model at any lag: lag {counted(lag, 'frame')}: {error}",
                "take shorter lags, fewer features or more data",
            )

    def warnings(self) -> list[str]:
        """One for every cause, with its lags."""
        causes: dict[str, list[int]] = {}
        for lag, error in self.found.items():
            causes.setdefault(str(error), []).append(lag)
        return [f"{_lags_named(lags)}: {why}" for why, lags in causes.items()]


def _lags_named(lags: list[int]) -> str:
    """Lags in frames, the ends of many."""
    if len(lags) > 6:
        return f"{counted(len(lags), 'lag')} from {lags[0]} to {counted(lags[-1], 'frame')}"
    return f"lag {''.join(f'{lag}, ' for lag in lags[:-1])}{counted(lags[-1], 'frame')}"


class OneWay:
    """At which lags a reversible model averages over what is not symmetric in time.

    Examples
    --------
    >>> seen = OneWay()
    >>> seen.found = {1: True, 2: False, 4: False}
    >>> len(seen.said())
    1
    """

    def __init__(self) -> None:
        self.found: dict[int, bool] = {}

    def see(self, blocks: BlockMoments, solution: Solution, count: int) -> None:
        """One lag, its blocks merged to independent ones."""
        self.found[blocks.lags[0]] = not symmetric_in_time(blocks, solution, count)

    def said(self) -> list[str]:
        """A warning where a third of the lags are one-way, as for :class:`Failures`."""
        one_way = [lag for lag, found in self.found.items() if found]
        if not one_way or 3 * len(one_way) < len(self.found):
            return []
        return [f"{_lags_named(one_way)}: {NOT_SYMMETRIC}, {AVERAGES}; {PERIODS}"]


class Lasting:
    """Modes of a flow that have no timescale because they do not decay, and at which lags.

    longest : frames of the longest trajectory

    Examples
    --------
    >>> kept, values = Lasting(100), np.array([0.99999, 0.95 + 0.1j, 0.9])
    >>> round(kept.slowest(values, 1), 1)
    21.8
    >>> sizes = [(0.99, 1.01), (0.9, 1.01), (0.89, 0.91)]
    >>> found = [ModeInterval(size, None, None, 0.0, 0.0, (0,)) for size in sizes]
    >>> kept.without(values, 1, found)
    [True, True, False]
    >>> kept.said()[0].partition(";")[0]
    'no timescale, as in a fit: steady part of the flow (lag 1 frame)'
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.found: dict[str, list[int]] = {}

    def slowest(self, values: NDArray[np.complex128], lag: int) -> float:
        """Slowest timescale, in frames, of what changes at all along the data; at least the lag."""
        changing = [v for v in values if 0 < abs(v) < 1 and not sustained(self._change(v, lag))]
        return max((-lag / float(np.log(abs(v))) for v in changing), default=float(lag))

    def without(
        self, values: NDArray[np.complex128], lag: int, intervals: Sequence[ModeInterval]
    ) -> list[bool]:
        """Which modes a fit gives no timescale, by the same rule."""
        told = []
        for value, interval in zip(values.tolist(), intervals, strict=True):
            why = lasting(value, self._change(value, lag), interval.eigenvalue)
            told.append(why is not None)
            if why is not None and lag not in self.found.setdefault(why, []):
                self.found[why].append(lag)
        return told

    def _change(self, value: complex, lag: int) -> float:
        return float(np.log(abs(value))) / lag * self.longest if abs(value) else -np.inf

    def said(self) -> list[str]:
        """What they are, with the lags."""
        if not self.found:
            return []
        told = "; ".join(f"{why} ({_lags_named(lags)})" for why, lags in self.found.items())
        return [f"no timescale, as in a fit: {told}"]
