"""``koopman features``: the featurizers and how to write them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from koopman_cli.cli.options import common_options


@click.command(short_help="featurizers, with settings, defaults and meanings")
@common_options
def command(as_json: bool, **_: Any) -> None:
    """List what --features can name; parts are joined by +, settings follow a colon."""
    from koopman_cli.cli.output import print_json, say
    from koopman_cli.features import list_features

    found = list_features()
    if as_json:
        rows = [{k: v for k, v in asdict(entry).items() if k != "home"} for entry in found]
        print_json({row.pop("name"): row for row in rows})
        return
    kinds = {"md": "molecular dynamics", "array": "arrays", "field": "fields", "any": "any input"}
    for kind, title in kinds.items():
        say(f"{title}:")
        for entry in (e for e in found if e.kind == kind):
            settings = "".join(
                f":{name.upper()}" if default == "" else f"[:{name.upper()}={default}]"
                for name, default in entry.settings.items()
            )
            say(f"  {entry.name}{settings}")
            say(f"      {entry.meaning}")
