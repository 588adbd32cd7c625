"""How much every block of data moves what is read from an estimate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from koopman_cli.analysis.resampling import each, followed, resampled
from koopman_cli.analysis.uncertainty import Influences, influences, owners_of, stack
from koopman_cli.estimate import Estimate
from koopman_cli.features.stream import FeatureStream
from koopman_cli.models.solve import Solution, Solver
from koopman_cli.moments import Moments


@dataclass(frozen=True)
class View:
    """The solution that is judged, and the problem it solves.

    For svd models of data that are symmetric in time this is the reversible solution in their
    own span; ``count`` functions of it are looked at, ``dim`` of them belong to the model.
    """

    solution: Solution
    solver: Solver
    count: int
    dim: int
    own_span: bool = False


def effects(found: Estimate, view: View, stream: FeatureStream) -> Influences:
    """How much each block moves each value, by the way that the family of the estimate allows."""
    if found.request.settings.refines:
        return _refined_again(found, view, stream)
    if not found.request.settings.algebraic:
        return _resolved_again(found, view)
    center = found.request.settings.center
    return influences(found.merged, view.solution, view.solver, view.count, center=center)


def _refined_again(found: Estimate, view: View, stream: FeatureStream) -> Influences:
    """Influences on eigenvalues that are found in the frames."""
    values = view.solution.eigenvalues
    assert values is not None
    parts = found.request.stretches(stream, found.lift, found.lag)
    owners = [owners_of(found.merged, i, a, len(rows)) for i, a, rows in parts]
    rows = [part for _, _, part in parts]
    moved = found.request.settings.influence(view.solution, rows, owners, found.lag)
    base = stack(found.merged, found.lag, joint=False, center=False)
    short = found.merged.n_blocks - len(moved)
    moved = np.pad(moved, ((0, max(short, 0)), (0, 0)))[:, : view.count]
    return Influences(values[: view.count], moved, base)


def _resolved_again(found: Estimate, view: View) -> Influences:
    """Influences on the eigenvalues of what is no linear algebra, by re-solving."""
    settings, eps = found.request.settings, found.merged.eps

    def solved(total: Moments) -> Solution:
        return settings.solve_near(total, view.solution, found.precision, eps)

    leading = followed(solved, view.solution, found.merged.total(), view.count)
    value, influence, spread = resampled(found.merged, each(leading))
    return Influences(value.astype(np.complex128), influence.astype(np.complex128), spread)
