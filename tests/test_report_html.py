"""report.html: one file, nothing loaded, numbers of summary.json, input escaped."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import report_fixtures as made
from click.testing import CliRunner
from scipy.signal import lfilter

from koopman_cli.api import FitOptions, fit
from koopman_cli.bibliography import BIBLIOGRAPHY
from koopman_cli.cli import koopman
from koopman_cli.errors import UsageError
from koopman_cli.models import MODELS
from koopman_cli.models.citations import CITATIONS
from koopman_cli.report.advice import ADVICE, explain
from koopman_cli.report.figures import page_pictures
from koopman_cli.report.methods import methods
from koopman_cli.report.page import page
from koopman_cli.report.run import open_run, write_run
from koopman_cli.report.words import help_section, summary_sentences
from koopman_cli.report.written import write_comparison, write_report
from koopman_cli.types import Gap

ALA2 = ["sample_data/ala2/run1.h5", "sample_data/ala2/run2.h5"]


class Reader(HTMLParser):
    """Text, tags with attributes, and the ``data`` elements of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tags, self.data, self.texts, self._inside = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "data":
            self.data.append(dict(attrs))

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, text):
        if self._inside not in ("script", "style"):
            self.texts.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def at(document, key):
    """What stands in summary.json at a place such as modes.0.timescale.value."""
    for part in key.split("."):
        document = document[int(part)] if isinstance(document, list) else document[part]
    return document


@pytest.fixture(scope="module")
def ala2(tmp_path_factory):
    """A RUN of the sample data with states and structures."""
    out = tmp_path_factory.mktemp("run") / "ala2.koopman"
    result = fit(ALA2, FitOptions(lag="1", dim="2"), command="koopman fit run1.h5 run2.h5")
    return open_run(write_run(result, out))


def wave_file(folder):
    """A wave that travels over a small grid, with a little noise and a masked corner."""
    time, y, x = np.meshgrid(
        np.arange(120), np.linspace(0, 1, 9), np.linspace(0, 3, 20), indexing="ij"
    )
    noise = np.random.default_rng(0).standard_normal(time.shape)
    u = np.sin(3 * x - 0.4 * time) * np.cos(2 * y) + 0.3 + 0.01 * noise
    u[:, :2, :2] = np.nan
    np.savez(folder / "wave.npz", u=u, x=x[0, 0], y=y[0, :, 0])
    return folder / "wave.npz"


@pytest.fixture(scope="module")
def wave(tmp_path_factory):
    """A RUN of a field."""
    folder = tmp_path_factory.mktemp("run")
    return open_run(write_run(fit([wave_file(folder)]), folder / "wave.koopman"))


def read(run):
    """The page of a RUN."""
    return Reader((run.path / "report.html").read_text("utf-8"))


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize("name", ["ala2", "wave"])
def test_numbers_are_those_of_the_summary(name, request):
    """Every number in a table is, in full, what summary.json has at the place it names."""
    run = request.getfixturevalue(name)
    document = json.loads((run.path / "summary.json").read_text("utf-8"))
    data = read(run).data
    assert len(data) > 30
    for element in data:
        assert json.loads(element["value"]) == at(document, element["data-key"]), element
    shown = {element["data-key"] for element in data}
    needed = {"input.frames", "model.dim", "score.vampe.test", "modes.0.index"}
    assert needed <= shown


def test_all_that_is_asked_for_is_shown(ala2):
    """Modes, gap, states, rates and the test of an MD run have their numbers in the page."""
    page_read, result = read(ala2), ala2.result
    shown = {element["data-key"] for element in page_read.data}
    for i in range(2):
        assert {f"modes.{i}.timescale.{end}" for end in ("value", "low", "high")} <= shown
        assert f"modes.{i}.certificate.low" in shown
        assert f"modes.{i}.certificate.guaranteed.high" in shown
        assert f"states.populations.hard.{i}.value" in shown
    assert {"gap.ratio.low", "states.mfpt.0.1.value", "states.chapman_kolmogorov.p"} <= shown
    text = page_read.text
    assert "guaranteed: at 95%, whatever its sampling error" in text
    for path, sha, _ in result.input.files:
        assert path in text
        assert sha in text
    assert "koopman fit run1.h5 run2.h5" in text
    assert result.provenance["versions"]["numpy"] in text
    kinds = {a["id"] for t, a in page_read.tags if t == "figure" and "id" in a}
    wanted = ("spectrum", "eigenfunctions", "free-energy", "states", "network", "ck", "features")
    assert {f"figure-{k}" for k in wanted} <= kinds
    assert "phi ALA2" in text


def test_a_field_has_its_film(wave):
    """Modes as maps, the looping film and the error against rank are in the page of a field."""
    page_read = read(wave)
    images = [a for t, a in page_read.tags if t == "img"]
    assert sum(a["src"].startswith("data:image/gif") for a in images) == 1
    kinds = {a.get("id") for t, a in page_read.tags if t == "figure"}
    assert {"figure-modes", "figure-oscillation", "figure-singular-values"} <= kinds
    assert "figure-eigenfunctions" not in kinds


# ------------------------------------------------------------------ one file


@pytest.mark.parametrize("name", ["ala2", "wave"])
def test_nothing_is_loaded(name, request):
    """No address but ``data:`` and places in the page; every picture has a text; a few MB."""
    run = request.getfixturevalue(name)
    page_read = read(run)
    for tag, attributes in page_read.tags:
        for key in ("src", "href", "srcset", "action"):
            assert attributes.get(key, "#").startswith(("data:", "#")), (tag, attributes)
    images = [a for t, a in page_read.tags if t == "img"]
    assert images
    assert all(len(a["alt"]) > 20 for a in images)
    policy = [a["content"] for t, a in page_read.tags if a.get("http-equiv")]
    assert policy[0].startswith("default-src 'none'")
    assert (run.path / "report.html").stat().st_size < 4 * 2**20


def test_input_is_escaped(tmp_path):
    """Names of files, features and residues that look like HTML are shown as they are."""
    bad = '<script>alert("x")</script>'
    base = made.result()
    files = ((f"{bad}.npy", "ab" * 32, 99000),)
    spec = replace(base.model.features, text=f"torsions {bad}", names=(bad, "b", "c", "d"))
    projection = replace(base.projection, torsion_names=(f"phi {bad}", f"psi {bad}"))
    result = made.result(
        input=replace(base.input, files=files),
        model=replace(base.model, features=spec, dropped=(bad,)),
        projection=projection,
        notes=(bad,),
        warnings=(bad, f"{bad} was cut"),
        provenance={"command": f"koopman fit {bad}", "versions": {bad: "1"}},
        config={"paths": [bad]},
    )
    text = page(result, page_pictures(result)).decode()
    assert bad not in text
    page_read = Reader(text)
    assert page_read.text.count(bad) >= 7
    assert sum(t == "script" for t, _ in page_read.tags) == 1


def test_a_file_named_script_does_nothing(tmp_path, monkeypatch):
    """A fit of <script>.npy writes a page with one script of its own, and shows the name."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).standard_normal((4000, 2))
    np.save("<script>.npy", lfilter([1], [1, -0.9], noise, axis=0))
    done = CliRunner().invoke(
        koopman, ["fit", "<script>.npy", "--lag", "2", "--dim", "1", "-o", "r"]
    )
    assert done.exit_code in (0, 4), done.output
    text = (tmp_path / "r" / "report.html").read_text("utf-8")
    page_read = Reader(text)
    assert sum(t == "script" for t, _ in page_read.tags) == 1
    assert "<script>.npy" in page_read.text
    assert "&lt;script&gt;.npy" in text


def test_file_names_that_are_no_text(tmp_path):
    """A name with a byte that is no UTF-8 is written escaped, and the page stays UTF-8."""
    base = made.result()
    odd = made.result(input=replace(base.input, files=(("a\udcff.xtc", "ab" * 32, 99000),)))
    assert b"a\\udcff.xtc" in page(odd, {})


def test_same_bytes_every_time(tmp_path):
    """The same result gives the same page and the same figures, byte for byte."""
    for name in ("a", "b"):
        write_run(made.result(), tmp_path / name)
    files = sorted(
        p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()
    )
    assert any(p.name == "report.html" for p in files)
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_two_fits_give_the_same_figures(tmp_path):
    """The same data fitted twice: every figure file is the same, films included."""
    file = wave_file(tmp_path)
    for name in ("a", "b"):
        write_run(fit([file]), tmp_path / name)
    files = sorted((tmp_path / "a" / "figures").iterdir())
    assert {"modes.png", "oscillation.gif"} <= {p.name for p in files}
    for file in files:
        assert file.read_bytes() == (tmp_path / "b" / "figures" / file.name).read_bytes(), file


# ------------------------------------------------------------------ words


def test_summary_in_words(ala2):
    """Counts in words, the slowest timescale, the gap and the states, with their intervals."""
    told = " ".join(summary_sentences(ala2.result))
    assert re.search(
        r"Two slow modes resolved; the slowest takes [\d.]+ \[[\d.]+, [\d.]+\] ps", told
    )
    assert re.search(
        r"the gap after mode 1 is [\d.]+ \[[\d.]+, [\d.]+\]; two metastable states", told
    )
    assert "VAMP-E" in told


def test_no_slow_mode_has_help():
    """White noise: the page says so first, why that happens, and what to type next."""
    noise = np.random.default_rng(1).standard_normal((5000, 3))
    result = fit(noise, FitOptions(model="tica", lag="5", dim="2"))
    assert not result.slow
    page_read = Reader(page(result, page_pictures(result)).decode())
    assert any(a.get("id") == "help" for _, a in page_read.tags)
    assert "No slow mode was found in these features" in page_read.text
    assert "koopman timescales" in page_read.text
    assert "koopman vamp-score" in page_read.text


def test_no_gap_has_help():
    """Without a spectral gap the page explains what that means and offers a number of states."""
    result = made.result(gap=Gap(None, None, resolved=False, reason="the ratios are below 2.5"))
    section = help_section(result)
    assert section.title == "No spectral gap"
    text = Reader(page(result, {}).decode()).text
    assert "koopman states RUN --count 3" in text
    assert "the ratios are below 2.5" in text
    assert help_section(made.result()) is None


def test_a_gap_without_a_ratio_is_a_gap():
    """Where the next eigenvalue is not positive, states are told beside their gap, not beside
    its absence.
    """
    gap = Gap(1, None, resolved=True, reason="eigenvalue 2 is not positive")
    text = Reader(page(made.result(gap=gap), {}).decode()).text
    assert "the gap after mode 1 is sure (eigenvalue 2 is not positive)" in text
    assert "Spectral gap: after mode 1 (eigenvalue 2 is not positive)" in text
    assert "no spectral gap" not in text


def test_every_kind_of_advice_helps():
    """Every entry has a meaning and a cure; the warnings of the package find theirs."""
    assert all(len(a.meaning) > 40 and len(a.cure) > 10 for a in ADVICE)
    for warning, title in (
        ("no slow mode in these features at this lag", "No slow mode"),
        (
            "5 of 5 folds hold too few events to judge the model",
            "Events are too rare to be held out",
        ),
        (
            "2 of 5 folds hold a part more than twice or less than half as strong as the rest",
            "Parts of the flow differ in size",
        ),
        ("error bars are unreliable: the data hold only 39 times", "Too few independent blocks"),
        ("dim 9 reduced to 4, the rank of the data", "Fewer functions than asked for"),
        ("a.dcd: header says 50 frames, 48 are readable", "A file is shorter than it says"),
        (
            "the mean of phi differs between folds by more than three errors (drift?)",
            "The mean drifts",
        ),
        ("Chapman-Kolmogorov test failed (p = 0.01)", "The states are not Markovian"),
        ("lag leading two timescales still rise", "The lag is not converged"),
        ("if it is 300 particles at 11 times, add --ensemble", "Particles in a plane or a field"),
        ("bonded atoms are more than 0.3 nm apart in 2 frames", "Atoms are not where bonds are"),
        ("a.npy: 3 of 9 frames are not finite and were removed", "Frames were left out"),
    ):
        assert explain(warning).title == title, warning


def test_methods_cite_what_was_done(ala2):
    """The paragraph names data, model, lag and checks; every key has a BibTeX entry."""
    text, keys = methods(ala2.result)
    assert "19800 frames" in text
    assert "time-lagged independent component analysis" in text
    assert "1 frame (5 ps)" in text
    assert "PCCA+" in text
    assert set(keys) <= set(BIBLIOGRAPHY)
    assert set(re.findall(r"[a-z]+\d{4}[a-z]*", " ".join(re.findall(r"\[(.*?)\]", text)))) == set(
        keys
    )
    assert set(CITATIONS) == set(MODELS)
    assert {key for _, key in CITATIONS.values()} <= set(BIBLIOGRAPHY)


def test_thinned_figures_are_said():
    """Where figures show a sample of the frames, the page says how many."""
    assert (
        "Figures over frames show 400 of 99000 frames"
        in Reader(page(made.result(), {}).decode()).text
    )


# ------------------------------------------------------------------ the verb


def test_report_is_written_again(ala2, tmp_path):
    """``koopman report RUN`` gives the page of the fit, byte for byte, there or elsewhere."""
    whole = (ala2.path / "report.html").read_bytes()
    done = CliRunner().invoke(koopman, ["report", str(ala2.path)])
    assert done.exit_code == 0, done.output
    assert (ala2.path / "report.html").read_bytes() == whole
    assert write_report(ala2, tmp_path / "r.html").read_bytes() == whole
    with pytest.raises(UsageError, match="exists"):
        write_report(ala2, tmp_path / "r.html")
    with pytest.raises(UsageError, match="part of the run"):
        write_report(ala2, ala2.path / "summary.json", force=True)


def test_several_runs_on_one_page(ala2, wave, tmp_path):
    """Two runs: a row each with the numbers of their summaries, and a word on different lags."""
    path = write_comparison([ala2, wave], tmp_path / "c.html")
    page_read = Reader(path.read_text("utf-8"))
    assert {"ala2.koopman", "wave.koopman"} <= set(page_read.texts)
    values = [json.loads(e["value"]) for e in page_read.data if e["data-key"] == "score.vampe.test"]
    assert values == [run.summary["score"]["vampe"]["test"] for run in (ala2, wave)]
    assert any(a.get("id") == "lags" for _, a in page_read.tags)
    done = CliRunner().invoke(koopman, ["report", str(ala2.path), str(wave.path), "-o", str(path)])
    assert isinstance(done.exception, UsageError)
    assert "exists" in str(done.exception)


def test_report_needs_a_run():
    """No RUN is a usage error."""
    done = CliRunner().invoke(koopman, ["report"])
    assert isinstance(done.exception, UsageError)
