"""What a table of scores says: a recommended cell per lag, and whether the best is better.

Scores at different lags measure different operators, so everything here happens within
one lag.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from koopman_cli.analysis.coherences import REPEATS
from koopman_cli.candidates import Candidate, Difference, Recommendation
from koopman_cli.nouns import counted, verb
from koopman_cli.types import Lag
from koopman_cli.validation import pick_simplest

#: With fewer blocks of three timescales than this, error bars mean little.
FEWEST_EFFECTIVE = 5

NOTHING = "no slow mode in these features"


def describe(cell: Candidate) -> str:
    """A cell in a few words: family, settings that were set, features, dim."""
    settings = ",".join(f"{name}={value}" for name, value in cell.settings.items())
    model = f"{cell.model}({settings})" if settings else cell.model
    return f"{model} on {cell.features}, dim {cell.dim}"


def lags_of(cells: Sequence[Candidate]) -> list[Lag]:
    """The lags of some cells, each once, in order."""
    return list(dict.fromkeys(cell.lag for cell in cells))


def above_floor(cell: Candidate, floor: float) -> bool:
    """Whether the leading value, and the held-out score, pass those of one mode at the floor.

    A floor above :data:`REPEATS` is that of data that repeat themselves, or of as many functions
    as the pairs can hold. Where folds hold out whole runs, which are independent, these decide
    instead: they must keep half of the training score by two errors, since fitted noise loses it.
    """
    told = cell.score.vampe
    test = told.test or 0.0
    if cell.whole and floor > REPEATS:
        return test - 1 - 2 * (told.stderr or 0.0) > (told.train - 1) / 2
    return cell.leading > floor and test > 1 + floor**2


def groups_of(cells: Sequence[Candidate]) -> list[tuple[Lag, int]]:
    """Lag and window of some cells, each once, lag by lag; only cells of one are compared.

    A window of delays brings the two ends of a pair nearer to each other: its scores are those of
    a shorter lag.
    """
    keys = dict.fromkeys((cell.lag, cell.window) for cell in cells)
    return [key for lag in lags_of(cells) for key in keys if key[0] == lag]


def _comparable(cells: Sequence[Candidate], key: tuple[Lag, int], folds: int) -> list[int]:
    """Cells at a lag, with a window, that were scored in every fold."""
    return [
        i
        for i, c in enumerate(cells)
        if (c.lag, c.window) == key and len(c.score.vampe.folds) == folds > 1
    ]


def recommend(cells: Sequence[Candidate], repeats: int = 1) -> tuple[Recommendation, ...]:
    """The simplest cell within one standard error of the best, at every lag.

    The error is that of the fold-wise difference to the best (:func:`pick_simplest`); simple
    is first of all few functions, then few columns, then few readings. Nothing is
    recommended where the constant is not beaten by two errors, where the leading value or the
    score is not above the noise floor, or where more than one fold holds too few events.
    """
    folds = max((len(c.score.vampe.folds) for c in cells), default=0)
    return tuple(
        replace(_recommend_at(cells, key, folds, repeats), window=key[1])
        for key in groups_of(cells)
    )


def _recommend_at(
    cells: Sequence[Candidate], key: tuple[Lag, int], folds: int, repeats: int
) -> Recommendation:
    index, lag = _comparable(cells, key, folds), key[0]
    if not index:
        return Recommendation(lag, None, "too few blocks for held-out scores")
    scores = np.array([cells[i].score.vampe.folds for i in index])
    costs = [(cells[i].dim, cells[i].width, cells[i].passes, i) for i in index]
    found = pick_simplest(scores, costs, repeats)
    if found.taken is None:
        reason = "no held-out VAMP-E is two standard errors above that of the constant (1)"
        return Recommendation(lag, None, f"{NOTHING}: {reason}")
    taken = index[found.taken]
    cell, score = cells[taken], cells[taken].score
    if score.poor_folds > repeats:
        many = f"{score.poor_folds} of {counted(len(score.vampe.folds), 'fold')}"
        reason = (
            f"{many} {verb(score.poor_folds, 'hold')} too few events to judge {describe(cell)}, "
            "the simplest good cell"
        )
        return Recommendation(lag, None, reason)
    if cell.floor is not None and not above_floor(cell, cell.floor):
        score_there = 1 + cell.floor**2
        reason = (
            f"nothing is above the noise floor ({cell.floor:.3g}, a score of {score_there:.4g})"
        )
        return Recommendation(lag, None, f"{NOTHING}: {reason}")
    assert found.best is not None
    best = index[found.best]
    if best == taken:
        reason = (
            f"{describe(cell)}: the best held-out VAMP-E; every simpler cell is worse by more than "
            "one error of the difference fold by fold"
        )
    else:
        reason = (
            f"{describe(cell)}: the simplest within one standard error of the best "
            f"({describe(cells[best])})"
        )
    return Recommendation(lag, taken, reason)


def differences(cells: Sequence[Candidate], repeats: int = 1) -> tuple[Difference, ...]:
    """At every lag (and window) the two cells of highest held-out VAMP-E, fold by fold."""
    from scipy.special import stdtrit

    folds = max((len(c.score.vampe.folds) for c in cells), default=0)
    found = []
    for key in groups_of(cells):
        index, lag = _comparable(cells, key, folds), key[0]
        if len(index) < 2:
            continue
        scores = np.array([cells[i].score.vampe.folds for i in index])
        order = np.argsort(-scores.mean(axis=1), kind="stable")[:2]
        gap = scores[order[0]] - scores[order[1]]
        count = folds // repeats
        reach = float(stdtrit(count - 1, 0.975) * gap.std(ddof=1) / np.sqrt(count))
        mean = float(gap.mean())
        pair = index[int(order[0])], index[int(order[1])]
        values = tuple(float(g) for g in gap)
        found.append(Difference(lag, *pair, mean, mean - reach, mean + reach, values))
    return tuple(found)


def several_windows(cells: Sequence[Candidate]) -> tuple[str, ...]:
    """A note where cells of one lag have delay windows of different lengths."""
    windows = sorted({cell.window for cell in cells})
    if len(windows) < 2:
        return ()
    named = ", ".join(str(window + 1) for window in windows)
    said = (
        f"windows of {named} frames: a window of N frames brings the two ends of a pair N - 1 "
        "frames nearer, which raises scores, so only cells with windows of one length are compared"
    )
    return (said,)


def shaky_lags(cells: Sequence[Candidate], frames: int) -> tuple[str, ...]:
    """Warnings for lags with fewer than five effective blocks (three slowest timescales)."""
    said = []
    for lag in lags_of(cells):
        slowest = max(c.slowest for c in cells if c.lag == lag)
        count = frames / (3 * max(slowest, lag.frames))
        if count < FEWEST_EFFECTIVE:
            held = "less than one effective block" if count < 1 else f"{count:.1f} effective blocks"
            said.append(
                f"lag {counted(lag.frames, 'frame')}: {held} (of three slowest timescales; "
                f"{FEWEST_EFFECTIVE} are needed); error bars of scores are not to be trusted"
            )
    return tuple(said)
