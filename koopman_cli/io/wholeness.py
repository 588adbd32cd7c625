"""Is the molecule whole, and is the cell always there? Watched while frames are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from koopman_cli.nouns import counted, verb
from koopman_cli.types import Frames

#: No covalent bond between elements is longer (nm).
MAX_BOND = 0.3


@dataclass
class FrameWatch:
    """Counts the frames of one trajectory that need a word, in its first complete reading.

    broken, first : frames with a bond longer than :data:`MAX_BOND`, and the first of them
    celled, total : frames with a valid cell, and all
    """

    bonds: NDArray[np.int64]
    broken: int = 0
    first: int | None = None
    celled: int = 0
    total: int = 0
    done: bool = False

    def see(self, frames: Frames) -> None:
        """Look at a chunk of frames; nearest images are not taken."""
        from mdtraj.geometry.distance import compute_distances_core

        if self.done:
            return
        if frames.start == 0:  # an interrupted reading starts again
            self.broken = self.celled = self.total = 0
            self.first = None
        self.total += len(frames.values)
        self.celled += 0 if frames.cell is None else len(frames.values)
        if not len(self.bonds):
            return
        xyz = np.ascontiguousarray(frames.values, np.float32)
        lengths = compute_distances_core(xyz, self.bonds, periodic=False)
        far = np.flatnonzero((lengths > MAX_BOND).any(axis=1))
        if len(far) and self.first is None:
            self.first = frames.start + int(far[0])
        self.broken += len(far)


def frame_warnings(watches: Sequence[FrameWatch], labels: Sequence[str]) -> tuple[str, ...]:
    """What complete readings have noticed: broken molecules, cells that come and go."""
    watched = [(w, label) for w, label in zip(watches, labels, strict=True) if w.done]
    total = sum(w.total for w, _ in watched)
    celled = sum(w.celled for w, _ in watched)
    said = []
    if 0 < celled < total:
        said.append(
            f"{total - celled} of {counted(total, 'frame')} {verb(total - celled, 'has', 'have')} "
            "no valid unit cell: no nearest images there"
        )
    broken = [(w, label) for w, label in watched if w.broken]
    if broken:
        watch, label = broken[0]
        effect = (
            "torsions and distances are of whole molecules, positions and rmsd are wrong there"
            if celled
            else "without a valid unit cell the features are wrong there"
        )
        said.append(
            f"bonded atoms are more than {MAX_BOND} nm apart in "
            f"{sum(w.broken for w, _ in broken)} of {counted(total, 'frame')} "
            f"(first: {label}, frame {watch.first}); the molecule is broken across the periodic "
            f"boundary: {effect}; make molecules whole before the analysis"
        )
    return tuple(said)
