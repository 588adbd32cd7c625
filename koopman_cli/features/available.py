"""What a topology offers to featurizers: for defaults and for messages."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.nouns import counted


def heavy_atoms(topology: Any) -> NDArray[np.int64]:
    """Indices of all atoms but hydrogens (and virtual sites, unless there is nothing else)."""
    symbols = [getattr(atom.element, "symbol", "") or "" for atom in topology.atoms]
    heavy = [i for i, s in enumerate(symbols) if s not in ("H", "D", "VS")]
    heavy = heavy or [i for i, s in enumerate(symbols) if s == "VS"]
    return np.array(heavy, np.int64)


def ca_atoms(topology: Any) -> NDArray[np.int64]:
    """Indices of CA atoms (a calcium ion is none)."""
    return np.array(
        [
            atom.index
            for atom in topology.atoms
            if atom.name == "CA" and getattr(atom.element, "symbol", "C") != "Ca"
        ],
        np.int64,
    )


def missing(name: str, topology: Any) -> DataError:
    """The error of a featurizer that the input cannot serve; it names what exists instead."""
    from koopman_cli.features.torsions import ALL, find_torsions

    ca, heavy = len(ca_atoms(topology)), len(heavy_atoms(topology))
    backbone = len(find_torsions(topology).names)
    every = len(find_torsions(topology, ALL).names)
    counts = {
        f"torsions ({counted(backbone, 'angle')})": backbone,
        f"torsions:all ({counted(every, 'angle')})": every,
        f"ca-distances ({ca} CA atoms)": ca > 1,
        f"heavy-distances ({heavy} heavy atoms)": heavy > 1,
        f"positions ({counted(topology.n_atoms, 'atom')})": topology.n_atoms > 2,
    }
    offers = [what for what, there in counts.items() if there]
    return DataError(
        f"{name}: there are none in this input "
        f"({counted(topology.n_residues, 'residue')}, {counted(topology.n_atoms, 'atom')})",
        f"it has: {', '.join(offers)}" if offers else "select more atoms",
    )
