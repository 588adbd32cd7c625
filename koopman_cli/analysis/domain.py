"""Where a model was trained: the leverage of a frame against that of the training frames."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.features.sampling import gather, thinned_frames
from koopman_cli.features.stream import FeatureStream
from koopman_cli.linalg import SMALLEST, balanced, whiten
from koopman_cli.types import Domain, Progress, no_progress

#: Frames from which the domain is learnt, and directions that are kept.
SAMPLE = 20_000
DIRECTIONS = 200

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
    parts = gather(stream, thinned_frames(stream.lengths, SAMPLE), None, progress)
    x, scale = balanced(np.concatenate([p for p in parts if len(p)]).astype(np.float64))
    mean = x.mean(axis=0)
    spread = x.std(axis=0)
    moving = spread > np.maximum(1e-9 * (np.abs(mean) + np.abs(x).max(axis=0)), SMALLEST * scale)
    if len(x) < 10 or not moving.any():
        return None
    centred = x[:, moving] - mean[moving]
    white = whiten(centred.T @ centred / len(x), 1e-6).matrix[:, :DIRECTIONS]
    matrix = np.zeros((x.shape[1], white.shape[1]))
    matrix[moving] = white
    limit = float(np.quantile(leverage(Domain(mean, matrix, 0.0), x), INSIDE))
    return Domain(mean / scale, matrix * scale[:, None], limit)


def leverage(domain: Domain, x: NDArray[Any]) -> NDArray[np.float64]:
    """Squared length of whitened features, |W'(x - mean)|^2, of frames (n, d)."""
    white = (np.asarray(x, np.float64) - domain.mean) @ domain.whitening
    value: NDArray[np.float64] = np.einsum("ij,ij->i", white, white)
    return value
