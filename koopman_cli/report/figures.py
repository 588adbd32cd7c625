"""Figures of a fit: KINDS by name, and files of them that are the same bytes every time."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.report import (
    animation,
    featurebars,
    fieldmaps,
    flowplots,
    lines,
    maps,
    modemaps,
    molecules,
    network,
    residuals,
    setmaps,
    stateplots,
)
from koopman_cli.report.describe import alt_text
from koopman_cli.report.drawing import LOOKS, style
from koopman_cli.store.atomic import refusals, write_atomic
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from koopman_cli.report.run import Run

#: Every figure there is: (result, width in mm) -> Figure, or None where it has no data.
KINDS: dict[str, Callable[..., Figure | None]] = {
    "spectrum": lines.spectrum,
    "timescales": lines.timescales,
    "score": lines.scores,
    "residuals": residuals.residuals,
    "eigenfunctions": maps.eigenfunctions,
    "free-energy": maps.free_energy,
    "coordinates": lines.coordinates,
    "features": featurebars.features,
    "states": stateplots.states,
    "network": network.network,
    "ck": stateplots.chapman_kolmogorov,
    "structures": molecules.structures,
    "coherent-sets": setmaps.coherent_sets,
    "modes": modemaps.modes,
    "reconstruction": fieldmaps.reconstruction,
    "singular-values": flowplots.singular_values,
    "forecast": flowplots.forecast,
    "pseudospectrum": stateplots.pseudospectrum,
}

#: Figures that move: (result, width in mm, look) -> GIF, or None where there is no data.
FILMS: dict[str, Callable[..., bytes | None]] = {"oscillation": animation.oscillation}

#: Figures that draw some modes only, where asked.
BY_MODE = frozenset({"timescales", "eigenfunctions", "coordinates", "features", "modes"})

#: Other names of a figure.
ALIASES = {"scores": "score", "chapman-kolmogorov": "ck"}

#: Formats, the metadata that keeps dates and versions out of the files, and the name under
#: which a format keeps the text for those who do not see the figure.
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}
_DESCRIPTION = {"png": "Description", "pdf": "Subject", "svg": "Description"}


def _known(names: Sequence[str], choices: Sequence[str], what: str) -> None:
    for name in names:
        if name not in choices:
            raise UsageError(f"unknown {what} {name!r}", did_you_mean(name, tuple(choices)))


def draw(
    result: FitResult | Run,
    kind: str,
    *,
    width_mm: float = 85,
    modes: Sequence[int] | None = None,
    look: str = "paper",
) -> Figure | None:
    """One figure, to be shown in a notebook or saved.

    Parameters
    ----------
    result : FitResult or Run
        What a fit found, fresh or read back.
    kind : str
        Key of :data:`KINDS`.
    width_mm : float
        Width; 85 mm is one column of most journals.
    modes : sequence of int, optional
        Modes to draw, numbered from 1, for the kinds in :data:`BY_MODE`.
    look : str
        "paper", "slides" (larger type and lines) or "dark".

    Returns
    -------
    matplotlib.figure.Figure or None
        None where the result has no data for it.

    Raises
    ------
    UsageError
        If there is no such kind or look.
    """
    kind = ALIASES.get(kind, kind)
    _known([kind], list(KINDS), "figure")
    _known([look], list(LOOKS), "style")
    found = result if isinstance(result, FitResult) else result.result
    chosen = {"modes": tuple(modes)} if modes is not None and kind in BY_MODE else {}
    with style(look):
        return KINDS[kind](found, width_mm / LOOKS[look].scale, **chosen)


def encode_figure(
    figure: Figure, form: str, *, description: str = "", look: str = "paper"
) -> bytes:
    """The bytes of a figure file, the same every time; ``description`` is kept inside."""
    buffer = io.BytesIO()
    told = {_DESCRIPTION[form]: description} if description else {}
    with style(look):
        figure.savefig(buffer, format=form, metadata=FORMATS[form] | told)
    return buffer.getvalue()


def check_figures(
    kinds: Sequence[str] | None, formats: Sequence[str], width_mm: float, look: str
) -> list[str]:
    """The kinds to draw.

    Raises
    ------
    UsageError
        If a kind, a format or a style is unknown, or the width is not readable.
    """
    every = [*KINDS, *FILMS]
    asked = every if kinds is None else [ALIASES.get(kind, kind) for kind in kinds]
    _known(asked, every, "figure")
    _known(formats, list(FORMATS), "figure format")
    _known([look], list(LOOKS), "style")
    if not 40 <= width_mm / LOOKS[look].scale <= 1000:
        raise UsageError(f"a figure {width_mm:g} mm wide is not readable", "40 to 1000 mm")
    return list(dict.fromkeys(asked))


def save_figures(
    result: FitResult | Run,
    kinds: Sequence[str] | None,
    out_dir: str | PathLike[str],
    *,
    formats: Sequence[str] = ("png",),
    width_mm: float = 85,
    modes: Sequence[int] | None = None,
    look: str = "paper",
) -> tuple[Path, ...]:
    """Draw figures and write each as ``out_dir/KIND.FORMAT``; films are always GIF.

    Parameters
    ----------
    result : FitResult or Run
        What a fit found, fresh or read back.
    kinds : sequence of str or None
        Keys of :data:`KINDS` and :data:`FILMS`; None draws all that have data.
    out_dir : path
        Directory; made if missing. Files of the same name are replaced.
    formats : sequence of str
        Any of png, pdf, svg.
    width_mm : float
        Width of every figure.
    modes : sequence of int, optional
        Modes to draw, numbered from 1.
    look : str
        "paper", "slides" or "dark".

    Returns
    -------
    tuple of Path
        The files written; a kind without data has none.

    Raises
    ------
    UsageError
        If a kind, a format or a style is unknown, or the width is below 40 mm.
    FileError
        If the file system refuses.
    """
    chosen = check_figures(kinds, formats, width_mm, look)
    found = result if isinstance(result, FitResult) else result.result
    folder = Path(out_dir)
    with refusals(folder, "write"):
        folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind in chosen:
        if kind in FILMS:
            film = FILMS[kind](found, width_mm / LOOKS[look].scale, look)
            if film is not None:
                written.append(folder / f"{kind}.gif")
                write_atomic(written[-1], film)
            continue
        figure = draw(found, kind, width_mm=width_mm, modes=modes, look=look)
        if figure is None:
            continue
        said = alt_text(found, kind)
        for form in formats:
            path = folder / f"{kind}.{form}"
            write_atomic(path, encode_figure(figure, form, description=said, look=look))
            written.append(path)
    return tuple(written)


def page_pictures(result: FitResult) -> dict[str, bytes]:
    """What a report shows: PNG by kind, GIF of films, for all that have data."""
    pictures = {}
    for kind in KINDS:
        figure = draw(result, kind)
        if figure is not None:
            pictures[kind] = encode_figure(figure, "png", description=alt_text(result, kind))
    films = {kind: film(result) for kind, film in FILMS.items()}
    return pictures | {kind: made for kind, made in films.items() if made is not None}
