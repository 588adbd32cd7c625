"""Records of fixed size, one after the other, in a file or in a compressed stream."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.source import BLOCK_BYTES


class RowFile:
    """Rows of ``dtype`` that start at byte ``offset`` of a file; use as a context manager."""

    def __init__(self, path: str, offset: int, dtype: np.dtype[Any]) -> None:
        self.path, self.offset, self.dtype = path, offset, dtype

    def open(self) -> IO[bytes]:
        """Open what the rows come from."""
        return Path(self.path).open("rb")

    def __enter__(self) -> Self:
        self.handle = self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.handle.close()

    def block(self, start: int, count: int) -> NDArray[Any]:
        """``count`` neighbouring rows from ``start`` on."""
        self.handle.seek(self.offset + start * self.dtype.itemsize)
        return self.checked(np.fromfile(self.handle, self.dtype, count), count)

    def checked(self, rows: NDArray[Any], count: int) -> NDArray[Any]:
        """The rows, or a DataError if there are fewer than were promised."""
        if len(rows) < count:
            raise DataError(
                f"{self.path}: ends before its last frame", "it changed while it was read"
            )
        return rows

    def rows(self, start: int, count: int, step: int = 1) -> NDArray[Any]:
        """``count`` rows, every ``step``-th from ``start`` on."""
        if step == 1:
            return self.block(start, count)
        out = np.empty(count, self.dtype)
        # Neighbouring strided rows share a read while the gaps are cheaper than a seek.
        near = self.dtype.itemsize * step <= 2**18
        together = max(1, BLOCK_BYTES // (self.dtype.itemsize * step)) if near else 1
        for done in range(0, count, together):
            n = min(together, count - done)
            out[done : done + n] = self.block(start + done * step, (n - 1) * step + 1)[::step]
        return out
