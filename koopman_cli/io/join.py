"""Parts of one run: repeated boundary frames, time that goes backwards, gaps."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from koopman_cli.io.source import Source
from koopman_cli.io.times import REGULAR
from koopman_cli.types import TimeStep
from koopman_cli.units import SECONDS, convert


def _same_frame(before: Source, after: Source) -> bool:
    """Whether the last frame of one part is the first of the next."""
    n = before.n_frames
    (last,) = before.read(n - 1, n, 1, 1)
    (first,) = after.read(0, 1, 1, 1)
    return bool(np.array_equal(last.values, first.values))


def _boundary(before: Source, after: Source, dt: TimeStep | None) -> tuple[int, bool, str]:
    """Frames to skip in the next part, whether pairs may not cross, and a warning."""
    if before.stamps is None or after.stamps is None:
        return int(_same_frame(before, after)), False, ""
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
        return 0, True, f"time goes backwards: {where}; no lagged pair crosses there"
    step = None
    if dt is not None and dt.unit in SECONDS and unit in SECONDS:
        step = convert(dt.value, dt.unit, unit)
    elif dt is not None and dt.unit == unit:
        step = dt.value
    if step is not None and abs(first - last - step) > REGULAR * step + slack:
        return 0, True, f"a gap in time: {where}; no lagged pair crosses there"
    return 0, False, ""


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
        Frames to leave out at the start of each part (1 where it repeats the last one).
    cuts : list of int
        Parts that do not continue the one before.
    warnings : tuple of str
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
