"""Which features carry a mode: correlations, their intervals, and what is called stable."""

import numpy as np
import pytest
from scipy.signal import lfilter

from koopman_cli.analysis.correlations import Tally, block_of, correlate, grouped
from koopman_cli.api import FitOptions, fit
from koopman_cli.moments import BlockMoments
from koopman_cli.report.featurebars import ranked
from koopman_cli.store import load_result, save_result


def ar1(frames, decay, seed, columns=1):
    """Independent processes that forget with a rate, unit variance."""
    noise = np.random.default_rng(seed).standard_normal((frames, columns))
    return lfilter([1], [1, -decay], noise, axis=0) * np.sqrt(1 - decay**2)


def test_cosine_and_sine_are_one_feature():
    """An angle is one feature; products, harmonics and other columns stand for themselves."""
    names = ["cos phi ALA2", "sin phi ALA2", "cos 2phi ALA2", "sin 2phi ALA2", "distance 1 5"]
    assert grouped(names) == [
        ("phi ALA2", (0, 1)),
        ("cos 2phi ALA2", (2,)),
        ("sin 2phi ALA2", (3,)),
        ("distance 1 5", (4,)),
    ]


def test_sums_over_chunks_are_the_correlations_of_numpy():
    """Fed in chunks of any size, the tally gives numpy's correlation coefficients."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 3)) + 1e4
    f = np.column_stack([x[:, 0] - 1e4, rng.standard_normal(500)])
    owner = np.arange(500) // 100
    tally = Tally(["a", "b", "c"], 2, owner, 5)
    for start in range(0, 500, 130):
        tally.add(x[start : start + 130], f[start : start + 130])
    found = tally.correlations(np.ones(5), np.eye(2))
    expected = np.corrcoef(np.column_stack([x, f]).T)[:3, 3:]
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_an_angle_correlates_wherever_it_points():
    """A function of cos(phi - c) has multiple correlation 1 with phi for every c."""
    phi = np.random.default_rng(1).uniform(-np.pi, np.pi, 4000)
    for c in (0.0, 1.0, 2.5):
        tally = Tally(["cos phi A1", "sin phi A1"], 1, np.zeros(4000, int), 1)
        tally.add(np.column_stack([np.cos(phi), np.sin(phi)]), np.cos(phi - c)[:, None])
        assert tally.correlations(np.ones(1), np.eye(1))[0, 0] == pytest.approx(1.0, abs=1e-9)


def test_the_carrier_is_first_and_stable():
    """One slow column among fast ones carries mode 1; chance correlations are called unstable."""
    x = np.hstack([ar1(30_000, 0.98, 0), ar1(30_000, 0.3, 1, 5)])
    result = fit(x, FitOptions(model="tica", lag="5", dim="1"))
    found = result.correlations
    first = ranked(found, 0)[0]
    assert found.names[first] == "x1"
    assert abs(found.values[first, 0]) > 0.99
    assert found.stable[first, 0]
    assert (found.low <= found.values).all()
    assert (found.values <= found.high).all()
    others = [i for i in range(len(found.names)) if i != first]
    assert np.abs(found.values[others, 0]).max() < 0.2
    assert "x1" in result.projection.input_names
    assert result.projection.inputs.shape == (30_000, 2)


def test_modes_that_mix_are_unstable():
    """Two processes of one speed: which of them is mode 1 is chance, and the bootstrap says so."""
    x = ar1(20_000, 0.95, 3, 2)
    found = fit(x, FitOptions(model="tica", lag="5", dim="2")).correlations
    assert not found.stable[:, 0].all()


def test_intervals_hold_the_truth():
    """x2 = (slow + noise)/sqrt 2 correlates .707 with the slow mode; its interval says so."""
    slow = ar1(40_000, 0.95, 5)
    noise = ar1(40_000, 0.0, 6)
    both = (slow + noise) / np.sqrt(2)
    found = fit(np.hstack([slow, both]), FitOptions(model="tica", lag="5", dim="1")).correlations
    i = found.names.index("x2")
    low, high = np.sort(np.abs([found.low[i, 0], found.high[i, 0]]))
    assert low - 0.01 < np.sqrt(0.5) < high + 0.01
    assert high - low < 0.1


def test_frames_find_their_block():
    """Frames go to the block that holds them, also where a block runs on through trajectories."""
    z = np.zeros((1, 3, 2, 2))
    blocks = BlockMoments(
        lags=(1,), xx=z, xy=z, yy=z, shift=np.zeros(1), scale=np.ones(1),
        is_block=np.array([True, False, True]), trajectory=np.array([0, 0, 1]),
        start=np.array([0, 90, 0]), stop=np.array([90, 100, 150]), frames=250,
    )  # fmt: skip
    wanted = [np.array([0, 50, 95]), np.array([0, 99]), np.array([10])]
    assert block_of(blocks, wanted).tolist() == [0, 0, 0, 1, 1, 1]


def test_one_block_has_no_bootstrap():
    """With a single block nothing can be re-drawn, and there is no table."""
    z = np.ones((1, 1, 2, 2))
    blocks = BlockMoments(
        lags=(1,), xx=z, xy=z, yy=z, shift=np.zeros(1), scale=np.ones(1),
        is_block=np.array([True]), trajectory=np.array([0]), start=np.array([0]),
        stop=np.array([10]), frames=10,
    )  # fmt: skip
    tally = Tally(["a"], 1, np.zeros(10, int), 1)
    tally.add(np.arange(10.0)[:, None], np.arange(10.0)[:, None])
    assert correlate(tally, blocks, None, ["mode 1"], 0) is None


def test_same_every_time_and_through_the_file(tmp_path):
    """The same input and seed give the same numbers, and the file keeps them bit for bit."""
    x = np.hstack([ar1(5000, 0.9, 0), ar1(5000, 0.5, 1, 2)])
    first, second = (fit(x, FitOptions(model="tica", lag="2", dim="2")) for _ in range(2))
    save_result(first, tmp_path / "model.h5")
    for other in (second, load_result(tmp_path / "model.h5")):
        assert other.correlations.names == first.correlations.names
        for name in ("values", "low", "high", "stable"):
            np.testing.assert_array_equal(
                getattr(other.correlations, name), getattr(first.correlations, name)
            )
        np.testing.assert_array_equal(other.projection.inputs, first.projection.inputs)


def test_figures_are_drawn_over_the_angle_that_a_mode_follows(tmp_path):
    """Of two wrapped angles and a fast column, those drawn over are the angles in radians, not
    the only column that has no cosine and sine.
    """
    rng = np.random.default_rng(0)
    slow, fast = ar1(20_000, 0.99, 1)[:, 0], ar1(20_000, 0.9, 2)[:, 0]
    phi, psi = (np.angle(np.exp(1j * (offset + 0.9 * x))) for offset, x in ((3, slow), (3, fast)))
    table = np.stack([phi, psi, rng.standard_normal(20_000)], axis=1)
    np.save(tmp_path / "angles.npy", table)
    result = fit([tmp_path / "angles.npy"], FitOptions(model="tica", lag="5", dim="2"))
    assert "cos x1" in result.model.features.names
    assert result.projection.input_names == ("x1 (rad)", "x2 (rad)")
    here = result.projection.frame
    np.testing.assert_allclose(result.projection.inputs, table[here, :2], atol=1e-12)
