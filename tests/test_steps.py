"""What a change of the mean, seen once, adds to a timescale is said, with what is left."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import run
from systems import DOUBLE_WELL, ar1

from koopman_cli import FitOptions, fit

TOO_LONG = "the timescale of mode 1 is too long: it is "


def stepped(seed: int, height: float, frames: int = 20_000):
    """20 frames of timescale, unit variance; the last two thirds are higher."""
    x = ar1(20).simulate(seed, frames)[0]
    x /= x.std()
    x[frames // 3 :] += height
    return x


def without(told: str) -> tuple[float, float, float]:
    """Timescale and interval that a warning tells."""
    value, rest = told.removeprefix(TOO_LONG).split(" [", 1)
    low, high = rest.split("]")[0].split(", ")
    return float(value), float(low), float(high)


def warned(data, lag: str = "5"):
    """The mode and what is said of its step."""
    found = fit(data, FitOptions(model="tica", lag=lag, dim="1", folds=0))
    return found.modes[0], [w for w in found.warnings if w.startswith(TOO_LONG)]


@pytest.mark.parametrize("parts", [1, 2])
def test_the_timescale_without_a_step_is_said(parts):
    """A step of one standard deviation makes 25 frames of 20: the warning gives 20 in its interval
    in nine of ten runs, whether the parts are one run or two, and says where the step is.
    """
    held, values = 0, []
    for seed in range(10):
        x = stepped(seed, 1.0)
        mode, told = warned([x] if parts == 1 else np.split(x, [len(x) // 3]))
        assert mode.timescale.value > 22
        value, low, high = without(told[0])
        assert told[0].removeprefix(TOO_LONG).split(" without")[0] in mode.reason
        if parts == 1:
            frame = int(told[0].split("near frame ")[1].split(",")[0])
            assert frame == pytest.approx(6666, abs=1500)
        else:
            assert "between the runs" in told[0]
        held += low < 20 < high
        values.append(value)
    assert held >= 9
    assert np.mean(values) == pytest.approx(20, rel=0.04)


def test_a_mode_that_is_mostly_its_step_is_unresolved():
    """Three standard deviations: the mode is unresolved, without a timescale, and the reason is
    the change of its mean; nothing is called too long.
    """
    for seed in range(3):
        mode, told = warned([stepped(seed, 3.0)])
        assert mode.verdict == "unresolved"
        assert mode.timescale is None
        assert mode.reason.startswith("its mean changes")
        assert told == []


def test_a_step_is_no_trend():
    """A step is not called a drift along the run, and a line is not called a step."""
    found = fit([stepped(0, 1.0)], FitOptions(model="tica", lag="5"))
    assert not any("a trend, not a mode" in w for w in found.warnings)
    line = stepped(1, 0.0) + np.linspace(0, 1.5, 20_000)[:, None]
    found = fit([line], FitOptions(model="tica", lag="5"))
    assert any("a trend, not a mode" in w for w in found.warnings)
    assert not any(w.startswith(TOO_LONG) for w in found.warnings)


SYSTEMS = {
    "AR(1)": lambda seed: [ar1(20).simulate(seed, 2000)[0]],
    "five runs": lambda seed: [ar1(50).simulate(5 * seed + i, 1500)[0] for i in range(5)],
    "double well": lambda seed: list(DOUBLE_WELL.simulate(seed, 5000, walkers=1)),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_stationary_processes_have_no_step(system):
    """In thirty runs of each nothing is said."""
    for seed in range(30):
        mode, told = warned(SYSTEMS[system](seed), "2")
        assert told == []
        assert "seen once" not in mode.reason


def test_timescales_say_it_too(tmp_path):
    """`koopman timescales` warns of the first lag in the same words."""
    path = tmp_path / "two.npy"
    np.save(path, stepped(0, 1.0))
    told = run("timescales", path, "--model", "tica", "--lag", "5,10", "-o", tmp_path / "out")
    assert "the timescale of mode 1 at lag 5 is too long: it is " in told.out
    assert "without the change of its mean near frame" in told.out
