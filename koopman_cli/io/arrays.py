"""From arrays in files to frames: which axis is time, which type, which names, in chunks."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError, did_you_mean
from koopman_cli.io.source import Chunk, Source, block_size, spans
from koopman_cli.nouns import counted
from koopman_cli.types import ReadOptions

#: Reads a rectangle of an array, one slice per axis of the array as the user sees it.
Block = Callable[[tuple[slice, ...]], NDArray[Any]]
Opener = Callable[[], AbstractContextManager[Block]]


@dataclass(frozen=True)
class Field:
    """An array in a file; ``axis`` marks coordinates of other arrays (times, latitudes)."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axis: bool = False

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape)) or 'one number'} {self.dtype.name}"


@dataclass(frozen=True)
class Layout:
    """How the axes of an array become members, frames and columns (None: no such axis)."""

    member_axis: int | None
    time_axis: int
    column_axis: int | None
    members: int
    frames: int
    columns: int

    def index(self, members: slice, frames: slice) -> tuple[slice, ...]:
        """Slices of the array, axis by axis."""
        where = {self.member_axis: members, self.time_axis: frames}
        axes = sum(a is not None for a in (self.member_axis, self.time_axis, self.column_axis))
        return tuple(where.get(axis, slice(0, self.columns)) for axis in range(axes))

    def rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """A block as (frames, columns), member after member."""
        axes = [a for a in (self.member_axis, self.time_axis, self.column_axis) if a is not None]
        return np.transpose(values, axes).reshape(-1, self.columns)


def check_names(
    path: str,
    asked: Sequence[str],
    there: Sequence[str],
    what: str = "array",
    option: str = "--var",
) -> None:
    """Raise UsageError for the first name asked for that a file does not hold.

    >>> check_names("a.npz", ["x"], ["x", "y"])
    """
    for name in asked:
        if name not in there:
            hint = did_you_mean(name, tuple(there))
            raise UsageError(f"{option} {name}: {path} has no {what} {name!r}", hint)


def choose_hint(path: str, name: str, *more: str) -> str:
    """How to choose one of several arrays, or several of one length, as commands to be copied.

    >>> choose_hint("sst 1.nc", "sst")
    "choose with --var, for example: koopman fit 'sst 1.nc' --var sst"
    >>> choose_hint("a.nc", "u", "v", "w")
    'choose with --var, for example: koopman fit a.nc --var u,v,w (or --var u)'
    """
    together = shlex.quote(",".join((name, *more)))
    single = f" (or --var {shlex.quote(name)})" if more else ""
    return (
        f"choose with --var, for example: koopman fit {shlex.quote(path)} --var {together}{single}"
    )


def _company(usable: Mapping[str, Field], most: int = 4) -> tuple[str, ...]:
    """The first array, with the series of its length where it is one."""
    first, *others = usable
    alike = [n for n in others if usable[n].shape == usable[first].shape]
    return (first, *alike[: most - 1]) if len(usable[first].shape) == 1 else (first,)


def pick(path: str, fields: Mapping[str, Field], var: tuple[str, ...]) -> tuple[str, ...]:
    """The arrays asked for, or the only one that can be meant.

    Raises
    ------
    DataError
        There is none, or there are several.
    UsageError
        One asked for does not exist.
    """
    usable = {n: f for n, f in fields.items() if f.shape and f.dtype.kind in "biufc" and not f.axis}
    if not var:
        if not usable:
            odd = ", ".join(f"{n} ({f})" for n, f in list(fields.items())[:8])
            raise DataError(
                f"{path}: holds no array of numbers{': ' + odd if odd else ''}",
                "save plain numeric arrays (frames first)",
            )
        if len(usable) > 1:
            listed = ", ".join(f"{n} ({f})" for n, f in list(usable.items())[:12])
            more = f" and {len(usable) - 12} more" if len(usable) > 12 else ""
            raise DataError(
                f"{path}: holds {counted(len(usable), 'array')}: {listed}{more}",
                choose_hint(path, *_company(usable)),
            )
        return tuple(usable)
    check_names(path, var, tuple(fields))
    return var


def numeric_dtype(path: str, dtype: np.dtype[Any]) -> tuple[str, tuple[str, ...]]:
    """Type that values are read as, and a warning where precision was lost before.

    Integers and booleans become float64 (products of int8 would wrap), float16 float64.

    >>> numeric_dtype("a.npy", np.dtype("int8"))
    ('float64', ())
    """
    if dtype.kind not in "biufc":
        what = {"O": "objects", "U": "text", "S": "text", "M": "dates", "m": "durations"}
        raise DataError(
            f"{path}: holds {what.get(dtype.kind, 'records')} (dtype {dtype}), not numbers",
            "save plain numbers, for example with array.astype('float64')",
        )
    if dtype.kind == "c":
        return "complex128", ()
    if dtype.kind == "f" and dtype.itemsize == 2:
        return "float64", (
            f"{path}: float16 keeps three decimal digits; slow modes may be lost in the rounding",
        )
    return ("float32" if dtype.kind == "f" and dtype.itemsize == 4 else "float64"), ()


def _axis(path: str, shape: tuple[int, ...], asked: int) -> int:
    if not -len(shape) <= asked < len(shape):
        raise UsageError(
            f"--time-axis {asked}: {path} has {counted(len(shape), 'axis')} {shape}",
            f"axes count from 0 to {len(shape) - 1}",
        )
    return asked % len(shape)


def layout(path: str, shape: tuple[int, ...], options: ReadOptions) -> Layout:
    """Which axis means what: time first unless ``time_axis``; members first for ensembles.

    Raises
    ------
    DataError
        More axes than can be meant, or nothing in them.
    UsageError
        ``time_axis`` is not an axis.
    """
    axes = len(shape)
    if axes == 0:
        raise DataError(f"{path}: holds a single number", "expected an array with time first")
    if 0 in shape:
        raise DataError(f"{path}: holds nothing (shape {shape})", "expected at least one frame")
    if options.ensemble:
        if axes not in (2, 3):
            raise DataError(
                f"{path}: an ensemble has the axes (particles, time, dim); this has shape {shape}",
                "reshape it, or leave --ensemble out",
            )
        time = _axis(path, shape, 1 if options.time_axis is None else options.time_axis)
        rest = [a for a in range(axes) if a != time]
        column = rest[1] if len(rest) > 1 else None
        width = shape[column] if column is not None else 1
        return Layout(rest[0], time, column, shape[rest[0]], shape[time], width)
    if axes > 2:
        raise DataError(
            f"{path}: has {counted(axes, 'axis')} {shape}; what can be read are (frames, columns) "
            "arrays and MD trajectories",
            "add --ensemble if the axes are (particles, time, dim), or reshape to two axes",
        )
    time = _axis(path, shape, options.time_axis or 0)
    column = 1 - time if axes == 2 else None
    return Layout(None, time, column, 1, shape[time], shape[column] if column is not None else 1)


def read_blocks(
    block: Block, plan: Layout, frames: tuple[int, int, int], size: int
) -> Iterator[NDArray[Any]]:
    """(n, columns) arrays of at most ``size`` rows, member after member.

    ``frames`` is (start, stop, step) inside each member. Members shorter than a chunk are
    read many at a time: a hundred thousand pairs take a handful of reads.
    """
    start, stop, step = frames
    each = len(range(start, stop, step))
    if plan.members > 1 and each < size:
        for first, count in spans(0, plan.members, 1, max(1, size // max(1, each))):
            yield plan.rows(block(plan.index(slice(first, first + count), slice(*frames))))
        return
    for member in range(plan.members):
        for first, count in spans(start, stop, step, size):
            take = slice(first, first + (count - 1) * step + 1, step)
            yield plan.rows(block(plan.index(slice(member, member + 1), take)))


def _column_names(
    fields: Mapping[str, Field], plans: Mapping[str, Layout], *, named: bool
) -> tuple[str, ...]:
    """Names of columns: those of series, numbered ones of matrices; ``named`` by the user."""
    if len(fields) == 1:
        (plan,) = plans.values()
        if named and plan.columns == 1:
            return tuple(fields)
        return tuple(f"x{j + 1}" for j in range(plan.columns))
    names: list[str] = []
    for name, plan in plans.items():
        alone = plan.columns == 1
        names += [name] if alone else [f"{name}[{j + 1}]" for j in range(plan.columns)]
    return tuple(names)


def array_source(
    path: str,
    form: str,
    fields: Mapping[str, Field],
    openers: Mapping[str, Opener],
    options: ReadOptions,
) -> Source:
    """A source from one array, or from several whose columns stand side by side."""
    kinds = [numeric_dtype(path, f.dtype) for f in fields.values()]
    dtype = np.result_type(*(k for k, _ in kinds)).name
    plans = {name: layout(path, field.shape, options) for name, field in fields.items()}
    first = next(iter(plans.values()))
    for name, plan in plans.items():
        if (plan.members, plan.frames) != (first.members, first.frames):
            shapes = ", ".join(f"{n} {fields[n].shape}" for n in plans)
            raise DataError(
                f"{path}: {name} has another number of frames ({shapes})",
                "choose arrays of the same length with --var",
            )
    width = sum(plan.columns for plan in plans.values())
    warned = {text: None for _, texts in kinds for text in texts}
    shape = next(iter(fields.values())).shape
    flat = not options.ensemble and options.time_axis is None and len(shape) == 2
    if flat and shape[0] < 20 and shape[1] > 50 * shape[0]:
        text = (
            f"{path}: read as {counted(shape[0], 'frame')} of {counted(shape[1], 'column')}; if "
            "time is the second"
        )
        warned[f"{text} axis, add --time-axis 1"] = None

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        size = block_size(size, 16 * width)
        with ExitStack() as stack:
            streams = [
                read_blocks(stack.enter_context(openers[name]()), plan, (start, stop, step), size)
                for name, plan in plans.items()
            ]
            if len(streams) == 1:
                for values in streams[0]:
                    yield Chunk(np.ascontiguousarray(values, dtype))
                return
            for parts in zip(*streams, strict=True):
                yield Chunk(np.concatenate(parts, axis=1, dtype=dtype))

    return Source(
        path,
        "array",
        form,
        first.frames,
        dtype,
        read,
        names=_column_names(fields, plans, named=bool(options.var)),
        units=("",) * width,
        members=first.members if options.ensemble else 0,
        warnings=tuple(warned),
    )
