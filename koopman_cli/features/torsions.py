r"""Torsion angles: cosine and sine as a pair, and their products.

For atoms 0, 1, 2, 3 with bonds :math:`b_i = r_i - r_{i-1}` and normals
:math:`m = b_1 \times b_2`, :math:`n = b_2 \times b_3`,

.. math:: \cos a = \frac{m \cdot n}{|m||n|}, \qquad
          \sin a = \frac{|b_2|\, b_1 \cdot n}{|m||n|}.

Both are computed without the angle itself; where three atoms lie on a line the angle does
not exist and both are NaN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.available import missing
from koopman_cli.features.base import AtomLabels, Block, Chunk, Context, State, check_width
from koopman_cli.nouns import counted

#: Atoms closer to a line than this angle (radians) leave a torsion undefined: it is what
#: single precision can tell from a line at ten nanometres from the origin.
COLLINEAR = 1e-4

BACKBONE = ("phi", "psi")
_COMPOSED = re.compile(r" cos | sin |\(t-\d+\)$")
ALL = ("phi", "psi", "omega", "chi1", "chi2", "chi3", "chi4", "chi5")


class Torsions(NamedTuple):
    """Atoms (t, 4) of the torsions of a topology and their names ("phi ALA2")."""

    quads: NDArray[np.int64]
    names: tuple[str, ...]


def find_torsions(topology: Any, kinds: Sequence[str] = BACKBONE) -> Torsions:
    """Torsions of the given kinds, residue by residue.

    Parameters
    ----------
    topology : mdtraj.Topology
    kinds : sequence of str
        Among phi, psi, omega, chi1 to chi5.

    Returns
    -------
    Torsions
        Empty where the topology has none.
    """
    from mdtraj.geometry import dihedral

    found = []
    for order, kind in enumerate(kinds):
        quads = getattr(dihedral, f"indices_{kind}")(topology)
        # The second atom always belongs to the residue that the angle is named after.
        found += [
            (topology.atom(int(quad[1])).residue.index, order, kind, tuple(map(int, quad)))
            for quad in np.asarray(quads).reshape(-1, 4)
        ]
    found.sort()
    labels = AtomLabels.of(topology, [quad[1] for *_, quad in found])
    return Torsions(
        np.array([quad for *_, quad in found], np.int64).reshape(-1, 4),
        tuple(f"{kind} {labels.residues[residue]}" for residue, _, kind, _ in found),
    )


def torsion_columns(chunk: Chunk, quads: NDArray[np.int64]) -> NDArray[np.float32]:
    """Cosine and sine of torsions, in turn.

    Parameters
    ----------
    chunk : Chunk
    quads : (t, 4) int array
        Atoms of each torsion. Bonds take the minimum image where the cell is valid.

    Returns
    -------
    (n, 2 t) float32 array
        Columns cos a_1, sin a_1, cos a_2, ...; NaN where three atoms lie on a line.
    """
    import mdtraj

    bonds = np.concatenate([quads[:, k : k + 2] for k in range(3)])
    pairs, where = np.unique(bonds, axis=0, return_inverse=True)
    steps = mdtraj.compute_displacements(chunk.trajectory, pairs)
    # Components first: every product below then runs over contiguous memory.
    steps = np.ascontiguousarray(np.moveaxis(steps, 2, 0))
    b1, b2, b3 = (steps[:, :, k] for k in where.reshape(3, len(quads)))
    m, n = _cross(b1, b2), _cross(b2, b3)
    m2, n2, b22 = _dot(m, m), _dot(n, n), _dot(b2, b2)
    flat = (m2 <= COLLINEAR**2 * _dot(b1, b1) * b22) | (n2 <= COLLINEAR**2 * _dot(b3, b3) * b22)
    scale = np.sqrt(m2 * n2)
    scale[flat] = np.nan
    columns = np.empty((len(chunk), 2 * len(quads)), np.float32)
    np.divide(_dot(m, n), scale, out=columns[:, 0::2])
    np.divide(_dot(b1, n) * np.sqrt(b22), scale, out=columns[:, 1::2])
    return columns


def _cross(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return np.stack(
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    )


def _dot(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    result: NDArray[Any] = a[0] * b[0]
    result += a[1] * b[1]
    result += a[2] * b[2]
    return result


def _backbone(chunk: Chunk, quads: NDArray[np.int64]) -> NDArray[np.float32]:
    return chunk.shared("backbone torsions", lambda: torsion_columns(chunk, quads))


def _explain(topology: Any, quads: NDArray[np.int64]) -> Callable[[int], str]:
    def explain(column: int) -> str:
        return f"; of its atoms {_quadruple(topology, quads[column // 2])} three lie on a line"

    return explain


def _explain_product(topology: Any, quads: NDArray[np.int64]) -> Callable[[int], str]:
    pairs = list(combinations(range(len(quads)), 2))

    def explain(column: int) -> str:
        rest = column - 2 * len(quads)
        angles = (column // 2,) if rest < 0 else pairs[rest // 4]
        atoms = " or ".join(_quadruple(topology, quads[k]) for k in angles)
        return f"; of its atoms {atoms} three lie on a line"

    return explain


def _quadruple(topology: Any, quad: NDArray[np.int64]) -> str:
    return ", ".join(f"{topology.atom(int(i))} (index {i})" for i in quad)


def prepare_torsions(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``torsions`` and ``torsions:all``: cosine and sine of each angle.

    Raises
    ------
    DataError
        If the topology has no such torsion.
    """
    topology = context.first.topology
    full = options == ("all",)
    torsions = find_torsions(topology, ALL if full else BACKBONE)
    if not torsions.names:
        raise missing("torsions", topology)
    quads = torsions.quads
    return Block(
        names=tuple(f"{f} {name}" for name in torsions.names for f in ("cos", "sin")),
        units=("",) * (2 * len(quads)),
        compute=lambda chunk: torsion_columns(chunk, quads) if full else _backbone(chunk, quads),
        scratch=250 * len(quads),
        explain=_explain(topology, quads),
    )


def product_count(angles: int) -> int:
    """Columns of ``torsion-products`` for so many angles: 2 each, 4 a pair.

    >>> product_count(2)
    8
    """
    return 2 * angles + 2 * angles * (angles - 1)


def prepare_products(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """``torsion-products``: second harmonics of each angle, products of each pair.

    Per angle a: cos 2a, sin 2a. Per pair a, b: cos a cos b, cos a sin b, sin a cos b,
    sin a sin b.

    Raises
    ------
    DataError
        If there are no backbone torsions.
    ResourceError
        If there are so many that their products cannot be handled.
    """
    topology = context.first.topology
    torsions = find_torsions(topology)
    count = len(torsions.names)
    if not count:
        raise missing("torsion-products", topology)
    width = product_count(count)
    check_width(width, f"torsion-products of {counted(count, 'angle')}", "use torsions alone")
    names = [f"{f} 2{name}" for name in torsions.names for f in ("cos", "sin")]
    names += [
        f"{f} {a} {g} {b}"
        for a, b in combinations(torsions.names, 2)
        for f in ("cos", "sin")
        for g in ("cos", "sin")
    ]
    return Block(
        names=tuple(names),
        units=("",) * width,
        compute=lambda chunk: _products(_backbone(chunk, torsions.quads)),
        scratch=250 * count + 16 * width,
        explain=_explain_product(topology, torsions.quads),
    )


def _products(columns: NDArray[np.float32]) -> NDArray[np.float32]:
    cos, sin = columns[:, 0::2], columns[:, 1::2]
    count = cos.shape[1]
    result = np.empty((len(columns), product_count(count)), columns.dtype)
    result[:, 0 : 2 * count : 2] = cos * cos - sin * sin
    result[:, 1 : 2 * count : 2] = 2 * sin * cos
    first, second = np.triu_indices(count, 1)
    for k, f in enumerate((cos, sin)):
        for j, g in enumerate((cos, sin)):
            result[:, 2 * count + 2 * k + j :: 4] = f[:, first] * g[:, second]
    return result


def angles(
    names: Sequence[str], values: NDArray[Any]
) -> tuple[tuple[str, ...], NDArray[np.floating[Any]]]:
    """Angles, in radians, of the cosine and sine columns among features.

    Parameters
    ----------
    names : sequence of str
        Names of the columns ("cos phi ALA2", "sin phi ALA2", ...).
    values : (n, d) array

    Returns
    -------
    names : tuple of str
        "phi ALA2", ...; empty where no pair is found.
    angles : (n, t) array
        In (-pi, pi].

    Examples
    --------
    >>> angles(["cos phi ALA2", "sin phi ALA2", "x"], np.array([[0.0, 1.0, 5.0]]))
    (('phi ALA2',), array([[1.57079633]]))
    """
    place = {name: k for k, name in enumerate(names)}
    found = [
        (name[4:], k, place["sin " + name[4:]])
        for name, k in place.items()
        if name.startswith("cos ") and "sin " + name[4:] in place
    ]
    # Products, harmonics ("cos 2phi ALA2") and delayed copies have partners too.
    found = [f for f in found if not (f[0].startswith("2") or _COMPOSED.search(f[0]))]
    columns = [np.arctan2(values[:, s], values[:, c]) for _, c, s in found]
    table = np.stack(columns, axis=1) if columns else np.empty((len(values), 0))
    return tuple(name for name, _, _ in found), table
