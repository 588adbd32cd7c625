"""Text trajectories: a cheap pass finds where frames begin, then frames are parsed on demand."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError
from koopman_cli.io.source import Chunk, Source, block_size, damaged, spans, truncated
from koopman_cli.io.topology import Request
from koopman_cli.nouns import are, counted


@dataclass
class Index:
    """Where complete frames lie: frame i is bytes offsets[i] to ends[i].

    stamps : time stamps where every frame has one
    cut : what follows the last complete frame ("" where the file ends well)
    """

    n_atoms: int = 0
    offsets: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    stamps: array[float] = field(default_factory=lambda: array("d"))
    cut: str = ""

    def add(self, path: str, start: int, end: int, n_atoms: int) -> None:
        """Append a frame.

        Raises
        ------
        DataError
            It has another number of atoms than the first.
        """
        if self.offsets and n_atoms != self.n_atoms:
            raise DataError(
                f"{path}: frame {len(self.offsets)} has {counted(n_atoms, 'atom')}, frame 0 has"
                f" {self.n_atoms}",
                "a trajectory must hold the same atoms in every frame",
            )
        self.n_atoms = n_atoms
        self.offsets.append(start)
        self.ends.append(end)


#: Parses the bytes of a frame: (atoms, 3) coordinates in nm, (3, 3) box vectors or None.
Parser = Callable[[bytes, int], tuple[NDArray[Any], NDArray[Any] | None]]


def fixed_columns(lines: Sequence[bytes], start: int, width: int) -> NDArray[np.float64]:
    """Three numbers of fixed width per line, parsed all at once.

    Raises
    ------
    ValueError
        A line is too short, or holds no number there.

    Examples
    --------
    >>> fixed_columns([b"H  1.0 2.0 3.0", b"O  4.0 5.0 6.0"], 2, 4)[1].tolist()
    [4.0, 5.0, 6.0]
    """
    stop = start + 3 * width
    joined = b"".join([line[start:stop] for line in lines])
    if len(joined) != len(lines) * 3 * width:
        raise ValueError("a line is too short")
    return np.frombuffer(joined, f"S{width}").astype(np.float64).reshape(-1, 3)


def text_source(
    path: str,
    form: str,
    index: Index,
    parse: Parser,
    request: Request,
    own: tuple[str, Callable[[], Any]] | None = None,
) -> Source:
    """A source over indexed frames, parsed one by one.

    Raises
    ------
    DataError
        No complete frame, or a cut last one; frames that do not parse, when they are read.
    """
    n = len(index.offsets)
    said = f"ends inside frame {n} ({index.cut}); {counted(n, 'frame')} {are(n)} readable"
    if index.cut and not (request.options.allow_truncated and n):
        raise truncated(path, said, n)
    if not n:
        raise DataError(f"{path}: holds no frames", "check that it is what its suffix says")
    topology, atoms = request.atoms(path, index.n_atoms, own)
    begins, ends = np.array(index.offsets, np.int64), np.array(index.ends, np.int64)

    def read(start: int, stop: int, step: int, size: int) -> Iterator[Chunk]:
        bounded = block_size(size, 12 * index.n_atoms)
        with Path(path).open("rb") as handle:
            for first, count in spans(start, stop, step, bounded):
                xyz = np.empty((count, topology.n_atoms, 3), np.float32)
                cell = np.zeros((count, 3, 3), np.float32)
                for i in range(count):
                    frame = first + i * step
                    handle.seek(begins[frame])
                    data = handle.read(int(ends[frame] - begins[frame]))
                    try:
                        values, box = parse(data, frame)
                        xyz[i] = values if atoms is None else values[atoms]
                    except (ValueError, IndexError) as error:
                        raise damaged(path, frame, str(error)[:100]) from None
                    if box is not None:
                        cell[i] = box
                yield Chunk(xyz, cell)

    stamps = np.array(index.stamps) if len(index.stamps) == n else None
    return Source(
        path,
        "md",
        form,
        n,
        "float32",
        read,
        stamps=stamps,
        unit="ps",
        stamps_origin="time stamps",
        topology=topology,
        warnings=(f"{path}: {said}",) if index.cut else (),
    )
