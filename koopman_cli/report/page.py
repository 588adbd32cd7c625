"""``report.html``: one file that holds everything a fit found; nothing is loaded from elsewhere.

Every number of a table stands in a ``data`` element with its full value and its place in
``summary.json``, from which it is taken. All texts from input are escaped by the template.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from koopman_cli import __version__
from koopman_cli.bibliography import bibtex
from koopman_cli.nouns import counted, lag_text, per, plural, unit_word
from koopman_cli.report.advice import explain
from koopman_cli.report.cells import Cells, breakable, short, signed
from koopman_cli.report.certified import MEANING
from koopman_cli.report.config import dumps as config_text
from koopman_cli.report.describe import CAPTIONS, TITLES, alt_text
from koopman_cli.report.featurebars import ranked
from koopman_cli.report.json import summary
from koopman_cli.report.methods import methods
from koopman_cli.report.pdbtext import pdb_text
from koopman_cli.report.text import is_conjugate
from koopman_cli.report.words import help_section, summary_sentences
from koopman_cli.types import FitResult, ScoreEntry

if TYPE_CHECKING:
    from jinja2 import Environment

WEB = Path(__file__).parent / "web"

#: The file in a RUN.
REPORT = "report.html"

#: Features listed for each mode.
FEATURES = 6

#: Numbers of a mode that are shown, in the order of the columns.
_QUANTITIES = ("timescale", "period", "frequency", "growth", "amplitude")
_PLAIN = ("residual", "spectral_bias")


def environment() -> Environment:
    """Templates beside this file; everything is escaped unless it was made as markup here."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(WEB),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["breakable"] = breakable
    made.filters["signed"] = signed
    made.filters["counted"] = counted
    made.filters["plural"] = plural
    return made


def picture(content: bytes, form: str) -> str:
    """A picture as a ``data:`` address.

    >>> picture(b"GIF89a", "gif")
    'data:image/gif;base64,R0lGODlh'
    """
    return f"data:image/{form};base64,{base64.b64encode(content).decode('ascii')}"


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG in pixels, so that the page does not jump."""
    return int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big")


def _figures(result: FitResult, pictures: Mapping[str, bytes]) -> dict[str, dict[str, Any]]:
    found = {}
    for kind, content in pictures.items():
        if kind not in TITLES:
            continue
        width, height = png_size(content)
        found[kind] = {
            "address": picture(content, "png"),
            "title": TITLES[kind],
            "caption": CAPTIONS[kind],
            "alt": alt_text(result, kind),
            "width": width,
            "height": height,
        }
    return found


def _mode_columns(cells: Cells, count: int) -> list[str]:
    names = [*_QUANTITIES, *_PLAIN, "certificate", "certificate.guaranteed"]
    found = [
        n for n in names if any(cells.value(f"modes.{i}.{n}") is not None for i in range(count))
    ]
    return [n for n in names if n in found or n == "timescale"]


def _modes(result: FitResult, cells: Cells) -> dict[str, Any]:
    columns = _mode_columns(cells, len(result.modes))
    rows = []
    for i, mode in enumerate(result.modes):
        if is_conjugate(result.modes, i):
            continue
        made = {name: cells.quantity(f"modes.{i}.{name}") for name in _QUANTITIES}
        made |= {name: cells.number(f"modes.{i}.{name}") for name in _PLAIN}
        made["residual"] = cells.residual(f"modes.{i}.residual")
        for name in ("certificate", "certificate.guaranteed"):
            made[name] = cells.interval(f"modes.{i}.{name}")
        rows.append(
            {
                "index": cells.number(f"modes.{i}.index"),
                "value": cells.eigenvalue(i),
                "cells": [made[name] for name in columns],
                "verdict": mode.verdict,
                "reason": mode.reason,
            }
        )
    spectral = any(mode.eigenvalue is not None for mode in result.modes)
    shown = {
        "spectral_bias": "spectral bias",
        "certificate": "certified range",
        "certificate.guaranteed": "guaranteed range",
    }
    return {
        "columns": [shown.get(name, name) for name in columns],
        "value": "eigenvalue" if spectral else "coherence",
        "rows": rows,
        "certified": MEANING if "certificate" in columns else "",
    }


def _dt_unit(result: FitResult) -> str:
    step = result.input.dt
    return "" if step is None else unit_word(step.value, step.unit) or "time units"


def _scores(result: FitResult, cells: Cells) -> list[dict[str, Any]]:
    if result.score is None:
        return []
    rows = []
    for key, name in (("vampe", "VAMP-E"), ("vamp2", "VAMP-2")):
        told = {
            part: cells.number(f"score.{key}.{part}", ".4f") for part in ("train", "test", "stderr")
        }
        rows.append({"model": result.model.family, "score": name, **told})
    for family, score in result.rivals:
        for entry, name in ((score.vampe, "VAMP-E"), (score.vamp2, "VAMP-2")):
            rows.append({"model": family, "score": name, **_entry(entry)})
    return rows


def _entry(entry: ScoreEntry) -> dict[str, str]:
    parts = {"train": entry.train, "test": entry.test, "stderr": entry.stderr}
    return {name: "–" if value is None else signed(f"{value:.4f}") for name, value in parts.items()}


def _dims(result: FitResult) -> list[dict[str, Any]]:
    choice = result.dim_choice
    if choice is None:
        return []
    return [
        {"dim": s.dim, **_entry(s.vampe), "chosen": s.dim == choice.chosen} for s in choice.scores
    ]


def _features(result: FitResult) -> list[dict[str, Any]]:
    found = result.correlations
    if found is None:
        return []
    count = min(len(found.modes), max(1, result.model.dim))
    return [
        {
            "mode": found.modes[k],
            "name": found.names[i],
            "value": signed(f"{found.values[i, k]:.2f}"),
            "interval": signed(f"[{found.low[i, k]:.2f}, {found.high[i, k]:.2f}]"),
            "stable": bool(found.stable[i, k]),
        }
        for k in range(count)
        for i in ranked(found, k, FEATURES)
    ]


def _states(result: FitResult, cells: Cells) -> dict[str, Any] | None:
    found = result.states
    if found is None:
        return None
    every = range(found.count)
    return {
        "count": found.count,
        "chosen": "chosen by the user" if found.chosen_by == "user" else "from the spectral gap",
        "rows": [
            {
                "hard": cells.quantity(f"states.populations.hard.{i}"),
                "soft": cells.quantity(f"states.populations.soft.{i}"),
                "lifetime": cells.quantity(f"states.lifetimes.{i}"),
            }
            for i in every
        ],
        "mfpt": [[cells.quantity(f"states.mfpt.{i}.{j}") for j in every] for i in every],
        "rates": [[_rate(cells, f"states.mfpt.{i}.{j}") for j in every] for i in every],
        "matrix": [
            [cells.number(f"states.transition_matrix.{i}.{j}", ".4f") for j in every] for i in every
        ],
        "test": found.chapman_kolmogorov,
        "p": cells.number("states.chapman_kolmogorov.p"),
        "notes": found.notes,
        "warnings": found.warnings,
        "reliable": found.reliable,
    }


def _rate(cells: Cells, key: str) -> str:
    """One over a mean first-passage time, the ends of the interval exchanged."""
    q = cells.value(key)
    if q is None or not q["value"]:
        return "–"
    ends = ""
    if q["low"] and q["high"]:
        ends = f" [{short(1 / q['high'])}, {short(1 / q['low'])}]"
    return f"{short(1 / q['value'])}{ends} {per(q['unit'])}".rstrip()


def _viewer(result: FitResult) -> dict[str, Any] | None:
    """What the 3-D view needs: a PDB text and a name for every state."""
    found, states = result.structures, result.states
    if found is None or states is None:
        return None
    shown = [
        {
            "name": f"state {i + 1}",
            "share": f"{100 * states.hard[i].value:.3g}%",
            "frames": [[int(a), int(b)] for a, b in found.frames[i]],
            "pdb": pdb_text(found, i),
        }
        for i in range(len(found.xyz))
    ]
    traced = not len(found.bonds)
    protein = sum(name in ("CA", "P") for name in found.atoms) >= 8
    return {
        "states": shown,
        "bonds": found.bonds.tolist(),
        "cartoon": protein,
        "trace": traced,
        "left_out": found.left_out,
    }


def _thinned(result: FitResult) -> str:
    """How many frames the figures show, where that is not all of them."""
    shown = 0 if result.projection is None else len(result.projection.values)
    if not shown or shown >= result.input.frames:
        return ""
    return (
        f"Figures over frames show {shown} of {counted(result.input.frames, 'frame')}, evenly "
        "spaced; all numbers are from all frames."
    )


def _context(result: FitResult, pictures: Mapping[str, bytes]) -> dict[str, Any]:
    told = summary(result)
    cells = Cells(told)
    paragraph, keys = methods(result)
    film = pictures.get("oscillation")
    viewer = _viewer(result)
    return {
        "title": result.input.files[0][0] if result.input.files else "arrays",
        "more_files": max(0, len(result.input.files) - 1),
        "version": __version__,
        "dt_unit": _dt_unit(result),
        "sentences": summary_sentences(result),
        "help": help_section(result),
        "cells": cells,
        "result": result,
        "lag": lag_text(result.model.lag),
        "figures": _figures(result, pictures),
        "film": None if film is None else picture(film, "gif"),
        "thinned": _thinned(result),
        "scores": _scores(result, cells),
        "dims": _dims(result),
        "modes": _modes(result, cells),
        "gap": result.gap,
        "features": _features(result),
        "states": _states(result, cells),
        "viewer": viewer,
        "viewer_code": (WEB / "3Dmol-min.js").read_text("utf-8") if viewer else "",
        "viewer_licence": (WEB / "3Dmol-LICENSE.txt").read_text("utf-8") if viewer else "",
        "warnings": [(text, explain(text)) for text in result.warnings],
        "methods": paragraph,
        "bibtex": bibtex(keys),
        "config": config_text(result.config),
        "style": (WEB / "style.css").read_text("utf-8"),
        "script": (WEB / "report.js").read_text("utf-8"),
    }


def page(result: FitResult, pictures: Mapping[str, bytes]) -> bytes:
    """The report as HTML, the same bytes every time.

    Parameters
    ----------
    result : FitResult
        What a fit found, fresh or read back.
    pictures : mapping
        PNG of each kind of figure that has data, and the GIF "oscillation" if there is one.

    Returns
    -------
    bytes
        UTF-8; file names that are no text keep their bytes escaped.
    """
    made = environment().get_template("report.html.j2").render(_context(result, pictures))
    return made.encode("utf-8", "backslashreplace")
