"""Where the columns of a field lie: variables, grid or points, coordinates, units, clock.

A snapshot is flattened variable by variable, each in C order, to one row of *cells*; the
cells that are not masked (NaN at all times) are the *columns* that models see. Everything
that is needed to put columns back where they came from travels in this one type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Names and units by which a latitude, a longitude or a plane coordinate is known.
LATITUDES = ("lat", "latitude", "nav_lat", "xlat", "rlat")
LONGITUDES = ("lon", "longitude", "nav_lon", "xlong", "rlon", "long")
PLANE = (("x", "y"), ("X", "Y"), ("lon", "lat"), ("longitude", "latitude"))


@dataclass(frozen=True)
class Clock:
    """When the first frame was, for fields with calendar time.

    units, calendar : as CF writes them, "days since 1950-01-01", "standard"
    first : time of the first frame in these units
    """

    units: str
    calendar: str
    first: float


@dataclass(frozen=True)
class Geometry:
    """Variables on one grid, or on one set of points.

    variables, units : of the fields that stand side by side in a snapshot
    axes, shape : names and lengths of the space axes of a snapshot of one variable
    coordinates : by name; (n,) along an axis of that name, or of the whole ``shape``
    coordinate_units : by name

    Examples
    --------
    >>> grid = Geometry(("u",), ("m/s",), ("y", "x"), (2, 3), {"x": np.arange(3.0)})
    >>> grid.cells, grid.name_of(4), grid.scattered
    (6, 'u at y=1, x=1', False)
    """

    variables: tuple[str, ...]
    units: tuple[str, ...]
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    coordinates: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    coordinate_units: Mapping[str, str] = field(default_factory=dict)
    clock: Clock | None = None

    @property
    def points(self) -> int:
        """Cells of one variable."""
        return math.prod(self.shape)

    @property
    def cells(self) -> int:
        """Cells of a snapshot: all variables, masked or not."""
        return len(self.variables) * self.points

    @property
    def plane(self) -> tuple[str, str] | None:
        """Names of the two coordinates in which a map is drawn, None where there are none."""
        for pair in PLANE:
            if all(name in self.coordinates for name in pair):
                return pair
        if len(self.shape) == 2:
            return self.axes[1], self.axes[0]
        return None

    @property
    def scattered(self) -> bool:
        """Whether the cells are points anywhere in the plane."""
        pair = self.plane
        return len(self.shape) == 1 and pair is not None and pair[0] in self.coordinates

    def axis_values(self, axis: int) -> NDArray[Any]:
        """Coordinate along an axis; 0, 1, 2, ... where the file has none."""
        found = self.coordinates.get(self.axes[axis])
        if found is None or found.shape != (self.shape[axis],):
            return np.arange(self.shape[axis], dtype=float)
        return found

    def latitude(self) -> NDArray[np.float64] | None:
        """Latitude of each point in degrees, (points,), None where none is known."""
        for name, values in self.coordinates.items():
            unit = self.coordinate_units.get(name, "").lower()
            if name.lower() not in LATITUDES and not unit.startswith(("degrees_n", "degree_n")):
                continue
            if unit in ("radian", "radians", "rad"):
                values = np.degrees(values)
            if values.shape == self.shape:
                return np.asarray(values, np.float64).reshape(-1)
            if name in self.axes:
                axis = self.axes.index(name)
                lengths = [1] * len(self.shape)
                lengths[axis] = -1
                spread = np.broadcast_to(values.reshape(lengths), self.shape)
                return np.asarray(spread, np.float64).reshape(-1)
        return None

    def name_of(self, cell: int) -> str:
        """A cell as people find it: variable and place."""
        variable, point = divmod(cell, self.points)
        index = np.unravel_index(point, self.shape)
        if self.scattered:
            pair = self.plane
            assert pair is not None
            place = [f"{n}={self.coordinates[n].reshape(-1)[point]:g}" for n in pair]
        else:
            place = [
                f"{name}={self.axis_values(k)[i]:g}"
                for k, (name, i) in enumerate(zip(self.axes, index, strict=True))
            ]
        return f"{self.variables[variable]} at {', '.join(place)}"

    def differs(self, other: Geometry) -> str | None:
        """In what two geometries differ, in words; None where they agree."""
        for what in ("variables", "units", "axes", "shape"):
            here, there = getattr(self, what), getattr(other, what)
            if here != there:
                return f"{what} {', '.join(map(str, here))} against {', '.join(map(str, there))}"
        for name in sorted(set(self.coordinates) | set(other.coordinates)):
            a, b = self.coordinates.get(name), other.coordinates.get(name)
            if a is None or b is None:
                return f"coordinate {name} is in one of them only"
            if a.shape != b.shape or not np.allclose(a, b, rtol=1e-6, atol=1e-9):
                return f"coordinate {name} has other values"
        return None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, for storage."""
        told = {
            "variables": self.variables,
            "units": self.units,
            "axes": self.axes,
            "shape": self.shape,
            "coordinate_units": dict(self.coordinate_units),
            "clock": None if self.clock is None else vars(self.clock),
        }
        arrays = {f"coordinate {name}": np.asarray(a) for name, a in self.coordinates.items()}
        return {"geometry": np.array([json.dumps(told)]), **arrays}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Geometry:
        """The inverse of :meth:`to_arrays`; other arrays are ignored."""
        told = json.loads(str(arrays["geometry"][0]))
        start = "coordinate "
        return cls(
            tuple(told["variables"]),
            tuple(told["units"]),
            tuple(told["axes"]),
            tuple(told["shape"]),
            {n.removeprefix(start): a for n, a in arrays.items() if n.startswith(start)},
            told["coordinate_units"],
            None if told["clock"] is None else Clock(**told["clock"]),
        )


def scatter(columns: NDArray[Any], valid: NDArray[np.bool_], geometry: Geometry) -> NDArray[Any]:
    """Columns (..., d) back in the grid: (..., variables, *shape), NaN where masked.

    >>> grid = Geometry(("u",), ("",), ("x",), (3,))
    >>> scatter(np.array([[1.0, 2.0]]), np.array([True, False, True]), grid).tolist()
    [[[1.0, nan, 2.0]]]
    """
    kind = np.result_type(columns.dtype, np.float32)
    full = np.full((*columns.shape[:-1], geometry.cells), np.nan, kind)
    full[..., valid] = columns
    return full.reshape(*columns.shape[:-1], len(geometry.variables), *geometry.shape)
