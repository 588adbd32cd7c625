"""The grammar of feature specifications, the table, and functions of the user's own."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest
from features_support import (
    array_trajectory,
    md_trajectory,
    peptide_topology,
    random_peptide,
    rows,
)

from koopman_cli.errors import DataError, FileError, UsageError
from koopman_cli.features import build_features, list_features, rebuild_features
from koopman_cli.features.spec import Delays, parse_delays, parse_spec


def test_every_featurizer_of_the_table_exists():
    """Each line but ``delays`` names a function that can be imported, and a meaning."""
    for entry in list_features():
        assert entry.meaning
        if entry.name != "delays":
            module, function = entry.home.split(":")
            assert callable(getattr(import_module(f"koopman_cli.features.{module}"), function))


def test_the_table_needs_nothing_heavy():
    """Listing features imports neither numpy nor mdtraj."""
    code = (
        "import sys; from koopman_cli.features import list_features; list_features(); "
        "sys.exit(any(m in sys.modules for m in ('numpy', 'mdtraj', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_parts_and_their_settings():
    """Parts are split at +, settings at colons; a default setting is no setting."""
    parts = parse_spec("torsions + contacts:closest-heavy+delays:20:5")
    assert [(p.name, p.options) for p in parts] == [
        ("torsions", ()),
        ("contacts", ()),
        ("delays", ("20", "5")),
    ]
    assert parse_delays(parts) == Delays(20, 5)
    assert parse_delays(parts).window == 95


def test_a_path_may_hold_a_plus():
    """python: takes everything up to its last colon as the path."""
    (part, other) = parse_spec("python:my+file.py:f+torsions")
    assert part.options == ("my+file.py", "f")
    assert other.name == "torsions"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("torsion", "'torsion' is not a featurizer", "did you mean torsions"),
        ("contacts:closest", "contacts knows no 'closest'", "closest-heavy"),
        ("torsions:all:more", "more settings than torsions has", "which"),
        ("ca-distances:3", "more settings", "none"),
        ("", "empty", "koopman features"),
        (" + ", "empty", "koopman features"),
        ("torsions+torsions", "torsions is given twice", "once"),
        ("torsions+torsions:backbone", "torsions is given twice", "once"),
        ("delays:2+delays:3", "one is enough", "single"),
        ("python:mine.py", "a path and a function", "python:path.py:function"),
        ("delays", "needs a number", "delays:20"),
        ("delays:0", "'0' is not a whole number above 0", "delays:20:5"),
        ("delays:-7", "'-7'", "delays:20:5"),
        ("delays:2.5", "'2.5'", "delays:20:5"),
        ("delays:3:0", "'0'", "delays:20:5"),
        ("delays:2:3:4", "more settings than delays has", "number, spacing"),
    ],
)
def test_misspelt_specifications_are_usage_errors(text, message, hint):
    """Exit 2, the word at fault, and what to write."""
    with pytest.raises(UsageError) as caught:
        build_features([array_trajectory(np.zeros((4, 1)))], text)
    assert message in str(caught.value)
    assert hint in caught.value.hint


# ------------------------------------------------------------------ python:path.py:function


def write(tmp_path, source):
    """The path of a file that holds ``source``."""
    path = tmp_path / "mine.py"
    path.write_text(source)
    return path


def on_array(path, function="f", frames=10, **more):
    """Features of a small array by a function of the file."""
    values = np.arange(2.0 * frames).reshape(frames, 2)
    return build_features([array_trajectory(values)], f"python:{path}:{function}", **more)


def test_own_function_of_an_array(tmp_path):
    """(n, d) in, (n, k) out, with names and units from its attributes."""
    path = write(
        tmp_path,
        "def f(x):\n    return x[:, :1] ** 2 + x[:, 1:]\nf.names = ['e']\nf.units = ['J']\n",
    )
    stream = on_array(path)
    assert (stream.spec.names, stream.spec.units) == (("e",), ("J",))
    x = np.arange(20.0).reshape(10, 2)
    assert np.array_equal(rows(stream, size=3)[:, 0], x[:, 0] ** 2 + x[:, 1])


def test_own_function_of_a_molecule_with_other_features(tmp_path):
    """An mdtraj.Trajectory in; changing it in place does not disturb the other columns."""
    path = write(
        tmp_path,
        "import mdtraj\n"
        "def f(t):\n"
        "    t.xyz += 1\n"
        "    t.xyz *= 3\n"
        "    return mdtraj.compute_distances(t, [[0, 1], [1, 2]])\n",
    )
    trajectory = md_trajectory(random_peptide(6, 3)[0], peptide_topology(3))
    stream = build_features([trajectory], f"python:{path}:f+positions")
    alone = rows(build_features([trajectory], "positions"))
    table = rows(stream, size=2)
    assert stream.spec.names[:2] == ("f1", "f2")
    np.testing.assert_allclose(table[:, 0], 3 * 0.146, rtol=1e-5)
    assert np.array_equal(table[:, 2:], alone)


def test_one_number_per_frame_is_one_column(tmp_path):
    """A function that returns n numbers gives a column."""
    stream = on_array(write(tmp_path, "def f(x):\n    return x[:, 0]\n"))
    assert rows(stream).shape == (10, 1)


@pytest.mark.parametrize(
    ("source", "kind", "says"),
    [
        ("def f(x:\n", UsageError, r"mine.py, line 1: SyntaxError"),
        ("import no_such_module\n", UsageError, r"mine.py, line 1: ModuleNotFoundError"),
        ("def f(x):\n    return x\n    \ndef g(x):\n    1/0\n", DataError, ""),
        ("def f(x):\n    return x[:1]\n", UsageError, r"shape \(1, 2\) for 10 frames"),
        ("def f(x):\n    return x[:, :, None]\n", UsageError, r"shape \(10, 2, 1\)"),
        ("def f(x):\n    return x.astype(str)\n", UsageError, r"returned <U"),
        ("def f(x):\n    return x + 1j\n", UsageError, "complex128"),
        ("def f(x):\n    return x[:, :0]\n", UsageError, "no column"),
        ("def f(x):\n    return x - x.mean(0)\n", UsageError, "other values"),
        ("def f(x):\n    return x\nf.names = ['a']\n", UsageError, "2 columns but has 1 names"),
    ],
)
def test_faults_of_own_functions_name_file_and_cause(tmp_path, source, kind, says):
    """Whatever is wrong with the file is one error with its place, never a traceback."""
    path = write(tmp_path, source)
    function = "g" if "def g" in source else "f"
    with pytest.raises(kind) as caught:
        on_array(path, function)
    if function == "g":
        says = r"mine.py, line 5: g failed on frames 0 to 9: ZeroDivisionError"
    assert re.search(says, str(caught.value))


def test_failure_on_later_frames_names_them(tmp_path):
    """The frames at which it failed are named, not only the line."""
    source = "def f(x):\n    if x.max() > 601:\n        raise ValueError('too big')\n    return x\n"
    stream = on_array(write(tmp_path, source), frames=400)
    with pytest.raises(
        DataError, match=r"line 3: f failed on frames 300 to 301: ValueError: too big"
    ):
        rows(stream, size=2)


def test_columns_that_come_and_go(tmp_path):
    """A function must return the same number of columns for every chunk."""
    source = "def f(x):\n    return x if x.max() < 601 else x[:, :1]\n"
    with pytest.raises(UsageError, match="returned 1 column from frame 300 on, 2 before"):
        rows(on_array(write(tmp_path, source), frames=400), size=2)


DEPENDENT = {
    "mean of what it is given": "    return x - x.mean(0)\n",
    "mean of many only": "    return x - x.mean(0) if len(x) > 200 else x\n",
    "small numbers": "    return 1e-9 * (x - x.mean(0))\n",
    "first frame it is given": "    return x - x[0]\n",
    "frames before": "    return x - np.roll(x, 1, axis=0)\n",
    "random": "    return x + np.random.standard_normal(x.shape)\n",
    "from some frame on": "    return x - x.mean(0) if x[0, 0] >= 400 else x\n",
    "order in the chunk": "    return np.cumsum(x, axis=0)\n",
}


@pytest.mark.parametrize("body", DEPENDENT.values(), ids=DEPENDENT)
def test_functions_that_depend_on_the_chunk_are_refused(tmp_path, body):
    """Whatever of the other frames enters a row, also in large chunks or later ones only."""
    path = write(tmp_path, "import numpy as np\ndef f(x):\n" + body)
    with pytest.raises(UsageError, match="other values when it is given more frames"):
        rows(on_array(path, frames=900), size=250)


def test_frozen_frames_at_the_start_hide_nothing(tmp_path):
    """A run whose first frames are all the same still shows that the mean is subtracted."""
    path = write(tmp_path, "def f(x):\n    return x - x.mean(0)\n")
    values = np.random.default_rng(0).standard_normal((900, 2))
    values[:250] = values[0]
    with pytest.raises(UsageError, match="other values"):
        rows(build_features([array_trajectory(values)], f"python:{path}:f"))


def test_a_function_may_fill_one_array_again_and_again(tmp_path):
    """What it returns is copied: an output array of its own is no fault."""
    path = write(
        tmp_path,
        "import numpy as np\nout = np.empty((10_000, 2))\n"
        "def f(x):\n    out[:len(x)] = 2 * x\n    return out[:len(x)]\n",
    )
    stream = on_array(path, frames=500)
    assert np.array_equal(rows(stream, size=60), 2 * np.arange(1000.0).reshape(500, 2))


def test_rounding_is_no_dependence(tmp_path):
    """Columns that differ in the last digits of single precision are accepted."""
    path = write(
        tmp_path,
        "import numpy as np\ndef f(x):\n"
        "    y = x.astype(np.float32) + 1e4\n    return y * (1 + 1e-7 * len(x) % 2)\n",
    )
    assert rows(on_array(path, frames=300)).shape == (300, 2)


@pytest.mark.parametrize("leave", ["sys.exit()", "sys.exit(0)", "raise GeneratorExit('bye')"])
def test_a_function_cannot_end_the_program(tmp_path, leave):
    """sys.exit in the function, or in its file, is an error that names it, not a success."""
    inside = write(tmp_path, f"import sys\ndef f(x):\n    {leave}\n")
    with pytest.raises(DataError, match=r"mine\.py, line 3: f failed on frames 0 to 9"):
        on_array(inside)
    outside = write(tmp_path, f"import sys\n{leave}\ndef f(x):\n    return x\n")
    with pytest.raises(UsageError, match=r"mine\.py, line 2"):
        on_array(outside)


def test_ctrl_c_in_a_function_stays_ctrl_c(tmp_path):
    """An interrupt while the function runs is not reported as a fault of it."""
    path = write(tmp_path, "def f(x):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        on_array(path)


def test_half_precision_of_a_function_is_said(tmp_path):
    """float16 columns are taken, with a warning that names the function."""
    path = write(tmp_path, "def f(x):\n    return (x / 100).astype('float16')\n")
    (warning,) = on_array(path).warnings
    assert "f returns float16" in warning


def test_missing_file_and_missing_function(tmp_path):
    """A missing file exits 5, a missing function 2 with the nearest name."""
    with pytest.raises(FileError, match="No such file"):
        on_array(tmp_path / "none.py")
    path = write(tmp_path, "def distance(x):\n    return x\n")
    with pytest.raises(UsageError, match="no function 'distanc'") as caught:
        on_array(path, "distanc")
    assert "did you mean distance" in caught.value.hint


def test_a_changed_file_is_noticed(tmp_path):
    """The checksum of the file travels with the model; a change is a warning."""
    path = write(tmp_path, "def f(x):\n    return x\n")
    spec = on_array(path).spec
    again = array_trajectory(np.zeros((4, 2)))
    assert rebuild_features([again], spec).warnings == ()
    path.write_text("def f(x):\n    return 2 * x\n")
    assert any("has changed" in w for w in rebuild_features([again], spec).warnings)
