"""One core function per command, for notebooks and for the command line alike.

    from koopman_cli import fit, transform
    result = fit(["run1.h5", "run2.h5"])        # paths ...
    result = fit(array, FitOptions(lag="10"))   # ... or arrays

Each takes paths, arrays of shape (frames, d) or a FeatureStream, and returns dataclasses.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli import __version__
from koopman_cli.analysis.floor import noise_floor
from koopman_cli.analysis.modes import EXTRA, model_modes
from koopman_cli.analysis.projection import (
    FIGURE_FRAMES,
    gather,
    sample_pairs,
    thinned_frames,
)
from koopman_cli.analysis.spectrum import Context
from koopman_cli.errors import DataError, SupportError, UsageError, did_you_mean
from koopman_cli.estimate import Estimate, Request, check_lag, estimate, scan_lags
from koopman_cli.features import build_features, rebuild_features
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
from koopman_cli.lifts import apply, evaluator
from koopman_cli.linalg import RTOL, keep_pairs
from koopman_cli.source import (
    Opened,
    Source,
    are_paths,
    check_unchanged,
    open_source,
    open_test,
    summarize,
)
from koopman_cli.store.coordinates import Coordinates
from koopman_cli.store.plain import to_plain
from koopman_cli.types import (
    FitResult,
    InputSummary,
    LagScan,
    Model,
    Progress,
    Projection,
    ReadOptions,
    no_progress,
)
from koopman_cli.units import make_lag, parse_frames

__all__ = ["FitOptions", "fit", "project", "transform"]

#: Frames of block moments kept in a stored model, as bytes.
STORED_BLOCK_BYTES = 32 * 2**20
STORED_DIRECTIONS = 100


@dataclass(frozen=True)
class FitOptions:
    """What ``koopman fit`` can be told besides how to read.

    features : specification, None chooses for what is found
    model : family, None takes tica for MD and vamp for arrays
    lag : "auto", frames ("50") or a time ("5ns")
    dim : "auto" or a number of functions
    settings : of the family, texts or values
    folds : folds of blocks for held-out scores
    test : paths (or arrays) of a separate test set instead of folds
    """

    features: str | None = None
    model: str | None = None
    lag: str = "auto"
    dim: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 5
    test: Any = None
    seed: int = 0
    precision: str = "auto"


def fit(
    source: Source,
    options: FitOptions | None = None,
    *,
    read: ReadOptions | None = None,
    progress: Progress = no_progress,
    command: str = "",
) -> FitResult:
    """Read, featurize, fit, score and judge: the whole analysis.

    Parameters
    ----------
    source : paths, arrays or FeatureStream
        Several paths or arrays are several trajectories; no lagged pair crosses between them.
    options : FitOptions
    read : ReadOptions
        How paths are read.
    progress : Progress
        Told about every pass over the data.
    command : str
        Recorded as provenance.

    Returns
    -------
    FitResult

    Raises
    ------
    KoopmanError
        Of the kind that tells what to change; see :mod:`koopman_cli.errors`.

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> noise = np.random.default_rng(0).standard_normal(20_000)
    >>> slow = lfilter([1], [1, -0.95], noise)                 # timescale 19.5 frames
    >>> result = fit(slow[:, None], FitOptions(model="tica", lag="5", dim="1"))
    >>> 15 < result.modes[0].timescale.value < 25, result.modes[0].verdict
    (True, 'resolved')
    """
    options, read = options or FitOptions(), read or ReadOptions()
    begun = time.perf_counter()
    opened = open_source(source, options.features, read, progress)
    stream = opened.stream.cached()
    if stream.dtype.kind == "c":
        raise DataError(
            "the input is complex, which TICA, VAMP and EDMD of real functions cannot take",
            "give real and imaginary part as separate columns",
        )
    family, why = _family(options, stream)
    request = Request.of(
        family,
        dict(options.settings),
        seed=options.seed,
        precision=options.precision,
        progress=progress,
    )
    lag, scan = _lag(options.lag, stream, request)
    test = open_test(options.test, stream, read, progress)
    found = estimate(stream, request, lag, dim=_dim(options.dim), folds=options.folds, test=test)
    result = _analyse(found, stream, scan)
    notes = (*stream.notes, *why, *_scan_notes(scan, stream), *_dim_notes(found), *found.notes)
    result = replace(
        result,
        input=summarize(opened, progress),
        projection=_projection(result.model, opened, stream, progress),
        notes=(*notes, f"data read {_times(found.passes + (scan is not None))} for moments"),
        warnings=_unique(*opened.stream.warnings, *stream.warnings, *result.warnings),
        config=_config(source, options, read, request, found),
        provenance=_provenance(command, options, begun),
    )
    check_unchanged(opened)
    return result


# ------------------------------------------------------------------ choices


def _family(options: FitOptions, stream: FeatureStream) -> tuple[str, tuple[str, ...]]:
    if options.model is not None:
        return options.model, ()
    if stream.spec.kind == "md":
        return "tica", ("model tica: molecular dynamics is reversible in time",)
    return "vamp", ("model vamp: nothing is known of the array's symmetry in time",)


def _lag(text: str, stream: FeatureStream, request: Request) -> tuple[int, LagScan | None]:
    if text == "auto":
        check_lag(1, stream)
        scan = scan_lags(stream, request)
        return scan.chosen, scan
    lag = parse_frames(text, stream.dt)
    check_lag(lag, stream)
    return lag, None


def _dim(text: str | int) -> int | None:
    if text == "auto":
        return None
    try:
        dim = int(text)
    except ValueError:
        raise UsageError(
            f"dim {text}: not a whole number", "give a number of functions such as 3, or auto"
        ) from None
    if dim < 1:
        raise UsageError(f"dim {dim}: a model has at least one function", "give --dim 1 or more")
    return dim


def _scan_notes(scan: LagScan | None, stream: FeatureStream) -> tuple[str, ...]:
    if scan is None:
        return ()
    lag = make_lag(scan.chosen, stream.dt)
    in_time = "" if lag.unit == "frames" else f" ({lag.value:g} {lag.unit})"
    return (f"lag {scan.chosen} frames{in_time}: {scan.reason}",)


def _dim_notes(found: Estimate) -> tuple[str, ...]:
    return () if found.dims is None else (f"dim {found.dim}: {found.dims.reason}",)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _unique(*texts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


# ------------------------------------------------------------------ analysis


def _analyse(found: Estimate, stream: FeatureStream, scan: LagScan | None) -> FitResult:
    request, solution, lag = found.request, found.solution, found.lag
    floor = _floor(found, stream)
    context = Context(make_lag(lag, stream.dt), floor, max(stream.lengths), request.solver)
    modes, values = model_modes(found.merged, solution, context, found.dim)
    warnings = [*found.warnings]
    if scan is not None and not scan.converged:
        warnings.append(f"lag {scan.reason}")
    if found.solution.singular_values is not None and values is None:
        warnings.append(
            "the data are not symmetric in time within their errors, so singular values are "
            "coherences and no timescales are given"
        )
    none_slow = not any(mode.verdict == "resolved" for mode in modes)
    if none_slow or (found.dims is not None and found.dims.chosen == 0):
        warnings.append("no slow mode in these features at this lag")
        none_slow = True
    notes = [] if found.effective_frames is None else [f"{found.effective_frames:.0f} effective"]
    model = _model(found, stream, values, tuple(warnings))
    return FitResult(
        input=InputSummary("array", (), 0, 0, None),
        model=model,
        modes=modes,
        score=found.score,
        lag_scan=scan,
        dim_choice=found.dims,
        notes=tuple(notes),
        warnings=tuple(warnings),
        slow=not none_slow,
    )


def _floor(found: Estimate, stream: FeatureStream) -> float | None:
    """Noise floor of the family; None where it has none (eig) or it cannot be told."""
    if found.request.solver == "eig":
        return None
    pairs = sample_pairs(stream, found.lag, evaluator(found.lift), found.request.progress)
    moving = found.solution.moving
    return noise_floor(
        pairs.x[:, moving],
        pairs.y[:, moving],
        pairs.groups,
        reversible=found.request.solver == "reversible",
        rtol=found.request.settings.rtol or RTOL[found.precision],
        seed=found.request.seed,
    )


def _model(
    found: Estimate,
    stream: FeatureStream,
    values: NDArray[np.complex128] | None,
    warnings: tuple[str, ...],
) -> Model:
    solution = found.solution
    k = keep_pairs(solution.eigenvalues, min(found.dim + EXTRA, solution.rank))
    blocks, basis = found.blocks, None
    if solution.left.shape[0] > STORED_DIRECTIONS:
        basis = solution.left[:, :STORED_DIRECTIONS]
        blocks = blocks.projected(solution.mean_x, basis)
    size = 3 * blocks.xx.nbytes
    if size > STORED_BLOCK_BYTES:
        blocks = blocks.merged(blocks.frames * size / STORED_BLOCK_BYTES / blocks.n_blocks)
    constant = tuple(
        name for name, moves in zip(found.lift.names, solution.moving, strict=True) if not moves
    )
    singular = solution.singular_values
    return Model(
        family=found.request.name,
        solve=found.request.solver,
        settings=asdict(found.request.settings),
        lag=make_lag(found.lag, stream.dt),
        dt=stream.dt,
        features=stream.spec,
        lift=found.lift,
        dropped=constant,
        mean=solution.mean_x,
        mean_right=solution.mean_y,
        left=solution.left[:, :k],
        right=solution.right[:, :k],
        eigenvalues=None if values is None else values[:k],
        singular_values=None if singular is None else singular[:k],
        dim=found.dim,
        rank=solution.rank,
        pairs=round(found.blocks.total().n),
        seed=found.request.seed,
        precision=found.precision,
        blocks=blocks,
        basis=basis,
        warnings=warnings,
    )


def project(model: Model, features: NDArray[Any]) -> NDArray[np.float64]:
    """Slow functions of frames: psi(x) = (chi(x) - mean) left, (n, d) -> (n, k)."""
    lifted = apply(model.lift, features)
    value: NDArray[np.float64] = (np.asarray(lifted, np.float64) - model.mean) @ model.left
    return value


def _projection(
    model: Model, opened: Opened, stream: FeatureStream, progress: Progress
) -> Projection:
    wanted = thinned_frames(stream.lengths, FIGURE_FRAMES)
    values = gather(stream, wanted, lambda x: project(model, x), progress, "projecting")
    names, torsions = _torsions(opened, stream, wanted, progress)
    return Projection(
        np.repeat(np.arange(len(wanted)), [len(w) for w in wanted]),
        np.concatenate([stream.frame_index(i, w) for i, w in enumerate(wanted)]),
        np.concatenate([v for v in values if len(v)]),
        torsions,
        names,
    )


def _torsions(
    opened: Opened, stream: FeatureStream, wanted: list[NDArray[np.int64]], progress: Progress
) -> tuple[tuple[str, ...], NDArray[np.float64] | None]:
    """Backbone torsions at the frames of the figures, from the features where they are there."""
    if stream.spec.kind != "md":
        return (), None
    from koopman_cli.features import angles

    source = stream
    if not angles(stream.spec.names, np.empty((0, stream.n_features)))[0]:
        try:
            source = build_features(opened.trajectories, "torsions")
        except DataError:
            return (), None
        if source.lengths != stream.lengths:
            return (), None
    values = np.concatenate([v for v in gather(source, wanted, None, progress) if len(v)])
    names, found = angles(source.spec.names, values)
    return names, found.astype(np.float64)


# ------------------------------------------------------------------ provenance


def _config(
    source: Any, options: FitOptions, read: ReadOptions, request: Request, found: Estimate
) -> dict[str, Any]:
    """Every resolved option: fitting again with these gives the same numbers."""
    paths = [str(p) for p in source] if not isinstance(source, str) and _listed(source) else []
    test = options.test
    return {
        "paths": [str(source)] if isinstance(source, (str, os.PathLike)) else paths,
        "read": to_plain(asdict(read)),
        "fit": {
            "features": options.features,
            "model": request.name,
            "lag": str(found.lag),
            "dim": str(found.dim),
            "folds": options.folds,
            "test": [str(p) for p in test] if test is not None and _listed(test) else None,
            "seed": options.seed,
            "precision": options.precision,
        },
        "settings": asdict(request.settings),
    }


def _listed(source: Any) -> bool:
    return not isinstance(source, FeatureStream) and are_paths(source)


def _provenance(command: str, options: FitOptions, begun: float) -> dict[str, Any]:
    return {
        "command": command,
        "seed": options.seed,
        "seconds": round(time.perf_counter() - begun, 3),
        "versions": {
            "koopman": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": version("scipy"),
        },
    }


# ------------------------------------------------------------------ transform


@dataclass(frozen=True)
class Transformed:
    """Slow coordinates of new data: ``runs``, one per trajectory, each read in chunks."""

    runs: tuple[Coordinates, ...]
    stream: FeatureStream

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was noticed; complete once every trajectory has been read."""
        return self.stream.warnings


SCALINGS = ("none", "kinetic", "commute")


def scaling_factors(model: Model, scaling: str) -> NDArray[np.float64]:
    """Factor of each slow coordinate.

    "none": unit variance; "kinetic": times |lambda| (Noe and Clementi 2015); "commute":
    times sqrt(t / 2) with t in the unit of the lag (Noe, Banisch and Clementi 2016).

    Raises
    ------
    UsageError, SupportError
        No such scaling; commute without timescales.
    """
    if scaling not in SCALINGS:
        raise UsageError(f"no such scaling: {scaling!r}", did_you_mean(scaling, SCALINGS))
    k = model.dim
    if scaling == "none":
        return np.ones(k)
    values = model.eigenvalues if model.eigenvalues is not None else model.singular_values
    assert values is not None
    size = np.abs(values[:k])
    if scaling == "kinetic":
        return size
    if model.eigenvalues is None or np.any((size <= 0) | (size >= 1)):
        raise SupportError(
            "the commute map needs a timescale for every mode, which this model does not have",
            "use --scaling none or kinetic, or a smaller dim",
        )
    return np.sqrt(-model.lag.value / np.log(size) / 2)


def transform(
    model: Model,
    source: Source,
    *,
    read: ReadOptions | None = None,
    scaling: str = "none",
    progress: Progress = no_progress,
) -> Transformed:
    """Slow coordinates of new trajectories from a stored model.

    Parameters
    ----------
    model : Model
        From :func:`fit` or :func:`koopman_cli.store.load_model`.
    source : paths, arrays or FeatureStream
        Must give the features of the model, by name and order.
    scaling : {"none", "kinetic", "commute"}

    Returns
    -------
    Transformed

    Raises
    ------
    DataError
        If names, order or number of the features differ from those of the model.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((500, 3)).cumsum(axis=0)
    >>> model = fit(x, FitOptions(lag="1", dim="2")).model
    >>> (run,) = transform(model, x).runs
    >>> run.array().shape, bool(np.abs(run.array()[:-1].mean(axis=0)).max() < 1e-9)
    ((500, 2), True)
    """
    read = read or ReadOptions()
    factors = scaling_factors(model, scaling)
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    if isinstance(source, FeatureStream):
        stream = source
    elif are_paths(source):
        read = replace(read, select=read.select or model.features.select)
        stream = rebuild_features(
            open_trajectories([Path(p) for p in source], read, progress),
            model.features,
            drop_nonfinite=read.drop_nonfinite,
            progress=progress,
        )
    else:
        arrays: Any = source
        stream = FeatureStream.from_arrays(arrays)
    if stream.n_features != len(model.features.names):
        raise DataError(
            f"the input has {stream.n_features} features, the model {len(model.features.names)}",
            "give the features the model was fitted on",
        )

    def rows(i: int) -> Iterator[NDArray[np.float64]]:
        for chunk in stream.chunks(i):
            yield project(model, chunk)[:, : model.dim] * factors

    runs = tuple(
        Coordinates(label, n, model.dim, partial(stream.frame_index, i), partial(rows, i))
        for i, (label, n) in enumerate(zip(stream.labels, stream.lengths, strict=True))
    )
    return Transformed(runs, stream)
