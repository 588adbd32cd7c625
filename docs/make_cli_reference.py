"""Write docs/cli.md from the help texts of the command line.

    python docs/make_cli_reference.py           # write it
    python docs/make_cli_reference.py --check   # exit 1 if it is not current

The width is fixed, so that the page depends on the help texts alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from koopman_cli.cli import koopman

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
HEAD = """\
# Command line

Written by `make docs` from the help texts; do not edit. Definitions of what is printed stand in
[conventions.md](conventions.md).
"""


def contexts() -> Iterator[click.Context]:
    """One context for ``koopman`` and one for each verb, in the order of the group."""
    settings = {**koopman.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    top = click.Context(koopman, info_name="koopman", **settings)
    yield top
    for verb in koopman.list_commands(top):
        command = koopman.get_command(top, verb)
        assert command is not None, f"{verb} is listed but cannot be loaded"
        own = {**settings, **command.context_settings}
        yield click.Context(command, info_name=verb, parent=top, **own)


def reference() -> str:
    """The whole page."""
    sections = [HEAD]
    for context in contexts():
        text = click.unstyle(context.get_help())
        lines = "\n".join(line.rstrip() for line in text.splitlines())
        sections.append(f"## {context.command_path}\n\n```text\n{lines}\n```\n")
    return "\n".join(sections)


def main(args: list[str]) -> int:
    """Write the page, or say that it is not current."""
    text = reference()
    if args == ["--check"]:
        if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/cli.md is not current: run `make docs`", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
