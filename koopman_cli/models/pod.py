"""What families on POD coordinates share: how many of them, and the lift that makes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts.pod import Rank, fit_pod, resolve_rank
from koopman_cli.models.base import Family, setting
from koopman_cli.models.training import Training
from koopman_cli.types import Lift


@dataclass(frozen=True)
class PodSettings(Family):
    """Settings of a family that may stand on POD coordinates."""

    rank: int = setting("POD modes of a field; 0: by energy, else above the noise level", 0)
    energy: float = setting("POD modes by their share of the sum of squares; 0: not used", 0.0)

    takes_fields: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked()

    def asked(self) -> Rank:
        """Rank or energy, checked."""
        return Rank(self.rank, self.energy)

    @property
    def pod_rank(self) -> int:
        """As set or completed."""
        return self.rank

    def on_pod(self, stream: FeatureStream) -> bool:
        """Whether the lift is POD: always for flows, for fields in every family."""
        return self.flow or stream.field is not None

    def learns_lift(self, stream: FeatureStream) -> bool:
        """POD directions are those of the training frames."""
        return self.on_pod(stream)

    def learns_lag(self, stream: FeatureStream) -> bool:
        """POD takes every frame that starts a pair at the lag."""
        return self.on_pod(stream)

    def completed(
        self, stream: FeatureStream, lag: int
    ) -> tuple[Family, tuple[str, ...], tuple[str, ...]]:
        """The rank, decided once for all folds."""
        if not self.on_pod(stream):
            return self, (), ()
        rank, rule, warned = resolve_rank(stream, self.asked(), lag, center=self.center)
        settings = replace(self, rank=rank, energy=0.0)
        return settings, (f"POD rank {rank}: {rule}",), warned

    def fit_lift(self, part: Training) -> Lift:
        """POD of the training frames, or the features themselves."""
        if not self.on_pod(part.stream):
            return super().fit_lift(part)
        rank = self.rank
        if not rank:
            rank = resolve_rank(part.stream, self.asked(), part.lag, center=self.center)[0]
        return fit_pod(part.stream, rank, part.lag, part.ranges, center=self.center)
