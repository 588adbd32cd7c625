"""Frames that stand for a metastable state: where they are, and their atoms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.pcca import Simplex
from koopman_cli.types import Projection, States, Structures, Trajectory

Matrix = NDArray[np.float64]

#: Memberships above this share of the largest make the core of a state.
CORE = 0.9

#: Structures of each state, and atoms in all of them together (a page stays a few MB).
SAMPLES = 3
MAX_ATOMS = 12_000

#: Structures are looked for among this many frames first, so that a long run need not be read.
EARLY = 20_000


def nearest_to_cores(
    psi: Matrix, member: Matrix, samples: int, among: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], ...]:
    """Rows nearest the mean of the core of each state, in units of the spread, best first.

    Parameters
    ----------
    psi : (n, k) slow functions; member : (n, states) memberships
    samples : int
        At most so many of each state; frames that belong to another state never.
    among : (n,) bool, optional
        Only these are taken where they hold any frame of the state.
    """
    spread = np.where(psi.std(axis=0) > 0, psi.std(axis=0), 1.0)
    owner = np.argmax(member, axis=1)
    found = []
    for i in range(member.shape[1]):
        core = member[:, i] >= CORE * member[:, i].max()
        distance = np.sum(((psi - psi[core].mean(axis=0)) / spread) ** 2, axis=1)
        distance[owner != i] = np.inf
        if among is not None and np.any(core & (owner == i) & among):
            distance[~among] = np.inf
        # Stable, so that equal frames come in time order.
        nearest = np.argsort(distance, kind="stable")[:samples]
        found.append(nearest[np.isfinite(distance[nearest])])
    return tuple(found)


def read_structures(trajectories: Sequence[Trajectory], rows: NDArray[np.int64]) -> Any:
    """Frames as an mdtraj trajectory in the order of ``rows``, (n, 2): trajectory and frame."""
    import mdtraj

    xyz: dict[int, Any] = {}
    cells: dict[int, Any] = {}
    for i, trajectory in enumerate(trajectories):
        wanted: dict[int, list[int]] = {}
        for j, row in enumerate(rows):
            if row[0] == i:
                wanted.setdefault(int(row[1]), []).append(j)
        last = max(wanted, default=-1)
        for chunk in trajectory.read(1000) if wanted else ():
            for frame in sorted(wanted):
                at = frame - chunk.start
                if 0 <= at < len(chunk.values):
                    for j in wanted[frame]:
                        xyz[j] = np.array(chunk.values[at])
                        cells[j] = None if chunk.cell is None else chunk.cell[at]
            if chunk.start + len(chunk.values) > last:
                break
    order = sorted(xyz)
    found = mdtraj.Trajectory(np.array([xyz[j] for j in order]), trajectories[0].topology)
    if order and all(cells[j] is not None for j in order):
        found.unitcell_vectors = np.array([cells[j] for j in order])
    return found


def state_structures(
    states: States | None, projection: Projection, trajectories: Sequence[Trajectory]
) -> Structures | None:
    """Superposed structures near the core of each state; None without states or atoms."""
    if states is None or not trajectories or trajectories[0].topology is None:
        return None
    if projection.values.shape[1] < states.count - 1 or states.count < 2:
        return None
    psi = np.asarray(projection.values[:, : states.count - 1], np.float64)
    member = Simplex(np.asarray(states.matrix), np.empty((0, 0)), 0.0).memberships(psi)
    early = (projection.trajectory == 0) & (projection.frame < EARLY)
    picked = nearest_to_cores(psi, member, SAMPLES, early)
    count = min(len(rows) for rows in picked)
    if not count:
        return None
    at = np.concatenate([rows[:count] for rows in picked])
    rows = np.stack([projection.trajectory[at], projection.frame[at]], axis=1).astype(np.int64)
    frames = rows.reshape(states.count, count, 2)
    found = read_structures(trajectories, rows)
    if found.n_frames != len(rows):
        return None
    return _shown(found, frames)


def _shown(found: Any, frames: NDArray[np.int64]) -> Structures | None:
    """Atoms that are shown, whole molecules laid on each other."""
    if found.unitcell_vectors is not None and found.topology.n_bonds:
        found.make_molecules_whole(inplace=True)
    kept, left_out = _selection(found.topology, MAX_ATOMS // found.n_frames)
    if not len(kept):
        return None
    small = found.atom_slice(kept)
    small.superpose(small, 0)
    xyz = np.asarray(small.xyz, np.float32).reshape(*frames.shape[:2], len(kept), 3)
    atoms = list(small.topology.atoms)
    bonds = [(a.index, b.index) for a, b in small.topology.bonds]
    return Structures(
        xyz=xyz - xyz[0, 0].mean(axis=0),
        elements=tuple("" if a.element is None else a.element.symbol for a in atoms),
        atoms=tuple(a.name for a in atoms),
        residues=tuple(a.residue.name for a in atoms),
        residue_numbers=np.array([a.residue.resSeq for a in atoms], np.int64),
        chains=np.array([a.residue.chain.index for a in atoms], np.int64),
        bonds=np.array(bonds, np.int64).reshape(-1, 2),
        frames=frames,
        left_out=left_out,
    )


def _selection(topology: Any, limit: int) -> tuple[NDArray[np.int64], str]:
    """All atoms but water where they fit; else no hydrogen; else the trace; else none."""
    dry = [a for a in topology.atoms if not a.residue.is_water]
    dry = dry or list(topology.atoms)
    water = "water" if len(dry) < topology.n_atoms else ""
    heavy = [a for a in dry if a.element is None or a.element.symbol != "H"]
    trace = [a for a in dry if a.name in ("CA", "P")]
    also = f"{water} and hydrogen" if water else "hydrogen"
    for atoms, left_out in ((dry, water), (heavy, also), (trace, "all but the trace")):
        if 0 < len(atoms) <= limit:
            return np.array([a.index for a in atoms], np.int64), left_out
    return np.empty(0, np.int64), ""
