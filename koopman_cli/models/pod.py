"""What families on POD coordinates share: how many of them, and the lift that makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from koopman_cli.errors import SupportError
from koopman_cli.lifts.pod import Rank
from koopman_cli.models import Common, setting
from koopman_cli.types import FeatureSpec, Lift


@dataclass(frozen=True)
class PodSettings(Common):
    """Settings of a family that may stand on POD coordinates."""

    rank: int = setting("POD modes of a field; 0: by energy, else above the noise level", 0)
    energy: float = setting("POD modes by their share of the sum of squares; 0: not used", 0.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked()

    def asked(self) -> Rank:
        """Rank or energy, checked."""
        return Rank(self.rank, self.energy)


def make_lift(sample: Any, spec: FeatureSpec, settings: Any, seed: int) -> Lift:
    """POD is fitted to every training frame of a stream, never to a sample."""
    raise SupportError("POD needs the stream of the data", "fit through koopman_cli.fit")
