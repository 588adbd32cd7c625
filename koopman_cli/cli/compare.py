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
    from koopman_cli.report.run import open_run
    from koopman_cli.report.text import add_row, make_table, print_rendered, quantity

    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    found = compare(open_run(first).result, open_run(second).result, progress)
    if values["as_json"]:
        pairs = [
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
        print_json({"angles": list(found.angles), "pairs": pairs, "notes": list(found.notes)})
        return
    angles = ", ".join(f"{angle:.3g}" for angle in found.angles)
    say(f"Principal angles between the slow functions: {angles} degrees")
    head = ["mode", "most like", "correlation", "timescale", "timescale there", "ratio", "changed"]
    table = make_table(head)
    for p in found.pairs:
        changed = "-" if p.changed is None else "yes" if p.changed else "no"
        times = [quantity(q) for q in (p.before, p.after, p.ratio)]
        add_row(
            table, [str(p.first), str(p.second or "-"), f"{p.correlation:.3f}", *times, changed]
        )
    print_rendered(lambda console: console.print(table))
    for note in found.notes:
        say(f"Note: {note}")
