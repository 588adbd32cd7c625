"""Lifts chi: what a family makes of the features before linear algebra.

A lift is data (:class:`koopman_cli.types.Lift`) plus one plain function per kind, so that
a stored model needs no code of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from numpy.typing import NDArray

from koopman_cli.devices import torch_device
from koopman_cli.errors import ModelFileError
from koopman_cli.types import Lift

#: kind -> module with ``evaluate(lift, x) -> (n, m)``, or with ``function(lift, device, single)``
#: that prepares such a function, on a GPU too; a new lift is one file and one line.
LIFTS = {
    "identity": "koopman_cli.lifts.identity",
    "dictionary": "koopman_cli.lifts.dictionary",
    "pod": "koopman_cli.lifts.pod",
    "kernel": "koopman_cli.lifts.kernel",
    # What makes functions of its arrays is not what versions without it did: they refuse it.
    "deferred-kernel": "koopman_cli.lifts.kernel",
    "indicator": "koopman_cli.lifts.indicator",
    "network": "koopman_cli.lifts.network",
}


def evaluator(
    lift: Lift, device: Any = None, *, single: bool = False
) -> tuple[int, Callable[[NDArray[Any]], NDArray[Any]]] | None:
    """Number of functions and the function (n, d) -> (n, m); None for the identity.

    Parameters
    ----------
    device : torch device, optional
        Where lifts that can do so compute; they then give torch tensors.
    single : bool
        Whether float32 suffices to lifts that have the choice.

    Raises
    ------
    ModelFileError
        If the lift is of a kind that this version does not know.
    """
    if lift.kind == "identity":
        return None
    if lift.kind not in LIFTS:
        raise ModelFileError(
            f"the model uses a lift of kind {lift.kind!r}, which this version does not know",
            "update koopman",
        )
    module = import_module(LIFTS[lift.kind])
    if hasattr(module, "function"):
        return len(lift.names), module.function(lift, device, single=single)
    evaluate = module.evaluate
    return len(lift.names), lambda x: evaluate(lift, x)


def device_for(kind: str, asked: str) -> Any:
    """The torch device for a kind of lift, None for numpy on the processor.

    ``auto`` keeps lifts on the processor that have no evaluation of their own elsewhere: they
    are too narrow to gain from it.
    """
    own = kind in LIFTS and hasattr(import_module(LIFTS[kind]), "function")
    return torch_device("cpu" if asked == "auto" and not own else asked)


def apply(lift: Lift, x: NDArray[Any]) -> NDArray[Any]:
    """Evaluate a lift on frames (n, d), giving (n, m)."""
    found = evaluator(lift)
    return x if found is None else found[1](x)
