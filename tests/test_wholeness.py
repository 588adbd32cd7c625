"""Bonds that are too long: told by every verb that reads, with what causes them."""

import numpy as np
import pytest
from cli_support import ALA2, done
from features_support import md_trajectory, peptide_topology, random_peptide, rows

from koopman_cli.features import build_features


def warned(xyz, cell):
    """The warning about a peptide's bonds."""
    stream = build_features([md_trajectory(xyz, peptide_topology(3), cell=cell)], "torsions")
    rows(stream)
    (found,) = (w for w in stream.warnings if "bonded atoms" in w)
    return found


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A topology with the atoms of alanine dipeptide in another order."""
    lines = (ALA2 / "ala2.pdb").read_text().splitlines()
    atoms = [line for line in lines if line.startswith("ATOM")]
    moved = [f"{a[:6]}{i:5}{a[11:]}" for i, a in enumerate(reversed(atoms), 1)]
    path = tmp_path_factory.mktemp("top") / "other.pdb"
    path.write_text("\n".join([*moved, "END"]) + "\n")
    return path


@pytest.mark.parametrize(
    "command",
    [
        ["fit", "--lag", "5", "--dim", "1"],
        ["fit", "--features", "rmsd", "--lag", "5"],
        ["fit", "--features", "torsions+delays:3:1", "--lag", "5"],
        ["vamp-score", "--lag", "5", "--dim", "1"],
        ["timescales", "--lag", "1,5"],
        ["info"],
    ],
    ids=lambda command: "-".join(command[:3]),
)
def test_every_verb_tells_atoms_in_another_order(command, strange, tmp_path):
    """Whatever reads a trajectory with the atoms of another says so, a lag given or not."""
    verb, *options = command
    options += ["--allow-empty"] if verb == "fit" else []
    if verb != "info":
        options += ["-o", tmp_path / "RUN", "-q"]
    told = done(verb, ALA2 / "run1.xtc", "--top", strange, *options)
    (line,) = (w for w in (told.out + told.err).splitlines() if "bonded atoms" in w)
    assert "order of atoms does not belong to the trajectory" in line
    assert "--top" in line


@pytest.mark.parametrize("skew", [0.0, 1.4])
def test_a_boundary_is_named_where_nearest_images_mend_the_bonds(skew):
    """Wrapped molecules are broken across the boundary, in every frame and skewed cells too."""
    xyz, _, _ = random_peptide(20, 3)
    cell = np.array([[3.0, 0, 0], [skew, 3.0, 0], [skew, -skew, 3.0]])
    fractions = (xyz - np.array([0, 0, 0.05])) @ np.linalg.inv(cell)
    text = warned((fractions - np.floor(fractions)) @ cell, cell)
    assert "broken across the periodic boundary" in text
    assert "topology" not in text


def test_a_cell_that_does_not_mend_the_bonds_leaves_the_topology():
    """Atoms in another order are apart in nearest images: no boundary is blamed."""
    xyz, _, _ = random_peptide(20, 3)
    text = warned(xyz[:, [8, 3, 6, 1, 4, 7, 2, 5, 0]], 5 * np.eye(3))
    assert "nearest images in" in text
    assert "order of atoms does not belong" in text
    assert "boundary" not in text


def test_without_a_cell_the_topology_is_named_first():
    """Nothing tells a boundary from a wrong topology: both are named, the topology first."""
    xyz, _, _ = random_peptide(20, 3)
    xyz[[7, 8], 5:] += [4.0, 0, 0]
    text = warned(xyz, None)
    assert text.index("topology") < text.index("boundary")
    assert "make molecules whole" in text
