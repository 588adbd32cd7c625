"""Numbers of a summary as HTML: each with its full value and its place in ``summary.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from koopman_cli.nouns import number, unit_word

if TYPE_CHECKING:
    from markupsafe import Markup

MINUS = "\N{MINUS SIGN}"

#: A hyphen that is the sign of a number: of its own, of an exponent or of an imaginary part.
_SIGN = re.compile(
    r"(?<![\w.)\]/-])-(?=\d+(?:\.\d+)?(?:e-?\d+)?i?(?![\w/-]|\.\w))"
    r"|(?<=\de)-(?=\d)|(?<=\d)-(?=[\d.]+i\b)"
)

#: Characters of a name in one piece, at most.
PIECE = 16


class Cells:
    """Numbers of a summary as ``data`` elements: the value in full, what is shown, its place."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told

    def value(self, key: str) -> Any:
        """What stands at a place such as ``modes.0.timescale.value``."""
        found: Any = self._told
        for part in key.split("."):
            if found is None:
                return None
            found = found[int(part)] if isinstance(found, list) else found.get(part)
        return found

    def number(self, key: str, form: str = "") -> Markup:
        """One number; a dash where there is none."""
        from markupsafe import Markup

        found = self.value(key)
        if found is None:
            return Markup("–")
        text = _minus(format(found, form)) if form else short(found)
        return self._shown(key, found, text)

    def residual(self, key: str) -> Markup:
        """A residual, which at 0 is only not told from it."""
        found = self.value(key)
        return self._shown(key, found, "not told from 0") if found == 0 else self.number(key)

    def _shown(self, key: str, found: Any, text: str) -> Markup:
        from markupsafe import Markup

        return Markup('<data value="{}" data-key="{}">{}</data>').format(repr(found), key, text)

    def quantity(self, key: str) -> Markup:
        """Value, interval and unit; a dash where undefined."""
        from markupsafe import Markup

        if self.value(key) is None:
            return Markup("–")
        told = self.number(f"{key}.value")
        interval = self.value(f"{key}.low") is not None and self.value(f"{key}.high") is not None
        if interval:
            ends = self.number(f"{key}.low"), self.number(f"{key}.high")
            told += Markup(' <span class="ci">[{}, {}]</span>').format(*ends)
        unit = self.value(f"{key}.unit")
        unit = unit if interval or not unit else unit_word(self.value(f"{key}.value"), unit)
        return told + Markup(' <span class="unit">{}</span>').format(unit) if unit else told

    def eigenvalue(self, i: int) -> Markup:
        """Eigenvalue of a mode, complex as a+bi, or its coherence."""
        from markupsafe import Markup

        found = self.value(f"modes.{i}.eigenvalue")
        if found is None:
            return self.number(f"modes.{i}.singular_value", ".4f")
        told = self.number(f"modes.{i}.eigenvalue.0", ".4f")
        if found[1]:
            told += Markup("{}i").format(self.number(f"modes.{i}.eigenvalue.1", "+.4f"))
        low, high = (f"modes.{i}.eigenvalue_{end}" for end in ("low", "high"))
        if self.value(low) is not None and self.value(high) is not None:
            size = Markup('<span class="unit">|λ|</span>&nbsp;') if found[1] else ""
            ends = self.number(low, ".4f"), self.number(high, ".4f")
            told += Markup(' <span class="ci">{}[{}, {}]</span>').format(size, *ends)
        return told

    def interval(self, key: str) -> Markup:
        """Two ends, or a dash."""
        from markupsafe import Markup

        if self.value(key) is None or self.value(f"{key}.low") is None:
            return Markup("–")
        low, high = self.number(f"{key}.low", ".4f"), self.number(f"{key}.high", ".4f")
        return Markup("[{}, {}]").format(low, high)


def pieces(name: str) -> list[str]:
    """Parts of a name between which a line may end: after a sign, or else every 16 characters.

    >>> pieces("ala2.run_1/b"), pieces("an_uncommonlyverylongone")
    (['ala2.', 'run_', '1/', 'b'], ['an_', 'uncommonlyverylo', 'ngone'])
    """
    found = re.findall(r"[^./_+:,-]*[./_+:,-]+|[^./_+:,-]+", name)
    return [part[k : k + PIECE] for part in found for k in range(0, len(part), PIECE)]


def breakable(name: str) -> Markup:
    """A name, escaped, whose lines end where :func:`pieces` do rather than within a word."""
    from markupsafe import Markup

    return Markup("<wbr>").join(pieces(name))


def signed(text: str) -> str:
    """Prose with true minus signs before its numbers; hyphens of words and ranges stay.

    >>> signed("0.5-0.25i [-0.1, 2e-09], run-3.npy, 600-800")
    '0.5\N{MINUS SIGN}0.25i [\N{MINUS SIGN}0.1, 2e\N{MINUS SIGN}09], run-3.npy, 600-800'
    """
    return _SIGN.sub(MINUS, text)


def short(value: float) -> str:
    """Four significant digits, with a true minus.

    >>> short(-0.123456), short(19800)
    ('\N{MINUS SIGN}0.1235', '19800')
    """
    return _minus(str(value) if isinstance(value, int) else number(value))


def _minus(text: str) -> str:
    return text.replace("-", MINUS)
