"""Report and all figures of a run of a million frames beside the fit itself: seconds, memory.

Prints the time of `koopman fit` without report and figures, of the figures and the page alone,
and the most memory the second part takes above what is there when it begins.
"""

from __future__ import annotations

import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
from scipy.signal import lfilter

from koopman_cli.api import FitOptions, fit
from koopman_cli.report.run import write_run

FRAMES, COLUMNS = 1_000_000, 20


def series(frames: int) -> np.ndarray:
    """Columns that forget at different speeds, mixed."""
    rng = np.random.default_rng(0)
    parts = [
        lfilter([1], [1, -decay], rng.standard_normal(frames))
        for decay in np.concatenate([[0.999, 0.99], np.linspace(0.5, 0.1, COLUMNS - 2)])
    ]
    return np.stack(parts, axis=1) @ rng.standard_normal((COLUMNS, COLUMNS))


def main(frames: int) -> None:
    """Fit, write without and with pictures, and print."""
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "x.npy"
        np.save(file, series(frames).astype(np.float32))
        begun = time.perf_counter()
        result = fit([file], FitOptions(model="tica"))
        fitted = time.perf_counter() - begun
        begun = time.perf_counter()
        write_run(result, Path(scratch) / "plain", figures=False)
        plain = time.perf_counter() - begun
        begun = time.perf_counter()
        run = write_run(result, Path(scratch) / "drawn")
        drawn = time.perf_counter() - begun
        size = (run / "report.html").stat().st_size / 2**20
        tracemalloc.start()
        write_run(result, Path(scratch) / "measured")
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    figures = len(list_figures(result))
    print(f"{frames} frames x {COLUMNS} columns")
    print(f"fit                           {fitted + plain:8.2f} s")
    print(f"{figures:2d} figures and report.html     {drawn - plain:8.2f} s")
    print(f"memory for figures and report {peak:8.0f} MiB (Python allocations)")
    print(f"report.html                   {size:8.2f} MiB")
    shown = 0 if result.projection is None else len(result.projection.values)
    print(f"frames in the figures         {shown:8d}")


def list_figures(result: object) -> list[str]:
    """Kinds that have data."""
    from koopman_cli.report.figures import KINDS, draw

    return [kind for kind in KINDS if draw(result, kind) is not None]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES)
