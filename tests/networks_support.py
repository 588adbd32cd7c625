"""Small trainings that tests of networks share."""

from __future__ import annotations

import numpy as np

from koopman_cli.features.stream import FeatureStream
from koopman_cli.networks.frames import laid_out
from koopman_cli.networks.recipe import Job, Recipe
from koopman_cli.networks.train import How, train


def hopping(seed: int = 0, frames: int = 4000, columns: int = 2, stay: float = 0.98) -> np.ndarray:
    """A walker between three places in the plane, seen with noise, (frames, columns)."""
    rng = np.random.default_rng(seed)
    leave = rng.random(frames) > stay
    state = np.cumsum(np.where(leave, rng.integers(1, 3, frames), 0)) % 3
    places = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 3.0]])[state]
    noise = 0.3 * rng.standard_normal((frames, columns))
    noise[:, :2] += places
    return noise


def stream_of(*arrays: np.ndarray) -> FeatureStream:
    """A stream of one or several trajectories."""
    return FeatureStream.from_arrays(list(arrays))


#: Small, quick, and good enough for :func:`hopping`.
SMALL = Recipe((8,), 3, restarts=2, epochs=4, batch=200, rate=5e-3)


def trained(x, recipe: Recipe = SMALL, how: How | None = None, *, lag: int = 1, seed: int = 0):
    """The lift of one job on all frames of arrays or a stream."""
    stream = x if isinstance(x, FeatureStream) else stream_of(x)
    (lift,) = train(stream, lag, [Job(recipe, laid_out(stream), seed)], how or How("cpu"))
    return lift


def weights(lift) -> bytes:
    """All numbers of a lift."""
    return b"".join(np.ascontiguousarray(lift.arrays[k]).tobytes() for k in sorted(lift.arrays))
