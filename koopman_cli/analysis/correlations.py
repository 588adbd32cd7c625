"""Which input features carry a mode: correlations, and whether they survive the block bootstrap.

The correlation of slow function psi_i with feature x_j is

    r_ji = cov(x_j, psi_i) / sqrt(var(x_j) var(psi_i)),

summed over the thinned frames of the projection pass, so that no reading is added. An angle
that enters as its cosine and sine is one feature: its correlation is the multiple one, R >= 0,
of psi_i with both (Mardia's circular-linear correlation).

An interval re-draws independent blocks with replacement, and each time solves the moments of
those blocks again in the span of the slow functions, so that modes which mix show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import KoopmanError
from koopman_cli.features import angles
from koopman_cli.linalg import balanced
from koopman_cli.models.solve import Solver, solve
from koopman_cli.moments import BlockMoments
from koopman_cli.types import Correlations

Matrix = NDArray[np.float64]

#: More features than this are not correlated one by one.
MAX_FEATURES = 5000

#: Features kept, by their largest correlation with any mode.
KEPT = 100

REPLICATES = 100

#: An interval wider than this share of the value (below it: of 0.2) is no finding.
STEADY = 0.5
SMALL = 0.2


def grouped(names: Sequence[str]) -> list[tuple[str, tuple[int, ...]]]:
    """Features by name, with their columns: cosine and sine of an angle are one feature.

    >>> grouped(["cos phi ALA2", "sin phi ALA2", "d 1 5"])
    [('phi ALA2', (0, 1)), ('d 1 5', (2,))]
    """
    found, _ = angles(names, np.empty((0, len(names))))
    place = {name: k for k, name in enumerate(names)}
    pairs = {place[f"cos {a}"]: (a, (place[f"cos {a}"], place[f"sin {a}"])) for a in found}
    second = {columns[1] for _, columns in pairs.values()}
    return [pairs.get(k, (name, (k,))) for k, name in enumerate(names) if k not in second]


@dataclass(frozen=True)
class _Sums:
    """Sums over the frames of each of b blocks; ``partner`` is the other column of an angle.

    n : (b,); x, xx, xp : (b, d); f : (b, k); ff : (b, k, k); xf : (b, d, k)
    """

    n: Matrix
    x: Matrix
    xx: Matrix
    xp: Matrix
    f: Matrix
    ff: Matrix
    xf: Matrix


class Tally:
    """Takes features and functions of frames as they pass, and correlates them at the end.

    Parameters
    ----------
    names : sequence of str
        Of the d features.
    functions : int
        How many leading functions take part.
    owner : (n,) array
        Block of every frame that will pass, in order; -1 for none.
    blocks : int
        Number of blocks.
    """

    def __init__(
        self, names: Sequence[str], functions: int, owner: NDArray[np.int64], blocks: int
    ) -> None:
        self.features = grouped(names)
        d, k = len(names), functions
        self._partner = np.arange(d)
        self._first = np.array([columns[0] for _, columns in self.features], np.int64)
        self._second = np.array(
            [columns[1] if len(columns) == 2 else -1 for _, columns in self.features], np.int64
        )
        paired = self._second >= 0
        self._partner[self._first[paired]] = self._second[paired]
        self._partner[self._second[paired]] = self._first[paired]
        self._owner, self._seen = owner, 0
        self._centre, self._unit = np.zeros(d), np.ones(d)
        shapes = ((blocks,), *[(blocks, d)] * 3, (blocks, k), (blocks, k, k), (blocks, d, k))
        self._sums = _Sums(*(np.zeros(shape) for shape in shapes))

    def add(self, features: NDArray[np.floating], functions: Matrix) -> None:
        """The next frames: (n, d) features and (n, >= k) functions."""
        x = np.asarray(features, np.float64)
        f = np.asarray(functions[:, : self._sums.f.shape[1]], np.float64)
        if self._seen == 0:
            z, self._unit = balanced(x)
            self._centre = z.mean(axis=0)
        x = x * self._unit - self._centre
        owner = self._owner[self._seen : self._seen + len(x)]
        self._seen += len(x)
        s = self._sums
        for b in np.unique(owner[owner >= 0]):
            xb, fb = x[owner == b], f[owner == b]
            s.n[b] += len(xb)
            s.x[b] += xb.sum(axis=0)
            s.xx[b] += (xb * xb).sum(axis=0)
            s.xp[b] += (xb * xb[:, self._partner]).sum(axis=0)
            s.f[b] += fb.sum(axis=0)
            s.ff[b] += fb.T @ fb
            s.xf[b] += xb.T @ fb

    def correlations(self, weights: Matrix, rotation: Matrix) -> Matrix:
        """(features, functions) of blocks counted ``weights`` times, functions @ rotation."""
        s = self._sums
        n = max(float(weights @ s.n), 1.0)
        x, f = weights @ s.x / n, weights @ s.f / n
        variance = weights @ s.xx / n - x**2
        partner = weights @ s.xp / n - x * x[self._partner]
        cross = (np.tensordot(weights, s.xf, 1) / n - np.outer(x, f)) @ rotation
        spread = rotation.T @ (np.tensordot(weights, s.ff, 1) / n - np.outer(f, f)) @ rotation
        scale = np.sqrt(np.maximum(np.diag(spread), 1e-300))
        deviation = np.sqrt(np.maximum(variance, 0.0))
        moving = deviation > 1e-12 * np.abs(self._centre)
        safe = np.where(moving, deviation, 1.0)
        r = np.where(moving[:, None], cross / safe[:, None] / scale, 0.0)
        rho = np.where(moving, partner / safe / safe[self._partner], 0.0)
        found = r[self._first].copy()
        paired = self._second >= 0
        a, b = r[self._first[paired]], r[self._second[paired]]
        c = np.clip(rho[self._first[paired]], -1.0, 1.0)[:, None]
        free = np.maximum(1 - c**2, 1e-10)
        # Cosine and sine on one line (an angle that hardly moves) count once.
        squared = np.where(1 - c**2 < 1e-10, a**2, (a**2 + b**2 - 2 * a * b * c) / free)
        found[paired] = np.sqrt(np.clip(squared, 0.0, 1.0))
        return np.asarray(np.clip(found, -1.0, 1.0))


def block_of(blocks: BlockMoments, wanted: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Number of the block that holds each wanted frame (or the one before it), in order."""
    at = np.flatnonzero(blocks.is_block)
    far = 1 + max([int(blocks.stop.max(initial=0)), *(int(w.max(initial=0)) for w in wanted)])
    begins = blocks.trajectory[at] * far + blocks.start[at]
    order = np.argsort(begins, kind="stable")
    frames = np.concatenate([i * far + w for i, w in enumerate(wanted)] or [np.empty(0, np.int64)])
    rank = np.searchsorted(begins[order], frames, side="right") - 1
    return np.asarray(order[np.maximum(rank, 0)], np.int64)


def correlate(
    tally: Tally, blocks: BlockMoments, solver: Solver | None, labels: Sequence[str], seed: int
) -> Correlations | None:
    """Correlations with intervals, the features that matter most first.

    Parameters
    ----------
    tally : Tally
        Full.
    blocks : BlockMoments
        Independent blocks of the k functions of ``tally``.
    solver : {"reversible", "eig", "svd"} or None
        How the functions are found again in every replicate; None holds them fixed.
    labels : sequence of str
        Names of the functions.
    seed : int

    Returns
    -------
    Correlations or None
        None with fewer than two blocks.

    References
    ----------
    Künsch 1989 (blocks); Mardia, Stat. Sci. 4 (1989), circular-linear correlation.
    """
    count = blocks.n_blocks
    k = len(labels)
    if count < 2 or not tally.features:
        return None
    ones = np.ones(count)
    values = tally.correlations(ones, np.eye(k))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=REPLICATES).astype(float)
    again = np.array([tally.correlations(w, _rotation(blocks, w, solver, k)) for w in drawn])
    low, high = np.quantile(again, [0.025, 0.975], axis=0)
    low, high = np.minimum(low, values), np.maximum(high, values)
    steady = (high - low) <= STEADY * np.maximum(np.abs(values), SMALL)
    kept = np.argsort(-np.abs(values).max(axis=1), kind="stable")[:KEPT]
    return Correlations(
        names=tuple(tally.features[i][0] for i in kept),
        modes=tuple(labels),
        values=values[kept],
        low=low[kept],
        high=high[kept],
        stable=steady[kept],
        blocks=count,
        of=len(tally.features),
    )


def _rotation(blocks: BlockMoments, weights: Matrix, solver: Solver | None, k: int) -> Matrix:
    """What the functions become when the moments of re-drawn blocks are solved again."""
    if solver is None:
        return np.eye(k)
    at = np.flatnonzero(blocks.is_block)
    template = blocks.total()
    parts = {
        name: np.tensordot(weights, getattr(blocks, name)[0, at], 1) for name in ("xx", "xy", "yy")
    }
    try:
        found = solve(replace(template, **parts), solver).left
    except KoopmanError:
        return np.eye(k)
    rotation = np.eye(k)
    taken = min(k, found.shape[1])
    rotation[:, :taken] = found[:, :taken]
    # A sign is a convention: each function is turned to lie with the one it came from.
    signs = np.where(np.diag(rotation) < 0, -1.0, 1.0)
    return rotation * signs
