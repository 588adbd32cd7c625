"""What a fit takes of memory: as predicted, and refused before it is taken."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from cli_support import done, relaxing, run, two_lines

import koopman_cli.accumulate
import koopman_cli.memory
from koopman_cli.memory import check_moments, predicted_field, predicted_moments

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


@pytest.fixture(scope="module")
def long_field(tmp_path_factory):
    """Many float32 snapshots of a few hundred points."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.outer(np.arange(12_000), [0.05, 0.11, 0.17])).astype(np.float32)
    mixed = waves @ rng.standard_normal((3, WIDE), dtype=np.float32)
    path = tmp_path_factory.mktemp("field") / "field.npy"
    np.save(path, mixed + 0.1 * rng.standard_normal(mixed.shape, dtype=np.float32))
    return path


def test_a_long_field_keeps_few_copies(long_field, tmp_path):
    """A fit of a field of many frames and few points stays within what is predicted for it."""
    # Its standing waves are no decays, so that no mode is resolved.
    asked = ("--kind", "field", "--allow-empty", "-q", "-o", tmp_path / "out")
    peak = peak_of("fit", long_field, *asked)
    assert peak < predicted_field(12_000, WIDE)


def test_a_field_that_cannot_fit_is_refused_with_a_stride(long_field, tmp_path, monkeypatch):
    """Coordinates that do not fit are refused before they are allocated, exit 6; the stride that
    the hint names is enough, one less is not.
    """
    monkeypatch.setattr(koopman_cli.memory, "available", lambda device=None: 460 * 10**6)
    out = tmp_path / "out.koopman"
    asked = ("fit", long_field, "--kind", "field", "-q", "-o", out)
    refused = run(*asked)
    message, hint = two_lines(refused)
    assert refused.code == 6
    assert message.startswith(f"a field of 12000 frames by {WIDE} cells needs about ")
    assert not out.exists()
    stride = int(hint.split("--stride ")[1].split()[0])
    assert predicted_field(12_000 // stride, WIDE) <= 0.8 * 460e6
    assert predicted_field(12_000 // (stride - 1), WIDE) > 0.8 * 460e6
