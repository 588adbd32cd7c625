"""Relative paths of a stored config, followed from wherever somebody is now."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any


def here() -> str | None:
    """The directory that relative paths count from; None if it is gone.

    It is written beside the paths, which stay as they were typed.
    """
    try:
        return str(Path.cwd())
    except OSError:
        return None


def placed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with paths that lead to its files from here, without ``directory``.

    In the directory where it was made, or where none is told, paths stay as they are.

    >>> config = {"directory": "/data", "paths": ["a.npy", "/b.npy"], "read": {"top": "c.pdb"}}
    >>> found = placed(config)
    >>> found["paths"], found["read"]["top"]
    (['/data/a.npy', '/b.npy'], '/data/c.pdb')
    """
    found = {name: value for name, value in config.items() if name != "directory"}
    directory = config.get("directory")
    if not isinstance(directory, str) or directory == here():
        return found

    def follow(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [follow(item) for item in value]
        return str(Path(directory) / value) if isinstance(value, str) else value

    if "paths" in found:
        found["paths"] = follow(found["paths"])
    for section, name in (("read", "top"), ("fit", "test")):
        inner = found.get(section)
        if isinstance(inner, Mapping) and name in inner:
            found[section] = {**inner, name: follow(inner[name])}
    return found
