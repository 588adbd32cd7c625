"""VAMP on the features: C00^-1/2 C01 C11^-1/2 = U S V'.

The singular values are coherences; where the moments are symmetric in time within their
errors, the span is solved again reversibly for timescales (see ``analysis``).
Source: Wu and Noe, J. Nonlinear Sci. 30, 23 (2020).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from koopman_cli.lifts.identity import identity
from koopman_cli.models.pod import PodSettings
from koopman_cli.models.solve import Solver
from koopman_cli.types import FeatureSpec, Lift


@dataclass(frozen=True)
class Settings(PodSettings):
    """Settings of VAMP."""


def solver(settings: Settings) -> Solver:
    """Singular value decomposition."""
    return "svd"


def fits_lift(settings: Settings) -> bool:
    """Never: the identity knows nothing."""
    return False


def needs_sample(settings: Settings) -> bool:
    """Never: the identity knows nothing."""
    return False


def make_lift(sample: Any, spec: FeatureSpec, settings: Settings, seed: int) -> Lift:
    """Give the features themselves."""
    return identity(spec)
