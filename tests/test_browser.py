"""report.html in a real browser: headless Chromium, wide and narrow, light, dark, printed.

Skipped where there is no browser; `.ci/run` installs one and sets KOOPMAN_NEED_BROWSER, under
which a missing browser is a failure.
"""

import io
import os
import re
import shutil
import subprocess

import browser
import numpy as np
import pytest
from PIL import Image
from scipy.signal import lfilter

from koopman_cli.api import FitOptions, fit
from koopman_cli.report.run import open_run, write_run
from koopman_cli.report.written import write_comparison

pytestmark = pytest.mark.skipif(
    browser.found() is None and not os.environ.get("KOOPMAN_NEED_BROWSER"),
    reason="no Chromium here (Debian: apt-get install chromium)",
)

WIDE, NARROW = 1280, 390

#: A name of a run that no line of a table holds.
LONG = "alanine_dipeptide_run1.torsions.lag10"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Reports of an MD, an array and a field run, and one that compares several."""
    folder = tmp_path_factory.mktemp("pages")
    ala2 = ["sample_data/ala2/run1.h5", "sample_data/ala2/run2.h5"]
    noise = np.random.default_rng(0).standard_normal((6000, 2))
    slow = lfilter([1], [1, -0.95], noise, axis=0)
    runs = {
        "md": fit(ala2, FitOptions(lag="1", dim="2")),
        "array": fit(slow, FitOptions(lag="2", dim="1")),
        "field": fit(["sample_data/wake/wake.npz"]),
    }
    opened = {name: open_run(write_run(result, folder / name)) for name, result in runs.items()}
    found = {name: run.path / "report.html" for name, run in opened.items()}
    long = open_run(write_run(runs["md"], folder / LONG))
    found["several"] = write_comparison(
        [opened["md"], opened["array"], long], folder / "several.html"
    )
    return found


@pytest.fixture(scope="module")
def chromium():
    """One browser for all tests of this file."""
    with browser.Browser() as made:
        yield made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("name", ["md", "array", "field", "several"])
def test_pages_are_whole(chromium, pages, name, width, dark):
    """No console error, no request, every picture there, nothing wider than the window."""
    chromium.open(pages[name], width=width, dark=dark)
    assert chromium.errors() == []
    assert chromium.requests() == []
    broken = "[...document.images].filter(i => !(i.complete && i.naturalWidth > 50)).length"
    assert chromium.run(broken) == 0
    assert chromium.run("document.images.length") >= 3
    assert chromium.run("document.documentElement.scrollWidth") <= width
    colours = chromium.run(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    ground, ink = (luminance(colour) for colour in colours)
    assert (ground < ink) == dark
    lighter, darker = max(ground, ink), min(ground, ink)
    assert (lighter + 0.05) / (darker + 0.05) > 7


#: Tables that are sorted and matrices of states, and by how many pixels each is wider than its
#: place.
OVERHANG = (
    "Object.fromEntries([...document.querySelectorAll('table.sortable, table.matrix')]"
    ".map((t, i) =>"
    " [t.id || i, t.parentElement.scrollWidth - t.parentElement.clientWidth]))"
)


@pytest.mark.parametrize("name", ["md", "array", "field", "several"])
@pytest.mark.parametrize("width", [360, 480, 800, 1000, 1400])
def test_tables_fit_a_small_window(chromium, pages, name, width):
    """Nothing is cut off: from 1000 pixels on in columns, in smaller windows by rows."""
    chromium.open(pages[name], width=width)
    over = chromium.run(OVERHANG)
    assert ("table-runs" if name == "several" else "table-modes") in over
    assert max(over.values()) <= 0, over
    by_rows = chromium.run("document.querySelectorAll('table.cards').length")
    assert by_rows == 0 if width >= 1000 else width > 480 or by_rows > 0


def test_matrices_of_states_fit_and_name_their_columns(chromium, pages):
    """At 360 pixels a matrix of many states stands row by row, each value with where it leads."""
    chromium.open(pages["md"], width=360)
    tables = "[...document.querySelectorAll('table.matrix')]"
    over = f"{tables}.map(t => t.parentElement.scrollWidth - t.parentElement.clientWidth)"
    assert chromium.run(f"{tables}.length") == 3
    assert max(chromium.run(over)) <= 0
    # Six columns more, as of a model with so many states.
    add = "for (let i = 0; i < 6; i++) r.append(r.lastElementChild.cloneNode(true))"
    chromium.run(f"{tables}.forEach(t => [...t.rows].forEach(r => {{ {add} }}))")
    chromium.run("window.dispatchEvent(new Event('resize')) && 1")
    assert max(chromium.run(over)) <= 0
    assert chromium.run(f"{tables}[0].classList.contains('cards')")
    row = f"[...{tables}[0].tBodies[0].rows[0].cells]"
    shown = "c => getComputedStyle(c, '::before').content"
    assert chromium.run(f"{row}.slice(1).map({shown})")[:2] == ['"to 1"', '"to 2"']


def test_tables_by_rows_name_their_values(chromium, pages):
    """In a narrow window each value of a mode has the head of its column beside it."""
    chromium.open(pages["field"], width=360)
    table = "document.querySelector('#table-modes')"
    heads = chromium.run(f"[...{table}.tHead.rows[0].cells].map(c => c.textContent)")
    row = f"[...{table}.tBodies[0].rows[1].cells]"
    assert "growth" in heads
    assert chromium.run(f"{row}.map(c => getComputedStyle(c, '::before').content)") == [
        f'"{head}"' for head in heads
    ]
    places = chromium.run(f"{row}.map(c => c.getBoundingClientRect().y)")
    assert places == sorted(places)
    assert len(set(places)) == len(heads)


@pytest.mark.parametrize("width", [360, 800, 1000, 1400])
def test_names_of_runs_break_after_signs(chromium, pages, width):
    """Lines of a long name of a run end after a dot or an underscore, never within a word."""
    chromium.open(pages["several"], width=width)
    lines = chromium.run(
        "(cell => { const range = document.createRange(), found = {};"
        " cell.childNodes.forEach(node => { for (let i = 0; i < node.length; i++) {"
        "  range.setStart(node, i); range.setEnd(node, i + 1);"
        "  const y = Math.round(range.getBoundingClientRect().y);"
        "  found[y] = (found[y] || '') + node.data[i]; } });"
        " return Object.keys(found).map(Number).sort((a, b) => a - b).map(y => found[y]); })"
        "([...document.querySelectorAll('#table-runs tbody tr')]"
        f".find(row => row.cells[0].textContent === '{LONG}').cells[0])"
    )
    assert "".join(lines) == LONG
    assert all(line[-1] in "._" for line in lines[:-1]), lines
    assert len(lines) > 1 or width == 800


def luminance(colour):
    """Relative luminance of an rgb(...) colour, as WCAG defines it."""
    parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_tables_sort(chromium, pages):
    """A click on a head sorts by number, a second one the other way; heads say which."""
    chromium.open(pages["md"], width=WIDE)
    column = (
        "[...document.querySelectorAll('#table-features tbody tr')]"
        ".map(r => parseFloat(r.cells[2].textContent.replace('\\u2212', '-')))"
    )
    head = "document.querySelectorAll('#table-features thead button')[2].click()"
    before = chromium.run(column)
    chromium.run(head)
    assert chromium.run(column) == sorted(before)
    chromium.run(head)
    assert chromium.run(column) == sorted(before, reverse=True)
    shown = chromium.run("document.querySelector('#table-features [aria-sort]').ariaSort")
    assert shown == "descending"


def stage(chromium, k=0):
    """Where a 3-D view stands in the page, and a picture of it."""
    box = chromium.run(
        f"(b => ({{x: b.x + scrollX, y: b.y + scrollY, width: b.width, height: b.height}}))"
        f"(document.querySelectorAll('.stage')[{k}].getBoundingClientRect())"
    )
    return box, Image.open(io.BytesIO(chromium.screenshot(box))).convert("RGB")


def test_structures_draw_and_turn(chromium, pages):
    """Every state is drawn (not a blank canvas), and dragging the mouse turns it."""
    chromium.open(pages["md"], width=WIDE)
    assert chromium.run("document.getElementById('viewers').hidden") is False
    count = chromium.run("document.querySelectorAll('.stage canvas').length")
    assert count == chromium.run("koopmanViews.length") == 2
    for k in range(count):
        _, picture = stage(chromium, k)
        drawn = np.asarray(picture).astype(int)
        assert (np.abs(drawn - drawn[5, 5]).sum(axis=2) > 60).mean() > 0.005
    there = "{block: 'center', behavior: 'instant'}"
    chromium.run(f"document.querySelector('.stage').scrollIntoView({there})")
    box, before = stage(chromium)
    top = chromium.run("scrollY")
    x, y = box["x"] + box["width"] / 2, box["y"] - top + box["height"] / 2
    chromium.drag((x, y), (x + 90, y + 30))
    chromium.run("new Promise(done => setTimeout(done, 200))")
    _, after = stage(chromium)
    moved = np.abs(np.asarray(before).astype(int) - np.asarray(after).astype(int)).sum(axis=2) > 60
    assert moved.mean() > 0.005
    assert chromium.errors() == []


def test_useful_without_javascript(chromium, pages):
    """With scripts off, the structures are a picture, and tables and figures are all there."""
    chromium.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        chromium.open(pages["md"], width=WIDE)
    finally:
        chromium.call("Emulation.setScriptExecutionDisabled", value=False)
    assert chromium.run("document.getElementById('viewers').hidden") is True
    assert chromium.run("document.getElementById('figure-structures') !== null")
    assert chromium.run("document.querySelectorAll('#table-modes tbody tr').length") >= 2


@pytest.mark.parametrize("name", ["md", "field"])
def test_prints_without_cut_tables(chromium, pages, tmp_path, name):
    """Printed on A4, the last column of the widest table is on the paper, and colours are dark."""
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext here (Debian: apt-get install poppler-utils)")
    chromium.open(pages[name], width=WIDE)
    file = tmp_path / "page.pdf"
    file.write_bytes(chromium.pdf())
    assert file.read_bytes().startswith(b"%PDF")
    boxes = subprocess.run(
        ["pdftotext", "-bbox", str(file), "-"], capture_output=True, text=True, check=True
    ).stdout
    words = re.findall(
        r'xMin="([\d.]+)" yMin="[\d.]+" xMax="([\d.]+)" yMax="[\d.]+">(.*?)</word>', boxes
    )
    assert len(words) > 500
    assert max(float(right) for _, right, _ in words) < 596
    assert min(float(left) for left, _, _ in words) > 20
    last = chromium.run(
        "document.querySelector('#table-modes thead tr').lastElementChild.textContent"
    )
    reason = chromium.run(
        "document.querySelector('#table-modes tbody tr').lastElementChild.textContent"
    )
    said = [word for _, _, word in words]
    assert last in said
    assert set(reason.split()) <= set(said)
