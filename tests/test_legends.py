"""Legends above figures: whole, whatever their entries are called."""

from dataclasses import replace

import numpy as np
import pytest

from koopman_cli.report.drawing import style
from koopman_cli.report.scoreplot import score_figure
from koopman_cli.scores import GridOptions, score_grid


@pytest.fixture(scope="module")
def table():
    """A grid of five families and settings, whose names are long."""
    steps = np.random.default_rng(0).standard_normal((600, 1))
    slow = steps.copy()
    for i in range(1, len(slow)):
        slow[i] = 0.95 * slow[i - 1] + 0.3 * steps[i]
    settings = {"kedmd": {"bandwidth": ("0.5", "1.2"), "landmarks": ("20", "40")}}
    options = GridOptions(models=("tica", "kedmd"), lags=("2", "5"), dims=(1, 2), settings=settings)
    return score_grid([slow], options)


@pytest.mark.parametrize("lags", [1, 2])
@pytest.mark.parametrize("width", [85, 95, 170])
def test_no_entry_of_the_scores_is_cut_off(table, width, lags):
    """Five series with their settings stand whole in the legend at the width of one column."""
    with style():
        figure = score_figure(replace(table, recommended=table.recommended[:lags]), width)
        figure.draw_without_rendering()
        (legend,) = figure.legends
        box, page = legend.get_window_extent(), figure.bbox
        assert page.x0 <= box.x0 < box.x1 <= page.x1
        assert page.y0 <= box.y0 < box.y1 <= page.y1
        texts = legend.get_texts()
        said = [text.get_text().replace("\n", " ") for text in texts]
        for axes in figure.axes:
            panel = axes.get_window_extent()
            assert panel.y1 < box.y0
            assert panel.height > 30 / 25.4 * figure.dpi
    assert sum("landmarks=" in name and "bandwidth=" in name for name in said) == 4
