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
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np

from koopman_cli import __version__
from koopman_cli.autolag import scan_lags
from koopman_cli.errors import DataError
from koopman_cli.estimate import Estimate, check_lag, estimate
from koopman_cli.features.field import build_field
from koopman_cli.features.snapshots import needs_double
from koopman_cli.features.stream import FeatureStream
from koopman_cli.fitoptions import FitOptions, checked_dim, with_delays
from koopman_cli.flow.space import describe_flow
from koopman_cli.heldout import open_test
from koopman_cli.hints import completed, fewer_features
from koopman_cli.models import DEFAULTS
from koopman_cli.nouns import lag_text, times
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
    dim = checked_dim(options, source)
    opened = open_source(source, with_delays(options), read, progress)
    more = {"model": options.model, "lag": None if options.lag == "auto" else options.lag}
    with fewer_features(opened.stream.spec, _paths(source), read, more):
        task = _task(opened, options, read, progress)
        test = open_test(options.test, task.stream, read, progress)
        held = _features_of(test, task.lag)
        found = estimate(
            task.stream, task.request, task.lag, dim=dim, folds=options.folds, test=held
        )
    found = _with_commands(found, source, options, read)
    result = replace(
        _told(analyse(found, task.stream, task.scan), found, task, held),
        input=summarize(opened, progress, test),
        config=_config(source, replace(options, features=task.stream.spec.text), read, found),
        provenance=_provenance(command, options.seed, begun),
    )
    result = _shown(result, found, opened, task.stream)
    for files in (opened, test):
        if files is not None:
            check_unchanged(files)
    return result


@dataclass(frozen=True)
class _Task:
    """What is to be fitted: features, family and lag, with how each was chosen."""

    stream: FeatureStream
    request: Request
    lag: int
    scan: LagScan | None
    notes: tuple[str, ...]
    opened: Opened
    reduced: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was said of the data; complete once these have been read."""
        return (*self.opened.stream.warnings, *self.stream.warnings, *self.reduced)


def _task(opened: Opened, options: FitOptions, read: ReadOptions, progress: Progress) -> _Task:
    """Settle what the options leave open."""
    stream = _real(opened.stream.cached())
    request, why = _asked(options, stream, progress)
    lag, scan = _lag(options.lag, stream, request)
    request, ranked, reduced = request.completed(stream, lag)
    stream, finer = refined(stream, request, opened, read)
    notes = (*stream.notes, *why, *ranked, *finer, *_scan_notes(scan, stream))
    return _Task(stream, request, lag, scan, notes, opened, reduced)


def _with_commands(
    found: Estimate, source: Any, options: FitOptions, read: ReadOptions
) -> Estimate:
    """Warnings whose commands can be typed as they stand, where the input are paths."""
    more = {"features": options.features}
    settings = {f"{found.request.name}.{k}": v for k, v in options.settings.items()}
    told = tuple(completed(w, _paths(source), read, more, settings) for w in found.warnings)
    return replace(found, warnings=told)


def _features_of(test: Opened | None, lag: int) -> FeatureStream | None:
    """The features of a separate test set, which must reach beyond the lag."""
    if test is None:
        return None
    check_lag(lag, test.stream)
    return test.stream


def _told(result: FitResult, found: Estimate, task: _Task, test: FeatureStream | None) -> FitResult:
    """The result with what was chosen for it, and what every step warned of."""
    count = found.passes + (task.scan.readings if task.scan else 0)
    passes = f"data read {times(count)} for moments"
    of_test = () if test is None else (*test.warnings, *test.too_short(found.lag))
    return replace(
        result,
        notes=(*task.notes, *_dim_notes(found), *found.notes, *result.notes, passes),
        warnings=_unique(*task.warnings, *of_test, *result.warnings),
    )


def _shown(result: FitResult, found: Estimate, opened: Opened, stream: FeatureStream) -> FitResult:
    """The result with what figures and forecasts show of it."""
    progress = found.request.progress
    result = with_showcase(result, found, opened, stream, progress)
    if stream.field is None:
        return result
    flow, model = describe_flow(found, stream, result.model, progress)
    return replace(result, flow=flow, model=model)


# ------------------------------------------------------------------ choices


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
    return (f"lag {lag_text(lag)}: {scan.reason}",)


def _dim_notes(found: Estimate) -> tuple[str, ...]:
    return () if found.dims is None else (f"dim {found.dim}: {found.dims.reason}",)


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


def _paths(source: Any) -> list[str]:
    """Paths as given; none for data in memory."""
    return [str(p) for p in source] if _listed(source) else []


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
