"""Timescales against lag: bands that cover, convergence that is or is not found."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from cli_support import SAMPLES, done, relaxing, run, two_lines
from click.testing import CliRunner
from scipy.signal import lfilter
from systems import AR1, OU, PRINZ

from koopman_cli.analysis.constancy import LagEstimate, first_constant
from koopman_cli.api import FitOptions, fit
from koopman_cli.cli import koopman
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lagscan import scan_timescales
from koopman_cli.report.timescales import bands_figure
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


def ornstein_uhlenbeck(time: float, frames: int, rng: np.random.Generator) -> np.ndarray:
    """A stationary path of unit variance with this correlation time in frames."""
    keep, rest = np.exp(-1 / time), int(20 * time)
    noise = rng.standard_normal(frames + rest)
    return lfilter([np.sqrt(1 - keep**2)], [1, -keep], noise)[rest:]


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


def test_a_slower_process_carried_weakly_is_said():
    """A fast process (5 frames) plus 0.3 of a slow one (200): the rise at long lags is told."""
    rng = np.random.default_rng(0)
    fast, slow = (ornstein_uhlenbeck(t, 100_000, rng) for t in (5, 200))
    bands = timescales(fast + 0.3 * slow, TimescaleOptions(model="tica", count=1))
    assert bands.converged is None
    assert bands.reason.startswith("not converged: constant from lag 2 to 4 frames")
    assert "slower process" in bands.reason


@pytest.mark.parametrize("seed", range(3))
def test_noise_of_many_features_is_no_slower_process(seed):
    """Thirty columns of known timescales (at most 40): constant from lag 1 or 2, whatever the
    noise at lags at which nothing is left.
    """
    rng = np.random.default_rng(seed)
    known = [40.0, *(3 + 0.5 * k for k in range(29))]
    data = np.stack([ornstein_uhlenbeck(t, 20_000, rng) for t in known], axis=1)
    bands = timescales(data, TimescaleOptions(model="tica"))
    assert bands.converged is not None
    assert bands.lags[bands.converged].frames <= 2


@pytest.mark.slow
def test_constancy_raises_no_false_alarm(measured):
    """AR(1), OU and Prinz on the automatic grid: constant from lag 1 or 2 in 18 of 20 runs."""
    cases = {
        "ar1": (lambda s: AR1.simulate(s, 20_000), TimescaleOptions(model="tica")),
        "ou": (
            lambda s: OU.simulate(s, 20_000),
            TimescaleOptions(model="edmd", settings={"degree": "3"}),
        ),
        "prinz": (
            lambda s: PRINZ.simulate(s, 10_000, walkers=20),
            TimescaleOptions(model="edmd", settings={"basis": "gaussians", "centers": "20"}),
        ),
    }
    good = {}
    for name, (simulate, options) in cases.items():
        found = [
            timescales(FeatureStream.from_arrays(simulate(seed)), options) for seed in range(20)
        ]
        good[name] = sum(b.converged is not None and b.lags[b.converged].frames <= 2 for b in found)
    measured(", ".join(f"{name}: {count} of 20" for name, count in good.items()), range(20))
    assert min(good.values()) >= 18


def test_a_random_walk_has_no_known_constancy():
    """A random walk: its timescale is as long as the data, so nothing is called constant."""
    walk = np.random.default_rng(1).standard_normal(20_000).cumsum()
    bands = timescales(walk, TimescaleOptions(count=1))
    assert not any(bands.reliable)
    assert bands.converged is None
    assert bands.reason.startswith("not known: the data hold the slowest timescale at lag 1")


def test_estimates_of_other_blocks_count_as_independent():
    """Errors of lags with other blocks add up: what was a rise on the same blocks is none."""
    lags, rise = [1, 2, 4, 8, 16], [50.0, 53.0, 53.1, 53.0, 53.1]
    paired = estimates(lags, rise, own=0.01)
    assert first_constant(paired)[0] == 1
    half = replace(paired[0], influence=paired[0].influence.reshape(20, 2, 1).sum(axis=1))
    assert first_constant([half, *paired[1:]])[0] == 0


# ------------------------------------------------------------------ lifts of their own per lag


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("dmd", {}),
        ("optdmd", {}),
        ("edmd", {"basis": "gaussians", "centers": "10"}),
        ("msm", {"clusters": "30", "input": "slow"}),
    ],
    ids=["dmd", "optdmd", "edmd", "msm"],
)
def test_every_family_is_followed_along_the_lag(model, settings):
    """A family whose lift is learned, at every lag or once: the same blocks at all lags, and the
    known timescale of 30 frames within 40%, constant from an early lag.
    """
    rng = np.random.default_rng(3)
    data = np.stack([ornstein_uhlenbeck(t, 8000, rng) for t in (30, 8)], axis=1)
    bands = timescales(data, TimescaleOptions(model=model, settings=settings, count=2))
    at_six = [lag.frames for lag in bands.lags].index(6)
    assert abs(bands.times[at_six, 0] / 30 - 1) < 0.4
    assert bands.converged is not None
    assert bands.lags[bands.converged].frames <= 12
    assert any("refined" in warning for warning in bands.warnings) == (model == "optdmd")


def test_timescales_of_a_wake(tmp_path, monkeypatch):
    """A field: oscillations that do not decay in 151 snapshots have no known timescale."""
    monkeypatch.chdir(tmp_path)
    told = done("timescales", SAMPLES / "wake" / "wake.npz", "--json").json
    assert (told["model"], [row["lag"]["frames"] for row in told["lags"]]) == ("dmd", [1, 2, 3])
    assert not any(any(row["timescales"]) for row in told["lags"])
    assert told["converged"]["lag"] is None
    assert told["converged"]["reason"].startswith("not known")


def wave_and_standing(frames=400):
    """A steady field, a travelling wave that is sustained and a standing one that decays."""
    t, x, y = 0.25 * np.arange(frames), np.linspace(0, 10, 48), np.linspace(0, 4, 24)
    when, across, along = t[:, None, None], x[None, :, None], y[None, None, :]
    field = np.cos(2 * np.pi * (across / 5 - when / 7.3)) * np.sin(np.pi * along / 4)
    decaying = 1.5 * np.exp(-0.02 * when) * np.cos(2 * np.pi * when / 2.9)
    field += 0.4 + decaying * np.sin(0.2 * np.pi * across) * np.sin(0.5 * np.pi * along)
    field += 0.2 * np.random.default_rng(123).standard_normal(field.shape)
    return {"f": field, "x": x, "y": y, "t": t}


def test_what_a_fit_gives_no_timescale_a_scan_gives_none(tmp_path, monkeypatch):
    """Steady parts and sustained waves have a dash and a reason at every lag, as in a fit; what
    decays has the timescale of the fit.
    """
    monkeypatch.chdir(tmp_path)
    np.savez("waves.npz", **wave_and_standing())
    fitted = done("fit", "waves.npz", "--set", "delays=4", "--out", "RUN", "--json").json
    (own,) = {m["timescale"]["value"] for m in fitted["modes"] if m["timescale"] is not None}
    told = done("timescales", "RUN", "--json").json
    for row in told["lags"]:
        first, second, third = row["timescales"]
        assert first["value"] == second["value"] == pytest.approx(own, rel=0.05)
        assert third is None
    (note,) = told["notes"]
    assert "steady part of the flow (lag 1, 2" in note
    assert "sustained oscillation (lag 1, 2" in note


def rotating(frames, rng):
    """An Ornstein-Uhlenbeck process that rotates while it decays: not symmetric in time."""
    keep = 0.97 * np.exp(0.2j)
    noise = rng.standard_normal((frames, 2)) @ [1, 1j]
    z = lfilter([1], [1, -keep], noise)
    return np.stack([z.real, z.imag], axis=1)


def test_a_reversible_scan_of_what_rotates_says_so():
    """The scan of rotating data by tica warns as a fit does; that of reversible data does not."""
    data = {
        "rotating": rotating(20_000, np.random.default_rng(0)),
        "reversible": np.stack(
            [ornstein_uhlenbeck(t, 20_000, np.random.default_rng(t)) for t in (5, 30)], axis=1
        ),
    }
    for name, x in data.items():
        said = timescales(x, TimescaleOptions(model="tica", count=2)).warnings
        found = any("not symmetric in time" in warning for warning in said)
        assert found == (name == "rotating")


def test_a_rise_that_the_error_hides_is_told():
    """Constant within a large error is said to be no proof; within a small one nothing is added."""
    long, short = (
        timescales(
            ornstein_uhlenbeck(40, frames, np.random.default_rng(1)),
            TimescaleOptions(("30", "60"), model="tica", count=1),
        )
        for frames in (400_000, 7000)
    )
    assert long.converged == short.converged == 0
    assert "would not be told" not in long.reason
    assert "a rise of the first by up to" in short.reason


def test_members_of_a_few_frames_have_lags_that_fit_them():
    """400 members of 11 frames are scanned up to 4 frames and show when they are constant; one
    lag alone is said to show nothing.
    """
    rng = np.random.default_rng(2)
    members = [ornstein_uhlenbeck(8, 11, rng)[:, None] for _ in range(400)]
    bands = timescales(members, TimescaleOptions(model="tica", count=1))
    assert [lag.frames for lag in bands.lags] == [1, 2, 3, 4]
    assert bands.converged == 0
    (alone,) = {timescales(members, TimescaleOptions(("2",), model="tica")).reason}
    assert alone.startswith("not known: one lag")


def test_labels_of_a_short_axis_do_not_run_into_each_other():
    """Numbers along a lag axis of less than a decade stand apart, and there are two at least."""
    x = ornstein_uhlenbeck(20, 5000, np.random.default_rng(1))
    options = TimescaleOptions(("3", "4", "6", "8", "12", "16"), model="tica", count=1)
    figure = bands_figure(timescales(x, options))
    figure.canvas.draw()
    (axes,) = figure.axes
    shown = [t for t in axes.get_xticklabels(which="both") if t.get_text()]
    boxes = sorted((b.x0, b.x1) for b in (t.get_window_extent() for t in shown))
    assert len(boxes) >= 2
    assert all(left[1] < right[0] for left, right in pairwise(boxes))


def test_timescales_of_a_run_from_elsewhere(tmp_path, monkeypatch):
    """A dmd RUN fitted to a relative path is followed from another directory, like from its own."""
    data, other = tmp_path / "data", tmp_path / "other"
    data.mkdir()
    other.mkdir()
    monkeypatch.chdir(data)
    np.save("x.npy", relaxing(2000))
    done("fit", "x.npy", "--model", "dmd", "--lag", 2, "--out", "run", "--quiet")
    near = done("timescales", "run", "--lag", "1,2,4", "--json").json
    monkeypatch.chdir(other)
    far = done("timescales", data / "run", "--lag", "1,2,4", "--json", "--force").json
    assert near == far
    assert (data / "run" / "timescales" / "timescales.csv").exists()
    assert near["lags"][0]["timescales"][0]["value"] == pytest.approx(-1 / np.log(0.95), rel=0.3)


# ------------------------------------------------------------------ what is no timescale


def wave(frames: int, drift: float = 0.2) -> np.ndarray:
    """A rotation whose phase diffuses, seen as cosine and sine with noise: irreversible."""
    rng = np.random.default_rng(1)
    phase = np.cumsum(drift + 0.1 * rng.standard_normal(frames))
    noise = 0.1 * rng.standard_normal((frames, 2))
    return np.stack([np.cos(phase), np.sin(phase)], axis=1) + noise


def test_coherences_of_irreversible_data_are_no_timescales(tmp_path):
    """VAMP on a rotation: exit 4 and the way to eigenvalues, which have timescales."""
    np.save(tmp_path / "wave.npy", wave(20_000))
    for lags in ("1,2,4", "auto"):
        args = ["timescales", tmp_path / "wave.npy", "--lag", lags, "-o", tmp_path / "t"]
        refused = run(*args, "--model", "vamp")
        assert refused.code == 4
        error, hint = two_lines(refused)
        assert "not symmetric in time are coherences, no timescales" in error
        assert "--model edmd --set solve=eig" in hint
    done(*args, "--model", "edmd", "--set", "solve=eig")
    done(*args, "--model", "dmd", "--force")


def test_lags_with_coherences_are_named():
    """At whole periods a rotation looks symmetric in time; the lag at which it does not is said."""
    data = wave(40_000, drift=2 * np.pi / 32)
    bands = timescales(data, TimescaleOptions(("1", "32", "64", "96"), model="vamp"))
    assert np.isnan(bands.times[0]).all()
    assert np.isfinite(bands.times[1:, 0]).all()
    assert any(w.startswith("lag 1 frame: singular values") for w in bands.warnings)


def test_values_below_their_lag_are_marked(tmp_path):
    """In print a timescale shorter than its lag stands in parentheses, and only such a one."""
    np.save(tmp_path / "x.npy", ornstein_uhlenbeck(6, 20_000, np.random.default_rng(0)))
    args = ["timescales", tmp_path / "x.npy", "--lag", "1,12", "--count", "1", "-o", tmp_path / "t"]
    printed = done(*args).out
    first, second = (
        next(line for line in printed.splitlines() if line.startswith(f"{lag} frame"))
        for lag in (1, 12)
    )
    assert "(" not in first
    assert "(" in second
    assert "In parentheses: shorter than the lag" in printed
    assert "In parentheses" not in done(*args[:3], "1,2", *args[4:], "--force").out


def drifting(frames=4000):
    """A relaxing column beside noise whose mean rises by six standard deviations of the noise."""
    made = relaxing(frames, memory=(0.95, 0.5))
    made[:, 1] += np.linspace(0, 6, frames)
    return made


def test_trends_are_named_as_by_a_fit():
    """A column that drifts and the mode it makes are warnings of a scan, in the words of a fit."""
    data = drifting()
    bands = timescales(data, TimescaleOptions(("1", "2", "4")))
    fitted = fit(data, FitOptions(lag="1", model="tica"))
    (said,) = (w for w in fitted.warnings if "the mean of x2 drifts by" in w)
    assert said in bands.warnings
    reasons = [mode.reason for mode in fitted.modes if "a trend, not a mode" in mode.reason]
    assert any(w == f"mode 2 at lag 1: {reasons[0]}" for w in bands.warnings)


def test_steady_data_have_no_trend():
    """Eight seeds of stationary columns: no scan names a drift, a trend or a transient."""
    for seed in range(8):
        data = relaxing(4000, seed=seed, memory=(0.95, 0.5))
        bands = timescales(data, TimescaleOptions())
        assert not [w for w in bands.warnings if "drift" in w or "trend" in w or "transient" in w]
