"""Changes of side are counted where they can be: in long runs, in short ones, in pairs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from cli_support import process
from numpy.typing import NDArray
from systems import AR1, DOUBLE_WELL, PRINZ, QUADRUPLE_WELL, ar1

from koopman_cli import FitOptions, fit
from koopman_cli.analysis.crossings import count_crossings, runs
from koopman_cli.analysis.sojourns import variation
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


def wave(rng: np.random.Generator, up: float, down: float, scatter: float = 0.0):
    """20,000 frames that change between two levels after ``up`` and ``down`` frames, and noise."""
    count = int(40_000 / (up + down)) + 2
    lengths = np.tile([up, down], count) * (1 + scatter * rng.standard_normal(2 * count))
    levels = np.repeat(np.tile([1.0, -1.0], count), np.maximum(lengths, 1).astype(int))
    noisy = levels[:20_000] + 0.3 * rng.standard_normal(20_000)
    return np.column_stack([noisy, rng.standard_normal(20_000)])


@pytest.mark.parametrize("family", ["tica", "vamp"])
@pytest.mark.parametrize("lag", ["auto", "5"])
@pytest.mark.parametrize(
    ("up", "down", "scatter", "interval"),
    [(300, 300, 0.0, "300"), (300, 300, 0.2, "3"), (100, 100, 0.0, "100"), (120, 480, 0.0, "1")],
)
def test_a_square_wave_is_a_period(family, lag, up, down, scatter, interval):
    """Two levels that take turns like a clock, to a fifth, are no slow mode, whatever the lag."""
    x = wave(np.random.default_rng(0), up, down, scatter)
    first = fit(x, FitOptions(model=family, lag=lag, dim="1")).modes[0]
    assert first.verdict == "unresolved"
    assert first.timescale is None
    assert first.reason.startswith(f"changes sides at regular intervals of {interval}")
    assert first.reason.endswith("frames: a period, not a relaxation")


def test_the_interval_of_a_wave_is_told_in_time(tmp_path):
    """With a time step of 2 ps jumps every 300 frames come every 600 ps."""
    path = tmp_path / "wave.npy"
    np.save(path, wave(np.random.default_rng(1), 300, 300))
    options = FitOptions(model="tica", lag="auto", dim="1")
    first = fit([str(path)], options, read=ReadOptions(dt="2ps")).modes[0]
    assert "intervals of 600 ps" in first.reason


def test_random_jumps_are_a_relaxation():
    """The same two levels with memoryless jumps of the same mean are resolved."""
    rng = np.random.default_rng(2)
    sides = np.where(np.cumsum(rng.random(20_000) < 1 / 300) % 2, 1.0, -1.0)
    x = np.column_stack([sides + 0.3 * rng.standard_normal(20_000), rng.standard_normal(20_000)])
    first = fit(x, FitOptions(model="tica", lag="auto", dim="1")).modes[0]
    assert first.verdict == "resolved"
    assert first.timescale.value > 50


def spread(runs: list[NDArray[np.float64]]) -> tuple[float, int]:
    """Variation of the sojourns of the first column of some runs, and how many there were."""
    mean = np.concatenate(runs)[:, 0].mean()
    found = count_crossings(FeatureStream.from_arrays([r[:, :1] - mean for r in runs]))
    return float(variation(found.sojourns)[0]), int(found.sojourns[:, 0, 0].sum())


def test_sojourns_of_a_gaussian_process_scatter():
    """In 2000 runs of 30 timescales, of which most hold ten sojourns, none looks like a clock."""
    runs = [ar1(100).simulate(seed, 3000) for seed in range(2000)]
    found = np.array([spread(run) for run in runs])
    enough = np.isfinite(found[:, 0])
    assert enough.sum() > 1000
    assert found[enough, 1].min() >= 10
    assert found[enough, 0].min() > 0.3


@pytest.mark.slow
@pytest.mark.parametrize("system", [DOUBLE_WELL, PRINZ, QUADRUPLE_WELL], ids=lambda s: s.name)
def test_sojourns_in_wells_scatter(system):
    """Twenty runs in two or four wells: their sojourns scatter by more than half their mean."""
    found = [spread(system.simulate(seed, 20_000, walkers=10)) for seed in range(20)]
    assert min(variation for variation, _ in found) > 0.5


def test_a_sojourn_ends_where_frames_are_missing():
    """Sojourns are counted between two changes of side of one run, whatever the chunks."""
    steps = np.repeat(np.tile([1.0, -1.0], 6), [7, *[50] * 10, 9])[:, None]
    stream = FeatureStream.from_arrays([steps, steps])
    sums = count_crossings(stream).sojourns[:, 0]
    np.testing.assert_array_equal(sums, [[10, 500, 25_000], [10, 500, 25_000]])


def test_files_of_two_wells_are_named_on_the_command_line(tmp_path):
    """A file per well: the sets are named, no mode gets a timescale; exit 0, 4 with --strict."""
    rng = np.random.default_rng(0)
    for name, middle in (("left", -3), ("right", 3)):
        np.save(tmp_path / f"{name}.npy", middle + 0.3 * rng.standard_normal((3000, 1)))
    paths = [tmp_path / "left.npy", tmp_path / "right.npy"]
    asked = ("fit", *paths, "--lag", 5, "--force", "-o", tmp_path / "o.koopman")
    plain, strict = process(*asked), process(*asked, "--strict")
    assert (plain.code, strict.code) == (0, 4), (plain, strict)
    assert "left.npy} and {" in plain.out
    assert "right.npy} never meet; no timescale follows" in plain.out
    summary = json.loads((tmp_path / "o.koopman" / "summary.json").read_text())
    assert [mode["timescale"] for mode in summary["modes"]] == [None] * len(summary["modes"])
    assert summary["modes"][0]["reason"].startswith("never crossed")


@pytest.mark.parametrize(
    "more", [(), ("--features", "delays:2:2", "--model", "tica")], ids=["plain", "delays"]
)
def test_members_of_two_wells_are_named_on_the_command_line(tmp_path, more):
    """An ensemble in two wells that no member leaves: its members are named; exit 0, and 4 with
    --strict, which tells the disconnection before what follows from it.
    """
    middle = np.array([-6, 6, -6, -6, 6, -6])[:, None, None]
    wells = middle + np.stack([AR1.simulate(seed, 2000)[0] for seed in range(6)])
    path = tmp_path / "wells.npy"
    np.save(path, wells)
    out = tmp_path / "o.koopman"
    asked = ("fit", path, "--ensemble", *more, "--lag", 5, "--force", "-o", out)
    plain, strict = process(*asked), process(*asked, "--strict")
    assert (plain.code, strict.code) == (0, 4), (plain, strict)
    left, right = f"{{members 1, 3, 4 and 1 more of {path}}}", f"{{members 2, 5 of {path}}}"
    told = f"the data are disconnected along mode 1: {left} and {right} never meet"
    assert f"Warning: {told}" in plain.out
    assert strict.err.startswith(f"Error: --strict: {told}")
    summary = json.loads((out / "summary.json").read_text())
    assert len(summary["warnings"]) > 1
    assert summary["warnings"][0].startswith(told)
    assert summary["modes"][0]["timescale"] is None


def test_members_are_runs_and_stretches_between_dropped_frames_are_not():
    """Stretches with nothing missing between them are runs, also where a window took their first
    frames; those between dropped frames are parts of one.
    """
    stream = FeatureStream.from_arrays(np.arange(30.0)[:, None])
    cut = np.array([[0, 10], [10, 20], [20, 30]])
    members = replace(stream, segments=(cut,), origins=(np.array([0, 10, 20]),))
    assert runs(members) == [[0, 10, 20]]
    delayed = replace(stream, segments=(cut,), origins=(np.array([2, 14, 26]),), window=2)
    assert runs(delayed) == [[0, 10, 20]]
    dropped = replace(stream, segments=(cut,), origins=(np.array([0, 14, 26]),))
    assert runs(dropped) == [[0]]
    sides = count_crossings(
        replace(members, read=lambda i, n: iter([np.sign(np.arange(30) - 9.5)[:, None]]))
    ).sides
    assert sides[:, 0].tolist() == [-1, 1, 1]
