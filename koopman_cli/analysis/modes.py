"""The modes of a solved model: eigenvalues where they mean something, then verdicts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.spectrum import Context, describe_modes, time_symmetric
from koopman_cli.models.solve import Solution, solve
from koopman_cli.moments import BlockMoments
from koopman_cli.types import Mode

#: Functions beyond dim that are computed, so that what follows the slow ones can be seen.
EXTRA = 5


def reversible_values(
    blocks: BlockMoments, solution: Solution, dim: int
) -> NDArray[np.complex128] | None:
    """Eigenvalues of an svd model, re-solved reversibly in its own span.

    Only where xy is symmetric within its block-to-block error; otherwise None, and the
    singular values are coherences without timescales.

    Parameters
    ----------
    blocks : BlockMoments
        Of the lifted features, merged to independent blocks.
    solution : Solution
        From the svd solver.
    dim : int
        Number of functions of the model.
    """
    wide = min(dim + EXTRA, solution.rank)
    watched = blocks.projected(solution.mean_x, solution.left[:, :wide])
    if not time_symmetric(watched):
        return None
    own = blocks.projected(solution.mean_x, solution.left[:, :dim])
    return solve(own.total(), "reversible").eigenvalues


def model_modes(
    blocks: BlockMoments, solution: Solution, context: Context, dim: int
) -> tuple[tuple[Mode, ...], NDArray[np.complex128] | None]:
    """Modes of a model of ``dim`` functions, and the eigenvalues they were made from."""
    values = solution.eigenvalues
    if values is None:
        values = reversible_values(blocks, solution, dim)
    count = dim if values is None else min(dim, len(values))
    return describe_modes(values, solution.singular_values, context, count), values
