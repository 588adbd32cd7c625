"""``koopman models``: the model families and their settings."""

from __future__ import annotations

from typing import Any

import click

from koopman_cli.cli.options import common_options


@click.command(short_help="model families, with settings, defaults and meanings")
@common_options
def command(as_json: bool, **_: Any) -> None:
    """List the model families and what can be set with --set."""
    from koopman_cli.cli.output import print_json, say
    from koopman_cli.models import list_models

    found = list_models()
    if as_json:
        print_json(
            {
                name: {
                    "meaning": meaning,
                    "settings": {
                        s.name: {"default": s.default, "meaning": s.meaning} for s in settings
                    },
                }
                for name, (meaning, settings) in found.items()
            }
        )
        return
    for name, (meaning, settings) in found.items():
        say(f"{name}: {meaning}")
        for s in settings:
            default = str(s.default).lower() if isinstance(s.default, bool) else s.default
            say(f"  {s.name}={default}  {s.meaning}")
