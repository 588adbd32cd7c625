"""Is the molecule whole? Bonded atoms that are far apart say no."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.base import Chunk

#: No covalent bond between elements is longer (nm).
MAX_BOND = 0.3


@dataclass
class BondWatch:
    """Counts the frames of one trajectory in which a bond is longer than :data:`MAX_BOND`.

    Counted once however often the trajectory is read: :meth:`finish` ends the first reading.
    """

    bonds: NDArray[np.int64]
    broken: int = 0
    first: int | None = None
    periodic: bool = False
    done: bool = False
    pending: list[int] = field(default_factory=list)

    def see(self, chunk: Chunk) -> None:
        """Look at a chunk of frames; nearest images are not taken."""
        from mdtraj.geometry.distance import compute_distances_core

        if self.done or not len(self.bonds):
            return
        if chunk.frames.start == 0:  # an interrupted reading starts again
            self.pending.clear()
        self.periodic = chunk.frames.cell is not None
        lengths = compute_distances_core(chunk.xyz, self.bonds, periodic=False)
        far = np.flatnonzero((lengths > MAX_BOND).any(axis=1))
        self.pending += (chunk.frames.start + far).tolist()

    def finish(self) -> None:
        """End of the first complete reading."""
        if not self.done and self.pending:
            self.broken, self.first = len(self.pending), self.pending[0]
        self.pending.clear()
        self.done = True


def real_bonds(topology: Any) -> NDArray[np.int64]:
    """(b, 2) atoms of the bonds between elements; beads and virtual sites may be far apart."""
    bonds = [
        (a.index, b.index)
        for a, b in topology.bonds
        if all(getattr(x.element, "symbol", "VS") not in ("VS", "") for x in (a, b))
    ]
    return np.array(bonds, np.int64).reshape(-1, 2)


def broken_warning(
    watches: list[BondWatch], labels: tuple[str, ...], frames: int
) -> tuple[str, ...]:
    """The one warning about all broken frames of the input; none where there are none."""
    count = sum(w.broken for w in watches)
    where = next(((w, name) for w, name in zip(watches, labels, strict=True) if w.broken), None)
    if where is None:
        return ()
    effect = (
        "torsions and distances take nearest images; positions and rmsd are wrong there"
        if where[0].periodic
        else "without a valid unit cell the features are wrong there"
    )
    text = (
        f"bonded atoms are more than {MAX_BOND} nm apart in {count} of {frames} frames "
        f"(first: {where[1]}, frame {where[0].first}): the molecule is broken across the "
        f"periodic boundary; {effect}. Make molecules whole before the analysis"
    )
    return (text,)
