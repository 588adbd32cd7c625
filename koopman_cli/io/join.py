"""Parts of one run: frames that two of them hold, time that goes backwards, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.source import Source
from koopman_cli.io.times import REGULAR
from koopman_cli.nouns import are, counted, verb
from koopman_cli.types import TimeStep
from koopman_cli.units import SECONDS, convert

#: Frames of a part without time stamps among which the end of the one before is looked for.
_SOUGHT = 1000


def _frame(source: Source, index: int) -> NDArray[Any]:
    (chunk,) = source.read(index, index + 1, 1, 1)
    return chunk.values


def _same_frame(before: Source, after: Source, last: int = -1, first: int = 0) -> bool:
    """Whether a frame of one part (its last) is a frame of the next (its first)."""
    one, other = _frame(before, last % before.n_frames), _frame(after, first)
    return bool(np.array_equal(one, other))


def _repeats(before: Source, after: Source, count: int, at: int) -> bool:
    """Whether ``count`` frames of one part, from frame ``at`` on, are the first of the next.

    The outermost and the one in the middle stand for all.
    """
    places = sorted({0, count // 2, count - 1})
    inside = 0 <= at <= before.n_frames - count
    return inside and all(_same_frame(before, after, at + k, k) for k in places)


def _found_again(before: Source, after: Source) -> int:
    """Frames at the start of a part that end the one before, without stamps to tell."""
    if _same_frame(before, after):
        return 1
    last, at = _frame(before, before.n_frames - 1), 0
    for chunk in after.read(0, min(after.n_frames, _SOUGHT), 1, _SOUGHT):
        axes = tuple(range(1, chunk.values.ndim))
        for k in np.flatnonzero((chunk.values == last).all(axis=axes)).tolist():
            count = at + k + 1
            if _repeats(before, after, count, before.n_frames - count):
                return count
        at += len(chunk.values)
    return 0


def _repeated(before: Source, after: Source, count: int) -> tuple[int, bool, str]:
    """Leave out more than a boundary frame, and say so."""
    if count >= after.n_frames and count > 1:
        raise DataError(
            f"{after.path} holds nothing but frames of {before.path}",
            "leave it out of the parts of the run",
        )
    if count < 2:
        return count, False, ""
    first = "the first frame" if count == 1 else f"the first {count} frames"
    text = f"{first} of {after.path} {are(count)} the last of {before.path}"
    return count, False, f"{text}: used once"


def _boundary(before: Source, after: Source, dt: TimeStep | None) -> tuple[int, bool, str]:
    """Frames to skip in the next part, whether pairs may not cross, and a warning."""
    if before.stamps is None or after.stamps is None:
        return _repeated(before, after, _found_again(before, after))
    last, first = float(before.stamps[-1]), float(after.stamps[0])
    unit = before.unit
    slack = 4.0 * float(np.spacing(np.float32(max(abs(last), abs(first)))))
    if abs(first - last) <= slack:
        # All-zero stamps repeat without being the same frame.
        real = bool(np.ptp(before.stamps) or np.ptp(after.stamps))
        return int(real or _same_frame(before, after)), False, ""
    if _same_frame(before, after):
        return 1, False, ""
    where = f"{before.path} ends at {last:.10g} {unit}, {after.path} begins at {first:.10g} {unit}"
    if first < last:
        shared = _shared(before, after, slack)
        at = int(np.searchsorted(before.stamps, first - slack))
        if shared and _repeats(before, after, shared, at):
            return _repeated(before, after, shared)
        both = (
            f" ({counted(shared, 'frame')} of other values {verb(shared, 'cover')} the same time, "
            f"and {are(shared)} used)"
        )
        more = both if shared else ""
        return 0, True, f"time goes backwards: {where}{more}; no lagged pair crosses there"
    step = None
    if dt is not None and dt.unit in SECONDS and unit in SECONDS:
        step = convert(dt.value, dt.unit, unit)
    elif dt is not None and dt.unit == unit:
        step = dt.value
    if step is not None and abs(first - last - step) > REGULAR * step + slack:
        return 0, True, f"a gap in time: {where}; no lagged pair crosses there"
    return 0, False, ""


def _shared(before: Source, after: Source, slack: float) -> int:
    """Frames of a part up to the time at which the one before ends, 0 if it begins earlier."""
    assert before.stamps is not None
    assert after.stamps is not None
    if after.stamps[0] < before.stamps[0] - slack:
        return 0
    return int(np.count_nonzero(np.asarray(after.stamps) <= before.stamps[-1] + slack))


def join_parts(
    sources: Sequence[Source], dt: TimeStep | None
) -> tuple[list[int], list[int], tuple[str, ...]]:
    """How the parts of one run fit together.

    Parameters
    ----------
    sources : sequence of Source
        In order.
    dt : TimeStep or None
        Between frames.

    Returns
    -------
    skips : list of int
        Frames to leave out at the start of each part (those that the one before ends with).
    cuts : list of int
        Parts that do not continue the one before.
    warnings : tuple of str

    Raises
    ------
    DataError
        A part holds nothing that the one before does not.
    """
    skips, cuts, warned = [0], [], []
    for i, (before, after) in enumerate(pairwise(sources), 1):
        skip, cut, text = _boundary(before, after, dt)
        skips.append(skip if after.n_frames > 1 else 0)
        if cut:
            cuts.append(i)
        if text:
            warned.append(text)
    return skips, cuts, tuple(warned)
