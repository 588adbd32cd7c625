"""A function of the user's own as a featurizer: ``python:path.py:function``.

The function is given a chunk of frames, an ``mdtraj.Trajectory`` for MD and the (n, d)
array else, and returns an (n, k) array (or n numbers for one column). Attributes ``names``
and ``units`` of the function name the columns. It must treat each frame by itself: chunks
may end anywhere.
"""

from __future__ import annotations

import hashlib
import importlib.util
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, FileError, UsageError, did_you_mean
from koopman_cli.features.base import Block, Chunk, Context, State
from koopman_cli.types import Frames

#: Frames on which the function is tried before the data are read.
_TRIAL_FRAMES = 4


@dataclass(frozen=True)
class _Function:
    """The user's function with the file it is from."""

    path: Path
    name: str
    call: Callable[[Any], Any]
    digest: NDArray[np.uint8]

    @property
    def where(self) -> str:
        return f"{self.path}: {self.name}"


def prepare_function(context: Context, options: tuple[str, ...], state: State | None) -> Block:
    """Load the function, try it on a few frames, name its columns.

    Raises
    ------
    FileError
        The file is missing or cannot be read.
    UsageError
        The file does not run, has no such function, or the function does not return one
        row per frame, or rows that depend on the other frames it is given.
    DataError
        The function fails on the data; file and line are named.
    """
    path, name = options
    function = _load(Path(path), name)
    first = [context.frame(k) for k in range(min(_TRIAL_FRAMES, context.first.n_frames))]
    chunk = Chunk(_join(first), context.first.topology)
    columns = _evaluate(function, chunk)
    _check_framewise(function, context, first, columns)
    width = columns.shape[1]
    return Block(
        names=_labels(function, "names", width, tuple(f"{name}{k + 1}" for k in range(width))),
        units=_labels(function, "units", width, ("",) * width),
        compute=lambda chunk: _checked(function, chunk, width),
        state={"sha256": function.digest},
        scratch=64 * (3 * context.first.topology.n_atoms if context.first.topology else width),
        warnings=_changed(function, state),
    )


def _load(path: Path, name: str) -> _Function:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise FileError(
            f"{path}: {error.strerror or error}",
            "python:path.py:function needs a readable file; paths are relative to where you are",
        ) from error
    module_name = f"koopman_user_{path.stem}"
    spec = importlib.util.spec_from_loader(module_name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - as asked for
    except Exception as error:
        raise UsageError(
            f"{path}{_line(error, path)}: {type(error).__name__}: {error}",
            "correct the file; it is run as it stands",
        ) from error
    functions = [key for key, value in vars(module).items() if callable(value)]
    if name not in functions:
        known = [key for key in functions if not key.startswith("_")]
        raise UsageError(
            f"{path} has no function {name!r}",
            did_you_mean(name, known) if known else "it defines no function",
        )
    digest = np.frombuffer(hashlib.sha256(source).digest(), np.uint8)
    return _Function(path, name, vars(module)[name], digest)


def _line(error: Exception, path: Path) -> str:
    """The last line of the user's file that the error passed through."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno}"
    lines = [
        entry.lineno
        for entry in traceback.extract_tb(error.__traceback__)
        if entry.filename == str(path)
    ]
    return f", line {lines[-1]}" if lines else ""


def _join(frames: list[Frames]) -> Frames:
    cells = [f.cell for f in frames]
    whole = all(c is not None for c in cells)
    return Frames(
        frames[0].start,
        np.concatenate([f.values for f in frames]),
        np.concatenate([c for c in cells if c is not None]) if whole else None,
    )


def _evaluate(function: _Function, chunk: Chunk) -> NDArray[Any]:
    """Call the function on a copy, so that it cannot change what other parts see."""
    copy = Chunk(
        Frames(chunk.frames.start, np.array(chunk.frames.values), chunk.frames.cell),
        chunk.topology,
    )
    given = copy.frames.values if chunk.topology is None else copy.trajectory
    try:
        result = np.asarray(function.call(given))
    except Exception as error:
        raise DataError(
            f"{function.path}{_line(error, function.path)}: {function.name} failed on frames "
            f"{chunk.frames.start} to {chunk.frames.start + len(chunk) - 1}: "
            f"{type(error).__name__}: {error}",
            "correct the function, or the frames it stumbles on",
        ) from error
    result = result[:, None] if result.ndim == 1 else result
    kinds = "biufc" if copy.frames.values.dtype.kind == "c" else "biuf"
    if result.ndim != 2 or len(result) != len(chunk) or result.dtype.kind not in kinds:
        raise UsageError(
            f"{function.where} returned {result.dtype} of shape {result.shape} "
            f"for {len(chunk)} frames",
            "return one row of numbers per frame: shape (frames, columns)",
        )
    if not result.shape[1]:
        raise UsageError(f"{function.where} returned no column", "return at least one column")
    return result


def _checked(function: _Function, chunk: Chunk, width: int) -> NDArray[Any]:
    columns = _evaluate(function, chunk)
    if columns.shape[1] != width:
        raise UsageError(
            f"{function.where} returned {columns.shape[1]} columns from frame "
            f"{chunk.frames.start} on, {width} before",
            "return the same columns for every frame",
        )
    return columns


def _check_framewise(
    function: _Function, context: Context, frames: list[Frames], together: NDArray[Any]
) -> None:
    """Chunks must not matter: frames one by one give what they give together."""
    apart = np.concatenate([_evaluate(function, Chunk(f, context.first.topology)) for f in frames])
    if apart.shape != together.shape or not np.allclose(
        apart, together, rtol=1e-4, atol=1e-6, equal_nan=True
    ):
        raise UsageError(
            f"{function.where} gives a frame other values when it is given more frames with it",
            "let it treat each frame by itself (no mean over frames, no alignment to the "
            "first one it is given)",
        )


def _labels(
    function: _Function, attribute: str, width: int, default: tuple[str, ...]
) -> tuple[str, ...]:
    given = getattr(function.call, attribute, None)
    if given is None:
        return default
    labels = (given,) if isinstance(given, str) else tuple(str(label) for label in given)
    if len(labels) != width:
        raise UsageError(
            f"{function.where} returns {width} columns but has {len(labels)} {attribute}",
            f"give one of its {attribute} for each column",
        )
    return labels


def _changed(function: _Function, state: State | None) -> tuple[str, ...]:
    if state is None or "sha256" not in state:
        return ()
    if np.array_equal(np.asarray(state["sha256"]), function.digest):
        return ()
    text = f"{function.path} has changed since the model was fitted: its columns may differ"
    return (text,)
