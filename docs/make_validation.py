"""Run every slow-marked test and write docs/validation.md: claim, measured, seeds, commit.

    python docs/make_validation.py [--fresh] [pytest arguments]

The claim is the docstring of the test; what it measured and its seeds are what it told the
``measured`` fixture. Claims that held are kept beside the cache of pytest under the state of
package and tests: a run that was interrupted continues, unless --fresh starts anew. With a
selection (-k states, a file) only the claims that ran, or had held before, are listed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "validation.md"
TESTED = ("koopman_cli", "tests")
HEAD = """\
# Validation

Written by `make validate`; do not edit. Each claim is the docstring of a test marked slow, and
the test fails where it does not hold. Numbers are of the run named here.

"""


class Claims:
    """Collects the outcome of every test, and keeps it in a file as soon as it is known."""

    def __init__(self, book: Path) -> None:
        self.book = book
        self.rows: dict[str, dict[str, Any]] = {}
        if book.exists():
            for line in book.read_text().splitlines():
                row = json.loads(line)
                self.rows[row["node"]] = row

    @property
    def held(self) -> list[str]:
        """Tests that need not run again."""
        return [node for node, row in self.rows.items() if row["outcome"] == "held"]

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep what was measured, and whether it held."""
        blank = {"node": report.nodeid, "outcome": "held", "seconds": 0.0, "claim": report.nodeid}
        if report.when == "setup":
            self.rows[report.nodeid] = blank
        row = self.rows.setdefault(report.nodeid, blank)
        if report.failed:
            row["outcome"] = "FAILED"
        elif report.skipped and row["outcome"] == "held":
            row["outcome"] = "not run"
        row.update(dict(report.user_properties))
        row["seconds"] += report.duration
        if report.when == "teardown":
            with self.book.open("a") as file:
                file.write(json.dumps(row) + "\n")


def git(*args: str) -> str:
    """What git says, empty where there is none."""
    done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def state() -> str:
    """Hash of package and tests as they are in the working tree."""
    digest = hashlib.sha256()
    for folder in TESTED:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    """The commit that was tested, marked where files differed from it."""
    changed = git("status", "--porcelain", "--untracked-files=no", "--", *TESTED)
    name = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return f"{name} with local changes" if changed else name


def gathered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row for all cases of a test that measures nothing but whether they hold."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        test = row["node"].partition("[")[0]
        found.setdefault(row["node"] if row.get("measured") else test, []).append(row)
    told = []
    for cases in found.values():
        if len(cases) == 1:
            told += cases
            continue
        held = sum(case["outcome"] == "held" for case in cases)
        failed = any(case["outcome"] == "FAILED" for case in cases)
        claim = cases[0]["claim"].rpartition(" (")[0]
        measured = f"{held} of {len(cases)} cases"
        outcome = "FAILED" if failed else "held" if held else "not run"
        told.append({"claim": claim, "measured": measured, "outcome": outcome})
    return told


def page(rows: Sequence[dict[str, Any]]) -> str:
    """The page."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    bad = sum(row["outcome"] == "FAILED" for row in rows)
    minutes = sum(row["seconds"] for row in rows) / 60
    python = sys.version.split()[0]
    lines = [
        f"Commit {commit()}, Python {python}, {len(rows)} claims, {bad} failed.",
        f"{minutes:.0f} minutes of one processor.\n",
        "| claim | measured | seeds | outcome |",
        "|---|---|---|---|",
    ]
    for row in gathered(rows):
        cells = (row["claim"], row.get("measured", ""), row.get("seeds", ""), row["outcome"])
        lines.append(f"| {' | '.join(cell(c) for c in cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def main(args: list[str]) -> int:
    """Run, write, and return the exit code of pytest."""
    fresh = "--fresh" in args
    args = [arg for arg in args if arg != "--fresh"]
    book = ROOT / ".pytest_cache" / f"validation-{state()}.jsonl"
    book.parent.mkdir(exist_ok=True)
    if fresh:
        book.unlink(missing_ok=True)
    claims = Claims(book)
    known = [f"--deselect={node}" for node in claims.held]
    os.chdir(ROOT)
    code = int(pytest.main(["-m", "slow", "-n", "2", *known, *args], plugins=[claims]))
    if claims.rows:
        # In the order of the files, however the processes shared them.
        PAGE.write_text(page([claims.rows[node] for node in sorted(claims.rows)]))
    nothing_left = code == pytest.ExitCode.NO_TESTS_COLLECTED and claims.rows
    return 0 if nothing_left else code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
