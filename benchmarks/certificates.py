"""Intervals, certificates, gap and states beside the fit that they judge.

The fit is `estimate` without folds: block moments, whitening, solution, train score. Judging is
`diagnose`: intervals from the blocks, the projection pass, certificates on held-out blocks,
crossings, gap, states with their intervals and the Chapman-Kolmogorov test.
"""

from __future__ import annotations

import argparse

import numpy as np
from harness import compare, machine

LAG = 10


def data(frames: int, columns: int, seed: int = 0) -> np.ndarray:
    """Float32 columns of noise; the first two see a chain of three states."""
    rng = np.random.default_rng(seed)
    stay = rng.geometric(1 / 400, frames // 200)
    turn = rng.integers(1, 3, len(stay))
    state = np.repeat(np.cumsum(turn) % 3, stay)
    while len(state) < frames:
        state = np.concatenate([state, state])
    x = rng.standard_normal((frames, columns), dtype=np.float32)
    corners = np.array([[0.0, 0.0], [40.0, 0.0], [0.0, 40.0]], np.float32)
    x[:, :2] += corners[state[:frames]]
    return x


def judge(frames: int, columns: int, rounds: int) -> None:
    """Compare the fit alone with the fit and everything that judges it."""
    from koopman_cli.analysis.spectrum import Context
    from koopman_cli.diagnosis import Diagnosis, diagnose
    from koopman_cli.estimate import Estimate, estimate
    from koopman_cli.features.stream import FeatureStream
    from koopman_cli.request import Request
    from koopman_cli.units import make_lag

    x = data(frames, columns)
    request = Request.of("tica")

    def fitted(stream: FeatureStream, folds: int = 0) -> Estimate:
        return estimate(stream, request, LAG, dim=2, folds=folds)

    def judged() -> Diagnosis:
        stream = FeatureStream.from_arrays(x)
        return diagnose(fitted(stream), stream, Context(make_lag(LAG, None), 0.1, frames, "tica"))

    found = judged()
    states = found.states
    told = "none" if states is None else f"{states.count}, p = {states.chapman_kolmogorov.p:.2f}"
    print(f"gap after {found.gap.after}, states {told}, {found.modes[0].certificate}")
    compare(
        f"fit {frames} x {columns} float32, tica, lag {LAG}",
        {
            "fit": lambda: fitted(FeatureStream.from_arrays(x)),
            "fit with 5 folds": lambda: fitted(FeatureStream.from_arrays(x), 5),
            "fit and judgement": judged,
        },
        rounds,
    )


def main() -> None:
    """Run all or a quick part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small case only")
    quick = parser.parse_args().quick
    print(machine())
    judge(100_000, 50, 9)
    if not quick:
        judge(1_000_000, 50, 7)


if __name__ == "__main__":
    main()
