"""``koopman fit``: the whole analysis, into a RUN directory."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koopman_cli.cli.config import with_config
from koopman_cli.cli.guard import going_on_with
from koopman_cli.cli.options import (
    analysis_options,
    folds_option,
    need_paths,
    paths_argument,
    read_options,
    settings_option,
    test_option,
    training_options,
    with_restarts,
)
from koopman_cli.errors import DataError, KoopmanError, SupportError, UsageError
from koopman_cli.nouns import counted

if TYPE_CHECKING:
    from koopman_cli.candidates import ScoreTable
    from koopman_cli.networks.checkpoint import Place
    from koopman_cli.types import FitResult


@click.command(short_help="the whole analysis of trajectories, into a RUN directory")
@paths_argument
@click.option(
    "--features", metavar="SPEC", help="Features, joined by +, or auto; see `koopman features`."
)
@click.option("--model", metavar="NAME", help="Model family, or auto; see `koopman models`.")
@click.option("--lag", default="auto", show_default=True, help="Lag: 50 (frames), 5ns, or auto.")
@click.option("--dim", default="auto", show_default=True, help="Number of slow functions, or auto.")
@settings_option
@folds_option
@test_option
@training_options
@click.option("--resume", is_flag=True, help="Go on with the training that was interrupted.")
@analysis_options(
    "RUN directory.  [default: <stem of the first PATH>.koopman]",
    click.option(
        "--config", metavar="FILE", type=click.Path(), help="config.toml of an earlier RUN."
    ),
    click.option("--allow-empty", is_flag=True, help="Exit 0 even if no mode is slow."),
    click.option("--strict", is_flag=True, help="Warnings end with 3 (input) or 4 (model)."),
)
@click.pass_context
def command(ctx: click.Context, /, **values: Any) -> None:
    """Fit a model to trajectories and report its slow modes.

    Several PATHs are several trajectories (with --join, parts of one). A bare lag counts
    frames as read; a lag with a unit must be a multiple of the time step. What is not given
    is chosen for what is found, and the output says what and why.

    \b
    koopman fit traj.h5
    koopman fit run*.xtc --top top.pdb --features torsions --lag 5ns --dim 3
    koopman fit x.npy --model edmd --set basis=gaussians --set centers=30
    """
    values = with_config(ctx, values)
    flags = {name: values.pop(name) for name in ("force", "allow_empty", "strict")}
    need_paths(values["paths"])
    out = Path(values["out"] or Path(values["paths"][0]).stem + ".koopman")
    _check_out(out, (*values["paths"], *values["test"]), force=flags["force"])
    place = _training_place(values, out)
    result, table = _fit(values, place)
    from koopman_cli.report.run import write_run
    from koopman_cli.report.scores import table_files

    extra = None if table is None else table_files(table)
    path = write_run(result, out, force=flags["force"], extra=extra)
    place.forget()
    _print(result, path, as_json=values["as_json"])
    _finish(result, **{name: flags[name] for name in ("allow_empty", "strict")})


def _check_out(out: Path, paths: tuple[str, ...], *, force: bool) -> None:
    from koopman_cli.report.run import check_out

    for path in map(Path, paths):
        if path.resolve().is_relative_to(out.resolve()):
            what = "is" if path.resolve() == out.resolve() else "holds"
            raise UsageError(f"{str(out)!r} {what} an input", "choose another --out")
    check_out(out, force=force)


def _training_place(values: dict[str, Any], out: Path) -> Place:
    """Where the training of networks keeps its checkpoints: beside the RUN, until that is there."""
    from koopman_cli.models import family
    from koopman_cli.networks.checkpoint import Place

    model = values["model"]
    if values["resume"] and (model in (None, "auto") or family(model)().company is None):
        raise UsageError(
            f"--resume goes on with the training of networks; {model or 'the default'} has none",
            "name the model that was trained, for example --model vampnet",
        )
    place = Place(out.with_name(f"{out.name}.training"), resume=values["resume"])
    if not place.resume:
        place.forget()
    return place


def _fit(values: dict[str, Any], place: Place) -> tuple[FitResult, ScoreTable | None]:
    from koopman_cli.cli.output import make_progress

    read = read_options(values)
    options = _options(values)
    from koopman_cli.autofit import auto_fit

    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    with going_on_with(place.folder):
        return auto_fit(
            list(values["paths"]),
            replace(options, place=place),
            read=read,
            progress=progress,
            command=shlex.join(["koopman", *sys.argv[1:]]),
        )


def _options(values: dict[str, Any]) -> Any:
    from koopman_cli.api import FitOptions

    return FitOptions(
        features=values["features"],
        model=values["model"],
        lag=values["lag"],
        dim=values["dim"],
        settings=_settings(with_restarts(values), values["model"]),
        folds=values["folds"],
        test=list(values["test"]) or None,
        seed=values["seed"],
        precision=values["precision"],
        device=values["device"],
    )


def _settings(items: tuple[str, ...], model: str | None) -> dict[str, str]:
    """``NAME=VALUE`` or ``family.NAME=VALUE`` to a mapping for the family of the fit."""
    found = {}
    for item in items:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise UsageError(f"--set {item}: no NAME=VALUE", "for example --set degree=3")
        owner, dot, own = name.rpartition(".")
        if dot and owner != model:
            raise UsageError(
                f"--set {item} is for {owner}, but the model is {model or 'not given'}",
                f"add --model {owner}",
            )
        found[own] = value
    return found


def _print(result: FitResult, path: Path, *, as_json: bool) -> None:
    if as_json:
        from koopman_cli.cli.output import print_json
        from koopman_cli.report.json import summary

        print_json(summary(result))
    else:
        from koopman_cli.report.text import print_fit

        print_fit(result, run=path)


def _finish(result: FitResult, *, allow_empty: bool, strict: bool) -> None:
    """Results are written; the exit code still tells what they are worth."""
    if not result.slow and not allow_empty:
        from koopman_cli.report.words import flow_cure, is_flow

        told = "no slow mode in these features"
        # A command stands last, to be copied without what follows it.
        hint = "try other features, a shorter lag or longer data; --allow-empty makes this exit 0"
        if is_flow(result):
            told = "no mode of this flow is resolved"
            hint = f"--allow-empty makes this exit 0; {flow_cure(result)}"
        begins = ("no slow mode", "no mode of this flow")
        why = next((w for w in result.warnings if w.startswith(begins)), told)
        raise SupportError(f"{why} (the results are written)", hint)
    if strict and result.warnings:
        of_model = [w for w in result.warnings if w in result.model.warnings]
        kind: type[KoopmanError] = SupportError if of_model else DataError
        raise kind(
            f"--strict: {_foremost(of_model or list(result.warnings), len(result.warnings))} "
            "(the results are written)",
            "mend the cause, or leave out --strict",
        )


def _foremost(warnings: list[str], count: int) -> str:
    """The first warning, which is told first as a cause, what it means for all, and how many.

    >>> _foremost(["the mean drifts", "far away", "no slow mode is resolved: a walk"], 4)
    'the mean drifts; no slow mode is resolved: a walk; and 2 more warnings'
    """
    whole = ("no slow mode", "no mode of this flow", "what is slow is not resolved")
    told = list(dict.fromkeys([*warnings[:1], *(w for w in warnings if w.startswith(whole))]))
    more = count - len(told)
    return "; ".join([*told, *([f"and {counted(more, 'more warning')}"] if more else [])])
