"""What is not said of delay windows: they are not symmetric in time, and they may overlap.

Reversed in time, the frames before a frame become the frames after it, so that x and y of a pair of
windows do not change places. With J, which reverses the order of the delays, a reversible process
has C01 = J C01' J and not C01 = C01'. Averaging C01 with its transpose then makes eigenvalues too
large; nor does J help, for J C00 is indefinite and C01 v = lambda C00 v stays unsymmetric.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from koopman_cli.nouns import counted

#: Why a window has no timescale, and what gives it one.
ONE_WAY = "a delay window is not symmetric in time, whatever the process"
CURE = "for timescales take --model tica --set reversible=false"
PERIODS = "for periods take --model dmd, or --model edmd --set solve=eig"

#: What holds where single frames are not symmetric in time, and what a reversible model then does.
NOT_SYMMETRIC = "the data are not symmetric in time within their errors"
AVERAGES = "and a reversible model averages over what rotates"

NO_TIME = f"coherence (singular value) of delay windows: {ONE_WAY}, so no timescale"
SHARED = "both ends of a pair share frames of their delay windows, which alone is coherent"
AVERAGED = f"{ONE_WAY}: averaged over both directions its eigenvalue is too large"


def objection(window: int, lag: int, solver: str, *, symmetric: bool) -> str | None:
    """Why the modes of delay windows mean nothing, or None where they do.

    Parameters
    ----------
    window : int
        Frames that the windows reach back, 0 without delays.
    lag : int
        In frames.
    solver : {"reversible", "eig", "svd"}
        Eigenvalues of ``eig`` models need no symmetry, and windows that overlap are shifted
        copies of each other, as in a companion matrix.
    symmetric : bool
        Whether xy of the functions is symmetric within its errors, as where a window is short
        against the timescale.

    Examples
    --------
    >>> objection(9, 10, "reversible", symmetric=False) == AVERAGED
    True
    >>> objection(9, 9, "svd", symmetric=True) == SHARED
    True
    >>> objection(9, 10, "svd", symmetric=False) is None
    True
    """
    if not window or solver == "eig":
        return None
    if window >= lag:
        return SHARED
    return AVERAGED if solver == "reversible" and not symmetric else None


def within(values: NDArray[np.complex128], window: int, lag: int) -> dict[int, str]:
    r"""Eigenvalues (from 0) of overlapping windows that decay within the window, and the reason.

    The windows of a pair are shifted copies of each other: a companion matrix, whose eigenvalues
    solve :math:`\lambda^w = \sum_j a_j \lambda^{w-j}`. Sampling errors e of the coefficients alone
    give roots of size :math:`e^{1/w}` all around the circle (0.7 at w = 10, 3000 frames of noise),
    and the residual of stationary data, sqrt(1 - \|lambda\|^2), is that of any eigenvalue of this
    size. What is left when the windows no longer overlap, e^(-window / t), tells nothing of them.

    Parameters
    ----------
    values : (k,) complex
    window, lag : int
        In frames.

    Examples
    --------
    >>> sorted(within(np.array([0.95, 0.3 + 0.6j, 0.3 - 0.6j]), 9, 1))
    [1, 2]
    >>> within(np.array([0.3 + 0.6j]), 9, 10)
    {}
    """
    if window < lag:
        return {}
    reason = (
        f"decays within its delay window ({counted(window, 'frame')}), which both ends of a pair "
        "share: noise has such eigenvalues (take fewer delays)"
    )
    short = np.abs(values) < np.exp(-lag / window)
    return dict.fromkeys(np.flatnonzero(short).tolist(), reason)


def of_scan(window: int, shortest: int, solver: str) -> tuple[str, ...]:
    """What to say of implied timescales of delay windows at lags from ``shortest`` on.

    >>> of_scan(9, 10, "eig"), of_scan(0, 1, "reversible"), len(of_scan(9, 1, "svd"))
    ((), (), 1)
    """
    if not window or solver == "eig":
        return ()
    overlap = f"; up to lag {window} both ends share frames" if shortest <= window else ""
    return (f"{ONE_WAY}, so these timescales may be too long{overlap}; {CURE}",)
