"""What is fitted: a lift, linear coefficients, and where and on what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from koopman_cli.types.inputs import FeatureSpec, TimeStep

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Lag:
    """A lag in frames, and in time where a time step is known."""

    frames: int
    value: float
    unit: str


@dataclass(frozen=True)
class Lift:
    """A fitted lift chi: which one, its settings, its arrays, the names of its m functions.

    ``koopman_cli.lifts.apply(lift, x)`` evaluates it: (n, d) -> (n, m).
    """

    kind: str
    names: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Domain:
    """Where a model was trained: frames with |whitening' (x - mean)|^2 up to ``limit``.

    mean : (d,) of the features; whitening : (d, r); limit : quantile of the training frames
    """

    mean: Array
    whitening: Array
    limit: float


@dataclass(frozen=True)
class Model:
    """A fitted model: a lift and linear coefficients, and what is needed to judge it.

    Slow functions are psi(x) = (chi(x) - mean) @ left and, for svd models, the right
    functions phi(y) = (chi(y) - mean_right) @ right. Complex eigenpairs occupy two
    neighbouring columns (real part, imaginary part) and two neighbouring eigenvalues
    (positive imaginary part first).

    family : key in MODELS
    solve : "reversible", "eig" or "svd"
    settings : resolved settings of the family
    lag, dt : lag of the model and time step of the data
    features, lift : how frames become the m functions
    dropped : names of constant functions left out
    mean, mean_right : (m,)
    left, right : (m, k) with k >= dim; unit variance on the training data, never scaled
    eigenvalues : (k,) complex, None for svd models (coherences are no eigenvalues)
    singular_values : (k,), None for reversible and eig models
    dim : number of functions asked for; columns beyond it are shown, not counted
    rank : numerical rank of the whitened functions
    pairs : number of lagged pairs
    blocks : BlockMoments at the one lag of the model (possibly in leading whitened directions
        only: then ``basis`` is the (m, q) matrix and ``blocks`` are of (chi - mean) @ basis)
    """

    family: str
    solve: Literal["reversible", "eig", "svd"]
    settings: Mapping[str, Any]
    lag: Lag
    dt: TimeStep | None
    features: FeatureSpec
    lift: Lift
    dropped: tuple[str, ...]
    mean: Array
    mean_right: Array
    left: Array
    right: Array
    eigenvalues: NDArray[np.complex128] | None
    singular_values: Array | None
    dim: int
    rank: int
    pairs: int
    seed: int = 0
    precision: str = "float64"
    blocks: Any = None
    basis: Array | None = None
    domain: Domain | None = None
    warnings: tuple[str, ...] = ()
