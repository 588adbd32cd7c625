"""Featurizers of molecular-dynamics trajectories."""

from __future__ import annotations

import mdtraj
import numpy as np
import pytest
from features_support import (
    md_trajectory,
    peptide_topology,
    peptide_xyz,
    random_peptide,
    rigid_motions,
    rows,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from koopman_cli.errors import DataError, ResourceError, UsageError
from koopman_cli.features import angles, build_features, rebuild_features
from koopman_cli.types import FileRecord

EVERY = (
    "torsions",
    "torsions:all",
    "torsion-products",
    "ca-distances",
    "heavy-distances",
    "inverse-distances",
    "contacts",
    "positions",
    "rmsd:2",
)


def peptide(frames=20, residues=5, seed=0, **more):
    """A chain with random torsions."""
    xyz, _, _ = random_peptide(frames, residues, seed)
    return md_trajectory(xyz, peptide_topology(residues), **more)


def test_torsions_are_cosine_and_sine_of_the_angles_built_in():
    """Phi and psi come back with the IUPAC sign, in residue order, named by residue."""
    xyz, phi, psi = random_peptide(50, 3)
    stream = build_features([md_trajectory(xyz, peptide_topology(3))], "torsions")
    wanted = {"psi ALA1": psi[:, 0], "phi ALA2": phi[:, 0], "psi ALA2": psi[:, 1]}
    wanted["phi ALA3"] = phi[:, 1]
    names = [f"{f} {name}" for name in wanted for f in ("cos", "sin")]
    assert stream.spec.names == tuple(names)
    assert set(stream.spec.units) == {""}
    table = np.stack([f(a) for a in wanted.values() for f in (np.cos, np.sin)], axis=1)
    assert stream.dtype == np.float32
    np.testing.assert_allclose(rows(stream), table, atol=2e-5)


def test_all_torsions_add_omega():
    """torsions:all has the trans peptide bond beside phi and psi, cosine -1."""
    stream = build_features([peptide(residues=3)], "torsions:all")
    column = stream.spec.names.index("cos omega ALA1")
    np.testing.assert_allclose(rows(stream)[:, column], -1, atol=1e-5)


def test_products_are_harmonics_and_pairwise_products():
    """Each product column equals the product of cosines and sines that its name says."""
    xyz, phi, psi = random_peptide(30, 3)
    one = md_trajectory(xyz[:, :9], peptide_topology(3))
    stream = build_features([one], "torsions+torsion-products")
    table = dict(zip(stream.spec.names, rows(stream).T, strict=True))
    f, s = phi[:, 0], psi[:, 1]
    assert len(table) == 8 + 2 * 4 + 2 * 4 * 3
    np.testing.assert_allclose(table["cos 2phi ALA2"], np.cos(2 * f), atol=5e-5)
    np.testing.assert_allclose(table["sin 2psi ALA2"], np.sin(2 * s), atol=5e-5)
    for a, g in (("cos", np.cos), ("sin", np.sin)):
        for b, h in (("cos", np.cos), ("sin", np.sin)):
            name = f"{a} phi ALA2 {b} psi ALA2"
            np.testing.assert_allclose(table[name], g(f) * h(s), atol=5e-5)


def test_default_has_products_while_small_and_says_why():
    """Two residues: torsions with products; fourteen: torsions alone; each noted."""
    small = build_features([peptide(residues=2)])
    assert small.spec.text == "torsions+torsion-products"
    assert small.n_features == 12
    assert "default" in small.notes[0]
    large = build_features([peptide(frames=2, residues=8)])
    assert large.spec.text == "torsions"
    assert "420" in large.notes[0]


def test_default_without_torsions_is_heavy_distances():
    """Carbon atoms that form no torsion get their distances, and the note says so."""
    xyz, _, _ = random_peptide(4, 3)
    topology = peptide_topology(3)
    ca = [a.index for a in topology.atoms if a.name == "CA"]
    stream = build_features([md_trajectory(xyz[:, ca], topology.subset(ca))])
    assert stream.spec.text == "heavy-distances"
    assert stream.n_features == 3
    assert "no backbone torsions" in stream.notes[0]


@pytest.mark.parametrize("spec", EVERY)
def test_chunks_never_change_a_column(spec):
    """Frames read one by one, by seven or all at once give bit-identical columns."""
    stream = build_features([peptide()], spec)
    whole = rows(stream, size=1000)
    assert np.array_equal(rows(stream, size=1), whole)
    assert np.array_equal(rows(stream, size=7), whole)


@pytest.mark.parametrize("spec", EVERY)
def test_small_memory_never_changes_a_column(spec, monkeypatch):
    """A budget of a few kilobytes (one frame, one pair at a time) gives the same columns."""
    stream = build_features([peptide()], spec)
    whole = rows(stream)
    monkeypatch.setattr("koopman_cli.features.reading.CHUNK_BYTES", 2000)
    monkeypatch.setattr("koopman_cli.features.distances.TILE_BYTES", 100)
    assert np.array_equal(rows(stream), whole)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_rigid_motion_of_each_frame_leaves_features_unchanged(seed):
    """Torsions, distances, contacts, aligned positions and RMSD see only the shape."""
    xyz, _, _ = random_peptide(6, 5, seed)
    rotation, shift = rigid_motions(6, seed)
    rotation[0], shift[0] = np.eye(3), 0  # the reference frame stays
    moved = np.einsum("nij,naj->nai", rotation, xyz) + shift
    spec = "torsions+torsion-products+ca-distances+heavy-distances+contacts+positions+rmsd:0"
    topology = peptide_topology(5)
    before = rows(build_features([md_trajectory(xyz, topology)], spec))
    after = rows(build_features([md_trajectory(moved, topology)], spec))
    np.testing.assert_allclose(after, before, atol=1e-4)


def test_distances_and_contacts_equal_mdtraj():
    """CA and heavy-atom distances, their inverses and closest-heavy contacts, in nm."""
    trajectory = peptide(frames=10, residues=6)
    topology = trajectory.topology
    whole = mdtraj.Trajectory(next(trajectory.read(100)).values, topology)
    pairs = [(a, b) for a in range(18) for b in range(a + 1, 18)]
    direct = mdtraj.compute_distances(whole, pairs)
    heavy = build_features([trajectory], "heavy-distances")
    np.testing.assert_allclose(rows(heavy), direct, rtol=1e-6)
    assert heavy.spec.names[0] == "d ALA1-N ALA1-CA"
    assert set(heavy.spec.units) == {"nm"}
    inverse = build_features([trajectory], "inverse-distances")
    np.testing.assert_allclose(rows(inverse), 1 / direct, rtol=1e-6)
    assert set(inverse.spec.units) == {"1/nm"}
    contacts, residues = mdtraj.compute_contacts(whole, "all", "closest-heavy")
    ours = build_features([trajectory], "contacts:closest-heavy")
    np.testing.assert_allclose(rows(ours), contacts, rtol=1e-6)
    assert ours.spec.names == tuple(f"contact ALA{a + 1} ALA{b + 1}" for a, b in residues)
    assert build_features([trajectory], "ca-distances").n_features == 15


def test_hydrogens_are_not_heavy():
    """heavy-distances of three residues with a hydrogen each: nine atoms, 36 pairs."""
    xyz = np.random.default_rng(0).uniform(0, 0.2, (3, 12, 3))
    stream = build_features(
        [md_trajectory(xyz, peptide_topology(3, hydrogens=True))], "heavy-distances"
    )
    assert stream.n_features == 36
    assert not any("-H" in name for name in stream.spec.names)


@pytest.mark.parametrize("skew", [0.0, 0.7])
def test_wrapping_into_the_cell_changes_no_torsion_and_no_distance(skew):
    """With a valid cell, orthogonal or not, nearest images undo what wrapping did."""
    xyz, _, _ = random_peptide(20, 3)
    cell = np.array([[3.0, 0, 0], [skew, 3.0, 0], [skew, skew, 3.0]])
    fractions = xyz @ np.linalg.inv(cell)
    wrapped = (fractions - np.floor(fractions)) @ cell
    assert not np.allclose(wrapped, xyz)
    spec = "torsions+heavy-distances"
    topology = peptide_topology(3)
    ours = build_features([md_trajectory(wrapped, topology, cell=cell)], spec)
    whole = rows(build_features([md_trajectory(xyz, topology)], spec))
    np.testing.assert_allclose(rows(ours), whole, atol=1e-4)
    assert any("nearest images" in note for note in ours.notes)
    assert any("broken across the periodic boundary" in w for w in ours.warnings)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("spec", ["heavy-distances", "ca-distances", "inverse-distances"])
def test_small_cell_does_not_fold_a_molecule_onto_itself(spec, wrapped):
    """In a cell less than twice its length a molecule keeps its own distances, wrapped or not."""
    xyz, _, _ = random_peptide(20, 4)
    length = np.ptp(xyz, axis=1).max()
    cell = np.array([[1.0, 0, 0], [0.2, 1.0, 0], [0.1, 0.2, 1.0]]) * 1.3 * length
    assert length > 0.5 * cell[2, 2]
    moved = xyz
    if wrapped:
        fractions = xyz @ np.linalg.inv(cell)
        moved = (fractions - np.floor(fractions)) @ cell
    topology = peptide_topology(4)
    whole = rows(build_features([md_trajectory(xyz, topology)], spec))
    ours = rows(build_features([md_trajectory(moved, topology, cell=cell)], spec))
    np.testing.assert_allclose(ours, whole, rtol=1e-4, atol=1e-5)


def test_contacts_of_two_chains_take_nearest_images_inside_them_none():
    """A molecule at the other side of the cell is near, its own far end is not."""
    one = peptide_xyz(np.full((1, 5), np.pi), np.full((1, 5), np.pi))[0]  # stretched along x
    one -= one.mean(axis=0)
    length = np.ptp(one[:, 0])
    cell = np.diag([1.2 * length, 3.0, 3.0])
    xyz = np.concatenate([one + np.array([0, y, 0]) for y in (0.2, 2.9)])[None]
    topology = peptide_topology(6, chains=2)
    stream = build_features([md_trajectory(xyz, topology, cell=cell)], "ca-distances")
    found = dict(zip(stream.spec.names, rows(stream)[0].tolist(), strict=True))
    assert found["d 1:ALA1-CA 2:ALA1-CA"] == pytest.approx(0.3, abs=1e-4)
    ends = np.linalg.norm(one[1] - one[-2])
    assert ends > 0.6 * cell[0, 0]
    assert found["d 1:ALA1-CA 1:ALA6-CA"] == pytest.approx(ends, abs=1e-4)


def test_selected_ca_atoms_are_one_molecule():
    """CA atoms of a chain, which have no bonds, are not folded by a small cell either."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    for _ in range(12):
        topology.add_atom("CA", mdtraj.element.carbon, topology.add_residue("ALA", chain))
    xyz = np.zeros((3, 12, 3))
    xyz[:, :, 0] = 0.38 * np.arange(12)
    cell = 4.9 * np.eye(3)
    stream = build_features([md_trajectory(xyz % 4.9, topology, cell=cell)], "ca-distances")
    found = dict(zip(stream.spec.names, rows(stream)[0].tolist(), strict=True))
    assert max(found.values()) == pytest.approx(11 * 0.38, abs=1e-5)


def test_broken_molecule_is_counted_once():
    """The warning holds the number of frames and the first, however often they are read."""
    xyz, _, _ = random_peptide(30, 3)
    xyz[[7, 8, 21], 5:] += [4.0, 0, 0]
    stream = build_features([md_trajectory(xyz, peptide_topology(3), "a.xtc")], "torsions")
    assert stream.warnings == ()
    next(stream.chunks(0, 10))
    rows(stream, size=10)
    rows(stream, size=4)
    (warning,) = stream.warnings
    assert "3 of 30 frames (first: a.xtc, frame 7)" in warning


def test_cell_that_comes_and_goes_is_said():
    """Frames without a valid cell among frames with one are counted."""
    trajectory = peptide(frames=10, residues=3, cell=5 * np.eye(3))

    def read(size):
        for frames in trajectory.read(5):
            cell = frames.cell if frames.start else None
            yield type(frames)(frames.start, frames.values, cell)

    mixed = type(trajectory)(**{**vars(trajectory), "read": read})
    stream = build_features([mixed], "heavy-distances")
    assert any("no valid unit cell" in note for note in stream.notes)
    rows(stream)
    assert any("5 of 10 frames have no valid unit cell" in w for w in stream.warnings)


def test_collinear_atoms_name_the_quadruple():
    """An undefined angle is an error with file, frame, feature and its four atoms."""
    xyz, _, _ = random_peptide(5, 2)
    xyz[3, 2] = 2 * xyz[3, 1] - xyz[3, 0]
    stream = build_features([md_trajectory(xyz, peptide_topology(2), "b.xtc")], "torsions")
    with pytest.raises(DataError, match=r"b.xtc: frame 3: cos psi ALA1, sin psi ALA1") as caught:
        rows(stream)
    assert "ALA1-N (index 0), ALA1-CA (index 1), ALA1-C (index 2)" in str(caught.value)
    assert "--drop-nonfinite" in caught.value.hint
    products = build_features([md_trajectory(xyz, peptide_topology(2))], "torsion-products")
    with pytest.raises(DataError, match=r"ALA1-N \(index 0\)"):
        rows(products)


def test_non_finite_coordinate_names_file_of_a_joined_run():
    """In a run of two files, the frame is also given as counted in its own file."""
    xyz, _, _ = random_peptide(10, 2)
    xyz[6, 1] = np.nan
    files = (FileRecord("p1.xtc", 4), FileRecord("p2.xtc", 6))
    stream = build_features([md_trajectory(xyz, peptide_topology(2), "run", files=files)])
    with pytest.raises(DataError, match=r"frame 6 \(p2.xtc, its frame 2\).*atom index 1"):
        rows(stream)


@pytest.mark.parametrize(
    ("spec", "offer"),
    [
        ("torsions", "heavy-distances \\(3 heavy atoms\\)"),
        ("torsion-products", "positions"),
        ("ca-distances", "heavy-distances"),
        ("contacts", "heavy-distances"),
    ],
)
def test_what_does_not_exist_names_what_does(spec, offer):
    """One residue has no torsion, one CA and no contact: exit 3 and a list of the rest."""
    xyz = np.random.default_rng(1).normal(size=(3, 3, 3))
    with pytest.raises(DataError) as caught:
        build_features([md_trajectory(xyz, peptide_topology(1))], spec)
    assert caught.value.code == 3
    import re

    assert re.search(offer, caught.value.hint)


def test_two_atoms_have_no_superposition():
    """Positions and rmsd of two atoms are refused."""
    topology = peptide_topology(1).subset([0, 1])
    trajectory = md_trajectory(np.ones((2, 2, 3)), topology)
    for spec in ("positions", "rmsd"):
        with pytest.raises(DataError, match=spec):
            build_features([trajectory], spec)


def test_too_many_columns_are_refused_before_they_are_made():
    """Distances of 300 atoms (44,850 columns) exit 6 with the number and a cure."""
    xyz = np.zeros((1, 300, 3))
    with pytest.raises(ResourceError, match="44,850") as caught:
        build_features([md_trajectory(xyz, peptide_topology(100))], "heavy-distances")
    assert "--select" in caught.value.hint


def test_rmsd_is_zero_at_its_frame_and_right_elsewhere():
    """rmsd:3 is 0 at frame 3; a uniform stretch by s gives s times the radius of gyration."""
    xyz, _, _ = random_peptide(5, 4)
    centred = xyz[3] - xyz[3].mean(axis=0)
    xyz[1] = 1.1 * centred + 3
    stream = build_features([md_trajectory(xyz, peptide_topology(4))], "rmsd:3")
    values = rows(stream)[:, 0]
    assert values[3] < 1e-5
    radius = np.sqrt((centred**2).sum(axis=1).mean())
    assert values[1] == pytest.approx(0.1 * radius, rel=1e-4)


def test_superposition_of_a_nearly_linear_molecule():
    """The rotation stays right to single precision where two singular values are close."""
    xyz, _, _ = random_peptide(6, 5, 229)
    rotation, shift = rigid_motions(6, 229)
    rotation[0], shift[0] = np.eye(3), 0
    moved = np.einsum("nij,naj->nai", rotation, xyz) + shift
    topology = peptide_topology(5)
    before, after = (
        rows(build_features([md_trajectory(x, topology)], "positions")) for x in (xyz, moved)
    )
    np.testing.assert_allclose(after, before, atol=2e-6)


def test_mirror_images_are_not_superposed():
    """A superposition is a rotation: the mirror image of a chain keeps a distance."""
    xyz, _, _ = random_peptide(1, 5)
    both = np.concatenate([xyz, xyz * [1, 1, -1]])
    stream = build_features([md_trajectory(both, peptide_topology(5))], "rmsd:0")
    assert rows(stream)[1, 0] > 0.01


def test_rmsd_to_a_frame_that_is_not_there():
    """Beyond the end is an error of the data that names the length; no number is usage."""
    with pytest.raises(DataError, match="no frame 99, it has 20"):
        build_features([peptide()], "rmsd:99")
    with pytest.raises(UsageError, match="'x' is not a frame"):
        build_features([peptide()], "rmsd:x")


def test_stored_references_are_used_again():
    """Positions and rmsd of other data refer to the frame stored at the fit."""
    fitted = build_features([peptide(seed=1)], "positions+rmsd:4")
    other = peptide(seed=2)
    again = rebuild_features([other], fitted.spec)
    fresh = build_features([other], "positions+rmsd:4")
    assert not np.allclose(rows(again), rows(fresh), atol=1e-3)
    both = build_features([peptide(seed=1), other], "positions+rmsd:4")
    np.testing.assert_array_equal(rows(again), rows(both, 1))
    assert again.spec == fitted.spec


def test_stored_reference_of_other_atoms_is_refused():
    """A stored reference of 15 atoms cannot serve 12."""
    fitted = build_features([peptide(residues=5)], "rmsd")
    with pytest.raises(DataError, match=r"12 atoms.*has 15"):
        rebuild_features([peptide(residues=4)], fitted.spec)


def test_several_chains_are_told_apart():
    """With two chains each residue carries its chain; names are unique."""
    topology = peptide_topology(2, chains=2)
    xyz, _, _ = random_peptide(3, 2)
    both = np.concatenate([xyz, xyz + 1], axis=1)
    stream = build_features([md_trajectory(both, topology)], "torsions+heavy-distances")
    assert len(set(stream.spec.names)) == stream.n_features
    chains = {name.split()[2].split(":")[0] for name in stream.spec.names if "phi" in name}
    assert len(chains) == 2


def test_namesakes_within_a_chain_are_told_apart():
    """Two residues ALA1 in one chain get their places in the file."""
    topology = peptide_topology(3)
    for residue in topology.residues:
        residue.resSeq = 1
    stream = build_features([md_trajectory(random_peptide(2, 3)[0], topology)], "ca-distances")
    assert stream.spec.names[0] == "d ALA1#1-CA ALA1#2-CA"


def test_other_atoms_name_both_trajectories():
    """A different number or order of atoms is an error that names both files."""
    a, b = peptide(residues=3, label="a.xtc"), peptide(residues=4, label="b.xtc")
    with pytest.raises(DataError, match=r"a.xtc and b.xtc differ: 9 against 12 atoms"):
        build_features([a, b])
    topology = peptide_topology(3)
    topology.atom(4).name = "CB"
    c = md_trajectory(random_peptide(2, 3)[0], topology, "c.xtc")
    with pytest.raises(DataError, match=r"a.xtc and c.xtc.*ALA2-CA against ALA2-CB"):
        build_features([a, c])


def test_delays_of_torsions():
    """torsions+delays:3:2 holds rows t, t-2, t-4 of the torsions, named so."""
    plain = rows(build_features([peptide()], "torsions"))
    stream = build_features([peptide()], "torsions+delays:3:2")
    want = np.concatenate([plain[4:], plain[2:-2], plain[:-4]], axis=1)
    assert np.array_equal(rows(stream, size=3), want)
    assert stream.spec.names[0] == "cos psi ALA1"
    assert stream.spec.names[-1] == "sin phi ALA5(t-4)"
    assert stream.offsets == (4,)


def test_angles_come_back_from_columns():
    """``angles`` finds the torsions among all columns and none of their products."""
    xyz, phi, psi = random_peptide(10, 2)
    trajectory = md_trajectory(xyz, peptide_topology(2))
    stream = build_features([trajectory], "torsions+torsion-products+rmsd+delays:2")
    names, values = angles(stream.spec.names, rows(stream))
    assert names == ("psi ALA1", "phi ALA2")
    np.testing.assert_allclose(values, np.hstack([psi, phi])[1:], atol=1e-4)


def test_peptides_of_the_tests_have_the_angles_mdtraj_sees():
    """The builder used above agrees with mdtraj's own dihedrals."""
    xyz = peptide_xyz([[0.5, -2.0]], [[1.0, 3.0]])
    whole = mdtraj.Trajectory(xyz, peptide_topology(3))
    np.testing.assert_allclose(mdtraj.compute_phi(whole)[1], [[0.5, -2.0]], atol=1e-5)
    np.testing.assert_allclose(mdtraj.compute_psi(whole)[1], [[1.0, 3.0]], atol=1e-5)
