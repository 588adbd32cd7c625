"""What is to be trained: shape, loss, optimiser and stopping, and the jobs that share them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.networks.shape import Shape

#: Batches per epoch aimed at where no size is given, and the sizes in between.
BATCHES = 50
#: Steps after which training ends where no number of epochs is given, and epochs at least.
STEPS, EPOCHS = 5_000, 100
SMALLEST, LARGEST = 256, 10_000


@dataclass(frozen=True)
class Recipe:
    """How networks are trained.

    hidden : widths of the hidden layers
    loss : key of :data:`koopman_cli.networks.loss.LOSSES`
    ridge : added to the variances of a batch
    batch : lagged pairs of a step, 0 chooses
    epochs : passes over the training pairs at most, 0 chooses
    patience : epochs, of at least ``BATCHES`` steps, without a better held-out score after which
        the rate is lowered, in the end after which a network stops
    coolings : how often the rate is lowered
    rate, decay : learning rate and weight decay of Adam
    holdout : share of the training blocks that decides when to stop and which restart is taken
    """

    hidden: tuple[int, ...]
    outputs: int
    activation: str = "elu"
    normalisation: str = "none"
    softmax: bool = True
    networks: int = 1
    dropout: float = 0.0
    loss: str = "vamp2"
    ridge: float = 0.0
    batch: int = 0
    epochs: int = 0
    patience: int = 3
    coolings: int = 2
    rate: float = 3e-3
    decay: float = 0.0
    holdout: float = 0.2
    restarts: int = 8
    precision: str = "float32"

    def shape(self, inputs: int) -> Shape:
        """The shape of the networks on so many features."""
        return Shape(
            inputs, self.hidden, self.outputs, self.activation, self.normalisation, self.softmax,
            self.networks, self.dropout,
        )  # fmt: skip

    def together(self) -> tuple[Any, ...]:
        """What recipes must share to be trained in one stack: all but rates and decay."""
        return (
            self.hidden, self.outputs, self.activation, self.normalisation, self.softmax,
            self.networks, self.dropout, self.loss, self.ridge, self.batch, self.epochs,
            self.patience, self.coolings, self.holdout, self.precision,
        )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One lift that is wanted: a recipe, the stretches (n, 2) of frames to train on, a seed."""

    recipe: Recipe
    spans: NDArray[np.int64]
    seed: int = 0
    name: str = "all data"

    @property
    def data(self) -> int:
        """Number that stands for the training set."""
        return zlib.crc32(np.ascontiguousarray(self.spans).tobytes())


def batch_size(asked: int, pairs: int) -> int:
    """Lagged pairs of a step.

    >>> batch_size(0, 100_000), batch_size(512, 300)
    (2000, 300)
    """
    return min(pairs, asked or min(LARGEST, max(SMALLEST, pairs // BATCHES)))


def epochs_at_most(asked: int, steps: int) -> int:
    """Epochs of so many steps after which training ends.

    >>> epochs_at_most(0, 50), epochs_at_most(0, 10), epochs_at_most(7, 10)
    (100, 500, 7)
    """
    return asked or max(EPOCHS, -(-STEPS // steps))


def waiting(patience: int, steps: int) -> int:
    """Epochs of so many steps that ``patience`` stands for: what counts is steps, not passes.

    >>> waiting(3, 50), waiting(3, 10), waiting(3, 200)
    (3, 15, 3)
    """
    return patience * max(1, -(-BATCHES // steps))


def mixed(*parts: int) -> int:
    """A seed that depends on all of some whole numbers.

    >>> mixed(0, 1) != mixed(1, 0)
    True
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
