"""Positions and deviations after optimal superposition on a reference frame.

Translation and rotation that minimise the mean squared distance to the reference are
removed from every frame by itself, so neither depends on the chunk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.features.available import missing
from koopman_cli.features.base import AtomLabels, Block, Chunk, Context, State
from koopman_cli.nouns import counted


def superpose(chunk: Chunk, reference: NDArray[np.float32]) -> NDArray[np.float64]:
    """Frames moved and turned onto a reference, by Kabsch's formula.

    With X a frame and R the reference, both about their centres, and X'R = U S V', the
    rotation that minimises |X Q - R| is Q = U diag(1, 1, det UV') V'. In double precision:
    the quaternion method in single precision is off by 1e-3 nm where two singular values
    are close.

    Parameters
    ----------
    chunk : Chunk
    reference : (atoms, 3) array
        In nm.

    Returns
    -------
    (n, atoms, 3) float64 array
        About the centre of the reference.
    """
    target = reference - reference.mean(axis=0, dtype=np.float64)
    x = chunk.xyz - chunk.xyz.mean(axis=1, keepdims=True, dtype=np.float64)
    finite = np.isfinite(x).all(axis=(1, 2))
    u, _, vt = np.linalg.svd(np.where(finite[:, None, None], np.swapaxes(x, 1, 2) @ target, 0))
    u[:, :, 2] *= np.sign(np.linalg.det(u @ vt))[:, None]
    return np.asarray(x @ (u @ vt))


def _reference(context: Context, what: str, frame: int, state: State | None) -> NDArray[np.float32]:
    topology = context.first.topology
    if topology.n_atoms < 3:
        raise missing(what, topology)
    if state is not None and "reference" in state:
        reference = np.asarray(state["reference"], np.float32)
        if reference.shape != (topology.n_atoms, 3):
            raise DataError(
                f"{context.first.label}: {counted(topology.n_atoms, 'atom')}, but the stored "
                f"reference of {what} has {len(reference)}",
                "select the same atoms as for the fit (--select)",
            )
        return reference
    reference = np.array(context.frame(frame).values[0], np.float32)
    if not np.isfinite(reference).all():
        atom = topology.atom(int(np.argwhere(~np.isfinite(reference))[0, 0]))
        raise DataError(
            f"{context.first.label}: frame {frame}, the reference of {what}, is not finite "
            f"at atom {atom}",
            "begin later (--begin) or take rmsd:FRAME with another frame",
        )
    return reference


def prepare_positions(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``positions``: coordinates of all atoms, superposed on the first frame.

    Raises
    ------
    DataError
        Fewer than three atoms, or a first frame that is not finite.
    """
    reference = _reference(context, "positions", 0, state)
    topology = context.first.topology
    labels = AtomLabels.of(topology, range(topology.n_atoms))
    names = tuple(f"{axis} {labels.atom(atom)}" for atom in topology.atoms for axis in "xyz")
    return Block(
        names=names,
        units=("nm",) * len(names),
        compute=lambda chunk: superpose(chunk, reference).reshape(len(chunk), -1),
        state={"reference": reference},
        scratch=96 * topology.n_atoms,
        warnings=_periodic(context, "positions"),
    )


def prepare_rmsd(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``rmsd:FRAME``: deviation of all atoms from a frame of the first trajectory.

    Raises
    ------
    UsageError
        If FRAME is no whole number.
    DataError
        No such frame, a frame that is not finite, or fewer than three atoms.
    """
    text = options[0] if options else "0"
    if not (text.isascii() and text.isdigit()):
        raise UsageError(
            f"features 'rmsd:{text}': {text!r} is not a frame", "write rmsd:FRAME, as in rmsd:0"
        )
    reference = _reference(context, f"rmsd:{text}", int(text), state)
    centred = reference - reference.mean(axis=0, dtype=np.float64)

    def compute(chunk: Chunk) -> NDArray[Any]:
        away = superpose(chunk, reference) - centred
        squares = np.einsum("nak,nak->n", away, away) / len(centred)
        return np.asarray(np.sqrt(squares))[:, None]

    return Block(
        names=(f"rmsd to frame {text}",),
        units=("nm",),
        compute=compute,
        state={"reference": reference},
        scratch=120 * len(reference),
        warnings=_periodic(context, "rmsd"),
    )


def _periodic(context: Context, what: str) -> tuple[str, ...]:
    if context.frame().cell is None or len(_molecules(context.first.topology)) < 2:
        return ()
    text = (
        f"{what}: several molecules in a periodic cell; jumps of one across the boundary "
        "appear as motion"
    )
    return (text,)


def _molecules(topology: Any) -> list[Any]:
    return list(topology.find_molecules()) if topology.n_bonds else []
