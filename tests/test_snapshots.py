"""Coordinates of snapshots: every way to them keeps the inner products of the field."""

import numpy as np
import pytest

from koopman_cli.features import snapshots as module
from koopman_cli.features.snapshots import ArrayRun, Snapshots, compress
from koopman_cli.geometry import Geometry
from koopman_cli.lifts.pod import Rank, choose_rank, noise_threshold, pod
from koopman_cli.source import open_source
from koopman_cli.types import ReadOptions, no_progress


def raw(values, weights=None):
    """Snapshots before they are compressed."""
    grid = Geometry(("u",), ("",), ("x",), (values.shape[1],))
    valid = ~np.isnan(values).all(axis=0)
    empty = np.empty((0, 0))
    keep = (np.ones(len(values), bool),)
    return Snapshots(
        (ArrayRun(values),), keep, grid, values.dtype.name, valid, weights, empty, None, empty,
        0.0, "", "",
    )  # fmt: skip


def low_rank(frames=60, cells=700, rank=6):
    """A field of known rank with some cells masked."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal((frames, rank)) @ rng.standard_normal((rank, cells))
    values[:, 100:130] = np.nan
    return values


@pytest.mark.parametrize("method", ["svd", "gram", "sketch", "points"])
def test_inner_products_are_kept(monkeypatch, method):
    """A A' = X W X' whatever the way, and combine gives the field back."""
    monkeypatch.setattr(module, "BLOCK_BYTES", 64 * 60 * 8)  # several blocks of cells
    if method in ("gram", "sketch"):
        monkeypatch.setattr(module, "SMALL", 0)
    if method == "sketch":
        monkeypatch.setattr(module, "GRAM_FRAMES", 10)
    values = low_rank(cells=700 if method != "points" else 140)
    if method == "points":
        values = np.tile(values, (4, 1))
    valid = ~np.isnan(values[0])
    weights = np.linspace(0.5, 2, int(valid.sum()))
    found = compress(raw(values, weights))
    assert found.method == method
    weighted = values[:, valid] * weights
    scale = np.abs(weighted @ weighted.T).max()
    product = found.coordinates @ found.coordinates.T
    np.testing.assert_allclose(product, weighted @ weighted.T, atol=1e-10 * scale)
    back = found.combine(found.coordinates[:3].T)
    np.testing.assert_allclose(back.T, values[:3][:, valid], atol=1e-7)
    again = found.project(found.runs, found.keep)
    np.testing.assert_allclose(again, found.coordinates, atol=1e-6 * np.sqrt(scale))


def test_pod_in_coordinates_is_pod_of_the_field():
    """Directions fitted to some frames in coordinates are those of the same frames in space."""
    values = low_rank()
    valid = ~np.isnan(values[0])
    found = compress(raw(values))
    part = slice(0, 25)
    directions = pod(found.coordinates[part], np.empty((25, 0)), 3)[0]
    here = found.combine(directions)
    there = np.linalg.svd(values[part][:, valid], full_matrices=False)[2][:3].T
    np.testing.assert_allclose(np.linalg.svd(here.T @ there)[1], 1, atol=1e-10)


def test_noise_level_finds_the_rank():
    """Rank 6 in noise is found by Gavish and Donoho's threshold, and by it alone."""
    rng = np.random.default_rng(2)
    signal = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 900))
    noisy = signal + 0.5 * rng.standard_normal(signal.shape)
    s = np.linalg.svd(noisy, compute_uv=False)
    rank, rule, warned = choose_rank(Rank(), s, noisy.shape, 1e-16)
    assert (rank, warned) == (6, ())
    assert "Gavish" in rule
    assert s[6] < noise_threshold(s, noisy.shape) < s[5]
    assert choose_rank(Rank(energy=0.5), s, noisy.shape, 1e-16)[0] < 6


def test_the_gram_matrix_tells_what_it_loses(tmp_path):
    """A field with a tail of tiny singular values: the run says how many are lost, and where."""
    rng = np.random.default_rng(0)
    frames, cells = 300, 40_000
    sizes = np.concatenate([np.ones(5), np.full(frames - 5, 1e-12)])
    field = (rng.standard_normal((frames, frames)) * sizes) @ rng.standard_normal((frames, cells))
    path = tmp_path / "field.npz"
    np.savez(path, t=np.arange(frames) * 1.0, q=field.reshape(frames, 200, 200))
    opened = open_source([path], None, ReadOptions(var=("q",)), no_progress)
    (note,) = [n for n in opened.stream.notes if "squares the condition number" in n]
    assert "singular values below" in note
