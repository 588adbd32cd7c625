"""Dataclasses of :mod:`koopman_cli.types` to JSON and back, by their annotations."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import PurePath
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def to_plain(value: Any) -> Any:
    """Nested dicts, lists, strings, numbers: dataclasses by field, complex as [re, im].

    >>> to_plain({"z": 1 + 2j, "layers": (64, 64)})
    {'z': [1.0, 2.0], 'layers': [64, 64]}
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_plain(item) for item in value]
    if isinstance(value, complex):
        return [value.real, value.imag]
    if isinstance(value, PurePath):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        # numpy's float64 is a float too, but must print as one
        return float(value) if isinstance(value, float) else value
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return to_plain(value.tolist())
    raise TypeError(f"{type(value).__name__} cannot be stored as JSON")


def tuples(value: Any) -> Any:
    """Settings are frozen: sequences come back as tuples.

    >>> tuples({"layers": [64, [1, 2]]})
    {'layers': (64, (1, 2))}
    """
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return tuple(tuples(item) for item in value) if isinstance(value, list) else value


@cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def from_plain(hint: Any, value: Any) -> Any:
    """Rebuild what :func:`to_plain` took apart; ``hint`` is the annotation.

    Raises
    ------
    TypeError, ValueError, KeyError
        If the value does not have the shape of the annotation.

    Examples
    --------
    >>> from koopman_cli.types import Gap, Quantity
    >>> gap = Gap(1, Quantity(3.0, 2.6, None, ""), True, "why")
    >>> from_plain(Gap, to_plain(gap)) == gap
    True
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (inner,) = (a for a in arguments if a is not type(None))
        return from_plain(inner, value)
    if origin is tuple:
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(from_plain(a, v) for a, v in zip(inner, value, strict=True))
    if is_dataclass(hint) and isinstance(hint, type):
        hints = _hints(hint)
        return hint(**{name: from_plain(hints[name], item) for name, item in value.items()})
    if hint is complex:
        return complex(*value)
    if origin is Literal or hint in (bool, int, float, str):
        return value
    return tuples(value)


def dumps(value: Any) -> str:
    """JSON of :func:`to_plain` in ASCII; floats keep every bit, file names every byte."""
    return json.dumps(to_plain(value), sort_keys=True)
