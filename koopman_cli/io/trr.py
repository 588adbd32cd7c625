"""GROMACS trr: a walk over the frame headers, then plain big-endian numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.source import Chunk, Source, block_size, damaged, spans
from koopman_cli.io.topology import Request
from koopman_cli.io.xtc import Walk, Window, complete
from koopman_cli.nouns import counted


def _trr_frame(head: bytes) -> tuple[int, float, int, tuple[int, int, int]]:
    """Length, time, atoms, and (header, x offset, real size) of a trr frame.

    Raises
    ------
    ValueError
        A field is impossible.
    EOFError
        The header is cut.
    """
    if len(head) < 84:
        raise EOFError
    magic, _, slen = struct.unpack_from(">iii", head)
    if magic != 1993 or slen != 12:
        raise ValueError(f"magic number {magic}")
    sizes = struct.unpack_from(">13i", head, 24)
    box, x, v, f, atoms = sizes[2], *sizes[7:10], sizes[10]
    if atoms < 1 or any(s < 0 for s in sizes[:10]):
        raise ValueError(f"{counted(atoms, 'atom')} in its header")
    per_atom = next((s // (3 * atoms) for s in (x, v, f) if s), box // 9)
    if per_atom not in (4, 8) or any(s not in (0, 3 * atoms * per_atom) for s in (x, v, f)):
        raise ValueError("sizes that do not fit its atoms")
    if box not in (0, 9 * per_atom):
        raise ValueError(f"a box of {counted(box, 'byte')}")
    header = 76 + 2 * per_atom
    if len(head) < header:
        raise EOFError
    (time,) = struct.unpack_from(">d" if per_atom == 8 else ">f", head, 76)
    at_x = header + sum(sizes[:7])
    return at_x + x + v + f, time, atoms, (header if box else 0, at_x if x else 0, per_atom)


def walk_trr(path: str) -> tuple[Walk, NDArray[np.int64]]:
    """Check every frame header of a trr file; frames without positions are passed over.

    Returns
    -------
    walk : Walk
    places : (n, 3) int array
        Offset of the box (0: none) and of the positions inside each frame, bytes per number.
    """
    size = Path(path).stat().st_size
    found: list[tuple[int, float, tuple[int, int, int]]] = []
    at, n_atoms, frame, cut = 0, 0, 0, ""
    with Path(path).open("rb") as handle:
        window = Window(handle)
        while at < size:
            try:
                length, time, atoms, places = _trr_frame(window.get(at, 96))
            except EOFError:
                cut = f"{counted(size - at, 'byte')} of a frame header"
                break
            except ValueError as error:
                raise damaged(path, frame, str(error)) from None
            if n_atoms and atoms != n_atoms:
                raise damaged(
                    path, frame, f"{counted(atoms, 'atom')}, the frames before have {n_atoms}"
                )
            n_atoms = atoms
            if at + length > size:
                cut = f"{size - at} of {counted(length, 'byte')}"
                break
            if places[1]:
                found.append((at, time, places))
            at += length
            frame += 1
    walk = Walk(
        np.array([f[0] for f in found], np.int64), np.array([f[1] for f in found]), n_atoms, cut
    )
    return walk, np.array([f[2] for f in found], np.int64).reshape(-1, 3)


def _trr_numbers(handle: IO[bytes], offset: int, kind: str, shape: tuple[int, int]) -> Any:
    handle.seek(offset)
    return np.fromfile(handle, kind, shape[0] * shape[1]).reshape(shape)


def open_trr(path: str, request: Request) -> Source:
    """Open a trr file (positions and box; velocities and forces are skipped).

    Raises
    ------
    UsageError
        No topology given, or a bad selection.
    DataError
        Damaged, truncated, without positions, or of another number of atoms.
    """
    walk, places = walk_trr(path)
    if not len(places) and not walk.cut:
        raise DataError(f"{path}: no frame holds positions", "write positions (nstxout) too")
    warned = complete(path, walk, request)
    topology, atoms = request.atoms(path, walk.n_atoms)
    n_atoms = walk.n_atoms

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        with Path(path).open("rb") as handle:
            for first, count in spans(start, stop, step, block_size(size, 12 * n_atoms)):
                xyz = np.empty((count, n_atoms if atoms is None else len(atoms), 3), np.float32)
                cell = np.zeros((count, 3, 3), np.float32)
                for i in range(count):
                    at = walk.offsets[first + i * step]
                    box, x, real = places[first + i * step]
                    kind = f">f{real}"
                    if box:
                        cell[i] = _trr_numbers(handle, at + box, kind, (3, 3))
                    frame = _trr_numbers(handle, at + x, kind, (n_atoms, 3))
                    xyz[i] = frame if atoms is None else frame[atoms]
                yield Chunk(xyz, cell)

    return Source(
        path,
        "md",
        "trr",
        len(walk.offsets),
        "float32",
        read,
        stamps=walk.stamps,
        unit="ps",
        stamps_single=bool((places[:, 2] == 4).any()),
        topology=topology,
        warnings=warned,
    )
