"""The noise floor: how large a leading eigenvalue looks where there is nothing.

y is shifted circularly against x by at least a tenth of the data, inside each file. That
destroys the relation between x and y but keeps the memory of both: permuting single frames
would destroy the memory too, and read half of what the floor is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from koopman_cli.linalg import whiten

Matrix = NDArray[np.float64]

SHIFTS = 40
QUANTILE = 0.95

#: Files with fewer sampled frames are shifted together instead of one by one.
MIN_PER_FILE = 20

#: With fewer pairs per function the sample has a floor of its own, far above that of the data.
PAIRS_PER_FUNCTION = 10


def _shifted(groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Indices after a circular shift inside each group of consecutive frames."""
    index = np.arange(len(groups))
    edges = np.flatnonzero(np.diff(groups)) + 1
    parts = np.split(index, edges)
    if min(len(part) for part in parts) < MIN_PER_FILE:
        parts = [index]
    moved = []
    for part in parts:
        margin = max(1, len(part) // 10)
        moved.append(np.roll(part, int(rng.integers(margin, max(margin + 1, len(part) - margin)))))
    return np.concatenate(moved)


def noise_floor(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: NDArray[np.int64],
    *,
    reversible: bool,
    rtol: float = 1e-10,
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
    spread = np.minimum(x.std(axis=0), y.std(axis=0))
    size = np.maximum(np.abs(x).max(axis=0, initial=0), 1e-300) if n else spread
    moving = spread > 1e-7 * size
    if n < max(2 * MIN_PER_FILE, PAIRS_PER_FUNCTION * moving.sum()) or not moving.any():
        return None
    x, y = x[:, moving] - x[:, moving].mean(axis=0), y[:, moving] - y[:, moving].mean(axis=0)
    c00, c11 = x.T @ x / n, y.T @ y / n
    if reversible:
        c00 = c11 = (c00 + c11) / 2
    x, y = x @ whiten(c00, rtol).matrix, y @ whiten(c11, rtol).matrix
    rng = np.random.default_rng(seed)
    leading = []
    for _ in range(SHIFTS):
        cross = x.T @ y[_shifted(groups, rng)] / n
        if reversible:
            leading.append(float(np.linalg.eigvalsh((cross + cross.T) / 2)[-1]))
        else:
            leading.append(float(np.linalg.norm(cross, 2)))
    return float(np.clip(np.quantile(leading, QUANTILE), 0.0, 1.0))
