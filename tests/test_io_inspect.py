"""What `koopman info` knows after one pass."""

from importlib import import_module

import numpy as np
from cli_support import done
from io_fixtures import molecule, top_of, write_h5, write_md

from koopman_cli.io import inspect
from koopman_cli.report.inspection import inspection_lines
from koopman_cli.types import ReadOptions


def seen(path, **options):
    """The inspection of one path."""
    (result,) = inspect([path], ReadOptions(**options))
    return result


def test_md_in_full(tmp_path):
    """Kind, frames, dt and its origin, atoms, residues, cell, memory, lags of a run."""
    write_h5(molecule(), tmp_path / "a.h5")
    result = seen(tmp_path / "a.h5", stride=2)
    assert (result.kind, result.frames, result.atoms, result.residues) == ("md", 12, 12, 3)
    assert (result.dt.value, result.dt.unit) == (4.0, "ps")
    assert "time stamps" in result.dt.origin
    assert result.time == (100.0, 144.0)
    assert result.cell is True
    assert result.columns == 36
    assert result.memory == {"float32": 12 * 36 * 4, "float64": 12 * 36 * 8}
    assert result.lags == (1, 11)
    assert result.nonfinite.values == 0
    assert result.repeated == ()


def test_nonfinite_values_are_located(tmp_path, monkeypatch):
    """Ranges of bad frames, their number, and the first feature, whatever the chunk."""
    data = np.random.default_rng(0).normal(size=(5000, 3))
    data[1000:1500, 1] = np.nan
    data[4999, 2] = np.inf
    np.save(tmp_path / "a.npy", data)
    for chunk in (1 << 24, 16 * 3 * 7):
        monkeypatch.setattr(import_module("koopman_cli.io.inspect"), "_CHUNK", chunk)
        bad = seen(tmp_path / "a.npy").nonfinite
        assert bad.ranges == ((1000, 1499), (4999, 4999))
        assert (bad.values, bad.frames, bad.first) == (501, 501, (1000, "x2"))


def test_first_bad_atom_is_named(tmp_path):
    """In MD the first bad value is named by axis and atom."""
    made = molecule()
    made.xyz[4, 5, 1] = np.nan
    write_h5(made, tmp_path / "a.h5")
    assert seen(tmp_path / "a.h5").nonfinite.first == (4, f"y of {made.topology.atom(5)}")


def test_repeated_frames_and_constant_columns(tmp_path, monkeypatch):
    """A frozen stretch is a range, also across chunks; a column that never changes is named."""
    data = np.random.default_rng(0).normal(size=(6000, 3))
    data[:, 2] = 5.0
    data[3000:4000] = data[3000]
    np.save(tmp_path / "a.npy", data)
    for chunk in (1 << 24, 16 * 3 * 11):
        monkeypatch.setattr(import_module("koopman_cli.io.inspect"), "_CHUNK", chunk)
        result = seen(tmp_path / "a.npy")
        assert result.repeated == ((3000, 3999),)
        assert result.repeated_frames == 999
        assert result.constant == ("x3",)


def test_members_of_an_ensemble_do_not_repeat_each_other(tmp_path):
    """The first frame of a particle is not a repetition of the last of another."""
    np.save(tmp_path / "a.npy", np.tile(np.arange(4.0), (3, 1))[:, [0, 1, 2, 0]])
    result = seen(tmp_path / "a.npy", ensemble=True)
    assert result.repeated == ()
    assert result.segments == 3
    assert result.lags == (1, 3)


def test_no_lag_without_a_pair(tmp_path):
    """A single frame has no usable lag."""
    np.save(tmp_path / "a.npy", np.zeros((1, 3)))
    assert seen(tmp_path / "a.npy").lags is None


def test_no_cell_and_warnings(tmp_path):
    """A run without a cell says so; warnings of the reader are passed on."""
    made = molecule(cell=False)
    made.time = np.zeros(23)
    path = write_md(made, tmp_path / "a.trr")
    result = seen(path, top=top_of(made, tmp_path))
    assert result.cell is False
    assert result.dt is None
    assert "all 23 time stamps" in result.warnings[0]


def test_constant_atoms_are_named(tmp_path):
    """Atoms that never move are listed by name."""
    made = molecule()
    made.xyz[:, 3] = 1.0
    write_h5(made, tmp_path / "a.h5")
    assert seen(tmp_path / "a.h5").constant == (str(made.topology.atom(3)),)


# ------------------------------------------------------------------ many of one kind


def test_trajectories_that_are_alike_are_told_once(tmp_path):
    """Twelve runs of one system are one block of text; one with a bad frame has its own."""
    rng = np.random.default_rng(0)
    for i in range(12):
        np.save(tmp_path / f"run{i}.npy", rng.normal(size=(100 + (i > 8), 3)))
    odd = rng.normal(size=(50, 3))
    odd[7, 1] = np.nan
    np.save(tmp_path / "run12.npy", odd)
    paths = sorted(tmp_path.glob("*.npy"), key=lambda p: int(p.stem[3:]))
    blocks = done("info", *paths).out.strip().split("\n\n")
    assert len(blocks) == 2
    told = "run3.npy and 8 more: array, 12 trajectories of 100 to 101 frames, 1203 in all"
    assert told in blocks[0]
    assert "usable lags: 1 to 100 frames in the longest" in blocks[0]
    assert "run12.npy: array, 50 frames" in blocks[1]
    assert "not finite: 1 value in 1 frame (7), first x2 in frame 7" in blocks[1]
    assert len(done("info", *paths, "--json").json["trajectories"]) == 13


def test_trajectories_that_differ_are_told_apart(tmp_path):
    """Another number of columns, another type or a constant column is another block."""
    rng = np.random.default_rng(0)
    for i, width in enumerate((3, 2)):
        np.save(tmp_path / f"{i}.npy", rng.normal(size=(40, width)))
    flat = rng.normal(size=(40, 2))
    flat[:, 0] = 1.0
    np.save(tmp_path / "2.npy", flat)
    np.save(tmp_path / "3.npy", rng.normal(size=(40, 2)).astype("float32"))
    lines = inspection_lines(inspect([tmp_path / f"{i}.npy" for i in (1, 2, 3)], ReadOptions()))
    assert lines.count("") == 2


def test_runs_of_molecules_are_told_with_the_origin_of_their_step(tmp_path):
    """Runs with time stamps of their own share a block, which names no single file."""
    for i in range(3):
        write_h5(molecule(), tmp_path / f"{i}.h5")
    said = done("info", *(tmp_path / f"{i}.h5" for i in range(3))).out
    assert said.count("time step") == 1
    assert "from time stamps of each file" in said
    assert "molecular dynamics, 3 trajectories of " in said
