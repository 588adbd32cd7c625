"""Changes of side are counted where they can be: in long runs, in short ones, in pairs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.crossings import count_crossings
from koopman_cli.features.stream import FeatureStream
from koopman_cli.types import ReadOptions

FAMILIES = {
    "tica": {},
    "vamp": {},
    "edmd": {"solve": "reversible"},
    "kedmd": {"landmarks": 100},
}


@pytest.fixture
def ensemble(tmp_path):
    """Fits pairs (particles, 2, dim) as ``--ensemble`` reads them."""

    def fitted(pairs: NDArray[np.float64], family: str):
        path = tmp_path / "pairs.npy"
        np.save(path, pairs)
        options = FitOptions(model=family, lag="1", dim="1", settings=FAMILIES[family])
        return fit([str(path)], options, read=ReadOptions(ensemble=True))

    return fitted


def relaxing(count: int, seed: int) -> NDArray[np.float64]:
    """Pairs of two independent Gaussian processes with eigenvalues .9 and .5."""
    rng = np.random.default_rng(seed)
    x, kicks = rng.standard_normal((2, count, 2))
    a = np.array([0.9, 0.5])
    return np.stack([x, a * x + np.sqrt(1 - a * a) * kicks], axis=1)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_pairs_of_a_connected_process(ensemble, family):
    """Snapshots one lag apart never go all the way, yet a slow mode of them is resolved."""
    result = ensemble(relaxing(3000, 0), family)
    first = result.modes[0]
    assert first.verdict == "resolved"
    assert first.eigenvalue.real == pytest.approx(0.9, abs=0.03)
    assert first.timescale.low < -1 / np.log(0.9) * 1.2
    assert not any("disconnected" in w for w in result.warnings)


@pytest.mark.parametrize("family", ["tica", "vamp", "edmd"])
def test_pairs_in_two_wells_that_none_leaves(ensemble, family):
    """Pairs that all stay in their well are disconnected: no timescale follows from them."""
    rng = np.random.default_rng(1)
    wells = np.repeat(rng.choice([-1.0, 1.0], 3000), 2).reshape(3000, 2, 1)
    result = ensemble(wells + 0.1 * rng.standard_normal(wells.shape), family)
    first = result.modes[0]
    assert first.verdict == "unresolved"
    assert first.timescale is None
    assert first.reason.startswith("never crossed")
    assert any("disconnected along mode 1" in w for w in result.warnings)


def counted(runs: list[NDArray[np.float64]], time: float) -> int:
    """Crossings of one function of a given timescale."""
    stream = FeatureStream.from_arrays([r[:, None] for r in runs])
    return int(count_crossings(stream, np.array([time])).counts[0])


def test_runs_shorter_than_the_timescale_count_once():
    """Short runs count by whether they pass the middle, long ones by changes of side."""
    wave = np.tile(np.repeat([1.0, -1.0], 10), 4)
    assert counted([wave], 5.0) == 7
    assert counted([wave], 80.0) == 1
    near = 0.2 * np.tile([1.0, -1.0], 40)
    near[:2], near[2:4] = 5.0, -5.0
    pairs = list(near.reshape(-1, 2))
    assert counted(pairs, 0.5) == 0
    assert counted(pairs, 3.0) == 38
