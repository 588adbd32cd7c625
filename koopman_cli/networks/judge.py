"""Judging networks: moments of their outputs, held-out scores, collapse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import SupportError
from koopman_cli.linalg import whiten
from koopman_cli.moments import Moments
from koopman_cli.networks.frames import Frames, Index
from koopman_cli.networks.stack import Engine, Stack
from koopman_cli.scoring import FoldScore, score_set, singular_functions, vamp_score

Tensor = Any
Matrix = NDArray[np.float64]

#: Rows of one pass.
ROWS = 16_384

#: Share of the largest eigenvalue of the outputs' correlation below which one is missing.
EFFECTIVE = 1e-6

#: A state is one only if some frame belongs to it more than to all others.
HALF = 0.5


@dataclass(frozen=True)
class Seen:
    """What networks made of lagged pairs.

    xx, xy, yy : (N, k + 1, k + 1) sums of products of [functions, 1]
    largest : (N, outputs) the largest value of every output
    """

    xx: Matrix
    xy: Matrix
    yy: Matrix
    largest: Matrix

    def moments(self, i: int, *, reversible: bool) -> Moments:
        """Moments of the functions of one network; both directions of time where reversible."""
        k = self.xx.shape[1] - 1
        found = Moments(self.xx[i], self.xy[i], self.yy[i], np.zeros(k), np.ones(k))
        return found.symmetrized() if reversible else found


@dataclass(frozen=True)
class Folds:
    """Training sets of the networks of a stack.

    of : (N,) number of the set of each network
    mean, scale : (sets, 1, 1, d) relative to the standard of the frames, None where they agree
    """

    of: Tensor
    mean: Tensor = None
    scale: Tensor = None

    def pick(self, x: Tensor, index: Tensor, chosen: Tensor, lag: int) -> Tensor:
        """Frames (S, 2, B, d) of both ends of pairs: index (sets, B), chosen (S,) sets."""
        import torch

        both = torch.stack([index, index + lag], dim=1)
        # Networks of one training set share their batch: it is gathered once for all of them.
        of = chosen[:1] if len(both) == 1 else chosen
        both = both[of]
        found = x.index_select(0, both.reshape(-1)).view(*both.shape, x.shape[1])
        if self.mean is not None:
            found.sub_(self.mean[of]).mul_(self.scale[of])
        return found.expand(len(chosen), -1, -1, -1)


def look(
    engine: Engine, stack: Stack, frames: Frames, folds: Folds, wanted: Sequence[Index]
) -> Seen:
    """Pass some lagged pairs of every training set through its networks.

    Parameters
    ----------
    wanted : one sorted array of first frames per set
    """
    import torch

    k, n = engine.shape.functions, len(stack.rows)
    device = stack.rows.device
    sums = torch.zeros(3, n, k + 1, k + 1, dtype=torch.float64, device=device)
    largest = torch.full((n, engine.shape.outputs), -torch.inf, dtype=torch.float64, device=device)
    of = folds.of.cpu().numpy()
    for piece in frames.pieces():
        for s, first in enumerate(wanted):
            members, own = np.flatnonzero(of == s), piece.own(first)
            per = engine.turn(2 * min(len(own), ROWS) + 1, device)
            for at in range(0, len(own), ROWS):
                index = torch.from_numpy(own[at : at + ROWS]).to(device)[None]
                for low in range(0, len(members), per):
                    some = torch.from_numpy(members[low : low + per]).to(device)
                    _add(engine, stack.take(some), (piece.x, index, s), (frames.lag, folds),
                         (sums, largest, some))  # fmt: skip
    xx, xy, yy = sums.cpu().numpy()
    return Seen(xx, xy, yy, largest.cpu().numpy())


def _add(
    engine: Engine,
    part: Stack,
    where: tuple[Tensor, Tensor, int],
    how: tuple[int, Folds],
    into: tuple[Tensor, Tensor, Tensor],
) -> None:
    import torch

    (x, index, s), (lag, folds), (sums, largest, some) = where, how, into
    pairs = folds.pick(x, index.expand(s + 1, -1), torch.tensor([s], device=x.device), lag)
    out = engine.outputs(part, pairs.expand(len(part.rows), -1, -1, -1)).double()
    one = torch.ones_like(out[..., :1])
    z = torch.cat([out[..., : engine.shape.functions], one], dim=-1)
    zx, zy = z[:, 0], z[:, 1]
    for i, (a, b) in enumerate(((zx, zx), (zx, zy), (zy, zy))):
        sums[i, some] += a.transpose(1, 2) @ b
    top = out.amax(dim=(1, 2))
    largest[some] = torch.maximum(largest[some], top)


def plain_scores(seen: Seen, loss: str) -> Matrix:
    """The loss itself on the pairs that were seen, (N,); NaN where functions are dependent."""
    import torch

    reversible = loss == "reversible"
    parts: list[list[Matrix]] = [[], [], []]
    for i in range(len(seen.xx)):
        c = seen.moments(i, reversible=reversible).covariances()
        for part, m in zip(parts, (c.c00, c.c01, c.c11), strict=True):
            part.append(m)
    tensors = [torch.from_numpy(np.stack(part)) for part in parts]
    found = vamp_score(*tensors, r=1 if loss == "vamp1" else 2).numpy()
    return np.where(np.isfinite(found), found, np.nan)


def held_scores(train: Seen, held: Seen, loss: str) -> list[FoldScore | None]:
    """Scores of every network's singular functions on held-out pairs; None where it has none."""
    reversible = loss == "reversible"
    found: list[FoldScore | None] = []
    for i in range(len(train.xx)):
        k = train.xx.shape[1] - 1
        try:
            own = train.moments(i, reversible=reversible)
            u, s, v = singular_functions(own, np.eye(k), np.eye(k))
            found.append(score_set(u, s, v, held.moments(i, reversible=reversible)))
        except (SupportError, np.linalg.LinAlgError, ValueError):
            found.append(None)
    return found


def collapsed(seen: Seen, *, softmax: bool) -> NDArray[np.bool_]:
    """Which networks have fewer functions than outputs, or a state that is nowhere the largest.

    The effective rank counts eigenvalues of the correlation of the functions above 1e-6 of the
    largest.
    """
    found = np.zeros(len(seen.xx), bool)
    for i in range(len(found)):
        c = seen.moments(i, reversible=False).covariances().c00
        try:
            rank = whiten(c, EFFECTIVE).rank if np.isfinite(c).all() else 0
        except SupportError:
            rank = 0
        found[i] = rank < len(c) or (softmax and bool(np.any(seen.largest[i] <= HALF)))
    return found
