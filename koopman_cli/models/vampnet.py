"""VAMPnets: networks whose outputs maximise the VAMP score of lagged pairs.

With chi the outputs of the network for x_t and for x_{t+lag}, the loss is the VAMP-1, VAMP-2 or
VAMP-E score of the moments of a batch. Softmax outputs are memberships of states: they sum to
one, so their centred covariance has rank outputs - 1, and dim is at most that.
Source: Mardt, Pasquali, Wu and Noe, Nat. Commun. 9, 5 (2018).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from koopman_cli.models.base import setting
from koopman_cli.models.network import NetworkSettings
from koopman_cli.models.solve import Solver

if TYPE_CHECKING:
    from koopman_cli.networks.recipe import Recipe


@dataclass(frozen=True)
class Settings(NetworkSettings):
    """Settings of VAMPnets."""

    score: str = setting("what is maximised: vamp1, vamp2 or vampe", "vamp2")
    softmax: bool = setting("memberships of states as outputs, else linear ones", default=True)
    shared: bool = setting("one network for both ends of a pair, else one for each", default=True)

    about: ClassVar[str] = "vampnet"

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """Settings that are one of several words."""
        return {**super().choices(), "score": ("vamp1", "vamp2", "vampe")}

    @property
    def solver(self) -> Solver:
        """Singular value decomposition; data that are symmetric in time are solved again."""
        return "svd"

    @property
    def functions(self) -> int:
        """Memberships sum to one: the last follows from the others."""
        return self.outputs - self.softmax

    def recipe(self) -> Recipe:
        """What the trainer needs to know."""
        networks = 1 if self.shared else 2
        return replace(super().recipe(), loss=self.score, softmax=self.softmax, networks=networks)
