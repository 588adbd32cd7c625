"""The network lift: a trained multilayer perceptron, evaluated from stored weights in numpy.

With h_0 = (x - mean) * scale and layers l = 1 .. L

    h_l = act(norm_l(h_(l-1) W_l + b_l)),   chi(x) = softmax(h_(L-1) W_L + b_L)

(without the softmax for linear outputs). Two networks (one for each end of a lagged pair) give
their functions side by side. Weights are plain arrays; nothing of torch is needed here.
Source: Mardt, Pasquali, Wu and Noe, Nat. Commun. 9, 5 (2018).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.types import Lift

Matrix = NDArray[np.float64]

#: Added to variances in normalisation, as torch does.
NORM_EPS = 1e-5

ACTIVATIONS = ("elu", "relu", "tanh", "silu")


def activate(name: str, z: Matrix) -> Matrix:
    """The activation function, element by element.

    >>> activate("elu", np.array([-1.0, 2.0])).round(4).tolist()
    [-0.6321, 2.0]
    """
    if name == "elu":
        return np.where(z > 0, z, np.expm1(np.minimum(z, 0.0)))
    if name == "relu":
        return np.maximum(z, 0.0)
    if name == "tanh":
        return np.tanh(z)
    # exp of a large number would overflow on the way to a silu of zero.
    value: Matrix = z * 0.5 * (1 + np.tanh(z / 2))
    return value


def softmax(z: Matrix) -> Matrix:
    """Shares of the columns, safe for any size of input.

    >>> softmax(np.array([[1000.0, 1000.0]])).tolist()
    [[0.5, 0.5]]
    """
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    value: Matrix = e / e.sum(axis=-1, keepdims=True)
    return value


def _normalised(kind: str, z: Matrix, a: dict[str, NDArray[Any]], at: str) -> Matrix:
    if kind == "batch":
        mean, variance = a[f"centre {at}"], a[f"variance {at}"]
    else:
        mean, variance = z.mean(axis=1, keepdims=True), z.var(axis=1, keepdims=True)
    value: Matrix = (z - mean) / np.sqrt(variance + NORM_EPS) * a[f"gain {at}"] + a[f"offset {at}"]
    return value


def outputs(lift: Lift, x: NDArray[Any], network: int = 0) -> Matrix:
    """Outputs (n, outputs) of one of the networks of a lift on frames (n, d)."""
    a: dict[str, NDArray[Any]] = dict(lift.arrays)
    s = lift.settings
    h: Matrix = (np.asarray(x, np.float64) - a["mean"]) * a["scale"]
    last = int(s["layers"])
    for i in range(last + 1):
        at = f"{network} {i}"
        h = h @ a[f"weight {at}"].astype(np.float64) + a[f"bias {at}"]
        if i < last:
            if s["normalisation"] != "none":
                h = _normalised(s["normalisation"], h, a, at)
            h = activate(s["activation"], h)
    return softmax(h) if s["softmax"] else h


def evaluate(lift: Lift, x: NDArray[Any]) -> Matrix:
    """All functions of frames (n, d): (n, m), those of a second network beside the first.

    Examples
    --------
    >>> arrays = {"mean": np.zeros(1), "scale": np.ones(1)}
    >>> arrays |= {"weight 0 0": np.array([[1.0, -1.0]]), "bias 0 0": np.zeros(2)}
    >>> settings = {"layers": 0, "networks": 1, "softmax": True, "normalisation": "none"}
    >>> lift = Lift("network", ("state 1", "state 2"), {**settings, "activation": "elu"}, arrays)
    >>> evaluate(lift, np.zeros((1, 1))).tolist()
    [[0.5, 0.5]]
    """
    parts = [outputs(lift, x, j) for j in range(int(lift.settings["networks"]))]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
