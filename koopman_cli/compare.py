"""Two runs beside each other: the same slow functions? which timescales changed?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.features.agree import same_names
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.linalg import sorted_svd, whiten
from koopman_cli.results import project
from koopman_cli.states import read_again
from koopman_cli.types import FitResult, Mode, Progress, Quantity, no_progress

Matrix = NDArray[np.float64]

#: Frames of each run on which the functions are compared.
SAMPLE = 20_000

#: Modes that correlate less have no counterpart.
ALIKE = 0.5


@dataclass(frozen=True)
class Pair:
    """A mode of the first run and the mode of the second that is most like it, if any is.

    second : None where no mode of the second run correlates by at least 0.5
    correlation : of the two functions over the frames of both runs, without its sign
    ratio : timescale of the second over that of the first; None where either has none
    changed : whether the interval of the ratio leaves out 1; None without an interval
    """

    first: int
    second: int | None
    correlation: float
    before: Quantity | None
    after: Quantity | None
    ratio: Quantity | None
    changed: bool | None


@dataclass(frozen=True)
class Comparison:
    """Principal angles (degrees, smallest first) between the spans, and the pairs of modes.

    notes : what is to be said of the errors of the ratios
    """

    angles: tuple[float, ...]
    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()


def compare(first: FitResult, second: FitResult, progress: Progress = no_progress) -> Comparison:
    """Compare the slow functions and timescales of two runs of the same features.

    The functions of both models are evaluated on frames of both inputs, half each, so that
    families, lifts and lags may differ.

    Parameters
    ----------
    first, second : FitResult
        Read back from RUN directories.

    Raises
    ------
    DataError
        If the features differ in name or order, or the units of time differ.
    """
    names = [result.model.features.names for result in (first, second)]
    if not same_names(*names):
        odd = next((n for n in names[0] if n not in names[1]), None)
        what = f"{odd!r} is in the first only" if odd else "number or order differ"
        flows = any(result.model.features.kind == "field" for result in (first, second))
        raise DataError(
            f"the two runs have different features ({what})",
            # Columns of a field are its cells, and again at every delay.
            "only flows of one grid with the same --set delays can be compared; koopman report "
            "RUN RUN sets any runs beside each other"
            if flows
            else "fit both with the same --features",
        )
    frames = np.concatenate([_sample(result, progress) for result in (first, second)])
    functions = [project(r.model, frames)[:, : r.model.dim] for r in (first, second)]
    pairs = pair_modes(first, second, functions)
    return Comparison(principal_angles(*functions), pairs, _shared(first, second))


def _shared(first: FitResult, second: FitResult) -> tuple[str, ...]:
    """What to say where both runs were fitted on the same files, by their content."""
    digests = [
        {digest for _, digest, _ in result.input.files if digest} for result in (first, second)
    ]
    both = digests[0] & digests[1]
    if not both:
        return ()
    most = max(map(len, digests))
    which = "the same data" if len(both) == most else f"the same {len(both)} of {most} files"
    said = (
        f"both runs were fitted on {which}: the intervals of the ratios take their errors as "
        "independent, so they are wider than need be where both err alike; a change that is said "
        "is one, a small one may go unsaid"
    )
    return (said,)


def _sample(result: FitResult, progress: Progress) -> Matrix:
    _, stream = read_again(result, progress)
    parts = gather(stream, thinned_frames(stream.lengths, SAMPLE), None, progress)
    found = np.concatenate([p for p in parts if len(p)])
    # The same number of frames from each run, so that neither decides the metric alone.
    pick = np.linspace(0, len(found) - 1, SAMPLE).astype(int)
    return np.asarray(found[pick], np.float64)


def principal_angles(a: Matrix, b: Matrix) -> tuple[float, ...]:
    """Angles in degrees between the spans of two sets of functions, means removed.

    >>> x = np.random.default_rng(0).standard_normal((1000, 2))
    >>> [round(angle, 3) for angle in principal_angles(x, x @ np.array([[1.0, 1.0], [0, 1.0]]))]
    [0.0, 0.0]
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    wa, wb = whiten(a.T @ a / len(a)).matrix, whiten(b.T @ b / len(b)).matrix
    cosines = sorted_svd(wa.T @ (a.T @ b / len(a)) @ wb)[1]
    return tuple(float(x) for x in np.degrees(np.arccos(np.clip(cosines, 0.0, 1.0))))


def pair_modes(
    first: FitResult, second: FitResult, functions: Sequence[Matrix]
) -> tuple[Pair, ...]:
    """Every mode of the first run with the one of the second that correlates most."""
    a, b = ((f - f.mean(axis=0)) / f.std(axis=0) for f in functions)
    correlation = np.abs(a.T @ b) / len(a)
    pairs = []
    for i, mode in enumerate(first.modes[: a.shape[1]]):
        j = int(np.argmax(correlation[i, : len(second.modes)]))
        if correlation[i, j] < ALIKE:
            alone = float(correlation[i, j])
            pairs.append(Pair(mode.index, None, alone, mode.timescale, None, None, None))
            continue
        pairs.append(_pair(mode, second.modes[j], float(correlation[i, j])))
    return tuple(pairs)


def _pair(before: Mode, after: Mode, correlation: float) -> Pair:
    ratio = timescale_ratio(before.timescale, after.timescale)
    changed = None
    if ratio is not None and ratio.low is not None and ratio.high is not None:
        changed = not ratio.low <= 1 <= ratio.high
    return Pair(
        before.index, after.index, correlation, before.timescale, after.timescale, ratio, changed
    )


def timescale_ratio(before: Quantity | None, after: Quantity | None) -> Quantity | None:
    """Timescale after over before: errors of the logarithms of independent runs add in squares.

    Of runs of the same data, whose errors go together, this is an upper bound.

    Raises
    ------
    DataError
        If the two have different units.

    Examples
    --------
    >>> q = timescale_ratio(Quantity(10.0, 9.0, 11.0, "ps"), Quantity(20.0, 18.0, 22.0, "ps"))
    >>> round(q.value, 3), round(q.low, 2), round(q.high, 2)
    (2.0, 1.74, 2.3)
    """
    if before is None or after is None:
        return None
    if before.unit != after.unit:
        raise DataError(
            f"timescales in {before.unit} and in {after.unit} cannot be compared",
            "fit both with the time step known (--dt)",
        )
    value = after.value / before.value
    halves = []
    for q in (before, after):
        if q.low is None or q.high is None or q.low <= 0:
            return Quantity(value)
        halves.append(np.log(q.high / q.low) / 2)
    spread = float(np.exp(np.hypot(*halves)))
    return Quantity(value, value / spread, value * spread)
