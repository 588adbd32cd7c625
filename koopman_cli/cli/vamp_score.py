"""``koopman vamp-score``: cross-validated scores of a grid of models."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from koopman_cli.cli.guard import CELLS, going_on_with
from koopman_cli.cli.options import (
    analysis_options,
    folds_option,
    need_paths,
    paths_argument,
    read_options,
    test_option,
    training_options,
    with_restarts,
)
from koopman_cli.errors import SupportError, UsageError
from koopman_cli.nouns import counted, verb

if TYPE_CHECKING:
    from koopman_cli.candidates import ScoreTable


@click.command(short_help="held-out scores over families, features, lags, dims and settings")
@paths_argument
@click.option(
    "--features", metavar="SPEC,SPEC", help="Feature sets, each joined by +.  [default: as fit]"
)
@click.option(
    "--model", metavar="NAMES", help="Families.  [default: tica,vamp; of fields dmd,vamp]"
)
@click.option(
    "--lag",
    default="auto",
    show_default=True,
    metavar="LAGS",
    help="Lags: 1,2,5ns or 1:20:5; auto is the lag that fit would take.",
)
@click.option("--dim", default="1:10", show_default=True, metavar="DIMS", help="Dims: 1:6 or 2,4.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="[FAMILY.]NAME=V1,V2",
    help="Settings of a family; several values make a grid.",
)
@folds_option
@click.option("--repeats", default=1, show_default=True, help="Assignments of blocks to folds.")
@test_option
@click.option("--jobs", default=1, show_default=True, help="Processes.")
@training_options
@analysis_options(
    "Directory of the scores, continued if it exists.  [default: <stem>-scores.koopman]",
    click.option("--allow-empty", is_flag=True, help="Exit 0 even if nothing is recommended."),
)
def command(**values: Any) -> None:
    """Score models on held-out data and recommend one for every lag.

    All combinations of feature sets, families, settings, lags and dims are scored on the same
    folds. Cells of one lag are ranked by held-out VAMP-E; lags are not comparable with each
    other. Finished cells are kept in the directory, so that an interrupted run continues.

    \b
    koopman vamp-score traj.h5
    koopman vamp-score traj.h5 --lag 10,20 --dim 1:6
    koopman vamp-score traj.h5 --features torsions,heavy-distances --model tica,edmd --lag 10ps
    koopman vamp-score x.npy --model edmd --set edmd.degree=1,2,3 --lag 5 --jobs 2
    """
    need_paths(values["paths"])
    out = Path(values["out"] or Path(values["paths"][0]).stem + "-scores.koopman")
    if any(Path(path).resolve() == out.resolve() for path in values["paths"]):
        raise UsageError(f"{out} is an input", "choose another --out")
    fresh = not out.exists()
    try:
        with going_on_with(out / "cells.jsonl", CELLS):
            table = _score(values, _prepared(out, force=values["force"]))
    except BaseException:
        if fresh:
            _clear(out)
        raise
    from koopman_cli.report.scoreplot import save_score_figure
    from koopman_cli.report.scores import document, print_scores, write_tables

    write_tables(table, out)
    save_score_figure(table, out / "figures")
    if values["as_json"]:
        from koopman_cli.cli.output import print_json

        print_json(document(table))
    else:
        print_scores(table, out)
    if all(found.cell is None for found in table.recommended) and not values["allow_empty"]:
        raise SupportError(
            f"nothing recommended: {table.recommended[0].reason} (the results are written)",
            "try other features or lags; --allow-empty makes this exit 0",
        )


def _clear(out: Path) -> None:
    """Remove a directory in which no cell was finished."""
    book = out / "cells.jsonl"
    with suppress(OSError):
        if not book.exists() or book.stat().st_size == 0:
            book.unlink(missing_ok=True)
            out.rmdir()


def _prepared(out: Path, *, force: bool) -> Path:
    """The journal of a new, continued or (with --force) emptied directory."""
    from koopman_cli.store.atomic import refusals

    book = out / "cells.jsonl"
    with refusals(out, "write"):
        if out.exists() and not out.is_dir():
            raise UsageError(f"{out} is a file", "give --out a directory")
        if out.is_dir() and any(out.iterdir()) and not book.exists():
            raise UsageError(f"{out} is not a directory of scores", "choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        if force:
            book.unlink(missing_ok=True)
    return book


def _score(values: dict[str, Any], book: Path) -> ScoreTable:
    from koopman_cli.cli.output import make_progress, note
    from koopman_cli.cli.settings import grid_settings
    from koopman_cli.networks.checkpoint import Place
    from koopman_cli.scores import GridOptions, default_models, score_grid
    from koopman_cli.store.journal import Journal
    from koopman_cli.units import parse_list

    read = read_options(values)
    features = values["features"]
    specs = (None,) if features is None else tuple(parse_specs(features))
    if values["model"] is None:
        models = default_models(list(values["paths"]), read)
    else:
        models = tuple(parse_list(values["model"]))
    options = GridOptions(
        features=specs,
        models=models,
        lags=tuple(parse_list(values["lag"])),
        dims=parse_dims(values["dim"]),
        settings=grid_settings(with_restarts(values), models),
        folds=values["folds"],
        repeats=values["repeats"],
        test=list(values["test"]) or None,
        seed=values["seed"],
        precision=values["precision"],
        device=values["device"],
        jobs=values["jobs"],
    )
    progress = make_progress(quiet=values["quiet"], verbose=values["verbose"])
    # Stages are told apart by all they depend on, so what is there can always be gone on with.
    place = Place(book.parent / "training", resume=True, keyed=True)
    with Journal(book).locked():
        table = score_grid(
            list(values["paths"]),
            replace(options, place=place),
            read=read,
            progress=progress,
            journal=book,
        )
    place.forget()
    kept = len(table.cells) - table.computed
    if kept > 0:
        note(
            f"{kept} of {counted(len(table.cells), 'cell')} {verb(kept, 'was', 'were')} there "
            "already"
        )
    return table


def parse_specs(text: str) -> list[str]:
    """Feature specifications separated by commas."""
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found:
        raise UsageError("--features: no specification", "for example --features torsions")
    return list(dict.fromkeys(found))


def parse_dims(text: str) -> tuple[int, ...]:
    """Dims of "1:6" or "2,4", each once.

    >>> parse_dims("1:3,8")
    (1, 2, 3, 8)
    """
    from koopman_cli.units import parse_list

    try:
        return tuple(dict.fromkeys(int(item) for item in parse_list(text)))
    except ValueError:
        raise UsageError(f"--dim {text}: not whole numbers", "for example --dim 1:6") from None
