"""How many errors an interval reaches, and how many contradict reversibility."""

from __future__ import annotations

#: Probability on either side of the sampling error of an eigenvalue in its residual interval
#: (Student's t; this is its normal quantile). 99%, not 95%: an eigenvalue that poor functions
#: move by less than about one of its errors has a residual far below the error of r2, so that
#: nothing else in the interval makes up for it.
TAIL, NORMAL_QUANTILE = 0.005, 2.576


def apart(pairs: float, lag: int) -> float:
    """How many pairs that do not overlap tell as much of r2 as so many that do.

    Products of the residuals before and after a frame, s frames apart, are correlated by
    (1 - |s| / lag)^2, whose sum is (2 lag^2 + 1) / (3 lag).

    >>> apart(300, 1), apart(300, 2)
    (300.0, 200.0)
    """
    return pairs * 3 * lag / (2 * lag**2 + 1)


def reach(blocks: int) -> float:
    """Of Student's t, for the error of an eigenvalue.

    >>> round(reach(10_000), 3), round(reach(40), 2)
    (2.576, 2.71)
    """
    from scipy.special import stdtrit

    return float(-stdtrit(blocks - 1, TAIL))


def refuting(blocks: int, modes: int, errors: float) -> float:
    """Normal errors in units of Student's t, for all modes together.

    >>> round(refuting(10_000, 1, 3.0), 2), round(refuting(40, 5, 3.0), 2)
    (3.0, 3.77)
    """
    from scipy.special import ndtr, stdtrit

    return float(-stdtrit(blocks - 1, ndtr(-errors) / modes))
