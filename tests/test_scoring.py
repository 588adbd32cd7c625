"""The VAMP score: by its definition, in numpy and torch, against deeptime, and blind-proof."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate
from koopman_cli.errors import SupportError
from koopman_cli.features import build_features
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
from koopman_cli.models.solve import solve
from koopman_cli.moments import Moments
from koopman_cli.scoring import score_set, singular_functions, vamp_score
from koopman_cli.types import ReadOptions, no_progress

SAMPLES = Path(__file__).parents[1] / "sample_data" / "ala2"
KINDS = (1, 2, "E")


def covariances(k: int = 3, n: int = 60, seed: int = 0) -> tuple[NDArray[np.float64], ...]:
    """C00, C01, C11 of two correlated sets of k columns."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, k)) @ rng.standard_normal((k, k))
    y = 0.7 * x @ rng.standard_normal((k, k)) + rng.standard_normal((n, k))
    return x.T @ x / n, x.T @ y / n, y.T @ y / n


def inverse_root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Symmetric inverse square root, the way the definition writes it."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors / np.sqrt(values) @ vectors.T


def defined(c00, c01, c11, s, r):
    """The score as its definition reads."""
    if r == "E":
        big = np.diag(s)
        return 1 + np.trace(2 * big @ c01 - big @ c00 @ big @ c11)
    found = np.linalg.svd(inverse_root(c00) @ c01 @ inverse_root(c11), compute_uv=False)
    return 1 + np.sum(found**r)


@pytest.fixture(scope="module")
def torsions():
    """Backbone torsions of both sample runs, as float64 arrays."""
    paths = [SAMPLES / "run1.h5", SAMPLES / "run2.h5"]
    stream = build_features(open_trajectories(paths, ReadOptions(), no_progress), "torsions")
    return [np.concatenate(list(stream.chunks(i))).astype(np.float64) for i in range(2)]


# ------------------------------------------------------------------ definition


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), k=st.integers(1, 6))
def test_score_is_its_definition(seed, k):
    """Cholesky factors give the Schatten norm that inverse square roots define."""
    c = covariances(k, seed=seed)
    s = np.linspace(0.9, 0.1, k)
    for r in KINDS:
        assert vamp_score(*c, s, r=r) == pytest.approx(defined(*c, s, r), rel=1e-7)


def test_batches_are_scored_one_by_one():
    """A stack of covariances gives a stack of scores."""
    single = [covariances(seed=i) for i in range(4)]
    stacks = [np.stack(parts) for parts in zip(*single, strict=True)]
    s = np.array([0.9, 0.5, 0.2])
    for r in KINDS:
        expected = [vamp_score(*c, s, r=r) for c in single]
        np.testing.assert_allclose(vamp_score(*stacks, s, r=r), expected, rtol=1e-12)


def test_ridge_is_added_to_both_diagonals():
    """A ridge is C00 + ridge and C11 + ridge, and lowers the score."""
    c00, c01, c11 = covariances()
    eye = np.eye(3)
    for r in (1, 2):
        found = vamp_score(c00, c01, c11, r=r, ridge=0.1)
        assert found == pytest.approx(vamp_score(c00 + 0.1 * eye, c01, c11 + 0.1 * eye, r=r))
        assert found < vamp_score(c00, c01, c11, r=r)


def test_dependent_functions_have_no_score():
    """Functions that are dependent on the set are refused with a cure, not scored as junk."""
    c00, c01, c11 = covariances()
    c00 = np.zeros_like(c00)
    with pytest.raises(SupportError, match="linearly dependent"):
        vamp_score(c00, c01, c11)


def test_unknown_kinds_are_refused():
    """Only r = 1, 2 and E exist."""
    with pytest.raises(ValueError, match="'E'"):
        vamp_score(*covariances(), r=3)


# ------------------------------------------------------------------ torch


@pytest.mark.parametrize("r", KINDS)
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_torch_equals_numpy(r, ridge):
    """The same function on tensors gives the same number."""
    import torch

    c, s = covariances(4), np.array([0.9, 0.6, 0.3, 0.1])
    tensors = [torch.tensor(m) for m in (*c, s)]
    found = vamp_score(*tensors, r=r, ridge=ridge)
    assert isinstance(found, torch.Tensor)
    assert found.item() == pytest.approx(vamp_score(*c, s, r=r, ridge=ridge), rel=1e-12)


@pytest.mark.parametrize("r", KINDS)
@pytest.mark.parametrize("split", [1.0, 1e-4, 1e-9, 0.0], ids=lambda v: f"split {v}")
@pytest.mark.parametrize("ridge", [0.0, 1e-3])
def test_gradient_near_equal_singular_values(r, split, ridge):
    """Gradients in float64 equal finite differences, also where singular values coincide."""
    import torch

    x = torch.tensor(np.random.default_rng(0).standard_normal((3, 3)))
    x = x @ x.T + 3 * torch.eye(3, dtype=torch.float64)
    s = torch.tensor([0.8, 0.8 - 0.2 * split, 0.3], dtype=torch.float64)
    lower = torch.linalg.cholesky(x)
    # Whitened by C00 = C11 = x the singular values are exactly s.
    cross = lower @ torch.diag(s) @ lower.T

    def score(a, b, c):
        return vamp_score((a + a.T) / 2, b, (c + c.T) / 2, s, r=r, ridge=ridge)

    inputs = [m.clone().requires_grad_() for m in (x, cross, x)]
    for m in torch.autograd.grad(score(*inputs), inputs):
        assert torch.isfinite(m).all()
    assert torch.autograd.gradcheck(score, inputs, eps=1e-6, atol=1e-6)


# ------------------------------------------------------------------ deeptime


@pytest.mark.parametrize("lag", [1, 10])
@pytest.mark.parametrize("dim", [1, 2, 4])
def test_scores_equal_deeptime(torsions, lag, dim):
    """Same training run, same test run: r = 1, 2 and E equal deeptime's to 1e-8."""
    from deeptime.covariance import Covariance
    from deeptime.decomposition import VAMP
    from deeptime.decomposition import vamp_score as theirs

    train, test = torsions
    options = {"epsilon": 1e-10, "scaling": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = VAMP(lagtime=lag, dim=dim, **options).fit_from_timeseries(train).fetch_model()
        held = (
            Covariance(lagtime=lag, compute_c00=True, compute_c0t=True, compute_ctt=True,
                       remove_data_mean=True, bessels_correction=False)
            .fit(test).fetch_model()
        )  # fmt: skip
        expected = {r: theirs(model, r, covariances_test=held, dim=dim) for r in (1, 2, "E")}
    moments = accumulate(FeatureStream.from_arrays([train]), [lag])[0].total()
    solution = solve(moments, "svd")
    u, s, v = singular_functions(moments, solution.left[:, :dim], solution.right[:, :dim])
    blocks, _ = accumulate(FeatureStream.from_arrays([test]), [lag])
    found = score_set(u, s, v, blocks.total().rebased(moments.shift, moments.scale))
    assert found.vamp1 == pytest.approx(expected[1], abs=1e-8)
    assert found.vamp2 == pytest.approx(expected[2], abs=1e-8)
    assert found.vampe == pytest.approx(expected["E"], abs=1e-8)


# ------------------------------------------------------------------ scores of models


def test_score_of_a_model_does_not_depend_on_its_basis():
    """Any basis of the same functions, of any scale, has the same score on a test set."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((4000, 4)).cumsum(axis=0) * 0.01 + rng.standard_normal((4000, 4))
    train = Moments.of_pairs(x[:1999], x[1:2000])
    test = Moments.of_pairs(x[2000:-1], x[2001:])
    left, right = rng.standard_normal((4, 2)), rng.standard_normal((4, 2))
    one = score_set(*singular_functions(train, left, right), test)
    mixed = left @ rng.standard_normal((2, 2)), 1e5 * right @ rng.standard_normal((2, 2))
    other = score_set(*singular_functions(train, *mixed), test)
    for name in ("vamp1", "vamp2", "vampe"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9)


def test_score_on_its_own_training_set_is_the_sum_of_squares():
    """On the training set VAMP-2 and VAMP-E are 1 + sum s^2, VAMP-1 is 1 + sum s."""
    x = np.random.default_rng(0).standard_normal((500, 3)).cumsum(axis=0)
    train = Moments.of_pairs(x[:-1], x[1:])
    found = solve(train, "svd")
    u, s, v = singular_functions(train, found.left[:, :2], found.right[:, :2])
    np.testing.assert_allclose(s, found.singular_values[:2], rtol=1e-9)
    score = score_set(u, s, v, train)
    assert score.vamp2 == pytest.approx(1 + np.sum(s**2), rel=1e-9)
    assert score.vampe == pytest.approx(1 + np.sum(s**2), rel=1e-9)
    assert score.vamp1 == pytest.approx(1 + np.sum(s), rel=1e-9)
    assert not score.poor


def test_noise_deceives_vamp2_and_not_vampe():
    """Noise with 50 columns: held-out VAMP-2 reads about 1 + d^2/(n-1), VAMP-E far below 1."""
    d, n = 50, 121
    vamp2, vampe = [], []
    for seed in range(20):
        x = np.random.default_rng(seed).standard_normal((2 * n, d))
        train = Moments.of_pairs(x[: n - 1], x[1:n])
        test = Moments.of_pairs(x[n:-1], x[n + 1 :])
        found = solve(train, "svd")
        score = score_set(*singular_functions(train, found.left, found.right), test)
        vamp2.append(score.vamp2)
        vampe.append(score.vampe)
    assert np.mean(vamp2) == pytest.approx(1 + d**2 / (n - 2), rel=0.02)
    assert max(vampe) < -10


def test_folds_with_other_variance_are_poor():
    """A mode whose variance on the test set is above twice the training one is flagged."""
    x = np.random.default_rng(0).standard_normal((1000, 1)).cumsum(axis=0)
    x -= x.mean()
    train = Moments.of_pairs(x[:-1], x[1:])
    found = solve(train, "svd")
    functions = singular_functions(train, found.left, found.right)
    for factor, poor in ((1.0, False), (1.3, False), (1.5, True), (0.8, False), (0.6, True)):
        test = Moments.of_pairs(factor * x[:-1], factor * x[1:])
        assert score_set(*functions, test).poor is poor


def test_a_state_never_visited_in_the_test_set():
    """A function that is constant on the test set adds nothing to VAMP-2 and marks the fold."""
    rng = np.random.default_rng(0)
    x = np.column_stack([np.repeat(rng.integers(0, 2, 50), 40), rng.standard_normal(2000)])
    x = x.astype(float)
    train = Moments.of_pairs(x[:-1], x[1:])
    found = solve(train, "svd")
    functions = singular_functions(train, found.left, found.right)
    quiet = np.column_stack([np.zeros(2000), rng.standard_normal(2000)])
    score = score_set(*functions, Moments.of_pairs(quiet[:-1], quiet[1:]))
    assert score.poor
    assert score.vamp2 < 1.1
    still = np.zeros((100, 2))
    assert score_set(*functions, Moments.of_pairs(still, still)).vamp2 == 1.0
