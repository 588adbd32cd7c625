"""Reports put in their place: into a RUN, or wherever they are wanted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from koopman_cli.errors import UsageError
from koopman_cli.report.run import Run, check_spared
from koopman_cli.store.atomic import refusals, write_atomic


def _place(out: Path, runs: Sequence[Run], *, force: bool) -> Path:
    """A file that may be written: not a part of a RUN, and new unless ``force``."""
    for run in runs:
        check_spared(run, out)
    if out.is_dir():
        raise UsageError(f"{str(out)!r} is a directory", "give --out a file such as report.html")
    if out.exists() and not force:
        raise UsageError(f"{str(out)!r} exists", "add --force to replace it, or use --out")
    with refusals(out, "write"):
        out.parent.mkdir(parents=True, exist_ok=True)
    return out


def write_report(run: Run, out: Path | None = None, *, force: bool = False) -> Path:
    """Write the report of a RUN; by default its own ``report.html``, which is replaced.

    Raises
    ------
    UsageError
        If ``out`` exists and ``force`` is not given, or it is a part of the RUN.
    FileError
        If the file system refuses.
    """
    from koopman_cli.report.figures import page_pictures
    from koopman_cli.report.page import REPORT, page

    place = run.path / REPORT if out is None else _place(out, [run], force=force)
    write_atomic(place, page(run.result, page_pictures(run.result)))
    return place


def write_comparison(runs: Sequence[Run], out: Path, *, force: bool = False) -> Path:
    """Write one page that compares several RUNs; raises as :func:`write_report`."""
    from koopman_cli.report.comparison import comparison

    place = _place(out, runs, force=force)
    write_atomic(place, comparison(runs))
    return place
