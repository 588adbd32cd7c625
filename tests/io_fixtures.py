"""Small trajectories and arrays that the input tests write for themselves."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path

import h5py
import mdtraj
import numpy as np
import pytest

from koopman_cli.errors import KoopmanError
from koopman_cli.io import open_trajectories
from koopman_cli.types import ReadOptions

#: Formats that mdtraj writes and that need --top.
BARE = ("xtc", "trr", "dcd", "nc", "lammpstrj", "xyz", "mdcrd")

#: Formats that carry their topology.
OWN = ("gro", "pdb", "h5")

#: Rounding of each format, in nm.
PRECISION = {
    "xtc": 6e-4, "trr": 0, "dcd": 4e-7, "nc": 4e-7, "lammpstrj": 6e-5, "xyz": 6e-5,
    "mdcrd": 6e-5, "gro": 6e-4, "pdb": 6e-5, "h5": 0,
}  # fmt: skip


def molecule(frames: int = 23, atoms: int = 12, cell: bool = True) -> mdtraj.Trajectory:
    """A chain of alanine-like residues moving at random in a box of 3 nm."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for i in range(atoms):
        if i % 4 == 0:
            residue = topology.add_residue("ALA", chain)
        name = ("N", "CA", "C", "O")[i % 4]
        topology.add_atom(name, mdtraj.element.get_by_symbol(name[0]), residue)
    rng = np.random.default_rng(7)
    walk = np.linspace(0.5, 2.0, atoms)[:, None] + rng.normal(0, 0.05, (frames, atoms, 3))
    made = mdtraj.Trajectory(walk.astype(np.float32), topology, time=np.arange(frames) * 2.0 + 100)
    if cell:
        made.unitcell_lengths = np.full((frames, 3), 3.0, np.float32)
        made.unitcell_angles = np.full((frames, 3), 90.0, np.float32)
    return made


def topology_json(topology: mdtraj.Topology) -> str:
    """A topology as MDTraj HDF5 files store it."""
    residues = [
        {
            "index": r.index,
            "name": r.name,
            "resSeq": r.resSeq,
            "segmentID": "",
            "atoms": [
                {"index": a.index, "name": a.name, "element": a.element.symbol} for a in r.atoms
            ],
        }
        for r in topology.residues
    ]
    bonds = [[a.index, b.index] for a, b in topology.bonds]
    return json.dumps({"chains": [{"index": 0, "residues": residues}], "bonds": bonds})


def write_h5(made: mdtraj.Trajectory, path: Path, length_unit: str = "nanometers") -> None:
    """Write a trajectory in the layout of MDTraj HDF5, in nm or Angstrom."""
    scale = np.float32(10.0 if length_unit == "angstroms" else 1.0)
    with h5py.File(path, "w") as handle:
        handle.attrs["conventions"] = "Pande"
        handle.attrs["conventionVersion"] = "1.1"
        handle.attrs["program"] = "MDTraj"
        handle["coordinates"] = made.xyz * scale
        handle["coordinates"].attrs["units"] = length_unit
        handle["time"] = made.time.astype(np.float32)
        handle["time"].attrs["units"] = "picoseconds"
        if made.unitcell_lengths is not None:
            handle["cell_lengths"] = made.unitcell_lengths * scale
            handle["cell_lengths"].attrs["units"] = length_unit
            handle["cell_angles"] = made.unitcell_angles
            handle["cell_angles"].attrs["units"] = "degrees"
        handle["topology"] = np.array([topology_json(made.topology).encode()])


def write_md(made: mdtraj.Trajectory, path: Path) -> Path:
    """Write a trajectory in the format of the suffix."""
    if path.suffix == ".h5":
        write_h5(made, path)
    elif path.suffix == ".trr":
        from mdtraj.formats import TRRTrajectoryFile

        with TRRTrajectoryFile(str(path), "w") as handle:
            steps = np.arange(made.n_frames, dtype=np.int32)
            handle.write(made.xyz, made.time, steps, made.unitcell_vectors)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made.save(str(path))
    return path


def top_of(made: mdtraj.Trajectory, folder: Path) -> str:
    """A pdb file with the topology."""
    return str(write_md(made[0], folder / "top.pdb"))


def read_all(trajectory, size: int = 1000) -> np.ndarray:
    """All frames, read in chunks of at most ``size``; starts must count them."""
    at, values = 0, []
    for chunk in trajectory.read(size):
        assert chunk.start == at
        assert 0 < len(chunk.values) <= size
        at += len(chunk.values)
        values.append(chunk.values)
    assert at == trajectory.n_frames
    return np.concatenate(values)


def read(path, **options):
    """Open and read one path."""
    (trajectory,) = open_trajectories([path], ReadOptions(**options))
    return trajectory, read_all(trajectory)


def failure(*paths, **options) -> KoopmanError:
    """The error that opening and reading raises; a test fails if there is none."""

    def read_everything() -> None:
        for trajectory in open_trajectories(list(paths), ReadOptions(**options)):
            read_all(trajectory, 7)

    with pytest.raises(KoopmanError) as caught:
        read_everything()
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    return caught.value


def write_dcd(
    path: Path, xyz: np.ndarray, order: str = "<", free: np.ndarray | None = None,
    cell: np.ndarray | None = None, claimed: int | None = None,
) -> Path:  # fmt: skip
    """Write a CHARMM DCD (Angstrom) of either byte order, with fixed atoms if asked."""

    def record(body: bytes) -> bytes:
        mark = struct.pack(f"{order}i", len(body))
        return mark + body + mark

    n, atoms = xyz.shape[:2]
    words = [0] * 20
    words[0] = n if claimed is None else claimed
    words[8] = 0 if free is None else atoms - len(free)
    words[10], words[19] = int(cell is not None), 24
    out = record(b"CORD" + struct.pack(f"{order}20i", *words))
    out += record(struct.pack(f"{order}i", 1) + b"made for a test".ljust(80))
    out += record(struct.pack(f"{order}i", atoms))
    if free is not None:
        out += record((free + 1).astype(f"{order}i4").tobytes())
    for i, frame in enumerate(xyz):
        if cell is not None:
            out += record(np.asarray(cell, f"{order}f8").tobytes())
        part = frame if free is None or i == 0 else frame[free]
        for axis in range(3):
            out += record(part[:, axis].astype(f"{order}f4").tobytes())
    path.write_bytes(out)
    return path
