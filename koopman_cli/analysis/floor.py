"""The noise floor: how large a leading eigenvalue looks where there is nothing.

y is shifted circularly against x by at least a tenth of the data, inside each file. That
destroys the relation between x and y but keeps the memory of both: permuting single frames
would destroy the memory too, and read half of what the floor is.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from koopman_cli.linalg import power_of_two, whiten

Matrix = NDArray[np.float64]

SHIFTS = 40
QUANTILE = 0.95

#: Files with fewer sampled frames are shifted together instead of one by one.
MIN_PER_FILE = 20

#: With fewer pairs per function the sample has a floor of its own, far above that of the data.
PAIRS_PER_FUNCTION = 10


Slices = tuple[slice, slice]


def _balanced(x: Matrix, y: Matrix) -> tuple[Matrix, Matrix]:
    """Both in common units in which squares neither overflow nor vanish."""
    size = np.maximum(np.abs(x).max(axis=0, initial=0.0), np.abs(y).max(axis=0, initial=0.0))
    scale = power_of_two(size)
    return x * scale, y * scale


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
    x, y = _balanced(x, y)
    spread = np.minimum(x.std(axis=0), y.std(axis=0))
    size = np.maximum(np.abs(x).max(axis=0, initial=0), 1e-300) if n else spread
    moving = spread > 1e-7 * size
    # A ridge fits no more functions than it leaves alone, however many there are.
    needed = 0 if ridge else PAIRS_PER_FUNCTION * moving.sum()
    if n < max(2 * MIN_PER_FILE, needed) or not moving.any():
        return None
    x, y = x[:, moving] - x[:, moving].mean(axis=0), y[:, moving] - y[:, moving].mean(axis=0)
    c00, c11 = x.T @ x / n, y.T @ y / n
    if reversible:
        c00 = c11 = (c00 + c11) / 2
    if ridge:
        c00, c11 = (c + ridge * np.eye(len(c)) for c in (c00, c11))
    x, y = x @ whiten(c00, rtol).matrix, y @ whiten(c11, rtol).matrix
    rng = np.random.default_rng(seed)
    leading = []
    # Whitened numbers are of order one: single precision is far finer than the quantile.
    x, y = x.astype(np.float32), y.astype(np.float32)
    for _ in range(SHIFTS):
        cross = np.zeros((x.shape[1], y.shape[1]))
        for i, j in _shifted(groups, rng):
            cross += x[i].T @ y[j] / n
        if reversible:
            leading.append(float(np.linalg.eigvalsh((cross + cross.T) / 2)[-1]))
        else:
            leading.append(float(np.linalg.norm(cross, 2)))
    return float(np.clip(np.quantile(leading, QUANTILE), 0.0, 1.0))
