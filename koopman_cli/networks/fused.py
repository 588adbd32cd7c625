"""The same forward pass and its gradient written out, into memory that is allocated once.

Autograd allocates every intermediate afresh, which costs as much as the products of a small
network. This serves plain networks (no normalisation, no dropout; an activation whose slope
follows from its value); :func:`koopman_cli.networks.shape.forward` serves all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from koopman_cli.networks.shape import Shape, views

Tensor = Any

#: Activations whose slope is a function of their value.
PLAIN = ("elu", "relu", "tanh")

#: Numbers of a part that goes through several operations in turn.
PART = 2**18

#: What is handed to the slope of elu is its value, not its argument.
OF_RESULT = True


def can_fuse(shape: Shape) -> bool:
    """Whether the fast pass serves networks of this shape."""
    return shape.normalisation == "none" and not shape.dropout and shape.activation in PLAIN


def _parts(*arrays: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Arrays (S, n, k) cut along n so that what is done to a part finds it in the caches.

    A GPU gets them whole.
    """
    like = arrays[0]
    if like.numel() <= PART or like.device.type != "cpu":
        yield arrays
        return
    step = max(1, PART // (len(like) * like.shape[2]))
    for a in range(0, like.shape[1], step):
        yield tuple(array[:, a : a + step] for array in arrays)


class Fused:
    """Forward and backward passes of stacks of one shape.

    The intermediates of the last forward pass are kept for the backward pass, so the two are
    called in turns.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.memory: dict[str, Tensor] = {}
        self.values: list[Tensor] = []

    def _room(self, name: str, like: Tensor, size: tuple[int, ...]) -> Tensor:
        """Memory of a name, allocated when first asked for and whenever the size grows."""
        import torch

        count = 1
        for n in size:
            count *= n
        held = self.memory.get(name)
        if held is None or held.numel() < count or held.dtype != like.dtype:
            held = self.memory[name] = torch.empty(count, dtype=like.dtype, device=like.device)
        return held[:count].view(size)

    def forward(self, rows: Tensor, x: Tensor) -> Tensor:
        """Outputs (S, n, outputs) of parameters (S, P) on frames (S, n, d)."""
        import torch

        p, last = views(self.shape, rows), len(self.shape.hidden)
        self.values = [x]
        for i in range(last + 1):
            size = (*x.shape[:2], self.shape.widths[i + 1])
            y = self._room(f"value {i}", x, size)
            torch.baddbmm(p["bias", i], self.values[-1], p["weight", i], out=y)
            if i < last:
                for (part,) in _parts(y):
                    self._activate(part)
            elif self.shape.softmax:
                y = self._shares(y)
            self.values.append(y)
        return y

    def _shares(self, y: Tensor) -> Tensor:
        """Softmax over the few columns of a long array, in place.

        torch's own takes rows of a handful of numbers one by one; sums by a product with ones
        take a tenth of its time.
        """
        y.sub_(y.amax(dim=2, keepdim=True)).exp_()
        return y.div_(self._sums(y))

    def _sums(self, y: Tensor) -> Tensor:
        """Sums over the columns of (S, n, outputs), repeated for every column."""
        k = y.shape[2]
        return (y.view(-1, k) @ y.new_ones(1, 1).expand(k, k)).view(y.shape)

    def _activate(self, y: Tensor) -> None:
        import torch

        kind = self.shape.activation
        if kind == "relu":
            y.relu_()
        elif kind == "tanh":
            y.tanh_()
        else:
            # exp(min(y, 0)) - 1 >= y for y <= 0 and 0 above, so the larger is the answer.
            low = torch.clamp(y, max=0, out=self._room("low", y, tuple(y.shape)))
            torch.maximum(y, low.exp_().sub_(1), out=y)

    def backward(self, slope: Tensor, rows: Tensor, grads: Tensor) -> None:
        """Write the gradient with respect to the parameters into ``grads`` (S, P).

        slope : (S, n, outputs) derivative with respect to the outputs
        """
        import torch

        p, g = views(self.shape, rows), views(self.shape, grads)
        d = slope
        if self.shape.softmax:
            # d y_i / d z_j = y_i (delta_ij - y_j), with sums over columns as in the forward pass.
            y = self.values[-1]
            d = y * (d - self._sums(y * d))
        last = len(self.shape.hidden)
        torch.sum(d, dim=1, keepdim=True, out=g["bias", last])
        for i in range(last, -1, -1):
            h = self.values[i]
            g["weight", i].copy_(torch.bmm(h.transpose(1, 2), d))
            if i:
                room = self._room(f"slope {i % 2}", d, tuple(h.shape))
                d = torch.bmm(d, p["weight", i].transpose(1, 2), out=room)
                bias = g["bias", i - 1].zero_()
                for part, value in _parts(d, h):
                    self._through(part, value)
                    bias.add_(part.sum(dim=1, keepdim=True))

    def _through(self, d: Tensor, y: Tensor) -> None:
        """Multiply by the slope of the activation, which is known from its value."""
        import torch

        kind = self.shape.activation
        ops = torch.ops.aten
        if kind == "relu":
            ops.threshold_backward.grad_input(d, y, 0, grad_input=d)
        elif kind == "tanh":
            ops.tanh_backward.grad_input(d, y, grad_input=d)
        else:
            ops.elu_backward.grad_input(d, 1.0, 1.0, 1.0, OF_RESULT, y, grad_input=d)
