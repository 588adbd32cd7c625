"""The lag that data choose: implied timescales over a grid of lags, and where they settle."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from koopman_cli.accumulate import accumulate_turns
from koopman_cli.analysis.lags import beyond, choose_lag, implied_timescales, lag_grid
from koopman_cli.blocks import plan_blocks
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import evaluator
from koopman_cli.models.solve import Solution, solve
from koopman_cli.moments import Moments
from koopman_cli.request import Request
from koopman_cli.types import LagScan
from koopman_cli.validation import MAX_DIM

#: Bytes that the moments of one reading may take; what adds them up takes a few times as much.
SCAN_BYTES = 384 * 2**20

#: What is said of lags for delay windows.
OF_WINDOWS = (
    "of the lags beyond the delay window, without symmetry in time, which windows do not have"
)

#: What is said of lags for frames that are weighted once the lag is known.
UNWEIGHTED = "of frames without weights"


def scan_lags(stream: FeatureStream, request: Request, lags: tuple[int, ...] = ()) -> LagScan:
    """Implied timescales over a grid of lags, and the lag taken from them.

    One reading where the moments of all lags fit into memory together. Delay windows are not
    symmetric in time, and coherent where they overlap: their lags begin beyond the window, and
    their timescales are those of C00^+ C01.

    Parameters
    ----------
    stream : FeatureStream
    request : Request
    lags : tuple of int, optional
        In frames; a grid up to a fiftieth of the longest trajectory by default.

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> x = lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal(20_000))
    >>> scan_lags(FeatureStream.from_arrays(x), Request.of("tica")).chosen
    1
    """
    longest = max(int(b - a) for part in stream.segments for a, b in part)
    request = request.for_lags()
    lift = request.lift(stream)
    function = evaluator(lift)
    width = function[0] if function else stream.n_features
    # Each lag costs one product; very wide features get every second lag only.
    fine = stream.n_frames * width**2 * 20 < 1e12
    windowed = stream.window > 0 and request.solver != "eig"
    grid = lag_grid(longest, fine=fine)
    lags = lags or (beyond(stream.window, grid) if windowed else grid)
    plan = plan_blocks(
        stream.segments, lags, width, n_blocks=1, window=stream.window, origins=stream.origins
    )
    turns = accumulate_turns(stream, plan, limit=SCAN_BYTES, **request.how(lift, stream))
    rows, readings = [], 0
    for moments, precision in turns:
        readings += 1
        for lag in moments.lags:
            total = moments.total(lag)
            if windowed and request.settings.algebraic:
                solution = _one_way(request, total, precision, moments.eps)
            else:
                solution = request.solve(total, precision, moments.eps)
            rows.append(_times(solution, lag))
    scan = choose_lag(lags, np.array(rows)[:, : min(MAX_DIM, width)])
    told = [scan.reason]
    if windowed:
        told.append(OF_WINDOWS)
    if request.reweights:
        told.append(UNWEIGHTED)
    return replace(scan, reason=", ".join(told), readings=readings)


def _one_way(request: Request, total: Moments, precision: str, eps: float) -> Solution:
    """Eigenvalues that need no symmetry in time."""
    settings = request.settings
    return solve(
        total,
        "eig",
        center=settings.center,
        rtol=settings.cutoff(precision),
        eps=eps,
        reduction=settings.reduction,
    )


def _times(solution: Solution, lag: int) -> np.ndarray:
    """Leading timescales in frames, NaN where there are none."""
    values = solution.eigenvalues
    if values is None:
        assert solution.singular_values is not None
        values = solution.singular_values.astype(np.complex128)
    times = implied_timescales(values, lag)[:MAX_DIM]
    return np.pad(times, (0, MAX_DIM - len(times)), constant_values=np.nan)
