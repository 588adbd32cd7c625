"""NetCDF 3 (classic): AMBER trajectories, and variables as arrays; damage is seen in advance.

The header is parsed here because no library says where the records lie, and without that
neither a cut file can be told nor memory bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.arrays import Block, Field, array_source, pick
from koopman_cli.io.cells import box_vectors
from koopman_cli.io.fieldfiles import netcdf_field, netcdf_series
from koopman_cli.io.rows import RowFile
from koopman_cli.io.source import Chunk, Source, block_size, spans, truncated
from koopman_cli.io.topology import Request
from koopman_cli.nouns import are, counted

_TYPES = {1: ">i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: ">u1", 8: ">u2"}
_TYPES |= {9: ">u4", 10: ">i8", 11: ">u8"}
_STREAMING = (2**32 - 1, 2**64 - 1)
_TO_NM = {"angstrom": 0.1, "nanometer": 1.0, "nm": 1.0, "": 0.1}
_TO_PS = {"picosecond": 1.0, "ps": 1.0, "nanosecond": 1e3, "femtosecond": 1e-3, "": 1.0}


@dataclass(frozen=True)
class Variable:
    """A variable: its axes (without the record axis), type, place and attributes."""

    name: str
    record: bool
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    begin: int
    attributes: dict[str, str]


@dataclass(frozen=True)
class Layout:
    """A parsed header: records lie ``record_bytes`` apart from ``first`` on."""

    variables: dict[str, Variable]
    attributes: dict[str, str]
    records: int
    first: int
    record_bytes: int


class _Cursor:
    """Reads the numbers and names of a header in turn."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.version = data, 4, data[3]

    def take(self, count: int) -> bytes:
        if count < 0 or self.at + count > len(self.data):
            raise EOFError
        piece = self.data[self.at : self.at + count]
        self.at += count
        return piece

    def count(self) -> int:
        """A length: 64 bits wide in version 5."""
        return int.from_bytes(self.take(8 if self.version == 5 else 4), "big")

    def number(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def padded(self, count: int) -> bytes:
        piece = self.take(count)
        self.take(-count % 4)
        return piece

    def name(self) -> str:
        return self.padded(self.count()).decode(errors="replace")

    def items(self, tag: int) -> range:
        found, count = self.number(), self.count()
        if found not in (0, tag) or count > len(self.data):
            raise ValueError("a list of another kind")
        return range(count if found else 0)

    def attributes(self) -> dict[str, str]:
        found = {}
        for _ in self.items(12):
            name, kind, count = self.name(), self.number(), self.count()
            raw = self.padded(count * np.dtype(_TYPES[kind]).itemsize)
            found[name] = raw.decode(errors="replace").strip("\0 ") if kind == 2 else ""
        return found


def _variable(cursor: _Cursor, dims: list[tuple[str, int]]) -> tuple[Variable, int]:
    name, axes = cursor.name(), cursor.count()
    if axes > 1024:
        raise ValueError("too many axes")
    ids = [cursor.count() for _ in range(axes)]
    attributes, dtype = cursor.attributes(), np.dtype(_TYPES[cursor.number()])
    cursor.count()
    begin = int.from_bytes(cursor.take(4 if cursor.version == 1 else 8), "big")
    record = bool(ids) and dims[ids[0]][1] == 0
    inner = ids[1:] if record else ids
    shape = tuple(dims[i][1] for i in inner)
    names = tuple(dims[i][0] for i in inner)
    size = math.prod(shape) * dtype.itemsize
    return Variable(name, record, names, shape, dtype, begin, attributes), size


def read_layout(path: str) -> Layout:
    """Parse the header of a NetCDF 3 file.

    Raises
    ------
    DataError
        The header is damaged or cut.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb") as handle:
        head = handle.read(4 * 2**20)
    try:
        cursor = _Cursor(head)
        records = cursor.count()
        dims = [(cursor.name(), cursor.count()) for _ in cursor.items(10)]
        attributes = cursor.attributes()
        found = [_variable(cursor, dims) for _ in cursor.items(11)]
    except (EOFError, ValueError, KeyError, IndexError, OverflowError):
        raise DataError(f"{path}: its NetCDF header is damaged", "copy the file again") from None
    inside = [(v, n) for v, n in found if v.record]
    alone = len(inside) == 1
    record_bytes = sum(n if alone else n + -n % 4 for _, n in inside)
    first = min((v.begin for v, _ in inside), default=0)
    if records in _STREAMING:
        records = (size - first) // max(record_bytes, 1)
    if record_bytes > size or any(
        v.record and not cursor.at <= v.begin <= first + record_bytes for v, _ in found
    ):
        raise DataError(f"{path}: its NetCDF header is damaged", "copy the file again")
    for variable, n in found:
        if not variable.record and variable.begin + n > size:
            raise truncated(path, f"variable {variable.name} ends beyond the end of the file", 0)
    return Layout({v.name: v for v, _ in found}, attributes, records, first, record_bytes)


def _complete(path: str, layout: Layout, *, allow_truncated: bool) -> tuple[int, tuple[str, ...]]:
    """Records that are in the file, and a warning if the header knows of more."""
    if not layout.record_bytes:
        return layout.records, ()
    there = Path(path).stat().st_size - layout.first
    # The padding of the very last variable may be missing without loss.
    if (there + 3) // layout.record_bytes >= layout.records:
        return layout.records, ()
    n = max(0, there // layout.record_bytes)
    said = f"header says {counted(layout.records, 'frame')}, {n} {are(n)} readable"
    if not (allow_truncated and n):
        raise truncated(path, said, n)
    return n, (f"{path}: {said}",)


def _rows(path: str, layout: Layout, names: tuple[str, ...]) -> RowFile:
    """Records (or rows of a variable without record axis) with one field per variable."""
    variables = [layout.variables[n] for n in names]
    if all(v.record for v in variables):
        dtype = np.dtype(
            {
                "names": list(names),
                "formats": [(v.dtype, v.shape) for v in variables],
                "offsets": [v.begin - layout.first for v in variables],
                "itemsize": layout.record_bytes,
            }
        )
        return RowFile(path, layout.first, dtype)
    (variable,) = variables
    row = np.dtype([(variable.name, variable.dtype, variable.shape[1:])])
    return RowFile(path, variable.begin, row)


def _column(path: str, layout: Layout, name: str, n: int) -> NDArray[np.float64]:
    """One number per record, without reading the records around it."""
    variable = layout.variables[name]
    step = layout.record_bytes if variable.record else variable.dtype.itemsize
    out = np.empty(n)
    with Path(path).open("rb") as handle:
        for i in range(n):
            handle.seek(variable.begin + i * step)
            out[i] = np.frombuffer(handle.read(variable.dtype.itemsize), variable.dtype)[0]
    return out


def _scale(path: str, variable: Variable, table: dict[str, float]) -> float:
    unit = variable.attributes.get("units", "").strip().lower()
    unit = unit if unit in table else unit.removesuffix("s")
    if unit not in table:
        raise DataError(
            f"{path}: {variable.name} is in unit {unit!r}",
            f"known units: {', '.join(k for k in table if k)}",
        )
    return table[unit]


def _is_amber(layout: Layout) -> bool:
    return "AMBER" in layout.attributes.get("Conventions", "") and "coordinates" in layout.variables


def open_amber(path: str, layout: Layout, request: Request) -> Source:
    """Open an AMBER NetCDF trajectory.

    Raises
    ------
    UsageError
        No topology given, or a bad selection.
    DataError
        Truncated, a restart file, of unknown units, or of another number of atoms.
    """
    variables = layout.variables
    data = variables.get("coordinates")
    if data is None or not data.record or len(data.shape) != 2 or data.shape[1] != 3:
        raise DataError(
            f"{path}: has no coordinates of shape (frames, atoms, 3)", "give a trajectory file"
        )
    n, warned = _complete(path, layout, allow_truncated=request.options.allow_truncated)
    if not n:
        raise DataError(f"{path}: holds no frames", "the run that made it has written nothing")
    n_atoms = data.shape[0]
    topology, atoms = request.atoms(path, n_atoms)
    factor = np.float32(_scale(path, data, _TO_NM))
    boxes = ("cell_lengths", "cell_angles")
    cells = all(
        b in variables and variables[b].record and variables[b].shape == (3,) for b in boxes
    )
    box_factor = _scale(path, variables["cell_lengths"], _TO_NM) if cells else 0.0
    rows = _rows(path, layout, ("coordinates", *(boxes if cells else ())))

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        with RowFile(path, rows.offset, rows.dtype) as source:
            for first, count in spans(start, stop, step, block_size(size, 2 * layout.record_bytes)):
                block = source.rows(first, count, step)
                xyz = block["coordinates"] if atoms is None else block["coordinates"][:, atoms]
                cell = None
                if cells:
                    cell = box_vectors(block[boxes[0]] * box_factor, block[boxes[1]])
                yield Chunk(xyz.astype(np.float32) * factor, cell)

    time = variables.get("time")
    stamps, single = None, True
    if time is not None and time.record and time.shape == ():
        stamps = _column(path, layout, "time", n) * _scale(path, time, _TO_PS)
        single = time.dtype.itemsize < 8
    return Source(
        path,
        "md",
        "AMBER NetCDF",
        n,
        "float32",
        read,
        stamps=stamps,
        unit="ps",
        stamps_single=single,
        topology=topology,
        warnings=warned,
    )


def _open_variables(path: str, layout: Layout, request: Request) -> Source:
    n, warned = _complete(path, layout, allow_truncated=request.options.allow_truncated)
    dims = {v.dims[0] for v in layout.variables.values() if v.dims and not v.record}
    fields = {
        v.name: Field((n, *v.shape) if v.record else v.shape, v.dtype, axis=v.name in dims)
        for v in layout.variables.values()
    }
    names = pick(path, fields, request.options.var)

    def opener(name: str) -> Any:
        @contextmanager
        def opened() -> Iterator[Block]:
            with _rows(path, layout, (name,)) as rows:

                def block(index: tuple[slice, ...]) -> NDArray[Any]:
                    start, stop, step = index[0].indices(fields[name].shape[0])
                    got = rows.rows(start, len(range(start, stop, step)), step)[name]
                    return got[(slice(None), *index[1:])]

                yield block

        return opened

    chosen = {name: fields[name] for name in names}
    openers = {n: opener(n) for n in names}
    source = array_source(path, "NetCDF", chosen, openers, request.options)
    lost = warned if any(layout.variables[n].record for n in names) else ()
    return replace(source, warnings=(*lost, *source.warnings))


def open_netcdf(path: str, request: Request) -> Source:
    """Open a NetCDF 3 file: an AMBER trajectory, else its variables as arrays (``--var``)."""
    layout = read_layout(path)
    kind = request.options.kind
    if kind == "md" or (kind is None and not request.options.var and _is_amber(layout)):
        return open_amber(path, layout, request)
    axes = max((len(v.shape) + v.record for v in layout.variables.values()), default=0)
    field = kind == "field" or (kind is None and axes > 2)
    allowed = request.options.allow_truncated
    _, cut = _complete(path, layout, allow_truncated=allowed or field)
    if cut and field:
        # xarray refuses the whole file where its last record is not complete.
        raise DataError(cut[0], "fields cannot be read from a cut NetCDF file: copy it again")
    if kind != "array" and not cut:
        snapshots = netcdf_field(path, "scipy", request.options)
        if snapshots:
            return snapshots
    if not cut:
        series = netcdf_series(path, "scipy", request.options)
        if series:
            return series
    return _open_variables(path, layout, request)
