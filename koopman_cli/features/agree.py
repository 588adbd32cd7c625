"""Do trajectories agree with each other, and columns with those of a model?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

from koopman_cli.errors import DataError
from koopman_cli.nouns import counted, timed
from koopman_cli.types import FeatureSpec, TimeStep, Trajectory
from koopman_cli.units import SECONDS, convert


def check_agreement(trajectories: Sequence[Trajectory]) -> None:
    """All of one kind, with the same columns or atoms and the same time step.

    Raises
    ------
    DataError
        Names the first two that differ, and how.
    """
    first = trajectories[0]
    same_topology: list[Any] = [first.topology]
    for other in trajectories[1:]:
        if other.kind != first.kind:
            raise _differ(first, other, f"kind {first.kind} against kind {other.kind}")
        if not any(other.topology is known for known in same_topology):
            _check_atoms(first, other)
            same_topology.append(other.topology)
        if len(first.names) != len(other.names):
            raise _differ(
                first, other, f"{len(first.names)} against {counted(len(other.names), 'column')}"
            )
        for k, ours in enumerate(zip(first.names, first.units, strict=True)):
            theirs = (other.names[k], other.units[k])
            if ours != theirs:
                raise _differ(
                    first, other, f"column {k + 1} is {_say(ours)} against {_say(theirs)}"
                )
        _check_step(first, other)


def _differ(first: Trajectory, other: Trajectory, how: str) -> DataError:
    return DataError(
        f"{first.label} and {other.label} differ: {how}",
        "fit trajectories of the same system and columns together, others apart",
    )


def _say(column: tuple[str, str]) -> str:
    name, unit = column
    return f"{name!r} ({unit})" if unit else f"{name!r}"


def _check_atoms(first: Trajectory, other: Trajectory) -> None:
    if first.topology.n_atoms != other.topology.n_atoms:
        n, m = first.topology.n_atoms, other.topology.n_atoms
        raise _differ(first, other, f"{n} against {counted(m, 'atom')}")
    for a, b in zip(first.topology.atoms, other.topology.atoms, strict=True):
        if str(a) != str(b):
            raise _differ(first, other, f"atom index {a.index} is {a} against {b}")


def _check_step(first: Trajectory, other: Trajectory) -> None:
    if first.dt is None or other.dt is None or _same_step(first.dt, other.dt):
        return
    raise DataError(
        f"{first.label} has a frame every {timed(first.dt.value, first.dt.unit, 'g')}, "
        f"{other.label} every {timed(other.dt.value, other.dt.unit, 'g')}",
        "thin the finer one (--stride) into a file of its own first, or fit them apart",
    )


def common_step(trajectories: Sequence[Trajectory]) -> tuple[TimeStep | None, tuple[str, ...]]:
    """The time step of trajectories that agree, and a warning where some have none."""
    known = [t for t in trajectories if t.dt is not None]
    if not known or len(known) == len(trajectories):
        return (known[0].dt if known else None), ()
    without = next(t for t in trajectories if t.dt is None)
    step = known[0].dt
    assert step is not None
    text = (
        f"{without.label} has no time step; it is taken to be the "
        f"{timed(step.value, step.unit, 'g')} "
        f"of {known[0].label}"
    )
    return step, (text,)


def _same_step(a: TimeStep, b: TimeStep) -> bool:
    if a.unit != b.unit and not (a.unit in SECONDS and b.unit in SECONDS):
        return False
    value = b.value if a.unit == b.unit else float(convert(b.value, b.unit, a.unit))
    return abs(value - a.value) <= 1e-5 * abs(a.value)


#: What a column is called that has no name: an array of one column, or one chosen with --var
#: by versions that did not keep its name.
UNNAMED = "x1"


def same_names(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether two sets of features are the same, by name and order.

    Those of one column without a name are the same as those of one column with any name.

    >>> same_names(("a", "b"), ("a", "b")), same_names(("a", "b"), ("b", "a"))
    (True, False)
    >>> same_names(("x1", "x1(t-1)"), ("sst", "sst(t-1)")), same_names(("x1", "x2"), ("a", "b"))
    (True, False)
    """
    return tuple(a) == tuple(b) or _names_it(a, b) or _names_it(b, a)


def _names_it(unnamed: Sequence[str], named: Sequence[str]) -> bool:
    """Whether one column without a name gives ``unnamed``, and ``named`` once it has one."""
    word = re.compile(rf"\b{UNNAMED}\b")
    if len(unnamed) != len(named) or not all(word.search(name) for name in unnamed):
        return False
    before, after = word.split(unnamed[0], maxsplit=1)
    name = named[0][len(before) : len(named[0]) - len(after)]
    return bool(name) and [word.sub(lambda _: name, n) for n in unnamed] == list(named)


def check_unpacked(trajectories: Sequence[Trajectory]) -> None:
    """Raise DataError for packed numbers: versions without names took them as they lay there."""
    for trajectory in trajectories:
        if trajectory.packed:
            raise DataError(
                f"{trajectory.label}: its numbers are packed (scale_factor, add_offset), and a "
                "model whose column has no name is of a version that did not unpack them",
                "fit again",
            )


def check_columns(found: FeatureSpec, stored: FeatureSpec, label: str) -> None:
    """The columns of an input are those of a model: names, order and units.

    Raises
    ------
    DataError
        Names the first difference.
    """
    ours = list(zip(found.names, found.units, strict=True))
    theirs = list(zip(stored.names, stored.units, strict=True))
    if same_names(found.names, stored.names) and found.units == stored.units:
        return
    count = (
        ""
        if len(ours) == len(theirs)
        else f"{counted(len(ours), 'feature')}, the model {len(theirs)}; "
    )
    for k, (here, there) in enumerate(zip_longest(ours, theirs)):
        if here != there:
            here_text = _say(here) if here else "missing"
            there_text = _say(there) if there else "has none"
            raise DataError(
                f"{label}: {count and 'gives ' + count}feature {k + 1} is {here_text} here and "
                f"{there_text} in the model",
                "give input with the features of the model, in its order "
                "(same atoms, --select and columns)",
            )
