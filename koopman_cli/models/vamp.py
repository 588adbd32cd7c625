"""VAMP on the features: C00^-1/2 C01 C11^-1/2 = U S V'.

The singular values are coherences; where the moments are symmetric in time within their
errors, the span is solved again reversibly for timescales (see ``analysis``).
Source: Wu and Noe, J. Nonlinear Sci. 30, 23 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass

from koopman_cli.models.pod import PodSettings
from koopman_cli.models.solve import Solver


@dataclass(frozen=True)
class Settings(PodSettings):
    """Settings of VAMP."""

    @property
    def solver(self) -> Solver:
        """Singular value decomposition."""
        return "svd"
