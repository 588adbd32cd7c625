"""Cross-validated scores beside a deeptime fit loop; many lags beside their bare products.

10 lags x 5 folds x dims 1..10. Both sides hold out the same frames; deeptime fits every fold and
lag once and scores each dim. Ours includes blocks, checks, the noise floor, three scores where
deeptime computes one, and the training scores. The limit of the scan is X'Y in tiles.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from harness import compare, machine, peak_memory

LAGS = tuple(range(1, 20, 2))
DIMS = tuple(range(1, 11))
FOLDS = 5


def data(frames: int, columns: int) -> np.ndarray:
    """Float32 columns, a few of them slow."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((frames, columns), dtype=np.float32)
    for j in range(3):
        steps = rng.standard_normal(frames // 100 + 1).astype(np.float32)
        x[:, j] += np.repeat(steps, 100)[:frames]
    return x


def ours(x: np.ndarray, *, floor: bool = True) -> list[float]:
    """Held-out VAMP-2 of every cell."""
    from koopman_cli.features.stream import FeatureStream
    from koopman_cli.grid import Design, Scorer
    from koopman_cli.request import Request

    scorer = Scorer(FeatureStream.from_arrays(x), Design(LAGS, FOLDS, floor=floor))
    found = scorer.score([Request.of("vamp")], lambda i, lag: DIMS)
    return [float(cell.score.vamp2.test or 0.0) for _, cell in found]


def peer(x: np.ndarray) -> list[float]:
    """The same by deeptime: fit on four fifths, score on one, for every lag."""
    from deeptime.decomposition import VAMP

    edges = [round(i * len(x) / FOLDS) for i in range(FOLDS + 1)]
    found = []
    for lag in LAGS:
        scores = np.zeros((FOLDS, len(DIMS)))
        for k in range(FOLDS):
            a, b = edges[k], edges[k + 1]
            parts = [p for p in (x[: max(a - lag, 0)], x[b + lag :]) if len(p) > lag]
            model = VAMP(lagtime=lag, scaling=None).fit_fetch(parts)
            held = VAMP(lagtime=lag, scaling=None).fit_fetch(x[a:b])
            for j, dim in enumerate(DIMS):
                scores[k, j] = model.score(2, test_model=held, dim=dim)
        found += scores.mean(axis=0).tolist()
    return found


def products(x: np.ndarray, lags: range, tile: int = 4096) -> None:
    """X'Y of every lag in tiles, nothing else."""
    sums = [np.zeros((x.shape[1], x.shape[1])) for _ in lags]
    for a in range(0, len(x) - max(lags), tile):
        z = x[a : a + tile + max(lags)]
        for j, lag in enumerate(lags):
            n = min(tile, len(z) - lag)
            sums[j] += z[:n].T @ z[lag : lag + n]


def scan(x: np.ndarray, lags: range) -> object:
    """Timescales with bands at every lag."""
    from koopman_cli.features.stream import FeatureStream
    from koopman_cli.lagscan import scan_timescales
    from koopman_cli.request import Request

    return scan_timescales(FeatureStream.from_arrays(x), Request.of("tica"), lags)


def time_size(frames: int, columns: int, rounds: int) -> None:
    """Both comparisons on one array."""
    x = data(frames, columns)
    gap = np.abs(np.array(ours(x)) - np.array(peer(x))).max()
    print(f"\nlargest difference of a held-out VAMP-2 (other gaps between folds): {gap:.1e}")
    compare(
        f"{len(LAGS)} lags x {FOLDS} folds x dims 1..{DIMS[-1]}, {frames} x {columns} float32",
        {
            "koopman": lambda: ours(x),
            "koopman without noise floor": lambda: ours(x, floor=False),
            "deeptime fit loop": lambda: peer(x),
        },
        rounds,
    )
    lags = range(1, 101)
    compare(
        f"timescales at 100 lags, {frames} x {columns} float32",
        {
            "matrix products alone": lambda: products(x, lags),
            "koopman, with bands": lambda: scan(x, lags),
        },
        rounds,
    )


def memory(frames: int, columns: int) -> None:
    """Peak memory of each side in a process of its own; the data are made there too."""
    for side in ("ours", "peer"):
        command = [sys.executable, __file__, "--only", side, str(frames), str(columns)]
        peak, seconds, code = peak_memory(command, ".")
        print(
            f"  {side:<5} {frames} x {columns}: peak {peak:6.0f} MB, {seconds:.1f} s, exit {code}"
        )
        sys.stdout.flush()


def main() -> None:
    """Run all, a quick part, or one side for its memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small case only")
    parser.add_argument("--only", nargs=3, metavar=("SIDE", "FRAMES", "COLUMNS"))
    args = parser.parse_args()
    if args.only:
        side, frames, columns = args.only
        {"ours": ours, "peer": peer}[side](data(int(frames), int(columns)))
        return
    print(machine())
    time_size(100_000, 50, 5)
    memory(100_000, 50)
    if not args.quick:
        time_size(500_000, 100, 3)
        memory(500_000, 100)


if __name__ == "__main__":
    main()
