"""Metastable states and coherent sets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from koopman_cli.types.modes import Quantity

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ChapmanKolmogorov:
    """Whether the states at the lag predict those at multiples of it.

    lags : multiples of the lag, in frames
    predicted, estimated : (lags, states) probability to be in a state again, from the lag by
        powers and straight from the data; ``error`` of the estimate
    reach : (lags, states) distance of the two beyond which the test fails; it comes from the
        errors of their difference, which rise and fall with both
    deviation : largest difference of any element of the two transition matrices
    p : probability of deviations as large by chance, corrected for the number of them
    """

    lags: tuple[int, ...]
    predicted: tuple[tuple[float, ...], ...]
    estimated: tuple[tuple[float, ...], ...]
    error: tuple[tuple[float, ...], ...]
    deviation: float
    p: float
    verdict: Literal["passed", "failed"]
    reach: tuple[tuple[float, ...], ...] | None = None


@dataclass(frozen=True)
class States:
    """Metastable states of a model: memberships chi(x) = [1, psi(x)] matrix, clipped to >= 0.

    chosen_by : "gap" or "user"
    hard, soft : populations by largest membership and by mean membership
    lifetimes : None where a state is never left
    transition_matrix : at the lag of the model, rows sum to 1
    mfpt : mean first-passage times from state i to state j, None on the diagonal and where
        there is none
    crispness : in (0, 1], 1 for states without overlap
    mean, functions : (m,), (m, k): psi = (chi - mean) functions of the lifted features
    matrix : (k + 1, k + 1)
    transitions : elements of the transition matrix with their intervals
    committor : per state, probability to reach one state before another, where it was asked for
    warnings : reasons to doubt that these are states
    """

    count: int
    chosen_by: Literal["gap", "user"]
    hard: tuple[Quantity, ...]
    soft: tuple[Quantity, ...]
    lifetimes: tuple[Quantity | None, ...]
    transition_matrix: tuple[tuple[float, ...], ...]
    mfpt: tuple[tuple[Quantity | None, ...], ...]
    crispness: float
    mean: Array
    functions: Array
    matrix: Array
    chapman_kolmogorov: ChapmanKolmogorov | None = None
    reliable: bool = True
    notes: tuple[str, ...] = ()
    transitions: tuple[tuple[Quantity, ...], ...] | None = None
    committor: tuple[Quantity, ...] | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class CoherentSets:
    """Coherent sets of a model with coherences, on at most 5,000 lagged pairs.

    shares : of points, by largest membership at the initial time
    kept : share of the points of each set that still belong to it at the final time
    names : of the (at most two) features that are drawn, those that tell memberships best
    start, end : (n, 2) those features at the initial and the final time
    before, after : (n, count) memberships there
    """

    count: int
    shares: tuple[float, ...]
    kept: tuple[float, ...]
    names: tuple[str, ...]
    start: Array
    end: Array
    before: Array
    after: Array


@dataclass(frozen=True)
class Structures:
    """Frames near the core of each metastable state (MD), to be shown.

    xyz : (states, samples, atoms, 3) in nm, superposed, the one nearest the core first
    elements, atoms, residues, residue_numbers, chains : (atoms,) names as a PDB file has them
    bonds : (b, 2) pairs of atoms
    frames : (states, samples, 2) trajectory and frame as read
    left_out : what is not shown ("hydrogen", "all but CA", ...), empty where all atoms are
    """

    xyz: Array
    elements: tuple[str, ...]
    atoms: tuple[str, ...]
    residues: tuple[str, ...]
    residue_numbers: NDArray[np.int64]
    chains: NDArray[np.int64]
    bonds: NDArray[np.int64]
    frames: NDArray[np.int64]
    left_out: str = ""
