"""HDF5: any numeric dataset as an array, MATLAB v7.3 included; damage and links handled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from koopman_cli.errors import DataError
from koopman_cli.io.arrays import Block, Field, array_source, pick
from koopman_cli.io.fieldfiles import hdf5_field, netcdf_field, netcdf_series
from koopman_cli.io.source import Source
from koopman_cli.io.topology import Request
from koopman_cli.types import ReadOptions


@contextmanager
def open_hdf5(path: str) -> Iterator[Any]:
    """Open for reading, never following links out of the file; a damaged file is a DataError."""
    import h5py

    try:
        handle = h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError, ValueError) as error:
        text = str(error)
        if "truncated" in text:
            detail = text[text.find("truncated") :].rstrip(")")
            raise DataError(
                f"{path}: {detail}", "copy the file again: its end is missing"
            ) from None
        raise DataError(
            f"{path}: not a readable HDF5 file ({text.splitlines()[0][:160]})",
            "copy it again, or check that the program that wrote it has closed it",
        ) from None
    with handle:
        try:
            yield handle
        except (KeyError, OSError, RuntimeError, UnicodeDecodeError) as error:
            # A flipped bit inside an open file: h5py raises whichever of these it meets first.
            text = str(error).strip("'").splitlines()[0][:160]
            raise DataError(f"{path}: damaged HDF5 file ({text})", "copy it again") from None


def attribute(node: Any, name: str) -> str:
    """A text attribute, "" where there is none."""
    value = node.attrs.get(name, "")
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.reshape(-1)[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _datasets(handle: Any) -> dict[str, Field]:
    """Every hard-linked dataset that holds data of its own, by path."""
    import h5py

    found: dict[str, Field] = {}
    reverse = _is_matlab(handle)

    def visit(name: str, node: Any) -> None:
        if not isinstance(node, h5py.Dataset) or node.shape is None or node.is_virtual:
            return
        if node.external or name.startswith("#refs#"):
            return
        scale = attribute(node, "CLASS") == "DIMENSION_SCALE"
        shape = tuple(reversed(node.shape)) if reverse else tuple(node.shape)
        found[name] = Field(shape, node.dtype, axis=scale)

    handle.visititems(visit)
    return found


def _is_matlab(handle: Any) -> bool:
    """MATLAB stores its arrays with the axes reversed; v7.3 files mark each variable."""
    return any(n is not None and "MATLAB_class" in n.attrs for n in handle.values())


@dataclass(frozen=True)
class _Opener:
    """Opens one dataset for block reading; axes of MATLAB files are turned back."""

    path: str
    name: str

    @contextmanager
    def __call__(self) -> Iterator[Block]:
        with open_hdf5(self.path) as handle:
            data, reverse = handle[self.name], _is_matlab(handle)

            def block(index: tuple[slice, ...]) -> Any:
                if reverse and len(index) < data.ndim:
                    return data[index[0], 0]
                if reverse:
                    return np.transpose(data[tuple(reversed(index))])
                return data[index]

            yield block


def open_any_hdf5(path: str, request: Request) -> Source:
    """Open an HDF5 file as what it holds: a trajectory of MDTraj or AMBER, or arrays."""
    from koopman_cli.io.mdhdf5 import is_md, open_mdhdf5

    kind = request.options.kind
    if kind is None and not request.options.var:
        with open_hdf5(path) as handle:
            kind = "md" if is_md(handle) else "array"
    if kind == "md":
        return open_mdhdf5(path, request)
    if _is_netcdf(path):
        asked, found = request.options, None
        if asked.kind != "array":
            found = netcdf_field(path, "h5netcdf", asked)
        if found := found or netcdf_series(path, "h5netcdf", asked):
            return found
    return open_hdf5_array(path, request.options)


def _is_netcdf(path: str) -> bool:
    """Whether an HDF5 file follows NetCDF: marked as such, or with dimension scales."""
    with open_hdf5(path) as handle:
        marks = {"_NCProperties", "Conventions"} & set(handle.attrs)
        return bool(marks) or any(
            attribute(node, "CLASS") == "DIMENSION_SCALE"
            for node in handle.values()
            if node is not None
        )


def open_hdf5_array(path: str, options: ReadOptions) -> Source:
    """Open datasets of an HDF5 file (``--var``, nested paths allowed) as an array.

    Raises
    ------
    DataError
        No or several datasets; not numbers; or more than two axes.
    UsageError
        Unknown datasets.
    """
    with open_hdf5(path) as handle:
        fields = _datasets(handle)
        matlab = _is_matlab(handle)
    if matlab and options.time_axis is None and not options.ensemble:
        # MATLAB has no 1-D arrays: a row vector is a series of numbers.
        for name, found in fields.items():
            if len(found.shape) == 2 and found.shape[0] == 1:
                fields[name] = replace(found, shape=found.shape[1:])
    options = replace(options, var=tuple(v.strip("/") for v in options.var))
    if snapshots := hdf5_field(path, fields, lambda name: _Opener(path, name), options):
        return snapshots
    names = pick(path, fields, options.var)
    openers = {name: _Opener(path, name) for name in names}
    return array_source(path, "HDF5", {n: fields[n] for n in names}, openers, options)
