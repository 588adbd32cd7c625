"""Unit cells: box vectors from lengths and angles, and whether a cell is one."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

#: A cell of 1 Angstrom on each side is what formats write that must write one but have none.
_PLACEHOLDER = 0.1001


def box_vectors(lengths: NDArray[Any], angles: NDArray[Any]) -> NDArray[np.float32]:
    """Box vectors in the convention of MD programs: a along x, b in the xy plane.

    With angles alpha (b, c), beta (a, c), gamma (a, b)::

        a = (A, 0, 0), b = (B cos gamma, B sin gamma, 0),
        c = C (cos beta, (cos alpha - cos beta cos gamma) / sin gamma, z)

    Parameters
    ----------
    lengths, angles : (n, 3)
        Lengths and angles in degrees.

    Returns
    -------
    (n, 3, 3) array
        Rows are the vectors; entries below 1e-6 are exactly 0.

    Examples
    --------
    >>> box_vectors(np.array([[1.0, 2.0, 3.0]]), np.array([[90.0, 90.0, 90.0]]))[0].tolist()
    [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 3.0]]
    """
    lengths = np.asarray(lengths, np.float64)
    cosines = np.cos(np.deg2rad(np.asarray(angles, np.float64)))
    sine = np.sin(np.deg2rad(np.asarray(angles, np.float64)[:, 2]))
    box = np.zeros((len(lengths), 3, 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        box[:, 0, 0] = lengths[:, 0]
        box[:, 1, 0] = lengths[:, 1] * cosines[:, 2]
        box[:, 1, 1] = lengths[:, 1] * sine
        x = cosines[:, 1]
        y = (cosines[:, 0] - cosines[:, 1] * cosines[:, 2]) / sine
        z = np.sqrt(1.0 - x**2 - y**2)
        box[:, 2] = lengths[:, 2, None] * np.stack([x, y, z], axis=1)
    box[np.abs(box) < 1e-6] = 0.0
    return box.astype(np.float32)


def valid_cells(cell: NDArray[Any]) -> NDArray[np.bool_]:
    """Which (n, 3, 3) box vectors are a cell: finite, of positive volume, no placeholder.

    >>> valid_cells(np.array([np.eye(3), np.zeros((3, 3))])).tolist()
    [True, False]
    """
    sides = np.sqrt((cell.astype(np.float64) ** 2).sum(axis=2))
    finite = np.isfinite(cell).all(axis=(1, 2))
    volume = np.zeros(len(cell))
    volume[finite] = np.abs(np.linalg.det(cell[finite].astype(np.float64)))
    enough = volume > 1e-6 * np.where(finite, sides.prod(axis=1), 1.0)
    result: NDArray[np.bool_] = finite & enough & (sides > _PLACEHOLDER).any(axis=1)
    return result
