"""Times and lags as people write them: "50", "5ns", "0.2s", to frames and back.

A bare number counts frames as read (after the stride); a number with a unit is a time and
must be a whole multiple of the time step.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from koopman_cli.errors import UsageError
from koopman_cli.nouns import counted, timed
from koopman_cli.types import Lag, TimeStep

#: Seconds per unit, exact so that 5 ns are 5000 ps.
#: Months are not here on purpose: they are no fixed length.
SECONDS = {
    "fs": Fraction("1e-15"),
    "ps": Fraction("1e-12"),
    "ns": Fraction("1e-9"),
    "us": Fraction("1e-6"),
    "µs": Fraction("1e-6"),
    "ms": Fraction("1e-3"),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
    "d": Fraction(86400),
}

#: Seconds (or months, or times without a unit) that a time step may last: from far below the
#: fastest to far beyond the slowest that is known, and safe from overflow in any unit.
LEAST, MOST = 1e-24, 1e24

#: Months to each unit of the calendar: these convert among each other only.
CALENDAR = {"months": Fraction(1), "years": Fraction(12)}
_CALENDAR_WORDS = {"month": "months", "mo": "months", "year": "years", "yr": "years"}

_TIME = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)\s*([A-Za-zµ]*)\s*$")


def parse_time(text: str) -> tuple[float, str]:
    """Split "5ns" into (5.0, "ns"); the unit of a bare number is "".

    Raises
    ------
    UsageError
        If it is no number, or the unit is unknown.

    Examples
    --------
    >>> parse_time("5ns"), parse_time("50"), parse_time("2.5e1 ps")
    ((5.0, 'ns'), (50.0, ''), (25.0, 'ps'))
    """
    match = _TIME.match(text)
    if not match or not math.isfinite(float(match[1])):
        raise UsageError(
            f"{text!r} is neither a number of frames nor a time",
            "write a whole number of frames (50) or a time with its unit (5ns)",
        )
    value, unit = float(match[1]), _CALENDAR_WORDS.get(match[2], match[2])
    if unit and unit != "frames" and unit not in SECONDS and unit not in CALENDAR:
        known = ", ".join([*SECONDS, *CALENDAR])
        raise UsageError(f"{text!r}: unknown unit {unit!r}", f"units: {known}")
    return value, "" if unit == "frames" else unit


def parse_dt(text: str) -> TimeStep:
    """The time step of ``--dt``: a positive time, with a unit where it has one.

    >>> parse_dt("10ps").value, parse_dt("10ps").unit
    (10.0, 'ps')
    """
    value, unit = parse_time(text)
    if value <= 0:
        raise UsageError(f"--dt {text}: a time step must be positive", "for example --dt 10ps")
    seconds = value * float(SECONDS.get(unit, 1))
    if not LEAST <= seconds <= MOST:
        raise UsageError(
            f"--dt {text}: no time step is so {'short' if seconds < LEAST else 'long'}",
            "for example --dt 10ps",
        )
    return TimeStep(value, unit, "--dt")


def convert(value: float, unit: str, to: str) -> float:
    """Convert between two units of time.

    >>> convert(5.0, "ns", "ps")
    5000.0
    """
    if unit == to:
        return value
    table = CALENDAR if unit in CALENDAR else SECONDS
    return value * float(table[unit] / table[to])


def _nearest(exact: float, dt: TimeStep) -> str:
    below = max(1, math.floor(exact))
    pair = (below, below + 1)
    return " or ".join(f"{n * dt.value:g}{dt.unit} ({counted(n, 'frame')})" for n in pair)


def parse_frames(text: str, dt: TimeStep | None, what: str = "lag") -> int:
    """Frames meant by "50" or "5ns".

    Parameters
    ----------
    text : str
        A whole number of frames, or a time with a unit.
    dt : TimeStep or None
        Time between frames.
    what : str
        Name in messages.

    Returns
    -------
    int
        Number of frames; its sign and size are for the caller to judge.

    Raises
    ------
    UsageError
        Not whole, no time step for a unit, or no multiple of the time step.

    Examples
    --------
    >>> parse_frames("5ns", TimeStep(10.0, "ps"))
    500
    >>> parse_frames("50", None)
    50
    """
    value, unit = parse_time(text)
    if not unit:
        if value != int(value):
            raise UsageError(
                f"{what} {text}: a bare number counts frames and must be whole",
                "write whole frames (50) or a time with its unit (5ns)",
            )
        return int(value)
    if dt is None:
        raise UsageError(
            f"{what} {text}: the input has no time step, so a time cannot be turned into frames",
            "add --dt (for example --dt 10ps), or give frames without a unit",
        )
    if dt.unit not in (CALENDAR if unit in CALENDAR else SECONDS):
        raise UsageError(
            f"{what} {text}: the time step ({timed(dt.value, dt.unit or 'without a unit', 'g')}) "
            "has no unit that converts",
            "add --dt with a unit (for example --dt 10ps), or give frames without a unit",
        )
    exact = convert(value, unit, dt.unit) / dt.value
    frames = round(exact)
    if abs(exact - frames) > 1e-6 * max(1.0, abs(exact)):
        raise UsageError(
            f"{what} {text}: not a multiple of the time step {timed(dt.value, dt.unit, 'g')}",
            f"nearest: {_nearest(exact, dt)}",
        )
    return frames


def make_lag(frames: int, dt: TimeStep | None) -> Lag:
    """A lag in frames with its time; the unit is "frames" where no time step is known.

    >>> make_lag(10, TimeStep(10.0, "ps"))
    Lag(frames=10, value=100.0, unit='ps')
    >>> make_lag(10, None)
    Lag(frames=10, value=10.0, unit='frames')
    """
    if dt is None:
        return Lag(frames, float(frames), "frames")
    return Lag(frames, frames * dt.value, dt.unit or "time units")


def _expand_range(part: str) -> list[str]:
    ends = part.split(":")
    if len(ends) == 1:
        return [part]
    try:
        numbers = [int(e) for e in ends]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] < 1):
        raise UsageError(f"{part!r} is not a range", "write 1:6 (1 to 6) or 1:100:10")
    step = numbers[2] if len(numbers) == 3 else 1
    return [str(n) for n in range(numbers[0], numbers[1] + 1, step)]


def parse_list(text: str) -> list[str]:
    """The items of "1,2,5ns" and "1:6"; ranges include their end.

    >>> parse_list("1:3,5ns")
    ['1', '2', '3', '5ns']
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    items = [item for part in parts for item in _expand_range(part)]
    if not items:
        raise UsageError(f"{text!r} is an empty list", "write values separated by commas")
    return items
