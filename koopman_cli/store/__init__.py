"""Model and result of a fit to one HDF5 file and back (docs/model-file.md is the format)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import ModelFileError
from koopman_cli.store import container
from koopman_cli.store.plain import dumps, from_plain, tuples
from koopman_cli.store.showcase import (
    correlations_from,
    correlations_tree,
    structures_from,
    structures_tree,
)
from koopman_cli.store.states import ARRAYS, states_from_plain, states_to_plain
from koopman_cli.types import (
    CoherentSets,
    Correlations,
    DimChoice,
    Domain,
    FeatureSpec,
    FitResult,
    Flow,
    ForecastSkill,
    Gap,
    InputSummary,
    Lag,
    LagScan,
    Lift,
    Mode,
    Model,
    Projection,
    Score,
    States,
    Structures,
    TimeStep,
)

#: Version of the layout below; raised whenever an old reader would misread a new file.
SCHEMA = 1

Tree = dict[str, NDArray[Any]]

_MODEL_SCALARS = ("family", "solve", "settings", "lag", "dt", "dim", "rank", "pairs", "seed")
_DOMAIN_ARRAYS = ("mean", "whitening", "limit")
_MODEL_ARRAYS = ("mean", "mean_right", "left", "right", "eigenvalues", "singular_values", "basis")


_FLOW_ARRAYS = (
    "modes", "heads", "known", "mean", "truth", "guess", "singular_values", "last", "times",
)  # fmt: skip
_SKILL_ARRAYS = ("steps", "model", "persistence", "climatology")


_SET_ARRAYS = ("shares", "kept", "start", "end", "before", "after")


def _json(value: Any) -> NDArray[Any]:
    return np.array([dumps(value)])


def _names(names: tuple[str, ...]) -> NDArray[Any]:
    return np.array(names, dtype=str) if names else np.empty(0, "U1")


def _key(name: str) -> str:
    """A link name for any text: what HDF5 reads as a path is percent-encoded."""
    encoded = quote(name, safe=" ()[]:+,=*")
    return encoded.replace(".", "%2E") if set(encoded) <= {"."} else encoded


def _under(tree: Tree, group: str) -> Tree:
    """What lies in a group, by its decoded name."""
    start = f"{group}/"
    return {unquote(p.removeprefix(start)): a for p, a in tree.items() if p.startswith(start)}


def _model_tree(model: Model) -> Tree:
    scalars = {name: getattr(model, name) for name in (*_MODEL_SCALARS, "precision", "warnings")}
    spec, lift = model.features, model.lift
    tree = {
        "model/json": _json(scalars),
        "model/dropped": _names(model.dropped),
        "features/json": _json({"text": spec.text, "kind": spec.kind, "select": spec.select}),
        "features/names": _names(spec.names),
        "features/units": _names(spec.units),
        "lift/json": _json({"kind": lift.kind, "settings": lift.settings}),
        "lift/names": _names(lift.names),
    }
    values = {name: getattr(model, name) for name in _MODEL_ARRAYS}
    tree |= {f"model/{name}": np.asarray(a) for name, a in values.items() if a is not None}
    tree |= {f"features/state/{_key(name)}": np.asarray(a) for name, a in spec.state.items()}
    tree |= {f"lift/arrays/{_key(name)}": np.asarray(a) for name, a in lift.arrays.items()}
    if model.domain is not None:
        tree |= {f"domain/{n}": np.asarray(getattr(model.domain, n)) for n in _DOMAIN_ARRAYS}
    if model.blocks is not None:
        tree |= {f"blocks/{_key(n)}": np.asarray(a) for n, a in model.blocks.to_arrays().items()}
    return tree


def _projection_tree(projection: Projection) -> Tree:
    tree = {
        "projection/trajectory": projection.trajectory,
        "projection/frame": projection.frame,
        "projection/values": projection.values,
        "projection/torsion_names": _names(projection.torsion_names),
    }
    if projection.begins is not None:
        tree["projection/begins"] = projection.begins
    if projection.torsions is not None:
        tree["projection/torsions"] = projection.torsions
    if projection.inputs is not None:
        tree["projection/inputs"] = projection.inputs
        tree["projection/input_names"] = _names(projection.input_names)
    return tree


def _flow_tree(flow: Flow) -> Tree:
    tree = {f"flow/{name}": np.asarray(getattr(flow, name)) for name in _FLOW_ARRAYS}
    tree["flow/labels"] = _names(flow.labels)
    told: dict[str, Any] = {"frame": flow.frame}
    if flow.skill is not None:
        told |= {"unit": flow.skill.unit, "starts": flow.skill.starts}
        tree |= {f"flow/skill {n}": np.asarray(getattr(flow.skill, n)) for n in _SKILL_ARRAYS}
    return tree | {"flow/json": _json(told)}


def _group(name: str, arrays: Tree, told: Mapping[str, Any]) -> Tree:
    return {f"{name}/{part}": a for part, a in arrays.items()} | {f"{name}/json": _json(told)}


def _result_tree(result: FitResult) -> Tree:
    parts = ("input", "modes", "score", "gap", "dim_choice", "notes", "warnings", "slow", "rivals")
    tree = {"result/json": _json({name: getattr(result, name) for name in parts})}
    if result.flow is not None:
        tree |= _flow_tree(result.flow)
    if result.states is not None:
        tree["states/json"] = _json(states_to_plain(result.states))
        tree |= {f"states/{name}": np.asarray(getattr(result.states, name)) for name in ARRAYS}
    if result.coherent is not None:
        tree |= {f"coherent/{n}": np.asarray(getattr(result.coherent, n)) for n in _SET_ARRAYS}
        tree["coherent/names"] = _names(result.coherent.names)
    if result.correlations is not None:
        tree |= _group("correlations", *correlations_tree(result.correlations))
    if result.structures is not None:
        tree |= _group("structures", *structures_tree(result.structures))
    scan = result.lag_scan
    if scan is not None:
        told = {"chosen": scan.chosen, "converged": scan.converged, "reason": scan.reason}
        tree["lag_scan/json"] = _json(told)
        tree["lag_scan/lags"] = np.array(scan.lags, np.int64)
        tree["lag_scan/timescales"] = np.asarray(scan.timescales)
    return tree


def _write(
    path: str | PathLike[str],
    model: Model,
    projection: Projection | None,
    provenance: Mapping[str, Any] | None,
    result: Tree,
) -> None:
    tree = _model_tree(model) | {"provenance/json": _json(provenance or {})} | result
    if projection is not None:
        tree |= _projection_tree(projection)
    container.write(Path(path), SCHEMA, tree)


def save_model(
    model: Model,
    path: str | PathLike[str],
    *,
    projection: Projection | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> None:
    """Write a model, and what was projected with it, to one HDF5 file in one step.

    Parameters
    ----------
    model : Model
        Any fitted model; arrays keep every bit.
    path : path
        The file; replaced if it exists, never left half written.
    projection : Projection, optional
        Slow functions along the data.
    provenance : mapping, optional
        Command, seed, SHA-256 of inputs, versions: anything that JSON can hold.

    Raises
    ------
    FileError
        If the file system refuses.
    """
    _write(path, model, projection, provenance, {})


def save_result(result: FitResult, path: str | PathLike[str]) -> None:
    """Write everything of a fit except its config to one HDF5 file; see :func:`save_model`."""
    _write(path, result.model, result.projection, result.provenance, _result_tree(result))


# ------------------------------------------------------------------ reading


class _Tree:
    """The arrays of one file, with every misfit of its content reported as damage."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        _, self.arrays = container.read(self.path, SCHEMA)

    def __enter__(self) -> _Tree:
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, LookupError | TypeError | ValueError | AttributeError):
            raise ModelFileError(
                f"{str(self.path)!r} lacks what a model needs ({error})",
                "fit again, or take an undamaged copy",
            ) from error

    def json(self, group: str) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(str(self.arrays[f"{group}/json"][0])))

    def names(self, path: str) -> tuple[str, ...]:
        return tuple(str(name) for name in self.arrays[path])

    def model(self) -> Model:
        told = self.json("model")
        told["lag"] = from_plain(Lag, told["lag"])
        told["dt"] = from_plain(TimeStep | None, told["dt"])
        told["warnings"] = tuple(told["warnings"])
        told["settings"] = tuples(told["settings"])
        arrays = {name: self.arrays.get(f"model/{name}") for name in _MODEL_ARRAYS}
        if any(arrays[name] is None for name in ("mean", "mean_right", "left", "right")):
            raise LookupError("a coefficient array is missing")
        blocks = _under(self.arrays, "blocks")
        return Model(
            **told,
            **cast("Any", arrays),
            features=self.features(),
            lift=self.lift(),
            dropped=self.names("model/dropped"),
            blocks=_blocks(blocks) if blocks else None,
            domain=self.domain(),
        )

    def domain(self) -> Domain | None:
        found = _under(self.arrays, "domain")
        if not found:
            return None
        return Domain(found["mean"], found["whitening"], float(found["limit"]))

    def features(self) -> FeatureSpec:
        return FeatureSpec(
            **self.json("features"),
            names=self.names("features/names"),
            units=self.names("features/units"),
            state=_under(self.arrays, "features/state"),
        )

    def lift(self) -> Lift:
        told = self.json("lift")
        arrays = _under(self.arrays, "lift/arrays")
        return Lift(told["kind"], self.names("lift/names"), tuples(told["settings"]), arrays)

    def projection(self) -> Projection | None:
        found = _under(self.arrays, "projection")
        if not found:
            return None
        names = {
            name: self.names(f"projection/{name}")
            for name in ("torsion_names", "input_names")
            if found.pop(name, None) is not None
        }
        return Projection(**cast("Any", found), **cast("Any", names))

    def flow(self) -> Flow | None:
        found = _under(self.arrays, "flow")
        if not found:
            return None
        told, skill = self.json("flow"), None
        if "unit" in told:
            arrays = {name: found[f"skill {name}"] for name in _SKILL_ARRAYS}
            skill = ForecastSkill(**arrays, unit=told["unit"], starts=told["starts"])
        return Flow(
            **{name: found[name] for name in _FLOW_ARRAYS},
            frame=told["frame"],
            labels=self.names("flow/labels"),
            skill=skill,
        )

    def lag_scan(self) -> LagScan | None:
        if "lag_scan/lags" not in self.arrays:
            return None
        lags = tuple(int(lag) for lag in self.arrays["lag_scan/lags"])
        timescales = self.arrays["lag_scan/timescales"]
        return LagScan(lags=lags, timescales=timescales, **self.json("lag_scan"))

    def states(self) -> States | None:
        if "states/json" not in self.arrays:
            return None
        return states_from_plain(self.json("states"), _under(self.arrays, "states"))

    def coherent(self) -> CoherentSets | None:
        found = _under(self.arrays, "coherent")
        if not found:
            return None
        shares, kept = (tuple(float(v) for v in found[name]) for name in ("shares", "kept"))
        maps = {name: found[name] for name in ("start", "end", "before", "after")}
        names = self.names("coherent/names")
        return CoherentSets(len(shares), shares, kept, names, **maps)

    def correlations(self) -> Correlations | None:
        found = _under(self.arrays, "correlations")
        return correlations_from(found, self.json("correlations")) if found else None

    def structures(self) -> Structures | None:
        found = _under(self.arrays, "structures")
        return structures_from(found, self.json("structures")) if found else None

    def result(self) -> FitResult:
        told = self.json("result")
        return FitResult(
            input=from_plain(InputSummary, told["input"]),
            model=self.model(),
            modes=from_plain(tuple[Mode, ...], told["modes"]),
            score=from_plain(Score | None, told["score"]),
            gap=from_plain(Gap | None, told["gap"]),
            states=self.states(),
            coherent=self.coherent(),
            dim_choice=from_plain(DimChoice | None, told["dim_choice"]),
            lag_scan=self.lag_scan(),
            projection=self.projection(),
            notes=tuple(told["notes"]),
            warnings=tuple(told["warnings"]),
            provenance=self.json("provenance"),
            slow=told["slow"],
            flow=self.flow(),
            rivals=from_plain(tuple[tuple[str, Score], ...], told.get("rivals", [])),
            correlations=self.correlations(),
            structures=self.structures(),
        )


def _blocks(arrays: Tree) -> Any:
    from koopman_cli.moments import BlockMoments

    return BlockMoments.from_arrays(arrays)


def load_model(path: str | PathLike[str]) -> Model:
    """Read the model of a file written by :func:`save_model` or ``koopman fit``.

    Parameters
    ----------
    path : path
        The file (``RUN/model.h5``). A file from a stranger is safe to open.

    Returns
    -------
    Model
        Equal to the saved one, bit for bit; sequences in settings are tuples.

    Raises
    ------
    FileError
        If there is no such file, or it may not be read.
    ModelFileError
        If it is damaged, foreign, too new, or refers to anything outside itself.
    """
    with _Tree(path) as tree:
        return tree.model()


def load_projection(path: str | PathLike[str]) -> Projection | None:
    """Read the stored projection, None where the file has none; errors as :func:`load_model`."""
    with _Tree(path) as tree:
        return tree.projection()


def load_result(path: str | PathLike[str]) -> FitResult:
    """Read all that :func:`save_result` wrote; errors as :func:`load_model`."""
    with _Tree(path) as tree:
        if "result/json" not in tree.arrays:
            raise LookupError("it holds a model only, no result of a fit")
        return tree.result()
