"""Text tables: csv, whitespace-separated numbers, and PLUMED's COLVAR, read line by line."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.io.arrays import check_names
from koopman_cli.io.dialect import Dialect, dialect, is_data, open_text, split, to_number
from koopman_cli.io.source import Chunk, Source, block_size, spans, truncated
from koopman_cli.io.topology import Request
from koopman_cli.nouns import are, counted
from koopman_cli.types import ReadOptions
from koopman_cli.units import SECONDS

_TIME = re.compile(r"(?:time|t)\s*(?:[\[(/]\s*([A-Za-zµ]+)\s*[\])]?)?$", re.IGNORECASE)
_LINES = 50_000

#: What PLUMED's biases print beside the collective variables: opes.bias, metad.rct, ...
_BIAS = re.compile(
    r"\.(r?bias|maxbias|transbias|rct|zed|neff|nker|acc|work|force2|\w+_(bias|cntr|work|kappa))$"
)


def _lines(path: str, form: Dialect) -> Iterator[tuple[int, str]]:
    """(line number, text) of the data lines; COLVAR headers of restarts must agree."""
    skip = form.header_lines
    with open_text(path) as handle:
        for number, line in enumerate(handle, 1):
            if is_data(line):
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
        parts = split(text, form.separator)
        if len(parts) != width:
            raise DataError(
                f"{path}: line {number} has {counted(len(parts), 'column')}, expected {width}",
                "repair the line",
            )
        for j, part in enumerate(parts):
            try:
                out[i, j] = to_number(part)
            except ValueError:
                raise DataError(
                    f"{path}: line {number}, column {form.names[j]}: {part[:40]!r} is no number",
                    "remove the column, or choose others with --var",
                ) from None
    return out


def _choose(
    path: str, form: Dialect, options: ReadOptions, clock: int | None
) -> tuple[list[int], tuple[str, ...]]:
    """Columns that are features, and a warning of those that are of a bias."""
    if options.var:
        check_names(path, options.var, form.names, "column")
        return [form.names.index(name) for name in options.var], ()
    columns = [j for j in range(len(form.names)) if j != clock]
    bias = [j for j in columns if form.colvar and _BIAS.search(form.names[j])]
    if not bias:
        return columns, ()
    listed = ", ".join(form.names[j] for j in bias)
    if len(bias) == len(columns):
        raise DataError(
            f"{path}: has no column beside the time and those of a bias ({listed})",
            "print the collective variables too, or name columns with --var",
        )
    text = f"{path}: {listed} belong to a bias, not to the system, and are left out (--var takes"
    return [j for j in columns if j not in bias], (f"{text} them); a biased run has other modes",)


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
    cells = split(line, form.separator)
    if len(cells) < len(form.names):
        return True
    others = split(before, form.separator) if before else cells
    digits = [len(c[-1].partition(".")[2]) for c in (cells, others)]
    return not line.endswith("\n") and digits[0] < digits[1]


def _scan(
    path: str, form: Dialect, clock: int | None, *, allow_truncated: bool
) -> tuple[int, NDArray[np.float64] | None, tuple[str, ...]]:
    """Frames in the file, their time stamps, and a warning if a cut last line is left out."""
    n, stamps, last, before = 0, [], (0, ""), ""
    warned: tuple[str, ...] = ()
    lines = _lines(path, form)
    while piece := list(itertools.islice(lines, _LINES)):
        before = piece[-2][1] if len(piece) > 1 else last[1]
        n, last = n + len(piece), piece[-1]
        if clock is not None:
            try:
                cells = [to_number(split(text, form.separator)[clock]) for _, text in piece]
            except (ValueError, IndexError):
                cells = list(_parse(path, piece, form)[:, clock])
            stamps += cells
    if n and _is_cut(last[1], before, form):
        if not allow_truncated:
            raise truncated(path, f"its last line ({last[0]}) is cut", n - 1, "lines")
        n, stamps = n - 1, stamps[: n - 1]
        warned = (
            f"{path}: its last line ({last[0]}) is cut; {counted(n, 'line')} {are(n)} readable",
        )
    if not n:
        raise DataError(f"{path}: no line of numbers in it", "expected one frame per line")
    return n, np.array(stamps) if clock is not None else None, warned


def open_table(path: str, request: Request) -> Source:
    """Open a text table: a frame per line, names from a header line if there is one.

    A column named ``time`` (or ``t``, ``time (ps)``) gives the time step and is no feature.
    Empty cells are NaN.

    Raises
    ------
    DataError
        Not numbers, lines of different length.
    UsageError
        Unknown columns, or options that a table cannot follow.
    """
    options = request.options
    if options.ensemble or options.time_axis not in (None, 0):
        raise UsageError(
            f"{path}: --ensemble and --time-axis do not apply to a table of text",
            "save the data as npy with the axes (particles, time, dim)",
        )
    form = dialect(path)
    clock, unit = _clock(form)
    n, stamps, cut = _scan(path, form, clock, allow_truncated=options.allow_truncated)
    columns, biased = _choose(path, form, options, clock)
    if not columns:
        raise DataError(f"{path}: has no column beside the time", "add columns to analyse")

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
        warnings=(*cut, *biased),
    )
