"""Moments: what streams in chunks, blocks and tiles equals the plain sums over pairs."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koopman_cli import window
from koopman_cli.accumulate import accumulate
from koopman_cli.blocks import plan_blocks
from koopman_cli.errors import DataError, FileError, SupportError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.models.solve import solve
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.tiles import TILE

PARTS = ("xx", "xy", "yy")
QUICK = settings(max_examples=40, deadline=None)


def noise(frames: int, d: int = 3, seed: int = 0) -> np.ndarray:
    """Correlated columns with memory and means of their own."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((frames, d)) @ rng.standard_normal((d, d))
    return x + 0.5 * np.roll(x, 1, axis=0) + np.arange(d)


def in_chunks(stream: FeatureStream, size: int) -> FeatureStream:
    """The same stream, always read in chunks of ``size`` frames."""
    return replace(stream, read=lambda i, _: stream.read(i, size))


def segmented(
    data: np.ndarray, cuts: list[int], holes: list[int] | None = None, **more: object
) -> FeatureStream:
    """One trajectory with segments between ``cuts``, ``holes`` frames missing at each cut."""
    edges = [0, *cuts, len(data)]
    segments = np.array(list(pairwise(edges)), np.int64)
    missing = np.cumsum([0, *(holes or [0] * len(cuts))])
    return replace(
        FeatureStream.from_arrays([data]),
        segments=(segments,),
        origins=(segments[:, 0] + missing,),
        **more,
    )


def plain(stream: FeatureStream, lag: int, like: BlockMoments | Moments, weight=None) -> Moments:
    """Moments of all pairs inside segments, pair by pair."""
    x, y, w = [], [], []
    for i, segments in enumerate(stream.segments):
        data = np.concatenate(list(stream.chunks(i))).astype(np.float64)
        for a, b in segments:
            x.append(data[a : max(b - lag, a)])
            y.append(data[min(a + lag, b) : b])
            w.append(None if weight is None else weight(x[-1]))
    weights = None if weight is None else np.concatenate(w)
    return Moments.of_pairs(np.concatenate(x), np.concatenate(y), weights, like.shift, like.scale)


def assert_same(a: Moments, b: Moments, tolerance: float = 1e-10) -> None:
    """Equality relative to the size of the largest sum."""
    b = b.rebased(a.shift, a.scale)
    for part in PARTS:
        left, right = getattr(a, part), getattr(b, part)
        np.testing.assert_allclose(left, right, rtol=0, atol=tolerance * np.abs(right).max())


# ------------------------------------------------------------------ chunks and tiles


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("lag", [1, 7, TILE + 1])
def test_chunks_never_change_a_result(dtype, lag):
    """Chunks of 1, lag-1, lag, lag+1 or all frames give bitwise the same moments."""
    stream = FeatureStream.from_arrays([noise(3 * TILE).astype(dtype), noise(500).astype(dtype)])
    whole, precision = accumulate(stream, [lag])
    assert precision == np.dtype(dtype).name
    for size in {1, lag - 1, lag, lag + 1, TILE, 1000} - {0}:
        found, _ = accumulate(in_chunks(stream, size), [lag])
        for part in (*PARTS, "shift", "scale"):
            np.testing.assert_array_equal(getattr(found, part), getattr(whole, part))


@QUICK
@given(
    lengths=st.lists(st.integers(2, 400), min_size=1, max_size=4),
    lags=st.lists(st.integers(1, 30), min_size=1, max_size=3, unique=True),
    size=st.integers(1, 401),
    n_blocks=st.integers(1, 30),
)
def test_fast_path_equals_plain_sums(lengths, lags, size, n_blocks):
    """One Gram matrix with edge corrections gives the sums over pairs to 1e-10, at every lag."""
    if max(lengths) <= max(lags):
        lengths = [*lengths, max(lags) + 1]
    data = [noise(n, seed=i) for i, n in enumerate(lengths)]
    stream = in_chunks(FeatureStream.from_arrays(data), size)
    found, _ = accumulate(stream, lags, n_blocks=n_blocks)
    for lag in lags:
        assert_same(found.total(lag), plain(stream, lag, found))


@QUICK
@given(
    frames=st.integers(200, 3000),
    lags=st.lists(st.integers(1, 60), min_size=2, max_size=4, unique=True),
)
def test_many_lags_at_once_equal_one_at_a_time(frames, lags):
    """Moments at each of several lags equal those of a reading for that lag alone."""
    stream = FeatureStream.from_arrays([noise(frames), noise(max(lags) // 2 + 1, seed=1)])
    together, _ = accumulate(stream, lags)
    for lag in lags:
        alone, _ = accumulate(stream, [lag])
        assert_same(together.total(lag), alone.total())


def test_tiles_of_several_thousand_frames_meet_without_a_gap():
    """A trajectory of several tiles, with a lag longer than a tile, loses and doubles no pair."""
    stream = FeatureStream.from_arrays([noise(5 * TILE + 17)])
    lags = [1, TILE - 1, TILE, TILE + 1, 2 * TILE + 3]
    found, _ = accumulate(stream, lags, n_blocks=1)
    for lag in lags:
        assert_same(found.total(lag), plain(stream, lag, found))


# ------------------------------------------------------------------ files and segments


@QUICK
@given(
    lengths=st.lists(st.integers(2, 60), min_size=2, max_size=5),
    lag=st.integers(1, 5),
    separate=st.booleans(),
)
def test_pairs_never_cross_files_or_segments(lengths, lag, separate):
    """Files (or segments) of different constants give no transition between constants."""
    lengths = [n + lag for n in lengths]
    data = [np.eye(len(lengths))[[i] * n] for i, n in enumerate(lengths)]
    if separate:
        stream = FeatureStream.from_arrays(data)
    else:
        stream = segmented(np.concatenate(data), list(np.cumsum(lengths)[:-1]))
    found, _ = accumulate(stream, [lag])
    k = len(lengths)
    crossings = found.total().projected(np.zeros(k), np.eye(k)).xy[:-1, :-1]
    np.testing.assert_allclose(crossings, np.diag([n - lag for n in lengths]), atol=1e-9)


@pytest.mark.parametrize("n_runs", [3, 1000])
def test_runs_of_two_frames(n_runs):
    """An ensemble of two-frame runs has one pair per run, in files or in segments."""
    data = noise(2 * n_runs)
    for stream in (
        FeatureStream.from_arrays(list(data.reshape(n_runs, 2, 3))),
        segmented(data, list(range(2, 2 * n_runs, 2))),
    ):
        found, _ = accumulate(stream, [1])
        assert found.total().n == n_runs
        assert min(n_runs, 40) <= found.n_blocks <= 100
        assert_same(found.total(), Moments.of_pairs(data[::2], data[1::2]))


def test_lag_one_short_of_the_length():
    """A lag one below the length leaves one pair; a longer one is refused, with the largest."""
    stream = FeatureStream.from_arrays([noise(8)])
    found, _ = accumulate(stream, [7])
    assert found.total().n == 1
    with pytest.raises(DataError, match="8 frames") as caught:
        accumulate(stream, [8])
    assert "is 7" in caught.value.hint


# ------------------------------------------------------------------ blocks


@QUICK
@given(
    lengths=st.lists(st.integers(20, 2000), min_size=1, max_size=4),
    lag=st.integers(1, 15),
    n_blocks=st.integers(2, 60),
)
def test_blocks_and_boundaries_are_everything(lengths, lag, n_blocks):
    """Blocks plus boundaries are all pairs, and each block is the sum over its own pairs."""
    data = [noise(n, seed=i) for i, n in enumerate(lengths)]
    stream = FeatureStream.from_arrays(data)
    found, _ = accumulate(stream, [lag], n_blocks=n_blocks)
    assert_same(found.total(), plain(stream, lag, found))
    rest = found.total() - found.sum_blocks(range(found.n_blocks))
    boundaries = np.flatnonzero(~found.is_block)
    np.testing.assert_allclose(rest.xx, found.xx[0, boundaries].sum(axis=0), atol=1e-7)
    if len(lengths) > n_blocks:
        return
    regions = np.flatnonzero(found.is_block)
    for block, r in enumerate(regions):
        part = data[found.trajectory[r]][found.start[r] : found.stop[r]]
        own = Moments.of_pairs(part[:-lag], part[lag:], None, found.shift, found.scale)
        assert_same(found.block(block), own)


@QUICK
@given(
    lengths=st.lists(st.integers(300, 3000), min_size=1, max_size=3),
    lag=st.integers(1, 8),
    span=st.integers(20, 4000),
)
def test_merged_block_is_the_block_cut_that_way(lengths, lag, span):
    """Merging joins blocks through their boundaries: every pair inside counts once."""
    data = [noise(n, seed=i) for i, n in enumerate(lengths)]
    fine, _ = accumulate(FeatureStream.from_arrays(data), [lag], n_blocks=40)
    merged = fine.merged(span)
    assert_same(merged.total(), fine.total())
    regions = np.flatnonzero(merged.is_block)
    for block, r in enumerate(regions):
        part = data[merged.trajectory[r]][merged.start[r] : merged.stop[r]]
        own = Moments.of_pairs(part[:-lag], part[lag:], None, merged.shift, merged.scale)
        assert_same(merged.block(block), own)
    spans = merged.stop[regions] - merged.start[regions]
    alone = np.bincount(merged.trajectory[regions])[merged.trajectory[regions]] == 1
    assert np.all((spans >= span) | alone)
    again = fine.merged_like(merged)
    np.testing.assert_array_equal(again.stop, merged.stop)
    np.testing.assert_array_equal(again.xy, merged.xy)


def test_wide_features_pool_their_boundaries():
    """With 420 columns boundaries share one region; the total is exact and blocks stay apart."""
    data = np.random.default_rng(0).standard_normal((3000, 420))
    found, _ = accumulate(FeatureStream.from_arrays([data]), [5])
    assert found.n_blocks == 20
    assert np.count_nonzero(~found.is_block) == 1
    assert_same(found.total(), Moments.of_pairs(data[:-5], data[5:]))
    assert found.merged(1000).n_blocks == 20


def test_memory_of_a_scan_of_wide_features():
    """A scan asks for one block, and gets one however wide the features and many the lags."""
    plan = plan_blocks([np.array([[0, 100_000]])], list(range(1, 13)), 2000, n_blocks=1)
    assert len(plan.is_block) <= 2


# ------------------------------------------------------------------ distance of blocks


def frames_of_blocks(stream: FeatureStream, lags: list[int], n_blocks: int) -> list[np.ndarray]:
    """(trajectory, frame as read) of all frames that count in each block.

    A row of a delay embedding counts for all frames that it reaches back to.
    """
    plan = plan_blocks(
        stream.segments,
        lags,
        stream.n_features,
        window=stream.window,
        n_blocks=n_blocks,
        origins=stream.origins,
    )
    held: dict[int, list[np.ndarray]] = {}
    for segment in plan.segments:
        for region, start, stop in segment.cuts:
            if not plan.is_block[region]:
                continue
            rows = np.arange(start, stop)
            frames = stream.frame_index(segment.trajectory, rows)
            reach = np.arange(frames[0] - stream.window, frames[-1] + 1)
            held.setdefault(region, []).append(
                np.column_stack([np.full(len(reach), segment.trajectory), reach])
            )
    return [np.concatenate(parts) for _, parts in sorted(held.items())]


def leaks(blocks: list[np.ndarray], lag: int, folds: int = 5) -> list[str]:
    """Folds whose test frames meet a training frame, or have one nearer than a lag."""
    found = []
    for fold in range(min(folds, len(blocks)) if len(blocks) > 1 else 0):
        test = np.concatenate([b for i, b in enumerate(blocks) if i % folds == fold])
        train = np.concatenate([b for i, b in enumerate(blocks) if i % folds != fold])
        for trajectory in np.unique(test[:, 0]):
            a = np.sort(train[train[:, 0] == trajectory, 1])
            b = np.unique(test[test[:, 0] == trajectory, 1])
            if not len(a):
                continue
            at = np.searchsorted(a, b)
            above = a[np.minimum(at, len(a) - 1)]
            below = a[np.maximum(at - 1, 0)]
            nearest = np.minimum(np.abs(above - b), np.abs(below - b)).min()
            if nearest <= lag:
                found.append(f"fold {fold}: {nearest} frames in trajectory {trajectory}")
    return found


@QUICK
@given(
    lengths=st.lists(st.integers(60, 1500), min_size=1, max_size=4),
    lag=st.integers(1, 12),
    window=st.integers(0, 9),
    n_blocks=st.integers(5, 60),
)
def test_training_frames_stay_a_lag_away_from_test_frames(lengths, lag, window, n_blocks):
    """No frame of a test block takes part in training; the nearest is more than a lag away."""
    stream = FeatureStream.from_arrays([noise(n) for n in lengths])
    stream = replace(stream, window=window, offsets=(window,) * len(lengths))
    blocks = frames_of_blocks(stream, [lag], n_blocks)
    assert leaks(blocks, lag) == []


@QUICK
@given(
    parts=st.lists(st.integers(4, 300), min_size=2, max_size=40),
    lag=st.integers(1, 8),
    window=st.integers(0, 3),
    n_blocks=st.integers(5, 60),
    hole=st.integers(1, 30),
)
def test_stretches_between_dropped_frames_stay_apart(parts, lag, window, n_blocks, hole):
    """Stretches a few dropped frames apart keep the same distance, and no pair is lost."""
    parts = [*parts, 200]
    holes = [hole + window] * (len(parts) - 1)
    data = noise(sum(parts))
    stream = segmented(data, list(np.cumsum(parts)[:-1]), holes, window=window)
    blocks = frames_of_blocks(stream, [lag], n_blocks)
    assert leaks(blocks, lag) == []
    found, _ = accumulate(stream, [lag], n_blocks=n_blocks)
    assert_same(found.total(), plain(stream, lag, found))
    assert_same(found.merged(150).total(), found.total())


@QUICK
@given(
    parts=st.lists(st.integers(4, 60), min_size=2, max_size=20),
    span=st.integers(1, 2000),
)
def test_broken_runs_are_merged_inside_one_trajectory(parts, span):
    """Two broken runs of different constants: no merged block holds frames of both."""
    one = segmented(noise(sum(parts)), list(np.cumsum(parts)[:-1]), [1] * (len(parts) - 1))
    stream = replace(
        FeatureStream.from_arrays([np.full((sum(parts), 1), c) for c in (0.0, 1.0)]),
        segments=one.segments * 2,
        origins=one.origins * 2,
    )
    fine, _ = accumulate(stream, [3], n_blocks=40)
    assert_same(fine.total(), plain(stream, 3, fine))
    merged = fine.merged(span)
    assert_same(merged.total(), fine.total())
    means = np.array([merged.block(b).mean_x[0] for b in range(merged.n_blocks)])
    np.testing.assert_allclose(means, merged.trajectory[merged.is_block], atol=1e-12)
    joined = fine.sum_joined(range(fine.n_blocks))
    assert joined.n <= fine.total().n


def test_a_run_with_many_dropped_frames_still_has_blocks():
    """Every 150th frame dropped leaves most of the frames in at least half as many blocks."""
    data = noise(30_000)
    cuts = list(range(150, 30_000, 150))
    stream = segmented(data, cuts, [1] * len(cuts))
    found, _ = accumulate(stream, [2])
    assert found.n_blocks >= 50
    held = found.sum_blocks(range(found.n_blocks)).n
    assert held > 0.4 * found.total().n


def test_a_long_run_among_many_short_ones_is_cut():
    """A long trajectory beside more short ones than blocks does not end up in one block."""
    runs = [noise(20_000), *(noise(20, seed=i) for i in range(150))]
    found, _ = accumulate(FeatureStream.from_arrays(runs), [2])
    sizes = [found.block(b).n for b in range(found.n_blocks)]
    assert max(sizes) < 0.05 * sum(sizes)
    assert_same(found.total(), plain(FeatureStream.from_arrays(runs), 2, found))


def test_planted_leaks_are_caught():
    """The check of distances fails on blocks that touch, overlap, or forget the delay window."""
    stream = FeatureStream.from_arrays([noise(1000)])
    blocks = frames_of_blocks(stream, [4], 20)
    assert leaks(blocks, 4) == []
    near = [np.concatenate([b, b[-1:] + np.array([0, 5])]) for b in blocks]
    assert leaks(near, 4) != []
    overlapping = [np.concatenate([b, c[:1]]) for b, c in pairwise(blocks)]
    assert leaks(overlapping, 4) != []
    windowed = replace(stream, window=30, offsets=(30,))
    forgotten = plan_blocks(windowed.segments, [4], 3, n_blocks=20, window=0)
    rows = [
        np.arange(a - 30, b)
        for a, b in zip(
            forgotten.start[forgotten.is_block], forgotten.stop[forgotten.is_block], strict=True
        )
    ]
    assert leaks([np.column_stack([np.zeros_like(r), r + 30]) for r in rows], 4) != []
    assert leaks(frames_of_blocks(windowed, [4], 20), 4) == []


# ------------------------------------------------------------------ weights


@QUICK
@given(
    lengths=st.lists(st.integers(12, 700), min_size=1, max_size=4),
    lag=st.integers(1, 10),
    size=st.integers(1, 300),
)
def test_weighted_moments_equal_weighted_pairs(lengths, lag, size):
    """Weights of the first frame of each pair, in chunks and blocks, equal direct weighting."""

    def weight(x: np.ndarray) -> np.ndarray:
        return 1 + x[:, 0] ** 2

    stream = in_chunks(
        FeatureStream.from_arrays([noise(n, seed=i) for i, n in enumerate(lengths)]), size
    )
    found, _ = accumulate(stream, [lag], weights=weight, n_blocks=20)
    assert_same(found.total(), plain(stream, lag, found, weight))
    if len(lengths) == 1:
        merged = found.merged(found.stop[found.is_block][-1])
        assert_same(merged.block(0), found.total())


# ------------------------------------------------------------------ algebra


@QUICK
@given(
    seed=st.integers(0, 1000), factor=st.sampled_from([-2.5, 0.0, 0.1, 3.0]), far=st.floats(-50, 50)
)
def test_moments_are_a_vector_space(seed, factor, far):
    """Sum, difference and multiples of moments are those of the pairs, about any shift."""
    x, y = noise(40, seed=seed), noise(40, seed=seed + 1)
    shift, scale = np.full(3, far), np.array([0.25, 1.0, 8.0])
    a = Moments.of_pairs(x[:25], y[:25])
    b = Moments.of_pairs(x[25:], y[25:], None, shift, scale)
    assert_same(a + b, Moments.of_pairs(x, y))
    assert_same(b + a, Moments.of_pairs(x, y))
    assert_same((a + b) - b, a, 1e-9)
    assert_same(factor * a, Moments.of_pairs(x[:25], y[:25], np.full(25, factor)))
    assert_same(a.rebased(shift, scale), a, 1e-9)
    np.testing.assert_allclose((a + b).mean_x, x.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(b.mean_y, y[25:].mean(axis=0), rtol=1e-9, atol=1e-9)


@QUICK
@given(seed=st.integers(0, 1000))
def test_projected_and_symmetrized_moments(seed):
    """Moments of linear functions come from moments; symmetrising is both directions at once."""
    x, y = noise(40, seed=seed), noise(40, seed=seed + 1)
    rng = np.random.default_rng(seed)
    origin, functions = rng.standard_normal(3), rng.standard_normal((3, 2))
    shift, scale = rng.standard_normal(3), np.array([0.25, 1.0, 8.0])
    m = Moments.of_pairs(x, y, None, shift, scale)
    direct = Moments.of_pairs((x - origin) @ functions, (y - origin) @ functions)
    assert_same(m.projected(origin, functions), direct)
    both = Moments.of_pairs(np.concatenate([x, y]), np.concatenate([y, x]), np.full(80, 0.5))
    assert_same(m.symmetrized(), both)
    c = m.covariances()
    np.testing.assert_allclose(
        c.c01 / np.outer(scale, scale), np.cov(x.T, y.T, bias=True)[:3, 3:], atol=1e-9
    )
    raw = m.covariances(center=False)
    np.testing.assert_allclose(raw.c01 / np.outer(scale, scale), x.T @ y / 40, atol=1e-9)


def test_projected_blocks_are_blocks_of_the_projected():
    """Projecting block moments equals accumulating the projected columns."""
    data = noise(2000)
    functions = np.random.default_rng(1).standard_normal((3, 2))
    blocks, _ = accumulate(FeatureStream.from_arrays([data]), [3, 5])
    small, _ = accumulate(FeatureStream.from_arrays([(data - 1) @ functions]), [3, 5])
    found = blocks.projected(np.ones(3), functions)
    for lag in (3, 5):
        for b in range(blocks.n_blocks):
            assert_same(found.block(b, lag), small.block(b, lag))
    assert found.at_lag(5).lags == (5,)
    assert_same(found.at_lag(5).total(), small.total(5))


def test_arrays_and_back():
    """Block moments survive being plain arrays."""
    blocks, _ = accumulate(FeatureStream.from_arrays([noise(500)]), [1, 3])
    again = BlockMoments.from_arrays(blocks.to_arrays())
    assert again.lags == blocks.lags
    assert_same(again.total(3), blocks.total(3), 0)


# ------------------------------------------------------------------ precision


def _values(data: np.ndarray, **options: object) -> tuple[np.ndarray, str]:
    blocks, precision = accumulate(FeatureStream.from_arrays([data]), [1], **options)
    return solve(blocks.total(), "reversible", eps=blocks.eps).eigenvalues.real, precision


@pytest.mark.parametrize("size", [1e200, 1e-200, 1e30, 1e-30])
def test_squares_that_overflow(size):
    """Values of 1e200 or 1e-200, whose squares no float64 holds, change no eigenvalue."""
    data = noise(2000)
    expected, _ = _values(data)
    found, _ = _values(size * data)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("size", [1e200, 1e30])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_first_frames_that_are_no_guide(size, dtype):
    """Data that grow without warning after their first frames are still summed without overflow."""
    if dtype == np.float32:
        size = min(size, 1e30)
    data = noise(4000)
    data[:1500] *= 1e-3
    data[1500:] *= size
    expected, _ = _values(data / size)
    found, precision = _values(data.astype(dtype))
    assert precision == "float64"
    np.testing.assert_allclose(found, expected, rtol=1e-5 if dtype == np.float32 else 1e-8)


@pytest.mark.parametrize("size", [1e200, 1e-200])
def test_float32_asked_for_data_it_cannot_hold(size):
    """--precision float32 on values beyond its range falls back to float64 without a warning."""
    expected, _ = _values(noise(2000))
    found, precision = _values(size * noise(2000), precision="float32")
    assert precision == "float64"
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_mean_of_a_million_in_float32():
    """float32 columns of mean 1e6 and sd 1 give the eigenvalues of the same numbers in float64."""
    data = (noise(5000) + 1e6).astype(np.float32)
    exact, _ = _values(data.astype(np.float64))
    found, _ = _values(data)
    np.testing.assert_allclose(found, exact, atol=1e-5)


def test_a_far_mean_after_the_first_frames():
    """Where the first frames are far from the mean, float32 is given up for float64."""
    data = noise(200_000)
    data[:1000, 0] -= 1e3
    data = data.astype(np.float32)
    exact, _ = _values(data.astype(np.float64))
    found, precision = _values(data)
    np.testing.assert_allclose(found, exact, atol=1e-7)
    assert precision == "float64"


@pytest.mark.parametrize(("near", "precision"), [(0.3, "float32"), (1e-3, "float64")])
def test_precision_follows_the_condition(near, precision):
    """float32 products serve up to a condition number of 1e4 and are repeated in float64 above."""
    data = noise(5000)
    data[:, 1] = data[:, 0] + near * data[:, 1]
    data = data.astype(np.float32)
    exact, _ = _values(data.astype(np.float64))
    found, used = _values(data)
    assert used == precision
    np.testing.assert_allclose(found, exact, atol=1e-5 if used == "float32" else 1e-8)


def test_non_finite_frames_are_named():
    """A NaN behind the first chunk stops with trajectory, frame and feature."""
    data = noise(3000)
    stream = FeatureStream.from_arrays([noise(100), data], names=["a", "b", "c"])
    data = np.array(data)
    data[1234, 1] = np.nan
    arrays = [noise(100), data]
    broken = replace(stream, read=lambda i, size: iter([arrays[i]]))
    with pytest.raises(DataError, match="trajectory 2: frame 1234, b is not finite"):
        accumulate(broken, [3])


@pytest.mark.parametrize("lags", [(1, 2, 9), (2, 11, 30)])
def test_blocks_planned_for_a_shorter_lag(lags):
    """Lags longer than the blocks of a plan still take every pair exactly once."""
    x = noise(600)
    stream = FeatureStream.from_arrays([x])
    plan = plan_blocks(stream.segments, lags[:1], x.shape[1], n_blocks=100)
    moments, _ = accumulate(stream, lags, plan=replace(plan, lags=tuple(lags)))
    for lag in lags:
        direct = Moments.of_pairs(x[:-lag], x[lag:], None, moments.shift, moments.scale)
        total = moments.total(lag)
        for name in ("xx", "xy", "yy"):
            np.testing.assert_allclose(getattr(total, name), getattr(direct, name), atol=1e-10)


def test_far_more_functions_than_frames_are_refused_unseen():
    """2000 columns of 50 frames: refused before matrices of 2000 x 2000 are made."""
    stream = FeatureStream.from_arrays([noise(50, 2000)])
    with pytest.raises(SupportError, match="50 frames cannot support 2000"):
        accumulate(stream, [1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("frames", [3000, 30_000])
def test_lags_of_any_length_give_the_moments_of_their_pairs(frames, dtype):
    """Lags within a tile, beyond one, and beyond half of the data: as pair by pair."""
    data = noise(frames).astype(dtype)
    stream = in_chunks(FeatureStream.from_arrays(data), 700)
    lags = [1, frames // 7, frames // 3, frames - 200]
    for several in ([lag] for lag in lags), (lags,):
        for some in several:
            moments, _ = accumulate(stream, some, precision="float64")
            for lag in some:
                assert_same(moments.total(lag), plain(stream, lag, moments))


def test_frames_between_far_apart_pairs_wait_in_a_file(monkeypatch):
    """With little memory for frames that wait, the moments are the same to the last bit."""
    data = noise(40_000)
    stream = in_chunks(FeatureStream.from_arrays(data), 700)
    owned = replace(stream, read=lambda i, size: (c.copy() for c in stream.chunks(i, size)))
    expected, _ = accumulate(owned, [15_000])
    written = []
    monkeypatch.setattr(window, "HELD_BYTES", 40_000)
    place = window._Spool.place
    monkeypatch.setattr(
        window._Spool, "place", lambda spool, size: written.append(size) or place(spool, size)
    )
    found, _ = accumulate(owned, [15_000])
    assert len(written) > 10
    for part in PARTS:
        assert np.array_equal(getattr(expected, part), getattr(found, part))


def test_a_window_forgets_and_reads_again_in_any_sizes(monkeypatch):
    """Whatever is spooled, parts are the frames asked for, and places of the file are reused."""
    frames = np.arange(400.0).reshape(-1, 1)
    monkeypatch.setattr(window, "HELD_BYTES", 200)
    view = window.Window((c.copy() for c in np.split(frames, 40)), lambda n: None)
    for at in range(0, 300, 7):
        near, far = view.parts(at, at + 9), view.parts(at + 90, at + 100, keep=at)
        assert np.concatenate(near).ravel().tolist() == list(range(at, at + 9))
        assert np.concatenate(far).ravel().tolist() == list(range(at + 90, at + 100))
    assert view.spool.end <= 15 * 80
    view.close()


def test_frames_of_one_tile_never_touch_the_disk(monkeypatch):
    """At a short lag nothing waits in a file, however wide the frames are."""
    monkeypatch.setattr(window, "HELD_BYTES", 1000)
    monkeypatch.setattr(window, "_Spool", None)
    stream = in_chunks(FeatureStream.from_arrays(noise(9000, 20)), 300)
    owned = replace(stream, read=lambda i, size: (c.copy() for c in stream.chunks(i, size)))
    moments, _ = accumulate(owned, [2])
    assert_same(moments.total(2), plain(stream, 2, moments))


def test_a_place_that_is_full_is_named(monkeypatch):
    """Where frames cannot wait on disk, the error names the place and TMPDIR."""

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(window, "HELD_BYTES", 1000)
    monkeypatch.setattr(window.os, "pwrite", full)
    stream = in_chunks(FeatureStream.from_arrays(noise(30_000)), 300)
    owned = replace(stream, read=lambda i, size: (c.copy() for c in stream.chunks(i, size)))
    with pytest.raises(FileError, match="No space left") as found:
        accumulate(owned, [12_000])
    assert "TMPDIR" in found.value.hint
