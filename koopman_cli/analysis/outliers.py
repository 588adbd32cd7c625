"""A single frame far from all others, which variances, modes and scores then follow.

The moments of blocks show where a column or a mode has far more of its variance than elsewhere;
only there the projection pass, which reads everything anyway, looks at frames. How far a frame
must be from the next one follows from the tail of the others: a Gaussian column has nothing beyond
five standard deviations, one like Cauchy's has a frame twice as far as the next in every other run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.tails import FARTHEST, chance
from koopman_cli.features.stream import FeatureStream
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import number

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Part of the variance of a column that one frame must hold to be named.
SHARE = 0.05

#: Probability, for all functions together, that the tail of the others has a frame so far out.
LEVEL = 1e-3

#: Frames of the sample that tells the middle, the spread and the tail.
SAMPLE = 5000

#: Functions of one kind that are looked at closely.
CLOSELY = 8

#: Standard deviations of a Gaussian variable per median absolute deviation.
MAD = 1.4826

#: Variance below this part of the sum of squares is rounding.
ROUNDING = 1e-6

#: Frames and columns that are named one by one.
NAMED = 3

#: Part of the variance from which on one frame decides, and what is said beyond and before it.
MOST = 0.5
HARM = {
    True: "what is fitted follows this frame",
    False: "eigenvalues and scores are off by about as much",
}

CURE = (
    "if it is an artefact, put nan in its place and add --drop-nonfinite, or give what is before "
    "and after it as two files; columns with such frames by nature are better fitted as logarithms "
    "or ranks"
)


@dataclass(frozen=True)
class Suspects:
    """Functions of whose variance single regions hold too much.

    functions : (q,) which of the functions of the moments
    shift, scale : (q,) from f to z = (f - shift) * scale, whose squares are numbers
    middle : (q,) median of the means of the regions; square : (q,) sum of squares about it; of z
    spans : (s, 2) frames [start, stop) of the regions, trajectories laid end to end, rising
    """

    functions: NDArray[np.int64]
    shift: Matrix
    scale: Matrix
    middle: Matrix
    square: Matrix
    spans: NDArray[np.int64]


def suspects(
    blocks: BlockMoments, begins: NDArray[np.int64], among: Sequence[int] | None = None
) -> Suspects | None:
    """Which functions, and where, may have a frame that holds :data:`SHARE` of their variance.

    A region is suspected where its sum of squares about the median of all means exceeds that of a
    region of its length, by the median of all, by half of that share (a frame is in two of the
    four sums xx and yy of a block and its neighbour).

    Parameters
    ----------
    blocks : BlockMoments
        As fine as they are, without weights.
    begins : (trajectories,)
        First frame of every trajectory, these laid end to end.
    among : sequence of int, optional
        Functions that are asked; all by default.
    """
    # Of the first and of the second frames of pairs apart: (2, regions, ...).
    each = np.stack([blocks.xx[0][:, -1], blocks.yy[0][:, -1]], dtype=np.float64)
    diagonals = [np.einsum("rjj->rj", part) for part in (blocks.xx[0], blocks.yy[0])]
    squares = np.stack(diagonals, dtype=np.float64)[..., :-1]
    n, sums = each[..., -1:], each[..., :-1]
    counts = n.sum(axis=0)[:, 0]
    there = counts > 0
    middle = np.median(sums.sum(axis=0)[there] / counts[there, None], axis=0)
    halves = squares - 2 * middle * sums + middle**2 * n
    own = halves.sum(axis=0)
    total = own.sum(axis=0)
    usual = np.median(own[there] / counts[there, None], axis=0)
    excess = own - np.outer(counts, usual)
    varies = total > ROUNDING * squares.sum(axis=(0, 1))
    if among is not None:
        varies &= np.isin(np.arange(len(total)), among)
    flagged = (excess > SHARE / 2 * total) & varies & there[:, None]
    found = np.flatnonzero(flagged.any(axis=0))
    if not len(found):
        return None
    largest = (excess[:, found].max(axis=0) / total[found]).argsort(kind="stable")[::-1]
    chosen = np.sort(found[largest[:CLOSELY]])
    spans = _spans(blocks, np.flatnonzero(flagged[:, chosen].any(axis=1)), begins)
    # A frame at the end of a run is in one of the two sums only.
    square = halves.sum(axis=1).max(axis=0)[chosen]
    return Suspects(
        chosen, blocks.shift[chosen], blocks.scale[chosen], middle[chosen], square, spans
    )


def _spans(
    blocks: BlockMoments, regions: NDArray[np.int64], begins: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Disjoint stretches of frames that hold all pairs of some regions."""
    lag = blocks.lags[0]
    if np.any(blocks.start[regions] < 0):
        # A remainder that is nowhere in time may be anywhere.
        return np.array([[0, np.iinfo(np.int64).max]])
    first = begins[blocks.trajectory[regions]]
    low = np.maximum(blocks.start[regions] - lag, 0) + first
    high = blocks.stop[regions] + lag + first
    return _joined(np.column_stack([low, high]))


def _joined(spans: NDArray[np.int64]) -> NDArray[np.int64]:
    """Disjoint spans that cover the same frames.

    >>> _joined(np.array([[5, 9], [0, 3], [2, 4]])).tolist()
    [[0, 4], [5, 9]]
    """
    joined: list[list[int]] = []
    for a, b in sorted(spans.tolist()):
        if joined and a <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], b)
        else:
            joined.append([a, b])
    return np.array(joined, np.int64)


@dataclass(frozen=True)
class Lone:
    """A frame far from all others in one function.

    frame : trajectories laid end to end
    name : of the function
    deviations : distance from the median in robust standard deviations; None where more than half
        of all frames are alike
    share : part of the variance of the function that it holds
    """

    frame: int
    name: str
    deviations: float | None
    share: float


class Watch:
    """Looks at frames as they are read, in time order, and keeps the farthest ones.

    Parameters
    ----------
    names : sequence of str
        Of the q functions that are suspected.
    function : callable
        The functions of frames, (n, d) -> (n, q).
    found : Suspects
    frames : int
        Of the data.
    among : int
        Functions that could have been suspected.
    """

    def __init__(
        self, names: Sequence[str], function: Function, found: Suspects, frames: int, among: int
    ) -> None:
        self.names, self.function, self.suspects, self.among = names, function, found, among
        self.step = max(1, frames // SAMPLE)
        self._next = 0
        self._sample: list[Matrix] = []
        self._at: list[NDArray[np.int64]] = []
        self._far = np.empty((0, len(names)))
        self._frames = np.empty((0, len(names)), np.int64)

    def see(self, begin: int, rows: NDArray[Any]) -> None:
        """Rows (n, d) from frame ``begin`` on; what was seen before is passed over."""
        end = begin + len(rows)
        if begin < self._next:
            return
        self._next = end
        picked = np.arange(-begin % self.step, len(rows), self.step)
        if len(picked):
            self._sample.append(self._values(rows[picked]))
            self._at.append(begin + picked)
        for a, b in self.suspects.spans.tolist():
            a, b = max(a, begin), min(b, end)
            if a < b:
                self._look(a, self._values(rows[a - begin : b - begin]))

    def _values(self, rows: NDArray[Any]) -> Matrix:
        """The functions of rows, shifted and scaled as in the moments."""
        f = np.asarray(self.function(rows), np.float64)
        return (f - self.suspects.shift) * self.suspects.scale

    def _look(self, begin: int, values: Matrix) -> None:
        """Keep what is farther out than the nearest that is kept so far, in any function."""
        rows = np.arange(len(values))
        if len(self._far) > FARTHEST:
            bound = np.abs(self._far[-1] - self.suspects.middle)
            rows = np.flatnonzero((np.abs(values - self.suspects.middle) > bound).any(axis=1))
            if not len(rows):
                return
        values, begins = values[rows], begin + rows
        frames = np.repeat(begins[:, None], values.shape[1], axis=1)
        far = np.concatenate([self._far, values])
        frames = np.concatenate([self._frames, frames])
        order = np.argsort(-np.abs(far - self.suspects.middle), axis=0, kind="stable")
        kept = order[: FARTHEST + 1]
        self._far = np.take_along_axis(far, kept, axis=0)
        self._frames = np.take_along_axis(frames, kept, axis=0)

    def found(self) -> list[Lone]:
        """Frames that are far from all others, the largest share first."""
        if not self._sample or not len(self._far):
            return []
        sample, at = np.concatenate(self._sample), np.concatenate(self._at)
        each = (self._lone(j, sample[:, j], at) for j in range(len(self.names)))
        return sorted((one for one in each if one is not None), key=lambda one: -one.share)

    def _lone(self, j: int, sample: Matrix, at: NDArray[np.int64]) -> Lone | None:
        frame = int(self._frames[0, j])
        share = float((self._far[0, j] - self.suspects.middle[j]) ** 2 / self.suspects.square[j])
        others = sample[at != frame]
        if share < SHARE or len(others) < FARTHEST:
            return None
        center = np.median(others)
        away = np.abs(others - center)
        near = np.abs(self._far[1:, j] - center)
        far = float(abs(self._far[0, j] - center))
        if chance(far, away, near) * self.among > LEVEL:
            return None
        spread = MAD * float(np.median(away))
        deviations = far / spread if spread > 0 else None
        return Lone(frame, self.names[j], deviations, min(share, 1.0))


def watch(
    stream: FeatureStream,
    blocks: BlockMoments,
    modes: tuple[Matrix, Matrix],
    lift: tuple[Sequence[str], Function | None],
) -> Watch | None:
    """What must be looked at while the data are read again; None where nothing is suspected.

    Parameters
    ----------
    stream : FeatureStream
        What will be read.
    blocks : BlockMoments
        Of the lifted features.
    modes : (m,) mean, (m, k) functions
        Slow functions of the lifted features.
    lift : names, function or None
        Lifted features that are columns, by their names, are looked at as well; None for the
        features themselves.
    """
    if stream.dtype.kind == "c":
        return None
    (mean, functions), (lifted, evaluate), begins = modes, lift, stream.begins
    own_names = set(stream.spec.names)
    columns = [j for j, name in enumerate(lifted) if name in own_names]
    names: list[str] = []
    parts: list[tuple[Suspects, Matrix | None]] = []
    of_columns = suspects(blocks, begins, columns) if columns else None
    if of_columns is not None:
        names += [lifted[j] for j in of_columns.functions]
        parts.append((of_columns, None))
    of_modes = suspects(blocks.projected(mean, functions), begins)
    if of_modes is not None:
        names += [f"mode {j + 1}" for j in of_modes.functions]
        parts.append((of_modes, functions[:, of_modes.functions]))
    if not parts:
        return None

    def function(rows: NDArray[Any]) -> Matrix:
        chi = rows if evaluate is None else evaluate(rows)
        values = (chi[:, s.functions] if own is None else (chi - mean) @ own for s, own in parts)
        return np.hstack(list(values), dtype=np.float64)

    among = functions.shape[1] + len(columns)
    return Watch(names, function, _together([s for s, _ in parts]), stream.n_frames, among)


def _together(parts: list[Suspects]) -> Suspects:
    """Suspects side by side, all looked at in the spans of any."""
    return Suspects(
        np.concatenate([p.functions for p in parts]),
        np.concatenate([p.shift for p in parts]),
        np.concatenate([p.scale for p in parts]),
        np.concatenate([p.middle for p in parts]),
        np.concatenate([p.square for p in parts]),
        _joined(np.concatenate([p.spans for p in parts])),
    )


def lone_warnings(stream: FeatureStream, watched: Watch | None) -> tuple[str, ...]:
    """One warning for every frame that is far from all others, with the columns it is so in.

    Modes are named only where no column is, which is what they follow.
    """
    frames: dict[int, list[Lone]] = {}
    for one in [] if watched is None else watched.found():
        frames.setdefault(one.frame, []).append(one)
    told = []
    for frame, ones in list(frames.items())[:NAMED]:
        columns = [one for one in ones if not one.name.startswith("mode ")] or ones
        named = [_described(one) for one in columns[:NAMED]]
        more = " and others" if len(columns) > NAMED else ""
        told.append(
            f"one frame stands alone, {_place(stream, frame)}: {', '.join(named)}{more}; "
            f"{HARM[columns[0].share >= MOST]} ({CURE})"
        )
    if len(frames) > NAMED:
        told.append(f"{len(frames) - NAMED} more frames stand alone in other columns")
    return tuple(told)


def _described(one: Lone) -> str:
    held = f"holds {one.share:.0%} of the variance"
    if one.deviations is None:
        return f"{one.name} (it {held}, most others are alike)"
    return f"{one.name} ({number(one.deviations)} robust standard deviations out, {held})"


def _place(stream: FeatureStream, frame: int) -> str:
    """The trajectory and its frame as read."""
    begins = stream.begins
    i = int(np.searchsorted(begins, frame, side="right")) - 1
    i = min(i, len(stream.labels) - 1)
    where = int(stream.frame_index(i, np.array([frame - begins[i]]))[0])
    return f"frame {where} of {stream.labels[i]}"
