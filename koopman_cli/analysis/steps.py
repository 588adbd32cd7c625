"""What a change of the mean, seen once, adds to a timescale, and what the timescale is without it.

Two systems end to end, a run whose level changes in the middle, or runs that differ in their level
add a part to a slow function that never decays. Where most of the function is that, it is no mode
(:mod:`koopman_cli.analysis.trends`); a smaller part makes the timescale too long.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.trends import FEWEST_BLOCKS, LEVEL, Course, falls, trends
from koopman_cli.analysis.uncertainty import TIMESCALES_PER_BLOCK, student
from koopman_cli.moments import BlockMoments
from koopman_cli.types import Lag, Mode

Matrix = NDArray[np.float64]

#: Blocks on either side of a change, and of every run where runs are compared.
SIDE = 5

#: Blocks may be so much shorter than three timescales.
NEARLY = 0.8

#: Stands for an eigenvalue that may be zero.
TINY = 1e-12

#: A timescale that is longer by less than this factor is not worth a word.
LONGER = 1.05


@dataclass(frozen=True)
class Step:
    """A slow function whose mean differs between parts of the data.

    share : part of its variance that lies between the parts
    frame : of the one run where it changes, about; None where runs differ
    value, low, high : eigenvalue with every part about its own mean, with its 95% interval
    """

    share: float
    frame: int | None
    value: float
    low: float
    high: float

    def time(self, lag: Lag) -> str:
        """The timescale without the step, in words."""
        if self.value <= 0:
            return "none"
        found = [
            -lag.value / float(np.log(v)) for v in (self.value, max(self.low, TINY), self.high)
        ]
        return f"{found[0]:.3g} [{found[1]:.3g}, {found[2]:.3g}] {lag.unit}"

    @property
    def where(self) -> str:
        """Between which parts the mean changes."""
        return "between the runs" if self.frame is None else f"near frame {self.frame}"


def steps(blocks: BlockMoments, values: NDArray[np.complex128]) -> dict[int, Step]:
    r"""Real modes (from 0) whose mean changes once along a run, or between runs, with what is left.

    One run is cut where the means of blocks differ most; several runs are compared as they are.
    With the scatter :math:`\sigma^2` of the means within the parts, the difference is no chance if
    its F exceeds the 1 - 1e-4 quantile for all cuts and modes together. With every part about its
    own mean (a straight line is none of this),

        lambda' = sum_b C01_b / sum_b C00_b,

    which is (lambda - s) / (1 - s) for a step that holds the share s of the variance; its error is
    that of the blocks. The function is not sought again.

    Parameters
    ----------
    blocks : BlockMoments
        Of the functions of the modes, merged to independent blocks.
    values : (k,) complex

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> x = lfilter([0.436], [1, -0.9], np.random.default_rng(0).standard_normal(20_000))
    >>> x[8000:] += 1.5
    >>> moments, _ = accumulate(FeatureStream.from_arrays(x), [1], n_blocks=40)
    >>> found = steps(moments, np.array([0.937 + 0j]))[0]
    >>> bool(7000 < found.frame < 9000), bool(found.low < 0.9 < found.high)
    (True, True)
    """
    course, line = Course.of(blocks), trends(blocks)
    if len(course.weights) < FEWEST_BLOCKS:
        return {}
    found = {}
    for j, value in enumerate(values):
        if value.imag or not np.exp(-1.0) < value.real < 1 or not course.variance[j] > 0:
            continue
        parts = None if line.sure[j] else _parts(course, j, len(values))
        if parts is None:
            continue
        step = _without(blocks, course, j, parts)
        long = TIMESCALES_PER_BLOCK * _time(step.value, blocks.lags[0])
        # Blocks that a slow process runs through differ without any step.
        if np.mean(course.weights) > NEARLY * long and _longer(value.real, step.value):
            found[j] = step
    return found


def _time(value: float, lag: int) -> float:
    return -lag / float(np.log(value)) if value > 0 else 0.0


def _longer(before: float, after: float) -> bool:
    return after <= 0 or np.log(after) < LONGER * np.log(before)


def _parts(course: Course, j: int, modes: int) -> NDArray[np.int64] | None:
    """Part of every block, numbered from 0, where their means surely differ."""
    from scipy.special import fdtri

    runs, owner = np.unique(course.runs, return_inverse=True)
    count, m, w = len(course.weights), course.means[:, j], course.weights
    if len(runs) > 1:
        if np.bincount(owner).min() < SIDE:
            return None
        cuts = [owner]
    else:
        cuts = [(np.arange(count) >= k).astype(np.int64) for k in range(SIDE, count - SIDE + 1)]
    between, within = np.array([_scatter(m, w, parts) for parts in cuts]).T
    best = int(np.argmax(between))
    freedom = int(cuts[best].max()), count - int(cuts[best].max()) - 1
    ratio = between[best] / freedom[0] / (within[best] / freedom[1])
    limit = float(fdtri(*freedom, 1 - LEVEL / (len(cuts) * modes)))
    return cuts[best] if ratio > limit else None


def _scatter(m: Matrix, w: Matrix, parts: NDArray[np.int64]) -> tuple[float, float]:
    """Weighted squares of the means of parts about that of all, and of blocks about their part."""
    weights = np.bincount(parts, w)
    means = np.bincount(parts, w * m) / weights
    middle = float(w @ m / w.sum())
    return float(weights @ (means - middle) ** 2), float(w @ (m - means[parts]) ** 2)


def _without(blocks: BlockMoments, course: Course, j: int, parts: NDArray[np.int64]) -> Step:
    """The eigenvalue with every part about its own mean."""
    w, inside = course.weights, np.flatnonzero(blocks.is_block)
    own = (np.bincount(parts, w * course.means[:, j]) / np.bincount(parts, w))[parts]
    xx, xy, yy = (part[0][inside] for part in (blocks.xx, blocks.xy, blocks.yy))
    shift = -own * (xx[:, -1, j] + yy[:, -1, j]) + own**2 * w
    c00 = (xx[:, j, j] + yy[:, j, j]) / 2 + shift
    c01 = xy[:, j, j] + shift
    value = float(c01.sum() / c00.sum())
    influence = (c01 - value * c00) / c00.sum()
    count = len(w)
    error = float(np.sqrt(np.sum(influence**2) * count / (count - 1))) * student(count)
    share = _scatter(course.means[:, j], w, parts)[0] / w.sum() / course.variance[j]
    frame = None
    if len(np.unique(course.runs)) == 1:
        turn = int(np.flatnonzero(np.diff(parts))[0])
        frame = int(blocks.stop[inside[turn]] + blocks.start[inside[turn + 1]]) // 2
    return Step(float(share), frame, value, value - error, min(value + error, 1 - TINY))


def split(
    found: Mapping[int, Step], values: NDArray[np.complex128], lag: Lag
) -> tuple[dict[int, str], dict[int, str]]:
    """Reasons against modes (from 0) that are mostly their step, and reservations about others.

    A mode is mostly its step where at most half of its timescale is left without it.
    """
    against, about = {}, {}
    for j, step in found.items():
        if falls(float(values[j].real), step.value):
            against[j] = (
                f"its mean changes {step.where}, seen once, and without that its timescale is "
                f"{step.time(lag)}"
            )
        else:
            about[j] = (
                f"{step.time(lag)} without the change of its mean {step.where}, "
                f"{step.share:.0%} of its variance, which is seen once"
            )
    return against, about


def step_warnings(about: Mapping[int, str], modes: Sequence[Mode]) -> tuple[str, ...]:
    """One warning for every resolved mode whose timescale a step makes longer."""
    return tuple(
        f"the timescale of mode {j + 1} is too long: it is {about[j]}"
        for j, mode in enumerate(modes)
        if j in about and mode.verdict == "resolved"
    )
