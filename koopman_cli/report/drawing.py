"""What all figures share: journal-column sizes, type, colours, axes of time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from koopman_cli.types import FitResult
from koopman_cli.units import SECONDS, convert

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MM = 1 / 25.4

#: Okabe and Ito's colours without yellow (too faint for lines); told apart by everyone.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
GREY = "#666666"
SEQUENTIAL = "viridis"
DIVERGING = "PuOr_r"


@dataclass(frozen=True)
class Look:
    """What a style changes: how large everything is, and its colours.

    scale : of type, lines and margins, at the same width of the figure
    ink, paper : of lines and type, and of the background
    grey, faint, unvisited : of lines that matter less, of shades, of bins without frames
    """

    scale: float = 1.0
    ink: str = "#000000"
    paper: str = "#ffffff"
    grey: str = GREY
    faint: str = "#dddddd"
    unvisited: str = "#e4e4e4"
    colours: tuple[str, ...] = COLOURS


LOOKS = {
    "paper": Look(),
    "slides": Look(scale=1.4),
    "dark": Look(
        ink="#e8e8e8",
        paper="#15181c",
        grey="#9aa0a6",
        faint="#2c3238",
        unvisited="#2c3238",
        colours=("#56B4E9", "#FF8A3D", "#2BC79A", "#E39AC6", "#7AA6FF", "#E6B422"),
    ),
}

_LOOK: ContextVar[Look] = ContextVar("look", default=LOOKS["paper"])


def look() -> Look:
    """The look of the figure being drawn."""
    return _LOOK.get()


def colour(i: int) -> str:
    """Colour of the i-th line or state, from 0; they repeat."""
    colours = look().colours
    return colours[i % len(colours)]


STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same on every machine
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": 1.1,
    "lines.markersize": 3.5,
    "image.interpolation": "nearest",
    "axes.unicode_minus": True,
    "svg.fonttype": "none",  # text stays text
    "pdf.fonttype": 42,
    "svg.hashsalt": "koopman",  # the same bytes every time
    "savefig.dpi": 300,
}


#: Settings that are lengths, and grow with the scale of a look.
_LENGTHS = ("size", "width", "markersize")


def log_ticks(axis: Any, low: float, high: float) -> None:
    """Ticks of a logarithmic axis as plain numbers, few enough to be read.

    Matplotlib writes every second part of a decade in powers of ten where an axis has but one.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # The coarsest steps that leave two numbers; the ends themselves where nothing does.
    for steps in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        every = -(-len(decades) // 6) if len(steps) == 1 else 1
        at = [s * 10.0**d for d in decades[::every] for s in steps if low <= s * 10.0**d <= high]
        if len(at) > 2 or (len(at) == 2 and len(steps) > 1):
            break
    else:
        at = [math.sqrt(low * high)]
    axis.set_major_locator(FixedLocator(at))
    small = all(1e-3 <= t < 1e5 for t in at)
    if small:
        axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}" if v < 1000 else f"{v:.0f}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def style(name: str = "paper") -> Iterator[None]:
    """The settings under which figures must be both drawn and saved."""
    import matplotlib as mpl

    chosen = LOOKS[name]
    token = _LOOK.set(chosen)
    try:
        with mpl.rc_context():
            mpl.rcdefaults()
            mpl.rcParams.update(STYLE | _colours(chosen) | _scaled(chosen.scale))
            yield
    finally:
        _LOOK.reset(token)


def _scaled(scale: float) -> dict[str, Any]:
    return {
        key: value * scale
        for key, value in STYLE.items()
        if key.rpartition(".")[2].endswith(_LENGTHS)
    }


def _colours(chosen: Look) -> dict[str, Any]:
    ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    ground = ("figure.facecolor", "axes.facecolor", "savefig.facecolor")
    return dict.fromkeys(ink, chosen.ink) | dict.fromkeys(ground, chosen.paper)


def _inches(millimetres: float) -> float:
    return millimetres * MM * look().scale


def new_figure(width_mm: float, height_mm: float) -> Figure:
    """An empty figure of a size in mm (times the scale of the look), laid out without overlaps."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.02, h_pad=0.02)
    return Figure(figsize=(_inches(width_mm), _inches(height_mm)), layout=layout)


def fixed_figure(width_mm: float, height_mm: float) -> Figure:
    """An empty figure whose axes are put in place by :func:`place`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(_inches(width_mm), _inches(height_mm)))


def place(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a position given in mm (times the scale of the look)."""
    across, up = (float(inches) / _inches(1.0) for inches in figure.get_size_inches())
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def frame_time(result: FitResult) -> tuple[float, str]:
    """Time between frames and its unit; (1, "frames") where none is known."""
    dt = result.model.dt
    return (1.0, "frames") if dt is None else (dt.value, dt.unit or "time units")


def readable_unit(longest: float, unit: str) -> tuple[float, str]:
    """Factor and unit in which a span of time has few digits.

    >>> readable_unit(99000.0, "ps")
    (0.001, 'ns')
    >>> readable_unit(400.0, "frames")
    (1.0, 'frames')
    """
    if unit not in SECONDS or 0.1 <= longest < 1e4:
        return 1.0, unit
    fits = [u for u in SECONDS if 1 <= convert(longest, unit, u) < 1e4 and u != "us"]
    best = min(fits, key=lambda u: convert(longest, unit, u), default=unit)
    return convert(1.0, unit, best), best


def column_labels(result: FitResult) -> list[str]:
    """Names of the columns of the projection: modes, or parts of a complex pair.

    "Slow coordinate" or Greek letters would clash with torsions named phi and psi.
    """
    assert result.projection is not None
    labels = [f"mode {i + 1}" for i in range(result.projection.values.shape[1])]
    eigenvalues = result.model.eigenvalues
    for i in range(len(labels) - 1 if eigenvalues is not None else 0):
        if eigenvalues is not None and i + 1 < len(eigenvalues) and eigenvalues[i].imag > 0:
            labels[i], labels[i + 1] = f"Re mode {i + 1}", f"Im mode {i + 1}"
    return labels


def verbatim(name: str) -> str:
    r"""A name from the input as it is: dollars would start a formula.

    >>> verbatim("price ($)")
    'price (\\$)'
    """
    return name.replace("$", r"\$")


def pick(modes: Sequence[int] | None, there: int, usual: int) -> list[int]:
    """Columns, from 0, of the modes asked for (numbered from 1), or the usual number of them.

    >>> pick(None, 8, 3), pick((2, 3, 9), 8, 3)
    ([0, 1, 2], [1, 2])
    """
    return list(range(usual)) if modes is None else [m - 1 for m in modes if 1 <= m <= there]


def energy_label(result: FitResult) -> str:
    """What -ln p is called: a free energy where there is a temperature."""
    return "free energy (kT)" if result.input.kind == "md" else "\u2212ln p"
