"""Products with and divisions by a triangular matrix, in place, without holding up threads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.blas import call, stride


class LowerTriangular:
    """A lower triangular matrix (m, m) whose transpose multiplies rows, in place.

    Examples
    --------
    >>> lower = np.array([[2.0, 0.0], [1.0, 3.0]])
    >>> rows = np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> LowerTriangular(lower).times(rows).tolist()
    [[2.0, 4.0], [0.0, 3.0]]
    >>> LowerTriangular(lower).times_columns(np.array([[1.0, 0.0], [1.0, 1.0]])).tolist()
    [[2.0, 0.0], [4.0, 3.0]]
    """

    def __init__(self, matrix: NDArray[Any]) -> None:
        self.matrix = np.asfortranarray(matrix)

    def times(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows (n, m), each contiguous, of the type of the matrix, become rows @ matrix'."""
        # In Fortran's order the rows are columns: B := A B with A lower.
        return self._times(rows, b"L", b"N")

    def times_columns(self, columns: NDArray[Any]) -> NDArray[Any]:
        """Columns (m, n), whose rows are contiguous, become matrix @ columns."""
        # In Fortran's order columns are rows: B := B A' with A lower.
        return self._times(columns, b"R", b"T")

    def _times(self, held: NDArray[Any], side: bytes, turned: bytes) -> NDArray[Any]:
        (n, m), dtype = held.shape, self.matrix.dtype
        call(
            "trmm", dtype, side, b"L", turned, b"N", m, n, 1.0, self.matrix, len(self.matrix), held,
            stride(held, dtype),
        )  # fmt: skip
        return held


def divide(columns: NDArray[Any], lower: NDArray[Any]) -> None:
    """Make columns (m, n) lower^-1 columns in place, for a lower triangular matrix (m, m).

    >>> columns = np.array([[2.0, 4.0], [1.0, 8.0]])
    >>> divide(columns, np.array([[2.0, 0.0], [1.0, 3.0]]))
    >>> columns.tolist()
    [[1.0, 2.0], [0.0, 2.0]]
    """
    m, n = columns.shape
    dtype = columns.dtype
    lower = np.asfortranarray(lower, dtype)
    # In Fortran's order columns are rows: X' lower' = columns'.
    call(
        "trsm", dtype, b"R", b"L", b"T", b"N", n, m, 1.0, lower, m, columns,
        stride(columns, dtype),
    )  # fmt: skip
