"""Epochs per second of VAMPnets beside deeptime's, and of many networks in one stack.

    python benchmarks/networks.py                               # processor: 1e5 frames
    python benchmarks/networks.py --fits --rounds 2             # whole fits with 1 and 8 restarts
    python benchmarks/networks.py --device cuda:0 --frames 1000000 --batches 1000,10000 --many 32

Both train 30-64-64-64-5 with ELU and softmax on the same float32 frames by Adam, VAMP-2, no
validation. deeptime is fed by torch's DataLoader, shuffled, as in its documentation. The last
comparison trains `--many` networks in one stack and one of them alone; the scores of what was
trained are computed for all on frames that nobody saw.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from harness import compare, machine
from scipy.signal import lfilter

from koopman_cli.features.stream import FeatureStream
from koopman_cli.networks.frames import laid_out
from koopman_cli.networks.judge import plain_scores
from koopman_cli.networks.recipe import Job, Recipe
from koopman_cli.networks.team import TRIES
from koopman_cli.networks.train import How, Prepared

LAG = 10
HIDDEN, OUTPUTS, COLUMNS = (64, 64, 64), 5, 30
RATE = 5e-4


def data(frames: int, seed: int = 0) -> np.ndarray:
    """Thirty float32 columns: four hopping slowly between two places, in noise."""
    rng = np.random.default_rng(seed)
    x = 0.5 * rng.standard_normal((frames, COLUMNS))
    for j in range(4):
        flips = rng.random(frames) < 0.002 * 2**j
        x[:, j] += np.where(np.cumsum(flips) % 2, 1.5, -1.5)
    x[:, 4:] += 0.5 * lfilter([0.3], [1, -0.95], rng.standard_normal((frames, COLUMNS - 4)), axis=0)
    return x.astype(np.float32)


def ours(x: np.ndarray, batch: int, epochs: int, networks: int, device: str):
    """A call that trains networks for some epochs, set up before; it returns the trainer."""
    stream = FeatureStream.from_arrays(x)
    recipe = Recipe(
        HIDDEN, OUTPUTS, batch=batch, epochs=epochs, patience=epochs, rate=RATE, holdout=0,
        restarts=networks,
    )  # fmt: skip
    jobs = [Job(recipe, laid_out(stream))]

    def call():
        prepared = Prepared.of(stream, LAG, jobs, How(device))
        team = prepared.trainer.team
        # Frames are on the device before the clock starts; nothing starts afresh in between.
        list(team.frames.pieces())
        team.members.tries[:] = TRIES

        def run():
            prepared.trainer.run()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            return prepared.trainer

        return run

    return call


def theirs(x: np.ndarray, batch: int, epochs: int, device: str):
    """The same by deeptime."""
    from deeptime.decomposition.deep import VAMPNet
    from deeptime.util.data import TrajectoryDataset
    from deeptime.util.torch import MLP
    from torch import nn
    from torch.utils.data import DataLoader

    def call():
        units = [COLUMNS, *HIDDEN, OUTPUTS]
        lobe = MLP(units, nonlinearity=nn.ELU, output_nonlinearity=lambda: nn.Softmax(dim=1))
        net = VAMPNet(lobe=lobe.to(device), learning_rate=RATE, device=torch.device(device))
        loader = DataLoader(TrajectoryDataset(LAG, x), batch_size=batch, shuffle=True)
        return lambda: net.fit(loader, n_epochs=epochs).fetch_model()

    return call


class Fresh:
    """Runs what a maker prepares; only the run is timed, the last result is kept."""

    def __init__(self, make) -> None:
        self.make, self.ready, self.result = make, make(), None

    def __call__(self) -> None:
        self.result = self.ready()

    def prepare(self) -> None:
        """Set up the next run, outside the timing."""
        self.ready = self.make()


def timed(title: str, makers: dict, rounds: int) -> tuple[dict[str, float], dict[str, Fresh]]:
    """Medians of interleaved rounds, each on freshly prepared networks."""
    runs = {name: Fresh(make) for name, make in makers.items()}
    found = compare(title, runs, rounds, before=lambda: [r.prepare() for r in runs.values()])
    return found, runs


def held_out(trainer, x: np.ndarray) -> float:
    """Median VAMP-2 of a stack on other frames."""
    team = trainer.team
    stream = FeatureStream.from_arrays(x)
    other = Prepared.of(stream, LAG, [Job(team.recipe, laid_out(stream))], How("cpu")).trainer.team
    for name in ("rows", "statistics"):
        getattr(other.stack, name).copy_(getattr(team.stack, name))
    # Inputs are standardised with the constants of the training frames.
    other.frames.base = team.frames.base
    return float(np.median(plain_scores(other.seen(other.stack, np.arange(len(other))), "vamp2")))


def fits(x: np.ndarray, batch: int, many: int, device: str, rounds: int) -> None:
    """`koopman fit` as a process, ten epochs, with one restart and with many; folds as usual."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "x.npy", x)
        tool = [sys.executable, "-m", "koopman_cli", "fit", "x.npy", "--lag", str(LAG), "--force"]
        told = [f"width={HIDDEN[0]}", f"layers={len(HIDDEN)}", f"batch={batch}", "epochs=10"]
        tool += ["--model", "vampnet", "--device", device, "--seed", "1", "--set", "patience=10"]
        tool += [part for setting in told for part in ("--set", setting)]

        def fit(restarts: int):
            line = [*tool, "--restarts", str(restarts), "--out", f"run{restarts}"]
            return lambda: subprocess.run(line, cwd=folder, check=True, capture_output=True)

        title = f"koopman fit, batch {batch}, {device}"
        found = compare(title, {"one restart": fit(1), f"{many} restarts": fit(many)}, rounds)
        share = found[f"{many} restarts"] / (many * found["one restart"])
        print(f"  {many} restarts / ({many} fits with one): {share:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--batches", default="512,10000")
    parser.add_argument("--many", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--skip-deeptime", action="store_true")
    parser.add_argument("--fits", action="store_true", help="time whole fits only")
    args = parser.parse_args()
    where = args.device
    if where.startswith("cuda"):
        print(torch.cuda.get_device_name(where))
    print(machine(), f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    x = data(args.frames)
    for batch in map(int, args.batches.split(",")):
        if args.fits:
            fits(x, batch, args.many, where, args.rounds)
            continue
        rivals = {"koopman": ours(x, batch, args.epochs, 1, where)}
        if not args.skip_deeptime:
            rivals["deeptime"] = theirs(x, batch, args.epochs, where)
        title = f"{args.frames} frames, {args.epochs} epochs, batch {batch}, {where}"
        found, _ = timed(title, rivals, args.rounds)
        for name, seconds in found.items():
            print(f"  {name}: {args.epochs / seconds:.2f} epochs/s")
        pair = {
            "alone": ours(x, batch, args.epochs, 1, where),
            "together": ours(x, batch, args.epochs, args.many, where),
        }
        found, runs = timed(f"{args.many} networks, batch {batch}, {where}", pair, args.rounds)
        share = found["together"] / (args.many * found["alone"])
        fresh = data(20_000, seed=1)
        alone, together = (held_out(runs[n].result, fresh) for n in ("alone", "together"))
        print(
            f"  together / ({args.many} alone): {share:.1%}, {1 / share:.2f} times the throughput"
        )
        print(f"  held-out VAMP-2: alone {alone:.4f}, together {together:.4f} (median)")


if __name__ == "__main__":
    main()
