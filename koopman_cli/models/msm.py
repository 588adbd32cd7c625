"""Markov state model: reversible maximum likelihood on clusters of the features.

With the counts C_ij of transitions between clusters at the lag, T = x_ij / x_i maximises the
likelihood among all reversible matrices, where x solves

    x_ij = (c_ij + c_ji) / (c_i / x_i + c_j / x_j),    x_i = sum_j x_ij,    c_i = sum_j C_ij,

on the largest connected set of clusters.
Source: Prinz et al., J. Chem. Phys. 134, 174105 (2011); Trendelkamp-Schroer et al., J. Chem.
Phys. 143, 174101 (2015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate
from koopman_cli.errors import DataError, SupportError, UsageError
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts.indicator import cluster, indicator, of_coordinates
from koopman_cli.linalg import RTOL, fix_signs, sorted_eigh
from koopman_cli.models.base import Family, setting
from koopman_cli.models.solve import Solution, Solver, solve
from koopman_cli.models.training import Training
from koopman_cli.moments import Moments
from koopman_cli.nouns import counted
from koopman_cli.types import FeatureSpec, Lift

Matrix = NDArray[np.float64]

MAX_ITERATIONS = 200_000

#: What can be clustered.
INPUTS = ("features", "slow")

#: Relative change of the stationary distribution at which iteration stops; the second where
#: only differences between similar counts are wanted (error bars).
TOLERANCE = 1e-12
WARM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Settings(Family):
    """Settings of Markov state models."""

    clusters: int = setting("number of clusters by k-means", 100)
    centers: str = setting("file of cluster centres (.npy), instead of k-means", "")
    input: str = setting(
        "what is clustered: features, or slow (their slow coordinates)", "features"
    )
    slow: int = setting("slow coordinates that are clustered with input=slow", 4)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clusters < 2:
            raise UsageError(
                f"msm.clusters={self.clusters}: at least two", "for example --set clusters=100"
            )
        if self.input not in INPUTS:
            raise UsageError(
                f"msm.input={self.input}: {' or '.join(INPUTS)}", "for example --set input=slow"
            )
        if self.slow < 1:
            raise UsageError(f"msm.slow={self.slow}: at least one", "for example --set slow=4")
        if self.centers and self.input == "slow":
            raise UsageError(
                "msm.centers with input=slow: slow coordinates are not known beforehand",
                "leave out one of the two",
            )

    algebraic: ClassVar[bool] = False

    @property
    def solver(self) -> Solver:
        """Reversible: eigenvalues are real."""
        return "reversible"

    def learns_lift(self, stream: FeatureStream) -> bool:
        """Given centres know nothing of the data; those of k-means do."""
        return not self.centers

    @property
    def needs_sample(self) -> bool:
        """Where k-means looks for centres."""
        return not self.centers

    def learns_lag(self, stream: FeatureStream) -> bool:
        """Slow coordinates are those of a lag."""
        return self.input == "slow"

    def for_lags(self) -> Family:
        """The lag is chosen with clusters of the features, which need no lag."""
        return replace(self, input="features")

    def fit_lift(self, part: Training) -> Lift:
        """Indicators of clusters of the features, or of their slow coordinates."""
        if self.input == "features":
            return super().fit_lift(part)
        mean, functions = slow_coordinates(part, self.slow)
        sample = (np.asarray(part.sample(self.sample_frames), np.float64) - mean) @ functions
        return of_coordinates(cluster(sample, self.clusters, part.seed), mean, functions)

    def make_lift(self, sample: NDArray[Any], spec: FeatureSpec, seed: int) -> Lift:
        """Indicators of the clusters."""
        if not self.centers:
            return cluster(sample, self.clusters, seed)
        return indicator(read_centers(self.centers, len(spec.names)))

    def solve_moments(self, moments: Moments, precision: str, eps: float) -> Solution:
        """The maximum-likelihood estimate."""
        return likeliest(moments)

    def solve_near(self, moments: Moments, near: Solution, precision: str, eps: float) -> Solution:
        """Begin with the stationary distribution of similar counts."""
        return likeliest(moments, near.mean_x)


def slow_coordinates(part: Training, count: int) -> tuple[Matrix, Matrix]:
    """Mean (d,) and functions (d, k) of the k slowest coordinates of training frames.

    TICA, each function times its eigenvalue (the kinetic map, in which distances mean
    times), so that what is fast hardly matters to the clusters.

    Raises
    ------
    SupportError
        If nothing in the features is slower than the lag.
    """
    spans = tuple(np.array(s, np.int64).reshape(-1, 2) for s in part.spans())
    stream = replace(part.stream, segments=spans, origins=())
    moments, precision = accumulate(stream, [part.lag], progress=part.progress)
    found = solve(moments.total(), "reversible", rtol=RTOL[precision], eps=moments.eps)
    assert found.eigenvalues is not None
    values = found.eigenvalues.real[:count]
    kept = values > 0
    if not kept.any():
        raise SupportError(
            "no slow coordinate has a positive eigenvalue",
            "cluster the features themselves (--set input=features) or take a shorter lag",
        )
    functions = found.left[:, : len(values)][:, kept] * values[kept]
    return found.mean_x, np.asarray(functions, np.float64)


def read_centers(path: str, features: int) -> Matrix:
    """Cluster centres from a file, one row each.

    Raises
    ------
    DataError
        If the file is no array with a column per feature.
    """
    try:
        points: Matrix = np.load(Path(path), allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path!r}: no array of cluster centres ({error})", "save them as .npy"
        ) from None
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or points.shape[1] != features:
        raise DataError(
            f"{path!r}: shape {points.shape}, but there are {counted(features, 'feature')}",
            "give one row per centre and one column per feature",
        )
    return points


def counts(moments: Moments) -> Matrix:
    """Transition counts between clusters, from the moments of their indicators."""
    raw = moments.rebased(np.zeros_like(moments.shift), np.ones_like(moments.scale))
    # Sums of ones are whole up to rounding; reweighted blocks make them fractions.
    value: Matrix = np.clip(np.round(raw.xy[:-1, :-1], 6), 0.0, None)
    return value


def largest_connected(c: Matrix) -> NDArray[np.int64]:
    """Clusters of the largest set in which each can reach each other.

    >>> largest_connected(np.array([[1.0, 1, 0], [1, 0, 1], [0, 0, 5]])).tolist()
    [0, 1]
    """
    from scipy.sparse.csgraph import connected_components

    _, label = connected_components(c > 0, directed=True, connection="strong")
    weight = np.bincount(label, (c.sum(axis=1) > 0).astype(float))
    return np.flatnonzero(label == np.argmax(weight))


def reversible_flows(c: Matrix, start: Matrix | None = None) -> Matrix:
    """Symmetric x (sum 1) with T = x_ij / x_i of maximal likelihood for counts of a connected set.

    Parameters
    ----------
    c : (m, m) array
        Counts.
    start : (m,) array, optional
        Row sums to begin with, e.g. those of similar counts.

    Raises
    ------
    SupportError
        If the iteration does not converge.

    Examples
    --------
    >>> x = reversible_flows(np.array([[90.0, 10.0], [12.0, 38.0]]))
    >>> bool(np.allclose(x, x.T)), np.round(x[0, 1] / x[0].sum(), 4).item()
    (True, 0.1)
    """
    both, rows = c + c.T, c.sum(axis=1)
    tolerance = TOLERANCE if start is None else WARM_TOLERANCE
    x = both.sum(axis=1) / both.sum() if start is None else start / start.sum()
    for _ in range(MAX_ITERATIONS):
        ratio = rows / x
        flows = both / (ratio[:, None] + ratio[None, :])
        new = flows.sum(axis=1)
        new /= new.sum()
        change = float(np.max(np.abs(new - x) / new))
        x = new
        if change < tolerance:
            break
    else:
        raise SupportError(
            "the reversible maximum-likelihood estimate does not converge",
            "take fewer clusters, or more data",
        )
    ratio = rows / x
    flows = both / (ratio[:, None] + ratio[None, :])
    value: Matrix = flows / flows.sum()
    return value


def likeliest(moments: Moments, start: Matrix | None = None) -> Solution:
    """Eigenfunctions of the maximum-likelihood matrix, as combinations of the indicators.

    Parameters
    ----------
    moments : Moments
        Of the indicators.
    start : (m,) array, optional
        Stationary distribution of similar counts, to begin with.

    Raises
    ------
    SupportError
        If fewer than two clusters are connected.
    """
    c = counts(moments)
    kept = largest_connected(c)
    if len(kept) < 2:
        raise SupportError(
            "no two clusters are connected in both directions",
            "take fewer clusters or a longer run",
        )
    own = c[np.ix_(kept, kept)]
    begin = None if start is None or np.any(start[kept] <= 0) else start[kept]
    x = reversible_flows(own, begin)
    pi = x.sum(axis=1)
    root = np.sqrt(pi)
    values, vectors = sorted_eigh(x / np.outer(root, root))
    # The constant has eigenvalue 1 and is what overlaps with sqrt(pi) most.
    constant = int(np.argmax(np.abs(root @ vectors)))
    values, vectors = np.delete(values, constant), np.delete(vectors, constant, axis=1)
    functions = vectors / root[:, None]
    functions *= fix_signs(functions, root)
    m = len(c)
    left, mean, moving = np.zeros((m, len(values))), np.zeros(m), np.zeros(m, bool)
    left[kept], mean[kept], moving[kept] = functions, pi, True
    return Solution(
        left=left,
        right=left,
        mean_x=mean,
        mean_y=mean,
        eigenvalues=values.astype(np.complex128),
        singular_values=None,
        rank=len(values),
        freedom=len(values),
        moving=moving,
        condition=float(pi.max() / pi.min()),
    )
