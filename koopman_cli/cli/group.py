"""``koopman`` itself: a group of verbs, each imported when it is used.

A verb's file imports nothing heavy at its top, so that every ``--help`` answers in a few
hundredths of a second.
"""

from __future__ import annotations

from importlib import import_module

import click

from koopman_cli.cli.options import version_option
from koopman_cli.errors import UsageError, did_you_mean

#: Verbs in the order of a piece of work; each is ``koopman_cli/cli/<verb>.py:command``.
VERBS = (
    "info",
    "fit",
    "vamp-score",
    "timescales",
    "states",
    "transform",
    "forecast",
    "compare",
    "plot",
    "report",
    "models",
    "features",
)


class LazyGroup(click.Group):
    """A click group that imports a verb only when it is named or listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in working order."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb."""
        if cmd_name not in VERBS:
            return None
        module = import_module(f"koopman_cli.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one may have been meant."""
        name = args[0]
        if not name.startswith("-") and name not in VERBS:
            raise UsageError(f"no such command: {name!r}", did_you_mean(name, VERBS))
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@version_option
def koopman() -> None:
    """Slow modes from molecular-dynamics trajectories and other time series.

    koopman reads trajectories, featurizes them, fits TICA, VAMP or EDMD models, scores them
    all with one VAMP score on held-out blocks and reports how slow the slow modes are.

    \b
    koopman info traj.h5                   what is in there
    koopman fit traj.h5                    the whole analysis, into traj.koopman/
    koopman fit run*.xtc --top top.pdb --model tica --lag 5ns
    koopman vamp-score traj.h5 --lag 5ns   held-out scores: which features, model, dim
    koopman timescales traj.h5 --lag 1:100 implied timescales against lag
    koopman plot traj.koopman              figures
    koopman report traj.koopman            one HTML file with everything
    koopman transform traj.koopman new.h5  slow coordinates of new data
    koopman forecast wake.koopman --steps 50   continue a flow
    """
