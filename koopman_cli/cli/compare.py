"""``koopman compare``: two RUNs beside each other."""

from __future__ import annotations

from typing import Any

import click

from koopman_cli.cli.options import common_options


@click.command(short_help="two RUNs: the same modes? which timescales changed?")
@click.argument("first", type=click.Path())
@click.argument("second", type=click.Path())
@common_options
def command(first: str, second: str, **values: Any) -> None:
    """Compare slow functions and timescales of two RUNs of the same features.

    Functions are compared on frames of both inputs, which are read again. An angle near 0
    degrees means the same function, near 90 one that the other run does not have. The
    intervals of ratios take the runs as independent; of the same data they are too wide.

    \b
    koopman compare wildtype.koopman mutant.koopman
    """
    from koopman_cli.cli.output import make_progress, print_json, say
    from koopman_cli.compare import compare
    from koopman_cli.report.json import quantity as as_json
    from koopman_cli.report.quantities import Column, print_columns
    from koopman_cli.report.run import open_run
    from koopman_cli.report.text import print_rendered

    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    found = compare(open_run(first).result, open_run(second).result, progress)
    if values["as_json"]:
        plain = [
            {
                "first": p.first,
                "second": p.second,
                "correlation": p.correlation,
                "before": as_json(p.before),
                "after": as_json(p.after),
                "ratio": as_json(p.ratio),
                "changed": p.changed,
            }
            for p in found.pairs
        ]
        print_json({"angles": list(found.angles), "pairs": plain, "notes": list(found.notes)})
        return
    angles = ", ".join(f"{angle:.3g}" for angle in found.angles)
    say(f"Principal angles between the slow functions: {angles} degrees")
    pairs = found.pairs
    words = {None: "-", True: "yes", False: "no"}
    columns: list[Any] = [
        ("mode", [str(p.first) for p in pairs]),
        ("most like", [str(p.second or "-") for p in pairs]),
        ("correlation", [f"{p.correlation:.3f}" for p in pairs]),
        Column("timescale", tuple(p.before for p in pairs)),
        Column("there", tuple(p.after for p in pairs)),
        Column("ratio", tuple(p.ratio for p in pairs)),
        ("changed", [words[p.changed] for p in pairs]),
    ]
    spare = ("correlation", "changed")
    print_rendered(lambda console: print_columns(columns, console, spare))
    for note in found.notes:
        say(f"Note: {note}")
