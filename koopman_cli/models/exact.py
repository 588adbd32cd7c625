"""Data that one linear map reproduces, as simulations of linear systems are."""

from __future__ import annotations

import numpy as np

from koopman_cli.moments import Moments

#: Share of the variance that rounding may leave, and pairs per squared number of functions that
#: show that a map was not adapted to them.
EXACT, PAIRS_OF_A_MAP = 1e-9, 50


def reproduced(total: Moments, *, center: bool = True) -> bool:
    """Whether one linear map takes x to y to rounding, for far more pairs than it can adapt to.

    tr(C11 - C01' C00^+ C01) is at most 1e-9 of tr C11.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((400, 2))
    >>> reproduced(Moments.of_pairs(x, x @ np.diag([0.9, 0.5])))
    True
    >>> reproduced(Moments.of_pairs(x[:-1], x[1:]))
    False
    """
    c = total.covariances(center=center)
    if total.n < PAIRS_OF_A_MAP * len(c.c00) ** 2:
        return False
    left = c.c11 - c.c01.T @ np.linalg.pinv(c.c00, hermitian=True) @ c.c01
    return bool(np.trace(left) <= EXACT * np.trace(c.c11))
