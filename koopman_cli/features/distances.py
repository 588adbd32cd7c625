"""Distances: between CA atoms, heavy atoms, residues.

Inside a molecule they are those of the whole molecule; between molecules those of nearest
images where the cell is valid.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.available import ca_atoms, heavy_atoms, missing
from koopman_cli.features.base import AtomLabels, Block, Chunk, Context, State, check_width
from koopman_cli.io.molecules import Molecules
from koopman_cli.nouns import counted

#: Residues closer than this along the chain are always near each other: no contact.
MIN_SEPARATION = 3

#: Bytes of atom-atom distances held at a time while contacts are computed.
TILE_BYTES = 8 * 2**20


def pair_distances(
    chunk: Chunk, pairs: NDArray[np.int64], molecules: Molecules
) -> NDArray[np.float32]:
    """Distances of atom pairs; of nearest images for two molecules where the cell is valid.

    Parameters
    ----------
    chunk : Chunk
    pairs : (p, 2) int array
    molecules : Molecules

    Returns
    -------
    (n, p) float32 array
        In nm.
    """
    from mdtraj.geometry.distance import compute_distances_core

    if chunk.frames.cell is None:
        return np.asarray(compute_distances_core(chunk.xyz, pairs))
    inside = molecules.together(pairs)
    if not inside.any():
        return _nearest(chunk, pairs)
    xyz = chunk.shared("whole", lambda: molecules.whole(chunk.xyz, chunk.frames.cell))
    if inside.all():
        return np.asarray(compute_distances_core(xyz, pairs))
    result = np.empty((len(chunk), len(pairs)), np.float32)
    result[:, inside] = compute_distances_core(xyz, pairs[inside])
    result[:, ~inside] = _nearest(chunk, pairs[~inside])
    return result


def _nearest(chunk: Chunk, pairs: NDArray[np.int64]) -> NDArray[np.float32]:
    import mdtraj

    # mdtraj's own periodic distances pay a Python loop over frames; displacements do not.
    steps = mdtraj.compute_displacements(chunk.trajectory, pairs)
    return np.asarray(np.sqrt(np.einsum("npk,npk->np", steps, steps)))


def cell_note(context: Context) -> tuple[str, ...]:
    """Says whether distances are those of nearest images."""
    if context.frame().cell is None:
        why = "no valid unit cell (none, or one smaller than a molecule)"
        return (f"{context.first.label}: {why}, so distances take no nearest image",)
    inside = "those inside one are of the whole molecule"
    return (f"the unit cell is valid: distances between molecules are of nearest images, {inside}",)


def _atom_pairs(
    context: Context, atoms: NDArray[np.int64], what: str, prefix: str
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    topology = context.first.topology
    count = len(atoms)
    if count < 2:
        raise missing(what, topology)
    check_width(
        count * (count - 1) // 2,
        f"{what} of {counted(count, 'atom', ',')}",
        'select fewer atoms (--select "name CA") or take contacts:closest-heavy or torsions',
    )
    labels = AtomLabels.of(topology, atoms.tolist())
    names = [labels.atom(topology.atom(int(i))) for i in atoms]
    pairs = np.array(list(combinations(atoms.tolist(), 2)), np.int64)
    return pairs, tuple(f"{prefix} {a} {b}" for a, b in combinations(names, 2))


def prepare_ca(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``ca-distances``: all pairs of CA atoms.

    Raises
    ------
    DataError
        If there are fewer than two.
    """
    atoms = ca_atoms(context.first.topology)
    pairs, names = _atom_pairs(context, atoms, "ca-distances", "d")
    return _distance_block(context, pairs, names, "nm", lambda d: d)


def prepare_heavy(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``heavy-distances``: all pairs of heavy atoms.

    Raises
    ------
    DataError
        If there are fewer than two.
    """
    atoms = heavy_atoms(context.first.topology)
    pairs, names = _atom_pairs(context, atoms, "heavy-distances", "d")
    return _distance_block(context, pairs, names, "nm", lambda d: d)


def prepare_inverse(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``inverse-distances``: one over the distance of all pairs of heavy atoms.

    Raises
    ------
    DataError
        If there are fewer than two heavy atoms.
    """
    atoms = heavy_atoms(context.first.topology)
    pairs, names = _atom_pairs(context, atoms, "inverse-distances", "1/d")
    return _distance_block(context, pairs, names, "1/nm", np.reciprocal)


def _distance_block(
    context: Context,
    pairs: NDArray[np.int64],
    names: tuple[str, ...],
    unit: str,
    change: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Block:
    molecules = Molecules.of(context.first.topology)
    return Block(
        names=names,
        units=(unit,) * len(names),
        compute=lambda chunk: change(pair_distances(chunk, pairs, molecules)),
        scratch=16 * len(pairs),
        notes=cell_note(context),
        explain=lambda column: "; its two atoms coincide" if unit == "1/nm" else "",
    )


class Contacts(NamedTuple):
    """Atom pairs (p, 2) sorted by residue pair, first row of each pair, residue pairs (r, 2)."""

    atoms: NDArray[np.int64]
    starts: NDArray[np.int64]
    residues: NDArray[np.int64]


def find_contacts(topology: Any) -> Contacts:
    """Heavy-atom pairs of residues at least three apart in a chain, or in different chains.

    Water and residues without heavy atoms take no part.
    """
    members: dict[int, list[int]] = {}
    for i in heavy_atoms(topology).tolist():
        residue = topology.atom(i).residue
        if not residue.is_water:
            members.setdefault(residue.index, []).append(i)
    residues = [topology.residue(r) for r in members]
    count = len(residues)
    check_width(
        max(0, (count - MIN_SEPARATION) * (count - MIN_SEPARATION + 1) // 2),
        f"contacts of {counted(count, 'residue', ',')}",
        "select fewer residues (--select)",
    )
    found = [
        (a.index, b.index)
        for a, b in combinations(residues, 2)
        if a.chain.index != b.chain.index or b.index - a.index >= MIN_SEPARATION
    ]
    blocks = [
        np.stack(np.meshgrid(members[a], members[b], indexing="ij"), -1).reshape(-1, 2)
        for a, b in found
    ]
    sizes = [len(block) for block in blocks]
    return Contacts(
        np.concatenate(blocks) if blocks else np.empty((0, 2), np.int64),
        np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64),
        np.array(found, np.int64).reshape(-1, 2),
    )


def prepare_contacts(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``contacts:closest-heavy``: smallest heavy-atom distance of each pair of residues.

    Raises
    ------
    DataError
        If no two residues are far enough apart along the chain.
    """
    topology = context.first.topology
    contacts = find_contacts(topology)
    if not len(contacts.residues):
        raise missing("contacts:closest-heavy", topology)
    labels = AtomLabels.of(topology, np.unique(contacts.atoms).tolist()).residues
    count = len(contacts.residues)
    molecules = Molecules.of(topology)
    return Block(
        names=tuple(f"contact {labels[a]} {labels[b]}" for a, b in contacts.residues.tolist()),
        units=("nm",) * count,
        compute=lambda chunk: _closest(chunk, contacts, molecules),
        scratch=4 * count,
        notes=cell_note(context),
    )


def _closest(chunk: Chunk, contacts: Contacts, molecules: Molecules) -> NDArray[np.float32]:
    # All atom pairs of a whole chunk would not fit: a few residue pairs at a time.
    result = np.empty((len(chunk), len(contacts.residues)), np.float32)
    ends = np.append(contacts.starts[1:], len(contacts.atoms))
    limit = max(1, TILE_BYTES // (16 * len(chunk)))
    first = 0
    while first < len(ends):
        begin = contacts.starts[first]
        last = max(first + 1, int(np.searchsorted(ends, begin + limit, side="right")))
        d = pair_distances(chunk, contacts.atoms[begin : ends[last - 1]], molecules)
        np.minimum.reduceat(d, contacts.starts[first:last] - begin, 1, out=result[:, first:last])
        first = last
    return result
