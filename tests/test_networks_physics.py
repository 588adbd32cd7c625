"""Networks on systems with known answers: slow, run by ``make validate``."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import ALA2
from scipy import stats
from systems import PRINZ, QUADRUPLE_WELL

from koopman_cli.api import FitOptions, fit
from koopman_cli.features.stream import FeatureStream
from koopman_cli.grid import Design, Scorer
from koopman_cli.lifts import apply
from koopman_cli.request import Request
from koopman_cli.source import open_source
from koopman_cli.types import ReadOptions, no_progress

pytestmark = pytest.mark.slow

#: Sharp functions of one coordinate want large batches, a high rate and patience.
THOROUGH = {"layers": "64x64", "restarts": "4", "epochs": "150", "patience": "25",
            "batch": "5000", "rate": "1e-2"}  # fmt: skip
SMALL = {"layers": "32x32", "restarts": "4", "epochs": "60", "patience": "10"}

#: Frames: enough for intervals, few enough for a minute.
FRAMES = 60_000


def network(system, family: str, seed: int, outputs: int):
    """A fit of a family to a simulation, the trajectories and the lag."""
    runs = system.simulate(seed, FRAMES)
    settings = {**(THOROUGH if family == "srv" else SMALL), "outputs": str(outputs)}
    options = FitOptions(model=family, lag=str(system.lag), dim="3", settings=settings, seed=seed,
                         folds=0, device="cpu")  # fmt: skip
    return fit(list(runs), options), runs


def times_of(values, lag):
    """Implied timescales in frames."""
    return -lag / np.log(np.real(values))


@pytest.mark.parametrize("system", [PRINZ, QUADRUPLE_WELL], ids=lambda s: s.name)
def test_srv_contains_the_exact_timescales(system, measured):
    """Intervals of the srv timescales contain the exact values of the simulated chain, and the
    slowest is not below TICA's on the same input by more than its error.
    """
    result, runs = network(system, "srv", 0, 3)
    exact = times_of(system.eigenvalues(system.lag, 3), system.lag)
    tica = fit(list(runs), FitOptions(model="tica", lag=str(system.lag), dim="1", folds=0))
    told = []
    for mode, wanted in zip(result.modes[:3], exact, strict=True):
        q = mode.timescale
        assert q is not None
        told.append(f"{q.value:.4g} [{q.low:.4g}, {q.high:.4g}] ({wanted:.4g})")
        assert q.low <= wanted <= q.high, told
    measured("; ".join(told), [0])
    first, linear = result.modes[0].timescale, tica.modes[0].timescale
    assert linear.value <= first.value + (first.high - first.value)


@pytest.mark.parametrize("system", [PRINZ, QUADRUPLE_WELL], ids=lambda s: s.name)
def test_vampnet_finds_four_states(system, measured):
    """A vampnet with four outputs, solved again in its span, tells the four wells apart."""
    result, runs = network(system, "vampnet", 1, 4)
    assert result.model.rank == 3
    x = np.concatenate(runs)
    if system is PRINZ:
        wells = np.digitize(x[:, 0], [-0.5, 0.0, 0.5])
    else:
        wells = 2 * (x[:, 0] > 0) + (x[:, 1] > 0)
    chi = apply(result.model.lift, x)
    found = chi.argmax(axis=1)
    shares = [np.bincount(found[wells == w], minlength=4) for w in range(4)]
    best = [int(np.argmax(s)) for s in shares]
    right = sum(int(s.max()) for s in shares) / len(x)
    measured(f"{right:.1%} of frames in the state of their well", [1])
    assert sorted(best) == [0, 1, 2, 3]
    assert right > 0.9


def test_distances_of_alanine_dipeptide_beat_tica(measured):
    """On the 45 distances between heavy atoms (no torsions) the held-out VAMP-2 of two functions
    lies above TICA's by more than two paired standard errors.
    """
    read = ReadOptions()
    paths = [str(ALA2 / "run1.h5"), str(ALA2 / "run2.h5")]
    stream = open_source(paths, "heavy-distances", read, no_progress).stream.cached()
    assert stream.n_features == 45
    requests = [
        Request.of("tica"),
        Request.of("vampnet", {"outputs": "3", "restarts": "4", "epochs": "60"}, device="cpu"),
    ]
    scorer = Scorer(stream, Design((2,), floor=False))
    found = {i: c.score.vamp2 for i, c in scorer.score(requests, lambda i, lag: [2])}
    gain = np.subtract(found[1].folds, found[0].folds)
    error = stats.sem(gain)
    measured(f"{found[0].test:.4f} to {found[1].test:.4f}, gain {gain.mean():.3f} +- {error:.3f}")
    assert gain.mean() > 2 * error


def test_held_out_scores_of_noise_are_those_of_nothing():
    """On independent noise no dim of an srv is recommended: the constant is not beaten."""
    noise = np.random.default_rng(0).standard_normal((20_000, 5))
    settings = {"outputs": "2", "layers": "16x16", "restarts": "2", "epochs": "20"}
    result = fit(
        FeatureStream.from_arrays(noise), FitOptions(model="srv", lag="1", settings=settings)
    )
    assert not result.slow
