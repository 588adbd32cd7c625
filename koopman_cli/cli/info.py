"""``koopman info``: what is in the input, before anything is fitted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from koopman_cli.cli.options import (
    common_options,
    need_paths,
    paths_argument,
    read_options,
    reading_options,
)
from koopman_cli.nouns import counted, timed, verb

if TYPE_CHECKING:
    from koopman_cli.io import Inspection


@click.command(short_help="what is in there: frames, time step, gaps, bad values, usable lags")
@paths_argument
@reading_options
@common_options
def command(**values: Any) -> None:
    """Look through the input once and tell what is in it.

    Says for each trajectory: kind, frames, time step and where it is from, atoms and residues
    or columns, values that are not finite, constant columns, repeated frames, memory needed,
    usable lags, and whatever is odd.

    \b
    koopman info traj.h5
    koopman info run*.xtc --top top.pdb --json
    """
    need_paths(values["paths"])
    from koopman_cli.cli.output import make_progress, print_json, say
    from koopman_cli.io import inspect
    from koopman_cli.store.plain import to_plain

    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    found = inspect(list(values["paths"]), read_options(values), progress)
    if values["as_json"]:
        print_json({"schema": 1, "trajectories": [to_plain(item) for item in found]})
        return
    for i, item in enumerate(found):
        for line in ([""] if i else []) + _lines(item):
            say(line)


def _lines(item: Inspection) -> list[str]:
    many = f" from {counted(len(item.files), 'file')}" if len(item.files) > 1 else ""
    lines = [f"{item.label}: {_KINDS[item.kind]}, {counted(item.frames, 'frame')}{many}"]
    lines += _time_lines(item)
    lines.append(f"  {_contents(item)}")
    if item.cell is not None:
        none = "none that could hold the molecules, so no minimum image"
        lines.append(f"  unit cell: {'valid' if item.cell else none}")
    bad = item.nonfinite
    if bad.frames:
        frame, name = bad.first or (0, "")
        lines.append(
            f"  not finite: {counted(bad.values, 'value')} in {counted(bad.frames, 'frame')} "
            f"({_ranges(bad.ranges)}), first {name} in frame {frame}"
        )
    if item.constant:
        lines.append(f"  constant: {_some(item.constant)}")
    if item.repeated_frames:
        lines.append(
            f"  repeated: {counted(item.repeated_frames, 'frame')} "
            f"{verb(item.repeated_frames, 'equal')} the one before "
            f"({_ranges(item.repeated)})"
        )
    sizes = ", ".join(f"{size / 2**20:.1f} MB as {kind}" for kind, size in item.memory.items())
    lines.append(f"  all columns in memory: {sizes}")
    usable = "none" if item.lags is None else f"{item.lags[0]} to {counted(item.lags[1], 'frame')}"
    lines.append(f"  usable lags: {usable}")
    return lines + [f"  Warning: {warning}" for warning in item.warnings]


_KINDS = {"md": "molecular dynamics", "array": "array", "field": "field"}


def _time_lines(item: Inspection) -> list[str]:
    if item.dt is None:
        step = "none known (--dt gives one)"
    else:
        origin = f", from {item.dt.origin}" if item.dt.origin else ""
        step = timed(item.dt.value, item.dt.unit or "time units") + origin
    lines = [f"  time step: {step}"]
    if item.time is not None:
        unit = "" if item.dt is None else item.dt.unit
        first, last = (_stamp(float(value), unit) for value in item.time)
        lines.append(f"  time stamps: {first} to {last}")
    if item.segments > 1:
        lines.append(f"  contiguous stretches: {item.segments}")
    return lines


def _stamp(value: float, unit: str) -> str:
    """A time stamp; months that were counted from January of year 0 as year and month.

    >>> _stamp(23748.0, "months"), _stamp(5.5, "ps")
    ('1979-01', '5.5')
    """
    # A calendar is decoded to such months; nobody counts 12000 of them from elsewhere.
    if unit != "months" or value < 12000:
        return f"{value:g}"
    return f"{int(value) // 12:04d}-{int(value) % 12 + 1:02d}"


def _contents(item: Inspection) -> str:
    if item.atoms is not None:
        residues = counted(item.residues or 0, "residue")
        return f"{counted(item.atoms, 'atom')} in {residues}, {item.dtype}"
    columns = counted(item.columns, "column")
    return f"{columns} ({_some(item.names)}), {item.dtype}"


def _some(names: tuple[str, ...], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _ranges(ranges: tuple[tuple[int, int], ...]) -> str:
    return _some(tuple(str(a) if a == b else f"{a}-{b}" for a, b in ranges), 6)
