"""RUN directories that earlier versions wrote: every verb reads them, or says why not."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from cli_support import done, run, two_lines
from scipy.io import netcdf_file

from koopman_cli.store import load_projection

OLD = Path(__file__).parent / "data" / "old_runs"

#: What each family was fitted to, and how that is read.
INPUT = {
    "tica": ("ar.npy",),
    "kedmd": ("ar.npy",),
    "vampnet": ("ar.npy",),
    "msm": ("wells.npy",),
    "dmd": ("wave.npz",),
    "series": ("series.nc", "--var", "temperature"),
    "packed": ("packed.nc", "--var", "temperature"),
}

RUNS = sorted(path.name.removesuffix(".tar.gz") for path in OLD.glob("*.tar.gz"))

#: Those whose number of states their gap tells.
WITH_STATES = {"tica-27729e9", "msm-0c1e956", "msm-27729e9"}


@pytest.fixture
def old(tmp_path, monkeypatch):
    """Unpacks a RUN by name, beside the data that it was fitted to."""
    monkeypatch.chdir(tmp_path)
    for path in OLD.iterdir():
        if path.suffix in (".npy", ".npz", ".nc"):
            shutil.copy(path, tmp_path)

    def unpack(name: str) -> Path:
        with tarfile.open(OLD / f"{name}.tar.gz") as packed:
            packed.extractall(tmp_path, filter="data")
        config = tmp_path / name / "config.toml"
        # Whoever moves data tells a RUN so, by hand.
        config.write_text(config.read_text().replace('"/data"', f'"{tmp_path}"'))
        return tmp_path / name

    return unpack


def source(name: str) -> tuple[str, ...]:
    """The arguments that read what a RUN was fitted to."""
    return INPUT[name.partition("-")[0]]


def test_every_family_and_version_is_there():
    """Five families and the series of NetCDF files, from three versions, below 60 kB each."""
    assert {name.partition("-")[0] for name in RUNS} == set(INPUT)
    assert {name.partition("-")[2] for name in RUNS} == {"3e62bf4", "0c1e956", "27729e9"}
    assert max(path.stat().st_size for path in OLD.iterdir()) < 60_000


@pytest.mark.parametrize("name", RUNS)
def test_report_and_figures_are_drawn(old, name):
    """``report`` and ``plot`` draw a RUN of any version."""
    folder = old(name)
    done("report", folder)
    assert "data:image" in (folder / "report.html").read_text()
    done("plot", folder, "spectrum", "coordinates", "-o", "figures")
    drawn = [path.stem for path in Path("figures").iterdir()]
    assert any("spectrum" in stem for stem in drawn), drawn


@pytest.mark.parametrize("name", RUNS)
def test_states_are_found_or_refused(old, name):
    """``states`` finds those of a RUN with a gap; the others have none, flows whatever is asked,
    which is exit 4.
    """
    outcome = run("states", old(name))
    if name in WITH_STATES:
        assert outcome.code == 0, outcome
        return
    assert outcome.code == 4
    cure = "koopman forecast RUN" if name.startswith("dmd") else "choose one with --count"
    assert cure in two_lines(outcome)[1]


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("packed")])
def test_transform_gives_what_the_fit_had_projected(old, name):
    """``transform`` of the file that was fitted gives the slow functions that the RUN holds."""
    folder = old(name)
    stored = load_projection(folder / "model.h5")
    done("transform", folder, *source(name), "-o", "again.npy")
    found = np.load("again.npy")
    np.testing.assert_allclose(found, stored.values[:, : found.shape[1]], atol=1e-4)


@pytest.mark.parametrize("name", RUNS)
def test_timescales_follow_the_input_that_a_run_names(old, name):
    """``timescales RUN`` finds the input, the features and the family of a RUN of any version."""
    told = done("timescales", old(name), "--lag", "1,2,4", "--json").json
    assert [lag["lag"]["frames"] for lag in told["lags"]] == [1, 2, 4]


@pytest.mark.parametrize("name", [name for name in RUNS if not name.startswith("packed")])
def test_a_run_is_like_itself(old, name):
    """``compare`` of a RUN with itself finds an angle of zero and every mode again."""
    folder = old(name)
    told = done("compare", folder, folder, "--json").json
    assert max(told["angles"]) < 1e-3
    assert all(pair["second"] == pair["first"] for pair in told["pairs"])


def test_a_column_without_a_name_is_that_with_one(old):
    """The series as an array, whose column has no name, is that of the NetCDF file."""
    old("series-27729e9")
    with netcdf_file("series.nc", mmap=False) as file:
        np.save("series.npy", file.variables["temperature"][:])
    options = ("--model", "tica", "--lag", "2", "--dim", "1")
    done("fit", *source("series"), *options, "-o", "named")
    done("fit", "series.npy", "--dt", "1d", *options, "-o", "unnamed")
    assert max(done("compare", "named", "unnamed", "--json").json["angles"]) < 1e-3
    done("transform", "named", "series.npy", "-o", "a.npy")
    done("transform", "unnamed", *source("series"), "-o", "b.npy")
    np.testing.assert_allclose(np.load("a.npy"), np.load("b.npy"), atol=1e-6)


def test_packed_numbers_are_not_taken_for_unpacked_ones(old):
    """A RUN fitted to packed numbers does not transform unpacked ones without a word: exit 3."""
    outcome = run("transform", old("packed-0c1e956"), *source("packed"))
    assert outcome.code == 3
    what, cure = two_lines(outcome)
    assert "packed" in what
    assert cure == "fit again"
