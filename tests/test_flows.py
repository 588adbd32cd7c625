"""Flows: known frequencies come out, noise does not damp them, and what is no mode is not shown."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from cli_support import run as typed

from koopman_cli.analysis.flows import Findings, flow_modes, left_over
from koopman_cli.analysis.spectrum import Context
from koopman_cli.api import FitOptions, fit
from koopman_cli.coordinates import transform
from koopman_cli.forecast import forecast, reconstruction
from koopman_cli.geometry import scatter
from koopman_cli.report.run import open_run, write_run
from koopman_cli.report.words import help_section, summary_sentences
from koopman_cli.types import Lag, Mode, Quantity, ReadOptions

SAMPLES = Path(__file__).parents[1] / "sample_data"
WAKE = SAMPLES / "wake" / "wake.npz"
SST = SAMPLES / "enso" / "sst.nc"
STROUHAL = (0.17905, 0.3581, 0.5372)


def run(source, read=None, **options):
    """A fit with the settings of a family given by name."""
    known = {k: options.pop(k) for k in ("model", "lag", "folds", "features") if k in options}
    known.setdefault("folds", 0)
    return fit(source, FitOptions(settings=options, **known), read=read)


def apart(a, b):
    """Largest distance between two sets of eigenvalues, best matched."""
    from scipy.optimize import linear_sum_assignment

    far = np.abs(np.asarray(a)[:, None] - np.asarray(b)[None, :])
    rows, columns = linear_sum_assignment(far)
    return far[rows, columns].max()


@pytest.fixture(scope="module")
def wake():
    """The wake with default settings."""
    return fit(WAKE)


@pytest.fixture(scope="module")
def enso():
    """Anomalies of sea-surface temperature, ten POD modes, a lag of three months."""
    read = ReadOptions(anomaly="cycle:12", detrend="linear")
    return run(SST, read, lag="3", rank=10)


def snapshots():
    """The snapshots of the wake, (columns, frames), float64."""
    data = np.load(WAKE)
    return np.concatenate([data["u"], data["v"]], axis=1).astype(float).T


# ------------------------------------------------------------------ beside PyDMD


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rank", [7, 9])
@pytest.mark.parametrize("method", ["exact", "projected"])
def test_eigenvalues_are_those_of_pydmd(rank, method):
    """Without centring and with POD of all but the last snapshot: equal to 1e-8."""
    pydmd = pytest.importorskip("pydmd")
    theirs = pydmd.DMD(svd_rank=rank, exact=method == "exact").fit(snapshots()).eigs
    assert apart(run(WAKE, rank=rank, method=method).model.eigenvalues, theirs) < 1e-8


@pytest.mark.filterwarnings("ignore")
def test_delays_and_total_least_squares_are_those_of_pydmd():
    """Five stacked snapshots at ranks 7 and 9, and total least squares at full rank 9: 1e-8."""
    pydmd = pytest.importorskip("pydmd")
    for rank in (7, 9):
        theirs = pydmd.HankelDMD(svd_rank=rank, d=5).fit(snapshots()).eigs
        assert apart(run(WAKE, rank=rank, delays=5).model.eigenvalues, theirs) < 1e-8
    theirs = pydmd.DMD(svd_rank=9, tlsq_rank=9).fit(snapshots()).eigs
    assert apart(run(WAKE, rank=9, variant="tls").model.eigenvalues, theirs) < 1e-8


def oscillator(noise, seed, frames=5000):
    """An undamped rotation seen with sensor noise, (frames, 2)."""
    rng = np.random.default_rng(seed)
    t = 0.5 * np.arange(frames)
    return np.stack([np.cos(t), np.sin(t)], axis=1) + noise * rng.standard_normal((frames, 2))


@pytest.mark.filterwarnings("ignore")
def test_forward_backward_is_its_definition():
    """sqrtm(A_f A_b^-1) in one basis, to 1e-8; PyDMD, full rank, within 1e-6.

    PyDMD multiplies two matrices that stand in different bases (the POD of x and that of y). With
    all directions kept these differ by a small rotation; with truncation (the wake at rank 7
    gives it eigenvalues .66 away) there is nothing to compare.
    """
    import scipy.linalg

    pydmd = pytest.importorskip("pydmd")
    x = oscillator(0.2, 0)
    forward, backward = (np.linalg.lstsq(a, b, rcond=None)[0] for a, b in
                         ((x[:-1], x[1:]), (x[1:], x[:-1])))  # fmt: skip
    exact = np.linalg.eigvals(scipy.linalg.sqrtm(forward @ np.linalg.inv(backward)))
    ours = run(x, model="dmd", rank=2, variant="fb").model.eigenvalues
    assert apart(ours, exact) < 1e-8
    assert apart(ours, pydmd.DMD(svd_rank=2, forward_backward=True).fit(x.T).eigs) < 1e-6


@pytest.mark.parametrize(("noise", "plain"), [(0.2, 0.924), (0.4, 0.757)])
def test_noise_damps_plain_dmd_only(noise, plain):
    """Plain DMD loses |lambda| to sensor noise as theory says; the two cures stay within .002."""
    found = {v: [] for v in ("plain", "fb", "tls")}
    for seed in range(4):
        x = oscillator(noise, seed)
        for variant, sizes in found.items():
            values = run(x, model="dmd", rank=2, variant=variant).model.eigenvalues
            sizes.append(abs(values[0]))
    assert np.mean(found["plain"]) == pytest.approx(plain, abs=0.004)
    assert abs(np.mean(found["fb"]) - 1) < 0.002
    assert abs(np.mean(found["tls"]) - 1) < 0.002


@pytest.mark.filterwarnings("ignore")
def test_optimised_dmd_is_that_of_pydmd():
    """Variable projection reaches the minimum of PyDMD's BOPDMD: wake and noisy rotation, 1e-8."""
    pydmd = pytest.importorskip("pydmd")
    x = snapshots()
    theirs = np.exp(pydmd.BOPDMD(svd_rank=9, num_trials=0).fit(x, np.arange(160.0)).eigs)
    assert apart(run(WAKE, model="optdmd", rank=9).model.eigenvalues, theirs) < 1e-8
    x = oscillator(0.2, 0, 1000)
    theirs = np.exp(pydmd.BOPDMD(svd_rank=2, num_trials=0).fit(x.T, np.arange(1000.0)).eigs)
    assert apart(run(x, model="optdmd", rank=2).model.eigenvalues, theirs) < 1e-8


def test_optimised_dmd_is_not_damped_by_noise():
    """|lambda| of the noisy rotation stays within .001 of 1, with and without bags."""
    x = oscillator(0.4, 1, 800)
    for bags in (0, 4):
        values = run(x, model="optdmd", rank=2, bags=bags).model.eigenvalues
        assert abs(abs(values[0]) - 1) < 1e-3
        assert np.angle(values[0]) == pytest.approx(0.5, abs=1e-3)


def test_a_rank_that_over_fits_is_said():
    """The default rank of sea-surface temperatures fits noise: said, with both scores and what
    to compare; a rank that held-out data support is not.
    """
    options = {"lag": "3", "folds": 5}
    read = ReadOptions(anomaly="cycle:12", detrend="linear")
    told = [
        [w for w in run(SST, read, rank=rank, **options).warnings if "over-fits" in w]
        for rank in (0, 10)
    ]
    assert len(told[0]) == 1
    assert "held-out" in told[0][0]
    assert "--set dmd.rank=" in told[0][0]
    assert told[1] == []


def test_what_held_out_data_refute_is_not_resolved():
    """Raw temperatures at the default rank score below the constant on held-out data: no mode is
    resolved, with that reason; at rank 10 they support the annual cycle and it is.
    """
    every = run(SST, folds=5)
    assert every.score.vampe.test < 1
    assert sum("over-fits" in warning for warning in every.warnings) == 1
    assert sum(fold < 1 for fold in every.score.vampe.folds) >= 4
    assert not every.slow
    assert not any(m.verdict == "resolved" for m in every.modes)
    first = next(m for m in every.modes if m.period is not None)
    assert "held-out data do not support it" in first.reason
    assert summary_sentences(every)[0].startswith("No mode of this flow is resolved")
    assert f"vamp-score {SST} --model dmd" in help_section(every).steps[0][1]
    unasked = run(SST, folds=0)
    assert unasked.score.vampe.test is None
    assert not any(m.verdict == "resolved" for m in unasked.modes)
    assert any(note.startswith("no folds: modes are checked") for note in unasked.notes)
    few = run(SST, rank=10, folds=5)
    first = next(m for m in few.modes if m.period is not None)
    assert first.verdict == "resolved"
    assert first.period.low <= 12.1 <= first.period.high


@pytest.mark.parametrize("model", ["dmd", "optdmd"])
def test_without_folds_noise_is_refuted_and_an_oscillation_is_not(model):
    """With --folds 0, twenty columns of noise have no resolved mode, whatever is fitted to them,
    and a noise-free oscillation has.
    """
    noise = np.random.default_rng(0).standard_normal((300, 20))
    refuted = run(noise, model=model, lag="1", rank=20)
    assert not any(m.verdict == "resolved" for m in refuted.modes)
    assert not refuted.slow
    told = run(oscillator(0.0, 0), model=model, lag="1")
    assert any(m.verdict == "resolved" and m.period is not None for m in told.modes)


def test_growth_and_period_are_claimed_with_intervals_only(enso):
    """What is resolved has a period known within a factor 10; decay and growth exclude 0; a
    timescale has an interval where the growth rate has one; and an El Nino stays resolved.
    """
    for mode in (*enso.modes, *run(SST).modes, *run(oscillator(0.02, 0), model="dmd").modes):
        if mode.timescale is not None and mode.growth is not None and mode.growth.high is not None:
            assert mode.timescale.low is not None
            assert mode.growth.high < 0
        if mode.verdict != "resolved":
            continue
        if mode.eigenvalue.imag:
            assert mode.period.high <= 10 * mode.period.low
        if "decaying" in mode.reason:
            assert mode.growth.high < 0
    assert "period undetermined" in enso.modes[3].reason
    assert (enso.modes[0].verdict, enso.modes[3].verdict) == ("resolved", "unresolved")


def judged(value, spread):
    """The verdict on one eigenvalue whose modulus is known within the spread."""
    low, high = abs(value) - spread, abs(value) + spread
    lag = Lag(1, 1.0, "s")
    period = Quantity(6.0, 5.9, 6.1, "s") if value.imag else None
    growth = Quantity(np.log(abs(value)), np.log(low), np.log(high), "1/s")
    time = Quantity(-1 / growth.value, unit="s")
    mode = Mode(1, value, None, low, high, timescale=time, period=period, growth=growth)
    found = Findings(np.zeros(1, bool))
    return flow_modes([mode], Context(lag, None, 1000, "eig"), found)[0]


def test_a_rate_that_may_be_zero_is_no_decay():
    """An oscillation is sustained and a real mode unresolved where the growth interval holds 0;
    beyond it both decay, with a timescale between the inverse ends of that interval.
    """
    turn = np.exp(1j * np.pi / 3)
    maybe, real = judged(0.99 * turn, 0.02), judged(0.99 + 0j, 0.02)
    assert (maybe.verdict, maybe.reason, maybe.timescale) == (
        "resolved", "sustained oscillation", None,
    )  # fmt: skip
    assert (real.verdict, real.timescale) == ("unresolved", None)
    assert "neither growth nor decay" in real.reason
    for mode in (judged(0.9 * turn, 0.02), judged(0.9 + 0j, 0.02)):
        assert mode.reason.startswith("decaying")
        assert mode.timescale.low == pytest.approx(-1 / np.log(0.88))
        assert mode.timescale.high == pytest.approx(-1 / np.log(0.92))


def test_the_hint_to_compare_ranks_runs(tmp_path):
    """What the warning says to type runs as it stands: exit 0, or 4 where nothing is
    recommended, with the fit's own way of reading, lag and settings.
    """
    path = tmp_path / "my sst.nc"
    path.write_bytes(SST.read_bytes())
    read = ReadOptions(anomaly="cycle:12", detrend="linear")
    result = run([str(path)], read, lag="3", folds=5, rank=46, method="projected")
    (told,) = (w for w in result.warnings if "over-fits" in w)
    command = shlex.split(told.partition("compare ranks with ")[2])
    assert command[:3] == ["koopman", "vamp-score", str(path)]
    for part in ("--anomaly", "--detrend", "dmd.method=projected", "dmd.rank=5,11,23"):
        assert part in command
    outcome = typed(*command[1:], "--out", tmp_path / "s.koopman", "--json")
    assert outcome.code in (0, 4), outcome
    cells = json.loads(outcome.out)["cells"]
    assert {5, 11, 23} == {cell["dim"] for cell in cells}


def decaying(seed):
    """Six noisy sensors of a decaying rotation, lambda = .99 exp(.3 i)."""
    rng = np.random.default_rng(seed)
    z = 10 * (0.99 * np.exp(0.3j)) ** np.arange(400)
    maps = rng.standard_normal((2, 6))
    return np.stack([z.real, z.imag], axis=1) @ maps + 0.2 * rng.standard_normal((400, 6))


def test_optimised_dmd_has_intervals():
    """Modulus and period of a noisy decaying rotation have intervals narrower than 1e-3 that
    hold the truth in at least 10 of 12 runs.
    """
    held = [0, 0]
    for seed in range(12):
        mode = run(decaying(seed), model="optdmd", rank=2).modes[0]
        assert mode.eigenvalue_high - mode.eigenvalue_low < 1e-3
        held[0] += mode.eigenvalue_low <= 0.99 <= mode.eigenvalue_high
        held[1] += mode.period.low <= 2 * np.pi / 0.3 <= mode.period.high
    assert min(held) >= 10, held


@pytest.mark.slow
def test_intervals_of_optimised_dmd_cover():
    """95% intervals of modulus and period hold the truth in 88 to 99 of 100 runs."""
    held = [0, 0]
    for seed in range(100):
        mode = run(decaying(seed), model="optdmd", rank=2).modes[0]
        held[0] += mode.eigenvalue_low <= 0.99 <= mode.eigenvalue_high
        held[1] += mode.period.low <= 2 * np.pi / 0.3 <= mode.period.high
    assert all(88 <= count <= 99 for count in held), held


# ------------------------------------------------------------------ the wake


def test_wake_with_default_settings(wake):
    """Shedding frequency and two harmonics within .1%, ||lambda| - 1| < 2e-4, all sustained."""
    heads = [m for m in wake.modes if m.frequency is not None][::2]
    for mode, exact in zip(heads, STROUHAL, strict=False):
        assert mode.frequency.value == pytest.approx(exact, rel=1e-3)
        assert abs(abs(mode.eigenvalue) - 1) < 2e-4
        assert (mode.verdict, mode.reason) == ("resolved", "sustained oscillation")
    assert wake.model.rank == 9
    (steady,) = [m for m in wake.modes if not m.eigenvalue.imag]
    assert steady.verdict == "unresolved"
    assert "steady part" in steady.reason


def test_conjugates_are_adjacent(wake):
    """Every pair stands in two neighbouring rows, positive imaginary part first."""
    values = [m.eigenvalue for m in wake.modes]
    for i, value in enumerate(values):
        if value.imag > 0:
            assert values[i + 1] == value.conjugate()


@pytest.mark.parametrize("rank", [6, 8])
def test_half_a_pair_is_no_slow_mode(rank):
    """A rank that cuts a pair leaves a real eigenvalue, which is called invalid, without times."""
    result = run(WAKE, rank=rank)
    (cut,) = [m for m in result.modes if m.verdict == "invalid"]
    assert 0.1 < cut.eigenvalue.real < 0.9
    assert (cut.timescale, cut.growth, cut.frequency) == (None, None, None)
    assert "cuts in two" in cut.reason


def test_left_over_needs_a_gained_pair():
    """Without a new pair no real eigenvalue is suspected."""
    values = np.array([1, 0.9, 0.5], complex)
    assert not left_over(values, np.array([1, 0.9, 0.5, 0.2], complex)).any()
    more = np.array([1, 0.9, 0.3 + 0.6j, 0.3 - 0.6j])
    assert left_over(values, more).tolist() == [False, False, True]


def transient(frames=400):
    """A wake-like transient: the frequency goes from .138 to .179 while it saturates."""
    rng = np.random.default_rng(3)
    t = 0.2 * np.arange(frames)
    size = 1 / np.sqrt(1 + 400 * np.exp(-0.302 * t))
    phase = 2 * np.pi * np.cumsum(0.138 + 0.041 * size**2) * 0.2
    parts = [np.ones(frames), size**2, size * np.cos(phase), size * np.sin(phase)]
    parts += [0.2 * size**2 * np.cos(2 * phase), 0.2 * size**2 * np.sin(2 * phase)]
    maps = rng.standard_normal((6, 30, 20))
    return np.tensordot(np.array(parts).T, maps, axes=1)


def test_a_transient_is_called_one(tmp_path):
    """No oscillation of a transient is reported as resolved: the halves of the data differ."""
    np.save(tmp_path / "a.npy", transient())
    result = run(tmp_path / "a.npy", ReadOptions(dt="0.2s"))
    pairs = [m for m in result.modes if m.frequency is not None]
    assert len(pairs) == 4
    assert all(m.verdict == "unresolved" and "transient" in m.reason for m in pairs)
    assert "0.17" in pairs[0].reason


def saturating(growth, frames):
    """The columns of a wake-like transient that is over long before the data end."""
    t = 0.2 * np.arange(frames)
    size = 1 / np.sqrt(1 + 1e4 * np.exp(-growth * t))
    phase = 2 * np.pi * np.cumsum(0.12 + 0.06 * size**2) * 0.2
    parts = [size**2, size * np.cos(phase), size * np.sin(phase)]
    parts += [0.2 * size**2 * np.cos(2 * phase), 0.2 * size**2 * np.sin(2 * phase)]
    return np.array(parts).T


@pytest.mark.parametrize(("growth", "frames"), [(0.2, 1000), (0.15, 1500)])
def test_columns_of_a_transient_are_called_one(growth, frames):
    """DMD of an array that grows and then saturates resolves nothing, whichever half it is in."""
    modes = run(saturating(growth, frames), model="dmd", rank=5).modes
    assert all(m.verdict == "unresolved" and "transient" in m.reason for m in modes)


def test_columns_of_a_steady_flow_are_no_transient():
    """A noisy undamped rotation is resolved in each of 20 runs."""
    for seed in range(20):
        first = run(oscillator(0.2, seed, 1000), model="dmd", rank=2).modes[0]
        assert first.verdict == "resolved", (seed, first.reason)


def test_vamp_on_the_same_coordinates_is_scored_beside_dmd(wake):
    """Both families have held-out VAMP-2 and VAMP-E, and stand in one table."""
    import io

    from koopman_cli.report.text import print_fit

    ((name, rival),) = wake.rivals
    assert rival.dim == wake.score.dim
    assert None not in (rival.vamp2.test, rival.vampe.test, wake.score.vampe.test)
    out = io.StringIO()
    print_fit(wake, file=out)
    lines = [line for line in out.getvalue().splitlines() if "VAMP-" in line]
    assert [line.split("VAMP")[0].strip() for line in lines] == ["dmd", "dmd", name, name]


# ------------------------------------------------------------------ sea-surface temperature


def test_el_nino(enso):
    """The slowest mode oscillates in 4 to 5 years, alone between 2 and 7, in the Pacific."""
    first = enso.modes[0]
    assert first.timescale.value == max(m.timescale.value for m in enso.modes if m.timescale)
    assert 48 <= first.period.value <= 60
    years = [m.period.value / 12 for m in enso.modes if m.period is not None][::2]
    assert sum(2 <= y <= 7 for y in years) == 1
    import xarray

    with xarray.open_dataset(SST) as data:
        pacific = data["sst"].sel(lat=0.5, lon=[-170.5, -150.5, -130.5]).values.mean(axis=1)
    month = np.arange(len(pacific))
    known = np.column_stack([month % 12 == k for k in range(12)] + [month]).astype(float)
    anomaly = pacific - known @ np.linalg.lstsq(known, pacific, rcond=None)[0]
    psi = enso.projection.values[:, 0] + 1j * enso.projection.values[:, 1]
    shape = enso.flow.modes[:, 0]
    # The phase of the figure: the real part of the map is as large as it can be.
    turned = psi * np.exp(0.5j * np.angle(np.sum(shape**2)))
    assert abs(np.corrcoef(turned.real, anomaly)[0, 1]) > 0.85


@pytest.mark.parametrize(("rank", "years"), [(5, 4.8), (6, 4.5), (8, 4.3), (10, 4.1)])
def test_periods_by_rank(rank, years):
    """The period falls from 4.8 to 4.1 years as POD modes are added."""
    read = ReadOptions(anomaly="cycle:12", detrend="linear")
    result = run(SST, read, lag="3months", rank=rank)
    assert result.modes[0].period.value / 12 == pytest.approx(years, abs=0.1)


def test_annual_cycle_where_it_is_not_removed():
    """Raw temperatures oscillate with a period of 12.0 months."""
    first = next(m for m in run(SST).modes if m.period is not None)
    assert first.period.value == pytest.approx(12, abs=0.05)
    assert first.period.unit == "months"


def test_cycle_and_trend_are_fitted_on_training_frames(enso):
    """The regression belongs to the lift, so that every fold has its own."""
    from koopman_cli.lifts.pod import fit_pod
    from koopman_cli.source import open_source
    from koopman_cli.types import no_progress

    read = ReadOptions(anomaly="cycle:12", detrend="linear")
    stream = open_source([SST], None, read, no_progress).stream
    whole = fit_pod(stream, 5, 3)
    part = fit_pod(stream, 5, 3, [np.array([[0, 300]])])
    rows = stream.field.rows[0][:297]
    width = stream.field.width
    known = np.linalg.lstsq(rows[:, width:], rows[:, :width], rcond=None)[0]
    fitted = rows[:, width:] @ part.arrays["coefficients"]
    np.testing.assert_allclose(fitted, rows[:, width:] @ known, atol=1e-8)
    assert not np.allclose(part.arrays["coefficients"], whole.arrays["coefficients"])


# ------------------------------------------------------------------ back in the field


def test_land_stays_nan(enso):
    """Masked boxes are left out of the columns and NaN in every map."""
    from koopman_cli.geometry import Geometry

    state = enso.model.features.state
    full = scatter(enso.flow.modes.T, state["valid"], Geometry.from_arrays(state))
    assert full.shape[1:] == (1, 9, 18)
    assert int(np.isnan(full[0]).sum()) == 7


def test_reconstruction_is_the_field(wake):
    """Nine modes give back the snapshots to the rounding of the input."""
    data = np.load(WAKE)
    series = reconstruction(wake)
    both = np.concatenate([data["u"], data["v"]], axis=1)
    np.testing.assert_allclose(series.columns[0], both, atol=2e-5)
    np.testing.assert_allclose(series.values, data["t"], atol=1e-9)


def test_forecast_continues_the_truth():
    """Half a shedding period beyond the data the error is a thousandth of persistence's."""
    data = np.load(WAKE)
    result = run(WAKE, ReadOptions(end="140"))
    series = forecast(result, 14)
    truth = np.concatenate([data["u"], data["v"]], axis=1)[140:154]
    error = np.sqrt(np.mean((series.columns[0] - truth) ** 2))
    stale = np.sqrt(np.mean((truth - np.concatenate([data["u"], data["v"]], axis=1)[139]) ** 2))
    assert error < 1e-3 * stale
    np.testing.assert_allclose(series.values, data["t"][140:154], atol=1e-9)
    skill = result.flow.skill
    assert np.all(skill.model < 0.01 * np.minimum(skill.persistence, skill.climatology))


def test_forecast_keeps_calendar_and_cycle(enso):
    """Months go on after December 2019, and the annual cycle is put back."""
    series = forecast(enso, 13)
    import cftime

    dates = cftime.num2date(series.values, series.unit, calendar="proleptic_gregorian")
    assert [(d.year, d.month) for d in dates[[0, 12]]] == [(2020, 1), (2021, 1)]
    swing = np.ptp(series.columns[0, :12], axis=0)
    assert 270 < series.columns.mean() < 300
    assert swing.max() > 5


def test_transform_gives_the_functions_of_the_fit(wake):
    """A stored model projects the same file onto the same functions, without the training data."""
    (moved,) = transform(wake.model, [WAKE]).runs
    np.testing.assert_allclose(moved.array(), wake.projection.values[:, :9], atol=5e-5)


def test_a_run_keeps_its_flow(wake, tmp_path):
    """Modes, skill, geometry and rivals come back from the RUN as they were."""
    write_run(wake, tmp_path / "w.koopman", figures=False)
    again = open_run(tmp_path / "w.koopman").result
    np.testing.assert_array_equal(again.flow.modes, wake.flow.modes)
    np.testing.assert_array_equal(again.flow.skill.model, wake.flow.skill.model)
    assert again.rivals == wake.rivals
    assert again.modes == wake.modes
    np.testing.assert_array_equal(forecast(again, 3).columns, forecast(wake, 3).columns)


def test_figures_of_fields(wake, enso):
    """Maps of modes, reconstruction, singular values and forecasts exist at 85 mm."""
    from koopman_cli.report.figures import draw

    for result in (wake, enso):
        for kind in ("modes", "reconstruction", "singular-values", "forecast"):
            figure = draw(result, kind)
            assert figure is not None
            assert figure.get_size_inches()[0] * 25.4 == pytest.approx(85)
    titles = [a.get_title(loc="left") for a in draw(wake, "modes").axes]
    assert any("f = 0.1791" in t and "growth" in t for t in titles)


def test_maps_show_every_variable(wake):
    """Modes and reconstruction of a field of two variables are drawn for both: two maps and a
    colour bar per variable and mode, three maps and bars per variable.
    """
    from koopman_cli.report.fieldmaps import reconstruction as compared
    from koopman_cli.report.modemaps import modes as maps_of

    figure = maps_of(wake, modes=[2, 4])
    assert len(figure.axes) == 2 * 2 * 3
    named = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert named == ["u", "v", "u", "v"]
    titles = [axes.get_title(loc="left") for axes in compared(wake).axes[::2]]
    assert [t[0] for t in titles] == ["u", "u", "d", "v", "v", "d"]


def test_a_flow_without_modes_ends_with_what_applies(tmp_path):
    """Raw temperatures end with 4 and the command that compares ranks; the table shows the first
    few modes and counts the others.
    """
    outcome = typed("fit", SST, "-o", tmp_path / "raw.koopman")
    assert outcome.code == 4
    assert f"koopman vamp-score {SST} --model dmd --lag 1 --set dmd.rank=" in outcome.err
    assert "24 more, none resolved (summary.json)" in outcome.out
    table = outcome.out.partition("\nModes\n")[2].partition("\nand ")[0]
    assert len(table.splitlines()) == 2 + 4


def test_an_array_has_no_fields_to_forecast(tmp_path):
    """A forecast of DMD of columns is a usage error that names no file the user lacks."""
    path = tmp_path / "turn.npy"
    np.save(path, oscillator(0.1, 0))
    typed("fit", path, "--model", "dmd", "-o", tmp_path / "turn.koopman", "--allow-empty")
    outcome = typed("forecast", tmp_path / "turn.koopman", "--steps", 5)
    assert outcome.code == 2
    assert "wake" not in outcome.err


def test_a_decay_time_has_the_interval_of_its_rate():
    """Where only the growth rate has an interval, and one below 0, the timescale takes it."""
    growth = Quantity(-0.17, -0.19, -0.15, "1/s")
    mode = Mode(1, np.exp(-0.17) + 0j, None, 0.83, 0.86, growth=growth)
    found = flow_modes(
        [mode], Context(Lag(1, 1.0, "s"), None, 1000, "eig"), Findings(np.zeros(1, bool))
    )
    time = found[0].timescale
    assert (time.low, time.value, time.high) == pytest.approx((1 / 0.19, 1 / 0.17, 1 / 0.15))


def test_info_gives_calendar_months_as_dates():
    """`koopman info` of monthly fields names the first and last month, not numbers of months."""
    told = typed("info", SST).out
    assert "time stamps: 1979-01 to 2019-12" in told
    assert "time step: 1 month," in told
