"""Where true eigenvalues are, by the certificates of the modes, as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from koopman_cli.report.text import add_row, make_table
from koopman_cli.types import Mode

if TYPE_CHECKING:
    from rich.console import Console

#: What the two columns are.
MEANING = (
    "Certified: holds some true eigenvalue, not always that of this mode, if the residual is as "
    "estimated; guaranteed: at 95%, whatever its sampling error"
)

_BOUNDS = {"residual": "residual", "kato-temple": "Kato-Temple, given the next mode"}


def ends(certificate: Mapping[str, Any] | None) -> tuple[float, float] | None:
    """Lower and upper end of a certificate, or of its ``guaranteed`` part; None without both.

    >>> ends({"low": 0.8, "high": 0.9}), ends({"low": None, "high": 0.9}), ends(None)
    ((0.8, 0.9), None, None)
    """
    if not certificate or certificate.get("low") is None or certificate.get("high") is None:
        return None
    return float(certificate["low"]), float(certificate["high"])


def render_certificates(modes: Sequence[Mode], console: Console) -> None:
    """Print both intervals of every mode that has a certificate; nothing where none has."""
    certified = [(m.index, m.certificate) for m in modes if m.certificate and ends(m.certificate)]
    if not certified:
        return
    table = make_table(["mode", "certified", "by", "guaranteed"])
    for index, c in certified:
        row = [str(index), _shown(ends(c)), _BOUNDS.get(c["kind"], "-")]
        add_row(table, [*row, _shown(ends(c.get("guaranteed")))])
    console.print("Where true eigenvalues are", style="bold", markup=False, highlight=False)
    console.print(table)
    console.print(MEANING, markup=False, highlight=False)
    console.print("")


def _shown(interval: tuple[float, float] | None) -> str:
    return "-" if interval is None else f"[{interval[0]:.4f}, {interval[1]:.4f}]"
