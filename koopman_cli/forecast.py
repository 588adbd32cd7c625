"""Forecasts, reconstructions and modes of a flow, in the grid, coordinates and units of its input.

A forecast continues the functions of the last frame, psi_j(s) = lambda_j^(s / lag) psi_j, and
puts back what was known of the time: the cycle, the trend, the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import ResourceError, SupportError, UsageError, did_you_mean
from koopman_cli.features.design import Design
from koopman_cli.geometry import Clock, Geometry, scatter
from koopman_cli.models.dmd import complex_columns
from koopman_cli.nouns import counted
from koopman_cli.store.atomic import refusals, sibling, sync_directory
from koopman_cli.types import FitResult, Flow, Model
from koopman_cli.units import CALENDAR, SECONDS, convert, parse_time

#: Bytes of a result that is put together in memory.
LARGEST = 2 * 2**30

WHAT = ("forecast", "reconstruction", "modes")


@dataclass(frozen=True)
class FieldSeries:
    """Fields to be written: (trajectory, time or mode, columns), with their coordinate.

    along : "time" or "mode"; values : along it, in ``unit``
    extra : further numbers along it (frequency, growth, ...)
    """

    geometry: Geometry
    valid: NDArray[np.bool_]
    labels: tuple[str, ...]
    along: str
    values: NDArray[Any]
    unit: str
    columns: NDArray[Any]
    extra: Mapping[str, tuple[NDArray[Any], str]]


def flow_of(result: FitResult, name: str) -> Flow:
    """The flow of a result.

    Raises
    ------
    UsageError
        If the run is not a model of a field.
    """
    if result.flow is None:
        raise UsageError(
            f"{name} is no model of a field, so it has no fields to forecast",
            "koopman transform writes its functions of further frames; forecast takes fits of "
            "fields (koopman fit FIELD.nc or .npz)",
        )
    return result.flow


def steps_until(result: FitResult, until: str) -> int:
    """Frames from the last one to a time in the coordinate of the data, or to a date.

    Raises
    ------
    UsageError
        No time at all, or one before the end of the data.
    """
    flow, model = result.flow, result.model
    assert flow is not None
    last = float(flow.times.max())
    clock = Geometry.from_arrays(model.features.state).clock
    if clock is not None and until.count("-") in (1, 2) and until[:4].isdigit():
        target = _date_in_frames(until, model, clock)
    else:
        value, unit = parse_time(until)
        step = model.dt
        if unit and (step is None or step.unit not in {**SECONDS, **CALENDAR}):
            raise UsageError(f"--until {until}: the data have no unit of time", "give a number")
        if step is not None:
            value = (convert(value, unit, step.unit) if unit else value) / step.value
        target = value
    steps = round(target - last)
    if steps < 1:
        how = "time" if clock is None else "date, written 2025-12 or 2025-12-31"
        raise UsageError(
            f"--until {until}: the data end at {_end(last, model, clock)}",
            f"give a later {how}, or --steps",
        )
    return steps


def _date_in_frames(text: str, model: Model, clock: Clock) -> float:
    import cftime

    numbers = text.split("-")
    try:
        year, month = int(numbers[0]), int(numbers[1])
        day = int(numbers[2]) if len(numbers) > 2 else 1
        date = cftime.datetime(year, month, day, calendar=clock.calendar)
    except ValueError:
        raise UsageError(f"--until {text}: not a date", "write 2025-12 or 2025-12-31") from None
    assert model.dt is not None
    if model.dt.unit == "months":
        return (12 * year + month - 1) / model.dt.value
    return float(cftime.date2num(date, clock.units, calendar=clock.calendar)) / model.dt.value


def _end(last: float, model: Model, clock: Clock | None) -> str:
    """When the data end, from the number of the last frame: a date where they have dates."""
    end = last * (model.dt.value if model.dt else 1)
    if clock is None or model.dt is None:
        return f"{end:g}"
    if model.dt.unit == "months":
        year, month = divmod(round(end), 12)
        return f"{year:04}-{month + 1:02}"
    import cftime

    date = cftime.num2date(end, clock.units, calendar=clock.calendar)
    return str(date.strftime("%Y-%m-%d"))


def rates(model: Model) -> NDArray[np.complex128]:
    """Eigenvalues per frame."""
    if model.eigenvalues is None:
        raise SupportError(
            f"{model.family} has coherences, which cannot be continued in time", "fit dmd"
        )
    found: NDArray[np.complex128] = model.eigenvalues ** (1 / model.lag.frames)
    return found


def _snapshots(
    flow: Flow, model: Model, psi: NDArray[np.complex128], times: NDArray[np.float64]
) -> NDArray[Any]:
    """Columns of snapshots from functions (n, k) at times in frames."""
    heads = flow.heads
    pair = np.zeros(len(heads), bool)
    if model.eigenvalues is not None:
        pair = model.eigenvalues[heads].imag > 0
    factor = np.where(pair, 2.0, 1.0)
    kind = flow.known.dtype
    real = (psi[:, heads].real * factor).astype(kind) @ flow.modes.real.T
    imaginary = (psi[:, heads].imag * factor).astype(kind) @ flow.modes.imag.T
    design = Design.from_array(model.features.state["design"]).rows(times).astype(kind)
    found: NDArray[Any] = real - imaginary + design @ flow.known.T + flow.mean
    return found


def _check_size(count: int, flow: Flow) -> None:
    size = count * len(flow.modes) * flow.known.dtype.itemsize
    if size > LARGEST:
        raise ResourceError(
            f"{count} fields of {counted(len(flow.modes), 'cell')} take {size / 2**30:.1f} GiB",
            "take fewer steps at a time",
        )


def forecast(result: FitResult, steps: int) -> FieldSeries:
    """Fields of the ``steps`` frames after the last one, for every trajectory.

    Raises
    ------
    UsageError
        Fewer than one step.
    SupportError
        A model without eigenvalues, or a forecast that grows beyond all numbers.
    """
    flow, model = flow_of(result, "this run"), result.model
    if steps < 1:
        raise UsageError(f"--steps {steps}: at least 1", "for example --steps 20")
    if len(set(flow.times)) > 1 and len(flow.labels) > 1:
        times = np.arange(1.0, steps + 1)
    else:
        times = flow.times[0] + np.arange(1.0, steps + 1)
    _check_size(steps * len(flow.labels), flow)
    factors = rates(model)[None, :] ** np.arange(1, steps + 1)[:, None]
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [
            _snapshots(flow, model, factors * psi, end + np.arange(1.0, steps + 1))
            for psi, end in zip(flow.last, flow.times, strict=True)
        ]
    columns = np.stack(parts)
    if not np.isfinite(columns).all():
        raise SupportError(
            "the forecast grows beyond all numbers", "take fewer steps, or a smaller rank"
        )
    return _series(result, "time", times, columns, {})


def reconstruction(result: FitResult) -> FieldSeries:
    """Fields of the frames that were fitted, from the modes alone (one trajectory)."""
    flow, model, shown = flow_of(result, "this run"), result.model, result.projection
    assert shown is not None
    if len(flow.labels) > 1:
        raise SupportError(
            f"{counted(len(flow.labels), 'trajectory')} have no common time",
            "fit and reconstruct them apart",
        )
    _check_size(len(shown.values), flow)
    psi = shown.values[:, : flow.last.shape[1]].astype(np.complex128)
    if model.eigenvalues is not None:
        psi = complex_columns(psi.real, model.eigenvalues[: psi.shape[1]])
    times = flow.times[0] - (shown.frame[-1] - shown.frame)
    columns = _snapshots(flow, model, psi, np.asarray(times, np.float64))
    return _series(result, "time", times, columns[None], {})


def mode_fields(result: FitResult) -> FieldSeries:
    """The modes themselves: amplitude included, real and imaginary part."""
    flow = flow_of(result, "this run")
    modes = [result.modes[h] for h in flow.heads if h < len(result.modes)]
    extra: dict[str, tuple[NDArray[Any], str]] = {}
    for name in ("frequency", "growth", "amplitude"):
        found = [getattr(m, name) for m in modes]
        unit = next((q.unit for q in found if q is not None), "")
        extra[name] = (np.array([np.nan if q is None else q.value for q in found]), unit)
    index = np.array([m.index for m in modes])
    return _series(result, "mode", index, flow.modes.T[None, : len(modes)], extra)


def _series(
    result: FitResult,
    along: str,
    values: NDArray[Any],
    columns: NDArray[Any],
    extra: Mapping[str, tuple[NDArray[Any], str]],
) -> FieldSeries:
    state, model = result.model.features.state, result.model
    geometry = Geometry.from_arrays(state)
    flow = flow_of(result, "this run")
    unit = ""
    if along == "time":
        values, unit = _stamps(values, model, geometry)
    labels = flow.labels if len(columns) > 1 else flow.labels[:1]
    valid = np.asarray(state["valid"], bool)
    return FieldSeries(geometry, valid, labels, along, values, unit, columns, extra)


def _stamps(
    frames: NDArray[Any], model: Model, geometry: Geometry
) -> tuple[NDArray[np.float64], str]:
    """Times in frames as the input counts them."""
    if model.dt is None:
        return np.asarray(frames, np.float64), "frames"
    times = np.asarray(frames, np.float64) * model.dt.value
    clock = geometry.clock
    if clock is None:
        return times, model.dt.unit
    if model.dt.unit != "months":
        return times, clock.units
    import cftime

    first = cftime.num2date(clock.first, clock.units, calendar=clock.calendar)
    dates = [
        cftime.datetime(int(n) // 12, int(n) % 12 + 1, min(first.day, 28), calendar=clock.calendar)
        for n in np.round(times)
    ]
    return np.asarray(cftime.date2num(dates, clock.units, calendar=clock.calendar)), clock.units


def write_series(series: FieldSeries, out: Path, *, force: bool = False) -> None:
    """Write fields to ``.nc`` or ``.npz``; the file appears when it is complete.

    Raises
    ------
    UsageError
        Another suffix, or a file that is there already.
    FileError
        If the file system refuses.
    """
    if out.suffix not in (".nc", ".npz"):
        hint = did_you_mean(out.suffix or "nc", (".nc", ".npz"))
        raise UsageError(f"{str(out)!r}: cannot write this kind of file", hint)
    if out.exists() and not force:
        raise UsageError(f"{str(out)!r} exists", "add --force to replace it, or use --out")
    partial = sibling(out, "part")
    with refusals(out, "write"):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            if out.suffix == ".nc":
                _dataset(series).to_netcdf(partial, engine="h5netcdf")
            else:
                with partial.open("xb") as file:
                    np.savez(file, **cast("Any", _arrays(series)))
            partial.replace(out)
            sync_directory(out.parent)
        finally:
            partial.unlink(missing_ok=True)


def _parts(series: FieldSeries) -> dict[str, NDArray[Any]]:
    """Variables as (trajectory, along, *shape); complex ones as real and imaginary part."""
    full = scatter(series.columns, series.valid, series.geometry)
    found = {}
    for k, name in enumerate(series.geometry.variables):
        values = full[:, :, k]
        if np.iscomplexobj(values):
            found[f"{name}_real"], found[f"{name}_imag"] = values.real, values.imag
        else:
            found[name] = values
    return found


def _arrays(series: FieldSeries) -> dict[str, NDArray[Any]]:
    one = len(series.labels) == 1
    found = {name: a[0] if one else a for name, a in _parts(series).items()}
    for name, values in series.geometry.coordinates.items():
        found[name] = np.asarray(values)
    for name, (values, _) in series.extra.items():
        found[name] = values
    taken = "t" if series.along == "time" and "t" not in found else series.along
    return {taken: series.values, **found}


def _dataset(series: FieldSeries) -> Any:
    import xarray

    g = series.geometry
    one = len(series.labels) == 1
    lead = (series.along,) if one else ("trajectory", series.along)
    units = dict(zip(g.variables, g.units, strict=True))
    data = {
        name: (
            (*lead, *g.axes),
            a[0] if one else a,
            _attributes(units.get(name.removesuffix("_real").removesuffix("_imag"), "")),
        )
        for name, a in _parts(series).items()
    }
    coordinates: dict[str, Any] = {}
    for name, values in g.coordinates.items():
        dims = (name,) if name in g.axes else g.axes
        if np.shape(values) == tuple(g.shape[g.axes.index(d)] for d in dims):
            coordinates[name] = (dims, values, _attributes(g.coordinate_units.get(name, "")))
    told = _attributes(series.unit)
    if g.clock is not None and series.along == "time":
        told["calendar"] = g.clock.calendar
    coordinates[series.along] = ((series.along,), series.values, told)
    for name, (values, unit) in series.extra.items():
        coordinates[name] = ((series.along,), values, _attributes(unit))
    if not one:
        coordinates["trajectory"] = (("trajectory",), list(series.labels), {})
    return xarray.Dataset(data, coordinates)


def _attributes(unit: str) -> dict[str, str]:
    return {"units": unit} if unit else {}
