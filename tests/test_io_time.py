"""Time steps, joined runs, and what is said about stamps that are none."""

import numpy as np
import pytest
from io_fixtures import failure, molecule, read, read_all, top_of, write_h5, write_md

from koopman_cli.io import open_trajectories
from koopman_cli.types import ReadOptions


def with_times(tmp_path, times, name="a.h5"):
    """An MDTraj HDF5 file with these time stamps (ps, stored as float32)."""
    made = molecule(frames=len(times))
    made.time = np.asarray(times, float)
    write_h5(made, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(
    ("times", "text"),
    [
        (np.zeros(8), "all 8 time stamps are 0"),
        ([0, 1, 2, 2, 3, 4], "the time stamp repeats from frame 2 to 3 (2 to 2 ps)"),
        ([0, 1, 2, 3, 0, 1, 2], "time falls from frame 3 to 4 (3 to 0 ps)"),
        ([0, 1, 2, 3, 5, 6, 7], "the time step changes from frame 3 to 4 (3 to 5 ps)"),
        ([0, 1, np.nan, 3], "the time stamp of frame 2 is not finite"),
    ],
)
def test_stamps_that_are_no_time_axis(tmp_path, times, text):
    """Constant, repeated, falling, irregular or NaN stamps: no time step, and a warning where."""
    trajectory, _ = read(with_times(tmp_path, times))
    assert trajectory.dt is None
    assert text in trajectory.warnings[0]


def test_an_absurd_unit_is_said(tmp_path):
    """A frame every 2e6 ps keeps its time step and warns; 5e5 ps does not."""
    trajectory, _ = read(with_times(tmp_path, np.arange(5) * 2e6))
    assert trajectory.dt.value == 2e6
    assert "unit" in trajectory.warnings[0]
    assert not read(with_times(tmp_path, np.arange(5) * 5e5))[0].warnings


@pytest.mark.parametrize("step", [0.002, 0.1, 1.0 / 3.0, 25.0])
def test_rounding_of_float32_stamps_is_no_irregularity(tmp_path, step):
    """Stamps stored as float32, also late ones, give the step to a part in a million."""
    trajectory, _ = read(with_times(tmp_path, 500 + np.arange(400) * step))
    assert abs(trajectory.dt.value - step) < 2e-6 * max(step, 0.2)
    assert not trajectory.warnings
    if step != 1.0 / 3.0:
        assert trajectory.dt.value == step


def test_dt_overrides_and_says_so(tmp_path):
    """--dt 10ps replaces the 2 ps of the file with a warning; an equal one is silent."""
    path = write_md(molecule(), tmp_path / "a.trr")
    top = top_of(molecule(), tmp_path)
    trajectory, _ = read(path, top=top, dt="10ps", stride=2)
    assert (trajectory.dt.value, trajectory.dt.unit, trajectory.dt.origin) == (20.0, "ps", "--dt")
    assert "2 ps" in trajectory.warnings[0]
    assert not read(path, top=top, dt="0.002ns")[0].warnings
    assert read(with_times(tmp_path, np.zeros(5)), dt="1ns")[0].dt.value == 1.0
    assert failure(path, top=top, dt="-1ps").code == 2


def test_time_range_without_a_time_step(tmp_path):
    """--begin 5ps on data without a time step exits 2 and names --dt."""
    np.save(tmp_path / "a.npy", np.arange(10.0))
    error = failure(tmp_path / "a.npy", begin="5ps")
    assert error.code == 2
    assert "--dt" in error.hint
    assert read(tmp_path / "a.npy", begin="6ps", dt="3ps")[1][0, 0] == 2


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"begin": "10"}, 3), ({"begin": "5", "end": "5"}, 2), ({"begin": "-1"}, 2),
        ({"end": "0"}, 2), ({"stride": 0}, 2), ({"begin": "1.5"}, 2),
    ],
)  # fmt: skip
def test_impossible_ranges(tmp_path, options, code):
    """Ranges that hold nothing, negative frames and a stride of 0 are refused."""
    np.save(tmp_path / "a.npy", np.arange(10.0))
    assert failure(tmp_path / "a.npy", **options).code == code


def test_an_end_beyond_the_last_frame_is_the_last_frame(tmp_path):
    """--end 99 on ten frames reads ten."""
    np.save(tmp_path / "a.npy", np.arange(10.0))
    assert len(read(tmp_path / "a.npy", end="99")[1]) == 10


def test_different_time_steps_are_listed(tmp_path):
    """1 ps in one file and 2 ps in another exit 3 with both; --dt cures it."""
    paths = [
        with_times(tmp_path, np.arange(5) * 1.0, "a.h5"),
        with_times(tmp_path, np.arange(5) * 2.0, "b.h5"),
    ]
    error = failure(*paths)
    assert error.code == 3
    assert "1 ps in" in str(error)
    assert "2 ps in" in str(error)
    trajectories = open_trajectories(paths, ReadOptions(dt="1ps"))
    assert [t.dt.value for t in trajectories] == [1.0, 1.0]


def test_one_file_without_a_time_step_takes_it_from_all(tmp_path):
    """A usable and an unusable time axis together: none is used, and it is said."""
    paths = [
        with_times(tmp_path, np.arange(5) * 1.0, "a.h5"),
        with_times(tmp_path, np.zeros(5), "b.h5"),
    ]
    trajectories = open_trajectories(paths, ReadOptions())
    assert [t.dt for t in trajectories] == [None, None]
    assert any("b.h5 has no time step" in w for w in trajectories[0].warnings)


def test_a_single_frame_shares_the_time_step_of_the_others(tmp_path):
    """A file of one frame has no step of its own and takes that of its neighbours."""
    paths = [with_times(tmp_path, np.arange(5) * 1.0, "a.h5"), with_times(tmp_path, [3.0], "b.h5")]
    trajectories = open_trajectories(paths, ReadOptions())
    assert [t.dt.value for t in trajectories] == [1.0, 1.0]


def parts(tmp_path, cuts, name="part{}.h5"):
    """Frames of one run of 40 (1 ps apart), from a to b for each (a, b)."""
    run = molecule(frames=40)
    run.time = np.arange(40.0)
    paths = []
    for number, (a, b) in enumerate(cuts, 9):
        write_h5(run[a:b], tmp_path / name.format(number))
        paths.append(tmp_path / name.format(number))
    return run, paths


def test_joined_parts_are_one_run_in_natural_order(tmp_path):
    """part9 before part10 and part11; the repeated boundary frame is dropped once."""
    run, paths = parts(tmp_path, [(0, 13), (12, 25), (25, 40)])
    for options in ({}, {"stride": 4}, {"begin": "10", "end": "30", "stride": 3}):
        (trajectory,) = open_trajectories(paths[::-1], ReadOptions(join=True, **options))
        begin, end = int(options.get("begin", 0)), int(options.get("end", 40))
        expected = run.xyz[begin : end : options.get("stride", 1)]
        for size in (1, 5, 100):
            assert np.array_equal(read_all(trajectory, size), expected)
        assert trajectory.dt.value == options.get("stride", 1)
        assert trajectory.segments.tolist() == [[0, len(expected)]]
        assert not trajectory.warnings
        assert trajectory.files[0].path == str(paths[0])
        assert sum(f.frames for f in trajectory.files) == len(expected)


def test_without_join_files_are_separate(tmp_path):
    """The same files without --join are three trajectories in the order given."""
    _, paths = parts(tmp_path, [(0, 13), (12, 25), (25, 40)])
    trajectories = open_trajectories(paths[::-1], ReadOptions())
    assert [t.n_frames for t in trajectories] == [15, 13, 13]
    assert [t.label for t in trajectories] == [str(p) for p in paths[::-1]]


@pytest.mark.parametrize(
    ("cuts", "word"), [([(20, 40), (0, 20)], "backwards"), ([(0, 10), (15, 40)], "gap")]
)
def test_joined_parts_that_do_not_follow_each_other(tmp_path, cuts, word):
    """Time that goes backwards or jumps is said, and no pair crosses there."""
    _, paths = parts(tmp_path, cuts)
    (trajectory,) = open_trajectories(paths, ReadOptions(join=True, stride=3))
    first = cuts[0][1] - cuts[0][0]
    assert any(word in w for w in trajectory.warnings)
    cut = -(-first // 3)
    assert trajectory.segments.tolist() == [[0, cut], [cut, trajectory.n_frames]]


def test_joined_arrays_drop_an_identical_boundary_frame(tmp_path):
    """Without time stamps the boundary is judged by its values."""
    data = np.random.default_rng(0).normal(size=(30, 2))
    np.save(tmp_path / "a1.npy", data[:11])
    np.save(tmp_path / "a2.npy", data[10:])
    (trajectory,) = open_trajectories(
        [tmp_path / "a1.npy", tmp_path / "a2.npy"], ReadOptions(join=True)
    )
    assert np.array_equal(read_all(trajectory, 7), data)


def test_overlapping_parts_are_used_once(tmp_path):
    """Parts that share several frames give the run itself, and the number of frames is said."""
    run, paths = parts(tmp_path, [(0, 15), (11, 25), (22, 40)])
    for options in ({}, {"stride": 3}, {"begin": "13", "end": "37"}):
        (trajectory,) = open_trajectories(paths, ReadOptions(join=True, **options))
        begin, end = int(options.get("begin", 0)), int(options.get("end", 40))
        expected = run.xyz[begin : end : options.get("stride", 1)]
        assert np.array_equal(read_all(trajectory, 4), expected)
        assert len(trajectory.segments) == 1
    four, three = trajectory.warnings
    assert "the first 4 frames of" in four
    assert "the first 3 frames of" in three


def test_overlapping_arrays_are_used_once(tmp_path):
    """Without time stamps the end of a part is looked for among the frames of the next."""
    data = np.random.default_rng(0).normal(size=(300, 2))
    np.save(tmp_path / "a1.npy", data[:111])
    np.save(tmp_path / "a2.npy", data[80:])
    (trajectory,) = open_trajectories(
        [tmp_path / "a1.npy", tmp_path / "a2.npy"], ReadOptions(join=True)
    )
    assert np.array_equal(read_all(trajectory, 7), data)
    assert any("first 31 frames" in w for w in trajectory.warnings)


def test_a_branch_of_a_run_is_not_its_continuation(tmp_path):
    """Frames of the same times but other values are kept, counted, and not paired across."""
    _, paths = parts(tmp_path, [(0, 20)])
    other = molecule(frames=40)[15:40]
    other.time = np.arange(15.0, 40.0)
    other.xyz += np.float32(0.01)
    write_h5(other, tmp_path / "part10.h5")
    (trajectory,) = open_trajectories([*paths, tmp_path / "part10.h5"], ReadOptions(join=True))
    assert any("(5 frames of other values" in w for w in trajectory.warnings)
    assert trajectory.segments.tolist() == [[0, 20], [20, 45]]


@pytest.mark.parametrize("inner", [(20, 30), (8, 15)])
def test_a_part_that_brings_nothing_is_refused(tmp_path, inner):
    """A part inside the one before it exits 3 and is named."""
    _, paths = parts(tmp_path, [(0, 30), inner])
    error = failure(*paths, join=True)
    assert error.code == 3
    assert "part10.h5 holds nothing but" in str(error)


def test_join_and_ensemble_exclude_each_other(tmp_path):
    """--join with --ensemble exits 2."""
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4)))
    assert failure(tmp_path / "a.npy", join=True, ensemble=True).code == 2


# ------------------------------------------------------------------ --begin and --end in time


STAMPED = np.arange(500.0, 520.0)


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({"begin": "505ps"}, range(5, 20)),
        ({"begin": "0.505ns", "end": "0.51ns"}, range(5, 10)),
        ({"begin": "504.5ps", "end": "507.5ps"}, range(5, 8)),
        ({"end": "503ps"}, range(3)),
        ({"begin": "500ps", "end": "1us"}, range(20)),
        ({"begin": "5", "end": "510ps"}, range(5, 10)),
        ({"begin": "505ps", "stride": 4}, range(5, 20, 4)),
        ({"begin": "5ps", "dt": "1ps"}, range(5, 20)),
    ],
)
def test_times_are_those_of_the_file(tmp_path, options, frames):
    """--begin and --end in time are time stamps of the file; --dt counts from its first frame."""
    path = with_times(tmp_path, STAMPED)
    _, values = read(path, **options)
    assert np.array_equal(values, molecule(frames=20).xyz[list(frames)])


def test_times_of_joined_parts_go_on(tmp_path):
    """The clock of a run goes on through its parts."""
    run, paths = parts(tmp_path, [(0, 13), (12, 25), (25, 40)])
    (trajectory,) = open_trajectories(paths, ReadOptions(join=True, begin="10ps", end="30ps"))
    assert np.array_equal(read_all(trajectory), run.xyz[10:30])


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        ({"begin": "600ps"}, 3, "stamps are 500 to 519 ps"),
        ({"end": "100ps"}, 3, "stamps are 500 to 519 ps"),
        ({"begin": "510.2ps", "end": "510.7ps"}, 3, "no frame from --begin 510.2ps"),
        ({"begin": "510ps", "end": "505ps"}, 2, "not before"),
        ({"begin": "-5ps"}, 2, "--begin"),
        ({"begin": "5 parsecs"}, 2, "unknown unit"),
    ],
)
def test_times_that_the_file_does_not_hold(tmp_path, options, code, says):
    """A range without a frame exits 3 and tells the file's own times; a senseless one 2."""
    error = failure(with_times(tmp_path, STAMPED), **options)
    assert (error.code, says in str(error)) == (code, True)


def test_a_begin_before_the_file_is_said(tmp_path):
    """--begin 5ps on a file that starts at 500 ps leaves nothing out, with a warning."""
    path = with_times(tmp_path, STAMPED)
    (trajectory,) = open_trajectories([path], ReadOptions(begin="5ps"))
    assert trajectory.n_frames == 20
    assert any("leaves nothing out" in w and "500 to 519 ps" in w for w in trajectory.warnings)
    (trajectory,) = open_trajectories([path], ReadOptions(begin="500ps"))
    assert not trajectory.warnings
