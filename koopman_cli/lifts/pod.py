"""The POD lift: the leading orthogonal directions of the training frames, after anomalies.

With rows x = [a, b] (coordinates a of a snapshot and known functions b of its time: month,
trend, constant), the lift is linear: chi(x) = (a - b C) P, where C is the regression of a on
b and P holds the leading right singular vectors of the residual, both on training frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from koopman_cli.errors import SupportError, UsageError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.nouns import are, counted, verb
from koopman_cli.types import Lift

Matrix = NDArray[np.float64]


#: Up to so many columns the median singular value is no noise level but a column like others:
#: what is above this share of the largest stays.
FEW_COLUMNS = 10
COMPARABLE = 0.1


def evaluate(lift: Lift, x: NDArray[Any]) -> Matrix:
    """POD coordinates of rows (n, d), giving (n, rank)."""
    value: Matrix = np.asarray(x, np.float64) @ lift.arrays["matrix"]
    return value


@dataclass(frozen=True)
class Rank:
    """How many directions: a count, a share of the sum of squares, or by the noise level."""

    rank: int = 0
    energy: float = 0.0

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise UsageError(f"rank {self.rank}: a rank is at least 1", "for example rank=9")
        if not 0 <= self.energy <= 1:
            raise UsageError(
                f"energy {self.energy:g}: a share of the sum of squares", "for example energy=0.999"
            )
        if self.rank and self.energy:
            raise UsageError("rank and energy are given both", "give one of them")


def pod(
    rows: Matrix, design: Matrix, rank: int, *, center: bool = False
) -> tuple[Matrix, Matrix, Matrix, Matrix]:
    """POD of residuals.

    Parameters
    ----------
    rows : (n, d), design : (n, q)
        Coordinates and known functions of time of the training frames.
    rank : int
    center : bool
        Whether the mean is removed before.

    Returns
    -------
    directions : (d, rank), spare : (d, at most 1) the direction after them
    coefficients : (q, d) the regression on the design
    singular : all singular values of the residual

    Examples
    --------
    >>> t = np.arange(50.0)
    >>> a = np.stack([3 * np.cos(t), np.sin(t), 0 * t], axis=1)
    >>> p, spare, c, s = pod(a, np.empty((50, 0)), 2)
    >>> p.shape, spare.shape, bool(s[2] < 1e-12)
    ((3, 2), (3, 1), True)
    """
    coefficients = np.zeros((design.shape[1], rows.shape[1]))
    if design.shape[1]:
        coefficients = scipy.linalg.lstsq(design, rows)[0]
        rows = rows - design @ coefficients
    if center:
        rows = rows - rows.mean(axis=0)
    n, d = rows.shape
    if min(n, d) ** 2 * max(n, d) <= 4e9:
        singular, vt = scipy.linalg.svd(rows, full_matrices=False)[1:]
        v = vt.T
    else:
        values, v = scipy.linalg.eigh(rows.T @ rows)
        singular, v = np.sqrt(np.maximum(values[::-1], 0)), v[:, ::-1]
    return v[:, :rank], v[:, rank : rank + 1], coefficients, singular


def pod_lift(
    rows: Matrix, design: Matrix, rank: int, blocks: int = 1, *, center: bool = False
) -> Lift:
    """The lift for rows of ``blocks`` delays, each [coordinates, design].

    rows : (n, blocks * d), design : (n, blocks * q), both with the present first.
    """
    d, q = rows.shape[1] // blocks, design.shape[1] // blocks
    present, known = rows[:, :d], design[:, :q]
    coefficients = np.zeros((q, d))
    if q:
        coefficients = scipy.linalg.lstsq(known, present)[0]
        rows = np.concatenate(
            [
                rows[:, k * d : (k + 1) * d] - design[:, k * q : (k + 1) * q] @ coefficients
                for k in range(blocks)
            ],
            axis=1,
        )
    directions, spare, _, singular = pod(rows, np.empty((len(rows), 0)), rank, center=center)
    both = np.concatenate([directions, spare], axis=1)
    matrix = np.zeros((blocks * (d + q), both.shape[1]))
    for k in range(blocks):
        part = both[k * d : (k + 1) * d]
        matrix[k * (d + q) : k * (d + q) + d] = part
        matrix[k * (d + q) + d : (k + 1) * (d + q)] = -coefficients @ part
    width = directions.shape[1]
    return Lift(
        "pod",
        tuple(f"POD {j + 1}" for j in range(width)),
        {"rank": width, "blocks": blocks},
        {
            "matrix": matrix[:, :width],
            "spare": matrix[:, width:],
            "coefficients": coefficients,
            "singular": singular,
        },
    )


@cache
def _median(beta: float) -> float:
    """Median of the Marchenko-Pastur law of aspect ratio beta."""
    from scipy.integrate import quad
    from scipy.optimize import brentq

    low, high = (1 - beta**0.5) ** 2, (1 + beta**0.5) ** 2

    def density(x: float) -> float:
        return float(np.sqrt(max((high - x) * (x - low), 0.0)) / (2 * np.pi * beta * x))

    return float(brentq(lambda m: quad(density, low, m)[0] - 0.5, low + 1e-9, high))


def noise_threshold(singular: Matrix, shape: tuple[int, int]) -> float:
    """Singular values below this are noise of unknown level: tau = w(beta) median(s).

    Source: Gavish and Donoho, IEEE Trans. Inf. Theory 60, 5040 (2014).

    >>> rng = np.random.default_rng(0)
    >>> s = np.linalg.svd(rng.standard_normal((100, 400)), compute_uv=False)
    >>> bool(s[0] < noise_threshold(s, (100, 400)) < 1.3 * s[0])
    True
    """
    beta = min(shape) / max(shape)
    lam = np.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + np.sqrt(beta**2 + 14 * beta + 1)))
    full = np.zeros(min(shape))
    full[: len(singular)] = singular[: len(full)]
    return float(lam / np.sqrt(_median(round(beta, 6))) * np.median(full))


def choose_rank(
    asked: Rank, singular: Matrix, shape: tuple[int, int], floor: float
) -> tuple[int, str, tuple[str, ...]]:
    """Rank, the rule it comes from, and warnings.

    Parameters
    ----------
    asked : Rank
    singular : (min(shape),) singular values, leading ones at least
    shape : frames and columns
    floor : float
        Share of the largest below which singular values are rounding.

    Raises
    ------
    SupportError
        If nothing is above zero.
    """
    if not singular.size or not singular[0] > 0:
        raise SupportError("the field has no variance", "choose a variable that changes")
    # A factor 16 above the resolution of the input: rounding of many cells adds up.
    real = int(np.count_nonzero(singular > 16 * floor * singular[0]))
    if asked.rank:
        possible = min(int(np.count_nonzero(singular > floor * singular[0])), shape[0] - 1)
        if asked.rank > possible:
            text = (
                f"rank {asked.rank} reduced to {possible}, what the "
                f"{counted(shape[0], 'snapshot')} {verb(shape[0], 'hold')}"
            )
            return max(possible, 1), "as asked, reduced", (text,)
        return asked.rank, "as asked", ()
    if asked.energy:
        share = np.cumsum(singular**2) / np.sum(singular**2)
        rank = min(int(np.searchsorted(share, asked.energy * (1 - 1e-15))) + 1, real)
        return rank, f"{asked.energy:g} of the sum of squares", ()
    limit = noise_threshold(singular, shape)
    rank = int(np.count_nonzero(singular > limit))
    rule = "singular values above the noise level (Gavish and Donoho 2014)"
    comparable = int(np.count_nonzero(singular > COMPARABLE * singular[0]))
    if shape[1] <= FEW_COLUMNS and comparable > rank:
        rank, rule = comparable, f"singular values above {COMPARABLE:g} of the largest"
    if rank > real:
        rank, rule = real, "singular values above the rounding of the input"
    rank = min(rank, shape[0] - 1)
    if rank < 1:
        return 1, "no singular value is above the noise level: 1 taken", (
            "no POD mode stands above the noise level of the field",
        )  # fmt: skip
    return rank, rule, ()


# ------------------------------------------------------------------ from a stream


def starting_frames(
    stream: FeatureStream, lag: int, ranges: Sequence[NDArray[np.int64]] | None = None
) -> list[NDArray[np.bool_]]:
    """Frames that start a pair, (n,) per trajectory, inside ``ranges`` where these are given."""
    masks = []
    for i, segments in enumerate(stream.segments):
        starts = np.zeros(stream.lengths[i], bool)
        for a, b in segments if ranges is None else overlaps(segments, ranges[i]):
            starts[a : max(a, b - lag)] = True
        masks.append(starts)
    return masks


def overlaps(segments: NDArray[np.int64], ranges: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Intersections of two lists of half-open ranges."""
    for a, b in segments:
        for c, d in ranges:
            if max(a, c) < min(b, d):
                yield int(max(a, c)), int(min(b, d))


def joined(ranges: NDArray[np.int64], gap: int) -> NDArray[np.int64]:
    """Ranges with neighbours at most ``gap`` frames apart put together.

    >>> joined(np.array([[0, 5], [7, 9], [20, 25]]), 2).tolist()
    [[0, 9], [20, 25]]
    """
    found: list[list[int]] = []
    for a, b in ranges.tolist():
        if found and a - found[-1][1] <= gap:
            found[-1][1] = b
        else:
            found.append([a, b])
    return np.array(found, np.int64).reshape(-1, 2)


def pod_columns(stream: FeatureStream) -> tuple[int, int, int]:
    """Coordinates and design columns of a row, and how many rows stand side by side."""
    field = stream.field
    if field is None:
        return stream.n_features, 0, 1
    return field.width, len(field.design.names), field.delays.number


def training_rows(
    stream: FeatureStream, masks: Sequence[NDArray[np.bool_]]
) -> tuple[Matrix, Matrix]:
    """Coordinates and design of some frames, each (n, blocks * ...)."""
    d, q, blocks = pod_columns(stream)
    parts = []
    for i, mask in enumerate(masks):
        at = 0
        for chunk in stream.chunks(i):
            parts.append(chunk[mask[at : at + len(chunk)]])
            at += len(chunk)
    x = np.asarray(np.concatenate(parts), np.float64)
    own = np.concatenate([k * (d + q) + np.arange(d) for k in range(blocks)])
    known = np.concatenate([k * (d + q) + d + np.arange(q) for k in range(blocks)]).astype(int)
    return x[:, own], x[:, known]


def fit_pod(
    stream: FeatureStream,
    rank: int,
    lag: int,
    ranges: Sequence[NDArray[np.int64]] | None = None,
    *,
    center: bool = False,
) -> Lift:
    """POD of the frames that start a pair: for one run, all but the last ``lag`` snapshots."""
    rows, design = training_rows(stream, starting_frames(stream, lag, ranges))
    if len(rows) < 2:
        raise SupportError(
            f"{counted(len(rows), 'pair')} {are(len(rows))} too few for a POD",
            "take a shorter lag or longer data",
        )
    blocks = pod_columns(stream)[2]
    return pod_lift(rows, design, rank, blocks, center=center)


def resolve_rank(
    stream: FeatureStream, asked: Rank, lag: int, *, center: bool = False
) -> tuple[int, str, tuple[str, ...]]:
    """The rank for all folds alike, the rule it comes from, and warnings.

    Raises
    ------
    SupportError
        If the field never changes.
    """
    lift = fit_pod(stream, 1, lag, center=center)
    rows = sum(int(m.sum()) for m in starting_frames(stream, lag))
    field, columns = stream.field, stream.n_features
    floor = float(np.finfo(stream.dtype).eps)
    if field is not None:
        columns = field.snapshots.columns * field.delays.number
        floor = field.snapshots.floor
    still = fit_pod(stream, 1, lag, center=True).arrays["singular"]
    size = np.sqrt(
        sum(float(np.vdot(c, c)) for i in range(len(stream.labels)) for c in stream.chunks(i))
    )
    if not still[0] > 16 * floor * size:
        raise SupportError("the field never changes", "choose a variable that does with --var")
    return choose_rank(asked, lift.arrays["singular"], (rows, columns), floor)
