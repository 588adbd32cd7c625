"""TICA beside deeptime and beside the bare matrix products; memory of `koopman fit` from a file.

Ours includes blocks, checks of finiteness and conditioning, whitening and the train score;
deeptime's is its plain fit. The limit is X'X and X'Y in chunks of 8192 frames, nothing else.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import compare, machine, peak_memory

LAG = 10


def data(frames: int, columns: int, seed: int = 0) -> np.ndarray:
    """Float32 columns, one of them slow."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((frames, columns), dtype=np.float32)
    x[:, 0] += np.repeat(rng.standard_normal(frames // 100 + 1), 100)[:frames].astype(np.float32)
    return x


def time_tica(frames: int, columns: int, rounds: int) -> None:
    """Compare TICA fits of one array."""
    from deeptime.decomposition import TICA

    from koopman_cli.estimate import estimate
    from koopman_cli.features.stream import FeatureStream
    from koopman_cli.request import Request

    x = data(frames, columns)
    request = Request.of("tica")

    def ours(folds: int = 0) -> object:
        stream = FeatureStream.from_arrays(x)
        return estimate(stream, request, LAG, dim=3, folds=folds)

    def limit() -> None:
        for a in range(0, frames - LAG, 8192):
            z, y = x[a : a + 8192], x[a + LAG : a + LAG + 8192]
            z.T @ z
            z[: len(y)].T @ y

    found = ours().solution.eigenvalues[0].real
    peer = TICA(lagtime=LAG).fit_fetch(x).singular_values[0]
    print(f"slowest eigenvalue: ours {found:.8f}, deeptime {peer:.8f}")
    compare(
        f"TICA {frames} x {columns} float32",
        {
            "koopman": ours,
            "koopman with 5 folds": lambda: ours(5),
            "deeptime": lambda: TICA(lagtime=LAG).fit_fetch(x),
            "matrix products alone": limit,
        },
        rounds,
    )


def memory_of_fit(sizes: list[int], columns: int) -> None:
    """Peak memory of `koopman fit` from .npy files of growing length."""
    print(f"\nkoopman fit FILE --model tica --lag 10 --dim 3, {columns} columns float32")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        for frames in sizes:
            out = np.lib.format.open_memmap(path, "w+", np.float32, (frames, columns))
            for a in range(0, frames, 100_000):
                out[a : a + 100_000] = data(min(100_000, frames - a), columns, a)
            out.flush()
            del out
            command = [sys.executable, "-c", "from koopman_cli.cli import main; main()"]
            options = ["--model", "tica", "--lag", "10", "--dim", "3", "--force"]
            peak, seconds, code = peak_memory([*command, "fit", "x.npy", *options], folder)
            size = path.stat().st_size / 2**20
            print(f"  file {size:7.0f} MB: peak {peak:5.0f} MB, {seconds:6.1f} s, exit {code}")
            sys.stdout.flush()


def main() -> None:
    """Run all or a quick part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the small case only")
    quick = parser.parse_args().quick
    print(machine())
    time_tica(100_000, 50, 15)
    if not quick:
        time_tica(1_000_000, 200, 5)
        memory_of_fit([250_000, 1_000_000, 10_000_000], 200)


if __name__ == "__main__":
    main()
