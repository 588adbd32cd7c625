"""Inputs of a few frames: a model or a reason, never a warning of numpy or a crash."""

from __future__ import annotations

import warnings
from itertools import product

import numpy as np
import pytest
from cli_support import done, relaxing

from koopman_cli.api import FitOptions, fit
from koopman_cli.errors import KoopmanError, SupportError
from koopman_cli.linalg import whiten

LENGTHS = (8, 9, 12, 20, 50, 150, 500)
LAGS = ("1", "3", "10")


def _ends_well(data: np.ndarray, options: FitOptions) -> bool:
    """Whether a fit gives a model; any other end than that or a KoopmanError fails the test."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            result = fit(data, options)
        except KoopmanError:
            return False
    assert result.modes
    return True


@pytest.mark.parametrize("model", ["tica", "vamp", "edmd"])
def test_short_data_end_in_a_model_or_a_reason(model):
    """Lengths, lags, dims and folds of all sizes: a model or a KoopmanError, no warning."""
    fitted = {
        (frames, lag, dim, folds): _ends_well(
            relaxing(frames), FitOptions(model=model, lag=lag, dim=dim, folds=folds)
        )
        for frames, lag, dim, folds in product(LENGTHS, LAGS, ("auto", "2"), (0, 5))
    }
    assert all(good for (frames, *_), good in fitted.items() if frames >= 150)
    assert not any(fitted[8, "10", dim, folds] for dim, folds in product(("auto", "2"), (0, 5)))


@pytest.mark.parametrize("scale", [1e-150, 1.0, 1e150])
@pytest.mark.parametrize("memory", [(0.9999, 0.99), (-0.9, 0.5), (0.99,)])
def test_odd_data_end_in_a_model_or_a_reason(scale, memory):
    """Frozen, alternating and two-valued columns of any size: no warning, no crash; the longest
    give a model.
    """
    ends = {}
    for frames, lag in product((8, 20, 60), ("auto", "1", "5")):
        data = relaxing(frames, memory=memory)
        data = np.sign(data) if len(memory) == 1 else data
        for model in ("tica", "vamp", "edmd"):
            fitted = _ends_well(data * scale, FitOptions(model=model, lag=lag))
            ends[frames, lag, model] = fitted
    assert all(fitted for (frames, lag, _), fitted in ends.items() if (frames, lag) == (60, "1"))


def test_trajectories_without_a_pair_are_named():
    """A trajectory not longer than the lag is left out aloud: up to three by name, then a count;
    where all are long enough nothing is said.
    """
    long = [relaxing(1500, seed=i) for i in range(3)]
    short = [relaxing(n) for n in (3, 5, 2, 4)]

    def said(data: list[np.ndarray]) -> list[str]:
        found = fit(data, FitOptions(model="tica", lag="5", folds=0))
        return [w for w in found.warnings if "skipped" in w]

    assert said(long) == []
    assert said([*long, short[0]]) == [
        "skipped 1 of 4 trajectories not longer than lag 5 frames (trajectory 4, 3 frames)"
    ]
    (many,) = said([*long, *short])
    assert many.startswith("skipped 4 of 7")
    assert many.endswith("trajectory 6, 2 frames; and 1 more)")


@pytest.mark.parametrize(
    "verb",
    [
        ["fit", "--model", "tica", "--lag", "50", "--dim", "1"],
        ["vamp-score", "--model", "tica", "--lag", "5,50", "--dim", "1", "--allow-empty"],
        ["timescales", "--lag", "5,50", "--count", "1"],
    ],
    ids=lambda verb: verb[0],
)
def test_every_verb_names_files_too_short_for_the_longest_lag(verb, tmp_path, monkeypatch):
    """`fit`, `vamp-score` and `timescales` name the file that has no pair at the longest lag, in
    the text and in the warnings of --json.
    """
    monkeypatch.chdir(tmp_path)
    data = relaxing(4000, memory=(0.99,))
    np.save("long.npy", data[:3970])
    np.save("short.npy", data[3970:])
    name, *options = verb
    said = "skipped 1 of 2 trajectories not longer than lag 50 frames (short.npy, 30 frames)"
    asked = [name, "long.npy", "short.npy", *options, "--force"]
    text = done(*asked)
    assert f"Warning: {said}" in " ".join((text.out + text.err).split())
    assert done(*asked, "--json").json["warnings"].count(said) == 1


def test_a_variance_below_zero_is_no_variance():
    """Rounding that leaves a variance below zero is refused by name, not by a warning."""
    with pytest.raises(SupportError, match="no function with any variance"):
        whiten(np.diag([1.0, -1e-18]))
