"""READERS: which reader opens which file. The suffix proposes, the content decides."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path

from koopman_cli.errors import DataError, UsageError, did_you_mean
from koopman_cli.io.source import Source, check_file
from koopman_cli.io.timelike import doubted
from koopman_cli.io.topology import Request
from koopman_cli.types import Kind


@dataclass(frozen=True)
class Reader:
    """One format: its suffixes, and the function that opens it, imported when needed.

    kinds : what it can be read as
    opens : "module:function" in this package
    """

    form: str
    suffixes: tuple[str, ...]
    kinds: tuple[Kind, ...]
    opens: str


READERS: tuple[Reader, ...] = (
    Reader("xtc", (".xtc",), ("md",), "xtc:open_xtc"),
    Reader("trr", (".trr",), ("md",), "trr:open_trr"),
    Reader("dcd", (".dcd",), ("md",), "dcd:open_dcd"),
    Reader(
        "netcdf",
        (".nc", ".ncdf", ".netcdf", ".nc4", ".cdf"),
        ("md", "array", "field"),
        "netcdf:open_netcdf",
    ),
    Reader("lammpstrj", (".lammpstrj",), ("md",), "lammps:open_lammpstrj"),
    Reader("gro", (".gro",), ("md",), "textmd:open_gro"),
    Reader("pdb", (".pdb", ".ent"), ("md",), "pdb:open_pdb"),
    Reader("xyz", (".xyz",), ("md",), "textmd:open_xyz"),
    Reader("mdcrd", (".mdcrd", ".crd"), ("md",), "mdcrd:open_mdcrd"),
    Reader(
        "hdf5",
        (".h5", ".hdf5", ".hdf", ".h5md", ".he5"),
        ("md", "array", "field"),
        "hdf5:open_any_hdf5",
    ),
    Reader("npy", (".npy",), ("array", "field"), "npy:open_npy"),
    Reader("npz", (".npz",), ("array", "field"), "npy:open_npz"),
    Reader("mat", (".mat",), ("array", "field"), "mat:open_mat"),
    Reader(
        "table",
        (".csv", ".txt", ".dat", ".tsv", ".xvg", ".colvar"),
        ("array",),
        "tables:open_table",
    ),
)

_BY_FORM = {reader.form: reader for reader in READERS}
_BY_SUFFIX = {suffix: reader for reader in READERS for suffix in reader.suffixes}

#: What a suffix may hold beside its own format, without being called misnamed.
_ALSO = {
    "netcdf": ("hdf5",),
    "hdf5": ("netcdf",),
    "mat": ("hdf5",),
    "table": ("mdcrd", "xyz", "lammpstrj", "gro", "pdb"),
    "xyz": ("table",),
}
_MDCRD = re.compile(r"( *-?\d+\.\d{3}){10}")
_TEXT = ("lammpstrj", "gro", "pdb", "xyz", "mdcrd", "table")
_PDB = re.compile(r"(ATOM|HETATM|CRYST1|HEADER|MODEL|REMARK|TITLE|COMPND|EXPDTA|AUTHOR) ")


def _binary_form(head: bytes, path: str) -> str | None:
    """The binary format that magic bytes show."""
    if head[:6] == b"\x93NUMPY":
        return "npy"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "npz"
    if head[:3] == b"CDF" and head[3:4] in (b"\x01", b"\x02", b"\x05"):
        return "netcdf"
    if head[:8] == b"\x89HDF\r\n\x1a\n" or head[:10] == b"MATLAB 7.3":
        return "hdf5"
    if head[:10] == b"MATLAB 5.0":
        return "mat"
    if head[4:8] in (b"CORD", b"VELD") or head[8:12] == b"CORD":
        return "dcd"
    magic = int.from_bytes(head[:4], "big")
    if magic in (1995, 2023):
        return "xtc"
    if magic == 1993:
        return "trr"
    return "hdf5" if _late_hdf5(path) else None


def _late_hdf5(path: str) -> bool:
    """HDF5 behind a block of the user's own, at 512, 1024, ... bytes."""
    with Path(path).open("rb") as handle:
        for offset in (512, 1024, 2048, 4096):
            handle.seek(offset)
            if handle.read(8) == b"\x89HDF\r\n\x1a\n":
                return True
    return False


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _is_mdcrd(lines: list[str]) -> bool:
    """A title, then ten numbers of eight characters per line."""
    found = [bool(_MDCRD.fullmatch(line.rstrip())) for line in lines[:2]]
    return found == [False, True]


def _is_gro(lines: list[str]) -> bool:
    """A title, a count, then numbers from column 21 on."""
    return (
        len(lines) > 2
        and lines[1].strip().isdigit()
        and bool(re.match(r".{20}( *-?\d+\.\d+){3}", lines[2]))
    )


def _is_xyz(lines: list[str]) -> bool:
    """A count, a comment, then a name before the numbers."""
    third = lines[2].split() if len(lines) > 2 else []
    return lines[0].strip().isdigit() and len(third) >= 4 and not _is_number(third[0])


def _is_table(lines: list[str]) -> bool:
    """Numbers in the second line that is no comment (the first may hold names)."""
    body = [line for line in lines if line.strip() and line.lstrip()[0] not in "#@;%"][:2]
    words = [w for w in re.split(r"[\s,;]+", body[-1].strip()) if w] if body else []
    return bool(words) and all(_is_number(w) for w in words)


#: Tried in this order; the first that fits names the format.
_TEXT_FORMS: tuple[tuple[str, Callable[[list[str]], bool]], ...] = (
    ("table", lambda lines: lines[0].startswith("#! FIELDS")),
    ("lammpstrj", lambda lines: lines[0].startswith("ITEM:")),
    ("mdcrd", _is_mdcrd),
    ("pdb", lambda lines: bool(_PDB.match(lines[0].ljust(7)))),
    ("gro", _is_gro),
    ("xyz", _is_xyz),
    ("table", _is_table),
)


def _text_form(lines: list[str]) -> str | None:
    """The text format that the first lines show; None if they could be anything."""
    while lines and not lines[0].strip():
        lines = lines[1:]
    return next((form for form, fits in _TEXT_FORMS if lines and fits(lines)), None)


def sniff(path: str) -> tuple[str | None, bool]:
    """Format of a file by its content, and whether it is binary.

    Returns
    -------
    form : str or None
        None if the content is not recognised.
    binary : bool
    """
    with Path(path).open("rb") as handle:
        head = handle.read(4096)
    form = _binary_form(head, path)
    if form:
        return form, True
    if b"\0" in head:
        return None, True
    lines = head.decode("utf-8-sig", errors="replace").splitlines()
    return _text_form(lines[:-1] if len(head) == 4096 else lines), False


def _unknown(path: str) -> DataError:
    listed = " ".join(suffix for reader in READERS for suffix in reader.suffixes)
    return DataError(
        f"{path}: unknown suffix, and its content is not recognised", f"known suffixes: {listed}"
    )


def find_reader(path: str) -> Reader:
    """The reader of a file.

    Raises
    ------
    DataError
        The content contradicts the suffix, or neither is known.
    """
    suffix = Path(path).suffix.lower()
    proposed = _BY_SUFFIX.get(suffix)
    form, binary = sniff(path)
    if proposed is None:
        if form is None:
            raise _unknown(path)
        return _BY_FORM[form]
    if form == proposed.form:
        return proposed
    if form is None:
        if binary or proposed.form not in _TEXT:
            raise DataError(
                f"{path}: is named {suffix}, but its content is not {proposed.form}",
                "copy it again, or give it the suffix of what it holds",
            )
        return proposed
    if form in _ALSO.get(proposed.form, ()):
        return _BY_FORM[form]
    if proposed.form in _TEXT and not binary:
        return proposed
    raise DataError(
        f"{path}: is named {suffix}, but holds {form} data",
        f"rename it to {_BY_FORM[form].suffixes[0]}",
    )


def _check_kind(path: str, reader: Reader, kind: Kind | None) -> None:
    if kind is None or kind in reader.kinds:
        return
    raise DataError(
        f"{path}: {reader.form} cannot be read as {kind}",
        f"leave --kind out, or use --kind {reader.kinds[0]}",
    )


def open_source(path: str, request: Request) -> Source:
    """Open one file with the reader that its content calls for.

    Raises
    ------
    FileError
        Missing, a directory, not readable.
    DataError
        Empty, damaged, unknown, misnamed.
    """
    kind = request.options.kind
    if kind not in (None, "md", "array", "field"):
        hint = did_you_mean(str(kind), ("md", "array", "field"))
        raise UsageError(f"--kind {kind}: no such kind of input", hint)
    stamp = check_file(path)
    reader = find_reader(path)
    _check_kind(path, reader, kind)
    module, function = reader.opens.split(":")
    source: Source = getattr(import_module(f"koopman_cli.io.{module}"), function)(path, request)
    if not request.options.var:
        source = doubted(source)
    return replace(source, stamp=(0, 0) if request.options.allow_truncated else stamp)
