"""MDTraj HDF5 (and AMBER NetCDF-4, which is HDF5 too), read with h5py alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.cells import box_vectors
from koopman_cli.io.hdf5 import attribute, open_hdf5
from koopman_cli.io.source import Chunk, Source, block_size, spans
from koopman_cli.io.topology import Request, topology_from_dict

_TO_NM = {"nanometer": 1.0, "nm": 1.0, "angstrom": 0.1, "a": 0.1, "": 1.0}
_TO_PS = {"picosecond": 1.0, "ps": 1.0, "nanosecond": 1e3, "ns": 1e3, "femtosecond": 1e-3, "": 1.0}


def _factor(path: str, dataset: Any, table: dict[str, float], default: str) -> float:
    unit = attribute(dataset, "units") or default
    key = unit.strip().lower()
    key = key[:-1] if key.endswith("s") and key[:-1] in table else key
    if key not in table:
        raise DataError(
            f"{path}: {dataset.name.lstrip('/')} is in unit {unit!r}",
            f"known units: {', '.join(k for k in table if k)}",
        )
    return table[key]


def is_md(handle: Any) -> bool:
    """Whether an open HDF5 file is laid out as MDTraj's or AMBER's trajectories are."""
    conventions = attribute(handle, "conventions") + attribute(handle, "Conventions")
    named = "Pande" in conventions or "AMBER" in conventions
    return "coordinates" in handle and (named or "topology" in handle)


def _topology_text(handle: Any, path: str) -> str:
    try:
        raw = handle["topology"][()]
        raw = raw if isinstance(raw, (bytes, str)) else np.asarray(raw).reshape(-1)[0]
        return raw.decode() if isinstance(raw, bytes) else str(raw)
    except (KeyError, IndexError, OSError, UnicodeDecodeError):
        raise DataError(f"{path}: holds no topology", "give one with --top") from None


def _parse(text: str, path: str) -> Any:
    try:
        return topology_from_dict(json.loads(text))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: its topology is damaged ({type(error).__name__}: {error})",
            "give a topology with --top",
        ) from None


def read_topology(path: str) -> Any:
    """The topology stored in an MDTraj HDF5 file."""
    with open_hdf5(path) as handle:
        return _parse(_topology_text(handle, path), path)


def _stamps(handle: Any, path: str, n: int) -> tuple[NDArray[Any] | None, bool]:
    if "time" not in handle:
        return None, True
    data = handle["time"]
    if data.shape != (n,):
        return None, True
    scale = _factor(path, data, _TO_PS, "picoseconds")
    return np.asarray(data[()], np.float64) * scale, data.dtype.itemsize < 8


def open_mdhdf5(path: str, request: Request) -> Source:
    """Open an MDTraj HDF5 file; its topology is used unless ``--top`` is given.

    Raises
    ------
    DataError
        Truncated, laid out differently, of unknown units, or of another number of atoms.
    """
    with open_hdf5(path) as handle:
        if "coordinates" not in handle:
            raise DataError(
                f"{path}: has no dataset named coordinates",
                "give --kind array and --var to read another dataset of it",
            )
        data = handle["coordinates"]
        if data.ndim != 3 or data.shape[2] != 3 or data.dtype.kind != "f":
            raise DataError(
                f"{path}: coordinates have shape {data.shape} and type {data.dtype}",
                "expected real numbers of shape (frames, atoms, 3)",
            )
        n, n_atoms = data.shape[:2]
        if not n:
            raise DataError(f"{path}: holds no frames", "the run that made it has written nothing")
        scale = _factor(path, data, _TO_NM, "nanometers")
        stamps, single = _stamps(handle, path, n)
        own = None
        if "topology" in handle and request.options.top is None:
            text = _topology_text(handle, path)
            key = hashlib.sha256(text.encode()).hexdigest()
            own = (key, lambda: _parse(text, path))
        topology, atoms = request.atoms(path, n_atoms, own)
        cells = all(
            name in handle and handle[name].shape == (n, 3)
            for name in ("cell_lengths", "cell_angles")
        )
        cell_scale = _factor(path, handle["cell_lengths"], _TO_NM, "nanometers") if cells else 0.0

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        with open_hdf5(path) as handle:
            data = handle["coordinates"]
            for first, count in spans(start, stop, step, block_size(size, 12 * n_atoms)):
                take = slice(first, first + (count - 1) * step + 1, step)
                xyz = np.asarray(data[take], np.float32)
                cell = None
                if cells:
                    lengths = handle["cell_lengths"][take] * cell_scale
                    cell = box_vectors(lengths, handle["cell_angles"][take])
                xyz = xyz if atoms is None else xyz[:, atoms]
                xyz = xyz if scale == 1.0 else xyz * np.float32(scale)
                yield Chunk(xyz, cell)

    return Source(
        path,
        "md",
        "MDTraj HDF5",
        n,
        "float32",
        read,
        stamps=stamps,
        unit="ps",
        stamps_single=single,
        topology=topology,
    )
