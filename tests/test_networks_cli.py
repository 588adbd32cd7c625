"""Networks through the command line: fit, transform without torch, signals, resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import pytest
from cli_support import COMMAND, QUIET, done, run
from networks_support import hopping

from koopman_cli.store import load_model

SMALL = ("--model", "vampnet", "--lag", "1", "--set", "outputs=3", "--set", "layers=8x8", "--set",
         "rate=5e-3", "--restarts", "2")  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A walker between three places, as a file."""
    path = tmp_path_factory.mktemp("hopping") / "x.npy"
    np.save(path, hopping(1, frames=6000))
    return path


@pytest.fixture(scope="module")
def fitted(data):
    """A run of a VAMPnet on it, and what was printed."""
    out = data.with_name("x.koopman")
    outcome = done("fit", data, *SMALL, "--set", "epochs=10", "--folds", "3", "-o", out, "--json")
    return out, outcome.json


def test_states_of_a_vampnet(fitted, data):
    """A softmax network of three outputs gives two slow modes with the exact timescale of the
    walker, -1 / ln(1 - 1.5 * 0.02) = 32.8 frames, and three states with the shares of the places.
    """
    out, summary = fitted
    assert summary["model"]["family"] == "vampnet"
    assert summary["model"]["rank"] == 2
    assert [mode["verdict"] for mode in summary["modes"][:2]] == ["resolved"] * 2
    assert all(q["low"] < 32.8 < q["high"] for q in (m["timescale"] for m in summary["modes"][:2]))
    assert summary["score"]["vamp2"]["test"] > 2.5
    states = done("states", out, "--count", "3", "--json").json["states"]
    found = [q["value"] for q in states["populations"]["hard"]]
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])
    nearest = np.linalg.norm(np.load(data)[:, None] - places, axis=2).argmin(axis=1)
    shares = np.sort(np.bincount(nearest) / len(nearest))[::-1]
    assert np.abs(found - shares).max() < 0.01


def test_transform_needs_no_torch(fitted, data):
    """A stored network is evaluated without importing torch, as the fit evaluated it."""
    out, _ = fitted
    code = (
        "import sys, numpy as np\n"
        "from koopman_cli.store import load_model\n"
        "from koopman_cli import transform\n"
        f"model = load_model({str(out / 'model.h5')!r})\n"
        f"(run,) = transform(model, np.load({str(data)!r})).runs\n"
        "y = run.array()\n"
        "print(y.shape, round(float(y[:, 0].var()), 2), 'torch' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split("\n")[0] == "(6000, 2) 1.0 False"


def test_weights_are_stored_as_plain_arrays(fitted):
    """model.h5 holds the weights as numbers: no object, nothing pickled."""
    out, _ = fitted
    assert load_model(out / "model.h5").lift.arrays["weight 0 0"].shape == (2, 8)
    kinds = set()
    with h5py.File(out / "model.h5") as file:
        file["lift"].visititems(lambda _, d: kinds.add(getattr(d, "dtype", np.dtype("f8")).kind))
    assert kinds <= set("fiubS")


def test_restarts_of_a_family_without_networks_are_refused(data):
    """--restarts with tica or no model is exit 2 and says what it is for, and so is --resume."""
    for verb in ("fit", "vamp-score"):
        for model in (["--model", "tica"], []):
            refused = run(verb, data, *model, "--restarts", "2")
            assert refused.code == 2
            assert "--restarts is for networks (vampnet, srv)" in refused.err
    outcome = run("fit", data, "--model", "tica", "--resume")
    assert outcome.code == 2
    assert "tica has none" in outcome.err


def test_a_gpu_that_is_not_there_is_exit_6(data):
    """--device cuda:9 ends with two lines and exit 6."""
    outcome = run("fit", data, *SMALL, "--device", "cuda:9")
    assert outcome.code == 6
    assert outcome.err.count("\n") == 2


def start(data, out, *more):
    """A long fit in a process of its own."""
    args = ("fit", str(data), *SMALL, "--set", "epochs=3000", "--set", "patience=3000",
            "--folds", "0", "-o", str(out), *more)  # fmt: skip
    return subprocess.Popen([*COMMAND, *args], env={**os.environ, **QUIET}, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def test_sigterm_saves_and_says_how_to_go_on(data, tmp_path):
    """SIGTERM while training ends with 143 within ten seconds and leaves a checkpoint; nothing
    half-written stays besides; --resume refuses another lag by name.
    """
    out = tmp_path / "run"
    process = start(data, out, "-v")
    for line in process.stderr:
        if line.startswith("epoch 3"):
            break
    begun = time.monotonic()
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 143
    assert time.monotonic() - begun < 10
    assert "--resume" in told
    assert [p.name for p in tmp_path.iterdir()] == ["run.training"]
    other = run("fit", data, *SMALL, "--set", "epochs=3000", "--set", "patience=3000", "--folds",
                "0", "-o", out, "--resume", "--lag", "2")  # fmt: skip
    assert other.code == 7
    assert "lag (1, now 2)" in other.err


@pytest.mark.slow
def test_killed_at_random_moments_the_weights_are_the_same(data, tmp_path, measured):
    """Twenty kills -9 at random moments, each followed by --resume: the final weights equal those
    of a run without interruption, byte for byte.
    """
    more = ("--set", "epochs=2000", "--set", "patience=2000", "--folds", "0")
    done("fit", data, *SMALL, *more, "-o", tmp_path / "whole", "--allow-empty")
    rng = np.random.default_rng(0)
    kills, out = 0, tmp_path / "killed"
    program = (
        "import koopman_cli.networks.checkpoint as c\n"
        "class Often(c.Place):\n"
        "    def __post_init__(self):\n"
        "        self.every = 0.2\n"
        "c.Place = Often\n"
        "from koopman_cli.cli import main\n"
        "main()\n"
    )
    while True:
        args = ["fit", str(data), *SMALL, *more, "-o", str(out), "--allow-empty"]
        args += ["--resume"] if kills else []
        process = subprocess.Popen([sys.executable, "-c", program, *args],
                                   env={**os.environ, **QUIET}, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)  # fmt: skip
        try:
            process.wait(rng.uniform(2.0, 6.0) if kills < 20 else 300)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
        else:
            break
    measured(f"{kills} kills, weights equal")
    assert kills == 20
    ours, theirs = (load_model(tmp_path / n / "model.h5").lift.arrays for n in ("killed", "whole"))
    assert all(np.array_equal(ours[k], theirs[k]) for k in theirs)
