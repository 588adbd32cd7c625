"""Containers of fields: npy, npz, HDF5, MATLAB and NetCDF as named arrays with rectangles."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.geometry import Clock
from koopman_cli.io.arrays import Block, Field, array_source, pick
from koopman_cli.io.fields import Listed, Opener, field_source
from koopman_cli.io.source import Source
from koopman_cli.types import ReadOptions

#: Name of a time coordinate to its stamps, their unit and the clock.
Calendar = Callable[[str], tuple[NDArray[np.float64], str, Clock | None]]

#: Arrays that cannot be read piecewise (compressed in one piece) are held up to this size.
_HELD_BYTES = 512 * 2**20


# ------------------------------------------------------------------ raw bytes


def raw_opener(path: str, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Opener:
    """Rectangles of a C-ordered array at a byte of a file, by reads of what is asked for.

    A memory map would do the same in fewer lines, but its pages count as memory in use.
    """
    inner = math.prod(shape[1:]) * dtype.itemsize

    @contextmanager
    def opened() -> Iterator[Block]:
        with Path(path).open("rb", buffering=0) as handle:

            def block(index: tuple[slice, ...]) -> NDArray[Any]:
                frames = range(*index[0].indices(shape[0]))
                low, high, _ = index[1].indices(shape[1]) if len(shape) > 1 else (0, 1, 1)
                row = inner // shape[1] if len(shape) > 1 else inner
                out = np.empty((len(frames), high - low, *shape[2:]), dtype)
                if frames.step == 1 and high - low == (shape[1] if len(shape) > 1 else 1):
                    _read_into(handle, offset + frames.start * inner, out)
                else:
                    for k, frame in enumerate(frames):
                        _read_into(handle, offset + frame * inner + low * row, out[k])
                return out[(slice(None), slice(None), *index[2:])]

            yield block

    return opened


def _read_into(handle: Any, at: int, out: NDArray[Any]) -> None:
    """Fill an array from a byte of a file on."""
    view = memoryview(out.reshape(-1).view(np.uint8).data)
    while view:
        got = os.preadv(handle.fileno(), [view], at)
        if not got:
            raise DataError(f"{handle.name}: ends before its last frame", "copy it again")
        at, view = at + got, view[got:]


def held_opener(array: Any) -> Opener:
    """Rectangles of an array in memory."""

    @contextmanager
    def opened() -> Iterator[Block]:
        yield lambda index: array[index]

    return opened


# ------------------------------------------------------------------ numpy


def npy_field(path: str, header: Any, options: ReadOptions) -> Source | None:
    """An npy file as a field; None where it does not look like one."""
    fields = {"field": Field(header.shape, header.dtype)}  # npy keeps no name

    def openers(name: str) -> Opener:
        if header.fortran:
            return held_opener(np.load(path, mmap_mode="r", allow_pickle=False))
        return raw_opener(path, header.offset, header.shape, header.dtype)

    return _source(Listed(path, "npy", fields, openers, lambda n: np.load(path)), options)


def npz_field(path: str, headers: Mapping[str, Any], options: ReadOptions) -> Source | None:
    """An npz file as a field; members stored without compression are read piecewise."""
    fields = {name: Field(h.shape, h.dtype) for name, h in headers.items()}

    def load(name: str) -> NDArray[Any]:
        with np.load(path, allow_pickle=False) as file:
            found: NDArray[Any] = file[name]
        return found

    def openers(name: str) -> Opener:
        header = headers[name]
        at = _stored_at(path, f"{name}.npy")
        if at is not None and not header.fortran:
            return raw_opener(path, at + header.offset, header.shape, header.dtype)
        if header.size > _HELD_BYTES:
            raise DataError(
                f"{path}: {name} ({header.size / 2**20:.0f} MiB) is compressed in one piece",
                "save it as npy, with np.savez instead of np.savez_compressed, or as NetCDF",
            )
        return held_opener(load(name))

    return _source(Listed(path, "npz", fields, _kept(openers), load), options)


def _stored_at(path: str, member: str) -> int | None:
    """Byte at which an uncompressed member of a zip file begins, None if it is compressed."""
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo(member)
    if info.compress_type != zipfile.ZIP_STORED:
        return None
    with Path(path).open("rb") as handle:
        handle.seek(info.header_offset + 26)
        lengths = np.frombuffer(handle.read(4), "<u2")
    return info.header_offset + 30 + int(lengths.sum())


def _kept(openers: Any) -> Any:
    """Openers that are made once: what they hold is held once."""
    made: dict[str, Opener] = {}

    def opener(name: str) -> Opener:
        if name not in made:
            made[name] = openers(name)
        return made[name]

    return opener


# ------------------------------------------------------------------ HDF5, MATLAB


def hdf5_field(
    path: str, fields: Mapping[str, Field], opener: Any, options: ReadOptions
) -> Source | None:
    """Datasets of an HDF5 file as a field; ``opener(name)`` gives rectangles of one."""

    def load(name: str) -> NDArray[Any]:
        with opener(name)() as block:
            return np.asarray(block(tuple(slice(0, n) for n in fields[name].shape)))

    plain = {n: Field(f.shape, f.dtype, axis=False) for n, f in fields.items()}
    return _source(Listed(path, "HDF5", plain, opener, load), options)


def mat_field(
    path: str, listed: Mapping[str, Field], load: Any, options: ReadOptions
) -> Source | None:
    """Variables of a MATLAB file as a field; each is held while it is used."""
    fields = {n: Field(f.shape, f.dtype) for n, f in listed.items()}
    found = Listed(
        path, "MATLAB", fields, _kept(lambda n: held_opener(load(n))), lambda n: np.asarray(load(n))
    )
    return _source(found, options)


def _source(listed: Listed, options: ReadOptions) -> Source | None:
    from koopman_cli.io.fields import looks_like_field

    return field_source(listed, options) if looks_like_field(listed, options) else None


# ------------------------------------------------------------------ NetCDF


@contextmanager
def _dataset(path: str, engine: str) -> Iterator[Any]:
    import xarray

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd attributes; what matters is judged here
        try:
            data = xarray.open_dataset(path, engine=engine, decode_times=False, cache=False)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
            text = (str(error).splitlines() or ["unknown cause"])[0][:160]
            raise DataError(
                f"{path}: not a readable NetCDF file ({text})", "copy it again"
            ) from None
        with data:
            yield data


def _listed(path: str, engine: str) -> tuple[Listed, Calendar]:
    """What a NetCDF file holds, scale, offset and fill values applied, and its decoder of times."""
    with _dataset(path, engine) as data:
        variables = {n: v for n, v in data.variables.items() if v.dtype.kind in "biufc"}
        bounds = {str(v.attrs["bounds"]) for v in variables.values() if "bounds" in v.attrs}
        fields = {
            str(n): Field(v.shape, v.dtype, axis=n in bounds or n in data.dims)
            for n, v in variables.items()
        }
        dims = {str(n): tuple(map(str, v.dims)) for n, v in variables.items()}
        units = {str(n): str(v.attrs.get("units", "")) for n, v in variables.items()}
        clocks = {str(n): str(v.attrs.get("calendar", "standard")) for n, v in variables.items()}

    def load(name: str) -> NDArray[Any]:
        with _dataset(path, engine) as data:
            return np.asarray(data[name].values)

    def openers(name: str) -> Opener:
        @contextmanager
        def opened() -> Iterator[Block]:
            with _dataset(path, engine) as data:
                yield lambda index: np.asarray(data[name].variable[index].values)

        return opened

    def calendar(name: str) -> tuple[NDArray[np.float64], str, Clock | None]:
        return decode_time(path, load(name), units.get(name, ""), clocks.get(name, "standard"))

    data_like = {
        n: f for n, f in fields.items() if not _has_time(n, dims, units) or len(f.shape) > 1
    }
    listed = Listed(path, "NetCDF", {**data_like, **fields}, openers, load, dims, units)
    return listed, calendar


def netcdf_field(path: str, engine: str, options: ReadOptions) -> Source | None:
    """A NetCDF file as a CF field: scale, offset and fill values applied, time decoded.

    ``engine`` is "scipy" (NetCDF 3) or "h5netcdf" (NetCDF 4). None where it holds no field.
    """
    from koopman_cli.io.fields import looks_like_field

    listed, calendar = _listed(path, engine)
    return field_source(listed, options, calendar) if looks_like_field(listed, options) else None


def netcdf_series(path: str, engine: str, options: ReadOptions) -> Source | None:
    """Series of a NetCDF file as columns under their names, with the stamps of their time.

    None where what is asked for lies in a group, which has axes of its own.

    Raises
    ------
    DataError
        None, or several that could be meant.
    UsageError
        Unknown ones.
    """
    listed, calendar = _listed(path, engine)
    if any("/" in name for name in options.var):
        return None
    names = pick(path, listed.fields, options.var)
    chosen = {name: listed.fields[name] for name in names}
    openers = {name: listed.openers(name) for name in names}
    source = array_source(path, "NetCDF", chosen, openers, replace(options, var=names))
    source = replace(source, packed=_packed(path, engine, names))
    if options.ensemble:
        return source
    time = listed.dims[names[0]][options.time_axis or 0]
    axis = listed.fields.get(time)
    if axis is None or axis.shape != (source.n_frames,):
        return source
    try:
        stamps, unit, _ = calendar(time)
    except DataError as error:
        # Columns are no less what they are; a field, whose forecasts have dates, is refused.
        said = f"{error}, so no time step is taken from it (--dt sets one)"
        return replace(source, warnings=(*source.warnings, said))
    return replace(source, stamps=stamps, unit=unit, stamps_single=False, stamps_origin=time)


def _packed(path: str, engine: str, names: Sequence[str]) -> bool:
    """Whether any of these variables has a scale or an offset, which reading applies."""
    with _dataset(path, engine) as data:
        return any({"scale_factor", "add_offset"} & set(data[n].encoding) for n in names)


def _has_time(name: str, dims: Mapping[str, Any], units: Mapping[str, str]) -> bool:
    return "since" in units.get(name, "") and dims[name] == (name,)


_WORDS = {
    "days": "d", "day": "d", "hours": "h", "hour": "h", "minutes": "min", "minute": "min",
    "seconds": "s", "second": "s", "months": "months", "month": "months",
    "years": "years", "year": "years",
}  # fmt: skip


def decode_time(
    path: str, values: NDArray[Any], units: str, calendar: str
) -> tuple[NDArray[np.float64], str, Clock | None]:
    """Stamps, their unit and the clock of a CF time coordinate.

    Frames on the same day of successive months become months since January of year 0: a
    month is a step however many days it has.

    >>> months = np.array([0, 31, 59, 90])
    >>> decode_time("a.nc", months, "days since 2001-01-01", "standard")[:2]
    (array([24012., 24013., 24014., 24015.]), 'months')
    """
    word, since, _ = units.partition(" since ")
    stamps = np.asarray(values, np.float64).reshape(-1)
    if not since:
        return stamps, _WORDS.get(units.strip().lower(), units.strip()), None
    if not np.isfinite(stamps).all():
        return stamps, _WORDS.get(word.strip().lower(), word), None
    clock = Clock(units, calendar, float(stamps[0]))
    unit = _WORDS.get(word.strip().lower(), word.strip())
    if unit in ("months", "years"):
        return stamps, unit, clock
    months = _months(path, stamps, units, calendar)
    return (stamps, unit, clock) if months is None else (months, "months", clock)


def _months(
    path: str, stamps: NDArray[np.float64], units: str, calendar: str
) -> NDArray[np.float64] | None:
    """Months since January of year 0, if the steps are whole months."""
    import cftime

    try:
        dates = cftime.num2date(stamps, units, calendar=calendar)
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{path}: its time ({units}, calendar {calendar}) cannot be decoded ({error})",
            "correct the units of time",
        ) from None
    number = np.array([12 * d.year + d.month - 1 for d in dates], np.float64)
    steps = np.diff(number)
    days = np.array([d.day for d in dates])
    regular = len(steps) > 1 and (steps == steps[0]).all() and steps[0] >= 1
    return number if regular and np.ptp(days) <= 4 else None
