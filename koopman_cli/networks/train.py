"""Training lifts: jobs that share a shape go into one stack; the best restart of each is taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import ResourceError, SupportError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts.network import outputs
from koopman_cli.memory import available
from koopman_cli.networks.checkpoint import Place
from koopman_cli.networks.frames import Frames, Standard, inner_split, standards
from koopman_cli.networks.hardware import compare, device_of
from koopman_cli.networks.judge import Folds, held_scores
from koopman_cli.networks.recipe import Job, Recipe, batch_size, mixed
from koopman_cli.networks.shape import arrays_of
from koopman_cli.networks.stack import Engine
from koopman_cli.networks.team import DONE, STATUS, Origins, Team
from koopman_cli.networks.trainer import Clock, Trainer
from koopman_cli.types import Lift, Progress, no_progress

#: Share of the free memory that frames may take, to stay on the device.
SHARE = 0.5


@dataclass(frozen=True)
class How:
    """Where and how visibly to train.

    device : "auto", "cpu", "cuda" or "cuda:N"
    limit : bytes of frames that may stay on the device; None asks the device
    place, stage : where checkpoints lie, and their name there
    """

    device: str = "auto"
    limit: int | None = None
    place: Place | None = None
    stage: str = "training"
    progress: Progress = no_progress


def train(
    stream: FeatureStream, lag: int, jobs: Sequence[Job], how: How | None = None
) -> list[Lift]:
    """Train networks and give, for every job, the lift of the restart with the best held-out score.

    Parameters
    ----------
    stream : FeatureStream
    lag : int
        Frames.
    jobs : sequence of Job
        Those whose recipes may go together are trained as one batched computation.
    how : How

    Returns
    -------
    list of Lift
        ``settings["collapsed"]`` tells whether every restart of a job collapsed.

    Raises
    ------
    SupportError
        Nothing varies, too few pairs for the outputs, or no restart with finite weights.
    ResourceError
        A GPU that is not there, or too little memory.

    Examples
    --------
    >>> from koopman_cli.networks.frames import laid_out
    >>> rng = np.random.default_rng(0)
    >>> x = np.repeat(np.sign(rng.standard_normal(100)), 30)[:, None]
    >>> stream = FeatureStream.from_arrays(x + 0.1 * rng.standard_normal((3000, 1)))
    >>> recipe = Recipe((8,), 2, restarts=1, epochs=5)
    >>> (lift,) = train(stream, 1, [Job(recipe, laid_out(stream))], How("cpu"))
    >>> lift.names
    ('state 1', 'state 2')
    """
    how = how or How()
    groups: dict[Any, list[int]] = {}
    for i, job in enumerate(jobs):
        groups.setdefault((job.recipe.together(), job.seed), []).append(i)
    found: dict[int, Lift] = {}
    for number, members in enumerate(groups.values()):
        stage = how.stage if len(groups) == 1 else f"{how.stage}-{number + 1}"
        lifts = _train_stack(stream, lag, [jobs[i] for i in members], replace(how, stage=stage))
        found |= dict(zip(members, lifts, strict=True))
    return [found[i] for i in range(len(jobs))]


def _train_stack(stream: FeatureStream, lag: int, jobs: list[Job], how: How) -> list[Lift]:
    device = device_of(how.device)
    try:
        return Prepared.of(stream, lag, jobs, how).lifts()
    except ResourceError:
        if how.device != "auto" or device.type == "cpu":
            raise
    lifts = Prepared.of(stream, lag, jobs, replace(how, device="cpu")).lifts()
    for lift in lifts:
        lift.settings["said"].append("the GPU's memory does not suffice: trained on the processor")
    return lifts


@dataclass
class Prepared:
    """Jobs of one stack with their trainer."""

    stream: FeatureStream
    jobs: list[Job]
    owner: NDArray[np.int64]
    standards: list[Standard]
    set_of: list[int]
    trainer: Trainer

    @classmethod
    def of(cls, stream: FeatureStream, lag: int, jobs: list[Job], how: How) -> Prepared:
        """Everything that training needs, with fresh networks on the device.

        Raises
        ------
        SupportError, ResourceError
            As :func:`train`.
        """
        import torch

        device, recipe = device_of(how.device), jobs[0].recipe
        data = list(dict.fromkeys(job.data for job in jobs))
        set_of = [data.index(job.data) for job in jobs]
        spans = [next(job.spans for job in jobs if job.data == number) for number in data]
        pairs = [inner_split(part, lag, recipe.holdout) for part in spans]
        fewest = min(len(p.train) for p in pairs)
        shape = recipe.shape(stream.n_features)
        _check_pairs(fewest, shape.functions, recipe)
        own = standards(stream, spans, how.progress)
        _check_moving(own)
        place = device, torch.float64 if recipe.precision == "float64" else torch.float32
        limit = int(SHARE * available(device)) if how.limit is None else how.limit
        frames = Frames.of(stream, lag, own[0], place, limit)
        batch = batch_size(recipe.batch, fewest)
        if not frames.resident:
            batch = min(batch, max(frames.size // 4, 2 * shape.outputs + 2))
        owner = np.repeat(np.arange(len(jobs)), [job.recipe.restarts for job in jobs])
        of = torch.tensor([set_of[j] for j in owner], device=device)
        engine = Engine(shape, recipe.loss, recipe.ridge)
        folds = Folds(of, *_relative(own, *place))
        team = Team(recipe, engine, frames, pairs, folds, _origins(jobs, set_of, data))
        about = {} if how.place is None else _about(stream, lag, jobs, batch)
        stage = how.stage if how.place is None else how.place.named(how.stage, about)
        trainer = Trainer(
            team, Clock(batch), data, jobs[0].seed, how.place, stage, about, how.progress
        )
        if not frames.resident:
            trainer.said.append(f"frames streamed in pieces of {frames.size}")
        compare(engine, team.stack, frames, pairs[0].train[: min(batch, 1000)])
        return cls(stream, jobs, owner, own, set_of, trainer)

    def lifts(self) -> list[Lift]:
        """Train, choose and take apart."""
        self.trainer.run()
        team = self.trainer.team
        everyone = np.arange(len(team))
        train = team.seen(team.best, everyone, train=True)
        scores = held_scores(train, team.seen(team.best, everyone), team.recipe.loss)
        value = np.array([-np.inf if s is None else s.vampe for s in scores])
        value[~(np.isfinite(team.members.best) & np.isfinite(value))] = -np.inf
        return [
            self._lift(j, np.flatnonzero(self.owner == j), value) for j in range(len(self.jobs))
        ]

    def _lift(self, j: int, members: NDArray[np.int64], value: NDArray[np.float64]) -> Lift:
        t, job = self.trainer.team, self.jobs[j]
        shape, place = t.engine.shape, self.trainer.place
        status = t.members.status[members]
        if not np.isfinite(value[members]).any():
            raise SupportError(
                f"no network could be trained on {job.name}: every score was lost or constant "
                f"(learning rate {job.recipe.rate:g})",
                "take a smaller learning rate, fewer outputs or a larger batch",
            )
        # Networks that came to a good end go before those that collapsed.
        order = np.lexsort((-value[members], status != DONE))
        best = int(members[order[0]])
        rows = t.best.rows[best].view(shape.networks, -1).cpu().numpy()
        statistics = t.best.statistics[best].view(shape.networks, -1).cpu().numpy()
        own = self.standards[self.set_of[j]]
        arrays = {"mean": own.mean, "scale": own.scale, **arrays_of(shape, rows, statistics)}
        settings = {
            "layers": len(shape.hidden),
            "networks": shape.networks,
            "softmax": shape.softmax,
            "activation": shape.activation,
            "normalisation": shape.normalisation,
            "restarts": [float(v) if np.isfinite(v) else None for v in value[members]],
            "status": [STATUS[s] for s in status],
            "chosen": int(order[0]),
            "epochs": [int(a) for a in t.members.at[members]],
            "retries": int(t.members.tries[members].sum()),
            "collapsed": bool(np.all(status != DONE)),
            "batch": self.trainer.clock.size,
            "together": len(self.owner),
            "device": str(t.frames.device),
            "megabytes": round(t.frames.bytes / 1e6, 1) if t.frames.resident else None,
            "said": [*self.trainer.said, *(place.said if place else [])],
        }
        return Lift("network", _names(shape), settings, arrays)


def _names(shape: Any) -> tuple[str, ...]:
    what = "state" if shape.softmax else "function"
    names = [f"{what} {i + 1}" for i in range(shape.outputs)]
    if shape.networks == 1:
        return tuple(names)
    return tuple(f"{name} of {end}" for end in ("x", "y") for name in names)


def _origins(jobs: list[Job], set_of: list[int], data: list[int]) -> Origins:
    """Seeds, rates and decays of all restarts of all jobs."""
    networks = [(i, r) for i, job in enumerate(jobs) for r in range(job.recipe.restarts)]
    return Origins(
        [mixed(jobs[i].seed, data[set_of[i]], r) for i, r in networks],
        [jobs[i].recipe.rate for i, _ in networks],
        [jobs[i].recipe.decay for i, _ in networks],
    )


def _check_moving(own: list[Standard]) -> None:
    if not any(s.scale.any() for s in own):
        raise SupportError(
            "none of the features varies", "choose features that move, or check the selection"
        )


def _check_pairs(pairs: int, functions: int, recipe: Recipe) -> None:
    if pairs <= 2 * functions or 0 < recipe.batch <= functions:
        few = min(pairs, recipe.batch or pairs)
        raise SupportError(
            f"batches of {few} lagged pairs cannot support {functions} independent functions",
            "take fewer outputs, a larger batch, a shorter lag or more data",
        )


def _relative(own: list[Standard], device: Any, dtype: Any) -> tuple[Any, Any]:
    """Standards of the training sets relative to the first, which the frames have."""
    import torch

    if len(own) == 1:
        return None, None
    base = own[0]
    unit = np.where(base.scale > 0, base.scale, 1.0)
    mean = np.stack([(s.mean - base.mean) * unit for s in own])
    scale = np.stack([s.scale / unit for s in own])
    shape = (len(own), 1, 1, len(base.mean))
    found = [torch.from_numpy(m).to(device, dtype).view(shape) for m in (mean, scale)]
    return found[0], found[1]


def _about(stream: FeatureStream, lag: int, jobs: list[Job], batch: int) -> dict[str, Any]:
    """What a checkpoint belongs to: data, lag, networks."""
    import hashlib

    digest = hashlib.sha256(repr((stream.lengths, stream.spec.names)).encode())
    for i in range(len(stream.lengths)):
        for chunk in stream.chunks(i):
            digest.update(np.ascontiguousarray(chunk).tobytes())
    recipe = jobs[0].recipe
    told: dict[str, Any] = {
        "data": digest.hexdigest()[:16],
        "frames": stream.n_frames,
        "features": stream.n_features,
        "lag": lag,
        "seed": jobs[0].seed,
        "training sets": sorted(job.data for job in jobs),
        "batch size": batch,
        "restarts": [job.recipe.restarts for job in jobs],
        "rate": [job.recipe.rate for job in jobs],
        "decay": [job.recipe.decay for job in jobs],
    }
    names = ("hidden", "outputs", "activation", "normalisation", "softmax", "networks", "dropout",
             "loss", "ridge", "epochs", "patience", "coolings", "holdout", "precision")  # fmt: skip
    for name in names:
        value = getattr(recipe, name)
        told[name] = list(value) if isinstance(value, tuple) else value
    return told


def memberships(lift: Lift, x: NDArray[Any]) -> NDArray[np.float64]:
    """Outputs of the network for the present frame, (n, d) -> (n, outputs)."""
    return outputs(lift, x)
