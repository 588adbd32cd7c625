"""Draw docs/images/noise_scores.png: what the scores of independent noise read.

    python docs/make_noise_figure.py

n pairs of independent standard normal x and y in d dimensions: nothing predicts anything, and
the true score is 1. Averages over 20 data sets, each scored on itself and on a second one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from koopman_cli.models.solve import solve
from koopman_cli.moments import Moments
from koopman_cli.report.drawing import COLOURS, GREY, new_figure, style
from koopman_cli.report.figures import encode_figure
from koopman_cli.scoring import score_nested
from koopman_cli.store.atomic import write_atomic

PAIRS = 120
SEEDS = range(20)
DIMENSIONS = (1, 2, 5, 10, 15, 20, 30, 40, 50)
TARGET = Path(__file__).parent / "images" / "noise_scores.png"


def noise(seed: int, part: int, d: int) -> Moments:
    """Moments of independent pairs."""
    rng = np.random.default_rng([seed, part, d])
    return Moments.of_pairs(rng.standard_normal((PAIRS, d)), rng.standard_normal((PAIRS, d)))


def mean_scores(d: int) -> dict[str, float]:
    """Mean VAMP-2 and VAMP-E, in training and on a second set, with all d functions."""
    rows = []
    for seed in SEEDS:
        train, test = noise(seed, 0, d), noise(seed, 1, d)
        found = solve(train, "svd")
        own, other = (
            score_nested(train, data, found.left, found.right, [d])[0] for data in (train, test)
        )
        rows.append((own.vamp2, other.vamp2, other.vampe))
    names = ("VAMP-2, training", "VAMP-2, held out", "VAMP-E, held out")
    return dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


def main() -> None:
    """Compute, print and draw."""
    found = [mean_scores(d) for d in DIMENSIONS]
    law = [1 + d * d / (PAIRS - 1) for d in DIMENSIONS]
    for d, row, expected in zip(DIMENSIONS, found, law, strict=True):
        told = ", ".join(f"{name} {value:.2f}" for name, value in row.items())
        print(f"d = {d}: {told}; 1 + d^2/(n-1) = {expected:.2f}")
    with style():
        figure = new_figure(95, 70)
        axes = figure.add_subplot()
        for i, name in enumerate(found[0]):
            values = [row[name] for row in found]
            axes.plot(DIMENSIONS, values, "os^"[i] + "-", color=COLOURS[i], label=name)
        axes.plot(DIMENSIONS, law, ":", color=GREY, label="1 + d²/(n − 1)")
        axes.axhline(1.0, color="black", linewidth=0.6)
        axes.set_yscale("symlog", linthresh=2)
        axes.set_xlabel(f"features d ({PAIRS} pairs of independent noise)")
        axes.set_ylabel("score (true value 1)")
        figure.legend(loc="outside upper left", ncols=2)
        content = encode_figure(figure, "png")
    TARGET.parent.mkdir(exist_ok=True)
    write_atomic(TARGET, content)


if __name__ == "__main__":
    main()
