"""Build the documentation site: tutorials run the tool, then Sphinx writes HTML.

    python docs/make_site.py [--output docs/_build/html]

Pages of docs/ are taken as they are. Pages of docs/tutorials/ may hold ```run blocks, whose
commands are run on the sample data and whose output is put below them, and lines
``!figure PATH | text`` with a file that a command wrote. The gallery and the page of warnings are
made from the package.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from koopman_cli.report.advice import ADVICE
from koopman_cli.report.describe import CAPTIONS, TITLES

DOCS = Path(__file__).parent
ROOT = DOCS.parent
BUILD = DOCS / "_build"

#: Pages of docs/ by section of the menu.
SECTIONS = {
    "Tutorials": ("start", "tutorial-md", "tutorial-flows", "tutorial-choosing"),
    "Reference": ("gallery", "warnings", "cli", "conventions", "scores", "flows", "kernels"),
    "Behind it": ("model-file", "architecture", "validation", "benchmarks", "references"),
}

CONF = """\
project = "koopman"
extensions = ["myst_parser"]
html_theme = "furo"
html_extra_path = ["reports"]
html_static_path = ["static"]
html_css_files = ["site.css"]
html_title = "koopman"
html_show_sphinx = False
html_copy_source = False
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]
"""


#: Figures are drawn for a column of 85 mm.
STYLE = "article img { max-width: min(100%, 480px); background: #fff; }\n"


def run(command: str, scratch: Path) -> str:
    """What a command prints; it must succeed."""
    words = shlex.split(command)
    binary = Path(sys.executable).with_name(words[0])
    environment = os.environ | {"COLUMNS": "100"}
    done = subprocess.run(
        [str(binary), *words[1:]],
        cwd=scratch,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{command}: exit {done.returncode}\n{done.stderr}")
    return done.stdout.rstrip().replace(f"{scratch}/", "")


def tutorial(page: Path, scratch: Path, images: Path) -> str:
    """A page with what its commands printed and the figures they drew."""

    def executed(match: re.Match[str]) -> str:
        commands = match[1].strip().splitlines()
        told = "\n".join(f"$ {line}\n{run(line, scratch)}" for line in commands)
        return f"```text\n{told}\n```"

    def shown(match: re.Match[str]) -> str:
        source = scratch / match[1].strip()
        name = f"{page.stem}-{source.parent.parent.name or source.parent.name}-{source.name}"
        shutil.copy(source, images / name)
        return f"![{match[2].strip()}](images/{name})"

    text = re.sub(r"```run\n(.*?)```", executed, page.read_text("utf-8"), flags=re.DOTALL)
    return re.sub(r"^!figure (.*?) \| (.*)$", shown, text, flags=re.MULTILINE)


def gallery(runs: dict[str, Path], images: Path) -> str:
    """Every kind of figure, of the first run that has data for it."""
    lines = ["# Gallery", "", "Drawn by `koopman plot` from the sample data, at 85 mm.", ""]
    links = ", ".join(f'<a href="report-{name}.html">{name}</a>' for name in runs)
    lines += [f"Whole reports, as `koopman fit` writes them: {links}.", ""]
    for kind, title in TITLES.items():
        for name, folder in runs.items():
            source = folder / "figures" / f"{kind}.png"
            if source.exists():
                shutil.copy(source, images / f"gallery-{kind}.png")
                lines += [f"## {title}", "", f"`koopman plot {name}.koopman {kind}`", ""]
                lines += [f"![{title} of {name}](images/gallery-{kind}.png)", ""]
                lines += [CAPTIONS[kind], ""]
                break
    return "\n".join(lines)


def warnings() -> str:
    """Every warning explained."""
    lines = ["# Warnings", "", "What each warning says of a result, and what to do about it.", ""]
    for advice in ADVICE:
        lines += [
            f"## {advice.title}",
            "",
            advice.meaning,
            "",
            f"**What to do.** {advice.cure}",
            "",
        ]
    return "\n".join(lines)


def index() -> str:
    """The first page with the menu."""
    readme = (ROOT / "README.md").read_text("utf-8")
    opening = readme[readme.index("`koopman` turns") : readme.index("## Install")]
    lines = ["# koopman", "", opening]
    listed = {page for pages in SECTIONS.values() for page in pages}
    others = sorted({page.stem for page in DOCS.glob("*.md")} - listed)
    for title, pages in SECTIONS.items():
        more = others if title == "Reference" else []
        lines += [f"```{{toctree}}\n:caption: {title}\n", *pages, *more, "```", ""]
    return "\n".join(lines)


def write_sources(source: Path) -> None:
    """All pages as Markdown, with their figures."""
    images, reports, scratch = source / "images", source / "reports", BUILD / "scratch"
    for folder in (source, scratch):
        shutil.rmtree(folder, ignore_errors=True)
    scratch.mkdir(parents=True)
    shutil.copytree(DOCS / "images", images)
    reports.mkdir()
    (scratch / "sample_data").symlink_to(ROOT / "sample_data")
    for page in sorted(DOCS.glob("*.md")):
        shutil.copy(page, source / page.name)
    for page in sorted((DOCS / "tutorials").glob("*.md")):
        folder = scratch / page.stem
        folder.mkdir()
        (folder / "sample_data").symlink_to(ROOT / "sample_data")
        (source / page.name).write_text(tutorial(page, folder, images), encoding="utf-8")
    prinz = scratch / "prinz.koopman"
    run(
        "koopman fit sample_data/prinz/prinz.npy --ensemble --dt 0.05 --model edmd "
        "--set basis=gaussians -o prinz.koopman",
        scratch,
    )
    runs = {
        "ala2": scratch / "tutorial-md" / "ala2.koopman",
        "prinz": prinz,
        "wake": scratch / "tutorial-flows" / "wake.koopman",
    }
    (source / "gallery.md").write_text(gallery(runs, images), encoding="utf-8")
    (source / "warnings.md").write_text(warnings(), encoding="utf-8")
    (source / "index.md").write_text(index(), encoding="utf-8")
    (source / "conf.py").write_text(CONF, encoding="utf-8")
    (source / "static").mkdir()
    (source / "static" / "site.css").write_text(STYLE, encoding="utf-8")
    for name, folder in runs.items():
        shutil.copy(folder / "report.html", reports / f"report-{name}.html")


def main() -> None:
    """Write the sources and build the site."""
    parser = argparse.ArgumentParser(description="Build the documentation site.")
    parser.add_argument("--output", type=Path, default=BUILD / "html")
    output = parser.parse_args().output
    source = BUILD / "source"
    write_sources(source)
    from sphinx.cmd.build import build_main

    code = build_main(["-q", "-W", "--keep-going", "-b", "html", str(source), str(output)])
    shutil.rmtree(BUILD / "scratch", ignore_errors=True)
    if code == 0:
        print(f"Written to {output}/index.html")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
