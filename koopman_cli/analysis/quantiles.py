"""How many errors an interval reaches, and how many contradict reversibility."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Probability on either side of the sampling error of an eigenvalue in its residual interval
#: (Student's t; this is its normal quantile). 99%, not 95%: an eigenvalue that poor functions
#: move by less than about one of its errors has a residual far below the error of r2, so that
#: nothing else in the interval makes up for it.
TAIL, NORMAL_QUANTILE = 0.005, 2.576


def telling(sizes: Matrix) -> Matrix:
    """How many equal blocks tell as much as these, (k,): Kish's effective number.

    A function that is large in few blocks (a rare state) is known from these only. Not below 2,
    so that there is an error at all.

    sizes : (blocks, k) squared norm of each function in each block

    >>> telling(np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 4.0], [1.0, 4.0], [1.0, 4.0]]))
    array([5., 3.])
    """
    square = np.sum(sizes**2, axis=0)
    found: Matrix = np.sum(sizes, axis=0) ** 2 / np.where(square > 0, square, 1.0)
    return np.maximum(found, 2.0)


def reach(blocks: Matrix) -> Matrix:
    """Of Student's t, for the error of an eigenvalue.

    >>> reach(np.array([10_000, 40])).round(3)
    array([2.576, 2.708])
    """
    from scipy.special import stdtrit

    found: Matrix = -stdtrit(blocks - 1, TAIL)
    return found


def refuting(blocks: Matrix, modes: int, errors: float) -> Matrix:
    """Normal errors in units of Student's t, for all modes together.

    >>> refuting(np.array([10_000, 40]), 5, 3.0).round(2)
    array([3.46, 3.77])
    """
    from scipy.special import ndtr, stdtrit

    found: Matrix = -stdtrit(blocks - 1, ndtr(-errors) / modes)
    return found
