"""Networks: the loss is the package's score, one pass equals the other, a stack its networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from networks_support import SMALL, hopping, stream_of, trained, weights

from koopman_cli.errors import ResourceError
from koopman_cli.lifts import apply
from koopman_cli.lifts.network import ACTIVATIONS
from koopman_cli.networks.frames import Frames, inner_split, laid_out, standards, starts
from koopman_cli.networks.fused import Fused
from koopman_cli.networks.hardware import compare
from koopman_cli.networks.loss import LOSSES, batch_score, score_and_slope
from koopman_cli.networks.recipe import Job, Recipe, mixed
from koopman_cli.networks.shape import Mode, Shape, arrays_of, forward, initial
from koopman_cli.networks.stack import Engine, Stack
from koopman_cli.networks.train import How, train
from koopman_cli.types import Lift

DOUBLE = torch.device("cpu"), torch.float64


def pairs_with(values, seed: int = 0, n: int = 400) -> torch.Tensor:
    """Functions (1, 2, n, k) of lagged pairs whose singular values are about those given."""
    rng = np.random.default_rng(seed)
    s = np.asarray(values)
    x, _ = np.linalg.qr(rng.standard_normal((n, 2 * len(s) + 1)) - 0.0)
    x -= x.mean(axis=0)
    x, _ = np.linalg.qr(x[:, : 2 * len(s)])
    y = x[:, : len(s)] * s + x[:, len(s) :] * np.sqrt(1 - s**2)
    return torch.tensor(np.stack([x[:, : len(s)], y]) * np.sqrt(n))[None]


# ------------------------------------------------------------------ the loss


@pytest.mark.parametrize("split", [0.3, 1e-9, 0.0])
@pytest.mark.parametrize("loss", ["vamp1", "vamp2", "reversible"])
def test_gradient_is_right_at_close_singular_values(loss, split):
    """The gradient of the score passes gradcheck in float64, also where two singular values
    differ by 1e-9 or not at all.
    """
    pairs = pairs_with([0.8, 0.8 - split, 0.2], n=30).requires_grad_()
    assert torch.autograd.gradcheck(lambda p: batch_score(p, loss), (pairs,), atol=1e-7)


@pytest.mark.parametrize("ridge", [0.0, 0.1])
@pytest.mark.parametrize("loss", LOSSES)
def test_slope_that_is_written_out_is_autograds(loss, ridge):
    """The derivative used in training equals that of the score by autograd to 1e-12."""
    pairs = torch.cat([pairs_with([0.8, 0.4]), pairs_with([0.9, 0.1], seed=1)]).requires_grad_()
    score = batch_score(pairs, loss, ridge)
    (wanted,) = torch.autograd.grad(score.sum(), pairs)
    ours, slope = score_and_slope(pairs.detach(), loss, ridge)
    assert torch.allclose(ours, score.detach(), rtol=1e-12)
    assert torch.allclose(slope, wanted, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("split", [0.3, 0.0])
def test_vampe_has_value_and_gradient_of_vamp2(split):
    """VAMP-E of the batch's own singular functions is VAMP-2, and so is its gradient."""
    pairs = pairs_with([0.8, 0.8 - split, 0.2]).requires_grad_()
    score, other = batch_score(pairs, "vampe"), batch_score(pairs, "vamp2")
    assert abs(float((score - other).detach())) < 1e-12
    ours, theirs = (torch.autograd.grad(s.sum(), pairs)[0] for s in (score, other))
    assert torch.allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize(("loss", "method"), [("vamp1", "VAMP1"), ("vamp2", "VAMP2"),
                                               ("vampe", "VAMPE")])  # fmt: skip
def test_score_equals_deeptime(loss, method):
    """The score of a batch equals deeptime's on the same outputs to 1e-10.

    For VAMP-E the batch is taken in both directions of time: deeptime 0.4.5 decomposes the
    transposed matrix and so confuses left and right functions, which then agree.
    """
    vampnet = pytest.importorskip("deeptime.decomposition.deep")
    rng = np.random.default_rng(1)
    x = torch.tensor(rng.standard_normal((500, 4)).cumsum(axis=0) * 0.05)
    pairs = torch.stack([x[:-3], x[3:]])[None]
    if loss == "vampe":
        pairs = torch.cat([pairs, pairs.flip(1)], dim=2)
    theirs = vampnet.vamp_score(pairs[0, 0], pairs[0, 1], method=method, epsilon=1e-15)
    assert abs(float(batch_score(pairs, loss)) - float(theirs)) < 1e-10


def test_reversible_loss_is_the_sum_of_squared_eigenvalues():
    """The reversible loss is 1 + sum lambda^2 of C01 psi = lambda C00 psi, symmetrised."""
    import scipy.linalg

    pairs = pairs_with([0.9, 0.5, 0.1])
    x, y = pairs[0].numpy()
    both = np.concatenate([np.c_[x, y], np.c_[y, x]])
    both -= both.mean(axis=0)
    c0, c1 = both[:, :3].T @ both[:, :3], both[:, :3].T @ both[:, 3:]
    values = scipy.linalg.eigh((c1 + c1.T) / 2, c0, eigvals_only=True)
    assert abs(float(batch_score(pairs, "reversible")) - 1 - np.sum(values**2)) < 1e-10


@pytest.mark.parametrize("loss", LOSSES)
def test_dependent_outputs_spoil_their_own_score_alone(loss):
    """Two equal outputs make the score of their network NaN, and no other's."""
    good = pairs_with([0.8, 0.4])
    bad = good.clone()
    bad[..., 1] = bad[..., 0]
    found = batch_score(torch.cat([good, bad]), loss)
    assert torch.isfinite(found[0])
    assert torch.isnan(found[1])


def test_memberships_lose_one_output():
    """Softmax outputs sum to one, so a network of four scores three functions."""
    assert Shape(2, (8,), 4).functions == 3
    assert Shape(2, (8,), 4, softmax=False).functions == 4


# ------------------------------------------------------------------ passes and stacks


@pytest.mark.parametrize("networks", [1, 2])
@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("kind", ["elu", "relu", "tanh"])
def test_fused_pass_equals_autograd(kind, softmax, networks):
    """Scores and gradients of the pass that is written out equal autograd's to 1e-10."""
    shape = Shape(3, (7, 5), 4, kind, softmax=softmax, networks=networks)
    stack = Stack.fresh(shape, [1, 2, 3], [1e-3] * 3, [0.0] * 3, DOUBLE)
    x = torch.randn(3, 2, 60, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = Engine(shape, "vamp2", 0.0)
    fast = Engine(shape, "vamp2", 0.0)
    plain.fused = None
    assert fast.fused is not None
    for ours, theirs in zip(fast.gradients(stack, x), plain.gradients(stack, x), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_memory_is_allocated_once():
    """A second pass of the same size writes into the memory of the first."""
    shape = Shape(3, (7,), 2)
    rows, x = initial(shape, [1])[0], torch.zeros(1, 50, 3, dtype=torch.float64)
    fused = Fused(shape)
    first = fused.forward(rows, x)
    place, values = first.data_ptr(), first.clone()
    second = fused.forward(rows, x + 1)
    assert second.data_ptr() == place
    assert not torch.equal(second, values)


@pytest.mark.parametrize("normalisation", ["none", "batch"])
def test_a_stack_trains_its_networks_as_if_alone(normalisation):
    """Three networks trained in one stack end with the weights that each has alone (1e-9)."""
    shape = Shape(2, (6,), 3, normalisation=normalisation)
    data = torch.tensor(hopping()[:601])
    index = torch.randint(0, 600, (20, 3, 100), generator=torch.Generator().manual_seed(0))

    def run(members):
        stack = Stack.fresh(shape, [5 + i for i in members], [1e-2] * len(members),
                            [0.1] * len(members), DOUBLE)  # fmt: skip
        engine = Engine(shape, "vamp2", 0.0)
        for step in index[:, members]:
            engine.step(stack, torch.stack([data[step], data[step + 1]], dim=1))
        return stack.rows

    together = run([0, 1, 2])
    for i in range(3):
        assert torch.allclose(together[i], run([i])[0], atol=1e-9)


def test_a_network_whose_score_is_lost_skips_the_batch():
    """NaN in the batch of one network leaves its weights as they are; the others learn."""
    shape = Shape(2, (6,), 3)
    stack = Stack.fresh(shape, [1, 2], [1e-2] * 2, [0.0] * 2, DOUBLE)
    before = stack.rows.clone()
    x = torch.randn(2, 2, 50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x[0, 0, 3, 0] = torch.nan
    Engine(shape, "vamp2", 0.0).step(stack, x)
    assert torch.equal(stack.rows[0], before[0])
    assert not torch.equal(stack.rows[1], before[1])
    assert stack.bad.tolist() == [1, 0]


@pytest.mark.parametrize("normalisation", ["none", "batch", "layer"])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_numpy_equals_torch(kind, normalisation):
    """A stored network evaluated in numpy equals torch in float32 to 1e-5."""
    shape = Shape(3, (9, 9), 4, kind, normalisation, networks=2)
    rows, statistics = (m.float() for m in initial(shape, [1, 2]))
    x = np.random.default_rng(0).standard_normal((300, 3))
    frames = torch.tensor(x, dtype=torch.float32).expand(2, -1, -1)
    forward(shape, rows, frames, Mode(train=True, statistics=statistics))
    wanted = forward(shape, rows, frames, Mode(statistics=statistics))
    arrays = arrays_of(shape, rows.numpy(), statistics.numpy())
    settings = {"layers": 2, "networks": 2, "softmax": True, "activation": kind,
                "normalisation": normalisation}  # fmt: skip
    arrays |= {"mean": np.zeros(3), "scale": np.ones(3)}
    lift = Lift("network", ("a",) * 8, settings, arrays)
    assert np.abs(apply(lift, x) - torch.cat(list(wanted), dim=1).numpy()).max() < 1e-5


def test_dropout_drops_while_training_only():
    """With dropout a training pass differs from another, a pass in use does not."""
    shape = Shape(2, (50,), 2, dropout=0.5)
    rows, x = initial(shape, [1])[0], torch.ones(1, 4, 2, dtype=torch.float64)
    modes = [Mode(train=True, generator=torch.Generator().manual_seed(s)) for s in (1, 2)]
    first, second = (forward(shape, rows, x, mode) for mode in modes)
    assert not torch.equal(first, second)
    assert torch.equal(forward(shape, rows, x), forward(shape, rows, x))


# ------------------------------------------------------------------ frames


@pytest.mark.parametrize("lag", [1, 7])
@pytest.mark.parametrize("spans", [[[0, 1000]], [[0, 90], [100, 400], [401, 433]],
                                   [[i * 50, i * 50 + 50] for i in range(40)]])  # fmt: skip
def test_inner_split_shares_no_frame(spans, lag):
    """Pairs that decide when to stop share no frame with those trained on, and both are there."""
    spans = np.array(spans)
    split = inner_split(spans, lag, 0.2)
    train, held = (np.union1d(p, p + lag) for p in (split.train, split.held))
    assert np.intersect1d(train, held).size == 0
    assert 0.1 < len(split.held) / (len(split.train) + len(split.held)) < 0.35
    assert np.isin(np.concatenate([split.train, split.held]), starts(spans, lag)).all()


def test_streamed_frames_are_those_in_memory():
    """Pieces of a stream hold every pair exactly once, with the values of the frames."""
    stream = stream_of(hopping(frames=900), hopping(1, frames=301))
    (base,) = standards(stream, [laid_out(stream)])
    place = torch.device("cpu"), torch.float64
    whole = Frames.of(stream, 5, base, place, 10**9)
    parts = Frames.of(stream, 5, base, place, 8000)
    assert whole.resident
    assert not parts.resident
    (full,) = whole.pieces()
    index = starts(laid_out(stream), 5)
    found, ends = [], []
    for piece in parts.pieces():
        own = piece.own(index)
        found.append(own + piece.first)
        ends.append(piece.x[own + 5])
    assert len(found) > 1
    assert np.array_equal(np.concatenate(found), index)
    assert torch.equal(torch.cat(ends), full.x[index + 5])


def test_standards_come_from_training_frames():
    """Means and scales of the inputs ignore frames outside the training spans and constants."""
    x = np.c_[hopping(frames=500), np.full(500, 7.0)]
    x[300:] += 1e6
    (own,) = standards(stream_of(x), [np.array([[0, 300]])])
    assert np.allclose(own.mean, x[:300].mean(axis=0))
    assert np.allclose(own.scale[:2] * x[:300, :2].std(axis=0), 1)
    assert own.scale[2] == 0


def test_folds_never_see_held_out_frames():
    """The network of a fold is the same to the last bit whatever the frames held out contain."""
    x = hopping()
    other = x.copy()
    other[3000:] = np.random.default_rng(9).standard_normal((1000, 2)) * 100
    found = []
    for data in (x, other):
        stream = stream_of(data)
        (lift,) = train(stream, 1, [Job(SMALL, np.array([[0, 2990]]))], How("cpu"))
        found.append(weights(lift))
    assert found[0] == found[1]


# ------------------------------------------------------------------ jobs and devices


def test_folds_and_settings_train_as_one_stack(monkeypatch):
    """Jobs of two rates and two training sets go through one engine, and each gives the lift
    that it gives alone.
    """
    from koopman_cli.networks import train as module

    made = []
    original = module.Engine

    def counted(*args):
        made.append(args)
        return original(*args)

    monkeypatch.setattr(module, "Engine", counted)
    stream = stream_of(hopping())
    double = {"precision": "float64", "restarts": 1, "hidden": (8,), "outputs": 3, "epochs": 3}
    recipes = [Recipe(rate=rate, batch=200, **double) for rate in (1e-2, 1e-3)]
    spans = [np.array([[0, 2000]]), np.array([[2000, 4000]])]
    jobs = [Job(recipe, span) for recipe in recipes for span in spans]
    together = train(stream, 1, jobs, How("cpu"))
    assert len(made) == 1
    for lift, job in zip(together, jobs, strict=True):
        (alone,) = train(stream, 1, [job], How("cpu"))
        x = hopping(3, frames=100)
        assert np.allclose(apply(lift, x), apply(alone, x), atol=1e-6)


def test_a_device_that_computes_differently_is_refused():
    """One batch is passed through both devices at the start; a difference is an error (exit 6)."""
    stream = stream_of(hopping())
    (base,) = standards(stream, [laid_out(stream)])
    frames = Frames.of(stream, 1, base, (torch.device("cpu"), torch.float32), 10**9)
    shape = Shape(2, (8,), 3)
    stack = Stack.fresh(shape, [1], [1e-3], [0.0], (torch.device("cpu"), torch.float32))
    index = np.arange(500)
    engine = Engine(shape, "vamp2", 0.0)
    assert compare(engine, stack, frames, index) is None
    assert compare(engine, stack, frames, index, torch.device("cpu")) == 0
    outputs = engine.outputs
    engine.outputs = lambda *args: outputs(*args) * 0.5
    with pytest.raises(ResourceError, match="computes another network"):
        compare(engine, stack, frames, index, torch.device("cpu"))


def test_seeds_do_not_depend_on_the_stack():
    """Seeds of a network follow from its own numbers; different numbers give different seeds."""
    assert mixed(1, 2) == mixed(1, 2)
    assert len({mixed(a, b) for a in range(10) for b in range(10)}) == 100


def test_same_seed_same_bytes():
    """The same seed gives the same weights to the last bit, with one thread and with two;
    another seed gives others.
    """
    recipe, before, found = replace(SMALL, epochs=1), torch.get_num_threads(), []
    try:
        for threads in (1, 1, 2):
            torch.set_num_threads(threads)
            found.append(weights(trained(hopping(), recipe)))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]
    assert weights(trained(hopping(), recipe, seed=1)) != found[0]
