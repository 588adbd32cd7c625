"""Data that one linear map reproduces, as simulations of linear systems are."""

from __future__ import annotations

import numpy as np

from koopman_cli.moments import Covariances, Moments

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


#: Of a map that is carried over: most of the error of persistence that is left on held-out
#: pairs, and how many times the error on the training pairs that may be.
LEFT_OVER = 0.01
AS_GOOD = 2.0


def carried_over(train: Moments, test: Moments, *, center: bool = True) -> bool:
    """Whether the linear map of training pairs predicts held-out pairs as well as its own.

    With A = C00^+ C01 of ``train``, the mean of ``|y - A'x|^2`` over ``test`` is at most 1% of that
    of ``|y - x|^2``, and at most twice that over ``train``. Unlike a score of correlations this
    holds however much smaller or larger the held-out snapshots are.

    Parameters
    ----------
    train, test : Moments
        Of the same functions, about the same shift and scale.
    center : bool
        Whether covariances are about the mean of ``train`` and ``test``, each its own.

    Examples
    --------
    A decaying rotation, and one that turns faster as it decays:

    >>> t = np.arange(400)
    >>> def halves(phase):
    ...     z = np.exp(-0.01 * t + 1j * phase)
    ...     x = np.stack([z.real, z.imag], axis=1)
    ...     return Moments.of_pairs(x[:199], x[1:200]), Moments.of_pairs(x[200:-1], x[201:])
    >>> carried_over(*halves(0.1 * t)), carried_over(*halves(0.1 * t + 1e-4 * t**2))
    (True, False)
    """
    seen, held = train.covariances(center=center), test.covariances(center=center)
    a = np.linalg.pinv(seen.c00, hermitian=True) @ seen.c01

    def error(c: Covariances) -> float:
        return float(np.trace(c.c11 - a.T @ c.c01 - c.c01.T @ a + a.T @ c.c00 @ a))

    own, its = error(seen), error(held)
    rounding = EXACT * float(np.trace(held.c11))
    moved = float(np.trace(held.c11 - held.c01 - held.c01.T + held.c00))
    return its <= max(LEFT_OVER * moved, rounding) and its <= max(AS_GOOD * own, rounding)
