"""What a scan of lags says of trends, transients and levels: the same as a fit."""

from __future__ import annotations

from collections.abc import Sequence

from koopman_cli.analysis.steps import split, steps
from koopman_cli.analysis.trends import drift_warning, once
from koopman_cli.analysis.turning import Turning
from koopman_cli.models.solve import Solution
from koopman_cli.moments import BlockMoments
from koopman_cli.types import Lag, Lift
from koopman_cli.validation import assign_folds

#: Parts of the data whose means are compared, as many as a fit has folds.
PARTS = 5


class HeldOnce:
    """Warnings about the columns and the modes at the first lag that has a model.

    At longer lags a mode has decayed more, and what is left of it in noise is soon most of it
    in one place.

    Parameters
    ----------
    in_time : bool
        As of :func:`koopman_cli.analysis.trends.once`.
    """

    def __init__(self, *, in_time: bool) -> None:
        self.in_time = in_time
        self.said: list[str] = []
        self.turning = Turning()
        self._looked = False

    def see(
        self, blocks: BlockMoments, solution: Solution, lift: Lift, order: Sequence[int]
    ) -> None:
        """Look at one lag; lags after the first are passed over.

        Parameters
        ----------
        blocks : BlockMoments
            Of the lifted features at the lag, merged to independent blocks.
        solution : Solution
            With eigenvalues.
        lift : Lift
            It names the columns.
        order : sequence of int
            Modes of the solution as they are numbered in the scan.
        """
        if self._looked or solution.eigenvalues is None or not len(order):
            return
        self._looked = True
        self.turning.begin(blocks, solution, lift, order[0])
        if blocks.n_blocks >= 2:
            self.said += drift_warning(blocks, lift, assign_folds(blocks, PARTS))
        count = min(max(order) + 2, solution.left.shape[1])
        course = blocks.projected(solution.mean_x, solution.left[:, :count])
        found = once(course, solution.eigenvalues[:count], in_time=self.in_time)
        values, about = solution.eigenvalues[:count], dict[int, str]()
        if not self.in_time:
            unit = Lag(blocks.lags[0], float(blocks.lags[0]), "frames")
            against, about = split(steps(course, values), values, unit)
            found = against | found
        for place, i in enumerate(order):
            if i in about and i not in found:
                where = f"mode {place + 1} at lag {blocks.lags[0]}"
                self.said.append(f"the timescale of {where} is too long: it is {about[i]}")
            if i in found:
                self.said.append(f"mode {place + 1} at lag {blocks.lags[0]}: {found[i]}")

    def follow(self, blocks: BlockMoments, lift: Lift) -> None:
        """Look at the leading mode of the first lag at a later one."""
        self.turning.look(blocks, lift)

    @property
    def warnings(self) -> list[str]:
        """All that was noticed."""
        return [*self.said, *self.turning.said()]
