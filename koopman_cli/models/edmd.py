"""EDMD: slow combinations of a dictionary of functions of the features.

With K = C00^+ C01 on the dictionary, ``solve=eig`` gives eigenfunctions, ``svd`` singular
functions and ``reversible`` real eigenvalues for reversible data.
Source: Williams, Kevrekidis and Rowley, J. Nonlinear Sci. 25, 1307 (2015).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, cast

from numpy.typing import NDArray

from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts.dictionary import dictionary
from koopman_cli.models.base import Family, setting
from koopman_cli.models.solve import Solver
from koopman_cli.types import FeatureSpec, Lift

_SOLVERS = ("eig", "svd", "reversible")


@dataclass(frozen=True)
class Settings(Family):
    """Settings of EDMD."""

    basis: str = setting("monomials, fourier, gaussians, or several joined by +", "monomials")
    degree: int = setting("largest total degree of the monomials", 2)
    order: int = setting("largest wave number of the Fourier modes", 3)
    period: float = setting("period of the Fourier modes; 0: 2 pi for angles, else the range", 0.0)
    centers: int = setting("number of Gaussians", 20)
    width: float = setting("width of the Gaussians in units of the features; 0: spacing", 0.0)
    solve: str = setting("eig, svd or reversible", "reversible")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solve not in _SOLVERS:
            raise UsageError(
                f"edmd.solve={self.solve}: no such solver", did_you_mean(self.solve, _SOLVERS)
            )
        if not (0 <= self.width < math.inf and 0 <= self.period < math.inf):
            raise UsageError(
                "edmd.width and edmd.period are lengths of 0 or more", "0 means automatic"
            )

    @property
    def solver(self) -> Solver:
        """As set."""
        return cast("Solver", self.solve)

    def learns_lift(self, stream: FeatureStream) -> bool:
        """The dictionary takes means, ranges and centres from data.

        The span of monomials up to a degree does not depend on where they are centred, so only
        the other bases learn anything that a fold could leak.
        """
        return self.basis != "monomials"

    @property
    def needs_sample(self) -> bool:
        """Always: even monomials are taken of standardised features."""
        return True

    def make_lift(self, sample: NDArray[Any], spec: FeatureSpec, seed: int) -> Lift:
        """Fit the dictionary to a sample of training frames."""
        return dictionary(
            sample,
            spec.names,
            self.basis.split("+"),
            degree=self.degree,
            order=self.order,
            period=self.period,
            centers=self.centers,
            width=self.width,
            seed=seed,
        )
