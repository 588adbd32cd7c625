"""``koopman transform``: slow coordinates of new trajectories from a stored model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koopman_cli.cli.options import analysis_options, need_paths, paths_argument, read_options
from koopman_cli.errors import UsageError
from koopman_cli.nouns import counted

if TYPE_CHECKING:
    from koopman_cli.coordinates import Transformed
    from koopman_cli.types import Model


@click.command(short_help="slow coordinates of new trajectories from a stored model")
@click.argument("run", type=click.Path())
@paths_argument
@click.option(
    "--scaling",
    type=click.Choice(["none", "kinetic", "commute"]),
    default="none",
    show_default=True,
    help="Unit variance, times |eigenvalue|, or times sqrt(timescale / 2).",
)
@analysis_options(
    "File (.npy for one trajectory, .h5 for any number).  [default: RUN/transformed.h5]"
)
def command(**values: Any) -> None:
    """Project trajectories onto the slow functions of a RUN.

    The input must give the features of the model, by name and order. The output holds one
    (frames, dim) array per trajectory.

    \b
    koopman transform traj.koopman new.h5 -o new.npy
    """
    need_paths(values["paths"])
    from koopman_cli.report.run import TRANSFORMED, check_spared, open_run
    from koopman_cli.store.coordinates import check_target

    opened = open_run(values["run"])
    out = Path(values["out"]) if values["out"] else opened.path / TRANSFORMED
    if any(Path(path).resolve() == out.resolve() for path in values["paths"]):
        raise UsageError(f"{str(out)!r} is an input", "choose another --out")
    check_spared(opened, out)
    check_target(out, 1, force=values["force"])
    done = _transform(opened.model, out, values)
    _print(done, out, as_json=values["as_json"])


def _transform(model: Model, out: Path, values: dict[str, Any]) -> Transformed:
    from koopman_cli.cli.output import make_progress
    from koopman_cli.coordinates import transform
    from koopman_cli.store.coordinates import write_coordinates

    scaling = values["scaling"]
    read = read_options(values)
    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    done = transform(model, list(values["paths"]), read=read, scaling=scaling, progress=progress)
    attributes = {"scaling": scaling, "family": model.family, "lag_frames": model.lag.frames}
    with progress("projecting", done.stream.n_frames) as advance:
        write_coordinates(
            done.runs, out, attributes=attributes, force=values["force"], advance=advance
        )
    return done


def _print(done: Transformed, out: Path, *, as_json: bool) -> None:
    from koopman_cli.cli.output import note, print_json, say

    if as_json:
        rows = [
            {"label": r.label, "frames": r.frames, "dim": r.dim, "outside": far}
            for r, far in zip(done.runs, done.outside, strict=True)
        ]
        document = {"out": str(out), "trajectories": rows, "warnings": list(done.warnings)}
        print_json(document)
        return
    for run, far in zip(done.runs, done.outside, strict=True):
        outside = f", {counted(far, 'frame')} outside the domain of the model" if far else ""
        say(f"{run.label}: {counted(run.frames, 'frame')} x {run.dim} slow coordinates{outside}")
    for warning in done.warnings:
        note(f"Warning: {warning}")
    say(f"Written to {out}")
