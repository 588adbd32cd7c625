"""Training: what goes wrong is noticed, what is interrupted goes on to the last bit."""

from __future__ import annotations

import os
import re
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from networks_support import SMALL, hopping, stream_of, trained, weights

from koopman_cli.errors import ModelFileError, ResourceError, SupportError, UsageError
from koopman_cli.lifts import apply
from koopman_cli.models import make_settings
from koopman_cli.networks import stack as stack_module
from koopman_cli.networks.checkpoint import Place, pack, unpack
from koopman_cli.networks.frames import laid_out
from koopman_cli.networks.interrupt import Interrupts
from koopman_cli.networks.recipe import Job, Recipe
from koopman_cli.networks.stack import Engine
from koopman_cli.networks.train import How, train
from koopman_cli.request import Request

# ------------------------------------------------------------------ learning


def test_states_are_found():
    """A network of three outputs tells three places apart: each frame belongs to one of them."""
    x = hopping()
    lift = trained(x, replace(SMALL, epochs=15, restarts=4))
    chi = apply(lift, x)
    assert chi.shape == (4000, 3)
    assert np.allclose(chi.sum(axis=1), 1)
    assert lift.settings["status"].count("done") >= 1
    corners = apply(lift, np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]))
    assert sorted(corners.argmax(axis=1)) == [0, 1, 2]
    assert (corners.max(axis=1) > 0.5).all()


def test_the_best_restart_is_taken_by_its_held_out_score():
    """Among networks that came to a good end the one with the largest VAMP-E is the lift."""
    s = trained(hopping(), replace(SMALL, restarts=4)).settings
    done = [v for v, status in zip(s["restarts"], s["status"], strict=True) if status == "done"]
    assert s["restarts"][s["chosen"]] == max(done)


def test_streamed_training_learns_too():
    """Frames that do not stay on the device come in pieces; the states are found all the same."""
    x = hopping()
    lift = trained(x, replace(SMALL, epochs=15), How("cpu", limit=20_000))
    assert any("streamed" in said for said in lift.settings["said"])
    corners = apply(lift, np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]]))
    assert sorted(corners.argmax(axis=1)) == [0, 1, 2]


def test_two_networks_stand_side_by_side():
    """With a network for each end of a pair the lift holds the functions of both."""
    lift = trained(hopping(), replace(SMALL, networks=2))
    assert len(lift.names) == 6
    assert apply(lift, hopping(frames=10)).shape == (10, 6)


def test_training_stops_where_held_out_scores_no_longer_rise():
    """Patience ends a training on noise long before the last epoch."""
    noise = np.random.default_rng(0).standard_normal((2000, 2))
    recipe = replace(SMALL, epochs=200, patience=2, softmax=False, outputs=1, restarts=1)
    lift = trained(noise, recipe)
    assert lift.settings["epochs"][0] < 50


# ------------------------------------------------------------------ what goes wrong


def test_constant_input_is_refused():
    """All-constant features end with exit 4 before anything is trained."""
    with pytest.raises(SupportError, match="none of the features varies"):
        trained(np.ones((500, 2)))


@pytest.mark.parametrize("family", ["vampnet", "srv"])
def test_batches_too_small_for_the_rank_are_refused(family):
    """A batch with fewer pairs than outputs is refused where it is set, with exit 2."""
    with pytest.raises(UsageError, match="too small for the rank"):
        make_settings(family, {"batch": "4", "outputs": "5"})


def test_too_few_pairs_are_refused():
    """Fewer training pairs than functions need end with exit 4."""
    with pytest.raises(SupportError, match="cannot support"):
        trained(hopping(frames=9), replace(SMALL, outputs=6))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("layers", "64y64"), ("layers", "-1"), ("width", "0"), ("activation", "sine"),
     ("dropout", "1"), ("rate", "0"), ("rate", "nan"), ("restarts", "0"), ("outputs", "1"),
     ("holdout", "0.9"), ("precision", "half"), ("score", "vamp3"), ("batch", "-5")],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(setting, value):
    """Each is exit 2, with a message that names the setting."""
    with pytest.raises(UsageError, match=setting):
        make_settings("vampnet", {setting: value})


def test_layers_are_a_number_or_widths():
    """``layers=2`` with ``width=8`` is 8x8; ``layers=16x4`` is as written; 0 is linear."""
    hidden = [make_settings("srv", {"layers": text, "width": "8"}).hidden()
              for text in ("2", "16x4", "0")]  # fmt: skip
    assert hidden == [(8, 8), (16, 4), ()]


def test_a_learning_rate_of_ten_is_reduced_until_something_is_learnt():
    """At learning rate 10 the first step saturates every network; tenths of it are tried, and
    what comes out is finite and scores.
    """
    lift = trained(hopping(), replace(SMALL, rate=10.0, epochs=12, restarts=4))
    assert np.isfinite(apply(lift, hopping())).all()
    assert lift.settings["restarts"][lift.settings["chosen"]] > 1.5


def test_a_hopeless_learning_rate_ends():
    """Where all attempts diverge the end is exit 4, and the hint says what to lower."""
    with pytest.raises(SupportError, match=re.escape("learning rate 1e+30")) as caught:
        trained(hopping(), replace(SMALL, rate=1e30))
    assert "smaller learning rate" in caught.value.hint


def test_nan_in_the_loss_keeps_the_last_good_weights(monkeypatch):
    """Scores that turn NaN for good leave the best weights from before, after a few attempts."""
    calls, limit = [0], [10**9]
    original = stack_module.score_and_slope

    def broken(*args):
        calls[0] += 1
        score, slope = original(*args)
        return score * (1.0 if calls[0] <= limit[0] else torch.nan), slope

    monkeypatch.setattr(stack_module, "score_and_slope", broken)
    linear = replace(SMALL, softmax=False, outputs=2)
    before = trained(hopping(), replace(linear, epochs=2))
    limit[0], calls[0] = calls[0], 0
    after = trained(hopping(), replace(linear, epochs=100))
    assert weights(before) == weights(after)
    # At most three epochs at each of four rates, and not a hundred.
    assert calls[0] <= limit[0] // 2 * (2 + 12)


def test_a_rate_that_diverges_is_reduced(monkeypatch):
    """A network whose every batch fails goes on with a tenth of its rate."""
    rates = set()
    original = Engine.step

    def spied(self, stack, *args):
        rates.update(np.round(stack.rate.ravel().tolist(), 9))
        if float(stack.rate.max()) > 1e-3:
            args = (args[0] * torch.nan, *args[1:])
        original(self, stack, *args)

    monkeypatch.setattr(Engine, "step", spied)
    lift = trained(hopping(), replace(SMALL, restarts=1, epochs=10))
    assert {5e-3, 5e-4} <= rates
    assert np.isfinite(apply(lift, hopping())).all()


def test_collapsed_networks_start_afresh_and_are_told():
    """Outputs that nothing supports collapse: they are restarted, counted, and marked."""
    two = np.sign(hopping()[:, :1] - 1.5)
    x = two + 0.01 * np.random.default_rng(0).standard_normal(two.shape)
    lift = trained(x, replace(SMALL, outputs=6, epochs=2))
    assert lift.settings["status"] == ["collapsed"] * 2
    assert lift.settings["retries"] > 0
    assert lift.settings["collapsed"]


def test_a_fit_whose_networks_all_collapse_ends():
    """If all restarts collapse on all data the fit ends with exit 4 and names the outputs."""
    two = np.sign(hopping()[:, :1] - 1.5)
    x = two + 0.01 * np.random.default_rng(0).standard_normal(two.shape)
    settings = {"outputs": "6", "epochs": "2", "restarts": "2", "layers": "8x8"}
    with pytest.raises(SupportError, match="2 networks collapsed") as caught:
        Request.of("vampnet", settings).lift(stream_of(x))
    assert "fewer than 6 outputs" in caught.value.hint


def test_memory_that_does_not_suffice_halves_the_batch(monkeypatch):
    """Out of memory halves the batch and says so; after four times it is exit 6."""
    original = Engine.step
    limit = [100]

    def small(self, stack, x, *args):
        if x.shape[2] > limit[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        original(self, stack, x, *args)

    monkeypatch.setattr(Engine, "step", small)
    lift = trained(hopping(), SMALL)
    assert lift.settings["batch"] == 100
    assert lift.settings["said"] == ["not enough memory: batch halved to 100"]
    limit[0] = 1
    with pytest.raises(ResourceError, match="not enough memory for batches of") as caught:
        trained(hopping(), SMALL)
    assert caught.value.code == 6


def test_a_gpu_that_is_not_there_is_an_error():
    """--device cuda:7 never becomes a silent run on the processor."""
    with pytest.raises(ResourceError, match="no such GPU"):
        trained(hopping(), SMALL, How("cuda:7"))


# ------------------------------------------------------------------ checkpoints


@contextmanager
def ending_after(monkeypatch, steps: int):
    """Let a training be interrupted after some batches, as by SIGTERM."""
    original, count = Engine.step, [0]

    def counted(self, *args):
        original(self, *args)
        count[0] += 1
        if count[0] == steps:
            os.kill(os.getpid(), signal.SIGTERM)

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    monkeypatch.setattr(Engine, "step", counted)
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        monkeypatch.setattr(Engine, "step", original)
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("more", [{}, {"dropout": 0.2, "normalisation": "batch"}])
@pytest.mark.parametrize("steps", [1, 17, 31])
def test_resumed_equals_uninterrupted(monkeypatch, tmp_path, steps, more):
    """A training stopped in the middle of an epoch and resumed ends with the same bytes."""
    recipe = replace(SMALL, **more)
    whole = trained(hopping(), recipe)
    with ending_after(monkeypatch, steps):
        trained(hopping(), recipe, How("cpu", place=Place(tmp_path)))
    again = trained(hopping(), recipe, How("cpu", place=Place(tmp_path, resume=True)))
    assert weights(again) == weights(whole)


def test_a_finished_training_is_not_repeated(monkeypatch, tmp_path):
    """Resuming what is finished trains nothing and gives the same weights."""
    first = trained(hopping(), SMALL, How("cpu", place=Place(tmp_path)))
    monkeypatch.setattr(Engine, "step", None)
    assert weights(trained(hopping(), SMALL, How("cpu", place=Place(tmp_path, True)))) == weights(
        first
    )


def _checkpoints(tmp_path, monkeypatch):
    """Two checkpoints of an interrupted training, the newest first."""
    with ending_after(monkeypatch, 40):
        trained(hopping(), SMALL, How("cpu", place=Place(tmp_path, every=0)))
    found = sorted(tmp_path.iterdir(), key=lambda p: -unpack(p.read_bytes())[1]["clock"]["saved"])
    assert len(found) == 2
    return found


def test_a_truncated_checkpoint_falls_back_to_the_one_before(monkeypatch, tmp_path):
    """With the newest slot cut short the other is taken, with a warning, to the same end."""
    whole = trained(hopping(), SMALL)
    newest, _ = _checkpoints(tmp_path, monkeypatch)
    newest.write_bytes(newest.read_bytes()[:-100])
    place = Place(tmp_path, resume=True)
    again = trained(hopping(), SMALL, How("cpu", place=place))
    assert weights(again) == weights(whole)
    assert "is damaged" in place.said[0]
    assert str(newest.name) in place.said[0]


def test_two_damaged_checkpoints_are_refused(monkeypatch, tmp_path):
    """Without a whole slot nothing is resumed: exit 7."""
    for path in _checkpoints(tmp_path, monkeypatch):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelFileError, match="no whole checkpoint"):
        trained(hopping(), SMALL, How("cpu", place=Place(tmp_path, resume=True)))


@pytest.mark.parametrize(
    ("change", "named"),
    [({"x": hopping(5)}, "data"), ({"lag": 2}, "lag"), ({"recipe": {"hidden": (9,)}}, "hidden"),
     ({"recipe": {"rate": 1e-4}}, "rate"), ({"seed": 3}, "seed")],
)  # fmt: skip
def test_other_data_lag_or_networks_refuse_to_resume(monkeypatch, tmp_path, change, named):
    """Nothing is modified, and the message names what differs."""
    _checkpoints(tmp_path, monkeypatch)
    before = {p: p.read_bytes() for p in tmp_path.iterdir()}
    recipe = replace(SMALL, **change.get("recipe", {}))
    how = How("cpu", place=Place(tmp_path, resume=True))
    with pytest.raises(ModelFileError, match=f"cannot be resumed: other {named}"):
        trained(change.get("x", hopping()), recipe, how, lag=change.get("lag", 1),
                seed=change.get("seed", 0))  # fmt: skip
    assert {p: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize("cut", [0, 7, 40, 41, 60, -1])
def test_no_damaged_checkpoint_is_read(cut):
    """A checkpoint cut anywhere, or with any byte changed, is recognised."""
    content = pack({"x": np.arange(5.0)}, {"epoch": 3})
    assert unpack(content[:cut]) is None
    changed = bytearray(content)
    changed[cut] ^= 1
    assert unpack(bytes(changed)) is None


def interrupted(times: int, reached: list[str]) -> None:
    """Get so many signals inside the block, and tell what is reached."""
    with Interrupts() as stop:
        for number in range(times):
            os.kill(os.getpid(), signal.SIGINT)
            reached.append(f"{number + 1}: {stop.pending}")
        reached.append("end")
    reached.append("beyond")


@pytest.mark.parametrize(("times", "wanted"), [(1, ["1: 2", "end"]), (2, ["1: 2"])])
def test_the_first_signal_waits_and_the_second_does_not(times, wanted):
    """One signal is remembered until the end of the batch; a second acts at once."""
    reached: list[str] = []

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted(times, reached)
    finally:
        signal.signal(signal.SIGINT, before)
    assert reached == wanted


# ------------------------------------------------------------------ families


def test_settings_of_one_shape_are_trained_together(monkeypatch):
    """Requests of a grid that differ in rate alone share one training of all folds."""
    from koopman_cli.networks import train as module
    from koopman_cli.scores import GridOptions, score_grid

    stacks = []
    original = module.Trainer.run

    def run(self):
        stacks.append(len(self.team))
        original(self)

    monkeypatch.setattr(module.Trainer, "run", run)
    settings = {"outputs": ("3",), "rate": ("5e-3", "1e-2"), "epochs": ("2",),
                "restarts": ("2",), "layers": ("8x8",)}  # fmt: skip
    options = GridOptions(models=("vampnet",), lags=("1",), dims=(2,), folds=3,
                          settings={"vampnet": settings}, device="cpu")  # fmt: skip
    table = score_grid(hopping(), options)
    assert len(table.cells) == 2
    # All data: 2 rates x 2 restarts; folds: 3 times as many.
    assert stacks == [4, 12]
    assert all(cell.score.vamp2.test > 2 for cell in table.cells)


def test_settings_that_collapse_are_trained_once_and_refused_each(monkeypatch):
    """Where the networks of every setting of a grid collapse, each is refused after the one
    training of all, and the grid ends with exit 4.
    """
    from koopman_cli.networks import train as module
    from koopman_cli.scores import GridOptions, score_grid

    runs = []
    original = module.Trainer.run
    monkeypatch.setattr(module.Trainer, "run", lambda self: (runs.append(1), original(self)))
    two = np.sign(hopping()[:, :1] - 1.5)
    x = two + 0.01 * np.random.default_rng(0).standard_normal(two.shape)
    settings = {"outputs": ("6",), "layers": ("8x8",), "rate": ("1e-3", "2e-3"),
                "epochs": ("1",), "restarts": ("1",)}  # fmt: skip
    options = GridOptions(models=("vampnet",), lags=("1",), dims=(1,), folds=3,
                          settings={"vampnet": settings}, device="cpu")  # fmt: skip
    with pytest.raises(SupportError) as caught:
        score_grid(x, options)
    assert str(caught.value).count("1 network collapsed") == 2
    assert len(runs) == 1


def test_the_report_tells_of_all_restarts():
    """Notes of a lift give best, median, collapsed, device and batch."""
    request = Request.of("vampnet", {"outputs": "3", "layers": "8x8", "epochs": "3",
                                     "restarts": "3", "rate": "5e-3"})  # fmt: skip
    stream = stream_of(hopping())
    (note,) = request.settings.notes(request.lift(stream))
    for word in ("3 networks", "best", "median", "collapsed", "diverged", "on cpu", "pairs"):
        assert word in note


def test_jobs_of_other_shapes_have_stacks_of_their_own():
    """Networks of two widths are trained in turns, and each job gets its own."""
    stream = stream_of(hopping())
    recipes = [Recipe((width,), 3, restarts=1, epochs=1) for width in (4, 6)]
    found = train(stream, 1, [Job(r, laid_out(stream)) for r in recipes], How("cpu"))
    assert [lift.arrays["weight 0 0"].shape for lift in found] == [(2, 4), (2, 6)]
