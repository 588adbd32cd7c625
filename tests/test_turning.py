"""What turns over at longer lags has a period; `koopman timescales` says so, of nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import run
from systems import DOUBLE_WELL, ar1

from koopman_cli.features.stream import FeatureStream
from koopman_cli.lagscan import scan_timescales
from koopman_cli.request import Request

LAGS = [1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192]
TURNS = "mode 1 at lag 1 turns over: "


def said(runs, lags, family: str = "tica") -> list[str]:
    """What a scan says of a function that turns over."""
    bands = scan_timescales(FeatureStream.from_arrays(runs), Request.of(family), lags, 1)
    return [w for w in bands.warnings if " turns over: " in w]


def wave(kind: str, period: int, frames: int = 20_000):
    """A sine or a square wave of size one, with noise of 0.3."""
    turn = np.sin(2 * np.pi * np.arange(0.5, frames) / period)
    shape = turn if kind == "sine" else np.sign(turn)
    return shape + 0.3 * np.random.default_rng(0).standard_normal(frames)


@pytest.mark.parametrize("family", ["tica", "vamp", "edmd"])
@pytest.mark.parametrize(("kind", "period"), [("sine", 50), ("square", 200)])
def test_waves_turn_over(family, kind, period):
    """Half a period later the correlation is negative and a period later it is back, as is said
    with both lags and numbers, whatever the family.
    """
    (told,) = said([wave(kind, period)], LAGS, family)
    assert told.startswith(TURNS)
    low, back = told.split(" by ")[1:3]
    assert float(low.split()[0]) < -0.7
    assert int(low.split(" after ")[1].split()[0]) == pytest.approx(period / 2, rel=0.1)
    assert float(back.split()[0]) > 0.7
    assert int(back.split(" after ")[1].split()[0]) == pytest.approx(period, rel=0.1)


def test_half_a_period_is_enough():
    """Where the lags end before a whole period only the negative correlation is told."""
    (told,) = said([wave("square", 200)], LAGS[:-1])
    assert " after 96 frames, which nothing that relaxes is" in told


def test_it_is_said_on_the_command_line(tmp_path):
    """`koopman timescales` of a square wave says that none of its timescales is one."""
    path = tmp_path / "wave.npy"
    np.save(path, wave("square", 100))
    told = run("timescales", path, "--model", "tica", "-o", tmp_path / "out")
    assert "none of these timescales is a relaxation" in " ".join(told.out.split())


SYSTEMS = {
    "long": (lambda seed: [ar1(20).simulate(seed, 20_000)[0]], LAGS),
    "short, long lags": (lambda seed: [ar1(50).simulate(seed, 1000)[0]], [1, 10, 50, 100, 200]),
    "two runs": (lambda seed: [ar1(20).simulate(2 * seed + i, 800)[0] for i in (0, 1)], LAGS[:9]),
    "double well": (lambda seed: list(DOUBLE_WELL.simulate(seed, 5000, walkers=1)), LAGS[:9]),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_relaxes_does_not_turn_over(system):
    """Nothing is said of twenty runs of each."""
    make, lags = SYSTEMS[system]
    assert [said(make(seed), lags) for seed in range(20)] == [[]] * 20
