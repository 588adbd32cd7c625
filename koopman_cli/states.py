"""States of a stored model: another number of them, memberships of every frame, examples."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.analysis.lags import implied_timescales
from koopman_cli.analysis.pcca import Simplex, state_functions
from koopman_cli.analysis.slowpass import SlowPass
from koopman_cli.analysis.states import Question, find_states, not_markovian
from koopman_cli.errors import DataError, SupportError, UsageError
from koopman_cli.estimate import merge_blocks
from koopman_cli.exemplars import (
    nearest_to_cores,
    read_structures,
    state_structures,
)
from koopman_cli.features.stream import FeatureStream
from koopman_cli.io import open_trajectories
from koopman_cli.lifts import evaluator
from koopman_cli.models import family
from koopman_cli.models.solve import solve
from koopman_cli.nouns import counted
from koopman_cli.source import reopen, told_input
from koopman_cli.store.states import STATES, save_states
from koopman_cli.types import (
    FitResult,
    Model,
    Progress,
    States,
    Structures,
    Trajectory,
    no_progress,
)

Matrix = NDArray[np.float64]


@dataclass(frozen=True)
class Assigned:
    """States with the membership of every frame and examples of each.

    memberships : one (frames, count) array per trajectory
    examples : per state, rows (trajectory, row, frame as read), nearest to its core first
    shown : structures for a report (MD)
    """

    states: States
    stream: FeatureStream
    trajectories: tuple[Trajectory, ...]
    memberships: tuple[Matrix, ...]
    examples: tuple[NDArray[np.int64], ...]
    shown: Structures | None = None


def slow_functions(model: Model) -> tuple[Matrix, Matrix, NDArray[np.complex128]]:
    """Mean, functions (m, k) and eigenvalues of a model, where it has timescales at all.

    svd models are solved once more, reversibly in their own span.

    Raises
    ------
    SupportError
        If the model has coherences only, or complex or non-positive leading eigenvalues.
    """
    if model.eigenvalues is None:
        raise SupportError(
            "the model has coherences only, so there are no metastable states",
            "the data are not reversible in time; for coherent sets see the eigenfunctions",
        )
    if model.solve != "svd":
        return np.asarray(model.mean), np.asarray(model.left), model.eigenvalues
    k = model.left.shape[1]
    if model.basis is None:
        small = model.blocks.total().projected(model.mean, model.left)
    else:
        # Stored moments are those of the leading whitened directions, which start with left.
        q = model.basis.shape[1]
        small = model.blocks.total().projected(np.zeros(q), np.eye(q)[:, :k])
    inner = solve(small, "reversible")
    assert inner.eigenvalues is not None
    mean_in_span = inner.mean_x @ np.linalg.pinv(model.left)
    mean = np.asarray(model.mean + mean_in_span, np.float64)
    return mean, np.asarray(model.left @ inner.left, np.float64), inner.eigenvalues


def _check_divisible(result: FitResult) -> None:
    """Raise SupportError for models that have no metastable states, with what they have."""
    if family(result.model.family).flow:
        after = "koopman forecast RUN continues it" if result.flow else "its modes are its result"
        raise SupportError(
            f"a flow ({result.model.family}) is a sum of oscillations, growth and decay: it has "
            "no metastable states",
            f"{after}; states are of slow functions: fit columns with --model tica or kedmd",
        )
    if result.model.eigenvalues is None and result.coherent is not None:
        sets = result.coherent
        raise SupportError(
            "the model has coherences only, so there are no metastable states, but "
            f"{counted(sets.count, 'coherent set')}",
            f"their memberships in {counted(len(sets.before), 'lagged pair')} are in "
            "RUN/model.h5 (coherent/before and coherent/after, beside the columns coherent/start "
            "and coherent/end), drawn in RUN/figures/coherent-sets.png",
        )


def _wanted(result: FitResult, count: int | None) -> tuple[int, str]:
    """Number of states, and who chose it."""
    if count is not None:
        if count < 2:
            raise UsageError(f"--count {count}: at least two states", "for example --count 2")
        return count, "user"
    gap = result.gap
    if gap is None or gap.after is None:
        why = "" if gap is None else f" ({gap.reason})"
        raise SupportError(
            f"no spectral gap resolved, so the number of states is not known{why}",
            "choose one with --count",
        )
    return gap.after + 1, "gap"


def assign_states(
    result: FitResult,
    count: int | None = None,
    *,
    samples: int = 10,
    between: tuple[int, int] | None = None,
    progress: Progress = no_progress,
) -> Assigned:
    """Read the data of a run again and assign every frame to its states.

    Parameters
    ----------
    result : FitResult
        As read back from a RUN, ``config`` included.
    count : int, optional
        Number of states; by default one more than modes before the spectral gap.
    samples : int
        Examples of each state.
    between : (start, end), optional
        States, numbered from 0, of a committor.

    Raises
    ------
    SupportError
        No gap and no count; coherences only; modes that contradict reversibility.
    DataError
        If the input is no longer what was fitted.
    """
    _check_divisible(result)
    n, chosen_by = _wanted(result, count)
    mean, functions, values = slow_functions(result.model)
    _check_modes(result, values, n - 1)
    trajectories, stream = read_again(result, progress)
    passed = SlowPass.of(stream, evaluator(result.model.lift), mean, functions[:, : n - 1])
    asked = replace(_question(result, passed, (values, chosen_by)), between=between)
    states = find_states(passed, asked, progress)
    if result.gap is None or result.gap.after is None or result.gap.after + 1 < n:
        unsure = (
            f"no spectral gap supports {counted(n, 'state')}: they divide what may be one basin"
        )
        states = replace(states, warnings=(*states.warnings, unsure))
    richer = family(result.model.family).richer
    states = replace(states, warnings=(*states.warnings, *not_markovian(states, richer)))
    simplex = np.asarray(states.matrix, np.float64)
    psi = [np.concatenate(list(passed.slow.chunks(i))) for i in range(len(stream.lengths))]
    chi = tuple(_memberships(simplex, part) for part in psi)
    shown = _shown(result, states, trajectories)
    examples = _examples(stream, psi, chi, samples)
    return Assigned(states, stream, trajectories, chi, examples, shown)


def _shown(
    result: FitResult, states: States, trajectories: tuple[Trajectory, ...]
) -> Structures | None:
    """Structures of the states among the frames that the RUN keeps for its figures."""
    if result.projection is None:
        return None
    psi = state_functions(result.model, states, result.projection)
    if psi is None:
        return None
    return state_structures(states, replace(result.projection, values=psi), trajectories)


def _memberships(matrix: Matrix, psi: Matrix) -> Matrix:
    return Simplex(matrix, np.empty((0, 0)), 0.0).memberships(psi)


def _check_modes(result: FitResult, values: NDArray[np.complex128], m: int) -> None:
    if any(mode.verdict == "invalid" for mode in result.modes):
        raise SupportError(
            "the modes contradict reversibility, so there are no metastable states",
            "use a model for driven systems: vamp, or edmd with solve=eig",
        )
    if m > len(values):
        raise UsageError(
            f"{counted(m + 1, 'state')} need {m} slow functions; the model has {len(values)}",
            f"take --count {len(values) + 1} or fewer",
        )
    if np.any(values[:m].imag != 0) or np.any(values[:m].real <= 0):
        raise SupportError(
            f"the leading {m} eigenvalues are not all real and positive: no metastable states",
            "take fewer states, or a reversible model",
        )


def read_again(
    result: FitResult, progress: Progress
) -> tuple[tuple[Trajectory, ...], FeatureStream]:
    """Trajectories and features of the files a run was fitted to.

    Raises
    ------
    DataError
        If it was fitted to arrays, or the files have another number of frames now.
    """
    paths, read = told_input(result.config)
    if not paths:
        raise DataError("the run was fitted to arrays in memory", "fit to files, then ask again")
    trajectories = open_trajectories(paths, read, progress)
    stream = reopen(paths, result.model.features, read, progress).cached()
    if stream.n_frames != result.input.frames:
        raise DataError(
            f"{paths[0]}: the run was fitted to {counted(result.input.frames, 'frame')}, "
            f"now there are {stream.n_frames}",
            "fit again",
        )
    return trajectories, stream


def _question(
    result: FitResult, passed: SlowPass, known: tuple[NDArray[np.complex128], str]
) -> Question:
    values, chosen_by = known
    model = result.model
    width, lag = len(model.lift.names), model.lag.frames
    k = passed.functions.shape[1]
    fine = passed.slow_moments([lag], width, (k, lambda psi: psi))
    slowest = float(np.nanmax(np.append(implied_timescales(values[:1], lag), lag)))
    merged, unreliable = merge_blocks(fine, slowest, lag)
    return Question(
        model.lag,
        width,
        merged,
        reversible=model.solve != "eig",
        chosen_by=chosen_by,
        slowest=slowest,
        reliable=unreliable is None,
        seed=model.seed,
    )


def _examples(
    stream: FeatureStream, psi: list[Matrix], chi: tuple[Matrix, ...], samples: int
) -> tuple[NDArray[np.int64], ...]:
    """Frames nearest the mean of the core of each state, in units of the spread there."""
    owner = np.repeat(np.arange(len(psi)), [len(p) for p in psi])
    row = np.concatenate([np.arange(len(p)) for p in psi])
    found = []
    for nearest in nearest_to_cores(np.concatenate(psi), np.concatenate(chi), samples):
        frames = np.array(
            [stream.frame_index(int(owner[j]), row[[j]])[0] for j in nearest], np.int64
        )
        found.append(np.column_stack([owner[nearest], row[nearest], frames]))
    return tuple(found)


# ------------------------------------------------------------------ structures


def structures(assigned: Assigned, state: int) -> Any:
    """The examples of a state as an mdtraj trajectory, nearest to its core first.

    Raises
    ------
    SupportError
        If the input has no atoms.
    """
    if not assigned.trajectories or assigned.trajectories[0].topology is None:
        raise SupportError("the input has no atoms to export", "see the frame list instead")
    return read_structures(assigned.trajectories, assigned.examples[state][:, [0, 2]])


def write_states(assigned: Assigned, folder: Path, form: str = "pdb") -> tuple[Path, ...]:
    """Write memberships, the frame list and, for MD, example structures into a new folder.

    ``memberships.npy`` holds one row per frame, trajectories one after another; ``frames.csv``
    lists the examples; ``state_1.pdb`` ... their structures; ``states.h5`` the states
    themselves, which figures and reports of the RUN show from then on.
    """
    folder.mkdir()
    written = [folder / "memberships.npy", folder / "frames.csv", folder / STATES]
    save_states(assigned.states, assigned.shown, written[2])
    np.save(written[0], np.concatenate(assigned.memberships))
    labels = assigned.stream.labels
    lines = ["state,trajectory,frame,membership"]
    for i, rows in enumerate(assigned.examples):
        for owner, row, frame in rows.tolist():
            label = labels[owner].replace('"', '""')
            value = assigned.memberships[owner][row, i]
            lines.append(f'{i + 1},"{label}",{frame},{value:.4f}')
    written[1].write_text("\n".join(lines) + "\n", encoding="utf-8")
    if assigned.trajectories[0].topology is not None:
        for i in range(assigned.states.count):
            path = folder / f"state_{i + 1}.{form}"
            found = structures(assigned, i)
            found.save_pdb(str(path)) if form == "pdb" else found.save_xtc(str(path))
            written.append(path)
    return tuple(written)
