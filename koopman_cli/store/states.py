"""Metastable states to arrays and JSON, and back; a file of states beside a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import ModelFileError
from koopman_cli.store import container
from koopman_cli.store.plain import dumps, from_plain, to_plain
from koopman_cli.store.showcase import structures_from, structures_tree
from koopman_cli.types import ChapmanKolmogorov, Quantity, States, Structures

#: The file in RUN/states, and the version of its content.
STATES, SCHEMA = "states.h5", 1

#: Fields that are stored as arrays; the others travel as JSON.
ARRAYS = ("mean", "functions", "matrix")

_HINTS: dict[str, Any] = {
    "count": int,
    "chosen_by": str,
    "hard": tuple[Quantity, ...],
    "soft": tuple[Quantity, ...],
    "lifetimes": tuple[Quantity | None, ...],
    "transition_matrix": tuple[tuple[float, ...], ...],
    "mfpt": tuple[tuple[Quantity | None, ...], ...],
    "crispness": float,
    "chapman_kolmogorov": ChapmanKolmogorov | None,
    "reliable": bool,
    "notes": tuple[str, ...],
    "warnings": tuple[str, ...],
    "transitions": tuple[tuple[Quantity, ...], ...] | None,
}


def states_to_plain(states: States) -> dict[str, Any]:
    """Everything but the arrays, as JSON can hold it."""
    return {name: to_plain(getattr(states, name)) for name in _HINTS}


def states_from_plain(told: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> States:
    """The inverse of :func:`states_to_plain`, with the arrays beside it.

    Examples
    --------
    >>> import numpy as np
    >>> one = (Quantity(1.0),)
    >>> made = States(1, "user", one, one, (None,), ((1.0,),), ((None,),), 1.0,
    ...               np.zeros(2), np.zeros((2, 0)), np.ones((1, 1)))
    >>> arrays = {name: getattr(made, name) for name in ARRAYS}
    >>> states_from_plain(states_to_plain(made), arrays).soft == made.soft
    True
    """
    # What came later than the file is left at its default.
    values: dict[str, Any] = {
        name: from_plain(hint, told[name]) for name, hint in _HINTS.items() if name in told
    }
    values |= {name: arrays[name] for name in ARRAYS}
    return States(**values)


def save_states(states: States, structures: Structures | None, path: Path) -> None:
    """Write states, and the structures that show them, to a file that is checked on reading.

    Raises
    ------
    FileError
        If the file system refuses.
    """
    told = {"states": states_to_plain(states), "structures": None}
    tree = {f"states/{name}": np.asarray(getattr(states, name)) for name in ARRAYS}
    if structures is not None:
        arrays, told["structures"] = structures_tree(structures)
        tree |= {f"structures/{name}": array for name, array in arrays.items()}
    container.write(path, SCHEMA, tree | {"json": np.array([dumps(told)])})


def load_states(path: Path) -> tuple[States, Structures | None]:
    """What :func:`save_states` wrote.

    Raises
    ------
    FileError, ModelFileError
        If it cannot be read, or is damaged.
    """
    _, tree = container.read(path, SCHEMA)
    parts: dict[str, dict[str, NDArray[Any]]] = {"states": {}, "structures": {}}
    try:
        for name, array in tree.items():
            group, _, leaf = name.partition("/")
            if leaf:
                parts[group][leaf] = array
        told = json.loads(str(tree["json"][0]))
        states = states_from_plain(told["states"], parts["states"])
        if told["structures"] is None:
            return states, None
        return states, structures_from(parts["structures"], told["structures"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(
            f"{str(path)!r} lacks what states need ({error})", "run koopman states again"
        ) from error
