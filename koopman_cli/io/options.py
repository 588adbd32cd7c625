"""Options of reading that contradict each other, or would do nothing for what is read."""

from __future__ import annotations

from koopman_cli.errors import UsageError
from koopman_cli.types import ReadOptions, Trajectory

_KINDS = {"md": "molecular dynamics", "array": "an array", "field": "a field"}

#: Options that act on one kind of input only, and what they are where not given.
_ONLY = {
    "md": (("top", None), ("select", None)),
    "array": (("var", ()), ("time_axis", None), ("ensemble", False)),
    "field": (("anomaly", None), ("detrend", None), ("area_weights", "auto")),
}


def check_options(options: ReadOptions) -> None:
    """Raise UsageError for options that make no sense whatever is read."""
    if options.stride < 1:
        raise UsageError(f"--stride {options.stride}: must be at least 1", "1 reads every frame")
    if options.join and options.ensemble:
        raise UsageError(
            "--join and --ensemble exclude each other", "an ensemble is many runs already"
        )


def refuse_idle(trajectory: Trajectory, options: ReadOptions) -> None:
    """Raise UsageError for an option of another kind of input: it was meant to do something."""
    kind = trajectory.kind
    takes = ("array", "field") if kind == "field" else (kind,)
    for other, names in _ONLY.items():
        for name, unset in () if other in takes else names:
            if getattr(options, name) != unset:
                option = "--" + name.replace("_", "-")
                raise UsageError(
                    f"{option} does nothing for {trajectory.label}, which is {_KINDS[kind]}",
                    f"leave {option} out; it is for {_KINDS[other]}",
                )
