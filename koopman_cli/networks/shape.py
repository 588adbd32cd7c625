"""The shape of a network, its parameters in one flat row, and its plain forward pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.lifts.network import NORM_EPS

Tensor = Any

#: Share of a new batch in the running means of batch normalisation.
MOMENTUM = 0.1


@dataclass(frozen=True)
class Shape:
    """What networks must have in common to be trained in one stack.

    inputs : features d
    hidden : widths of the hidden layers
    outputs : functions of a network
    softmax : whether outputs are memberships that sum to one
    networks : 1, or 2 for one network at each end of a lagged pair

    Examples
    --------
    >>> shape = Shape(3, (8,), 2)
    >>> shape.parameters, shape.functions
    (50, 1)
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: str = "elu"
    normalisation: str = "none"
    softmax: bool = True
    networks: int = 1
    dropout: float = 0.0

    @property
    def functions(self) -> int:
        """Functions that are independent: memberships sum to one, so one of them is dropped."""
        return self.outputs - self.softmax

    @property
    def widths(self) -> tuple[int, ...]:
        return (self.inputs, *self.hidden, self.outputs)

    def parts(self) -> list[tuple[str, int, tuple[int, int]]]:
        """(kind, layer, shape) of every parameter of one network, in order."""
        found: list[tuple[str, int, tuple[int, int]]] = []
        for i, (a, b) in enumerate(zip(self.widths[:-1], self.widths[1:], strict=True)):
            found += [("weight", i, (a, b)), ("bias", i, (1, b))]
            if self.normalisation != "none" and i < len(self.hidden):
                found += [("gain", i, (1, b)), ("offset", i, (1, b))]
        return found

    @property
    def parameters(self) -> int:
        """Numbers in one network."""
        return sum(a * b for _, _, (a, b) in self.parts())

    @property
    def statistics(self) -> int:
        """Running means and variances of one network with batch normalisation."""
        return 2 * sum(self.hidden) if self.normalisation == "batch" else 0


def views(shape: Shape, rows: Tensor) -> dict[tuple[str, int], Tensor]:
    """Parameters (kind, layer) -> (S, a, b) of a stack of rows (S, P), sharing its memory."""
    found, at = {}, 0
    for kind, layer, (a, b) in shape.parts():
        found[kind, layer] = rows[:, at : at + a * b].view(len(rows), a, b)
        at += a * b
    return found


def _statistics(shape: Shape, rows: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    at = 0
    for width in shape.hidden:
        yield rows[:, at : at + width], rows[:, at + width : at + 2 * width]
        at += 2 * width


def initial(shape: Shape, seeds: list[int]) -> tuple[Tensor, Tensor]:
    """Fresh parameters (S, P) and statistics (S, Q) in float64, one seed per network.

    Weights are uniform with variance gain^2 / inputs (gain sqrt 2 for relu and its kin, else 1;
    outputs 1). Biases of hidden layers are uniform up to 1 / sqrt(inputs), those of the outputs 0:
    without them the kinks of all functions of a single coordinate would lie at its mean.
    Drawn on the processor, so they do not depend on the device.
    """
    import torch

    rows = torch.zeros(len(seeds), shape.parameters, dtype=torch.float64)
    stats = torch.zeros(len(seeds), shape.statistics, dtype=torch.float64)
    for row, seed in zip(rows, seeds, strict=True):
        generator = torch.Generator().manual_seed(seed)
        for (kind, layer), part in views(shape, row[None]).items():
            if kind == "weight":
                last = layer == len(shape.hidden)
                gain = 1.0 if last or shape.activation == "tanh" else math.sqrt(2)
                limit = gain * math.sqrt(3 / part.shape[1])
                part.uniform_(-limit, limit, generator=generator)
            elif kind == "bias" and layer < len(shape.hidden):
                limit = 1 / math.sqrt(shape.widths[layer])
                part.uniform_(-limit, limit, generator=generator)
            elif kind == "gain":
                part.fill_(1.0)
    if shape.statistics:
        for _, variance in _statistics(shape, stats):
            variance.fill_(1.0)
    return rows, stats


def activation(name: str, z: Tensor) -> Tensor:
    """The activation in torch."""
    import torch.nn.functional as f

    table: dict[str, Any] = {"elu": f.elu, "relu": f.relu, "tanh": f.tanh, "silu": f.silu}
    return table[name](z)


@dataclass
class Mode:
    """How a forward pass treats what differs between training and use.

    train : statistics of the batch, and dropout
    statistics : (S, Q) running means and variances, changed while training
    generator : of the dropout masks
    """

    train: bool = False
    statistics: Tensor = None
    generator: Tensor = None


def forward(shape: Shape, rows: Tensor, x: Tensor, mode: Mode | None = None) -> Tensor:
    """Outputs (S, n, outputs) of every network of a stack on its own frames x (S, n, d).

    The plain way, with autograd: what :mod:`koopman_cli.networks.fused` must equal.
    """
    import torch

    mode = mode or Mode()
    p = views(shape, rows)
    running = [] if not shape.statistics else list(_statistics(shape, mode.statistics))
    h = x
    for i in range(len(shape.hidden)):
        h = torch.baddbmm(p["bias", i], h, p["weight", i])
        if shape.normalisation == "batch":
            h = _batch_norm(h, running[i], train=mode.train)
        elif shape.normalisation == "layer":
            variance, mean = torch.var_mean(h, dim=2, keepdim=True, unbiased=False)
            h = (h - mean) * torch.rsqrt(variance + NORM_EPS)
        if shape.normalisation != "none":
            h = h * p["gain", i] + p["offset", i]
        h = activation(shape.activation, h)
        if shape.dropout and mode.train:
            keep = torch.empty_like(h).bernoulli_(1 - shape.dropout, generator=mode.generator)
            h = h * keep / (1 - shape.dropout)
    last = len(shape.hidden)
    h = torch.baddbmm(p["bias", last], h, p["weight", last])
    return torch.softmax(h, dim=2) if shape.softmax else h


def _batch_norm(h: Tensor, running: tuple[Tensor, Tensor], *, train: bool) -> Tensor:
    import torch

    mean, variance = (part[:, None] for part in running)
    if train:
        variance, mean = torch.var_mean(h, dim=1, keepdim=True, unbiased=False)
        with torch.no_grad():
            running[0].lerp_(mean[:, 0], MOMENTUM)
            running[1].lerp_(variance[:, 0], MOMENTUM)
    return (h - mean) * torch.rsqrt(variance + NORM_EPS)


def arrays_of(
    shape: Shape, rows: NDArray[Any], statistics: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Named arrays of a lift from the rows (networks, P) and statistics of one trained network."""
    found: dict[str, NDArray[Any]] = {}
    for j in range(len(rows)):
        at = 0
        for kind, layer, (a, b) in shape.parts():
            part = rows[j, at : at + a * b]
            found[f"{kind} {j} {layer}"] = np.array(
                part.reshape(a, b) if kind == "weight" else part
            )
            at += a * b
        at = 0
        for layer, width in enumerate(shape.hidden if shape.statistics else ()):
            found[f"centre {j} {layer}"] = np.array(statistics[j, at : at + width])
            found[f"variance {j} {layer}"] = np.array(statistics[j, at + width : at + 2 * width])
            at += 2 * width
    return found
