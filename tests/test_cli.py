"""The command line where nothing goes wrong: what it reads, says, writes and repeats."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from cli_support import (
    ALA2,
    QUIET,
    SAMPLES,
    contents,
    done,
    eigenvalues,
    process,
    relaxing,
    run,
    start,
)

from koopman_cli import __version__
from koopman_cli.api import FitOptions, fit
from koopman_cli.report.figures import KINDS
from koopman_cli.report.run import open_run
from koopman_cli.results import project
from koopman_cli.types import ReadOptions

H5 = (ALA2 / "run1.h5", ALA2 / "run2.h5")
XTC = (ALA2 / "run1.xtc", ALA2 / "run2.xtc", "--top", ALA2 / "ala2.pdb")


@pytest.fixture(scope="module")
def ala2(tmp_path_factory):
    """A RUN of the alanine dipeptide sample, all choices left to koopman."""
    out = tmp_path_factory.mktemp("ala2") / "RUN"
    done("fit", *H5, "-o", out)
    return out


@pytest.fixture
def few_figures(monkeypatch):
    """Fits draw two kinds of figures only: drawing is most of the time that they take."""
    kinds = {name: KINDS[name] for name in ("spectrum", "timescales")}
    monkeypatch.setattr("koopman_cli.report.figures.KINDS", kinds)


@pytest.fixture
def arrays(tmp_path, monkeypatch, few_figures):
    """A folder with a.npy and b.npy, worked in."""
    np.save(tmp_path / "a.npy", relaxing(3000, seed=1))
    np.save(tmp_path / "b.npy", relaxing(2000, seed=2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def summary(folder: Path) -> dict:
    """What summary.json says."""
    return json.loads((folder / "summary.json").read_text())


def refit(*arguments, **read) -> np.ndarray:
    """Eigenvalues of three modes at lag 2 from Python, of paths or arrays."""
    options = FitOptions(model="tica", lag="2", dim="3", folds=0)
    found = fit(*arguments, options, read=ReadOptions(**read))
    return np.array([mode.eigenvalue for mode in found.modes])


FIT = ("--model", "tica", "--lag", "2", "--dim", "3", "--folds", "0")


# ------------------------------------------------------------------ fit


def test_formats_agree(ala2, tmp_path):
    """HDF5 (float32) and xtc (0.001 nm) of the same runs give the same spectrum and time step."""
    done("fit", *XTC, "-o", tmp_path / "RUN")
    one, other = summary(ala2), summary(tmp_path / "RUN")
    assert one["input"]["dt"] == other["input"]["dt"] == {"value": 5.0, "unit": "ps"}
    assert one["model"]["lag"] == other["model"]["lag"]
    assert np.allclose(eigenvalues(ala2), eigenvalues(tmp_path / "RUN"), atol=2e-3)


def test_summary_has_the_documented_shape(ala2):
    """Every key of the schema is there, times carry units, numbers are finite."""
    told = summary(ala2)
    assert {"schema", "version", "seed", "input", "model", "score", "modes", "gap", "states",
            "warnings"} <= set(told)  # fmt: skip
    assert (told["schema"], told["version"], told["seed"]) == (1, __version__, 0)
    assert set(told["input"]) == {"kind", "files", "frames", "features", "dt"}
    assert [set(f) for f in told["input"]["files"]] == [{"path", "sha256", "frames"}] * 2
    assert {"family", "lag", "dim", "rank", "pairs", "settings"} <= set(told["model"])
    assert set(told["model"]["lag"]) == {"frames", "value", "unit"}
    assert {"vamp2", "vampe", "folds"} <= set(told["score"])
    assert all({"train", "test", "stderr"} == set(told["score"][s]) for s in ("vamp2", "vampe"))
    assert [m["index"] for m in told["modes"]] == list(range(1, told["model"]["dim"] + 1))
    keys = {"index", "eigenvalue", "singular_value", "eigenvalue_low", "eigenvalue_high",
            "timescale", "period", "growth", "residual", "certificate", "verdict",
            "reason"}  # fmt: skip
    for mode in told["modes"]:
        assert keys <= set(mode)
        assert mode["verdict"] in ("resolved", "unresolved", "invalid")
    slowest = told["modes"][0]["timescale"]
    assert set(slowest) == {"value", "low", "high", "unit"}
    lag = told["model"]["lag"]
    assert slowest["unit"] == lag["unit"] == "ps"
    assert slowest["value"] == pytest.approx(
        -lag["value"] / np.log(told["modes"][0]["eigenvalue"][0]), rel=1e-12
    )


def test_the_printed_json_is_the_stored_one(arrays):
    """`fit --json` prints exactly summary.json."""
    printed = done("fit", "a.npy", *FIT, "--json", "-o", "RUN")
    assert printed.out.rstrip("\n") == (arrays / "RUN" / "summary.json").read_text().rstrip("\n")
    assert printed.err == ""


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--model edmd --set basis=gaussians --set centers=7 --lag 3 --seed 4",
        "--model tica --set reversible=false --lag 2 --dim 2 --folds 3 --precision float64",
        "--features delays:2 --lag 3 --dt 2ps --begin 10ps --end 4000ps --stride 2",
    ],
)
def test_a_config_repeats_the_run(options, arrays):
    """`fit --config RUN/config.toml` gives the same summary.json, byte for byte."""
    done("fit", "a.npy", "b.npy", "-o", "RUN", *options.split())
    done("fit", "--config", "RUN/config.toml", "-o", "again")
    one, other = (json.loads(Path(p, "summary.json").read_text()) for p in ("RUN", "again"))
    # What was said about choosing a lag is not said again where the lag is given.
    for told in (one, other):
        told["warnings"] = [w for w in told["warnings"] if not w.startswith("lag ")]
    assert one == other
    first, second = (Path(p, "config.toml").read_text() for p in ("RUN", "again"))
    assert first == second


MINE = "def f(x):\n    return x[:, :2]\n"


def test_a_config_is_followed_from_anywhere(arrays, tmp_path_factory, monkeypatch):
    """Relative paths of data, test set and own functions lead to them from any directory."""
    (arrays / "mine.py").write_text(MINE)
    fit = ("a.npy", "--test", "b.npy", "--features", "python:mine.py:f", *FIT)
    done("fit", *fit, "-o", "RUN")
    assert 'paths = [\n    "a.npy",\n]' in (arrays / "RUN/config.toml").read_text()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    done("fit", "--config", arrays / "RUN/config.toml", "-o", "again")
    first, second = (summary(Path(p)) for p in (arrays / "RUN", "again"))
    assert first["modes"] == second["modes"]
    assert first["score"] == second["score"]
    done("fit", "--config", "again/config.toml", "-o", "third")
    assert summary(Path("third")) == second
    done("transform", arrays / "RUN", arrays / "b.npy", "-o", "b.h5")


def test_states_follow_a_topology_from_anywhere(tmp_path, monkeypatch, few_figures):
    """`koopman states` reads the trajectory and its --top again from another directory."""
    for name in ("ala2.pdb", "run1.xtc"):
        (tmp_path / name).write_bytes((ALA2 / name).read_bytes())
    monkeypatch.chdir(tmp_path)
    done("fit", "run1.xtc", "--top", "ala2.pdb", "--lag", "5", "-o", "RUN", "--allow-empty")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    done("states", "../RUN", "--count", "2")
    assert (tmp_path / "RUN" / "states" / "state_2.pdb").exists()


def test_the_command_line_has_the_last_word(arrays):
    """Options beside --config replace its own; settings are added; paths are replaced."""
    done("fit", "a.npy", "-o", "RUN", *FIT, "--set", "rtol=1e-9", "--seed", 3)
    done("fit", "b.npy", "--config", "RUN/config.toml", "-o", "new", "--lag", 4, "--set",
         "center=false")  # fmt: skip
    told = summary(arrays / "new")
    assert [f["path"] for f in told["input"]["files"]] == ["b.npy"]
    assert (told["model"]["lag"]["frames"], told["model"]["dim"], told["seed"]) == (4, 3, 3)
    assert told["model"]["settings"]["rtol"] == 1e-9
    assert told["model"]["settings"]["center"] is False
    done("fit", "--config", "RUN/config.toml", "-o", "other", "--model", "vamp")
    assert summary(arrays / "other")["model"]["family"] == "vamp"


def test_same_input_same_summary(arrays):
    """Two fits of one file write the same summary.json."""
    for out in ("one", "two"):
        done("fit", "a.npy", "-o", out)
    assert Path("one/summary.json").read_bytes() == Path("two/summary.json").read_bytes()


def test_the_default_place(arrays):
    """Without --out the RUN is named after the first PATH and stands where one works."""
    done("fit", "a.npy", "b.npy", *FIT)
    assert (arrays / "a.koopman" / "summary.json").is_file()


def test_force_replaces(arrays):
    """--force puts the new RUN in the place of the old one, figures and all."""
    done("fit", "a.npy", *FIT, "-o", "RUN")
    done("plot", "RUN", "spectrum", "--format", "pdf")
    done("fit", "b.npy", *FIT, "-o", "RUN", "--force")
    assert summary(arrays / "RUN")["input"]["frames"] == 2000
    assert not (arrays / "RUN" / "figures" / "spectrum.pdf").exists()
    assert sorted(p.name for p in arrays.iterdir()) == ["RUN", "a.npy", "b.npy"]


def test_a_separate_test_set(arrays):
    """--test scores on other files: no folds, the training score untouched."""
    alone = done("fit", "a.npy", *FIT, "--json", "-o", "one").json
    tested = done("fit", "a.npy", *FIT, "--test", "b.npy", "--json", "-o", "two").json
    assert alone["modes"] == tested["modes"]
    assert alone["score"]["vamp2"]["test"] is None
    assert tested["score"]["vamp2"]["train"] == alone["score"]["vamp2"]["train"]
    assert tested["score"]["vamp2"]["test"] == pytest.approx(
        tested["score"]["vamp2"]["train"], abs=0.2
    )


def test_join(arrays):
    """--join makes the parts one run, in natural order: as many pairs as of the whole."""
    x = np.load("a.npy")
    for i, part in enumerate(np.split(x, 12), start=1):
        np.save(f"part{i}.npy", part)
    parts = sorted(str(p.name) for p in arrays.glob("part*.npy"))
    assert parts[1] == "part10.npy"  # the shell's order is not the natural one
    done("fit", "a.npy", *FIT, "-o", "whole")
    done("fit", *parts, "--join", *FIT, "-o", "joined")
    done("fit", *parts, *FIT, "-o", "apart")
    pairs = {name: summary(arrays / name)["model"]["pairs"] for name in ("whole", "joined")}
    assert pairs["whole"] == pairs["joined"] == 2998
    assert summary(arrays / "apart")["model"]["pairs"] == 12 * 248
    assert np.abs(eigenvalues(arrays / "whole") - eigenvalues(arrays / "joined")).max() < 1e-10


def test_ranges_in_frames_and_in_time(arrays):
    """--begin, --end, --stride and --lag mean the same in frames and in time."""
    x = np.load("a.npy")[100:2100:2]
    expected = refit(x)
    done("fit", "a.npy", "-b", 100, "-e", 2100, "--stride", 2, *FIT, "-o", "frames")
    options = "-b 200ps -e 4200ps --stride 2 --dt 2ps --model tica --lag 8ps --dim 3 --folds 0"
    done("fit", "a.npy", *options.split(), "-o", "time")
    assert np.abs(eigenvalues(arrays / "frames") - expected).max() < 1e-10
    assert np.abs(eigenvalues(arrays / "time") - expected).max() < 1e-10
    told = summary(arrays / "time")
    assert told["input"]["dt"] == {"value": 4.0, "unit": "ps"}
    assert told["model"]["lag"] == {"frames": 2, "value": 8.0, "unit": "ps"}


def test_a_selection_of_atoms(tmp_path, few_figures):
    """--select reads some atoms; the selection is stored and used again by transform."""
    options = (
        "--features",
        "heavy-distances",
        "--select",
        "resname ALA and mass > 2",
        "--allow-empty",
    )
    done("fit", H5[0], *options, "--lag", 2, "--dim", 1, "-o", tmp_path / "RUN")
    atoms = 5  # N CA CB C O
    assert summary(tmp_path / "RUN")["input"]["features"] == atoms * (atoms - 1) // 2
    done("transform", tmp_path / "RUN", H5[1], "-o", tmp_path / "slow.npy")
    assert np.load(tmp_path / "slow.npy").shape == (9900, 1)


def test_ensembles(tmp_path):
    """--ensemble takes (particles, time, dim): one short trajectory per particle."""
    out = tmp_path / "RUN"
    particles = SAMPLES / "prinz" / "prinz.npy"
    shape = np.load(particles).shape
    done("fit", particles, "--ensemble", "--dt", 0.05, "--lag", 2, "--dim", 2, "-o", out)
    told = summary(out)
    assert told["input"]["frames"] == shape[0] * shape[1]
    assert told["model"]["pairs"] == shape[0] * (shape[1] - 2)


# ------------------------------------------------------------------ transform


def test_transform_projects(ala2, tmp_path):
    """The file holds what projecting in Python gives, per trajectory, in npy and in h5."""
    model = open_run(ala2).model
    done("transform", ala2, *H5, "-o", tmp_path / "slow.h5")
    done("transform", ala2, H5[0], "-o", tmp_path / "slow.npy")
    from koopman_cli.features import rebuild_features
    from koopman_cli.io import open_trajectories

    stream = rebuild_features(open_trajectories(list(H5), ReadOptions()), model.features)
    with h5py.File(tmp_path / "slow.h5") as file:
        assert sorted(file) == ["trajectory_1", "trajectory_2"]
        for i in range(2):
            rows = np.concatenate(list(stream.chunks(i)))
            expected = project(model, rows)[:, : model.dim]
            group = file[f"trajectory_{i + 1}"]
            assert np.allclose(group["coordinates"][:], expected, rtol=0, atol=1e-12)
            assert group.attrs["label"] == str(H5[i])
            assert np.array_equal(group["frame"][:], np.arange(9900))
        assert np.array_equal(np.load(tmp_path / "slow.npy"), file["trajectory_1/coordinates"][:])


def test_scalings(arrays):
    """none, kinetic and commute differ by |lambda| and sqrt(t / 2), and only then."""
    done("fit", "a.npy", "--model", "tica", "--lag", 2, "--dim", 2, "-o", "RUN")
    values = eigenvalues(arrays / "RUN").real
    found = {}
    for scaling in ("none", "kinetic", "commute"):
        done("transform", "RUN", "b.npy", "--scaling", scaling, "-o", f"{scaling}.npy")
        found[scaling] = np.load(f"{scaling}.npy")
    assert np.allclose(found["kinetic"], found["none"] * values, rtol=1e-12)
    assert np.allclose(found["commute"], found["none"] * np.sqrt(-1 / np.log(values)), rtol=1e-12)


def test_transform_tells(arrays):
    """--json names the file and the shapes; without --out the file is in the RUN."""
    done("fit", "a.npy", *FIT, "-o", "RUN")
    told = done("transform", "RUN", "a.npy", "b.npy", "--json").json
    assert told["out"] == "RUN/transformed.h5"
    assert [(t["label"], t["frames"], t["dim"]) for t in told["trajectories"]] == [
        ("a.npy", 3000, 3),
        ("b.npy", 2000, 3),
    ]
    assert run("transform", "RUN", "a.npy").code == 2
    done("transform", "RUN", "a.npy", "--force")
    done("fit", "a.npy", *FIT, "-o", "RUN", "--force")  # a RUN with coordinates is still a RUN


def test_a_stored_model_is_the_model(arrays):
    """Saved, loaded and used in another process: the same coordinates, bit for bit."""
    done("fit", "a.npy", *FIT, "-o", "RUN")
    done("transform", "RUN", "b.npy", "-o", "here.npy")
    assert process("transform", "RUN", "b.npy", "-o", "there.npy").code == 0
    assert Path("here.npy").read_bytes() == Path("there.npy").read_bytes()


# ------------------------------------------------------------------ plot, info, lists


def test_figures(ala2, tmp_path):
    """Every kind in every format, of the width asked for; drawn again they are the same."""
    options = ("--format", "png,pdf,svg", "--width", "60mm", "-o", tmp_path)
    told = done("plot", ala2, *options, "--json").json["figures"]
    assert {Path(p).stem for p in told} <= set(KINDS)
    assert {"spectrum", "timescales", "eigenfunctions", "free-energy", "coordinates"} <= {
        Path(p).stem for p in told
    }
    assert {Path(p).suffix for p in told} == {".png", ".pdf", ".svg"}
    starts = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}
    for path in map(Path, told):
        assert path.read_bytes().startswith(starts[path.suffix])
    svg = (tmp_path / "spectrum.svg").read_text()
    assert f'width="{60 / 25.4 * 72:.6f}'[:12] in svg
    before = contents(tmp_path)
    done("plot", ala2, "spectrum", *options)
    assert contents(tmp_path) == before


def test_a_kind_without_data(arrays):
    """A figure asked for that has no data ends with 4; the others are drawn."""
    done("fit", "a.npy", *FIT, "-o", "RUN")
    outcome = run("plot", "RUN", "spectrum", "timescales", "-o", "figures")
    assert outcome.code == 4
    assert "timescales" in outcome.err
    assert sorted(contents(Path("figures"))) == ["spectrum.png"]


def test_info(arrays):
    """Info tells the same as the files hold, for people and as JSON, and writes nothing."""
    before = contents(arrays)
    told = done("info", H5[0], "--json").json["trajectories"]
    assert (told[0]["frames"], told[0]["atoms"], told[0]["dt"]["value"]) == (9900, 10, 5.0)
    text = done("info", "a.npy", "b.npy").out
    assert "a.npy, b.npy: array, 2 trajectories of 3000 and 2000 frames, 5000 in all" in text
    assert contents(arrays) == before


def test_models_and_features_are_listed():
    """Models and features list the same names for people and as JSON, with defaults."""
    for verb, some in (("models", ("tica", "vamp", "edmd")), ("features", ("torsions", "delays"))):
        listed, text = done(verb, "--json").json, done(verb).out
        assert set(some) <= set(listed)
        assert all(name in text and entry["meaning"] in text for name, entry in listed.items())
    settings = done("models", "--json").json["edmd"]["settings"]
    assert settings["degree"]["default"] == 2


# ------------------------------------------------------------------ the process around it


def test_version_and_help():
    """--version anywhere, help for every verb, and help where nothing is asked."""
    for arguments in (["--version"], ["fit", "--version"], ["models", "--version"]):
        assert done(*arguments).out == f"koopman {__version__}\n"
    top = done("--help").out
    assert done().out.strip() == top.strip()
    for verb in ("info", "fit", "transform", "plot", "models", "features"):
        assert verb in top
        assert done(verb, "-h").out.startswith(f"Usage: koopman {verb}")


def test_help_is_quick():
    """Help comes without the heavy imports: far below the second they would take."""
    spent = []
    for _ in range(3):
        begun = time.perf_counter()
        assert process("--help").code == 0
        spent.append(time.perf_counter() - begun)
    assert min(spent) < 1


def test_streams(arrays):
    """Tables on stdout, passes on stderr with -v, nothing there without it; -q says no more."""
    plain = process("fit", "a.npy", *FIT, "-o", "R1")
    quiet = process("fit", "a.npy", *FIT, "-o", "R2", "-q")
    loud = process("fit", "a.npy", *FIT, "-o", "R3", "-v")
    assert [o.code for o in (plain, quiet, loud)] == [0, 0, 0]
    assert "Modes" in plain.out
    assert plain.err == quiet.err == ""
    assert loud.err
    assert "Traceback" not in loud.err
    assert plain.out.replace("R1", "R2") == quiet.out
    assert plain.out.replace("R1", "R3") == loud.out
    assert "\x1b" not in plain.out


def test_head(arrays):
    """`koopman fit ... | head -1` shows its first line and no traceback; the RUN is whole."""
    command = shlex.join([sys.executable, "-c", "from koopman_cli.cli import main; main()"])
    fitting = f"{command} fit a.npy {shlex.join(FIT)} -o RUN | head -1"
    environment = {**os.environ, **QUIET}
    found = subprocess.run(
        ["bash", "-c", fitting], check=False, capture_output=True, text=True, env=environment
    )
    assert found.stdout == "Read: 3000 frames from 1 file, 3 features (array)\n"
    assert found.stderr == ""
    assert open_run("RUN").model.dim == 3


@pytest.mark.parametrize("coercion", ["0", "1"])
def test_a_plain_locale(coercion, tmp_path):
    """LC_ALL=C, UTF-8 mode or not: no crash, names kept, ASCII output where it must be."""
    np.save(tmp_path / "dürre µ.npy", relaxing(1500))
    plain = {"LC_ALL": "C", "LANG": "", "PYTHONUTF8": coercion, "PYTHONCOERCECLOCALE": coercion}
    outcome = process("fit", "dürre µ.npy", *FIT, "--folds", 5, env=plain, cwd=tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert coercion == "1" or outcome.out.isascii()
    told = summary(tmp_path / "dürre µ.koopman")
    stored = told["input"]["files"][0]["path"]
    assert stored.encode("utf-8", "surrogateescape").decode() == "dürre µ.npy"
    missing = process("info", "dürr.npy", env=plain, cwd=tmp_path)
    assert missing.code == 5
    assert len(missing.err.splitlines()) == 2


NAMES = ["with space.npy", "ünï µ 雪.npy", "new\nline.npy", "-leading.npy", "a'b\"c$(d).npy",
         b"not\xfftext.npy".decode("utf-8", "surrogateescape"), "x" * 240 + ".npy",
         "[bold]red[bold].npy", "100%.npy"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=[ascii(n[:20]) for n in NAMES])
def test_awkward_names(name, tmp_path, monkeypatch, few_figures):
    """Any name the file system takes: fitted, stored, repeated, transformed, told."""
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "plain", relaxing(1500))
    (tmp_path / "plain.npy").rename(tmp_path / name)
    folder = Path(name[:100] + " RUN")
    done("fit", *FIT, f"--out={folder}", "--", name)
    assert summary(folder)["input"]["files"][0]["path"] == name
    done("fit", f"--config={folder}/config.toml", "-o", "again")
    assert np.array_equal(eigenvalues(folder), eigenvalues(Path("again")))
    done("transform", "--", folder, name)
    with h5py.File(folder / "transformed.h5") as file:
        assert file["trajectory_1/coordinates"].shape == (1500, 3)


def test_many_at_once(arrays):
    """Two fits of one RUN at once: both end in order, and one of them is there, whole."""
    command = ("fit", "a.npy", "-o", "RUN", "--force", "--model", "tica", "--lag", 2, "--dim")
    children = [start(*command, dim) for dim in (1, 2)]
    codes = [child.wait(timeout=120) for child in children]
    for child in children:
        child.communicate()
    assert codes == [0, 0]
    opened = open_run("RUN")
    assert opened.summary["model"]["dim"] == opened.model.dim
    assert sorted(p.name for p in arrays.iterdir()) == ["RUN", "a.npy", "b.npy"]


# ------------------------------------------------------------------ what must not matter


def test_order_of_columns(arrays):
    """Permuted columns have the same spectrum."""
    x = np.load("a.npy")
    assert np.abs(refit(x) - refit(x[:, [2, 0, 1]])).max() < 1e-8


def test_units_and_origin_of_columns(arrays):
    """Scaled and shifted columns have the same spectrum, from 1e-6 to 1e6 and beyond."""
    x = np.load("a.npy")
    np.save("c.npy", x * [1e6, 1e-6, 1e150] + [3e6, -2e-6, 0])
    assert np.abs(refit(x) - refit(["c.npy"])).max() < 1e-8


def test_files_or_segments(arrays):
    """Separate files have the spectrum of the same runs separated by a dropped frame."""
    a, b = np.load("a.npy"), np.load("b.npy")
    np.save("both.npy", np.concatenate([a, np.full((1, 3), np.nan), b]))
    apart = refit(["a.npy", "b.npy"])
    assert np.abs(apart - refit(["both.npy"], drop_nonfinite=True)).max() < 1e-8
    assert np.abs(apart - refit(np.concatenate([a, b]))).max() > 1e-8  # pairs that cross count


def test_twice_the_same_data(arrays):
    """The data set and a copy of it have the spectrum of the data set."""
    np.save("copy.npy", np.load("a.npy"))
    assert np.abs(refit(["a.npy"]) - refit(["a.npy", "copy.npy"])).max() < 1e-8


def test_time_reversed(arrays):
    """A reversible model of the reversed data is the same."""
    x = np.load("a.npy")
    assert np.abs(refit(x) - refit(x[::-1].copy())).max() < 1e-8


def test_kind_of_file(arrays):
    """npy, npz, csv, HDF5 and MATLAB files of the same numbers have the same spectrum."""
    from scipy.io import savemat

    x = np.load("a.npy")
    np.savez("x.npz", x=x)
    np.savetxt("x.csv", x, fmt="%.17g", delimiter=",")
    savemat("x.mat", {"x": x})
    with h5py.File("x.h5", "w") as file:
        file["group/x"] = x
    expected = refit(["a.npy"])
    for name in ("x.npz", "x.csv", "x.mat", "x.h5"):
        done("fit", name, *FIT, "-o", f"{name}.koopman")
        assert np.abs(eigenvalues(Path(f"{name}.koopman")) - expected).max() < 1e-8, name


def test_paths_or_arrays(arrays):
    """The command line, the core function on paths and on arrays give the same numbers."""
    done("fit", "a.npy", "b.npy", *FIT, "-o", "RUN")
    expected = eigenvalues(arrays / "RUN")
    assert np.array_equal(refit(["a.npy", "b.npy"]), expected)
    assert np.array_equal(refit([np.load("a.npy"), np.load("b.npy")]), expected)
