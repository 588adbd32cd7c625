"""``koopman report``: one HTML file of a RUN, or of several beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from koopman_cli.cli.options import common_options, force_option, out_option
from koopman_cli.errors import UsageError


@click.command(short_help="one HTML file of a RUN, or of several beside each other")
@click.argument("runs", nargs=-1, metavar="RUN...", type=click.Path())
@out_option("The file.  [default: RUN/report.html, or comparison.html for several]")
@force_option
@common_options
def command(runs: tuple[str, ...], out: str | None, force: bool, **values: Any) -> None:
    """Write the report of a RUN again, or one page that compares several.

    The page holds everything and loads nothing: tables, figures, checks, warnings with what to
    do about them, a methods paragraph with BibTeX. koopman fit writes one into every RUN.

    \b
    koopman report traj.koopman
    koopman report a.koopman b.koopman -o compared.html
    """
    if not runs:
        raise UsageError("no RUN given", "name at least one directory that koopman fit wrote")
    from koopman_cli.cli.output import print_json, say
    from koopman_cli.report.run import open_run
    from koopman_cli.report.written import write_comparison, write_report

    opened = [open_run(run) for run in runs]
    if len(opened) == 1:
        path = write_report(opened[0], None if out is None else Path(out), force=force)
    else:
        path = write_comparison(opened, Path(out or "comparison.html"), force=force)
    if values["as_json"]:
        print_json({"report": str(path)})
    else:
        say(f"Written to {path}")
