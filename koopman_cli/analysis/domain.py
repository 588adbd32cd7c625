"""Where a model was trained: the leverage of a frame against that of the training frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.sampled import Sampled
from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.linalg import SMALLEST, power_of_two, whiten
from koopman_cli.types import Domain, Progress, no_progress

#: Frames from which the domain is learnt, and directions that are kept.
SAMPLE = 20_000
DIRECTIONS = 200

#: Numbers of wide features that are held for it, and frames that are taken however wide they are.
NUMBERS = 20_000_000
FEWEST = 5_000

#: Share of training frames inside the domain.
INSIDE = 0.999


def training_domain(stream: FeatureStream, progress: Progress = no_progress) -> Domain | None:
    """The domain of the frames of a stream; None where nothing varies or frames are complex.

    Parameters
    ----------
    stream : FeatureStream
        What the model was trained on.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((5000, 2))
    >>> domain = training_domain(FeatureStream.from_arrays(x))
    >>> leverage(domain, np.array([[0.0, 0.0], [0.0, 20.0]])) > domain.limit
    array([False,  True])
    """
    if stream.dtype.kind == "c":
        return None
    limit = min(SAMPLE, max(FEWEST, NUMBERS // stream.n_features))
    parts = gather(stream, thinned_frames(stream.lengths, limit), None, progress)
    rows = np.concatenate([p for p in parts if len(p)])
    size = np.maximum(rows.max(axis=0), -rows.min(axis=0)).astype(np.float64)
    scale = power_of_two(size)
    x = Sampled.of(rows, scale)
    covariance = x.covariance()
    spread = np.sqrt(np.diag(covariance))
    moving = spread > np.maximum(1e-9 * (np.abs(x.mean) + size * scale), SMALLEST * scale)
    if len(rows) < 10 or not moving.any():
        return None
    white = whiten(covariance[np.ix_(moving, moving)], 1e-6).matrix[:, :DIRECTIONS]
    matrix = np.zeros((len(moving), white.shape[1]))
    matrix[moving] = white
    seen = x.through(matrix, np.float64)
    furthest = float(np.quantile(np.einsum("ij,ij->i", seen, seen), INSIDE))
    return Domain(x.mean / scale, matrix * scale[:, None], furthest)


def leverage(domain: Domain, x: NDArray[Any]) -> NDArray[np.float64]:
    """Squared length of whitened features, |W'(x - mean)|^2, of frames (n, d)."""
    white = (np.asarray(x, np.float64) - domain.mean) @ domain.whitening
    value: NDArray[np.float64] = np.einsum("ij,ij->i", white, white)
    return value
