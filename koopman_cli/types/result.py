"""Everything that one fit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from koopman_cli.types.flows import Flow
from koopman_cli.types.inputs import InputSummary
from koopman_cli.types.models import Model
from koopman_cli.types.modes import Correlations, Gap, Mode, Projection
from koopman_cli.types.scores import DimChoice, LagScan, Score
from koopman_cli.types.states import CoherentSets, States, Structures


@dataclass(frozen=True)
class FitResult:
    """Everything one ``koopman fit`` found; written to a RUN directory by ``report``.

    ``config`` holds every resolved option and setting (what config.toml holds); ``notes`` say
    what was chosen automatically and why; ``provenance`` the command, versions, seconds.
    """

    input: InputSummary
    model: Model
    modes: tuple[Mode, ...]
    score: Score | None
    gap: Gap | None = None
    states: States | None = None
    coherent: CoherentSets | None = None
    lag_scan: LagScan | None = None
    dim_choice: DimChoice | None = None
    projection: Projection | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    slow: bool = True
    flow: Flow | None = None
    rivals: tuple[tuple[str, Score], ...] = ()
    correlations: Correlations | None = None
    structures: Structures | None = None
