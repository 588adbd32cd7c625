"""The frozen dataclasses that travel between the rooms of the house.

Nothing here computes; nothing here imports numpy at run time, so that the command line
can name these types without paying for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.floating[Any]]

Kind = Literal["md", "array", "field"]


# ------------------------------------------------------------------ progress


class Progress(Protocol):
    """How core functions report progress without knowing a terminal.

    ``with progress("reading", total) as advance: advance(n)``.
    """

    def __call__(
        self, label: str, total: int | None
    ) -> AbstractContextManager[Callable[[int], None]]: ...


def no_progress(label: str, total: int | None) -> AbstractContextManager[Callable[[int], None]]:
    """The silent :class:`Progress`, the default of every core function."""
    return nullcontext(lambda n: None)


# ------------------------------------------------------------------ input


@dataclass(frozen=True)
class TimeStep:
    """Time between two consecutive frames as read (after the stride).

    ``origin`` says where it is from: "time stamps of run1.xtc", "--dt", ...
    """

    value: float
    unit: str
    origin: str = ""


@dataclass(frozen=True)
class ReadOptions:
    """Everything that decides how paths become trajectories (see the CLI reference)."""

    top: str | None = None
    select: str | None = None
    kind: Kind | None = None
    var: tuple[str, ...] = ()
    time_axis: int | None = None
    begin: str | None = None
    end: str | None = None
    stride: int = 1
    dt: str | None = None
    join: bool = False
    ensemble: bool = False
    anomaly: str | None = None
    detrend: str | None = None
    area_weights: str = "auto"
    drop_nonfinite: bool = False
    allow_truncated: bool = False


@dataclass(frozen=True)
class Frames:
    """A chunk of consecutive frames.

    values : (n, atoms, 3) coordinates in nm for MD, (n, columns) else
    cell : (n, 3, 3) box vectors in nm, or None where there is no valid cell (MD only)
    time : (n,) time stamps in the unit of the file, or None where it keeps none
    """

    start: int
    values: Array
    cell: Array | None = None
    time: Array | None = None


@dataclass(frozen=True)
class FileRecord:
    """One input file: path as given and number of frames used from it."""

    path: str
    frames: int


@dataclass(frozen=True)
class Trajectory:
    """One run: what it is, and how to read it again, in chunks, from its start.

    label : name in messages and tables
    n_frames : frames as read (after begin, end, stride)
    segments : (s, 2) half-open ranges of frames; no lagged pair crosses from one to the
        next (ensemble members, stretches between dropped frames)
    names, units : of the columns; empty for MD, where ``topology`` is set instead
    dtype : "float32", "float64" or "complex128" of the values that ``read`` yields
    read : ``read(size)`` iterates over :class:`Frames` of at most ``size`` frames
    field : :class:`koopman_cli.io.fieldruns.FieldRun` for kind "field": geometry, times and
        blocks of cells; ``names`` is then empty and a frame is a row of all cells
    """

    label: str
    kind: Kind
    files: tuple[FileRecord, ...]
    n_frames: int
    segments: NDArray[np.int64]
    dt: TimeStep | None
    dtype: str
    read: Callable[[int], Iterator[Frames]]
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    topology: Any = None
    warnings: tuple[str, ...] = ()
    field: Any = None


@dataclass(frozen=True)
class FeatureSpec:
    """What turns frames into feature columns, complete enough to do it again.

    text : the resolved specification, e.g. "torsions+torsion-products"
    names, units : of the columns, in order
    state : arrays the featurizers had to remember (reference frame, means, ...)
    kind, select : of the input they apply to
    """

    text: str
    names: tuple[str, ...]
    units: tuple[str, ...]
    kind: Kind = "array"
    select: str | None = None
    state: Mapping[str, NDArray[Any]] = field(default_factory=dict)


# ------------------------------------------------------------------ results


@dataclass(frozen=True)
class Lag:
    """A lag in frames, and in time where a time step is known."""

    frames: int
    value: float
    unit: str


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
class ScoreEntry:
    """Train and held-out value of one score, standard error over folds, value per fold."""

    train: float
    test: float | None = None
    stderr: float | None = None
    folds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Score:
    """VAMP scores of a model at fixed ``dim``; each includes 1 for the constant function."""

    dim: int
    vamp1: ScoreEntry
    vamp2: ScoreEntry
    vampe: ScoreEntry
    folds: int
    blocks: int
    poor_folds: int = 0
    warnings: tuple[str, ...] = ()


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


@dataclass(frozen=True)
class Projection:
    """The slow functions along the data, thinned evenly to at most 50,000 frames for figures.

    trajectory, frame : (n,) which trajectory, and which frame of it as read
    values : (n, k) slow functions of unit variance, unscaled
    torsions : (n, t) angles in radians, named ``torsion_names`` ("phi ALA2", "psi ALA2", ...)
    inputs : (n, 1 or 2) columns of an array that the modes follow most, named ``input_names``
    """

    trajectory: NDArray[np.int64]
    frame: NDArray[np.int64]
    values: Array
    torsions: Array | None = None
    torsion_names: tuple[str, ...] = ()
    inputs: Array | None = None
    input_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class LagScan:
    """Implied timescales against lag, and the lag that was taken from them.

    lags : frames, increasing
    timescales : (n_lags, k) in frames, NaN where undefined
    chosen : frames
    converged : whether the leading two stay within 10% at twice the lag
    """

    lags: tuple[int, ...]
    timescales: Array
    chosen: int
    converged: bool
    reason: str


@dataclass(frozen=True)
class DimChoice:
    """Scores of the nested models of dim 0 .. K (entry i has dim i) and the dim taken."""

    scores: tuple[Score, ...]
    chosen: int
    reason: str


@dataclass(frozen=True)
class Gap:
    """Spectral gap: after which mode, the ratio of timescales there, and why (or why not)."""

    after: int | None
    ratio: Quantity | None
    resolved: bool
    reason: str


@dataclass(frozen=True)
class ChapmanKolmogorov:
    """Whether the states at the lag predict those at multiples of it.

    lags : multiples of the lag, in frames
    predicted, estimated : (lags, states) probability to be in a state again, from the lag by
        powers and straight from the data; ``error`` of the estimate
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


@dataclass(frozen=True)
class CoherentSets:
    """Coherent sets of a model with coherences, on at most 5,000 lagged pairs.

    shares : of points, by largest membership at the initial time
    kept : share of the points of each set that still belong to it at the final time
    names : of the (at most two) features that are drawn
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
class InputSummary:
    """What was read, as ``summary.json`` tells it.

    files : (path, sha256, frames) of what was trained on
    test : the same of a separate test set, empty where there is none
    """

    kind: Kind
    files: tuple[tuple[str, str, int], ...]
    frames: int
    features: int
    dt: TimeStep | None
    test: tuple[tuple[str, str, int], ...] = ()


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


@dataclass(frozen=True)
class FitResult:
    """Everything one ``koopman fit`` found; written to a RUN directory by ``report``.

    ``config`` holds every resolved option and setting (what config.toml holds); ``notes`` say
    what was chosen automatically and why; ``provenance`` the command, versions, seconds.
    """

    input: InputSummary
    model: Model
    modes: tuple[Mode, ...]
    score: Score | None
    gap: Gap | None = None
    states: States | None = None
    coherent: CoherentSets | None = None
    lag_scan: LagScan | None = None
    dim_choice: DimChoice | None = None
    projection: Projection | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = True
    flow: Flow | None = None
    rivals: tuple[tuple[str, Score], ...] = ()
    correlations: Correlations | None = None
    structures: Structures | None = None
