"""Which atoms hang together, and how molecules are made whole in a periodic cell.

Distances inside a molecule are those of the whole molecule, never those to its own image: in a
cell less than twice its size the nearest image of a far atom is another one.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def real_bonds(topology: Any) -> NDArray[np.int64]:
    """(b, 2) atoms of the bonds between elements; beads and virtual sites may be far apart."""
    bonds = [
        (a.index, b.index)
        for a, b in topology.bonds
        if all(getattr(x.element, "symbol", "VS") not in ("VS", "") for x in (a, b))
    ]
    return np.array(bonds, np.int64).reshape(-1, 2)


def _backbone(topology: Any) -> NDArray[np.int64]:
    """(b, 2) CA atoms of neighbouring residues: what holds a selection of CA atoms together."""
    pairs = []
    for chain in topology.chains:
        found = [(r.index, [a.index for a in r.atoms if a.name == "CA"]) for r in chain.residues]
        for (i, first), (j, second) in pairwise(found):
            if first and second and j == i + 1:
                pairs.append((first[0], second[0]))
    return np.array(pairs, np.int64).reshape(-1, 2)


@dataclass(frozen=True)
class Molecules:
    """The molecules of a topology, by its bonds.

    number : (atoms,) molecule of each atom
    bonds : (b, 2) atoms
    levels : (k, 2) arrays of parents and children, to be walked in order from one atom of each
        molecule to all others
    """

    number: NDArray[np.int64]
    bonds: NDArray[np.int64]
    levels: tuple[NDArray[np.int64], ...]

    @classmethod
    def of(cls, topology: Any) -> Molecules:
        """The molecules of an mdtraj topology, found once for each.

        Atoms without a bond between them (beads, a file that stores none) are molecules of
        their own, except CA atoms of neighbouring residues of a chain.
        """
        known = _KNOWN.get(id(topology))
        if known is None or known[0]() is not topology:
            # By identity: topologies compare and hash all their atoms.
            known = (weakref.ref(topology), cls._found(topology))
            weakref.finalize(topology, _KNOWN.pop, id(topology), None).atexit = False
            _KNOWN[id(topology)] = known
        return known[1]

    @classmethod
    def _found(cls, topology: Any) -> Molecules:
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        count = topology.n_atoms
        bonds = np.concatenate([real_bonds(topology), _backbone(topology)])
        ones = np.ones(len(bonds), np.int8)
        graph = coo_matrix((ones, (bonds[:, 0], bonds[:, 1])), shape=(count, count))
        number = connected_components(graph, directed=False)[1].astype(np.int64)
        return cls(number, bonds, _levels(bonds, number))

    def together(self, pairs: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which (p, 2) atom pairs are of one molecule."""
        result: NDArray[np.bool_] = self.number[pairs[:, 0]] == self.number[pairs[:, 1]]
        return result

    def whole(self, xyz: NDArray[Any], cell: NDArray[Any] | None) -> NDArray[Any]:
        """Coordinates with every molecule in one piece.

        Parameters
        ----------
        xyz : (n, atoms, 3)
        cell : (n, 3, 3) box vectors, or None where there are none

        Returns
        -------
        (n, atoms, 3) array
            ``xyz`` itself where nothing is broken.
        """
        if cell is None or not len(self.bonds):
            return xyz
        steps = xyz[:, self.bonds[:, 1]] - xyz[:, self.bonds[:, 0]]
        with np.errstate(over="ignore", invalid="ignore"):
            longest = np.sqrt(np.einsum("nbk,nbk->nb", steps, steps).max(axis=1))
        broken = np.flatnonzero(longest > heights(cell).min(axis=1) / 2)
        if not len(broken):
            return xyz
        box = cell[broken].astype(np.float64)
        inverse = np.linalg.inv(box)
        walked = xyz[broken].astype(np.float64)
        raw = walked.copy()
        for level in self.levels:
            parents, children = level[:, 0], level[:, 1]
            step = raw[:, children] - raw[:, parents]
            with np.errstate(invalid="ignore"):
                step -= np.round(step @ inverse) @ box
            walked[:, children] = walked[:, parents] + step
        result = xyz.copy()
        result[broken] = walked
        return result

    def fit_into(self, xyz: NDArray[Any], cell: NDArray[Any]) -> bool:
        """Whether no molecule of a frame (1, atoms, 3) is longer than its cell is high.

        A larger one would lie in its own image. Molecules without end (a sheet bonded to its
        image) are not judged.
        """
        if not len(self.bonds) or not np.isfinite(xyz).all():
            return True
        xyz = self.whole(xyz, cell)[0]
        box = cell[0].astype(np.float64)
        normals = np.linalg.inv(box).T
        height = heights(cell)[0]
        along = xyz @ (normals / np.linalg.norm(normals, axis=1)[:, None]).T
        ends = np.abs(along[self.bonds[:, 1]] - along[self.bonds[:, 0]])
        if (ends > height / 2).any():
            return bool(height.min() > 2 * _LONGEST)
        extent = np.full((self.number.max() + 1, 3), -np.inf)
        lowest = np.full_like(extent, np.inf)
        np.maximum.at(extent, self.number, along)
        np.minimum.at(lowest, self.number, along)
        return bool(((extent - lowest) < height).all())


#: Molecules of topologies by their identity, for as long as these live.
_KNOWN: dict[int, tuple[weakref.ref[Any], Molecules]] = {}

#: A bond between two elements is shorter (nm), also that of heavy metals.
_LONGEST = 0.3


def heights(cell: NDArray[Any]) -> NDArray[np.float64]:
    """Distances (n, 3) between opposite faces of cells (n, 3, 3).

    >>> heights(np.diag([1.0, 2.0, 3.0])[None]).tolist()
    [[1.0, 2.0, 3.0]]
    """
    inverse = np.linalg.inv(np.asarray(cell, np.float64))
    result: NDArray[np.float64] = 1.0 / np.linalg.norm(inverse, axis=1)
    return result


def _levels(bonds: NDArray[np.int64], number: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """Bonds as (parent, child), grouped by their distance from the first atom of a molecule."""
    both = np.concatenate([bonds, bonds[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    starts = np.searchsorted(both[:, 0], np.arange(len(number) + 1))
    reached = np.zeros(len(number), bool)
    front = np.unique(number, return_index=True)[1]
    reached[front] = True
    found: list[NDArray[np.int64]] = []
    while True:
        spans = [np.arange(starts[a], starts[a + 1]) for a in front]
        edges = both[np.concatenate(spans)] if spans else both[:0]
        edges = edges[~reached[edges[:, 1]]]
        edges = edges[np.unique(edges[:, 1], return_index=True)[1]]
        if not len(edges):
            return tuple(found)
        found.append(edges)
        front = edges[:, 1]
        reached[front] = True
