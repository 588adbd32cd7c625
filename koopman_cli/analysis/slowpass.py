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
from koopman_cli.analysis.heldout import BlockForms, HeldOut, Withheld
from koopman_cli.blocks import BlockPlan, plan_blocks
from koopman_cli.features.stream import CHUNK_BYTES, FeatureStream
from koopman_cli.moments import BlockMoments
from koopman_cli.types import FeatureSpec, Progress, no_progress
from koopman_cli.workers import one_thread

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Bytes of slow functions that are kept between their uses instead of being computed again.
KEEP_BYTES = 256 * 2**20


@dataclass(frozen=True)
class SlowPass:
    """A stream of features seen through k slow functions.

    stream : FeatureStream
    lift : (m, function) or None for the identity
    mean : (m,) subtracted from the lifted features
    functions : (m, k) the slow functions
    single : multiply in float32, where the fit did so too
    kept : (k, frames) of every trajectory that has been read, if they fit into memory
    """

    stream: FeatureStream
    lift: tuple[int, Function] | None
    mean: Matrix
    functions: Matrix
    single: bool
    kept: dict[int, NDArray[np.float64]]

    @classmethod
    def of(
        cls,
        stream: FeatureStream,
        lift: tuple[int, Function] | None,
        mean: Matrix,
        functions: Matrix,
        *,
        single: bool = False,
    ) -> SlowPass:
        """Nothing is read yet."""
        return cls(stream, lift, mean, functions, single and lift is None, {})

    @property
    def keeps(self) -> bool:
        """Whether the slow functions fit into memory."""
        size = self.stream.n_frames * self.functions.shape[1] * 8
        return bool(size <= KEEP_BYTES)

    def _lifted(self, trajectory: int) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Chunks of features, and chi of them."""
        size = None
        if self.lift is not None:
            # The lifted chunk, in float64, is what must fit.
            most = CHUNK_BYTES // (8 * max(self.lift[0], 1))
            size = max(256, min(self.stream.chunk_frames(), most))
        for chunk in self.stream.chunks(trajectory, size):
            chi = chunk if self.lift is None else self.lift[1](chunk)
            yield chunk, chi if self.single else np.asarray(chi, np.float64)

    def _weights(self, functions: Matrix) -> tuple[NDArray[Any], Matrix]:
        """Functions in the precision of the products, and what the mean takes off them."""
        dtype = np.float32 if self.single else np.float64
        kept = functions.astype(dtype)
        return np.ascontiguousarray(kept.T), (self.mean @ kept.astype(np.float64))[:, None]

    def held_out(self, asked: Withheld, progress: Progress = no_progress) -> HeldOut:
        """Quadratic forms of the functions of every fold on its blocks; keeps the slow ones.

        One reading of the data: each frame meets the slow functions and those of the one fold
        that holds it out.
        """
        k, base = self.functions.shape[1], self.stream
        begins = np.cumsum([0, *(int(part[-1, 1]) if len(part) else 0 for part in base.segments)])
        spans = [part + begin for part, begin in zip(base.segments, begins[:-1], strict=True)]
        forms = BlockForms(asked, np.concatenate(spans))
        slow = self._weights(self.functions)
        both = [self._weights(np.hstack([self.functions, own])) for own in asked.functions]
        with progress("projecting", base.n_frames) as advance, one_thread():
            for i, length in enumerate(base.lengths):
                full = np.empty((k, length)) if self.keeps else None
                at = 0
                for chunk, chi in self._lifted(i):
                    begin = int(begins[i]) + at
                    for a, b, block in forms.pieces(begin, begin + len(chi)):
                        rows = slice(a - begin, b - begin)
                        own = slow if block is None else both[asked.owner[block, 2]]
                        values = own[0] @ chi[rows].T - own[1]
                        if full is not None:
                            full[:, at + rows.start : at + rows.stop] = values[:k]
                        if block is not None:
                            weight = None if asked.weights is None else asked.weights(chunk[rows])
                            forms.add(block, a, values[k:], weight)
                    at += len(chi)
                    advance(len(chi))
                if full is not None and at == length:
                    self.kept[i] = full
        return forms.result()

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
        kept = {i: values[:count] for i, values in self.kept.items()}
        return replace(self, functions=self.functions[:, :count], kept=kept)

    def _plan(self, lags: Sequence[int], width: int) -> BlockPlan:
        base = self.stream
        plan = plan_blocks(
            base.segments, [lags[0]], width, window=base.window, origins=base.origins
        )
        return replace(plan, lags=tuple(lags))

    @property
    def slow(self) -> FeatureStream:
        """The k slow functions as a stream: from memory if they are kept there."""
        weights, offset = self._weights(self.functions)

        def project(i: int) -> Iterator[Matrix]:
            for _, chi in self._lifted(i):
                yield weights @ chi.T - offset

        def read(i: int, size: int) -> Iterator[NDArray[Any]]:
            if i not in self.kept and self.keeps:
                self.kept[i] = np.concatenate([weights[:, :0], *project(i)], axis=1)
            if i not in self.kept:
                for values in project(i):
                    for start in range(0, values.shape[1], size):
                        yield values[:, start : start + size].T
                return
            values = self.kept[i]
            for start in range(0, values.shape[1], size):
                yield values[:, start : start + size].T

        return self._with_columns(read, self.functions.shape[1])

    def _with_columns(
        self, read: Callable[[int, int], Iterator[NDArray[Any]]], width: int
    ) -> FeatureStream:
        names = tuple(f"psi {j + 1}" for j in range(width))
        spec = FeatureSpec("slow functions", names, ("",) * width)
        return replace(self.stream, spec=spec, read=read, dtype=np.dtype(np.float64), late=None)
