"""A dim that the user fixes is no support: held-out data are asked for every mode."""

from __future__ import annotations

import shlex

import numpy as np
import pytest
from cli_support import ALA2, run
from systems import ar1

from koopman_cli import FitOptions, fit
from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.coherences import held_out_memory
from koopman_cli.features.stream import FeatureStream
from koopman_cli.models.solve import solve


def independent(frames: int, columns: int, seed: int = 0):
    """Normal numbers without any memory."""
    return np.random.default_rng(seed).standard_normal((frames, columns))


@pytest.mark.parametrize(("frames", "columns"), [(60, 20), (400, 60), (2000, 22)])
@pytest.mark.parametrize("family", ["tica", "vamp"])
def test_noise_is_never_resolved_at_a_fixed_dim(frames, columns, family):
    """Three functions of independent columns: none resolved and no gap, of 4 seeds."""
    for seed in range(4):
        asked = FitOptions(model=family, lag="1", dim="3")
        found = fit(independent(frames, columns, seed), asked)
        assert all(mode.verdict != "resolved" for mode in found.modes)
        assert not found.gap.resolved
        assert not found.slow


def test_noise_at_a_fixed_dim_ends_with_4(tmp_path):
    """60 frames of 20 columns: no slow mode, exit 4, and the reason is given."""
    path = tmp_path / "noise.npy"
    np.save(path, independent(60, 20))
    told = run("fit", path, "--dim", "3", "--lag", "1", "--model", "tica", "-o", tmp_path / "run")
    assert told.code == 4
    assert "too few pairs for a noise floor, and nothing can be held out" in told.out


def test_a_true_mode_among_many_columns_is_kept():
    """One autoregression of 8 frames beside 60 columns of noise in 400 frames: only it, 4 seeds."""
    for seed in range(4):
        slow = ar1(8.0).simulate(seed + 50, 400)[0]
        data = np.hstack([independent(400, 60, seed), slow])
        first, *rest = fit(data, FitOptions(model="tica", lag="1", dim="3")).modes
        assert first.verdict == "resolved"
        assert all(mode.verdict == "unresolved" for mode in rest)
        assert any("held-out data do not support it" in mode.reason for mode in rest)


def test_held_out_memory_of_a_rotation():
    """A rotating pair keeps its modulus on held-out blocks; noise beside it keeps nothing."""
    t = np.arange(4000)
    turns = np.c_[np.cos(0.3 * t), np.sin(0.3 * t)] + 0.5 * independent(4000, 2)
    data = np.hstack([turns, independent(4000, 1, 1)])
    blocks, _ = accumulate(FeatureStream.from_arrays(data), [1], n_blocks=20)
    held = [list(range(i, i + 4)) for i in range(0, 20, 4)]
    trained = [solve(blocks.sum_blocks(sorted(set(range(20)) - set(part))), "eig") for part in held]
    values = solve(blocks.total(), "eig").eigenvalues
    found = held_out_memory(blocks, held, trained, values)
    assert found[:2, 0] == pytest.approx(np.abs(values[:2]), abs=0.02)
    assert abs(found[2, 0]) < 0.1


def test_too_many_features_of_a_molecule_are_named_with_a_way_out(tmp_path):
    """Seven frames cannot support the distances of a peptide: they are named, and the command of
    the hint runs as it stands.
    """
    options = ("--top", ALA2 / "ala2.pdb", "--end", 7, "--lag", 1)
    told = run("fit", ALA2 / "run1.xtc", *options, "--features", "heavy-distances")
    assert told.code == 4
    assert "functions of heavy-distances (45 columns)" in told.err
    command = shlex.split(told.err.partition("koopman fit ")[2].strip())
    assert command[-2:] == ["--features", "rmsd"]
    cured = run("fit", *command, "--allow-empty", "-o", tmp_path / "cured.koopman")
    assert cured.code == 0
    assert "1 feature" in cured.out
