"""Sources made readable: paths, arrays or streams to features, with the files behind them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.features import build_features, rebuild_features
from koopman_cli.features.field import build_field
from koopman_cli.features.samefield import rebuild_field
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
from koopman_cli.io.samefile import find_twins, sha256
from koopman_cli.store.places import placed
from koopman_cli.types import FeatureSpec, InputSummary, Progress, ReadOptions, Trajectory

Source = (
    Sequence[str | os.PathLike[str]] | str | NDArray[Any] | Sequence[NDArray[Any]] | FeatureStream
)


@dataclass(frozen=True)
class Opened:
    """A source made readable: features, and the files behind them where there are any."""

    stream: FeatureStream
    trajectories: tuple[Trajectory, ...] = ()
    stamps: tuple[tuple[str, int, int], ...] = ()


def open_source(source: Source, spec: str | None, read: ReadOptions, progress: Progress) -> Opened:
    """Open paths and featurize them, or wrap arrays; nothing large is read yet.

    Parameters
    ----------
    source : paths, arrays or FeatureStream
    spec : str or None
        Features; None takes the default for what is found.
    read : ReadOptions

    Raises
    ------
    KoopmanError
        What the readers and featurizers raise; UsageError for features of arrays in memory.
    """
    if isinstance(source, FeatureStream):
        return Opened(source)
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    if are_paths(source):
        stamps = tuple(stamp(path) for path in source)
        warned = check_twins(source)
        trajectories = open_trajectories(source, read, progress)
        if trajectories[0].kind == "field":
            stream = build_field(trajectories, spec, read, progress)
        else:
            stream = build_features(
                trajectories, spec, drop_nonfinite=read.drop_nonfinite, progress=progress
            )
        # Stored with the model, so that new data give the same atoms.
        stream = replace(stream, spec=replace(stream.spec, select=read.select))
        stream = stream.with_warnings(*warned)
        return Opened(stream, trajectories, stamps)
    arrays: Any = source
    stream = FeatureStream.from_arrays(arrays)
    if spec not in (None, "identity"):
        raise UsageError(
            f"features {spec!r} of arrays in memory", "featurize them first, or save them to a file"
        )
    return Opened(stream)


def told_input(config: Mapping[str, Any]) -> tuple[list[str], ReadOptions]:
    """Paths and reading options of a stored config, from wherever somebody is now.

    No paths where a run was fitted to arrays.

    >>> told_input({"directory": "/data", "paths": ["a.npy"], "read": {"stride": 2}})[0]
    ['/data/a.npy']
    """
    found = placed(config)
    known = {field.name for field in fields(ReadOptions)}
    told = {name: value for name, value in found.get("read", {}).items() if name in known}
    told["var"] = tuple(told.get("var") or ())
    return [str(path) for path in found.get("paths", ())], ReadOptions(**told)


def are_paths(source: Any) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Whether a source is a sequence of paths."""
    return not isinstance(source, np.ndarray) and all(
        isinstance(item, (str, os.PathLike)) for item in source
    )


def check_twins(paths: Sequence[str | os.PathLike[str]]) -> tuple[str, ...]:
    """Raise UsageError if a file is given twice, by name or link; a warning for a copy of one.

    The same frames on both sides of a fold make its score meaningless.
    """
    twins = find_twins(map(str, paths))
    if twins is None:
        return ()
    if twins.first == twins.second:
        raise UsageError(f"{twins.first} is given twice", "name each file once")
    if twins.linked:
        raise UsageError(
            f"{twins.first} and {twins.second} are one file under two names", "name each file once"
        )
    text = f"{twins.second} is a copy of {twins.first}: the same frames count twice, so held-out"
    return (f"{text} scores and intervals are better than they should be; leave one out",)


def stamp(path: Any) -> tuple[str, int, int]:
    """A path with the size and the modification time of its file, -1 where there is none."""
    try:
        found = Path(path).stat()
    except OSError:
        # The reader says what is wrong with it, in better words.
        return (str(path), -1, -1)
    return (str(path), found.st_size, found.st_mtime_ns)


def check_unchanged(opened: Opened) -> None:
    """Raise DataError if a file changed since it was opened."""
    for path, size, modified in opened.stamps:
        if stamp(path) != (path, size, modified):
            raise DataError(
                f"{path} changed while it was read (is the simulation still writing?)",
                "fit a copy, or give --end",
            )


def summarize(opened: Opened, progress: Progress, test: Opened | None = None) -> InputSummary:
    """What was read, and what a separate test set is, with the sha256 of every file."""
    stream = opened.stream
    return InputSummary(
        opened.trajectories[0].kind if opened.trajectories else "array",
        _files(opened, progress),
        stream.n_frames,
        stream.n_features,
        stream.dt,
        () if test is None else _files(test, progress),
    )


def _files(opened: Opened, progress: Progress) -> tuple[tuple[str, str, int], ...]:
    """(path, sha256, frames) of the files of a source, (label, "", frames) of arrays."""
    stream = opened.stream
    if not opened.trajectories:
        return tuple((label, "", n) for label, n in zip(stream.labels, stream.lengths, strict=True))
    records = [file for t in opened.trajectories for file in t.files]
    unique = {record.path: 0 for record in records}
    for record in records:
        unique[record.path] += record.frames
    total = sum(Path(path).stat().st_size for path in unique)
    with progress("hashing", total) as advance:
        return tuple((path, sha256(path, advance), n) for path, n in unique.items())


def reopen(
    paths: Sequence[str | os.PathLike[str]],
    spec: FeatureSpec,
    read: ReadOptions,
    progress: Progress,
) -> FeatureStream:
    """The features of a stored model from other paths."""
    trajectories = open_trajectories(paths, read, progress)
    if spec.kind == "field":
        return rebuild_field(trajectories, spec, read, progress)
    return rebuild_features(
        trajectories, spec, drop_nonfinite=read.drop_nonfinite, progress=progress
    )


def contents(
    files: tuple[tuple[str, str, int], ...], stream: FeatureStream | None
) -> list[str] | None:
    """SHA-256 of the files of a source, or of its columns where it is not of files."""
    if stream is None:
        return None
    found = [sha for _, sha, _ in files if sha]
    if not found:
        digest = hashlib.sha256()
        for i in range(len(stream.labels)):
            for chunk in stream.chunks(i):
                digest.update(chunk.tobytes())
        found = [digest.hexdigest()]
    return found
