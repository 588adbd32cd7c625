"""Featurizers of arrays: columns, angles, delays, frames that are not finite, rebuilding."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from features_support import (
    array_trajectory,
    md_trajectory,
    peptide_topology,
    random_peptide,
    rows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from koopman_cli.errors import DataError, UsageError
from koopman_cli.features import FeatureStream, build_features, rebuild_features
from koopman_cli.types import TimeStep

TURN = 2 * np.pi


def walk(frames=5000, step=0.3, seed=0):
    """An unwrapped angle that diffuses."""
    return np.cumsum(np.random.default_rng(seed).normal(0, step, frames))


# ------------------------------------------------------------------ identity, standardised


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex128"])
def test_identity_is_the_default_and_keeps_the_type(dtype):
    """Arrays pass unchanged, names, units and type included, complex ones too."""
    values = np.random.default_rng(0).normal(size=(50, 2)).astype(dtype)
    if dtype == "complex128":
        values = values * (1 + 2j)
    stream = build_features([array_trajectory(values, names=["u", "v"], units=["m/s", ""])])
    assert stream.spec.text == "identity"
    assert "default" in stream.notes[0]
    assert (stream.spec.names, stream.spec.units) == (("u", "v"), ("m/s", ""))
    assert stream.dtype == dtype
    assert np.array_equal(rows(stream, size=7), values)


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
def test_standardised_has_mean_0_and_sd_1_over_all_trajectories(scale):
    """Mean and deviation are those of all frames together, whatever the magnitude."""
    rng = np.random.default_rng(0)
    parts = [scale * (5 + 3 * rng.normal(size=(n, 2))) for n in (3, 9000, 40)]
    stream = build_features([array_trajectory(p) for p in parts], "standardised")
    table = np.concatenate([rows(stream, i) for i in range(3)])
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(table.std(axis=0), 1, rtol=1e-12)
    assert stream.fitted == ("standardised",)
    assert stream.spec.units == ("", "")


def test_standardised_of_a_constant_is_zero():
    """A column without variance becomes zero, not a division by zero."""
    stream = build_features([array_trajectory(np.full((100, 1), 0.1))], "standardised")
    np.testing.assert_allclose(rows(stream), 0, atol=1e-12)


def test_stored_mean_and_deviation_are_used_again():
    """Rebuilding standardises by the numbers of the fit, not by those of the new input."""
    fit = build_features([array_trajectory(np.arange(10.0)[:, None])], "standardised")
    again = rebuild_features([array_trajectory(np.array([[4.5], [104.5]]))], fit.spec)
    np.testing.assert_allclose(rows(again)[:, 0], [0, 100 / np.arange(10.0).std()])


# ------------------------------------------------------------------ wrapped angles


@pytest.mark.parametrize(
    ("period", "low"), [(TURN, -TURN / 2), (TURN, 0), (360.0, -180.0), (360.0, 0)]
)
def test_wrapped_angles_become_cosine_and_sine(period, low):
    """In radians or degrees, from zero or about it: noticed, said, and right."""
    angle = walk()
    wrapped = (angle * period / TURN - low) % period + low
    other = np.random.default_rng(1).normal(size=len(angle))
    trajectory = array_trajectory(np.stack([other, wrapped], axis=1), names=["x", "psi"])
    stream = build_features([trajectory])
    assert stream.spec.names == ("x", "cos psi", "sin psi")
    assert "column psi is a wrapped angle: cos and sin used" in stream.notes
    want = np.stack([other, np.cos(angle), np.sin(angle)], axis=1)
    np.testing.assert_allclose(rows(stream), want, atol=1e-9)


def test_raw_keeps_a_wrapped_angle():
    """identity:raw asks for the column itself."""
    wrapped = walk()[:, None] % TURN
    stream = build_features([array_trajectory(wrapped)], "identity:raw")
    assert np.array_equal(rows(stream), wrapped)


def test_unit_rad_is_an_angle_without_looking():
    """A column whose unit is rad needs no evidence."""
    stream = build_features([array_trajectory(np.zeros((3, 1)), names=["phi"], units=["rad"])])
    assert stream.spec.names == ("cos phi", "sin phi")


def _telegraph():
    rng = np.random.default_rng(0)
    level = np.where(np.cumsum(rng.random(5000) < 0.02) % 2, 3.05, -3.05)
    return level + 0.02 * rng.normal(size=5000)


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).normal(size=5000),
        np.random.default_rng(0).uniform(-np.pi, np.pi, 5000),
        np.pi * np.sin(np.arange(5000) / 30),
        _telegraph(),
        np.clip(walk(step=0.02), -np.pi, np.pi),
    ],
    ids=["normal", "uniform", "sine", "telegraph", "clipped"],
)
def test_other_bounded_signals_are_no_angles(values):
    """What merely fills [-pi, pi], or switches between levels near its ends, stays as it is."""
    assert build_features([array_trajectory(values[:, None])]).spec.names == ("x1",)


def _pair():
    """An angle that turns often, and one that turns once (degrees)."""
    once = np.linspace(-179, 210, 5000)
    return (np.stack([np.rad2deg(walk()), once], axis=1) + 180) % 360 - 180


@pytest.mark.parametrize("names", [("phi", "psi"), ("x1", "x2")])
def test_an_angle_that_rarely_turns_goes_with_its_partner(names):
    """Beside an angle, one that crosses its boundary at all is one; alone it stays as it is."""
    values = _pair()
    assert np.ptp(values[:, 1]) > 0.96 * 360
    stream = build_features([array_trajectory(values, names=names)])
    assert stream.spec.names == tuple(f"{f} {n}" for n in names for f in ("cos", "sin"))
    (alone,) = build_features([array_trajectory(values[:, 1:], names=["x2"])]).spec.names
    assert alone == "x2"


def test_a_torsion_by_name_and_range():
    """Phi that never turns is an angle beside psi; alone it is one only if its values cover
    nearly a turn, and a distance of that name is none.
    """
    rng = np.random.default_rng(0)
    phi = -70 + 40 * np.sin(np.arange(3000) / 50) + 3 * rng.normal(size=3000)
    psi = np.rad2deg(walk(3000)) % 360 - 180
    narrow = 5 * rng.normal(size=3000)
    other = rng.normal(size=3000)
    table = np.stack([phi, psi, narrow, other], axis=1)
    names = ("phi_ALA2", "psi_ALA2", "omega_ALA2", "d")
    stream = build_features([array_trajectory(table, names=names)])
    assert stream.spec.names[-1] == "d"
    assert stream.n_features == 7
    alone = np.deg2rad(phi[:, None])
    assert build_features([array_trajectory(alone, names=["phi"])]).n_features == 1
    full = np.pi * 0.98 * np.sin(np.arange(3000) / 50)[:, None]
    assert build_features([array_trajectory(full, names=["phi"])]).n_features == 2
    assert build_features([array_trajectory(full, names=["phi_velocity"])]).n_features == 1
    field = 0.5 + 0.1 * other[:, None]
    assert build_features([array_trajectory(field, names=["phi"])]).n_features == 1
    bend = np.deg2rad(phi[:, None]) + 2
    assert build_features([array_trajectory(bend, names=["theta"])]).n_features == 1


@pytest.mark.parametrize("names", [("time", "phi", "gauge"), ("x1", "phi_velocity", "cos_psi")])
def test_a_name_alone_makes_no_angle(names):
    """Values within [-2, 2] that never wrap stay one column, whatever its name is; the rate and
    the cosine of a torsion stay so even beside one.
    """
    phi = np.clip(walk(step=0.1), -2, 2)
    table = np.stack([np.arange(len(phi)), phi, np.cos(phi)], axis=1)
    stream = build_features([array_trajectory(table, names=names)])
    assert stream.spec.names == names
    beside = np.concatenate([table[:, 1:], walk(seed=1)[:, None] % TURN], axis=1)
    stream = build_features([array_trajectory(beside, names=["phi_dot", "cos_phi", "psi"])])
    assert stream.spec.names == ("phi_dot", "cos_phi", "cos psi", "sin psi")


def test_steps_across_segments_are_no_evidence():
    """Jumps of a full period between segments do not make an angle."""
    ramp = np.tile(np.linspace(-3.14, 3.14, 50), 40)[:, None]
    segments = [[50 * k, 50 * k + 50] for k in range(40)]
    cut = array_trajectory(ramp, segments=segments)
    assert build_features([cut]).spec.names == ("x1",)
    assert build_features([array_trajectory(ramp)]).spec.names == ("cos x1", "sin x1")


def test_what_was_an_angle_at_the_fit_stays_one():
    """Rebuilding wraps by the stored answer, even where new data show no jump."""
    fit = build_features([array_trajectory(walk()[:, None] % TURN)])
    again = rebuild_features([array_trajectory(np.array([[1.0], [1.1]]))], fit.spec)
    np.testing.assert_allclose(rows(again)[0], [np.cos(1.0), np.sin(1.0)])


# ------------------------------------------------------------------ delays, segments, gaps


@st.composite
def gapped(draw):
    """(values, segments, spec of delays, frames that are not finite, chunk)."""
    count = draw(st.integers(1, 60))
    cuts = sorted(draw(st.sets(st.integers(0, count), max_size=6)) | {0, count})
    segments = [[a, b] for a, b in pairwise(cuts)]
    number, spacing = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    bad = draw(st.sets(st.integers(0, count - 1), max_size=4))
    return count, segments, number, spacing, sorted(bad), draw(st.integers(1, 61))


@settings(max_examples=200, deadline=None)
@given(gapped())
def test_rows_hold_their_own_past_and_never_cross_a_boundary(case):
    """Against the definition, frame by frame: delays, segments, removed frames, any chunk.

    A row exists for frame t exactly if t, t - spacing, ... and everything between lie in one
    segment without a removed frame; segments of the stream are contiguous in frames as read.
    """
    count, segments, number, spacing, bad, chunk = case
    values = np.stack([np.arange(count, dtype=float), np.zeros(count)], axis=1)
    values[bad, 1] = np.nan
    window = (number - 1) * spacing
    usable = [
        t
        for t in range(count)
        for a, b in segments
        if a + window <= t < b and not set(range(t - window, t + 1)) & set(bad)
    ]
    trajectory = array_trajectory(values, segments=segments)
    spec = f"identity+delays:{number}:{spacing}"
    if not usable:
        with pytest.raises(DataError):
            build_features([trajectory], spec, drop_nonfinite=True)
        return
    stream = build_features([trajectory], spec, drop_nonfinite=True)
    table = rows(stream, size=chunk)
    frames = stream.frame_index(0)
    assert stream.lengths == (len(usable),)
    assert frames.tolist() == usable
    assert stream.offsets == (usable[0],)
    for k in range(number):
        assert np.array_equal(table[:, 2 * k], frames - k * spacing)
    edges = stream.segments[0]
    assert edges[0, 0] == 0
    assert edges[-1, 1] == len(usable)
    assert np.array_equal(edges[1:, 0], edges[:-1, 1])
    bounds = {t for a, b in segments for t in (a, b)} | set(bad)
    for a, b in edges:
        assert np.all(np.diff(frames[a:b]) == 1)
        assert not bounds & set(range(frames[a] - window + 1, frames[b - 1] + 1))


def test_chunks_are_at_most_as_long_as_asked():
    """No chunk exceeds the size asked for, with delays or without."""
    trajectory = array_trajectory(np.arange(100.0)[:, None])
    for spec in ("identity", "delays:3:4"):
        stream = build_features([trajectory], spec)
        assert max(len(c) for c in stream.chunks(0, 7)) <= 7


def test_delays_alone_act_on_the_default():
    """delays:3 on an array delays its columns; the spec and the names say so."""
    stream = build_features([array_trajectory(np.arange(6.0)[:, None])], "delays:3:2")
    assert stream.spec.text == "identity+delays:3:2"
    assert stream.spec.names == ("x1", "x1(t-2)", "x1(t-4)")
    assert rows(stream).tolist() == [[4, 2, 0], [5, 3, 1]]


def test_too_short_for_the_delays_is_skipped_and_said():
    """The short one of three is skipped; three short ones are an error."""
    lengths = {"a.npy": 10, "b.npy": 3, "c.npy": 10}
    given = [array_trajectory(np.zeros((n, 1)), label) for label, n in lengths.items()]
    stream = build_features(given, "delays:4")
    assert stream.labels == ("a.npy", "c.npy")
    assert any("skipped 1 of 3" in w and "b.npy, 3 frames" in w for w in stream.warnings)
    with pytest.raises(DataError, match="12 frames in a row"):
        build_features(given, "delays:12")


def test_an_empty_first_trajectory_does_not_stop_the_rest():
    """A file without a frame is skipped and said."""
    empty = array_trajectory(np.zeros((0, 1)), "e.npy", segments=[])
    stream = build_features([empty, array_trajectory(np.ones((4, 1)))])
    assert stream.labels == ("a.npy",)
    assert any("e.npy, 0 frames" in w for w in stream.warnings)


# ------------------------------------------------------------------ not finite


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_not_finite_names_file_frame_and_feature(value):
    """The error tells where, and how to go on."""
    values = np.zeros((600, 3))
    values[417, 1] = value
    stream = build_features([array_trajectory(values, "q.npy", names=["u", "v", "w"])])
    with pytest.raises(DataError, match=r"q.npy: frame 417: v is not finite") as caught:
        rows(stream, size=100)
    assert "--drop-nonfinite" in caught.value.hint


def test_dropped_frames_are_counted():
    """The warning has the number, the file and the first; nothing else is lost."""
    values = np.arange(20.0).reshape(10, 2)
    values[[2, 3], 0] = np.nan
    stream = build_features([array_trajectory(values, "q.npy")], drop_nonfinite=True)
    assert any("q.npy: 2 of 10 frames" in w and "frame 2" in w for w in stream.warnings)
    assert stream.segments[0].tolist() == [[0, 2], [2, 8]]
    assert np.array_equal(rows(stream), np.delete(values, [2, 3], axis=0))


def test_a_trajectory_of_nothing_finite_is_skipped():
    """All frames of one of two files are dropped: the other remains."""
    bad = array_trajectory(np.full((5, 1), np.nan), "bad.npy")
    good = array_trajectory(np.ones((5, 1)), "good.npy")
    assert build_features([bad, good], drop_nonfinite=True).labels == ("good.npy",)
    with pytest.raises(DataError, match="no trajectory"):
        build_features([bad], drop_nonfinite=True)


def test_frames_outside_the_segments_are_not_used():
    """What a reader left out of the segments may hold anything."""
    values = np.arange(10.0)[:, None]
    values[4] = np.nan
    stream = build_features([array_trajectory(values, segments=[[0, 4], [5, 10]])])
    assert rows(stream)[:, 0].tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]


# ------------------------------------------------------------------ agreement


def test_trajectories_that_differ_name_both():
    """Other columns, names, kinds or time steps: exit 3 with both files."""
    a = array_trajectory(np.zeros((4, 2)), "a.npy")
    with pytest.raises(DataError, match=r"a.npy and b.npy differ: 2 against 3 columns"):
        build_features([a, array_trajectory(np.zeros((4, 3)), "b.npy")])
    with pytest.raises(DataError, match="column 2 is 'x2' against 'q'"):
        build_features([a, array_trajectory(np.zeros((4, 2)), "b.npy", names=["x1", "q"])])
    molecule = md_trajectory(random_peptide(2, 2)[0], peptide_topology(2), "m.xtc")
    with pytest.raises(DataError, match=r"a.npy and m.xtc differ: kind array against kind md"):
        build_features([a, molecule])


def test_time_steps_must_agree():
    """10 ps is 0.01 ns; 20 ps is something else; none is taken to be the same, and said."""
    values = np.zeros((4, 1))
    steps = [TimeStep(10.0, "ps"), TimeStep(0.01, "ns"), TimeStep(20.0, "ps"), None]
    a, same, other, none = (
        array_trajectory(values, f"{k}.npy", dt=step) for k, step in enumerate(steps)
    )
    assert build_features([a, same]).dt == TimeStep(10.0, "ps")
    with pytest.raises(DataError, match=r"0.npy has a frame every 10 ps, 2.npy every 20 ps"):
        build_features([a, other])
    stream = build_features([a, none])
    assert stream.dt == TimeStep(10.0, "ps")
    assert any("3.npy has no time step" in w for w in stream.warnings)


@pytest.mark.parametrize(
    ("names", "units", "says"),
    [
        (["u", "w", "v"], None, "feature 2 is 'w' here and 'v' in the model"),
        (["u", "v"], None, "gives 2 features, the model 3; feature 3 is missing here and 'w'"),
        (["u", "v", "w", "z"], None, "feature 4 is 'z' here and has none in the model"),
        (["u", "v", "w"], ["", "nm", ""], "feature 2 is 'v' \\(nm\\) here and 'v' in the model"),
    ],
)
def test_rebuilding_names_the_first_difference(names, units, says):
    """Order, number and units are compared, not just counts: exit 3."""
    fit = build_features([array_trajectory(np.zeros((4, 3)), names=["u", "v", "w"])])
    other = array_trajectory(np.zeros((4, len(names))), names=names, units=units)
    with pytest.raises(DataError, match=says) as caught:
        rebuild_features([other], fit.spec)
    assert caught.value.code == 3


def test_rebuilding_from_another_kind_is_refused():
    """A model of molecules cannot take an array."""
    fit = build_features([md_trajectory(random_peptide(3, 2)[0], peptide_topology(2))])
    with pytest.raises(DataError, match=r"kind array.*kind md"):
        rebuild_features([array_trajectory(np.zeros((4, 12)))], fit.spec)


def test_rebuilding_what_a_notebook_fitted():
    """The spec of FeatureStream.from_arrays rebuilds from a file of the same columns."""
    values = np.random.default_rng(0).normal(size=(20, 2))
    spec = FeatureStream.from_arrays(values).spec
    assert np.array_equal(rows(rebuild_features([array_trajectory(values)], spec)), values)


def test_featurizer_of_the_other_kind_is_a_usage_error():
    """Torsions of an array, identity of a molecule: exit 2 and what fits instead."""
    with pytest.raises(UsageError, match=r"torsions.*for a molecular-dynamics") as caught:
        build_features([array_trajectory(np.zeros((4, 1)))], "torsions")
    assert "identity" in caught.value.hint
    assert "contacts" not in caught.value.hint
    with pytest.raises(UsageError, match="there is no trajectory"):
        build_features([])


def test_warnings_of_the_reader_travel_along():
    """What a reader noticed is in the stream, once."""
    one = replace(array_trajectory(np.zeros((4, 1))), warnings=("time runs backwards",))
    assert build_features([one, one]).warnings.count("time runs backwards") == 1
