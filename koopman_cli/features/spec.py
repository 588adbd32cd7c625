"""The grammar of feature specifications.

A specification is parts joined by ``+``, each a name with settings after ``:``::

    torsions+contacts:closest-heavy
    identity+delays:20:5
    python:mine.py:end_to_end

Commas never occur inside one: they separate the specifications of a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from koopman_cli.errors import UsageError, did_you_mean
from koopman_cli.features.catalogue import FEATURIZERS


@dataclass(frozen=True)
class Part:
    """One part of a specification: a name and its settings, as written."""

    name: str
    options: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The part as written.

        >>> Part("delays", ("20", "5")).text
        'delays:20:5'
        """
        return ":".join((self.name, *self.options))

    @property
    def lasting(self) -> str:
        """The part as a model keeps it: a file of the user's is found from anywhere.

        >>> Part("python", ("/data/mine.py", "f")).lasting
        'python:/data/mine.py:f'
        """
        if self.name != "python":
            return self.text
        path, function = self.options
        return f"python:{Path(path).absolute()}:{function}"


@dataclass(frozen=True)
class Delays:
    """Time-delay embedding: ``number`` copies of every column, ``spacing`` frames apart."""

    number: int = 1
    spacing: int = 1

    @property
    def window(self) -> int:
        """Frames before the present that one row needs; lost at the start of a segment."""
        return (self.number - 1) * self.spacing


def parse_spec(text: str) -> tuple[Part, ...]:
    """Parts of a feature specification.

    Parameters
    ----------
    text : str
        For example ``"torsions+contacts:closest-heavy"``.

    Returns
    -------
    tuple of Part
        In the order written.

    Raises
    ------
    UsageError
        Empty, an unknown name or setting, too many settings, or a part given twice.

    Examples
    --------
    >>> [part.text for part in parse_spec("torsions + delays:20:5")]
    ['torsions', 'delays:20:5']
    """
    parts = tuple(_parse_part(word) for word in _split(text))
    if not parts:
        raise UsageError("the feature specification is empty", "see koopman features for names")
    for k, part in enumerate(parts):
        if part in parts[:k]:
            raise UsageError(f"features {text!r}: {part.text} is given twice", "name it once")
    if sum(part.name == "delays" for part in parts) > 1:
        raise UsageError(
            f"features {text!r}: delays act on all other columns together, so one is enough",
            "give a single delays:NUMBER:SPACING",
        )
    return parts


def parse_delays(parts: tuple[Part, ...]) -> Delays:
    """The delay embedding that a specification asks for; ``Delays()`` is none.

    >>> parse_delays(parse_spec("identity+delays:20:5")).window
    95
    """
    for part in parts:
        if part.name == "delays":
            numbers = [_positive(part, option) for option in part.options]
            if not numbers:
                raise UsageError("features: delays needs a number", "write delays:20")
            return Delays(*numbers)
    return Delays()


def _positive(part: Part, option: str) -> int:
    if not (option.isascii() and option.isdigit() and int(option) > 0):
        raise UsageError(
            f"features {part.text!r}: {option!r} is not a whole number above 0",
            "write delays:NUMBER or delays:NUMBER:SPACING, for example delays:20:5",
        )
    return int(option)


def _split(text: str) -> list[str]:
    words: list[str] = []
    for word in text.split("+"):
        # A path may hold a "+": a python part is complete once it names a function.
        if words and words[-1].startswith("python:") and words[-1].count(":") < 2:
            words[-1] += "+" + word
        else:
            words.append(word)
    return [word.strip() for word in words if word.strip()]


def _parse_part(word: str) -> Part:
    name, _, rest = word.partition(":")
    if name not in FEATURIZERS:
        raise UsageError(
            f"features: {name!r} is not a featurizer", did_you_mean(name, list(FEATURIZERS))
        )
    entry = FEATURIZERS[name]
    if name == "python":
        options = tuple(rest.rsplit(":", 1))
        if len(options) != 2 or not all(options):
            raise UsageError(
                f"features {word!r}: a path and a function are needed",
                "write python:path.py:function",
            )
        return Part(name, options)
    options = tuple(rest.split(":")) if rest else ()
    if len(options) > len(entry.settings):
        allowed = ", ".join(entry.settings) or "none"
        raise UsageError(
            f"features {word!r}: more settings than {name} has",
            f"settings of {name}: {allowed}",
        )
    for option in options:
        if entry.choices and option not in entry.choices:
            raise UsageError(
                f"features {word!r}: {name} knows no {option!r}",
                did_you_mean(option, entry.choices),
            )
    # A setting at its default is the same part as one left out.
    defaults = list(entry.settings.values())
    while options and options[-1] == defaults[len(options) - 1] and name != "rmsd":
        options = options[:-1]
    return Part(name, options)
