"""Figures: drawn from what there is, readable in a column, the same bytes every time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import report_fixtures as made
from matplotlib.colors import TwoSlopeNorm

from koopman_cli import FitOptions, fit
from koopman_cli.errors import FileError, UsageError
from koopman_cli.report.drawing import style
from koopman_cli.report.figures import KINDS, draw, save_figures
from koopman_cli.report.lines import coordinates
from koopman_cli.report.maps import torsion_pair
from koopman_cli.report.run import open_run, write_run
from koopman_cli.types import LagScan, Mode, Projection, TimeStep

MM = 1 / 25.4

#: Kinds that every made-up result has data for; the others have tests of their own.
PLAIN = [
    *("spectrum", "timescales", "score", "residuals", "eigenfunctions", "free-energy"),
    "coordinates",
]


def text_of(figure):
    """Every visible text in a figure."""
    from matplotlib.text import Text

    return {t.get_text() for t in figure.findobj(Text) if t.get_visible() and t.get_text()}


def maps_of(figure):
    """The colour meshes of a figure in the order they were drawn, colour bars left out."""
    panels = [axes for axes in figure.axes if not hasattr(axes, "_colorbar")]
    return [axes.collections[0] for axes in panels]


# ------------------------------------------------------------------ what is drawn


@pytest.mark.parametrize("kind", PLAIN)
def test_every_kind_fits_a_column(kind):
    """All six kinds: 85 mm wide, type of 6 to 8 points, axes labelled, nothing outside."""
    figure = draw(made.result(), kind)
    assert figure.get_size_inches()[0] == pytest.approx(85 * MM)
    assert figure.get_size_inches()[1] < 240 * MM
    figure.draw_without_rendering()
    frame = figure.bbox
    for text in [a.xaxis.label for a in figure.axes] + [a.yaxis.label for a in figure.axes]:
        if not text.get_text():
            continue
        assert 6 <= text.get_fontsize() <= 8
        box = text.get_window_extent()
        assert box.x0 >= frame.x0 - 1, text
        assert box.y0 >= frame.y0 - 1, text
        assert box.x1 <= frame.x1 + 1, text
        assert box.y1 <= frame.y1 + 1, text
    assert any(a.get_xlabel() for a in figure.axes)
    assert any(a.get_ylabel() for a in figure.axes)


def test_axes_name_their_units():
    """Times carry the unit of the data, energies kT, torsions degrees and residue."""
    result = made.result()
    assert {"lag τ (ps)", "implied timescale (ps)"} <= text_of(draw(result, "timescales"))
    assert "time (ps, trajectories in turn)" in text_of(draw(result, "coordinates"))
    maps = text_of(draw(result, "eigenfunctions"))
    assert {"φ ALA2 (deg)", "ψ ALA2 (deg)", "free energy (kT)", "mode 1", "mode 2"} <= maps


def test_long_times_get_a_readable_unit():
    """1.98 us in ps is shown in another unit; without a time step times are in frames."""
    slow = replace(made.model(), dt=TimeStep(1000.0, "ps"))
    assert "time (µs, trajectories in turn)" in text_of(
        draw(replace(made.result(), model=slow), "coordinates")
    )
    assert "time (frames, trajectories in turn)" in text_of(
        draw(made.complex_result(), "coordinates")
    )


def test_no_data_no_figure(tmp_path):
    """A figure without data is absent: None, and no file."""
    bare = made.result(lag_scan=None, dim_choice=None, projection=None, modes=())
    assert all(draw(bare, kind) is None for kind in KINDS)
    assert save_figures(bare, None, tmp_path) == ()
    assert not list(tmp_path.iterdir())
    empty = LagScan((1, 2), np.full((2, 3), np.nan), 1, False, "")
    assert draw(made.result(lag_scan=empty), "timescales") is None


def test_spectrum_real_or_complex():
    """Real eigenvalues are stems; one complex pair brings the complex plane with its circle."""
    real = draw(made.result(), "spectrum").axes[0]
    assert (real.get_xlabel(), real.get_ylabel()) == ("mode", "eigenvalue λ")
    plane = draw(made.complex_result(), "spectrum").axes[0]
    assert (plane.get_xlabel(), plane.get_ylabel()) == ("Re λ", "Im λ")
    circle = plane.lines[0].get_xydata()
    np.testing.assert_allclose(np.hypot(*circle.T), 1.0)
    svd = made.result(modes=(Mode(1, None, singular_value=0.75),))
    assert draw(svd, "spectrum").axes[0].get_ylabel() == "coherence σ"


def test_residuals_of_zero_have_a_scale():
    """Where no residual is told from 0 the axis runs to 1 and says so; one that is sets it."""
    none = made.result(modes=tuple(replace(mode, residual=0.0) for mode in made.result().modes))
    figure = draw(none, "residuals")
    low, high = figure.axes[-1].get_ylim()
    assert -0.1 < low < 0
    assert high == 1.0
    assert "no residual is told from 0" in text_of(figure)
    axes = draw(made.result(), "residuals").axes[-1]
    assert axes.get_ylim()[1] == pytest.approx(1.15 * 0.02)
    assert "no residual is told from 0" not in text_of(axes.figure)


def test_open_markers_lie_beyond_dim():
    """Wherever the legend says that open markers lie beyond dim, exactly those are open."""
    from matplotlib.colors import same_color

    for kind in ("spectrum", "residuals"):
        modes = [replace(mode, residual=0.02) for mode in made.result().modes]
        figure = draw(made.result(modes=tuple(modes)), kind)
        for axes in figure.axes:
            points = [line for line in axes.lines if line.get_marker() in ("o", "s", "X")]
            assert points
            for point in points:
                open_ = same_color(point.get_markerfacecolor(), "white")
                assert open_ == (point.get_xdata()[0] > made.model().dim), (kind, point)


def test_timescales_are_those_of_the_scan():
    """Plotted points are the scan's, in time; undefined ones are gaps; the lag is marked."""
    axes = draw(made.result(), "timescales").axes[0]
    scan = made.lag_scan()
    for i in range(3):
        np.testing.assert_array_equal(axes.lines[i].get_xdata(), scan.lags)
        np.testing.assert_array_equal(axes.lines[i].get_ydata(), scan.timescales[:, i])
    assert "τ = 5 ps, not converged" in [line.get_label() for line in axes.lines]


def test_maps_show_means_and_free_energy():
    """Each bin is the mean of the slow function there; the energy is -ln p from its minimum."""
    result = made.result()
    figure = draw(result, "eigenfunctions")
    energy, _, mode, *_ = maps_of(figure)
    projection = result.projection
    phi, psi = np.rad2deg(projection.torsions).T
    n = energy.get_array().shape[0]
    edges = np.linspace(-180, 180, n + 1)
    counts, _, _ = np.histogram2d(phi, psi, bins=(edges, edges))
    sums, _, _ = np.histogram2d(phi, psi, bins=(edges, edges), weights=projection.values[:, 0])
    seen = counts.T > 0
    np.testing.assert_array_equal(~np.ma.getmaskarray(energy.get_array()), seen)
    expected = -np.log(counts.T[seen] / counts.max())
    np.testing.assert_allclose(energy.get_array()[seen], expected)
    np.testing.assert_allclose(mode.get_array()[seen], sums.T[seen] / counts.T[seen])


def test_the_sign_of_a_rare_state_shows():
    """White is exactly zero and both signs reach full colour, even for -4 against +0.3."""
    figure = draw(made.result(), "eigenfunctions")
    norm = maps_of(figure)[2].norm
    assert isinstance(norm, TwoSlopeNorm)
    assert norm(0.0) == 0.5
    assert norm.vmin < 0 < norm.vmax


def test_without_torsions_maps_are_over_modes():
    """Arrays: the planes are the first two slow coordinates; a single one gives a profile."""
    result = made.complex_result()
    assert {"Re mode 1", "Im mode 1"} <= text_of(draw(result, "eigenfunctions"))
    one = replace(result, projection=replace(made.projection(k=1), torsions=None))
    assert draw(one, "eigenfunctions") is None
    profile = draw(one, "free-energy").axes[0]
    assert (profile.get_xlabel(), profile.get_ylabel()) == ("mode 1", "−ln p")
    assert np.nanmin(profile.lines[0].get_ydata()) == 0.0


def test_first_complete_pair_of_torsions():
    """The first phi with a psi of its own residue is shown, wherever they stand."""
    empty = np.zeros(0, int)
    names = ("phi GLY1", "psi ALA2", "phi ALA2", "psi GLY3")
    projection = Projection(empty, empty, np.zeros((0, 1)), np.zeros((0, 4)), names)
    assert torsion_pair(projection) == (2, 1)
    assert torsion_pair(replace(projection, torsion_names=("chi1 A", "x", "y", "z"))) is None


def test_trajectories_stand_one_after_another():
    """Time runs on from trajectory to trajectory, with a line at each border."""
    axes = draw(made.result(), "coordinates").axes[0]
    at = axes.lines[0].get_xdata()
    assert (np.diff(at) > 0).all()
    assert at[-1] == 199 * 10 + 199 * 10 + 1
    assert [line.get_xdata()[0] for line in axes.lines[1:]] == [1991.0]


def test_scores_are_those_of_the_choice():
    """Held-out means and errors as stored, training beside them, the chosen dim marked."""
    axes = draw(made.result(), "score").axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [1.0, 1.74, 1.9, 1.91])
    np.testing.assert_allclose(axes.containers[0].lines[0].get_ydata(), [1.0, 1.7, 1.84, 1.83])
    assert [line.get_xdata()[0] for line in axes.lines if line.get_label() == "chosen"] == [2]


def _only(frames):
    """The first few frames of the fixtures' projection."""
    p = made.projection()
    parts = (p.trajectory, p.frame, p.values, p.torsions)
    return Projection(*(part[:frames] for part in parts), p.torsion_names)


@pytest.mark.parametrize(
    "projection",
    [
        _only(1),
        _only(2),
        replace(made.projection(50), values=np.zeros((50, 3))),
        replace(made.projection(50), torsions=np.zeros((50, 2))),
    ],
    ids=["one frame", "two frames", "constant", "frozen torsions"],
)
@pytest.mark.filterwarnings("error")
def test_poor_projections(projection, tmp_path):
    """One frame, constants, frozen torsions: figures or none, but no warning and no crash."""
    result = made.result(projection=projection)
    kinds = ["eigenfunctions", "free-energy", "coordinates"]
    paths = save_figures(result, kinds, tmp_path)
    assert {path.stem for path in paths} <= set(kinds)
    assert all(path.stat().st_size > 1000 for path in paths)


# ------------------------------------------------------------------ files


def test_same_bytes_every_time(tmp_path):
    """png, pdf and svg carry no date, no version and no random name."""
    for name in ("a", "b"):
        save_figures(made.result(), None, tmp_path / name, formats=("png", "pdf", "svg"))
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert len(files) == 3 * len(PLAIN)
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_text_stays_text(tmp_path):
    """Labels can be searched and edited: <text> in svg, TrueType in pdf."""
    kinds = ["timescales", "eigenfunctions"]
    save_figures(made.result(), kinds, tmp_path, formats=("svg", "pdf"))
    svg = (tmp_path / "timescales.svg").read_text()
    assert "implied timescale (ps)" in svg
    assert "mode 1" in (tmp_path / "eigenfunctions.svg").read_text()
    assert b"/FontFile2" in (tmp_path / "timescales.pdf").read_bytes()
    assert b"/Type3" not in (tmp_path / "timescales.pdf").read_bytes()


def test_from_a_run(tmp_path):
    """Figures of a RUN read back are those of the fresh result, byte for byte."""
    run = open_run(write_run(made.result(), tmp_path / "a"))
    written = save_figures(run, None, tmp_path / "again")
    assert [p.stem for p in written] == PLAIN
    for path in written:
        assert path.read_bytes() == (run.path / "figures" / path.name).read_bytes()


def test_width(tmp_path):
    """Figures can be made for two columns; a stamp is refused."""
    for kind in PLAIN:
        assert draw(made.result(), kind, width_mm=170).get_size_inches()[0] == pytest.approx(
            170 * MM
        )
    with pytest.raises(UsageError, match="10 mm"):
        save_figures(made.result(), None, tmp_path, width_mm=10)


def test_unknown_names(tmp_path):
    """A misspelt kind or format is a usage error with the nearest name; nothing is written."""
    with pytest.raises(UsageError, match="'spectrm'") as caught:
        save_figures(made.result(), ["spectrm"], tmp_path / "a")
    assert "spectrum" in caught.value.hint
    with pytest.raises(UsageError, match="'gif'"):
        save_figures(made.result(), None, tmp_path / "a", formats=("gif",))
    assert not (tmp_path / "a").exists()


def test_a_file_in_the_way(tmp_path):
    """An output directory that is a file is a file error."""
    (tmp_path / "f").write_text("")
    with pytest.raises(FileError):
        save_figures(made.result(), ["spectrum"], tmp_path / "f")


def test_a_users_style_does_not_leak():
    """Settings of the caller's matplotlib neither change figures nor are changed by them."""
    import matplotlib as mpl

    with mpl.rc_context({"font.size": 20, "axes.grid": True}):
        figure = draw(made.result(), "score")
        assert mpl.rcParams["font.size"] == 20
        assert figure.axes[0].xaxis.label.get_fontsize() == 7.5


def test_imports_are_late():
    """Text, JSON and RUN handling do not import matplotlib; figures never import pyplot."""
    script = (
        "import sys, koopman_cli.report.run, koopman_cli.report.text\n"
        "assert 'matplotlib' not in sys.modules and 'h5py' not in sys.modules\n"
        "import koopman_cli.report.figures\n"
        "assert 'matplotlib' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=120)
    assert done.returncode == 0


def ensemble(members=24, frames=50):
    """A result of an ensemble: the members one after another in one file."""
    rng = np.random.default_rng(0)
    frame = np.arange(members * frames)
    projection = Projection(
        trajectory=np.zeros_like(frame),
        frame=frame,
        values=rng.standard_normal((len(frame), 3)),
        begins=frame // frames * frames,
    )
    read = {"read": {"ensemble": True}}
    return replace(made.result(), projection=projection, config=read)


def test_members_of_an_ensemble_start_together():
    """Each member is a curve of its own from 0 on; the axis ends where the longest does."""
    with style():
        figure = coordinates(ensemble())
    top = figure.axes[0]
    assert len(top.lines) == 6
    assert all(line.get_xdata()[0] == 0 and len(line.get_xdata()) == 50 for line in top.lines)
    assert "6 of 24 members" in figure.axes[-1].get_xlabel()
    assert figure.axes[-1].get_xlim()[1] == pytest.approx(49)


def test_stretches_of_a_run_stay_on_its_axis():
    """A run that dropped frames cut into stretches is no ensemble: one axis, as it was."""
    with style():
        figure = coordinates(replace(ensemble(), config={}))
    assert len(figure.axes[0].lines) == 1


def test_a_steady_mode_looks_steady():
    """The mean of a noisy flow, constant but for 1e-5, is a line across a panel that holds 0; the
    oscillation beside it fills its own.
    """
    t, rng = np.arange(300)[:, None], np.random.default_rng(0)
    flow = 5 + np.cos(0.3 * t - np.arange(8)) + 1e-3 * rng.standard_normal((300, 8))
    options = FitOptions(model="dmd", lag="1", settings={"rank": 3, "center": False})
    found = fit(flow, options)
    values = found.projection.values
    (still,) = (j for j in range(3) if np.ptp(values[:, j]) < 0.01 * np.abs(values[:, j]).max())
    assert np.ptp(values[:, still]) > 1e-5
    figure = coordinates(found)
    steady = figure.axes[0] if still == 0 else figure.axes[-1]
    (line,) = steady.lines
    low, high = steady.get_ylim()
    assert low <= 0 <= high
    assert np.ptp(line.get_ydata()) < 0.01 * (high - low)
    others = [axes for axes in figure.axes if axes is not steady]
    assert all(np.ptp(a.lines[0].get_ydata()) > 0.5 * np.ptp(a.get_ylim()) for a in others)
