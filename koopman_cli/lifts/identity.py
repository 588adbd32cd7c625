"""The identity lift of TICA and VAMP: chi(x) = x."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from koopman_cli.types import FeatureSpec, Lift


def identity(spec: FeatureSpec) -> Lift:
    """The features themselves."""
    return Lift("identity", spec.names)


def evaluate(lift: Lift, x: NDArray[Any]) -> NDArray[Any]:
    """Return the frames unchanged."""
    return x
