"""Run every slow-marked test and write docs/validation.md: claim, measured, seeds, commit.

    python docs/make_validation.py [pytest arguments]

The claim is the docstring of the test; what it measured and its seeds are what it told the
``measured`` fixture. With arguments (a selection, -n 2) only the claims that ran are listed.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "validation.md"
HEAD = """\
# Validation

Written by `make validate`; do not edit. Each claim is the docstring of a test marked slow, and
the test fails where it does not hold. Numbers are of the run named here.

"""


class Claims:
    """Collects the outcome of every test in the order of collection."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.rows: dict[str, dict[str, Any]] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep the docstrings."""
        for item in items:
            text = inspect.getdoc(item.function) if hasattr(item, "function") else None
            case = item.name.partition("[")[2].rstrip("]")
            first = " ".join((text or item.name).split("\n\n")[0].split())
            self.texts[item.nodeid] = f"{first} ({case})" if case else first

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep what was measured, and whether it held."""
        row = self.rows.setdefault(report.nodeid, {"outcome": "held", "measured": "", "seeds": ""})
        if report.failed:
            row["outcome"] = "FAILED"
        elif report.skipped and row["outcome"] == "held":
            row["outcome"] = "not run"
        for name, value in report.user_properties:
            if name in ("measured", "seeds"):
                row[name] = value
        row["seconds"] = row.get("seconds", 0.0) + report.duration


def commit() -> str:
    """The commit that was tested, marked where files differed from it."""

    def git(*args: str) -> str:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "koopman_cli", "tests")
    name = git("rev-parse", "--short=12", "HEAD") or "unknown"
    return f"{name} with local changes" if changed else name


def page(claims: Claims, seconds: float) -> str:
    """The page."""

    def cell(text: str) -> str:
        return text.replace("|", "\\|")

    bad = sum(row["outcome"] == "FAILED" for row in claims.rows.values())
    head = (
        f"Commit {commit()}, Python {sys.version.split()[0]}, {len(claims.rows)} claims, "
        f"{bad} failed, {seconds / 60:.0f} minutes.\n"
    )
    lines = [
        head,
        "| claim | measured | seeds | outcome |",
        "|---|---|---|---|",
    ]
    for node, row in claims.rows.items():
        text = claims.texts.get(node, node)
        cells = (text, row["measured"], row["seeds"], row["outcome"])
        lines.append(f"| {' | '.join(cell(c) for c in cells)} |")
    return HEAD + "\n".join(lines) + "\n"


def main(args: list[str]) -> int:
    """Run, write, and return the exit code of pytest."""
    claims = Claims()
    begun = time.perf_counter()
    code = int(pytest.main(["-m", "slow", *args], plugins=[claims]))
    if claims.rows:
        PAGE.write_text(page(claims, time.perf_counter() - begun))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
