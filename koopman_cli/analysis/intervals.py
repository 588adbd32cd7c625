"""Intervals of modes from the influences of blocks; modes that cannot be told apart as groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.uncertainty import Influences, student

Matrix = NDArray[np.float64]

#: Two neighbouring eigenvalues closer than this many errors form a group.
GROUP_ERRORS = 2.0

#: Above this error of ln t an eigenvalue is given a symmetric interval of its own.
LARGE_LOG_ERROR = 0.5


@dataclass(frozen=True)
class ModeInterval:
    """95% intervals of one mode; None where there is none.

    eigenvalue : of lambda, or of |lambda| for a complex one
    timescale, period : in units of the lag; no period where the frequency may be zero
    error : standard error of |lambda|
    log_error : standard error of ln t, NaN where there is no t
    group : indices of the modes (from 0) that cannot be told apart from it
    """

    eigenvalue: tuple[float, float] | None
    timescale: tuple[float, float] | None
    period: tuple[float, float] | None
    error: float
    log_error: float
    group: tuple[int, ...]


def mode_intervals(found: Influences) -> tuple[ModeInterval, ...]:
    """95% intervals of eigenvalues, timescales and periods (times in units of the lag).

    Timescales and periods by Student's t on their logarithm. The eigenvalue has the interval
    that its timescale implies, or a symmetric one where ln t is too uncertain. Neighbours
    closer than two errors are a group: which is which cannot be told, and every member gets
    the hull of the intervals of all.
    """
    if found.n_blocks < 2:
        nothing = ModeInterval(None, None, None, float("nan"), float("nan"), ())
        return tuple(nothing for _ in found.values)
    t = student(found.n_blocks)
    errors, logs = found.errors(), found.stack.error(found.log_time)
    turns = found.stack.error(found.angle)
    single = [
        _single(complex(v), (float(e), float(el), float(ea)), t)
        for v, e, el, ea in zip(found.values, errors, logs, turns, strict=True)
    ]
    groups = eigenvalue_groups(found.values, errors)
    by_member = {i: group for group in groups for i in group}
    modes = []
    for i in range(len(single)):
        group = by_member[i]
        own, time, period = (_hull([single[j][part] for j in group]) for part in range(3))
        modes.append(ModeInterval(own, time, period, float(errors[i]), float(logs[i]), group))
    return tuple(modes)


Pair = tuple[float, float] | None


def _single(
    value: complex, errors: tuple[float, float, float], t: float
) -> tuple[Pair, Pair, Pair]:
    error, log_error, turn = errors
    size = abs(value) if value.imag else value.real
    time: Pair = None
    if np.isfinite(log_error):
        middle = -1 / np.log(size)
        time = (float(middle * _exp(-t * log_error)), float(middle * _exp(t * log_error)))
    if time is not None and log_error < LARGE_LOG_ERROR:
        own: Pair = (float(np.exp(-1 / time[0])), float(np.exp(-1 / time[1])))
    else:
        own = (float(size - t * error), float(size + t * error)) if np.isfinite(error) else None
    period: Pair = None
    if value.imag:
        angle = abs(np.angle(value))
        middle, spread = 2 * np.pi / angle, t * turn / angle
        # An angle that may be zero belongs to a period that has no upper end.
        if spread < 1:
            period = (float(middle * _exp(-spread)), float(middle * _exp(spread)))
    return own, time, period


def _exp(x: float) -> float:
    # Far enough from the limits of float64 to be multiplied by a timescale.
    return float(np.exp(np.clip(x, -600.0, 600.0)))


def _hull(pairs: list[Pair]) -> Pair:
    found = [p for p in pairs if p is not None]
    if not found:
        return None
    return min(p[0] for p in found), max(p[1] for p in found)


def eigenvalue_groups(
    values: NDArray[np.complex128], errors: Matrix
) -> tuple[tuple[int, ...], ...]:
    """Runs of neighbouring real eigenvalues closer than two errors; conjugates stay pairs.

    >>> eigenvalue_groups(np.array([0.9, 0.899, 0.5 + 0j]), np.array([0.01, 0.01, 0.01]))
    ((0, 1), (2,))
    """
    groups: list[list[int]] = []
    for i, value in enumerate(values):
        last = groups[-1][-1] if groups else -1
        if last >= 0 and _together(values[last], value, float(np.hypot(errors[last], errors[i]))):
            groups[-1].append(i)
        else:
            groups.append([i])
    return tuple(tuple(group) for group in groups)


def _together(a: Any, b: Any, error: float) -> bool:
    if a.imag or b.imag:
        return bool(a.imag > 0 and b == a.conjugate())
    return bool(abs(a - b) < GROUP_ERRORS * error)
