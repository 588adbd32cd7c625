"""Correlations and structures to arrays and JSON, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.store.plain import from_plain
from koopman_cli.types import Correlations, Structures

Tree = dict[str, NDArray[Any]]

_CORRELATIONS = ("values", "low", "high", "stable")
_STRUCTURES = ("xyz", "residue_numbers", "chains", "bonds", "frames")
_NAMES = tuple[str, ...]


def correlations_tree(found: Correlations) -> tuple[Tree, dict[str, Any]]:
    """Arrays, and what JSON holds."""
    told = {"names": found.names, "modes": found.modes, "blocks": found.blocks, "of": found.of}
    return {name: np.asarray(getattr(found, name)) for name in _CORRELATIONS}, told


def correlations_from(tree: Tree, told: dict[str, Any]) -> Correlations:
    """The inverse of :func:`correlations_tree`.

    Examples
    --------
    >>> one = np.ones((1, 1))
    >>> made = Correlations(("phi",), ("mode 1",), one, one, one, one > 0, 20, 1)
    >>> correlations_from(*correlations_tree(made)).names
    ('phi',)
    """
    names, modes = (from_plain(_NAMES, told[name]) for name in ("names", "modes"))
    arrays = {name: tree[name] for name in _CORRELATIONS}
    return Correlations(names, modes, **arrays, blocks=told["blocks"], of=told["of"])


_STRUCTURE_NAMES = ("elements", "atoms", "residues")


def structures_tree(found: Structures) -> tuple[Tree, dict[str, Any]]:
    """Arrays, and what JSON holds."""
    told: dict[str, Any] = {name: getattr(found, name) for name in _STRUCTURE_NAMES}
    tree = {name: np.asarray(getattr(found, name)) for name in _STRUCTURES}
    return tree, told | {"left_out": found.left_out}


def structures_from(tree: Tree, told: dict[str, Any]) -> Structures:
    """The inverse of :func:`structures_tree`."""
    names: dict[str, Any] = {name: from_plain(_NAMES, told[name]) for name in _STRUCTURE_NAMES}
    arrays: dict[str, Any] = {name: tree[name] for name in _STRUCTURES}
    return Structures(**arrays, **names, left_out=told["left_out"])
