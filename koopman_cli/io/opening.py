"""From paths to trajectories: ranges, strides, joined parts, and time steps that agree."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.io.fieldruns import field_run
from koopman_cli.io.join import join_parts
from koopman_cli.io.options import check_options, refuse_idle
from koopman_cli.io.parts import Part, read_parts
from koopman_cli.io.ranges import clock_of, window
from koopman_cli.io.readers import open_source
from koopman_cli.io.source import Source
from koopman_cli.io.times import agree, judge, same
from koopman_cli.io.topology import Request
from koopman_cli.nouns import counted, timed
from koopman_cli.types import (
    FileRecord,
    Progress,
    ReadOptions,
    TimeStep,
    Trajectory,
    no_progress,
)
from koopman_cli.units import parse_dt


def natural_key(path: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts traj2 before traj10.

    >>> sorted(["t10.xtc", "t2.xtc"], key=natural_key)
    ['t2.xtc', 't10.xtc']
    """
    parts = re.split(r"(\d+)", path)
    return tuple((0, int(p)) if p.isdigit() else (1, p) for p in parts if p)


def _time_step(source: Source, options: ReadOptions) -> tuple[TimeStep | None, tuple[str, ...]]:
    """Time step between frames of the file: --dt if given, else its stamps."""
    step, warned = judge(source)
    if options.dt is None:
        return step, warned
    asked = parse_dt(options.dt)
    if step is not None and not same(step, asked):
        found = f"{timed(step.value, step.unit, 'g')} of its {source.stamps_origin}"
        warned = (*warned, f"{source.path}: --dt {options.dt} overrides the {found}")
    return asked, warned


def _strided(step: TimeStep | None, stride: int) -> TimeStep | None:
    return None if step is None else replace(step, value=step.value * stride)


def _segments(source: Source, each: int) -> NDArray[np.int64]:
    if not source.members:
        return np.array([[0, each]], np.int64)
    starts = np.arange(source.members, dtype=np.int64) * each
    return np.stack([starts, starts + each], axis=1)


def _trajectory(
    label: str,
    parts: tuple[Part, ...],
    dt: TimeStep | None,
    segments: NDArray[np.int64],
    warned: tuple[str, ...],
) -> Trajectory:
    first = parts[0].source
    return Trajectory(
        label=label,
        kind=first.kind,
        files=tuple(FileRecord(p.source.path, p.n_frames) for p in parts),
        n_frames=sum(p.n_frames for p in parts),
        segments=segments,
        dt=dt,
        dtype="float64" if any(p.source.dtype == "float64" for p in parts) else first.dtype,
        read=lambda size: read_parts(parts, size),
        names=first.names,
        units=first.units,
        topology=first.topology,
        warnings=warned,
        field=None if first.field is None else field_run(parts),
        packed=any(p.source.packed for p in parts),
    )


def _separate(source: Source, options: ReadOptions) -> Trajectory:
    step, warned = _time_step(source, options)
    clock = clock_of([source], [0], options)
    begin, end, ranged = window(source.path, source.n_frames, options, step, clock)
    part = Part(source, begin, end, options.stride)
    each = len(range(begin, end, options.stride))
    return _trajectory(
        source.path,
        (part,),
        _strided(step, options.stride),
        _segments(source, each),
        (*source.warnings, *warned, *ranged),
    )


def _joined(sources: Sequence[Source], options: ReadOptions) -> Trajectory:
    steps = [_time_step(s, options) for s in sources]
    known = [(s.path, step) for s, (step, _) in zip(sources, steps, strict=True) if step]
    agree(known)
    dt = known[0][1] if known else None
    if any(step is None and s.n_frames > 1 for s, (step, _) in zip(sources, steps, strict=True)):
        dt = None
    skips, cuts, warned = join_parts(sources, dt)
    lengths = [s.n_frames - k for s, k in zip(sources, skips, strict=True)]
    edges = np.concatenate([[0], np.cumsum(lengths)])
    clock = clock_of(sources, skips, options)
    begin, end, ranged = window(sources[0].path, int(edges[-1]), options, dt, clock)
    parts = []
    for source, skip, low, high in zip(sources, skips, edges[:-1], edges[1:], strict=True):
        first = begin + max(0, -(-(int(low) - begin) // options.stride)) * options.stride
        last = min(int(high), end)
        if first < last:
            shift = skip - int(low)
            parts.append(Part(source, first + shift, last + shift, options.stride))
    total = sum(p.n_frames for p in parts)
    inner = {-(-(int(edges[c]) - begin) // options.stride) for c in cuts}
    bounds = sorted({0, total} | {c for c in inner if 0 < c < total})
    segments = np.array(list(pairwise(bounds)), np.int64)
    texts = (
        *(w for s in sources for w in s.warnings),
        *(w for _, ws in steps for w in ws),
        *warned,
        *ranged,
    )
    label = f"{sources[0].path} .. {sources[-1].path}" if len(sources) > 1 else sources[0].path
    return _trajectory(label, tuple(parts), _strided(dt, options.stride), segments, texts)


def _check_alike(sources: Sequence[Source]) -> None:
    """Raise if files cannot be analysed together."""
    first = sources[0]
    for other in sources[1:]:
        if other.kind != first.kind:
            raise DataError(
                f"{first.path} is {first.kind} data, {other.path} is {other.kind} data",
                "analyse them apart",
            )
        if first.field is not None:
            differ = first.field.geometry.differs(other.field.geometry)
            if differ:
                raise DataError(
                    f"{first.path} and {other.path} differ: {differ}",
                    "give files of the same variables and grid",
                )
        if first.kind == "md" and other.topology is not first.topology:
            a, b = first.topology.n_atoms, other.topology.n_atoms
            if a != b:
                raise DataError(
                    f"{first.path} holds {counted(a, 'atom')}, {other.path} holds {b}",
                    "give trajectories of the same atoms (--select can make them so)",
                )
        if len(other.names) != len(first.names):
            raise DataError(
                f"{first.path} has {counted(len(first.names), 'column')}, {other.path} has "
                f"{len(other.names)}",
                "give files of the same columns",
            )
        if other.names != first.names:
            a, b = next((x, y) for x, y in zip(first.names, other.names, strict=True) if x != y)
            raise DataError(
                f"columns differ: {a} in {first.path} stands where {b} stands in {other.path}",
                "give files of the same columns in the same order",
            )


def _one_step(trajectories: tuple[Trajectory, ...]) -> tuple[Trajectory, ...]:
    """All trajectories with one time step, or none where one of them has none."""
    known = [(t.label, t.dt) for t in trajectories if t.dt]
    agree(known)
    if not known:
        return trajectories
    lacking = [t.label for t in trajectories if t.dt is None and t.n_frames > 1]
    dt = None if lacking else known[0][1]
    if not lacking:
        return tuple(t if t.dt else replace(t, dt=dt) for t in trajectories)
    text = f"{lacking[0]} has no time step, so none is used for the other files either"
    first = replace(trajectories[0], dt=None, warnings=(*trajectories[0].warnings, text))
    return (first, *(replace(t, dt=None) for t in trajectories[1:]))


def open_trajectories(
    paths: Sequence[str | os.PathLike[str]], options: ReadOptions, progress: Progress = no_progress
) -> tuple[Trajectory, ...]:
    """Open files as trajectories; only headers are read, frames come in chunks on demand.

    Several paths are several trajectories, or with ``options.join`` the parts of one run.

    Parameters
    ----------
    paths : sequence of str or Path
    options : ReadOptions
    progress : Progress

    Returns
    -------
    tuple of Trajectory
        Coordinates in nm, times in ps for MD.

    Raises
    ------
    UsageError
        No path, no topology where one is needed, bad range or selection; an option that is
        senseless, or for another kind of input.
    DataError
        Damaged, truncated, empty or contradicting input; different time steps.
    FileError
        Missing, unreadable, not a file.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/x.npy", np.arange(10.0))
    ...     (run,) = open_trajectories([f"{folder}/x.npy"], ReadOptions(stride=4, dt="2ps"))
    ...     print([c.values.ravel().tolist() for c in run.read(2)], run.dt.value)
    [[0.0, 4.0], [8.0]] 8.0
    """
    names = [str(p) for p in paths]
    if not names:
        raise UsageError("no input files", "name at least one file")
    check_options(options)
    request = Request(options)
    sources = []
    with progress("opening", len(names)) as advance:
        for name in sorted(names, key=natural_key) if options.join else names:
            sources.append(open_source(name, request))
            advance(1)
    _check_alike(sources)
    if options.join:
        found: tuple[Trajectory, ...] = (_joined(sources, options),)
    else:
        found = _one_step(tuple(_separate(source, options) for source in sources))
    refuse_idle(found[0], options)
    return found
