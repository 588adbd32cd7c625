"""The projection pass: slow functions along the data, read once, kept where they fit.

Whatever needs time again (moments at twice the lag, states, crossings, figures) is computed
from the few functions of this pass and not from the features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate
from koopman_cli.blocks import BlockPlan, plan_blocks
from koopman_cli.features.stream import FeatureStream
from koopman_cli.moments import BlockMoments
from koopman_cli.types import FeatureSpec, Progress, no_progress

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Bytes of slow functions that are kept between their uses instead of being computed again.
KEEP_BYTES = 256 * 2**20


@dataclass(frozen=True)
class SlowPass:
    """A stream of features seen through k slow functions and further columns beside them.

    stream : FeatureStream
    lift : (m, function) or None for the identity
    mean : (m,) subtracted from the lifted features
    functions : (m, k) the slow functions
    beside : (m, q) matrices, further functions that only the moments need, one set per fold
    owner : (blocks, 3) int array: first and last + 1 frame of each block, trajectories laid end to
        end, and the fold whose functions are evaluated there
    """

    stream: FeatureStream
    lift: tuple[int, Function] | None
    mean: Matrix
    functions: Matrix
    beside: tuple[Matrix, ...]
    owner: NDArray[np.int64]
    kept: dict[int, NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        stream: FeatureStream,
        lift: tuple[int, Function] | None,
        mean: Matrix,
        functions: Matrix,
        beside: tuple[Matrix, ...] = (),
        owner: NDArray[np.int64] | None = None,
    ) -> SlowPass:
        """Nothing is read yet."""
        owner = np.empty((0, 3), np.int64) if owner is None else owner
        return cls(stream, lift, mean, functions, beside, owner, {})

    @property
    def keeps(self) -> bool:
        """Whether the slow functions fit into memory."""
        size = self.stream.n_frames * self.functions.shape[1] * 8
        return bool(size <= KEEP_BYTES)

    def lifted(self, chunk: NDArray[Any], functions: Matrix) -> Matrix:
        """(chi(x) - mean) functions of a chunk of features."""
        chi = chunk if self.lift is None else self.lift[1](chunk)
        value: Matrix = np.asarray(chi, np.float64) @ functions - self.mean @ functions
        return value

    def moments(
        self, lags: Sequence[int], width: int, progress: Progress = no_progress
    ) -> BlockMoments:
        """Block moments of slow functions and those beside them, in the blocks of the model.

        Parameters
        ----------
        lags : sequence of int
            The lag of the model first.
        width : int
            Functions of the lift, which decided the blocks of the model.
        """
        base, raw = self.stream, self.stream.n_features
        most = max(256, base.chunk_frames() * raw // max(raw, width))
        k = self.functions.shape[1]
        q = self.beside[0].shape[1] if self.beside else 0
        begins = np.cumsum([0, *(int(part[-1, 1]) if len(part) else 0 for part in base.segments)])

        def read(i: int, size: int) -> Iterator[NDArray[Any]]:
            # A reading from first to last frame leaves the slow functions behind.
            keep = i not in self.kept and self.keeps
            full = np.empty((base.lengths[i], k)) if keep else np.empty((0, k))
            at = 0
            for chunk in base.chunks(i, min(size, most)):
                columns = self._both(chunk, int(begins[i]) + at, q)
                if keep:
                    full[at : at + len(chunk)] = columns[:, :k]
                at += len(chunk)
                if keep and at == base.lengths[i]:
                    self.kept[i] = full
                yield columns

        moments, _ = accumulate(
            self._with_columns(read, k + q),
            list(lags),
            plan=self._plan(lags, width),
            precision="float64",
            progress=progress,
        )
        return moments

    def _both(self, chunk: NDArray[Any], begin: int, q: int) -> Matrix:
        """Slow functions and, beside them, those of the fold that owns each frame.

        Evaluating one fold per frame and not all of them is what keeps this pass cheap.
        """
        chi = np.asarray(chunk if self.lift is None else self.lift[1](chunk), np.float64)
        k = self.functions.shape[1]
        columns = np.zeros((len(chi), k + q))
        columns[:, :k] = chi @ self.functions - self.mean @ self.functions
        for start, stop, fold in self.owner.tolist() if q else ():
            rows = slice(max(start - begin, 0), max(stop - begin, 0))
            if rows.start < len(chi) and rows.start < rows.stop:
                own = self.beside[fold]
                columns[rows, k:] = chi[rows] @ own - self.mean @ own
        return columns

    def slow_moments(
        self,
        lags: Sequence[int],
        width: int,
        lift: tuple[int, Function],
        progress: Progress = no_progress,
    ) -> BlockMoments:
        """Block moments of functions of the slow functions, in the blocks of the model.

        Parameters
        ----------
        lags : sequence of int
            The lag of the model first.
        width : int
            Functions of the lift, which decided the blocks of the model.
        lift : (q, function)
            Of a chunk of slow functions.
        """
        moments, _ = accumulate(
            self.slow, list(lags), lift=lift, plan=self._plan(lags, width), precision="float64",
            progress=progress,
        )  # fmt: skip
        return moments

    def first(self, count: int) -> SlowPass:
        """The same pass with the leading functions only; what is kept is shared."""
        kept = {i: values[:, :count] for i, values in self.kept.items()}
        return replace(self, functions=self.functions[:, :count], beside=(), kept=kept)

    def _plan(self, lags: Sequence[int], width: int) -> BlockPlan:
        base = self.stream
        plan = plan_blocks(
            base.segments, [lags[0]], width, window=base.window, origins=base.origins
        )
        return replace(plan, lags=tuple(lags))

    @property
    def slow(self) -> FeatureStream:
        """The k slow functions as a stream: from memory if they are kept there."""

        def read(i: int, size: int) -> Iterator[NDArray[Any]]:
            if i in self.kept:
                for start in range(0, len(self.kept[i]), size):
                    yield self.kept[i][start : start + size]
                return
            for chunk in self.stream.chunks(i, size):
                yield self.lifted(chunk, self.functions)

        return self._with_columns(read, self.functions.shape[1])

    def _with_columns(
        self, read: Callable[[int, int], Iterator[NDArray[Any]]], width: int
    ) -> FeatureStream:
        names = tuple(f"psi {j + 1}" for j in range(width))
        spec = FeatureSpec("slow functions", names, ("",) * width)
        return replace(self.stream, spec=spec, read=read, dtype=np.dtype(np.float64), late=None)
