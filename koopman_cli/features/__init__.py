"""Featurizers: trajectories to columns of numbers.

``FEATURIZERS`` is the table of what there is; :func:`build_features` turns trajectories
into a :class:`~koopman_cli.features.stream.FeatureStream`, and :func:`rebuild_features`
does so again as a stored model did. Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from koopman_cli.features.catalogue import FEATURIZERS, Entry, list_features

if TYPE_CHECKING:
    from koopman_cli.features.build import build_features, rebuild_features
    from koopman_cli.features.stream import FeatureStream
    from koopman_cli.features.torsions import angles

__all__ = [
    "FEATURIZERS",
    "Entry",
    "FeatureStream",
    "angles",
    "build_features",
    "list_features",
    "rebuild_features",
]

_HOME = {
    "build_features": "koopman_cli.features.build",
    "rebuild_features": "koopman_cli.features.build",
    "FeatureStream": "koopman_cli.features.stream",
    "angles": "koopman_cli.features.torsions",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'koopman_cli.features' has no attribute {name!r}")
