"""Products with a triangular matrix that other threads need not wait for.

The wrappers of BLAS in scipy.linalg hold the lock of the interpreter while they run; the
same routine called through its address in ``scipy.linalg.cython_blas`` does not.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


@cache
def _routine(name: str) -> Any:
    """A routine of BLAS (Fortran convention: every argument is a pointer)."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[name]
    python = ctypes.pythonapi
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = python.PyCapsule_GetPointer(capsule, python.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 11)(address)


class LowerTriangular:
    """A lower triangular matrix (m, m) whose transpose multiplies rows, in place.

    Examples
    --------
    >>> lower = np.array([[2.0, 0.0], [1.0, 3.0]])
    >>> rows = np.array([[1.0, 1.0], [0.0, 1.0]])
    >>> LowerTriangular(lower).times(rows).tolist()
    [[2.0, 4.0], [0.0, 3.0]]
    """

    def __init__(self, matrix: NDArray[Any]) -> None:
        self.matrix = np.asfortranarray(matrix)
        self.single = matrix.dtype == np.float32

    def times(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Rows (n, m), each contiguous, of the type of the matrix, become rows @ matrix'."""
        n, m = rows.shape
        step, unit = rows.strides
        if rows.dtype != self.matrix.dtype or unit != rows.itemsize or step % unit:
            raise ValueError("rows must be contiguous and of the type of the matrix")
        kind = ctypes.c_float if self.single else ctypes.c_double
        count, width, stride = ctypes.c_int(n), ctypes.c_int(m), ctypes.c_int(step // unit)
        one, by = kind(1.0), ctypes.byref
        # In Fortran's order the rows are columns: B := A B with A lower.
        _routine("strmm" if self.single else "dtrmm")(
            b"L", b"L", b"N", b"N", by(width), by(count), by(one),
            self.matrix.ctypes.data, by(width), rows.ctypes.data, by(stride),
        )  # fmt: skip
        return rows
