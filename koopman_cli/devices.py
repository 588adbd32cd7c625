"""Devices: where products are computed. A GPU that was asked for and is absent is an error."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from koopman_cli.errors import ResourceError, UsageError


def check_device(name: str) -> None:
    """Raise unless a device's name makes sense.

    Raises
    ------
    UsageError

    Examples
    --------
    >>> check_device("cuda:1")
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise UsageError(f"no such device: {name!r}", "give auto, cpu, cuda or cuda:N")


def torch_device(name: str) -> Any:
    """The torch device of a name, or None for numpy on the processor.

    ``auto`` takes a GPU where there is one, ``cpu`` none; ``cuda`` and ``cuda:N`` insist.

    Raises
    ------
    UsageError, ResourceError
        No such device; no GPU, or fewer than that.

    Examples
    --------
    >>> torch_device("cpu") is None
    True
    """
    check_device(name)
    # Importing torch takes seconds, which nobody without a GPU should wait.
    if name == "cpu" or (name == "auto" and not Path("/dev/nvidiactl").exists()):
        return None
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0") if count else None
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        found = f"{count} found" if count else "none is usable here"
        raise ResourceError(
            f"--device {name}: no such GPU ({found})",
            "use --device cpu, or check the driver and that torch was built for CUDA",
        )
    return torch.device(f"cuda:{index}")
