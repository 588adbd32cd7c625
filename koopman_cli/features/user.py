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
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import DataError, FileError, UsageError, did_you_mean
from koopman_cli.features.base import Block, Chunk, Context, State
from koopman_cli.nouns import counted
from koopman_cli.types import Frames

#: Frames on which the function is tried before the data are read, and their bytes at most.
_TRIAL_FRAMES = 192
_TRIAL_BYTES = 16 * 2**20

#: Windows of those frames that must give what all of them give together.
_WINDOWS = ((0, 1), (63, 64), (64, 66), (31, 38), (100, 160), (5, 6), (120, 121), (0, 191))


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
    chunk = Chunk(_trial(context), context.first.topology)
    columns = _evaluate(function, chunk)
    _check_framewise(function, chunk, columns, _WINDOWS)
    width = columns.shape[1]
    return Block(
        names=_labels(function, "names", width, tuple(f"{name}{k + 1}" for k in range(width))),
        units=_labels(function, "units", width, ("",) * width),
        compute=_Columns(function, width),
        state={"sha256": function.digest},
        scratch=64 * (3 * context.first.topology.n_atoms if context.first.topology else width),
        warnings=(*_changed(function, state), *_coarse(function, columns)),
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
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UsageError(
            f"{path}{_line(error, path)}: {_said(error)}",
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


def _said(error: BaseException) -> str:
    """An exception in words; sys.exit() may come with a number, a text or nothing."""
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"it ends the program ({text})" if isinstance(error, SystemExit) else text


def _line(error: BaseException, path: Path) -> str:
    """The last line of the user's file that the error passed through."""
    if isinstance(error, SyntaxError) and error.lineno:
        return f", line {error.lineno}"
    lines = [
        entry.lineno
        for entry in traceback.extract_tb(error.__traceback__)
        if entry.filename == str(path)
    ]
    return f", line {lines[-1]}" if lines else ""


def _trial(context: Context) -> Frames:
    """The first frames of the input, as many as are tried."""
    values = context.frame().values
    count = max(4, min(_TRIAL_FRAMES, _TRIAL_BYTES // max(1, values.nbytes)))
    found: list[Frames] = []
    for frames in context.first.read(count):
        found.append(_taken(frames, range(min(count, len(frames.values)))))
        count -= len(frames.values)
        if count <= 0:
            break
    cells = [f.cell for f in found]
    whole = all(c is not None for c in cells)
    return Frames(
        0,
        np.concatenate([f.values for f in found]),
        np.concatenate([c for c in cells if c is not None]) if whole else None,
    )


def _taken(frames: Frames, rows: range) -> Frames:
    part = slice(rows.start, rows.stop)
    cell = None if frames.cell is None else frames.cell[part]
    return Frames(frames.start + rows.start, frames.values[part], cell)


def _evaluate(function: _Function, chunk: Chunk) -> NDArray[Any]:
    """Call the function on a copy, so that it cannot change what other parts see."""
    copy = Chunk(
        Frames(chunk.frames.start, np.array(chunk.frames.values), chunk.frames.cell),
        chunk.topology,
    )
    given = copy.frames.values if chunk.topology is None else copy.trajectory
    try:
        # A copy: the function may fill one array of its own again and again.
        result = np.array(function.call(given))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise DataError(
            f"{function.path}{_line(error, function.path)}: {function.name} failed on frames "
            f"{chunk.frames.start} to {chunk.frames.start + len(chunk) - 1}: {_said(error)}",
            "correct the function, or the frames it stumbles on",
        ) from error
    result = result[:, None] if result.ndim == 1 else result
    kinds = "biufc" if copy.frames.values.dtype.kind == "c" else "biuf"
    if result.ndim != 2 or len(result) != len(chunk) or result.dtype.kind not in kinds:
        raise UsageError(
            f"{function.where} returned {result.dtype} of shape {result.shape} "
            f"for {counted(len(chunk), 'frame')}",
            "return one row of numbers per frame: shape (frames, columns)",
        )
    if not result.shape[1]:
        raise UsageError(f"{function.where} returned no column", "return at least one column")
    return result


class _Columns:
    """The function as a featurizer computes it, tried anew on chunk 1, 2, 4, 8, ... it is given."""

    def __init__(self, function: _Function, width: int) -> None:
        self.function, self.width, self.seen = function, width, 0

    def __call__(self, chunk: Chunk) -> NDArray[Any]:
        """(n, width) columns of a chunk of n frames."""
        function = self.function
        columns = _evaluate(function, chunk)
        if columns.shape[1] != self.width:
            raise UsageError(
                f"{function.where} returned {counted(columns.shape[1], 'column')} from frame "
                f"{chunk.frames.start} on, {self.width} before",
                "return the same columns for every frame",
            )
        self.seen += 1
        if self.seen & (self.seen - 1) == 0:
            middle = len(chunk) // 2
            _check_framewise(function, chunk, columns, ((0, 1), (middle, middle + 5)))
        return columns


def _check_framewise(
    function: _Function,
    chunk: Chunk,
    together: NDArray[Any],
    windows: Sequence[tuple[int, int]],
) -> None:
    """Chunks must not matter: frames in smaller windows give what they give together.

    Values may differ by rounding, measured against their size and the spread of the column.
    """
    together = _numbers(together)
    finite = np.where(np.isfinite(together), together, np.nan)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column may hold nothing finite
        spread = np.nan_to_num(np.nanmax(np.abs(finite - np.nanmean(finite, axis=0)), axis=0))
    for begin, end in windows:
        rows = range(begin, min(end, len(chunk)))
        if not rows:
            continue
        apart = _numbers(_evaluate(function, Chunk(_taken(chunk.frames, rows), chunk.topology)))
        expected = together[rows.start : rows.stop]
        if apart.shape == expected.shape:
            near = 1e-4 * np.minimum(np.abs(expected), np.abs(apart)) + 1e-5 * spread
            with np.errstate(invalid="ignore"):
                alike = (np.abs(apart - expected) <= near) | (apart == expected)
            if (alike | (np.isnan(apart) & np.isnan(expected))).all():
                continue
        raise UsageError(
            f"{function.where} gives a frame other values when it is given more frames with it",
            "let it treat each frame by itself (no mean over frames, no alignment to the "
            "first one it is given, no random numbers)",
        )


def _numbers(columns: NDArray[Any]) -> NDArray[Any]:
    """Columns in a type whose differences do not wrap."""
    return columns.astype(np.complex128 if columns.dtype.kind == "c" else np.float64)


def _coarse(function: _Function, columns: NDArray[Any]) -> tuple[str, ...]:
    if columns.dtype != np.float16:
        return ()
    said = "returns float16, which keeps three decimal digits; slow modes may be lost in rounding"
    return (f"{function.where} {said}",)


def _labels(
    function: _Function, attribute: str, width: int, default: tuple[str, ...]
) -> tuple[str, ...]:
    given = getattr(function.call, attribute, None)
    if given is None:
        return default
    labels = (given,) if isinstance(given, str) else tuple(str(label) for label in given)
    if len(labels) != width:
        raise UsageError(
            f"{function.where} returns {counted(width, 'column')} but has {len(labels)} "
            f"{attribute}",
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
