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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli import __version__
from koopman_cli.analysis.domain import leverage
from koopman_cli.devices import torch_device
from koopman_cli.errors import DataError, SupportError, UsageError, did_you_mean
from koopman_cli.estimate import Estimate, check_lag, estimate, scan_lags
from koopman_cli.features.field import build_field
from koopman_cli.features.snapshots import needs_double
from koopman_cli.features.stream import FeatureStream
from koopman_cli.flow.space import describe_flow
from koopman_cli.heldout import open_test, refuse_shared
from koopman_cli.models import DEFAULTS, make_settings
from koopman_cli.request import Request
from koopman_cli.results import analyse, project
from koopman_cli.showcase import with_showcase
from koopman_cli.source import (
    Opened,
    Source,
    are_paths,
    check_unchanged,
    open_source,
    reopen,
    summarize,
)
from koopman_cli.store.coordinates import Coordinates
from koopman_cli.store.plain import to_plain
from koopman_cli.types import FitResult, LagScan, Model, Progress, ReadOptions, no_progress
from koopman_cli.units import make_lag, parse_frames

__all__ = ["FitOptions", "fit", "project", "transform"]


PRECISIONS = ("auto", "float64", "float32")


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
    device : "cpu", "cuda", "cuda:N", or "auto", which takes a GPU for kernels and networks where
        there is one
    place : :class:`koopman_cli.networks.checkpoint.Place` of checkpoints, where training is long
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
    device: str = "auto"
    place: Any = None


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
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    dim = _checked(options, source)
    opened = open_source(source, with_delays(options), read, progress)
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
        device=options.device,
        place=options.place,
    )
    lag, scan = _lag(options.lag, stream, request)
    request, ranked, reduced = request.completed(stream, lag)
    stream, finer = refined(stream, request, opened, read)
    test = open_test(options.test, stream, read, progress)
    held = None if test is None else test.stream
    if held is not None:
        check_lag(lag, held)
    found = estimate(stream, request, lag, dim=dim, folds=options.folds, test=held)
    result = analyse(found, stream, scan)
    notes = (
        *stream.notes,
        *why,
        *ranked,
        *finer,
        *_scan_notes(scan, stream),
        *_dim_notes(found),
        *found.notes,
        *result.notes,
    )
    result = replace(
        result,
        input=summarize(opened, progress, test),
        notes=(*notes, f"data read {_times(found.passes + (scan is not None))} for moments"),
        warnings=_unique(
            *opened.stream.warnings,
            *stream.warnings,
            *(() if held is None else held.warnings),
            *reduced,
            *result.warnings,
        ),
        config=_config(source, replace(options, features=stream.spec.text), read, request, found),
        provenance=_provenance(command, options, begun),
    )
    result = with_showcase(result, found, opened, stream, progress)
    if stream.field is not None:
        flow, model = describe_flow(found, stream, result.model, progress)
        result = replace(result, flow=flow, model=model)
    check_unchanged(opened)
    if test is not None:
        check_unchanged(test)
    return result


# ------------------------------------------------------------------ choices


def _checked(options: FitOptions, source: Any) -> int | None:
    """The dim asked for; raises before anything is read where options make no sense."""
    if options.model is not None:
        make_settings(options.model, options.settings)
    if options.folds < 0 or options.folds == 1:
        raise UsageError(f"folds {options.folds}: not possible", "give 2 or more, or 0 for none")
    if options.seed < 0:
        raise UsageError(f"seed {options.seed}: cannot be negative", "give --seed 0 or more")
    if options.precision not in PRECISIONS:
        raise UsageError(
            f"no such precision: {options.precision!r}", did_you_mean(options.precision, PRECISIONS)
        )
    torch_device(options.device)
    refuse_shared(source, options.test)
    return _dim(options.dim)


def with_delays(options: FitOptions) -> str | None:
    """The features, with the delays that are asked for as a setting of DMD.

    >>> with_delays(FitOptions(settings={"delays": "5"}))
    'delays:5'
    """
    number = int(options.settings.get("delays", 1))
    if number == 1 or "delays" in (options.features or ""):
        return options.features
    return f"{options.features}+delays:{number}" if options.features else f"delays:{number}"


def _family(options: FitOptions, stream: FeatureStream) -> tuple[str, tuple[str, ...]]:
    if options.model is not None:
        return options.model, ()
    name, why = DEFAULTS[stream.spec.kind]
    return name, (f"model {name}: {why}",)


def _lag(text: str, stream: FeatureStream, request: Request) -> tuple[int, LagScan | None]:
    if text == "auto" and request.settings.flow:
        check_lag(1, stream)
        return 1, None
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


def refined(
    stream: FeatureStream, request: Request, opened: Opened, read: ReadOptions
) -> tuple[FeatureStream, tuple[str, ...]]:
    """A field read again in float64 where float32 products are too coarse for the rank."""
    field = stream.field
    if field is None or not needs_double(field.snapshots, request.settings.pod_rank):
        return stream, ()
    spec = stream.spec.text
    again = build_field(opened.trajectories, spec, read, request.progress, "float64")
    return again, ("snapshot products in float64: the POD modes span too many digits",)


def _scan_notes(scan: LagScan | None, stream: FeatureStream) -> tuple[str, ...]:
    if scan is None:
        return ()
    lag = make_lag(scan.chosen, stream.dt)
    in_time = "" if lag.unit == "frames" else f" ({lag.value:g} {lag.unit})"
    frames = "1 frame" if scan.chosen == 1 else f"{scan.chosen} frames"
    return (f"lag {frames}{in_time}: {scan.reason}",)


def _dim_notes(found: Estimate) -> tuple[str, ...]:
    return () if found.dims is None else (f"dim {found.dim}: {found.dims.reason}",)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _unique(*texts: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))


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
            "device": options.device,
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


#: Share of frames outside the domain above which it is worth a warning; 0.1% of the training
#: frames are outside by definition.
EXPECTED_OUTSIDE = 0.01


@dataclass(frozen=True)
class Transformed:
    """Slow coordinates of new data: ``runs``, one per trajectory, each read in chunks."""

    runs: tuple[Coordinates, ...]
    stream: FeatureStream

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was noticed; complete once every trajectory has been read."""
        return self.stream.warnings + tuple(
            f"{run.label}: {far} of {run.frames} frames lie outside the domain where the model was "
            "trained; their coordinates are extrapolated"
            for run, far in zip(self.runs, self.outside, strict=True)
            if far > EXPECTED_OUTSIDE * run.frames
        )

    @property
    def outside(self) -> tuple[int, ...]:
        """Frames of each trajectory outside the domain of the model, once it has been read."""
        return tuple(
            0 if run.outside is None else int(np.count_nonzero(run.outside())) for run in self.runs
        )


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
        stream = reopen(source, model.features, read, progress)
    else:
        arrays: Any = source
        stream = FeatureStream.from_arrays(arrays)
    if stream.n_features != len(model.features.names):
        raise DataError(
            f"the input has {stream.n_features} features, the model {len(model.features.names)}",
            "give the features the model was fitted on",
        )

    flags = tuple(np.zeros(n, bool) for n in stream.lengths)

    def rows(i: int) -> Iterator[NDArray[np.float64]]:
        at = 0
        for chunk in stream.chunks(i):
            if model.domain is not None:
                far = leverage(model.domain, chunk) > model.domain.limit
                flags[i][at : at + len(chunk)] = far
            at += len(chunk)
            yield project(model, chunk)[:, : model.dim] * factors

    runs = tuple(
        Coordinates(
            label,
            n,
            model.dim,
            partial(stream.frame_index, i),
            partial(rows, i),
            None if model.domain is None else partial(flags.__getitem__, i),
        )
        for i, (label, n) in enumerate(zip(stream.labels, stream.lengths, strict=True))
    )
    return Transformed(runs, stream)
