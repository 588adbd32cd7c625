"""Is the molecule whole, and is the cell always there? Watched while frames are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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
    stray, imaged : those that nearest images do not mend, and how many of these have a cell
    celled, total : frames with a valid cell, and all
    """

    bonds: NDArray[np.int64]
    broken: int = 0
    stray: int = 0
    imaged: int = 0
    first: int | None = None
    celled: int = 0
    total: int = 0
    done: bool = False

    def see(self, frames: Frames) -> None:
        """Look at a chunk of frames, at nearest images only where a bond is too long."""
        from mdtraj.geometry.distance import compute_distances_core

        if self.done:
            return
        if frames.start == 0:  # an interrupted reading starts again
            self.broken = self.stray = self.imaged = self.celled = self.total = 0
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
        if frames.cell is None or not len(far):
            self.stray += len(far)
            return
        apart = _still_apart(xyz[far], np.asarray(frames.cell)[far], self.bonds)
        self.stray += apart
        self.imaged += apart


def _still_apart(xyz: NDArray[Any], cell: NDArray[Any], bonds: NDArray[np.int64]) -> int:
    """Frames with a bond too long in nearest images also, which no boundary explains.

    A bond is far shorter than half a cell, so that what it spans in units of the cell rounds to
    the image that its ends are apart, skewed cells included.

    >>> atoms = np.array([[[0.0, 0, 0], [2.95, 0, 0]], [[0, 0, 0], [1.5, 0, 0]]])
    >>> _still_apart(atoms, np.stack([3 * np.eye(3)] * 2), np.array([[0, 1]]))
    1
    """
    spans = (xyz[:, bonds[:, 1]] - xyz[:, bonds[:, 0]]).astype(np.float64)
    boxes = cell.astype(np.float64)
    spans -= np.round(spans @ np.linalg.inv(boxes)) @ boxes
    return int((np.linalg.norm(spans, axis=2) > MAX_BOND).any(axis=1).sum())


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
    broken = [w for w, _ in watched if w.broken]
    if broken:
        label = next(label for w, label in watched if w.broken)
        said.append(
            f"bonded atoms are more than {MAX_BOND} nm apart in "
            f"{sum(w.broken for w in broken)} of {counted(total, 'frame')} "
            f"(first: {label}, frame {broken[0].first})" + _cause(broken)
        )
    return tuple(said)


def _cause(broken: Sequence[FrameWatch]) -> str:
    """What holds bonded atoms apart, as far as nearest images tell, and the cure."""
    if not sum(w.stray for w in broken):
        return (
            "; the molecule is broken across the periodic boundary: torsions and distances are "
            "of whole molecules, positions and rmsd are wrong there; make molecules whole before "
            "the analysis"
        )
    imaged = sum(w.imaged for w in broken)
    unsure = "" if imaged else ", or molecules are broken across a periodic boundary"
    whole = "" if imaged else ", or make molecules whole"
    images = f", nearest images in {imaged} of them too" if imaged else ""
    return (
        f"{images}; the topology or its order of atoms does not belong to the trajectory{unsure}: "
        f"features are wrong there; give the --top that the trajectory was written with{whole}"
    )
