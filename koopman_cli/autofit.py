"""``koopman fit --features auto --model auto``: score a small grid, then fit what it recommends.

The grid, its folds and the rule are those of ``koopman vamp-score``.
"""

from __future__ import annotations

from dataclasses import replace

from koopman_cli.api import FitOptions, fit
from koopman_cli.candidates import ScoreTable
from koopman_cli.choice import NOTHING
from koopman_cli.errors import DataError, UsageError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.nouns import counted
from koopman_cli.scores import DIMS, GridOptions, auto_lag, score_grid
from koopman_cli.source import Source, open_source
from koopman_cli.types import FitResult, Progress, ReadOptions, no_progress
from koopman_cli.units import parse_frames

#: What is tried for molecular dynamics, as far as the input has it.
FEATURES = ("torsions", "torsions+torsion-products", "heavy-distances", "ca-distances")

#: Wider feature sets are not tried unasked.
MAX_WIDTH = 300

#: Families that are tried.
MODELS = ("tica", "vamp")


def auto_fit(
    source: Source,
    options: FitOptions,
    *,
    read: ReadOptions | None = None,
    progress: Progress = no_progress,
    command: str = "",
) -> tuple[FitResult, ScoreTable | None]:
    """Fit, with ``"auto"`` for features or model decided by held-out scores.

    Returns
    -------
    result, table
        The table that decided, None where nothing was to be decided.

    Raises
    ------
    UsageError
        Settings together with ``model="auto"``.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> noise = np.random.default_rng(0).standard_normal((20_000, 2))
    >>> noise[:, 0] = lfilter([1], [1, -0.95], noise[:, 0])
    >>> result, table = auto_fit(noise, FitOptions(model="auto", lag="5"))
    >>> result.model.dim, len(table.cells)
    (1, 4)
    """
    read = read or ReadOptions()
    if "auto" not in (options.features, options.model):
        return fit(source, options, read=read, progress=progress, command=command), None
    if options.model == "auto" and options.settings:
        raise UsageError(
            "settings with model auto: whose are they?",
            "name the model, or compare settings with koopman vamp-score",
        )
    base = replace(options, features=None if options.features == "auto" else options.features)
    stream = open_source(source, base.features, read, progress).stream.cached()
    if stream.field is not None:
        plain = replace(base, model=None if options.model == "auto" else options.model)
        return fit(source, plain, read=read, progress=progress, command=command), None
    lag, converged = _lag(options, stream, progress)
    table = score_grid(
        source, _grid(source, options, stream, lag, read), read=read, progress=progress
    )
    (found,) = table.recommended
    best = table.cells[found.cell if found.cell is not None else 0]
    chosen = replace(
        base,
        features=None if isinstance(source, FeatureStream) else best.features,
        model=best.model,
        lag=str(lag),
        dim=str(best.dim),
        settings=best.settings if options.model == "auto" else options.settings,
    )
    result = fit(source, chosen, read=read, progress=progress, command=command)
    said = f"{counted(len(table.cells), 'cell')} scored: {found.reason}"
    empty = found.cell is None and found.reason.startswith(NOTHING)
    return replace(
        result,
        notes=(*converged, said, *result.notes),
        warnings=(*result.warnings, found.reason) if found.cell is None else result.warnings,
        slow=result.slow and not empty,
    ), table


def _lag(
    options: FitOptions, stream: FeatureStream, progress: Progress
) -> tuple[int, tuple[str, ...]]:
    if options.lag != "auto":
        return parse_frames(options.lag, stream.dt), ()
    lag, said = auto_lag(stream, progress=progress)
    return lag, (said,)


def _grid(
    source: Source, options: FitOptions, stream: FeatureStream, lag: int, read: ReadOptions
) -> GridOptions:
    """The grid that decides what was left to it."""
    features: tuple[str | None, ...] = (options.features,)
    if options.features == "auto":
        features = _offered(source, stream, read)
    models = MODELS if options.model == "auto" else (options.model or "tica",)
    settings = {name: {k: (v,) for k, v in options.settings.items()} for name in models}
    return GridOptions(
        features=features,
        models=models,
        lags=(str(lag),),
        dims=DIMS if options.dim == "auto" else (int(options.dim),),
        settings=settings,
        folds=options.folds,
        test=options.test,
        seed=options.seed,
        precision=options.precision,
    )


def _offered(source: Source, stream: FeatureStream, read: ReadOptions) -> tuple[str | None, ...]:
    """The feature sets that this input has, the default one first."""
    if stream.spec.kind != "md":
        return (None,)
    found = {stream.spec.text: None}
    for spec in FEATURES:
        try:
            offered = open_source(source, spec, read, no_progress).stream
        except DataError:
            continue
        if offered.n_features <= MAX_WIDTH:
            found[offered.spec.text] = None
    return tuple(found)
