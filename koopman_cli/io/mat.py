"""MATLAB files up to v7 (v7.3 is HDF5 and read there)."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.arrays import Block, Field, array_source, pick
from koopman_cli.io.fieldfiles import mat_field
from koopman_cli.io.source import Source
from koopman_cli.io.topology import Request

_NUMBERS = {"double", "single", "logical"} | {
    f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)
}


def _load(path: str, names: tuple[str, ...] | None) -> Any:
    """Contents (names None: the list of variables) with every kind of damage as a DataError."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    try:
        return whosmat(path) if names is None else loadmat(path, variable_names=list(names))
    except (
        MatReadError,
        ValueError,
        TypeError,
        OSError,
        EOFError,
        KeyError,
        IndexError,
        NotImplementedError,
        MemoryError,
        zlib.error,
    ) as error:
        raise DataError(
            f"{path}: damaged or unreadable MATLAB file ({str(error).strip()[:120]})",
            "copy it again, or save it anew (save -v7)",
        ) from None


def _flat(array: NDArray[Any], options: Any) -> NDArray[Any]:
    """MATLAB has no 1-D arrays: a row vector is a series of numbers."""
    row = array.ndim == 2 and array.shape[0] == 1 and array.shape[1] > 1
    return (
        array.reshape(-1) if row and options.time_axis is None and not options.ensemble else array
    )


def open_mat(path: str, request: Request) -> Source:
    """Open variables of a MATLAB file (``--var``); frames are rows.

    The format compresses whole variables, so one is held in memory while it is read.

    Raises
    ------
    DataError
        Damaged, several variables and none chosen, not numbers, too many axes.
    UsageError
        No such variable.
    """
    options = request.options
    listed = {
        name: Field(shape, np.dtype("f8") if kind in _NUMBERS else np.dtype("O"))
        for name, shape, kind in _load(path, None)
        if not name.startswith("__")
    }
    if snapshots := mat_field(path, listed, lambda n: _load(path, (n,))[n], options):
        return snapshots
    names = pick(path, listed, options.var)
    loaded = _load(path, names)
    fields = {}
    for name in names:
        value = loaded.get(name)
        if not isinstance(value, np.ndarray):
            raise DataError(f"{path}: {name} is not a full array", "save it with full() first")
        flat = _flat(value, options)
        fields[name] = Field(flat.shape, flat.dtype)
    del loaded

    def opener(name: str) -> Any:
        @contextmanager
        def opened() -> Iterator[Block]:
            whole = _flat(_load(path, (name,))[name], options)
            yield lambda index: whole[index]

        return opened

    return array_source(path, "MATLAB", fields, {n: opener(n) for n in names}, options)
