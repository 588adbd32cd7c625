"""The spectral gap: after which mode the slow ones end, if the data can tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.intervals import LARGE_LOG_ERROR
from koopman_cli.analysis.uncertainty import Influences, student
from koopman_cli.types import Gap, Quantity

#: Largest m that is looked at, and the ratio of timescales that makes a gap.
MAX_AFTER = 5
RATIO = 2.5

NONE = "a truncated model may then be inaccurate"


def spectral_gap(found: Influences, floor: float | None, barred: Sequence[int] = ()) -> Gap:
    """Gap after the last m <= 5 whose ratio t_m / t_{m+1} is surely above 2.5.

    Surely: at the lower end of its 95% interval. Mode m must also lie above the noise floor
    and outlive the lag; an eigenvalue at or below 0 counts as t = 0.

    Parameters
    ----------
    found : Influences
        Of more eigenvalues (or singular values) than the model has, slowest first.
    floor : float or None
        Noise floor of the eigenvalues.
    barred : sequence of int
        Modes (from 0) that are invalid or were never crossed; no gap lies behind them.

    Notes
    -----
    The last and not the largest ratio: in a triple well the largest one would find two
    states. Below about 2.5 an Ornstein-Uhlenbeck process, whose t_1 / t_2 is 2, has a gap.
    """
    values = found.moduli
    if len(values) < 2:
        return Gap(None, None, resolved=False, reason="one function fitted")
    if found.n_blocks < 2:
        return Gap(None, None, resolved=False, reason="too few blocks for an interval")
    candidates = [m for m in range(1, min(MAX_AFTER, len(values) - 1) + 1) if _whole(found, m)]
    best: Gap | None = None
    largest: Quantity | None = None
    for m in candidates:
        if not _slow(values[m - 1], floor) or any(j < m for j in barred):
            continue
        low, ratio = _ratio(found, m)
        if ratio is not None and (largest is None or ratio.value > largest.value):
            largest = ratio
        if low > RATIO:
            best = Gap(m, ratio, resolved=True, reason=_reason(found, m, ratio))
    if best is not None:
        return best
    return Gap(None, largest, resolved=False, reason=_why_not(values, floor, barred, largest))


def _whole(found: Influences, m: int) -> bool:
    """Whether m splits no complex pair."""
    return not found.values[m - 1].imag > 0


def _slow(value: float, floor: float | None) -> bool:
    """Above the floor, and t > lag: lambda > 1/e."""
    return bool(value > max(floor or 0.0, np.exp(-1.0)) and value < 1)


def _ratio(found: Influences, m: int) -> tuple[float, Quantity | None]:
    """Lower 95% bound of t_m / t_{m+1}, and the ratio with its interval where both exist."""
    after = m + 1 if found.values[m].imag > 0 else m
    values, logs = found.moduli, found.log_time
    t = student(found.n_blocks)
    error = found.stack.error(logs)
    times = -1 / np.log(np.clip(values, 1e-300, 1 - 1e-15))
    if np.isfinite(error[after]) and error[after] < LARGE_LOG_ERROR:
        # Both on a logarithmic scale; what the two share cancels.
        spread = t * float(found.stack.error(logs[:, [m - 1]] - logs[:, [after]])[0])
        value = float(times[m - 1] / times[after])
        ratio = Quantity(value, value * float(np.exp(-spread)), value * float(np.exp(spread)))
        return float(ratio.low or 0.0), ratio
    # The next eigenvalue is not told from zero: its upper bound stands for it.
    upper = float(values[after] + t * found.errors()[after])
    low = float(times[m - 1] * np.exp(-t * error[m - 1]))
    bound = low / _time(upper)
    if values[after] <= 0:
        return bound, None
    return bound, Quantity(float(times[m - 1] / times[after]), bound, None)


def _time(value: float) -> float:
    if value <= 0:
        return 1e-300
    return float(-1 / np.log(value)) if value < 1 else np.inf


def _reason(found: Influences, m: int, ratio: Quantity | None) -> str:
    if ratio is None:
        return f"eigenvalue {m + 1} is not positive"
    return f"the ratio of timescales is surely above {RATIO:g}"


def _why_not(
    values: NDArray[np.float64],
    floor: float | None,
    barred: Sequence[int],
    largest: Quantity | None,
) -> str:
    if 0 in barred:
        return "mode 1 itself is not resolved"
    if not _slow(values[0], floor):
        return "no mode outlives the lag"
    if largest is None:
        return NONE
    return f"no ratio of timescales is surely above {RATIO:g}; {NONE}"
