"""Periods that the data show although no mode is slow: oscillations that noise or decay hides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from koopman_cli.analysis.realpairs import ALIKE
from koopman_cli.nouns import number, unit_word
from koopman_cli.types import Lag, Mode, Quantity

#: The imaginary part of an eigenvalue exceeds so many half widths of the interval of its size.
CLEAR = 2.0

#: Periods named, at most.
NAMED = 3


def clear_periods(modes: Sequence[Mode], lag: Lag) -> list[tuple[int, Quantity]]:
    r"""Modes, by number, whose eigenvalue clearly turns, whatever their verdict, and the periods.

    An oscillation in white noise has an eigenvalue :math:`\lambda = a e^{i\omega\tau}` with a share
    a of its variance: too small to be slow, or falling otherwise than :math:`a^k`, and still with
    the right phase. The error of the imaginary part is taken to be that of the size.

    Parameters
    ----------
    modes : sequence of Mode
        Of conjugates the first one is named.
    lag : Lag

    Returns
    -------
    list of (int, Quantity)
        With an interval where the mode has one.

    Examples
    --------
    >>> turning = Mode(1, 0.33 + 0.06j, eigenvalue_low=0.32, eigenvalue_high=0.34)
    >>> [(i, round(q.value)) for i, q in clear_periods([turning], Lag(1, 1.0, "ps"))]
    [(1, 35)]
    >>> vague = Mode(1, 0.33 + 0.06j, eigenvalue_low=0.2, eigenvalue_high=0.5)
    >>> clear_periods([vague], Lag(1, 1.0, "ps"))
    []
    """
    found = []
    for mode in modes:
        value, low, high = mode.eigenvalue, mode.eigenvalue_low, mode.eigenvalue_high
        if value is None or value.imag <= 0 or low is None or high is None:
            continue
        if low <= 0 or value.imag <= CLEAR * (high - low) / 2 or mode.reason.endswith(ALIKE):
            continue
        turn = 2 * np.pi * lag.value / float(np.angle(value))
        found.append((mode.index, mode.period or Quantity(turn, unit=lag.unit)))
    return found


def period_words(modes: Sequence[Mode], lag: Lag) -> str:
    """The clear periods in words; empty where there are none.

    >>> turning = Mode(1, 0.33 + 0.06j, eigenvalue_low=0.32, eigenvalue_high=0.34)
    >>> period_words([turning], Lag(1, 1.0, "frames"))
    'a period of 34.94 frames (mode 1)'
    """
    told = []
    for index, q in clear_periods(modes, lag)[:NAMED]:
        ends = q.low is not None and q.high is not None
        interval = f" [{number(q.low or 0)}, {number(q.high or 0)}]" if ends else ""
        unit = q.unit if ends else unit_word(q.value, q.unit)
        told.append(f"a period of {number(q.value)}{interval} {unit} (mode {index})")
    return " and ".join(told)
