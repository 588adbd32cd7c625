"""Trajectories in memory for the tests of features: arrays, and peptides of known angles."""

from __future__ import annotations

import numpy as np

from koopman_cli.types import FileRecord, Frames, TimeStep, Trajectory


def array_trajectory(values, label="a.npy", *, names=None, units=None, segments=None, dt=None):
    """An array Trajectory over ``values`` (n, d)."""
    values = np.asarray(values)
    count, width = values.shape

    def read(size):
        for start in range(0, count, size):
            yield Frames(start, values[start : start + size])

    return Trajectory(
        label=label,
        kind="array",
        files=(FileRecord(label, count),),
        n_frames=count,
        segments=np.array([[0, count]] if segments is None else segments, np.int64).reshape(-1, 2),
        dt=dt,
        dtype=str(values.dtype),
        read=read,
        names=tuple(names or (f"x{j + 1}" for j in range(width))),
        units=tuple(units or ("",) * width),
    )


def md_trajectory(xyz, topology, label="run.xtc", *, cell=None, files=None, segments=None):
    """An MD Trajectory over ``xyz`` (n, atoms, 3); ``cell`` (3, 3), (n, 3, 3) or None."""
    xyz = np.asarray(xyz, np.float32)
    if cell is not None and np.ndim(cell) == 2:
        cell = np.broadcast_to(np.asarray(cell, np.float32), (len(xyz), 3, 3))

    def read(size):
        for start in range(0, len(xyz), size):
            stop = start + size
            yield Frames(start, xyz[start:stop], None if cell is None else cell[start:stop])

    return Trajectory(
        label=label,
        kind="md",
        files=files or (FileRecord(label, len(xyz)),),
        n_frames=len(xyz),
        segments=np.array([[0, len(xyz)]] if segments is None else segments, np.int64),
        dt=TimeStep(1.0, "ps", "test"),
        dtype="float32",
        read=read,
        topology=topology,
    )


def place(a, b, c, length, angle, torsion):
    """The atom d with |cd| = length, angle b-c-d and torsion a-b-c-d (IUPAC sign)."""
    axis = (c - b) / np.linalg.norm(c - b)
    normal = np.cross(b - a, axis)
    normal /= np.linalg.norm(normal)
    sideways = np.cross(normal, axis)
    return c + length * (
        -np.cos(angle) * axis
        + np.sin(angle) * (np.cos(torsion) * sideways + np.sin(torsion) * normal)
    )


_STEPS = {"N": (0.133, 2.03), "CA": (0.146, 2.13), "C": (0.153, 1.94)}


def peptide_topology(residues=3, chains=1, hydrogens=False):
    """Alanines of N, CA, C (and one H on N) in one or several chains, bonded along the chain."""
    import mdtraj
    from mdtraj.core.element import carbon, hydrogen, nitrogen

    topology = mdtraj.Topology()
    for _ in range(chains):
        chain = topology.add_chain()
        last = None
        for k in range(residues):
            residue = topology.add_residue("ALA", chain, resSeq=k + 1)
            for name, element in (("N", nitrogen), ("CA", carbon), ("C", carbon)):
                atom = topology.add_atom(name, element, residue)
                if last is not None:
                    topology.add_bond(last, atom)
                last = atom
            if hydrogens:
                topology.add_bond(topology.add_atom("H", hydrogen, residue), residue.atom(0))
    return topology


def peptide_xyz(phi, psi):
    """Coordinates (n, 3 residues, 3) of a chain with given torsions; omega is pi.

    phi, psi : (n, residues - 1): phi of residue 2 and on, psi of residue 1 and on.
    """
    phi, psi = np.atleast_2d(phi), np.atleast_2d(psi)
    frames = []
    for phis, psis in zip(phi, psi, strict=True):
        atoms = [np.zeros(3), np.array([0.146, 0, 0]), np.array([0.2, 0.143, 0])]
        for f, s in zip(phis, psis, strict=True):
            for name, torsion in (("N", s), ("CA", np.pi), ("C", f)):
                atoms.append(place(*atoms[-3:], *_STEPS[name], torsion))
        frames.append(atoms)
    return np.array(frames)


def random_peptide(frames, residues=3, seed=0):
    """(xyz, phi, psi) of a chain with random torsions."""
    rng = np.random.default_rng(seed)
    phi = rng.uniform(-np.pi, np.pi, (frames, residues - 1))
    psi = rng.uniform(-np.pi, np.pi, (frames, residues - 1))
    return peptide_xyz(phi, psi), phi, psi


def rigid_motions(frames, seed=0):
    """Rotations (n, 3, 3) and translations (n, 1, 3), one a frame."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    rotations = Rotation.random(frames, random_state=np.random.RandomState(seed)).as_matrix()
    return rotations, rng.uniform(-2, 2, (frames, 1, 3))


def rows(stream, trajectory=0, size=None):
    """All rows of one trajectory of a stream."""
    chunks = list(stream.chunks(trajectory, size))
    return np.concatenate(chunks) if chunks else np.empty((0, stream.n_features))
