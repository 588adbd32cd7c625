"""The command line: parse, one core call, print. Verbs live one to a file.

Nothing but :mod:`koopman_cli.cli.early` is imported here: an interrupt that comes while click,
the verbs or numpy are being imported is heard already.
"""

from koopman_cli.cli import early

TYPE_CHECKING = False
if TYPE_CHECKING:
    import click

    koopman: click.Group


def __getattr__(name: str) -> object:
    """The click group, for those who import it."""
    if name != "koopman":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from koopman_cli.cli.group import koopman

    return koopman


def main() -> None:
    """Entry point of the ``koopman`` script."""
    early.listen()
    import os
    import sys

    # Products over the data run on threads of our own (koopman_cli.tiles). For the small
    # matrices that remain, BLAS threads bring little, and on a busy machine they spin.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from koopman_cli.cli.group import koopman
    from koopman_cli.cli.guard import leave, open_streams, run_guarded

    open_streams()
    leave(run_guarded(koopman, sys.argv[1:]))
