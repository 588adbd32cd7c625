"""``koopman timescales`` as a function: paths, arrays or a RUN to timescales against lag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from koopman_cli.analysis.lags import member_grid
from koopman_cli.analysis.windows import of_scan
from koopman_cli.errors import UsageError
from koopman_cli.estimate import check_lag
from koopman_cli.lagscan import LagBands, scan_timescales
from koopman_cli.request import Request
from koopman_cli.source import Source, check_unchanged, open_source
from koopman_cli.types import Progress, ReadOptions, no_progress
from koopman_cli.units import parse_frames


@dataclass(frozen=True)
class TimescaleOptions:
    """What ``koopman timescales`` can be told besides how to read.

    lags : frames ("50") or times ("5ns"); "auto" alone is a log grid up to a fiftieth of the
        longest trajectory, of many short runs up to half of the longest
    model : family; None takes dmd for fields and tica for everything else
    count : modes followed
    """

    lags: tuple[str, ...] = ("auto",)
    features: str | None = None
    model: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    count: int = 3
    seed: int = 0
    precision: str = "auto"


def timescales(
    source: Source,
    options: TimescaleOptions,
    *,
    read: ReadOptions | None = None,
    progress: Progress = no_progress,
) -> LagBands:
    """Implied timescales against lag with 95% bands, all lags from one reading.

    Parameters
    ----------
    source : paths, arrays or FeatureStream
    options : TimescaleOptions
    read : ReadOptions

    Raises
    ------
    UsageError, DataError, SupportError
        Lags out of range; data that support no model at any lag.

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).standard_normal((5000, 2)).cumsum(axis=0) % 7
    >>> timescales(x, TimescaleOptions(("1", "2", "4"), count=1)).times.shape
    (3, 1)
    """
    if options.count < 1:
        raise UsageError(f"--count {options.count}: follow at least one mode", "give 1 or more")
    opened = open_source(source, options.features, read or ReadOptions(), progress)
    stream = opened.stream.cached()
    if options.lags == ("auto",):
        check_lag(1, stream)
        longest = max(int(b - a) for part in stream.segments for a, b in part)
        lags = list(member_grid(longest, stream.n_frames))
    else:
        lags = [parse_frames(text, stream.dt) for text in options.lags]
    for lag in lags:
        check_lag(lag, stream)
    name = options.model or ("tica" if stream.field is None else "dmd")
    request = Request.of(
        name,
        dict(options.settings),
        seed=options.seed,
        precision=options.precision,
        progress=progress,
    )
    found = scan_timescales(stream, request, lags, options.count)
    check_unchanged(opened)
    short = stream.too_short(max(lags))
    short += of_scan(stream.window, min(lags), request.solver)
    said = (*opened.stream.warnings, *stream.warnings, *short, *found.warnings)
    return replace(found, warnings=tuple(dict.fromkeys(said)))
