"""Networks in training as a team: who still learns, who has done best, who starts afresh."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.networks.checkpoint import Arrays
from koopman_cli.networks.frames import Frames, Pairs
from koopman_cli.networks.judge import Folds, Seen, collapsed, look, plain_scores
from koopman_cli.networks.recipe import Recipe, epochs_at_most, mixed, waiting
from koopman_cli.networks.stack import Engine, Stack

Tensor = Any
Vector = NDArray[np.float64]
Index = NDArray[np.int64]

ALIVE, DONE, COLLAPSED, DIVERGED = range(4)
STATUS = ("alive", "done", "collapsed", "diverged")

#: Fresh starts of a network that collapsed, and reductions of the rate of one that diverges.
TRIES = 2
REDUCTIONS = 3
REDUCED = 0.1

#: What the rate is multiplied by when the held-out score no longer rises.
COOLED = 0.2

#: Lagged pairs that tell whether a network has collapsed.
ENOUGH = 5_000

#: Epochs in a row without a finite score after which the rate is reduced.
BAD_EPOCHS = 3


@dataclass
class Members:
    """What is known of each of the N networks of a stack, besides its parameters.

    status : ALIVE, DONE, COLLAPSED or DIVERGED
    age : epochs since its last fresh start; best, at : its best held-out score, and at which age
    tries, reductions, lost : fresh starts, reductions of its rate, bad epochs in a row
    coolings, since : how often its rate was lowered because it no longer rose, and at which age
    """

    status: Index
    age: Index
    best: Vector
    at: Index
    tries: Index
    reductions: Index
    lost: Index
    coolings: Index
    since: Index

    @classmethod
    def fresh(cls, n: int) -> Members:
        """Nothing is known yet."""
        zeros = [np.zeros(n, np.int64) for _ in range(8)]
        return cls(zeros[0], zeros[1], np.full(n, -np.inf), *zeros[2:])

    @property
    def alive(self) -> Index:
        """Networks that still learn."""
        return np.flatnonzero(self.status == ALIVE)


@dataclass(frozen=True)
class Origins:
    """Where every network of a stack comes from, N of each."""

    seeds: list[int]
    rates: list[float]
    decays: list[float]


@dataclass
class Team:
    """The networks of one stack, their best weights so far, and what they learn from.

    pairs : of every training set; folds : which of the sets each network learns from
    """

    recipe: Recipe
    engine: Engine
    frames: Frames
    pairs: list[Pairs]
    folds: Folds
    origins: Origins
    members: Members = field(init=False)
    stack: Stack = field(init=False)
    best: Stack = field(init=False)
    history: list[tuple[Vector, Vector]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.members = Members.fresh(len(self))
        self.stack = self._fresh(list(range(len(self))))
        self.best = self.stack.take(slice(None))

    def __len__(self) -> int:
        return len(self.origins.seeds)

    def _fresh(self, index: list[int]) -> Stack:
        o = self.origins
        seeds = [mixed(o.seeds[i], int(self.members.tries[i])) for i in index]
        rates, decays = [o.rates[i] for i in index], [o.decays[i] for i in index]
        place = self.frames.device, self.frames.dtype
        return Stack.fresh(self.engine.shape, seeds, rates, decays, place)

    def on_device(self, index: Index) -> Tensor:
        """Numbers of networks as a tensor."""
        import torch

        return torch.from_numpy(index).to(self.frames.device)

    @property
    def holds(self) -> bool:
        """Whether something is held out to decide when to stop."""
        return all(len(p.held) for p in self.pairs)

    def seen(self, part: Stack, members: Index, *, train: bool = False, few: bool = False) -> Seen:
        """What some networks make of the pairs held out, or of those trained on, or of a few."""
        of = self.folds.of[self.on_device(members)]
        folds = Folds(of, self.folds.mean, self.folds.scale)
        wanted = [p.train if train or not self.holds else p.held for p in self.pairs]
        if few:
            wanted = [index[:: max(1, len(index) // ENOUGH)] for index in wanted]
        return look(self.engine, part, self.frames, folds, wanted)

    # -------------------------------------------------------------- after an epoch

    def judge(self, alive: Index, steps: int) -> None:
        """Score an epoch of so many steps; what stopped, failed or collapsed is dealt with."""
        train, held, failed = self._scores(alive)
        m = self.members
        m.age[alive] += 1
        m.lost[alive] = np.where(failed, m.lost[alive] + 1, 0)
        good = ~failed & (held > m.best[alive])
        better = alive[good]
        m.best[better], m.at[better] = held[good], m.age[better]
        chosen = self.on_device(better)
        self.best.put(chosen, self.stack.take(chosen))
        rows = np.full((2, len(self)), np.nan)
        rows[0, alive], rows[1, alive] = train, held
        self.history.append((rows[0], rows[1]))
        for i in alive[m.lost[alive] >= BAD_EPOCHS]:
            self._reduce(int(i))
        over = m.age - np.maximum(m.at, m.since) > waiting(self.recipe.patience, steps)
        late = m.age >= epochs_at_most(self.recipe.epochs, steps)
        cool = over & ~late & (m.coolings < self.recipe.coolings)
        for i in alive[cool[alive]]:
            self._cool(int(i))
        ended = late | (over & ~cool)
        stopped = [int(i) for i in alive if ended[i] and m.status[i] == ALIVE]
        if stopped:
            self._finish(stopped)

    def _scores(self, alive: Index) -> tuple[Vector, Vector, NDArray[np.bool_]]:
        """Mean score of the batches, held-out score, and which networks failed."""
        index = self.on_device(alive)
        part = self.stack.take(index)
        counted, bad = part.counted.cpu().numpy(), part.bad.cpu().numpy()
        train = np.where(counted > 0, part.total.cpu().numpy() / np.maximum(counted, 1), np.nan)
        for column in (self.stack.total, self.stack.counted, self.stack.bad):
            column[index] = 0
        held = plain_scores(self.seen(part, alive), self.recipe.loss) if self.holds else train
        return train, held, ~np.isfinite(held) | (bad > counted)

    def _rate(self, i: int) -> float:
        """Learning rate of a network after all that happened to it."""
        m = self.members
        return float(self.origins.rates[i] * REDUCED ** m.reductions[i] * COOLED ** m.coolings[i])

    def _cool(self, i: int) -> None:
        """Go on from the best weights, and the optimiser's state then, with smaller steps.

        At a constant rate the noise of the batches holds weights at a distance from the maximum
        that grows with the rate; a high one first and smaller ones later is both quick and close.
        """
        m = self.members
        m.coolings[i] += 1
        m.since[i] = m.age[i]
        again = self.best.take([i])
        again.rate.fill_(self._rate(i))
        self.stack.put([i], again)

    def _reduce(self, i: int) -> None:
        """Go back to the last good weights with a tenth of the rate, or give the network up."""
        m = self.members
        m.lost[i] = 0
        good = bool(np.isfinite(m.best[i]))
        if m.reductions[i] == REDUCTIONS:
            m.status[i] = DONE if good else DIVERGED
            return
        m.reductions[i] += 1
        # A network without good weights starts afresh.
        again = self.best.take([i]) if good else self._fresh([i])
        again.rate.fill_(self._rate(i))
        for name in ("first", "second", "steps", "total", "counted", "bad"):
            getattr(again, name).zero_()
        self.stack.put([i], again)

    def _finish(self, stopped: list[int]) -> None:
        """Networks at their end: those that collapsed start afresh a few times."""
        m = self.members
        good = np.array([i for i in stopped if np.isfinite(m.best[i])], np.int64)
        m.status[stopped] = DIVERGED
        if not len(good):
            return
        seen = self.seen(self.best.take(self.on_device(good)), good, few=True)
        bad = collapsed(seen, softmax=self.engine.shape.softmax)
        m.status[good] = np.where(bad, COLLAPSED, DONE)
        for i in good[bad & (m.tries[good] < TRIES)].tolist():
            m.tries[i] += 1
            m.status[i], m.age[i], m.at[i], m.best[i] = ALIVE, 0, 0, -np.inf
            m.reductions[i] = m.lost[i] = m.coolings[i] = m.since[i] = 0
            self.stack.put([i], self._fresh([i]))

    # -------------------------------------------------------------- checkpoints

    def arrays(self) -> Arrays:
        """Everything that learning has changed."""
        found = {f"member {f.name}": getattr(self.members, f.name) for f in fields(Members)}
        for name, stack in (("stack", self.stack), ("best", self.best)):
            columns = {f.name: getattr(stack, f.name).cpu().numpy() for f in fields(Stack)}
            found |= {f"{name} {column}": a for column, a in columns.items()}
        found["history"] = np.array(self.history).reshape(-1, 2, len(self))
        return found

    def load(self, arrays: Arrays) -> None:
        """The inverse of :meth:`arrays`."""
        import torch

        for f in fields(Members):
            setattr(self.members, f.name, arrays[f"member {f.name}"])
        for name, stack in (("stack", self.stack), ("best", self.best)):
            for f in fields(Stack):
                now = getattr(stack, f.name)
                now.copy_(torch.from_numpy(arrays[f"{name} {f.name}"]).view_as(now))
        self.history = [(row[0], row[1]) for row in arrays["history"]]
