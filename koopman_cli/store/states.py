"""Metastable states to arrays and JSON, and back."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from koopman_cli.store.plain import from_plain, to_plain
from koopman_cli.types import ChapmanKolmogorov, Quantity, States

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
