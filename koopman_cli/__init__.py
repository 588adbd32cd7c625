"""koopman: slow modes from trajectories.

The names below are the commands of the command line as functions; they are imported on
first use, so that ``koopman --help`` pays for none of them.
"""

from __future__ import annotations

# What typing would say too, 4 ms later.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__version__ = "0.1.0"

_HOME = {
    "fit": "koopman_cli.api",
    "inspect": "koopman_cli.io",
    "transform": "koopman_cli.coordinates",
    "FitOptions": "koopman_cli.api",
    "ReadOptions": "koopman_cli.types",
    "FeatureStream": "koopman_cli.features.stream",
    "vamp_score": "koopman_cli.scoring",
    "load_model": "koopman_cli.store",
    "open_run": "koopman_cli.report.run",
    "write_run": "koopman_cli.report.run",
    "draw": "koopman_cli.report.figures",
    "save_figures": "koopman_cli.report.figures",
}

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 - the table is the list


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'koopman_cli' has no attribute {name!r}")
