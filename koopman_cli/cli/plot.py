"""``koopman plot``: figures of a RUN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from koopman_cli.cli.options import common_options, out_option
from koopman_cli.errors import SupportError, UsageError


@click.command(short_help="figures of a RUN: eigenfunctions, spectrum, states, ...")
@click.argument("run", type=click.Path())
@click.argument("kinds", nargs=-1, metavar="[KIND]...")
@click.option(
    "--format", "formats", default="png", show_default=True, help="png, pdf, svg; several by comma."
)
@click.option("--width", default="85mm", show_default=True, help="Width of the figure.")
@click.option(
    "--style",
    metavar="paper|slides|dark",
    default="paper",
    show_default=True,
    help="slides: larger type and lines; dark: light on a dark ground.",
)
@click.option("--mode", metavar="1:3", help="Modes to draw: 2, 1:3 (with its end) or 1,3.")
@out_option("Directory for the files.  [default: RUN/figures]")
@common_options
def command(run: str, kinds: tuple[str, ...], formats: str, width: str, **values: Any) -> None:
    """Draw figures of a RUN directory.

    KIND is spectrum, timescales, score, residuals, eigenfunctions, free-energy, coordinates,
    features, states, network, ck, structures, coherent-sets, modes, reconstruction,
    singular-values, forecast, pseudospectrum or oscillation (a GIF); all that have data are
    drawn where none is given. Text stays text in pdf and svg, and the same RUN gives the same
    bytes.

    \b
    koopman plot traj.koopman
    koopman plot traj.koopman eigenfunctions --format pdf,svg --width 170mm --mode 1:2
    """
    from koopman_cli.cli.output import print_json, say
    from koopman_cli.report.figures import ALIASES, save_figures
    from koopman_cli.report.run import open_run

    wanted = tuple(part.strip() for part in formats.split(",") if part.strip())
    if not wanted:
        raise UsageError(f"--format {formats!r} names no format", "for example --format png,pdf")
    opened = open_run(run)
    written = save_figures(
        opened,
        list(kinds) or None,
        Path(values["out"]) if values["out"] else opened.path / "figures",
        formats=wanted,
        width_mm=_millimetres(width),
        modes=_modes(values["mode"]),
        look=values["style"],
    )
    drawn = {path.stem for path in written}
    missing = [kind for kind in kinds if ALIASES.get(kind, kind) not in drawn]
    if values["as_json"]:
        print_json({"figures": [str(path) for path in written]})
    else:
        for path in written:
            say(str(path))
    if missing:
        raise SupportError(
            f"{run} has no data for {', '.join(missing)}",
            "timescales needs --lag auto, score needs --dim auto when fitting; states, network "
            "and ck need a spectral gap; modes and forecast need a field",
        )


def _modes(text: str | None) -> tuple[int, ...] | None:
    """Numbers of modes: "2", "1:3" with its end, "1,3", or several of these.

    Raises
    ------
    UsageError
        If it is none of these, or counts from 0.
    """
    if text is None:
        return None
    found: list[int] = []
    try:
        for part in text.split(","):
            first, colon, last = part.partition(":")
            found += range(int(first), int(last if colon else first) + 1)
    except ValueError:
        found = []
    if not found or min(found) < 1:
        raise UsageError(f"--mode {text}: no modes", "count from 1: --mode 2, 1:3 or 1,3")
    return tuple(dict.fromkeys(found))


def _millimetres(text: str) -> float:
    for unit, factor in (("mm", 1.0), ("cm", 10.0), ("in", 25.4), ("", 1.0)):
        if text.endswith(unit):
            try:
                return float(text.removesuffix(unit)) * factor
            except ValueError:
                break
    raise UsageError(f"--width {text}: not a width", "for example --width 85mm")
