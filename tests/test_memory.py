"""What a fit takes of memory: as predicted, and refused before it is taken."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cli_support import done, relaxing, run, two_lines

import koopman_cli.accumulate
import koopman_cli.memory
from koopman_cli.memory import check_moments, predicted_moments

#: Columns wide enough that their matrices are nearly all there is.
WIDE = 400


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A slow process in many noisy float32 columns."""
    rng = np.random.default_rng(0)
    slow = relaxing(4000, memory=(0.98, 0.9))
    mixed = slow @ rng.standard_normal((2, WIDE)) + rng.standard_normal((4000, WIDE))
    path = tmp_path_factory.mktemp("wide") / "wide.npy"
    np.save(path, mixed.astype(np.float32))
    return path


def peak_of(*args) -> int:
    """Bytes of arrays at the peak of a command."""
    tracemalloc.start()
    try:
        done(*args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "asked",
    [
        ("fit", "--model", "tica", "--lag", "10"),
        ("fit", "--model", "tica"),
        *(
            pytest.param(asked, marks=pytest.mark.slow)
            for asked in (
                ("fit", "--model", "vamp", "--lag", "10"),
                ("fit", "--model", "tica", "--set", "reversible=false", "--lag", "10"),
                ("vamp-score", "--model", "tica", "--model", "vamp", "--lag", "5", "--lag", "10"),
                ("timescales", "--lag", "5", "--lag", "10", "--lag", "20"),
            )
        ),
    ],
    ids=["tica", "auto", "vamp", "eig", "scores", "timescales"],
)
def test_the_peak_is_what_is_predicted(wide, tmp_path, asked, monkeypatch):
    """Intervals, certificates, folds and scans of wide features stay within the prediction."""
    predicted = []

    def seen(functions, lags, regions, device=None):
        predicted.append(predicted_moments(functions, lags, regions))
        check_moments(functions, lags, regions, device)

    monkeypatch.setattr(koopman_cli.accumulate, "check_moments", seen)
    verb, *rest = asked
    peak = peak_of(verb, wide, "--features", "identity:raw", *rest, "-q", "-o", tmp_path / "out")
    assert peak < max(predicted)


def test_what_cannot_fit_is_refused_with_what_would(wide, tmp_path, monkeypatch):
    """Moments that do not fit are refused before they are allocated; the hint names a width."""
    monkeypatch.setattr(koopman_cli.memory, "available", lambda device=None: 430 * 10**6)
    out = tmp_path / "out.koopman"
    args = ("fit", wide, "--features", "identity:raw", "--lag", "10", "-q", "-o", out)
    message, hint = two_lines(run(*args))
    assert message.startswith(f"moments of {WIDE} functions need about ")
    assert 0 < int(hint.split("about ")[1].split()[0]) < WIDE
    assert not out.exists()
