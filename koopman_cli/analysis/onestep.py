"""Runs of at most two lags: nothing in them shows what happens after one lag.

With n frames per run and n <= 2 tau no frame is both the end of one pair and the beginning of
another. What a pair ends with may then be distributed in any way, as in an ensemble that is
followed from its start to its end, and correlations of half the data decide nothing about
stationarity: xy may be symmetric, but no power of the operator was ever seen.
"""

from __future__ import annotations

from collections.abc import Sequence

from koopman_cli.analysis.spectrum import Context
from koopman_cli.nouns import timed
from koopman_cli.types import Mode

NOT_SEEN = "no run is longer than two lags, so what happens after one lag is not seen"
NO_TIME = "coherence (singular value) of runs of at most two lags: no timescale"


def one_step(longest: int, lag: int) -> bool:
    """Whether no frame of any run is both the end of one pair and the start of another.

    Runs of two frames are pairs that were chosen as such, and taken for what they are asked as.

    >>> one_step(41, 40), one_step(41, 20), one_step(2, 1)
    (True, False, False)
    """
    return lag > 1 and longest <= 2 * lag


def beyond_runs(modes: Sequence[Mode], context: Context, *, flow: bool = False) -> dict[int, str]:
    """Modes (from 0) of runs of at most two lags with a timescale above the longest, and why not.

    None of a flow, whose snapshots are deterministic: what decays does so on and on.

    Examples
    --------
    >>> from koopman_cli.types import Lag, Quantity
    >>> context = Context(Lag(40, 40.0, "frames"), 0.1, 41, "reversible")
    >>> modes = [Mode(1, 0.96 + 0j, timescale=Quantity(980.0)), Mode(2, 0.3 + 0j)]
    >>> list(beyond_runs(modes, context))
    [0]
    """
    if flow or not one_step(context.longest, context.lag.frames):
        return {}
    span = context.longest * context.per_frame
    longest = timed(span, context.lag.unit, "g")
    return {
        i: f"a timescale above the longest run ({longest}): {NOT_SEEN}"
        for i, mode in enumerate(modes)
        if mode.timescale is not None and mode.timescale.value > span
    }
