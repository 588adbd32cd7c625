"""Metastable states: populations, lifetimes, transitions and their error bars.

Memberships come from PCCA+; everything else from their moments in blocks, in one reading of
the slow functions: with M00 = <chi, chi> and M01(s) = <chi, K_s chi> over all pairs, the coarse
transition matrix is P(s) = M00^-1 M01(s). Its rows sum to 1 because the memberships do, and its
eigenvalues are those of the model. Error bars re-solve with every block reweighted.
Source: Kube and Weber, J. Chem. Phys. 126, 024103 (2007); Prinz et al., J. Chem. Phys. 134,
174105 (2011) for the Chapman-Kolmogorov test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.coarse import committor, first_passages, lifetimes
from koopman_cli.analysis.pcca import Simplex, simplex
from koopman_cli.analysis.resampling import Totals, resampled
from koopman_cli.analysis.slowpass import SlowPass
from koopman_cli.analysis.uncertainty import Stack, student
from koopman_cli.errors import SupportError
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import chance
from koopman_cli.types import ChapmanKolmogorov, Lag, Progress, Quantity, States, no_progress
from koopman_cli.workers import one_thread

Matrix = NDArray[np.float64]

#: Population that is none: what rounding leaves of one less those of all other states.
EMPTY = 1e-12

#: How far outside [0, 1] a coarse transition probability may lie.
SLACK = 0.1

#: Frames from which the simplex is learnt.
SAMPLE = 20_000

#: Multiples of the lag that the Chapman-Kolmogorov test looks at, at most.
MAX_MULTIPLES = 6

#: Significance of the Chapman-Kolmogorov test.
LEVEL = 0.05

#: Elements with a smaller error are the same whatever the data are.
NO_ERROR = 1e-12


@dataclass(frozen=True)
class Question:
    """What states are asked for.

    lag : of the model
    width : functions of the lift, which decided the blocks of the model
    merged : blocks of the model, merged to independent ones
    reversible : average both directions of time
    chosen_by : "gap" or "user"
    slowest : slowest timescale in frames
    between : two states, numbered from 0, of a committor
    """

    lag: Lag
    width: int
    merged: BlockMoments
    reversible: bool
    chosen_by: str
    slowest: float
    reliable: bool = True
    seed: int = 0
    between: tuple[int, int] | None = None


def find_states(passed: SlowPass, asked: Question, progress: Progress = no_progress) -> States:
    """States of the m slow functions of a projection pass: m + 1 of them, largest first.

    Parameters
    ----------
    passed : SlowPass
        With exactly the m slow functions.
    asked : Question

    Raises
    ------
    SupportError
        If the functions do not span a simplex.
    """
    with one_thread():
        return _found(passed, asked, progress)


def _found(passed: SlowPass, asked: Question, progress: Progress) -> States:
    slow = passed.slow
    sample = gather(slow, thinned_frames(slow.lengths, SAMPLE))
    found = simplex(np.concatenate([s for s in sample if len(s)]), asked.seed)
    lags = [k * asked.lag.frames for k in multiples(asked, slow.segments)]
    n = found.matrix.shape[0]
    moments = _with_last(
        passed.slow_moments(
            lags, asked.width, (2 * n - 2, lambda psi: _both(found, psi)), progress
        ).merged_like(asked.merged)
    )
    order = np.argsort(-_soft(moments, n), kind="stable")
    matrix = found.matrix[:, order]
    moments = _reordered(moments, np.concatenate([order, n + order]))
    try:
        numbers = resampled(moments, lambda t: _numbers(t, n, asked.reversible))
        _check_sound(numbers[0], n)
        test = _chapman_kolmogorov(moments, n, asked)
        path = _committor(moments, n, asked)
    except np.linalg.LinAlgError:
        raise SupportError(
            "the memberships of the states are not independent", "take fewer states with --count"
        ) from None
    states = _describe(passed, asked, (replace(found, matrix=matrix), n), numbers, test)
    return replace(states, committor=path)


def _committor(blocks: BlockMoments, n: int, asked: Question) -> tuple[Quantity, ...] | None:
    """The committor between two states with its intervals, if asked for."""
    if asked.between is None:
        return None
    start, end = ([state] for state in asked.between)

    def paths(totals: Totals) -> Matrix:
        p = transition_matrices(totals, n, reversible=asked.reversible)[:, 0]
        return np.stack([committor(one, start, end) for one in p])

    value, influence, stack = resampled(blocks, paths)
    return _probabilities(value, stack.error(influence), student(len(influence)))


def _probabilities(value: Matrix, error: Matrix, t: float) -> tuple[Quantity, ...]:
    return tuple(population(float(v), float(e), t) for v, e in zip(value, error, strict=True))


def _check_sound(value: Matrix, n: int) -> None:
    """Raise where the memberships make no Markov matrix, or a state that holds no frame.

    Overlapping memberships make entries a little negative; far outside [0, 1] they only say
    that M00 is nearly singular and the states are none.
    """
    p, hard = value[2 * n : 2 * n + n * n], value[n : 2 * n]
    if p.min() < -SLACK or p.max() > 1 + SLACK or hard.min() <= EMPTY:
        raise SupportError(
            "the slow functions do not separate into states: a state without frames, or coarse "
            f"transition probabilities from {p.min():.2g} to {p.max():.2g}",
            "take other features or another lag, or --count for fewer states",
        )


def _both(found: Simplex, psi: Matrix) -> Matrix:
    """Memberships and, beside them, the indicators of the largest; of all states but the last.

    Both sum to one over the states, so what is left out costs no products.
    """
    chi = found.memberships(psi).T
    last = len(chi) - 1
    both = np.empty((2 * last, chi.shape[1]))
    both[:last] = chi[:last]
    largest, free = chi.max(axis=0), np.ones(chi.shape[1], bool)
    for j in range(last):
        own = (chi[j] == largest) & free
        both[last + j] = own
        free &= ~own
    return both.T


def _with_last(blocks: BlockMoments) -> BlockMoments:
    """Moments with the last membership and the last indicator: one less the sum of the others."""
    kept = len(blocks.shift) // 2
    one = np.hstack([np.eye(kept), np.full((kept, 1), -1.0)])
    nothing = np.zeros_like(one)
    constant = np.zeros(kept + 1)
    constant[-1] = 1.0
    functions = np.block([[one, nothing], [nothing, one]])
    return blocks.projected(np.zeros(2 * kept), functions, np.tile(constant, 2))


def multiples(asked: Question, segments: Sequence[NDArray[np.int64]]) -> list[int]:
    """1 and further multiples of the lag, up to the slowest timescale and half a block.

    k tau stays below half of the longest trajectory and of the typical block: farther the
    data cannot tell.
    """
    longest = max(int(b - a) for part in segments for a, b in part)
    inside = asked.merged.is_block
    block = float(np.median((asked.merged.stop - asked.merged.start)[inside]))
    tau = asked.lag.frames
    most = int(min(longest / 2, block / 2, max(asked.slowest, 5 * tau)) // tau)
    grid = np.unique(np.round(np.geomspace(1, max(most, 1), MAX_MULTIPLES)).astype(int))
    return [int(k) for k in grid]


# ------------------------------------------------------------------ from moments to numbers


def _soft(blocks: BlockMoments, n: int) -> Matrix:
    total = blocks.total()
    about = total.rebased(np.zeros_like(total.shift), np.ones_like(total.scale))
    return np.asarray((about.xx[:n, -1] + about.yy[:n, -1]) / (2 * about.n), np.float64)


def transition_matrices(totals: Totals, n: int, *, reversible: bool) -> Matrix:
    """P = M00^-1 M01 of the first ``n`` functions, which sum to 1: (sums, lags, n, n)."""
    xx, xy, yy = (part[..., :n, :n] for part in totals.raw())
    if reversible:
        xx, xy = (xx + yy) / 2, (xy + xy.swapaxes(-1, -2)) / 2
    return np.asarray(np.linalg.solve(xx, xy), np.float64)


def _numbers(totals: Totals, n: int, reversible: bool) -> Matrix:
    """Everything that gets an interval, in one row: populations, P, log times."""
    xx, _, yy = (part[:, 0] for part in totals.raw())
    populations = (xx[:, : 2 * n, -1] + yy[:, : 2 * n, -1]) / (2 * xx[:, -1:, -1])
    p = transition_matrices(totals, n, reversible=reversible)[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        stay = np.log(lifetimes(p))
        # The diagonal is no passage; 1 there keeps its logarithm finite.
        passages = np.log(first_passages(p) + np.eye(n))
    sets = len(p)
    row: Matrix = np.hstack([populations, p.reshape(sets, -1), stay, passages.reshape(sets, -1)])
    return row


def _reordered(blocks: BlockMoments, order: NDArray[np.int64]) -> BlockMoments:
    kept = np.append(order, len(order))
    rows, columns = np.ix_(kept, kept)
    parts = {name: getattr(blocks, name)[:, :, rows, columns] for name in ("xx", "xy", "yy")}
    return replace(blocks, shift=blocks.shift[order], scale=blocks.scale[order], **parts)


def _describe(
    passed: SlowPass,
    asked: Question,
    what: tuple[Simplex, int],
    numbers: tuple[Matrix, Matrix, Stack],
    test: ChapmanKolmogorov | None,
) -> States:
    found, n = what
    value, influence, stack = numbers
    error = stack.error(influence)
    t = student(len(influence))
    step, unit = asked.lag.value, asked.lag.unit
    soft = _probabilities(value[:n], error[:n], t)
    hard = _probabilities(value[n : 2 * n], error[n : 2 * n], t)
    p, at = value[2 * n : 2 * n + n * n].reshape(n, n), 2 * n + n * n
    spread = error[2 * n : at].reshape(n, n)
    stays = tuple(duration(value[at + i], error[at + i], (t, step, unit)) for i in range(n))
    at += n
    passages = tuple(
        tuple(
            None
            if i == j
            else duration(value[at + i * n + j], error[at + i * n + j], (t, step, unit))
            for j in range(n)
        )
        for i in range(n)
    )
    notes = () if p.min() > -1e-3 else (
        "the states overlap in time: some coarse transition probabilities are below zero",
    )  # fmt: skip
    return States(
        count=n,
        chosen_by="user" if asked.chosen_by == "user" else "gap",
        hard=hard,
        soft=soft,
        lifetimes=stays,
        transition_matrix=tuple(tuple(float(x) for x in row) for row in p),
        mfpt=passages,
        crispness=found.crispness,
        mean=passed.mean,
        functions=passed.functions,
        matrix=found.matrix,
        chapman_kolmogorov=test,
        reliable=asked.reliable,
        notes=notes,
        transitions=tuple(_probabilities(*row, t) for row in zip(p, spread, strict=True)),
    )


def population(value: float, error: float, t: float) -> Quantity:
    """A population with its interval on the logit scale, which stays inside 0 and 1.

    >>> q = population(0.2, 0.02, 2.0)
    >>> round(q.low, 3), round(q.high, 3)
    (0.163, 0.243)
    """
    if not 0 < value < 1 or not np.isfinite(error):
        return Quantity(value)
    middle, spread = np.log(value / (1 - value)), t * error / (value * (1 - value))
    low, high = (float(1 / (1 + np.exp(-(middle + s)))) for s in (-spread, spread))
    return Quantity(value, low, high)


def duration(log: float, error: float, how: tuple[float, float, str]) -> Quantity | None:
    """A time from its logarithm, with its interval; None where it is not defined."""
    t, step, unit = how
    if not np.isfinite(log):
        return None
    value = float(np.exp(log)) * step
    if not np.isfinite(error) or t * error > 50:
        return Quantity(value, unit=unit)
    spread = float(np.exp(t * error))
    return Quantity(value, value / spread, value * spread, unit)


# ------------------------------------------------------------------ Chapman-Kolmogorov


def _chapman_kolmogorov(blocks: BlockMoments, n: int, asked: Question) -> ChapmanKolmogorov | None:
    """Compare P(k tau) with P(tau)^k, element by element; None where only one lag fits."""
    lags = blocks.lags
    if len(lags) < 2:
        return None
    steps = [lag // lags[0] for lag in lags]

    def matrices(totals: Totals) -> Matrix:
        own = transition_matrices(totals, n, reversible=asked.reversible)
        powers = [np.linalg.matrix_power(own[:, 0], k) for k in steps]
        return np.stack([np.stack(powers, axis=1), own], axis=1)

    value, influence, stack = resampled(blocks, matrices)
    error = stack.error(influence[:, 1])
    difference = value[1] - value[0]
    spread = stack.error(influence[:, 1] - influence[:, 0])
    p = corrected(difference[1:], spread[1:], len(influence))
    compared = max(int(np.count_nonzero(spread[1:] > NO_ERROR)), 1)
    reach = student(len(influence), 1 - LEVEL / compared) * spread
    diagonal = np.arange(n)

    def rows(m: Matrix) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(float(x) for x in row) for row in m[:, diagonal, diagonal])

    return ChapmanKolmogorov(
        lags=tuple(lags),
        predicted=rows(value[0]),
        estimated=rows(value[1]),
        error=rows(error),
        deviation=float(np.abs(difference[1:]).max()),
        p=p,
        verdict="failed" if p < LEVEL else "passed",
        reach=rows(reach),
    )


def not_markovian(found: States | None, richer: str) -> tuple[str, ...]:
    """A warning where the Chapman-Kolmogorov test failed: what it means, and what to try.

    ``richer`` says what else there is where functions are too poor.
    """
    test = None if found is None else found.chapman_kolmogorov
    if test is None or test.verdict == "passed":
        return ()
    told = (
        f"Chapman-Kolmogorov test failed (p = {chance(test.p)}, largest deviation "
        f"{test.deviation:.2g}): the states are not Markovian at this lag, so their populations, "
        "lifetimes and passage times are not to be trusted; try a longer --lag, "
        f"{richer}"
    )
    return (told,)


def corrected(difference: Matrix, error: Matrix, blocks: int) -> float:
    """Smallest two-sided p of all differences, times their number (Bonferroni), at most 1.

    >>> round(corrected(np.array([0.0, 3.0]), np.array([1.0, 1.0]), 1000), 4)
    0.0055
    """
    from scipy.special import stdtr

    told = error > NO_ERROR
    if not told.any():
        return 1.0
    t = np.abs(difference[told]) / error[told]
    return float(min(1.0, np.count_nonzero(told) * 2 * stdtr(blocks - 1, -t.max())))
