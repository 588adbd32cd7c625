"""State-free reversible VAMPnets: networks for the slow eigenfunctions of reversible dynamics.

The loss is VAMP-2 of moments averaged over both directions of time, 1 + sum of lambda_i^2 with
the eigenvalues of C01 psi = lambda C00 psi in the span of the outputs; the trained span is solved
reversibly like any other lift.
Source: Chen, Sidky and Ferguson, J. Chem. Phys. 150, 214114 (2019).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from koopman_cli.models.network import NetworkSettings
from koopman_cli.models.solve import Solver

if TYPE_CHECKING:
    from koopman_cli.networks.recipe import Recipe


@dataclass(frozen=True)
class Settings(NetworkSettings):
    """Settings of state-free reversible VAMPnets."""

    about: ClassVar[str] = "srv"

    @property
    def solver(self) -> Solver:
        """Reversible: eigenvalues are real."""
        return "reversible"

    def recipe(self) -> Recipe:
        """What the trainer needs to know."""
        return replace(super().recipe(), loss="reversible")
