"""Slow functions that a scan of lags sees turn over: a period, of which no timescale is one.

What relaxes reversibly is never correlated negatively with itself, at any later time; a sine or a
square wave is, by nearly as much as it is at first. The moments of a scan hold the correlation of
the leading function of its first lag at all longer ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.uncertainty import student
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import counted
from koopman_cli.types import Lift

Matrix = NDArray[np.float64]

#: Correlation below which a function has turned over, and level of the test that it is below 0.
TURNED = -0.25
LEVEL = 0.9999

#: Fewer blocks give no error.
FEWEST = 10


@dataclass(frozen=True)
class _Leading:
    """The leading function of the first lag that has one."""

    lag: int
    lift: Lift
    mean: Matrix
    function: Matrix


class Turning:
    """Follows the leading real mode of the first lag along a scan.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> from koopman_cli.request import Request
    >>> wave = np.sign(np.sin(2 * np.pi * np.arange(0.5, 8000) / 80))[:, None]
    >>> stream, request, seen = FeatureStream.from_arrays(wave), Request.of("tica"), Turning()
    >>> moments, _ = accumulate(stream, [2, 40], n_blocks=20)
    >>> lift = request.lift(stream)
    >>> seen.begin(moments.at_lag(2), request.solve(moments.total(2), "float64", 1e-16), lift, 0)
    >>> seen.look(moments.at_lag(40), lift)
    >>> seen.said()[0].split(":")[0]
    'mode 1 at lag 2 turns over'
    """

    def __init__(self) -> None:
        self._first: _Leading | None = None
        self._lowest: tuple[float, int] | None = None
        self._back: tuple[float, int] | None = None

    def begin(self, blocks: BlockMoments, solution: Solution, lift: Lift, leading: int) -> None:
        """The first lag: mode ``leading`` (from 0) is followed if it is real and outlives it."""
        if self._first is not None or solution.eigenvalues is None:
            return
        value = complex(solution.eigenvalues[leading])
        if not value.imag and value.real > np.exp(-1.0):
            own = solution.left[:, leading : leading + 1]
            self._first = _Leading(blocks.lags[0], lift, solution.mean_x, own)

    def look(self, blocks: BlockMoments, lift: Lift) -> None:
        """A longer lag, of the same lifted features; others are passed over."""
        first = self._first
        if first is None or lift is not first.lift or blocks.lags[0] <= first.lag:
            return
        found = _correlation(blocks.projected(first.mean, first.function))
        if found is None:
            return
        value, error = found
        if value < TURNED and value + error < 0 and value < (self._lowest or (0.0, 0))[0]:
            self._lowest, self._back = (value, blocks.lags[0]), None
        elif self._lowest and value > -TURNED and value - error > 0:
            self._back = max(self._back or (0.0, 0), (value, blocks.lags[0]))

    def said(self) -> list[str]:
        """A warning where the function turned over."""
        if self._first is None or self._lowest is None:
            return []
        value, lag = self._lowest
        back = ""
        if self._back is not None:
            back = f" and by {self._back[0]:.2g} after {counted(self._back[1], 'frame')}"
        said = (
            f"mode 1 at lag {self._first.lag} turns over: it is correlated with itself by "
            f"{value:.2g} after {counted(lag, 'frame')}{back}, which nothing that relaxes is; it "
            "has a period, and none of these timescales is a relaxation"
        )
        return [said]


def _correlation(blocks: BlockMoments) -> tuple[float, float] | None:
    """Correlation of one function with itself a lag later, and how far it may be off."""
    inside = np.flatnonzero(blocks.is_block)
    xx, xy, yy = (part[0][inside] for part in (blocks.xx, blocks.xy, blocks.yy))
    n = xx[:, -1, -1]
    told = n > 0
    if np.count_nonzero(told) < FEWEST:
        return None
    sums = xx[:, -1, 0] + yy[:, -1, 0]
    mean = float(sums.sum() / (2 * n.sum()))
    shift = mean**2 * n - mean * sums
    c00, c01 = (xx[:, 0, 0] + yy[:, 0, 0]) / 2 + shift, xy[:, 0, 0] + shift
    if not c00.sum() > 0:
        return None
    value = float(c01.sum() / c00.sum())
    influence = (c01 - value * c00)[told] / c00.sum()
    count = len(influence)
    error = float(np.sqrt(np.sum(influence**2) * count / (count - 1)))
    return value, student(count, LEVEL) * error
