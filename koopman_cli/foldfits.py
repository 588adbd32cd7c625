"""The same model fitted to the training part of every fold of blocks, from moments alone."""

from __future__ import annotations

from dataclasses import dataclass

from koopman_cli.analysis.modes import in_own_span
from koopman_cli.effects import View
from koopman_cli.errors import SupportError
from koopman_cli.estimate import Estimate
from koopman_cli.models.solve import Solution
from koopman_cli.moments import Moments
from koopman_cli.validation import assign_folds

#: Folds whose training parts give the functions of the certificates.
FOLDS = 5

#: Functions that are kept of each of these folds, for every one that is looked at.
KEPT = 5


@dataclass(frozen=True)
class Trained:
    """Solutions of the training part of every fold, and the blocks each holds out."""

    held: list[list[int]]
    solutions: tuple[Solution, ...]


def trained_on_folds(found: Estimate, view: View) -> Trained | None:
    """None where nothing can be held out: too few blocks."""
    if found.merged.n_blocks < 2 * FOLDS:
        return None
    held = assign_folds(found.merged, FOLDS)
    solutions = []
    for members in held:
        rest = sorted(set(range(found.merged.n_blocks)) - set(members))
        train = found.merged.sum_blocks(rest)
        try:
            solutions.append(_solved(found, train, view))
        except SupportError:
            return None
    return Trained(held, tuple(solutions))


def _solved(found: Estimate, train: Moments, view: View) -> Solution:
    solution = found.request.solve(train, found.precision, found.merged.eps)
    if view.own_span:
        return in_own_span(train, solution, view.count)
    # A fold's functions are those of the nearest eigenvalues; eig models need the dual of all.
    return solution if view.solver == "eig" else solution.leading(KEPT * view.count)
