"""Trajectories to features: choose, prepare, combine; and again as a stored model did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, UsageError
from koopman_cli.features.agree import (
    check_agreement,
    check_columns,
    check_unpacked,
    common_step,
)
from koopman_cli.features.base import Block, Context, Prepare, State, check_width
from koopman_cli.features.catalogue import FEATURIZERS
from koopman_cli.features.default import default_parts
from koopman_cli.features.reading import Recipe, find_bad, read_rows, split_runs
from koopman_cli.features.spec import Part, parse_delays, parse_spec
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io.molecules import real_bonds
from koopman_cli.io.wholeness import FrameWatch, frame_warnings
from koopman_cli.nouns import are, counted, verb
from koopman_cli.types import FeatureSpec, Progress, Trajectory, no_progress


def build_features(
    trajectories: Sequence[Trajectory],
    spec: str | None = None,
    *,
    drop_nonfinite: bool = False,
    progress: Progress = no_progress,
) -> FeatureStream:
    """Turn trajectories into feature columns.

    Parameters
    ----------
    trajectories : sequence of Trajectory
        Of one kind and with the same atoms or columns.
    spec : str, optional
        Featurizers joined by ``+``; None (or ``delays`` alone) chooses what suits the
        input and says so in ``notes``. ``delays`` acts on all other columns together.
    drop_nonfinite : bool
        Remove frames with a column that is not finite, and split there (one more pass).
    progress : Progress
        Told about passes made here; reading the stream itself is up to its reader.

    Returns
    -------
    FeatureStream

    Raises
    ------
    UsageError
        The specification is misspelt or does not fit the kind of input.
    DataError
        A featurizer finds nothing to work on, trajectories disagree, or none is long
        enough. While the stream is read: a column is not finite.
    ResourceError
        Too many columns.
    """
    context = _context(trajectories, progress)
    notes: tuple[str, ...] = ()
    parts = () if spec is None else parse_spec(spec)
    parse_delays(parts)  # a misspelt number is found before anything is read
    if not [part for part in parts if part.name != "delays"]:
        chosen, note = default_parts(context)
        parts, notes = chosen + parts, (note,)
    stream = _assemble(context, parts, None, drop_nonfinite)
    return replace(stream, notes=notes + stream.notes)


def rebuild_features(
    trajectories: Sequence[Trajectory],
    spec: FeatureSpec,
    *,
    drop_nonfinite: bool = False,
    progress: Progress = no_progress,
) -> FeatureStream:
    """Make the columns of a stored model from other trajectories.

    Parameters
    ----------
    trajectories, drop_nonfinite, progress
        As for :func:`build_features`.
    spec : FeatureSpec
        What the model stores: its state (references, means) is used, nothing is refitted.

    Returns
    -------
    FeatureStream
        With the names, order and units of ``spec``.

    Raises
    ------
    DataError
        The input gives other columns than the model has; the first difference is named.
    """
    context = _context(trajectories, progress)
    if context.first.kind != spec.kind:
        raise DataError(
            f"{context.first.label}: input of kind {context.first.kind}, "
            f"but the model was made from kind {spec.kind}",
            "give input of the kind the model was fitted on",
        )
    stream = _assemble(context, parse_spec(spec.text), spec, drop_nonfinite)
    return replace(stream, spec=spec)


def _context(trajectories: Sequence[Trajectory], progress: Progress) -> Context:
    if not trajectories:
        raise UsageError("there is no trajectory to featurize", "give at least one")
    check_agreement(trajectories)
    return Context(tuple(trajectories), progress)


def _prepare(
    context: Context, parts: tuple[Part, ...], state: State | None
) -> list[tuple[Part, Block]]:
    kind = "md" if context.first.kind == "md" else "array"
    found = []
    for k, part in enumerate(p for p in parts if p.name != "delays"):
        entry = FEATURIZERS[part.name]
        if entry.kind not in (kind, "any"):
            fitting = ", ".join(e.name for e in FEATURIZERS.values() if e.kind in (kind, "any"))
            raise UsageError(
                f"features {part.text!r} is for {_KINDS[entry.kind]}; "
                f"{context.first.label} is {_KINDS[kind]}",
                f"choose among: {fitting}",
            )
        module, _, function = entry.home.partition(":")
        prepare: Prepare = getattr(import_module(f"koopman_cli.features.{module}"), function)
        own = None if state is None else _with_prefix(state, f"{k}.")
        found.append((part, prepare(context, part.options, own)))
    return found


_KINDS = {
    "md": "a molecular-dynamics trajectory",
    "array": "an array of columns",
    "field": "a field",
}


def _with_prefix(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): a for key, a in state.items() if key.startswith(prefix)}


def _assemble(
    context: Context, parts: tuple[Part, ...], stored: FeatureSpec | None, drop_nonfinite: bool
) -> FeatureStream:
    prepared = _prepare(context, parts, stored.state if stored else None)
    blocks = tuple(block for _, block in prepared)
    recipe = Recipe(blocks, _dtype(context), parse_delays(parts))
    check_width(
        len(recipe.names) * recipe.delays.number,
        "+".join(part.text for part in parts),
        "take fewer features or fewer delays",
    )
    spec = _spec(context, parts, recipe)
    if stored:
        check_columns(spec, stored, context.first.label)
        if spec.names != stored.names:
            check_unpacked(context.trajectories)
    used, runs, warnings = _choose_runs(context, recipe, drop_nonfinite)
    own = {f"{k}.{key}": a for k, block in enumerate(blocks) for key, a in block.state.items()}
    stream = _stream(used, recipe, runs, replace(spec, state=own))
    dt, unsure = common_step(context.trajectories)
    gathered = [w for t in context.trajectories for w in t.warnings]
    gathered += [w for block in blocks for w in block.warnings]
    return replace(
        stream,
        said=tuple(dict.fromkeys([*gathered, *warnings, *unsure])),
        notes=tuple(dict.fromkeys(note for block in blocks for note in block.notes)),
        fitted=tuple(part.text for part, block in prepared if block.fitted),
        dt=dt,
    )


def _dtype(context: Context) -> np.dtype[Any]:
    if context.first.kind == "md":
        return np.dtype(np.float32)
    return np.result_type(*(np.dtype(t.dtype) for t in context.trajectories))


def _spec(context: Context, parts: tuple[Part, ...], recipe: Recipe) -> FeatureSpec:
    number, spacing = recipe.delays.number, recipe.delays.spacing
    names = list(recipe.names)
    for k in range(1, number):
        names += [f"{name}(t-{k * spacing})" for name in recipe.names]
    return FeatureSpec(
        text="+".join(part.lasting for part in parts),
        names=tuple(names),
        units=recipe.units * number,
        kind=context.first.kind,
    )


def _choose_runs(
    context: Context, recipe: Recipe, drop_nonfinite: bool
) -> tuple[list[Trajectory], list[NDArray[np.int64]], list[str]]:
    """Trajectories worth reading, the frames of each, and what is to be said about the rest."""
    stretches = [np.asarray(t.segments, np.int64).reshape(-1, 2) for t in context.trajectories]
    warnings: list[str] = []
    if drop_nonfinite:
        stretches, warnings = _drop_bad(context, recipe, stretches)
    window = recipe.delays.window
    stretches = [s[s[:, 1] - s[:, 0] > window] for s in stretches]
    used = [t for t, s in zip(context.trajectories, stretches, strict=True) if len(s)]
    short = [t for t, s in zip(context.trajectories, stretches, strict=True) if not len(s)]
    if short:
        needed = (
            f"{counted(window + 1, 'frame')} in a row" if window else "a frame that can be used"
        )
        example = f"{short[0].label}, {counted(short[0].n_frames, 'frame')}"
        if not used:
            raise DataError(
                f"no trajectory has {needed} ({example})",
                "take fewer delays" if window else "look at the input with koopman info",
            )
        warnings.append(
            f"skipped {len(short)} of {counted(len(context.trajectories), 'trajectory')} without "
            f"{needed} ({example})"
        )
    return used, [s for s in stretches if len(s)], warnings


def _drop_bad(
    context: Context, recipe: Recipe, stretches: list[NDArray[np.int64]]
) -> tuple[list[NDArray[np.int64]], list[str]]:
    """The stretches split at frames that are not finite, and how many these are."""
    kept, warnings = [], []
    total = sum(t.n_frames for t in context.trajectories)
    with context.progress("looking for non-finite frames", total) as advance:
        for trajectory, runs in zip(context.trajectories, stretches, strict=True):
            bad = find_bad(trajectory, recipe)
            advance(trajectory.n_frames)
            kept.append(split_runs(runs, bad))
            if len(bad):
                warnings.append(
                    f"{trajectory.label}: {len(bad)} of {counted(trajectory.n_frames, 'frame')} "
                    f"{are(len(bad))} not finite and {verb(len(bad), 'was', 'were')} removed "
                    f"(first: frame {bad[0]})"
                )
    return kept, warnings


def _stream(
    used: list[Trajectory], recipe: Recipe, runs: list[NDArray[np.int64]], spec: FeatureSpec
) -> FeatureStream:
    """The stream of the runs. Rows lost to delays are those at the start of each run."""
    window = recipe.delays.window
    labels = tuple(t.label for t in used)
    lengths, segments, origins = [], [], []
    for stretches in runs:
        rows = stretches[:, 1] - stretches[:, 0] - window
        ends = np.cumsum(rows)
        segments.append(np.stack([ends - rows, ends], axis=1))
        lengths.append(int(ends[-1]))
        origins.append(stretches[:, 0] + window)
    watches = _watches(used)

    def read(i: int, size: int) -> Iterator[NDArray[Any]]:
        return read_rows(used[i], recipe, runs[i], size, watches[i] if watches else None)

    def late() -> tuple[str, ...]:
        return frame_warnings(watches, labels)

    return FeatureStream(
        spec=spec,
        labels=labels,
        lengths=tuple(lengths),
        segments=tuple(segments),
        read=read,
        dtype=recipe.dtype,
        offsets=tuple(int(o[0]) for o in origins),
        window=window,
        origins=tuple(origins),
        late=late if watches else None,
    )


def _watches(used: list[Trajectory]) -> list[FrameWatch]:
    if used[0].topology is None:
        return []
    bonds = real_bonds(used[0].topology)
    return [FrameWatch(bonds) for _ in used]
