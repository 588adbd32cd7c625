"""Damaged, missing and misnamed input: the right exit code, one line, never a crash."""

import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from io_fixtures import BARE, OWN, failure, molecule, read, top_of, write_dcd, write_h5, write_md

from koopman_cli.errors import DataError, KoopmanError
from koopman_cli.io import open_trajectories
from koopman_cli.io.readers import READERS
from koopman_cli.types import ReadOptions


def test_no_paths():
    """An empty list of paths exits 2."""
    assert failure().code == 2


def test_things_that_are_not_files(tmp_path):
    """Missing, a directory, a broken link and a pipe exit 5 and say which."""
    (tmp_path / "folder.xtc").mkdir()
    (tmp_path / "link.npy").symlink_to("nowhere.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    for name, text in (
        ("none.npy", "no such file"), ("folder.xtc", "directory"),
        ("link.npy", "broken link"), ("pipe.npy", "not a regular file"),
    ):  # fmt: skip
        error = failure(tmp_path / name)
        assert error.code == 5, name
        assert text in str(error)


def test_permission_denied(tmp_path, monkeypatch):
    """A file that may not be read exits 5."""
    np.save(tmp_path / "a.npy", np.zeros(3))
    monkeypatch.setattr(os, "access", lambda *a: False)
    error = failure(tmp_path / "a.npy")
    assert error.code == 5
    assert "permission denied" in str(error)


@pytest.mark.parametrize("reader", READERS, ids=lambda r: r.form)
def test_zero_bytes(tmp_path, reader):
    """A file of zero bytes exits 3 'empty file' whatever its suffix."""
    path = tmp_path / f"a{reader.suffixes[0]}"
    path.touch()
    error = failure(path)
    assert error.code == 3
    assert "empty file" in str(error)


def test_content_decides_against_the_suffix(tmp_path):
    """A dcd named xtc, an npy named h5, text named npy: exit 3, naming what it is."""
    made = molecule()
    top = top_of(made, tmp_path)
    write_md(made, tmp_path / "a.dcd").rename(tmp_path / "a.xtc")
    error = failure(tmp_path / "a.xtc", top=top)
    assert error.code == 3
    assert "holds dcd data" in str(error)
    assert ".dcd" in error.hint
    np.save(tmp_path / "a.npy", np.zeros(3))
    (tmp_path / "a.npy").rename(tmp_path / "a.h5")
    assert "holds npy data" in str(failure(tmp_path / "a.h5"))
    (tmp_path / "b.npy").write_text("1 2\n3 4\n")
    assert failure(tmp_path / "b.npy").code == 3


def test_content_decides_where_the_suffix_is_unknown(tmp_path):
    """An xtc and a table without a known suffix are read; noise names the known suffixes."""
    made = molecule()
    top = top_of(made, tmp_path)
    write_md(made, tmp_path / "a.xtc").rename(tmp_path / "run.part0001")
    assert read(tmp_path / "run.part0001", top=top)[1].shape == (23, 12, 3)
    (tmp_path / "numbers").write_text("1 2\n3 4\n")
    assert read(tmp_path / "numbers")[1].shape == (2, 2)
    for name, raw in (("a.foo", b"\0\1\2\3" * 50), ("b.foo", b"hello world\n")):
        (tmp_path / name).write_bytes(raw)
        error = failure(tmp_path / name)
        assert error.code == 3
        assert ".xtc" in error.hint


@pytest.mark.parametrize("suffix", [*BARE, *OWN])
def test_every_text_and_binary_format_is_known_by_content(tmp_path, suffix):
    """A trajectory without any suffix is recognised in each format."""
    made = molecule()
    write_md(made, tmp_path / f"a.{suffix}").rename(tmp_path / "a")
    top = top_of(made, tmp_path)
    assert read(tmp_path / "a", top=top)[1].shape == (23, 12, 3)


def test_kind_must_fit(tmp_path):
    """--kind md on a table and --kind array on an xtc exit 3; an unknown kind exits 2."""
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert failure(tmp_path / "a.npy", kind="md").code == 3
    assert failure(tmp_path / "a.npy", kind="arry").code == 2
    write_h5(molecule(), tmp_path / "a.h5")
    trajectory, values = read(tmp_path / "a.h5", kind="array", var=("time",))
    assert trajectory.kind == "array"
    assert values.shape == (23, 1)


@pytest.mark.parametrize("suffix", BARE + OWN)
def test_a_cut_file_is_an_error_and_its_frames_can_be_used(tmp_path, suffix):
    """Cut at 60%: exit 3 with the frames there, which --allow-truncated reads with a warning."""
    made = molecule()
    path = write_md(made, tmp_path / f"a.{suffix}")
    top = top_of(made, tmp_path)
    whole = read(path, top=top)[1]
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) * 6 // 10])
    error = failure(path, top=top)
    assert error.code == 3
    if suffix == "h5":
        assert "truncated" in str(error)
        return
    trajectory, part = read(path, top=top, allow_truncated=True)
    assert trajectory.warnings[0] == str(error)
    assert "readable" in str(error)
    assert 10 <= len(part) <= 14
    assert f"{len(part)} " in str(error)
    assert f"use the {len(part)} complete frames" in error.hint
    assert np.array_equal(part, whole[: len(part)])


def test_dcd_header_that_claims_more(tmp_path):
    """500 frames claimed, 23 there: exit 3 with both numbers; fewer claimed: a warning."""
    made = molecule(cell=False)
    top = top_of(made, tmp_path)
    path = write_dcd(tmp_path / "a.dcd", made.xyz * 10, claimed=500)
    error = failure(path, top=top)
    assert str(error).endswith("header says 500 frames, 23 are readable")
    assert error.hint == "add --allow-truncated to use the 23 complete frames"
    assert len(read(path, top=top, allow_truncated=True)[1]) == 23
    trajectory, values = read(write_dcd(path, made.xyz * 10, claimed=20), top=top)
    assert len(values) == 23
    assert "header says 20 frames" in trajectory.warnings[0]


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mat", "b.h5"])
def test_cut_arrays(tmp_path, name):
    """Cut npy, npz, mat and HDF5 exit 3; complete rows of an npy are used with a warning."""
    import h5py
    from scipy.io import savemat

    data = np.random.default_rng(0).normal(size=(100, 3))
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, data)
    elif name.endswith("npz"):
        np.savez(path, x=data)
    elif name.endswith("mat"):
        savemat(path, {"x": data})
    else:
        with h5py.File(path, "w") as handle:
            handle["x"] = data
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    assert failure(path).code == 3
    if name == "a.npy":
        trajectory, kept = read(path, allow_truncated=True)
        assert f"header says 100 frames, {len(kept)} are readable" in trajectory.warnings[0]
        assert 40 < len(kept) < 50
        assert np.array_equal(kept, data[: len(kept)])


@pytest.mark.parametrize("name", ["a.csv", "field.npy", "a.nc"])
def test_what_is_left_out_is_said(tmp_path, name):
    """Cut tables, NetCDF variables and npy fields: exit 3, or fewer frames and a warning."""
    path = tmp_path / name
    data = np.random.default_rng(0).normal(size=(50, 4, 5) if "field" in name else (50, 4))
    if name.endswith("csv"):
        np.savetxt(path, data, delimiter=",", header="a,b,c,d", comments="")
    elif name.endswith("npy"):
        np.save(path, data)
    else:
        write_records(path, data)
    raw = path.read_bytes()
    path.write_bytes(raw[:-10])
    error = failure(path)
    assert error.code == 3
    assert "--allow-truncated" in error.hint
    trajectory, kept = read(path, allow_truncated=True)
    assert np.allclose(kept, data[:49].reshape(49, -1))
    assert "49" in trajectory.warnings[0]
    assert "are readable" in trajectory.warnings[0]


def write_records(path, data):
    """A NetCDF 3 file with one variable, a record per frame."""
    from scipy.io import netcdf_file

    with netcdf_file(path, "w") as handle:
        axes = ("time", "lat", "lon")[: data.ndim]
        for axis, size in zip(axes, (None, *data.shape[1:]), strict=True):
            handle.createDimension(axis, size)
        handle.createVariable("x", "f8", axes)[:] = data


def test_a_cut_netcdf_field_is_refused(tmp_path):
    """Fields are read by a library that needs the whole file: exit 3 says so, no frame is lost."""
    write_records(tmp_path / "a.nc", np.ones((50, 4, 5)))
    raw = (tmp_path / "a.nc").read_bytes()
    (tmp_path / "a.nc").write_bytes(raw[:-10])
    for kind, allowed in ((None, True), ("field", True), (None, False)):
        error = failure(tmp_path / "a.nc", kind=kind, allow_truncated=allowed)
        assert error.code == 3
        assert "header says 50 frames, 49 are readable" in str(error)
        assert "copy it again" in error.hint


# The psf parser leaves a file it gives up on to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.pdb", b"hello\nworld\n" * 9, "no line begins with ATOM or HETATM"),
        ("a.pdb", bytes(range(256)) * 9, "no line begins with ATOM or HETATM"),
        ("a.pdb", b"ATOM\n" * 9, "it is no pdb file, or damaged"),
        ("a.gro", b"hello\nworld\n" * 9, "its second line is not a number of atoms"),
        ("a.gro", b"title\n 9\n    1ALA\n", "it ends after 3 lines, before its box"),
        ("a.psf", b"hello\nworld\n" * 9, "it does not begin with PSF"),
        ("a.psf", b"PSF\n\n       3 !NATOM\n 1 garbage\n", "it is no psf file, or damaged"),
        ("a.prmtop", bytes(range(256)) * 9, "it has no line that begins with %FLAG"),
        ("a.prmtop", b"%VERSION\n%FLAG TITLE\n%FORMAT(20a4)\n", "no prmtop file, or damaged"),
        ("a.mol2", b"hello\nworld\n" * 9, "it has no line @<TRIPOS>MOLECULE"),
        ("a.foo", b"hello\nworld\n" * 9, "topologies have no suffix .foo"),
    ],
)
def test_unreadable_topologies(tmp_path, name, content, reason):
    """Garbage, cut and unknown topologies exit 3 and say what is wrong with the file itself."""
    write_md(molecule(), tmp_path / "run.xtc")
    (tmp_path / name).write_bytes(content)
    error = failure(tmp_path / "run.xtc", top=str(tmp_path / name))
    assert error.code == 3
    assert str(error).startswith(str(tmp_path / name))
    assert reason in str(error)
    assert "pdb, gro, psf, prmtop" in error.hint


def test_damaged_frames_are_named(tmp_path):
    """A wrong record mark, magic number or word in frame 11 exits 3 and names it."""
    made = molecule()
    top = top_of(made, tmp_path)
    for suffix, find in (("xtc", struct.pack(">i", 1995)), ("trr", struct.pack(">i", 1993))):
        path = write_md(made, tmp_path / f"a.{suffix}")
        raw = path.read_bytes()
        at = -1
        for _ in range(12):
            at = raw.index(find, at + 1)
        path.write_bytes(raw[:at] + b"\xff" + raw[at + 1 :])
        assert "frame 11 is damaged" in str(failure(path, top=top)), suffix
    path = write_dcd(tmp_path / "a.dcd", made.xyz * 10)
    raw = bytearray(path.read_bytes())
    frame = 3 * (12 * 4 + 8)
    raw[len(raw) - 12 * frame] ^= 255
    path.write_bytes(raw)
    assert "frame 11 is damaged" in str(failure(path, top=top))
    for suffix in ("xyz", "lammpstrj"):
        path = write_md(made, tmp_path / f"a.{suffix}")
        lines = path.read_text().splitlines()
        each = len(lines) // 23
        words = lines[11 * each + each - 2].split()
        lines[11 * each + each - 2] = " ".join([*words[:-1], "oops"])
        path.write_text("\n".join(lines) + "\n")
        assert "frame 11 is damaged" in str(failure(path, top=top)), suffix


@pytest.mark.parametrize("suffix", sorted({*BARE, *OWN} - {"h5", "nc"}))
def test_frames_of_other_atoms(tmp_path, suffix):
    """A file glued from runs of 12 and 8 atoms exits 3 rather than reading on."""
    a = write_md(molecule(), tmp_path / f"a.{suffix}")
    b = write_md(molecule(atoms=8), tmp_path / f"b.{suffix}")
    top = top_of(molecule(), tmp_path)
    glued = tmp_path / f"c.{suffix}"
    glued.write_bytes(a.read_bytes() + b.read_bytes())
    assert failure(glued, top=top).code == 3


def test_xtc_of_large_frames_is_refused(tmp_path):
    """Magic number 2023 is recognised as xtc and refused with a way out."""
    path = write_md(molecule(), tmp_path / "a.xtc")
    raw, out, at = path.read_bytes(), b"", 0
    while at < len(raw):
        (count,) = struct.unpack(">i", raw[at + 88 : at + 92])
        end = at + 92 + (count + 3) // 4 * 4
        out += struct.pack(">i", 2023) + raw[at + 4 : at + 88]
        out += struct.pack(">q", count) + raw[at + 92 : end]
        at = end
    path.write_bytes(out)
    error = failure(path, top=top_of(molecule(), tmp_path))
    assert error.code == 3
    assert "2023" in str(error)


def test_a_file_that_changes_while_it_is_read(tmp_path):
    """Appending to a file between opening and the last chunk exits 3."""
    path = write_md(molecule(), tmp_path / "a.xtc")
    (trajectory,) = open_trajectories([path], ReadOptions(top=top_of(molecule(), tmp_path)))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(DataError, match="changed while it was read"):
        list(trajectory.read(100))


def test_files_that_do_not_belong_together(tmp_path):
    """MD with arrays, other numbers of atoms or columns, other names: exit 3, both named."""
    write_h5(molecule(), tmp_path / "a.h5")
    write_h5(molecule(atoms=8), tmp_path / "b.h5")
    np.save(tmp_path / "a.npy", np.zeros((5, 2)))
    np.save(tmp_path / "b.npy", np.zeros((5, 3)))
    (tmp_path / "a.csv").write_text("p,q\n1,2\n")
    (tmp_path / "b.csv").write_text("q,p\n1,2\n")
    for pair in (("a.h5", "a.npy"), ("a.h5", "b.h5"), ("a.npy", "b.npy"), ("a.csv", "b.csv")):
        error = failure(*(tmp_path / name for name in pair))
        assert error.code == 3
        assert all(name in str(error) for name in pair)


def test_odd_names(tmp_path, monkeypatch):
    """Names with spaces, umlauts, a newline or a leading dash are read."""
    monkeypatch.chdir(tmp_path)
    write_md(molecule(), tmp_path / "a.xtc")
    top = top_of(molecule(), tmp_path)
    for name in ("two words.xtc", "größe.xtc", "-dash.xtc"):
        (tmp_path / "a.xtc").rename(tmp_path / name)
        assert len(read(name, top=top)[1]) == 23
        (tmp_path / name).rename(tmp_path / "a.xtc")


def test_many_files_need_few_handles(tmp_path):
    """300 files are opened and read while only 40 handles are allowed."""
    import resource

    for i in range(300):
        np.save(tmp_path / f"{i}.npy", np.full(4, float(i)))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir())) if Path("/proc/self/fd").is_dir() else 20
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, hard))
    try:
        paths = [tmp_path / f"{i}.npy" for i in range(300)]
        trajectories = open_trajectories(paths, ReadOptions())
        total = sum(c.values.sum() for t in trajectories for c in t.read(3))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert total == 4 * sum(range(300))


FUZZ = """
import random, sys
from koopman_cli.errors import KoopmanError
from koopman_cli.io import open_trajectories
from koopman_cli.types import ReadOptions
path, top, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
raw, rng = open(path, "rb").read(), random.Random(seed)
errors = 0
for i in range(150):
    bad = bytearray(raw)
    if i % 3:
        where = rng.randrange(len(raw) if i % 2 else min(len(raw), 400))
        bad[where] ^= 1 << rng.randrange(8)
    else:
        del bad[rng.randrange(len(raw)):]
    open(path, "wb").write(bad)
    try:
        (t,) = open_trajectories([path], ReadOptions(top=top or None))
        assert sum(len(c.values) for c in t.read(7)) == t.n_frames
    except KoopmanError:
        errors += 1
assert errors > 20, errors
"""


@pytest.mark.parametrize("suffix", [*BARE, *OWN, "npy", "npz", "mat", "csv"])
def test_flipped_bits_and_cuts_never_crash(tmp_path, suffix):
    """150 cuts and flipped bits per format give data or an error of ours, in a child process."""
    path = tmp_path / f"a.{suffix}"
    data = np.random.default_rng(0).normal(size=(40, 3))
    if suffix in BARE + OWN:
        write_md(molecule(), path)
    elif suffix == "mat":
        from scipy.io import savemat

        savemat(path, {"x": data}, do_compression=True)
    elif suffix == "csv":
        np.savetxt(path, data, delimiter=",")
    else:
        (np.save if suffix == "npy" else np.savez_compressed)(path, data)
    top = top_of(molecule(), tmp_path) if suffix in BARE else ""
    ran = subprocess.run(
        [sys.executable, "-c", FUZZ, str(path), top, "5"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-800:]


def test_every_error_has_a_known_exit_code():
    """Errors of the input are KoopmanErrors with the codes of the contract."""
    assert issubclass(DataError, KoopmanError)
    assert DataError("a", "b").code == 3


def test_reading_leaves_the_input_unchanged(tmp_path):
    """Bytes and modification time of the input stay as they were."""
    for suffix in (*BARE, *OWN):
        path = write_md(molecule(), tmp_path / f"a.{suffix}")
        path.chmod(stat.S_IRUSR)
        before = (path.read_bytes(), path.stat().st_mtime_ns)
        read(path, top=top_of(molecule(), tmp_path))
        assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        [*(f"a.{s}" for s in (*BARE, *OWN)), "top.pdb"]
    )
