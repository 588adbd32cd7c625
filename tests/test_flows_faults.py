"""Fields that cannot be used, or only in part: exit code, two sentences, nothing left behind."""

import numpy as np
import pytest
import xarray

from koopman_cli.api import FitOptions, fit
from koopman_cli.errors import KoopmanError
from koopman_cli.io import open_trajectories
from koopman_cli.report.figures import draw
from koopman_cli.types import ReadOptions

T = np.arange(40.0)
RNG = np.random.default_rng(0)
FIELD = (
    np.cos(0.3 * T)[:, None, None] * RNG.standard_normal((6, 5))
    + np.sin(0.3 * T)[:, None, None] * RNG.standard_normal((6, 5))
    + RNG.standard_normal((6, 5))
    + 0.01 * RNG.standard_normal((40, 6, 5))
)
SPACE = {"lat": np.linspace(-50, 50, 6), "lon": np.linspace(0, 40, 5)}


def netcdf(path, values=FIELD, dims=("time", "lat", "lon"), **more):
    """A NetCDF file with one variable, and others given as (dims, values)."""
    coordinates = {"time": T[: len(values)], **SPACE}
    known = {d: coordinates[d] for d in dims if d in coordinates}
    data = xarray.Dataset({"sst": (dims, values), **more}, known)
    data.to_netcdf(path, engine="h5netcdf")
    return path


def refused(path, read=None, **options):
    """The error of a fit that must not succeed."""
    with pytest.raises(KoopmanError) as caught:
        fit([path], FitOptions(**options), read=read)
    assert caught.value.hint
    assert list(path.parent.iterdir()) == [path]
    return caught.value


def gap():
    """The field with one value missing once."""
    values = FIELD.copy()
    values[7, 2, 3] = np.nan
    return values


def other_grid():
    """A second variable on a grid of its own."""
    return {"ice": (("time", "la2", "lo2"), FIELD[:, :3, :2])}


@pytest.mark.parametrize(
    ("make", "read", "code", "says"),
    [
        (lambda p: netcdf(p, FIELD * np.nan), {}, 3, "sst is NaN everywhere"),
        (lambda p: netcdf(p, gap()), {}, 3, "frame 7: sst at lat=-10, lon=30 is missing"),
        (lambda p: netcdf(p, **other_grid()), {}, 3, "different grids: sst (40x6x5 float64), ice"),
        (lambda p: netcdf(p, FIELD * 0 + 3), {}, 4, "the field never changes"),
        (netcdf, {"var": ("sts",)}, 2, "has no variable 'sts'"),
        (lambda p: netcdf(p, FIELD[0], ("lat", "lon")), {}, 3, "no time axis (axes lat, lon)"),
        (lambda p: netcdf(p, FIELD, ("z", "lat", "lon")), {}, 3, "no time axis (axes z, lat, lon)"),
        (netcdf, {"anomaly": "cycl:12"}, 2, "--anomaly cycl:12"),
        (netcdf, {"detrend": "quadratic"}, 2, "--detrend quadratic"),
        (netcdf, {"area_weights": "lat"}, 3, "lat is no weight of its 30 points"),
        (netcdf, {"time_axis": 3}, 2, "--time-axis 3: sst has 3 axes"),
    ],
    ids=["all-nan", "gap", "grids", "constant", "var", "no-time", "no-time-3", "anomaly", "detrend",
         "weights", "time-axis"],
)  # fmt: skip
def test_faults_of_fields(tmp_path, make, read, code, says):
    """Each fault has its exit code, a message that names it, and a hint."""
    error = refused(make(tmp_path / "a.nc"), ReadOptions(**read))
    assert error.code == code
    assert says in str(error)


def test_unknown_variable_has_a_suggestion(tmp_path):
    """A misspelt --var is answered with the nearest name."""
    assert "did you mean sst?" in refused(netcdf(tmp_path / "a.nc"), ReadOptions(var=("sts",))).hint


def test_complex_snapshots_are_refused(tmp_path):
    """A complex field exits 3; its parts can be given as two variables."""
    np.save(tmp_path / "a.npy", FIELD.astype(complex))
    error = refused(tmp_path / "a.npy")
    assert (error.code, "complex" in str(error), "two variables" in error.hint) == (3, True, True)


NONSENSE = [
    {"rank": "-7"},
    {"rank": "2.5"},
    {"energy": "1.5"},
    {"rank": "3", "energy": "0.9"},
    {"variant": "fbb"},
]


@pytest.mark.parametrize("settings", NONSENSE, ids=str)
def test_settings_that_make_no_sense(tmp_path, settings):
    """They exit 2 before anything is read."""
    assert refused(netcdf(tmp_path / "a.nc"), model="dmd", settings=settings).code == 2


def test_a_family_that_knows_no_fields(tmp_path):
    """EDMD on a field exits 2 and names what does take one."""
    error = refused(netcdf(tmp_path / "a.nc"), model="edmd")
    assert (error.code, "dmd" in error.hint) == (2, True)


def test_rank_above_what_the_snapshots_hold(tmp_path):
    """It is reduced, and this is said."""
    np.save(tmp_path / "a.npy", FIELD[:8])
    result = fit([tmp_path / "a.npy"], FitOptions(model="dmd", settings={"rank": 50}, folds=0))
    assert result.model.rank == 6
    assert any("rank 50 reduced to 6" in w for w in result.warnings)


def test_incomplete_frames_can_be_dropped(tmp_path):
    """With --drop-nonfinite the run is split there and no pair crosses."""
    read = ReadOptions(drop_nonfinite=True)
    result = fit([netcdf(tmp_path / "a.nc", gap())], FitOptions(folds=0), read=read)
    assert result.model.pairs == 6 + 31
    assert any("1 of 40 frames is incomplete and was removed" in w for w in result.warnings)


def test_time_that_is_not_first_is_found_or_named(tmp_path):
    """By the length of t beside it, or by --time-axis: the same snapshots either way."""
    last = np.moveaxis(FIELD, 0, -1)
    np.savez(tmp_path / "a.npz", t=T, u=last)
    np.savez(tmp_path / "b.npz", u=last)
    for name, read in (("a", ReadOptions()), ("b", ReadOptions(time_axis=-1))):
        (trajectory,) = open_trajectories([tmp_path / f"{name}.npz"], read)
        rows = np.concatenate([c.values for c in trajectory.read(7)])
        np.testing.assert_array_equal(rows, FIELD.reshape(40, -1))
    (trajectory,) = open_trajectories([tmp_path / "b.npz"], ReadOptions())
    assert "--time-axis" in trajectory.warnings[0]


def test_irregular_time_is_said(tmp_path):
    """A jump in calendar time is named with its frame, and no time step is made of it."""
    path = netcdf(tmp_path / "a.nc")
    with xarray.open_dataset(path) as data:
        moved = data.load().assign_coords(time=np.r_[0:20, 30:50].astype(float))
    moved["time"].attrs["units"] = "days since 2000-01-01"
    moved.to_netcdf(tmp_path / "b.nc", engine="h5netcdf")
    (trajectory,) = open_trajectories([tmp_path / "b.nc"], ReadOptions())
    assert trajectory.dt is None
    assert "from frame 19 to 20" in trajectory.warnings[0]


def test_formats_agree(tmp_path):
    """NetCDF 3 and 4, HDF5, MATLAB, npz and npy give the same snapshots, by rows and by cells."""
    import h5py
    import scipy.io

    netcdf(tmp_path / "a.nc")
    with xarray.open_dataset(tmp_path / "a.nc") as data:
        data.load().to_netcdf(tmp_path / "b.nc", engine="scipy")
    scipy.io.savemat(tmp_path / "a.mat", {"u": FIELD, "t": T})
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["flow/u"] = FIELD
    np.savez_compressed(tmp_path / "a.npz", u=FIELD)
    np.savez(tmp_path / "b.npz", u=FIELD)
    np.save(tmp_path / "a.npy", FIELD)
    for name in ("a.nc", "b.nc", "a.mat", "a.h5", "a.npz", "b.npz", "a.npy"):
        (trajectory,) = open_trajectories([tmp_path / name], ReadOptions(begin="3", stride=2))
        rows = np.concatenate([c.values for c in trajectory.read(5)])
        np.testing.assert_array_equal(rows, FIELD[3::2].reshape(19, -1), err_msg=name)
        cells = trajectory.field.cells(7, 22, "float64")
        np.testing.assert_array_equal(cells, rows[:, 7:22], err_msg=name)


def test_several_runs_are_never_joined(tmp_path):
    """Two fields are two initial conditions: pairs stay inside each, and the modes are common."""
    for k, part in enumerate((FIELD[:20], FIELD[20:])):
        np.save(tmp_path / f"{k}.npy", part)
    paths = [tmp_path / "0.npy", tmp_path / "1.npy"]
    result = fit(paths, FitOptions(model="dmd", settings={"rank": 3}, folds=0))
    assert result.model.pairs == 2 * 19
    assert len(result.flow.last) == 2


def decaying(noise, frames=200):
    """Advection and diffusion of four waves about a mean of 2, (frames, 12, 16), dt 0.1."""
    t, x, y = 0.1 * np.arange(frames), np.arange(16) * np.pi / 8, np.arange(12) * np.pi / 6
    waves = ((1, 0, 1.0), (0, 1, 0.7), (1, 1, 0.5), (2, 1, 0.4))
    field = np.full((frames, 12, 16), 2.0)
    for kx, ky, size in waves:
        along = kx * x[None, None, :] + ky * y[None, :, None]
        phase = along - ((kx + 0.5 * ky) * t)[:, None, None]
        field += size * np.exp(-0.02 * (kx**2 + ky**2) * t)[:, None, None] * np.cos(phase)
    return field + noise * np.random.default_rng(7).standard_normal(field.shape)


@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_a_linear_flow_that_decays_is_supported(tmp_path, noise):
    """Each wave of a decaying flow is resolved at its rate and frequency, though VAMP-E, which
    takes parts of the data for samples of one size, falls below the constant.
    """
    np.save(tmp_path / "flow.npy", decaying(noise))
    result = fit([tmp_path / "flow.npy"], FitOptions(), read=ReadOptions(dt="0.1s"))
    assert result.slow
    assert result.score.vampe.test < 1
    waves = [m for m in result.modes if m.frequency is not None]
    assert all(m.verdict == "resolved" for m in waves), [m.reason for m in waves]
    rates = [(2 * np.pi * m.frequency.value, m.growth.value) for m in waves[::2]]
    known = [(1.0, -0.02), (0.5, -0.02), (1.5, -0.04), (2.5, -0.1)]
    np.testing.assert_allclose(sorted(rates), sorted(known), rtol=0.02)
    assert any("decays or grows along the data" in w for w in result.warnings)
    assert not any("one linear model does not describe" in w for w in result.warnings)


def test_a_rotation_that_speeds_up_is_not_supported(tmp_path):
    """One map does not carry a decaying rotation over to where it turns faster."""
    t = np.arange(400)
    z = np.exp(-0.01 * t + 1j * (0.1 * t + 2e-4 * t**2))
    maps = np.random.default_rng(0).standard_normal((2, 6, 5))
    field = np.tensordot(np.stack([z.real, z.imag], axis=1), maps, axes=1)
    np.save(tmp_path / "flow.npy", field + 1e-3 * RNG.standard_normal(field.shape))
    result = fit([tmp_path / "flow.npy"], FitOptions())
    assert not any(m.verdict == "resolved" for m in result.modes)
    assert not any("decays or grows along the data" in w for w in result.warnings)


def test_units_of_colour_bars_stay_in_the_figure(tmp_path):
    """The difference of a flow from its modes, a thousandth of it, is drawn with short numbers in
    a unit of its own, and no unit is cut off.
    """
    values = ("time", "y", "x"), decaying(1e-3), {"units": "kg m-3"}
    time = 0.1 * np.arange(len(values[1]))
    data = xarray.Dataset({"c": values}, {"time": time, "y": np.arange(12), "x": np.arange(16)})
    data.to_netcdf(tmp_path / "flow.nc", engine="h5netcdf")
    figure = draw(fit([tmp_path / "flow.nc"], FitOptions(folds=0)), "reconstruction")
    figure.draw_without_rendering()
    bars = figure.axes[1::2]
    assert [bar.get_ylabel() for bar in bars] == ["kg m-3", "kg m-3", "10⁻³ kg m-3"]
    for bar in bars:
        assert max(len(tick.get_text()) for tick in bar.get_yticklabels()) <= 5
        assert bar.yaxis.label.get_window_extent().x1 <= figure.bbox.x1
