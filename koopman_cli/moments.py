"""Lagged moments: a vector that carries all that linear algebra needs to know of the data.

For pairs (x_t, y_t = x_{t+lag}) and z = [(x - shift) * scale, 1], three matrices

    xx = sum z_x z_x',   xy = sum z_x z_y',   yy = sum z_y z_y'        (d+1, d+1)

hold the sums, the products and, in their last corner, the number of pairs. Moments add,
subtract and multiply by a number; blocks of them give training sets, folds and error bars
without a second look at the data.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blas import product
from koopman_cli.errors import SupportError
from koopman_cli.products import affine, augment, congruence, products
from koopman_cli.triangular import LowerTriangular

Matrix = NDArray[np.float64]

#: Numbers in a matrix below which a copy of many costs less than adding them one by one.
SMALL = 2**16

#: Rows of a matrix that are worked on at once, so that what is taken away stays in the cache.
STRIPE = 128


@dataclass(frozen=True)
class Covariances:
    """Centred (or raw) second moments divided by n, in units of z; means likewise."""

    c00: Matrix
    c01: Matrix
    c11: Matrix
    mean_x: Matrix
    mean_y: Matrix


@dataclass(frozen=True)
class Moments:
    """Sums over lagged pairs about a fixed shift and a power-of-two scale.

    xx, xy, yy : (d+1, d+1) sums of products of z = [(x - shift) * scale, 1]
    shift, scale : (d,)
    later : (q, q) lower triangular; multiplied by it, the last q functions are orthonormal
        coordinates as the others are. None where all are, or where that means nothing

    Examples
    --------
    >>> x = np.arange(6.0)[:, None]
    >>> a, b = Moments.of_pairs(x[:2], x[1:3]), Moments.of_pairs(x[2:5], x[3:6])
    >>> both = a + b
    >>> both.n, both.mean_x.tolist(), (both - a).n
    (5.0, [2.0], 3.0)
    """

    xx: Matrix
    xy: Matrix
    yy: Matrix
    shift: Matrix
    scale: Matrix
    later: Matrix | None = None

    @classmethod
    def of_pairs(
        cls,
        x: NDArray[Any],
        y: NDArray[Any],
        weights: NDArray[Any] | None = None,
        shift: Matrix | None = None,
        scale: Matrix | None = None,
    ) -> Moments:
        """Moments of given pairs (n, d), (n, d); the plain way that the fast way must equal."""
        d = x.shape[1]
        shift = np.zeros(d) if shift is None else shift
        scale = np.ones(d) if scale is None else scale
        zx, zy = (augment(a, shift, scale, np.dtype(np.float64)) for a in (x, y))
        return cls(*products(zx, zy, weights), shift, scale)

    @property
    def n(self) -> float:
        """Number of pairs (sum of their weights)."""
        return float(self.xx[-1, -1])

    @property
    def mean_x(self) -> Matrix:
        """Mean of x, in the units of x."""
        return self.shift + self.xx[:-1, -1] / self.n / self.scale

    @property
    def mean_y(self) -> Matrix:
        """Mean of y, in the units of y."""
        return self.shift + self.yy[:-1, -1] / self.n / self.scale

    def __add__(self, other: Moments) -> Moments:
        if self.shift is not other.shift or self.scale is not other.scale:
            other = other.rebased(self.shift, self.scale)
        return replace(self, xx=self.xx + other.xx, xy=self.xy + other.xy, yy=self.yy + other.yy)

    def __sub__(self, other: Moments) -> Moments:
        return self + other * -1.0

    def __mul__(self, factor: float) -> Moments:
        return replace(self, xx=self.xx * factor, xy=self.xy * factor, yy=self.yy * factor)

    __rmul__ = __mul__

    def rebased(self, shift: Matrix, scale: Matrix) -> Moments:
        """The same moments about another shift and scale."""
        if np.array_equal(shift, self.shift) and np.array_equal(scale, self.scale):
            return replace(self, shift=shift, scale=scale)
        ratio = scale / self.scale
        transform = np.diag(np.append(ratio, 1.0))
        transform[-1, :-1] = (self.shift - shift) * scale
        xx, xy, yy = congruence((self.xx, self.xy, self.yy), transform)
        return replace(self, xx=xx, xy=xy, yy=yy, shift=shift, scale=scale)

    def symmetrized(self) -> Moments:
        """Moments of the pairs taken in both directions (reversible estimate), halved."""
        same = (self.xx + self.yy) / 2
        return replace(self, xx=same, xy=(self.xy + self.xy.T) / 2, yy=same)

    def orthonormal(self) -> Moments:
        """Moments of orthonormal coordinates, where the last functions are none yet."""
        if self.later is None:
            return self
        at = len(self.shift) - len(self.later)
        step = LowerTriangular(self.later / self.scale[at:])
        scale, shift = self.scale.copy(), self.shift.copy()
        scale[at:], shift[at:] = 1.0, product(self.later, shift[at:, None])[:, 0]
        made: dict[int, Matrix] = {}  # xx and yy may be one matrix
        for part in (self.xx, self.xy, self.yy):
            if id(part) not in made:
                made[id(part)] = found = part.copy()
                step.times(found[:, at:-1])
                step.times_columns(found[at:-1])
        xx, xy, yy = (made[id(part)] for part in (self.xx, self.xy, self.yy))
        return Moments(xx, xy, yy, shift, scale)

    def of_functions(self, coefficients: Matrix) -> Matrix:
        """Coefficients (d, k) of these functions, from those of orthonormal coordinates."""
        if self.later is None:
            return coefficients
        at = len(self.shift) - len(self.later)
        return np.concatenate([coefficients[:at], product(self.later.T, coefficients[at:])])

    def projected(self, origin: Matrix, functions: Matrix) -> Moments:
        """Moments of f = (x - origin) @ functions, in k functions (d, k)."""
        transform = affine(self.shift, self.scale, origin, functions)
        k = functions.shape[1]
        return Moments(*congruence((self.xx, self.xy, self.yy), transform), np.zeros(k), np.ones(k))

    def covariances(self, *, center: bool = True) -> Covariances:
        """Second moments divided by n, about their means or about the origin of x."""
        if self.n <= 0:
            raise SupportError("no lagged pairs", "take a shorter lag or longer trajectories")
        if center:
            mx, my = self.xx[:-1, -1] / self.n, self.yy[:-1, -1] / self.n
            c00, c01 = self._centred(self.xx, mx, mx), self._centred(self.xy, mx, my)
            c11 = c00 if self.yy is self.xx else self._centred(self.yy, my, my)
            return Covariances(c00, c01, c11, mx, my)
        raw = self.rebased(np.zeros_like(self.shift), self.scale)
        c00, c01, c11 = (m[:-1, :-1] / self.n for m in (raw.xx, raw.xy, raw.yy))
        return Covariances(c00, c01, c11, np.zeros_like(self.shift), np.zeros_like(self.shift))

    def _centred(self, part: Matrix, a: Matrix, b: Matrix) -> Matrix:
        c: Matrix = part[:-1, :-1] / self.n
        for at in range(0, len(c), STRIPE):
            c[at : at + STRIPE] -= np.outer(a[at : at + STRIPE], b)
        return c


@dataclass(frozen=True)
class BlockMoments:
    """Moments per block and per boundary between blocks, for one or several lags.

    Regions follow each other in time. A block holds the pairs with both ends in it; the
    boundary after it holds all pairs up to the first of the next block, so that
    block + boundary + block is exactly the block cut without that boundary.

    lags : frames
    xx, xy, yy : (lags, regions, d+1, d+1); those of wide lifts multiplied in float32 are
        kept in float32
    is_block : (regions,) bool
    trajectory, start, stop : (regions,) which frames a block holds; the ``stop`` of a block
        that runs on through further short trajectories counts on through them
    frames : number of frames behind all of it
    eps : resolution of the input (machine epsilon of its dtype)
    later : as of :class:`Moments`
    """

    lags: tuple[int, ...]
    xx: Matrix
    xy: Matrix
    yy: Matrix
    shift: Matrix
    scale: Matrix
    is_block: NDArray[np.bool_]
    trajectory: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    frames: int
    eps: float = 2.0**-52
    later: Matrix | None = None

    @property
    def n_blocks(self) -> int:
        """Number of blocks (boundaries not counted)."""
        return int(np.count_nonzero(self.is_block))

    def _sum(self, regions: NDArray[Any] | slice, lag: int | None) -> Moments:
        i = self.lags.index(lag) if lag is not None else 0
        xx, xy, yy = (_added(part[i], regions) for part in (self.xx, self.xy, self.yy))
        return Moments(xx, xy, yy, self.shift, self.scale, self.later)

    def total(self, lag: int | None = None) -> Moments:
        """Moments of all pairs: blocks and boundaries."""
        return self._sum(slice(None), lag)

    def sum_blocks(self, blocks: Iterable[int], lag: int | None = None) -> Moments:
        """Moments of some blocks, numbered 0 .. n_blocks - 1; a training or a test set."""
        index = np.flatnonzero(self.is_block)[np.asarray(list(blocks), np.int64)]
        return self._sum(index, lag)

    def sum_joined(self, blocks: Iterable[int], lag: int | None = None) -> Moments:
        """Moments of some blocks and of the boundaries between neighbours among them.

        A boundary between two blocks of a set touches no frame of a block outside of it, so
        neighbours in one training or test set need no gap.
        """
        return self._sum(self.joined(blocks), lag)

    def joined(self, blocks: Iterable[int]) -> NDArray[np.int64]:
        """Regions of some blocks and of the boundaries between neighbours among them."""
        index = np.flatnonzero(self.is_block)[np.asarray(list(blocks), np.int64)]
        chosen = {int(r) for r in index}
        inner = [
            r + 1
            for run in self._runs()
            for r, following in pairwise(run)
            if following == r + 2 and r in chosen and following in chosen
        ]
        return np.sort(np.append(index, np.array(inner, np.int64)))

    def block(self, block: int, lag: int | None = None) -> Moments:
        """Moments of one block."""
        return self.sum_blocks([block], lag)

    def at_lag(self, lag: int) -> BlockMoments:
        """The same blocks at one of the lags only."""
        i = slice(self.lags.index(lag), self.lags.index(lag) + 1)
        return replace(self, lags=(lag,), xx=self.xx[i], xy=self.xy[i], yy=self.yy[i])

    def projected(self, origin: Matrix, functions: Matrix, plus: Any = 0.0) -> BlockMoments:
        """Block moments of k functions f = (x - origin) @ functions + plus."""
        k = functions.shape[1]
        t = affine(self.shift, self.scale, origin, functions)
        t[-1, :-1] += plus
        xx, xy, yy = (t.T @ (part @ t) for part in (self.xx, self.xy, self.yy))
        zero, one = np.zeros(k), np.ones(k)
        return replace(self, xx=xx, xy=xy, yy=yy, shift=zero, scale=one, later=None)

    def merged(self, min_frames: float) -> BlockMoments:
        """Join neighbouring blocks until each spans at least ``min_frames``.

        Blocks of different trajectories or segments are never joined through a boundary; short
        trajectories stay blocks of their own.
        """
        groups = self._groups(min_frames)
        return self if all(len(group) == 1 for group in groups) else self._grouped(groups)

    def merged_like(self, other: BlockMoments) -> BlockMoments:
        """Join blocks so that they have the cuts of ``other``, merged from the same plan."""
        stops = {
            (int(t), int(b))
            for t, b, ok in zip(other.trajectory, other.stop, other.is_block, strict=True)
            if ok
        }
        groups: list[list[int]] = [[]]
        for run in self._runs():
            for region in run:
                groups[-1].append(region)
                if (int(self.trajectory[region]), int(self.stop[region])) in stops:
                    groups.append([])
        groups = [g for g in groups if g]
        return self if all(len(group) == 1 for group in groups) else self._grouped(groups)

    def _groups(self, min_frames: float) -> list[list[int]]:
        groups: list[list[int]] = []
        runs = self._runs()
        for run in runs:
            span = self.stop[run[-1]] - self.start[run[0]]
            parts = max(1, min(len(run), int(span // max(min_frames, 1))))
            pieces = [[run[i] for i in piece] for piece in _split(len(run), parts)]
            while len(pieces) > 1 and self._shortest(pieces) < min_frames:
                pieces = [[run[i] for i in p] for p in _split(len(run), len(pieces) - 1)]
            groups.extend(pieces)
        return groups

    def _shortest(self, pieces: list[list[int]]) -> int:
        return min(int(self.stop[p[-1]] - self.start[p[0]]) for p in pieces)

    def _runs(self) -> list[list[int]]:
        """Regions of blocks that boundaries connect."""
        runs: list[list[int]] = []
        connected = False
        for r, is_block in enumerate(self.is_block):
            if not is_block:
                connected = bool(self.start[r] >= 0)
            elif connected and runs:
                runs[-1].append(r)
                connected = False
            else:
                runs.append([r])
        return runs

    def runs(self) -> NDArray[np.int64]:
        """The run that each region is part of, numbered; -1 for a pooled remainder.

        Blocks of one run have a gap between them. Where nothing is missing between neighbours
        they are runs of their own: members of an ensemble, that share a trajectory.
        """
        found = np.full(len(self.is_block), -1, np.int64)
        run, before = -1, -1
        for r, is_block in enumerate(self.is_block):
            if is_block:
                same = before >= 0 and self.trajectory[before] == self.trajectory[r]
                run += not (same and self.start[r] > self.stop[before])
                before = r
            if is_block or self.start[r] >= 0:
                found[r] = run
        return found

    def _grouped(self, groups: Sequence[Sequence[int]]) -> BlockMoments:
        taken = np.zeros(len(self.is_block), bool)
        rows: list[tuple[slice, bool]] = []
        for group in groups:
            inner = slice(group[0], group[-1] + 1)
            rows.append((inner, True))
            taken[inner] = True
            after = group[-1] + 1
            if after < len(taken) and not self.is_block[after]:
                rows.append((slice(after, after + 1), False))
                taken[after] = True
        rows += [(slice(r, r + 1), False) for r in np.flatnonzero(~taken)]
        parts = (
            np.stack([part[:, s].sum(axis=1, dtype=np.float64) for s, _ in rows], axis=1)
            for part in (self.xx, self.xy, self.yy)
        )
        xx, xy, yy = parts
        return replace(
            self,
            xx=xx,
            xy=xy,
            yy=yy,
            is_block=np.array([b for _, b in rows]),
            trajectory=np.array([self.trajectory[s.start] for s, _ in rows]),
            start=np.array([self.start[s.start] for s, _ in rows]),
            stop=np.array([self.stop[s.stop - 1] for s, _ in rows]),
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for storage."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: np.asarray(value) for name, value in values.items() if value is not None}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> BlockMoments:
        """The inverse of :meth:`to_arrays`."""
        values: dict[str, Any] = dict(arrays)
        scalars: dict[str, Any] = {
            "lags": tuple(int(lag) for lag in values.pop("lags")),
            "frames": int(values.pop("frames")),
            "eps": float(values.pop("eps")),
        }
        return cls(**values, **scalars)


def _added(part: Matrix, regions: NDArray[Any] | slice) -> Matrix:
    """The sum of some matrices in float64; large ones are not copied for it."""
    if isinstance(regions, slice) or part[0].size <= SMALL:
        total: Matrix = part[regions].sum(axis=0, dtype=np.float64)
        return total
    total = np.zeros(part.shape[1:])
    for region in regions:
        total += part[region]
    return total


def _split(count: int, parts: int) -> list[range]:
    edges = [round(i * count / parts) for i in range(parts + 1)]
    return [range(a, b) for a, b in pairwise(edges)]
