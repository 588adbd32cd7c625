"""Numbers in text, with their nouns and units: 1 frame, 2 frames, 1 month."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from koopman_cli.types import Lag

_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

#: Plurals that are not the singular and an s.
_IRREGULAR = {
    "axis": "axes",
    "trajectory": "trajectories",
}

#: Units that are words, so that one of them is singular.
_WORDY = ("frames", "months", "time units", "years")


def plural(n: float, noun: str) -> str:
    """The noun alone, as it stands behind a number.

    >>> plural(1, "frame"), plural(0, "frame"), plural(2, "trajectory")
    ('frame', 'frames', 'trajectories')
    """
    return noun if n == 1 else _IRREGULAR.get(noun, f"{noun}s")


def counted(n: float, noun: str, form: str = "") -> str:
    """A number in digits and its noun.

    Parameters
    ----------
    n : number
        How many.
    noun : str
        In the singular.
    form : str
        Format of the number, such as ``","``.

    Returns
    -------
    str

    Examples
    --------
    >>> counted(1, "frame"), counted(12000, "atom", ","), counted(2.0, "pair", "g")
    ('1 frame', '12,000 atoms', '2 pairs')
    """
    return f"{n:{form}} {plural(n, noun)}"


def spelled(n: int, noun: str) -> str:
    """A number, in words up to ten, and its noun.

    >>> spelled(1, "slow mode"), spelled(2, "slow mode"), spelled(14, "state")
    ('one slow mode', 'two slow modes', '14 states')
    """
    return f"{_WORDS[n] if n < len(_WORDS) else n} {plural(n, noun)}"


def are(n: float) -> str:
    """The verb of that many.

    >>> are(1), are(0), are(2)
    ('is', 'are', 'are')
    """
    return "is" if n == 1 else "are"


def verb(n: float, one: str, more: str = "") -> str:
    """The verb of that many, given in the plural, or in both forms where the s is not enough.

    >>> verb(1, "lie"), verb(3, "lie"), verb(1, "has", "have")
    ('lies', 'lie', 'has')
    """
    if more:
        return one if n == 1 else more
    return f"{one}s" if n == 1 else one


def times(n: int) -> str:
    """How often.

    >>> times(1), times(2)
    ('once', '2 times')
    """
    return "once" if n == 1 else f"{n} times"


def unit_word(value: float, unit: str) -> str:
    """The unit of a number: frames, months and years are words, so one of them is singular.

    Judged by four digits of the number, which are what is shown of it.

    >>> unit_word(1, "months"), unit_word(3, "months"), unit_word(1, "ps")
    ('month', 'months', 'ps')
    """
    return unit.removesuffix("s") if unit in _WORDY and f"{abs(value):.4g}" == "1" else unit


def per(unit: str) -> str:
    """A rate in that unit: per frame, per ps.

    >>> per("months"), per("s"), per("")
    ('per month', 'per s', '')
    """
    return f"per {unit_word(1, unit)}" if unit else ""


def number(value: float) -> str:
    """Four significant digits, without an exponent where people would not write one.

    >>> number(33.0), number(0.91234), number(12345.6), number(1e-9)
    ('33', '0.9123', '12346', '1e-09')
    """
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def timed(value: float, unit: str, form: str = "") -> str:
    """A time with its unit, in four digits unless another format is given.

    >>> timed(1, "months"), timed(12.0, "frames"), timed(0.5, "")
    ('1 month', '12 frames', '0.5')
    """
    shown = f"{value:{form}}" if form else number(value)
    return f"{shown} {unit_word(value, unit)}".rstrip()


def chance(p: float, level: float = 0.05) -> str:
    """A p value, with as many digits as tell on which side of a level it lies.

    >>> chance(0.0496), chance(0.04996), chance(0.05), chance(0.2512), chance(3e-7)
    ('0.0496', '0.04996', '0.05', '0.25', '3e-07')
    """
    told = (f"{p:.{digits}g}" for digits in range(2, 18))
    return next((text for text in told if (float(text) < level) == (p < level)), f"{p!r}")


def lag_text(lag: Lag) -> str:
    """A lag in frames and, where it has one, in time.

    >>> from koopman_cli.types import Lag
    >>> lag_text(Lag(10, 100.0, "ps")), lag_text(Lag(1, 1.0, "frames"))
    ('10 frames (100 ps)', '1 frame')
    >>> lag_text(Lag(1, 1.0, "months"))
    '1 frame (1 month)'
    """
    frames = counted(lag.frames, "frame")
    return frames if lag.unit == "frames" else f"{frames} ({timed(lag.value, lag.unit)})"
