"""What a featurizer is given and what it hands back.

A featurizer is a function ``prepare(context, options, state) -> Block``. It looks at the
input once (topology, first frame, a fitting pass if it needs one) and returns the names of
its columns and a ``compute`` that turns each :class:`Chunk` of frames into them. With
``state`` (from a stored model) it prepares the same columns without looking again. It gets
for free: chunking, segments, delays, the check for non-finite values with file, frame and
feature, combination with other featurizers, storage of its state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, ResourceError
from koopman_cli.nouns import counted
from koopman_cli.types import Frames, Progress, Trajectory, no_progress

#: More columns than this are refused: their moments alone would take ten gigabytes.
MAX_COLUMNS = 20_000

State = Mapping[str, NDArray[Any]]


class Chunk:
    """Consecutive frames of one trajectory, with what featurizers share while at them."""

    def __init__(self, frames: Frames, topology: Any = None) -> None:
        self.frames = frames
        self.topology = topology
        self._shared: dict[str, NDArray[Any]] = {}

    def __len__(self) -> int:
        return len(self.frames.values)

    @cached_property
    def xyz(self) -> NDArray[np.float32]:
        """(n, atoms, 3) coordinates in nm, float32 and contiguous as mdtraj wants them."""
        return np.ascontiguousarray(self.frames.values, np.float32)

    @cached_property
    def trajectory(self) -> Any:
        """The frames as an ``mdtraj.Trajectory``, with the cell where it is valid."""
        import mdtraj

        trajectory = mdtraj.Trajectory(self.xyz, self.topology)
        if self.frames.cell is not None:
            trajectory.unitcell_vectors = np.asarray(self.frames.cell, np.float32)
        return trajectory

    def shared(self, key: str, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """``make()``, computed once per chunk however many featurizers ask for it."""
        if key not in self._shared:
            self._shared[key] = make()
        return self._shared[key]


@dataclass(frozen=True)
class Block:
    """A prepared featurizer: some of the columns.

    names, units : of the columns
    compute : Chunk of n frames -> (n, columns)
    state : arrays that make the same columns from other input
    scratch : bytes per frame that ``compute`` needs beside its result
    notes, warnings : what was chosen or noticed
    fitted : whether ``state`` was estimated from all frames of the input
    explain : column -> words that follow its name when it is not finite
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    compute: Callable[[Chunk], NDArray[Any]]
    state: State = field(default_factory=dict)
    scratch: int = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    fitted: bool = False
    explain: Callable[[int], str] | None = None


@dataclass(frozen=True)
class Context:
    """The input as featurizers see it: trajectories of one kind and the same columns."""

    trajectories: Sequence[Trajectory]
    progress: Progress = no_progress

    @property
    def first(self) -> Trajectory:
        """The first trajectory with a frame; its topology and columns stand for all."""
        return next((t for t in self.trajectories if t.n_frames), self.trajectories[0])

    def frame(self, index: int = 0) -> Frames:
        """One frame of the first trajectory, as read.

        Raises
        ------
        DataError
            If it has no such frame.
        """
        for frames in self.first.read(1 if index == 0 else 1000):
            if frames.start <= index < frames.start + len(frames.values):
                k = index - frames.start
                cell = None if frames.cell is None else frames.cell[k : k + 1]
                return Frames(index, frames.values[k : k + 1], cell)
        raise DataError(
            f"{self.first.label}: there is no frame {index}, it has {self.first.n_frames}",
            f"give a frame from 0 to {self.first.n_frames - 1}",
        )


Prepare = Callable[[Context, tuple[str, ...], State | None], Block]


class AtomLabels(NamedTuple):
    """Unambiguous names of atoms and residues of a topology.

    A chain stands in front where the atoms used lie in several; a residue that still has a
    namesake carries its position in the file.
    """

    residues: Mapping[int, str]

    @classmethod
    def of(cls, topology: Any, atoms: Sequence[int]) -> AtomLabels:
        """Labels of the residues that hold ``atoms`` (indices)."""
        residues = {r.index: r for r in (topology.atom(int(i)).residue for i in atoms)}
        several = len({r.chain.index for r in residues.values()}) > 1
        labels = {
            index: (f"{chain_label(r.chain)}:" if several else "") + f"{r.name}{r.resSeq}"
            for index, r in sorted(residues.items())
        }
        seen: dict[str, int] = {}
        for label in labels.values():
            seen[label] = seen.get(label, 0) + 1
        return cls({i: f"{t}#{i + 1}" if seen[t] > 1 else t for i, t in labels.items()})

    def atom(self, atom: Any) -> str:
        """Name of an mdtraj atom: "ALA2-CA"."""
        return f"{self.residues[atom.residue.index]}-{atom.name}"


def chain_label(chain: Any) -> str:
    """The identifier of a chain, or its number where the file names none."""
    return str(getattr(chain, "chain_id", None) or chain.index + 1).strip()


def check_width(columns: int, what: str, cure: str) -> None:
    """Refuse a featurizer before it fills the memory with names and columns.

    Raises
    ------
    ResourceError
        Above :data:`MAX_COLUMNS` columns.
    """
    if columns > MAX_COLUMNS:
        raise ResourceError(
            f"{what} would give {counted(columns, 'column', ',')}; the limit is {MAX_COLUMNS:,}",
            cure,
        )
