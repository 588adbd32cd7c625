"""MD trajectories: every format against the numbers that were written."""

import json
import warnings

import h5py
import mdtraj
import numpy as np
import pytest
from io_fixtures import (
    BARE,
    OWN,
    PRECISION,
    failure,
    molecule,
    read,
    read_all,
    top_of,
    topology_json,
    write_dcd,
    write_h5,
    write_md,
)

from koopman_cli.io import open_trajectories
from koopman_cli.types import ReadOptions


def opened(tmp_path, suffix, **options):
    """A trajectory of 23 frames in a format, opened with options; and what was written."""
    made = molecule()
    path = tmp_path / f"run.{suffix}"
    if not path.exists():
        write_md(made, path)
    top = top_of(made, tmp_path) if suffix in BARE else None
    (trajectory,) = open_trajectories([path], ReadOptions(top=top, **options))
    return trajectory, made


@pytest.mark.parametrize("suffix", BARE + OWN)
def test_every_format_gives_what_was_written(tmp_path, suffix):
    """Coordinates (nm) and cell agree with the written ones to the precision of the format."""
    trajectory, made = opened(tmp_path, suffix)
    assert trajectory.kind == "md"
    assert trajectory.topology.n_atoms == 12
    assert np.abs(read_all(trajectory) - made.xyz).max() <= PRECISION[suffix]
    cell = next(trajectory.read(5)).cell
    if suffix == "xyz":
        assert cell is None
    else:
        assert np.abs(cell - 3 * np.eye(3)).max() < 1e-6


@pytest.mark.parametrize("suffix", BARE + OWN)
def test_the_chunk_size_changes_nothing(tmp_path, suffix):
    """Chunks of 1, 2, 7 and 1000 frames give bit-equal data."""
    trajectory, _ = opened(tmp_path, suffix)
    whole = read_all(trajectory, 1000)
    for size in (1, 2, 7):
        assert np.array_equal(read_all(trajectory, size), whole)


@pytest.mark.parametrize("suffix", BARE + OWN)
def test_range_stride_and_selection_are_a_slice(tmp_path, suffix):
    """begin, end, stride and select read what slicing the whole run gives."""
    whole, _ = opened(tmp_path, suffix)
    part, made = opened(tmp_path, suffix, begin="2", end="20", stride=5, select="name CA or name C")
    atoms = made.topology.select("name CA or name C")
    for size in (1, 3, 50):
        assert np.array_equal(read_all(part, size), read_all(whole)[2:20:5][:, atoms])
    assert [a.name for a in part.topology.atoms] == ["CA", "C"] * 3


@pytest.mark.parametrize("suffix", ["xtc", "trr", "h5", "nc", "gro"])
def test_time_step_comes_from_the_file_where_it_is_there(tmp_path, suffix):
    """Stamps 100, 102, ... ps give 2 ps, times the stride; chunks carry the stamps."""
    trajectory, _ = opened(tmp_path, suffix, stride=3)
    assert (trajectory.dt.value, trajectory.dt.unit) == (6.0, "ps")
    assert "time stamps" in trajectory.dt.origin
    times = np.concatenate([c.time for c in trajectory.read(4)])
    assert np.array_equal(times, np.arange(100, 146, 6))


@pytest.mark.parametrize("suffix", ["dcd", "lammpstrj", "xyz", "mdcrd", "pdb"])
def test_no_time_step_is_invented(tmp_path, suffix):
    """Formats without times have no time step and no stamps, not 0, 1, 2, ..."""
    trajectory, _ = opened(tmp_path, suffix)
    assert trajectory.dt is None
    assert next(trajectory.read(3)).time is None
    assert not trajectory.warnings


def test_ranges_may_be_times(tmp_path):
    """--begin 104ps on stamps 100, 102, ... ps skips two frames."""
    trajectory, made = opened(tmp_path, "trr", begin="104ps", end="110ps")
    assert np.array_equal(read_all(trajectory), made.xyz[2:5])


def test_mdtraj_agrees_on_tilted_cells(tmp_path):
    """Box vectors of a triclinic cell equal those of mdtraj in five formats."""
    made = molecule()
    made.unitcell_lengths = np.tile([3.0, 3.5, 4.0], (23, 1)).astype(np.float32)
    made.unitcell_angles = np.tile([70.0, 80.0, 100.0], (23, 1)).astype(np.float32)
    top = top_of(made, tmp_path)
    for suffix in ("xtc", "trr", "dcd", "nc", "lammpstrj"):
        path = write_md(made, tmp_path / f"t.{suffix}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # netCDF4 is not there, scipy is
            expected = mdtraj.load(str(path), top=top).unitcell_vectors
        (trajectory,) = open_trajectories([path], ReadOptions(top=top))
        cell = np.concatenate([c.cell for c in trajectory.read(9)])
        assert np.abs(cell - expected).max() < 2e-6, suffix


def test_missing_cells_are_none(tmp_path):
    """A run without a cell, or with a cell of zeros, yields None."""
    for suffix in (*BARE, *OWN):
        made = molecule(cell=suffix == "lammpstrj")
        if made.unitcell_lengths is not None:
            made.unitcell_lengths = made.unitcell_lengths * 0
        path = write_md(made, tmp_path / f"run.{suffix}")
        top = top_of(made, tmp_path) if suffix in BARE else None
        (trajectory,) = open_trajectories([path], ReadOptions(top=top))
        assert next(trajectory.read(5)).cell is None, suffix


def test_a_cell_that_vanishes_is_an_error(tmp_path):
    """Frame 9 without a cell among frames with one is named."""
    made = molecule()
    made.unitcell_lengths[9] = 0
    write_h5(made, tmp_path / "a.h5")
    error = failure(tmp_path / "a.h5")
    assert error.code == 3
    assert "frame 9 has no valid unit cell" in str(error)


def test_hdf5_topology_equals_mdtraj(tmp_path):
    """Chains, residues, names, elements and bonds survive the JSON of MDTraj HDF5."""
    made = molecule()
    made.topology.create_standard_bonds()
    write_h5(made, tmp_path / "a.h5")
    trajectory, _ = read(tmp_path / "a.h5")
    assert trajectory.topology == made.topology
    assert trajectory.topology.n_bonds == made.topology.n_bonds > 0


def test_hdf5_units_are_obeyed(tmp_path):
    """A file in Angstrom is read in nm; an unknown unit is refused."""
    made = molecule()
    write_h5(made, tmp_path / "a.h5", "angstroms")
    trajectory, values = read(tmp_path / "a.h5")
    assert np.abs(values - made.xyz).max() < 1e-6
    assert np.allclose(next(trajectory.read(1)).cell[0], 3 * np.eye(3))
    with h5py.File(tmp_path / "a.h5", "a") as handle:
        handle["coordinates"].attrs["units"] = "furlongs"
    error = failure(tmp_path / "a.h5")
    assert error.code == 3
    assert "furlongs" in str(error)


def test_hdf5_needs_no_pytables(tmp_path, monkeypatch):
    """Reading succeeds although PyTables cannot be imported."""
    import sys

    monkeypatch.setitem(sys.modules, "tables", None)
    write_h5(molecule(), tmp_path / "a.h5")
    assert read(tmp_path / "a.h5")[1].shape == (23, 12, 3)


def test_hdf5_bad_topology_is_an_error(tmp_path):
    """A topology that is not laid out as one exits 3; --top then cures it."""
    made = molecule()
    write_h5(made, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as handle:
        del handle["topology"]
        handle["topology"] = np.array([json.dumps({"chains": [{}]}).encode()])
    assert failure(tmp_path / "a.h5").code == 3
    assert read(tmp_path / "a.h5", top=top_of(made, tmp_path))[1].shape == (23, 12, 3)


def test_hdf5_serves_as_topology(tmp_path):
    """--top run.h5 gives the topology for an xtc."""
    made = molecule()
    write_h5(made, tmp_path / "a.h5")
    path = write_md(made, tmp_path / "a.xtc")
    assert read(path, top=str(tmp_path / "a.h5"))[0].topology.n_atoms == 12
    assert json.loads(topology_json(made.topology))["chains"]


def test_missing_topology_names_the_cure(tmp_path):
    """An xtc without --top exits 2: 'a.xtc needs --top'."""
    path = write_md(molecule(), tmp_path / "a.xtc")
    error = failure(path)
    assert error.code == 2
    assert str(error).endswith("a.xtc needs --top")


@pytest.mark.parametrize("suffix", BARE)
def test_atom_mismatch_names_both_numbers(tmp_path, suffix):
    """12 atoms against a topology of 16 exits 3 with both numbers."""
    path = write_md(molecule(), tmp_path / f"a.{suffix}")
    error = failure(path, top=top_of(molecule(atoms=16), tmp_path))
    assert error.code == 3
    assert "12 atoms" in str(error)
    assert "has 16" in str(error)


@pytest.mark.parametrize("text", ["name XX", "resname WAT", "name CA and (", "nosuch", ""])
def test_bad_selections_exit_2(tmp_path, text):
    """A selection that matches nothing or does not parse exits 2 and repeats it."""
    write_h5(molecule(), tmp_path / "a.h5")
    error = failure(tmp_path / "a.h5", select=text)
    assert error.code == 2
    assert repr(text) in str(error)


def test_topology_files_that_are_none(tmp_path):
    """A topology that is text of another kind, missing, or of unknown suffix is an error."""
    path = write_md(molecule(), tmp_path / "a.xtc")
    (tmp_path / "bad.gro").write_text("nothing\nhere\n")
    (tmp_path / "bad.psf").write_text("nothing\nhere\n")
    (tmp_path / "bad.foo").write_text("nothing\nhere\n")
    for name, code in (("bad.gro", 3), ("bad.psf", 3), ("bad.foo", 3), ("none.pdb", 5)):
        assert failure(path, top=str(tmp_path / name)).code == code, name


def test_far_coordinates_name_frame_and_atom(tmp_path):
    """A coordinate of 3e6 nm exits 3, counted in frames of the file whatever the stride."""
    made = molecule()
    made.xyz[20, 5, 1] = 3e6
    for suffix in ("trr", "dcd", "nc"):
        path = write_md(made, tmp_path / f"a.{suffix}")
        error = failure(path, top=top_of(made, tmp_path), begin="2", stride=6)
        assert error.code == 3
        assert "frame 20, atom 6 (ALA" in str(error)


def test_infinite_coordinates_are_left_to_the_features(tmp_path):
    """NaN and infinity pass the reader unchanged."""
    made = molecule()
    made.xyz[3, 2, 0], made.xyz[4, 2, 0] = np.nan, np.inf
    write_h5(made, tmp_path / "a.h5")
    _, values = read(tmp_path / "a.h5")
    assert np.isnan(values[3, 2, 0])
    assert np.isposinf(values[4, 2, 0])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("fixed", [False, True])
def test_dcd_of_either_byte_order_and_fixed_atoms(tmp_path, order, fixed):
    """Big-endian files, cells as cosines, and fixed atoms (kept from frame 0) are read."""
    made = molecule(cell=False)
    xyz = made.xyz * 10
    free = np.array([0, 3, 4, 11]) if fixed else None
    if fixed:
        still = np.setdiff1d(np.arange(12), free)
        xyz[:, still] = xyz[0, still]
    cell = [30.0, 0.0, 30.0, 0.0, 0.0, 30.0]
    path = write_dcd(tmp_path / "a.dcd", xyz, order, free, cell)
    top = top_of(made, tmp_path)
    trajectory, values = read(path, top=top)
    assert np.abs(values - xyz / 10).max() < 1e-6
    assert np.abs(next(trajectory.read(1)).cell[0] - 3 * np.eye(3)).max() < 1e-5
    for options in ({"begin": "1", "stride": 4}, {"begin": "0", "stride": 5}):
        part, got = read(path, top=top, **options)
        assert np.array_equal(got, values[int(options["begin"]) :: options["stride"]])
        assert np.array_equal(read_all(part, 1), got)


def test_lammps_atoms_are_sorted_by_id(tmp_path):
    """Lines in another order in each frame, as LAMMPS writes them, give the same atoms."""
    made = molecule()
    path = write_md(made, tmp_path / "a.lammpstrj")
    lines = path.read_text().splitlines()
    rng = np.random.default_rng(0)
    out = []
    for start in range(0, len(lines), 9 + 12):
        body = lines[start + 9 : start + 21]
        out += lines[start : start + 9] + [body[i] for i in rng.permutation(12)]
    (tmp_path / "b.lammpstrj").write_text("\n".join(out) + "\n")
    top = top_of(made, tmp_path)
    first, second = read(path, top=top)[1], read(tmp_path / "b.lammpstrj", top=top)[1]
    assert np.array_equal(first, second)


def test_lammps_scaled_coordinates(tmp_path):
    """Fractions of a tilted cell become positions: x = origin + box' s."""
    frame = (
        "ITEM: TIMESTEP\n7\nITEM: NUMBER OF ATOMS\n1\n"
        "ITEM: BOX BOUNDS xy xz yz pp pp pp\n1 13 2\n0 20 0\n-5 25 0\n"
        "ITEM: ATOMS id type xs ys zs\n1 1 0.5 0.25 0.1\n"
    )
    path = tmp_path / "a.lammpstrj"
    path.write_text(frame)
    made = molecule(frames=1, atoms=1)
    trajectory, values = read(path, top=top_of(made, tmp_path))
    assert np.allclose(values[0, 0] * 10, [1 + 5 + 0.25 * 2, 5, -2], atol=1e-5)
    assert np.allclose(next(trajectory.read(1)).cell[0] * 10, [[10, 0, 0], [2, 20, 0], [0, 0, 30]])


def test_lammps_units_and_times(tmp_path):
    """ITEM: UNITS and ITEM: TIME are obeyed; reduced units are refused."""
    text = "".join(
        f"ITEM: UNITS\n{{unit}}\nITEM: TIME\n{t}\nITEM: TIMESTEP\n{t}\nITEM: NUMBER OF ATOMS\n1\n"
        f"ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\nITEM: ATOMS id x y z\n1 {t} 0 0\n"
        for t in (0, 500, 1000)
    )
    path = tmp_path / "a.lammpstrj"
    top = top_of(molecule(frames=1, atoms=1), tmp_path)
    path.write_text(text.format(unit="real"))
    trajectory, values = read(path, top=top)
    assert trajectory.dt.value == 0.5
    assert values[1, 0, 0] == 50.0
    path.write_text(text.format(unit="lj"))
    assert failure(path, top=top).code == 3


def test_pdb_alternate_locations_and_end_records(tmp_path):
    """The first of two locations is taken; END separates frames where there is no MODEL."""
    atom = "ATOM  {:5d}  {:<3s}{}ALA A   1    {:8.3f}{:8.3f}{:8.3f}  1.00  0.00           {}\n"
    frame = ""
    for i, (name, alt) in enumerate([("N", " "), ("CA", "A"), ("CA", "B"), ("C", " ")]):
        frame += atom.format(i + 1, name, alt, float(i), 2.0, 3.0, name[0])
    path = tmp_path / "a.pdb"
    path.write_text((frame + "END\n") * 3)
    trajectory, values = read(path)
    assert trajectory.topology.n_atoms == 3
    assert values.shape == (3, 3, 3)
    assert np.allclose(values[2, :, 0], [0.0, 0.1, 0.3])


def test_gro_titles_without_times_give_no_stamps(tmp_path):
    """Titles without 't=' mean that the file keeps no times."""
    path = write_md(molecule(), tmp_path / "a.gro")
    lines = ["a title" if "t=" in line else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")
    trajectory, _ = read(path)
    assert trajectory.dt is None
    assert not trajectory.warnings


def test_trr_frames_without_positions_are_passed_over(tmp_path):
    """A trr frame that holds only a box is no frame; a file of such frames is an error."""
    import struct

    made = molecule()
    path = write_md(made, tmp_path / "a.trr")
    head = struct.pack(">iii12s", 1993, 13, 12, b"GMX_trn_file")
    sizes = struct.pack(">13i", 0, 0, 36, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0)
    empty = head + sizes + struct.pack(">ff", 1.0, 0.0) + b"\0" * 36
    path.write_bytes(empty + path.read_bytes())
    top = top_of(made, tmp_path)
    assert np.array_equal(read(path, top=top)[1], made.xyz)
    path.write_bytes(empty * 3)
    assert "no frame holds positions" in str(failure(path, top=top))
