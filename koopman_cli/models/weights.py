"""Koopman reweighting: weights that turn short runs out of equilibrium into an equilibrium.

With functions b(x) = [W'(x - mean), 1], orthonormal on the data, and K = E[b(x) b(y)'], the
weight w(x) = u' b(x) with u' K = u' and mean 1 makes w-weighted averages stationary.
Source: Wu et al., J. Chem. Phys. 146, 154104 (2017).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import SupportError
from koopman_cli.linalg import whiten
from koopman_cli.models.solve import moving_functions
from koopman_cli.moments import Moments

Function = Callable[[NDArray[Any]], NDArray[Any]]


def koopman_weights(
    moments: Moments,
    lift: tuple[int, Function] | None,
    eps: float = 2.0**-52,
) -> tuple[Function, float]:
    """Weights of frames, as a function of a chunk of features, and the effective frames.

    Parameters
    ----------
    moments : Moments
        Unweighted, of the lifted features.
    lift : (m, function) or None
        What lifts a chunk of features; None for the identity.
    eps : float
        Machine epsilon of the input.

    Returns
    -------
    weights : function (n, d) -> (n,)
        Of mean 1 on the data; may be negative where the estimate is poor.
    effective : float
        (sum w)^2 / sum w^2, the effective number of frames.

    Raises
    ------
    SupportError
        If the stationary weights are not determined.
    """
    moving = moving_functions(moments, eps)
    c = moments.covariances()
    inner = np.ix_(moving, moving)
    white = whiten(c.c00[inner]).matrix
    shift = c.mean_y[moving] - c.mean_x[moving]
    # Row and column of the constant: E[b(y)] relative to the mean of x.
    cross = white.T @ c.c01[inner] @ white
    drift = white.T @ shift
    # u' K = u' with u = [v, 1]: v' (cross - 1) = -drift'; E[b(x) 1] = 0 by the centring.
    system = cross.T - np.eye(len(drift))
    if np.linalg.cond(system) > 1e10:
        raise SupportError(
            "Koopman reweighting: the stationary weights are not determined by these data",
            "leave out --set tica.reweight=true, or take features that mix within the data",
        )
    v = np.linalg.solve(system, -drift)
    coefficients = np.zeros(len(moving))
    coefficients[moving] = (white @ v) * moments.scale[moving]
    mean = moments.mean_x

    def weights(chunk: NDArray[Any]) -> NDArray[Any]:
        lifted = chunk if lift is None else lift[1](chunk)
        value: NDArray[Any] = 1 + (lifted - mean) @ coefficients
        return value

    return weights, moments.n / float(1 + v @ v)
