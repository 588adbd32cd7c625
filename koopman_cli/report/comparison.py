"""One page that shows several runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from koopman_cli import __version__
from koopman_cli.nouns import lag_text
from koopman_cli.report.cells import Cells
from koopman_cli.report.compareplot import timescales_of_runs
from koopman_cli.report.describe import CAPTIONS, TITLES, alt_text
from koopman_cli.report.drawing import style
from koopman_cli.report.figures import draw, encode_figure
from koopman_cli.report.page import WEB, environment, picture, png_size
from koopman_cli.report.words import summary_sentences
from koopman_cli.types import FitResult

if TYPE_CHECKING:
    from koopman_cli.report.run import Run

#: Figures that stand beside each other.
KINDS = ("spectrum", "timescales", "eigenfunctions", "features", "states", "modes", "forecast")


def _row(run: Run) -> dict[str, Any]:
    result, cells = run.result, Cells(run.summary)
    gap = result.gap
    return {
        "name": run.path.name,
        "family": result.model.family,
        "features": result.model.features.text,
        "lag": lag_text(result.model.lag),
        "frames": cells.number("input.frames"),
        "dim": cells.number("model.dim"),
        "test": cells.number("score.vampe.test", ".4f"),
        "stderr": cells.number("score.vampe.stderr", ".4f"),
        "timescale": cells.quantity("modes.0.timescale"),
        "gap": "–" if gap is None or gap.after is None else f"after mode {gap.after}",
        "states": "–" if result.states is None else str(result.states.count),
        "warnings": len(result.warnings),
        "sentences": summary_sentences(result),
    }


def _figure(result: FitResult, kind: str) -> dict[str, Any] | None:
    figure = draw(result, kind)
    if figure is None:
        return None
    content = encode_figure(figure, "png")
    width, height = png_size(content)
    alt = alt_text(result, kind)
    return {"address": picture(content, "png"), "alt": alt, "width": width, "height": height}


def comparison(runs: Sequence[Run]) -> bytes:
    """The page as HTML; the same bytes every time.

    Parameters
    ----------
    runs : sequence of Run
        Read back from their directories.
    """
    results = [run.result for run in runs]
    names = [run.path.name for run in runs]
    with style():
        overview = timescales_of_runs(results, names)
    content = None if overview is None else encode_figure(overview, "png")
    shown = []
    for kind in KINDS:
        made = [(name, _figure(r, kind)) for name, r in zip(names, results, strict=True)]
        there = [(name, f) for name, f in made if f is not None]
        if there:
            shown.append({"title": TITLES[kind], "caption": CAPTIONS[kind], "figures": there})
    lags = {result.model.lag for result in results}
    context = {
        "version": __version__,
        "rows": [_row(run) for run in runs],
        "same_lag": len(lags) == 1,
        "overview": None if content is None else picture(content, "png"),
        "size": (0, 0) if content is None else png_size(content),
        "kinds": shown,
        "style": (WEB / "style.css").read_text("utf-8"),
        "script": (WEB / "report.js").read_text("utf-8"),
    }
    made_page = environment().get_template("comparison.html.j2").render(context)
    return made_page.encode("utf-8", "backslashreplace")
