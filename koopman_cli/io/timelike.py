"""First columns that nothing names and that rise at every frame, as time does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.io.source import Source
from koopman_cli.nouns import number

#: Frames looked at, at the start and all over the file; fewer than the least tell nothing.
MOST, LEAST = 1000, 20

#: Numbers read at a time while looking.
CELLS = 2**22

#: Steps that differ by less than this share are one step, rounded.
EVEN = 1e-3

#: Columns that are listed in a command.
LISTED = 12


def doubted(source: Source) -> Source:
    """The source with a warning in front where its first column may be the time.

    A column whose values rise at each of the first 1000 frames, and at each of 1000 frames
    all over the file, is no stationary variable: of noise, 20 values rise once in 20! files.
    """
    if source.kind != "array" or source.members or source.stamps is not None:
        return source
    if len(source.names) < 2 or source.dtype.startswith("complex"):
        return source
    count = min(source.n_frames, MOST, CELLS // len(source.names))
    if count < LEAST:
        return source
    start = _first(source, count, 1)
    steps = np.diff(start)
    if not (steps > 0).all():
        return source
    every = max(1, source.n_frames // count)
    if not (np.diff(_first(source, source.n_frames, every)) > 0).all():
        return source
    even = np.abs(steps - steps[0]).max() <= EVEN * steps[0]
    how = f"by a constant {number(float(steps[0]))}" if even else "at every frame"
    name = source.names[0]
    text = (
        f"{source.path}: column {name} rises {how}, as time does, but is used as a feature; "
        f"{_cure(source)}"
    )
    return replace(source, warnings=(text, *source.warnings))


def _first(source: Source, stop: int, step: int) -> NDArray[np.float64]:
    """The first column of some frames."""
    chunks = source.read(0, stop, step, CELLS // len(source.names))
    return np.concatenate([np.asarray(chunk.values[:, 0], np.float64) for chunk in chunks])


def _cure(source: Source) -> str:
    """How to leave it out."""
    others = source.names[1:]
    if source.form not in ("npy", "text table"):
        return "if it is the time, save the other columns as an array of their own"
    listed = "all others" if len(others) > LISTED else ",".join(others)
    named = " or name it 'time' in a header line" if source.form == "text table" else ""
    return f"if it is the time, leave it out with --var {listed}{named}"
