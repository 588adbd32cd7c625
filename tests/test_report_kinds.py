"""Every kind of figure on real runs: nothing outside, nothing overlapping, data as stored."""

from dataclasses import replace

import numpy as np
import pytest
import report_fixtures as made
from click.testing import CliRunner
from matplotlib.text import Text

from koopman_cli.api import FitOptions, fit
from koopman_cli.cli import koopman
from koopman_cli.cli.plot import _modes
from koopman_cli.errors import SupportError, UsageError
from koopman_cli.report.animation import oscillation
from koopman_cli.report.describe import CAPTIONS, TITLES, alt_text
from koopman_cli.report.drawing import LOOKS, style
from koopman_cli.report.figures import KINDS, draw, encode_figure, save_figures
from koopman_cli.report.molecules import drawn_bonds
from koopman_cli.report.run import open_run, write_run
from koopman_cli.types import CoherentSets, ReadOptions

MM = 1 / 25.4


def sets_of_points():
    """Two sets of points, half a plane each, that a flow turned by a right angle."""
    start = np.random.default_rng(0).uniform(-100, 100, (500, 2))
    right = (start[:, 0] > 0).astype(float)
    members = np.stack([right, 1 - right], axis=1)
    shares = (right.mean(), 1 - right.mean())
    end = start[:, ::-1] * (1, -1)
    return CoherentSets(2, shares, (1.0, 1.0), ("x (km)", "y (km)"), start, end, members, members)


@pytest.fixture(scope="module")
def runs():
    """Fits of the sample data: molecule, four wells, the same as arrays, flow, climate; sets."""
    ala2 = ["sample_data/ala2/run1.h5", "sample_data/ala2/run2.h5"]
    prinz = FitOptions(model="edmd", settings={"basis": "gaussians"})
    enso = ReadOptions(anomaly="cycle:12", detrend="linear")
    return {
        "ala2": fit(ala2, FitOptions()),
        "prinz": fit(
            ["sample_data/prinz/prinz.npy"], prinz, read=ReadOptions(ensemble=True, dt="0.05")
        ),
        "sets": made.result(coherent=sets_of_points()),
        "array": fit(list(np.load("sample_data/prinz/prinz.npy")), FitOptions(lag="2", dim="1")),
        "wake": fit(["sample_data/wake/wake.npz"]),
        "enso": fit(
            ["sample_data/enso/sst.nc"],
            FitOptions(lag="3months", settings={"rank": 10}),
            read=enso,
        ),
    }


EXPECTED = {
    "ala2": {"network", "ck", "structures", "features", "residuals", "states", "free-energy"},
    "prinz": {"network", "ck", "features", "residuals", "states", "eigenfunctions", "score"},
    "sets": {"coherent-sets", "timescales", "score"},
    "array": {"spectrum", "coordinates", "features", "free-energy"},
    "wake": {"modes", "reconstruction", "singular-values", "forecast", "coordinates", "residuals"},
    "enso": {"modes", "reconstruction", "singular-values", "forecast", "coordinates", "residuals"},
}


def drawn_texts(figure):
    """Extent and words of every text that is really drawn: no stale ticks, no hidden axes."""
    figure.canvas.draw()
    never = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            shown = {id(tick.label1) for tick in axis._update_ticks()} if axes.axison else set()
            every = [*axis.majorTicks, *axis.minorTicks]
            never |= {id(tick.label1) for tick in every} - shown
            never |= {id(tick.label2) for tick in every}
    texts = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    found = [(t.get_window_extent(), t.get_text()) for t in texts if id(t) not in never]
    return [(box, text) for box, text in found if box.width > 0 and box.height > 0]


def test_every_kind_is_drawn_here(runs):
    """The runs of this file together have data for every kind of figure there is."""
    drawn = {kind for run in runs.values() for kind in KINDS if draw(run, kind) is not None}
    assert drawn == set(KINDS)


@pytest.mark.parametrize("name", list(EXPECTED))
@pytest.mark.parametrize(
    ("look", "width"), [("paper", 85), ("dark", 85), ("paper", 170), ("slides", 130)]
)
def test_no_text_is_cut_or_overlaps(runs, name, look, width):
    """At one column, two and on a slide every text lies inside the figure and on no other."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    for kind in KINDS:
        figure = draw(runs[name], kind, width_mm=width, look=look)
        if figure is None:
            assert kind not in EXPECTED[name], kind
            continue
        FigureCanvasAgg(figure)
        with style(look):
            texts = drawn_texts(figure)
        frame = figure.bbox
        for box, text in texts:
            assert box.x0 >= frame.x0 - 1.5, (kind, text)
            assert box.x1 <= frame.x1 + 1.5, (kind, text)
            assert box.y0 >= frame.y0 - 1.5, (kind, text)
            assert box.y1 <= frame.y1 + 1.5, (kind, text)
        for i, (box, text) in enumerate(texts):
            for other, said in texts[:i]:
                wide = min(box.x1, other.x1) - max(box.x0, other.x0)
                high = min(box.y1, other.y1) - max(box.y0, other.y0)
                assert wide <= 1.5 or high <= 1.5, (kind, text, said)


@pytest.mark.parametrize("name", list(EXPECTED))
def test_every_figure_has_words(runs, name, tmp_path):
    """Alternative texts carry numbers, stand in the file, and every kind has a caption."""
    assert set(TITLES) == set(CAPTIONS) == set(KINDS)
    for kind in EXPECTED[name]:
        assert len(alt_text(runs[name], kind)) > 25, kind
    (path,) = save_figures(runs[name], ["spectrum"], tmp_path)
    from PIL import Image

    assert Image.open(path).text["Description"] == alt_text(runs[name], "spectrum")


def test_bars_are_the_stored_correlations(runs):
    """The longest bar of mode 1 is phi, as long as its stored correlation; hollow is unstable."""
    result = runs["ala2"]
    axes = draw(result, "features").axes[0]
    found = result.correlations
    widths = [bar.get_width() for bar in axes.patches]
    assert widths[0] == pytest.approx(np.abs(found.values[:, 0]).max())
    assert axes.get_yticklabels()[0].get_text() == "phi ALA2"
    assert widths == sorted(widths, key=abs, reverse=True)


def test_network_shows_the_ways_there_are(runs):
    """A chain of four wells has three ways there and back, with their passage times."""
    figure = draw(runs["prinz"], "network")
    from matplotlib.patches import Circle, FancyArrowPatch

    assert len(figure.findobj(FancyArrowPatch)) == 6
    assert len(figure.findobj(Circle)) == 4
    texts = {t.get_text() for t in figure.findobj(Text)}
    assert {"24%", "17.1%"} <= texts or sum(t.endswith("%") for t in texts) >= 3


def test_a_single_input_is_a_curve(runs):
    """With one input the slow functions are curves over it, with the sign changes of the wells."""
    upper, lower = draw(runs["prinz"], "eigenfunctions").axes
    assert lower.get_xlabel() == "x1"
    curves = [line.get_ydata() for line in lower.lines[:3]]
    assert np.nanmin(upper.lines[0].get_ydata()) == 0
    changes = [int(np.sum(np.diff(np.sign(c[np.isfinite(c)])) != 0)) for c in curves]
    assert changes[0] == 1


def test_a_flow_has_no_free_energy(runs):
    """Figures without meaning for a flow are absent: free energy, slow functions, states."""
    for kind in ("free-energy", "eigenfunctions", "states", "network", "features", "ck"):
        assert draw(runs["wake"], kind) is None, kind


def test_some_modes_only(runs):
    """--mode 2 draws mode 2 alone, wherever modes are drawn."""
    labels = {a.get_ylabel() for a in draw(runs["ala2"], "coordinates", modes=[2]).axes}
    assert labels == {"mode 2"}
    titles = [a.get_title(loc="left") for a in draw(runs["wake"], "modes", modes=[4]).axes]
    assert sum(t.startswith("Mode 4") for t in titles) == 1
    assert sum(t.startswith("Mode") for t in titles) == 1
    assert len(draw(runs["ala2"], "features", modes=[1]).axes) == 1
    assert draw(runs["ala2"], "features", modes=[99]) is None


def test_film_is_one_period(runs):
    """The film of the wake loops for ever, is small, and its last picture meets its first."""
    import io

    from PIL import Image

    content = oscillation(runs["wake"])
    assert content == oscillation(runs["wake"])
    assert len(content) < 2**20
    film = Image.open(io.BytesIO(content))
    assert film.info["loop"] == 0
    pictures = []
    for k in range(film.n_frames):
        film.seek(k)
        pictures.append(np.asarray(film.convert("RGB")).astype(int))
    steps = [
        np.abs(a - b).mean() for a, b in zip(pictures, [*pictures[1:], pictures[0]], strict=True)
    ]
    assert max(steps) < 1.5 * min(steps)
    assert oscillation(made.result()) is None


def test_styles(runs):
    """Slides have larger type at the same width; dark has light ink on a dark ground."""
    paper, slides, dark = (
        draw(runs["ala2"], "score", width_mm=130, look=look) for look in ("paper", "slides", "dark")
    )
    size = [f.axes[0].xaxis.label.get_fontsize() for f in (paper, slides)]
    assert size[1] == pytest.approx(1.4 * size[0])
    assert slides.get_size_inches()[0] == pytest.approx(130 * MM)
    assert dark.axes[0].xaxis.label.get_color() == LOOKS["dark"].ink
    assert paper.axes[0].xaxis.label.get_color() == LOOKS["paper"].ink
    with pytest.raises(UsageError, match="style"):
        draw(runs["ala2"], "score", look="drak")
    svg = encode_figure(dark, "svg", look="dark").decode()
    assert LOOKS["dark"].paper in svg


@pytest.mark.parametrize(
    ("text", "modes"), [("2", (2,)), ("1:3", (1, 2, 3)), ("1,3", (1, 3)), ("2:3,1", (2, 3, 1))]
)
def test_modes_are_ranges_with_their_end(text, modes):
    """A range includes its end, as everywhere."""
    assert _modes(text) == modes


@pytest.mark.parametrize("text", ["0", "a", "3:1", "", "-1", "1:"])
def test_modes_that_are_none(text):
    """What names no mode is a usage error."""
    with pytest.raises(UsageError):
        _modes(text)


def test_plot_verb(runs, tmp_path):
    """Styles, widths, formats and modes reach the files; aliases work; absent data exit 4."""
    run = open_run(write_run(runs["ala2"], tmp_path / "r", figures=False))
    options = ["--format", "svg,pdf", "--width", "100mm", "--style", "dark", "--mode", "1"]
    args = ["plot", str(run.path), "scores", "features", *options, "-o", str(tmp_path / "f")]
    done = CliRunner().invoke(koopman, args)
    assert done.exit_code == 0, done.output
    names = {p.name for p in (tmp_path / "f").iterdir()}
    assert names == {"score.svg", "score.pdf", "features.svg", "features.pdf"}
    text = (tmp_path / "f" / "features.svg").read_text()
    assert ">phi ALA2<" in text
    assert ">mode 2<" not in text
    missing = CliRunner().invoke(koopman, ["plot", str(run.path), "forecast"])
    assert isinstance(missing.exception, SupportError)


def test_nothing_stored_nothing_drawn():
    """A result without correlations, states or structures has none of these figures."""
    bare = made.result(correlations=None, states=None, structures=None)
    for kind in ("features", "states", "network", "ck", "structures"):
        assert draw(bare, kind) is None
    none = replace(bare, modes=tuple(replace(m, residual=None) for m in bare.modes))
    assert draw(none, "residuals") is None


def test_large_molecules_are_a_trace(runs):
    """Above 400 atoms the flat picture joins neighbouring CA of one chain, and nothing else."""
    small = runs["ala2"].structures
    assert drawn_bonds(small) is small.bonds
    residues = 200
    large = replace(
        small,
        atoms=("N", "CA", "C") * residues,
        residue_numbers=np.repeat(np.arange(residues) + (np.arange(residues) >= 50) * 9, 3),
        chains=np.repeat((np.arange(residues) >= 120).astype(int), 3),
    )
    pairs = drawn_bonds(large)
    assert len(pairs) == residues - 1 - 2
    assert set(np.unique(pairs % 3)) == {1}
    assert [49 * 3 + 1, 50 * 3 + 1] not in pairs.tolist()


def test_dollars_are_no_formulas(tmp_path):
    """Names with dollars, braces and underscores are drawn as they are."""
    odd = r"a$b_{$"
    x = np.random.default_rng(0).standard_normal((3000, 2)).cumsum(axis=0) * 0.01
    np.savetxt(tmp_path / "x.csv", x, delimiter=",", header=f"{odd},c$d$", comments="")
    result = fit([tmp_path / "x.csv"], FitOptions(model="tica", lag="1", dim="1"))
    assert odd in result.projection.input_names
    for kind in ("features", "eigenfunctions", "free-energy"):
        figure = draw(result, kind)
        encode_figure(figure, "png")
        texts = {t.get_text().replace("\\$", "$") for t in figure.findobj(Text)}
        assert odd in texts, kind
