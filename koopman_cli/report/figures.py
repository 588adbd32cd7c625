"""Figures of a fit: KINDS by name, and files of them that are the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.report import fieldmaps, lines, maps, setmaps, stateplots
from koopman_cli.report.drawing import style
from koopman_cli.store.atomic import refusals, write_atomic
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from koopman_cli.report.run import Run

#: Every figure there is: (result, width in mm) -> Figure, or None where it has no data.
KINDS: dict[str, Callable[[FitResult, float], Figure | None]] = {
    "spectrum": lines.spectrum,
    "timescales": lines.timescales,
    "eigenfunctions": maps.eigenfunctions,
    "free-energy": maps.free_energy,
    "coordinates": lines.coordinates,
    "scores": lines.scores,
    "coherent-sets": setmaps.coherent_sets,
    "modes": fieldmaps.modes,
    "reconstruction": fieldmaps.reconstruction,
    "singular-values": fieldmaps.singular_values,
    "forecast": fieldmaps.forecast,
    "states": stateplots.states,
    "ck": stateplots.chapman_kolmogorov,
    "pseudospectrum": stateplots.pseudospectrum,
}

#: Formats, and the metadata that keeps dates and versions out of the files.
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def _known(names: Sequence[str], choices: Sequence[str], what: str) -> None:
    for name in names:
        if name not in choices:
            raise UsageError(f"unknown {what} {name!r}", did_you_mean(name, tuple(choices)))


def draw(result: FitResult | Run, kind: str, *, width_mm: float = 85) -> Figure | None:
    """One figure, to be shown in a notebook or saved.

    Parameters
    ----------
    result : FitResult or Run
        What a fit found, fresh or read back.
    kind : str
        Key of :data:`KINDS`.
    width_mm : float
        Width; 85 mm is one column of most journals.

    Returns
    -------
    matplotlib.figure.Figure or None
        None where the result has no data for it.

    Raises
    ------
    UsageError
        If there is no such kind.
    """
    _known([kind], list(KINDS), "figure")
    found = result if isinstance(result, FitResult) else result.result
    with style():
        return KINDS[kind](found, width_mm)


def encode_figure(figure: Figure, form: str) -> bytes:
    """The bytes of a figure file, the same every time."""
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format=form, metadata=FORMATS[form])
    return buffer.getvalue()


def save_figures(
    result: FitResult | Run,
    kinds: Sequence[str] | None,
    out_dir: str | PathLike[str],
    *,
    formats: Sequence[str] = ("png",),
    width_mm: float = 85,
) -> tuple[Path, ...]:
    """Draw figures and write each as ``out_dir/KIND.FORMAT``.

    Parameters
    ----------
    result : FitResult or Run
        What a fit found, fresh or read back.
    kinds : sequence of str or None
        Keys of :data:`KINDS`; None draws all that have data.
    out_dir : path
        Directory; made if missing. Files of the same name are replaced.
    formats : sequence of str
        Any of png, pdf, svg.
    width_mm : float
        Width of every figure.

    Returns
    -------
    tuple of Path
        The files written; a kind without data has none.

    Raises
    ------
    UsageError
        If a kind or a format is unknown, or the width is below 40 mm.
    FileError
        If the file system refuses.
    """
    chosen = list(KINDS) if kinds is None else list(dict.fromkeys(kinds))
    _known(chosen, list(KINDS), "figure")
    _known(formats, list(FORMATS), "figure format")
    if not 40 <= width_mm <= 1000:
        raise UsageError(f"a figure {width_mm:g} mm wide is not readable", "40 to 1000 mm")
    folder = Path(out_dir)
    with refusals(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in chosen:
        figure = draw(result, kind, width_mm=width_mm)
        for form in formats if figure is not None else ():
            assert figure is not None
            path = folder / f"{kind}.{form}"
            write_atomic(path, encode_figure(figure, form))
            written.append(path)
    return tuple(written)
