"""Products that add to what is there, and that other threads need not wait for.

numpy has no product that adds, and mirrors every Gram matrix element by element; the wrappers
of BLAS in scipy.linalg hold the lock of the interpreter while they run. The routines called
through their addresses in ``scipy.linalg.cython_blas`` do neither.

numpy and scipy each bring a BLAS of their own, whose threads go on spinning for a while after a
product. Wide algebra that takes products from one and factors from the other has twice as many
threads as processors, and takes twice the time: it multiplies by :func:`product`.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Arguments of the routines, all pointers (Fortran's convention).
ARGUMENTS = {"trmm": 11, "trsm": 11, "gemm": 13, "syrk": 10}

#: Rows of a matrix that are mirrored at once: a square of them stays in the cache.
SQUARE = 128


@cache
def _routine(name: str) -> Any:
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__[name]
    python = ctypes.pythonapi
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = python.PyCapsule_GetPointer(capsule, python.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * ARGUMENTS[name[1:]])(address)


def call(name: str, dtype: Any, *arguments: bytes | int | float | NDArray[Any]) -> None:
    """Call a routine of BLAS for a dtype with options, integers, floats and arrays."""
    single = dtype == np.float32
    real = ctypes.c_float if single else ctypes.c_double
    passed: list[Any] = []
    for value in arguments:
        if isinstance(value, bytes):
            passed.append(value)
        elif isinstance(value, np.ndarray):
            passed.append(value.ctypes.data)
        elif isinstance(value, int):
            passed.append(ctypes.byref(ctypes.c_int(value)))
        else:
            passed.append(ctypes.byref(real(value)))
    _routine(("s" if single else "d") + name)(*passed)


def stride(rows: NDArray[Any], dtype: Any) -> int:
    """Numbers from one row of an array to the next.

    Raises
    ------
    ValueError
        If rows are not contiguous, or not of this type.
    """
    step, unit = rows.strides
    if rows.dtype != dtype or unit != rows.itemsize or step % unit:
        raise ValueError("rows must be contiguous and of the type of the matrix")
    return step // unit


def add_product(
    out: NDArray[Any], x: NDArray[Any], y: NDArray[Any], factor: float = 1.0, keep: float = 1.0
) -> None:
    """Make ``out`` (p, q) factor x'y + keep out, for rows x (n, p) and y (n, q).

    >>> out, x = np.ones((2, 2)), np.array([[1.0, 2.0]])
    >>> add_product(out, x, x)
    >>> out.tolist()
    [[2.0, 3.0], [3.0, 5.0]]
    """
    ldx, ldy, ldo = (stride(a, out.dtype) for a in (x, y, out))
    (n, p), q = x.shape, y.shape[1]
    # In Fortran's order rows are columns, and out' = y'x is asked for.
    call(
        "gemm", out.dtype, b"N", b"T", q, p, n, float(factor), y, ldy, x, ldx, float(keep), out, ldo
    )


def product(
    a: NDArray[Any], b: NDArray[Any], out: NDArray[Any] | None = None, keep: float = 0.0
) -> NDArray[Any]:
    """``a @ b`` of matrices (p, n) and (n, q) of one type, by the library of scipy's factors.

    Rows or columns of each are contiguous, as those of a matrix, its transpose or a part of it;
    rows of ``out`` (p, q) are. With ``out``, ``keep`` times what it held is added.

    >>> a = np.arange(6.0).reshape(2, 3)
    >>> bool((product(a, a.T) == a @ a.T).all())
    True
    """
    (p, n), q = a.shape, b.shape[1]
    out = np.empty((p, q), a.dtype) if out is None else out
    # In Fortran's order rows are columns: out' = b'a'.
    passed: list[Any] = []
    options: list[bytes] = []
    for matrix in (b, a):
        straight = matrix.strides[1] == matrix.itemsize
        rows = matrix if straight else matrix.T
        options.append(b"N" if straight else b"T")
        # The distance of rows means nothing where there is one.
        passed += [matrix, max(stride(rows, a.dtype) if len(rows) > 1 else 1, rows.shape[1], 1)]
    call(
        "gemm", a.dtype, *options, q, p, n, 1.0, *passed, float(keep), out,
        max(stride(out, a.dtype), q, 1),
    )  # fmt: skip
    return out


def add_gram(out: NDArray[Any], x: NDArray[Any], keep: float = 1.0) -> None:
    """Make the lower triangle of ``out`` (p, p) that of x'x + keep out, for rows x (n, p)."""
    (n, p), ldx, ldo = x.shape, stride(x, out.dtype), stride(out, out.dtype)
    call("syrk", out.dtype, b"U", b"N", p, n, 1.0, x, ldx, float(keep), out, ldo)


def mirror(matrix: NDArray[Any]) -> None:
    """Copy the lower triangle of a matrix to the upper one, in place.

    >>> matrix = np.array([[1.0, 0.0], [2.0, 3.0]])
    >>> mirror(matrix)
    >>> matrix.tolist()
    [[1.0, 2.0], [2.0, 3.0]]
    """
    count = len(matrix)
    for at in range(0, count, SQUARE):
        to = min(at + SQUARE, count)
        square = matrix[at:to, at:to]
        square[:] = np.tril(square) + np.tril(square, -1).T
        for later in range(to, count, SQUARE):
            end = min(later + SQUARE, count)
            matrix[at:to, later:end] = matrix[later:end, at:to].T
