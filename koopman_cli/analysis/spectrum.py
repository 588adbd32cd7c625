"""From eigenvalues to modes: timescales, periods and a verdict with its reason.

An implied timescale is t = -tau / ln|lambda|. Where that means nothing (a negative
eigenvalue, one at or above 1), no number is given and the reason is said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.lags import implied_timescales
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import timed
from koopman_cli.types import Lag, Mode, Quantity

Matrix = NDArray[np.float64]
Verdict = Literal["resolved", "unresolved", "invalid"]

#: Timescales of the slowest mode that data must hold to be told from a random walk.
WALK = 15.0

#: Of these the longest run must hold where all runs start alike.
WALK_ALIKE = 3.0


@dataclass(frozen=True)
class Context:
    """What a verdict depends on besides the eigenvalue.

    floor : noise floor, or None where none exists
    longest : length of the longest trajectory, in frames
    solver : how the model was solved
    frames : of all data in pairs of neighbours; 0 where only one trajectory is known of
    alike : modes (from 0) along which the runs start close together
    """

    lag: Lag
    floor: float | None
    longest: int
    solver: str
    frames: int = 0
    alike: frozenset[int] = frozenset()

    @property
    def per_frame(self) -> float:
        """Time of one frame in the unit of the lag."""
        return self.lag.value / self.lag.frames


def describe_modes(
    eigenvalues: NDArray[np.complex128] | None,
    singular_values: Matrix | None,
    context: Context,
    count: int,
) -> tuple[Mode, ...]:
    """The leading ``count`` modes with timescale, period, verdict and reason.

    Parameters
    ----------
    eigenvalues : (k,) complex, or None for coherences only, which are judged elsewhere
    singular_values : (k,), or None
    context : Context
    count : int

    Examples
    --------
    >>> context = Context(Lag(1, 1.0, "ps"), 0.2, 1000, "reversible")
    >>> mode, = describe_modes(np.array([np.exp(-0.1) + 0j]), None, context, 1)
    >>> round(mode.timescale.value, 6), mode.timescale.unit, mode.verdict
    (10.0, 'ps', 'resolved')
    """
    modes: list[Mode] = []
    wandering = dict(walks(eigenvalues, context))
    for i in range(count):
        s = None if singular_values is None else float(singular_values[i])
        if eigenvalues is None:
            modes.append(Mode(i + 1, None, s))
        else:
            mode = _mode(i, complex(eigenvalues[i]), s, context)
            objection = i in wandering and mode.verdict == "resolved"
            modes.append(_wandering(mode, wandering[i], context) if objection else mode)
    return tuple(modes)


def walks(
    eigenvalues: NDArray[np.complex128] | None, context: Context
) -> tuple[tuple[int, float], ...]:
    """Modes (from 0) that the data do not tell from random walks, and what these would hold.

    The leading eigenvalue of a random walk of n frames looks like a timescale of n / 4; one
    of n / 14 and more is seen in 5% of walks (the unit-root test). Functions of the same walk,
    and further walks, look faster: they hold up to 40 and 90 timescales. So with k modes that
    are no better than walks, the next one must hold 15 (k + 1)(k + 2) / 2 of its timescales.

    Many runs of walkers from one place look like a timescale of one run, however many there are:
    along what they start alike in, the longest run must hold a fifth of that number besides.

    Source: Dickey and Fuller, J. Am. Stat. Assoc. 74, 427 (1979), for one walk; for more,
    simulated.

    Returns
    -------
    (index, timescales needed) of each

    Examples
    --------
    >>> context = Context(Lag(1, 1.0, "frames"), 0.1, 1000, "reversible")
    >>> walks(np.exp(-1 / np.array([100.0, 30.0, 5.0])) + 0j, context)
    ((0, 15.0), (1, 45.0))
    """
    found: list[tuple[int, float]] = []
    if eigenvalues is None:
        return ()
    for i, value in enumerate(eigenvalues):
        if value.imag or value.real <= 0:
            continue
        k = len(found)
        least, frames, _ = _demand(i, context)
        needed = least * (k + 1) * (k + 2) / 2
        time = -context.lag.frames / np.log(value.real) if value.real < 1 else np.inf
        if frames < needed * time and time > context.lag.frames:
            found.append((i, needed))
    return tuple(found)


def _demand(i: int, context: Context) -> tuple[float, int, str]:
    """Timescales of mode i that must be held, by how many frames, and what these are."""
    frames = context.frames or context.longest
    if i in context.alike and context.longest / WALK_ALIKE < frames / WALK:
        return WALK_ALIKE, context.longest, "the runs start alike and the longest holds"
    return WALK, frames, "the data hold"


def _wandering(mode: Mode, needed: float, context: Context) -> Mode:
    """The mode unresolved and without a timescale, since a random walk would look like it."""
    assert mode.timescale is not None
    _, frames, who = _demand(mode.index - 1, context)
    holds = frames * context.per_frame / mode.timescale.value
    reason = (
        f"not told from a random walk: {who} {holds:.2g} of its timescales ({needed:g} are needed)"
    )
    return replace(mode, verdict="unresolved", reason=reason)


def _floor_text(context: Context) -> str:
    return "" if context.floor is None else f" ({context.floor:.3g})"


def _mode(i: int, value: complex, s: float | None, context: Context) -> Mode:
    time = float(implied_timescales(np.array([value]), context.lag.value)[0])
    unit = context.lag.unit
    timescale = Quantity(time, unit=unit) if np.isfinite(time) else None
    period = None
    if value.imag:
        period = Quantity(2 * np.pi * context.lag.value / abs(np.angle(value)), unit=unit)
    growth = None
    if context.solver == "eig" and abs(value) > 0:
        growth = Quantity(float(np.log(abs(value))) / context.lag.value, unit=f"1/{unit}")
    verdict, reason = _judge(value, time, context)
    return Mode(
        i + 1,
        value,
        s,
        timescale=timescale,
        period=period,
        growth=growth,
        verdict=verdict,
        reason=reason,
    )


def _judge(value: complex, time: float, context: Context) -> tuple[Verdict, str]:
    """Verdict and reason; the first objection found decides."""
    size, lag = abs(value), context.lag
    span = context.longest * context.per_frame
    if not value.imag and value.real <= 0:
        return "unresolved", "eigenvalue not positive: no timescale"
    if size >= 1:
        return "unresolved", "eigenvalue at or above 1: no decay can be measured"
    if context.floor is not None and size <= context.floor:
        return "unresolved", f"at or below the noise floor{_floor_text(context)}"
    if time < lag.value:
        return "unresolved", f"timescale shorter than the lag ({timed(lag.value, lag.unit, 'g')})"
    if time > span and (value.imag or context.frames < WALK * context.longest):
        return (
            "unresolved",
            f"timescale longer than the longest trajectory ({timed(span, lag.unit, 'g')})",
        )
    if value.imag:
        alias = " (periods below twice the lag would alias)" if lag.frames > 1 else ""
        return "resolved", f"decaying oscillation{alias}"
    if context.floor is None:
        return "resolved", "slower than the lag"
    return "resolved", f"above the noise floor{_floor_text(context)} and slower than the lag"


def time_symmetric(blocks: BlockMoments, level: float = 0.01) -> bool:
    """Whether xy is symmetric within its block-to-block error.

    For every pair of functions, A_ij = sum_b (xy_b - xy_b')_ij about the total mean is
    compared with its standard error over the blocks; Bonferroni-corrected Student test.

    Parameters
    ----------
    blocks : BlockMoments
        Of a few functions, merged to independent blocks.
    level : float
        Probability that a reversible process is rejected.
    """
    from scipy import stats

    total = blocks.total()
    k = len(total.scale)
    count = blocks.n_blocks
    if k < 2 or count < 3:
        return k < 2
    mean = (total.mean_x + total.mean_y) / 2
    rows = []
    upper = np.triu_indices(k, 1)
    for b in range(count):
        cross = blocks.block(b).rebased(mean, total.scale).xy[:-1, :-1]
        rows.append((cross - cross.T)[upper])
    parts = np.stack(rows)
    error = parts.std(axis=0, ddof=1) * np.sqrt(count)
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(error > 0, np.abs(parts.sum(axis=0)) / error, 0.0)
    limit = stats.t.ppf(1 - level / (2 * len(t)), count - 1)
    return bool(np.max(t) < limit)
