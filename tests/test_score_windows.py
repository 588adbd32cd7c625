"""Tables of scores: whole conjugate pairs, delay windows of one length, families that suit."""

from __future__ import annotations

import json

import numpy as np
from click.testing import CliRunner
from scipy.signal import lfilter

from koopman_cli.candidates import told
from koopman_cli.cli import koopman
from koopman_cli.features.stream import FeatureStream
from koopman_cli.grid import Design, Scorer
from koopman_cli.report.scores import document
from koopman_cli.request import Request
from koopman_cli.scores import GridOptions, score_grid


def two_rotations(frames: int = 600) -> np.ndarray:
    """Two oscillations, each in two columns, with a little noise."""
    t = np.arange(frames)
    columns = [f(0.31 * t) for f in (np.cos, np.sin)] + [f(0.83 * t) for f in (np.cos, np.sin)]
    noise = np.random.default_rng(0).standard_normal((frames, 4))
    return np.column_stack(columns) + 0.02 * noise


def hidden(frames: int = 20_000) -> np.ndarray:
    """A slow column under white noise: a window of frames tells more of it than one frame."""
    rng = np.random.default_rng(3)
    return lfilter([1], [1, -0.95], rng.standard_normal(frames)) + 2 * rng.standard_normal(frames)


def test_dims_that_split_a_pair_are_left_out():
    """Of two rotations there are dims 2 and 4, each with at most 1 + dim; 1 and 3 are named once
    for both lags.
    """
    scorer = Scorer(FeatureStream.from_arrays(two_rotations()), Design((1, 2)))
    request = Request.of("tica", {"reversible": "false"})
    cells = [cell for _, cell in scorer.score([request], lambda i, lag: (1, 2, 3, 4))]
    assert sorted((c.lag.frames, c.dim) for c in cells) == [(1, 2), (1, 4), (2, 2), (2, 4)]
    for cell in cells:
        assert cell.dim + 0.9 < cell.score.vampe.test <= cell.dim + 1
    (said,) = told(scorer.refused)
    assert "lags 1, 2: dims 1, 3 would split a conjugate pair" in said


def test_windows_of_different_lengths_are_not_ranked_against_each_other(tmp_path):
    """Each length of window has its own recommendation and comparison, and windows as long as the
    lag are warned of; one length is told of as before.
    """
    options = GridOptions(
        features=("identity", "delays:3", "identity+delays:12"),
        models=("vamp",), lags=("10",), dims=(1, 2),
    )  # fmt: skip
    path = tmp_path / "hidden.npy"
    np.save(path, hidden())
    table = score_grid([str(path)], options)
    assert [r.window for r in table.recommended] == [0, 2, 11]
    for found in table.recommended:
        assert found.cell is not None
        assert table.cells[found.cell].window == found.window
    for pair in table.differences:
        assert table.cells[pair.best].window == table.cells[pair.second].window
    assert [r["window"] for r in document(table)["recommended"]] == [1, 3, 12]
    assert any("share frames" in said for said in table.warnings)
    assert any("windows of 1, 3, 12 frames" in said for said in table.notes)
    assert any(said.startswith("vamp on identity, lag 10: dims above 1") for said in table.warnings)
    (alone,) = score_grid(hidden(4000), GridOptions(lags=("5",), dims=(1,))).recommended
    assert alone.window == 0


def test_fields_are_scored_with_the_family_of_a_fit(tmp_path):
    """Without --model a field is scored with dmd, which a fit takes, and vamp."""
    t, x = np.arange(200.0), np.linspace(0, 6, 12)
    wave = np.cos(x[None, :] - 0.3 * t[:, None])
    wave += 0.01 * np.random.default_rng(0).standard_normal(wave.shape)
    path, out = tmp_path / "wave.npz", tmp_path / "scores"
    np.savez(path, u=wave, x=x, t=t)
    args = ["vamp-score", str(path), "--lag", "1", "--dim", "2", "-o", str(out)]
    found = CliRunner().invoke(koopman, [*args, "--set", "rank=2"])
    assert found.exit_code == 0, found.output
    cells = json.loads((out / "scores.json").read_text())["cells"]
    assert {cell["model"] for cell in cells} == {"dmd", "vamp"}
