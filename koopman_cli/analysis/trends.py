"""Slow functions that the data hold once: a trend, a transient at the start, a change of level.

None of them relaxes, yet each is correlated with itself a lag later and so has an eigenvalue; in
noise it has even a short, converged-looking timescale. Everything follows from the moments of
blocks in the order of time: how the mean of a function goes along, and in which blocks the
product with itself a lag later is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.crossings import side_levels
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import times
from koopman_cli.types import Lift
from koopman_cli.validation import drift

Matrix = NDArray[np.float64]

#: Probability of a slope by chance that is taken for a trend.
LEVEL = 1e-4

#: Of a straight line the rest does not run together: Durbin and Watson's ratio is 2, that of a
#: random walk near 0; a line that leaves less than :data:`REST` of the means needs no ratio.
STRAIGHT = 1.35
REST = 0.01

#: Rise in standard deviations below which a trend of a column is of no consequence.
RISE = 0.5

#: A line that makes more of the variance than this is all there is.
WHOLE = 0.9

#: What is left of a timescale, at most, where a trend, a transient or a level made it.
LEFT = 0.5

#: The start or the end of a run, and the share of a mode's memory that a transient has in it.
START, MEMORY = 0.2, 0.8

#: Timescales after which an exponential is over.
OVER = 3.0

#: Means of blocks vary by this factor more than those of a process with the mode's timescale.
EXCESS = 3.0

#: Fewer blocks tell nothing of time.
FEWEST_BLOCKS = 10

#: Fewer changes of level are an anecdote.
FEW_CHANGES = 3


@dataclass(frozen=True)
class Trends:
    """Straight lines through the block means of k functions, the same slope in every run.

    rise : (k,) change over the longest run, in standard deviations of the function
    share : (k,) part of the variance that the line makes
    sure : (k,) whether the slope is no chance and the line is straight
    """

    rise: Matrix
    share: Matrix
    sure: NDArray[np.bool_]


@dataclass(frozen=True)
class Course:
    """Blocks in time: (b, k) means, (b,) weights, middles in their run, runs; (k,) variances."""

    means: Matrix
    weights: Matrix
    middles: Matrix
    runs: NDArray[np.int64]
    variance: Matrix
    span: float

    @classmethod
    def of(cls, blocks: BlockMoments) -> Course:
        inside = np.flatnonzero(blocks.is_block)
        weights = blocks.xx[0][inside, -1, -1].astype(np.float64)
        sums = blocks.xx[0][inside, -1, :-1] + blocks.xy[0][inside, -1, :-1]
        means = sums / (2 * np.where(weights > 0, weights, 1.0))[:, None]
        total = blocks.total()
        c = total.covariances()
        variance = (np.diag(c.c00) + np.diag(c.c11)) / 2
        start, stop = blocks.start[inside], blocks.stop[inside]
        runs = blocks.trajectory[inside]
        spans = [stop[runs == r].max() - start[runs == r].min() for r in np.unique(runs)]
        return cls(means, weights, (start + stop) / 2, runs, variance, float(max(spans)))

    def within(self, values: Matrix) -> Matrix:
        """Values (b, ...) about their weighted mean in every run."""
        about = np.array(values, np.float64)
        for run in np.unique(self.runs):
            own = self.runs == run
            about[own] -= np.average(about[own], axis=0, weights=self.weights[own])
        return about

    @property
    def neighbours(self) -> NDArray[np.bool_]:
        """(b - 1,) whether a block and the next one are of one run."""
        return np.asarray(np.diff(self.runs) == 0)


def trends(blocks: BlockMoments) -> Trends:
    r"""Lines through the means of blocks, with the same slope and an own height in every run.

    With weights w (pairs), times s and means m of blocks about those of their run,

        slope = sum w s m / sum w s^2,   share = slope^2 sum w s^2 / (sum w var)

    The slope is sure where it exceeds its error, from the scatter about the line, by Student's
    quantile of 1e-4 for all functions together, where the scatter does not run together as
    that of a random walk does (Durbin-Watson ratio above 1.35), and where two levels, of one run,
    leave no less.

    Parameters
    ----------
    blocks : BlockMoments
        Of k functions, merged to independent blocks.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> noise = np.random.default_rng(0).standard_normal((2000, 2))
    >>> rising = noise + np.outer(np.arange(2000) / 1000, [1, 0])
    >>> moments, _ = accumulate(FeatureStream.from_arrays(rising), [1], n_blocks=20)
    >>> found = trends(moments)
    >>> found.sure.tolist(), bool(1.5 < found.rise[0] < 2), bool(0.2 < found.share[0] < 0.3)
    ([True, False], True, True)

    Source: Durbin and Watson, Biometrika 37, 409 (1950).
    """
    from scipy.special import stdtrit

    course = Course.of(blocks)
    k, count = course.means.shape[1], len(course.weights)
    freedom = count - len(np.unique(course.runs)) - 1
    if count < FEWEST_BLOCKS or freedom < FEWEST_BLOCKS // 2:
        return Trends(np.zeros(k), np.zeros(k), np.zeros(k, bool))
    w, s, m = course.weights, course.within(course.middles), course.within(course.means)
    square = float(w @ s**2)
    slope = (w * s) @ m / square
    rest = m - np.outer(s, slope)
    scatter = w @ rest**2
    error = np.sqrt(scatter / freedom / square)
    steps = np.sum((np.diff(rest, axis=0) ** 2)[course.neighbours], axis=0)
    left = np.sum(rest**2, axis=0)
    straight = (scatter <= REST * (w @ m**2)) | (steps > STRAIGHT * left)
    straight &= scatter <= _left_by_a_step(course)
    limit = -float(stdtrit(freedom, LEVEL / (2 * max(k, 1))))
    varying = course.variance > 0
    size = np.where(varying, course.variance, 1.0)
    return Trends(
        np.where(varying, slope * course.span / np.sqrt(size), 0.0),
        np.where(varying, slope**2 * square / w.sum() / size, 0.0),
        varying & straight & (np.abs(slope) > limit * error),
    )


def _left_by_a_step(course: Course) -> Matrix:
    """Weighted squares about two levels, cut where least is left; infinite for several runs."""
    w, m = course.weights[:, None], course.within(course.means)
    if len(np.unique(course.runs)) > 1:
        return np.full(m.shape[1], np.inf)
    sums, many = np.cumsum(w * m, axis=0)[:-1], np.cumsum(w, axis=0)[:-1]
    gained = sums**2 * (1 / many + 1 / (w.sum() - many))
    found: Matrix = (w * m**2).sum(axis=0) - gained.max(axis=0)
    return found


def is_level(why: str) -> bool:
    """Whether what :func:`once` says is a change of level: slow, but not to be measured."""
    return why.startswith("its mean")


def trending(blocks: BlockMoments, names: Sequence[str], among: Sequence[str]) -> dict[str, float]:
    """Columns of ``among`` whose mean drifts on a straight line, and by how many standard
    deviations over the run: those that drift by half of one.
    """
    found = trends(blocks)
    rises = np.abs(found.rise)
    return {
        name: float(rises[j])
        for j, name in enumerate(names)
        if name in among and found.sure[j] and rises[j] > RISE
    }


def once(
    blocks: BlockMoments, values: NDArray[np.complex128], *, in_time: bool = False
) -> dict[int, str]:
    r"""Modes (from 0) that the data hold once, and what they are instead of a mode.

    A mode with timescale t (from \|lambda\|) is

    - a *trend* if a line makes so much of its variance that at most t / 2 is left without it,
      (lambda - share) / (1 - share);
    - a *transient* if the first (or the last) fifth of the runs makes four fifths of its product
      with itself a lag later, and the rest of the data has at most t / 2 by itself;
    - a *level* if the means of its blocks vary three times more than those of a process with
      timescale t, at most t / 2 is left without them, and they change sides less than three times.

    Parameters
    ----------
    blocks : BlockMoments
        Of the functions of the modes, merged to independent blocks.
    values : (k,) complex
        Eigenvalues (or singular values) at the lag; conjugates stand for the real and the
        imaginary part of their function.
    in_time : bool
        Modes are exponentials from the start of the runs on: one that is over, or begins, within
        a fifth needs no share.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> noise = np.random.default_rng(0).standard_normal(4000)
    >>> early = noise + 9 * (np.arange(4000) < 300)
    >>> moments, _ = accumulate(FeatureStream.from_arrays(early), [1], n_blocks=20)
    >>> once(moments, np.array([0.84 + 0j]))[0].split(":")[0]
    'seen once, at the start'
    """
    course = Course.of(blocks)
    if len(course.weights) < FEWEST_BLOCKS:
        return {}
    line, lag = trends(blocks), blocks.lags[0]
    found: dict[int, str] = {}
    for j, value in enumerate(values):
        if abs(value) <= np.exp(-1.0) or (not value.imag and value.real <= 0):
            continue
        pair = [j] if not value.imag else [j, j + 1] if value.imag > 0 else [j - 1, j]
        if pair[-1] >= len(course.variance):
            continue
        size = float(course.variance[pair].sum())
        share = float(line.share[pair] @ course.variance[pair]) / size if size > 0 else 0.0
        straight = bool(line.sure[pair].any()) and not _decays(course, j, value, lag)
        if straight and _gone(abs(value), share):
            found[j] = _trend_text(float(np.abs(line.rise[pair]).max()))
            continue
        end = _transient(blocks, course, pair, complex(value), in_time=in_time)
        if end is not None:
            several = len(np.unique(course.runs)) > 1
            found[j] = f"seen once, at the {end}{' of the runs' if several else ''}: a transient"
        elif not value.imag:
            level = _level(course, j, value.real, lag)
            if level is not None:
                found[j] = level
    return found


def _decays(course: Course, j: int, value: complex, lag: int) -> bool:
    """Whether the means of a real mode go as its eigenvalue says, and better so than on a line."""
    if value.imag:
        return False
    begins = np.array([course.middles[course.runs == run].min() for run in course.runs])
    power = np.log(value.real) / lag * (course.middles - begins)
    w, m = course.weights, course.within(course.means[:, j])
    left = []
    for shape in (course.within(course.middles), course.within(np.exp(power - power.max()))):
        size = float(w @ shape**2)
        fit = float((w * shape) @ m) / size * shape if size > 0 else 0.0
        left.append(float(w @ (m - fit) ** 2))
    return left[1] < left[0]


def _trend_text(rise: float) -> str:
    return f"a trend, not a mode: its mean drifts by {rise:.2g} standard deviations over the run"


def _gone(size: float, share: float) -> bool:
    """Whether less than half of a timescale is left without a share of the variance.

    >>> _gone(0.9, 0.85), _gone(0.9, 0.1), _gone(1.0, 1.0)
    (True, False, True)
    """
    if share >= WHOLE:
        return True
    return share > 0 and falls(size, (size - share) / (1 - share))


def falls(before: float, after: float) -> bool:
    """Whether the timescale of an eigenvalue is at most half of that of another."""
    if after <= 0:
        return True
    return bool(after < 1 and before > 0 and np.log(after) * LEFT <= np.log(min(before, 1.0)))


def _transient(
    blocks: BlockMoments, course: Course, pair: list[int], value: complex, *, in_time: bool
) -> str | None:
    """At which end of the runs a mode is made that the rest knows nothing of, or None."""
    place = np.zeros(len(course.runs))
    inside = blocks.is_block
    for run in np.unique(course.runs):
        own = course.runs == run
        first, last = blocks.start[inside][own].min(), blocks.stop[inside][own].max()
        place[own] = (course.middles[own] - first) / max(last - first, 1)
    for name, chosen in (("start", place < START), ("end", place > 1 - START)):
        part = course.weights[chosen].sum() / course.weights.sum()
        if not START / 2 < part < 2 * START:
            continue
        here, rest = (blocks.sum_blocks(np.flatnonzero(b)) for b in (chosen, ~chosen))
        a, b = here.covariances(), rest.covariances()
        ahead = np.outer(a.mean_x - b.mean_x, a.mean_y - b.mean_y)
        made = here.n * _remembered(a.c01 + ahead, pair, value)
        kept = max(rest.n * _remembered(b.c01, pair, value), 0.0)
        reach = np.log(abs(value)) / blocks.lags[0] * START * course.span
        over = in_time and (-reach if name == "start" else reach) > OVER
        if not (made > MEMORY * (made + kept) or over):
            continue
        size = float(np.trace((b.c00 + b.c11)[np.ix_(pair, pair)])) / 2
        if over or falls(abs(value), kept / rest.n / size if size > 0 else 0.0):
            return name
    return None


def _remembered(c01: Matrix, pair: list[int], value: complex) -> float:
    """Part of <psi(x), psi(y)> that is in phase with the eigenvalue.

    With psi = a + i b of a complex pair it is (aa + bb) + i (ab - ba).
    """
    own = c01[np.ix_(pair, pair)]
    if len(pair) == 1:
        return float(own[0, 0])
    turn = 1 if value.imag > 0 else -1
    product = own[0, 0] + own[1, 1] + 1j * turn * (own[0, 1] - own[1, 0])
    return float((product * np.conj(value)).real / abs(value))


def _level(course: Course, j: int, value: float, lag: int) -> str | None:
    """Why a real mode is a few levels of the mean, or None.

    Means over n frames of a process with timescale t have the part 2t/n (1 - t/n (1 - e^(-n/t)))
    of its variance.
    """
    runs = len(np.unique(course.runs))
    if len(course.runs) < 5 * runs or not course.variance[j] > 0:
        return None
    w = course.weights
    means = course.means[:, j] - np.average(course.means[:, j], weights=w)
    share = float(np.average(means**2, weights=w) / course.variance[j])
    ratio = float(np.mean(w)) * -np.log(min(value, 1 - 1e-12)) / lag
    expected = 2 / ratio * (1 - (1 - np.exp(-ratio)) / ratio)
    if share < EXCESS * expected or not _gone(value, share):
        return None
    low, high = (float(level[0]) for level in side_levels(means[:, None]))
    changes = 0
    for run in np.unique(course.runs):
        sides = [1 if m > high else -1 for m in means[course.runs == run] if m > high or m < low]
        changes += int(np.count_nonzero(np.diff(sides)))
    if changes >= FEW_CHANGES:
        return None
    if changes == 0 and runs > 1:
        return "its mean differs between the trajectories and changes in none: no relaxation seen"
    return (
        f"its mean changes {times(changes)} only in all the data: an anecdote, no relaxation seen"
    )


def drift_warning(merged: BlockMoments, lift: Lift, held: list[list[int]]) -> list[str]:
    """What to say of functions whose mean moves: those with a trend apart from the others."""
    moved = drift(merged, lift.names, held)
    if not moved:
        return []
    rises = trending(merged, lift.names, moved)
    rest = [name for name in moved if name not in rises]
    told = []
    if rises:
        named = [f"the mean of {n} drifts by {r:.2g} standard deviations" for n, r in rises.items()]
        told.append(
            f"{_few(named)} over the run: a trend, not a mode (of fields --detrend linear takes it "
            "out; of other data subtract it beforehand, or cut off what is not equilibrated with "
            "--begin)"
        )
    if rest:
        told.append(f"the mean of {_few(rest)} differs between folds by more than three errors "
                    "(drift?)")  # fmt: skip
    return told


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
