"""What ``sample_data/`` promises in its READMEs."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
from systems import PRINZ

SAMPLES = Path(__file__).parents[1] / "sample_data"
ALA2 = SAMPLES / "ala2"


@pytest.fixture(scope="module", params=[1, 2], ids=["run1", "run2"])
def run(request):
    """One run as mdtraj reads the XTC, and its number."""
    import mdtraj as md

    path = ALA2 / f"run{request.param}.xtc"
    return request.param, md.load(str(path), top=str(ALA2 / "ala2.pdb"))


def test_size():
    """All samples together stay under 10 MB."""
    assert sum(f.stat().st_size for f in SAMPLES.rglob("*") if f.is_file()) < 10e6


@pytest.mark.parametrize("directory", ["ala2", "prinz", "wake", "enso"])
def test_each_sample_is_documented(directory):
    """Every sample has a README with origin, licence and how it was made."""
    text = (SAMPLES / directory / "README.md").read_text(encoding="utf-8")
    assert [w for w in ("**Origin**", "**Licence**", "**How it was made**") if w not in text] == []
    data = {f.name for f in (SAMPLES / directory).iterdir()} - {"README.md"}
    assert [name for name in sorted(data) if f"`{name}`" not in text] == []


def test_h5_needs_only_h5py(run):
    """MDTraj's layout, readable by h5py alone, with the same frames and times as the XTC."""
    import h5py

    number, xtc = run
    with h5py.File(ALA2 / f"run{number}.h5") as f:
        assert (f.attrs["conventions"], f.attrs["conventionVersion"]) == (b"Pande", b"1.1")
        assert (f["coordinates"].attrs["units"], f["time"].attrs["units"]) == (
            b"nanometers",
            b"picoseconds",
        )
        assert f["coordinates"].dtype == np.float32
        np.testing.assert_allclose(f["coordinates"][:], xtc.xyz, rtol=0, atol=5e-4)
        np.testing.assert_array_equal(f["time"][:], xtc.time)
        topology = json.loads(f["topology"][0])
    atoms = [a for c in topology["chains"] for r in c["residues"] for a in r["atoms"]]
    assert [a["name"] for a in atoms] == [a.name for a in xtc.topology.atoms]
    assert topology["bonds"] == [[a.index, b.index] for a, b in xtc.topology.bonds]


def test_time_step(run):
    """A frame every 5 ps, from 5 ps to 49,500 ps, and no cell."""
    _, trajectory = run
    np.testing.assert_array_equal(trajectory.time, np.arange(5.0, 49_501.0, 5.0))
    assert trajectory.unitcell_lengths is None


def test_torsions_and_distances_exist(run):
    """One phi and one psi, 45 distances of heavy atoms, and whole bonds."""
    import mdtraj as md

    _, trajectory = run
    assert len(md.compute_phi(trajectory[:1])[0]) == 1
    assert len(md.compute_psi(trajectory[:1])[0]) == 1
    assert len(trajectory.topology.select_pairs("element != H", "element != H")) == 45
    bonds = [(a.index, b.index) for a, b in trajectory.topology.bonds]
    assert md.compute_distances(trajectory, bonds).max() < 0.18


def test_phi_flips_often_enough():
    """At least 50 visits to phi > 0, as many as the README says."""
    import mdtraj as md

    visits = runpy.run_path(str(SAMPLES / "make_ala2.py"))["visits"]
    counts = []
    for number in (1, 2):
        path = ALA2 / f"run{number}.xtc"
        phi = md.compute_phi(md.load(str(path), top=str(ALA2 / "ala2.pdb")))[1]
        counts.append(visits(np.degrees(phi[:, 0])))
    text = " ".join((ALA2 / "README.md").read_text(encoding="utf-8").split())
    assert sum(counts) >= 50
    assert "{} in run 1 and {} in run 2, {} in all".format(*counts, sum(counts)) in text


def test_prinz_is_what_its_script_makes():
    """Four walkers of 10,000 frames, the first of which the seed reproduces."""
    data = np.load(SAMPLES / "prinz" / "prinz.npy", allow_pickle=False)
    assert data.shape == (4, 10_000, 1)
    assert np.isfinite(data).all()
    seed = runpy.run_path(str(SAMPLES / "make_prinz.py"))["SEED"]
    again = np.stack(PRINZ.simulate(seed, 4 * 50, walkers=4))
    np.testing.assert_allclose(data[:, :50], again, atol=1e-6)


def test_prinz_readme_quotes_the_exact_timescales():
    """Timescales and eigenvalues in the README are those computed from the potential."""
    chain = -PRINZ.dt / np.log(PRINZ.eigenvalues(1, 3).real)
    rows = {
        "chain with step 0.001": chain,
        "stochastic differential equation": 1 / PRINZ.process.generator(2000, 3),
        "eigenvalue of the chain at one frame": PRINZ.eigenvalues(1, 3).real,
    }
    text = (SAMPLES / "prinz" / "README.md").read_text(encoding="utf-8")
    missing = [
        row
        for name, values in rows.items()
        if (row := f"| {name} | " + " | ".join(f"{v:.5f}" for v in values) + " |") not in text
    ]
    assert missing == []
