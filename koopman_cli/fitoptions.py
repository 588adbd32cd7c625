"""What ``koopman fit`` can be told, and whether it makes sense before anything is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from koopman_cli.devices import torch_device
from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.heldout import refuse_shared
from koopman_cli.models import make_settings

PRECISIONS = ("auto", "float64", "float32")


@dataclass(frozen=True)
class FitOptions:
    """What ``koopman fit`` can be told besides how to read.

    features : specification, None chooses for what is found
    model : family, None takes tica for MD and vamp for arrays
    lag : "auto", frames ("50") or a time ("5ns")
    dim : "auto" or a number of functions
    settings : of the family, texts or values
    folds : folds of blocks for held-out scores
    test : paths (or arrays) of a separate test set instead of folds
    device : "cpu", "cuda", "cuda:N", or "auto", which takes a GPU for kernels and networks where
        there is one
    place : :class:`koopman_cli.networks.checkpoint.Place` of checkpoints, where training is long
    """

    features: str | None = None
    model: str | None = None
    lag: str = "auto"
    dim: str = "auto"
    settings: Mapping[str, Any] = field(default_factory=dict)
    folds: int = 5
    test: Any = None
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    place: Any = None


def checked_dim(options: FitOptions, source: Any) -> int | None:
    """The dim asked for; raises before anything is read where options make no sense."""
    if options.model is not None:
        make_settings(options.model, options.settings)
    if options.folds < 0 or options.folds == 1:
        raise UsageError(f"folds {options.folds}: not possible", "give 2 or more, or 0 for none")
    if not 0 <= options.seed < 2**63:
        raise UsageError(f"seed {options.seed}: out of range", "give --seed 0 to 2**63 - 1")
    if options.precision not in PRECISIONS:
        raise UsageError(
            f"no such precision: {options.precision!r}", did_you_mean(options.precision, PRECISIONS)
        )
    torch_device(options.device)
    refuse_shared(source, options.test)
    return _dim(options.dim)


def with_delays(options: FitOptions) -> str | None:
    """The features, with the delays that are asked for as a setting of DMD.

    >>> with_delays(FitOptions(settings={"delays": "5"}))
    'delays:5'
    """
    number = int(options.settings.get("delays", 1))
    if number == 1 or "delays" in (options.features or ""):
        return options.features
    return f"{options.features}+delays:{number}" if options.features else f"delays:{number}"


def _dim(text: str | int) -> int | None:
    if text == "auto":
        return None
    try:
        dim = int(text)
    except ValueError:
        raise UsageError(
            f"dim {text}: not a whole number", "give a number of functions such as 3, or auto"
        ) from None
    if dim < 1:
        raise UsageError(f"dim {dim}: a model has at least one function", "give --dim 1 or more")
    return dim
