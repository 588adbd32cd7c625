"""TICA: the slowest linear combinations of the features.

Reversible (default): C01 psi = lambda C00 psi with both moments averaged over the two
directions of time, so that the eigenvalues are real. ``reversible=false`` solves the plain
problem, whose eigenvalues may be complex. ``reweight=true`` first weighs the frames by an
estimate of equilibrium (Koopman reweighting; Wu et al., J. Chem. Phys. 146, 154104 (2017)),
for short runs started out of equilibrium.
"""

from __future__ import annotations

from dataclasses import dataclass

from koopman_cli.errors import UsageError
from koopman_cli.models.base import setting
from koopman_cli.models.pod import PodSettings
from koopman_cli.models.solve import Solver


@dataclass(frozen=True)
class Settings(PodSettings):
    """Settings of TICA."""

    reversible: bool = setting("average over both directions of time", default=True)
    reweight: bool = setting(
        "Koopman reweighting, for runs started out of equilibrium", default=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reweight and not self.center:
            raise UsageError(
                "tica.reweight needs centred moments", "leave out --set tica.center=false"
            )

    @property
    def solver(self) -> Solver:
        """Reversible unless asked otherwise."""
        return "reversible" if self.reversible else "eig"

    @property
    def reweights(self) -> bool:
        """As set."""
        return self.reweight
