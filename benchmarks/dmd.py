"""DMD beside PyDMD: equal eigenvalues, seconds, and the memory of ``koopman fit`` on a large file.

    python benchmarks/dmd.py              # the two comparisons in memory
    python benchmarks/dmd.py --file 8     # also a file of 8 GB through `koopman fit`

The data are known: travelling waves of given frequencies, half of them decaying slowly, in a
little noise, so the eigenvalue error of both is printed beside the time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", str(os.cpu_count() or 1))

import numpy as np
from harness import compare, machine, peak_memory

from koopman_cli.flow.arrays import dmd

RANK = 24


def waves(frames: int, columns: int, dtype: str, noise: float = 1e-6) -> tuple:
    """Snapshots (frames, columns) of RANK / 2 waves, and their eigenvalues."""
    rng = np.random.default_rng(0)
    omega = np.linspace(0.1, 2.5, RANK // 2)
    decay = np.where(np.arange(RANK // 2) % 2, 0.002, 0.0)
    exact = np.exp(-decay + 1j * omega)
    time = exact[None, :] ** np.arange(frames)[:, None]
    maps = rng.standard_normal((2, RANK // 2, columns)).astype(dtype)
    values = time.real.astype(dtype) @ maps[0] - time.imag.astype(dtype) @ maps[1]
    for row in values:
        row += (noise * rng.standard_normal(columns)).astype(dtype)
    return values, exact


def error(found: np.ndarray, exact: np.ndarray) -> float:
    """Largest distance of an exact eigenvalue to the nearest one found."""
    return float(np.abs(exact[:, None] - np.asarray(found)[None, :]).min(axis=1).max())


def beside_pydmd(frames: int, columns: int, dtype: str, rounds: int) -> None:
    """One comparison in memory: both get the array in the layout they like best."""
    from pydmd import DMD

    values, exact = waves(frames, columns, dtype)
    theirs = np.asfortranarray(values.T)  # the same bytes, (columns, frames)
    last: dict[str, np.ndarray] = {}

    def ours() -> None:
        last["koopman"] = dmd(values, rank=RANK).eigenvalues

    def pydmd() -> None:
        last["pydmd"] = DMD(svd_rank=RANK, exact=True).fit(theirs).eigs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compare(
            f"DMD rank {RANK}, {columns} x {frames} {dtype}",
            {"koopman_cli.flow.arrays.dmd": ours, "pydmd.DMD": pydmd},
            rounds,
            warm=int(columns < 500_000),
        )
    for name, found in last.items():
        print(f"  eigenvalue error of {name}: {error(found, exact):.1e}")


def from_file(gigabytes: float) -> None:
    """``koopman fit`` on a file that does not fit the memory it may use."""
    frames, columns = 1000, int(gigabytes * 1e9 / 8 / 1000)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        path = Path(folder, "large.npy")
        rng = np.random.default_rng(0)
        omega = np.linspace(0.1, 2.5, RANK // 2)
        maps = rng.standard_normal((RANK, columns))
        with path.open("wb") as file:
            np.lib.format.write_array_header_2_0(
                file, {"descr": "<f8", "fortran_order": False, "shape": (frames, columns)}
            )
            for t in range(frames):
                phase = np.concatenate([np.cos(omega * t), np.sin(omega * t)])
                file.write((phase @ maps + 1e-3 * rng.standard_normal(columns)).tobytes())
        del maps
        command = [str(Path(sys.executable).with_name("koopman")), "fit", str(path),
                   "--kind", "field", "--debug", "-q",
                   "-o", str(Path(folder, "run.koopman"))]  # fmt: skip
        memory, seconds, code = peak_memory(command, folder)
        print(f"\nkoopman fit, {path.stat().st_size / 1e9:.1f} GB: "
              f"{seconds:.0f} s, peak {memory:.0f} MB, exit code {code}")  # fmt: skip


def main() -> None:
    """Print all comparisons."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--file", type=float, default=0.0, help="size of the file in GB; 0: none")
    parser.add_argument("--small", action="store_true", help="only the smaller comparison")
    parser.add_argument("--large", action="store_true", help="only the larger comparison")
    parser.add_argument("--memory", action="store_true", help="only the file")
    asked = parser.parse_args()
    print(machine())
    if not (asked.large or asked.memory):
        beside_pydmd(150, 90_000, "float64", rounds=7)
    if not (asked.small or asked.memory):
        beside_pydmd(200, 1_000_000, "float32", rounds=3)
    if asked.file:
        from_file(asked.file)


if __name__ == "__main__":
    main()
