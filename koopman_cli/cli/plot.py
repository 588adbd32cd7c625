"""``koopman plot``: figures of a RUN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from koopman_cli.cli.options import common_options, out_option
from koopman_cli.errors import SupportError, UsageError


@click.command(short_help="figures of a RUN: eigenfunctions, spectrum, timescales, ...")
@click.argument("run", type=click.Path())
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option(
    "--format", "formats", default="png", show_default=True, help="png, pdf, svg; several by comma."
)
@click.option("--width", default="85mm", show_default=True, help="Width of the figure.")
@out_option("Directory for the files.  [default: RUN/figures]")
@common_options
def command(
    run: str, kinds: tuple[str, ...], formats: str, width: str, out: str | None, **values: Any
) -> None:
    """Draw figures of a RUN directory.

    KIND is spectrum, timescales, eigenfunctions, free-energy, coordinates, scores, states, ck
    or pseudospectrum; all that have data are drawn where none is given.

    \b
    koopman plot traj.koopman
    koopman plot traj.koopman eigenfunctions --format pdf,svg --width 170mm
    """
    from koopman_cli.cli.output import print_json, say
    from koopman_cli.report.figures import save_figures
    from koopman_cli.report.run import open_run

    wanted = tuple(part.strip() for part in formats.split(",") if part.strip())
    if not wanted:
        raise UsageError(f"--format {formats!r} names no format", "for example --format png,pdf")
    opened = open_run(run)
    written = save_figures(
        opened,
        list(kinds) or None,
        Path(out) if out else opened.path / "figures",
        formats=wanted,
        width_mm=_millimetres(width),
    )
    missing = [kind for kind in kinds if not any(path.stem == kind for path in written)]
    if values["as_json"]:
        print_json({"figures": [str(path) for path in written]})
    else:
        for path in written:
            say(str(path))
    if missing:
        raise SupportError(
            f"{run} has no data for {', '.join(missing)}",
            "timescales needs --lag auto, scores needs --dim auto when fitting",
        )


def _millimetres(text: str) -> float:
    for unit, factor in (("mm", 1.0), ("cm", 10.0), ("in", 25.4), ("", 1.0)):
        if text.endswith(unit):
            try:
                return float(text.removesuffix(unit)) * factor
            except ValueError:
                break
    raise UsageError(f"--width {text}: not a width", "for example --width 85mm")
