"""Kernel EDMD: slow functions in the space of a kernel, against landmarks or all frames.

With orthonormal functions phi of the kernel's space, phi(x).phi(z) = k(x, z), the operator is
the ridge regression (C00 + alpha)^-1 C01; in kernel matrices, (K_xx + n alpha)^-1 K_yx.

solve=eig         its eigenfunctions; with a rank, in so many principal components
solve=rrr         of the regression of reduced rank
solve=reversible  moments averaged over both directions of time: real eigenvalues
solve=svd         (C00 + alpha)^-1/2 C01 (C11 + alpha)^-1/2: kernel CCA, for coherent sets

Sources: Williams, Rowley and Kevrekidis, J. Comput. Dyn. 2, 247 (2015); Klus, Schuster and
Muandet, J. Nonlinear Sci. 30, 283 (2020); Klus, Husic, Mollenhauer and Noe, Chaos 29, 123112
(2019); Kostic et al., NeurIPS 2022; Meanti et al., NeurIPS 2023 (landmarks).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

from numpy.typing import NDArray

from koopman_cli.blocks import plan_blocks
from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts.kernel import Basis, kernel_lift, kernel_of
from koopman_cli.lifts.kernelfunctions import Kernel, parse_kernel
from koopman_cli.memory import check_fits
from koopman_cli.models.base import LIFT_FRAMES, Family, setting
from koopman_cli.models.restrict import Reduction
from koopman_cli.models.solve import Solver
from koopman_cli.models.training import Training
from koopman_cli.types import FeatureSpec, Lift

SOLVERS = ("eig", "rrr", "reversible", "svd")
BASES = ("cholesky", "kmeans", "uniform", "fourier")

#: Frames up to which all of them are landmarks, and landmarks that are taken of more.
ALL_FRAMES = 600
LANDMARKS = 400

#: Candidates per landmark among which randomly pivoted Cholesky chooses.
CANDIDATES = 5


@dataclass(frozen=True)
class Settings(Family):
    """Settings of kernel EDMD."""

    kernel: str = setting(
        "gaussian, laplacian, matern32, matern52, polynomial or periodic, of all columns; "
        "or a product such as periodic:phi+psi*gaussian:r@0.1",
        "gaussian",
    )
    bandwidth: float = setting("bandwidth where the kernel states none; 0: median distance", 0.0)
    landmarks: int = setting(
        "landmarks or random features; 0: all frames up to 600, else 400; more than frames: all", 0
    )
    basis: str = setting("landmarks by cholesky, kmeans or uniform; or fourier", "cholesky")
    alpha: float = setting("ridge on the variances, n alpha on their sums", 1e-6)
    solve: str = setting("eig, rrr (reduced rank), reversible or svd", "reversible")
    rank: int = setting("rank of rrr, principal components otherwise; 0: all (rrr: 20)", 0)
    degree: int = setting("degree of the polynomial kernel", 3)
    offset: float = setting("offset of the polynomial kernel", 1.0)
    period: float = setting("period of the periodic kernel; 0: 2 pi", 0.0)

    richer: ClassVar[str] = "more features, or another --set bandwidth"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choices in (("solve", SOLVERS), ("basis", BASES)):
            if getattr(self, name) not in choices:
                raise UsageError(
                    f"kedmd.{name}={getattr(self, name)}: no such {name}",
                    did_you_mean(getattr(self, name), choices),
                )
        # Columns are not known yet; names of kernels are.
        for part in self.kernel.split("*"):
            parse_kernel(part.partition(":")[0].partition("@")[0].strip(), ())
        for name in ("bandwidth", "alpha", "landmarks", "rank", "period", "offset"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(
                    f"kedmd.{name}={getattr(self, name):g}: cannot be negative or infinite",
                    "give 0 or more",
                )
        if self.degree < 1:
            raise UsageError(f"kedmd.degree={self.degree}: at least 1", "for example degree=3")

    @property
    def solver(self) -> Solver:
        """Reduced-rank regression is an eigenproblem in few directions."""
        return cast("Solver", "eig" if self.solve == "rrr" else self.solve)

    @property
    def reduction(self) -> Reduction:
        """The ridge and the directions of the regression."""
        if self.solve == "rrr":
            return Reduction(self.alpha, self.rank or 20, "rrr")
        return Reduction(self.alpha, self.rank)

    def learns_lift(self, stream: FeatureStream) -> bool:
        """Always: landmarks and bandwidth are those of the training frames."""
        return True

    @property
    def needs_sample(self) -> bool:
        """Always: landmarks are frames."""
        return True

    @property
    def sample_frames(self) -> int:
        """At least as many as landmarks."""
        return max(LIFT_FRAMES, self.landmarks)

    def fit_lift(self, part: Training) -> Lift:
        """The kernel lift, unless it needs more memory than there is."""
        stream = part.stream
        count = width(self, stream.n_frames)
        plan = plan_blocks(stream.segments, [part.lag], count, window=stream.window)
        sampled = min(stream.n_frames, CANDIDATES * count, LIFT_FRAMES)
        check_fits(count, len(plan.is_block), sampled, part.where("kernel"))
        return super().fit_lift(part)

    def make_lift(self, sample: NDArray[Any], spec: FeatureSpec, seed: int) -> Lift:
        """Choose landmarks among sample frames and fit the lift."""
        count = width(self, len(sample))
        # Below this the ridge leaves nothing of the variance.
        floor = max(10 * self.alpha, 1e-12)
        basis = Basis(count, self.basis, seed, floor, CANDIDATES)
        return kernel_lift(sample, kernel(self, spec), basis)

    def notes(self, lift: Lift) -> tuple[str, ...]:
        """Kernel, landmarks, and how well they stand for all frames."""
        return told(lift, self)


def kernel(settings: Settings, spec: FeatureSpec) -> Kernel:
    """The kernel of the settings on the columns of the features."""
    factors = tuple(
        replace(f, bandwidth=f.bandwidth or settings.bandwidth)
        for f in parse_kernel(settings.kernel, spec.names)
    )
    return Kernel(factors, settings.degree, settings.offset, settings.period or 2 * math.pi)


def width(settings: Settings, frames: int) -> int:
    """Functions that the settings ask for on so many frames."""
    if settings.basis == "fourier":
        return 2 * max(1, (settings.landmarks or LANDMARKS) // 2)
    automatic = frames if frames <= ALL_FRAMES else LANDMARKS
    return min(settings.landmarks or automatic, frames)


def told(lift: Lift, settings: Settings) -> tuple[str, ...]:
    """What is to be said of a fitted lift."""
    s, count = lift.settings, len(lift.names)
    how = "random features" if s["method"] == "fourier" else f"landmarks ({s['method']})"
    widths = [f.bandwidth for f in kernel_of(lift).factors]
    shown = ", ".join(f"{w:.3g}" for w in widths)
    error = f"relative error of the kernel matrix {s['error']:.1g}"
    said = [f"kernel {settings.kernel}, bandwidth {shown}, {count} {how}, {error}"]
    if s["repeated"]:
        said.append(f"{s['repeated']} landmarks repeat others and were left out")
    frames = count + s["repeated"]
    if settings.basis != "fourier" and settings.landmarks > frames:
        said.append(f"landmarks {settings.landmarks} lowered to {frames}, the number of frames")
    if settings.alpha == 0:
        said.append("alpha 0: without a ridge noise is fitted as far as landmarks allow")
    return tuple(said)
