"""A run of snapshots as the analysis sees it: geometry, times, and blocks of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.geometry import Geometry
from koopman_cli.io.parts import Part
from koopman_cli.io.source import check_unchanged


@dataclass(frozen=True)
class FieldRun:
    """One or several files that are one run.

    times : (n_frames,) stamps in ``unit``, None where the files keep none
    weights : (cells,) named by --area-weights, None otherwise
    """

    parts: tuple[Part, ...]
    geometry: Geometry
    times: NDArray[np.float64] | None
    unit: str
    weights: NDArray[np.float64] | None

    @property
    def n_frames(self) -> int:
        """Snapshots of all parts."""
        return sum(part.n_frames for part in self.parts)

    def cells(self, start: int, stop: int, dtype: str) -> NDArray[np.floating]:
        """All frames of some cells, (n_frames, stop - start)."""
        out = np.empty((self.n_frames, stop - start), dtype)
        at = 0
        for part in self.parts:
            frames = slice(part.start, part.stop, part.step)
            out[at : at + part.n_frames] = part.source.field.block(frames, slice(start, stop))
            at += part.n_frames
        return out

    def check_unchanged(self) -> None:
        """Raise a DataError if a file was modified since it was opened."""
        for part in self.parts:
            check_unchanged(part.source)


def field_run(parts: Sequence[Part]) -> FieldRun:
    """The parts of one run, once their geometries agree.

    Raises
    ------
    DataError
        If two files differ in variables, grid or coordinates.
    """
    first = parts[0].source
    for part in parts[1:]:
        differ = first.field.geometry.differs(part.source.field.geometry)
        if differ:
            raise DataError(
                f"{first.path} and {part.source.path} differ: {differ}",
                "give files of the same variables and grid",
            )
    stamps = [p.source.stamps for p in parts]
    times = None
    if all(s is not None for s in stamps):
        times = np.concatenate(
            [
                s[p.start : p.stop : p.step]
                for s, p in zip(stamps, parts, strict=True)
                if s is not None
            ]
        ).astype(np.float64)
    geometry = first.field.geometry
    if geometry.clock is not None and first.stamps is not None and first.unit != "months":
        geometry = replace(
            geometry, clock=replace(geometry.clock, first=float(first.stamps[parts[0].start]))
        )
    return FieldRun(tuple(parts), geometry, times, first.unit, first.field.weights)
