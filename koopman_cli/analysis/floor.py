"""The noise floor: how large a leading eigenvalue looks where there is nothing.

y is shifted circularly against x by at least a tenth of the data, inside each file. That
destroys the relation between x and y but keeps the memory of both: permuting single frames
would destroy the memory too, and read half of what the floor is.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.sampled import Sampled
from koopman_cli.linalg import power_of_two, whiten

Matrix = NDArray[np.float64]

SHIFTS = 40
QUANTILE = 0.95

#: Files with fewer sampled frames are shifted together instead of one by one.
MIN_PER_FILE = 20

#: With fewer pairs per function the sample has a floor of its own, far above that of the data.
PAIRS_PER_FUNCTION = 10


Slices = tuple[slice, slice]


def _shifted(groups: NDArray[np.int64], rng: np.random.Generator) -> list[Slices]:
    """Which rows of x meet which rows of y in a circular shift inside each group of frames."""
    edges = [0, *(np.flatnonzero(np.diff(groups)) + 1), len(groups)]
    spans = list(pairwise(edges))
    if min(b - a for a, b in spans) < MIN_PER_FILE:
        spans = [(0, len(groups))]
    met = []
    for a, b in spans:
        margin = max(1, (b - a) // 10)
        shift = int(rng.integers(margin, max(margin + 1, b - a - margin)))
        met += [
            (slice(a + shift, b), slice(a, b - shift)),
            (slice(a, a + shift), slice(b - shift, b)),
        ]
    return met


def _among(functions: Matrix, moving: NDArray[np.bool_]) -> Matrix:
    """Functions of the columns that move as functions of all columns."""
    full = np.zeros((len(moving), functions.shape[1]))
    full[moving] = functions
    return full


def noise_floor(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: NDArray[np.int64],
    *,
    reversible: bool,
    rtol: float = 1e-10,
    ridge: float = 0.0,
    seed: int = 0,
) -> float | None:
    """95% quantile of the leading eigenvalue (singular value) of shifted pairs.

    Parameters
    ----------
    x, y : (n, m) arrays
        Lagged pairs, evenly thinned over the data, in time order.
    groups : (n,) int array
        File of each pair.
    reversible : bool
        Symmetrise, as the model did; else singular values.
    ridge : float
        Added to the variances, as the model did.

    Returns
    -------
    float or None
        None where there are too few pairs to tell.

    Examples
    --------
    >>> z = np.random.default_rng(0).standard_normal((2001, 1))
    >>> noise_floor(z[:-1], z[1:], np.zeros(2000, int), reversible=True) < 0.1
    True
    """
    n = len(x)
    if n < 2 * MIN_PER_FILE:
        return None
    ends = (x.max(axis=0), -x.min(axis=0), y.max(axis=0), -y.min(axis=0))
    size = np.maximum.reduce(ends)
    scale = power_of_two(size)
    before, after = Sampled.of(x, scale), Sampled.of(y, scale)
    c00, c11 = before.covariance(), after.covariance()
    spread = np.sqrt(np.minimum(np.diag(c00), np.diag(c11)))
    moving = spread > 1e-7 * size * scale
    # A ridge fits no more functions than it leaves alone, however many there are.
    if n < (0 if ridge else PAIRS_PER_FUNCTION * moving.sum()) or not moving.any():
        return None
    c00, c11 = (c[np.ix_(moving, moving)] for c in (c00, c11))
    if reversible:
        c00 = c11 = (c00 + c11) / 2
    if ridge:
        c00, c11 = (c + ridge * np.eye(len(c)) for c in (c00, c11))
    left, right = (_among(whiten(c, rtol).matrix, moving) for c in (c00, c11))
    rng = np.random.default_rng(seed)
    leading = []
    # Whitened numbers are of order one: single precision is far finer than the quantile.
    x_white, y_white = before.through(left), after.through(right)
    for _ in range(SHIFTS):
        cross = np.zeros((left.shape[1], right.shape[1]))
        for i, j in _shifted(groups, rng):
            cross += x_white[i].T @ y_white[j] / n
        if reversible:
            leading.append(float(np.linalg.eigvalsh((cross + cross.T) / 2)[-1]))
        else:
            leading.append(float(np.linalg.norm(cross, 2)))
    # The position (n + 1) q, which a further draw exceeds in 1 - q of the cases; that of numpy
    # by default lies lower, and noise would exceed it in 7%.
    return float(np.clip(np.quantile(leading, QUANTILE, method="weibull"), 0.0, 1.0))
