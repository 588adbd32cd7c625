"""A separate test set: opened like the training data, and checked to be fit to judge a model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from koopman_cli.errors import DataError, UsageError
from koopman_cli.features import rebuild_features
from koopman_cli.features.samefield import more_rows
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
from koopman_cli.io.samefile import find_twins
from koopman_cli.io.times import agree
from koopman_cli.nouns import counted, timed
from koopman_cli.source import Opened, are_paths, check_twins, stamp
from koopman_cli.types import Progress, ReadOptions


def refuse_shared(source: Any, test: Any) -> None:
    """Raise UsageError if a file is to be trained on and tested on, links and copies included.

    Notes
    -----
    Frames that two different files share cannot be seen.
    """
    trained, tested = _paths(source), _paths(test)
    if not trained or not tested:
        return
    twins = find_twins(trained, tested)
    if twins is None:
        return
    how = ""
    if twins.first != twins.second:
        how = f" ({twins.second} is {'the same file' if twins.linked else 'a copy of it'})"
    raise UsageError(
        f"{twins.first} is to be trained on and tested on{how}",
        "give other data to --test, or leave it out for held-out folds",
    )


def _paths(source: Any) -> list[str]:
    if isinstance(source, (str, os.PathLike)):
        return [str(source)]
    if source is None or isinstance(source, FeatureStream) or not are_paths(source):
        return []
    return [str(path) for path in source]


def open_test(
    test: Any, stream: FeatureStream, read: ReadOptions, progress: Progress
) -> Opened | None:
    """A separate test set (paths, arrays or a stream) with the features of ``stream``.

    Parameters
    ----------
    test : paths, arrays, FeatureStream or None
    stream : FeatureStream
        What is trained on.
    read : ReadOptions
        How paths are read; the same as for training.

    Returns
    -------
    Opened or None
        None for no test set. Its stream warns of a time step that one side lacks.

    Raises
    ------
    DataError
        Other columns, another time step, complex values.
    KoopmanError
        What readers and featurizers raise.
    """
    if test is None:
        return None
    opened = _open(test, stream, read, progress)
    warned = _same_step(stream, opened.stream)
    return replace(opened, stream=opened.stream.with_warnings(*warned))


def _open(test: Any, stream: FeatureStream, read: ReadOptions, progress: Progress) -> Opened:
    if isinstance(test, (str, os.PathLike)):
        test = [test]
    if isinstance(test, FeatureStream) or not are_paths(test):
        found = test if isinstance(test, FeatureStream) else FeatureStream.from_arrays(test)
        return Opened(_like(stream, found))
    stamps = tuple(stamp(path) for path in test)
    warned = check_twins(test)
    trajectories = open_trajectories(test, read, progress)
    if stream.field is not None:
        rows = more_rows(stream, trajectories, read).with_warnings(*warned)
        return Opened(rows, trajectories, stamps)
    found = rebuild_features(
        trajectories, stream.spec, drop_nonfinite=read.drop_nonfinite, progress=progress
    )
    return Opened(found.with_warnings(*warned).cached(), trajectories, stamps)


def _like(stream: FeatureStream, test: FeatureStream) -> FeatureStream:
    """Columns in memory as a test set of ``stream``."""
    if stream.field is not None:
        raise UsageError("a test set of arrays for a field", "save it to a file of the same grid")
    if test.n_features != stream.n_features:
        raise DataError(
            f"the test set has {counted(test.n_features, 'column')}, the training set "
            f"{stream.n_features}",
            "give a test set of the same columns in the same order",
        )
    if test.dtype.kind == "c" and stream.dtype.kind != "c":
        raise DataError(
            "the test set is complex, the training set is not", "give real numbers to both"
        )
    return test


def _same_step(stream: FeatureStream, test: FeatureStream) -> Sequence[str]:
    """Raise if the time steps differ; a warning where only one side has one."""
    trained, tested = (s.labels[0] if s.labels else "" for s in (stream, test))
    if stream.dt is not None and test.dt is not None:
        agree([(trained, stream.dt), (tested, test.dt)])
        return ()
    known = stream.dt or test.dt
    if known is None:
        return ()
    has, lacks = (trained, tested) if stream.dt is not None else (tested, trained)
    step = timed(known.value, known.unit, "g")
    return (f"{lacks} has no time step; it is taken to be the {step} of {has}",)
