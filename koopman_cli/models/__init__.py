"""Model families: a settings dataclass, a lift and a solver each; one table.

A family module defines ``Settings`` (a frozen dataclass whose fields carry their meaning in
``metadata["help"]``), ``solver(settings)``, ``fits_lift(settings)``,
``needs_sample(settings)`` and ``make_lift(sample, spec, settings, seed)``. Everything else
is written once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any, Protocol, get_type_hints

from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.types import FeatureSpec, Lift

#: family -> (module, meaning); a new family is one file and one line.
MODELS = {
    "tica": ("koopman_cli.models.tica", "slow linear combinations of the features, reversible"),
    "vamp": ("koopman_cli.models.vamp", "slow linear combinations, also far from equilibrium"),
    "dmd": ("koopman_cli.models.dmd", "modes of a flow: regression on POD coordinates"),
    "optdmd": ("koopman_cli.models.optdmd", "modes of a flow: all snapshots fitted at once"),
    "edmd": ("koopman_cli.models.edmd", "slow combinations of a dictionary of functions"),
    "kedmd": ("koopman_cli.models.kedmd", "slow functions of a kernel, against landmarks"),
    "msm": ("koopman_cli.models.msm", "Markov state model of clusters, maximum likelihood"),
}


def setting(meaning: str, default: Any) -> Any:
    """A field of a family's settings, with its one-line meaning."""
    return field(default=default, metadata={"help": meaning})


@dataclass(frozen=True)
class Common:
    """Settings that every linear family has."""

    rtol: float = setting("cut-off of the whitening; 0: 1e-10 (float64) or 1e-6 (float32)", 0.0)
    center: bool = setting("remove the means first", default=True)

    def __post_init__(self) -> None:
        if not 0 <= self.rtol < 1:
            raise UsageError(
                f"rtol {self.rtol:g}: not a relative cut-off", "give 0 (automatic) to below 1"
            )


class Family(Protocol):
    """What a family module offers."""

    Settings: type[Any]

    def solver(self, settings: Any) -> Any:
        """Which of "reversible", "eig", "svd" its moments are solved by."""

    def fits_lift(self, settings: Any) -> bool:
        """Whether the lift learns from data (and must be refitted for every fold)."""

    def needs_sample(self, settings: Any) -> bool:
        """Whether ``make_lift`` needs frames."""

    def make_lift(self, sample: Any, spec: FeatureSpec, settings: Any, seed: int) -> Lift:
        """The lift, from a sample of training frames where it needs one."""


def family(name: str) -> Any:
    """The module of a family.

    Raises
    ------
    UsageError
        If there is none of that name.

    Examples
    --------
    >>> family("tica").Settings().reversible
    True
    """
    if name not in MODELS:
        raise UsageError(f"no such model: {name!r}", did_you_mean(name, tuple(MODELS)))
    return import_module(MODELS[name][0])


def make_settings(name: str, given: Mapping[str, Any]) -> Any:
    """The settings dataclass of a family from texts or values, typed by its fields.

    Raises
    ------
    UsageError
        If a setting does not exist or its value does not fit.

    Examples
    --------
    >>> make_settings("edmd", {"degree": "3"}).degree
    3
    """
    cls = family(name).Settings
    hints = get_type_hints(cls)
    names = tuple(f.name for f in fields(cls))
    values = {}
    for key, value in given.items():
        if key not in names:
            raise UsageError(f"{name} has no setting {key!r}", did_you_mean(key, names))
        values[key] = _typed(f"{name}.{key}", value, hints[key])
    return cls(**values)


_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


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
            tuple(
                SettingInfo(f.name, f.default, f.metadata["help"])
                for f in fields(family(name).Settings)
            ),
        )
        for name, (_, meaning) in MODELS.items()
    }
