"""Regressions of reduced rank: which r whitened directions the operator may use.

Without a ridge (alpha = 0) the directions W whiten C00; with one they whiten C00 + alpha.

principal  the r leading eigenvectors of C00: principal-component regression
rrr        the r leading left singular vectors of W' C01: the operator G of rank r that
           minimises E|phi(y) - G' phi(x)|^2 + alpha |G|^2 (reduced-rank regression)

Both take the plain inner product of the functions, so these must be orthonormal coordinates,
such as those of the kernel lift. ``neglected`` measures what is left out, for the estimate of
the spectral bias. Sources: Kostic et al., NeurIPS 2022 and NeurIPS 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Reduction:
    """A regression with a ridge, of full or of reduced rank.

    ridge : alpha, added to every variance (n alpha to the sums); 0 for none
    rank : directions that are kept; 0 keeps all
    method : which ones
    """

    ridge: float = 0.0
    rank: int = 0
    method: Literal["principal", "rrr"] = "principal"

    def directions(self, c00: Matrix, c01: Matrix, white: Matrix) -> tuple[Matrix, float]:
        """The whitened directions kept (m, r), and the size of the first one left out.

        c00, c01 : (m, m) without the ridge; white : (m, rank) with W'(C00 + alpha)W = 1

        Examples
        --------
        >>> c00, c01 = np.diag([4.0, 1.0]), np.diag([0.4, 0.9])
        >>> Reduction(0.0, 1).directions(c00, c01, np.diag([0.5, 1.0]))[0].tolist()
        [[0.5], [0.0]]
        >>> Reduction(0.0, 1, "rrr").directions(c00, c01, np.diag([0.5, 1.0]))[0].tolist()
        [[0.0], [1.0]]
        """
        if not 0 < self.rank < white.shape[1]:
            return white, float(np.sqrt(self.ridge))
        find = self._principal if self.method == "principal" else self._reduced
        return find(c00, c01, white)

    def _principal(self, c00: Matrix, c01: Matrix, white: Matrix) -> tuple[Matrix, float]:
        first = len(c00) - self.rank - 1
        values, vectors = scipy.linalg.eigh(c00, subset_by_index=[max(first, 0), len(c00) - 1])
        values, vectors = values[::-1], _positive(vectors[:, ::-1])
        kept = vectors[:, : self.rank] / np.sqrt(values[: self.rank] + self.ridge)
        return kept, float(np.sqrt(max(values[self.rank], 0.0)))

    def _reduced(self, c00: Matrix, c01: Matrix, white: Matrix) -> tuple[Matrix, float]:
        u, s, _ = scipy.linalg.svd(white.T @ c01, full_matrices=False)
        return white @ _positive(u[:, : self.rank]), float(s[self.rank])


def _positive(vectors: Matrix) -> Matrix:
    """Columns with their largest component positive."""
    leading = np.argmax(np.abs(vectors), axis=0)
    signs: Any = np.where(vectors[leading, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    positive: Matrix = vectors * signs
    return positive
