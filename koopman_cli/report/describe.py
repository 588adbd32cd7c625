"""What each figure is called, says to those who cannot see it, and needs to be understood."""

from __future__ import annotations

from koopman_cli.nouns import chance, counted, lag_text, number, timed
from koopman_cli.report.drawing import frame_time
from koopman_cli.report.featurebars import ranked
from koopman_cli.report.text import quantity
from koopman_cli.types import FitResult

#: Name of a figure above it in the report.
TITLES = {
    "spectrum": "Spectrum",
    "timescales": "Implied timescales",
    "score": "Score against the number of functions",
    "residuals": "Residuals and certificates",
    "eigenfunctions": "Slow functions",
    "free-energy": "Free energy",
    "coordinates": "Slow coordinates in time",
    "features": "Features that carry the modes",
    "states": "Metastable states",
    "network": "Transition network",
    "ck": "Chapman-Kolmogorov test",
    "structures": "Representative structures",
    "coherent-sets": "Coherent sets",
    "modes": "Modes as maps",
    "reconstruction": "Reconstruction",
    "singular-values": "What the rank leaves out",
    "forecast": "Held-out forecasts",
    "pseudospectrum": "Pseudospectrum",
}

#: How to read a figure, below it in the report.
CAPTIONS = {
    "spectrum": (
        "Eigenvalues (or coherences) at the lag of the model with 95% intervals; complex ones in "
        "the plane with the unit circle, where what lies on it neither grows nor decays."
    ),
    "timescales": (
        "Implied timescales of models at other lags. A converged mode is flat; in the grey area "
        "the timescale is below the lag and cannot be told."
    ),
    "score": (
        "VAMP-E of nested models; 1 is the constant function alone. Held-out values decide, and "
        "training values that keep rising above them show over-fitting."
    ),
    "residuals": (
        "Residual of each eigenpair, at zero where it is not told from an exact one. In an upper "
        "panel, if any: the eigenvalue with its 95% interval (blue); the certified range (grey) "
        "holds a true eigenvalue if the residual is as estimated, the guaranteed range (light) at "
        "95% whatever its sampling error."
    ),
    "eigenfunctions": (
        "Mean of each slow function per bin; white is zero, grey was never visited. A mode is the "
        "exchange between what is coloured one way and what is coloured the other."
    ),
    "free-energy": "Negative logarithm of the density of the frames, zero at its largest.",
    "coordinates": (
        "Functions of the modes along the data. An oscillation turns from its real into its "
        "imaginary part; a slow mode without one stays on a level and hops, and one single hop is "
        "no statistics."
    ),
    "features": (
        "Correlation with the input features, strongest first, with 95% intervals of the block "
        "bootstrap; angles by their multiple correlation with cosine and sine, without a sign. "
        "Hollow bars changed too much in the bootstrap to be relied on."
    ),
    "states": "Frames by the state they belong to most, with hard populations.",
    "network": (
        "Area of a disc: population. Width of an arrow: flux. Numbers: mean first-passage times. "
        "Ways that carry less than a twentieth of what leaves a state are not drawn."
    ),
    "ck": (
        "Probability to be found in the same state after a longer lag: powers of the transition "
        "matrix (lines) beside the data (points). Both come from the same frames, so the test "
        "asks for the error of their difference: the bands hold the points, at all lags and for "
        "all elements of the matrix together in 95 of 100 cases, where the states are Markovian "
        "at the lag of the model. One point outside fails the test; so does an element that is "
        "not drawn (from one state to another)."
    ),
    "structures": (
        "Frames nearest the core of each state, superposed; further ones pale behind the first."
    ),
    "coherent-sets": "Memberships where the points were and where they went.",
    "modes": (
        "Real and imaginary part on one scale about zero; masked cells are left white. The phase "
        "is free and chosen so that the real part is as large as it can be."
    ),
    "reconstruction": "A snapshot, the same from the modes, and the difference on its own scale.",
    "singular-values": (
        "Singular values of the snapshots, and the relative root-mean-square error that remains "
        "when only the first r POD modes are kept: no model of rank r can do better."
    ),
    "forecast": (
        "Root-mean-square error per cell on data that were held out, beside keeping the last "
        "anomaly (persistence) and the mean (climatology)."
    ),
    "pseudospectrum": (
        "Smallest residual of any function at each point of the plane; crosses are the computed "
        "eigenvalues. Only those in a dip are supported by the data."
    ),
}


def _modes(result: FitResult) -> str:
    told = []
    for mode in result.modes[:4]:
        value = mode.eigenvalue
        if value is None:
            told.append(f"mode {mode.index} coherence {number(mode.singular_value or 0.0)}")
        else:
            imaginary = f" {value.imag:+.3f}i" if value.imag else ""
            told.append(f"mode {mode.index} {value.real:.3f}{imaginary} ({mode.verdict})")
    return ", ".join(told)


def _timescales(result: FitResult) -> str:
    scan = result.lag_scan
    if scan is None:
        return ""
    step, unit = frame_time(result)
    told = (
        f"{counted(len(scan.lags), 'lag')} from {scan.lags[0] * step:g} to "
        f"{timed(scan.lags[-1] * step, unit)}"
    )
    slowest = result.modes[0].timescale if result.modes else None
    return f"{told}; the model has lag {lag_text(result.model.lag)}" + (
        "" if slowest is None else f" and a slowest timescale of {quantity(slowest)}"
    )


def _score(result: FitResult) -> str:
    choice = result.dim_choice
    if choice is None:
        return ""
    tested = [s for s in choice.scores if s.vampe.test is not None]
    values = ", ".join(f"dim {s.dim}: {s.vampe.test:.3f}" for s in tested[:6])
    return f"held-out VAMP-E {values}; dim {choice.chosen} was taken"


def _features(result: FitResult) -> str:
    found = result.correlations
    if found is None:
        return ""
    told = []
    for k, mode in enumerate(found.modes[: max(1, result.model.dim)]):
        best = ranked(found, k, 1)[0]
        unstable = "" if found.stable[best, k] else ", unstable"
        told.append(f"{mode}: {found.names[best]} {found.values[best, k]:.2f}{unstable}")
    return "; ".join(told)


def _states(result: FitResult) -> str:
    found = result.states
    if found is None:
        return ""
    shares = ", ".join(f"{100 * q.value:.3g}%" for q in found.hard)
    return f"{counted(found.count, 'state')} with populations {shares}"


def _network(result: FitResult) -> str:
    found = result.states
    if found is None:
        return ""
    ways = [
        f"{i + 1} to {j + 1}: {quantity(q)}"
        for i, row in enumerate(found.mfpt)
        for j, q in enumerate(row)
        if q is not None
    ]
    return "mean first-passage times " + "; ".join(ways[:12])


def _ck(result: FitResult) -> str:
    test = None if result.states is None else result.states.chapman_kolmogorov
    if test is None:
        return ""
    return f"{test.verdict}, p = {chance(test.p)}, largest deviation {test.deviation:.2g}"


def _fields(result: FitResult) -> str:
    told = [
        f"mode {mode.index}: period {quantity(mode.period)}"
        for mode in result.modes
        if mode.frequency is not None and mode.eigenvalue is not None and mode.eigenvalue.imag > 0
    ]
    return "; ".join(told[:4]) or "no oscillation"


_DETAILS = {
    "spectrum": _modes,
    "residuals": _modes,
    "timescales": _timescales,
    "score": _score,
    "features": _features,
    "states": _states,
    "structures": _states,
    "network": _network,
    "ck": _ck,
    "modes": _fields,
}


def alt_text(result: FitResult, kind: str) -> str:
    """What the figure shows, in a sentence with its numbers, for those who do not see it."""
    details = _DETAILS[kind](result) if kind in _DETAILS else ""
    title = TITLES[kind]
    return f"{title}: {details}." if details else f"{title}. {CAPTIONS[kind].split(':')[0]}"
