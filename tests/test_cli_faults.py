"""Faults through the command line: exact exit code, two lines, and nothing else changed."""

from __future__ import annotations

import os
import random
import resource
import shlex
import shutil
import signal
import time
from pathlib import Path

import click
import mdtraj
import numpy as np
import pytest
from cli_support import (
    ALA2,
    Outcome,
    contents,
    done,
    finish,
    process,
    relaxing,
    run,
    start,
    two_lines,
    wait_for,
)
from io_fixtures import write_dcd, write_md
from scipy.io import netcdf_file, savemat

from koopman_cli.cli.output import make_progress
from koopman_cli.report.run import open_run

FRAMES = 1500


def _arrays(folder: Path) -> None:
    x = relaxing(FRAMES)
    rng = np.random.default_rng(1)
    np.save(folder / "x.npy", x)
    np.save(folder / "two columns.npy", x[:, :2])
    np.save(folder / "noise.npy", rng.standard_normal((FRAMES, 2)))
    for name, value in (("nan", np.nan), ("inf", np.inf)):
        bad = x.copy()
        bad[77, 1] = value
        np.save(folder / f"{name}.npy", bad)
    np.save(folder / "object.npy", np.array([1, "a", None], object), allow_pickle=True)
    np.save(folder / "text.npy", np.array(["a", "b"]))
    np.save(folder / "complex.npy", x + 1j * x[:, ::-1])
    np.save(folder / "constant.npy", np.ones((FRAMES, 3)))
    np.save(folder / "wide.npy", rng.standard_normal((20, 50)))
    np.save(folder / "one frame.npy", x[:1])
    np.save(folder / "no frame.npy", x[:0])
    np.savez(folder / "two.npz", a=x, b=x)
    savemat(folder / "two.mat", {"beta": x, "gamma": x})
    with netcdf_file(folder / "two.nc", "w") as file:
        file.createDimension("row", FRAMES)
        for name in ("delta", "epsilon"):
            file.createVariable(name, "f8", ("row",))[:] = x[:, 0]
    grid = rng.standard_normal((30, 4, 5))
    np.savez(folder / "field.npz", u=grid, area=np.ones((4, 5)))
    (folder / "words.csv").write_text("a,b\nhello,world\nfoo,bar\n" * 9)
    (folder / "junk.foo").write_bytes(b"\x00\x01\x02junk")
    with (folder / "claims.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (9**9, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(24_000))
    for name, dt in (("slow", 10.0), ("fast", 20.0)):
        rows = np.column_stack([np.arange(300) * dt, x[:300, 0]])
        np.savetxt(folder / f"{name}.colvar", rows, header="FIELDS time a", comments="#! ")


def _molecules(folder: Path) -> None:
    shutil.copy(ALA2 / "ala2.pdb", folder / "top.pdb")
    run1 = mdtraj.load(str(ALA2 / "run1.xtc"), top=str(ALA2 / "ala2.pdb"))[:300]
    for suffix in ("xtc", "trr", "h5"):
        write_md(run1, folder / f"md.{suffix}")
    write_dcd(folder / "md.dcd", run1.xyz * 10)
    write_md(run1[0].atom_slice(range(8)), folder / "eight.pdb")
    far, bad = run1.xyz.copy(), run1.xyz.copy()
    far[20, 3, 1], bad[20, 3, 1] = 2e4, np.nan
    write_dcd(folder / "far.dcd", far * 10)
    write_dcd(folder / "nan.dcd", bad * 10)


def _broken(folder: Path) -> None:
    for name in ("x.npy", "two.npz", "md.h5", "md.xtc", "md.trr", "md.dcd"):
        content = (folder / name).read_bytes()
        (folder / f"cut.{name.rpartition('.')[2]}").write_bytes(content[:-70])
    for suffix in ("npy", "csv", "h5", "xtc"):
        (folder / f"empty.{suffix}").touch()
    os.mkfifo(folder / "fifo.npy")
    (folder / "broken.npy").symlink_to("nowhere.npy")
    (folder / "folder.npy").mkdir()
    (folder / "stranger").mkdir()
    (folder / "stranger" / "thesis.tex").write_text("years of work")
    settings = {
        "no toml": "[fit\n",
        "section": "[fitt]\n",
        "option": "[fit]\nlga = 3\n",
        "type": '[fit]\nfolds = "many"\n',
        "flag": '[read]\njoin = "yes"\n',
        "list": "[fit]\nlag = [1, 2]\n",
        "plain": "fit = 3\n",
        "paths": "paths = 3\n",
        "setting": "[settings]\nfoo = 3\n",
        "choice": '[fit]\nprecision = "half"\n',
    }
    for name, text in settings.items():
        (folder / f"{name}.toml").write_text(text)


def _fields(folder: Path) -> None:
    import xarray

    t = np.arange(40.0)
    values = np.random.default_rng(0).standard_normal((2, 6, 5))
    wave = np.cos(0.3 * t)[:, None, None] * values[0] + np.sin(0.3 * t)[:, None, None] * values[1]
    gap = wave.copy()
    gap[7, 2, 3] = np.nan
    axes, places = ("time", "lat", "lon"), {"lat": np.arange(6.0), "lon": np.arange(5.0)}
    for name, content, first in (
        ("all_nan", {"sst": wave * np.nan}, "time"),
        ("gap", {"sst": gap}, "time"),
        ("constant", {"sst": wave * 0 + 3}, "time"),
        ("timeless", {"sst": wave}, "member"),
        ("grids", {"sst": wave, "ice": wave[:, :3, :2]}, "time"),
    ):
        own = {
            key: ((first, *(axes[1:] if key == "sst" else ("la2", "lo2"))), data)
            for key, data in content.items()
        }
        known = places | ({"time": t} if first == "time" else {})
        xarray.Dataset(own, known).to_netcdf(folder / f"{name}.nc", engine="h5netcdf")
    np.save(folder / "complex_field.npy", wave * 1j)
    (folder / "leave.py").write_text("import sys\ndef f(x):\n    sys.exit(0)\n")


def _runs(folder: Path) -> None:
    fitted = ["--model", "tica", "--lag", "3", "--dim", "2"]
    done("fit", folder / "x.npy", "-o", folder / "RUN", *fitted)
    model = (folder / "RUN" / "model.h5").read_bytes()
    flipped = bytearray(model)
    flipped[len(model) // 2] ^= 1
    for name, part, content in (
        ("flipped", "model.h5", bytes(flipped)),
        ("short", "model.h5", model[:1000]),
        ("told", "summary.json", b'{"a'),
        ("set", "config.toml", b"{"),
    ):
        shutil.copytree(folder / "RUN", folder / name)
        (folder / name / part).write_bytes(content)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Good and bad input, and a RUN; no test may change any of it."""
    folder = tmp_path_factory.mktemp("shelf")
    _arrays(folder)
    _molecules(folder)
    _broken(folder)
    _fields(folder)
    _runs(folder)
    return folder


@pytest.fixture
def at_shelf(shelf, monkeypatch):
    """Work beside the files; they are as before afterwards, and nothing is added."""
    monkeypatch.chdir(shelf)
    before = contents(shelf)
    yield shelf
    assert contents(shelf) == before


TOP = "--top top.pdb"

#: Command (fit writes to OUT unless it says otherwise), exit code, what the message tells.
FAULTS = [
    # files
    ("fit missing.npy", 5, ["missing.npy"]),
    ("fit junk.foo", 3, ["junk.foo", "suffix"]),
    ("fit folder.npy", 5, ["folder.npy", "directory"]),
    ("fit fifo.npy", 5, ["fifo.npy", "regular"]),
    ("fit broken.npy", 5, ["broken.npy", "link"]),
    ("fit", 2, ["no input"]),
    ("fit empty.npy", 3, ["empty.npy", "empty"]),
    ("fit empty.csv", 3, ["empty.csv", "empty"]),
    ("fit empty.h5", 3, ["empty.h5", "empty"]),
    (f"fit empty.xtc {TOP}", 3, ["empty.xtc", "empty"]),
    ("fit cut.npy", 3, ["cut.npy", "(1500, 3)", "--allow-truncated"]),
    ("fit cut.npz", 3, ["cut.npz"]),
    ("fit cut.h5", 3, ["cut.h5"]),
    (f"fit cut.xtc {TOP}", 3, ["cut.xtc", "299", "--allow-truncated"]),
    (f"fit cut.trr {TOP}", 3, ["cut.trr", "299", "--allow-truncated"]),
    (f"fit cut.dcd {TOP}", 3, ["cut.dcd", "300", "299", "--allow-truncated"]),
    ("fit claims.npy", 3, ["claims.npy", "387420489"]),
    ("fit object.npy", 3, ["object.npy", "object"]),
    ("fit text.npy", 3, ["text.npy", "text"]),
    ("fit words.csv", 3, ["words.csv", "line 2"]),
    ("fit no\\ frame.npy", 3, ["no frame.npy"]),
    ("fit one\\ frame.npy", 3, ["lag 1", "1 frame"]),
    ("fit complex.npy --model tica", 3, ["complex", "real and imaginary"]),
    ("fit two.npz", 3, ["two.npz", "a (", "b (", "--var"]),
    ("fit two.npz --var ba", 2, ["--var ba", "two.npz", "'ba'", "did you mean"]),
    ("fit md.h5 --var tmie", 2, ["--var tmie", "md.h5", "did you mean time?"]),
    ("fit two.mat --var gama", 2, ["--var gama", "two.mat", "did you mean gamma?"]),
    ("fit two.nc --var delt", 2, ["--var delt", "two.nc", "did you mean delta?"]),
    ("fit field.npz --var v", 2, ["--var v", "field.npz", "'v'"]),
    ("fit field.npz --area-weights arae", 2, ["--area-weights arae", "did you mean area?"]),
    ("fit slow.colvar --var b", 2, ["--var b", "slow.colvar", "time, a"]),
    ("fit x.npy --var x", 2, ["--var x", "x.npy", "no name"]),
    # values
    ("fit nan.npy", 3, ["nan.npy", "frame 77", "x2", "--drop-nonfinite"]),
    ("fit inf.npy", 3, ["inf.npy", "frame 77", "x2", "--drop-nonfinite"]),
    (f"fit nan.dcd {TOP}", 3, ["nan.dcd", "frame 20", "phi ALA2", "--drop-nonfinite"]),
    (f"fit far.dcd {TOP}", 3, ["far.dcd", "frame 20", "10000 nm"]),
    ("fit constant.npy", 4, ["varies"]),
    ("fit wide.npy", 4, ["19 lagged pairs"]),
    # molecules
    ("fit md.xtc", 2, ["md.xtc", "--top"]),
    ("fit md.xtc --top missing.pdb", 5, ["missing.pdb"]),
    ("fit md.xtc --top eight.pdb", 3, ["md.xtc", "10 atoms", "eight.pdb", "8"]),
    ("fit md.dcd --top eight.pdb", 3, ["md.dcd", "10 atoms", "eight.pdb", "8"]),
    ("fit md.h5 --select 'name ZZ'", 2, ["name ZZ", "10 atoms"]),
    ("fit md.h5 --select 'name ('", 2, ["name ("]),
    ("fit x.npy --select 'name CA'", 2, ["--select", "x.npy"]),
    (f"fit x.npy {TOP}", 2, ["--top", "x.npy"]),
    ("fit md.h5 --ensemble", 2, ["--ensemble", "md.h5"]),
    ("fit md.h5 --features ca-distances", 3, ["torsions"]),
    # files that do not belong together
    ("fit slow.colvar fast.colvar", 3, ["10 ps in slow.colvar", "20 ps in fast.colvar"]),
    ("fit x.npy two\\ columns.npy", 3, ["3 columns", "2"]),
    ("fit x.npy md.h5", 3, ["x.npy", "md.h5"]),
    ("fit x.npy --test x.npy", 2, ["x.npy", "--test"]),
    ("fit x.npy x.npy", 2, ["x.npy is given twice"]),
    # fields
    ("fit all_nan.nc", 3, ["all_nan.nc", "sst is NaN everywhere"]),
    ("fit gap.nc", 3, ["gap.nc", "frame 7", "sst", "--drop-nonfinite"]),
    ("fit grids.nc", 3, ["grids.nc", "different grids", "sst (", "ice (", "--var"]),
    ("fit constant.nc", 4, ["never changes"]),
    ("fit timeless.nc", 3, ["timeless.nc", "no time axis", "--time-axis"]),
    ("fit grids.nc --var sts", 2, ["'sts'", "did you mean sst?"]),
    ("fit complex_field.npy", 3, ["complex_field.npy", "complex"]),
    ("fit x.npy --test two\\ columns.npy", 3, ["two columns.npy"]),
    # lag, dim and their kin
    ("fit x.npy --lag 0", 2, ["lag 0"]),
    ("fit x.npy --lag -1", 2, ["lag -1"]),
    ("fit x.npy --lag 2.5", 2, ["lag 2.5"]),
    ("fit x.npy --lag ''", 2, ["''"]),
    ("fit x.npy --lag soon", 2, ["soon"]),
    ("fit x.npy --lag 1500", 3, ["1500", "1499"]),
    ("fit x.npy --lag 5ns", 2, ["5ns", "--dt"]),
    ("fit x.npy --lag 5ns --dt 2ns", 2, ["5ns", "4ns", "6ns"]),
    ("fit x.npy --lag 5ps --dt 1ps --stride 3", 2, ["5ps", "3ps", "6ps"]),
    ("fit x.npy --dt 0", 2, ["--dt 0"]),
    ("fit x.npy --dt -1ps", 2, ["--dt -1ps"]),
    ("fit x.npy --dt 1e-320ps", 2, ["--dt 1e-320ps", "so short"]),
    ("fit x.npy --dt 1e300", 2, ["--dt 1e300", "so long"]),
    ("fit x.npy --dt 1e400ps", 2, ["1e400ps"]),
    ("fit x.npy --dim 0", 2, ["dim 0"]),
    ("fit x.npy --dim -7", 2, ["dim -7"]),
    ("fit x.npy --dim 2.5", 2, ["dim 2.5"]),
    ("fit x.npy --folds 1", 2, ["folds 1"]),
    ("fit x.npy --folds -3", 2, ["folds -3"]),
    ("fit x.npy --seed -1", 2, ["seed -1"]),
    (f"fit x.npy --seed {10**40}", 2, [str(10**40)]),
    ("vamp-score x.npy --lag 0", 2, ["lag 0"]),
    ("vamp-score x.npy --lag 5 --test x.npy", 2, ["x.npy", "--test"]),
    ("vamp-score missing.npy --lag 5", 5, ["missing.npy"]),
    ("fit x.npy --features python:leave.py:f", 3, ["leave.py", "line 3", "ends the program"]),
    ("fit x.npy --stride 0", 2, ["--stride 0"]),
    ("fit x.npy --stride -2", 2, ["--stride -2"]),
    ("fit x.npy --begin 100 --end 50", 2, ["--begin 100", "--end 50"]),
    ("fit x.npy --begin 5ns", 2, ["--begin 5ns", "--dt"]),
    ("fit x.npy --begin 5000", 3, ["5000", "1500"]),
    # words that are not there
    ("fti x.npy", 2, ["fti", "did you mean fit?"]),
    ("fit x.npy --lga 3", 2, ["--lga", "did you mean --lag"]),
    ("fit x.npy --presicion auto", 2, ["did you mean --precision"]),
    ("fit x.npy --model tcia", 2, ["tcia", "did you mean tica?"]),
    ("fit x.npy --features identiy", 2, ["identiy", "did you mean identity?"]),
    ("fit x.npy --features delays:x", 2, ["delays:x"]),
    ("fit x.npy --kind arry", 2, ["arry", "did you mean array?"]),
    ("fit x.npy --precision flot64", 2, ["did you mean float64?"]),
    ("fit x.npy --set center", 2, ["center"]),
    ("fit x.npy --model tica --set centre=1", 2, ["centre", "did you mean center?"]),
    ("fit x.npy --model tica --set reversible=maybe", 2, ["maybe", "true or false"]),
    ("fit x.npy --model tica --set rtol=-1", 2, ["rtol -1"]),
    ("fit x.npy --model tica --set rtol=nan", 2, ["rtol nan"]),
    ("fit x.npy --model edmd --set degree=2.5", 2, ["degree=2.5", "int"]),
    ("fit x.npy --model edmd --set basis=gausians", 2, ["did you mean gaussians?"]),
    ("fit x.npy --model tica --set edmd.degree=2", 2, ["edmd", "tica"]),
    # where to write
    ("fit x.npy -o RUN", 2, ["RUN", "--force"]),
    ("fit x.npy -o stranger", 2, ["stranger"]),
    ("fit x.npy -o stranger --force", 2, ["stranger", "not a koopman run"]),
    ("fit x.npy -o x.npy", 2, ["x.npy", "input"]),
    ("fit x.npy -o x.npy --force", 2, ["x.npy", "input"]),
    ("fit RUN/model.h5 -o RUN --force", 2, ["RUN", "input"]),
    ("fit x.npy -o x.npy/RUN", 5, ["x.npy", "file"]),
    ("fit x.npy --lag 3 -o /proc/RUN", 5, ["/proc/RUN"]),
    # config
    ("fit x.npy --config missing.toml", 5, ["missing.toml"]),
    ("fit x.npy --config 'no toml.toml'", 2, ["no toml.toml", "line 1"]),
    ("fit x.npy --config section.toml", 2, ["section.toml", "fitt", "did you mean fit?"]),
    ("fit x.npy --config option.toml", 2, ["option.toml", "lga", "did you mean lag?"]),
    ("fit x.npy --config type.toml", 2, ["type.toml", "folds", "many"]),
    ("fit x.npy --config flag.toml", 2, ["flag.toml", "join", "true or false"]),
    ("fit x.npy --config list.toml", 2, ["list.toml", "lag"]),
    ("fit x.npy --config plain.toml", 2, ["plain.toml", "fit"]),
    ("fit --config paths.toml", 2, ["paths.toml", "paths"]),
    ("fit x.npy --config setting.toml", 2, ["foo"]),
    ("fit x.npy --config choice.toml", 2, ["choice.toml", "precision", "half"]),
    # transform
    ("transform missing x.npy", 5, ["missing"]),
    ("transform x.npy x.npy", 5, ["x.npy"]),
    ("transform stranger x.npy", 5, ["stranger", "model.h5"]),
    ("transform flipped x.npy", 7, ["model.h5"]),
    ("transform short x.npy", 7, ["model.h5", "truncated"]),
    ("transform told x.npy", 7, ["summary.json"]),
    ("transform set x.npy", 7, ["config.toml"]),
    ("transform RUN", 2, ["no input"]),
    ("transform RUN missing.npy", 5, ["missing.npy"]),
    ("transform RUN two\\ columns.npy", 3, ["2 features", "3"]),
    ("transform RUN md.h5", 3, ["md.h5", "md", "array"]),
    ("transform RUN nan.npy", 3, ["nan.npy", "frame 77", "x2"]),
    ("transform RUN x.npy --scaling kinetc", 2, ["did you mean kinetic?"]),
    ("transform RUN x.npy -o x.npy --force", 2, ["x.npy", "input"]),
    ("transform RUN x.npy -o RUN/model.h5 --force", 2, ["model.h5", "part of the run"]),
    ("transform RUN x.npy -o noise.npy", 2, ["noise.npy", "--force"]),
    ("transform RUN x.npy -o out.txt", 2, ["out.txt", ".npy"]),
    ("transform RUN x.npy inf.npy -o both.npy", 2, ["both.npy", "2 trajectories"]),
    ("transform RUN x.npy -o x.npy/out.npy", 5, ["out.npy"]),
    # plot, info and the rest
    ("plot missing", 5, ["missing"]),
    ("plot flipped", 7, ["model.h5"]),
    ("plot RUN spectrm", 2, ["spectrm", "did you mean spectrum?"]),
    ("plot RUN --format gif", 2, ["gif", "png"]),
    ("plot RUN --format ''", 2, ["format"]),
    ("plot RUN --width wide", 2, ["wide"]),
    ("plot RUN --width -3mm", 2, ["-3 mm"]),
    ("plot RUN --width nan", 2, ["nan"]),
    ("plot RUN timescales -o x.npy", 5, ["x.npy"]),
    ("info missing.npy", 5, ["missing.npy"]),
    ("info object.npy", 3, ["object.npy"]),
    ("info md.xtc", 2, ["--top"]),
    ("info", 2, ["no input"]),
    (f"info x.npy {TOP}", 2, ["--top", "x.npy", "an array"]),
    ("info x.npy --anomaly mean", 2, ["--anomaly", "x.npy", "a field"]),
    ("info md.h5 --ensemble", 2, ["--ensemble", "md.h5", "molecular dynamics"]),
    ("info field.npz --select 'name CA'", 2, ["--select", "field.npz", "a field"]),
    ("models --jsn", 2, ["did you mean --json?"]),
    ("--froce", 2, ["--froce"]),
]  # fmt: skip


def _arguments(command: str) -> list[str]:
    arguments = shlex.split(command)
    if arguments[0] == "fit" and "-o" not in arguments:
        arguments += ["-o", "OUT"]
    return arguments


@pytest.mark.parametrize(("command", "code", "words"), FAULTS, ids=[f[0] for f in FAULTS])
def test_fault(command, code, words, at_shelf):
    """Exact exit code, two lines that name cause and cure, every file as it was."""
    outcome = run(*_arguments(command))
    assert outcome.code == code, outcome
    told = " / ".join(two_lines(outcome))
    assert not [word for word in words if word not in told], told
    assert outcome.out == ""


REAL = [
    "fit missing.npy", "fit nan.npy", f"fit cut.dcd {TOP}", "fit constant.npy",
    "fit x.npy --lga 3", "transform flipped x.npy", "fit gap.nc",
    "fit x.npy --features python:leave.py:f",
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("command", "code", "words"), FAULTS, ids=[f[0] for f in FAULTS])
def test_every_fault_in_a_process(command, code, words, at_shelf):
    """Every listed fault in a process of its own: exact exit code, two lines, nothing left."""
    outcome = process(*_arguments(command))
    told = " / ".join(two_lines(outcome))
    assert (outcome.code, outcome.out) == (code, "")
    assert not [word for word in words if word not in told], told


@pytest.mark.parametrize("command", REAL)
def test_fault_in_a_process(command, at_shelf):
    """A process of its own ends with the same code and the same two lines, C libraries silent."""
    assert process(*_arguments(command)) == run(*_arguments(command))


def test_a_frame_that_is_not_finite_can_be_left_out(at_shelf, tmp_path):
    """--drop-nonfinite splits at the frame: the pairs lost are those it takes part in."""
    options = ("--lag", 3, "--allow-empty", "--json")
    whole = done("fit", "x.npy", *options, "-o", tmp_path / "a").json
    split = done("fit", "nan.npy", *options, "--drop-nonfinite", "-o", tmp_path / "b").json
    assert split["input"]["frames"] == whole["input"]["frames"] - 1
    # Pairs (74, 77), (75, 78), (76, 79) and (77, 80) are gone: none crosses the split.
    assert split["model"]["pairs"] == whole["model"]["pairs"] - 4
    assert any("frame 77" in warning for warning in split["warnings"])


def test_a_cut_file_can_be_used_as_far_as_it_goes(at_shelf, tmp_path):
    """--allow-truncated reads the complete frames of a cut file."""
    options = ("--lag", 3, "--allow-truncated", "--allow-empty", "--json")
    array = done("fit", "cut.npy", *options, "-o", tmp_path / "a").json
    assert array["input"]["frames"] == FRAMES - 3
    molecule = done("fit", "cut.dcd", "--top", "top.pdb", *options, "-o", tmp_path / "b").json
    assert molecule["input"]["frames"] == 299
    assert any("cut.dcd" in warning for warning in molecule["warnings"])


def test_no_slow_mode(at_shelf, tmp_path):
    """Noise ends with 4 and its results are written; --allow-empty makes it 0."""
    options = ("fit", "noise.npy", "--lag", 2, "--dim", 1)
    refused = run(*options, "-o", tmp_path / "a")
    assert refused.code == 4
    assert "no slow mode" in two_lines(refused)[0]
    assert open_run(tmp_path / "a").model.dim == 1
    allowed = run(*options, "-o", tmp_path / "b", "--allow-empty")
    assert (allowed.code, allowed.err) == (0, "")
    assert (tmp_path / "a" / "summary.json").read_bytes() == (
        tmp_path / "b" / "summary.json"
    ).read_bytes()


def test_strict(at_shelf, tmp_path):
    """--strict ends with 3 for a warning of the input, 4 for one of the model, 0 without any."""
    options = ("fit", "--lag", "3", "--model", "tica", "--strict", "-o")
    of_input = run(*options, tmp_path / "a", "nan.npy", "--drop-nonfinite", "--dim", 1)
    of_model = run(*options, tmp_path / "b", "x.npy", "--dim", 50)
    assert (of_input.code, of_model.code) == (3, 4)
    assert "frame 77" in two_lines(of_input)[0]
    assert "dim 50" in two_lines(of_model)[0]
    assert open_run(tmp_path / "a").summary["warnings"]
    assert run(*options, tmp_path / "c", "x.npy", "--dim", 1, "--folds", 0).code == 0


@pytest.mark.parametrize("model", ["dmd", "optdmd"])
def test_a_flow_without_modes_is_told_in_words_of_flows(model, tmp_path):
    """Noise as a flow ends with 4 and says that no mode is supported, not that none is slow; the
    hint is of settings that the family has.
    """
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((400, 6)))
    common = ["fit", tmp_path / "x.npy", "--model", model, "--lag", 1, "-o"]
    refused = run(*common, tmp_path / "a")
    assert refused.code == 4
    error, hint = two_lines(Outcome(4, "", refused.err))
    assert error.startswith("no mode of this flow")
    assert "slow" not in error + hint
    assert run(*common, tmp_path / "b", "--set", "rank=2", "--set", "delays=3").code in (0, 4)


def test_hints_on_missing_values_leave_something(tmp_path):
    """--drop-nonfinite is proposed first where whole frames remain, and works there; where none
    would, what is said before it leads to a model.
    """
    x = relaxing(FRAMES)
    holes, column, nothing = x.copy(), x.copy(), np.full_like(x, np.nan)
    holes[10, 1] = np.nan
    column[:, 1] = np.nan
    for name, data in (("holes", holes), ("column", column), ("nothing", nothing)):
        np.save(tmp_path / f"{name}.npy", data)
    options = ["--lag", 2, "--dim", 1, "-o", tmp_path / "RUN", "--force"]

    def hint(name):
        outcome = run("fit", tmp_path / f"{name}.npy", *options)
        assert outcome.code == 3
        return two_lines(outcome)[1]

    assert hint("holes").startswith("add --drop-nonfinite")
    done("fit", tmp_path / "holes.npy", *options, "--drop-nonfinite")
    assert "python:PATH:FUNCTION" in hint("column")
    (tmp_path / "own.py").write_text("def whole(x):\n    return x[:, [0, 2]]\n")
    done("fit", tmp_path / "column.npy", *options, "--features", f"python:{tmp_path}/own.py:whole")
    assert "leave the file out" in hint("nothing")


# ------------------------------------------------------------------ interruptions

SLOW = """
import time
from pathlib import Path

def slow(x):
    Path({marker!r}).touch()
    time.sleep(0.2)
    return x
"""


def _slow_fit(folder: Path, *more) -> tuple[Path, list]:
    """A fit that tells when it has begun and then takes its time; RUN is already there."""
    np.save(folder / "x.npy", relaxing(FRAMES))
    marker = folder / "begun"
    (folder / "slow.py").write_text(SLOW.format(marker=str(marker)))
    command = ["fit", folder / "x.npy", "-o", folder / "RUN", "--lag", "3", "--model", "tica"]
    done(*command, "--dim", 1)
    return marker, [*command, "--force", "--features", f"python:{folder / 'slow.py'}:slow", *more]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_interrupted(number, code, tmp_path):
    """SIGINT and SIGTERM in the middle: 130 and 143, soon, with the old RUN untouched."""
    marker, command = _slow_fit(tmp_path)
    before = contents(tmp_path)
    child = start(*command)
    wait_for(marker, child)
    begun = time.monotonic()
    child.send_signal(number)
    outcome = finish(child)
    assert outcome.code == code, outcome
    assert time.monotonic() - begun < 10
    two_lines(outcome)
    marker.unlink()
    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    assert contents(tmp_path) == before


@pytest.mark.slow
def test_interrupted_at_any_moment(tmp_path):
    """SIGINT at 30 random moments of the first half second is an interruption, in two lines.

    Until ``main`` is reached signals are the interpreter's: it dies by them, or, while it sets
    up the places that modules are found in, ends with 1 and a fatal error of its own.
    """
    _, command = _slow_fit(tmp_path)
    before = contents(tmp_path / "RUN")
    rng = random.Random(0)
    early = 0
    for _ in range(30):
        child = start(*command)
        time.sleep(rng.uniform(0, 0.5))
        child.send_signal(signal.SIGINT)
        outcome = finish(child)
        if outcome.code != 130:
            early += 1
            own = outcome.err.startswith("Fatal Python error: init_")
            assert outcome.code == (1 if own else -signal.SIGINT), outcome
        else:
            two_lines(outcome)
        assert contents(tmp_path / "RUN") == before
    assert early < 10


def test_an_interrupt_that_went_under_is_heard(monkeypatch):
    """An interrupt that an import turned into another error still ends with 130, and one that was
    swallowed ends the command at its next pass.
    """

    def swallowing(error):
        def fake(*_):
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                if error:
                    raise ImportError("numpy.core.multiarray failed to import") from None
            make_progress(quiet=True, verbose=False)("reading", 1)
            raise AssertionError("went on")

        return fake

    for error in (True, False):
        monkeypatch.setattr(click.Command, "invoke", swallowing(error))
        outcome = run("models")
        assert outcome.code == 130, outcome
        assert two_lines(outcome)[0] == "interrupted"


def test_interrupted_while_writing(tmp_path):
    """SIGTERM while the RUN is written leaves the old one, and nothing beside it."""
    np.save(tmp_path / "x.npy", relaxing(FRAMES))
    command = ["fit", tmp_path / "x.npy", "-o", tmp_path / "RUN", "--lag", "3"]
    done(*command, "--dim", 1)
    before = contents(tmp_path)
    child = start(*command, "--force", "--dim", 2)
    while child.poll() is None and not list(tmp_path.glob(".RUN*.part/model.h5")):
        time.sleep(0.001)
    child.terminate()
    outcome = finish(child)
    assert outcome.code == 143, outcome
    two_lines(outcome)
    assert contents(tmp_path) == before


def test_killed_at_any_moment(tmp_path):
    """After kill -9 at random moments RUN is whole: all of the old one or all of the new one."""
    np.save(tmp_path / "x.npy", relaxing(FRAMES))
    command = ["fit", tmp_path / "x.npy", "-o", tmp_path / "RUN", "--lag", "3", "--force", "--dim"]
    rng = random.Random(0)
    begun = time.monotonic()
    assert process(*command, 1).code == 0
    whole = time.monotonic() - begun
    killed = 0
    for attempt in range(5):
        child = start(*command, 1 + attempt % 2)
        # Most of the moments fall into the writing, which is at the end.
        time.sleep(whole * (1.05 - 0.6 * rng.random() ** 2))
        child.kill()
        killed += finish(child).code == -signal.SIGKILL
        opened = open_run(tmp_path / "RUN")
        assert opened.summary["model"]["dim"] == opened.model.dim
        assert len(opened.summary["modes"]) == opened.model.dim
        assert opened.config["fit"]["dim"] == str(opened.model.dim)
    assert killed


def test_a_run_is_replaced_in_one_step(tmp_path, monkeypatch):
    """At every moment of a replacement something whole stands at RUN."""
    np.save(tmp_path / "x.npy", relaxing(FRAMES))
    command = ["fit", tmp_path / "x.npy", "-o", tmp_path / "RUN", "--lag", "3", "--force", "--dim"]
    done(*command, 1)
    seen = []

    def watched(call):
        def watching(*args, **kwargs):
            seen.append((tmp_path / "RUN" / "model.h5").exists())
            found = call(*args, **kwargs)
            seen.append((tmp_path / "RUN" / "model.h5").exists())
            return found

        return watching

    from koopman_cli.report import run as room

    monkeypatch.setattr(Path, "rename", watched(Path.rename))
    monkeypatch.setattr(room, "exchange", watched(room.exchange))
    monkeypatch.setattr(shutil, "rmtree", watched(shutil.rmtree))
    done(*command, 2)
    assert len(seen) >= 4
    assert all(seen)
    assert open_run(tmp_path / "RUN").model.dim == 2


# ------------------------------------------------------------------ limits


def _limited(what: int, size: int):
    return lambda: resource.setrlimit(what, (size, size))


def test_a_disk_that_is_full(tmp_path):
    """A file-size limit in the middle of writing: 5, the old RUN untouched, nothing left."""
    np.save(tmp_path / "x.npy", relaxing(FRAMES))
    command = ["fit", tmp_path / "x.npy", "-o", tmp_path / "RUN", "--lag", "3", "--force"]
    done(*command, "--dim", 1)
    done("transform", tmp_path / "RUN", tmp_path / "x.npy", "-o", tmp_path / "slow.npy")
    before = contents(tmp_path)
    limit = _limited(resource.RLIMIT_FSIZE, 8192)
    fitted = process(*command, preexec_fn=limit)
    again = ["transform", tmp_path / "RUN", tmp_path / "x.npy", "--force", "-o"]
    transformed = [
        process(*again, tmp_path / name, preexec_fn=limit) for name in ("slow.npy", "new.h5")
    ]
    for outcome in (fitted, *transformed):
        assert outcome.code == 5, outcome
        assert "size limit" in two_lines(outcome)[0]
    assert ".part" not in fitted.err
    assert contents(tmp_path) == before


def test_too_little_memory(tmp_path):
    """An address-space limit below what the moments need: 6, with the size, nothing left."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((6200, 3000)))
    before = contents(tmp_path)
    outcome = process(
        "fit", tmp_path / "x.npy", "-o", tmp_path / "RUN", "--lag", "3",
        preexec_fn=_limited(resource.RLIMIT_AS, 1_000_000_000),
    )  # fmt: skip
    assert outcome.code == 6, outcome
    assert "memory" in two_lines(outcome)[0]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("command", ["models", "models --json", "fit --help"])
def test_a_reader_that_goes_away(command, shelf):
    """`koopman ... | true` says nothing on stderr and ends with 141."""
    into, out = os.pipe()
    os.close(into)
    child = start(*command.split(), stdout=out)
    os.close(out)
    outcome = finish(child)
    assert (outcome.code, outcome.err) == (141, "")


def test_stdout_that_cannot_be_written():
    """A full stdout is 5 with two lines; a closed one is no reason to fail."""
    with Path("/dev/full").open("w") as full:
        outcome = process("models", stdout=full)
    assert outcome.code == 5
    two_lines(outcome)
    closed = process("models", stdout=None, preexec_fn=lambda: os.close(1))
    assert closed == Outcome(0, "", "")


def test_stderr_that_cannot_be_written(at_shelf):
    """The exit code does not depend on whether anybody can read the error."""
    with Path("/dev/full").open("w") as full:
        assert process("info", "missing.npy", stderr=full).code == 5
    assert process("info", "missing.npy", stderr=None, preexec_fn=lambda: os.close(2)).code == 5


def test_an_unforeseen_failure(at_shelf, monkeypatch):
    """A bug ends with 1 and two lines that ask for a report; --debug adds the traceback."""

    def fail(*args, **kwargs):
        raise RuntimeError("the unforeseen")

    monkeypatch.setattr("koopman_cli.autofit.fit", fail)
    outcome = run("fit", "x.npy", "-o", "OUT")
    assert outcome.code == 1
    assert len(outcome.err.splitlines()) == 2
    assert "the unforeseen" in outcome.err
    assert "--debug" in outcome.err
    assert "Traceback" in run("fit", "x.npy", "-o", "OUT", "--debug").err
