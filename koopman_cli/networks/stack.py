"""A stack of networks and one step of training: scores, gradients, Adam, all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from koopman_cli.networks.fused import Fused, can_fuse
from koopman_cli.networks.loss import score_and_slope
from koopman_cli.networks.recipe import mixed
from koopman_cli.networks.shape import Mode, Shape, forward, initial

Tensor = Any

BETAS = 0.9, 0.999
EPSILON = 1e-8

#: Numbers of one intermediate above which networks of a stack take turns: on the processor they
#: should stay in its caches.
TURN = 2_600_000
TURN_GPU = 200_000_000


@dataclass
class Stack:
    """Parameters of N networks and the state of their optimiser, a row each.

    rows : (N, networks * P) parameters
    statistics : (N, networks * Q) of batch normalisation
    first, second : (N, networks * P) means of the gradient and of its square
    steps, rate, decay : (N, 1)
    total, counted, bad : (N,) sum of batch scores, their number, and batches that were skipped
    """

    rows: Tensor
    statistics: Tensor
    first: Tensor
    second: Tensor
    steps: Tensor
    rate: Tensor
    decay: Tensor
    total: Tensor
    counted: Tensor
    bad: Tensor

    @classmethod
    def fresh(
        cls, shape: Shape, seeds: list[int], rates: list[float], decays: list[float], place: Any
    ) -> Stack:
        """Networks of these seeds; place : device and dtype."""
        import torch

        device, dtype = place
        n = len(seeds)
        own = [mixed(seed, j) for seed in seeds for j in range(shape.networks)]
        rows, statistics = (part.reshape(n, -1).to(device, dtype) for part in initial(shape, own))

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=torch.float64).view(n, 1).to(device, dtype)

        zero = torch.zeros(n, dtype=torch.float64, device=device)
        return cls(
            rows, statistics, torch.zeros_like(rows), torch.zeros_like(rows), column([0.0] * n),
            column(rates), column(decays), zero, zero.clone(), zero.clone(),
        )  # fmt: skip

    def take(self, index: Tensor) -> Stack:
        """A copy of some networks."""
        return Stack(*(getattr(self, f.name)[index] for f in fields(self)))

    def put(self, index: Tensor, part: Stack) -> None:
        """Write networks back."""
        for f in fields(self):
            getattr(self, f.name)[index] = getattr(part, f.name)

    def between(self, a: int, b: int) -> Stack:
        """Networks a to b, sharing the memory."""
        return Stack(*(getattr(self, f.name)[a:b] for f in fields(self)))


class Engine:
    """Forward passes and steps of stacks of one shape."""

    def __init__(self, shape: Shape, loss: str, ridge: float) -> None:
        self.shape, self.loss, self.ridge = shape, loss, ridge
        self.fused = Fused(shape) if can_fuse(shape) else None
        self.gradient: Tensor = None

    def forget(self) -> None:
        """Give back the memory of intermediates."""
        self.gradient = None
        if self.fused is not None:
            self.fused = Fused(self.shape)

    def turn(self, rows: int, device: Any) -> int:
        """Networks that take a step side by side when each has so many frames in it."""
        most = TURN if device.type == "cpu" else TURN_GPU
        return max(1, most // (rows * max(self.shape.widths)))

    def outputs(self, stack: Stack, x: Tensor) -> Tensor:
        """Outputs (N, 2, B, outputs) on frames (N, 2, B, d) of both ends of lagged pairs.

        The memory of the result may be used again by the next call.
        """
        import torch

        with torch.no_grad():
            rows, frames = self._flat(stack.rows, x)
            if self.fused is not None:
                found = self.fused.forward(rows, frames)
            else:
                found = forward(self.shape, rows, frames, self._mode(stack, train=False))
        return found.view(len(x), 2, x.shape[2], -1)

    def _mode(self, stack: Stack, *, train: bool, generator: Tensor = None) -> Mode:
        statistics = stack.statistics.view(len(stack.rows) * self.shape.networks, -1)
        return Mode(train, statistics, generator)

    def _flat(self, rows: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """One row per network, and its frames: both ends together, or each end to its own."""
        n = len(rows) * self.shape.networks
        return rows.view(n, -1), x.reshape(n, -1, x.shape[3])

    def gradients(self, stack: Stack, x: Tensor, generator: Tensor = None) -> tuple[Tensor, Tensor]:
        """Scores (N,) of a batch (N, 2, B, d) and their gradients (N, networks * P)."""
        import torch

        n, _, size, _ = x.shape
        rows, frames = self._flat(stack.rows, x)
        k = self.shape.functions
        if self.fused is None:
            leaf = rows.detach().requires_grad_()
            mode = self._mode(stack, train=True, generator=generator)
            out = forward(self.shape, leaf, frames, mode).view(n, 2, size, -1)
            score, slope = score_and_slope(out.detach()[..., :k], self.loss, self.ridge)
            out[..., :k].backward(slope)
            return score, leaf.grad.view(n, -1)
        if self.gradient is None or self.gradient.shape != rows.shape:
            self.gradient = torch.empty_like(rows)
        with torch.no_grad():
            out = self.fused.forward(rows, frames).view(n, 2, size, -1)
            score, slope = score_and_slope(out[..., :k], self.loss, self.ridge)
            whole = torch.nn.functional.pad(slope, (0, out.shape[3] - k))
            self.fused.backward(whole.view(*frames.shape[:2], -1), rows, self.gradient)
        return score, self.gradient.view(n, -1)

    def step(self, stack: Stack, x: Tensor, generator: Tensor = None) -> None:
        """One step of every network of a stack on its own batch (N, 2, B, d), in place.

        A network whose score or gradient is not finite skips the batch.
        """
        import torch

        score, g = self.gradients(stack, x, generator)
        with torch.no_grad():
            fine = torch.isfinite(score) & torch.isfinite(g.sum(dim=1))
            stack.total += torch.where(fine, score, 0.0)
            stack.counted += fine
            stack.bad += ~fine
            g = torch.where(fine[:, None], g, 0.0)
            ok = fine[:, None].to(g.dtype)
            stack.steps += ok
            stack.first.mul_(1 - ok * (1 - BETAS[0])).add_(g, alpha=1 - BETAS[0])
            stack.second.mul_(1 - ok * (1 - BETAS[1])).addcmul_(g, g, value=1 - BETAS[1])
            rate = stack.rate * ok
            slow = torch.clamp(1 - BETAS[1] ** stack.steps, min=1e-12)
            rate = rate / torch.clamp(1 - BETAS[0] ** stack.steps, min=1e-12)
            stack.rows.mul_(1 - stack.rate * stack.decay * ok)
            stack.rows += rate * stack.first / ((stack.second / slow).sqrt_().add_(EPSILON))
