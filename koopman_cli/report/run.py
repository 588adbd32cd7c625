"""RUN directories: written beside their place, then renamed into it; read back as a whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from koopman_cli.errors import FileError, ModelFileError, UsageError
from koopman_cli.report.config import encode as config_bytes
from koopman_cli.report.config import read_config
from koopman_cli.report.json import encode as json_bytes
from koopman_cli.report.json import summary
from koopman_cli.store import load_result, save_result
from koopman_cli.store.atomic import exchange, refusals, sibling, sync_directory, write_durable
from koopman_cli.store.states import STATES, load_states
from koopman_cli.types import FitResult, Model, Projection

MODEL, SUMMARY, CONFIG, FIGURES = "model.h5", "summary.json", "config.toml", "figures"

#: Where slow coordinates go that are given no place of their own.
TRANSFORMED = "transformed.h5"

#: What koopman itself puts into a RUN; --force removes a RUN only if nothing else is in it.
OWN = frozenset(
    {
        MODEL,
        SUMMARY,
        CONFIG,
        FIGURES,
        "report.html",
        "states",
        "scores.json",
        "scores.csv",
        "timescales",
        TRANSFORMED,
    }
    | {"forecast.nc", "reconstruction.nc", "modes.nc"}
)


@dataclass(frozen=True)
class Run:
    """A RUN directory, read back.

    result : everything the fit found, ``config`` included
    summary : ``summary.json`` as it stands there
    """

    path: Path
    result: FitResult
    summary: dict[str, Any]

    @property
    def model(self) -> Model:
        """The fitted model."""
        return self.result.model

    @property
    def projection(self) -> Projection | None:
        """Slow functions along the data, thinned."""
        return self.result.projection

    @property
    def config(self) -> dict[str, Any]:
        """Every resolved setting."""
        return dict(self.result.config)


def _check_replaceable(out: Path) -> None:
    """A directory that --force may remove: a RUN, or what an older koopman left of one."""
    found = {entry.name for entry in out.iterdir()}
    if not {MODEL, SUMMARY} & found:
        raise UsageError(
            f"{str(out)!r} is not a koopman run, so --force does not replace it",
            "choose another --out",
        )
    foreign = sorted(found - OWN)
    if foreign:
        raise UsageError(
            f"{str(out)!r} also holds {foreign[0]!r}, which koopman did not write",
            "move it elsewhere, or choose another --out",
        )


def check_out(out: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Make sure, before any work, that a RUN may be written to ``out``; nothing is changed.

    Returns
    -------
    Path
        ``out`` with symbolic links resolved.

    Raises
    ------
    UsageError
        If it exists and ``force`` is not given, or it is something other than a RUN.
    FileError
        If the place is not writable.
    """
    with refusals(Path(out), "write"):
        path = Path(out).resolve()
        if path.exists() and not path.is_dir():
            raise UsageError(f"{str(out)!r} is a file", "give --out a directory that is not there")
        if path.is_dir() and any(path.iterdir()):
            if not force:
                raise UsageError(f"{str(out)!r} exists", "add --force to replace it, or use --out")
            _check_replaceable(path)
        parent = path.parent
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise FileError(f"cannot write {str(out)!r}: {str(parent)!r} is a file", "use --out")
        if not os.access(parent, os.W_OK | os.X_OK):
            raise FileError(
                f"cannot write {str(out)!r}: no permission in {str(parent)!r}",
                "choose another --out",
            )
    return path


def _fill(
    result: FitResult, folder: Path, figures: bool, extra: Mapping[str, bytes] | None = None
) -> None:
    folder.mkdir()
    for name, content in (extra or {}).items():
        write_durable(folder / name, content)
    save_result(result, folder / MODEL)
    write_durable(folder / SUMMARY, json_bytes(summary(result)))
    write_durable(folder / CONFIG, config_bytes(result.config))
    if figures:
        from koopman_cli.report.figures import save_figures
        from koopman_cli.report.page import REPORT, page

        written = save_figures(result, None, folder / FIGURES)
        pictures = {path.stem: path.read_bytes() for path in written}
        write_durable(folder / REPORT, page(result, pictures))
    sync_directory(folder)


def _put_in_place(new: Path, out: Path) -> None:
    """Rename ``new`` to ``out``; what was at ``out`` is removed only after that.

    The two change places in one step where the system can, so that a RUN stands at ``out`` at
    every moment; ``new`` is then the old one, for the caller to remove.
    """
    if out.exists() and exchange(new, out):
        sync_directory(out.parent)
        return
    old = sibling(out, "old")
    moved = out.exists()
    if moved:
        out.rename(old)
    try:
        new.rename(out)
    except BaseException:
        if moved:
            old.rename(out)
        raise
    try:
        sync_directory(out.parent)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def write_run(
    result: FitResult,
    out: str | os.PathLike[str],
    *,
    force: bool = False,
    figures: bool = True,
    extra: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a RUN directory: model.h5, summary.json, config.toml, figures, report.html.

    Parameters
    ----------
    result : FitResult
        What a fit found.
    out : path
        The directory; missing parents are made.
    force : bool
        Replace an existing RUN. It is removed only once the new one is in its place.
    figures : bool
        Draw the figures and write the report as well.
    extra : mapping of name to bytes, optional
        Further files, such as the scores that decided.

    Returns
    -------
    Path
        The directory written.

    Raises
    ------
    UsageError
        If ``out`` exists and ``force`` is not given, or holds anything not written here.
    FileError
        If the file system refuses; ``out`` is then as it was and nothing is left beside it.
    """
    path = check_out(out, force=force)
    partial = sibling(path, "part")
    with refusals(Path(out), "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _fill(result, partial, figures, extra)
            _put_in_place(partial, path)
        except FileError as error:
            raise FileError(str(error).replace(str(partial), str(out)), error.hint) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return path


def check_spared(run: Run, out: Path) -> None:
    """Raise UsageError if writing a file to ``out`` would replace a part of the RUN."""
    inside = out.resolve().parent == run.path.resolve() and out.name != TRANSFORMED
    if inside and out.name in OWN:
        raise UsageError(
            f"{str(out)!r} is a part of the run", f"choose another --out, or {TRANSFORMED!r}"
        )


def _config(path: Path) -> dict[str, Any]:
    try:
        return read_config(path)
    except UsageError as error:
        raise ModelFileError(f"damaged run: {error}", "fit again, or take a good copy") from error


def open_run(path: str | os.PathLike[str]) -> Run:
    """Read a RUN directory.

    Parameters
    ----------
    path : path
        The directory, or the ``model.h5`` in it.

    Returns
    -------
    Run
        With the states of ``koopman states`` where it was asked for some since the fit.

    Raises
    ------
    FileError
        If there is no such directory, or a file of it is missing.
    ModelFileError
        If a file of it is damaged.
    """
    folder = Path(path)
    folder = folder.parent if folder.name == MODEL and folder.is_file() else folder
    with refusals(folder, "read"):
        if folder.exists() and not folder.is_dir():
            raise FileError(f"{str(path)!r} is not a RUN directory", "give what fit --out wrote")
        if not (folder / MODEL).exists():
            missing = f"{MODEL!r} in it" if folder.is_dir() else "such directory"
            raise FileError(f"{str(path)!r}: no {missing}", "give the RUN that koopman fit wrote")
        result = replace(load_result(folder / MODEL), config=_config(folder / CONFIG))
        later = folder / "states" / STATES
        if later.is_file():
            found, shown = load_states(later)
            result = replace(result, states=found, structures=shown)
    with refusals(folder / SUMMARY, "read"):
        text = (folder / SUMMARY).read_bytes()
    try:
        told = json.loads(text)
    except ValueError as error:
        raise ModelFileError(
            f"{str(folder / SUMMARY)!r} is damaged: {error}", "fit again, or take a good copy"
        ) from error
    return Run(folder, result, told)


def put_states(run: Run, write: Callable[[Path], object]) -> Path:
    """Let ``write`` fill a new folder, and put it in place as RUN/states in one step.

    Raises
    ------
    FileError
        If the file system refuses; what was there is then still there.
    """
    out = run.path / "states"
    new = sibling(out, "new")
    with refusals(out, "write"):
        try:
            write(new)
            _put_in_place(new, out)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return out
