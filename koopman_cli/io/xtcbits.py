"""Whether packed xtc frames unpack to exactly their atoms and bytes.

The decoder written in C trusts the bit stream: a flipped bit can make it write past its
buffers. The stream is walked here without decoding a coordinate: an atom takes ``bitsize``
bits (or three sizes), then one flag, and if that is set five bits r; a run of r // 3 close
atoms of ``small`` bits each follows, and ``small`` changes by r % 3 - 1. Many frames are
walked at once, so that the cost is a few array operations per atom group.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SMALLEST, _TABLE = 9, 73  # valid indices into the table of magic integers


def atom_bits(bounds: NDArray[Any]) -> NDArray[np.int64]:
    """Bits of an atom from (n, 6) least and largest integers.

    >>> atom_bits(np.array([[0, 0, 0, 9, 9, 9], [0, 0, 0, 2**24, 1, 1]])).tolist()
    [10, 29]
    """
    sizes = bounds[:, 3:].astype(np.int64) - bounds[:, :3] + 1
    bits = np.empty(len(sizes), np.int64)
    for i, (a, b, c) in enumerate(sizes.tolist()):
        if (a | b | c) > 0xFFFFFF:
            bits[i] = a.bit_length() + b.bit_length() + c.bit_length()
        else:
            bits[i] = (a * b * c).bit_length()
    return bits


def _six_bits(data: NDArray[np.uint8], at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The six bits from bit ``at`` on, as a number."""
    byte = at >> 3
    two = (data[byte].astype(np.int64) << 8) | data[byte + 1]
    six: NDArray[np.int64] = (two >> (10 - (at & 7))) & 0x3F
    return six


def sound(
    data: NDArray[np.uint8],
    spans: NDArray[np.int64],
    bits: NDArray[np.int64],
    small: NDArray[np.int64],
    n_atoms: int,
) -> NDArray[np.bool_]:
    """Which frames end with their last atom and their last byte.

    Parameters
    ----------
    data : (bytes,)
        Holds the packed frames.
    spans : (n, 2)
        First byte and number of bytes of each.
    bits, small : (n,)
        Bits of an atom (:func:`atom_bits`), and the first table index of the runs.
    n_atoms : int

    Returns
    -------
    (n,) array of bool
    """
    data = np.concatenate([data, np.zeros(16, np.uint8)])
    ends = 8 * spans.sum(axis=1)
    good = np.zeros(len(spans), bool)
    which = np.arange(len(spans))
    at, left = 8 * spans[:, 0], np.full(len(spans), n_atoms)
    small, run = small.astype(np.int64), np.zeros(len(spans), np.int64)
    while len(which):
        at = at + bits
        # A frame that runs off its bytes is dropped before it reads those of the next.
        six = _six_bits(data, np.minimum(at, ends))
        flag = six >= 32
        five = six & 31
        run = np.where(flag, five // 3, run)
        at = at + np.where(flag, 6, 1) + run * small
        small = np.where(flag, small + five % 3 - 1, small)
        left = left - 1 - run
        fine = (at <= ends) & (left >= 0) & (small >= _SMALLEST) & (small < _TABLE)
        if fine.all() and left.all():
            continue
        done = fine & (left == 0)
        good[which[done]] = at[done] > ends[done] - 8
        keep = fine & (left > 0)
        which, at, left, run = which[keep], at[keep], left[keep], run[keep]
        bits, small, ends = bits[keep], small[keep], ends[keep]
    return good
