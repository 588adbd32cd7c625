"""``koopman info``: what is in the input, before anything is fitted."""

from __future__ import annotations

from typing import Any

import click

from koopman_cli.cli.options import (
    common_options,
    need_paths,
    paths_argument,
    read_options,
    reading_options,
)


@click.command(short_help="what is in there: frames, time step, gaps, bad values, usable lags")
@paths_argument
@reading_options
@common_options
def command(**values: Any) -> None:
    """Look through the input once and tell what is in it.

    Says for each trajectory: kind, frames, time step and where it is from, atoms and residues
    or columns, values that are not finite, constant columns, repeated frames, memory needed,
    usable lags, and whatever is odd. Trajectories of which all this is the same are told together.

    \b
    koopman info traj.h5
    koopman info run*.xtc --top top.pdb --json
    """
    need_paths(values["paths"])
    from koopman_cli.cli.output import make_progress, print_json, say
    from koopman_cli.io import inspect
    from koopman_cli.report.inspection import inspection_lines
    from koopman_cli.store.plain import to_plain

    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    found = inspect(list(values["paths"]), read_options(values), progress)
    if values["as_json"]:
        print_json({"schema": 1, "trajectories": [to_plain(item) for item in found]})
        return
    for line in inspection_lines(found):
        say(line)
