"""Wide lifts, which threads evaluate where they multiply them."""

import numpy as np
import pytest

from koopman_cli import accumulate as module
from koopman_cli.accumulate import accumulate
from koopman_cli.blas import add_gram, add_product, mirror, product
from koopman_cli.features.stream import FeatureStream
from koopman_cli.liftedtiles import LONG_TILE
from koopman_cli.triangular import LowerTriangular, divide

WIDTH = 150


def functions(x):
    """As many functions as make a lift wide."""
    return np.cos(x @ np.arange(1, 2 * WIDTH + 1).reshape(2, WIDTH) / WIDTH)


def stream(dtype=np.float64):
    """Three trajectories: of several tiles, shorter than a block, and of one tile."""
    rng = np.random.default_rng(0)
    return FeatureStream.from_arrays(
        [rng.standard_normal((n, 2)).astype(dtype) for n in (9000, 40, 700)]
    )


@pytest.mark.parametrize("lag", [1, 12, 300])
def test_threads_that_evaluate_give_the_same_moments(monkeypatch, lag):
    """Every block and boundary has the moments that it has when frames are evaluated before,
    for several trajectories, blocks of several tiles, and short ones.
    """
    lift = (WIDTH, functions)
    fast, _ = accumulate(stream(), [lag], lift=lift)
    monkeypatch.setattr(module, "suits", lambda width, lags: False)
    plain, _ = accumulate(stream(), [lag], lift=lift)
    assert fast.is_block.tolist() == plain.is_block.tolist()
    for name in ("xx", "xy", "yy"):
        a, b = getattr(fast, name), getattr(plain, name)
        assert np.abs(a - b).max() < 1e-12 * np.abs(b).max(), name


@pytest.mark.parametrize("tiles", [1, 2, 3, 4])
@pytest.mark.parametrize("tail", [1, 9, 10, 21])
def test_blocks_of_several_tiles(monkeypatch, tiles, tail):
    """A block of any number of tiles, alone, in pairs or in several pairs, has the moments of
    its frames, whatever is left over.
    """
    x = np.random.default_rng(1).standard_normal(((tiles - 1) * LONG_TILE + tail + 10, 2))
    lift = (WIDTH, functions)
    fast, _ = accumulate(FeatureStream.from_arrays(x), [10], lift=lift, n_blocks=1)
    monkeypatch.setattr(module, "suits", lambda width, lags: False)
    plain, _ = accumulate(FeatureStream.from_arrays(x), [10], lift=lift, n_blocks=1)
    for name in ("xx", "xy", "yy"):
        a, b = getattr(fast, name), getattr(plain, name)
        assert np.abs(a - b).max() < 1e-12 * np.abs(b).max(), name


def test_sums_of_single_precision_lose_nothing_more(monkeypatch):
    """Wide moments kept in float32 are as near to float64 as products in float32 are."""
    lift = (WIDTH, lambda x: functions(x).astype(np.float32))
    exact = accumulate(stream(), [5], lift=(WIDTH, functions))[0].total().covariances()
    data = stream(np.float32)
    kept, _ = accumulate(data, [5], lift=lift, precision="float32")
    assert kept.xx.dtype == np.float32
    assert kept.total().xx.dtype == np.float64
    monkeypatch.setattr(module, "suits", lambda width, lags: False)
    plain, _ = accumulate(data, [5], lift=lift, precision="float32")
    lost = [np.abs(m.total().covariances().c01 - exact.c01).max() for m in (kept, plain)]
    assert lost[0] < max(2 * lost[1], 1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_that_add(dtype):
    """Products of rows inside wider arrays are added to what is there, or replace it; a Gram
    matrix of several squares has both triangles once it is mirrored.
    """
    rng = np.random.default_rng(3)
    x, y = (rng.standard_normal((40, 300)).astype(dtype)[:, :width] for width in (290, 7))
    near = {"rtol": 0, "atol": 1e-4 if dtype == np.float32 else 1e-12}
    out = np.ones((290, 9), dtype)
    add_product(out[:, :7], x, y, factor=-2.0)
    np.testing.assert_allclose(out[:, :7], 1 - 2 * (x.T @ y), **near)
    assert (out[:, 7:] == 1).all()
    gram = np.full((290, 290), 5, dtype)
    add_gram(gram, x, keep=0.0)
    add_gram(gram, x)
    assert gram[0, -1] == 5
    mirror(gram)
    np.testing.assert_allclose(gram, 2 * (x.T @ x), **near)
    with pytest.raises(ValueError, match="contiguous"):
        add_product(out, x.astype(np.float16), y)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_triangular_product_with_rows_of_a_wider_array(dtype):
    """Rows inside a wider array are multiplied in place; what stands beside them is left."""
    rng = np.random.default_rng(1)
    lower = np.tril(rng.standard_normal((5, 5))).astype(dtype)
    whole = rng.standard_normal((7, 9)).astype(dtype)
    wanted = whole.copy()
    wanted[:, :5] = whole[:, :5] @ lower.T
    LowerTriangular(lower).times(whole[:, :5])
    assert np.allclose(whole, wanted, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-6)
    with pytest.raises(ValueError, match="contiguous"):
        LowerTriangular(lower).times(whole[:5, :5].T)


def test_landmarks_too_close_for_single_precision():
    """Float32 tiles take a kernel that must be evaluated in float64: same moments to 1e-5."""
    from koopman_cli.lifts.kernel import Basis, function, kernel_lift
    from koopman_cli.lifts.kernelfunctions import Kernel, parse_kernel

    rng = np.random.default_rng(2)
    x = rng.uniform(-1, 1, (3000, 2)).astype(np.float32)
    kernel = Kernel(parse_kernel("gaussian@0.3", ["x", "y"]))
    lift = kernel_lift(x, kernel, Basis(WIDTH, "uniform"))
    data = FeatureStream.from_arrays(x)
    width = len(lift.names)
    assert width >= 128
    chosen = function(lift, single=True)
    assert chosen(x[:1]).dtype == np.float64
    found, told = accumulate(data, [2], lift=(width, chosen), precision="float32")
    exact, _ = accumulate(data, [2], lift=(width, chosen), precision="float64")
    assert told == "float32"
    a, b = (m.total().covariances().c01 for m in (found, exact))
    assert np.abs(a - b).max() < 1e-5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_take_matrices_transposes_and_parts(dtype):
    """``product`` is ``@`` for rows, columns and parts of matrices, thin ones too, and fills a part
    of a larger matrix.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype(dtype) for shape in ((7, 5), (5, 6)))
    close = {"rtol": 1e-5 if dtype == np.float32 else 1e-12, "atol": 1e-6}

    def plain(x, y):
        """The product element by element, without any BLAS."""
        return (x[:, :, None] * y[None]).sum(axis=1)

    for x in (a, np.asfortranarray(a), a[:, 1:4], a[2:3], a[:, :1]):
        for y in (b[: x.shape[1]], np.asfortranarray(b)[: x.shape[1]], b[: x.shape[1], 2:3]):
            np.testing.assert_allclose(product(x, y), plain(x, y), **close)
            np.testing.assert_allclose(product(y.T, x.T), plain(x, y).T, **close)
    held = np.ones((9, 8), dtype)
    product(a, b, held[1:8, 1:7])
    np.testing.assert_allclose(held[1:8, 1:7], plain(a, b), **close)
    assert held.sum() == pytest.approx(plain(a, b).sum() + 72 - 42, rel=1e-4)


def test_division_by_a_triangular_matrix():
    """``divide`` undoes a product with the lower triangle, in a part of a larger matrix."""
    rng = np.random.default_rng(1)
    lower = np.tril(rng.standard_normal((6, 6))) + 4 * np.eye(6)
    held = rng.standard_normal((8, 9))
    wanted = held[1:7].copy()
    held[1:7] = lower @ wanted
    divide(held[1:7], lower)
    np.testing.assert_allclose(held[1:7], wanted, atol=1e-13)
