"""The frozen dataclasses that travel between the rooms of the house.

Nothing here computes; nothing here imports numpy at run time, so that the command line
can name these types without paying for them.
"""

from __future__ import annotations

from koopman_cli.types.flows import Flow, ForecastSkill
from koopman_cli.types.inputs import (
    FeatureSpec,
    FileRecord,
    Frames,
    InputSummary,
    Kind,
    ReadOptions,
    TimeStep,
    Trajectory,
)
from koopman_cli.types.models import Domain, Lag, Lift, Model
from koopman_cli.types.modes import Correlations, Gap, Mode, Projection, Quantity
from koopman_cli.types.progress import Progress, no_progress
from koopman_cli.types.result import FitResult
from koopman_cli.types.scores import DimChoice, LagScan, Score, ScoreEntry
from koopman_cli.types.states import ChapmanKolmogorov, CoherentSets, States, Structures

__all__ = [
    "ChapmanKolmogorov",
    "CoherentSets",
    "Correlations",
    "DimChoice",
    "Domain",
    "FeatureSpec",
    "FileRecord",
    "FitResult",
    "Flow",
    "ForecastSkill",
    "Frames",
    "Gap",
    "InputSummary",
    "Kind",
    "Lag",
    "LagScan",
    "Lift",
    "Mode",
    "Model",
    "Progress",
    "Projection",
    "Quantity",
    "ReadOptions",
    "Score",
    "ScoreEntry",
    "States",
    "Structures",
    "TimeStep",
    "Trajectory",
    "no_progress",
]
