"""Held-out scores: folds of blocks, the choice of dim; any solver, no second reading.

Training sets are sums of training blocks (never total minus test: the remainder touches
test frames). For fixed lifts that is algebra on stored moments; lifts that learn from data
are refitted on the training part of every fold by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from koopman_cli.centring import Offset, offset
from koopman_cli.errors import KoopmanError, SupportError
from koopman_cli.linalg import balanced, keep_pairs
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.nouns import are, counted, verb
from koopman_cli.scoring import FoldScore, score_nested
from koopman_cli.types import DimChoice, Score, ScoreEntry

Matrix = NDArray[np.float64]
SolveMoments = Callable[[Moments], Solution]

#: Modes considered when dim is chosen automatically.
MAX_DIM = 10

#: Whole trajectories are held out only while the largest fold has at most about twice the
#: pairs of the smallest: the mean over folds would count a few frames as much as all others.
UNEVEN = 2.2


@dataclass(frozen=True)
class Fold:
    """Moments of the training and of the held-out blocks, and how to solve the former.

    moments : gives both when they are asked for: those of wide features are large, and one fold
        is looked at at a time
    away : offset of held-out parts of runs (:func:`koopman_cli.centring.offset`)
    """

    moments: Callable[[], tuple[Moments, Moments]]
    solve: SolveMoments
    away: Offset | None = None

    @classmethod
    def of(
        cls, train: Moments, test: Moments, solve: SolveMoments, away: Offset | None = None
    ) -> Fold:
        """A fold of moments that are there."""
        return cls(lambda: (train, test), solve, away)

    def kept(self) -> Fold:
        """The fold with its moments summed now, as where their blocks are dropped."""
        return Fold.of(*self.moments(), self.solve, self.away)

    def trained_on(self, train: Moments) -> Fold:
        """The fold with other training moments."""
        return Fold.of(train, self.moments()[1], self.solve, self.away)


def assign_folds(blocks: BlockMoments, folds: int, repeat: int = 0) -> list[list[int]]:
    """Which blocks each fold holds out.

    Whole trajectories where these give every fold about as much data (see :data:`UNEVEN`);
    else each fold is a row of neighbouring blocks, so that as little as possible is lost in
    gaps. Repeats first move the borders of the folds along the data, then draw the blocks of
    each fold at random.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> data = np.random.default_rng(0).standard_normal(1000)
    >>> blocks, _ = accumulate(FeatureStream.from_arrays(data), [1], n_blocks=10)
    >>> assign_folds(blocks, 5)
    [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    >>> assign_folds(blocks, 5, repeat=1)
    [[1, 2], [3, 4], [5, 6], [7, 8], [0, 9]]
    """
    pairs = pairs_of(blocks)
    whole = _whole_trajectories(blocks, pairs, folds, repeat)
    if whole:
        return whole
    count = min(folds, len(pairs))
    order = np.arange(len(pairs))
    if repeat < min(b - a for a, b in pairwise(_even_edges(pairs, count))):
        order = np.roll(order, -repeat)
    else:
        np.random.default_rng(repeat).shuffle(order)
    edges = _even_edges(pairs[order], count)
    return [sorted(int(b) for b in order[a:b]) for a, b in pairwise(edges)]


def pairs_of(blocks: BlockMoments) -> Matrix:
    """Lagged pairs in each block, (n_blocks,), at the first lag; weights do not count.

    Folds of weighted and plain moments, which are compared, must be the same.
    """
    frames = (blocks.stop - blocks.start)[blocks.is_block]
    pairs: Matrix = np.maximum(frames - blocks.lags[0], 1).astype(np.float64)
    return pairs


def _even_edges(pairs: Matrix, count: int) -> list[int]:
    """Where a row of blocks is cut into ``count`` parts of about equal numbers of pairs."""
    begins = np.concatenate([[0.0], np.cumsum(pairs)])
    targets = begins[-1] * np.arange(count + 1) / count
    edges = [int(np.argmin(np.abs(begins - target))) for target in targets]
    # Every part holds a block, however long its neighbours are.
    for i in range(1, count):
        edges[i] = max(edges[i], edges[i - 1] + 1)
    for i in range(count - 1, 0, -1):
        edges[i] = min(edges[i], edges[i + 1] - 1)
    return edges


def fewer_folds(asked: int, blocks: int) -> tuple[str, ...]:
    """A warning if there are fewer folds than were asked for: a fold is at least a block.

    >>> fewer_folds(100, 20)
    ('folds 100 reduced to 20, the number of independent blocks',)
    """
    if asked < 2 or asked <= blocks:
        return ()
    if blocks < 2:
        return ("no held-out scores: the data hold a single independent block",)
    return (f"folds {asked} reduced to {blocks}, the number of independent blocks",)


def poor_folds(score: Score, *, flow: bool) -> tuple[str, ...]:
    """A warning where variances of several folds are above twice, or below half, those of the rest.

    >>> one = ScoreEntry(1.5, 1.4, 0.1)
    >>> poor_folds(Score(1, one, one, one, 5, 40, 2), flow=False)
    ('2 of 5 folds hold too few events to judge the model',)
    """
    if score.poor_folds < 2:
        return ()
    head = f"{score.poor_folds} of {counted(score.folds, 'fold')} {verb(score.poor_folds, 'hold')}"
    if not flow:
        return (f"{head} too few events to judge the model",)
    said = (
        f"{head} a part of the flow more than twice or less than half as strong as the rest, as "
        "where it decays, grows or swings a few times only: held-out scores compare sizes, so "
        "they do not judge it"
    )
    return (said,)


def _whole_trajectories(
    blocks: BlockMoments, pairs: Matrix, folds: int, repeat: int
) -> list[list[int]] | None:
    """Folds of whole trajectories, the longest first, each to the fold that holds the fewest
    pairs so far; None where they are too few or too uneven.
    """
    owner = blocks.trajectory[blocks.is_block]
    trajectories = np.unique(owner)
    if len(trajectories) < folds:
        return None
    sizes = np.array([pairs[owner == trajectory].sum() for trajectory in trajectories])
    # Repeats draw another order of about the same lengths.
    drawn = np.random.default_rng(repeat).uniform(0.5, 1.0, len(sizes)) if repeat else 1.0
    held: list[list[int]] = [[] for _ in range(folds)]
    total = np.zeros(folds)
    for i in np.argsort(-sizes * drawn, kind="stable"):
        k = int(np.argmin(total))
        held[k].extend(int(b) for b in np.flatnonzero(owner == trajectories[i]))
        total[k] += sizes[i]
    return [sorted(h) for h in held] if total.max() <= UNEVEN * total.min() else None


def make_folds(
    blocks: BlockMoments, solve: SolveMoments, folds: int = 5, repeat: int = 0
) -> list[Fold]:
    """Folds of block moments at one lag for a solver whose lift is fixed."""
    return [fold_of(blocks, held, solve) for held in assign_folds(blocks, folds, repeat)]


def fold_of(blocks: BlockMoments, held: Sequence[int], solve: SolveMoments) -> Fold:
    """The fold that holds some blocks out and trains on all others."""
    rest = sorted(set(range(blocks.n_blocks)) - set(held))

    def moments() -> tuple[Moments, Moments]:
        return blocks.sum_joined(rest), blocks.sum_joined(held)

    return Fold(moments, solve, offset(blocks, held, rest))


def score_dims(
    total: Moments, solve: SolveMoments, folds: Sequence[Fold], dims: Sequence[int], blocks: int
) -> tuple[Score, ...]:
    """Scores of the nested models of several dims: on all data and held out.

    A dim that would split a complex pair is raised by one for that model. A fold whose
    training part supports no model is left out of all scores, which say so.
    """
    train = _by_dim(Fold.of(total, total, solve), dims)
    held: list[list[FoldScore]] = []
    refused: list[str] = []
    for fold in folds:
        try:
            held.append(_by_dim(fold, dims))
        except SupportError as error:
            refused.append(str(error))
    said = _left_out(refused, len(folds))
    return tuple(
        replace(_gather(dim, train[i], [fold[i] for fold in held], blocks), warnings=said)
        for i, dim in enumerate(dims)
    )


def _left_out(refused: Sequence[str], folds: int) -> tuple[str, ...]:
    """A warning that some folds have no score, with the reason of the first.

    >>> _left_out(["3 pairs are too few"], 5)
    ('1 of 5 folds could not be scored and is left out: 3 pairs are too few',)
    """
    if not refused:
        return ()
    many = f"{len(refused)} of {counted(folds, 'fold')}"
    return (f"{many} could not be scored and {are(len(refused))} left out: {refused[0]}",)


def _by_dim(fold: Fold, dims: Sequence[int]) -> list[FoldScore]:
    train, test = fold.moments()
    solution = fold.solve(train)
    test = test.rebased(train.shift, train.scale)
    counts = [min(keep_pairs(solution.eigenvalues, dim), solution.count) for dim in dims]
    wanted = sorted({k for k in counts if k})
    nothing = FoldScore(1.0, 1.0, 1.0)
    scores = (
        score_nested(train, test, solution.left, solution.right, wanted, fold.away)
        if wanted
        else []
    )
    by_count = dict(zip(wanted, scores, strict=True))
    return [by_count.get(k, nothing) for k in counts]


def _gather(dim: int, train: FoldScore, held: list[FoldScore], blocks: int) -> Score:
    def entry(name: str) -> ScoreEntry:
        values = [float(getattr(score, name)) for score in held]
        if not values:
            return ScoreEntry(getattr(train, name))
        error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
        return ScoreEntry(getattr(train, name), float(np.mean(values)), error, tuple(values))

    return Score(
        dim,
        entry("vamp1"),
        entry("vamp2"),
        entry("vampe"),
        len(held),
        blocks,
        sum(score.poor for score in held),
    )


@dataclass(frozen=True)
class Pick:
    """What the rule takes from several candidates; None for the constant alone.

    best : candidate of the highest mean, None if that is the constant
    gain, error : mean over folds of the score above 1 of what was taken, and its error
    """

    taken: int | None
    best: int | None
    gain: float = 0.0
    error: float = 0.0


def pick_simplest(
    folds: Matrix, costs: Sequence[tuple[float, ...]] | None = None, repeats: int = 1
) -> Pick:
    """The simplest candidate within one error of the best, if it beats the constant by two.

    Parameters
    ----------
    folds : (candidates, folds * repeats) array
        Held-out scores; the constant, which scores 1 in every fold, is added here.
    costs : one tuple per candidate, optional
        The smallest is the simplest; the order given where left out.
    repeats : int
        How many assignments of folds stand side by side. The error is the standard deviation
        of the fold-wise difference over the root of the folds of **one** assignment: repeats
        hold no new data.

    Examples
    --------
    >>> scores = np.array([[1.5, 1.6, 1.4, 1.5], [1.51, 1.59, 1.45, 1.5]])
    >>> pick_simplest(scores).taken, pick_simplest(scores).best
    (0, 1)
    """
    rows = np.vstack([np.ones(folds.shape[1]), folds])
    root = np.sqrt(folds.shape[1] / repeats)
    best = int(np.argmax(rows.mean(axis=1)))
    gaps = rows[best] - rows
    # Models of the same span differ by rounding, which is no difference.
    near = gaps.std(axis=1, ddof=1) / root + 1e-9
    close = np.flatnonzero(gaps.mean(axis=1) <= near)
    ranks = [(-np.inf,), *(costs or [(float(i),) for i in range(len(folds))])]
    taken = min((int(i) for i in close), key=lambda i: ranks[i])
    gain, error = float(rows[taken].mean() - 1), float(rows[taken].std(ddof=1) / root)
    sure = taken > 0 and gain > 2 * error
    return Pick(taken - 1 if sure else None, best - 1 if best else None, gain, error)


def choose_dim(scores: Sequence[Score]) -> DimChoice:
    """The dim that :func:`pick_simplest` takes.

    ``scores`` are of dims 0, 1, 2, ...; dim 0 (score 1) must be beaten by two errors.
    """
    if not scores or len(scores[0].vampe.folds) < 2:
        raise KoopmanError("choosing dim needs at least two folds", "give --dim, or more data")
    folds = np.array([score.vampe.folds for score in scores])
    found = pick_simplest(folds[1:])
    if found.taken is None or found.best is None:
        reason = "no dim has a held-out VAMP-E two standard errors above that of the constant (1)"
        return DimChoice(tuple(scores), 0, reason)
    dim = found.taken + 1
    if scores[dim].poor_folds > 1:
        reason = (
            f"dim {dim} has the simplest good score, but {scores[dim].poor_folds} of "
            f"{counted(folds.shape[1], 'fold')} {verb(scores[dim].poor_folds, 'hold')} too few "
            "events to judge it"
        )
        return DimChoice(tuple(scores), dim, reason)
    best = found.best + 1
    reason = f"the simplest within one standard error of the best held-out VAMP-E (dim {best})"
    return DimChoice(tuple(scores), dim, reason)


def drift(blocks: BlockMoments, names: Sequence[str], folds: Sequence[Sequence[int]]) -> list[str]:
    """Features whose mean on a held-out set is more than three errors from the training mean.

    Whole runs are centred by their own mean when they are held out: their score is blind to it.
    """
    means = np.stack([blocks.block(b).mean_x for b in range(blocks.n_blocks)])
    if len(means) < 6:
        return []
    # In units of each column, so that no square is too large or too small for a number.
    means = balanced(means)[0]
    pairs = pairs_of(blocks)
    spread, freedom = _pair_error(means, pairs, blocks.trajectory[blocks.is_block])
    error = spread / np.sqrt(pairs.mean())
    moving = error > 1e-12 * (np.abs(means.mean(axis=0)) + error)
    # Three errors for one feature and fold; among many a few exceed three by chance.
    from scipy.special import ndtr, stdtrit

    level = float(ndtr(-3.0)) / max(1, len(names) * len(folds))
    limit = float(-stdtrit(freedom, level))
    found: set[int] = set()
    for held in folds:
        inside = np.isin(np.arange(len(means)), list(held))
        here, rest = np.where(inside, pairs, 0.0), np.where(inside, 0.0, pairs)
        if not (here.any() and rest.any()):
            continue
        gap = np.abs(here @ means / here.sum() - rest @ means / rest.sum())
        error = spread * np.sqrt(1 / here.sum() + 1 / rest.sum())
        with np.errstate(invalid="ignore", divide="ignore"):
            found |= {int(j) for j in np.flatnonzero(moving & (gap / error > limit))}
    return [names[j] for j in sorted(found)]


def _pair_error(means: Matrix, pairs: Matrix, owner: NDArray[np.int64]) -> tuple[Matrix, float]:
    """Spread of block means for blocks of one pair, and its degrees of freedom.

    The mean of n pairs has spread / sqrt(n). From the differences of neighbours in one
    trajectory, which a drift hardly changes; from the plain spread where most trajectories
    are one block.
    """
    inside = np.diff(owner) == 0
    if np.count_nonzero(inside) < 5:
        about = means - pairs @ means / pairs.sum()
        return np.sqrt(pairs @ about**2 / (len(means) - 1)), len(means) - 1.0
    steps = np.diff(means, axis=0)[inside] ** 2
    weights = 1 / (1 / pairs[:-1] + 1 / pairs[1:])[inside]
    # Differences that share a block are correlated: two thirds of them count.
    return np.sqrt(weights @ steps / len(steps)), 2 * len(steps) / 3
