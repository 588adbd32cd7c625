"""What modes mean: numbers with intervals, verdicts, the gap, and what is shown of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Quantity:
    """A number with its interval (None while there is none) and its unit."""

    value: float
    low: float | None = None
    high: float | None = None
    unit: str = ""


@dataclass(frozen=True)
class Mode:
    """One eigenpair as reported.

    eigenvalue : complex eigenvalue at the lag of the model, None where the model yields
        coherences (singular values) only
    amplitude : root-mean-square contribution per cell (flows)
    timescale, period, frequency, growth : physical meaning, None where undefined (``reason``
        says why)
    certificate : ``low`` and ``high`` hold a true eigenvalue if the residual is what it is
        estimated to be (``kind`` residual or kato-temple); those of ``guaranteed`` at 95%,
        whatever its sampling error
    """

    index: int
    eigenvalue: complex | None
    singular_value: float | None = None
    eigenvalue_low: float | None = None
    eigenvalue_high: float | None = None
    timescale: Quantity | None = None
    period: Quantity | None = None
    frequency: Quantity | None = None
    growth: Quantity | None = None
    amplitude: Quantity | None = None
    residual: float | None = None
    spectral_bias: float | None = None
    certificate: Mapping[str, Any] | None = None
    verdict: Literal["resolved", "unresolved", "invalid"] = "unresolved"
    reason: str = ""


@dataclass(frozen=True)
class Gap:
    """Spectral gap: after which mode, the ratio of timescales there, and why (or why not)."""

    after: int | None
    ratio: Quantity | None
    resolved: bool
    reason: str


@dataclass(frozen=True)
class Projection:
    """The slow functions along the data, thinned evenly to at most 50,000 frames for figures.

    trajectory, frame : (n,) which trajectory, and which frame of it as read
    values : (n, k) slow functions of unit variance, unscaled
    torsions : (n, t) angles in radians, named ``torsion_names`` ("phi ALA2", "psi ALA2", ...)
    begins : (n,) frame at which its stretch begins, such as its member of an ensemble; None where
        every trajectory is one stretch
    inputs : (n, 1 or 2) columns of an array that the modes follow most, named ``input_names``
    """

    trajectory: NDArray[np.int64]
    frame: NDArray[np.int64]
    values: Array
    torsions: Array | None = None
    torsion_names: tuple[str, ...] = ()
    inputs: Array | None = None
    input_names: tuple[str, ...] = ()
    begins: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class Correlations:
    """Which input features carry a mode; the most telling ones first.

    names : of the features; an angle read as cosine and sine is one feature
    modes : labels of the columns
    values, low, high : (features, modes) correlations with 95% intervals from the block
        bootstrap; multiple correlations, without a sign, for angles
    stable : (features, modes), whether the bootstrap leaves the value what it is
    blocks : independent blocks that were re-drawn
    of : number of features looked at
    """

    names: tuple[str, ...]
    modes: tuple[str, ...]
    values: Array
    low: Array
    high: Array
    stable: NDArray[np.bool_]
    blocks: int
    of: int
