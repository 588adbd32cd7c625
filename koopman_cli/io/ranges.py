"""Which frames --begin and --end mean: frames of the file, or times on its own clock.

A bare number counts frames. A time is one of the file's time stamps where it has them, as in
the tools that write such files: of a run whose stamps go from 500 to 1000 ps, ``--begin 600ps``
takes what is stamped 600 ps and later. Without stamps (or with ``--dt``, which overrides them)
and for fields, whose calendars differ, times count from the first frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.io.source import Source
from koopman_cli.io.times import REGULAR
from koopman_cli.nouns import counted
from koopman_cli.types import ReadOptions, TimeStep
from koopman_cli.units import SECONDS, convert, parse_frames, parse_time


@dataclass(frozen=True)
class Clock:
    """Rising time stamps (n,) of frames, and their unit."""

    stamps: NDArray[np.float64]
    unit: str

    @property
    def span(self) -> str:
        """First and last stamp in words."""
        return f"{self.stamps[0]:.10g} to {self.stamps[-1]:.10g} {self.unit}"

    @property
    def slack(self) -> float:
        """How far a time may lie from a stamp and still mean it."""
        return REGULAR * float(np.diff(self.stamps).min()) if len(self.stamps) > 1 else 0.0

    def before(self, time: float) -> int:
        """Number of frames stamped before a time."""
        return int(np.searchsorted(self.stamps, time - self.slack))

    def follows(self, time: float) -> bool:
        """Whether a time lies before all stamps."""
        return bool(time < self.stamps[0] - self.slack)


def clock_of(sources: Sequence[Source], skips: Sequence[int], options: ReadOptions) -> Clock | None:
    """The clock of one file, or of the parts of a run (without the frames left out of each).

    None where stamps are missing, do not rise, have no unit of time or are overridden.
    """
    units = {source.unit for source in sources}
    parts = [
        np.asarray(source.stamps, np.float64)[skip:]
        for source, skip in zip(sources, skips, strict=True)
        if source.stamps is not None and source.kind != "field"
    ]
    if options.dt is not None or len(parts) < len(sources) or len(units) > 1:
        return None
    (unit,) = units
    stamps = np.concatenate(parts)
    rising = len(stamps) > 0 and np.isfinite(stamps).all() and bool((np.diff(stamps) > 0).all())
    return Clock(stamps, unit) if rising and unit in SECONDS else None


def window(
    label: str, n: int, options: ReadOptions, dt: TimeStep | None, clock: Clock | None
) -> tuple[int, int, tuple[str, ...]]:
    """First and one past the last of n frames that --begin and --end ask for; warnings.

    Raises
    ------
    UsageError
        Negative, a time without a time step, begin not before end.
    DataError
        No frame lies in the range.
    """
    begin, since = _frame(options.begin, 0, dt, clock, "--begin")
    end, until = _frame(options.end, n, dt, clock, "--end")
    span = "" if since is until is None or clock is None else f"; its stamps are {clock.span}"
    if min(begin, end) < 0:
        name, value = ("--begin", begin) if begin < 0 else ("--end", end)
        raise UsageError(f"{name} {value}: frames count from 0", "give a number of 0 or more")
    if begin >= n:
        raise DataError(
            f"{label}: has {counted(n, 'frame')}, none from --begin {options.begin} on{span}",
            f"choose --begin {'among its times' if span else f'below {n}'}",
        )
    if begin >= end and until is not None and (since or 0.0) < until:
        raise DataError(
            f"{label}: has no frame from --begin {options.begin or 0} to --end {options.end}{span}",
            "choose --begin and --end among its times",
        )
    if begin >= end:
        raise UsageError(
            f"--begin {options.begin or 0} is not before --end {options.end}",
            "the range is half-open: --begin 10 --end 20 takes frames 10 to 19",
        )
    if since is not None and clock is not None and since > 0 and clock.follows(since):
        return begin, min(end, n), (f"{label}: --begin {options.begin} leaves nothing out{span}",)
    return begin, min(end, n), ()


def _frame(
    text: str | None, default: int, dt: TimeStep | None, clock: Clock | None, what: str
) -> tuple[int, float | None]:
    """The frame that a text means, and its time where the clock decided."""
    if text is None:
        return default, None
    value, unit = parse_time(text)
    if clock is None or unit not in SECONDS:
        return parse_frames(text, dt, what), None
    time = convert(value, unit, clock.unit)
    # A negative time is as senseless as a negative frame, unless the clock has such.
    return (-1 if time < min(0.0, clock.stamps[0]) else clock.before(time)), time
