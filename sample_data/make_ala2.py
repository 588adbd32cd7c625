"""Thin two long runs of alanine dipeptide to the sample in ``ala2/``.

    python sample_data/make_ala2.py SOURCE

SOURCE holds ``topology.pdb``, ``run1.xtc`` and ``run2.xtc`` (22 atoms, a frame every 1 ps).
Kept are the 10 heavy atoms of the frames at 5, 10, 15, ... ps. The same frames are written
as MDTraj HDF5 and as XTC; both carry the 0.001 nm of the source.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

HERE = Path(__file__).parent
PICOSECONDS = 5


def visits(phi: NDArray[np.floating[Any]]) -> int:
    """Count entries into phi > 0, with hysteresis so that recrossings do not count.

    A visit begins when phi (degrees) enters (30, 100) after it was last seen in (-150, -30).

    >>> visits(np.array([-80.0, -10.0, 5.0, -60.0, 60.0, -20.0, 60.0, -90.0, 50.0]))
    2
    """
    inside = (phi > 30) & (phi < 100)
    outside = (phi > -150) & (phi < -30)
    core = inside[inside | outside]
    return int(np.sum(core[1:] & ~core[:-1]))


def topology_json(topology: Any) -> str:
    """The topology in the JSON of MDTraj's HDF5 format, version 1.1."""
    chains = [
        {
            "index": chain.index,
            "residues": [
                {
                    "index": residue.index,
                    "name": residue.name,
                    "resSeq": residue.resSeq,
                    "segmentID": residue.segment_id,
                    "atoms": [
                        {"index": a.index, "name": a.name, "element": a.element.symbol}
                        for a in residue.atoms
                    ],
                }
                for residue in chain.residues
            ],
        }
        for chain in topology.chains
    ]
    bonds = [[a.index, b.index] for a, b in topology.bonds]
    return json.dumps({"chains": chains, "bonds": bonds})


def write_h5(path: Path, trajectory: Any, title: str) -> None:
    """Write what ``mdtraj.Trajectory.save_hdf5`` writes, without needing PyTables."""
    import h5py

    with h5py.File(path, "w") as f:
        f.attrs["conventions"] = np.bytes_("Pande")
        f.attrs["conventionVersion"] = np.bytes_("1.1")
        f.attrs["program"] = np.bytes_("koopman")
        f.attrs["programVersion"] = np.bytes_("0.1")
        f.attrs["application"] = np.bytes_("OpenMM")
        f.attrs["title"] = np.bytes_(title)
        packed: dict[str, Any] = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
        frames, atoms, _ = trajectory.xyz.shape
        xyz = f.create_dataset(
            "coordinates", data=trajectory.xyz, chunks=(min(1000, frames), atoms, 3), **packed
        )
        xyz.attrs["units"] = np.bytes_("nanometers")
        time = f.create_dataset("time", data=trajectory.time.astype(np.float32), **packed)
        time.attrs["units"] = np.bytes_("picoseconds")
        f.create_dataset("topology", data=np.array([topology_json(trajectory.topology).encode()]))


def main() -> None:
    """Thin, count, write."""
    import mdtraj as md

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    source = parser.parse_args().source
    out = HERE / "ala2"
    for run in (1, 2):
        full = md.load(str(source / f"run{run}.xtc"), top=str(source / "topology.pdb"))
        kept = full[np.flatnonzero(np.round(full.time) % PICOSECONDS == 0)]
        kept = kept.atom_slice(kept.topology.select("element != H"))
        for atom in kept.topology.atoms:
            atom.serial = atom.index + 1  # the CONECT records of the PDB file count anew
        write_h5(out / f"run{run}.h5", kept, f"alanine dipeptide, 500 K, run {run}")
        kept.save_xtc(str(out / f"run{run}.xtc"))
        if run == 1:
            kept[0].save_pdb(str(out / "ala2.pdb"))
        phi = [np.degrees(md.compute_phi(t)[1][:, 0]) for t in (full, kept)]
        print(
            f"run{run}: {kept.n_frames} of {full.n_frames} frames, {kept.n_atoms} atoms, "
            f"{visits(phi[1])} of {visits(phi[0])} visits to phi > 0"
        )


if __name__ == "__main__":
    main()
