"""NumPy's npy and npz, in chunks, with headers that are believed only as far as the file goes."""

from __future__ import annotations

import ast
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.io.arrays import Block, Field, array_source, pick
from koopman_cli.io.fieldfiles import npy_field, npz_field
from koopman_cli.io.rows import RowFile
from koopman_cli.io.source import Chunk, Source, truncated
from koopman_cli.io.topology import Request
from koopman_cli.nouns import are, counted

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 65536

#: Compressed arrays that cannot be streamed (Fortran order, time not first) are held in memory
#: up to this size.
_HELD_BYTES = 256 * 2**20


@dataclass(frozen=True)
class Header:
    """What an npy header says, and where its data begin."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def size(self) -> int:
        """Bytes of data that should follow."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(handle: IO[bytes], path: str) -> Header:
    """Parse an npy header; nothing is allocated on its word.

    Raises
    ------
    DataError
        If it is no npy header.
    """
    start = handle.read(8)
    wide = len(start) == 8 and start[6] >= 2
    raw = handle.read(4 if wide else 2)
    length = int.from_bytes(raw, "little")
    good = start[:6] == _MAGIC and 0 < length <= _MAX_HEADER
    try:
        text = handle.read(length) if good else b""
        said = ast.literal_eval(text.decode("utf-8" if wide and start[6] >= 3 else "latin1"))
        shape = tuple(int(n) for n in said["shape"])
        dtype = np.lib.format.descr_to_dtype(said["descr"])
        fortran = bool(said["fortran_order"])
        good = good and all(n >= 0 for n in shape)
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        good = False
    if not good:
        raise DataError(f"{path}: its npy header is damaged", "copy or save the file again")
    return Header(shape, dtype, fortran, 8 + len(raw) + length)


class _Rows(RowFile):
    """Frames of C-ordered data; ``lead`` axes in front count them (2 for ensembles)."""

    def __init__(self, path: str, header: Header, lead: int) -> None:
        self.shape, self.lead = header.shape, lead
        width = math.prod(header.shape[lead:])
        super().__init__(path, header.offset, np.dtype([("row", header.dtype, (width,))]))

    def slab(self, index: tuple[slice, ...]) -> NDArray[Any]:
        """The rectangle ``index`` of the array."""
        first, count, step = _span(index[0], self.shape[0])
        inner = self.shape[self.lead :]
        if self.lead == 1:
            rows = self.rows(first, count, step)["row"]
            return rows.reshape(count, *inner)
        each = self.shape[1]
        if count == 1:
            start, n, step = _span(index[1], each)
            rows = self.rows(first * each + start, n, step)["row"]
            return rows.reshape(1, n, *inner)
        rows = self.rows(first * each, count * each)["row"]
        return rows.reshape(count, each, *inner)[:, index[1]]


def _span(index: slice, n: int) -> tuple[int, int, int]:
    """First item, number of items and step of a slice."""
    start, stop, step = index.indices(n)
    return start, len(range(start, stop, step)), step


class _ZipRows(_Rows):
    """Rows from a member of a zip file: forward only, skipping what lies between."""

    def __init__(self, path: str, member: str, header: Header, lead: int) -> None:
        super().__init__(path, header, lead)
        self.member = member

    def open(self) -> IO[bytes]:
        self.archive = zipfile.ZipFile(self.path)
        handle = self.archive.open(self.member)
        self.at = 0
        return handle

    def __exit__(self, *args: Any) -> None:
        super().__exit__(*args)
        self.archive.close()

    def block(self, start: int, count: int) -> NDArray[Any]:
        begin = self.offset + start * self.dtype.itemsize
        try:
            while self.at < begin:
                skipped = len(self.handle.read(min(begin - self.at, 2**20)))
                if not skipped:
                    break
                self.at += skipped
            raw = self.handle.read(count * self.dtype.itemsize)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise _damaged(self.path, self.member, error) from None
        self.at += len(raw)
        if len(raw) < count * self.dtype.itemsize:
            raise _damaged(self.path, self.member, EOFError("it ends early"))
        return np.frombuffer(raw, self.dtype, count)


def _damaged(path: str, member: str, error: Exception) -> DataError:
    return DataError(
        f"{path}: {member.removesuffix('.npy')} is damaged ({error})", "copy or save the file again"
    )


def _is_time_first(shape: tuple[int, ...], time_axis: int | None, ensemble: bool) -> bool:
    """Whether frames (or members) in order are rows in order."""
    if ensemble:
        return time_axis in (None, 1, 1 - len(shape))
    return time_axis in (None, 0, -len(shape))


def _checked(
    path: str, header: Header, available: int, *, allow_truncated: bool
) -> tuple[Header, tuple[str, ...]]:
    """The header, cut to the complete rows (with a warning) if it claims more and may."""
    if header.dtype.hasobject:
        raise DataError(
            f"{path}: holds objects (dtype {header.dtype}), not numbers",
            "save plain numbers, for example with array.astype('float64')",
        )
    if header.size <= available:
        return header, ()
    row = math.prod(header.shape[1:]) * header.dtype.itemsize
    complete = 0 if header.fortran or not header.shape else available // max(row, 1)
    if not allow_truncated or not complete:
        said = (
            f"header says shape {header.shape} ({counted(header.size, 'byte')}), "
            f"{counted(available, 'byte')} {are(available)} there"
        )
        raise truncated(path, said, complete)
    said = f"header says {counted(header.shape[0], 'frame')}, {complete} {are(complete)} readable"
    return replace(header, shape=(complete, *header.shape[1:])), (f"{path}: {said}",)


def open_npy(path: str, request: Request) -> Source:
    """Open an npy file; rows are read from the file chunk by chunk.

    Raises
    ------
    DataError
        Damaged, truncated, not numbers, or of more axes than can be meant.
    UsageError
        ``var`` names no columns: the one array in the file has no name, its columns are x1,
        x2, ...
    """
    options = request.options
    if options.var:
        return _columns(path, request)
    with Path(path).open("rb") as handle:
        header = read_header(handle, path)
        available = Path(path).stat().st_size - header.offset
    header, cut = _checked(path, header, available, allow_truncated=options.allow_truncated)
    if snapshots := npy_field(path, header, options):
        return replace(snapshots, warnings=(*cut, *snapshots.warnings))
    field = Field(header.shape, header.dtype)

    @contextmanager
    def rows() -> Iterator[Block]:
        with _Rows(path, header, 2 if options.ensemble else 1) as source:
            yield source.slab

    @contextmanager
    def mapped() -> Iterator[Block]:
        def block(index: tuple[slice, ...]) -> NDArray[Any]:
            # Mapped anew for each block, so that pages once touched do not pile up.
            view = np.memmap(
                path,
                header.dtype,
                "r",
                header.offset,
                header.shape,
                "F" if header.fortran else "C",
            )
            return np.array(view[index])

        yield block

    plain = not header.fortran or len(header.shape) < 2
    first = _is_time_first(header.shape, options.time_axis, options.ensemble)
    opener = rows if plain and first else mapped
    source = array_source(path, "npy", {"array": field}, {"array": opener}, options)
    return replace(source, warnings=(*cut, *source.warnings))


def _columns(path: str, request: Request) -> Source:
    """The columns of an array that ``var`` names by their places: x2,x3."""
    asked = request.options.var
    source = open_npy(path, Request(replace(request.options, var=())))
    if source.kind != "array" or not set(asked) <= set(source.names):
        columns = len(source.names)
        between = f" and {columns} columns, x1 to x{columns}" if columns > 1 else ""
        raise UsageError(
            f"--var {','.join(asked)}: {path} holds one array, which has no name{between}",
            "leave --var out; it chooses among the arrays of npz, mat, HDF5 and NetCDF files, or "
            "among columns: --var x2,x3",
        )
    at = [source.names.index(name) for name in asked]

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        for chunk in source.read(start, stop, step, size):
            yield Chunk(np.ascontiguousarray(chunk.values[:, at]))

    return replace(source, read=read, names=asked, units=tuple(source.units[j] for j in at))


def _members(path: str) -> dict[str, tuple[Header, int]]:
    """Headers of the arrays in an npz, and bytes that each member holds."""
    found = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                if info.filename.endswith(".npy"):
                    with archive.open(info) as handle:
                        header = read_header(handle, f"{path}: {info.filename}")
                    found[info.filename.removesuffix(".npy")] = (header, info.file_size)
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise DataError(
            f"{path}: not a complete npz file ({error})", "copy or save the file again"
        ) from None
    if not found:
        raise DataError(f"{path}: a zip file without arrays", "expected an npz written by numpy")
    return found


def open_npz(path: str, request: Request) -> Source:
    """Open arrays of an npz file (``--var``); members are decompressed chunk by chunk.

    Raises
    ------
    DataError
        Damaged, not numbers, several arrays and none chosen, or too many axes.
    UsageError
        No such array.
    """
    options = request.options
    members = _members(path)
    if snapshots := npz_field(path, {n: h for n, (h, _) in members.items()}, options):
        return snapshots
    names = pick(path, {n: Field(h.shape, h.dtype) for n, (h, _) in members.items()}, options.var)
    openers = {}
    for name in names:
        header, size = members[name]
        _checked(f"{path}: {name}", header, size - header.offset, allow_truncated=False)
        plain = not header.fortran or len(header.shape) < 2
        lead = 2 if options.ensemble else 1
        stream = plain and _is_time_first(header.shape, options.time_axis, options.ensemble)
        openers[name] = _zip_opener(path, f"{name}.npy", header, lead if stream else 0)
    fields = {n: Field(members[n][0].shape, members[n][0].dtype) for n in names}
    return array_source(path, "npz", fields, openers, options)


def _zip_opener(path: str, member: str, header: Header, lead: int) -> Any:
    """Streams frames counted by ``lead`` axes; 0 holds the whole array instead."""
    if not lead and header.size > _HELD_BYTES:
        raise DataError(
            f"{path}: {member} ({header.size / 2**20:.0f} MiB) is not stored frame by frame",
            "save it C-ordered with time first, or as npy",
        )

    @contextmanager
    def opener() -> Iterator[Block]:
        with _ZipRows(path, member, header, lead) as source:
            if lead:
                yield source.slab
                return
            flat = source.block(0, 1)["row"].reshape(-1)
            if header.fortran:
                whole = flat.reshape(header.shape[::-1]).transpose()
            else:
                whole = flat.reshape(header.shape)
            yield lambda index: whole[index]

    return opener
