"""LAMMPS text dumps, frame by frame, atoms sorted by their id."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.source import Source, damaged
from koopman_cli.io.textframes import Index, text_source
from koopman_cli.io.topology import Request
from koopman_cli.nouns import counted

#: In the order in which mdtraj prefers them; scaled ones are fractions of the cell.
_STYLES = (("x", "y", "z"), ("xs", "ys", "zs"), ("xu", "yu", "zu"), ("xsu", "ysu", "zsu"))

#: nm and ps per unit of length and time of LAMMPS' unit styles.
_UNITS = {
    "real": (0.1, 1e-3),
    "metal": (0.1, 1.0),
    "electron": (0.0529177210903, 1e-3),
    "nano": (1.0, 1e3),
    "si": (1e9, 1e12),
    "cgs": (1e7, 1e12),
    "micro": (1e3, 1e6),
}


@dataclass
class _Head:
    """Header of one frame."""

    atoms: int = 0
    time: float | None = None
    units: str = ""
    tilted: bool = False
    bounds: tuple[bytes, ...] = ()
    columns: tuple[str, ...] = ()


def _read_head(handle: IO[bytes]) -> _Head | None:
    """The header up to its ATOMS line; None at the end of the file.

    Raises
    ------
    EOFError
        The header is cut.
    ValueError
        It is no header.
    """
    head = _Head()
    line = handle.readline()
    while line and not line.strip():
        line = handle.readline()
    if not line:
        return None
    while line.startswith(b"ITEM:"):
        item = line[5:].strip()
        if item.startswith(b"ATOMS"):
            head.columns = tuple(item.decode(errors="replace").split()[1:])
            if not head.atoms or not head.bounds:
                raise ValueError("its header is incomplete")
            return head
        if item.startswith(b"BOX BOUNDS"):
            head.tilted = b"xy xz yz" in item
            head.bounds = tuple(handle.readline() for _ in range(3))
        else:
            value = handle.readline()
            if not value.endswith(b"\n"):
                raise EOFError
            if item == b"NUMBER OF ATOMS":
                head.atoms = int(value)
            elif item == b"TIME":
                head.time = float(value)
            elif item == b"UNITS":
                head.units = value.strip().decode(errors="replace")
        line = handle.readline()
    if not line or not line.endswith(b"\n"):
        raise EOFError
    raise ValueError(f"{line[:30]!r} where ITEM: should be")


def _index(path: str) -> tuple[Index, _Head]:
    index, first = Index(), _Head()
    with Path(path).open("rb") as handle:
        while True:
            start = handle.tell()
            try:
                head = _read_head(handle)
            except EOFError:
                index.cut = "its header is cut"
                break
            except ValueError as error:
                raise damaged(path, len(index.offsets), str(error)[:80]) from None
            if head is None:
                break
            last, there = b"", 0
            while there < head.atoms and (line := handle.readline()):
                last, there = line, there + 1
            if there < head.atoms or len(last.split()) < len(head.columns):
                index.cut = f"{there} of {counted(head.atoms, 'atom')}"
                break
            first = head if not index.offsets else replace(first, units=first.units or head.units)
            index.add(path, start, handle.tell(), head.atoms)
            if head.time is not None:
                index.stamps.append(head.time)
    return index, first


def _box(head: _Head) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Box vectors and origin; bounds of tilted boxes are those of the box around them."""
    rows = [[float(w) for w in line.split()[:3]] for line in head.bounds]
    low, high = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    xy, xz, yz = (r[2] for r in rows) if head.tilted else (0.0, 0.0, 0.0)
    low -= [min(0.0, xy, xz, xy + xz), min(0.0, yz), 0.0]
    high -= [max(0.0, xy, xz, xy + xz), max(0.0, yz), 0.0]
    box = np.diag(high - low)
    box[1, 0], box[2, 0], box[2, 1] = xy, xz, yz
    return box, low


def _style(path: str, columns: tuple[str, ...]) -> tuple[str, str, str]:
    for style in _STYLES:
        if set(style) <= set(columns):
            return style
    raise DataError(
        f"{path}: no positions among its columns ({' '.join(columns)})",
        "dump x y z, xs ys zs, xu yu zu or xsu ysu zsu",
    )


def _parse(data: bytes, path: str, factor: float) -> tuple[NDArray[Any], NDArray[Any]]:
    import io

    head = _read_head(io.BytesIO(data))
    assert head is not None
    lines = data.rstrip().splitlines()[-head.atoms :]
    words = np.array([line.split() for line in lines])
    if words.ndim != 2 or words.shape[1] != len(head.columns):
        raise ValueError("a line has another number of columns")
    style = _style(path, head.columns)
    xyz = words[:, [head.columns.index(c) for c in style]].astype(np.float64)
    box, low = _box(head)
    if style[0].startswith("xs"):
        xyz = xyz @ box + low
    if "id" in head.columns:
        ids = words[:, head.columns.index("id")].astype(np.int64)
        order = np.argsort(ids, kind="stable")
        if (np.diff(ids[order]) == 0).any():
            raise ValueError("an atom id occurs twice")
        xyz = xyz[order]
    return xyz * factor, box * factor


def open_lammpstrj(path: str, request: Request) -> Source:
    """Open a LAMMPS dump. Lengths are taken as Angstrom unless the file says otherwise.

    Time stamps exist only where the dump holds ``ITEM: TIME``; its step numbers are no time.

    Raises
    ------
    UsageError
        No topology given, or a bad selection.
    DataError
        Damaged, truncated, without positions or ids that repeat, or in reduced units.
    """
    index, head = _index(path)
    if head.columns:
        _style(path, head.columns)
    if head.units and head.units not in _UNITS:
        raise DataError(
            f"{path}: lengths in unit style {head.units!r} have no size in nm",
            "rescale the dump to Angstrom and leave ITEM: UNITS out",
        )
    length, time = _UNITS.get(head.units, (0.1, 0.0))
    index.stamps = array("d", [t * time for t in index.stamps] if time else [])
    return text_source(
        path, "lammpstrj", index, lambda data, _: _parse(data, path, length), request
    )
