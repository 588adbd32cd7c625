"""Networks on systems with known answers: slow, run by ``make validate``."""

from __future__ import annotations

import numpy as np
import pytest
from cli_support import ALA2
from scipy import stats
from systems import PRINZ, QUADRUPLE_WELL

from koopman_cli.analysis.pcca import simplex
from koopman_cli.api import FitOptions, fit
from koopman_cli.features.stream import FeatureStream
from koopman_cli.grid import Design, Scorer
from koopman_cli.request import Request
from koopman_cli.results import project
from koopman_cli.source import open_source
from koopman_cli.types import ReadOptions, no_progress

pytestmark = pytest.mark.slow

#: Frames: enough for intervals, few enough for a minute.
FRAMES = 60_000

#: Of simulations that were not used to choose the defaults.
SEEDS = (10, 11)

#: Groups of walkers that the error of a difference is taken from.
GROUPS = 20

REVERSIBLE = pytest.mark.parametrize("system", [PRINZ, QUADRUPLE_WELL], ids=lambda s: s.name)


def defaults(system, family: str, seed: int):
    """A fit with the default settings of a family to a simulation, and its trajectories."""
    runs = system.simulate(seed, FRAMES)
    options = FitOptions(model=family, lag=str(system.lag), dim="3", seed=seed, folds=0,
                         device="cpu")  # fmt: skip
    return fit(list(runs), options), runs


def times_of(values, lag):
    """Implied timescales in frames."""
    return -lag / np.log(np.real(values))


def decays(functions, lag, groups):
    """Autocorrelations (k,) of functions (walkers, frames, k) at a lag, over some walkers."""
    x, y = functions[groups, :-lag], functions[groups, lag:]
    mean = (x + y).mean(axis=(0, 1)) / 2
    x, y = x - mean, y - mean
    return 2 * (x * y).sum(axis=(0, 1)) / (x**2 + y**2).sum(axis=(0, 1))


def held_out_gain(results, runs, lag):
    """Autocorrelations of the functions of the first fit less those of the second, on walkers
    that neither saw, and the error of that difference (a jackknife over groups of walkers).
    """
    k = min(result.model.dim for result in results)
    seen = [np.stack([project(r.model, x)[:, :k] for x in runs]) for r in results]
    group = np.arange(len(runs)) % GROUPS
    parts = [group == group, *(group != g for g in range(GROUPS))]
    found = np.array([np.subtract(*(decays(f, lag, part) for f in seen)) for part in parts])
    spread = found[1:] - found[1:].mean(axis=0)
    return found[0], np.sqrt((GROUPS - 1) / GROUPS * (spread**2).sum(axis=0))


@REVERSIBLE
@pytest.mark.parametrize("seed", SEEDS)
def test_srv_contains_the_exact_timescales(system, seed, measured):
    """With default settings the intervals of the srv timescales contain the exact values of the
    simulated chain.
    """
    result, _ = defaults(system, "srv", seed)
    exact = times_of(system.eigenvalues(system.lag, 3), system.lag)
    told = []
    for mode, wanted in zip(result.modes[:3], exact, strict=True):
        q = mode.timescale
        assert q is not None
        told.append(f"{q.value:.4g} [{q.low:.4g}, {q.high:.4g}] ({wanted:.4g})")
        assert q.low <= wanted <= q.high, told
    measured("; ".join(told), [seed])


@REVERSIBLE
def test_srv_is_not_below_tica_on_frames_that_neither_saw(system, measured):
    """On a fresh simulation the functions of an srv with default settings decay no faster than
    TICA's on the same input by more than the error of the difference (variational principle).
    """
    srv, runs = defaults(system, "srv", SEEDS[0])
    tica = fit(list(runs), FitOptions(model="tica", lag=str(system.lag), folds=0))
    fresh = system.simulate(SEEDS[0] + 100, FRAMES)
    gain, error = held_out_gain((srv, tica), fresh, system.lag)
    told = [f"{g:+.4f} +- {e:.4f}" for g, e in zip(gain, error, strict=True)]
    measured("eigenvalues differ by " + ", ".join(told), [SEEDS[0], SEEDS[0] + 100])
    assert np.all(gain > -error)


@REVERSIBLE
def test_vampnet_finds_four_states(system, measured):
    """A vampnet with default settings (four outputs), solved again in its span, tells the four
    wells apart, and its timescales have the exact values in their intervals.
    """
    result, runs = defaults(system, "vampnet", SEEDS[0])
    assert result.model.rank == 3
    x = np.concatenate(runs)
    if system is PRINZ:
        wells = np.digitize(x[:, 0], [-0.5, 0.0, 0.5])
    else:
        wells = 2 * (x[:, 0] > 0) + (x[:, 1] > 0)
    psi = project(result.model, x)[:, :3]
    found = simplex(psi).memberships(psi).argmax(axis=1)
    shares = [np.bincount(found[wells == w], minlength=4) for w in range(4)]
    best = [int(np.argmax(s)) for s in shares]
    right = sum(int(s.max()) for s in shares) / len(x)
    measured(f"{right:.1%} of frames in the state of their well", [SEEDS[0]])
    assert sorted(best) == [0, 1, 2, 3]
    assert right > 0.9
    exact = times_of(system.eigenvalues(system.lag, 3), system.lag)
    for mode, wanted in zip(result.modes[:3], exact, strict=True):
        assert mode.timescale is not None
        assert mode.timescale.low <= wanted <= mode.timescale.high


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
        Request.of("vampnet", {"outputs": "3"}, device="cpu"),
    ]
    scorer = Scorer(stream, Design((2,), floor=False))
    found = {i: c.score.vamp2 for i, c in scorer.score(requests, lambda i, lag: [2])}
    gain = np.subtract(found[1].folds, found[0].folds)
    error = stats.sem(gain)
    measured(f"{found[0].test:.4f} to {found[1].test:.4f}, gain {gain.mean():.3f} +- {error:.3f}")
    assert gain.mean() > 2 * error


def test_states_of_alanine_dipeptide_are_its_basins(measured):
    """Three states of a vampnet on distances alone are the basins of the Ramachandran plane:
    one has phi > 0, the other two part at psi.
    """
    read = ReadOptions()
    paths = [str(ALA2 / "run1.h5"), str(ALA2 / "run2.h5")]
    stream = open_source(paths, "heavy-distances", read, no_progress).stream.cached()
    options = FitOptions(features="heavy-distances", model="vampnet", lag="2", dim="2",
                         settings={"outputs": "3"}, folds=0, device="cpu")  # fmt: skip
    result = fit(paths, options)
    x = np.concatenate([c for i in range(2) for c in stream.chunks(i)])
    psi = project(result.model, x)[:, :2]
    found = simplex(psi).memberships(psi).argmax(axis=1)
    angles = open_source(paths, "torsions", read, no_progress).stream
    z = np.concatenate([c for i in range(2) for c in angles.chunks(i)])
    columns = {name: z[:, i] for i, name in enumerate(angles.spec.names)}
    phi, psi = (
        np.rad2deg(np.arctan2(columns[f"sin {name} ALA2"], columns[f"cos {name} ALA2"]))
        for name in ("phi", "psi")
    )
    # alpha-right from -120 to 90 degrees of psi, beta beyond, alpha-left at phi from 0 to 130.
    left = (phi > 0) & (phi < 130)
    basin = np.where(left, 2, (psi > -120) & (psi < 90))
    shares = [np.bincount(found[basin == b], minlength=3) for b in range(3)]
    assert sorted(int(np.argmax(s)) for s in shares) == [0, 1, 2]
    right = [s.max() / s.sum() for s in shares]
    measured("; ".join(f"{r:.1%}" for r in right) + " of beta, alpha-right and alpha-left", [0])
    assert min(right) > 0.9


def test_held_out_scores_of_noise_are_those_of_nothing():
    """On independent noise no dim of an srv is recommended: the constant is not beaten."""
    noise = np.random.default_rng(0).standard_normal((20_000, 5))
    settings = {"outputs": "2", "layers": "16x16", "restarts": "2", "epochs": "20"}
    result = fit(
        FeatureStream.from_arrays(noise), FitOptions(model="srv", lag="1", settings=settings)
    )
    assert not result.slow
