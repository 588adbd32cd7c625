"""Many lags at once, by Fourier transforms: the same moments as pair by pair."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koopman_cli import accumulate as accumulating
from koopman_cli import manylags, tiles
from koopman_cli.accumulate import accumulate
from koopman_cli.blocks import plan_blocks, pooled
from koopman_cli.features.stream import FeatureStream


def both_ways(stream, lags, plan, **options):
    """Block moments by transforms and by products."""
    found = accumulate(stream, lags, plan=plan, **options)[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manylags, "suits", lambda *_: False)
        return found, accumulate(stream, lags, plan=plan, **options)[0]


@given(
    lengths=st.lists(st.integers(80, 900), min_size=1, max_size=4),
    first=st.integers(1, 5),
    count=st.integers(24, 40),
    step=st.integers(1, 2),
    tile=st.sampled_from([64, 150, 4096]),
    join=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_moments_equal_products(lengths, first, count, step, tile, join):
    """Every block and boundary at every lag, whatever the lengths, lags and tiles: to 1e-10."""
    rng = np.random.default_rng(0)
    stream = FeatureStream.from_arrays([1e3 + rng.standard_normal((n, 3)) for n in lengths])
    lags = tuple(range(first, first + step * count, step))
    if max(lags) >= max(lengths):
        return
    assert manylags.suits(3, lags)
    plan = plan_blocks(stream.segments, lags, 3, n_blocks=4)
    plan = pooled(plan) if join else plan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TILE", tile)
        found, expected = both_ways(stream, lags, plan)
    for name in ("xx", "xy", "yy"):
        a, b = getattr(found, name), getattr(expected, name)
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10 * np.abs(b).max())


def test_float32_is_as_good_as_products():
    """Float32 input: correlations at a hundred lags to 1e-6 of those in float64."""
    rng = np.random.default_rng(1)
    data = rng.standard_normal((20_000, 8)).cumsum(axis=0) % 7
    single = FeatureStream.from_arrays(data.astype(np.float32))
    double = FeatureStream.from_arrays(data.astype(np.float32).astype(float))
    lags = tuple(range(1, 101))
    plan = plan_blocks(single.segments, lags, 8, n_blocks=5)
    rough = accumulate(single, lags, plan=plan, precision="float32")[0]
    exact = accumulate(double, lags, plan=plan)[0]
    for lag in (1, 50, 100):
        a, b = rough.total(lag), exact.total(lag)
        a = a.rebased(b.shift, b.scale).covariances().c01
        b = b.covariances()
        scale = np.sqrt(np.outer(np.diag(b.c00), np.diag(b.c11)))
        assert np.abs((a - b.c01) / scale).max() < 1e-6


def test_chunks_change_nothing(monkeypatch):
    """The size in which frames arrive leaves the sums at many lags as they are."""
    data = np.random.default_rng(2).standard_normal((3000, 2))
    lags = tuple(range(1, 31))
    stream = FeatureStream.from_arrays(data)
    plan = plan_blocks(stream.segments, lags, 2, n_blocks=3)
    whole = accumulate(stream, lags, plan=plan)[0]
    monkeypatch.setattr(FeatureStream, "chunk_frames", lambda self: 37)
    pieces = accumulate(FeatureStream.from_arrays(data), lags, plan=plan)[0]
    np.testing.assert_array_equal(whole.xy, pieces.xy)


def test_frames_that_are_not_finite_are_named():
    """A NaN spreads through a transform and is still found and named."""
    data = np.random.default_rng(3).standard_normal((3000, 2))
    data[1234, 1] = np.nan
    lags = tuple(range(1, 31))
    assert manylags.suits(2, lags)
    with pytest.raises(accumulating.DataError, match="frame 1234"):
        accumulate(FeatureStream.from_arrays(data), lags)
