"""Modes that a fit has made of noise: what held-out data keep of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.certificate import Certificate
from koopman_cli.analysis.modes import CHANCE

Matrix = NDArray[np.float64]

#: Errors beyond which held-out data keep less, and share of the timescale that they must keep.
ERRORS = 3.0
KEPT = 0.5


def overfitted(
    found: Sequence[Certificate], values: NDArray[np.complex128], known: Mapping[int, str]
) -> dict[int, str]:
    """Reversible modes (from 0) whose held-out functions are far faster, and why; beside ``known``.

    The functions of the training parts of folds have c(tau) on what these hold out. Where that is
    below the eigenvalue by three of its errors (and the 99% quantile of Student's t) and its
    timescale is less than half of that of the eigenvalue, the rest is fitted noise.

    Examples
    --------
    >>> kept, lost = Certificate(0.87, 0.01, 0.0, 0.01), Certificate(0.32, 0.02, 0.0, 0.01)
    >>> overfitted([kept, lost], np.array([0.9, 0.68]) + 0j, {})
    {1: 'held-out data do not support it: over-fitted, 0.32 ± 0.02 there, not 0.68'}
    """
    told = dict(known)
    for i, (one, value) in enumerate(zip(found, values.real.tolist(), strict=False)):
        if i in told or not 0 < value < 1:
            continue
        least = max(ERRORS, one.quantile) * one.error
        # exp(-tau / t) of a timescale t that is KEPT times as long.
        if value - one.value > least and one.value < value ** (1 / KEPT):
            told[i] = (
                f"held-out data do not support it: over-fitted, {one.value:.2g} ± {one.error:.1g} "
                f"there, not {value:.2g}"
            )
    return told


def of_noise(
    held: Matrix | None, values: NDArray[np.complex128], share: float, *, few: bool
) -> frozenset[int]:
    """Modes (from 0) of which held-out data surely keep less than half, where a fit may make them.

    With few pairs per function (``few``) a fit makes any shape of noise, one that changes sides
    once among them, and with more one of an eigenvalue up to 3 sqrt(m / n): nothing else needs to
    be said of such modes. Where it cannot, the same is seen of what the data hold once.

    Parameters
    ----------
    held : (k, 2) array
        Mean over folds and error, as of :func:`koopman_cli.analysis.coherences.held_out_memory`.
    share : float
        m / n, of functions that the fit leaves free and pairs.

    Examples
    --------
    >>> values = np.array([0.8 + 0j, 0.8, 0.99])
    >>> sorted(of_noise(np.array([[0.1, 0.05], [0.1, 0.3], [0.1, 0.05]]), values, 0.1, few=False))
    [0]
    """
    if held is None:
        return frozenset()
    size = np.where(values.imag == 0, values.real, np.abs(values))
    surely = (size > np.exp(-1.0)) & (held[:, 0] + 2 * held[:, 1] < size / 2)
    surely &= few | (size < CHANCE * np.sqrt(share))
    return frozenset(np.flatnonzero(surely).tolist())
