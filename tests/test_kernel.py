"""Kernel EDMD: equal to deeptime's, exact with all landmarks, biased as its papers say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter
from systems import prinz_force

from koopman_cli.accumulate import accumulate
from koopman_cli.errors import ResourceError, SupportError, UsageError
from koopman_cli.estimate import estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import apply, evaluator
from koopman_cli.lifts.kernel import Basis, function, kernel_lift
from koopman_cli.lifts.kernelfunctions import Evaluator, Kernel, diagonal, parse_kernel
from koopman_cli.models.restrict import Reduction
from koopman_cli.models.solve import solve
from koopman_cli.moments import Moments
from koopman_cli.request import Request


def swirl(frames: int = 301, seed: int = 0) -> np.ndarray:
    """Noisy damped rotation in the plane."""
    rng = np.random.default_rng(seed)
    x = np.zeros((frames, 2))
    for t in range(frames - 1):
        x[t + 1] = [[0.9, 0.1], [-0.1, 0.8]] @ x[t] + 0.3 * rng.standard_normal(2)
    return x


def kernel_of(text: str, names: tuple[str, ...] = ("a", "b")) -> Kernel:
    """A kernel of named columns."""
    return Kernel(parse_kernel(text, names))


def moments_of(x: np.ndarray, kernel: Kernel, basis: Basis | None = None) -> Moments:
    """Moments at lag 1 of the kernel lift, by default with all frames as landmarks."""
    return of_lift(kernel_lift(x, kernel, basis or Basis(len(x))), x)


def of_lift(lift, x: np.ndarray) -> Moments:
    """Moments at lag 1 of a kernel lift, which say what makes coordinates of its functions."""
    phi = apply(lift, x)
    return replace(Moments.of_pairs(phi[:-1], phi[1:]), later=function(lift).later)


def distance(found: np.ndarray, wanted: np.ndarray) -> float:
    """Largest distance of an eigenvalue to the nearest one wanted."""
    return float(np.abs(found[:, None] - wanted[None]).min(axis=1).max())


# ------------------------------------------------------------------ deeptime


def theirs(name: str, width: float):
    """Deeptime's kernel of the same meaning."""
    from deeptime import kernels

    return {
        "gaussian": lambda: kernels.GaussianKernel(width),
        "laplacian": lambda: kernels.LaplacianKernel(width),
        "polynomial": lambda: kernels.PolynomialKernel(3, 1.0),
    }[name]()


@pytest.mark.parametrize(
    ("name", "width", "alpha"),
    [("gaussian", 0.7, 1e-3), ("gaussian", 0.7, 1e-4), ("laplacian", 0.7, 1e-6),
     ("polynomial", 1.0, 1e-2)],
)  # fmt: skip
def test_exact_equals_deeptime(name, width, alpha):
    """With all frames as landmarks, eigenvalues equal deeptime's KernelEDMD with epsilon =
    n alpha, and singular values its KernelCCA, to 1e-8.
    """
    from deeptime.decomposition import KernelCCA, KernelEDMD

    x = swirl()
    n = len(x) - 1
    m = moments_of(x, kernel_of(f"{name}@{width}"))
    ours = solve(m, "eig", center=False, reduction=Reduction(alpha)).eigenvalues[:8]
    model = KernelEDMD(theirs(name, width), n * alpha).fit((x[:-1], x[1:])).fetch_model()
    assert distance(ours, model.eigenvalues) < 1e-8
    ours = solve(m, "svd", reduction=Reduction(alpha)).singular_values[:4]
    model = KernelCCA(theirs(name, width), 4, n * alpha).fit((x[:-1], x[1:])).fetch_model()
    np.testing.assert_allclose(ours**2, model.eigenvalues.real, rtol=0, atol=1e-8)


def test_exact_equals_kernel_matrices():
    """The eigenvalues are those of (K_xx + n alpha)^-1 K_yx, to 1e-8, for a product kernel."""
    rng = np.random.default_rng(1)
    angle = np.cumsum(0.3 * rng.standard_normal(200))
    x = np.column_stack([np.mod(angle, 2 * np.pi), 0.1 * rng.standard_normal(200)])
    kernel = kernel_of("periodic:a@0.8*matern52:b@0.3")
    alpha = 1e-4
    gram = Evaluator(kernel, x[:-1])
    inner, across = gram(x[:-1]), gram(x[1:])
    wanted = np.linalg.eigvals(np.linalg.solve(inner + 199 * alpha * np.eye(199), across))
    found = solve(moments_of(x, kernel), "eig", center=False, reduction=Reduction(alpha))
    assert distance(found.eigenvalues[:8], wanted) < 1e-8


# ------------------------------------------------------------------ landmarks


@pytest.mark.parametrize("method", ["cholesky", "kmeans", "uniform", "fourier"])
def test_error_falls_with_landmarks(method):
    """Both the error of the kernel matrix and that of the leading eigenvalues fall with the
    number of landmarks (random features), in the mean over seeds.
    """
    x = swirl(600)
    kernel = kernel_of("gaussian@0.7")
    reduction = Reduction(1e-4)
    exact = solve(moments_of(x, kernel), "reversible", reduction=reduction).eigenvalues[:3].real
    errors = []
    for count in (8, 32, 128):
        rows = []
        for seed in range(5):
            lift = kernel_lift(x, kernel, Basis(count, method, seed))
            phi = apply(lift, x)
            m = Moments.of_pairs(phi[:-1], phi[1:])
            found = solve(m, "reversible", reduction=reduction).eigenvalues[:3].real
            rows.append((lift.settings["error"], np.abs(found - exact).max()))
        errors.append(np.mean(rows, axis=0))
    assert (np.diff(errors, axis=0) < 0).all(), errors
    assert errors[0][0] > 3 * errors[-1][0]


def test_random_pivots_beat_uniform_landmarks():
    """Where few frames are unlike the rest, randomly pivoted Cholesky finds them and uniform
    landmarks do not.
    """
    rng = np.random.default_rng(0)
    x = np.concatenate([0.2 * rng.standard_normal((3000, 2)), rng.uniform(-5, 5, (60, 2))])
    kernel = kernel_of("gaussian@0.5")
    error = {}
    for method in ("cholesky", "uniform"):
        rows = []
        for seed in range(5):
            phi = apply(kernel_lift(x, kernel, Basis(60, method, seed, candidates=60)), x)
            rows.append(float(np.mean(diagonal(kernel, x[3000:]) - (phi[3000:] ** 2).sum(axis=1))))
        error[method] = np.mean(rows)
    assert error["cholesky"] < 0.5 * error["uniform"], error


def test_repeated_frames_are_left_out():
    """Duplicate rows add no landmark, and the spectrum of all frames twice is that of all
    frames once.
    """
    x = swirl(150)
    kernel = kernel_of("laplacian@1.0")
    lift = kernel_lift(np.concatenate([x, x]), kernel, Basis(300))
    assert lift.settings["repeated"] == 150
    twice, once = of_lift(lift, x) * 2.0, moments_of(x, kernel)
    both = [solve(m, "svd", reduction=Reduction(1e-3)).singular_values[:5] for m in (twice, once)]
    np.testing.assert_allclose(*both, rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", ["gaussian", "laplacian", "matern32", "matern52", "periodic"])
def test_random_features_have_the_kernel_on_average(name):
    """The inner product of 20,000 random features is the kernel within four errors of the mean."""
    x = swirl(30)
    kernel = kernel_of(f"{name}@0.9")
    phi = apply(kernel_lift(x, kernel, Basis(20_000, "fourier")), x)
    assert np.abs(phi @ phi.T - Evaluator(kernel, x)(x)).max() < 4 / np.sqrt(10_000)


# ------------------------------------------------------------------ reduced rank


def prinz(frames: int, seeds: range, step: float = 1e-4, stride: int = 100) -> np.ndarray:
    """Euler-Maruyama runs in the Prinz potential, sigma = 2, every 0.01: (frames, seeds)."""
    noise = [np.random.default_rng(seed) for seed in seeds]
    x, found = np.zeros(len(noise)), np.empty((frames, len(noise)))
    for t in range(-200, frames):
        kicks = 2 * np.sqrt(step) * np.stack([rng.standard_normal(stride) for rng in noise])
        for i in range(stride):
            x = x + prinz_force(x) * step + kicks[:, i]
        if t >= 0:
            found[t] = x
    return found


#: Mean over seeds and one-run standard deviation of three eigenvalues, as published for
#: n = 1500, rank 5, Gaussian kernel of width 0.2, alpha = 1e-6.
TABLE = {
    "principal": (Reduction(1e-6, 5), [0.929, 0.793, 0.677], [0.007, 0.012, 0.020]),
    "rrr": (Reduction(1e-6, 5, "rrr"), [0.955, 0.808, 0.703], [0.005, 0.008, 0.015]),
    "ridge": (Reduction(1e-6), [0.957, 0.808, 0.703], [0.005, 0.008, 0.015]),
}


@pytest.mark.slow
def test_prinz_table():
    """Means over ten seeds lie within two standard deviations of one run of the table, for
    principal components, reduced-rank and ridge regression.
    """
    runs = prinz(1501, range(10))
    kernel = kernel_of("gaussian@0.2", ("x",))
    found = {name: [] for name in TABLE}
    for x in runs.T:
        m = moments_of(x[:, None], kernel)
        for name, (reduction, _, _) in TABLE.items():
            values = solve(m, "eig", center=False, reduction=reduction).eigenvalues
            found[name].append(np.abs(values[1:4]))
    for name, (_, mean, sd) in TABLE.items():
        assert np.all(np.abs(np.mean(found[name], axis=0) - mean) < 2 * np.array(sd)), name


def loud_and_slow(seed: int) -> np.ndarray:
    """A loud rotation that decays within few frames, beside a quiet slow mode."""
    rng = np.random.default_rng(seed)
    x = np.zeros((2000, 3))
    turn = 0.6 * np.array([[np.cos(1), -np.sin(1)], [np.sin(1), np.cos(1)]])
    for t in range(1999):
        x[t + 1, :2] = turn @ x[t, :2] + rng.standard_normal(2)
        x[t + 1, 2] = 0.95 * x[t, 2] + 0.02 * rng.standard_normal()
    return x


def test_reduced_rank_is_not_ridge():
    """At rank 2 reduced-rank regression takes the two directions that carry most of the
    prediction, ridge regression all: where these are loud and fast, the leading eigenvalues
    (.6 and .95) differ by more than three standard deviations over seeds.
    """
    kernel = kernel_of("polynomial@1", ("a", "b", "c"))
    kernel = Kernel(kernel.factors, degree=1)
    rows = []
    for seed in range(10):
        m = moments_of(loud_and_slow(seed), kernel, Basis(50))
        reductions = (Reduction(1e-6, 2, "rrr"), Reduction(1e-6))
        both = [solve(m, "eig", reduction=r).eigenvalues[0] for r in reductions]
        rows.append(np.abs(both))
    mean, sd = np.mean(rows, axis=0), np.std(rows, axis=0, ddof=1)
    assert abs(mean[0] - 0.6) < 0.05
    assert abs(mean[1] - 0.95) < 0.02
    assert mean[1] - mean[0] > 3 * sd.max()


def test_spectral_bias_is_that_of_kernel_matrices():
    """The estimate equals sqrt(n a'Ka) / |Ka| times the root of the first neglected eigenvalue
    of K / n, with the functions psi = sum a_i k(x_i, .) of principal components, to 1e-6; it
    falls with their number.
    """
    x = swirl(200)
    kernel, rank, n = kernel_of("gaussian@1.0"), 6, 199
    m = moments_of(x, kernel)
    found = solve(m, "eig", center=False, reduction=Reduction(1e-6, rank))
    gram = Evaluator(kernel, x[:-1])(x[:-1])
    across = Evaluator(kernel, x[:-1])(x[1:])
    values, vectors = np.linalg.eigh(gram / n)
    kept, basis = values[-rank:], vectors[:, -rank:]
    lam, inner = np.linalg.eig(basis.T @ across @ basis / n / (kept + 1e-6))
    a = basis @ (inner / (kept[:, None] + 1e-6))
    norm = np.sqrt(n * np.real(np.sum(a.conj() * (gram @ a), axis=0)))
    bias = norm / np.linalg.norm(gram @ a, axis=0) * np.sqrt(values[-rank - 1])
    order = [int(np.argmin(np.abs(lam - value))) for value in found.eigenvalues]
    np.testing.assert_allclose(found.eigenvalues, lam[order], atol=1e-6)
    np.testing.assert_allclose(found.bias, bias[order], rtol=1e-6)
    more = solve(m, "eig", center=False, reduction=Reduction(1e-6, 30)).bias
    assert (more[:3] < found.bias[:3] / 2).all()


# ------------------------------------------------------------------ torch, units


@pytest.mark.parametrize("text", ["gaussian@0.7", "periodic:a@1*laplacian:b@0.5", "matern32@1"])
@pytest.mark.parametrize("method", ["cholesky", "fourier"])
def test_tensors_give_the_same_moments(text, method):
    """Moments accumulated from torch tensors equal those of numpy to 1e-10, with short
    segments and long ones.
    """
    import torch

    device = torch.device("cpu")
    stream = FeatureStream.from_arrays([swirl(5000), swirl(9, seed=1), swirl(7, seed=2)])
    lift = kernel_lift(swirl(500), kernel_of(text), Basis(40, method))
    plain, _ = accumulate(stream, [1, 5], lift=evaluator(lift))
    torched, _ = accumulate(stream, [1, 5], lift=evaluator(lift, device), device=device)
    for name in ("xx", "xy", "yy"):
        ours, wanted = getattr(torched, name), getattr(plain, name)
        assert isinstance(ours, np.ndarray)
        np.testing.assert_allclose(ours, wanted, rtol=0, atol=1e-10 * np.abs(wanted).max())


def test_ensembles_are_multiplied_together():
    """Many runs of two frames give the moments of all their pairs."""
    pairs = np.random.default_rng(0).standard_normal((3000, 2, 3))
    stream = FeatureStream.from_arrays(pairs.reshape(-1, 3))
    ends = np.arange(0, 6000, 2)
    stream = FeatureStream(
        stream.spec, stream.labels, stream.lengths,
        (np.column_stack([ends, ends + 2]),), stream.read, stream.dtype,
    )  # fmt: skip
    found, _ = accumulate(stream, [1])
    plain = Moments.of_pairs(pairs[:, 0], pairs[:, 1])
    total = found.total()
    assert total.n == 3000
    for name in ("xx", "xy", "yy"):
        ours = getattr(total.rebased(np.zeros(3), np.ones(3)), name)
        np.testing.assert_allclose(ours, getattr(plain, name), atol=1e-9)


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(("width", "word"), [(1e-6, "too small"), (1e6, "too large")])
def test_absurd_bandwidths_are_refused(width, word):
    """A bandwidth far below or above all distances is refused, naming the median distance."""
    with pytest.raises(SupportError, match=word) as caught:
        kernel_lift(swirl(), kernel_of(f"gaussian@{width}"), Basis(50))
    assert "median distance" in caught.value.hint


def test_no_ridge_on_all_frames_is_refused():
    """With alpha = 0 as many functions as pairs fit anything: refused, with a cure."""
    m = moments_of(swirl(), kernel_of("laplacian@0.5"))
    with pytest.raises(SupportError, match="without a ridge") as caught:
        solve(m, "eig", reduction=Reduction(0.0))
    assert "alpha" in caught.value.hint


def test_kernels_and_columns_are_checked():
    """A misspelt kernel or column is answered with the nearest that exists."""
    with pytest.raises(UsageError, match="gausian") as caught:
        parse_kernel("gausian", ("a",))
    assert "did you mean gaussian" in caught.value.hint
    with pytest.raises(UsageError, match="no such column") as caught:
        parse_kernel("periodic:thetaa", ("theta", "r"))
    assert "did you mean theta" in caught.value.hint
    with pytest.raises(UsageError, match="stationary"):
        kernel_lift(swirl(), kernel_of("polynomial@1"), Basis(20, "fourier"))


def test_memory_is_refused_before_it_is_taken():
    """200,000 landmarks are refused with a number that would fit, whatever the machine."""
    from koopman_cli.memory import available, check_fits, predicted

    with pytest.raises(ResourceError, match="GB") as caught:
        check_fits(200_000, 11, 20_000)
    fits = int(caught.value.hint.split("=")[1].split()[0])
    assert predicted(fits, 11, 20_000) <= available() < predicted(200_000, 11, 20_000)


@pytest.mark.parametrize("name", ["cuda:7", "cuda"])
def test_an_absent_gpu_is_an_error(name):
    """A GPU that is asked for and absent is an error, never a run on the processor."""
    import torch

    from koopman_cli.devices import torch_device

    if torch.cuda.device_count() > int(name.partition(":")[2] or 0):
        pytest.skip("there is such a GPU")
    with pytest.raises(ResourceError, match="no such GPU"):
        torch_device(name)


# ------------------------------------------------------------------ coherent sets


def double_gyre(particles: int, seed: int = 0, end: float = 10.0, step: float = 0.02):
    """Particles of the double gyre (A = eps = .25, omega = 2 pi) at time 0 and ``end``."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, 1, (particles, 2)) * [2, 1]

    def velocity(t, p):
        a = 0.25 * np.sin(2 * np.pi * t)
        x, y = p.T
        f, slope = a * x**2 + (1 - 2 * a) * x, 2 * a * x + 1 - 2 * a
        u = -np.sin(np.pi * f) * np.cos(np.pi * y)
        v = np.cos(np.pi * f) * np.sin(np.pi * y) * slope
        return 0.25 * np.pi * np.stack([u, v], axis=1)

    p = start
    for i in range(round(end / step)):
        t = i * step
        k1 = velocity(t, p)
        k2 = velocity(t + step / 2, p + step / 2 * k1)
        k3 = velocity(t + step / 2, p + step / 2 * k2)
        p = p + step / 6 * (k1 + 2 * k2 + 2 * k3 + velocity(t + step, p + step * k3))
    return np.stack([start, p], axis=1)


@pytest.fixture(scope="module")
def gyre():
    """2,000 particles of the double gyre, (particles, 2, 2)."""
    return double_gyre(2000)


@pytest.mark.parametrize("width", [0.15, 0.2, 0.25])
@pytest.mark.parametrize("alpha", [1e-4, 1e-5, 1e-6])
def test_double_gyre_has_three_sets(gyre, width, alpha):
    """The ratio of ln s after the second non-constant singular value is at least 3, for
    Gaussian kernels of width .15 to .25 and ridges of 1e-4 to 1e-6.
    """
    lift = kernel_lift(gyre.reshape(-1, 2), kernel_of(f"gaussian@{width}"), Basis(400))
    m = Moments.of_pairs(apply(lift, gyre[:, 0]), apply(lift, gyre[:, 1]))
    s = solve(m, "svd", reduction=Reduction(alpha)).singular_values
    assert np.log(s[2]) / np.log(s[1]) >= 3


def test_double_gyre_through_the_command_line(gyre, tmp_path):
    """``fit --ensemble --model kedmd --set solve=svd`` finds three sets by the gap: two cores
    about the centres of the gyres and the background, at both times, drawn.
    """
    from click.testing import CliRunner

    from koopman_cli.cli import koopman
    from koopman_cli.report.run import open_run

    np.savez(tmp_path / "gyre.npz", x=gyre)
    options = ["--ensemble", "--model", "kedmd", "--lag", "1", "--dim", "4", "-q"]
    for setting in ("solve=svd", "bandwidth=0.2", "alpha=1e-5", "landmarks=200"):
        options += ["--set", setting]
    done = CliRunner().invoke(
        koopman, ["fit", str(tmp_path / "gyre.npz"), *options, "-o", str(tmp_path / "run")]
    )
    assert done.exit_code == 0, done.output
    sets = open_run(tmp_path / "run").result.coherent
    assert sets is not None
    assert sets.count == 3
    assert sets.shares[0] > 0.7
    assert min(sets.kept) > 0.9
    np.testing.assert_allclose(sets.before.sum(axis=1), 1)
    np.testing.assert_allclose(sets.after.sum(axis=1), 1)
    for points, chi in ((sets.start, sets.before), (sets.end, sets.after)):
        centres = sorted(tuple(points[chi[:, j] > 0.5].mean(axis=0)) for j in (1, 2))
        np.testing.assert_allclose(centres, [(0.5, 0.45), (1.5, 0.55)], atol=0.12)
    assert (tmp_path / "run" / "figures" / "coherent-sets.png").stat().st_size > 10_000


# ------------------------------------------------------------------ through the pipeline


def test_single_precision_is_close():
    """Input in float32 gives the eigenvalues of the same input in float64 to 1e-4, and says so."""
    from koopman_cli.estimate import estimate
    from koopman_cli.request import Request

    x = swirl(4000).astype(np.float32)
    request = Request.of("kedmd", {"landmarks": 50, "bandwidth": 1.0})
    found = [
        estimate(FeatureStream.from_arrays(a), request, 1, dim=2) for a in (x, x.astype(float))
    ]
    assert [f.precision for f in found] == ["float32", "float64"]
    both = [f.solution.eigenvalues[:4].real for f in found]
    np.testing.assert_allclose(*both, rtol=0, atol=1e-4)
    assert any("relative error of the kernel matrix" in note for note in found[0].notes)


@pytest.mark.parametrize("kind", ["negative", "mixed", "ties"])
def test_leading_eigenvectors_are_those_of_the_full_problem(kind):
    """The leading ones in absolute value, from both ends of the spectrum and among ties."""
    from koopman_cli.linalg import leading_eigh, sorted_eigh

    rng = np.random.default_rng(4)
    q = np.linalg.qr(rng.standard_normal((80, 80)))[0]
    values = {
        "negative": -np.linspace(0.1, 1, 80),
        "mixed": np.linspace(-0.9, 1, 80),
        "ties": np.repeat([1.0, -0.5], 40),
    }[kind]
    matrix = (q * values) @ q.T
    found, vectors = leading_eigh(matrix, 20)
    np.testing.assert_allclose(found, sorted_eigh(matrix)[0][:20], atol=1e-13)
    np.testing.assert_allclose(matrix @ vectors, vectors * found, atol=1e-12)
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(20), atol=1e-11)


def test_leading_eigenvectors_of_a_pencil():
    """With a Cholesky factor of B they solve A v = lambda B v, normed by B; A stays as it is."""
    from scipy.linalg import eigh

    from koopman_cli.linalg import leading_eigh

    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((2, 60, 90))
    matrix, metric = a @ a.T - 50 * np.eye(60), b @ b.T
    before = matrix.copy()
    found, vectors = leading_eigh(matrix, 10, np.linalg.cholesky(metric))
    wanted = eigh(matrix, metric, eigvals_only=True)
    wanted = wanted[np.argsort(-np.abs(wanted))][:10]
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    np.testing.assert_allclose(vectors.T @ metric @ vectors, np.eye(10), atol=1e-10)
    np.testing.assert_array_equal(matrix, before)


def test_a_wide_reversible_problem_needs_no_whitening():
    """Leading functions of the pencil are those found in whitened directions, with and without
    a ridge that rounding swallows.
    """
    from koopman_cli.models import wide as module

    m = moments_of(swirl(1500), kernel_of("laplacian@1.0"), Basis(350))
    for ridge in (1e-6, 1e-30):
        found = solve(m, "reversible", reduction=Reduction(ridge))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "leading_reversible", lambda c, ridge: None)
            wanted = solve(m, "reversible", reduction=Reduction(ridge))
        for name in ("eigenvalues", "bias"):
            ours, theirs = getattr(found, name), getattr(wanted, name)
            np.testing.assert_allclose(ours[:10], theirs[:10], rtol=1e-7, atol=1e-12)
        assert found.condition == pytest.approx(wanted.condition, rel=1e-6)
        spans = np.linalg.svd(found.left[:, :3].T @ wanted.left[:, :3], compute_uv=False)
        norms = np.linalg.svd(wanted.left[:, :3].T @ wanted.left[:, :3], compute_uv=False)
        np.testing.assert_allclose(spans, norms, rtol=1e-6)


def test_random_pivots_leave_the_factor_of_their_landmarks():
    """The factor that the choice of landmarks leaves is the Cholesky factor of the kernel between
    them, of a smooth kernel and among repeated rows too, and the same seed gives the same.
    """
    from koopman_cli.lifts.landmarks import landmarks_with_factor

    x = np.random.default_rng(2).standard_normal((900, 3))
    x[300:600] = x[:300]
    for width, count in ((0.7, 200), (3.0, 120)):
        kernel = Kernel(parse_kernel(f"gaussian@{width}", ["x", "y", "z"]))
        chosen, lower = landmarks_with_factor(kernel, x, count, "cholesky", 3)
        again = landmarks_with_factor(kernel, x, count, "cholesky", 3)[0]
        np.testing.assert_array_equal(chosen, again)
        assert len(np.unique(x[chosen], axis=0)) == len(chosen)
        assert np.abs(np.triu(lower, 1)).max() == 0
        between = Evaluator(kernel, x[chosen])(x[chosen])
        np.testing.assert_allclose(lower @ lower.T, between, atol=1e-13)


def test_wide_problems_keep_their_leading_functions():
    """Iterations for the leading functions of 350 give the eigenvalues of the full problem."""
    from koopman_cli.models import wide as module

    m = moments_of(swirl(1500), kernel_of("laplacian@1.0"), Basis(350))
    assert len(m.shift) > module.WIDE
    for solver in ("eig", "reversible", "svd"):
        found = solve(m, solver, reduction=Reduction(1e-6))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "WIDE", 10_000)
            wanted = solve(m, solver, reduction=Reduction(1e-6))
        name = "singular_values" if solver == "svd" else "eigenvalues"
        ours, theirs = getattr(found, name), getattr(wanted, name)
        assert module.LEADING <= len(ours) < len(theirs)
        np.testing.assert_allclose(ours[:40], theirs[:40], rtol=0, atol=1e-10)


@pytest.mark.parametrize("solver", ["reversible", "svd", "eig"])
def test_a_constant_that_the_kernel_holds_is_no_function(solver):
    """Polynomials of degree 3 in two columns are nine functions and the constant, whose variance
    is rounding: every dim of the nine is scored, although the ridge gives the tenth a norm.
    """
    x = lfilter([1], [1, -0.9], np.random.default_rng(0).standard_normal((2, 3000))).T + 5
    settings = {"kernel": "polynomial", "landmarks": 60, "solve": solver}
    found = estimate(FeatureStream.from_arrays(x), Request.of("kedmd", settings), 2)
    assert found.solution.rank == found.solution.left.shape[1] == 9
    scores = found.dims.scores
    assert len(scores) > 5
    assert all(score.folds == 5 and np.isfinite(score.vampe.test) for score in scores)


def test_command_line_refuses_in_two_lines(tmp_path):
    """Through ``koopman fit``: a misspelt kernel, an absent GPU, too many landmarks and an
    absurd bandwidth end with their exit codes, an error and a hint.
    """
    import subprocess
    import sys

    np.save(tmp_path / "x.npy", swirl(900))
    np.save(tmp_path / "long.npy", np.tile(swirl(2000), (100, 1)))
    cases = [
        ("x.npy", ["--set", "kernel=gausian"], 2),
        ("x.npy", ["--set", "bandwidth=1e-6"], 4),
        ("x.npy", ["--device", "cuda:63"], 6),
        ("long.npy", ["--set", "landmarks=200000"], 6),
    ]
    for name, options, code in cases:
        done = subprocess.run(
            [sys.executable, "-c", "from koopman_cli.cli import main; main()", "fit", name,
             "--model", "kedmd", "--lag", "1", "-q", *options],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        lines = done.stderr.strip().splitlines()
        assert [line.split(":")[0] for line in lines] == ["Error", "Hint"], lines
    assert "landmarks=" in lines[1]


def test_the_rank_of_a_wide_model_is_not_the_number_of_computed_functions():
    """One landmark more than where only leading functions are computed changes neither rank nor
    the directions that the ridge leaves free, nor what few pairs for them bring.
    """
    x = lfilter([1], [1, -0.8], np.random.default_rng(0).standard_normal((500, 3)), axis=0)
    for alpha in (0.0, 1e-6, 1e-2):
        told = []
        for count in (300, 301):
            settings = {"kernel": "laplacian@1", "landmarks": count, "alpha": alpha}
            found = estimate(FeatureStream.from_arrays(x), Request.of("kedmd", settings), 1, dim=70)
            solution = found.solution
            assert solution.rank == count
            told.append((solution.freedom, any("expect over" in w for w in found.warnings)))
        assert told[0][0] == pytest.approx(told[1][0], rel=0.03)
        assert told[0][1] == told[1][1] == (alpha < 1e-3)
        assert found.dim == solution.count < solution.rank
        assert any("which alone are computed of 301" in w for w in found.warnings)
        assert not any("rank of the data" in w for w in found.warnings)


def test_a_ridge_leaves_as_many_directions_free_as_its_trace():
    """It is tr C (C + alpha)^-1 in narrow problems, and estimated in wide ones."""
    for count, rel in ((100, 1e-8), (320, 0.03)):
        m = moments_of(swirl(1500), kernel_of("laplacian@1.0"), Basis(count))
        for ridge in (1e-6, 1e-3, 1e-2):
            values = np.linalg.eigvalsh(m.symmetrized().orthonormal().covariances().c00)
            found = solve(m, "reversible", reduction=Reduction(ridge))
            wanted = float(np.sum(values / (values + ridge)))
            assert found.freedom == pytest.approx(wanted, rel=rel)
