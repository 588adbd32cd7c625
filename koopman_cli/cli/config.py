"""``--config``: the options of an earlier RUN, checked like those of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.types import ReadOptions

#: Parameters of ``koopman fit`` that a config.toml does not hold: about this run of the command,
#: not about the result.
_OF_THE_RUN = frozenset(
    {"paths", "settings", "out", "force", "config", "allow_empty", "strict", "as_json", "quiet",
     "verbose", "debug", "version", "restarts", "resume"}
)  # fmt: skip


def _sections(parameters: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Which options each section may hold: how to read, and the rest."""
    reading = {f.name for f in fields(ReadOptions)}
    stored = [name for name in parameters if name not in _OF_THE_RUN]
    return {
        "read": tuple(name for name in stored if name in reading),
        "fit": tuple(name for name in stored if name not in reading),
    }


def with_config(ctx: click.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Options of --config where the command line does not give them itself.

    Raises
    ------
    UsageError
        An unknown section or option, or a value that the command line would refuse.

    Notes
    -----
    Settings belong to a model: with another --model those of the file are left out.
    """
    if values["config"] is None:
        return values
    from koopman_cli.report.config import read_config
    from koopman_cli.store.places import placed

    where = values["config"]
    config = placed(read_config(Path(where)))
    stored = _stored(ctx, config, where)
    if values["model"] in (None, stored.get("model")):
        # The later of two values of one setting counts.
        values["settings"] = (*stored["settings"], *values["settings"])
    del stored["settings"]
    for name, value in stored.items():
        given = ctx.get_parameter_source(name) not in (ParameterSource.DEFAULT, None)
        if not (values[name] if name == "paths" else given):
            values[name] = value
    return values


def _stored(ctx: click.Context, config: dict[str, Any], where: str) -> dict[str, Any]:
    parameters = {p.name or "": p for p in ctx.command.params}
    sections = _sections(parameters)
    known = ("paths", *sections, "settings")
    for section, content in config.items():
        if section not in known:
            raise UsageError(f"{where}: unknown section {section!r}", did_you_mean(section, known))
        if section != "paths" and not isinstance(content, dict):
            raise UsageError(f"{where}: {section} is no section", f"write [{section}] above it")
    found: dict[str, Any] = {}
    if "paths" in config:
        found["paths"] = tuple(_texts(config["paths"], f"{where}: paths"))
    for section, names in sections.items():
        for name, value in config.get(section, {}).items():
            if name not in names:
                raise UsageError(f"{where}: unknown option {name!r}", did_you_mean(name, names))
            found[name] = _converted(parameters[name], value, f"{where}: {name}", ctx)
    settings = config.get("settings", {}).items()
    found["settings"] = tuple(f"{k}={_text(v, f'{where}: {k}')}" for k, v in settings)
    return found


def _converted(param: click.Parameter, value: Any, where: str, ctx: click.Context) -> Any:
    """A stored value as the command line would have taken it."""
    if param.name == "var":
        return ",".join(_texts(value, where)) or None
    if isinstance(param, click.Option) and param.is_flag:
        if not isinstance(value, bool):
            raise UsageError(f"{where} = {value!r}: not true or false", "write true or false")
        return value
    if param.multiple:
        return tuple(_texts(value, where))
    try:
        return param.type.convert(_text(value, where), param, ctx)
    except click.BadParameter as error:
        raise UsageError(f"{where}: {error.message}", "see koopman fit --help") from None


def _texts(value: Any, where: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise UsageError(f"{where} = {value!r}: not a list of texts", 'write ["a", "b"]')
    return value


def _text(value: Any, where: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise UsageError(f"{where} = {value!r}: not a single value", "write a text or a number")
    return str(value)
