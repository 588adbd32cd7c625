"""Sums of products of all regions and lags, put together from the pieces of blocks.

A block is cut into a first edge, a middle and a last edge of the largest lag. With the Gram
matrices of these and of the gap behind it, xx and yy of every lag are sums of pieces; only
xy takes a product of its own for each lag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blocks import BlockPlan

Matrix = NDArray[np.float64]

#: Numbers in matrices of one kind that are added to the sums at once.
TOGETHER = 2**18


@dataclass(frozen=True)
class Piece:
    """A run of frames whose Gram matrix is needed on its own: (edge, rank of its lag)."""

    start: int
    stop: int
    edge: str
    rank: int


@dataclass
class Unit:
    """A block with the gap behind it: its regions, and the Gram matrices of its pieces."""

    block: int
    after: int | None
    previous: int | None
    grams: dict[tuple[str, int], Any] = field(default_factory=dict)
    crosses: dict[tuple[int, int | None], Any] = field(default_factory=dict)

    def region(self, place: str) -> int | None:
        """The region of the block, of the boundary before it or of the one beyond it."""
        return {"before": self.previous, "inside": self.block, "beyond": self.after}[place]


class Sums:
    """The growing matrices of all regions and lags.

    dtype : of the products
    device : where they grow, and tiles are multiplied: a torch device, or None for numpy
    kept : float32 for the sums of wide lifts multiplied in it, which are added in float64
        before (:mod:`koopman_cli.liftedtiles`)
    """

    def __init__(
        self,
        plan: BlockPlan,
        base: tuple[Matrix, Matrix],
        dtype: Any,
        device: Any = None,
        kept: Any = np.float64,
    ) -> None:
        self.plan, self.dtype, self.device = plan, dtype, device
        self.shift, self.scale = base
        self.width = len(self.shift)
        shape = (len(plan.lags), len(plan.is_block), self.width + 1, self.width + 1)
        self.xx, self.xy, self.yy = self.zeros((3, *shape), kept)
        self.order = sorted(range(len(plan.lags)), key=lambda j: plan.lags[j])
        self.zero = self.zeros((self.width + 1, self.width + 1))
        self.precise = device is not None or dtype == np.float64
        self.complete: list[Unit] = []
        self.together = max(1, TOGETHER // (len(plan.lags) * self.width**2))

    @property
    def all(self) -> tuple[Matrix, Matrix, Matrix]:
        """xx, xy, yy."""
        return self.xx, self.xy, self.yy

    def zeros(self, shape: tuple[int, ...], dtype: Any = np.float64) -> Any:
        """Zeros where the sums are; on a device always in float64."""
        if self.device is None:
            # Written at once: a page that is read before it is written is fetched twice.
            found = np.empty(shape, dtype)
            found.fill(0)
            return found
        import torch

        return torch.zeros(shape, dtype=torch.float64, device=self.device)

    def collect(self) -> None:
        """Bring the sums back to numpy."""
        if self.device is not None:
            sums: tuple[Any, ...] = self.all
            self.xx, self.xy, self.yy = (part.cpu().numpy() for part in sums)
            self.device = None

    def close(self) -> None:
        """Give xy its sums of x (last column) and of y (last row), from xx and yy."""
        self.xy[..., -1] = self.xx[..., -1]
        self.xy[..., -1, :] = self.yy[..., -1, :]

    def gather(self, held: dict[Any, Any], key: Any, product: Any) -> None:
        """Sum of products under a key; those of float32 tiles are float32, their sums not."""
        if key not in held:
            held[key] = product
        elif self.precise:
            held[key] = held[key] + product
        else:
            held[key] = np.add(held[key], product, dtype=np.float64)

    def take(self, unit: Unit) -> None:
        """Add a unit whose products are complete: a few at once cost least."""
        self.complete.append(unit)
        if len(self.complete) >= self.together or unit.after is None:
            units, self.complete = self.complete, []
            self.distribute(units)

    def distribute(self, units: list[Unit]) -> None:
        """Put the products of units together."""
        d = self.width
        for j in range(len(self.plan.lags)):
            for edge in ("inside", "beyond"):
                found = [(u.region(edge), u.crosses.get((j, u.region(edge)))) for u in units]
                self.add(self.xy[j, :, :d, :d], found)
        if len(self.order) > 1:
            for unit in units:
                self.distribute_lags(unit)
            return
        xx, yy = self.xx[0], self.yy[0]
        for edge, target, region in (
            ("first", xx, "inside"), ("first", yy, "before"),
            ("middle", xx, "inside"), ("middle", yy, "inside"),
            ("last", yy, "inside"), ("last", xx, "beyond"),
            ("gap", xx, "beyond"), ("gap", yy, "beyond"),
        ):  # fmt: skip
            self.add(target, [(u.region(region), u.grams.get((edge, 0))) for u in units])

    def add(self, target: Any, found: list[tuple[int | None, Any]]) -> None:
        """Add matrices to regions of a target."""
        given = [(region, m) for region, m in found if region is not None and m is not None]
        regions = [region for region, _ in given]
        steps = {b - a for a, b in pairwise(regions)}
        if self.device is None and len(steps) == 1 and (step := steps.pop()) > 0:
            # Neighbours at once: cheaper than one by one where they are many and small.
            target[regions[0] : regions[-1] + 1 : step] += np.stack([m for _, m in given])
            return
        for region, m in given:
            target[region] += m

    def distribute_lags(self, unit: Unit) -> None:
        """Put the Gram matrices of the pieces together, for all lags at once."""
        grams, zero = unit.grams, self.zero
        middle, gap = grams.get(("middle", 0), zero), grams.get(("gap", 0), zero)
        # first[r] holds the first lag_r frames, first[-1] the whole edge; final likewise.
        first, final = self.edges(grams, "first"), self.edges(grams, "last")
        xx, yy = self.xx, self.yy
        at: Any = slice(None) if self.order == sorted(self.order) else np.array(self.order)
        whole = first[-1] + middle + final[-1]
        xx[at, unit.block] += whole - final
        yy[at, unit.block] += whole - first
        if unit.previous is not None:
            yy[at, unit.previous] += first
        if unit.after is not None:
            final += gap
            xx[at, unit.after] += final
            yy[at, unit.after] += gap

    def edges(self, grams: dict[tuple[str, int], Matrix], edge: str) -> Matrix:
        """Gram matrices of an edge of every lag, shortest first."""
        parts = [grams.get((edge, r), self.zero) for r in range(len(self.order))]
        if self.device is None:
            stacked = np.stack(parts, dtype=np.float64)
            return np.cumsum(stacked, axis=0, out=stacked)
        import torch

        tensors: Any = parts
        summed: Any = torch.stack(tensors).cumsum(0)
        found: Matrix = summed
        return found
