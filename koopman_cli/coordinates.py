"""``koopman transform`` as a function: slow coordinates of new data from a stored model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.domain import leverage
from koopman_cli.errors import DataError, SupportError, UsageError, did_you_mean
from koopman_cli.features.stream import FeatureStream
from koopman_cli.nouns import counted, verb
from koopman_cli.results import project
from koopman_cli.source import (
    Source,
    are_paths,
    reopen,
)
from koopman_cli.store.coordinates import Coordinates
from koopman_cli.types import Model, Progress, ReadOptions, no_progress

#: Share of frames outside the domain above which it is worth a warning; 0.1% of the training
#: frames are outside by definition.
EXPECTED_OUTSIDE = 0.01


@dataclass(frozen=True)
class Transformed:
    """Slow coordinates of new data: ``runs``, one per trajectory, each read in chunks."""

    runs: tuple[Coordinates, ...]
    stream: FeatureStream

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was noticed; complete once every trajectory has been read."""
        return self.stream.warnings + tuple(
            f"{run.label}: {far} of {counted(run.frames, 'frame')} {verb(far, 'lie')} outside the "
            "domain where the model was trained; their coordinates are extrapolated"
            for run, far in zip(self.runs, self.outside, strict=True)
            if far > EXPECTED_OUTSIDE * run.frames
        )

    @property
    def outside(self) -> tuple[int, ...]:
        """Frames of each trajectory outside the domain of the model, once it has been read."""
        return tuple(
            0 if run.outside is None else int(np.count_nonzero(run.outside())) for run in self.runs
        )


SCALINGS = ("none", "kinetic", "commute")


def scaling_factors(model: Model, scaling: str) -> NDArray[np.float64]:
    """Factor of each slow coordinate.

    "none": unit variance; "kinetic": times |lambda| (Noe and Clementi 2015); "commute":
    times sqrt(t / 2) with t in the unit of the lag (Noe, Banisch and Clementi 2016).

    Raises
    ------
    UsageError, SupportError
        No such scaling; commute without timescales.
    """
    if scaling not in SCALINGS:
        raise UsageError(f"no such scaling: {scaling!r}", did_you_mean(scaling, SCALINGS))
    k = model.dim
    if scaling == "none":
        return np.ones(k)
    values = model.eigenvalues if model.eigenvalues is not None else model.singular_values
    assert values is not None
    size = np.abs(values[:k])
    if scaling == "kinetic":
        return size
    if model.eigenvalues is None or np.any((size <= 0) | (size >= 1)):
        raise SupportError(
            "the commute map needs a timescale for every mode, which this model does not have",
            "use --scaling none or kinetic, or a smaller dim",
        )
    return np.sqrt(-model.lag.value / np.log(size) / 2)


def transform(
    model: Model,
    source: Source,
    *,
    read: ReadOptions | None = None,
    scaling: str = "none",
    progress: Progress = no_progress,
) -> Transformed:
    """Slow coordinates of new trajectories from a stored model.

    Parameters
    ----------
    model : Model
        From :func:`koopman_cli.fit` or :func:`koopman_cli.store.load_model`.
    source : paths, arrays or FeatureStream
        Must give the features of the model, by name and order.
    scaling : {"none", "kinetic", "commute"}

    Returns
    -------
    Transformed

    Raises
    ------
    DataError
        If names, order or number of the features differ from those of the model.

    Examples
    --------
    >>> from koopman_cli import FitOptions, fit
    >>> x = np.random.default_rng(0).standard_normal((500, 3)).cumsum(axis=0)
    >>> model = fit(x, FitOptions(lag="1", dim="2")).model
    >>> (run,) = transform(model, x).runs
    >>> run.array().shape, bool(np.abs(run.array()[:-1].mean(axis=0)).max() < 1e-9)
    ((500, 2), True)
    """
    factors = scaling_factors(model, scaling)
    stream = _features_of(model, source, read or ReadOptions(), progress)
    flags = tuple(np.zeros(n, bool) for n in stream.lengths)

    def rows(i: int) -> Iterator[NDArray[np.float64]]:
        at = 0
        for chunk in stream.chunks(i):
            if model.domain is not None:
                far = leverage(model.domain, chunk) > model.domain.limit
                flags[i][at : at + len(chunk)] = far
            at += len(chunk)
            yield project(model, chunk)[:, : model.dim] * factors

    runs = tuple(
        Coordinates(
            label,
            n,
            model.dim,
            partial(stream.frame_index, i),
            partial(rows, i),
            None if model.domain is None else partial(flags.__getitem__, i),
        )
        for i, (label, n) in enumerate(zip(stream.labels, stream.lengths, strict=True))
    )
    return Transformed(runs, stream)


def _features_of(
    model: Model, source: Source, read: ReadOptions, progress: Progress
) -> FeatureStream:
    """The features of a model from new data."""
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    if isinstance(source, FeatureStream):
        stream = source
    elif are_paths(source):
        read = replace(read, select=read.select or model.features.select)
        stream = reopen(source, model.features, read, progress)
    else:
        arrays: Any = source
        stream = FeatureStream.from_arrays(arrays)
    if stream.n_features != len(model.features.names):
        raise DataError(
            f"the input has {counted(stream.n_features, 'feature')}, the model "
            f"{len(model.features.names)}",
            "give the features the model was fitted on",
        )
    return stream
