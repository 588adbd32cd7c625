"""Timescales that are lower bounds, because they rise with the lag, and warnings of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from koopman_cli.analysis.certificate import Certificate
from koopman_cli.analysis.consistency import AT_LEAST, rising
from koopman_cli.analysis.lags import rises_on
from koopman_cli.analysis.modes import with_reservations
from koopman_cli.analysis.spectrum import Context
from koopman_cli.models.base import Family
from koopman_cli.nouns import timed
from koopman_cli.types import LagScan, Mode

#: What may describe a slow process better than the functions that were taken.
RICHER = Family.richer


def settled(
    modes: tuple[Mode, ...],
    certified: Sequence[Certificate] | None,
    scan: LagScan | None,
    about: tuple[Context, int],
    richer: str = RICHER,
) -> tuple[tuple[Mode, ...], list[str]]:
    """Modes that say where their timescale is a lower bound; warnings of the choice of the lag.

    Parameters
    ----------
    modes : tuple of Mode
    certified : certificates of reversible modes, or None
    scan : LagScan, optional
        Where the lag was left to the data.
    about : (Context, int)
        What verdicts depend on, and the rank of the model.
    richer : str
        What to try where functions are too poor, of the family.
    """
    context, rank = about
    told = rising(certified or (), context.lag)
    if scan is None:
        return with_reservations(modes, told), []
    first = modes[0].timescale if modes else None
    frame = context.per_frame
    high = np.inf if first is None or first.high is None else first.high / frame
    up = rises_on(scan, high, max(context.frames, 1), rank)
    warnings = []
    if up is not None and first is not None:
        there = f"{timed(up[1] * frame, context.lag.unit, '.3g')}"
        at, end = f"{context.lag.value:g}", f"{up[0] * frame:g}"
        told[0] = f"{AT_LEAST}: {first.value:.3g} at lag {at}, {there} at lag {end}"
        if scan.converged:
            warnings.append(
                f"timescales go on rising at longer lags: from {first.value:.3g} at lag {at} to "
                f"{there} at lag {end}; the functions do not describe the slow process well "
                f"({richer})"
            )
    if not scan.converged:
        warnings.append(f"lag {scan.reason}; try a longer --lag, {richer}")
    return with_reservations(modes, told), warnings
