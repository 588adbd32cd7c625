"""``koopman vamp-score`` as a function: a grid of models, scored on held-out data.

The grid is the product of feature sets, families with their settings, lags and dims. Each
finished cell is appended to a journal under a key that covers its whole definition and the
input, so an interrupted run goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

from koopman_cli import __version__
from koopman_cli.autolag import scan_lags
from koopman_cli.candidates import Candidate, Refusal, ScoreTable, told
from koopman_cli.choice import differences, recommend, several_windows, shaky_lags
from koopman_cli.devices import torch_device
from koopman_cli.errors import SupportError, UsageError
from koopman_cli.estimate import check_lag
from koopman_cli.features.stream import FeatureStream
from koopman_cli.grid import GRID_BLOCKS, Design
from koopman_cli.gridwork import Order, pieces, work_here, work_in_processes
from koopman_cli.heldout import open_test, refuse_shared
from koopman_cli.io import open_trajectories
from koopman_cli.models import DEFAULTS, family
from koopman_cli.nouns import lag_text
from koopman_cli.request import Request
from koopman_cli.source import Source, check_unchanged, contents, open_source, summarize
from koopman_cli.store.journal import Journal
from koopman_cli.store.plain import from_plain, to_plain
from koopman_cli.types import InputSummary, Progress, ReadOptions, no_progress
from koopman_cli.units import make_lag, parse_frames
from koopman_cli.validation import fewer_folds

#: Dims that are scored where none are given.
DIMS = tuple(range(1, 11))


#: Raised where a cell of the same definition comes to hold other numbers: 2, whole pairs.
RULES = 2

#: Families that are scored where none are asked for: that of a fit is among them.
MODELS = ("tica", "vamp")
FIELD_MODELS = (DEFAULTS["field"][0], "vamp")


@dataclass(frozen=True)
class GridOptions:
    """What ``koopman vamp-score`` can be told besides how to read.

    features : specifications, None is the default for what is found
    models : families
    lags : frames ("50"), times ("5ns") or "auto", the lag that a fit would take
    settings : per family the values of each setting, ``{"edmd": {"centers": ("10", "20")}}``
    test : paths (or arrays) of a separate test set instead of folds
    device : "cpu", "cuda", "cuda:N" or "auto"; see FitOptions
    jobs : processes
    place : where the training of networks keeps checkpoints
    """

    features: tuple[str | None, ...] = (None,)
    models: tuple[str, ...] = MODELS
    lags: tuple[str, ...] = ("auto",)
    dims: tuple[int, ...] = DIMS
    settings: Mapping[str, Mapping[str, Sequence[Any]]] = field(default_factory=dict)
    folds: int = 5
    repeats: int = 1
    test: Any = None
    seed: int = 0
    precision: str = "auto"
    device: str = "auto"
    jobs: int = 1
    place: Any = None

    def requests(self, progress: Progress = no_progress) -> list[Request]:
        """Every family with every combination of its settings.

        Raises
        ------
        UsageError
            An unknown family or setting, or settings of a family that is not asked for.
        """
        for name in self.settings:
            if name not in self.models:
                raise UsageError(
                    f"--set {name}.{next(iter(self.settings[name]), '')}: {name} is not scored",
                    f"add it to --model {','.join(self.models)}",
                )
        found = []
        for name in dict.fromkeys(self.models):
            family(name)
            axes = self.settings.get(name, {})
            for values in product(*axes.values()):
                given = dict(zip(axes, values, strict=True))
                more = {
                    "seed": self.seed,
                    "precision": self.precision,
                    "progress": progress,
                    "device": self.device,
                    "place": self.place,
                }
                found.append(Request.of(name, given, **more))
        # Lifts that can be fitted as one share a shelf.
        shelf: dict[Any, Any] = {}
        return [replace(r.with_companions(found), shelf=shelf) for r in found]


@dataclass(frozen=True)
class _FeatureSet:
    """One feature set of a grid, ready to be scored."""

    spec: str | None
    stream: FeatureStream
    test: FeatureStream | None
    lags: tuple[int, ...]
    stamp: Mapping[str, Any]


def score_grid(
    source: Source,
    options: GridOptions | None = None,
    *,
    read: ReadOptions | None = None,
    progress: Progress = no_progress,
    journal: Path | None = None,
) -> ScoreTable:
    """Score a grid of models on held-out data.

    Parameters
    ----------
    source : paths, arrays or FeatureStream
    options : GridOptions
    read : ReadOptions
        How paths are read.
    journal : Path, optional
        File of finished cells; those it holds are not computed again.

    Returns
    -------
    ScoreTable

    Raises
    ------
    UsageError, DataError, SupportError
        Options out of range, lags that the data do not have; no cell that could be scored.

    Examples
    --------
    >>> import numpy as np
    >>> from scipy.signal import lfilter
    >>> noise = np.random.default_rng(0).standard_normal((20_000, 3))
    >>> noise[:, 0] = lfilter([1], [1, -0.95], noise[:, 0])
    >>> table = score_grid(noise, GridOptions(lags=("5",), dims=(1, 2, 3)))
    >>> [(c.model, c.dim) for c in table.cells if c is table.cells[table.recommended[0].cell]]
    [('tica', 1)]
    """
    options, read = options or GridOptions(), read or ReadOptions()
    torch_device(options.device)
    requests = _checked(options).requests(progress)
    refuse_shared(source, options.test)
    book = None if journal is None else Journal(journal)
    found = {} if book is None else {k: _stored(e) for k, e in book.read().items()}
    state = _State(options, read, requests, found, book)
    order = [key for spec in options.features for key in _add(state, source, spec, progress)]
    return _table(state, tuple(replace(found[key], key=key) for key in order if key in found))


def _add(state: _State, source: Source, spec: str | None, progress: Progress) -> list[str]:
    """Score one feature set; keys of its cells in the order of the table."""
    read = state.read
    opened = open_source(source, spec, read, progress)
    stream = opened.stream.cached()
    test = open_test(state.options.test, stream, read, progress)
    held = None if test is None else test.stream
    options = state.with_lag(stream)
    lags = _lags(options, stream)
    if held is not None:
        check_lag(max(lags), held)
    stamp = _stamp(summarize(opened, progress, test), (stream, held), read, options)
    part = _FeatureSet(spec, stream, held, lags, stamp)
    state.run(source, part)
    check_unchanged(opened)
    longest = max(lags)
    state.warnings += [*opened.stream.warnings, *stream.warnings, *stream.too_short(longest)]
    state.warnings += [said for lag in lags for said in stream.overlapping(lag)]
    if test is not None:
        check_unchanged(test)
        state.warnings += [*test.stream.warnings, *test.stream.too_short(longest)]
    return state.keys(part)


def _table(state: _State, cells: tuple[Candidate, ...]) -> ScoreTable:
    """The table of all cells, what is recommended, and what is to be said."""
    options = state.options
    if not cells:
        raise SupportError(
            "no cell of the grid could be scored: " + "; ".join(told(state.refused)[:2]),
            "take fewer features, shorter lags, smaller dims, or more data",
        )
    blocks = max(c.score.blocks for c in cells)
    said = [*state.warnings, *shaky_lags(cells, state.frames), *told(state.refused)]
    if options.test is None:
        said += fewer_folds(options.folds, blocks)
    return ScoreTable(
        folds=max(c.score.folds for c in cells) // options.repeats,
        repeats=options.repeats,
        blocks=blocks,
        cells=cells,
        notes=(*state.notes, *several_windows(cells)),
        recommended=recommend(cells, options.repeats),
        differences=differences(cells, options.repeats),
        readings=state.readings,
        computed=state.computed,
        warnings=tuple(dict.fromkeys(said)),
    )


def _checked(options: GridOptions) -> GridOptions:
    if options.folds < 2 and options.test is None:
        raise UsageError(
            f"--folds {options.folds}: held-out scores need at least two", "give --folds 2 or more"
        )
    for name in ("repeats", "jobs"):
        if getattr(options, name) < 1:
            raise UsageError(
                f"--{name} {getattr(options, name)}: must be at least 1", "give 1 or more"
            )
    for dim in options.dims:
        if dim < 1:
            raise UsageError(
                f"dim {dim}: a model has at least one function", "for example --dim 1:6"
            )
    return options


def auto_lag(
    stream: FeatureStream, precision: str = "auto", progress: Progress = no_progress
) -> tuple[int, str]:
    """The lag that a fit takes unasked, and why: of tica; one frame for a field.

    Of a walk around a circle, seen where it is cut open, no lag has constant timescales:

    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal(5000)
    >>> auto_lag(FeatureStream.from_arrays(noise.cumsum() % 50))[0]
    64
    """
    check_lag(1, stream)
    if stream.field is not None:
        return 1, "lag 1 frame: of a field, one step"
    scan = scan_lags(stream, Request.of("tica", precision=precision, progress=progress))
    lag = make_lag(scan.chosen, stream.dt)
    return scan.chosen, f"lag {lag_text(lag)}: {scan.reason}"


def default_models(paths: Sequence[str], read: ReadOptions) -> tuple[str, ...]:
    """The families that are scored unasked: on fields those that suit them, as in a fit.

    Only headers of the files are read.
    """
    field_given = open_trajectories(paths, read, no_progress)[0].kind == "field"
    return FIELD_MODELS if field_given else MODELS


def _lags(options: GridOptions, stream: FeatureStream) -> tuple[int, ...]:
    lags = dict.fromkeys(parse_frames(text, stream.dt) for text in options.lags)
    for lag in lags:
        check_lag(lag, stream)
    return tuple(lags)


def _stored(entry: Mapping[str, Any]) -> Candidate:
    cell: Candidate = from_plain(Candidate, entry["cell"])
    return cell


def _stamp(
    about: InputSummary,
    streams: tuple[FeatureStream, FeatureStream | None],
    read: ReadOptions,
    options: GridOptions,
) -> dict[str, Any]:
    """Everything besides the cell itself that its numbers depend on."""
    stream, test = streams
    reading = to_plain(asdict(read))
    return {
        "version": __version__,
        "rules": RULES,
        "files": contents(about.files, stream),
        "frames": about.frames,
        "read": reading,
        "names": list(stream.spec.names),
        "features": stream.spec.text,
        "test": contents(about.test, test),
        "folds": options.folds,
        "repeats": options.repeats,
        "blocks": GRID_BLOCKS,
        "seed": options.seed,
        "precision": options.precision,
        "device": options.device,
    }


@dataclass
class _State:
    """The grid while it grows."""

    options: GridOptions
    read: ReadOptions
    requests: list[Request]
    found: dict[str, Candidate]
    book: Journal | None
    readings: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    computed: int = 0
    frames: int = 0

    def with_lag(self, stream: FeatureStream) -> GridOptions:
        """The options with a lag for "auto": decided once, for all feature sets."""
        if "auto" in self.options.lags:
            lag, said = auto_lag(stream, self.options.precision)
            lags = tuple(str(lag) if text == "auto" else text for text in self.options.lags)
            self.options = replace(self.options, lags=lags)
            self.notes.append(said)
        return self.options

    def key(self, part: _FeatureSet, i: int, lag: int, dim: int) -> str:
        """Hash of all that a cell's numbers depend on."""
        request = self.requests[i]
        whole = {
            **part.stamp,
            "model": request.name,
            "settings": to_plain(asdict(request.settings)),
            "lag": lag,
            # The largest lag of a grid decides the gaps between blocks.
            "reach": max(part.lags),
            "dim": dim,
        }
        text = json.dumps(whole, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]

    def keys(self, part: _FeatureSet) -> list[str]:
        """Keys of all cells of a feature set, in the order of the table."""
        return [
            self.key(part, i, lag, dim)
            for lag in part.lags
            for i in range(len(self.requests))
            for dim in self.options.dims
        ]

    def missing(self, part: _FeatureSet, i: int, lag: int) -> tuple[int, ...]:
        """Dims of a request at a lag that are not there yet."""
        return tuple(d for d in self.options.dims if self.key(part, i, lag, d) not in self.found)

    def run(self, source: Source, part: _FeatureSet) -> None:
        """Compute what is missing of a feature set, keeping every cell as soon as it is known."""
        self.frames = max(self.frames, part.stream.n_frames)
        text = part.stream.spec.text
        todo = {
            (i, g): self.missing(part, i, g) for i in range(len(self.requests)) for g in part.lags
        }
        if not any(todo.values()):
            self.readings.setdefault(text, 0)
            return
        if self.options.jobs > 1:
            order = Order(source, self.read, part.spec, self.options, part.lags)
            work = pieces(self.requests, part.stream, todo)
            results = work_in_processes(order, work, self.options.jobs)
        else:
            design = Design(part.lags, self.options.folds, self.options.repeats, part.test)
            results = work_here(self.requests, part.stream, design, todo)
        for done in results:
            self.keep(part, done.cells)
            self.readings[text] = self.readings.get(text, 0) + done.readings
            self.refused += [more for more in done.refused if more not in self.refused]

    def keep(self, part: _FeatureSet, cells: Sequence[tuple[int, Candidate]]) -> None:
        """Add cells to the table and to the journal."""
        entries = []
        for i, cell in cells:
            key = self.key(part, i, cell.lag.frames, cell.dim)
            self.found[key] = cell
            entries.append({"key": key, "cell": to_plain(cell)})
        if self.book is not None:
            self.book.append(entries)
        self.computed += len(cells)
