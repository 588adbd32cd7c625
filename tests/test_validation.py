"""Held-out scores: equal to slow refits on raw frames, free of leaks, and a fair choice of dim."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import lfilter
from systems import AR1, OU, ROTATIONAL_OU

from koopman_cli.accumulate import accumulate
from koopman_cli.errors import KoopmanError
from koopman_cli.estimate import estimate, merge_blocks
from koopman_cli.features.stream import FeatureStream
from koopman_cli.lifts import apply
from koopman_cli.lifts.dictionary import dictionary
from koopman_cli.models import family
from koopman_cli.models.solve import solve
from koopman_cli.moments import BlockMoments, Moments
from koopman_cli.request import Request
from koopman_cli.scores import GridOptions, score_grid
from koopman_cli.types import Score, ScoreEntry
from koopman_cli.validation import (
    Fold,
    assign_folds,
    choose_dim,
    drift,
    make_folds,
    pick_simplest,
    score_dims,
)

Floats = NDArray[np.float64]


def slow_and_noise(seed: int, frames: int = 6000, noise: int = 6) -> Floats:
    """Two AR(1) columns of 20 and 8 frames among columns of noise, mixed."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((frames, 2 + noise))
    for j, t in enumerate((20.0, 8.0)):
        a = np.exp(-1 / t)
        x[:, j] = lfilter([np.sqrt(1 - a * a)], [1, -a], x[:, j])
    return x @ rng.standard_normal((2 + noise, 2 + noise))


# ------------------------------------------------------------------ slow refits


def runs_of(blocks: BlockMoments, held: list[int], data: list[Floats]) -> list[Floats]:
    """Contiguous raw frames of some blocks; neighbours in one trajectory are one run."""
    at = np.flatnonzero(blocks.is_block)
    spans: list[list[int]] = []
    for b in sorted(held):
        t, start, stop = (int(v[at[b]]) for v in (blocks.trajectory, blocks.start, blocks.stop))
        if spans and b - 1 in held and spans[-1][0] == t:
            spans[-1][2] = stop
        else:
            spans.append([t, start, stop])
    return [data[t][a:b] for t, a, b in spans]


def centred(runs: list[Floats], lag: int) -> tuple[Floats, Floats]:
    """All pairs of the runs, each side about its own mean."""
    x = np.concatenate([r[:-lag] for r in runs])
    y = np.concatenate([r[lag:] for r in runs])
    return x - x.mean(axis=0), y - y.mean(axis=0)


def slow_functions(runs: list[Floats], lag: int, solver: str, dim: int) -> tuple[Floats, Floats]:
    """Coefficients of the first functions, by generalised eigenproblems of scipy."""
    if solver == "reversible":
        forward = np.concatenate([r[:-lag] for r in runs] + [r[lag:] for r in runs])
        backward = np.concatenate([r[lag:] for r in runs] + [r[:-lag] for r in runs])
        mean = forward.mean(axis=0)
        c00 = (forward - mean).T @ (forward - mean)
        c01 = (forward - mean).T @ (backward - mean)
        values, vectors = scipy.linalg.eigh((c01 + c01.T) / 2, c00)
        u = vectors[:, np.argsort(-np.abs(values))[:dim]]
        return u, u
    x, y = centred(runs, lag)
    c00, c01, c11 = x.T @ x, x.T @ y, y.T @ y
    if solver == "eig":
        values, vectors = scipy.linalg.eig(c01, c00)
        order = np.lexsort((-values.imag, -np.abs(values).round(12)))[:dim]
        parts = [vectors[:, j].imag if values[j].imag < 0 else vectors[:, j].real for j in order]
        return np.column_stack(parts), np.column_stack(parts)
    _, left = scipy.linalg.eigh(c01 @ np.linalg.solve(c11, c01.T), c00)
    _, right = scipy.linalg.eigh(c01.T @ np.linalg.solve(c00, c01), c11)
    return left[:, ::-1][:, :dim], right[:, ::-1][:, :dim]


def sides(runs: list[Floats], lag: int) -> tuple[Floats, Floats]:
    """All pairs of the runs."""
    return np.concatenate([r[:-lag] for r in runs]), np.concatenate([r[lag:] for r in runs])


def held_out(
    blocks: BlockMoments, held: list[int], data: list[Floats], lag: int
) -> tuple[Floats, Floats, int]:
    """Held-out pairs, centred so that runs which were cut have the means of the whole runs."""
    x, y = sides(runs_of(blocks, held, data), lag)
    owner, middle = blocks.trajectory[blocks.is_block], [np.zeros(x.shape[1]) for _ in range(2)]
    for run in np.unique(owner[held]):
        every = [int(b) for b in np.flatnonzero(owner == run)]
        parts = [[b for b in every if (b in held) is inside] for inside in (True, False)]
        pairs = [sides(runs_of(blocks, part, data), lag) for part in parts if part]
        share = len(pairs[0][0]) / len(x)
        for i in range(2):
            middle[i] += share * np.concatenate([side[i] for side in pairs]).mean(axis=0)
    return x - middle[0], y - middle[1], len(x)


def slow_scores(
    train: list[Floats],
    test: tuple[Floats, Floats, int],
    lag: int,
    functions: tuple[Floats, Floats],
) -> tuple[float, float, float]:
    """VAMP-1, VAMP-2 and VAMP-E by QR decompositions of projected frames."""
    (x, y), (p, q, n) = centred(train, lag), test
    left, right = functions
    qx, rx = np.linalg.qr(x @ left)
    qy, ry = np.linalg.qr(y @ right)
    u, s, vt = np.linalg.svd(qx.T @ qy)
    root = np.sqrt(len(x))
    f = p @ left @ np.linalg.inv(rx) @ u * root
    g = q @ right @ np.linalg.inv(ry) @ vt.T * root
    vampe = 1 + 2 * np.sum(s * (f * g).sum(axis=0)) / n
    vampe -= np.sum((f.T @ f / n) * (g.T @ g / n) * np.outer(s, s))
    held = np.linalg.svd(np.linalg.qr(f)[0].T @ np.linalg.qr(g)[0], compute_uv=False)
    return 1 + held.sum(), 1 + (held**2).sum(), vampe


@pytest.mark.parametrize(
    ("name", "options", "dim"),
    [
        ("tica", {}, 1),
        ("tica", {}, 3),
        ("vamp", {}, 2),
        ("vamp", {}, 8),
        ("edmd", {"degree": 1, "solve": "svd"}, 2),
    ],
)
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_scores_equal_slow_refits(name, options, dim, pieces):
    """Scores from block moments equal a refit of every fold on raw frames to 1e-6."""
    data = np.array_split(slow_and_noise(0), pieces)
    request, lag = Request.of(name, options), 3
    found = estimate(FeatureStream.from_arrays(data), request, lag, dim=dim)
    folds = assign_folds(found.merged, 5)
    assert found.score.folds == len(folds) == 5
    for i, held in enumerate(folds):
        rest = [b for b in range(found.merged.n_blocks) if b not in held]
        train, test = runs_of(found.merged, rest, data), held_out(found.merged, held, data, lag)
        functions = slow_functions(train, lag, request.solver, dim)
        expected = slow_scores(train, test, lag, functions)
        for entry, value in zip(("vamp1", "vamp2", "vampe"), expected, strict=True):
            assert getattr(found.score, entry).folds[i] == pytest.approx(value, rel=1e-6)
    for entry in (found.score.vamp1, found.score.vamp2, found.score.vampe):
        assert entry.test == pytest.approx(np.mean(entry.folds))
        assert entry.stderr == pytest.approx(np.std(entry.folds, ddof=1) / np.sqrt(5))


def test_scores_of_complex_pairs_equal_slow_refits():
    """A complex pair is scored as its real and imaginary part."""
    data = ROTATIONAL_OU.simulate(0, 8000)
    found = estimate(
        FeatureStream.from_arrays(data), Request.of("tica", {"reversible": False}), 2, dim=2
    )
    for i, held in enumerate(assign_folds(found.merged, 5)):
        rest = [b for b in range(found.merged.n_blocks) if b not in held]
        train, test = runs_of(found.merged, rest, data), held_out(found.merged, held, data, 2)
        expected = slow_scores(train, test, 2, slow_functions(train, 2, "eig", 2))
        assert found.score.vampe.folds[i] == pytest.approx(expected[2], rel=1e-6)


def test_learned_lifts_are_refitted_on_training_blocks():
    """Gaussians are placed anew on the training blocks of each fold: scores equal slow refits."""
    data = [x[:, :1] for x in OU.simulate(3, 6000)]
    request = Request.of("edmd", {"basis": "gaussians", "centers": 6})
    found = estimate(FeatureStream.from_arrays(data), request, OU.lag, dim=2)
    assert found.passes == 1 + 5
    at = np.flatnonzero(found.merged.is_block)
    for i, held in enumerate(assign_folds(found.merged, 5)):
        rest = [b for b in range(len(at)) if b not in held]
        sample = np.concatenate(
            [data[0][found.merged.start[at[b]] : found.merged.stop[at[b]]] for b in rest]
        )
        lift = dictionary(sample, ["x1"], ["gaussians"], centers=6)
        lifted = [apply(lift, data[0])]
        train = runs_of(found.merged, rest, lifted)
        test = held_out(found.merged, held, lifted, OU.lag)
        functions = slow_functions(train, OU.lag, "reversible", 2)
        expected = slow_scores(train, test, OU.lag, functions)
        assert found.score.vampe.folds[i] == pytest.approx(expected[2], rel=1e-6)


def test_lifts_of_an_ensemble_see_all_their_training_runs():
    """In an ensemble of short runs a lift is fitted to the training runs and to no other."""
    rng = np.random.default_rng(0)
    runs = [np.column_stack([np.full(5, i), rng.standard_normal(5)]) for i in range(600)]
    seen: list[set[int]] = []

    class Watching(family("edmd")):
        def fit_lift(self, part):
            if part.ranges is not None:
                seen.append({i for i, r in enumerate(part.ranges) if len(r)})
                assert all(r.tolist() == [[0, 5]] for r in part.ranges if len(r))
            return super().fit_lift(part)

    request = Request("edmd", Watching(basis="gaussians", centers=5))
    estimate(FeatureStream.from_arrays(runs), request, 1, dim=1)
    assert len(seen) == 5
    left_out = [set(range(600)) - one for one in seen]
    assert set.union(*left_out) == set(range(600))
    assert sum(map(len, left_out)) == 600
    assert all(100 <= len(one) <= 140 for one in left_out)


def test_a_separate_test_set():
    """With --test the whole training set is fitted and each part of the test set is scored."""
    train, test = slow_and_noise(0), slow_and_noise(0, 3000)
    found = estimate(
        FeatureStream.from_arrays([train]),
        Request.of("vamp"),
        2,
        dim=2,
        test=FeatureStream.from_arrays([test * 1.0]),
    )
    functions = slow_functions([train], 2, "svd", 2)
    blocks, _ = accumulate(FeatureStream.from_arrays([test]), [2])
    parts = blocks.merged(3000 / 20)
    for i, held in enumerate(assign_folds(parts, 5)):
        expected = slow_scores([train], held_out(parts, held, [test], 2), 2, functions)
        assert found.score.vampe.folds[i] == pytest.approx(expected[2], rel=1e-6)


# ------------------------------------------------------------------ leaks


def frames_used(moments: Moments, frames: int) -> NDArray[np.bool_]:
    """Which frames take part, from moments of one indicator column per frame."""
    m = moments.projected(np.zeros(frames), np.eye(frames))
    return (np.diag(m.xx)[:-1] > 0.5) | (np.diag(m.yy)[:-1] > 0.5)


def leaking(folds: list[Fold], places: NDArray[np.int64], lag: int) -> list[int]:
    """Folds with a training frame that is a test frame, or within a lag of one.

    places : position in time of each frame; trajectories are far apart
    """
    found = []
    for i, fold in enumerate(folds):
        train, test = (places[frames_used(m, len(places))] for m in fold.moments())
        if np.abs(train[:, None] - test).min() <= lag:
            found.append(i)
    return found


def indicators(frames: int, lag: int, pieces: int) -> tuple[BlockMoments, NDArray[np.int64]]:
    """Block moments of one indicator column per frame, in several trajectories; their places."""
    data = np.array_split(np.eye(frames), pieces)
    blocks, _ = accumulate(FeatureStream.from_arrays(data), [lag])
    apart = np.repeat(np.arange(pieces), [len(part) for part in data])
    return blocks, np.arange(frames) + 1000 * apart


@settings(max_examples=15, deadline=None)
@given(
    lag=st.integers(1, 4),
    pieces=st.integers(1, 3),
    span=st.integers(1, 30),
    repeat=st.integers(0, 4),
)
def test_folds_do_not_leak(lag, pieces, span, repeat):
    """Frames that enter the training moments are more than a lag away from those of the test."""
    frames = 120
    blocks, places = indicators(frames, lag, pieces)
    folds = make_folds(blocks.merged(span), lambda m: solve(m, "svd"), 5, repeat)
    assert len(folds) >= 2
    assert leaking(folds, places, lag) == []
    tested = np.sum([frames_used(fold.moments()[1], frames) for fold in folds], axis=0)
    assert tested.max() == 1
    assert tested.mean() > 0.4


def test_planted_leaks_are_caught():
    """The check of leaks sees total minus test, shared frames, and blocks without a gap."""
    frames, lag = 120, 3
    blocks, places = indicators(frames, lag, 1)
    folds = make_folds(blocks, lambda m: solve(m, "svd"))
    assert leaking(folds, places, lag) == []
    every = list(range(len(folds)))
    total = blocks.total()
    assert leaking([f.trained_on(total) for f in folds], places, lag) == every
    minus = [f.trained_on(total - f.moments()[1]) for f in folds]
    assert leaking(minus, places, lag) == every
    x = np.eye(frames)
    touching = Fold.of(
        Moments.of_pairs(x[60:-lag], x[60 + lag :]),
        Moments.of_pairs(x[: 58 - lag], x[lag:58]),
        folds[0].solve,
    )
    assert leaking([touching], places, lag) == [0]


@pytest.mark.parametrize(
    ("lengths", "folds"), [([100] * 7, 5), ([500, 20, 20, 20, 300], 5), ([900], 4), ([50], 9)]
)
@pytest.mark.parametrize("repeat", [0, 1, 2, 30])
def test_each_block_is_held_out_once(lengths, folds, repeat):
    """Folds partition the blocks; whole trajectories where these make folds of like size."""
    rng = np.random.default_rng(0)
    stream = FeatureStream.from_arrays([rng.standard_normal((n, 2)) for n in lengths])
    blocks, _ = accumulate(stream, [1])
    held = assign_folds(blocks, folds, repeat)
    assert sorted(b for fold in held for b in fold) == list(range(blocks.n_blocks))
    owner = blocks.trajectory[blocks.is_block]
    if len(set(lengths)) == 1 and len(lengths) >= folds:
        owners = [set(owner[fold]) for fold in held]
        assert sum(map(len, owners)) == len(lengths)


@pytest.mark.parametrize("lengths", [[18_000, 30, 30, 30, 30], [300, 20, 20, 20, 20, 20, 20]])
@pytest.mark.parametrize("repeat", [0, 3, 40])
@pytest.mark.parametrize("span", [0, 900])
def test_no_fold_is_a_few_frames(lengths, repeat, span):
    """Trajectories of very unequal lengths: no fold has 2.5 times the pairs of another."""
    rng = np.random.default_rng(0)
    stream = FeatureStream.from_arrays([rng.standard_normal((n, 1)) for n in lengths])
    blocks = accumulate(stream, [1])[0].merged(min(span, sum(lengths) / 20))
    pairs = [blocks.sum_joined(held).n for held in assign_folds(blocks, 5, repeat)]
    assert len(pairs) == 5
    assert max(pairs) <= 2.5 * min(pairs)


def test_short_trajectories_beside_a_long_one():
    """Four runs of 30 frames beside one of 18,000 change neither the score nor the dim chosen."""
    x = slow_and_noise(0, 18_120)
    cuts = [18_000, 18_030, 18_060, 18_090]
    alone = estimate(FeatureStream.from_arrays([x[:18_000]]), Request.of("tica"), 2)
    beside = estimate(FeatureStream.from_arrays(np.split(x, cuts)), Request.of("tica"), 2)
    assert alone.dim == beside.dim == 2
    assert alone.score is not None
    assert beside.score is not None
    error = alone.score.vampe.stderr
    assert error is not None
    assert beside.score.vampe.test == pytest.approx(alone.score.vampe.test, abs=error)
    assert beside.score.vampe.stderr < 2 * error


def test_a_fold_without_a_score_is_said():
    """A fold whose training part supports no model is left out, counted and given its reason."""
    x = slow_and_noise(0, 600, noise=1)
    blocks, _ = accumulate(FeatureStream.from_arrays([x]), [1])
    folds = make_folds(blocks, lambda m: solve(m, "reversible"))
    train, _ = folds[2].moments()
    folds[2] = folds[2].trained_on(train * (2 / train.n))
    (score,) = score_dims(blocks.total(), folds[0].solve, folds, [1], blocks.n_blocks)
    assert score.folds == len(score.vampe.folds) == 4
    assert score.warnings[0].startswith("1 of 5 folds could not be scored and is left out: 2 ")
    (whole,) = score_dims(blocks.total(), folds[0].solve, folds[:2], [1], blocks.n_blocks)
    assert whole.warnings == ()


# ------------------------------------------------------------------ choice of dim


def _score(dim: int, folds: list[float], poor: int = 0) -> Score:
    entry = ScoreEntry(0.0, float(np.mean(folds)), 0.0, tuple(folds))
    return Score(dim, entry, entry, entry, len(folds), 20, poor)


def test_simplest_within_one_error_of_the_difference():
    """Errors are those of the fold-wise difference: a common spread of folds decides nothing."""
    common = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    one, two = 1 + common, 1.01 + common + np.array([0, 1, -1, 1, -1]) * 1e-4
    scores = [_score(0, [1.0] * 5), _score(1, list(one)), _score(2, list(two))]
    assert choose_dim(scores).chosen == 2
    noisy = 1.01 + common + np.array([0, 1, -1, 1, -1]) * 0.1
    assert choose_dim([*scores[:2], _score(2, list(noisy))]).chosen == 1


def test_the_constant_must_be_beaten_by_two_errors():
    """A gain over 1 below two standard errors is no slow mode: dim 0, with that reason."""
    spread = np.array([-2.0, -1, 0, 1, 2]) / np.sqrt(2.5)
    error = 1 / np.sqrt(5)
    for gain, chosen in ((1.9, 0), (2.1, 1)):
        scores = [_score(0, [1.0] * 5), _score(1, list(1 + gain * error + spread))]
        found = choose_dim(scores)
        assert found.chosen == chosen
    assert "constant" in choose_dim([_score(0, [1.0] * 5), _score(1, [0.5] * 5)]).reason


def test_repeats_hold_no_new_data():
    """Doubling the folds by repeats leaves the errors, and so the choice, as they were."""
    rows = np.random.default_rng(0).normal([[1.2], [1.25], [1.3]], 0.1, (3, 5))
    once, twice = pick_simplest(rows), pick_simplest(np.tile(rows, 2), repeats=2)
    assert twice.error == pytest.approx(once.error, rel=0.15)
    assert once.taken == twice.taken
    cheap = pick_simplest(rows * 0 + 1.5, costs=[(3.0,), (1.0,), (2.0,)])
    assert cheap.taken == 1


def test_poor_folds_are_the_reason():
    """With two folds that hold too few events the reason says so."""
    scores = [_score(0, [1.0] * 5), _score(1, [1.5, 1.6, 1.5, 1.4, 1.5], poor=2)]
    assert "2 of 5 folds hold too few events" in choose_dim(scores).reason


def test_one_fold_chooses_nothing():
    """Dim cannot be chosen from a single fold."""
    with pytest.raises(KoopmanError, match="at least two folds"):
        choose_dim([_score(0, [1.0]), _score(1, [1.5])])


def test_fewer_folds_than_asked_for_are_said():
    """Folds beyond the blocks become one per block, with a warning; so in a grid."""
    data = slow_and_noise(1)
    found = estimate(FeatureStream.from_arrays(data), Request.of("tica"), 5, dim=2, folds=10_000)
    blocks = found.merged.n_blocks
    assert found.score is not None
    assert found.score.folds == blocks > 5
    assert f"folds 10000 reduced to {blocks}, the number of independent blocks" in found.warnings
    grid = GridOptions(models=("tica",), lags=("5",), dims=(1,), folds=500)
    table = score_grid(data, grid)
    said = f"folds 500 reduced to {table.blocks}, the number of independent blocks"
    assert said in table.warnings
    few = estimate(FeatureStream.from_arrays(data), Request.of("tica"), 5, dim=2)
    assert not any("reduced" in text for text in few.warnings)


def test_dim_without_folds_has_a_true_reason():
    """--folds 0 and data too short for folds take dim 1, each for its own reason."""
    data = slow_and_noise(1)
    none = estimate(FeatureStream.from_arrays(data), Request.of("tica"), 5, folds=0)
    short = estimate(FeatureStream.from_arrays(data[:40]), Request.of("tica"), 19)
    for found, reason in ((none, "no folds"), (short, "too few independent blocks")):
        assert found.dim == 1
        assert found.dims is not None
        assert found.dims.reason == f"{reason} to choose dim by held-out scores: 1 taken"


def test_noise_has_no_slow_mode():
    """Noise of ten columns: dim 0 on at least 28 of 30 seeds."""
    chosen = []
    for seed in range(30):
        x = np.random.default_rng(seed).standard_normal((3000, 10))
        found = estimate(FeatureStream.from_arrays([x]), Request.of("tica"), 1)
        chosen.append(found.dims.chosen)
    assert chosen.count(0) >= 28


@pytest.mark.parametrize("name", ["tica", "vamp"])
def test_two_slow_columns_among_noise(name):
    """Two AR(1) columns among six of noise: dim 2 on at least 17 of 20 seeds."""
    chosen = [
        estimate(FeatureStream.from_arrays([slow_and_noise(seed)]), Request.of(name), 2).dims.chosen
        for seed in range(20)
    ]
    assert chosen.count(2) >= 17


def test_nested_scores_are_those_of_single_dims():
    """Scoring all dims at once equals scoring each alone, nearly dependent functions included."""
    x = slow_and_noise(0)
    x = np.column_stack([x, x[:, 0] + 1e-4 * x[:, 1]])
    blocks, _ = accumulate(FeatureStream.from_arrays([x]), [2])

    def fitted(moments: Moments):
        return solve(moments, "reversible")

    folds = make_folds(blocks, fitted)
    dims = list(range(8))
    together = score_dims(blocks.total(), fitted, folds, dims, blocks.n_blocks)
    for dim in dims:
        (alone,) = score_dims(blocks.total(), fitted, folds, [dim], blocks.n_blocks)
        for name in ("vamp1", "vamp2", "vampe"):
            a, b = getattr(together[dim], name), getattr(alone, name)
            np.testing.assert_allclose(a.folds, b.folds, rtol=1e-8)
            assert a.train == pytest.approx(b.train, rel=1e-8)
    assert together[0].vampe.folds == (1.0,) * 5


# ------------------------------------------------------------------ blocks and drift


def test_blocks_span_three_slowest_timescales():
    """Fine blocks are merged to three timescales (20 frames); few of them are said to be few, with
    two digits where the data are shorter than ten of them.
    """
    long, short = (FeatureStream.from_arrays(AR1.simulate(0, n)) for n in (20_000, 500))
    blocks, _ = accumulate(long, [1])
    merged, warning = merge_blocks(blocks, 20.0, 1)
    spans = (merged.stop - merged.start)[merged.is_block]
    assert spans.min() >= 60
    assert warning is None
    merged, warning = merge_blocks(accumulate(short, [1])[0], 20.0, 1)
    assert merged.n_blocks >= 10
    assert "only 25 times the slowest timescale" in warning
    _, warning = merge_blocks(accumulate(short, [1])[0], 960.0, 1, longest=500)
    assert "only 0.52 times the slowest timescale" in warning


def test_drift_is_named_and_stationary_data_are_not():
    """A column with a trend is named; stationary columns are not on 48 of 50 seeds."""
    x = slow_and_noise(0)
    x[:, 3] += np.linspace(0, 30, len(x)) * x[:, 3].std()
    names = [f"x{j}" for j in range(x.shape[1])]
    blocks, _ = accumulate(FeatureStream.from_arrays([x]), [1])
    blocks = blocks.merged(60)
    assert drift(blocks, names, assign_folds(blocks, 5)) == ["x3"]
    false = 0
    for seed in range(50):
        stream = FeatureStream.from_arrays([slow_and_noise(seed, 4000)])
        blocks = accumulate(stream, [1])[0].merged(60)
        false += bool(drift(blocks, names, assign_folds(blocks, 5)))
    assert false <= 2


def test_drift_weighs_blocks_by_their_pairs():
    """Twenty runs of 30 frames beside a long one: their noisy means are no drift (50 seeds)."""
    false = 0
    for seed in range(50):
        runs = np.split(AR1.simulate(seed, 12_600)[0], range(12_000, 12_600, 30))
        blocks, _ = accumulate(FeatureStream.from_arrays(runs), [1])
        owner = blocks.trajectory[blocks.is_block]
        # The short runs and a part of the long one against the rest.
        held = [[b for b in range(blocks.n_blocks) if owner[b] or b < 20]]
        false += bool(drift(blocks, ["x"], held))
    assert false <= 2
