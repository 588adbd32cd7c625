"""One frame far from all others is named, and rare states and heavy tails are not."""

from __future__ import annotations

import json

import numpy as np
import pytest
from cli_support import run
from systems import DOUBLE_WELL, ar1

from koopman_cli import FitOptions, fit
from koopman_cli.features.stream import FeatureStream

LONE = "one frame stands alone, "


def relaxing(seed: int = 0, frames: int = 10_000):
    """Two columns of 20 and 5 frames, of unit variance."""
    return np.hstack([ar1(t).simulate(seed + int(t), frames)[0] for t in (20.0, 5.0)])


def said(data, family: str = "tica", **more):
    """What is said of lone frames."""
    found = fit(data, FitOptions(model=family, lag="2", dim="1", folds=0, **more))
    return [w for w in found.warnings if w.startswith(LONE)]


@pytest.mark.parametrize("family", ["tica", "vamp", "edmd"])
@pytest.mark.parametrize("at", [0, 1, 97, 5000, 9998, 9999])
def test_a_frame_far_out_is_named(family, at):
    """A frame 1000 standard deviations out is named with its file, column, distance and share,
    wherever it is, also where it is in one of the two ends of pairs only.
    """
    first, second = relaxing(0), relaxing(7)
    spread = second[:, 1].std()
    second[at, 1] += 1000 * spread
    (told,) = said([first, second], family)
    assert told.startswith(f"{LONE}frame {at} of trajectory 2: x2 (")
    deviations = float(told.split("x2 (")[1].split(" robust")[0])
    assert deviations == pytest.approx(1000, rel=0.05)
    assert "holds 98% of the variance" in told
    assert "what is fitted follows this frame" in told


def test_a_coordinate_that_blows_up_is_named_once():
    """All columns of one frame are one warning; float32 and chunks of files change nothing."""
    data = relaxing()
    data[777] *= 1e4
    for form in (data, data.astype(np.float32)):
        (told,) = said(form)
        assert f"{LONE}frame 777 of trajectory 1" in told
        assert "x1 (" in told
        assert "x2 (" in told


def test_a_frame_that_only_a_mode_shows_is_named():
    """A step of one standard deviation across two columns that are otherwise the same is far out
    along their difference, which is one of the modes.
    """
    data = relaxing()
    both = np.column_stack([data[:, 0], data[:, 0] + 1e-3 * data[:, 1]])
    both[77, 1] += 1
    found = fit(both, FitOptions(model="tica", lag="1", dim="2", folds=0))
    (told,) = [w for w in found.warnings if w.startswith(LONE)]
    assert f"{LONE}frame 77 of trajectory 1: mode " in told


def test_the_share_says_how_much_it_matters():
    """At 7% of the variance the fit is off by about as much, and does not follow the frame."""
    data = relaxing()
    data[4000, 0] += 30 * data[:, 0].std()
    (told,) = said(data)
    assert "holds 7% of the variance); eigenvalues and scores are off by about as much" in told


def test_the_cure_works_on_the_command_line(tmp_path):
    """Without the frame, as nan that is dropped, the timescale of the untouched data is back."""
    data = relaxing()
    plain = fit(data, FitOptions(model="tica", lag="2", dim="1")).modes[0].timescale.value
    data[5000, 0] += 1000
    path = tmp_path / "far.npy"
    np.save(path, data)
    asked = ("fit", path, "--model", "tica", "--lag", 2, "--dim", 1, "--force")
    told = run(*asked, "-o", tmp_path / "run")
    assert "far.npy: x1 (" in told.out
    assert "--drop-nonfinite" in told.out
    data[5000, 0] = np.nan
    np.save(path, data)
    cured = run(*asked, "-o", tmp_path / "run", "--drop-nonfinite")
    assert LONE not in cured.out
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["modes"][0]["timescale"]["value"] == pytest.approx(plain, rel=0.02)


def visits(rng: np.random.Generator, frames: int, level: float, noise: float):
    """A rare state of a hundred short visits of two frames on average."""
    state = np.zeros(frames)
    for start in rng.integers(0, frames, 100):
        state[start : start + 1 + rng.geometric(0.5)] = level
    return (state + noise * rng.standard_normal(frames))[:, None]


SYSTEMS = {
    "noise": lambda rng: rng.standard_normal((5000, 3)),
    "slow": lambda rng: ar1(100).simulate(int(rng.integers(1000)), 5000)[0],
    "double well": lambda rng: DOUBLE_WELL.simulate(int(rng.integers(1000)), 5000)[0],
    "rare state": lambda rng: visits(rng, 20_000, 50, 1),
    "rare state without noise": lambda rng: visits(rng, 20_000, 1, 0),
    "t with 3 degrees": lambda rng: rng.standard_t(3, (5000, 3)),
    "Cauchy": lambda rng: rng.standard_cauchy((5000, 3)),
    "lognormal": lambda rng: np.exp(2 * rng.standard_normal((5000, 3))),
}


@pytest.mark.parametrize("system", SYSTEMS)
def test_tails_and_rare_states_are_not_named(system):
    """In twenty runs of each there is no warning."""
    made = (SYSTEMS[system](np.random.default_rng(seed)) for seed in range(20))
    assert [said(data) for data in made] == [[]] * 20


def test_a_rare_state_of_a_few_frames_is_not_named():
    """Four frames in a row, or one frame in each of two visits, are no lone frame."""
    for frames in ([4000, 4001, 4002, 4003], [1000, 7000]):
        data = relaxing()
        data[frames, 0] += 100
        assert said(data) == []


def test_nothing_is_read_again():
    """Naming a frame takes no more readings of the data than a fit without one."""
    counts = []
    for size in (0, 1000):
        data = relaxing()
        data[5000, 0] += size
        stream = FeatureStream.from_arrays(data)
        read, begun = stream.read, []

        def counted(i, size, read=read, begun=begun):
            begun.append(i)
            return read(i, size)

        object.__setattr__(stream, "read", counted)
        found = fit(stream, FitOptions(model="tica", lag="2", dim="1"))
        assert any(w.startswith(LONE) for w in found.warnings) == bool(size)
        counts.append(len(begun))
    assert counts[0] == counts[1]
