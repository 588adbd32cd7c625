"""Streaming accumulation of block moments: one Gram matrix for every lag.

With S the sum of z z' over a run of frames, xx and yy of every lag are S less ``lag`` edge
frames. Each block is therefore cut into a first edge, a middle and a last edge of the
largest lag; Gram matrices of these pieces are computed once (a symmetric rank-k update)
and put together for each lag, which itself costs one product xy.

Frames pass through tiles of fixed length that start at fixed frames, so the size of the
chunks in which the data arrive never changes a result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli import manylags
from koopman_cli.blocks import BlockPlan, Segment, plan_blocks
from koopman_cli.errors import DataError, SupportError
from koopman_cli.features.stream import CHUNK_BYTES, FeatureStream
from koopman_cli.liftedtiles import LiftedRun, suits
from koopman_cli.linalg import balanced, condition, power_of_two
from koopman_cli.memory import check_moments
from koopman_cli.moments import BlockMoments
from koopman_cli.nouns import counted
from koopman_cli.sums import Sums
from koopman_cli.tiles import SegmentRun, WeightedRun, bundles
from koopman_cli.types import Progress, no_progress
from koopman_cli.window import Window
from koopman_cli.workers import Workers

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Frames of the first trajectory from which shift and scale are taken.
PILOT = 1000

#: Every so many of them are looked at.
PILOT_STEP = 4

#: More functions than this, and than there are frames, are refused unseen: whatever their rank,
#: their matrices cost more than the answer that they cannot give.
WIDE = 1000

#: Largest condition number of the correlation matrix that float32 products may have.
MAX_CONDITION_FLOAT32 = 1e4


@dataclass(frozen=True)
class Mapped:
    """What accumulation reads: a stream seen through a function of its chunks.

    width : columns that ``function`` gives; weights : optional weight of the pair that
    starts at each frame, from the raw chunk. device : where the function computes and
    products are taken, None for numpy.
    """

    stream: FeatureStream
    width: int
    function: Function | None = None
    weights: Function | None = None
    device: Any = None

    @property
    def threaded(self) -> bool:
        """Whether threads may evaluate the function: on the processor, without weights."""
        return self.function is not None and self.weights is None and self.device is None

    def chunks(self, trajectory: int, workers: Workers) -> Iterator[NDArray[Any]]:
        """Chunks of one trajectory after the function, which threads evaluate; weights travel as
        a last column.
        """
        if self.function is None and self.weights is None:
            return self.stream.chunks(trajectory)
        if self.device is not None:
            return map(self._lifted, self.stream.slices(trajectory, self.width, CHUNK_BYTES))
        return workers.ahead(self._lifted, self.stream.slices(trajectory, self.width))

    def _lifted(self, chunk: NDArray[Any]) -> NDArray[Any]:
        lifted = chunk if self.function is None else self.function(chunk)
        return lifted if self.weights is None else np.column_stack([lifted, self.weights(chunk)])


def pilot(source: Mapped) -> tuple[Matrix, Matrix]:
    """Shift and power-of-two scale from the first frames of the first trajectory.

    They only have to be near: moments are exact about any shift; a near one saves digits.
    """
    first = next(i for i, n in enumerate(source.stream.lengths) if n)
    parts: list[NDArray[Any]] = []
    for chunk in source.stream.chunks(first, PILOT):
        parts.append(chunk)
        if sum(map(len, parts)) >= PILOT:
            break
    sample = np.concatenate(parts)[:PILOT]
    # As many as are left of short data: a constant column must be seen to be constant.
    sample = sample[:: PILOT_STEP if len(sample) == PILOT else 1]
    if source.function is not None:
        sample = _host(source.function(sample))
    sample = np.asarray(sample, np.float64)
    z, unit = balanced(sample)
    shift = z.mean(axis=0) / unit if np.isfinite(sample).all() else sample[0]
    # A constant column must deviate by exactly nothing, which a rounded mean does not grant.
    shift = np.where((sample == sample[0]).all(axis=0), sample[0], shift)
    spread = np.abs(sample - shift).max(axis=0)
    return shift, power_of_two(np.where(spread > 0, spread, np.abs(sample).max(axis=0)))


def _host(values: Any) -> NDArray[Any]:
    """Values of a lift as numpy, wherever they were computed."""
    found: NDArray[Any] = values if isinstance(values, np.ndarray) else values.cpu().numpy()
    return found


def _pass(
    source: Mapped, plan: BlockPlan, base: tuple[Matrix, Matrix], dtype: Any, progress: Progress
) -> Sums:
    """One reading of the data."""
    # Overflow (also of the constants, in float32) shows in the sums and is mended there.
    with np.errstate(over="ignore", invalid="ignore"):
        return _read(source, plan, base, dtype, progress)


def _read(
    source: Mapped, plan: BlockPlan, base: tuple[Matrix, Matrix], dtype: Any, progress: Progress
) -> Sums:
    # A shift that the dtype holds exactly, so that what is subtracted is what is stored.
    shift = base[0].astype(dtype).astype(np.float64)
    wide = source.threaded and suits(source.width, plan.lags)
    sums = Sums(plan, (shift, base[1]), dtype, source.device, kept=dtype if wide else np.float64)
    by_trajectory: dict[int, list[Segment]] = {}
    for segment in plan.segments:
        by_trajectory.setdefault(segment.trajectory, []).append(segment)
    new = _kind(source, plan, wide=wide)
    with (
        progress("reading", source.stream.n_frames) as advance,
        Workers(inline=source.device is not None) as workers,
    ):
        for trajectory, segments in by_trajectory.items():
            raw = source.stream.chunks(trajectory) if wide else source.chunks(trajectory, workers)
            with closing(Window(raw, advance)) as window:
                if source.weights is not None:
                    for segment in segments:
                        WeightedRun(sums, workers, window, segment).run()
                    continue
                for bundle in bundles(segments, max(plan.lags)):
                    run = new(sums, workers, window, bundle[0])
                    run.run() if len(bundle) == 1 else run.run_short(bundle)
        workers.finish()
    sums.collect()
    sums.close()
    return sums


def _kind(source: Mapped, plan: BlockPlan, *, wide: bool) -> Callable[..., SegmentRun]:
    """How the segments are multiplied."""
    if wide and source.function is not None:
        return partial(LiftedRun, function=source.function)
    if source.device is None and manylags.suits(source.width, plan.lags):
        return manylags.ManyLagsRun
    return SegmentRun


def _check_finite(sums: Sums, source: Mapped) -> None:
    """Sums that are not finite mean a frame that is not; find and name it."""
    # Squares overflow before sums do, so every entry counts.
    if all(np.isfinite(m).all() for m in (sums.xx, sums.xy, sums.yy)):
        return
    stream = source.stream
    for i, label in enumerate(stream.labels):
        at = 0
        for chunk in stream.chunks(i):
            bad = ~np.isfinite(chunk)
            if bad.any():
                frame, column = np.argwhere(bad)[0]
                where = int(stream.frame_index(i, np.array([at + frame]))[0])
                raise DataError(
                    f"{label}: frame {where}, {stream.spec.names[column]} is not finite",
                    "add --drop-nonfinite to leave such frames out",
                )
            at += len(chunk)
    raise OverflowError


def accumulate(
    stream: FeatureStream,
    lags: Sequence[int],
    *,
    lift: tuple[int, Function] | None = None,
    weights: Function | None = None,
    plan: BlockPlan | None = None,
    n_blocks: int | None = None,
    precision: str = "auto",
    device: Any = None,
    progress: Progress = no_progress,
) -> tuple[BlockMoments, str]:
    """Block moments of a stream at one or several lags, in one reading.

    Parameters
    ----------
    stream : FeatureStream
        What to read.
    lags : sequence of int
        Lags in frames, each at least 1.
    lift : (m, function), optional
        Functions of a chunk, (n, d) -> (n, m), whose moments are wanted instead.
    weights : function, optional
        Weight of the pair starting at each frame of a chunk, (n, d) -> (n,).
    plan : BlockPlan, optional
        Blocks to use; by default about a hundred.
    n_blocks : int, optional
        Blocks aimed at when no plan is given.
    precision : {"auto", "float64", "float32"}
        "auto" multiplies float32 input in float32 while the correlation matrix has a
        condition number below 1e4, and otherwise reads again in float64.
    device : torch device, optional
        Where products are taken, in float64; None takes numpy.

    Returns
    -------
    moments : BlockMoments
    precision : str
        The precision of the products.

    Raises
    ------
    DataError
        If a frame is not finite, or no trajectory is longer than the lag.

    Examples
    --------
    >>> stream = FeatureStream.from_arrays(np.sin(np.arange(200.0)))
    >>> moments, precision = accumulate(stream, [1, 5])
    >>> moments.total(5).n, precision
    (195.0, 'float64')
    """
    width = lift[0] if lift else stream.n_features
    source = Mapped(stream, width, lift[1] if lift else None, weights, device)
    if plan is None:
        blocks = {} if n_blocks is None else {"n_blocks": n_blocks}
        plan = plan_blocks(
            stream.segments, lags, width, window=stream.window, origins=stream.origins, **blocks
        )
    if width > max(stream.n_frames, WIDE):
        raise SupportError(
            f"{counted(stream.n_frames, 'frame')} cannot support {counted(width, 'function')}",
            "take fewer features (koopman features lists them), --select fewer atoms, or more data",
        )
    check_moments(width, len(lags), len(plan.is_block), device)
    single = precision == "float32" or (
        precision == "auto" and stream.dtype == np.float32 and lift is None and weights is None
    )
    single = single and device is None
    return _passes(source, plan, progress, single=single, doubt=precision == "auto")


def _passes(
    source: Mapped, plan: BlockPlan, progress: Progress, *, single: bool, doubt: bool
) -> tuple[BlockMoments, str]:
    """One reading, and another one where the first shows that its numbers do not suffice."""
    base = pilot(source)
    try:
        sums = _pass(source, plan, base, np.float32 if single else np.float64, progress)
        _check_finite(sums, source)
    except OverflowError:
        base, single = _wide_base(source), False
        sums = _pass(source, plan, base, np.float64, progress)
    result = _result(sums, source)
    if single and doubt and not _single_suffices(result):
        sums = _pass(source, plan, base, np.float64, progress)
        return _result(sums, source), "float64"
    return result, "float32" if single else "float64"


def _wide_base(source: Mapped) -> tuple[Matrix, Matrix]:
    """Shift and scale from all frames, for data whose first frames are no guide."""
    low, high = np.full(source.width, np.inf), np.full(source.width, -np.inf)
    for i in range(len(source.stream.labels)):
        for chunk in source.stream.slices(i, source.width, CHUNK_BYTES):
            values = chunk if source.function is None else _host(source.function(chunk))
            low = np.minimum(low, values.min(axis=0))
            high = np.maximum(high, values.max(axis=0))
    return low / 2 + high / 2, power_of_two(high / 2 - low / 2)


def _result(sums: Sums, source: Mapped) -> BlockMoments:
    plan = sums.plan
    return BlockMoments(
        plan.lags,
        sums.xx,
        sums.xy,
        sums.yy,
        sums.shift,
        sums.scale,
        plan.is_block,
        plan.trajectory,
        plan.start,
        plan.stop,
        plan.frames,
        float(np.finfo(source.stream.dtype).eps),
        # Functions that are no orthonormal coordinates yet say what makes them so.
        getattr(source.function, "later", None),
    )


def _single_suffices(moments: BlockMoments) -> bool:
    # Of x alone: xy and yy have the same columns.
    xx = moments.xx[0].sum(axis=0)
    n = xx[-1, -1]
    if len(moments.scale) >= n:
        return False
    mean = xx[:-1, -1] / n
    cov = xx[:-1, :-1] / n - np.outer(mean, mean)
    sd = np.sqrt(np.maximum(np.diag(cov), 0))
    moving = sd > 0
    # Cancellation about a far shift costs digits like a bad condition number does.
    if np.any(np.abs(mean[moving]) > 10 * sd[moving]) or not moving.any():
        return False
    return condition(cov[np.ix_(moving, moving)]) < MAX_CONDITION_FLOAT32


def accumulate_turns(
    stream: FeatureStream,
    plan: BlockPlan,
    *,
    lift: tuple[int, Function] | None = None,
    limit: int,
    precision: str = "auto",
    device: Any = None,
    progress: Progress = no_progress,
) -> Iterator[tuple[BlockMoments, str]]:
    """Block moments at the lags of a plan, in as few readings as memory affords.

    Parameters
    ----------
    plan : BlockPlan
        Its lags are taken in turns, its blocks are the same in every turn.
    limit : int
        Bytes that the moments of one reading may take; at least one lag is read at once.

    Yields
    ------
    moments, precision
        As :func:`accumulate`, for the lags of one turn.
    """
    width = lift[0] if lift else stream.n_features
    size = 3 * 8 * (width + 1) ** 2 * len(plan.is_block)
    turns = -(-len(plan.lags) // max(1, limit // size))
    many = -(-len(plan.lags) // turns)
    for at in range(0, len(plan.lags), many):
        batch = plan.lags[at : at + many]
        yield accumulate(
            stream,
            batch,
            lift=lift,
            plan=replace(plan, lags=batch),
            precision=precision,
            device=device,
            progress=progress,
        )
