"""A sample of frames that is centred and multiplied a few rows at a time.

Fresh memory costs more than what is computed in it, and copies of a wide sample in float64
would be larger than all matrices of a fit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]

#: Rows that are centred and multiplied at once.
ROWS = 2048


@dataclass(frozen=True)
class Sampled:
    """Rows (n, d) in units in which squares neither overflow nor vanish.

    rows : (n, d) of any real type
    scale : (d,) factor of each column
    mean : (d,) of rows * scale

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((5000, 2)).astype(np.float32)
    >>> sampled = Sampled.of(x, np.ones(2))
    >>> np.allclose(sampled.covariance(), np.cov(x.T, bias=True), atol=1e-6)
    True
    """

    rows: NDArray[Any]
    scale: Matrix
    mean: Matrix

    @classmethod
    def of(cls, rows: NDArray[Any], scale: Matrix) -> Sampled:
        """The sample with its mean."""
        zero = np.zeros(rows.shape[1])
        sums = [part.sum(axis=0) for part in cls(rows, scale, zero).centred()]
        return cls(rows, scale, np.sum(sums, axis=0) / len(rows))

    def centred(self) -> Iterator[Matrix]:
        """Row by row ``rows * scale - mean``, a few at a time."""
        for at in range(0, len(self.rows), ROWS):
            part = self.rows[at : at + ROWS] * self.scale
            part -= self.mean
            yield part

    def covariance(self) -> Matrix:
        """Covariance of the columns, (d, d)."""
        total = np.zeros((self.rows.shape[1], self.rows.shape[1]))
        for part in self.centred():
            total += part.T @ part
        return total / len(self.rows)

    def through(self, functions: Matrix, dtype: Any = np.float32) -> NDArray[Any]:
        """(rows * scale - mean) @ functions (d, k), in single precision if not told otherwise."""
        out = np.empty((len(self.rows), functions.shape[1]), dtype)
        at = 0
        for part in self.centred():
            out[at : at + len(part)] = part @ functions
            at += len(part)
        return out
