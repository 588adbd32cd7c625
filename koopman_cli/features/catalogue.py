"""The table of featurizers: one line each. Light enough for ``koopman features``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Entry:
    """One featurizer, as ``koopman features`` lists it.

    Parameters
    ----------
    name : str
        What stands in a specification, before any ``:``.
    kind : {"md", "array", "field", "any"}
        Input it applies to.
    meaning : str
        One line.
    home : str
        ``module:function`` that prepares it, below ``koopman_cli.features``; empty for
        ``delays``, which acts on all other columns together.
    settings : mapping
        Settings written after the name, separated by ``:``, with their defaults
        ("" where one must be given).
    choices : tuple of str
        Words that a setting may take, where it is a word.
    """

    name: str
    kind: Literal["md", "array", "field", "any"]
    meaning: str
    home: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    choices: tuple[str, ...] = ()


_TABLE = (
    Entry(
        "torsions",
        "md",
        "cosine and sine of backbone phi and psi (torsions:all adds omega and chi1 to chi5)",
        "torsions:prepare_torsions",
        {"which": "backbone"},
        ("backbone", "all"),
    ),
    Entry(
        "torsion-products",
        "md",
        "second harmonics and pairwise products of the backbone torsions",
        "torsions:prepare_products",
    ),
    Entry(
        "ca-distances",
        "md",
        "distances between all pairs of CA atoms, nm",
        "distances:prepare_ca",
    ),
    Entry(
        "heavy-distances",
        "md",
        "distances between all pairs of heavy atoms, nm",
        "distances:prepare_heavy",
    ),
    Entry(
        "inverse-distances",
        "md",
        "one over the distances between all pairs of heavy atoms, 1/nm",
        "distances:prepare_inverse",
    ),
    Entry(
        "contacts",
        "md",
        "closest heavy-atom distance of residues at least three apart, nm",
        "distances:prepare_contacts",
        {"scheme": "closest-heavy"},
        ("closest-heavy",),
    ),
    Entry(
        "positions",
        "md",
        "coordinates of all selected atoms after superposition on the first frame, nm",
        "superposition:prepare_positions",
    ),
    Entry(
        "rmsd",
        "md",
        "root-mean-square deviation of all selected atoms from one frame, nm",
        "superposition:prepare_rmsd",
        {"frame": "0"},
    ),
    Entry(
        "identity",
        "array",
        "the columns as they are; wrapped angles become cosine and sine (identity:raw: never)",
        "columns:prepare_identity",
        {"angles": "auto"},
        ("auto", "raw"),
    ),
    Entry(
        "standardised",
        "array",
        "the columns at mean 0 and standard deviation 1, both fitted on the input",
        "columns:prepare_standardised",
        {"angles": "auto"},
        ("auto", "raw"),
    ),
    Entry(
        "field",
        "field",
        "snapshots, masked cells left out and areas weighted; the model takes their POD",
        "field:build_field",
    ),
    Entry(
        "delays",
        "any",
        "NUMBER copies of all other columns, the present and earlier frames, SPACING apart",
        "",
        {"number": "", "spacing": "1"},
    ),
    Entry(
        "python",
        "any",
        "a function of your own: python:path.py:function (frames to an array of n rows)",
        "user:prepare_function",
        {"path": "", "function": ""},
    ),
)

#: name -> Entry, in the order of ``koopman features``.
FEATURIZERS: Mapping[str, Entry] = {entry.name: entry for entry in _TABLE}


def list_features() -> tuple[Entry, ...]:
    """Every featurizer, in the order in which ``koopman features`` prints them.

    >>> [entry.name for entry in list_features() if entry.kind == "array"]
    ['identity', 'standardised']
    """
    return _TABLE
