"""What every family is: settings (the fields), and what it does with them (the methods).

A family writes ``solver`` and, where its lift is not the features themselves, ``make_lift``
(from a sample of frames) or ``fit_lift`` (from the stream). Everything else is free; what
differs from it is said by overriding an attribute or a method here, and nowhere else: no
module outside this folder asks for a family by name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import UsageError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts.identity import identity
from koopman_cli.linalg import RTOL
from koopman_cli.models.restrict import Reduction
from koopman_cli.models.solve import Solution, Solver, solve
from koopman_cli.models.training import Training
from koopman_cli.moments import Moments
from koopman_cli.types import FeatureSpec, Lift

Matrix = NDArray[np.float64]

#: Frames from which lifts learn.
LIFT_FRAMES = 20_000


def setting(meaning: str, default: Any) -> Any:
    """A field of a family's settings, with its one-line meaning."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Family(ABC):
    """Settings that every family has, and behaviour that every family may change.

    flow : a flow is the sum of all its modes, oscillations and growth among them
    takes_fields : whether it can stand on the coordinates of a field
    refines : whether ``refine`` finds the solution in the frames, not in moments
    algebraic : whether the solution is linear algebra on moments, so that influences of
        blocks are derivatives; otherwise they are found by solving again
    richer : what to try where its functions are too poor
    """

    rtol: float = setting("cut-off of the whitening; 0: 1e-10 (float64) or 1e-6 (float32)", 0.0)
    center: bool = setting("remove the means first", default=True)

    flow: ClassVar[bool] = False
    takes_fields: ClassVar[bool] = False
    refines: ClassVar[bool] = False
    algebraic: ClassVar[bool] = True
    richer: ClassVar[str] = "--model kedmd, or more features"

    def __post_init__(self) -> None:
        if not 0 <= self.rtol < 1:
            raise UsageError(
                f"rtol {self.rtol:g}: not a relative cut-off", "give 0 (automatic) to below 1"
            )

    # -------------------------------------------------------------- the lift

    @property
    def needs_sample(self) -> bool:
        """Whether ``make_lift`` needs frames."""
        return False

    @property
    def sample_frames(self) -> int:
        """Frames among which the sample for ``make_lift`` is taken."""
        return LIFT_FRAMES

    def learns_lift(self, stream: FeatureStream) -> bool:
        """Whether the lift learns from data, and must be fitted again for every fold."""
        return False

    def learns_lag(self, stream: FeatureStream) -> bool:
        """Whether the lift is fitted to pairs, so that every lag has one of its own."""
        return False

    def completed(
        self, stream: FeatureStream, lag: int
    ) -> tuple[Family, tuple[str, ...], tuple[str, ...]]:
        """The settings with what data decide once for all folds, notes and warnings."""
        return self, (), ()

    def for_lags(self) -> Family:
        """The family whose implied timescales choose the lag, where fitting this one is dear."""
        return self

    def fit_lifts(self, parts: Sequence[Training]) -> Iterator[Lift]:
        """A lift for each of several training sets; a family may fit them as one."""
        return (self.fit_lift(part) for part in parts)

    @property
    def company(self) -> Any:
        """What settings have in common whose lifts are fitted as one; None where none are."""
        return None

    def fit_company(self, members: Sequence[Family], parts: Sequence[Training]) -> list[list[Lift]]:
        """Lifts of several settings of one company for several training sets, by setting."""
        return [list(member.fit_lifts(parts)) for member in members]

    def accepted(self, lift: Lift) -> Lift:
        """A lift that was fitted to all data; an error where it is of no use."""
        return lift

    def fit_lift(self, part: Training) -> Lift:
        """The lift of a training set."""
        stream = part.stream
        nothing = np.empty((0, stream.n_features))
        sample = part.sample(self.sample_frames) if self.needs_sample else nothing
        return self.make_lift(sample, stream.spec, part.seed)

    def make_lift(self, sample: NDArray[Any], spec: FeatureSpec, seed: int) -> Lift:
        """The lift from a sample of training frames: the features themselves."""
        return identity(spec)

    def notes(self, lift: Lift) -> tuple[str, ...]:
        """What is to be said of a fitted lift."""
        return ()

    # -------------------------------------------------------------- the solution

    @property
    @abstractmethod
    def solver(self) -> Solver:
        """Which problem its moments are solved by."""

    @property
    def pod_rank(self) -> int:
        """Directions of the POD that the lift is made of, 0 for none."""
        return 0

    @property
    def reduction(self) -> Reduction | None:
        """Ridge and rank of the regression."""
        return None

    @property
    def reweights(self) -> bool:
        """Whether frames are weighted towards equilibrium."""
        return False

    @property
    def shrinks_with_noise(self) -> bool:
        """Whether noise in the frames of a flow makes its eigenvalues smaller."""
        return False

    @property
    def exact_modes(self) -> bool:
        """Whether the modes of a flow are those of the later snapshots of the pairs."""
        return False

    def solve_moments(self, moments: Moments, precision: str, eps: float) -> Solution:
        """All functions that moments of the lifted features determine.

        precision : that of the moments; eps : machine epsilon of the input
        """
        return solve(
            moments,
            self.solver,
            center=self.center,
            rtol=self.cutoff(precision),
            eps=eps,
            reduction=self.reduction,
        )

    def solve_near(self, moments: Moments, near: Solution, precision: str, eps: float) -> Solution:
        """Solve moments that are close to those of a known solution."""
        return self.solve_moments(moments, precision, eps)

    def refine(self, plain: Solution, stretches: Sequence[Matrix], lag: int, seed: int) -> Solution:
        """A solution of moments improved on stretches of lifted frames, each (n, m)."""
        return plain

    def influence(
        self,
        found: Solution,
        stretches: Sequence[Matrix],
        owners: Sequence[NDArray[np.int64]],
        lag: int,
    ) -> NDArray[np.complex128]:
        """Influence (blocks, k) of blocks on refined eigenvalues.

        owners : for each stretch the block of each of its frames, -1 for none
        """
        raise NotImplementedError

    def cutoff(self, precision: str) -> float:
        """The relative cut-off of the whitening."""
        return self.rtol or RTOL[precision]
