"""How much memory there is, and whether a wide lift fits: asked before anything is allocated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from koopman_cli.errors import ResourceError
from koopman_cli.nouns import counted, verb

#: Share of the free memory that a fit may plan for.
SHARE = 0.8

#: Matrices of m x m that exist at the same time besides those of the blocks: the kernel of the
#: landmarks with its factors, covariances, whitening and eigenvectors.
WORKING = 14

#: Matrices of m x m besides those of the blocks while moments are solved, and for each further
#: lag while they are put together. Measured on 700 to 2000 columns.
SOLVING = 20
PIECES = 7

#: Copies of the coordinates of a field, in float64, that exist at the same time. Measured.
COPIES = 4

#: Bytes that imports, tiles and samples take whatever the number of functions.
FIXED = 300 * 2**20

#: Needs below this are not asked for: to look costs more than a small fit.
SMALL = FIXED + 64 * 2**20


def available(device: Any = None) -> int:
    """Bytes that may still be allocated: the least of free memory and the limits of the process.

    device : torch device, optional
        Of the GPU whose memory is meant.
    """
    if device is not None and device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    found = [_free(), _address_space(), *_groups()]
    return min(n for n in found if n is not None)


def _free() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(n.split()[1]) * 1024 for n in lines if n.startswith("MemAvailable"))
    except (OSError, StopIteration):
        import os

        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _address_space() -> int | None:
    """What a limit on the address space (ulimit -v) leaves."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return limit
    return max(0, limit - used * resource.getpagesize())


def _groups() -> list[int]:
    """What the limits of control groups leave (containers)."""
    root = Path("/sys/fs/cgroup")
    found = []
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            most = int((root / limit).read_text(encoding="ascii"))
            found.append(max(0, most - int((root / used).read_text(encoding="ascii"))))
        except (OSError, ValueError):
            continue
    return found


def predicted(functions: int, regions: int, frames: int) -> int:
    """Bytes at the peak of a fit with m kernel functions.

    8 m^2 (6 regions + 14) + 16 m frames + 300 MiB: block moments and their merged copy, small
    matrices, and a sample of ``frames`` lifted frames with its copy.

    >>> predicted(1000, 11, 20_000) // 2**20
    1215
    """
    return FIXED + 8 * functions**2 * (6 * regions + WORKING) + 16 * functions * frames


def check_fits(functions: int, regions: int, frames: int, device: Any = None) -> None:
    """Refuse what cannot fit, with the number of landmarks that would.

    Raises
    ------
    ResourceError
    """
    free = int(SHARE * available(device))
    needed = predicted(functions, regions, frames)
    if needed <= free:
        return
    low, high = 0, functions
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if predicted(middle, regions, frames) <= free else (low, middle)
    fits = f"--set kedmd.landmarks={low} would fit" if low >= 10 else "free some memory"
    raise ResourceError(
        f"{counted(functions, 'landmark')} {verb(functions, 'need')} about {_gigabytes(needed)}; "
        f"{_gigabytes(free)} may be used",
        fits,
    )


def predicted_moments(functions: int, lags: int, regions: int) -> int:
    """Bytes at the peak of a fit to block moments of m functions.

    8 (m + 1)^2 (3 lags regions + 7 (lags - 1) + 20) + 300 MiB: xx, xy and yy of every lag and
    region; at several lags the pieces of a block before they are put together; and what one
    solution takes: a fold's moments, their covariances, whitening and eigenvectors.

    >>> predicted_moments(2000, 1, 11) // 2**20
    1919
    """
    matrices = 3 * lags * regions + PIECES * (lags - 1) + SOLVING
    return FIXED + 8 * (functions + 1) ** 2 * matrices


def check_moments(functions: int, lags: int, regions: int, device: Any = None) -> None:
    """Refuse block moments that cannot fit, with the number of functions that would.

    Raises
    ------
    ResourceError
    """
    needed = predicted_moments(functions, lags, regions)
    if needed < SMALL:
        return
    free = int(SHARE * available(device))
    if needed <= free:
        return
    spare = max(free - FIXED, 0) / (needed - FIXED)
    fits = int(functions * spare**0.5)
    few = f"about {fits} would fit: take fewer features" if fits >= 2 else "take fewer features"
    raise ResourceError(
        f"moments of {counted(functions, 'function')} {verb(functions, 'need')} about "
        f"{_gigabytes(needed)} of memory; "
        f"{_gigabytes(free)} may be used",
        f"{few} (koopman features lists them), --select fewer atoms, or free some memory",
    )


def predicted_field(frames: int, width: int) -> int:
    """Bytes at the peak of a fit to a field of ``width`` coordinates, without delays.

    8 frames width COPIES + 8 width^2 SOLVING + 300 MiB: the coordinates, which are kept, and what
    reading, moments, certificates and the skill of forecasts make of them for a while.

    >>> predicted_field(20_000, 2000) // 2**20
    2131
    """
    return FIXED + 8 * frames * width * COPIES + 8 * width**2 * SOLVING


def check_field(frames: int, width: int) -> None:
    """Refuse coordinates of a field that cannot fit, with the stride that would.

    Raises
    ------
    ResourceError
    """
    needed = predicted_field(frames, width)
    if needed < SMALL:
        return
    free = int(SHARE * available())
    if needed <= free:
        return
    spare = free - predicted_field(0, width)
    stride = -(-(needed - predicted_field(0, width)) // spare) if spare > 0 else frames
    fits = f"--stride {stride} would fit" if stride <= frames // 20 else "take fewer points"
    raise ResourceError(
        f"a field of {counted(frames, 'frame')} by {counted(width, 'cell')} needs about "
        f"{_gigabytes(needed)} of memory; {_gigabytes(free)} may be used",
        f"{fits}, or free some memory",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"
