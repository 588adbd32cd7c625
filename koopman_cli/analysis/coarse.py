"""Numbers of a coarse transition matrix: lifetimes, first passages, committors.

All take a matrix P whose rows sum to 1 and count time in steps of P. Lifetimes and first
passages take many at once, (..., n, n).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import UsageError

Matrix = NDArray[np.float64]


def lifetimes(p: Matrix) -> Matrix:
    """-1 / ln P_ii; infinite for a state that is never left, NaN for P_ii <= 0.

    >>> np.round(lifetimes(np.array([[0.9, 0.1], [0.5, 0.5]])), 3).tolist()
    [9.491, 1.443]
    """
    stay = np.diagonal(p, axis1=-2, axis2=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        value: Matrix = np.where(stay > 0, -1 / np.log(np.minimum(stay, 1.0)), np.nan)
    return value


def first_passages(p: Matrix) -> Matrix:
    """Mean first-passage times: element (i, j) from state i to state j, 0 on the diagonal.

    For fixed j they solve (1 - P restricted to all states but j) t = 1.

    >>> np.round(first_passages(np.array([[0.9, 0.1], [0.5, 0.5]])), 6).tolist()
    [[0.0, 10.0], [2.0, 0.0]]
    """
    n = p.shape[-1]
    found = np.zeros(p.shape)
    for j in range(n if n > 1 else 0):
        others = np.array([i for i in range(n) if i != j])
        system = np.eye(n - 1) - p[..., others[:, None], others]
        leaves = np.linalg.cond(system) < 1e12
        system = np.where(leaves[..., None, None], system, np.eye(n - 1))
        times = np.linalg.solve(system, np.ones((n - 1, 1)))[..., 0]
        times = np.where(times > 0, times, np.nan)
        found[..., others, j] = np.where(leaves[..., None], times, np.inf)
    return found


def committor(p: Matrix, start: Sequence[int], end: Sequence[int]) -> Matrix:
    """Probability to reach ``end`` before ``start`` from every state.

    Raises
    ------
    UsageError
        If a state is unknown or in both sets.

    Examples
    --------
    >>> line = np.array([[0.5, 0.5, 0.0], [0.25, 0.5, 0.25], [0.0, 0.5, 0.5]])
    >>> committor(line, [0], [2]).tolist()
    [0.0, 0.5, 1.0]
    """
    n = len(p)
    known = set(range(n))
    if not start or not end or set(start) & set(end) or not {*start, *end} <= known:
        raise UsageError(
            "a committor needs two different states of the model",
            f"states are numbered 1 to {n}",
        )
    q = np.zeros(n)
    q[np.array(end, np.int64)] = 1.0
    between = np.array([i for i in range(n) if i not in {*start, *end}], np.int64)
    if len(between):
        system = np.eye(len(between)) - p[np.ix_(between, between)]
        into_end = p[np.ix_(between, np.array(end, np.int64))].sum(axis=1)
        q[between] = np.linalg.lstsq(system, into_end, rcond=None)[0]
    return np.clip(q, 0.0, 1.0)


def stationary(p: Matrix) -> Matrix:
    """Left eigenvector of P for the eigenvalue 1, of sum 1.

    >>> np.round(stationary(np.array([[0.9, 0.1], [0.3, 0.7]])), 12).tolist()
    [0.75, 0.25]
    """
    n = len(p)
    system = np.vstack([p.T - np.eye(n), np.ones(n)])
    value: Matrix = np.linalg.lstsq(system, np.append(np.zeros(n), 1.0), rcond=None)[0]
    return value
