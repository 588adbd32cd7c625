"""Model families: one file and one line of the table each.

A family module defines ``Settings``, a frozen dataclass below
:class:`koopman_cli.models.base.Family`: its fields are the settings, with their meaning in
``metadata["help"]``, its methods what the family does with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import import_module
from typing import Any, get_type_hints

from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.models.base import Family
from koopman_cli.types import Kind

#: family -> (module, meaning); a new family is one file and one line.
MODELS = {
    "tica": ("koopman_cli.models.tica", "slow linear combinations of the features, reversible"),
    "vamp": ("koopman_cli.models.vamp", "slow linear combinations, also far from equilibrium"),
    "dmd": ("koopman_cli.models.dmd", "modes of a flow: regression on POD coordinates"),
    "optdmd": ("koopman_cli.models.optdmd", "modes of a flow: all snapshots fitted at once"),
    "edmd": ("koopman_cli.models.edmd", "slow combinations of a dictionary of functions"),
    "kedmd": ("koopman_cli.models.kedmd", "slow functions of a kernel, against landmarks"),
    "msm": ("koopman_cli.models.msm", "Markov state model of clusters, maximum likelihood"),
    "vampnet": ("koopman_cli.models.vampnet", "networks that maximise the VAMP score"),
    "srv": ("koopman_cli.models.srv", "networks for slow eigenfunctions, reversible"),
}


#: What is taken for a kind of input where no family is asked for, and why.
DEFAULTS: dict[Kind, tuple[str, str]] = {
    "md": ("tica", "molecular dynamics is reversible in time"),
    "field": ("dmd", "the input is a field"),
    "array": ("vamp", "nothing is known of the array's symmetry in time"),
}


def family(name: str) -> type[Family]:
    """The settings of a family, which are the family.

    Raises
    ------
    UsageError
        If there is none of that name.

    Examples
    --------
    >>> family("tica")().solver
    'reversible'
    """
    if name not in MODELS:
        raise UsageError(f"no such model: {name!r}", did_you_mean(name, tuple(MODELS)))
    found: type[Family] = import_module(MODELS[name][0]).Settings
    return found


def make_settings(name: str, given: Mapping[str, Any]) -> Family:
    """The settings of a family from texts or values, typed by its fields.

    Raises
    ------
    UsageError
        If a setting does not exist or its value does not fit.

    Examples
    --------
    >>> make_settings("edmd", {"degree": "3"}).degree
    3
    """
    cls = family(name)
    hints = get_type_hints(cls)
    names = tuple(f.name for f in fields(cls))
    values = {}
    for key, value in given.items():
        if key not in names:
            raise UsageError(f"{name} has no setting {key!r}", did_you_mean(key, names))
        values[key] = _typed(f"{name}.{key}", value, hints[key])
    return cls(**values)


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def taking_fields() -> tuple[str, ...]:
    """Families that can stand on the coordinates of a field.

    >>> taking_fields()
    ('tica', 'vamp', 'dmd', 'optdmd')
    """
    return tuple(name for name in MODELS if family(name).takes_fields)


def _typed(where: str, value: Any, kind: type) -> Any:
    if not isinstance(value, str):
        return kind(value)
    try:
        return _BOOLEANS[value.lower()] if kind is bool else kind(value)
    except (ValueError, KeyError):
        want = "true or false" if kind is bool else f"a value of type {kind.__name__}"
        raise UsageError(f"--set {where}={value}: not valid", f"give {want}") from None


@dataclass(frozen=True)
class SettingInfo:
    """One row of ``koopman models``."""

    name: str
    default: Any
    meaning: str


def list_models() -> dict[str, tuple[str, tuple[SettingInfo, ...]]]:
    """Meaning and settings of every family, for ``koopman models``."""
    return {
        name: (
            meaning,
            tuple(SettingInfo(f.name, f.default, f.metadata["help"]) for f in fields(family(name))),
        )
        for name, (_, meaning) in MODELS.items()
    }
