"""Timescales against lag: bands that cover, convergence that is or is not found."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from systems import AR1, OU, PRINZ

from koopman_cli.analysis.constancy import LagEstimate, first_constant
from koopman_cli.cli import koopman
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lagscan import scan_timescales
from koopman_cli.request import Request
from koopman_cli.timescales import TimescaleOptions, timescales

SEEDS = range(200)
ALA2 = Path(__file__).parents[1] / "sample_data" / "ala2"


def lorenz63(frames: int, dt: float, seed: int) -> np.ndarray:
    """Lorenz's three equations at the classical parameters, by Runge-Kutta, from the attractor."""

    def slope(x: np.ndarray) -> np.ndarray:
        return np.array([10 * (x[1] - x[0]), x[0] * (28 - x[2]) - x[1], x[0] * x[1] - 8 / 3 * x[2]])

    x = np.array([1.0, 1.0, 20.0]) + np.random.default_rng(seed).standard_normal(3)
    out = np.empty((frames, 3))
    for i in range(-2000, frames):
        a = slope(x)
        b = slope(x + dt / 2 * a)
        c = slope(x + dt / 2 * b)
        d = slope(x + dt * c)
        x = x + dt / 6 * (a + 2 * b + 2 * c + d)
        if i >= 0:
            out[i] = x
    return out


def coverage(arrays, request, lag, truth):
    """Share of runs whose band holds the truth, mode by mode; all bands must be reliable."""
    count = len(truth)
    inside = np.zeros(count)
    for data in arrays:
        stream = FeatureStream.from_arrays(data)
        bands = scan_timescales(stream, request, [lag], count)
        assert bands.reliable == (True,)
        inside += (bands.low[0] <= truth) & (truth <= bands.high[0])
    return inside / len(arrays)


def times(eigenvalues, lag):
    """Timescales in frames."""
    return -lag / np.log(np.abs(eigenvalues))


@pytest.mark.slow
def test_bands_cover_ar1(measured):
    """AR(1): 95% bands hold the true timescale in 88 to 99% of 200 runs."""
    truth = times(AR1.eigenvalues(5, 1), 5)
    runs = [AR1.simulate(seed, 20_000) for seed in SEEDS]
    found = coverage(runs, Request.of("tica"), 5, truth)
    measured(f"mode 1: {found[0]:.1%}", SEEDS)
    assert 0.88 <= found[0] <= 0.99


@pytest.mark.slow
def test_bands_cover_ornstein_uhlenbeck(measured):
    """Ornstein-Uhlenbeck: 95% bands hold timescales 1 and 2 in 88 to 99% of 200 runs."""
    truth = times(OU.eigenvalues(OU.lag, 2), OU.lag)
    runs = [OU.simulate(seed, 20_000) for seed in SEEDS]
    found = coverage(runs, Request.of("edmd", {"degree": "3"}), OU.lag, truth)
    measured(", ".join(f"mode {i + 1}: {x:.1%}" for i, x in enumerate(found)), SEEDS)
    assert np.all((found >= 0.88) & (found <= 0.99))


@pytest.mark.slow
def test_bands_cover_prinz(measured):
    """Prinz, 20 Gaussians: 95% bands hold timescales 1 to 3 in 88 to 99% of 200 runs."""
    truth = times(PRINZ.eigenvalues(PRINZ.lag, 3), PRINZ.lag)
    runs = [PRINZ.simulate(seed, 10_000, walkers=20) for seed in SEEDS]
    request = Request.of("edmd", {"basis": "gaussians", "centers": "20"})
    found = coverage(runs, request, PRINZ.lag, truth)
    measured(", ".join(f"mode {i + 1}: {x:.1%}" for i, x in enumerate(found)), SEEDS)
    assert np.all((found >= 0.88) & (found <= 0.99))


# ------------------------------------------------------------------ convergence


def test_lorenz_is_not_converged():
    """Lorenz 63: the timescale of TICA falls with the lag (1.4, .7, .4), so none is constant."""
    stream = FeatureStream.from_arrays(lorenz63(40_000, 0.01, 0))
    bands = scan_timescales(stream, Request.of("tica"), [5, 10, 20, 40], 1)
    np.testing.assert_allclose(bands.times[:3, 0] * 0.01, [1.4, 0.7, 0.4], rtol=0.15)
    assert bands.converged is None
    assert bands.reason.startswith("not converged")


def test_a_timescale_that_stays_is_constant():
    """AR(1): constant from the first lag, and every lag from one reading."""
    stream = FeatureStream.from_arrays(AR1.simulate(0, 20_000))
    bands = scan_timescales(stream, Request.of("tica"), range(1, 41), 1)
    assert (bands.converged, bands.readings) == (0, 1)
    assert np.all(bands.low <= bands.times)
    assert np.all(bands.times <= bands.high)


@pytest.mark.parametrize(
    ("system", "request_", "lags", "count"),
    [
        (OU, Request.of("edmd", {"degree": "3"}), range(1, 21), 2),
        (PRINZ, Request.of("edmd", {"basis": "gaussians", "centers": "20"}), range(1, 13), 3),
    ],
    ids=["ou", "prinz"],
)
def test_systems_with_good_functions_are_constant(system, request_, lags, count):
    """OU and Prinz in functions that hold their modes: constant from the first lag."""
    arrays = system.simulate(0, 10_000, **({"walkers": 20} if system is PRINZ else {}))
    bands = scan_timescales(FeatureStream.from_arrays(arrays), request_, lags, count)
    assert bands.converged == 0


def test_slow_rise_is_not_constant():
    """Alanine dipeptide, four torsion columns: t rises from 30 to 80 ps, constant after 40 ps."""
    runs = [str(ALA2 / f"run{i}.h5") for i in (1, 2)]
    bands = timescales(runs, TimescaleOptions(tuple(map(str, range(1, 41))), features="torsions"))
    rise = bands.times[:20, 0] * 5.0
    assert rise[0] < 35 < 80 < rise[-1]
    assert bands.converged is not None
    assert bands.lags[bands.converged].value > 40


def estimates(lags, times, own, common=0.1):
    """Estimates at lags whose blocks share most of their noise and add some of their own."""
    rng = np.random.default_rng(0)
    shared = common / np.sqrt(40) * rng.standard_normal((40, 1))
    return [
        LagEstimate(
            lag,
            np.array([t]),
            shared + own / np.sqrt(40) * rng.standard_normal((40, 1)),
            1.0,
            100_000,
            reliable=True,
        )
        for lag, t in zip(lags, times, strict=True)
    ]


def test_differences_are_judged_by_their_own_error():
    """A rise of 6% under bands of 10% is a rise where the noise is common, none where it is not."""
    lags, rise = [1, 2, 4, 8, 16], [50.0, 53.0, 53.1, 53.0, 53.1]
    assert first_constant(estimates(lags, rise, own=0.01))[0] == 1
    assert first_constant(estimates(lags, rise, own=0.1))[0] == 0


def test_constancy_needs_the_double_of_a_lag():
    """Where the scan ends before twice the lag, nothing is called constant."""
    assert first_constant(estimates([10, 15, 19], [50.0] * 3, 0.05))[0] is None
    assert first_constant(estimates([10, 15, 20], [50.0] * 3, 0.05))[0] == 0


def test_scan_equals_single_fits():
    """Every timescale of a scan equals that of a fit at this lag alone, to 1e-8."""
    stream = FeatureStream.from_arrays(OU.simulate(1, 5000))
    request = Request.of("edmd", {"degree": "3"})
    together = scan_timescales(stream, request, [1, 3, 7], 2)
    for i, lag in enumerate([1, 3, 7]):
        alone = scan_timescales(stream, request, [lag], 2)
        np.testing.assert_allclose(together.times[i], alone.times[0], rtol=1e-8)


def test_nothing_but_a_path(tmp_path, monkeypatch):
    """With a path alone: a log grid of lags up to a fiftieth, in a directory of its own."""
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "x.npy", AR1.simulate(2, 5000)[0])
    told = CliRunner().invoke(koopman, ["timescales", "x.npy", "--json"], standalone_mode=False)
    lags = [row["lag"]["frames"] for row in json.loads(told.stdout)["lags"]]
    assert lags == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96]
    assert (tmp_path / "x-timescales.koopman" / "timescales.csv").exists()


def test_what_the_table_leaves_out_is_said(tmp_path):
    """Rows left out are counted, and modes with a common interval are named: print, csv, JSON."""
    noise = np.random.default_rng(0).standard_normal((3000, 2))
    np.save(tmp_path / "x.npy", np.cumsum(noise, axis=0) % 50)
    args = ["timescales", str(tmp_path / "x.npy"), "--lag", "1:60", "-o", str(tmp_path / "t")]
    printed = CliRunner().invoke(koopman, args, standalone_mode=False).stdout
    assert "Every 3rd of 60 lags is shown" in printed
    told = json.loads((tmp_path / "t" / "timescales.json").read_text())["lags"]
    shared = [row for row in told if [1, 2] in row["together"]]
    assert shared
    assert "cannot be told apart" in printed
    for row in shared:
        first, second = row["timescales"][:2]
        assert (first["low"], first["high"]) == (second["low"], second["high"])
    rows = list(csv.DictReader((tmp_path / "t" / "timescales.csv").read_text().splitlines()))
    assert sum(row["together"] == "1+2" for row in rows) == 2 * len(shared)


def test_command_writes_csv_json_and_figure(tmp_path):
    """The csv holds the numbers of the JSON, with units; a second run needs --force."""
    np.save(tmp_path / "x.npy", AR1.simulate(2, 5000)[0])
    args = ["timescales", str(tmp_path / "x.npy"), "--lag", "1,2,4", "--dt", "2ps", "--count", "1"]
    args += ["--json", "-o", str(tmp_path / "t")]
    told = json.loads(CliRunner().invoke(koopman, args, standalone_mode=False).stdout)
    rows = list(csv.DictReader((tmp_path / "t" / "timescales.csv").read_text().splitlines()))
    assert [float(r["timescale"]) for r in rows] == [
        row["timescales"][0]["value"] for row in told["lags"]
    ]
    assert [row["lag"] for row in told["lags"]] == [
        {"frames": n, "value": 2.0 * n, "unit": "ps"} for n in (1, 2, 4)
    ]
    assert (tmp_path / "t" / "timescales.png").read_bytes().startswith(b"\x89PNG")
    assert CliRunner().invoke(koopman, args, standalone_mode=False).exception.code == 2
