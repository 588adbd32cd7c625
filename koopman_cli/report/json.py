"""``summary.json``: the result of a fit for machines. Times carry units; no NaN, ever."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from koopman_cli import __version__
from koopman_cli.store.atomic import write_atomic
from koopman_cli.store.plain import to_plain
from koopman_cli.types import (
    CoherentSets,
    FitResult,
    Gap,
    InputSummary,
    Mode,
    Model,
    Quantity,
    Score,
    ScoreEntry,
    States,
)

#: Version of the layout of summary.json.
SCHEMA = 1


def number(value: float | None) -> float | None:
    """The value, or None where there is none that could be printed.

    >>> number(1.5), number(None), number(float("nan"))
    (1.5, None, None)
    """
    return float(value) if value is not None and math.isfinite(value) else None


def quantity(q: Quantity | None) -> dict[str, Any] | None:
    """Q of the schema: value, low, high, unit; None where the value is undefined.

    >>> quantity(Quantity(33.0, unit="ps"))
    {'value': 33.0, 'low': None, 'high': None, 'unit': 'ps'}
    """
    if q is None or not math.isfinite(q.value):
        return None
    return {"value": float(q.value), "low": number(q.low), "high": number(q.high), "unit": q.unit}


def _input(found: InputSummary) -> dict[str, Any]:
    dt = found.dt
    files, test = (
        [{"path": p, "sha256": s, "frames": int(n)} for p, s, n in group]
        for group in (found.files, found.test)
    )
    return {
        "kind": found.kind,
        "files": files,
        # Only where there is one: the key tells a test set from held-out folds.
        **({"test": test} if test else {}),
        "frames": int(found.frames),
        "features": int(found.features),
        "dt": None if dt is None else {"value": float(dt.value), "unit": dt.unit},
    }


def _model(model: Model) -> dict[str, Any]:
    lag = model.lag
    return {
        "family": model.family,
        "lag": {"frames": int(lag.frames), "value": float(lag.value), "unit": lag.unit},
        "dim": int(model.dim),
        "rank": int(model.rank),
        "pairs": int(model.pairs),
        "settings": finite(to_plain(model.settings)),
    }


def _entry(entry: ScoreEntry) -> dict[str, Any]:
    told = {"train": entry.train, "test": entry.test, "stderr": entry.stderr}
    return {name: number(value) for name, value in told.items()}


def _score(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "vamp2": _entry(score.vamp2),
        "vampe": _entry(score.vampe),
        "folds": int(score.folds),
    }


def _eigenvalue(value: complex | None) -> list[float] | None:
    if value is None or not (math.isfinite(value.real) and math.isfinite(value.imag)):
        return None
    return [float(value.real), float(value.imag)]


def _mode(mode: Mode) -> dict[str, Any]:
    c = mode.certificate
    return {
        "index": int(mode.index),
        "eigenvalue": _eigenvalue(mode.eigenvalue),
        "singular_value": number(mode.singular_value),
        "eigenvalue_low": number(mode.eigenvalue_low),
        "eigenvalue_high": number(mode.eigenvalue_high),
        "timescale": quantity(mode.timescale),
        "period": quantity(mode.period),
        "frequency": quantity(mode.frequency),
        "growth": quantity(mode.growth),
        "amplitude": quantity(mode.amplitude),
        "residual": number(mode.residual),
        "spectral_bias": number(mode.spectral_bias),
        "certificate": None if c is None else _certificate(c),
        "verdict": mode.verdict,
        "reason": mode.reason,
    }


def _certificate(c: Mapping[str, Any]) -> dict[str, Any]:
    sure = c.get("guaranteed") or {}
    return {
        "low": number(c.get("low")),
        "high": number(c.get("high")),
        "kind": c.get("kind"),
        "guaranteed": {"low": number(sure.get("low")), "high": number(sure.get("high"))},
    }


def _gap(gap: Gap | None) -> dict[str, Any] | None:
    if gap is None:
        return None
    return {
        "after": gap.after,
        "ratio": quantity(gap.ratio),
        "resolved": bool(gap.resolved),
        "reason": gap.reason,
    }


def states(found: States | None) -> dict[str, Any] | None:
    """``states`` of the schema; times are null where a state is never left or reached."""
    if found is None:
        return None
    test = found.chapman_kolmogorov
    return {
        "count": int(found.count),
        "chosen_by": found.chosen_by,
        "populations": {
            "hard": [quantity(q) for q in found.hard],
            "soft": [quantity(q) for q in found.soft],
        },
        "lifetimes": [quantity(q) for q in found.lifetimes],
        "transition_matrix": [[number(x) for x in row] for row in found.transition_matrix],
        "transition_matrix_low": _edges(found, "low"),
        "transition_matrix_high": _edges(found, "high"),
        "mfpt": [[quantity(q) for q in row] for row in found.mfpt],
        "chapman_kolmogorov": None
        if test is None
        else {"p": number(test.p), "verdict": test.verdict},
    }


def _edges(found: States, side: str) -> list[list[float | None]] | None:
    """Lower or upper ends of the intervals of the transition matrix."""
    if found.transitions is None:
        return None
    return [[number(getattr(q, side)) for q in row] for row in found.transitions]


def _coherent(found: CoherentSets | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "count": int(found.count),
        "shares": [number(v) for v in found.shares],
        "kept": [number(v) for v in found.kept],
    }


def finite(value: Any) -> Any:
    """Plain nested values with null in place of every number that JSON cannot hold.

    >>> finite({"a": [1.0, float("inf")]})
    {'a': [1.0, None]}
    """
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return number(value) if isinstance(value, float) else value


def summary(result: FitResult) -> dict[str, Any]:
    """The content of ``summary.json``.

    Parameters
    ----------
    result : FitResult
        What a fit found.

    Returns
    -------
    dict
        schema, version, seed, input, model, score, modes, gap, states, warnings; null
        where a quantity is undefined or was not computed.
    """
    return {
        "schema": SCHEMA,
        "version": __version__,
        "seed": int(result.model.seed),
        "input": _input(result.input),
        "model": _model(result.model),
        "score": _score(result.score),
        "modes": [_mode(mode) for mode in result.modes],
        "gap": _gap(result.gap),
        "states": states(result.states),
        "coherent_sets": _coherent(result.coherent),
        "warnings": list(result.warnings),
    }


def dumps(document: Any) -> str:
    """JSON text with a final newline.

    Raises
    ------
    ValueError
        If a number in it is NaN or infinite.

    Examples
    --------
    >>> print(dumps({"a": 1}), end="")
    {
      "a": 1
    }
    """
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def encode(document: Any) -> bytes:
    r"""The bytes of a JSON file: UTF-8; file names that are no text keep their bytes escaped.

    >>> encode({"path": "a\udcff.xtc"}).splitlines()[1]
    b'  "path": "a\\udcff.xtc"'
    """
    return dumps(document).encode("utf-8", "backslashreplace")


def write_json(document: Any, path: Path) -> None:
    """Write ``document`` to ``path`` in one step.

    Raises
    ------
    ValueError
        If a number in it is NaN or infinite; nothing is written then.
    FileError
        If the file system refuses.
    """
    write_atomic(path, encode(document))
