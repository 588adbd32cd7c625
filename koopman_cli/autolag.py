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


class LagChoice:
    """The one rule of ``--lag auto``: its grid of lags, their timescales, and the lag taken.

    Delay windows are not symmetric in time, and coherent where they overlap: their lags begin
    beyond the window, and their timescales are those of C00^+ C01.

    Parameters
    ----------
    stream : FeatureStream
    request : Request
        Of the family whose timescales choose.
    width : int
        Functions of its lift.
    lags : tuple of int, optional
        In frames; a grid up to a fiftieth of the longest trajectory by default.
    """

    def __init__(
        self, stream: FeatureStream, request: Request, width: int, lags: tuple[int, ...] = ()
    ) -> None:
        longest = max(int(b - a) for part in stream.segments for a, b in part)
        # Each lag costs one product; very wide features get every second lag only.
        grid = lag_grid(longest, fine=stream.n_frames * width**2 * 20 < 1e12)
        self.request = request
        self.windowed = stream.window > 0 and request.solver != "eig"
        self.lags = lags or (beyond(stream.window, grid) if self.windowed else grid)
        self.width = width
        # Of what turns, a long lag says less than a short one: beyond half a period it aliases.
        turns = request.solver == "eig" or self.windowed
        self.noise = None if turns else width / stream.n_frames
        self.rows: dict[int, np.ndarray] = {}

    def see(
        self, lag: int, total: Moments, how: tuple[str, float], solution: Solution | None = None
    ) -> None:
        """Take the timescales of one lag; ``solution`` of the request itself, if it is known.

        ``how`` is the precision of the moments, and the machine epsilon of the input.
        """
        if lag not in self.lags:
            return
        if self.windowed and self.request.settings.algebraic:
            solution = _one_way(self.request, total, *how)
        self.rows[lag] = _times(solution or self.request.solve(total, *how), lag)

    def scan(self) -> LagScan | None:
        """The lag taken, None until every lag of the grid was seen."""
        if not set(self.lags) <= set(self.rows):
            return None
        rows = np.array([self.rows[lag] for lag in self.lags])
        scan = choose_lag(self.lags, rows[:, : min(MAX_DIM, self.width)], self.noise)
        told = [scan.reason]
        if self.windowed:
            told.append(OF_WINDOWS)
        if self.request.reweights:
            told.append(UNWEIGHTED)
        return replace(scan, reason=", ".join(told))


def scan_lags(stream: FeatureStream, request: Request, lags: tuple[int, ...] = ()) -> LagScan:
    """Implied timescales over a grid of lags, and the lag taken from them.

    One reading where the moments of all lags fit into memory together.

    Parameters
    ----------
    stream : FeatureStream
    request : Request
    lags : tuple of int, optional
        In frames; the grid of :class:`LagChoice` by default.

    Examples
    --------
    >>> from scipy.signal import lfilter
    >>> x = lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal(20_000))
    >>> scan_lags(FeatureStream.from_arrays(x), Request.of("tica")).chosen
    1
    """
    request = request.for_lags()
    lift = request.lift(stream)
    function = evaluator(lift)
    width = function[0] if function else stream.n_features
    choice = LagChoice(stream, request, width, lags)
    plan = plan_blocks(
        stream.segments, choice.lags, width, n_blocks=1, window=stream.window,
        origins=stream.origins,
    )  # fmt: skip
    turns = accumulate_turns(stream, plan, limit=SCAN_BYTES, **request.how(lift, stream))
    readings = 0
    for moments, precision in turns:
        readings += 1
        for lag in moments.lags:
            choice.see(lag, moments.total(lag), (precision, moments.eps))
    scan = choice.scan()
    assert scan is not None
    return replace(scan, readings=readings)


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
