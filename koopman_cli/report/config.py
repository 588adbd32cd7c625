"""``config.toml``: every resolved setting of a fit, enough to repeat it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from koopman_cli.errors import UsageError
from koopman_cli.store.atomic import refusals, write_atomic
from koopman_cli.store.plain import to_plain


def _without_none(value: Any) -> Any:
    """TOML has no null: an option that was not given is simply not there."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_none(item) for item in value if item is not None]
    return value


def dumps(config: Mapping[str, Any]) -> str:
    """The settings as TOML; options that are None are left out, tuples become arrays.

    >>> print(dumps({"lag": "10", "top": None, "settings": {"rtol": 1e-10}}), end="")
    lag = "10"
    <BLANKLINE>
    [settings]
    rtol = 1e-10
    """
    import tomli_w

    return tomli_w.dumps(_without_none(to_plain(config)))


def encode(config: Mapping[str, Any]) -> bytes:
    """The bytes of a config file; file names that are no text keep their bytes."""
    return dumps(config).encode("utf-8", "surrogateescape")


def write_config(config: Mapping[str, Any], path: Path) -> None:
    """Write the settings to ``path`` in one step; FileError if the file system refuses."""
    write_atomic(path, encode(config))


def read_config(path: Path) -> dict[str, Any]:
    """Read settings written by :func:`write_config`, or by hand.

    Raises
    ------
    FileError
        If the file cannot be read.
    UsageError
        If it is not TOML; the message has the line.
    """
    with refusals(path, "read"):
        content = path.read_bytes()
    try:
        return tomllib.loads(content.decode("utf-8", "surrogateescape"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            f"{str(path)!r} is not a TOML file: {error}",
            "compare with the config.toml of any RUN",
        ) from error
