"""Verdicts on coherences: singular values of data that are not symmetric in time.

They have no timescale, yet what makes an eigenvalue worthless makes them worthless too: noise,
functions that held-out data do not know, a drift seen once, a random walk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis import onestep
from koopman_cli.analysis.modes import FEW_CROSSINGS
from koopman_cli.analysis.spectrum import WALK, Context, Verdict
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments
from koopman_cli.types import Mode

Matrix = NDArray[np.float64]

#: A floor above this comes from data that repeat themselves, where a shift destroys nothing, if
#: held-out data keep this much of the coherence, and the function goes to and fro or runs are many.
REPEATS = 0.9

NO_TIME = "coherence (singular value) of data that are not reversible in time: no timescale"


@dataclass(frozen=True)
class Seen:
    """What the data say of k coherences besides their size.

    crossings : (k,) changes of side of each function inside trajectories
    held : (k, 2) coherence of the training functions on held-out blocks and its standard error;
        None where nothing can be held out
    """

    crossings: NDArray[np.int64]
    held: Matrix | None


def held_out_coherences(
    blocks: BlockMoments, held: Sequence[Sequence[int]], trained: Sequence[Solution], count: int
) -> Matrix:
    """Correlation of left with right functions of each fold on the blocks it holds out.

    Returns
    -------
    (count, 2) array
        Mean over the folds, and its standard error.
    """
    rows = np.zeros((len(held), count))
    for row, members, own in zip(rows, held, trained, strict=True):
        fresh = blocks.sum_blocks(members)
        c, scale = fresh.covariances(), fresh.scale[:, None]
        left, right = own.left[:, :count] / scale, own.right[:, :count] / scale
        cross = np.sum(left * (c.c01 @ right), axis=0)
        size = np.sum(left * (c.c00 @ left), axis=0) * np.sum(right * (c.c11 @ right), axis=0)
        k = len(cross)
        row[:k] = np.where(size > 0, cross / np.sqrt(np.where(size > 0, size, 1.0)), 0.0)
    return np.stack([rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(len(rows))], axis=1)


def held_out_memory(
    blocks: BlockMoments,
    held: Sequence[Sequence[int]],
    trained: Sequence[Solution],
    values: NDArray[np.complex128],
) -> Matrix:
    """Correlation of the functions of each fold with themselves a lag later, on what it holds out.

    The function of a fold is the one whose eigenvalue is nearest; of a complex one the part of
    <psi(x), psi(y)> counts that has the phase of its eigenvalue. Two that are nearly equal are a
    pair in one fold and real in another.

    Returns
    -------
    (count, 2) array
        Mean over the folds, and its standard error.
    """
    rows = np.zeros((len(held), len(values)))
    for row, members, own in zip(rows, held, trained, strict=True):
        assert own.eigenvalues is not None
        fresh = blocks.sum_blocks(members)
        c, left = fresh.covariances(), own.left / fresh.scale[:, None]
        for j, value in enumerate(values):
            turn = np.sign(value.imag)
            same = np.flatnonzero((np.sign(own.eigenvalues.imag) == turn) | (turn == 0))
            if not len(same):
                continue
            best = int(same[np.argmin(np.abs(own.eigenvalues[same] - value))])
            psi = _complex_column(left, best, own.eigenvalues[best])
            size = float(((psi.conj() @ c.c00 @ psi) * (psi.conj() @ c.c11 @ psi)).real)
            turned = np.conj(value) * (psi.conj() @ c.c01 @ psi)
            row[j] = turned.real / abs(value) / np.sqrt(size) if size > 0 and abs(value) else 0.0
    return np.stack([rows.mean(axis=0), rows.std(axis=0, ddof=1) / np.sqrt(len(rows))], axis=1)


def _complex_column(left: Matrix, j: int, value: complex) -> NDArray[np.complex128]:
    """Function j, whose pair is stored as real and imaginary part."""
    if not value.imag:
        return left[:, j].astype(np.complex128)
    first = j if value.imag > 0 else j - 1
    if first + 1 >= left.shape[1]:
        return left[:, first].astype(np.complex128)
    sign = 1 if value.imag > 0 else -1
    return np.asarray(left[:, first] + 1j * sign * left[:, first + 1], np.complex128)


def not_supported(
    held: Matrix | None, values: NDArray[np.complex128], floor: float | None, *, few: bool
) -> dict[int, str]:
    """Modes (from 0) that held-out data do not support, and why.

    Held out, a function must correlate with itself a lag later by two standard errors; where few
    pairs meet many functions (``few``) it must keep half of its eigenvalue, since fitted noise has
    large ones. Where nothing can be held out a noise floor must exist.

    Examples
    --------
    >>> values = np.array([0.8 + 0j, 0.6])
    >>> not_supported(np.array([[0.7, 0.1], [0.1, 0.1]]), values, None, few=True)
    {1: 'held-out data do not support it: 0.1 ± 0.1 there'}
    """
    if held is None:
        reason = "too few pairs for a noise floor, and nothing can be held out"
        return dict.fromkeys(range(len(values)), reason) if floor is None else {}
    least = np.abs(values) / 2 if few else np.zeros(len(values))
    return {
        j: f"held-out data do not support it: {mean:.2g} ± {error:.1g} there"
        for j, (mean, error) in enumerate(held.tolist())
        if mean - 2 * error <= least[j]
    }


def judge_coherences(
    modes: Sequence[Mode], seen: Seen, context: Context
) -> tuple[tuple[Mode, ...], tuple[int, ...]]:
    """Coherences with verdict and reason, and those (from 0) that drifts and walks may make.

    Crossings are asked of few long runs only: coherent sets of many short ones are never left.

    Examples
    --------
    >>> from koopman_cli.types import Lag
    >>> context = Context(Lag(1, 1.0, "frames"), 0.5, 400, "svd")
    >>> drift, wave = (Mode(1, None, 0.999), Mode(2, None, 0.999))
    >>> seen = Seen(np.array([1, 30]), np.array([[0.99, 0.001], [0.99, 0.001]]))
    >>> judged, wandering = judge_coherences([drift, wave], seen, context)
    >>> [mode.verdict for mode in judged], wandering
    (['unresolved', 'resolved'], (0,))
    """
    told: list[Mode] = []
    wandering: list[int] = []
    why = onestep.NO_TIME if onestep.one_step(context.longest, context.lag.frames) else NO_TIME
    for i, mode in enumerate(modes):
        reason = _unsupported(i, mode.singular_value or 0.0, seen, context)
        if reason is None:
            reason = _wanders(mode.singular_value or 0.0, int(seen.crossings[i]), context, told)
            if reason is not None:
                wandering.append(i)
        verdict: Verdict = "resolved" if reason is None else "unresolved"
        told.append(replace(mode, verdict=verdict, reason=reason or why))
    return tuple(told), tuple(wandering)


def _unsupported(i: int, s: float, seen: Seen, context: Context) -> str | None:
    """Why noise may have made a coherence, or None."""
    floor, held = context.floor, None
    if seen.held is not None:
        mean, error = seen.held[i]
        held = float(mean - 2 * error)
    if floor is None:
        if held is None:
            return "too few pairs for a noise floor, and nothing can be held out"
        # Fitted to few pairs per function, noise looks like a large coherence.
        return None if held > s / 2 else _lost(i, seen, " (more than half of it)")
    if held is not None and held <= 0:
        return _lost(i, seen, "")
    # Members of an ensemble are independent: what is held out of them needs not go to and fro.
    many = (context.frames or context.longest) >= WALK * context.longest
    kept = held is not None and held > REPEATS * s and (many or seen.crossings[i] >= WALK)
    if s <= floor and not (kept and floor > REPEATS):
        return f"coherence at or below the noise floor ({floor:.3g})"
    return None


def _lost(i: int, seen: Seen, most: str) -> str:
    assert seen.held is not None
    mean, error = seen.held[i]
    return f"held-out data do not support it{most}: {mean:.2g} ± {error:.1g} there"


def _wanders(s: float, crossings: int, context: Context, before: Sequence[Mode]) -> str | None:
    """Why a drift or a random walk may have made a coherence, or None."""
    frames = context.frames or context.longest
    if frames >= WALK * context.longest or crossings >= WALK:
        return None
    if crossings < FEW_CROSSINGS:
        times = "one crossing" if crossings == 1 else f"{crossings} crossings"
        return f"seen in {times} only: a drift would look like it"
    k = sum(mode.verdict != "resolved" for mode in before)
    needed = WALK * (k + 1) * (k + 2) / 2
    time = -context.lag.frames / np.log(s) if 0 < s < 1 else np.inf
    if frames >= needed * time:
        return None
    return (
        f"not told from a random walk: the data hold {frames / time:.2g} times -lag / ln s "
        f"({needed:g} are needed)"
    )
