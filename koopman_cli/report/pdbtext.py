"""Structures as PDB text, for viewers."""

from __future__ import annotations

from koopman_cli.types import Structures


def pdb_text(found: Structures, state: int) -> str:
    """All examples of a state as models of one PDB file; bonds travel beside it.

    Coordinates in Å; numbers are cut to the columns they have in the format.
    """
    lines = []
    for sample in range(found.xyz.shape[1]):
        lines.append(f"MODEL     {sample + 1:4d}")
        for i, (x, y, z) in enumerate(10 * found.xyz[state, sample].astype(float)):
            name, element = found.atoms[i][:4], found.elements[i][:2].upper()
            shown = f" {name:<3s}" if len(name) < 4 and len(element) < 2 else f"{name:<4s}"
            chain = chr(ord("A") + int(found.chains[i]) % 26)
            lines.append(
                f"ATOM  {(i + 1) % 100000:5d} {shown} {found.residues[i][:3]:>3s} {chain}"
                f"{int(found.residue_numbers[i]) % 10000:4d}    {x:8.3f}{y:8.3f}{z:8.3f}"
                f"  1.00  0.00          {element:>2s}"
            )
        lines.append("ENDMDL")
    return "\n".join([*lines, "END", ""])
