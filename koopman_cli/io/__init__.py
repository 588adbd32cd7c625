"""Input: paths to :class:`~koopman_cli.types.Trajectory`, in chunks, checked."""

from koopman_cli.io.opening import open_trajectories

__all__ = ["open_trajectories"]
