"""``koopman timescales``: implied timescales against lag, with bands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from koopman_cli.cli.options import (
    analysis_options,
    arithmetic_options,
    need_paths,
    paths_argument,
    read_options,
    settings_option,
)
from koopman_cli.errors import UsageError


@click.command(short_help="implied timescales against lag, with bands")
@paths_argument
@click.option(
    "--lag",
    default="auto",
    show_default=True,
    metavar="LAGS",
    help="Lags: 1:100, or 1,2,5ns; auto is a log grid up to a fiftieth of the data.",
)
@click.option("--features", metavar="SPEC", help="Features, joined by +; see `koopman features`.")
@click.option("--model", metavar="NAME", help="Model family.  [default: tica; dmd for fields]")
@settings_option
@click.option("--count", default=3, show_default=True, help="Modes followed.")
@arithmetic_options
@analysis_options(
    "Directory of figure and tables.  [default: <stem>-timescales.koopman or RUN/timescales]"
)
def command(**values: Any) -> None:
    """Follow implied timescales along the lag.

    PATH is trajectories, or the RUN of a fit, whose input, features, model and settings are
    then taken. The first lag is named from which the leading timescales change by no more than
    the error of the change; a timescale below its lag cannot be trusted.

    \b
    koopman timescales traj.h5
    koopman timescales traj.h5 --lag 1:100
    koopman timescales traj.koopman --lag 1,2,5,10,20,50ps
    """
    need_paths(values["paths"])
    out = _out(values)
    if out.exists() and not values["force"] and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} exists", "add --force to replace its files, or use --out")
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out} is a file", "choose another --out")
    bands = _timescales(values)
    from koopman_cli.report.timescales import document, print_bands, write_bands

    write_bands(bands, out)
    if values["as_json"]:
        from koopman_cli.cli.output import print_json

        print_json(document(bands))
    else:
        print_bands(bands, out)


def _run_of(values: dict[str, Any]) -> Path | None:
    """The RUN that the only PATH names, if it does."""
    if len(values["paths"]) != 1:
        return None
    path = Path(values["paths"][0])
    return path if (path / "model.h5").exists() else None


def _out(values: dict[str, Any]) -> Path:
    if values["out"]:
        return Path(values["out"])
    run = _run_of(values)
    if run is not None:
        return run / "timescales"
    return Path(Path(values["paths"][0]).stem + "-timescales.koopman")


def _timescales(values: dict[str, Any]) -> Any:
    from koopman_cli.cli.output import make_progress
    from koopman_cli.cli.settings import split_setting
    from koopman_cli.timescales import TimescaleOptions, timescales
    from koopman_cli.units import parse_list

    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    given = {name: value for _, name, value in map(split_setting, values["settings"])}
    options: dict[str, Any] = {
        "lags": tuple(parse_list(values["lag"])),
        "features": values["features"],
        "model": values["model"],
        "count": values["count"],
        "seed": values["seed"],
        "precision": values["precision"],
    }
    run = _run_of(values)
    paths: list[str] = list(values["paths"])
    read = read_options(values)
    if run is not None:
        from koopman_cli.report.run import open_run
        from koopman_cli.source import told_input

        opened = open_run(run)
        paths, read = told_input(opened.config)
        if not paths:
            raise UsageError(f"{run} does not know its input files", "give the PATHs instead")
        model = opened.model
        options["features"] = values["features"] or model.features.text
        if values["model"] in (None, model.family):
            options["model"] = model.family
            given = {**model.settings, **given}
    return timescales(
        paths, TimescaleOptions(**options, settings=given), read=read, progress=progress
    )
