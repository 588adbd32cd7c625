"""The command line as its users meet it: in this process, or in one of its own."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from koopman_cli.cli import koopman
from koopman_cli.cli.guard import run_guarded

SAMPLES = Path(__file__).resolve().parents[1] / "sample_data"
ALA2 = SAMPLES / "ala2"

#: What a user types, without relying on where the script was installed.
COMMAND = (sys.executable, "-c", "from koopman_cli.cli import main; main()")

#: One thread each, so that tests side by side do not crowd the machine.
QUIET = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "agg"}


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def run(*args) -> Outcome:
    """Run a command in this process, through everything but the script itself."""
    out, err = io.StringIO(), io.StringIO()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = run_guarded(koopman, [str(arg) for arg in args])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return Outcome(code, out.getvalue(), err.getvalue())


def done(*args) -> Outcome:
    """Run a command that must succeed."""
    outcome = run(*args)
    assert outcome.code == 0, outcome
    return outcome


def hear_interrupts() -> None:
    """Let SIGINT do what it does in a terminal."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(*args, env=None, **more) -> subprocess.Popen:
    """A process of its own, not waited for."""
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | more
    # A suite that a shell runs in the background is born with SIGINT ignored, and so its children.
    more = {"preexec_fn": hear_interrupts} | more
    environment = {**os.environ, **QUIET, **(env or {})}
    return subprocess.Popen([*COMMAND, *map(str, args)], env=environment, **more)


def finish(process: subprocess.Popen) -> Outcome:
    """Wait for a process."""
    out, err = process.communicate(timeout=120)
    return Outcome(process.returncode, out or "", err or "")


def process(*args, **more) -> Outcome:
    """Run a command in a process of its own."""
    return finish(start(*args, **more))


def wait_for(path: Path, process: subprocess.Popen, seconds: float = 60) -> None:
    """Wait until a process has made a file."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, finish(process)
        assert time.monotonic() < end, f"{path} was never made"
        time.sleep(0.01)


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: kind of each entry, and a digest of each file."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "directory" if path.is_dir() else "special"
    return found


def two_lines(outcome: Outcome) -> tuple[str, str]:
    """The error and the hint, which must be all there is on stderr."""
    lines = outcome.err.splitlines()
    assert len(lines) == 2, outcome
    assert lines[0].startswith("Error: "), outcome
    assert lines[1].startswith("Hint: "), outcome
    assert len(lines[0]) > len("Error: "), outcome
    assert len(lines[1]) > len("Hint: "), outcome
    assert "Traceback" not in outcome.out + outcome.err
    assert "bug in koopman" not in outcome.err
    return lines[0].removeprefix("Error: "), lines[1].removeprefix("Hint: ")


def relaxing(frames: int = 2000, seed: int = 0, memory=(0.95, 0.8, 0.0)) -> np.ndarray:
    """Independent AR(1) columns with these coefficients, (frames, d)."""
    noise = np.random.default_rng(seed).standard_normal((frames + 200, len(memory)))
    columns = [lfilter([1], [1, -a], noise[:, j]) for j, a in enumerate(memory)]
    return np.stack(columns, axis=1)[200:]


def eigenvalues(run_folder: Path) -> np.ndarray:
    """Eigenvalues (complex) in a RUN's summary.json."""
    modes = json.loads((run_folder / "summary.json").read_text())["modes"]
    return np.array([complex(*mode["eigenvalue"]) for mode in modes])
