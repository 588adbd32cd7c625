"""What time stamps are worth: a time step where they truly are one, a warning where not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.source import Source
from koopman_cli.nouns import timed
from koopman_cli.types import TimeStep
from koopman_cli.units import SECONDS, convert

#: Steps may differ by this fraction and still count as regular.
REGULAR = 1e-3

#: A frame every microsecond or more is not how molecular dynamics is stored.
ABSURD_PS = 1e6


def _rounding(stamps: NDArray[Any], single: bool) -> float:
    """Error of one difference of stamps that were stored as float32 (or float64)."""
    largest = float(np.abs(stamps).max())
    kind = np.float32 if single else np.float64
    return 2.0 * float(np.spacing(kind(largest)))


def _tidy(value: float, error: float) -> float:
    """The shortest decimal within ``error`` of ``value``: 0.0020000001 is 0.002."""
    for digits in range(1, 16):
        short = float(f"{value:.{digits}g}")
        if abs(short - value) <= error:
            return short
    return value


def _at(path: str, stamps: NDArray[Any], frame: int, what: str, unit: str) -> str:
    before, after = stamps[frame], stamps[frame + 1]
    return (
        f"{path}: {what} from frame {frame} to {frame + 1} "
        f"({before:.10g} to {after:.10g}{' ' + unit if unit else ''}), so no time step is taken"
        " from it (--dt sets one)"
    )


def judge(source: Source) -> tuple[TimeStep | None, tuple[str, ...]]:
    """Time step of a file from its stamps, and what is wrong with them.

    The time step is (last - first) / (n - 1), rounded to the shortest decimal within the
    precision of the stamps. It is None, with a warning that says where, if the stamps are
    not finite, all equal, repeated, falling or irregular beyond :data:`REGULAR`.

    Returns
    -------
    step : TimeStep or None
        None also without stamps or with a single frame.
    warnings : tuple of str
    """
    stamps, path, unit = source.stamps, source.path, source.unit
    if stamps is None or len(stamps) < 2:
        return None, ()
    stamps = np.asarray(stamps, np.float64)
    if not np.isfinite(stamps).all():
        frame = int(np.flatnonzero(~np.isfinite(stamps))[0])
        return None, (f"{path}: the time stamp of frame {frame} is not finite",)
    if (stamps == stamps[0]).all():
        text = f"{path}: all {len(stamps)} time stamps are {stamps[0]:g}, which is no time step"
        return None, (f"{text} (--dt sets one)",)
    steps = np.diff(stamps)
    mean = float(stamps[-1] - stamps[0]) / len(steps)
    median = float(np.median(steps))
    rounding = _rounding(stamps, source.stamps_single)
    for bad, what in (
        (steps < 0, "time falls"),
        (steps == 0, "the time stamp repeats"),
        (np.abs(steps - median) > REGULAR * abs(median) + rounding, "the time step changes"),
    ):
        if bad.any():
            text = _at(path, stamps, int(np.flatnonzero(bad)[0]), what, unit)
            count = int(bad.sum())
            return None, (text + (f"; {count} places" if count > 1 else ""),)
    value = _tidy(mean, max(rounding / len(steps), 1e-9 * abs(mean)))
    step = TimeStep(value, unit, f"{source.stamps_origin} of {path}")
    if unit == "ps" and source.kind == "md" and value >= ABSURD_PS:
        text = f"{path}: a frame every {value:g} ps: the unit of its time stamps looks wrong"
        return step, (f"{text} (--dt sets the time step)",)
    return step, ()


def agree(known: Sequence[tuple[str, TimeStep]]) -> None:
    """Raise a DataError if two of several (label, time step) differ, naming both."""
    for path, step in known[1:]:
        first_path, first = known[0]
        if not same(first, step):
            raise DataError(
                f"time steps differ: {timed(first.value, first.unit, 'g')} in {first_path},"
                f" {timed(step.value, step.unit, 'g')} in {path}",
                "bring the files to one time step (--stride per file), or override with --dt",
            )


def same(a: TimeStep, b: TimeStep, tolerance: float = REGULAR) -> bool:
    """Whether two time steps agree, units converted.

    >>> same(TimeStep(1.0, "ns"), TimeStep(1000.0, "ps"))
    True
    """
    if a.unit not in SECONDS or b.unit not in SECONDS:
        return a.unit == b.unit and abs(a.value - b.value) <= tolerance * abs(a.value)
    other = convert(b.value, b.unit, a.unit)
    return abs(a.value - other) <= tolerance * abs(a.value)
