"""RUN directories: all or nothing, never over something else, read back whole."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
import report_fixtures as made

from koopman_cli.errors import FileError, ModelFileError, UsageError
from koopman_cli.report.json import summary
from koopman_cli.report.run import check_out, open_run, write_run


@pytest.fixture
def out(tmp_path):
    """A RUN without figures."""
    return write_run(made.result(), tmp_path / "a.koopman", figures=False)


def tree(folder):
    """Every file below a folder with its bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_written_and_read_back(tmp_path):
    """model.h5, summary.json, config.toml, report and figures; open_run gives all of it back."""
    result = made.result()
    path = write_run(result, tmp_path / "new" / "parents" / "a b.koopman")
    assert {p.name for p in path.iterdir()} == {
        "model.h5",
        "summary.json",
        "config.toml",
        "report.html",
        "figures",
    }
    assert len(list((path / "figures").glob("*.png"))) == 7
    run = open_run(path)
    assert run.summary == summary(result)
    assert summary(run.result) == summary(result)
    assert run.config["settings"] == {"rtol": 1e-10}
    assert run.model.family == "tica"
    assert len(run.projection.values) == 400
    assert run.result.dim_choice == result.dim_choice
    assert open_run(path / "model.h5").path == path
    assert os.listdir(path.parent) == ["a b.koopman"]  # noqa: PTH208 - hidden files count


def test_existing_needs_force(out):
    """A RUN is not overwritten; with force it is, completely."""
    before = tree(out)
    with pytest.raises(UsageError, match="exists") as caught:
        write_run(made.complex_result(), out, figures=False)
    assert "--force" in caught.value.hint
    assert tree(out) == before
    (out / "states").mkdir()
    write_run(made.complex_result(), out, force=True, figures=False)
    assert open_run(out).model.family == "edmd"
    assert not (out / "states").exists()
    assert [p.name for p in out.parent.iterdir()] == [out.name]


def test_force_spares_what_is_not_ours(tmp_path, out):
    """--force refuses a directory that is no RUN, a RUN with the user's files in it, and a file."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("years of work")
    (out / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path, why in ((home, "not a koopman run"), (out, "notes"), (tmp_path / "file", "a file")):
        with pytest.raises(UsageError, match=why):
            write_run(made.result(), path, force=True, figures=False)
    assert (home / "thesis.tex").read_text() == "years of work"
    assert (out / "notes.txt").exists()


def test_an_empty_directory_is_free(tmp_path):
    """An empty directory that exists may be written to without force."""
    (tmp_path / "a").mkdir()
    assert open_run(write_run(made.result(), tmp_path / "a", figures=False)).model.dim == 2


def test_through_a_symbolic_link(tmp_path, out):
    """--force through a link replaces the RUN it points to and keeps the link."""
    (tmp_path / "link").symlink_to(out)
    write_run(made.complex_result(), tmp_path / "link", force=True, figures=False)
    assert (tmp_path / "link").is_symlink()
    assert open_run(out).model.family == "edmd"


def _fail_at(monkeypatch, name, count, error):
    """Let the count-th call of os.fsync, Path.rename or Path.mkdir fail."""
    owner = os if name == "fsync" else Path
    real = getattr(owner, name)
    calls = []

    def failing(*args, **kwargs):
        calls.append(1)
        if len(calls) == count:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, failing)
    return calls


@pytest.mark.parametrize("name", ["fsync", "rename", "mkdir"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full", "interrupt"]
)
def test_every_call_may_fail(name, error, out, monkeypatch):
    """Fail call 1, 2, 3 ... until a run passes: the old RUN or the new one is there, whole."""
    before = tree(out)
    expected = FileError if isinstance(error, OSError) else KeyboardInterrupt
    for count in range(1, 40):
        with monkeypatch.context() as patch:
            if name == "rename":  # the way of systems that cannot swap in one step
                patch.setattr("koopman_cli.report.run.exchange", lambda one, other: False)
            calls = _fail_at(patch, name, count, error)
            try:
                write_run(made.complex_result(), out, force=True, figures=False)
            except expected:
                assert len(calls) >= count
            else:
                break
        assert [p.name for p in out.parent.iterdir()] == [out.name]
        if tree(out) != before:  # the new one was in place before the failure
            assert open_run(out).model.family == "edmd"
    else:
        pytest.fail("never succeeded")
    assert count > 1
    assert open_run(out).model.family == "edmd"


def test_unwritable(tmp_path, monkeypatch):
    """A place without permission is a file error before any work; nothing is made."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(FileError, match="no permission"):
        check_out(tmp_path / "new" / "a")
    assert not list(tmp_path.iterdir())


def test_below_a_file(tmp_path):
    """A parent that is a file is a file error that names it."""
    (tmp_path / "f").write_text("")
    with pytest.raises(FileError, match="is a file"):
        check_out(tmp_path / "f" / "a" / "b")


def test_open_what_is_no_run(tmp_path):
    """Nothing there, an empty directory, a file: file errors that say which."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name, why in (("none", "no such directory"), ("empty", "no 'model.h5'"), ("file", "not")):
        with pytest.raises(FileError, match=why):
            open_run(tmp_path / name)


def test_open_a_damaged_run(out):
    """A summary cut short and a config that is gone are told by file."""
    whole = (out / "summary.json").read_text()
    (out / "summary.json").write_text(whole[:100])
    with pytest.raises(ModelFileError, match=r"summary\.json"):
        open_run(out)
    (out / "summary.json").unlink()
    with pytest.raises(FileError, match=r"summary\.json"):
        open_run(out)
    (out / "config.toml").unlink()
    with pytest.raises(FileError, match=r"config\.toml"):
        open_run(out)


def test_names_that_are_awkward(tmp_path):
    """Spaces, newlines, a leading dash, other scripts: written and read back."""
    for name in ("a b", "-o", "líne\nbreak", "日本"):
        path = write_run(made.result(), tmp_path / name, figures=False)
        assert open_run(path).model.dim == 2


def test_a_non_utf8_input_name(tmp_path):
    """An input whose name is no text does not lose the whole fit."""
    files = (("a\udcff.xtc", "00" * 32, 10),)
    result = made.result()
    result = replace(result, input=replace(result.input, files=files), config={"p": "a\udcff.xtc"})
    path = write_run(result, tmp_path / "a", figures=False)
    assert rb'"path": "a\udcff.xtc"' in (path / "summary.json").read_bytes()
    run = open_run(path)
    assert run.result.input.files == files
    assert run.config["p"] == run.summary["input"]["files"][0]["path"] == "a\udcff.xtc"
