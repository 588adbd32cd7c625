"""What somebody new to the program gives it: input that can be read, but not as it was meant."""

import re
import shlex

import mdtraj
import numpy as np
import pytest
import scipy.io
import xarray
from cli_support import done, relaxing, run, two_lines
from io_fixtures import failure, read, write_md

from koopman_cli.errors import DataError, UsageError
from koopman_cli.io import open_trajectories
from koopman_cli.types import ReadOptions


def colvar(path, names, values):
    """A COLVAR file with a frame every 2 ps."""
    rows = np.column_stack([2.0 * np.arange(len(values)), values])
    np.savetxt(path, rows, header="! FIELDS time " + " ".join(names), comments="#", fmt="%.5f")
    return path


@pytest.mark.parametrize("name", ["wave.npz", "wave.mat"])
def test_an_array_with_its_times_and_places_is_a_field(name, tmp_path):
    """A field u (t, x) with t and x beside it needs no option; columns with masses or a second
    series beside their times stay a choice.
    """
    t, x = np.linspace(0, 20, 201), np.linspace(0, 1, 30)
    wave = np.sin(3 * t)[:, None] * np.cos(np.pi * x)
    save = np.savez if name.endswith("z") else lambda path, **a: scipy.io.savemat(path, a)
    save(tmp_path / name, u=wave, t=t, x=x)
    (trajectory,) = open_trajectories([tmp_path / name], ReadOptions())
    assert (trajectory.kind, trajectory.n_frames) == ("field", 201)
    geometry = trajectory.field.geometry
    assert (geometry.shape, set(geometry.coordinates)) == ((30,), {"x"})
    assert trajectory.dt.value == pytest.approx(0.1)
    masses = np.array([12.0, 1.0, 16.0])
    for more in ({"m": masses}, {"v": t[::-1]}, {}):
        save(tmp_path / name, u=wave[:, :3], t=t, **more)
        with pytest.raises(DataError, match="arrays"):
            open_trajectories([tmp_path / name], ReadOptions())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date,x,y\n2020-01-01,1,2\n2020-01-02,3,4\n", ["column 'date'", "'2020-01-01'", "line 2"]),
        ("a;b\n1,5;2,5\n2,5;3,5\n", ["line 2 has decimal commas", "'1,5'"]),
    ],
)
def test_a_column_that_is_no_number_is_named(text, said, tmp_path):
    """A date or a decimal comma is refused by its column and line, with a cure."""
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        open_trajectories([path], ReadOptions())
    assert all(part in str(caught.value) for part in said)
    assert "remove that column" in caught.value.hint or "tr , ." in caught.value.hint


BIASED = ["phi", "opes.bias", "metad.rbias", "metad.rct", "uwall.force2", "mr.d_cntr", "com.x"]


def test_columns_of_a_bias_are_left_out(tmp_path):
    """What PLUMED prints about its bias is no feature, and it is said which columns these are."""
    values = np.random.default_rng(0).standard_normal((40, 7))
    trajectory, found = read(colvar(tmp_path / "COLVAR", BIASED, values))
    assert trajectory.names == ("phi", "com.x")
    assert np.allclose(found, values[:, [0, 6]], atol=1e-5)
    (warning,) = trajectory.warnings
    assert "opes.bias, metad.rbias, metad.rct, uwall.force2, mr.d_cntr belong" in warning


def test_columns_of_a_bias_can_be_asked_for(tmp_path):
    """--var takes them without a word."""
    path = colvar(tmp_path / "COLVAR", BIASED, np.ones((40, 7)))
    trajectory, _ = read(path, var=("opes.bias",))
    assert (trajectory.names, trajectory.warnings) == (("opes.bias",), ())


def test_nothing_but_a_bias_is_refused(tmp_path):
    """A COLVAR with the time and the bias alone exits 3; a csv column of that name is a column."""
    error = failure(colvar(tmp_path / "COLVAR", ["opes.bias", "opes.rct"], np.ones((9, 2))))
    assert error.code == 3
    assert "opes.bias, opes.rct" in str(error)
    (tmp_path / "a.csv").write_text("a,opes.bias\n" + "1,2\n2,1\n" * 9)
    assert read(tmp_path / "a.csv")[0].names == ("a", "opes.bias")


def test_positions_that_look_like_a_field(tmp_path):
    """(frames, atoms, 3) may be atoms or cells: exit 3, and the hint says how to give either."""
    path = tmp_path / "xyz.npy"
    np.save(path, np.random.default_rng(0).standard_normal((50, 7, 3)))
    error = failure(path)
    assert error.code == 3
    assert "positions of 7 atoms" in str(error)
    for cure in ("(50, 21)", "--kind field", "--ensemble", "topology"):
        assert cure in error.hint
    assert run("info", path).code == 3
    assert read(path, kind="field")[0].kind == "field"
    assert read(path, ensemble=True)[0].kind == "array"


def test_a_field_that_is_called_one_is_one(tmp_path):
    """--kind field, coordinates beside the data, or another width: read as a field."""
    values = np.random.default_rng(0).standard_normal((50, 7, 3))
    np.save(tmp_path / "xyz.npy", values)
    np.save(tmp_path / "wide.npy", np.repeat(values, 2, axis=2))
    np.savez(tmp_path / "grid.npz", u=values, x=np.arange(7.0), y=np.arange(3.0))
    for name, options in (("xyz.npy", {"kind": "field"}), ("wide.npy", {}), ("grid.npz", {})):
        (trajectory,) = open_trajectories([tmp_path / name], ReadOptions(**options))
        assert trajectory.kind == "field", name


def several_units(path):
    """Two variables of one grid in different units."""
    rng = np.random.default_rng(0)
    t = np.arange(60.0)
    wave = np.cos(0.3 * t)[:, None, None] * rng.standard_normal((4, 5))
    wave += np.sin(0.3 * t)[:, None, None] * rng.standard_normal((4, 5))
    axes = ("time", "lat", "lon")
    data = xarray.Dataset(
        {"sst": (axes, wave, {"units": "K"}), "wind": (axes, 2 * wave, {"units": "m s-1"})},
        {"time": t, "lat": np.arange(4.0), "lon": np.arange(5.0)},
    )
    data.to_netcdf(path, engine="h5netcdf")


def two_arrays(path):
    """Two arrays of columns."""
    np.savez(path, a=relaxing(400), b=relaxing(400, 1))


@pytest.mark.parametrize(
    ("make", "name", "listed"),
    [
        (several_units, "two fields.nc", ["sst (60x4x5", "wind (60x4x5"]),
        (two_arrays, "two arrays.npz", ["a (400x3", "b (400x3"]),
    ],
)
def test_the_hint_is_a_command_that_works(tmp_path, monkeypatch, make, name, listed):
    """A file of several variables: they are listed, and the command of the hint runs."""
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    outcome = run("fit", name, "-q")
    error, hint = two_lines(outcome)
    assert outcome.code == 3
    assert all(text in error for text in listed)
    program, *arguments = shlex.split(hint.partition("for example: ")[2])
    assert program == "koopman"
    done(*arguments, "-q", "--allow-empty")


def large_xtc(folder):
    """Three frames of 12,000 atoms, and their topology."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for _ in range(12_000):
        topology.add_atom("AR", mdtraj.element.argon, topology.add_residue("AR", chain))
    xyz = np.random.default_rng(0).uniform(0, 5, (3, 12_000, 3)).astype(np.float32)
    made = mdtraj.Trajectory(xyz, topology, time=np.arange(3.0))
    made[0].save(str(folder / "top.gro"))
    return write_md(made, folder / "run.xtc"), str(folder / "top.gro")


def test_the_last_frame_of_a_large_system_is_checked(tmp_path):
    """A last frame whose data were never written (zeros in a file of full length) exits 3."""
    path, top = large_xtc(tmp_path)
    assert open_trajectories([path], ReadOptions(top=top))[0].n_frames == 3
    content = bytearray(path.read_bytes())
    lost = len(content) // 8
    content[-lost:] = bytes(lost)
    path.write_bytes(content)
    error = failure(path, top=top)
    assert error.code == 3
    assert "inside frame 2" in str(error)
    assert "--allow-truncated to use the 2 complete frames" in error.hint
    trajectory, values = read(path, top=top, allow_truncated=True)
    assert len(values) == trajectory.n_frames == 2


# ------------------------------------------------------------------ series of a NetCDF file


def indices(path, engine, step="D"):
    """Two daily series, one of them packed into integers, beside another of four numbers."""
    slow = relaxing(600, memory=(0.9, 0.0))
    data = xarray.Dataset(
        {"rmm1": ("time", slow[:, 0]), "rmm2": ("time", slow[:, 1]), "n": ("k", np.arange(4.0))},
        coords={"time": (np.datetime64("1950-01", step) + np.arange(600)).astype("datetime64[ns]")},
    )
    packed = {"rmm1": {"dtype": "int16", "scale_factor": 1e-3, "_FillValue": -9999}}
    data.to_netcdf(path, engine=engine, encoding=packed)
    return slow


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_series_of_a_netcdf_file_have_names_and_calendar_time(tmp_path, engine):
    """``--var rmm1`` is one column of that name, unpacked, with the step of its time."""
    slow = indices(tmp_path / "rmm.nc", engine)
    (one,) = open_trajectories([tmp_path / "rmm.nc"], ReadOptions(var=("rmm1",)))
    assert one.kind == "array"
    assert one.names == ("rmm1",)
    assert (one.dt.value, one.dt.unit) == (1.0, "d")
    rows = np.concatenate([c.values for c in one.read(100)])
    np.testing.assert_allclose(rows[:, 0], slow[:, 0], atol=1e-3)
    (both,) = open_trajectories([tmp_path / "rmm.nc"], ReadOptions(var=("rmm1", "rmm2")))
    assert both.names == ("rmm1", "rmm2")
    assert both.dt == one.dt


def test_months_of_a_series_are_months(tmp_path):
    """A series on the first of every month has the step of a month, and its lags are months."""
    indices(tmp_path / "rmm.nc", "h5netcdf", "M")
    out = tmp_path / "run.koopman"
    said = done("fit", tmp_path / "rmm.nc", "--var", "rmm1", "--lag", "2months", "-o", out).out
    assert "Time step: 1 month (from time of" in said
    assert "lag 2 frames (2 months)" in said


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_info_of_several_series_shows_those_that_go_together(tmp_path, monkeypatch, engine):
    """The hint takes the series of one length together, and is a command that runs."""
    monkeypatch.chdir(tmp_path)
    indices("rmm.nc", engine)
    error, hint = two_lines(run("info", "rmm.nc"))
    assert all(name in error for name in ("rmm1 (600", "rmm2 (600", "n (4"))
    told = "choose with --var, for example: koopman fit rmm.nc --var rmm1,rmm2 (or --var rmm1)"
    assert hint == told
    done("fit", "rmm.nc", "--var", "rmm1,rmm2", "-q", "--allow-empty")


def test_a_series_without_a_coordinate_has_no_time_step(tmp_path):
    """Without a time coordinate nothing is made up."""
    xarray.Dataset({"u": ("k", np.arange(30.0) % 7)}).to_netcdf(tmp_path / "u.nc")
    (found,) = open_trajectories([tmp_path / "u.nc"], ReadOptions())
    assert found.dt is None
    assert found.names == ("u",)


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_a_series_with_a_time_that_is_none_is_still_read(tmp_path, engine):
    """Series whose time has units that are no calendar are columns without a time step, with a
    warning that names the units and the option that gives a step; they need no other file.
    """
    time = ("time", np.arange(40.0), {"units": "parsecs since yesterday"})
    data = xarray.Dataset({"u": ("time", np.arange(40.0) % 7)}, coords={"time": time})
    data.to_netcdf(tmp_path / "u.nc", engine=engine)
    (found,) = open_trajectories([tmp_path / "u.nc"], ReadOptions())
    assert found.n_frames == 40
    assert found.dt is None
    assert "parsecs since yesterday" in found.warnings[0]
    assert "--dt" in found.warnings[0]
    (stepped,) = open_trajectories([tmp_path / "u.nc"], ReadOptions(dt="2d"))
    assert (stepped.dt.value, stepped.dt.unit) == (2.0, "d")
    error, _ = two_lines(run("info", tmp_path / "u.nc", "--time-axis", "1"))
    assert "has 1 axis (40,)" in error


@pytest.mark.parametrize("name", ["a.npy", "a.csv", "a.npz"])
@pytest.mark.parametrize("steps", ["count", "even", "uneven"])
def test_a_first_column_that_nothing_names_is_doubted(tmp_path, name, steps):
    """Times in an unnamed first column are the first warning, and its cure leaves them out."""
    made = relaxing(3000)
    times = {
        "count": np.arange(3000.0),
        "even": 0.1 * np.arange(3000),
        "uneven": np.random.default_rng(0).uniform(0.5, 1.5, 3000).cumsum(),
    }[steps]
    data, path = np.column_stack([times, made]), tmp_path / name
    if name == "a.csv":
        np.savetxt(path, data, delimiter=",")
    elif name == "a.npz":
        np.savez(path, x=data)
    else:
        np.save(path, data)
    (run,) = open_trajectories([path], ReadOptions())
    said = "rises at every frame" if steps == "uneven" else "rises by a constant"
    assert f"column x1 {said}" in run.warnings[0]
    if name == "a.npz":
        assert "save the other columns" in run.warnings[0]
        return
    cure = re.search("--var ([x0-9,]+)", run.warnings[0])
    (cured,) = open_trajectories([path], ReadOptions(var=tuple(cure[1].split(","))))
    assert cured.names == ("x2", "x3", "x4")
    assert not cured.warnings
    values = np.concatenate([chunk.values for chunk in cured.read(700)])
    np.testing.assert_allclose(values, made)


def test_columns_that_move_are_not_doubted(tmp_path):
    """None of 200 stationary, drifting or periodic first columns is taken for the time."""
    rng = np.random.default_rng(1)
    for k in range(200):
        n = int(rng.integers(20, 3000))
        first = [
            rng.standard_normal(n),
            relaxing(n, seed=k, memory=(0.999,))[:, 0],
            np.cumsum(rng.standard_normal(n)),
            np.sin(np.arange(n) * 2 * np.pi / max(20, n // 3)),
            np.repeat(np.arange(-(-n // 4)), 4)[:n],
        ][k % 5]
        np.save(tmp_path / "a.npy", np.column_stack([first, rng.standard_normal(n)]))
        (run,) = open_trajectories([tmp_path / "a.npy"], ReadOptions())
        assert not any("as time does" in warning for warning in run.warnings)


def test_columns_of_an_array_are_chosen_by_their_places(tmp_path):
    """``--var x3,x1`` of an npy file: these columns in this order; what is not there is exit 2."""
    data = np.random.default_rng(0).standard_normal((30, 3))
    np.save(tmp_path / "a.npy", data)
    (run,) = open_trajectories([tmp_path / "a.npy"], ReadOptions(var=("x3", "x1")))
    assert run.names == ("x3", "x1")
    np.testing.assert_array_equal(next(iter(run.read(30))).values, data[:, [2, 0]])
    with pytest.raises(UsageError, match="3 columns, x1 to x3"):
        open_trajectories([tmp_path / "a.npy"], ReadOptions(var=("x4",)))
