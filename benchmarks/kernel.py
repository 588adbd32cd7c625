"""Kernel EDMD with landmarks beside kooplearn's Nystrom and deeptime's kernel EDMD.

kooplearn is part of the `bench` extra; without it its comparisons are left out, and this is
said. Scores are VAMP-2 of three functions on frames that nobody fitted, computed for both by
the same function.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import compare, machine, peak_memory
from scipy.signal import lfilter

LAG = 10
COLUMNS = 10
RIDGE = 1e-6


def data(frames: int, seed: int = 0) -> np.ndarray:
    """Ten float32 columns of memory .99 .. .72, the first bent into two wells."""
    rng = np.random.default_rng(seed)
    x = np.empty((frames, COLUMNS), np.float32)
    for j in range(COLUMNS):
        a = 0.99 - 0.03 * j
        x[:, j] = lfilter([np.sqrt(1 - a * a)], [1, -a], rng.standard_normal(frames))
    x[:, 0] = np.tanh(3 * x[:, 0])
    return x


def bandwidth(x: np.ndarray) -> float:
    """The median distance of frames, the same for both."""
    from scipy.spatial.distance import pdist

    return float(np.median(pdist(x[:: max(1, len(x) // 500)])))


def held_out(functions: np.ndarray, later: np.ndarray) -> float:
    """VAMP-2 of functions of x and of y on pairs that were not fitted."""
    from koopman_cli.scoring import vamp_score

    f, g = functions - functions.mean(axis=0), later - later.mean(axis=0)
    n = len(f)
    return float(vamp_score(f.T @ f / n, f.T @ g / n, g.T @ g / n, r=2))


def ours(x: np.ndarray, landmarks: int, width: float, solve: str = "reversible"):
    """Fit without folds; returns the estimate."""
    from koopman_cli.estimate import estimate
    from koopman_cli.features.stream import FeatureStream
    from koopman_cli.request import Request

    settings = {"landmarks": landmarks, "bandwidth": width, "alpha": RIDGE, "solve": solve}
    request = Request.of("kedmd", settings)
    return estimate(FeatureStream.from_arrays(x), request, LAG, dim=3, folds=0)


def kooplearns(x: np.ndarray, landmarks: int, width: float):
    """kooplearn's Nystrom reduced-rank regression with the same kernel and ridge."""
    from kooplearn.kernel import NystroemKernelRidge

    model = NystroemKernelRidge(
        n_components=4, lag_time=LAG, kernel="rbf", gamma=0.5 / width**2, alpha=RIDGE,
        n_centers=landmarks, reduced_rank=True, random_state=0,
    )  # fmt: skip
    return model.fit(x)


def have_kooplearn() -> bool:
    """Whether kooplearn can be imported."""
    try:
        import kooplearn  # noqa: F401
    except ImportError:
        print("kooplearn is not installed: its comparisons are left out (see the docstring)")
        return False
    return True


def scores(x: np.ndarray, landmarks: int, width: float) -> None:
    """Held-out VAMP-2 of both on a fresh run."""
    from koopman_cli.lifts import apply

    fresh = data(20_000, seed=1)
    found = ours(x, landmarks, width)
    psi = (apply(found.lift, fresh) - found.solution.mean_x) @ found.solution.left[:, :3]
    print(f"held-out VAMP-2 of 3 functions: koopman {held_out(psi[:-LAG], psi[LAG:]):.4f}", end="")
    if have_kooplearn():
        peer = kooplearns(x, landmarks, width)
        values, psi = peer.eig(eval_right_on=fresh)
        order = np.argsort(-np.abs(values))
        psi = real_functions(psi[:, order], values[order])
        print(f", kooplearn {held_out(psi[:-LAG], psi[LAG:]):.4f}", end="")
    print()


def real_functions(psi: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Three real functions beyond the constant, real and imaginary parts of pairs."""
    columns = []
    for value, column in zip(values, psi.T, strict=True):
        if np.abs(column - column.mean()).max() < 0.1 * np.abs(column).max():
            continue  # the constant
        if value.imag < 0:
            continue
        columns.append(column.real)
        if value.imag > 0:
            columns.append(column.imag)
    return np.stack(columns[:3], axis=1)


def nystrom(frames: int, landmarks: int, rounds: int) -> None:
    """Speed and held-out score at equal landmarks."""
    x = data(frames)
    width = bandwidth(x)

    def limit() -> None:
        """The two products of the lifted frames alone, tile by tile."""
        z = np.random.default_rng(0).standard_normal((4096, landmarks), dtype=np.float32)
        for _ in range(0, frames, 4096):
            z.T @ z
            z[:-LAG].T @ z[LAG:]

    scores(x, landmarks, width)
    rivals = {"koopman kedmd": lambda: ours(x, landmarks, width)}
    if have_kooplearn():
        rivals["kooplearn NystroemKernelRidge"] = lambda: kooplearns(x, landmarks, width)
    rivals["matrix products alone"] = limit
    compare(f"{frames} x {COLUMNS} float32, {landmarks} landmarks", rivals, rounds)


def exact(frames: int, landmarks: int, rounds: int) -> None:
    """Landmarks against deeptime with all frames: leading eigenvalues and time."""
    from deeptime.decomposition import KernelEDMD
    from deeptime.kernels import GaussianKernel

    x = data(frames)[:, :2].astype(np.float64)
    width = bandwidth(x)

    def theirs() -> np.ndarray:
        pairs = (x[:-LAG], x[LAG:])
        fitted = KernelEDMD(GaussianKernel(width), RIDGE * (frames - LAG), n_eigs=5).fit(pairs)
        return np.sort(np.abs(fitted.fetch_model().eigenvalues))[::-1]

    def found() -> np.ndarray:
        from koopman_cli.estimate import estimate
        from koopman_cli.features.stream import FeatureStream
        from koopman_cli.request import Request

        settings = {
            "landmarks": landmarks, "bandwidth": width, "alpha": RIDGE, "solve": "eig",
            "center": False,
        }  # fmt: skip
        request = Request.of("kedmd", settings)
        fitted = estimate(FeatureStream.from_arrays(x), request, LAG, dim=3, folds=0)
        return np.abs(fitted.solution.eigenvalues[:5])

    difference = np.abs(found()[:3] - theirs()[:3]).max()
    print(f"\nlargest difference of the three leading eigenvalues: {difference:.1e}")
    rivals = {f"koopman, {landmarks} landmarks": found, "deeptime KernelEDMD, all": theirs}
    compare(f"{frames} frames", rivals, rounds)


def memory(sizes: list[int], landmarks: int) -> None:
    """Peak memory of one fit from an array on disk, ours and kooplearn's."""
    print(f"\npeak memory, {landmarks} landmarks, {COLUMNS} columns float32")
    here = str(Path(__file__).parent)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        for frames in sizes:
            np.save(path, data(frames))
            for name in ("ours", "kooplearns"):
                if name == "kooplearns" and (frames > 100_000 or not have_kooplearn()):
                    continue
                code = (
                    f"import sys; sys.path.insert(0, {here!r}); import numpy as np, kernel; "
                    f"x = np.load({str(path)!r}); kernel.{name}(x, {landmarks}, 4.0)"
                )
                peak, seconds, status = peak_memory([sys.executable, "-c", code], folder)
                print(
                    f"  {frames:8d} frames, {name:<10} {peak:6.0f} MB, {seconds:6.1f} s, {status}"
                )
                sys.stdout.flush()


def main() -> None:
    """Run all or a quick part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small cases only")
    quick = parser.parse_args().quick
    print(machine())
    if quick:
        nystrom(20_000, 300, 3)
        exact(1000, 150, 3)
        return
    nystrom(100_000, 1000, 3)
    exact(5000, 300, 2)
    memory([100_000, 1_000_000], 1000)


if __name__ == "__main__":
    main()
