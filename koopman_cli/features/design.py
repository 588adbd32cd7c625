"""What of a field is known from the time alone: means, cycles and trends (--anomaly, --detrend)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import UsageError, did_you_mean

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """What of a field is known from the time alone: --anomaly and --detrend.

    constant : whether there is a constant; cycle : frames of a cycle, 0 for none
    trend : whether there is a line in time, from ``origin`` over ``span`` frames
    """

    constant: bool = False
    cycle: int = 0
    trend: bool = False
    origin: float = 0.0
    span: float = 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        cycle = tuple(f"phase {k} of {self.cycle}" for k in range(self.cycle))
        constant = ("constant",) if self.constant and not self.cycle else ()
        return constant + cycle + (("trend",) if self.trend else ())

    def rows(self, times: Matrix) -> Matrix:
        """(n, q) for times in frames."""
        columns = []
        if self.cycle:
            phase = np.round(times).astype(np.int64) % self.cycle
            columns = [(phase == k).astype(float) for k in range(self.cycle)]
        elif self.constant:
            columns = [np.ones(len(times))]
        if self.trend:
            columns.append((times - self.origin) / self.span)
        return np.stack(columns, axis=1) if columns else np.empty((len(times), 0))

    def to_array(self) -> NDArray[Any]:
        """Plain numbers, for storage."""
        return np.array([self.constant, self.cycle, self.trend, self.origin, self.span], float)

    @classmethod
    def from_array(cls, values: NDArray[Any]) -> Design:
        """The inverse of :meth:`to_array`."""
        return cls(
            bool(values[0]), int(values[1]), bool(values[2]), float(values[3]), float(values[4])
        )


def parse_design(anomaly: str | None, detrend: str | None) -> Design:
    """Read ``mean``, ``cycle:12`` and ``linear``.

    >>> parse_design("cycle:12", "linear").names[-2:]
    ('phase 11 of 12', 'trend')
    """
    word, _, number = (anomaly or "none").partition(":")
    if word not in ("none", "mean", "cycle") or (word != "cycle" and number):
        hint = did_you_mean(word, ("mean", "cycle:12", "none"))
        raise UsageError(f"--anomaly {anomaly}: not known", hint)
    if word == "cycle" and not (number.isascii() and number.isdigit() and int(number) > 1):
        raise UsageError(f"--anomaly {anomaly}: a cycle has a number of frames", "cycle:12")
    if detrend not in (None, "none", "linear"):
        raise UsageError(f"--detrend {detrend}: not known", did_you_mean(str(detrend), ("linear",)))
    trend = detrend == "linear"
    return Design(word != "none" or trend, int(number) if word == "cycle" else 0, trend)
