"""Arrays of three axes without names that may be positions of particles, and not a field."""

from __future__ import annotations

from koopman_cli.errors import DataError
from koopman_cli.nouns import counted


def doubt_positions(
    what: str, shape: tuple[int, int, int], axis: int, *, sure: bool
) -> tuple[str, ...]:
    """What is to be said where the columns of a field may be those of the plane or of space.

    A field of three columns is rarer than positions in space that were saved as they are. Two
    may well be velocities in a plane, or particles there: then it is a warning.

    Parameters
    ----------
    what : str
        File and array.
    shape : three int
        Of the array.
    axis : int
        That of time.
    sure : bool
        Whether the axis of time was named.

    Raises
    ------
    DataError
        Three columns.

    Examples
    --------
    >>> doubt_positions("a.npy", (50, 9, 2), 0, sure=True)
    ()
    """
    cells = [n for k, n in enumerate(shape) if k != axis]
    if cells[1] == 3:
        raise DataError(
            f"{what} {shape} may be positions of {counted(cells[0], 'atom')} or a field of "
            f"{cells[0]} by 3 cells",
            f"superpose positions and reshape them to ({shape[axis]}, {3 * cells[0]}), or save a "
            "trajectory with a topology; --kind field says that it is a field, --ensemble that "
            "it is (particles, time, 3)",
        )
    if cells[1] != 2 or axis == 2 or sure:
        return ()
    told = (
        f"{what} {shape} is read as a field of {cells[0]} by 2 cells at {shape[axis]} times; if it "
        f"is {shape[0]} particles at {shape[1]} times in 2 dimensions, add --ensemble (--kind "
        "field says that it is a field)"
    )
    return (told,)
