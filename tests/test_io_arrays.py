"""Arrays: npy, npz, text tables, COLVAR, MATLAB, HDF5 and NetCDF; layouts and types."""

import numpy as np
import pytest
from io_fixtures import failure, read, read_all

DATA = np.random.default_rng(3).normal(size=(57, 3))


def write(path, data=DATA, name="x"):
    """Write an array in the format of the suffix; .mat is v5, .v73.mat is HDF5."""
    import h5py
    from scipy.io import netcdf_file, savemat

    if path.name.endswith(".v73.mat"):
        with h5py.File(path, "w", userblock_size=512) as handle:
            handle[name] = data.T
            handle[name].attrs["MATLAB_class"] = np.bytes_("double")
        with path.open("r+b") as handle:
            handle.write(b"MATLAB 7.3 MAT-file, made for a test".ljust(124))
        return path
    if path.suffix == ".npy":
        np.save(path, data)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **{name: data})
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as handle:
            handle[f"group/{name}"] = data
    elif path.suffix == ".mat":
        savemat(path, {name: data}, do_compression=True)
    elif path.suffix == ".nc":
        with netcdf_file(path, "w") as handle:
            handle.createDimension("frame", None)
            handle.createDimension("dim", data.shape[1])
            handle.createVariable(name, "f8", ("frame", "dim"))[:] = data
    else:
        np.savetxt(path, data, delimiter="," if path.suffix == ".csv" else " ", fmt="%.17g")
    return path


FORMS = ["a.npy", "a.npz", "a.csv", "a.txt", "a.mat", "a.v73.mat", "a.h5", "a.nc"]


@pytest.mark.parametrize("name", FORMS)
def test_every_format_gives_the_same_array(tmp_path, name):
    """Whatever the chunk, each format reads back bit-equal; slices too."""
    path = write(tmp_path / name)
    trajectory, values = read(path)
    assert trajectory.kind == "array"
    assert trajectory.names == ("x1", "x2", "x3")
    assert trajectory.dt is None
    assert np.array_equal(values, DATA)
    for size in (1, 5, 56):
        assert np.array_equal(read_all(trajectory, size), DATA)
    part, sliced = read(path, begin="4", end="50", stride=7)
    assert np.array_equal(sliced, DATA[4:50:7])
    assert np.array_equal(read_all(part, 2), sliced)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mat", "a.v73.mat", "a.h5"])
def test_time_axis(tmp_path, name):
    """--time-axis 1 (or -1) reads the transposed array; axis 2 does not exist: exit 2."""
    path = write(tmp_path / name, DATA.T)
    assert np.array_equal(read(path, time_axis=1)[1], DATA)
    assert np.array_equal(read(path, time_axis=-1, stride=4)[1], DATA[::4])
    error = failure(path, time_axis=2)
    assert error.code == 2
    assert "2 axes" in str(error)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_fortran_order(tmp_path, name):
    """Column-major arrays are read like others."""
    path = write(tmp_path / name, np.asfortranarray(DATA))
    assert np.array_equal(read(path, stride=2)[1], DATA[::2])


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.txt", "a.mat", "a.v73.mat", "a.h5"])
def test_one_axis_becomes_one_column(tmp_path, name):
    """A 1-D array (a row or column vector in MATLAB) is a run of one column."""
    data = DATA[:, :1].T if "v73" in name else DATA[:, 0]
    _, values = read(write(tmp_path / name, data))
    assert values.shape == (57, 1)
    assert np.array_equal(values[:, 0], DATA[:, 0])


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
def test_ensemble_is_one_segment_per_particle(tmp_path, name):
    """(particles, time, dim) flattens to frames, whatever the chunk, range and stride."""
    cube = np.random.default_rng(0).normal(size=(11, 6, 2))
    path = write(tmp_path / name, cube)
    for options, part in (({}, cube), ({"begin": "1", "end": "6", "stride": 2}, cube[:, 1:6:2])):
        trajectory, values = read(path, ensemble=True, **options)
        each = part.shape[1]
        starts = np.arange(11) * each
        assert np.array_equal(values, part.reshape(-1, 2))
        assert np.array_equal(trajectory.segments, np.stack([starts, starts + each], axis=1))
        for size in (1, 4, 7, 13):
            assert np.array_equal(read_all(trajectory, size), values)


def test_ensemble_with_time_last_and_pairs(tmp_path):
    """--time-axis applies to ensembles; pairs are two frames each; 2-D is one column."""
    cube = np.random.default_rng(0).normal(size=(5, 3, 8))
    values = read(write(tmp_path / "a.npy", cube), ensemble=True, time_axis=2)[1]
    assert np.array_equal(values, cube.transpose(0, 2, 1).reshape(-1, 3))
    trajectory, values = read(write(tmp_path / "b.npy", cube[:, 0, :2]), ensemble=True)
    assert np.array_equal(values[:, 0], cube[:, 0, :2].ravel())
    assert len(trajectory.segments) == 5


def test_a_large_ensemble_takes_few_reads(tmp_path, monkeypatch):
    """1e5 pairs are read in a handful of blocks, not one by one."""
    from koopman_cli.io.rows import RowFile

    blocks = []
    block = RowFile.block
    monkeypatch.setattr(RowFile, "block", lambda s, *a: blocks.append(a) or block(s, *a))
    pairs = np.random.default_rng(0).normal(size=(100_000, 2, 2))
    trajectory, _ = read(write(tmp_path / "a.npy", pairs), ensemble=True)
    blocks.clear()
    assert np.array_equal(read_all(trajectory, 50_000), pairs.reshape(-1, 2))
    assert len(blocks) < 10
    assert len(trajectory.segments) == 100_000


def test_three_axes_are_a_field_or_an_ensemble(tmp_path):
    """A cube is snapshots unless --ensemble or --kind array say otherwise; four axes are none."""
    cube = write(tmp_path / "a.npy", np.zeros((4, 3, 2)))
    trajectory, _ = read(cube)
    assert (trajectory.kind, trajectory.n_frames) == ("field", 4)
    error = failure(cube, kind="array")
    assert error.code == 3
    assert "(4, 3, 2)" in str(error)
    assert failure(write(tmp_path / "b.npy", np.zeros((4, 3, 2, 2))), ensemble=True).code == 3


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("int8", "float64"), ("int16", "float64"), ("uint32", "float64"), ("bool", "float64"),
        ("float16", "float64"), ("float32", "float32"), (">f8", "float64"), (">f4", "float32"),
        ("complex64", "complex128"), ("longdouble", "float64"),
    ],
)  # fmt: skip
def test_types_become_the_three_that_are_computed_with(tmp_path, dtype, expected):
    """Integers and half floats become float64, byte order native, complex stays complex."""
    data = (np.arange(12).reshape(6, 2) % 7).astype(dtype)
    trajectory, values = read(write(tmp_path / "a.npy", data))
    assert trajectory.dtype == values.dtype.name == expected
    assert np.array_equal(values, data.astype(expected))
    assert any("float16" in w for w in trajectory.warnings) == (dtype == "float16")


def test_objects_text_and_records_are_refused_in_one_line(tmp_path):
    """Object arrays exit 3 without unpickling; so do strings and structured arrays."""
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object))
    np.save(tmp_path / "s.npy", np.array(["a", "b"]))
    np.save(tmp_path / "r.npy", np.zeros(3, [("a", "f8")]))
    np.savez(tmp_path / "o.npz", x=np.array([None], dtype=object))
    for name, word in (("o.npy", "objects"), ("s.npy", "text"), ("r.npy", "records")):
        error = failure(tmp_path / name)
        assert error.code == 3
        assert word in str(error)
    assert failure(tmp_path / "o.npz").code == 3


def test_empty_and_scalar_arrays(tmp_path):
    """No frames, no columns and single numbers exit 3."""
    for shape in ((0, 3), (3, 0), ()):
        assert failure(write(tmp_path / "a.npy", np.zeros(shape))).code == 3


def test_a_header_is_not_believed(tmp_path):
    """A claimed shape of (9**9, 3) over 1 kB exits 3 without allocating; so does damage."""
    path = write(tmp_path / "a.npy", np.zeros((10, 3)))
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b"(10, 3), ", b"(387420489, 3), ")[:1000])
    error = failure(path)
    assert error.code == 3
    assert "387420489" in str(error)
    path.write_bytes(raw[:9] + b"\xff" + raw[10:])
    assert failure(path).code == 3


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.mat", "a.nc"])
def test_several_arrays_are_listed_and_chosen(tmp_path, name):
    """Without --var the arrays are listed; --var takes one or several; typos get a hint."""
    import h5py
    from scipy.io import netcdf_file, savemat

    path = tmp_path / name
    other = np.arange(57.0)
    if name == "a.npz":
        np.savez(path, data=DATA, other=other)
    elif name == "a.mat":
        savemat(path, {"data": DATA, "other": other[:, None]})
    elif name == "a.nc":
        with netcdf_file(path, "w") as handle:
            handle.createDimension("n", 57)
            handle.createDimension("d", 3)
            handle.createVariable("data", "f8", ("n", "d"))[:] = DATA
            handle.createVariable("other", "f8", ("n",))[:] = other
    else:
        with h5py.File(path, "w") as handle:
            handle["data"], handle["other"] = DATA, other
            handle["text"] = "not numbers"
    error = failure(path)
    assert error.code == 3
    assert "data (57x3 float64)" in str(error)
    assert "other" in str(error)
    assert "--var data" in error.hint
    assert np.array_equal(read(path, var=("data",))[1], DATA)
    trajectory, both = read(path, var=("other", "data"), stride=5)
    assert trajectory.names == ("other", "data[1]", "data[2]", "data[3]")
    assert np.array_equal(both, np.column_stack([other, DATA])[::5])
    assert np.array_equal(read_all(trajectory, 2), both)
    assert "did you mean data?" in failure(path, var=("dta",)).hint


def test_nested_datasets_and_links(tmp_path):
    """A nested path is chosen with --var; links out of the file are not followed."""
    import h5py

    with h5py.File(tmp_path / "secret.h5", "w") as handle:
        handle["x"] = DATA
    with h5py.File(tmp_path / "a.h5", "w") as handle:
        handle["a/b/c"] = DATA
        handle["out"] = h5py.ExternalLink("secret.h5", "/x")
    assert np.array_equal(read(tmp_path / "a.h5", var=("/a/b/c",))[1], DATA)
    assert np.array_equal(read(tmp_path / "a.h5")[1], DATA)
    assert failure(tmp_path / "a.h5", var=("out",)).code == 2


def test_arrays_of_different_length_do_not_stand_side_by_side(tmp_path):
    """--var of two arrays of 57 and 10 frames exits 3 with both shapes."""
    np.savez(tmp_path / "a.npz", x=DATA, y=DATA[:10])
    error = failure(tmp_path / "a.npz", var=("x", "y"))
    assert error.code == 3
    assert "(57, 3)" in str(error)
    assert "(10, 3)" in str(error)


def test_header_line_names_the_columns(tmp_path):
    """Names come from the first line, commented or not; a column named time is no feature."""
    path = tmp_path / "a.csv"
    path.write_text("time (ns),phi,psi\n" + "".join(f"{0.5 * i},{i},{-i}\n" for i in range(9)))
    trajectory, values = read(path)
    assert trajectory.names == ("phi", "psi")
    assert (trajectory.dt.value, trajectory.dt.unit) == (0.5, "ns")
    assert np.array_equal(values[:, 0], np.arange(9))
    path.write_text("# a b\n1 2\n\n# a comment\n3 4\n")
    trajectory, values = read(path)
    assert trajectory.names == ("a", "b")
    assert np.array_equal(values, [[1, 2], [3, 4]])
    path.write_text('"a","b"\n"1","2"\n')
    assert np.array_equal(read(path)[1], [[1, 2]])
    assert read(path, var=("b",))[0].names == ("b",)
    assert "did you mean" in failure(path, var=("bb",)).hint


def test_gaps_in_a_table_are_nan_and_text_is_named(tmp_path):
    """Empty cells are NaN; a word names line and column; a short line its number."""
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,\n3,4\n")
    assert np.array_equal(read(path)[1], [[1, np.nan], [3, 4]], equal_nan=True)
    path.write_text("a,b\n1,2\n3,monday\n")
    assert "line 3, column b: 'monday'" in str(failure(path))
    path.write_text("a,b\n1,2\n3\n5,6\n")
    assert "line 3 has 1 column, expected 2" in str(failure(path))


def test_a_cut_last_line(tmp_path):
    """A last line with columns or digits missing exits 3; --allow-truncated leaves it out."""
    path = tmp_path / "a.csv"
    for tail in ("5.125", "5.125,6.2"):
        path.write_text("a,b\n1.125,2.250\n3.125,4.500\n" + tail)
        error = failure(path)
        assert error.code == 3
        assert "2 complete lines" in error.hint
        assert np.array_equal(read(path, allow_truncated=True)[1], [[1.125, 2.25], [3.125, 4.5]])


def test_an_unnamed_time_column_is_noticed(tmp_path):
    """A first column that rises evenly is read as a feature, with a warning."""
    data = np.column_stack([np.arange(57) * 0.1, DATA])
    trajectory, values = read(write(tmp_path / "a.dat", data))
    assert values.shape == (57, 4)
    assert "column x1 rises by a constant 0.1" in trajectory.warnings[0]


@pytest.mark.parametrize("name", ["COLVAR", "colvar.dat", "run.0", "a.txt"])
def test_colvar_under_any_name(tmp_path, name):
    """FIELDS gives names, time gives dt and is no feature, -pi..pi is an angle."""
    path = tmp_path / name
    head = "#! FIELDS time phi d\n#! SET min_phi -pi\n#! SET max_phi pi\n"
    rows = [f" {0.2 * i:.6f} {0.1 * i:.6f} {i * i:.6f}\n" for i in range(30)]
    path.write_text(head + "".join(rows[:20]) + head + "".join(rows[20:]))
    trajectory, values = read(path)
    assert trajectory.names == ("phi", "d")
    assert trajectory.units == ("rad", "")
    assert (trajectory.dt.value, trajectory.dt.unit) == (0.2, "ps")
    assert "column time" in trajectory.dt.origin
    assert np.allclose(values, [[0.1 * i, i * i] for i in range(30)])
    assert np.array_equal(read_all(trajectory, 7), values)


def test_colvar_whose_columns_change(tmp_path):
    """A second FIELDS line with other names exits 3 and is named."""
    path = tmp_path / "COLVAR"
    path.write_text("#! FIELDS time a\n0 1\n#! FIELDS time b\n1 1\n")
    assert "line 3" in str(failure(path))


def test_tables_cannot_be_ensembles(tmp_path):
    """--ensemble on text exits 2."""
    assert failure(write(tmp_path / "a.csv"), ensemble=True).code == 2


def test_memory_follows_the_chunk(tmp_path):
    """Reading 64 MB of npy, npz and a transposed npy in small chunks allocates under 24 MB."""
    import tracemalloc

    data = np.zeros((500_000, 16))
    np.save(tmp_path / "a.npy", data)
    np.savez_compressed(tmp_path / "a.npz", x=data)
    np.save(tmp_path / "t.npy", np.ascontiguousarray(data.T))
    for name, options in (("a.npy", {}), ("a.npz", {}), ("t.npy", {"time_axis": 1})):
        from koopman_cli.io import open_trajectories
        from koopman_cli.types import ReadOptions

        tracemalloc.start()
        (trajectory,) = open_trajectories([tmp_path / name], ReadOptions(**options))
        assert sum(len(c.values) for c in trajectory.read(1000)) == 500_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 24e6, name
