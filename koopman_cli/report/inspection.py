"""What ``koopman info`` says of trajectories: those that are alike together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from koopman_cli.nouns import counted, timed, verb

if TYPE_CHECKING:
    from koopman_cli.io import Inspection

#: Labels named of trajectories that are told together.
NAMED = 4

_KINDS = {"md": "molecular dynamics", "array": "array", "field": "field"}

#: What stands for the file in what is said of several.
_EACH = "each file"


def inspection_lines(found: Sequence[Inspection]) -> list[str]:
    """Lines of all trajectories, an empty one between; what is alike is told once.

    Trajectories are alike where nothing differs but their frames, and no frame is odd.
    """
    groups: dict[tuple[object, ...], list[Inspection]] = {}
    for i, item in enumerate(found):
        odd = (i,) if item.nonfinite.frames or item.repeated_frames else ()
        groups.setdefault((*_alike(item), *odd), []).append(item)
    lines: list[str] = []
    for members in groups.values():
        lines += ([""] if lines else []) + _lines(members)
    return lines


def _alike(item: Inspection) -> tuple[object, ...]:
    """What must be the same of trajectories that are told together."""
    step = (
        None if item.dt is None else (item.dt.value, item.dt.unit, _general(item.dt.origin, item))
    )
    warned = tuple(_general(text, item) for text in item.warnings)
    shape = (item.segments, item.atoms, item.residues, item.columns, item.names, item.units)
    return (item.kind, len(item.files), step, *shape, item.dtype, item.constant, item.cell, warned)


def _general(text: str, item: Inspection) -> str:
    """A text about a trajectory as one about any of several."""
    for name in (*(str(record.path) for record in item.files), item.label):
        text = text.replace(name, _EACH)
    return text


def _head(members: Sequence[Inspection]) -> str:
    first = members[0]
    many = f" from {counted(len(first.files), 'file')}" if len(first.files) > 1 else ""
    if len(members) == 1:
        return f"{first.label}: {_KINDS[first.kind]}, {counted(first.frames, 'frame')}{many}"
    frames = [item.frames for item in members]
    each = counted(max(frames), "frame")
    if min(frames) < max(frames):
        few = f"{', '.join(map(str, frames[:-1]))} and {frames[-1]} frames"
        each = few if len(frames) <= NAMED else f"{min(frames)} to {each}"
    named = _some(tuple(item.label for item in members), NAMED)
    return (
        f"{named}: {_KINDS[first.kind]}, {len(members)} trajectories of {each}{many}, "
        f"{sum(frames)} in all"
    )


def _lines(members: Sequence[Inspection]) -> list[str]:
    item, several = members[0], len(members) > 1
    lines = [_head(members), *_time_lines(members), f"  {_contents(item)}"]
    if item.cell is not None:
        none = "none that could hold the molecules, so no minimum image"
        lines.append(f"  unit cell: {'valid' if item.cell else none}")
    lines += _odd_lines(item)
    total = {kind: sum(m.memory[kind] for m in members) for kind in item.memory}
    sizes = ", ".join(f"{size / 2**20:.1f} MB as {kind}" for kind, size in total.items())
    lines.append(f"  all columns in memory: {sizes}")
    lags = [m.lags for m in members if m.lags is not None]
    longest = max((high for _, high in lags), default=0)
    usable = f"{lags[0][0]} to {counted(longest, 'frame')}" if lags else "none"
    lines.append(f"  usable lags: {usable}{' in the longest' if _uneven(members) else ''}")
    texts = [_general(text, item) if several else text for text in item.warnings]
    return lines + [f"  Warning: {text}" for text in texts]


def _uneven(members: Sequence[Inspection]) -> bool:
    return len({item.frames for item in members}) > 1


def _odd_lines(item: Inspection) -> list[str]:
    """Frames that are not finite or repeat, and columns that never change."""
    lines = []
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
            f"{verb(item.repeated_frames, 'equal')} the one before ({_ranges(item.repeated)})"
        )
    return lines


def _time_lines(members: Sequence[Inspection]) -> list[str]:
    item, several = members[0], len(members) > 1
    if item.dt is None:
        step = "none known (--dt gives one)"
    else:
        origin = f", from {item.dt.origin}" if item.dt.origin else ""
        origin = _general(origin, item) if several else origin
        step = timed(item.dt.value, item.dt.unit or "time units") + origin
    lines = [f"  time step: {step}"]
    stamps = [m.time for m in members if m.time is not None]
    if stamps:
        unit = "" if item.dt is None else item.dt.unit
        first, last = min(a for a, _ in stamps), max(b for _, b in stamps)
        lines.append(f"  time stamps: {_stamp(float(first), unit)} to {_stamp(float(last), unit)}")
    if item.segments > 1:
        lines.append(f"  contiguous stretches: {item.segments}{' each' if several else ''}")
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
