"""How a text table is written: separator, names, header; PLUMED's COLVAR among them."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from koopman_cli.errors import DataError
from koopman_cli.nouns import counted

#: How a number that is not there is written.
_MISSING = {"", "na", "n/a", "null", "none", "nan", "-nan"}


@dataclass(frozen=True)
class Dialect:
    """How a table is written: separator (None: white space), names, lines before the data."""

    separator: str | None
    names: tuple[str, ...]
    header_lines: int
    units: tuple[str, ...]
    colvar: bool = False


def open_text(path: str) -> IO[str]:
    """Open a text file; a byte-order mark and odd bytes do no harm."""
    return Path(path).open(encoding="utf-8-sig", errors="replace", newline=None)


def is_data(line: str) -> bool:
    """Whether a line holds data: it is neither empty nor a comment."""
    text = line.lstrip()
    return bool(text) and text[0] not in "#@;%"


def split(line: str, separator: str | None) -> list[str]:
    """The cells of a line, without quotes."""
    return [part.strip().strip("\"'") for part in line.strip().split(separator)]


def to_number(text: str) -> float:
    """A number; NaN where a missing one is written in one of the usual ways."""
    return math.nan if text.lower() in _MISSING else float(text)


def _numbers(parts: list[str]) -> list[float] | None:
    try:
        return [to_number(p) for p in parts]
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


def _refuse_text(path: str, row: tuple[int, str], separator: str | None, names: list[str]) -> None:
    """Raise where some cells of a row are numbers: name the first column that is none."""
    cells = split(row[1], separator)
    if separator == ";" and _numbers([c.replace(",", ".") for c in cells]) is not None:
        raise DataError(
            f"{path}: line {row[0] + 1} has decimal commas ({cells[0]!r})",
            f"write decimal points, for example: tr , . < {shlex.quote(path)} > points.csv",
        )
    bad = [j for j, cell in enumerate(cells) if _numbers([cell]) is None]
    if len(names) != len(cells) or len(bad) == len(cells):
        return
    first = bad[0]
    raise DataError(
        f"{path}: column {names[first]!r} holds {cells[first]!r} in line {row[0] + 1}, "
        "which is no number",
        "remove that column, or convert it to numbers (dates: to time since the first, in a "
        "column called time)",
    )


def _table(path: str, head: list[str]) -> Dialect:
    data = [(i, line) for i, line in enumerate(head) if is_data(line)]
    if not data:
        raise DataError(f"{path}: no line of numbers in it", "expected one frame per line")
    at, line = data[0]
    separator = _separator(line)
    parts = split(line, separator)
    if _numbers(parts) is not None and not all(p.lower() in _MISSING for p in parts):
        comment = head[at - 1].lstrip("#@;% ") if at else ""
        names = tuple(split(comment, _separator(comment))) if comment.strip() else ()
        if (
            len(names) != len(parts)
            or _numbers(list(names)) is not None
            or len(set(names)) < len(names)
        ):
            names = tuple(f"x{j + 1}" for j in range(len(parts)))
        return Dialect(separator, names, 0, ("",) * len(names))
    body = _numbers(split(data[1][1], separator)) if len(data) > 1 else None
    if body is None and len(data) > 1:
        _refuse_text(path, data[1], separator, parts)
    if body is None:
        raise DataError(
            f"{path}: line {data[1][0] + 1 if len(data) > 1 else at + 1} holds no numbers",
            "expected one frame per line, numbers separated by commas, tabs or spaces",
        )
    names = tuple(p or f"x{j + 1}" for j, p in enumerate(parts))
    if len(names) != len(body):
        raise DataError(
            f"{path}: {counted(len(names), 'name')} for {counted(len(body), 'column')}",
            "repair its first line",
        )
    return Dialect(separator, names, 1, ("",) * len(names))


def dialect(path: str) -> Dialect:
    """How the table is written, judged by its first lines.

    Raises
    ------
    DataError
        There are no numbers in it.
    """
    with open_text(path) as handle:
        head = list(itertools.islice(handle, 200))
    first = next((line for line in head if line.strip()), "")
    if first.startswith("#! FIELDS"):
        return _colvar(path, head)
    return _table(path, head)
