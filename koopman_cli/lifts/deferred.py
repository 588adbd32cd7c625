"""Coordinates of a kernel lift that are divided out of sums instead of frames.

With K_zz = L L' in blocks, the first p landmarks before the others, phi = L^-1 k(z, x) is

    phi_1 = L11^-1 k_1,    r = k_2 - L21 phi_1,    phi_2 = L22^-1 r.

The last step costs as much as the Gram matrix of all frames. It is linear, so a lift may stop
at [phi_1, r] and have its moments multiplied by L22^-1 where the inner product of the kernel's
space is needed, which is in the solution. What the first landmarks describe must be gone before
anything is summed, since in float32 the rounding of sums grows by 1 / pivot^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Largest growth of the rounding of a sum. At this size nothing can be seen to be added to the
#: rounding of phi itself (Gaussian, Matern and Laplacian kernels of 2 to 10 columns).
GROWTH = 128.0

#: First landmarks are tried in steps of so many, up to a share of all that still saves time.
STEP, LARGEST = 32, 0.5

#: Landmarks from which time is saved at all.
FEWEST = 256


def growth(inverse: Matrix, lower: Matrix, first: int) -> float:
    """By how much the rounding of sums of r grows in those of phi_2, at most.

    Sums of r_j are rounded in proportion to its variance, which is at most what the first
    landmarks leave of k(z_j, z_j): s_j = sum_{k >= p} L_jk^2. In phi_i this is
    sum_j (L^-1)_ij^2 s_j, where the variance of phi_i is at most 1.

    Parameters
    ----------
    inverse, lower : (m, m) arrays
        L^-1 and L.
    first : int
        p.

    Examples
    --------
    >>> growth(np.diag([1.0, 4.0]), np.diag([1.0, 0.25]), 1)
    1.0
    """
    left = np.einsum("jk,jk->j", lower[first:, first:], lower[first:, first:])
    rows = inverse[first:, first:]
    return float(np.einsum("ij,ij,j->i", rows, rows, left).max(initial=0.0))


def first_landmarks(inverse: Matrix, lower: Matrix) -> int:
    """p; all of them (m) where nothing is gained, or float32 would lose by it.

    >>> first_landmarks(np.eye(300), np.eye(300)), first_landmarks(np.eye(9), np.eye(9))
    (32, 9)
    """
    m = len(inverse)
    if m >= FEWEST:
        for first in range(STEP, int(LARGEST * m) + 1, STEP):
            if growth(inverse, lower, first) <= GROWTH:
                return first
    return m


def joined(inverse: Matrix, lower: Matrix, first: int) -> Matrix:
    """L11^-1 and L22^-1 with -L21 below the first, as one upper triangular matrix (transposed)."""
    found = inverse.copy()
    found[first:, :first] = -lower[first:, :first]
    return found.T


@dataclass(frozen=True)
class Split:
    """What makes [phi_1, r] of kernel values, and phi of that.

    head : (p, p) L11^-1
    known : (m - p, p) -L21
    later : (m - p, m - p) L22^-1; None where p is m
    """

    head: Matrix
    known: Matrix
    later: Matrix | None

    @classmethod
    def of(cls, transform: NDArray[Any], first: int) -> Split:
        """From what :func:`joined` made of them."""
        below = np.asarray(transform.T, np.float64)
        # In the order of the triangular products, which would copy it each time.
        later = np.asfortranarray(below[first:, first:]) if first < len(below) else None
        return cls(below[:first, :first], below[first:, :first], later)
