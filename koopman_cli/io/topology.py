"""Topologies: from a file of their own, from JSON, cut to the selected atoms."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, KoopmanError, UsageError
from koopman_cli.io.source import check_file
from koopman_cli.nouns import counted
from koopman_cli.types import ReadOptions

#: Suffixes whose own parser in mdtraj reads every frame to find the topology of the first.
_FIRST_FRAME = (".pdb", ".gro", ".ent")

#: Characters in which the mark of a format must show.
_HEAD = 2**22


#: What a text must hold to be of its suffix, and how to say that it does not.
_MARKS: dict[str, tuple[str, str]] = {
    ".pdb": (r"^(ATOM|HETATM)", "no line begins with ATOM or HETATM"),
    ".ent": (r"^(ATOM|HETATM)", "no line begins with ATOM or HETATM"),
    ".gro": (r"\A[^\n]*\n[ \t]*\d+\s*$", "its second line is not a number of atoms"),
    ".psf": (r"\A\s*PSF", "it does not begin with PSF"),
    ".prmtop": (r"^%FLAG", "it has no line that begins with %FLAG"),
    ".parm7": (r"^%FLAG", "it has no line that begins with %FLAG"),
    ".mol2": (r"^@<TRIPOS>MOLECULE", "it has no line @<TRIPOS>MOLECULE"),
    ".cif": (r"^data_", "it has no line that begins with data_"),
}

#: Words of Python, not of a parser: they tell a user nothing about the file.
_NO_REASON = re.compile(r"codec|invalid literal|could not convert|unpack|index|object|^'\w*'$")


def _check_mark(path: str, suffix: str) -> None:
    """Raise ValueError if the content is obviously not what the suffix says."""
    if suffix not in _MARKS:
        return
    mark, lack = _MARKS[suffix]
    with Path(path).open(encoding="utf-8", errors="replace") as handle:
        found = re.search(mark, handle.read(_HEAD), re.MULTILINE)
    if not found:
        raise ValueError(lack)


def _reason(error: Exception, suffix: str) -> str:
    """Why a parser gave up, in words about the file."""
    text = [*str(error).strip().splitlines(), ""][0][:160]
    if "filename extension" in text:
        return f"topologies have no suffix {suffix}" if suffix else "its name has no suffix"
    if not isinstance(error, (ValueError, OSError)) or _NO_REASON.search(text) or not text:
        return f"it is no {suffix.lstrip('.')} file, or damaged"
    return text


def _first_frame(path: str) -> list[str]:
    """Lines of the first frame of a pdb (and its bonds) or gro file."""
    lines: list[str] = []
    with Path(path).open(encoding="utf-8", errors="replace") as handle:
        if path.lower().endswith(".gro"):
            lines = [handle.readline(), handle.readline()]
            lines += [line for line, _ in zip(handle, range(int(lines[1]) + 1), strict=False)]
            if len(lines) < int(lines[1]) + 3:
                raise ValueError(f"it ends after {len(lines)} lines, before its box")
            return lines
        inside, atoms = True, False
        for line in handle:
            atoms = atoms or line.startswith(("ATOM", "HETATM"))
            if line.startswith("END"):
                inside = inside and not atoms
            elif line.startswith("CONECT") or (inside and not line.startswith("MODEL")):
                lines.append(line)
    return [*lines, "END\n"]


def _load(path: str) -> Any:
    import mdtraj

    suffix = Path(path).suffix.lower()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mdtraj warns about dummy cells; cells are judged here
        if suffix in (".h5", ".hdf5"):
            from koopman_cli.io.mdhdf5 import read_topology

            return read_topology(path)
        _check_mark(path, suffix)
        if suffix not in _FIRST_FRAME:
            return mdtraj.load_topology(path)
        with tempfile.TemporaryDirectory() as folder:
            first = Path(folder, f"first{'.gro' if suffix == '.gro' else '.pdb'}")
            first.write_text("".join(_first_frame(path)), encoding="utf-8")
            return mdtraj.load(str(first)).topology


def load_topology(path: str) -> Any:
    """The mdtraj topology in a pdb, gro, psf, prmtop, mol2, MDTraj HDF5 ... file.

    Raises
    ------
    FileError
        Missing or unreadable.
    DataError
        Not a topology that mdtraj understands.
    """
    check_file(path)
    try:
        topology = _load(path)
    except KoopmanError:
        raise
    except Exception as error:  # noqa: BLE001 - parsers of a dozen formats raise anything
        raise DataError(
            f"{path}: no topology could be read ({_reason(error, Path(path).suffix.lower())})",
            "topologies: pdb, gro, psf, prmtop, mol2, MDTraj h5; the suffix must tell the format",
        ) from None
    if topology is None or topology.n_atoms == 0:
        raise DataError(f"{path}: holds no topology", "give another file with --top")
    return topology


def topology_from_dict(data: dict[str, Any]) -> Any:
    """The mdtraj topology that an MDTraj HDF5 file stores as JSON.

    Raises
    ------
    KeyError, TypeError, IndexError, ValueError
        If the dictionary is not laid out that way.
    """
    import mdtraj
    from mdtraj.core.topology import Topology

    def ordered(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(items, key=lambda item: int(item["index"]))

    topology = Topology()
    for chain_data in ordered(data["chains"]):
        chain = topology.add_chain(chain_data.get("chain_id"))
        for entry in ordered(chain_data["residues"]):
            residue = topology.add_residue(
                entry["name"],
                chain,
                resSeq=entry.get("resSeq"),
                segment_id=entry.get("segmentID", ""),
            )
            for atom in ordered(entry["atoms"]):
                try:
                    element = mdtraj.element.get_by_symbol(atom["element"])
                except KeyError:
                    element = mdtraj.element.virtual
                topology.add_atom(atom["name"], element, residue)
    atoms = list(topology.atoms)
    for bond in data.get("bonds", []):
        topology.add_bond(atoms[bond[0]], atoms[bond[1]])
    return topology


def select_atoms(topology: Any, text: str) -> NDArray[np.int64]:
    """Indices of the atoms that mdtraj's selection language picks.

    Raises
    ------
    UsageError
        The selection does not parse, or matches nothing.
    """
    try:
        atoms = np.asarray(topology.select(text), np.int64)
    except Exception as error:  # noqa: BLE001 - mdtraj evaluates the text; anything may come
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise UsageError(
            f"--select {text!r} is not a selection ({lines[0][:120] if lines else 'no parse'})",
            "for example --select 'protein and name CA' (mdtraj's selection language)",
        ) from None
    if not len(atoms):
        names = sorted({residue.name for residue in topology.residues})[:12]
        raise UsageError(
            f"--select {text!r} matches none of the {counted(topology.n_atoms, 'atom')}",
            f"residues here: {', '.join(names)}",
        )
    return np.unique(atoms)


class Request:
    """Options of one reading, and the topologies already loaded for it.

    Thousands of files share one topology object: it is parsed and selected once.
    """

    def __init__(self, options: ReadOptions) -> None:
        self.options = options
        self._cut: dict[str, tuple[Any, NDArray[np.int64] | None, int]] = {}

    @cached_property
    def top(self) -> Any:
        """Topology of ``--top``."""
        return load_topology(str(self.options.top))

    def _prepare(
        self, key: str, load: Callable[[], Any]
    ) -> tuple[Any, NDArray[np.int64] | None, int]:
        if key not in self._cut:
            full = load()
            atoms = None
            if self.options.select is not None:
                atoms = select_atoms(full, self.options.select)
            cut = full if atoms is None else full.subset(atoms)
            self._cut[key] = (cut, atoms, full.n_atoms)
        return self._cut[key]

    def atoms(
        self, path: str, n_atoms: int, own: tuple[str, Callable[[], Any]] | None = None
    ) -> tuple[Any, NDArray[np.int64] | None]:
        """Topology of the selected atoms, and their indices (None: all).

        Parameters
        ----------
        path : str
            The trajectory, for messages.
        n_atoms : int
            Atoms in it.
        own : (str, callable), optional
            Where the trajectory carries a topology itself: a key under which it is
            remembered, and how to load it.

        Raises
        ------
        UsageError
            A topology is needed and none was given, or the selection is bad.
        DataError
            The numbers of atoms differ.
        """
        if self.options.top is not None:
            cut, atoms, total = self._prepare("", lambda: self.top)
            name = self.options.top
        elif own is not None:
            cut, atoms, total = self._prepare(*own)
            name = "its topology"
        else:
            raise UsageError(
                f"{path} needs --top",
                "give its topology with --top FILE (pdb, gro, psf, prmtop, mol2, MDTraj h5)",
            )
        if total != n_atoms:
            raise DataError(
                f"{path} holds {counted(n_atoms, 'atom')}, {name} has {total}",
                "give the topology of exactly these atoms with --top",
            )
        return cut, atoms
