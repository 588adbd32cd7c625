"""What families of networks share: their settings, and how lifts are trained with them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from koopman_cli.errors import SupportError, UsageError, did_you_mean
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts.network import ACTIVATIONS
from koopman_cli.models.base import Family, setting
from koopman_cli.models.training import Training
from koopman_cli.types import Lift

if TYPE_CHECKING:
    from koopman_cli.networks.recipe import Recipe

NORMALISATIONS = ("none", "batch", "layer")
PRECISIONS = ("float32", "float64")


@dataclass(frozen=True)
class NetworkSettings(Family):
    """Settings of networks."""

    outputs: int = setting("functions of the network (states, with softmax)", 4)
    layers: str = setting("hidden layers: how many, or their widths as 64x32", "3")
    width: int = setting("width of the hidden layers where layers says how many", 64)
    activation: str = setting("elu, relu, tanh or silu", "elu")
    normalisation: str = setting("none, batch or layer", "none")
    dropout: float = setting("share of hidden values that are dropped while training", 0.0)
    rate: float = setting("learning rate of Adam, to begin with", 3e-3)
    decay: float = setting("weight decay", 0.0)
    batch: int = setting("lagged pairs of a step; 0: a fiftieth, between 256 and 10,000", 0)
    epochs: int = setting("passes over the training pairs at most; 0: 100, or 5,000 steps", 0)
    patience: int = setting("epochs (50 steps at least) without a better held-out score", 3)
    coolings: int = setting("how often the rate falls to a fifth when patience ends", 2)
    holdout: float = setting("share of the training blocks that decides when to stop; 0: none", 0.2)
    restarts: int = setting("networks trained from different starts; the best is taken", 8)
    ridge: float = setting("added to the variances of a batch in the loss", 0.0)
    precision: str = setting("of the network: float32 or float64", "float32")

    about: ClassVar[str] = "network"

    def __post_init__(self) -> None:
        super().__post_init__()
        name = self.about
        for key, choices in self.choices().items():
            if getattr(self, key) not in choices:
                value = getattr(self, key)
                raise UsageError(
                    f"{name}.{key}={value}: no such {key}", did_you_mean(value, choices)
                )
        for key in ("epochs", "coolings"):
            if getattr(self, key) < 0:
                raise UsageError(f"{name}.{key}={getattr(self, key)}: below 0", "give 0 or more")
        for key in ("width", "patience", "restarts"):
            if getattr(self, key) < 1:
                raise UsageError(f"{name}.{key}={getattr(self, key)}: at least 1", "give 1 or more")
        for key, low, high in (("dropout", 0, 1), ("holdout", 0, 0.51), ("ridge", 0, np.inf),
                               ("decay", 0, np.inf)):  # fmt: skip
            if not low <= getattr(self, key) < high:
                raise UsageError(
                    f"{name}.{key}={getattr(self, key):g}: out of range",
                    f"give {low} or more, below {high:g}",
                )
        if not 0 < self.rate < np.inf:
            raise UsageError(f"{name}.rate={self.rate:g}: must be above 0", "for example rate=1e-3")
        if not self.center:
            raise UsageError(f"{name} needs centred moments", "leave out center=false")
        self.hidden()
        self._check_batch()

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """Settings that are one of several words."""
        return {
            "activation": ACTIVATIONS,
            "normalisation": NORMALISATIONS,
            "precision": PRECISIONS,
        }

    def _check_batch(self) -> None:
        need = self.functions + 2
        if self.functions < 1:
            raise UsageError(
                f"{self.about}.outputs={self.outputs}: no function is left",
                "give at least 2 outputs with softmax, else 1",
            )
        if self.batch < 0 or 0 < self.batch < need:
            raise UsageError(
                f"{self.about}.batch={self.batch}: too small for the rank of {self.outputs} "
                "outputs",
                f"give {need} or more (hundreds are sensible), or 0 (automatic)",
            )

    @property
    def functions(self) -> int:
        """Independent functions of a network."""
        return self.outputs

    def hidden(self) -> tuple[int, ...]:
        """Widths of the hidden layers.

        Raises
        ------
        UsageError
            If ``layers`` is neither a number nor widths.
        """
        text = str(self.layers)
        if re.fullmatch(r"\d{1,2}", text) and int(text) <= 50:
            return (self.width,) * int(text)
        if re.fullmatch(r"[1-9]\d{0,4}(x[1-9]\d{0,4})+", text):
            return tuple(int(part) for part in text.split("x"))
        raise UsageError(
            f"{self.about}.layers={text}: neither a number of layers nor widths",
            "for example layers=3 (with width=64), or layers=64x32",
        )

    def recipe(self) -> Recipe:
        """What the trainer needs to know."""
        from koopman_cli.networks.recipe import Recipe

        return Recipe(
            hidden=self.hidden(),
            outputs=self.outputs,
            activation=self.activation,
            normalisation=self.normalisation,
            softmax=False,
            dropout=self.dropout,
            ridge=self.ridge,
            batch=self.batch,
            epochs=self.epochs,
            patience=self.patience,
            coolings=self.coolings,
            rate=self.rate,
            decay=self.decay,
            holdout=self.holdout,
            restarts=self.restarts,
            precision=self.precision,
        )

    # -------------------------------------------------------------- the lift

    def learns_lift(self, stream: FeatureStream) -> bool:
        """Always: it is trained."""
        return True

    def learns_lag(self, stream: FeatureStream) -> bool:
        """Always: it is trained on pairs."""
        return True

    def for_lags(self) -> Family:
        """TICA: a network for each of many lags would take hours."""
        from koopman_cli.models.tica import Settings as Tica

        return Tica()

    @property
    def company(self) -> Any:
        """Networks of one shape and schedule are trained as one batched computation."""
        return self.about, self.recipe().together()

    def fit_lifts(self, parts: Sequence[Training]) -> Iterator[Lift]:
        """Train the networks of all training sets as one."""
        found = self.fit_company([self], parts)[0]
        if parts[0].ranges is None:
            self.accepted(found[0])
        return iter(found)

    def fit_lift(self, part: Training) -> Lift:
        """Train the networks of one training set."""
        return next(self.fit_lifts([part]))

    def fit_company(self, members: Sequence[Family], parts: Sequence[Training]) -> list[list[Lift]]:
        """Train the networks of several settings and training sets as one; lifts by setting."""
        from koopman_cli.networks.frames import laid_out
        from koopman_cli.networks.recipe import Job
        from koopman_cli.networks.train import How, train

        first = parts[0]
        jobs = []
        for member in members:
            assert isinstance(member, NetworkSettings)
            for i, part in enumerate(parts):
                name = "all data" if part.ranges is None else f"fold {i + 1}"
                spans = laid_out(part.stream, part.spans())
                jobs.append(Job(member.recipe(), spans, part.seed, name))
        stage = "all" if first.ranges is None else "folds"
        how = How(first.device, place=first.place, stage=stage, progress=first.progress)
        lifts = iter(train(first.stream, first.lag, jobs, how))
        return [[next(lifts) for _ in parts] for _ in members]

    def accepted(self, lift: Lift) -> Lift:
        """The lift; SupportError where all networks of these settings collapsed."""
        if not lift.settings["collapsed"]:
            return lift
        count = len(lift.settings["restarts"])
        raise SupportError(
            f"{'all ' if count > 1 else ''}{count} network{'s' * (count > 1)} collapsed: outputs "
            "are dependent, or a state is nowhere above 0.5",
            f"take fewer than {self.outputs} outputs, another lag or rate, or more --restarts",
        )

    def notes(self, lift: Lift) -> tuple[str, ...]:
        """All restarts: best, median, collapsed; what was said while training."""
        s = lift.settings
        scores = [v for v in s["restarts"] if v is not None]
        lost = [s["status"].count(word) for word in ("collapsed", "diverged")]
        again = f", {s['retries']} started afresh" if s["retries"] else ""
        several = len(s["restarts"]) > 1
        held = "" if s["megabytes"] is None else f" (frames stay there: {s['megabytes']:g} MB)"
        told = (
            f"{len(s['restarts'])} network{'s' * several}: held-out VAMP-E best "
            f"{max(scores):.4g}, median {np.median(scores):.4g}; {lost[0]} collapsed, {lost[1]} "
            f"diverged{again}; {s['together']} trained together on {s['device']}{held} in batches "
            f"of {s['batch']} pairs"
        )
        return told, *s["said"]
