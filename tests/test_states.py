"""Metastable states: PCCA+, populations, passages, the Markov state model, the verbs."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import systems
from cli_support import done, relaxing
from scipy.signal import lfilter
from systems import PRINZ, euler_maruyama

from koopman_cli import FitOptions, fit, transform
from koopman_cli.analysis.coarse import committor, first_passages, lifetimes, stationary
from koopman_cli.analysis.pcca import Simplex, simplex, state_functions
from koopman_cli.compare import principal_angles, timescale_ratio
from koopman_cli.errors import KoopmanError, UsageError
from koopman_cli.lifts import apply
from koopman_cli.models import family
from koopman_cli.models.msm import largest_connected, likeliest, reversible_flows
from koopman_cli.moments import Moments
from koopman_cli.report.json import summary
from koopman_cli.report.run import open_run, write_run
from koopman_cli.report.words import summary_sentences
from koopman_cli.states import assign_states
from koopman_cli.types import FeatureSpec

ALA2 = sorted((Path(__file__).parents[1] / "sample_data" / "ala2").glob("run*.h5"))


def three_state_chain(frames, seed):
    """A reversible chain of three states of unequal populations, and its matrix."""
    p = np.array([[0.98, 0.02, 0.0], [0.01, 0.98, 0.01], [0.0, 0.04, 0.96]])
    rng = np.random.default_rng(seed)
    steps, draws = np.empty(frames, int), rng.random(frames)
    edges = np.cumsum(p, axis=1)
    state = 1
    for t in range(frames):
        state = int(np.searchsorted(edges[state], draws[t]))
        steps[t] = state
    return steps, p


@pytest.fixture(scope="module")
def chain():
    """A fit to indicators of the chain blurred by noise, and what it should find."""
    steps, p = three_state_chain(60_000, 0)
    rng = np.random.default_rng(1)
    x = np.eye(3)[steps][:, :2] + 0.05 * rng.standard_normal((len(steps), 2))
    return fit(x, FitOptions(model="tica", lag="1", dim="2")), steps, p


def test_states_are_counted_chosen_by_hand(chain):
    """PCCA+ of three blurred states assigns every frame to its state."""
    _, steps, _ = chain
    rng = np.random.default_rng(2)
    psi = np.array([[-1.0, 0.0], [0.5, 0.3], [0.4, -3.0]])[steps[:5000]]
    psi = psi + 0.02 * rng.standard_normal(psi.shape)
    psi -= psi.mean(axis=0)
    chi = simplex(psi).memberships(psi)
    assert chi.min() >= 0
    assert np.allclose(chi.sum(axis=1), 1)
    found = np.argmax(chi, axis=1)
    for state in range(3):
        assert len(np.unique(found[steps[:5000] == state])) == 1


def test_one_extreme_frame_is_no_corner():
    """A single outlying frame does not become a state of its own."""
    rng = np.random.default_rng(0)
    psi = np.concatenate([rng.normal(-1, 0.1, 5000), rng.normal(1, 0.1, 5000), [40.0]])[:, None]
    psi -= psi.mean(axis=0)
    chi = simplex(psi).memberships(psi)
    shares = np.bincount(np.argmax(chi, axis=1), minlength=2) / len(psi)
    assert shares.min() > 0.45


def test_coarse_numbers_of_a_chain():
    """First passages, lifetimes, committor and equilibrium of a chain solved by hand."""
    _, p = three_state_chain(10, 0)
    pi = stationary(p)
    assert np.allclose(pi @ p, pi)
    assert lifetimes(p)[0] == pytest.approx(-1 / np.log(0.98))
    times = first_passages(p)
    # t_02 = 50 + t_12, t_12 = 1 + .98 t_12 + .01 t_02
    assert times[1, 2] == pytest.approx(150.0)
    assert times[0, 2] == pytest.approx(200.0)
    assert committor(p, [0], [2])[1] == pytest.approx(0.5)
    with pytest.raises(UsageError):
        committor(p, [0], [0])


def test_lifetimes_and_passages_of_a_fit(chain):
    """Transition matrix and passages of the fitted states are those of the chain."""
    _, steps, p = chain
    rng = np.random.default_rng(3)
    x = np.eye(3)[steps][:, :2] + 0.05 * rng.standard_normal((len(steps), 2))
    options = FitOptions(model="tica", lag="1", dim="2")
    found = fit(x, options)
    # t1/t2 of this chain is below 2.5: the gap is behind both modes, against the noise
    assert found.gap.after in (None, 2)
    if found.states is not None:
        order = np.argsort(-stationary(p))
        got = np.array(found.states.transition_matrix)
        assert np.abs(got - p[np.ix_(order, order)]).max() < 0.02


@pytest.fixture(scope="module")
def prinz():
    """20 walkers of the Prinz potential, 40,000 frames, fitted with Gaussians."""
    rng = np.random.default_rng(5)
    runs = euler_maruyama(PRINZ.process, rng, 2000, PRINZ.stride, (20, 1))
    runs = [np.ascontiguousarray(r) for r in runs.transpose(1, 0, 2)]
    settings = {"basis": "gaussians", "centers": "20", "width": "0.1"}
    return runs, fit(runs, FitOptions(model="edmd", settings=settings, lag="1", dim="3"))


def test_prinz_has_four_states(prinz):
    """Gap after 3; hard populations .169 .233 .338 .261 within .04; soft ones told apart."""
    _, result = prinz
    assert result.gap.after == 3
    states = result.states
    hard = sorted(q.value for q in states.hard)
    assert np.allclose(hard, sorted([0.169, 0.233, 0.338, 0.261]), atol=0.04)
    assert sum(q.value for q in states.soft) == pytest.approx(1)
    assert sum(q.value for q in states.hard) == pytest.approx(1)
    rows = np.array(states.transition_matrix)
    assert np.allclose(rows.sum(axis=1), 1)
    assert states.chapman_kolmogorov.verdict == "passed"
    for q in (*states.hard, *states.lifetimes):
        assert q.low < q.value < q.high


def test_coarse_eigenvalues_are_those_of_the_model(prinz):
    """The coarse transition matrix keeps the slow eigenvalues."""
    _, result = prinz
    own = np.sort(np.linalg.eigvals(np.array(result.states.transition_matrix)).real)[::-1]
    assert own[0] == pytest.approx(1)
    model = [mode.eigenvalue.real for mode in result.modes]
    assert np.allclose(own[1:], model, atol=0.02)


# ------------------------------------------------------------------ Markov state models


def bins(tmp_path):
    """Settings of 100 equal bins of the Prinz potential."""
    np.save(tmp_path / "bins.npy", np.linspace(-1.2, 1.2, 100))
    return {"centers": str(tmp_path / "bins.npy")}


@pytest.mark.parametrize("lag", [1, 2])
def test_msm_reproduces_prinz(lag, tmp_path):
    """100 bins and the exact counts of the simulated chain: timescales 1-3 within 0.2%."""
    process = PRINZ.process
    x, steps = process.grid(), lag * PRINZ.stride
    ahead = np.linalg.matrix_power(process.transition(), steps)
    joint = 1e8 * systems.stationary(process)[:, None] * ahead
    lift = family("msm")(**bins(tmp_path)).make_lift(x[:, None], FeatureSpec("x", ("x",), ("",)), 0)
    inside = apply(lift, x[:, None])
    i, j = np.nonzero(joint)
    found = likeliest(Moments.of_pairs(inside[i], inside[j], joint[i, j]))
    exact = np.log(PRINZ.eigenvalues(lag, 3).real)
    assert np.abs(exact / np.log(found.eigenvalues[:3].real) - 1).max() < 0.002


def test_msm_of_a_run_of_prinz(prinz, tmp_path):
    """100 bins of 40,000 frames: exact timescales within three errors, the gap after 3."""
    runs, _ = prinz
    options = FitOptions(model="msm", settings=bins(tmp_path), lag="1", dim="3", folds=2)
    result = fit(runs, options)
    exact = -1 / np.log(PRINZ.eigenvalues(1, 3).real)
    for mode, t in zip(result.modes, exact, strict=True):
        half = np.log(mode.timescale.high / mode.timescale.low) / 2
        assert half < 0.1
        assert abs(np.log(mode.timescale.value / t)) < 1.5 * half
    assert result.gap.after == 3


@pytest.mark.slow
def test_msm_intervals_of_prinz(measured, tmp_path):
    """100 bins: 95% intervals of timescales 1-3 hold the exact ones in 88% of 25 runs."""
    rng = np.random.default_rng(1000)
    runs = euler_maruyama(PRINZ.process, rng, 20_000, PRINZ.stride, (25, 1)).transpose(1, 0, 2)
    options = FitOptions(model="msm", settings=bins(tmp_path), lag="1", dim="3", folds=0)
    results = [fit(np.ascontiguousarray(run), options) for run in runs]
    exact = -1 / np.log(PRINZ.eigenvalues(1, 3).real)
    q = [[mode.timescale for mode in r.modes] for r in results]
    held = np.mean([[a.low <= t <= a.high for a, t in zip(r, exact, strict=True)] for r in q], 0)
    half = np.median([[np.log(a.high / a.low) / 2 for a in r] for r in q], axis=0)
    unreliable = sum("unreliable" in w for r in results for w in r.warnings)
    told = [
        f"mode {i + 1}: {h:.0%}, half-width {w:.1%}"
        for i, (h, w) in enumerate(zip(held, half, strict=True))
    ]
    measured(f"{', '.join(told)}, {unreliable} unreliable", range(25))
    assert unreliable == 0
    assert held.min() >= 0.88
    assert half.max() < 0.1


def test_msm_modes_of_like_size_keep_their_errors(tmp_path):
    """Eigenvalues a and -a, which exchange places when blocks are reweighted, have small errors."""
    rng = np.random.default_rng(0)
    a = np.cumsum(rng.random(20_000) < 0.25) % 2
    b = (a[::-1] + np.arange(20_000)) % 2
    centers = np.array([(i, j) for i in (0.0, 1.0) for j in (0.0, 1.0)])
    np.save(tmp_path / "corners.npy", centers)
    settings = {"centers": str(tmp_path / "corners.npy")}
    run = np.column_stack([a, b]).astype(float)
    modes = fit(run, FitOptions(model="msm", settings=settings, lag="1", dim="2", folds=0)).modes
    values = [mode.eigenvalue.real for mode in modes]
    assert values[0] == pytest.approx(-values[1], abs=1e-3)
    for mode in modes:
        assert mode.eigenvalue_high - mode.eigenvalue_low < 6 * np.sqrt(0.75 / 20_000)


def test_maximum_likelihood_equals_deeptime():
    """Reversible transition matrix and equilibrium equal deeptime's on the same counts to 1e-6."""
    peer = pytest.importorskip("deeptime.markov.msm")
    rng = np.random.default_rng(0)
    c = np.round(50 * rng.random((8, 8)) ** 3 + 20 * np.eye(8))
    kept = largest_connected(c)
    c = c[np.ix_(kept, kept)]
    own = reversible_flows(c)
    other = peer.MaximumLikelihoodMSM(reversible=True, maxerr=1e-13, maxiter=10**6).fit(c)
    model = other.fetch_model()
    assert np.abs(own / own.sum(axis=1, keepdims=True) - model.transition_matrix).max() < 1e-6
    assert np.abs(own.sum(axis=1) - model.stationary_distribution).max() < 1e-6


def test_msm_keeps_the_largest_connected_set():
    """Clusters that are left and never entered again do not belong to the model."""
    c = np.array([[5.0, 1, 0], [0, 50, 10], [0, 12, 40]])
    assert largest_connected(c).tolist() == [1, 2]


def test_msm_clusters_slow_coordinates(tmp_path):
    """Clusters of slow coordinates find timescales that clusters of noisy features lose."""
    steps, p = three_state_chain(20_000, 0)
    rng = np.random.default_rng(1)
    x = np.column_stack([np.eye(3)[steps][:, :2] * 6, 5 * rng.standard_normal((len(steps), 8))])
    x[:, :2] += rng.standard_normal((len(steps), 2))
    exact = -1 / np.log(np.sort(np.linalg.eigvals(p).real)[1])
    found = {}
    for kind in ("features", "slow"):
        settings = {"input": kind, "slow": "2", "clusters": "30"}
        options = FitOptions(model="msm", settings=settings, lag="5", dim="2", folds=2)
        result = fit(x, options)
        found[kind] = result.modes[0].timescale.value
    assert abs(found["slow"] - exact) < 0.25 * exact
    assert found["slow"] > 1.2 * found["features"]
    out = write_run(result, tmp_path / "run", figures=False)
    again = transform(open_run(out).result.model, [x[:500]])
    own = transform(result.model, [x[:500]])
    assert np.array_equal(again.runs[0].array(), own.runs[0].array())


def test_msm_settings_that_do_not_go_together():
    """Given centres belong to features: with input=slow they are a usage error."""
    x = np.random.default_rng(0).standard_normal((500, 2))
    for settings in ({"input": "slow", "centers": "a.npy"}, {"input": "fast"}):
        with pytest.raises(UsageError):
            fit(x, FitOptions(model="msm", settings=settings, lag="1"))


# ------------------------------------------------------------------ files and verbs


@pytest.fixture(scope="module")
def ala2(tmp_path_factory):
    """A RUN of the alanine dipeptide sample."""
    out = tmp_path_factory.mktemp("states") / "ala2.koopman"
    result = fit([str(p) for p in ALA2], FitOptions(lag="1"))
    return write_run(result, out, figures=False)


def test_states_survive_storage(ala2):
    """States read back from model.h5 and summary.json are those that were found."""
    run = open_run(ala2)
    assert run.result.gap.after == 1
    assert run.result.states.count == 2
    told = run.summary["states"]
    assert told["chosen_by"] == "gap"
    assert told["populations"]["hard"][0]["value"] == run.result.states.hard[0].value
    assert told["mfpt"][0][0] is None
    for q in (*told["populations"]["hard"], *told["populations"]["soft"], *told["lifetimes"]):
        assert q["low"] < q["value"] < q["high"]


@pytest.mark.parametrize("lag", ["5ps", "10ps"])
def test_gap_of_alanine_dipeptide(lag):
    """Torsions and their products at lags of 5 and 10 ps: the gap is after mode 1."""
    options = FitOptions(features="torsions+torsion-products", lag=lag, dim="3", folds=0)
    assert fit([str(p) for p in ALA2], options).gap.after == 1


def koopman(*args):
    """Run the command line."""
    return subprocess.run(
        [str(Path(sys.executable).with_name("koopman")), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_exported_frames_lie_in_their_basins(ala2):
    """The frames exported for the states of alanine dipeptide lie in its two phi basins."""
    mdtraj = pytest.importorskip("mdtraj")
    done = koopman("states", ala2, "--json", "--samples", 5)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["states"]["count"] == 2
    told = json.loads(done.stdout)["warnings"]
    assert [text[:33] for text in told] == ["Chapman-Kolmogorov test failed (p"]
    phi = []
    for i in (1, 2):
        found = mdtraj.load(str(ala2 / "states" / f"state_{i}.pdb"))
        assert found.n_frames == 5
        phi.append(np.degrees(mdtraj.compute_phi(found)[1][:, 0]))
    assert np.all(phi[0] < 0)
    assert np.all((phi[1] > 30) & (phi[1] < 90))
    chi = np.load(ala2 / "states" / "memberships.npy")
    assert chi.shape == (open_run(ala2).result.input.frames, 2)
    assert np.allclose(chi.sum(axis=1), 1)


def test_number_of_states_can_be_chosen(ala2):
    """--count chooses by hand and says so; one state is a usage error."""
    done = koopman("states", ala2, "--count", 3)
    assert "3 metastable states (chosen by the user)" in done.stdout
    assert koopman("states", ala2, "--count", 1).returncode == 2


@pytest.mark.parametrize("model", ["tica", "vamp"])
def test_figures_and_report_show_states_chosen_later(model, tmp_path):
    """Of a run without a gap, ``koopman states --count 2`` gives plot and report their states; for
    a model solved by svd too, whose states have functions of their own.
    """
    noise = np.random.default_rng(0).standard_normal((20_000, 2))
    mixed = lfilter([1], [1, -0.95], noise, axis=0) @ [[1.0, 0.5], [0.0, 1.0]]
    np.save(tmp_path / "ou.npy", mixed)
    run = tmp_path / "run"
    result = fit([str(tmp_path / "ou.npy")], FitOptions(model=model, lag="5", dim="2"))
    write_run(result, run, figures=False)
    kinds = ("states", "network", "ck")
    assert koopman("plot", run, *kinds, "--out", tmp_path / "none").returncode != 0
    told = json.loads(koopman("states", run, "--count", 2, "--json").stdout)
    unsure = "no spectral gap supports 2 states: they divide what may be one basin"
    assert told["warnings"] == [unsure]
    assert f"Warning: {unsure}" in " ".join(koopman("states", run, "--count", 2).stdout.split())
    again = open_run(run).result
    assert (again.states.count, again.states.chosen_by) == (2, "user")
    psi = state_functions(again.model, again.states, again.projection)
    chi = Simplex(np.asarray(again.states.matrix), np.empty((0, 0)), 0.0).memberships(psi)
    rows = again.projection.frame
    kept = np.load(run / "states" / "memberships.npy")
    np.testing.assert_allclose(chi, kept[rows], atol=1e-6)
    done = koopman("plot", run, *kinds, "--out", tmp_path / "figures", "--json")
    assert done.returncode == 0, done.stderr
    drawn = [Path(f).stem for f in json.loads(done.stdout)["figures"]]
    assert drawn == list(kinds)
    assert koopman("report", run).returncode == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "2 states, chosen by the user" in page
    assert unsure in page
    assert all(f'id="figure-{kind}"' in page for kind in kinds)


def test_transitions_and_committors_have_intervals(tmp_path):
    """Of a chain 0 - 1 - 2 the committor of the middle is in its interval, like each transition."""
    steps, _ = three_state_chain(60_000, 0)
    left = steps[1:][(steps[:-1] == 1) & (steps[1:] != 1)]
    noise = 1e-4 * np.random.default_rng(1).standard_normal((len(steps), 2))
    np.save(tmp_path / "chain.npy", np.eye(3)[steps][:, :2] + noise)
    path, run = tmp_path / "chain.npy", tmp_path / "run"
    result = fit([str(path)], FitOptions(model="tica", lag="1", dim="2", folds=0))
    write_run(result, run, figures=False)
    asked = ("states", run, "--count", 3, "--committor", "2,3")
    done = koopman(*asked, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [told["committor"][i]["value"] for i in (1, 2)] == [0, 1]
    middle = told["committor"][0]
    assert middle["value"] == pytest.approx(np.mean(left == 2), abs=0.005)
    assert middle["low"] < 0.5 < middle["high"]
    assert middle["high"] - middle["low"] < 0.2
    own = told["states"]
    for i in range(3):
        low, high = (own[f"transition_matrix_{side}"][i][i] for side in ("low", "high"))
        assert low < own["transition_matrix"][i][i] < high
    assert f"1: {middle['value']:.3g} [" in koopman(*asked).stdout
    assert koopman("states", run, "--count", 3, "--committor", "1,1").returncode == 2


def test_coherences_have_no_states(tmp_path):
    """States of a driven system are refused with the reason."""
    angle = np.cumsum(0.25 + 0.2 * np.random.default_rng(0).standard_normal(20_000))
    np.save(tmp_path / "ring.npy", np.column_stack([np.cos(angle), np.sin(angle)]))
    result = fit([str(tmp_path / "ring.npy")], FitOptions(model="vamp", lag="4", dim="2"))
    with pytest.raises(KoopmanError, match="coherences only"):
        assign_states(result, 2)


def test_comparing_a_run_with_itself(ala2):
    """A run has angles of 0 with itself, correlations of 1 and no changed timescale."""
    found = json.loads(koopman("compare", ala2, ala2, "--json").stdout)
    assert max(found["angles"]) < 0.01
    for pair in found["pairs"]:
        assert pair["first"] == pair["second"]
        assert pair["correlation"] == pytest.approx(1)
        assert pair["changed"] in (False, None)


def test_runs_of_the_same_data_are_said_to_share_their_errors(tmp_path):
    """Of the same data the interval of a ratio is named too wide, which it is: at two lags of 20
    data sets no change of the one timescale is claimed. Other data: no note.
    """
    claimed = 0
    for seed in range(20):
        x = relaxing(3000, seed, memory=(0.9,))
        ratio = timescale_ratio(
            fit(x, FitOptions(model="tica", lag="1", dim="1")).modes[0].timescale,
            fit(x, FitOptions(model="tica", lag="2", dim="1")).modes[0].timescale,
        )
        claimed += not ratio.low <= 1 <= ratio.high
    assert claimed == 0
    runs = []
    for name, seed, model in (("a", 0, "tica"), ("a", 0, "edmd"), ("b", 1, "tica")):
        np.save(tmp_path / f"{name}.npy", relaxing(3000, seed))
        out = tmp_path / f"{name}-{model}.koopman"
        done("fit", tmp_path / f"{name}.npy", "--model", model, "--lag", "1", "-q", "-o", out)
        runs.append(out)
    same = done("compare", runs[0], runs[1], "-q")
    assert "Note: both runs were fitted on the same data" in same.out
    assert json.loads(done("compare", runs[0], runs[1], "--json").out)["notes"]
    assert json.loads(done("compare", runs[0], runs[2], "--json").out)["notes"] == []


def test_angles_between_different_functions():
    """Functions that do not correlate are at right angles."""
    x = np.random.default_rng(0).standard_normal((20_000, 3))
    assert np.allclose(principal_angles(x[:, :2], x[:, 1:]), [0, 90], atol=2)


def test_frames_outside_the_domain_are_flagged():
    """Projected frames far from the training data are counted; training frames are not."""
    kicks = np.random.default_rng(0).standard_normal((20_000, 2))
    x = lfilter([1], [1, -0.9], kicks, axis=0)
    model = fit(x, FitOptions(model="tica", lag="1", dim="1")).model
    far = x[:100] + 100
    done = transform(model, [x, far])
    for run in done.runs:
        run.array()
    assert done.outside[0] < 0.002 * len(x)
    assert done.outside[1] == 100
    assert any("outside the domain" in w for w in done.warnings)


# ------------------------------------------------------------------ a test that fails


def noisy_jumps(share=0.8, frames=30_000):
    """A two-state jump process of timescale 25 seen with noise, and a column of noise alone."""
    rng = np.random.default_rng(2)
    state = np.cumsum(rng.random(frames) < 0.02) % 2
    seen = state + np.sqrt(0.25 * (1 / share - 1)) * rng.standard_normal(frames)
    return np.column_stack([seen, rng.standard_normal(frames)])


def test_a_failed_chapman_kolmogorov_test_warns(tmp_path):
    """States of jumps behind noise fail the test: the fit warns and says what not to trust, with
    --strict it ends with 4; the same jumps without noise pass and are not warned of.
    """
    clean, noisy = (noisy_jumps(share) for share in (0.999, 0.8))
    options = FitOptions(model="tica", lag="8", dim="1")
    passed, failed = (fit(x, options) for x in (clean, noisy))
    assert passed.states.chapman_kolmogorov.verdict == "passed"
    assert not any("Chapman" in text for text in passed.warnings)
    assert failed.states.chapman_kolmogorov.verdict == "failed"
    (told,) = [text for text in failed.warnings if "Chapman" in text]
    for word in ("populations, lifetimes and passage times", "longer --lag", "--model kedmd"):
        assert word in told
    assert told in summary(failed)["warnings"]
    assert any("not to be trusted" in sentence for sentence in summary_sentences(failed))
    np.save(tmp_path / "x.npy", noisy)
    how = ("--model", "tica", "--lag", 8, "--dim", 1, "-q", "--strict")
    ended = koopman("fit", tmp_path / "x.npy", *how, "-o", tmp_path / "run")
    assert ended.returncode == 4
    assert "Chapman-Kolmogorov test failed" in ended.stderr
    asked = koopman("states", tmp_path / "run", "--count", 2, "--json")
    assert told in json.loads(asked.stdout)["warnings"]


@pytest.mark.parametrize("share", [0.999, 0.8])
def test_the_bands_of_the_figure_are_the_test(share):
    """With two states, whose diagonal is all there is, a point outside its band and a failed test
    are the same thing.
    """
    states = fit(noisy_jumps(share), FitOptions(model="tica", lag="8", dim="1")).states
    test = states.chapman_kolmogorov
    apart = np.abs(np.array(test.estimated) - np.array(test.predicted))
    reach = np.array(test.reach)
    assert np.any(apart[1:] > reach[1:]) == (test.verdict == "failed") == (share < 0.9)
    assert np.all(apart[0] <= reach[0] + 1e-9)


@pytest.mark.parametrize("seed", [121, 131, 231])
def test_a_state_that_holds_no_frame_is_refused(tmp_path, monkeypatch, seed):
    """A state that no frame belongs to most has no population but rounding, as one less those
    of all others leaves it: it is refused, not given a population of 1e-17.
    """
    jumps = np.random.default_rng(seed).random(6000) < 0.02
    angle = 2 * np.pi / 3 * (np.cumsum(jumps * np.random.default_rng(2).choice([1, 2], 6000)) % 3)
    noise = 0.3 * np.random.default_rng(3).standard_normal((6000, 2))
    np.save(tmp_path / "ring.npy", np.column_stack([np.cos(angle), np.sin(angle)]) + noise)
    result = fit([str(tmp_path / "ring.npy")], FitOptions(model="tica", lag="2", dim="2"))
    assert assign_states(result, 3).states.count == 3
    matrix = np.array([[0.45, 0.4, 0.15], [0.07, -0.07, 0.0], [0.02, 0.02, -0.04]])
    empty = Simplex(matrix, np.zeros((3, 2)), 1.0)
    monkeypatch.setattr("koopman_cli.analysis.states.simplex", lambda *_: empty)
    with pytest.raises(KoopmanError, match="a state without frames"):
        assign_states(result, 3)
