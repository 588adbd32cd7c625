"""Modes of a flow that do not surely decay along the data, and so have no decay time."""

from __future__ import annotations

#: Change of an amplitude over the data below which an oscillation counts as sustained.
SUSTAINED = 0.05

STEADY = "steady part of the flow"


def sustained(change: float) -> bool:
    """Whether ln of an amplitude changes too little over the data for a rate.

    >>> sustained(-0.01), sustained(-1.0)
    (True, False)
    """
    return abs(change) < SUSTAINED


def lasting(
    value: complex, change: float, interval: tuple[float | None, float | None] | None
) -> str | None:
    """Why a mode has no decay time: it does not surely decay along the data.

    Parameters
    ----------
    value : complex
        Eigenvalue.
    change : float
        ln of its amplitude over the longest trajectory.
    interval : pair or None
        95% of its size.

    Examples
    --------
    >>> lasting(0.9 + 0.1j, -0.9, (0.99, 1.01)), lasting(0.9, -10.0, (0.89, 0.91))
    ('sustained oscillation', None)
    """
    low, high = interval or (None, None)
    open_ended = undetermined(low, high)
    if complex(value).imag:
        return "sustained oscillation" if sustained(change) or open_ended else None
    if sustained(change):
        return STEADY
    return "neither growth nor decay within its error" if open_ended else None


def undetermined(low: float | None, high: float | None) -> bool:
    """Whether the interval of |lambda| holds 1; without an interval nothing is known of it."""
    return low is None or high is None or low <= 1 <= high
