"""Reading with eyes open: impossible coordinates, missing cells, files that change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.cells import valid_cells
from koopman_cli.io.molecules import Molecules
from koopman_cli.io.source import Chunk, Source, check_unchanged
from koopman_cli.nouns import counted
from koopman_cli.types import Frames

#: No coordinate of a real system is this far from the origin (xtc clips at 2147483 nm).
LARGEST_NM = 1e4


@dataclass(frozen=True)
class Part:
    """Frames start, start + step, ... below stop of one file."""

    source: Source
    start: int
    stop: int
    step: int

    @property
    def n_frames(self) -> int:
        """Frames taken, of all members together."""
        return len(range(self.start, self.stop, self.step)) * max(1, self.source.members)


def _beyond(source: Source, values: NDArray[Any], first: int, step: int) -> None:
    """Raise if a finite coordinate is further out than any real one."""
    high, low = values.max(initial=0.0), values.min(initial=0.0)
    if high <= LARGEST_NM and low >= -LARGEST_NM:
        return
    with np.errstate(invalid="ignore"):
        bad = np.isfinite(values) & (np.abs(values) > LARGEST_NM)
    if not bad.any():
        return
    frame, atom, axis = (int(i) for i in np.argwhere(bad)[0])
    name = source.topology.atom(atom) if source.topology is not None else "?"
    raise DataError(
        f"{source.path}: frame {first + frame * step}, atom {atom + 1} ({name}):"
        f" coordinate {values[frame, atom, axis]:.8g} nm is beyond {LARGEST_NM:g} nm",
        "the frame is damaged or its unit is wrong; leave it out with --begin and --end",
    )


def _cells(source: Source, chunk: Chunk, first: int, step: int, use: bool | None) -> bool:
    """Whether this file has a cell: its first frame decides, the others must follow.

    A cell that is smaller than a molecule in it is none.
    """
    if chunk.cell is None or use is False:
        return False
    good = valid_cells(chunk.cell)
    if use is None:
        use = bool(good[0])
        if use and source.topology is not None:
            molecules = Molecules.of(source.topology)
            use = molecules.fit_into(np.asarray(chunk.values[:1]), chunk.cell[:1])
    if use and not good.all():
        frame = first + int(np.flatnonzero(~good)[0]) * step
        raise DataError(
            f"{source.path}: frame {frame} has no valid unit cell, the frames before have",
            "repair the cell of that frame, or leave it out with --begin and --end",
        )
    return use


def read_part(part: Part, size: int) -> Iterator[Frames]:
    """Checked frames of one part; ``start`` counts from the start of the part."""
    source, at, use = part.source, 0, None
    chunks = source.read(part.start, part.stop, part.step, size)
    for chunk in chunks:
        raw = part.start + at * part.step
        cell = None
        if source.kind == "md":
            _beyond(source, chunk.values, raw, part.step)
            use = _cells(source, chunk, raw, part.step, use)
            cell = chunk.cell if use else None
        time = None
        if source.stamps is not None and not source.members:
            last = raw + len(chunk.values) * part.step
            time = source.stamps[raw : min(last, part.stop) : part.step]
        yield Frames(at, chunk.values, cell, time)
        at += len(chunk.values)
    if at != part.n_frames:
        raise DataError(
            f"{source.path}: {at} of {counted(part.n_frames, 'frame')} could be read",
            "copy the file again",
        )
    check_unchanged(source)


def read_parts(parts: tuple[Part, ...], size: int) -> Iterator[Frames]:
    """The frames of several parts as those of one run."""
    if size < 1:
        raise ValueError("a chunk holds at least one frame")
    done = 0
    for part in parts:
        for frames in read_part(part, size):
            yield replace(frames, start=done + frames.start)
        done += part.n_frames
