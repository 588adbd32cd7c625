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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from koopman_cli import __version__
from koopman_cli.devices import torch_device
from koopman_cli.errors import DataError, UsageError, did_you_mean
from koopman_cli.estimate import Estimate, check_lag, estimate, scan_lags
from koopman_cli.features.field import build_field
from koopman_cli.features.snapshots import needs_double
from koopman_cli.features.stream import FeatureStream
from koopman_cli.flow.space import describe_flow
from koopman_cli.heldout import open_test, refuse_shared
from koopman_cli.hints import completed
from koopman_cli.models import DEFAULTS, make_settings
from koopman_cli.request import Request
from koopman_cli.results import analyse
from koopman_cli.showcase import with_showcase
from koopman_cli.source import (
    Opened,
    Source,
    are_paths,
    check_unchanged,
    open_source,
    summarize,
)
from koopman_cli.store.places import here
from koopman_cli.store.plain import to_plain
from koopman_cli.types import FitResult, LagScan, Progress, ReadOptions, no_progress
from koopman_cli.units import make_lag, parse_frames

__all__ = ["FitOptions", "fit", "with_delays"]


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
    stream = _real(opened.stream.cached())
    request, why = _asked(options, stream, progress)
    lag, scan = _lag(options.lag, stream, request)
    request, ranked, reduced = request.completed(stream, lag)
    stream, finer = refined(stream, request, opened, read)
    test, held = _test_set(options, stream, lag, read, progress)
    found = estimate(stream, request, lag, dim=dim, folds=options.folds, test=held)
    found = _with_commands(found, source, options, read)
    result = analyse(found, stream, scan)
    chosen = (*stream.notes, *why, *ranked, *finer, *_scan_notes(scan, stream), *_dim_notes(found))
    passes = f"data read {_times(found.passes + (scan is not None))} for moments"
    warned = (*opened.stream.warnings, *stream.warnings)
    more = () if held is None else held.warnings
    result = replace(
        result,
        input=summarize(opened, progress, test),
        notes=(*chosen, *found.notes, *result.notes, passes),
        warnings=_unique(*warned, *more, *reduced, *result.warnings),
        config=_config(source, replace(options, features=stream.spec.text), read, found),
        provenance=_provenance(command, options.seed, begun),
    )
    result = _shown(result, found, opened, stream)
    check_unchanged(opened)
    if test is not None:
        check_unchanged(test)
    return result


def _with_commands(
    found: Estimate, source: Any, options: FitOptions, read: ReadOptions
) -> Estimate:
    """Warnings whose commands can be typed as they stand, where the input are paths."""
    paths = [str(p) for p in source] if _listed(source) else []
    more = {"features": options.features}
    settings = {f"{found.request.name}.{k}": v for k, v in options.settings.items()}
    told = tuple(completed(w, paths, read, more, settings) for w in found.warnings)
    return replace(found, warnings=told)


def _test_set(
    options: FitOptions, stream: FeatureStream, lag: int, read: ReadOptions, progress: Progress
) -> tuple[Opened | None, FeatureStream | None]:
    """What was opened as a separate test set, and its features."""
    test = open_test(options.test, stream, read, progress)
    if test is None:
        return None, None
    check_lag(lag, test.stream)
    return test, test.stream


def _shown(result: FitResult, found: Estimate, opened: Opened, stream: FeatureStream) -> FitResult:
    """The result with what figures and forecasts show of it."""
    progress = found.request.progress
    result = with_showcase(result, found, opened, stream, progress)
    if stream.field is None:
        return result
    flow, model = describe_flow(found, stream, result.model, progress)
    return replace(result, flow=flow, model=model)


# ------------------------------------------------------------------ choices


def _checked(options: FitOptions, source: Any) -> int | None:
    """The dim asked for; raises before anything is read where options make no sense."""
    if options.model is not None:
        make_settings(options.model, options.settings)
    if options.folds < 0 or options.folds == 1:
        raise UsageError(f"folds {options.folds}: not possible", "give 2 or more, or 0 for none")
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"seed {options.seed}: out of range", "give --seed 0 to 2**63 - 1")
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


def _real(stream: FeatureStream) -> FeatureStream:
    """The stream, unless its numbers are complex."""
    if stream.dtype.kind == "c":
        raise DataError(
            "the input is complex, which TICA, VAMP and EDMD of real functions cannot take",
            "give real and imaginary part as separate columns",
        )
    return stream


def _asked(
    options: FitOptions, stream: FeatureStream, progress: Progress
) -> tuple[Request, tuple[str, ...]]:
    """The family asked for, or the one for this kind of input with its reason."""
    name = options.model
    why: tuple[str, ...] = ()
    if name is None:
        name, reason = DEFAULTS[stream.spec.kind]
        why = (f"model {name}: {reason}",)
    request = Request.of(
        name,
        dict(options.settings),
        seed=options.seed,
        precision=options.precision,
        progress=progress,
        device=options.device,
        place=options.place,
    )
    return request, why


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


def _config(source: Any, options: FitOptions, read: ReadOptions, found: Estimate) -> dict[str, Any]:
    """Every resolved option: fitting again with these gives the same numbers."""
    paths = [str(p) for p in source] if not isinstance(source, str) and _listed(source) else []
    test = options.test
    return {
        # Paths stay as they were given; what is relative counts from here.
        "directory": here(),
        "paths": [str(source)] if isinstance(source, (str, os.PathLike)) else paths,
        "read": to_plain(asdict(read)),
        "fit": {
            "features": options.features,
            "model": found.request.name,
            "lag": str(found.lag),
            "dim": str(found.dim),
            "folds": options.folds,
            "test": [str(p) for p in test] if test is not None and _listed(test) else None,
            "seed": options.seed,
            "precision": options.precision,
            "device": options.device,
        },
        "settings": asdict(found.request.settings),
    }


def _listed(source: Any) -> bool:
    return not isinstance(source, FeatureStream) and are_paths(source)


def _provenance(command: str, seed: int, begun: float) -> dict[str, Any]:
    """The command with its seed, how long it took since ``begun``, and versions."""
    return {
        "command": command,
        "seed": seed,
        "seconds": round(time.perf_counter() - begun, 3),
        "versions": {
            "koopman": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": version("scipy"),
        },
    }
