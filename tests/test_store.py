"""What model.h5 promises: every bit back, nothing from a damaged or hostile file."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import report_fixtures as made
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from koopman_cli.errors import FileError, ModelFileError
from koopman_cli.store import (
    SCHEMA,
    container,
    load_model,
    load_projection,
    load_result,
    save_model,
    save_result,
)
from koopman_cli.store.plain import from_plain, to_plain
from koopman_cli.types import Correlations, DimChoice, Mode, Structures

DOCUMENT = Path(__file__).parents[1] / "docs" / "model-file.md"


def assert_same(a, b, where=""):
    """Equal values and, for arrays, equal bits, types and shapes; recursive."""
    assert type(a) is type(b), where
    if is_dataclass(a):
        for field in fields(a):
            name = field.name
            assert_same(getattr(a, name), getattr(b, name), f"{where}.{name}")
    elif isinstance(a, np.ndarray):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), where
        assert a.tobytes() == b.tobytes(), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, tuple):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{i}]")
    else:
        assert a == b, where


@pytest.fixture
def saved(tmp_path):
    """A complete file of the fixtures' result."""
    path = tmp_path / "model.h5"
    save_result(made.result(), path)
    return path


# ------------------------------------------------------------------ round trips


@pytest.mark.parametrize(
    "model",
    [
        made.model(),
        made.model(blocks=None, dt=None, warnings=(), dropped=()),
        made.model(solve="svd", eigenvalues=None, singular_values=np.array([0.9, 0.2, np.nan])),
        made.model(basis=np.eye(4)[:, :2], precision="float32"),
        made.model(left=np.asfortranarray(np.arange(12.0).reshape(4, 3))),
    ],
    ids=["reversible", "bare", "svd", "basis", "fortran order"],
)
def test_model_comes_back(model, tmp_path):
    """Every array, name, setting and scalar of a model survives, bit for bit."""
    save_model(model, tmp_path / "m.h5")
    assert_same(model, load_model(tmp_path / "m.h5"))


@pytest.mark.parametrize("result", [made.result(), made.complex_result()], ids=["md", "flow"])
def test_result_comes_back(result, tmp_path):
    """A whole fit survives, except its config, which has a file of its own."""
    save_result(result, tmp_path / "m.h5")
    assert_same(replace(result, config={}), load_result(tmp_path / "m.h5"))


def test_projection_alone(tmp_path):
    """The projection comes back on its own, and is None where none was stored."""
    save_model(made.model(), tmp_path / "a.h5", projection=made.projection())
    assert_same(made.projection(), load_projection(tmp_path / "a.h5"))
    begun = replace(made.projection(), begins=np.arange(400) // 50 * 50)
    save_model(made.model(), tmp_path / "b.h5", projection=begun)
    assert_same(begun, load_projection(tmp_path / "b.h5"))
    save_model(made.model(), tmp_path / "b.h5")
    assert load_projection(tmp_path / "b.h5") is None
    with pytest.raises(ModelFileError, match="no result of a fit"):
        load_result(tmp_path / "b.h5")


def test_same_model_same_bytes(tmp_path):
    """Saving twice gives identical files: nothing depends on time or place."""
    for name in ("a.h5", "b.h5"):
        save_result(made.result(), tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


@settings(max_examples=60, deadline=None)
@given(
    array=hnp.arrays(
        st.one_of(
            hnp.floating_dtypes(sizes=(32, 64)),
            hnp.integer_dtypes(),
            hnp.complex_number_dtypes(sizes=(64, 128)),
            hnp.boolean_dtypes(),
        ),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5),
    ),
    name=st.text(min_size=1, max_size=8).filter(
        lambda s: s.encode("utf-8", "ignore").decode() == s
    ),
)
def test_any_state_array_comes_back(array, name, tmp_path_factory):
    """Any plain array under any name (slashes, dots, NUL, empty axes, either byte order)."""
    path = tmp_path_factory.mktemp("state") / "m.h5"
    model = made.model(features=replace(made.model().features, state={name: array}), blocks=None)
    save_model(model, path)
    (back,) = load_model(path).features.state.items()
    assert back[0] == name
    assert_same(array, back[1])


def test_objects_are_never_stored(tmp_path):
    """An array of objects is refused when saving, and no file appears."""
    spec = replace(made.model().features, state={"a": np.array([object()])})
    with pytest.raises(TypeError, match="object"):
        save_model(made.model(features=spec), tmp_path / "m.h5")
    assert not list(tmp_path.iterdir())


def test_json_of_dataclasses():
    """Nested dataclasses with options, complex numbers and tuples survive JSON itself."""
    mode = made.result().modes[0]
    choice = made.result().dim_choice
    assert from_plain(Mode, json.loads(json.dumps(to_plain(mode)))) == mode
    assert from_plain(DimChoice, json.loads(json.dumps(to_plain(choice)))) == choice


# ------------------------------------------------------------------ the format itself


def shown():
    """The fixtures' result with all that figures may show: correlations, structures, inputs."""
    one, of = np.full((1, 3), 0.5), ("mode 1", "mode 2", "mode 3")
    atom, frames = np.ones(1, np.int64), np.zeros((2, 1, 2), np.int64)
    bonds, names = np.zeros((0, 2), np.int64), (("C",), ("CA",), ("ALA",))
    result = made.result()
    return replace(
        result,
        projection=replace(
            result.projection, inputs=result.projection.values[:, :1], input_names=("x1",)
        ),
        correlations=Correlations(("x1",), of, one, one, one, one > 0, 20, 1),
        structures=Structures(np.zeros((2, 1, 1, 3)), *names, atom, atom, bonds, frames),
    )


def test_what_is_shown_comes_back(tmp_path):
    """Correlations, structures and inputs of a projection are read as they were written."""
    result = shown()
    save_result(result, tmp_path / "shown.h5")
    found = load_result(tmp_path / "shown.h5")
    assert found.correlations.names == ("x1",)
    np.testing.assert_array_equal(found.correlations.values, result.correlations.values)
    np.testing.assert_array_equal(found.structures.xyz, result.structures.xyz)
    np.testing.assert_array_equal(found.projection.inputs, result.projection.inputs)
    assert found.structures.residues == ("ALA",)


def test_every_dataset_is_documented(saved, tmp_path):
    """docs/model-file.md has a row with the right shape rank and type for all there is."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| (\w+) \|", DOCUMENT.read_text(), re.MULTILINE)
    told = {name: (shape.strip(), dtype) for name, shape, dtype in rows}
    other = made.model(eigenvalues=None, singular_values=np.ones(3), basis=np.eye(4))
    members = replace(made.projection(), begins=np.zeros(400, np.int64))
    save_model(other, tmp_path / "other.h5", projection=members)
    save_result(shown(), tmp_path / "shown.h5")
    kinds = {"f": "float", "c": "complex", "i": "int64", "b": "bool", "S": "text"}
    met = set()
    for path in (saved, tmp_path / "other.h5", tmp_path / "shown.h5"):
        for name, array in container.read(path, SCHEMA)[1].items():
            known = name if name in told else f"{name.rpartition('/')[0]}/*"
            assert known in told, f"{name} is not documented"
            met.add(known)
            shape, dtype = told[known]
            kind = "text" if array.dtype.kind == "U" else kinds[array.dtype.kind]
            assert dtype == "any" or dtype.startswith(kind), name
            rank = len(re.findall(r"[^(),\s][^,)]*", shape))
            assert shape == "any" or rank == array.ndim, name
    assert met == set(told), "documented, but never written"


def test_readable_with_plain_h5py(saved):
    """The document's own example works: arrays, names and JSON without this package."""
    with h5py.File(saved) as f:
        np.testing.assert_array_equal(f["model/left"][:], made.model().left)
        assert tuple(f["features/names"].asstr()[:]) == made.NAMES
        assert json.loads(f["model/json"].asstr()[0])["family"] == "tica"
        assert all(d.fletcher32 for d in f["model"].values())


# ------------------------------------------------------------------ damage


def test_one_flipped_bit_is_never_silent(saved):
    """200 flips spread over the file: refused, or (in unused bytes) nothing changed."""
    good = saved.read_bytes()
    reference = container.read(saved, SCHEMA)[1]
    rng = np.random.default_rng(0)
    refused = 0
    for at in np.linspace(0, len(good) - 1, 200).astype(int):
        bad = bytearray(good)
        bad[at] ^= 1 << int(rng.integers(8))
        saved.write_bytes(bad)
        try:
            found = container.read(saved, SCHEMA)[1]
        except ModelFileError:
            refused += 1
        else:
            assert_same(reference, found)
    assert refused > 100


def test_truncated_anywhere(saved):
    """A file cut at any hundredth of its length is refused by name."""
    good = saved.read_bytes()
    for i in range(100):
        saved.write_bytes(good[: len(good) * i // 100])
        with pytest.raises(ModelFileError, match=r"model\.h5"):
            load_model(saved)


def test_changed_with_plain_h5py(saved):
    """A value edited by a well-meaning tool, all HDF5 checksums right, is still noticed."""
    with h5py.File(saved, "r+") as f:
        f["model/left"][0, 0] += 1e-12
    with pytest.raises(ModelFileError, match="checksum"):
        load_model(saved)


def test_newer_schema_names_both_versions(saved):
    """A file of a later koopman is refused with its version and ours."""
    with h5py.File(saved, "r+") as f:
        f.attrs["schema"] = np.int64(SCHEMA + 41)
    with pytest.raises(ModelFileError, match=rf"schema {SCHEMA + 41}.* schema {SCHEMA}") as caught:
        load_model(saved)
    assert "newer" in caught.value.hint


def test_missing_part_is_damage(tmp_path):
    """A file that is whole by its checksum but lacks a coefficient array is refused."""
    arrays = container.read(_saved_in(tmp_path), SCHEMA)[1]
    del arrays["model/left"]
    container.write(tmp_path / "less.h5", SCHEMA, arrays)
    with pytest.raises(ModelFileError, match="lacks"):
        load_model(tmp_path / "less.h5")


def _saved_in(folder: Path) -> Path:
    save_model(made.model(), folder / "whole.h5")
    return folder / "whole.h5"


@pytest.mark.parametrize(
    ("content", "why"), [(b"", "empty"), (b"\x93NUMPY" + b"0" * 100, "not an HDF5 file")]
)
def test_not_hdf5(content, why, tmp_path):
    """An empty file and a file of another kind are told apart."""
    (tmp_path / "m.h5").write_bytes(content)
    with pytest.raises(ModelFileError, match=why):
        load_model(tmp_path / "m.h5")


def test_foreign_hdf5(tmp_path):
    """An HDF5 trajectory is not a damaged model: the message says what it is."""
    with h5py.File(tmp_path / "traj.h5", "w") as f:
        f["coordinates"] = np.zeros((3, 4, 3))
    with pytest.raises(ModelFileError, match="not written by koopman"):
        load_model(tmp_path / "traj.h5")


def test_missing_directory_fifo(tmp_path):
    """No file, a directory, a pipe: FileError, at once, without opening the pipe."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none.h5", tmp_path, tmp_path / "pipe", tmp_path / "a" / "b"):
        with pytest.raises(FileError):
            load_model(path)


# ------------------------------------------------------------------ hostile files


def _external_link(f, outside):
    f["model/evil"] = h5py.ExternalLink(str(outside), "/secret")


def _soft_link(f, outside):
    f["model/evil"] = h5py.SoftLink("/model/left")


def _virtual(f, outside):
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(str(outside), "secret", (3,))
    f.create_virtual_dataset("model/evil", layout)


def _external_storage(f, outside):
    f.create_dataset("model/evil", (3,), "f8", external=[(str(outside), 0, 24)])


def _object_reference(f, outside):
    f.create_dataset("model/evil", (1,), h5py.ref_dtype)[0] = f["model"].ref


def _variable_length(f, outside):
    f.create_dataset("model/evil", (1,), h5py.string_dtype())[0] = "text"


def _variable_length_attribute(f, outside):
    f["model"].attrs["evil"] = "text"


def _header_of_other_type(f, outside):
    f.attrs["format"] = "koopman-model"


def _claims_a_terabyte(f, outside):
    f.create_dataset("model/evil", (2**37,), "f8", chunks=(2**10,))


def _claims_a_huge_chunk(f, outside):
    f.create_dataset("model/evil", (10,), "f8", maxshape=(None,), chunks=(2**28,))


def _claims_a_little_often(f, outside):
    for i in range(40):
        f.create_dataset(f"model/evil{i}", (2**11,), "f8", chunks=(2**8,))


def _cycle(f, outside):
    f["model/evil"] = f["/"]


def _committed_type(f, outside):
    f["model/evil"] = np.dtype("f8")


def _compressed(f, outside):
    f.create_dataset("model/evil", data=np.zeros(8), compression="gzip")


def _no_shape(f, outside):
    f["model/evil"] = h5py.Empty("f8")


HOSTILE = {
    _external_link: "a link to somewhere else",
    _soft_link: "a link to somewhere else",
    _virtual: "virtual dataset",
    _external_storage: "kept in another file",
    _object_reference: "dataset of type object",
    _variable_length: "dataset of type object",
    _variable_length_attribute: "carries attributes",
    _header_of_other_type: "not written by koopman",
    _claims_a_terabyte: "claims 1099511627776 bytes",
    _claims_a_huge_chunk: "claims 2147483648 bytes",
    _claims_a_little_often: "datasets claim more",
    _cycle: "linked twice",
    _committed_type: "neither group nor dataset",
    _compressed: "unexpected filter",
    _no_shape: "without a shape",
}


@pytest.mark.parametrize(
    ("plant", "why"), HOSTILE.items(), ids=[f.__name__.strip("_") for f in HOSTILE]
)
def test_hostile_file(plant, why, tmp_path):
    """Links out, references, foreign types and huge claims are refused without following them."""
    outside = tmp_path / "outside.h5"
    with h5py.File(outside, "w") as f:
        f["secret"] = np.arange(3.0)
    path = _saved_in(tmp_path)
    with h5py.File(path, "r+") as f:
        plant(f, outside)
    outside.unlink()
    os.mkfifo(outside)  # whoever opens it would hang
    with pytest.raises(ModelFileError, match=why):
        load_model(path)


# ------------------------------------------------------------------ writing


def test_a_failed_write_changes_nothing(saved, monkeypatch):
    """A full disk leaves the earlier file and no other."""
    before = saved.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="no space left"):
        save_model(made.model(), saved)
    assert saved.read_bytes() == before
    assert [p.name for p in saved.parent.iterdir()] == ["model.h5"]


def test_a_real_size_limit(tmp_path):
    """Under `ulimit -f` the error names the file and nothing is left behind."""
    script = (
        "import sys; sys.path.insert(0, sys.argv[2]); import report_fixtures as made\n"
        "from koopman_cli.store import save_result\n"
        "from koopman_cli.errors import FileError\n"
        "try: save_result(made.result(), sys.argv[1])\n"
        "except FileError as e: print(e)\n"
    )
    target = tmp_path / "m.h5"
    done = subprocess.run(
        [sys.executable, "-c", script, target, Path(__file__).parent],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "m.h5" in done.stdout
    assert "size limit" in done.stdout
    assert not list(tmp_path.iterdir())


def test_missing_parent(tmp_path):
    """Saving into a directory that is not there is a FileError that names the file."""
    with pytest.raises(FileError, match=r"no/m\.h5"):
        save_model(made.model(), tmp_path / "no" / "m.h5")
