"""The leading oscillation of a field as a small looping film."""

from __future__ import annotations

import io

import numpy as np

from koopman_cli.geometry import scatter
from koopman_cli.report.drawing import DIVERGING, fixed_figure, frame_time, place, style
from koopman_cli.report.fieldmaps import (
    BOTTOM,
    CUT,
    LEFT,
    TITLE,
    draw_map,
    frame_map,
    map_height,
    place_of,
    plane_of,
)
from koopman_cli.report.modemaps import LINE, drawn_modes, mode_title
from koopman_cli.types import FitResult

#: Pictures of one period, milliseconds each, and points per inch.
PICTURES, MILLISECONDS, DPI = 16, 90, 120


def oscillation(result: FitResult, width_mm: float = 85, look: str = "paper") -> bytes | None:
    """A GIF of Re(v exp(i phase)) over one period of the first oscillating mode drawn.

    None where there is no field or nothing in it oscillates. The same bytes every time.
    """
    flow = result.flow
    if flow is None:
        return None
    rows = [
        (i, m)
        for i, m in drawn_modes(result)
        if m.eigenvalue is not None and m.eigenvalue.imag != 0 and m.verdict == "resolved"
    ]
    if not rows:
        return None
    head, mode = rows[0]
    geometry, valid = place_of(result)
    values = scatter(flow.modes.T[head : head + 1], valid, geometry)[:, 0].reshape(-1)
    plane = plane_of(geometry, np.abs(values))
    if plane is None:
        return None
    finite = np.abs(values[np.isfinite(values.real)])
    reach = float(np.quantile(finite, CUT)) or 1.0
    masked = np.where(np.isnan(values.real), np.nan, 0.0)
    with style(look):
        across = width_mm - LEFT - 2.5
        up = map_height(plane, across)
        figure = fixed_figure(width_mm, up + BOTTOM + TITLE + LINE + 2)
        axes = place(figure, LEFT, BOTTOM + 1, across, up)
        pictures = []
        for k in range(PICTURES):
            now = (values * np.exp(2j * np.pi * k / PICTURES)).real + masked
            axes.clear()
            draw_map(axes, plane, geometry, now, {"cmap": DIVERGING, "vmin": -reach, "vmax": reach})
            frame_map(axes, plane, left=True, bottom=True)
            axes.set_title(mode_title(mode, frame_time(result)[1]), loc="left", pad=2.5)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
            pictures.append(buffer)
    return _gif(pictures)


def _gif(pictures: list[io.BytesIO]) -> bytes:
    """One palette for all pictures, the colours of the map and greys, so that nothing flickers."""
    from matplotlib import colormaps
    from PIL import Image

    shades = 255 * colormaps[DIVERGING](np.linspace(0, 1, 192))[:, :3]
    greys = np.repeat(np.linspace(0, 255, 64)[:, None], 3, axis=1)
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(np.concatenate([shades, greys])).astype(np.uint8).tobytes())
    opened = [Image.open(buffer).convert("RGB") for buffer in pictures]
    reduced = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in opened]
    buffer = io.BytesIO()
    reduced[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=reduced[1:],
        duration=MILLISECONDS,
        loop=0,
        optimize=False,
        disposal=1,
    )
    return buffer.getvalue()
