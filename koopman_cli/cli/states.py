"""``koopman states``: metastable states of a RUN, and frames that show them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from koopman_cli.cli.options import common_options
from koopman_cli.errors import UsageError

if TYPE_CHECKING:
    from koopman_cli.states import Assigned
    from koopman_cli.types import Quantity


@click.command(short_help="metastable states of a RUN, and frames that show them")
@click.argument("run", type=click.Path())
@click.option("--count", type=int, help="Number of states.  [default: from the spectral gap]")
@click.option("--samples", default=10, show_default=True, help="Frames to export of each state.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["pdb", "xtc"]),
    default="pdb",
    show_default=True,
    help="Of the exported structures (MD).",
)
@click.option("--committor", metavar="A,B", help="Probability to reach state B before state A.")
@common_options
def command(run: str, count: int | None, samples: int, form: str, **values: Any) -> None:
    """Find the metastable states of a RUN and export the frames nearest their cores.

    The files of the fit are read again. RUN/states then holds memberships.npy (one row per
    frame), frames.csv and, for MD, state_1.pdb ...; states are numbered by population. The
    figures of koopman plot and koopman report show these states from then on.

    \b
    koopman states traj.koopman
    koopman states traj.koopman --count 3 --samples 50 --format xtc
    """
    if samples < 1:
        raise UsageError(f"--samples {samples}: at least one", "for example --samples 10")
    from koopman_cli.cli.output import make_progress
    from koopman_cli.report.run import open_run, put_states
    from koopman_cli.states import assign_states, write_states

    opened = open_run(run)
    found = assign_states(
        opened.result,
        count,
        samples=samples,
        between=_pair(values["committor"]),
        progress=make_progress(quiet=values["quiet"], verbose=values["verbose"]),
    )
    folder = put_states(opened, lambda folder: write_states(found, folder, form))
    _print(found, str(folder), as_json=values["as_json"])


def _pair(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        start, end = (int(part) - 1 for part in text.split(","))
    except ValueError:
        raise UsageError(f"--committor {text}: not two states", "for example 1,2") from None
    return start, end


def _print(found: Assigned, folder: str, *, as_json: bool) -> None:
    from koopman_cli.cli.output import print_json, say
    from koopman_cli.report.json import quantity, states

    told = found.states.committor
    if as_json:
        path = None if told is None else [quantity(q) for q in told]
        said = list(found.states.warnings)
        print_json(
            {
                "states": states(found.states),
                "committor": path,
                "folder": folder,
                "warnings": said,
            }
        )
        return
    from koopman_cli.report.statetext import render_states
    from koopman_cli.report.text import print_rendered

    print_rendered(lambda console: render_states(found.states, console))
    if told is not None:
        parts = [f"{i + 1}: {_with_interval(q)}" for i, q in enumerate(told)]
        say(f"Committor by state: {', '.join(parts)}")
    say(f"Written to {folder}")


def _with_interval(q: Quantity) -> str:
    if q.low is None or q.high is None:
        return f"{q.value:.3g}"
    return f"{q.value:.3g} [{q.low:.3g}, {q.high:.3g}]"
