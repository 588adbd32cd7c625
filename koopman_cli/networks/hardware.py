"""Devices of the training: which one, and whether it computes what the processor computes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.devices import torch_device
from koopman_cli.errors import ResourceError
from koopman_cli.networks.frames import Frames
from koopman_cli.networks.loss import batch_score
from koopman_cli.networks.stack import Engine, Stack

#: Largest difference of an output, and relative one of the score, between GPU and processor:
#: TF32, which the network may use, keeps ten bits.
OUTPUTS = 2e-2
SCORES = 2e-2


def device_of(name: str) -> Any:
    """The torch device of a name; ``auto`` takes a GPU where there is one.

    Raises
    ------
    UsageError, ResourceError
        No such device; a GPU that was asked for and is not there.

    Examples
    --------
    >>> str(device_of("cpu"))
    'cpu'
    """
    import torch

    found = torch_device(name)
    if found is not None and found.type == "cuda":
        # Ten-bit products inside the network; moments are taken in float64.
        torch.set_float32_matmul_precision("high")
    return torch.device("cpu") if found is None else found


def compare(
    engine: Engine,
    stack: Stack,
    frames: Frames,
    index: NDArray[np.int64],
    other: Any = None,
) -> float | None:
    """Pass one batch through a network on the device and on the processor.

    Parameters
    ----------
    index : first frames of some lagged pairs
    other : torch device, optional
        What the device is compared with; the processor where it is a GPU, else nothing.

    Returns
    -------
    float or None
        The largest difference of an output.

    Raises
    ------
    ResourceError
        If outputs or score differ by more than rounding explains.
    """
    import torch

    if other is None and frames.device.type == "cpu":
        return None
    other = other or torch.device("cpu")
    piece = next(iter(frames.pieces()))
    own = torch.from_numpy(piece.own(index)).to(frames.device)
    x = torch.stack([piece.x[own], piece.x[own + frames.lag]])[None]
    one = stack.between(0, 1)
    there = engine.outputs(one, x).clone()
    moved = Stack(*(getattr(one, name).to(other) for name in vars(one)))
    here = Engine(engine.shape, engine.loss, engine.ridge).outputs(moved, x.to(other))
    k = engine.shape.functions
    scores = [float(batch_score(o[..., :k], engine.loss, engine.ridge)) for o in (there, here)]
    worst = float((there.to(other) - here).abs().max())
    size = float(here.abs().max())
    if not worst <= OUTPUTS * max(size, 1.0) or abs(scores[0] - scores[1]) > SCORES * scores[1]:
        raise ResourceError(
            f"{frames.device} computes another network than the processor: outputs differ by "
            f"{worst:.2g}, scores are {scores[0]:.6g} and {scores[1]:.6g}",
            "check the driver, or use --device cpu",
        )
    return worst
