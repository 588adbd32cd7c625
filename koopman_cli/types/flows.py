"""A model of a field in the field's own space, and what its forecasts are worth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ForecastSkill:
    """Root-mean-square errors of forecasts on the last fifth of the data, not fitted on.

    steps : (h,) frames ahead
    model, persistence, climatology : (h,) errors per cell in ``unit``, NaN where unbounded;
        persistence keeps the anomaly, climatology is the mean (or cycle and trend) alone
    starts : forecasts averaged
    """

    steps: NDArray[np.int64]
    model: Array
    persistence: Array
    climatology: Array
    unit: str
    starts: int


@dataclass(frozen=True)
class Flow:
    """A model of a field in the field's own space; its geometry is in the model's features.

    modes : (columns, h) complex, one of each conjugate pair; a pair adds 2 Re(psi v) to a
        snapshot, a real mode psi v
    heads : (h,) index of each among the functions of the model
    known : (columns, q) what multiplies constant, phases and trend
    mean : (columns,) of centred models, zero else
    truth, guess : (columns,) snapshot number ``frame`` of the first trajectory, and its
        reconstruction from the modes
    singular_values : of the POD
    last, times : (trajectories, k) functions of the last frame and its time in frames
    """

    modes: NDArray[np.complexfloating[Any]]
    heads: NDArray[np.int64]
    known: Array
    mean: Array
    truth: Array
    guess: Array
    frame: int
    singular_values: Array
    last: NDArray[np.complex128]
    times: Array
    labels: tuple[str, ...]
    skill: ForecastSkill | None = None
