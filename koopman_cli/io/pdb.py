"""PDB files of one or many models, model by model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.io.cells import box_vectors
from koopman_cli.io.source import Source
from koopman_cli.io.textframes import Index, fixed_columns, text_source
from koopman_cli.io.topology import Request, load_topology
from koopman_cli.nouns import counted

_ATOM = (b"ATOM", b"HETATM")


def _cell(line: bytes) -> NDArray[np.float32] | None:
    try:
        numbers = [float(line[a:b]) for a, b in ((6, 15), (15, 24), (24, 33))]
        angles = [float(line[a:b]) for a, b in ((33, 40), (40, 47), (47, 54))]
    except ValueError:
        return None
    box: NDArray[np.float32] = box_vectors(np.array([numbers]) * 0.1, np.array([angles]))[0]
    return box


def _index(path: str) -> tuple[Index, list[NDArray[np.float32] | None]]:
    """Frames end at ENDMDL, or at END in files that hold no models; a CRYST1 counts from there."""
    index, cells, cell = Index(), [], None
    at, start, atoms, models, last = 0, -1, 0, False, b""
    with Path(path).open("rb") as handle:
        for line in handle:
            if line.startswith(_ATOM):
                start = at if start < 0 else start
                atoms, last = atoms + 1, line
            elif line.startswith(b"CRYST1"):
                cell = _cell(line)
            elif line.startswith(b"MODEL"):
                models = True
            elif line.startswith(b"END") and atoms:
                index.add(path, start, at, atoms)
                cells.append(cell)
                start, atoms = -1, 0
            at += len(line)
    if atoms:
        short = len(last.rstrip()) < 54 or (index.offsets and atoms != index.n_atoms)
        if short or (models and index.offsets):
            index.cut = f"{counted(atoms, 'atom')}"
        else:
            index.add(path, start, at, atoms)
            cells.append(cell)
    return index, cells


def _first_locations(data: bytes) -> list[int]:
    """Lines of the first alternate location of each atom."""
    seen, keep = set(), []
    atoms = [line for line in data.splitlines() if line.startswith(_ATOM)]
    for i, line in enumerate(atoms):
        key = (line[12:16], line[17:27])
        if line[16:17] in (b" ", b"") or key not in seen:
            keep.append(i)
        seen.add(key)
    return keep


def _parser(cells: list[Any], keep: list[int] | None) -> Callable[[bytes, int], Any]:
    def parse(data: bytes, frame: int) -> tuple[NDArray[Any], NDArray[Any] | None]:
        lines = [line for line in data.splitlines() if line.startswith(_ATOM)]
        lines = lines if keep is None else [lines[i] for i in keep]
        return fixed_columns(lines, 30, 8) * 0.1, cells[frame]

    return parse


def open_pdb(path: str, request: Request) -> Source:
    """Open a PDB file; models are frames, the first gives the topology unless ``--top`` does.

    Of alternate locations the first of each atom is used.

    Raises
    ------
    DataError
        Damaged, truncated, or models of different atoms.
    """
    index, cells = _index(path)
    keep = None
    if index.offsets:
        with Path(path).open("rb") as handle:
            handle.seek(index.offsets[0])
            first = handle.read(index.ends[0] - index.offsets[0])
        kept = _first_locations(first)
        if len(kept) < index.n_atoms:
            keep, index.n_atoms = kept, len(kept)
    own = (f"pdb:{path}", lambda: load_topology(path))
    return text_source(path, "pdb", index, _parser(cells, keep), request, own)
