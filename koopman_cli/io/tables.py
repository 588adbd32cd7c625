"""Text tables: csv, whitespace-separated numbers, and PLUMED's COLVAR, read line by line."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError, did_you_mean
from koopman_cli.io.source import Chunk, Source, block_size, spans, truncated
from koopman_cli.io.topology import Request
from koopman_cli.types import ReadOptions
from koopman_cli.units import SECONDS

#: How a number that is not there is written.
_MISSING = {"", "na", "n/a", "null", "none", "nan", "-nan"}
_TIME = re.compile(r"(?:time|t)\s*(?:[\[(/]\s*([A-Za-zµ]+)\s*[\])]?)?$", re.IGNORECASE)
_LINES = 50_000


@dataclass(frozen=True)
class Dialect:
    """How a table is written: separator (None: white space), names, lines before the data."""

    separator: str | None
    names: tuple[str, ...]
    header_lines: int
    units: tuple[str, ...]
    colvar: bool = False


def _text(path: str) -> IO[str]:
    return Path(path).open(encoding="utf-8-sig", errors="replace", newline=None)


def _is_data(line: str) -> bool:
    text = line.lstrip()
    return bool(text) and text[0] not in "#@;%"


def _split(line: str, separator: str | None) -> list[str]:
    return [part.strip().strip("\"'") for part in line.strip().split(separator)]


def _number(text: str) -> float:
    return math.nan if text.lower() in _MISSING else float(text)


def _numbers(parts: list[str]) -> list[float] | None:
    try:
        return [_number(p) for p in parts]
    except ValueError:
        return None


def _separator(line: str) -> str | None:
    return next((s for s in (",", ";", "\t") if s in line), None)


def _set_fields(lines: Iterable[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of ``#! FIELDS`` and values of ``#! SET`` in a COLVAR header."""
    names: tuple[str, ...] = ()
    values: dict[str, str] = {}
    for line in lines:
        words = line.split()
        if words[1:2] == ["FIELDS"]:
            names = tuple(words[2:])
        elif words[1:2] == ["SET"] and len(words) > 3:
            values[words[2]] = words[3]
    return names, values


def _colvar(path: str, head: list[str]) -> Dialect:
    names, values = _set_fields(itertools.takewhile(lambda ln: ln.startswith("#!"), head))
    if not names:
        raise DataError(f"{path}: its FIELDS line names no columns", "check its first line")
    turns = [(values.get(f"min_{n}"), values.get(f"max_{n}")) for n in names]
    units = tuple("rad" if turn == ("-pi", "pi") else "" for turn in turns)
    return Dialect(None, names, 0, units, colvar=True)


def _table(path: str, head: list[str]) -> Dialect:
    data = [(i, line) for i, line in enumerate(head) if _is_data(line)]
    if not data:
        raise DataError(f"{path}: no line of numbers in it", "expected one frame per line")
    at, line = data[0]
    separator = _separator(line)
    parts = _split(line, separator)
    if _numbers(parts) is not None and not all(p.lower() in _MISSING for p in parts):
        comment = head[at - 1].lstrip("#@;% ") if at else ""
        names = tuple(_split(comment, _separator(comment))) if comment.strip() else ()
        if (
            len(names) != len(parts)
            or _numbers(list(names)) is not None
            or len(set(names)) < len(names)
        ):
            names = tuple(f"x{j + 1}" for j in range(len(parts)))
        return Dialect(separator, names, 0, ("",) * len(names))
    body = _numbers(_split(data[1][1], separator)) if len(data) > 1 else None
    if body is None:
        raise DataError(
            f"{path}: line {data[1][0] + 1 if len(data) > 1 else at + 1} holds no numbers",
            "expected one frame per line, numbers separated by commas, tabs or spaces",
        )
    names = tuple(p or f"x{j + 1}" for j, p in enumerate(parts))
    if len(names) != len(body):
        raise DataError(
            f"{path}: {len(names)} names for {len(body)} columns", "repair its first line"
        )
    return Dialect(separator, names, 1, ("",) * len(names))


def dialect(path: str) -> Dialect:
    """How the table is written, judged by its first lines.

    Raises
    ------
    DataError
        There are no numbers in it.
    """
    with _text(path) as handle:
        head = list(itertools.islice(handle, 200))
    first = next((line for line in head if line.strip()), "")
    if first.startswith("#! FIELDS"):
        return _colvar(path, head)
    return _table(path, head)


def _lines(path: str, form: Dialect) -> Iterator[tuple[int, str]]:
    """(line number, text) of the data lines; COLVAR headers of restarts must agree."""
    skip = form.header_lines
    with _text(path) as handle:
        for number, line in enumerate(handle, 1):
            if _is_data(line):
                if skip:
                    skip -= 1
                else:
                    yield number, line
            elif form.colvar and _other_fields(line, form):
                raise DataError(
                    f"{path}: line {number} names other columns than its first line",
                    "split the file where its columns change",
                )


def _other_fields(line: str, form: Dialect) -> bool:
    return line.startswith("#! FIELDS") and tuple(line.split()[2:]) != form.names


def _parse(path: str, lines: list[tuple[int, str]], form: Dialect) -> NDArray[np.float64]:
    """Numbers of some lines; the fast parser first, then one that names the fault."""
    width = len(form.names)
    try:
        values = np.loadtxt(
            [text for _, text in lines],
            delimiter=form.separator,
            ndmin=2,
            comments=None,
            quotechar='"' if form.separator else None,
        )
        if values.shape == (len(lines), width):
            return values
    except (ValueError, IndexError):
        pass
    out = np.empty((len(lines), width))
    for i, (number, text) in enumerate(lines):
        parts = _split(text, form.separator)
        if len(parts) != width:
            raise DataError(
                f"{path}: line {number} has {len(parts)} columns, expected {width}",
                "repair the line",
            )
        for j, part in enumerate(parts):
            try:
                out[i, j] = _number(part)
            except ValueError:
                raise DataError(
                    f"{path}: line {number}, column {form.names[j]}: {part[:40]!r} is no number",
                    "remove the column, or choose others with --var",
                ) from None
    return out


def _choose(path: str, form: Dialect, options: ReadOptions, clock: int | None) -> list[int]:
    if options.var:
        for name in options.var:
            if name not in form.names:
                raise DataError(f"{path}: has no column {name!r}", did_you_mean(name, form.names))
        return [form.names.index(name) for name in options.var]
    return [j for j in range(len(form.names)) if j != clock]


def _clock(form: Dialect) -> tuple[int | None, str]:
    """Column of the time stamps and its unit (PLUMED's is ps unless its input says otherwise)."""
    for j, name in enumerate(form.names):
        match = _TIME.match(name)
        if match and (not form.colvar or name == "time"):
            unit = match[1] or ("ps" if form.colvar else "")
            return j, unit if unit in SECONDS else ""
    return None, ""


def _is_cut(line: str, before: str, form: Dialect) -> bool:
    """Whether the last line ends early: columns are missing, or digits and the end of line."""
    cells = _split(line, form.separator)
    if len(cells) < len(form.names):
        return True
    others = _split(before, form.separator) if before else cells
    digits = [len(c[-1].partition(".")[2]) for c in (cells, others)]
    return not line.endswith("\n") and digits[0] < digits[1]


def _scan(
    path: str, form: Dialect, clock: int | None, *, allow_truncated: bool
) -> tuple[int, NDArray[np.float64] | None]:
    """Frames in the file and their time stamps; a cut last line is an error or left out."""
    n, stamps, last, before = 0, [], (0, ""), ""
    lines = _lines(path, form)
    while piece := list(itertools.islice(lines, _LINES)):
        before = piece[-2][1] if len(piece) > 1 else last[1]
        n, last = n + len(piece), piece[-1]
        if clock is not None:
            try:
                cells = [_number(_split(text, form.separator)[clock]) for _, text in piece]
            except (ValueError, IndexError):
                cells = list(_parse(path, piece, form)[:, clock])
            stamps += cells
    if n and _is_cut(last[1], before, form):
        if not allow_truncated:
            raise truncated(path, f"its last line ({last[0]}) is cut", n - 1, "lines")
        n, stamps = n - 1, stamps[: n - 1]
    if not n:
        raise DataError(f"{path}: no line of numbers in it", "expected one frame per line")
    return n, np.array(stamps) if clock is not None else None


def _looks_like_time(path: str, form: Dialect, n: int) -> tuple[str, ...]:
    """A warning if an unnamed first column rises by a constant step, as time does."""
    sample = list(itertools.islice(_lines(path, form), min(n, 1000)))
    if len(sample) < 20 or len(form.names) < 2:
        return ()
    steps = np.diff(_parse(path, sample, form)[:, 0])
    if steps[0] <= 0 or np.abs(steps - steps[0]).max() > 1e-3 * steps[0]:
        return ()
    text = (
        f"{path}: column {form.names[0]} rises by a constant {steps[0]:.6g}, as time does, but is"
    )
    rest = "used as a feature; choose the others with --var, or name it 'time' in a header line"
    return (f"{text} {rest}",)


def open_table(path: str, request: Request) -> Source:
    """Open a text table: a frame per line, names from a header line if there is one.

    A column named ``time`` (or ``t``, ``time (ps)``) gives the time step and is no feature.
    Empty cells are NaN.

    Raises
    ------
    DataError
        Not numbers, lines of different length, unknown columns.
    UsageError
        Options that a table cannot follow.
    """
    options = request.options
    if options.ensemble or options.time_axis not in (None, 0):
        raise UsageError(
            f"{path}: --ensemble and --time-axis do not apply to a table of text",
            "save the data as npy with the axes (particles, time, dim)",
        )
    form = dialect(path)
    clock, unit = _clock(form)
    n, stamps = _scan(path, form, clock, allow_truncated=options.allow_truncated)
    columns = _choose(path, form, options, clock)
    if not columns:
        raise DataError(f"{path}: has no column beside the time", "add columns to analyse")
    warned = () if clock is not None or options.var else _looks_like_time(path, form, n)

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        wanted = itertools.islice(_lines(path, form), start, stop, step)
        for _, count in spans(start, stop, step, block_size(size, 40 * len(form.names))):
            lines = list(itertools.islice(wanted, count))
            if len(lines) < count:
                raise DataError(f"{path}: changed while it was read", "analyse a copy")
            yield Chunk(np.ascontiguousarray(_parse(path, lines, form)[:, columns]))

    return Source(
        path,
        "array",
        "PLUMED COLVAR" if form.colvar else "text table",
        n,
        "float64",
        read,
        stamps=stamps,
        unit=unit,
        stamps_single=False,
        stamps_origin=f"column {form.names[clock]}" if clock is not None else "",
        names=tuple(form.names[j] for j in columns),
        units=tuple(form.units[j] for j in columns),
        warnings=warned,
    )
