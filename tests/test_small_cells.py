"""Unit cells that are small beside the molecule in them, in files of every format."""

import mdtraj
import numpy as np
import pytest
from cli_support import done
from features_support import peptide_topology, peptide_xyz
from io_fixtures import BARE, OWN, PRECISION, write_h5, write_md

from koopman_cli import FitOptions, fit
from koopman_cli.features import build_features
from koopman_cli.io import open_trajectories
from koopman_cli.io.molecules import Molecules
from koopman_cli.types import ReadOptions


def swinging(frames=400, side=None):
    """Four residues whose torsions relax slowly, in a cubic cell of ``side`` nm or in none."""
    rng = np.random.default_rng(5)
    angles = np.zeros((frames, 6))
    for t in range(1, frames):
        angles[t] = 0.9 * angles[t - 1] + 0.3 * rng.standard_normal(6)
    xyz = peptide_xyz(angles[:, :3] + 2.5, angles[:, 3:] - 2.5)
    # Rigid bonds would show nothing but the rounding of the format.
    xyz += 0.5 + 0.01 * rng.standard_normal(xyz.shape)
    made = mdtraj.Trajectory(xyz.astype(np.float32), peptide_topology(4), time=np.arange(frames))
    if side is not None:
        made.unitcell_lengths = np.full((frames, 3), side, np.float32)
        made.unitcell_angles = np.full((frames, 3), 90.0, np.float32)
    return made


def top_of(made, folder):
    """An MDTraj HDF5 topology, which keeps the bonds."""
    write_h5(made[0], folder / "top.h5")
    return str(folder / "top.h5")


def modes(path, top):
    """Eigenvalues of TICA on the heavy-atom distances."""
    options = FitOptions(features="heavy-distances", model="tica", lag="1", dim="3", folds=0)
    return fit(path, options, read=ReadOptions(top=top, dt="1ps")).model.eigenvalues.real


@pytest.mark.parametrize("suffix", BARE + OWN)
def test_every_format_gives_one_spectrum_of_distances(tmp_path, suffix):
    """A cell of 1.5 nm around a chain of up to 1.2 nm changes no mode of its distances.

    Rounding to 1e-3 nm (xtc, gro) moves the noisier modes; those formats are held to 0.01.
    """
    made = swinging(side=1.5)
    longest = np.ptp(made.xyz, axis=1).max()
    assert 0.75 < longest < 1.5
    top = top_of(made, tmp_path)
    write_h5(swinging(), tmp_path / "none.h5")
    path = write_md(made, tmp_path / f"run.{suffix}")
    expected = modes(str(tmp_path / "none.h5"), None)
    found = modes(str(path), None if suffix == "h5" else top)
    assert np.abs(found[:3] - expected[:3]).max() < (0.01 if PRECISION[suffix] > 1e-4 else 1e-3)


@pytest.mark.parametrize("suffix", ["h5", "xtc", "trr", "nc", "dcd"])
def test_a_cell_smaller_than_a_molecule_is_none(tmp_path, suffix):
    """A cell of 0.3 nm around a chain of 1 nm is not used, and that is said."""
    made = swinging(50, side=0.3)
    path = write_md(made, tmp_path / f"run.{suffix}")
    top = None if suffix == "h5" else top_of(made, tmp_path)
    trajectories = open_trajectories([path], ReadOptions(top=top))
    assert all(frames.cell is None for frames in trajectories[0].read(20))
    stream = build_features(trajectories, "torsions+heavy-distances")
    (found,) = stream.chunks(0)
    plain = build_features(open_trajectories([path], ReadOptions(top=top)), "heavy-distances")
    assert any("smaller than a molecule" in note for note in stream.notes)
    pairs = mdtraj.compute_distances(made, [[0, 11]], periodic=False)[:, 0]
    column = plain.spec.names.index(f"d {made.topology.atom(0)} {made.topology.atom(11)}")
    values = np.concatenate(list(plain.chunks(0)))[:, column]
    assert np.abs(values - pairs).max() < 3e-3
    assert found.shape[0] == 50


def test_info_says_that_the_cell_is_too_small(tmp_path):
    """`koopman info` does not call a cell valid that could not hold the molecule."""
    write_h5(swinging(20, side=0.3), tmp_path / "small.h5")
    write_h5(swinging(20, side=1.5), tmp_path / "fits.h5")
    assert "unit cell: none that could hold" in done("info", tmp_path / "small.h5").out
    assert "unit cell: valid" in done("info", tmp_path / "fits.h5").out


def test_a_molecule_without_end_keeps_its_cell():
    """A chain bonded to its own image is not judged by its length."""
    topology = mdtraj.Topology()
    chain = topology.add_chain()
    residue = topology.add_residue("POL", chain)
    atoms = [topology.add_atom(f"C{k}", mdtraj.element.carbon, residue) for k in range(10)]
    for a, b in zip(atoms, atoms[1:] + atoms[:1], strict=True):
        topology.add_bond(a, b)
    xyz = np.zeros((1, 10, 3), np.float32)
    xyz[0, :, 0] = 0.15 * np.arange(10)
    molecules = Molecules.of(topology)
    endless = np.diag([1.5, 2.0, 2.0])[None]
    assert molecules.fit_into(xyz, endless)
    assert not Molecules.of(swinging().topology).fit_into(swinging(1).xyz, np.eye(3)[None] * 0.5)


def test_whole_molecules_are_left_as_they_are():
    """Nothing is copied or rounded where no molecule is broken."""
    made = swinging(30, side=1.5)
    molecules = Molecules.of(made.topology)
    assert molecules is Molecules.of(made.topology)
    assert molecules.whole(made.xyz, made.unitcell_vectors) is made.xyz


def test_info_says_that_the_molecule_is_broken(tmp_path):
    """`koopman info` gives the warning of a broken molecule that `koopman fit` gives."""
    made = swinging(30, side=3.0)
    made.xyz[[4, 9], 6:] += np.float32(2.9)
    write_h5(made, tmp_path / "broken.h5")
    told = done("info", tmp_path / "broken.h5", "--json").json
    (warning,) = told["trajectories"][0]["warnings"]
    assert "bonded atoms are more than 0.3 nm apart in 2 of 30 frames" in warning
    assert "frame 4" in warning
    write_h5(swinging(30, side=3.0), tmp_path / "whole.h5")
    assert done("info", tmp_path / "whole.h5", "--json").json["trajectories"][0]["warnings"] == []
