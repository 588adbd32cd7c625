"""Options that several verbs share.

| stack              | options                                   | verbs                     |
|--------------------|-------------------------------------------|---------------------------|
| reading_options    | --top --select --kind --var --begin ...   | info                      |
| common_options     | --json -q -v --debug --version            | all                       |
| analysis_options   | both of these, and --out --force between  | fit transform and others  |
| out_option         | --out                                     | plot ...                  |
| force_option       | --force                                   | plot ...                  |
| settings_option    | --set                                     | fit timescales            |
| folds_option       | --folds                                   | fit vamp-score            |
| test_option        | --test                                    | fit vamp-score            |
| arithmetic_options | --seed --precision                        | fit timescales vamp-score |
| training_options   | these, and --device --restarts            | fit vamp-score            |

``--debug`` is read by the guard around the whole command line; it stands here to be known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from koopman_cli import __version__
from koopman_cli.errors import UsageError

if TYPE_CHECKING:
    from koopman_cli.types import ReadOptions

Command = Callable[..., Any]

paths_argument = click.argument("paths", nargs=-1, metavar="PATH...", type=click.Path())


def _stack(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def apply(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return apply


reading_options = _stack(
    click.option("-s", "--top", metavar="FILE", help="Topology: pdb, gro, psf, prmtop, mol2, h5."),
    click.option("--select", metavar="TEXT", help="Atoms to read, in mdtraj's selection language."),
    click.option(
        "--kind",
        type=click.Choice(["md", "array", "field"]),
        help="What the input is, if not as it looks.",
    ),
    click.option(
        "--var", metavar="NAME[,NAME]", help="Variables or columns in a file (npy: x1,x2)."
    ),
    click.option("--time-axis", type=int, help="Axis of an array that is time.  [default: 0]"),
    click.option(
        "-b", "--begin", metavar="TIME", help="First frame: 100; or a time of the file: 5ns."
    ),
    click.option(
        "-e", "--end", metavar="TIME", help="End, exclusive: 5000; or a time of the file: 100ns."
    ),
    click.option("--stride", type=int, default=1, show_default=True, help="Read every Nth frame."),
    click.option("--dt", metavar="TIME", help="Time between frames in the file: 10ps."),
    click.option("--join", is_flag=True, help="The PATHs are parts of one run, in natural order."),
    click.option(
        "--ensemble", is_flag=True, help="Array (particles, time, dim): a short run per particle."
    ),
    click.option(
        "--anomaly", metavar="mean|cycle:N", help="Fields: remove the mean, or the mean cycle."
    ),
    click.option("--detrend", metavar="linear", help="Fields: remove a line in time per cell."),
    click.option(
        "--area-weights",
        metavar="auto|none|NAME",
        default="auto",
        show_default=True,
        help="Fields: sqrt(cos latitude) where one is known, none, or an array of areas.",
    ),
    click.option(
        "--drop-nonfinite", is_flag=True, help="Leave out frames that are not finite; split there."
    ),
    click.option("--allow-truncated", is_flag=True, help="Use the complete frames of a cut file."),
)

version_option = click.version_option(
    __version__, prog_name="koopman", message="%(prog)s %(version)s"
)

common_options = _stack(
    click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables."),
    click.option("-q", "--quiet", is_flag=True, help="No progress bar."),
    click.option("-v", "--verbose", is_flag=True, help="Log every pass over the data."),
    click.option("--debug", is_flag=True, help="Show the traceback of an error."),
    version_option,
)


def out_option(what: str) -> Callable[[Command], Command]:
    """``-o/--out`` with its meaning for a verb."""
    return click.option("-o", "--out", metavar="PATH", type=click.Path(), help=what)


settings_option = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of the model."
)

folds_option = click.option(
    "--folds", default=5, show_default=True, help="Folds of the held-out score."
)

test_option = click.option(
    "--test", multiple=True, metavar="PATH", help="A separate test set, not folds."
)

arithmetic_options = _stack(
    click.option("--seed", default=0, show_default=True, help="Seed of everything random."),
    click.option(
        "--precision",
        type=click.Choice(["auto", "float64", "float32"]),
        default="auto",
        show_default=True,
        help="Of the products; auto takes float32 for float32 data that are well conditioned.",
    ),
)

device_option = click.option(
    "--device",
    metavar="auto|cpu|cuda:N",
    default="auto",
    show_default=True,
    help="Where products are taken; auto takes a GPU for kernels and networks.",
)

restarts_option = click.option(
    "--restarts",
    type=click.IntRange(min=1),
    metavar="N",
    help="Networks trained from different starts; the best is taken.  [default: 8]",
)

training_options = _stack(arithmetic_options, device_option, restarts_option)

force_option = click.option("--force", is_flag=True, help="Replace what is already there.")


def analysis_options(out: str, *own: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """What every verb has that reads trajectories and writes: ``out`` is the help of --out,
    ``own`` the verb's own options after --force.
    """
    return _stack(reading_options, out_option(out), force_option, *own, common_options)


def read_options(values: dict[str, Any]) -> ReadOptions:
    """Take the reading options out of a verb's parameters.

    Raises
    ------
    UsageError
        A stride below 1.
    """
    from dataclasses import fields

    from koopman_cli.types import ReadOptions

    taken = {f.name: values.pop(f.name) for f in fields(ReadOptions) if f.name in values}
    if taken["stride"] < 1:
        raise UsageError(
            f"--stride {taken['stride']}: must be at least 1", "for example --stride 2"
        )
    taken["var"] = tuple(v for v in (taken.get("var") or "").split(",") if v)
    return ReadOptions(**taken)


def with_restarts(values: dict[str, Any]) -> tuple[str, ...]:
    """The settings that are given, with --restarts as one of them."""
    given: tuple[str, ...] = values["settings"]
    if values["restarts"] is None:
        return given
    from dataclasses import fields

    from koopman_cli.models import MODELS, family

    trained = [m for m in MODELS if any(f.name == "restarts" for f in fields(family(m)))]
    asked = [name.strip() for name in (values["model"] or "").split(",") if name.strip()]
    if set(asked) <= set(MODELS) and not set(asked) & set(trained):
        raise UsageError(
            f"--restarts is for networks ({', '.join(trained)}), and the model is "
            f"{values['model'] or 'not given'}",
            f"leave --restarts out, or take --model {trained[0]}",
        )
    return (*given, f"restarts={values['restarts']}")


def need_paths(paths: tuple[str, ...]) -> None:
    """Raise where no PATH was given."""
    if not paths:
        raise UsageError("no input files", "name at least one trajectory or array file")
