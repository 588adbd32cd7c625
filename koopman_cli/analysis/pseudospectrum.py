"""Pseudospectra: how nearly every point of the complex plane is an eigenvalue.

sigma(z)^2 is the smallest eigenvalue of C11 - z C01' - conj(z) C01 + |z|^2 C00 in whitened
functions: the smallest residual |K g - z g| / |g| of any function of the dictionary.
Source: Colbrook and Townsend, Commun. Pure Appl. Math. 77, 221 (2024).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from koopman_cli.linalg import whiten
from koopman_cli.moments import Moments

Matrix = NDArray[np.float64]


def smallest_residuals(moments: Moments, points: NDArray[np.complex128]) -> Matrix:
    """Smallest residual over all functions, uncentred and with the constant, at given points.

    Parameters
    ----------
    moments : Moments
        Of the lifted features; best of points that were not fitted.
    points : complex array of any shape

    Examples
    --------
    >>> x = np.random.default_rng(0).uniform(-1, 1, (500, 1))
    >>> found = smallest_residuals(Moments.of_pairs(x, 0.5 * x), np.array([0.5, 1.0, 0.75 + 0j]))
    >>> bool(found[0] < 1e-6), bool(found[1] < 1e-6), bool(found[2] > 0.1)
    (True, True, True)
    """
    # The augmented sums hold the constant as the last function; z has about unit size.
    n = moments.n
    white = whiten(moments.xx / n).matrix
    c01, c11 = white.T @ (moments.xy / n) @ white, white.T @ (moments.yy / n) @ white
    one = np.eye(white.shape[1])
    flat = np.ravel(points)
    found = np.empty(len(flat))
    for i, z in enumerate(flat):
        form = c11 - z * c01.T - np.conj(z) * c01 + abs(z) ** 2 * one
        smallest = np.linalg.eigvalsh(form)[0]
        found[i] = np.sqrt(max(float(smallest), 0.0))
    return found.reshape(np.shape(points))
