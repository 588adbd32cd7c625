r"""Products at many lags at once, by Fourier transforms of short stretches of frames.

A hundred lags cost a hundred products x'y when taken one by one. In frequencies

    sum_t x_t y_{t+l}'  =  F^-1[ sum_stretches conj(F x) (F y)' ](l)

with x padded by zeros so that nothing wraps around: a few products per frequency give every
lag up to the largest. Source: Welch, IEEE Trans. Audio Electroacoust. 15, 70 (1967), for
spectra; Oppenheim and Schafer, Discrete-Time Signal Processing, section 8.7 (overlap-save).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from koopman_cli.sums import Unit
from koopman_cli.tiles import Found, SegmentRun, Tile, Wanted, turn_of
from koopman_cli.workers import Buffers

#: Lags from which transforms are cheaper than products, if the longest of them is at most
#: so many times their number.
FEWEST = 24
SPREAD = 4

#: Frames of a stretch, in largest lags.
STRETCH = 2.5

#: Bytes that the spectra of one block may take.
SPECTRA_BYTES = 128 * 2**20


def suits(width: int, lags: Sequence[int]) -> bool:
    """Whether transforms pay: many lags, close together, of functions that are not too many.

    >>> suits(50, range(1, 101)), suits(50, [1, 2, 5, 100]), suits(3000, range(1, 101))
    (True, False, False)
    """
    reach = max(lags)
    spectra = (length(reach) // 2 + 1) * width**2 * 16
    return len(lags) >= FEWEST and reach <= SPREAD * len(lags) and spectra <= SPECTRA_BYTES


def length(reach: int) -> int:
    """Frames of a stretch: an even length that transforms are fast at."""
    from scipy.fft import next_fast_len

    return 2 * int(next_fast_len(int(np.ceil(STRETCH * reach / 2)) + 4, real=True))


def spectrum(
    z: NDArray[Any], span: tuple[int, int], end: int, reach: int
) -> NDArray[np.complexfloating[Any, Any]]:
    r"""Cross-spectrum whose inverse at lag l is the sum of z_t z_{t+l}' over t in a span.

    Parameters
    ----------
    z : (n, d) frames
    span : first and last + 1 of the t
    end : frames from here on count as zero
    reach : largest lag wanted

    Returns
    -------
    (frequencies, d, d) complex, in the precision of z

    Examples
    --------
    >>> z = np.random.default_rng(0).standard_normal((50, 2))
    >>> found = at_lags(spectrum(z, (3, 40), 45, 5), [2])[0]
    >>> np.allclose(found, z[3:40].T @ z[5:42])
    True
    """
    from scipy.fft import rfft

    a, b = span
    n, d = length(reach), z.shape[1]
    step = n - reach
    count = max(1, -(-(b - a) // step))
    rows = np.zeros((count * step + reach, d), z.dtype)
    inside = min(end, a + len(rows), len(z)) - a
    rows[:inside] = z[a : a + inside]
    frame, item = rows.strides
    y = as_strided(rows, (count, n, d), (step * frame, frame, item), writeable=False)
    x = rows[: count * step].copy() if b - a < count * step else rows[: count * step]
    x[b - a :] = 0
    fx = rfft(x.reshape(count, step, d), n, axis=1).transpose(1, 2, 0)
    fy = rfft(y, n, axis=1).transpose(1, 0, 2)
    product: NDArray[Any] = np.conj(fx) @ fy
    return product


def at_lags(
    spectra: NDArray[np.complexfloating[Any, Any]], lags: Sequence[int]
) -> NDArray[np.float64]:
    """(lags, d, d) products of a cross-spectrum."""
    from scipy.fft import irfft

    n = 2 * (len(spectra) - 1)
    found = irfft(spectra, n, axis=0)
    first, last = min(lags), max(lags)
    if list(lags) == list(range(first, last + 1)):
        consecutive: NDArray[np.float64] = found[first : last + 1]
        return consecutive
    picked: NDArray[np.float64] = found[list(lags)]
    return picked


@dataclass(frozen=True)
class _Span:
    """Pairs that a tile adds to a region (``sign`` -1: takes from it): t in [start, stop), up
    to frame ``end``.
    """

    region: int
    sign: int
    start: int
    stop: int
    end: int


class ManyLagsRun(SegmentRun):
    """Accumulates one segment, products of all lags at once."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.reach = max(self.lags)
        self.spectra: dict[int, NDArray[Any]] = {}

    def run(self) -> None:
        """Read the segment and add its moments."""
        super().run()
        # Queued behind the last tile, which may still be on its way.
        self.workers.submit(_nothing, lambda _: self.finish(list(self.spectra)), 0)

    def pairs(self, unit: Unit, stop: int, at: int, to: int) -> list[Any]:
        """What the pairs of all lags that start in a tile add to."""
        spans = [_Span(unit.block, 1, 0, turn_of(stop, 0, at, to) - at, stop - at)]
        if unit.after is not None:
            # All pairs from the last edge and the gap, less those that end inside the block.
            first = turn_of(stop, self.reach, at, to) - at
            spans.append(_Span(unit.after, 1, first, to - at, to - at + self.reach))
            spans.append(replace(spans[0], region=unit.after, sign=-1, start=first))
        return [span for span in spans if span.start < span.stop]

    def multiply_pairs(
        self, tile: Tile, z: Any, pairs: list[Any], buffers: Buffers
    ) -> list[NDArray[Any]]:
        """Spectra of the pairs of a tile."""
        x = z[:, : self.width]
        return [spectrum(x, (s.start, s.stop), s.end, self.reach) for s in pairs]

    def receive(self, unit: Unit, wanted: Wanted, complete: bool, found: Found) -> None:
        """Add the spectra of a tile; with the last tile of a unit, the products of its block."""
        super().receive(unit, wanted, complete, found)
        if complete:
            self.finish([unit.block])

    def add(self, unit: Unit, pair: Any, product: NDArray[Any]) -> None:
        """Add a spectrum to its region: the first as it is, sums of several in double precision."""
        held = self.spectra.get(pair.region)
        if held is None:
            self.spectra[pair.region] = product if pair.sign > 0 else -product
            return
        if held.dtype != np.complex128:
            self.spectra[pair.region] = held = held.astype(np.complex128)
        held += product if pair.sign > 0 else -product

    def finish(self, regions: Sequence[int]) -> None:
        """Turn the spectra of regions that are complete into products."""
        for region in regions:
            whole = self.spectra.pop(region, None)
            if whole is not None:
                self.sums.xy[:, region, :-1, :-1] += at_lags(whole, self.lags)


def _nothing(_: Buffers) -> None:
    return None
