"""``koopman forecast``: continue a flow, or write its modes and reconstruction."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koopman_cli.cli.options import common_options, force_option, out_option
from koopman_cli.errors import UsageError
from koopman_cli.nouns import counted

if TYPE_CHECKING:
    from koopman_cli.forecast import FieldSeries
    from koopman_cli.types import FitResult


@click.command(short_help="continue a flow, with its error on held-out data")
@click.argument("run", type=click.Path())
@click.option("--steps", type=int, help="Frames after the last one.")
@click.option("--until", metavar="TIME", help="Up to a time of the data (300, 2025-12).")
@click.option(
    "--what",
    type=click.Choice(["forecast", "reconstruction", "modes"]),
    default="forecast",
    show_default=True,
    help="What to write.",
)
@out_option("File, .nc or .npz.  [default: RUN/<what>.nc]")
@force_option
@common_options
def command(**values: Any) -> None:
    """Continue a flow beyond its last frame, in its own grid, coordinates and units.

    The table compares forecasts on the last fifth of the data, which were not fitted for it,
    with persistence (nothing changes) and climatology (the mean, or the cycle and trend).

    \b
    koopman forecast wake.koopman --steps 50
    koopman forecast sst.koopman --until 2025-12 -o sst_forecast.nc
    koopman forecast wake.koopman --what modes -o modes.nc
    """
    from koopman_cli.forecast import write_series
    from koopman_cli.report.run import open_run

    opened = open_run(values["run"])
    out = Path(values["out"]) if values["out"] else opened.path / f"{values['what']}.nc"
    series = _series(opened.result, values)
    write_series(series, out, force=values["force"])
    _print(opened.result, series, out, values)


def _series(result: FitResult, values: dict[str, Any]) -> FieldSeries:
    from koopman_cli import forecast as core

    core.flow_of(result, str(values["run"]))
    if values["what"] == "modes":
        return core.mode_fields(result)
    if values["what"] == "reconstruction":
        return core.reconstruction(result)
    if (values["steps"] is None) == (values["until"] is None):
        raise UsageError("give either --steps or --until", "for example --steps 20")
    steps = values["steps"]
    return core.forecast(
        result, core.steps_until(result, values["until"]) if steps is None else steps
    )


def _print(result: FitResult, series: FieldSeries, out: Path, values: dict[str, Any]) -> None:
    from koopman_cli.cli.output import print_json, say
    from koopman_cli.report.text import skill_lines

    skill = result.flow.skill if result.flow is not None else None
    if values["as_json"]:
        document: dict[str, Any] = {"out": str(out), "what": values["what"]}
        document["frames"] = len(series.values)
        if skill is not None and values["what"] == "forecast":
            names = ("model", "persistence", "climatology")
            document["held_out"] = {
                "steps": skill.steps.tolist(),
                **{n: [float(v) if v == v else None for v in getattr(skill, n)] for n in names},
                "unit": skill.unit,
                "starts": skill.starts,
            }
        print_json(document)
        return
    if values["what"] == "forecast":
        for line in skill_lines(skill, result.model.dt):
            say(line)
    count, kind = len(series.values), "frame" if series.along == "time" else "mode"
    many = counted(count, kind)
    say(f"Written to {out}: {many} of {', '.join(series.geometry.variables)}")
