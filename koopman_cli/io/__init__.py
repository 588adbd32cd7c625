"""Input: paths to :class:`~koopman_cli.types.Trajectory`, in chunks, checked."""

from koopman_cli.io.inspect import Inspection, NonFinite, inspect
from koopman_cli.io.opening import open_trajectories

__all__ = ["Inspection", "NonFinite", "inspect", "open_trajectories"]
