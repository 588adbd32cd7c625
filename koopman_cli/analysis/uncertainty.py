"""Error bars from block moments: the influence of every block on every quantity.

To first order a statistic moves by g_b when block b is given one more unit of weight. The
sum of g_b^2 over blocks that are several timescales long is the variance of the statistic
under a block bootstrap, without drawing anything and without a second look at the data.
Sources: Kunsch, Ann. Stat. 17, 1217 (1989); Efron and Tibshirani, An Introduction to the
Bootstrap (1993), chapter 21 (the infinitesimal jackknife).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.models.solve import Solution, Solver
from koopman_cli.moments import BlockMoments, Moments

Matrix = NDArray[np.float64]

#: Fewest blocks of at least three slowest timescales for a reliable interval.
MIN_BLOCKS = 20
TIMESCALES_PER_BLOCK = 3


@dataclass(frozen=True)
class Stack:
    """Sums of every block about the means of all pairs, ready for quadratic forms.

    xx, xy, yy : (blocks, k, k)
    pairs : (blocks,) pairs of each block
    n : pairs in all, those between blocks included
    c00, c01, c11 : (k, k) covariances of all pairs
    mean_x, mean_y : (k,) what was subtracted
    """

    xx: Matrix
    xy: Matrix
    yy: Matrix
    pairs: Matrix
    n: float
    c00: Matrix
    c01: Matrix
    c11: Matrix
    mean_x: Matrix
    mean_y: Matrix

    def variance(self, influence: Matrix) -> Matrix:
        """Variance of statistics from the influence (blocks, ...) of each block.

        The pairs between blocks are in the statistic but in no block, hence the ratio.
        """
        count = len(self.pairs)
        inside = self.pairs.sum()
        if count < 2 or inside <= 0:
            return np.full(np.shape(influence)[1:], np.nan)
        spread: Matrix = np.sum(influence**2, axis=0) * count / (count - 1) * self.n / inside
        return spread

    def error(self, influence: Matrix) -> Matrix:
        """Standard error, the root of :meth:`variance`."""
        value: Matrix = np.sqrt(self.variance(influence))
        return value


def stack(
    blocks: BlockMoments, lag: int | None = None, *, joint: bool, center: bool = True
) -> Stack:
    """Centre the moments of all blocks about the means of all pairs.

    Parameters
    ----------
    blocks : BlockMoments
        Of a few functions (see :meth:`BlockMoments.projected`), merged to independent blocks.
    lag : int, optional
        Which of its lags; the only one by default.
    joint : bool
        One mean of x and y together and both directions of time averaged (reversible).
    center : bool
        Whether means are removed at all.
    """
    total = blocks.total(lag)
    if joint:
        total = total.symmetrized()
    i = blocks.lags.index(lag) if lag is not None else 0
    inside = blocks.is_block
    xx, xy, yy = (part[i][inside] / np.outer(_unit(blocks), _unit(blocks))
                  for part in (blocks.xx, blocks.xy, blocks.yy))  # fmt: skip
    if joint:
        xx = yy = (xx + yy) / 2
        xy = (xy + xy.transpose(0, 2, 1)) / 2
    n = total.n
    c = total.covariances(center=center)
    scale = np.outer(total.scale, total.scale)
    mx, my = c.mean_x / total.scale, c.mean_y / total.scale
    return Stack(
        _centred(xx, mx, mx),
        _centred(xy, mx, my),
        _centred(yy, my, my),
        xx[:, -1, -1],
        n,
        c.c00 / scale,
        c.c01 / scale,
        c.c11 / scale,
        mx,
        my,
    )


def _unit(blocks: BlockMoments) -> Matrix:
    return np.append(blocks.scale, 1.0)


def _centred(sums: Matrix, a: Matrix, b: Matrix) -> Matrix:
    """Sums of (f - a)(g - b)' from augmented sums of f g'."""
    inner, f, g, n = sums[:, :-1, :-1], sums[:, :-1, -1], sums[:, -1, :-1], sums[:, -1, -1]
    value: Matrix = (
        inner - f[:, :, None] * b - a[:, None] * g[:, None, :] + n[:, None, None] * np.outer(a, b)
    )
    return value


def owners_of(blocks: BlockMoments, trajectory: int, first: int, count: int) -> NDArray[np.int64]:
    """Which block each of some successive frames of a trajectory lies in, -1 for none."""
    owner = np.full(count, -1)
    for number, region in enumerate(np.flatnonzero(blocks.is_block)):
        if blocks.trajectory[region] == trajectory:
            start, stop = (int(edge[region]) - first for edge in (blocks.start, blocks.stop))
            owner[max(start, 0) : max(stop, 0)] = number
    return owner


@dataclass(frozen=True)
class Influences:
    """Eigenvalues (or singular values) and how much each block moves them.

    values : (k,) complex
    blocks : (blocks, k) complex influence on them
    stack : what they were computed from
    """

    values: NDArray[np.complex128]
    blocks: NDArray[np.complex128]
    stack: Stack

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return len(self.blocks)

    @property
    def size(self) -> Matrix:
        """Influence on |lambda|: Re(conj(lambda) g) / |lambda|; with its sign where real."""
        modulus = np.abs(self.values)
        real = np.abs(self.values.imag) == 0
        scale = np.where(modulus > 0, modulus, 1.0)
        turned = (np.conj(self.values) * self.blocks).real / scale
        value: Matrix = np.where(real, self.blocks.real, turned)
        return value

    @property
    def angle(self) -> Matrix:
        """Influence on arg lambda: Im(conj(lambda) g) / |lambda|^2."""
        modulus = np.abs(self.values)
        value: Matrix = (np.conj(self.values) * self.blocks).imag / np.where(
            modulus > 0, modulus**2, 1.0
        )
        return value

    @property
    def log_time(self) -> Matrix:
        """Influence on ln t = ln(-tau / ln|lambda|): g / (-lambda ln lambda); NaN where no t."""
        modulus = self.moduli
        with np.errstate(invalid="ignore", divide="ignore"):
            slope = np.where(
                (modulus > 0) & (modulus < 1), 1 / (-modulus * np.log(modulus)), np.nan
            )
        value: Matrix = self.size * slope
        return value

    @property
    def moduli(self) -> Matrix:
        """|lambda| of complex eigenvalues, lambda itself (with its sign) of real ones."""
        real = np.abs(self.values.imag) == 0
        value: Matrix = np.where(real, self.values.real, np.abs(self.values))
        return value

    def errors(self) -> Matrix:
        """Standard error of |lambda|."""
        return self.stack.error(self.size)


def influences(
    blocks: BlockMoments,
    solution: Solution,
    solver: Solver,
    count: int,
    *,
    lag: int | None = None,
    center: bool = True,
) -> Influences:
    """Influence of every block on the leading ``count`` eigenvalues or singular values.

    With M_b the moments of block b about the means of all n pairs,

        reversible  g_b = psi'(M01_b - lambda M00_b) psi / n
        eig         g_b = w*(M01_b - lambda M00_b) v / (n w*C00 v)
        svd         g_b = [u'M01_b v - (s/2)(u'M00_b u + v'M11_b v)] / n

    Parameters
    ----------
    blocks : BlockMoments
        Of the functions that ``solution`` combines, merged to independent blocks.
    solution : Solution
        Solved from the total of the same moments (at the same lag).
    solver : {"reversible", "eig", "svd"}
        By which solver.
    count : int
        Leading functions; a complex pair should not be split.
    lag : int, optional
        Which lag of ``blocks``.
    center : bool
        Whether the solver removed the means.

    Examples
    --------
    >>> from koopman_cli.accumulate import accumulate
    >>> from koopman_cli.features.stream import FeatureStream
    >>> from koopman_cli.models.solve import solve
    >>> from scipy.signal import lfilter
    >>> x = lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal(50_000))
    >>> moments, _ = accumulate(FeatureStream.from_arrays(x), [1])
    >>> found = influences(moments, solve(moments.total(), "reversible"), "reversible", 1)
    >>> exact = np.sqrt((1 - 0.9**2) / 50_000)
    >>> bool(0.8 < found.errors()[0] / exact < 1.25)
    True
    """
    small = blocks if lag is None else blocks.at_lag(lag)
    if solver == "svd":
        return _of_svd(small, solution, count, center)
    assert solution.eigenvalues is not None
    values = solution.eigenvalues[:count]
    of = _of_reversible if solver == "reversible" else _of_eig
    return of(small, solution, values, center)


def _of_reversible(
    blocks: BlockMoments, solution: Solution, values: NDArray[np.complex128], center: bool
) -> Influences:
    psi = solution.left[:, : len(values)]
    s = stack(blocks.projected(solution.mean_x, psi), joint=True, center=center)
    diagonal = np.einsum("bii->bi", s.xy) - values.real * np.einsum("bii->bi", s.xx)
    return Influences(values, (diagonal / s.n).astype(np.complex128), s)


def complex_pairs(
    moments: Moments, solution: Solution, *, center: bool = True
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """Right functions v (columns) of an eig solution, and the left ones w with w* C00 v = 1.

    All right functions together have the left ones as their dual.

    Parameters
    ----------
    moments : Moments
        From which the solution was solved.
    solution : Solution
        Of the eig solver, all its functions.
    """
    assert solution.eigenvalues is not None
    right = solution.left.astype(np.complex128)
    for j in np.flatnonzero(solution.eigenvalues.imag > 0):
        if j + 1 < right.shape[1]:
            right[:, j] = solution.left[:, j] + 1j * solution.left[:, j + 1]
            right[:, j + 1] = right[:, j].conj()
    c00 = moments.covariances(center=center).c00 / np.outer(moments.scale, moments.scale)
    gram = right.conj().T @ c00 @ right
    dual = np.linalg.lstsq(gram, right.conj().T, rcond=None)[0].conj().T
    return right, np.asarray(dual, np.complex128)


def _of_eig(
    blocks: BlockMoments, solution: Solution, values: NDArray[np.complex128], center: bool
) -> Influences:
    k = len(values)
    right, dual = (a[:, :k] for a in complex_pairs(blocks.total(), solution, center=center))
    parts = np.column_stack([right.real, right.imag, dual.real, dual.imag])
    s = stack(blocks.projected(solution.mean_x, parts), joint=False, center=center)

    def form(sums: Matrix) -> NDArray[np.complex128]:
        """w* S v for every block and function."""

        def pick(i: int, j: int) -> Matrix:
            part = sums[:, i * k : (i + 1) * k, j * k : (j + 1) * k]
            diagonal: Matrix = np.einsum("bii->bi", part)
            return diagonal

        wr_vr, wr_vi, wi_vr, wi_vi = pick(2, 0), pick(2, 1), pick(3, 0), pick(3, 1)
        return np.asarray((wr_vr + wi_vi) + 1j * (wr_vi - wi_vr))

    return Influences(values, (form(s.xy) - values * form(s.xx)) / s.n, s)


def _of_svd(blocks: BlockMoments, solution: Solution, count: int, center: bool) -> Influences:
    assert solution.singular_values is not None
    values = solution.singular_values[:count]
    k = len(values)
    pair = np.column_stack([solution.left[:, :k], solution.right[:, :k]])
    s = stack(blocks.projected(solution.mean_x, pair), joint=False, center=center)
    cross = np.einsum("bii->bi", s.xy[:, :k, k:])
    own = np.einsum("bii->bi", s.xx[:, :k, :k]) + np.einsum("bii->bi", s.yy[:, k:, k:])
    g = (cross - values / 2 * own) / s.n
    return Influences(values.astype(np.complex128), g.astype(np.complex128), s)


def student(blocks: int, level: float = 0.95) -> float:
    """Quantile of Student's t for a two-sided interval with ``blocks`` - 1 degrees of freedom.

    >>> round(student(21), 3)
    2.086
    """
    from scipy.special import stdtrit

    return float(stdtrit(max(blocks - 1, 1), (1 + level) / 2))
