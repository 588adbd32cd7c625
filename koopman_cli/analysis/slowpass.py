"""The projection pass: slow functions along the data, read once, kept where they fit.

Whatever needs time again (moments at twice the lag, states, crossings, figures) is computed
from the few functions of this pass and not from the features.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.accumulate import accumulate
from koopman_cli.analysis.heldout import BlockForms, HeldOut, Withheld
from koopman_cli.analysis.outliers import Watch
from koopman_cli.blocks import BlockPlan, plan_blocks
from koopman_cli.features.stream import FeatureStream
from koopman_cli.moments import BlockMoments
from koopman_cli.types import FeatureSpec, Progress, no_progress
from koopman_cli.workers import Buffers, Workers

Matrix = NDArray[np.float64]
Function = Callable[[NDArray[Any]], NDArray[Any]]

#: Bytes of slow functions that are kept between their uses instead of being computed again.
KEEP_BYTES = 256 * 2**20


@dataclass(frozen=True)
class _Piece:
    """Frames that meet the same functions.

    rows : (n, d) features
    own : weights and offset of the functions, the slow ones first
    take : (rows, functions (q, n), offset) -> None, in any thread: is given the functions
        behind the slow ones, and what is to be taken off them
    """

    rows: NDArray[Any]
    own: tuple[NDArray[Any], Matrix]
    take: Callable[[NDArray[Any], NDArray[Any], Matrix], None] | None = None


@dataclass(frozen=True)
class SlowPass:
    """A stream of features seen through k slow functions.

    stream : FeatureStream
    lift : (m, function) or None for the identity
    mean : (m,) subtracted from the lifted features
    functions : (m, k) the slow functions
    single : multiply in float32, where the fit did so too
    kept : (k, frames) of every trajectory that has been read, if they fit into memory
    watch : looks at frames that are read, where any must be looked at
    """

    stream: FeatureStream
    lift: tuple[int, Function] | None
    mean: Matrix
    functions: Matrix
    single: bool
    kept: dict[int, NDArray[np.float64]]
    watch: Watch | None = None

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

    def _weights(self, functions: Matrix) -> tuple[NDArray[Any], Matrix]:
        """Functions in the precision of the products, and what the mean takes off them."""
        dtype = np.float32 if self.single else np.float64
        kept = functions.astype(dtype)
        return kept, (self.mean @ kept.astype(np.float64))[:, None]

    def _products(self, own: tuple[NDArray[Any], Matrix], chunk: NDArray[Any]) -> NDArray[Any]:
        """Functions of a chunk of features before their offset is taken off, (functions, n)."""
        chi = chunk if self.lift is None else self.lift[1](chunk)
        found: NDArray[Any] = (chi if self.single else np.asarray(chi, np.float64)) @ own[0]
        # A few functions of many rows this way round: a third faster than weights' @ rows'.
        return found.T

    def held_out(self, asked: Withheld, progress: Progress = no_progress) -> HeldOut:
        """Quadratic forms of the functions of every fold on its blocks; keeps the slow ones.

        One reading of the data: each frame meets the slow functions and those of the one fold
        that holds it out.
        """
        base = self.stream
        begins = base.begins
        spans = [part + begin for part, begin in zip(base.segments, begins[:-1], strict=True)]
        forms = BlockForms(asked, np.concatenate(spans))
        slow = self._weights(self.functions)
        both = [self._weights(np.hstack([self.functions, own])) for own in asked.functions]

        def cut(i: int, at: int, chunk: NDArray[Any]) -> Iterator[_Piece]:
            begin = int(begins[i]) + at
            for a, b, block in forms.pieces(begin, begin + len(chunk)):
                rows = chunk[a - begin : b - begin]
                if block is None:
                    yield _Piece(rows, slow)
                else:
                    take = partial(forms.add, block, a)
                    yield _Piece(rows, both[asked.owner[block, 2]], take)

        self._project(cut, progress)
        return forms.result()

    def _project(
        self,
        cut: Callable[[int, int, NDArray[Any]], Iterator[_Piece]],
        progress: Progress = no_progress,
    ) -> None:
        """Read all data once, piece by piece on several threads; keep the slow functions.

        cut : (trajectory, first frame, chunk) -> its pieces
        """
        k, kept = self.functions.shape[1], dict[int, Matrix]()
        width = max(2 * k, 0 if self.lift is None else self.lift[0])
        with progress("projecting", self.stream.n_frames) as advance, Workers() as workers:
            for i, length in enumerate(self.stream.lengths):
                full = np.empty((k, length)) if self.keeps else None
                at = 0
                for chunk in self._watched(i, width):
                    done = at
                    for piece in cut(i, at, chunk):
                        end = done + len(piece.rows)
                        into = None if full is None else full[:, done:end]
                        work = partial(self._evaluate, piece, into)
                        workers.submit(work, _nothing, piece.rows.size)
                        done = end
                    at += len(chunk)
                    advance(len(chunk))
                if full is not None and at == length:
                    kept[i] = full
            workers.finish()
        self.kept.update(kept)

    def _watched(self, trajectory: int, width: int) -> Iterator[NDArray[Any]]:
        """Slices of a trajectory, each shown to the watch."""
        if self.watch is None:
            yield from self.stream.slices(trajectory, width)
            return
        at = int(self.stream.begins[trajectory])
        for rows in self.stream.slices(trajectory, width):
            self.watch.see(at, rows)
            at += len(rows)
            yield rows

    def _evaluate(self, piece: _Piece, into: Matrix | None, _: Buffers) -> None:
        """Put the slow functions of a piece where they are kept, and hand on the further ones."""
        k, offset = self.functions.shape[1], piece.own[1]
        found = self._products(piece.own, piece.rows)
        if into is not None:
            np.subtract(found[:k], offset[:k], out=into)
        if piece.take is not None:
            piece.take(piece.rows, found[k:], offset[k:])

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
        own = self._weights(self.functions)

        def read(i: int, size: int) -> Iterator[NDArray[Any]]:
            if i not in self.kept and self.keeps:
                self._project(lambda _i, _at, chunk: iter([_Piece(chunk, own)]))
            parts: Iterable[Matrix]
            if i in self.kept:
                parts = [self.kept[i]]
            else:
                width = self.functions.shape[1] if self.lift is None else self.lift[0]
                slices = self._watched(i, width)
                parts = (self._products(own, chunk) - own[1] for chunk in slices)
            for values in parts:
                for start in range(0, values.shape[1], size):
                    yield values[:, start : start + size].T

        return self._with_columns(read, self.functions.shape[1])

    def _with_columns(
        self, read: Callable[[int, int], Iterator[NDArray[Any]]], width: int
    ) -> FeatureStream:
        names = tuple(f"psi {j + 1}" for j in range(width))
        spec = FeatureSpec("slow functions", names, ("",) * width)
        return replace(self.stream, spec=spec, read=read, dtype=np.dtype(np.float64), late=None)


def _nothing(_: None) -> None:
    """All that comes of a piece is where it belongs already."""
