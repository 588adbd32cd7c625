"""Sources made readable: paths, arrays or streams to features, with the files behind them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.features import build_features, rebuild_features
from koopman_cli.features.field import build_field, more_rows, rebuild_field
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
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
        stamps = tuple(_stamp(path) for path in source)
        trajectories = open_trajectories(source, read, progress)
        if trajectories[0].kind == "field":
            stream = build_field(trajectories, spec, read, progress)
        else:
            stream = build_features(
                trajectories, spec, drop_nonfinite=read.drop_nonfinite, progress=progress
            )
        # Stored with the model, so that new data give the same atoms.
        stream = replace(stream, spec=replace(stream.spec, select=read.select))
        return Opened(stream, trajectories, stamps)
    arrays: Any = source
    stream = FeatureStream.from_arrays(arrays)
    if spec not in (None, "identity"):
        raise UsageError(
            f"features {spec!r} of arrays in memory", "featurize them first, or save them to a file"
        )
    return Opened(stream)


def are_paths(source: Any) -> TypeGuard[Sequence[str | os.PathLike[str]]]:
    """Whether a source is a sequence of paths."""
    return not isinstance(source, np.ndarray) and all(
        isinstance(item, (str, os.PathLike)) for item in source
    )


def _stamp(path: Any) -> tuple[str, int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        # The reader says what is wrong with it, in better words.
        return (str(path), -1, -1)
    return (str(path), found.st_size, found.st_mtime_ns)


def check_unchanged(opened: Opened) -> None:
    """Raise DataError if a file changed since it was opened."""
    for path, size, modified in opened.stamps:
        if _stamp(path) != (path, size, modified):
            raise DataError(
                f"{path} changed while it was read (is the simulation still writing?)",
                "fit a copy, or give --end",
            )


def summarize(opened: Opened, progress: Progress) -> InputSummary:
    """What was read, with the sha256 of every file."""
    stream = opened.stream
    if not opened.trajectories:
        files = tuple(
            (label, "", n) for label, n in zip(stream.labels, stream.lengths, strict=True)
        )
        return InputSummary("array", files, stream.n_frames, stream.n_features, stream.dt)
    records = [file for t in opened.trajectories for file in t.files]
    unique = {record.path: 0 for record in records}
    for record in records:
        unique[record.path] += record.frames
    total = sum(Path(path).stat().st_size for path in unique)
    with progress("hashing", total) as advance:
        files = tuple((path, _sha256(path, advance), n) for path, n in unique.items())
    kind = opened.trajectories[0].kind
    return InputSummary(kind, files, stream.n_frames, stream.n_features, stream.dt)


def _sha256(path: str, advance: Any) -> str:
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
            advance(len(piece))
    return digest.hexdigest()


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


def open_test(
    test: Any, stream: FeatureStream, read: ReadOptions, progress: Progress
) -> FeatureStream | None:
    """A separate test set (paths or arrays) with the features of ``stream``; None for none."""
    if test is None:
        return None
    if isinstance(test, (str, os.PathLike)):
        test = [test]
    if are_paths(test):
        trajectories = open_trajectories(test, read, progress)
        if stream.field is not None:
            return more_rows(stream, trajectories, read)
        return rebuild_features(
            trajectories, stream.spec, drop_nonfinite=read.drop_nonfinite, progress=progress
        ).cached()
    return FeatureStream.from_arrays(test)
