"""The training loop of one stack: epochs and batches, signals, memory, checkpoints, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from koopman_cli.errors import ResourceError
from koopman_cli.memory import available
from koopman_cli.networks.checkpoint import Place
from koopman_cli.networks.frames import Piece
from koopman_cli.networks.interrupt import Interrupts
from koopman_cli.networks.judge import Folds
from koopman_cli.networks.recipe import epochs_at_most, mixed
from koopman_cli.networks.stack import Stack
from koopman_cli.networks.team import Index, Team
from koopman_cli.nouns import counted
from koopman_cli.types import Progress, no_progress

Tensor = Any

#: How often the batch is halved where the memory of the device does not suffice.
HALVINGS = 4


@dataclass
class Clock:
    """Where the training is.

    epoch, piece, batch : of the next batch; size : lagged pairs of a batch
    halvings : how often it was halved; saved : checkpoints written
    """

    size: int
    epoch: int = 0
    piece: int = 0
    batch: int = 0
    halvings: int = 0
    saved: int = 0


@dataclass
class Trainer:
    """One stack in training.

    data : a number for each training set, which its random order follows
    about : what its checkpoints belong to
    """

    team: Team
    clock: Clock
    data: list[int]
    seed: int = 0
    place: Place | None = None
    stage: str = "training"
    about: dict[str, Any] = field(default_factory=dict)
    progress: Progress = no_progress
    said: list[str] = field(default_factory=list)
    written: float = field(default_factory=time.monotonic)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return max(1, min(len(p.train) for p in self.team.pairs) // self.clock.size)

    @property
    def limit(self) -> int:
        """Epochs at most."""
        return epochs_at_most(self.team.recipe.epochs, self.steps)

    def run(self) -> None:
        """Train until no network is left that learns.

        Raises
        ------
        KeyboardInterrupt
            After a signal, once the batch is finished and saved.
        ResourceError
            If the device's memory does not hold a sixteenth of the batch.
        ModelFileError
            If checkpoints are to be resumed that belong to something else.
        """
        self._resume()
        team, limit = self.team, self.limit
        with Interrupts() as stop, self.progress("training", limit) as advance:
            advance(min(self.clock.epoch, limit))
            marks = [time.monotonic()]
            while len(team.members.alive):
                if not self._epoch(stop):
                    break
                advance(int(self.clock.epoch <= limit))
                marks = [*marks[-5:], time.monotonic()]
                self._tell(advance, (len(marks) - 1) / max(marks[-1] - marks[0], 1e-9))
                if self.place and time.monotonic() - self.written >= self.place.every:
                    self._save()
            self._save()

    def _epoch(self, stop: Interrupts) -> bool:
        """One epoch of all that is alive; False where a signal ended it early."""
        alive = self.team.members.alive
        while True:
            try:
                if not self._batches(alive, stop):
                    return False
                break
            except RuntimeError as error:
                self._halve(error)
        self.team.judge(alive, self.steps)
        self.clock.epoch += 1
        self.clock.piece = self.clock.batch = 0
        return stop.pending is None

    def _batches(self, alive: Index, stop: Interrupts) -> bool:
        import torch

        team, clock = self.team, self.clock
        index = team.on_device(alive)
        part = team.stack.take(index)
        sets, chosen = torch.unique(team.folds.of[index], return_inverse=True)
        relative = [None if m is None else m[sets] for m in (team.folds.mean, team.folds.scale)]
        folds = Folds(chosen, *relative)
        for number, piece in enumerate(team.frames.pieces()):
            if number < clock.piece:
                continue
            order = self._order(piece, number, sets.tolist())
            for b in range(clock.batch, order.shape[1] // clock.size):
                rows = order[:, b * clock.size : (b + 1) * clock.size]
                self._step(part, piece, rows, folds)
                if stop.pending is not None:
                    team.stack.put(index, part)
                    clock.piece, clock.batch = number, b + 1
                    return False
            clock.batch = 0
        team.stack.put(index, part)
        return True

    def _order(self, piece: Piece, number: int, sets: list[int]) -> Tensor:
        """First frames of the pairs of a piece, (sets, n), each set in an order of its own."""
        import torch

        device = self.team.frames.device
        own = [piece.own(self.team.pairs[s].train) for s in sets]
        count = min(len(part) for part in own)
        rows = []
        for s, part in zip(sets, own, strict=True):
            seed = mixed(self.seed, self.data[s], self.clock.epoch, number)
            generator = torch.Generator(device).manual_seed(seed)
            order = torch.randperm(len(part), generator=generator, device=device)[:count]
            rows.append(torch.from_numpy(part).to(device)[order])
        return torch.stack(rows)

    def _step(self, part: Stack, piece: Piece, rows: Tensor, folds: Folds) -> None:
        """One step of all networks, as many at a time as the caches (or the GPU) hold."""
        import torch

        n, frames, engine = len(part.rows), self.team.frames, self.team.engine
        per = engine.turn(2 * self.clock.size, frames.device)
        for low in range(0, n, per):
            some = slice(low, min(low + per, n))
            x = folds.pick(piece.x, rows, folds.of[some], frames.lag)
            generator = None
            if engine.shape.dropout:
                key = mixed(self.seed, self.clock.epoch, int(rows[0, 0]), low)
                generator = torch.Generator(frames.device).manual_seed(key)
            engine.step(part.between(some.start, some.stop), x, generator)

    def _halve(self, error: RuntimeError) -> None:
        """Try again with half the batch where the device's memory did not suffice."""
        import torch

        if not (isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error)):
            raise error
        clock, device = self.clock, self.team.frames.device
        if clock.halvings == HALVINGS or clock.size // 2 <= 2 * self.team.recipe.outputs:
            free = f"{available(device) / 2**30:.2g} GiB are free"
            raise ResourceError(
                f"not enough memory for batches of {counted(clock.size, 'pair')} on {device} "
                f"({free})",
                "give a smaller --set batch=N or width, fewer --restarts, or --device cpu",
            ) from error
        clock.size //= 2
        clock.halvings += 1
        clock.piece = clock.batch = 0
        self.team.engine.forget()
        self.said.append(f"not enough memory: batch halved to {clock.size}")

    def _tell(self, advance: Callable[[int], None], rate: float) -> None:
        """Say where the training is, to progress that listens."""
        tell = getattr(advance, "tell", None)
        if tell is None:
            return
        recent = self.team.history[-1]
        train, held = (np.nanmedian(v) if np.isfinite(v).any() else np.nan for v in recent)
        left = max(self.limit - self.clock.epoch, 0) / rate
        alive = len(self.team.members.alive)
        tell(
            f"epoch {self.clock.epoch}: train {train:.3f}, held out {held:.3f}, "
            f"{rate:.2g} epochs/s, at most {left:.0f} s left, {alive} of {len(self.team)} alive"
        )

    # -------------------------------------------------------------- checkpoints

    def _save(self) -> None:
        if self.place is None:
            return
        self.clock.saved += 1
        told = {"about": self.about, "clock": asdict(self.clock)}
        self.place.write(self.stage, self.team.arrays(), told, self.clock.saved)
        self.written = time.monotonic()

    def _resume(self) -> None:
        found = None if self.place is None else self.place.read(self.stage, self.about)
        if found is not None:
            self.team.load(found[0])
            self.clock = Clock(**found[1]["clock"])
