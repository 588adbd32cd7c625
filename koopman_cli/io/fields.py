"""Fields: snapshots of one or several variables on a grid or on points, with coordinates.

Any container that offers named arrays can hold a field. What is time, what is space and
what is a coordinate is decided here, once, for npz, npy, HDF5, MATLAB and NetCDF alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.geometry import PLANE, Geometry
from koopman_cli.io.arrays import Block, Field, check_names, choose_hint, numeric_dtype
from koopman_cli.io.positions import doubt_positions
from koopman_cli.io.source import Chunk, Source, block_size, spans
from koopman_cli.nouns import counted
from koopman_cli.types import ReadOptions

Opener = Callable[[], AbstractContextManager[Block]]

#: Names by which a time axis is known.
TIMES = ("t", "time", "times", "Time", "T")


@dataclass(frozen=True)
class Listed:
    """The arrays of a file as a field reader sees them.

    fields : name -> shape and type
    openers : name -> opens it for reading rectangles
    dims : name -> names of its axes, where the format keeps them
    units : name -> unit
    load : reads a small array (a coordinate) whole
    """

    path: str
    form: str
    fields: Mapping[str, Field]
    openers: Callable[[str], Opener]
    load: Callable[[str], NDArray[Any]]
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FieldData:
    """What a field source offers beside rows: its geometry, and blocks of cells.

    block : ``block(frames, cells)`` -> (n, cells) array, for slices of both
    weights : (cells,) of the array named by --area-weights, None otherwise
    """

    geometry: Geometry
    block: Callable[[slice, slice], NDArray[Any]]
    weights: NDArray[np.float64] | None = None


def _is_data(f: Field) -> bool:
    return len(f.shape) >= 2 and f.dtype.kind in "biufc" and not f.axis


def _time_name(listed: Listed) -> str | None:
    """The array of time stamps: by its name, among the arrays of one axis."""
    single = [n for n, f in listed.fields.items() if len(f.shape) == 1 or _single(f)]
    return next((n for n in TIMES for m in single if m.rsplit("/", 1)[-1] == n for n in (m,)), None)


def looks_like_field(listed: Listed, options: ReadOptions) -> bool:
    """Whether arrays are a field by themselves: three axes, or coordinates beside them (x and y,
    or one array with the times and the places of its two axes).

    ``--kind`` and ``--ensemble`` decide before the looks do.
    """
    if options.kind is not None or options.ensemble:
        return options.kind == "field"
    chosen = [listed.fields[n] for n in options.var if n in listed.fields]
    data = chosen or [f for f in listed.fields.values() if _is_data(f)]
    data = data if chosen else [f for f in data if not _single(f)] or data
    if not data or not all(_is_data(f) for f in data):
        return False
    if any(len(f.shape) > 2 for f in data):
        return True
    lengths = {f.shape[1] for f in data} | {f.shape[0] for f in data}
    short = {n.rsplit("/", 1)[-1]: f for n, f in listed.fields.items()}
    plane = any(
        all(n in short and len(short[n].shape) == 1 and short[n].shape[0] in lengths for n in pair)
        for pair in PLANE
    )
    return plane or (not chosen and len(data) == 1 and _has_axes(listed, data[0].shape))


def _has_axes(listed: Listed, shape: tuple[int, ...]) -> bool:
    """Whether all beside an array (time, space) are its axes: times, by name, and places.

    Places come in order, which masses or weights of columns do not.
    """
    time = _time_name(listed)
    flat = {n: f for n, f in listed.fields.items() if not _is_data(f) or _single(f)}
    lines = {n: math.prod(f.shape) for n, f in flat.items() if math.prod(f.shape) > 1}
    numbers = all(f.dtype.kind in "biuf" for f in flat.values())
    if time not in lines or len(lines) != len(shape) or not numbers:
        return False
    places = [n for n in lines if n != time]
    if sorted(lines.values()) != sorted(shape):
        return False
    steps = [np.diff(np.asarray(listed.load(n), np.float64).reshape(-1)) for n in places]
    return all((d > 0).all() or (d < 0).all() for d in steps)


def _single(f: Field) -> bool:
    """Whether all entries lie along one axis."""
    return math.prod(f.shape) == max(f.shape, default=0)


def choose(listed: Listed, var: Sequence[str]) -> tuple[str, ...]:
    """The variables asked for, or all that share one grid and one unit.

    Raises
    ------
    DataError
        None, variables on different grids or with different units.
    UsageError
        Unknown ones.
    """
    path, fields = listed.path, listed.fields
    check_names(path, var, tuple(fields), "variable")
    data = [n for n, f in fields.items() if _is_data(f)]
    data = [n for n in data if not _single(fields[n])] or data
    most = max((len(fields[n].shape) for n in data), default=0)
    names = tuple(var) or tuple(n for n in data if len(fields[n].shape) == most)
    if not names:
        held = ", ".join(f"{n} ({f})" for n, f in list(fields.items())[:8])
        raise DataError(
            f"{path}: holds no variable with time and space{': ' + held if held else ''}",
            "a field has the axes (time, space...)",
        )
    told = ", ".join(f"{n} ({fields[n]})" for n in names)
    if len({fields[n].shape for n in names}) > 1:
        raise DataError(
            f"{path}: the variables are on different grids: {told}",
            "take variables of one grid: " + choose_hint(path, _likeliest(fields, names)),
        )
    if len({listed.units.get(n, "") for n in names}) > 1 and not var:
        raise DataError(
            f"{path}: holds {counted(len(names), 'variable')} of different units: {told}",
            choose_hint(path, names[0]),
        )
    return names


def _likeliest(fields: Mapping[str, Field], names: Sequence[str]) -> str:
    """The variable to offer: of the grid that most share, positions rather than others."""
    shapes = [fields[n].shape for n in names]
    return max(names, key=lambda n: (shapes.count(fields[n].shape), "position" in n.lower()))


def _time_axis(listed: Listed, name: str, options: ReadOptions) -> tuple[int, str | None]:
    """The axis that is time, and the array of its stamps."""
    shape, dims = listed.fields[name].shape, listed.dims.get(name, ())
    stamps = _time_name(listed)
    if options.time_axis is not None:
        if not -len(shape) <= options.time_axis < len(shape):
            raise UsageError(
                f"--time-axis {options.time_axis}: {name} has {counted(len(shape), 'axis')} "
                f"{shape}",
                f"axes count from 0 to {len(shape) - 1}",
            )
        axis = options.time_axis % len(shape)
        good = stamps is not None and math.prod(listed.fields[stamps].shape) == shape[axis]
        return axis, stamps if good else None
    if dims:
        named = [k for k, d in enumerate(dims) if d == stamps or d.lower() in TIMES]
        timed = [
            k for k, d in enumerate(dims) if "since" in listed.units.get(d, "") and k not in named
        ]
        if named or timed:
            axis = (named + timed)[0]
            return axis, dims[axis] if dims[axis] in listed.fields else stamps
        raise DataError(
            f"{listed.path}: {name} has no time axis (axes {', '.join(dims)})",
            "choose a variable with time by --var, or name the axis with --time-axis",
        )
    if stamps is None:
        return 0, None
    length = math.prod(listed.fields[stamps].shape)
    fitting = [k for k, n in enumerate(shape) if n == length]
    if not fitting:
        raise DataError(
            f"{listed.path}: no axis of {name} {shape} has the {length} entries of {stamps}",
            "name the time axis with --time-axis",
        )
    return fitting[0], stamps


def _coordinates(
    listed: Listed, dims: tuple[str, ...], shape: tuple[int, ...], skip: set[str]
) -> tuple[tuple[str, ...], dict[str, NDArray[Any]]]:
    """Names of the space axes, and the coordinates that fit them."""
    found: dict[str, NDArray[Any]] = {}
    taken: dict[int, str] = {}
    for name, f in listed.fields.items():
        if name in skip or f.dtype.kind not in "biuf":
            continue
        own, short = listed.dims.get(name, ()), name.rsplit("/", 1)[-1]
        if own:
            if name in dims or (own and tuple(own) == dims):
                found[short] = listed.load(name)
            continue
        size = tuple(n for n in f.shape if n != 1)
        if size == shape:
            found[short] = listed.load(name).reshape(shape)
        elif len(size) == 1 and size[0] in shape and len(f.shape) <= 2:
            axis = next((k for k, n in enumerate(shape) if n == size[0] and k not in taken), None)
            if axis is not None:
                taken[axis] = short
                found[short] = listed.load(name).reshape(-1)
    if dims:
        return dims, found
    axes = tuple(
        taken.get(k, "point" if len(shape) == 1 else f"axis{k + 1}") for k in range(len(shape))
    )
    return axes, found


def _weights(
    listed: Listed, options: ReadOptions, points: int, variables: int
) -> NDArray[np.float64] | None:
    asked = options.area_weights
    if asked in ("auto", "none"):
        return None
    choices = ("auto", "none", *listed.fields)
    check_names(listed.path, (asked,), choices, option="--area-weights")
    values = np.asarray(listed.load(asked), np.float64).reshape(-1)
    if values.size != points or not (np.isfinite(values).all() and (values > 0).all()):
        raise DataError(
            f"{listed.path}: {asked} is no weight of its {counted(points, 'point')}"
            f" ({counted(values.size, 'value')}, all must be above 0)",
            "give an array of areas or volumes, one per point",
        )
    return np.tile(np.sqrt(values), variables)


def _bands(shape: tuple[int, ...], cells: slice) -> tuple[slice, slice]:
    """Rows of the first space axis that cover flat cells, and where these lie in them."""
    inner = math.prod(shape[1:])
    first, last = cells.start // inner, -(-cells.stop // inner)
    return slice(first, last), slice(cells.start - first * inner, cells.stop - first * inner)


def _reader(
    listed: Listed, names: tuple[str, ...], axis: int, geometry: Geometry, dtype: str
) -> Callable[[slice, slice], NDArray[Any]]:
    points, shape = geometry.points, geometry.shape

    def block(frames: slice, cells: slice) -> NDArray[Any]:
        n = len(range(frames.start, frames.stop, frames.step or 1))
        out = np.empty((n, cells.stop - cells.start), dtype)
        for k, name in enumerate(names):
            low, high = max(cells.start, k * points), min(cells.stop, (k + 1) * points)
            if low >= high:
                continue
            rows, inside = _bands(shape, slice(low - k * points, high - k * points))
            index = [rows, *(slice(0, m) for m in shape[1:])]
            index.insert(axis, frames)
            with listed.openers(name)() as rectangle:
                values = np.moveaxis(rectangle(tuple(index)), axis, 0).reshape(n, -1)
            out[:, low - cells.start : high - cells.start] = values[:, inside]
        return out

    return block


def _row_reader(
    listed: Listed, names: tuple[str, ...], axis: int, geometry: Geometry, dtype: str
) -> Callable[[int, int, int, int], Iterator[Chunk]]:
    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        size = block_size(size, 16 * geometry.cells)
        with ExitStack() as stack:
            blocks = [stack.enter_context(listed.openers(n)()) for n in names]
            for first, count in spans(start, stop, step, size):
                take = slice(first, first + (count - 1) * step + 1, step)
                index = [slice(0, m) for m in geometry.shape]
                index.insert(axis, take)
                parts = [np.moveaxis(b(tuple(index)), axis, 0).reshape(count, -1) for b in blocks]
                yield Chunk(np.concatenate(parts, axis=1, dtype=dtype))

    return read


def _stamps(
    listed: Listed, time: str | None, calendar: Any
) -> tuple[NDArray[np.float64] | None, str, Any]:
    """Time stamps, their unit and the clock of a calendar, where there are any."""
    if time is None:
        return None, "", None
    if calendar is not None:
        stamps, unit, clock = calendar(time)
        return stamps, unit, clock
    values = np.asarray(listed.load(time), np.float64).reshape(-1)
    return values, listed.units.get(time, ""), None


def field_source(listed: Listed, options: ReadOptions, calendar: Any = None) -> Source:
    """A source of snapshots from the arrays of a file.

    Parameters
    ----------
    listed : Listed
    options : ReadOptions
    calendar : callable, optional
        (time name) -> (stamps, unit, Clock) for files that keep calendar time.

    Raises
    ------
    DataError
        Different grids, no time axis, not numbers.
    UsageError
        No such variable; ``time_axis`` is not an axis.
    """
    names = choose(listed, options.var)
    first = listed.fields[names[0]]
    kinds = [numeric_dtype(listed.path, listed.fields[n].dtype) for n in names]
    dtype = np.result_type(*(k for k, _ in kinds)).name
    if dtype.startswith("complex"):
        raise DataError(
            f"{listed.path}: {names[0]} is complex, which fields cannot be",
            "give real and imaginary part as two variables",
        )
    axis, time = _time_axis(listed, names[0], options)
    shape = tuple(n for k, n in enumerate(first.shape) if k != axis)
    frames = first.shape[axis]
    if 0 in first.shape:
        raise DataError(f"{listed.path}: {names[0]} holds nothing {first.shape}", "check the file")
    dims = tuple(d for k, d in enumerate(listed.dims.get(names[0], ())) if k != axis)
    alike = {n for n, f in listed.fields.items() if _is_data(f) and f.shape == first.shape}
    axes, coordinates = _coordinates(listed, dims, shape, {*names, time or "", *alike})
    units = tuple(listed.units.get(n, "") for n in names)
    short = tuple(n.rsplit("/", 1)[-1] for n in names)
    geometry = Geometry(
        short, units, axes, shape, coordinates,
        {n: listed.units[n] for n in coordinates if listed.units.get(n)},
    )  # fmt: skip
    stamps, unit, clock = _stamps(listed, time, calendar)
    geometry = replace(geometry, clock=clock)
    warned = [text for _, texts in kinds for text in texts]
    if time is None and options.time_axis is None and frames < min(20, max(shape)):
        warned.append(
            f"{listed.path}: read as {counted(frames, 'frame')}; if another axis of {names[0]} "
            f"{first.shape} is time, add --time-axis"
        )
    if not (dims or coordinates or options.kind) and len(first.shape) == 3:
        sure = options.time_axis is not None
        warned += doubt_positions(f"{listed.path}: {names[0]}", first.shape, axis, sure=sure)
    if axis != 0:
        warned.append(f"{listed.path}: axis {axis} of {names[0]} {first.shape} is time")
    block = _reader(listed, names, axis, geometry, dtype)
    return Source(
        listed.path,
        "field",
        listed.form,
        frames,
        dtype,
        _row_reader(listed, names, axis, geometry, dtype),
        stamps=stamps,
        unit=unit,
        stamps_single=False,
        warnings=tuple(dict.fromkeys(warned)),
        field=FieldData(geometry, block, _weights(listed, options, geometry.points, len(names))),
    )
