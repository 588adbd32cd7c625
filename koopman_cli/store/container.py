"""Named arrays in one HDF5 file that can be trusted, or is refused.

Writing makes the whole file in memory and puts it in place in one step. Reading takes
nothing on trust: every object is looked at (link, type, layout, filters, claimed size)
before a byte of it is read, and one SHA-256 over names, types, shapes and values decides.
"""

from __future__ import annotations

import hashlib
import math
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from koopman_cli.errors import FileError, KoopmanError, ModelFileError
from koopman_cli.nouns import counted
from koopman_cli.store.atomic import refusals, write_atomic

FORMAT = "koopman-model"

#: Arrays are cut into chunks of about this many bytes, each with its own checksum.
CHUNK_BYTES = 4 * 2**20
MAX_DEPTH = 8
SIGNATURE = b"\x89HDF\r\n\x1a\n"

Arrays = dict[str, NDArray[Any]]


def _stored(array: NDArray[Any]) -> NDArray[Any]:
    """The array as it lies in the file: text becomes fixed-length UTF-8."""
    array = np.asarray(array, order="C")
    if array.dtype.kind == "U":
        import h5py

        encoded = np.char.encode(array, "utf-8")
        width = max(1, encoded.dtype.itemsize)
        return encoded.astype(h5py.string_dtype("utf-8", width))
    if array.dtype.kind not in "fiubcS":
        raise TypeError(f"arrays of type {array.dtype} are not stored")
    return array


def digest(schema: int, stored: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over the schema version and, by path, type, shape and bytes of every dataset."""
    total = hashlib.sha256(f"{FORMAT} {schema}\n".encode())
    for path in sorted(stored):
        array = stored[path]
        total.update(f"{path}\n{array.dtype.str}\n{array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def _chunks(array: NDArray[Any]) -> tuple[int, ...] | None:
    if array.ndim == 0 or array.size == 0:
        return None
    row = max(1, array.nbytes // array.shape[0])
    return (min(array.shape[0], max(1, CHUNK_BYTES // row)), *array.shape[1:])


def image(schema: int, arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of the HDF5 file that holds ``arrays`` (keys are paths: "model/left")."""
    import h5py

    stored = {path: _stored(array) for path, array in arrays.items()}
    # v110 puts a checksum on all metadata; in memory, a full disk cannot break the library
    with h5py.File("image", "w", driver="core", backing_store=False, libver=("v110", "v110")) as f:
        f.attrs["format"] = np.bytes_(FORMAT)
        f.attrs["schema"] = np.int64(schema)
        f.attrs["sha256"] = np.bytes_(digest(schema, stored))
        for path in sorted(stored):
            chunks = _chunks(stored[path])
            f.create_dataset(path, data=stored[path], chunks=chunks, fletcher32=chunks is not None)
        f.flush()
        content: bytes = f.id.get_file_image()
    return content


def write(path: Path, schema: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Put the file in place in one step.

    Raises
    ------
    FileError
        If the file system refuses; an earlier file is then untouched.
    """
    write_atomic(path, image(schema, arrays))


# ------------------------------------------------------------------ reading


def _refuse(path: Path, why: str) -> ModelFileError:
    return ModelFileError(
        f"{str(path)!r} is no model that can be trusted: {why}",
        "fit again, or take an undamaged copy; models come from koopman fit",
    )


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Whatever the HDF5 library says of a broken file means: damaged."""
    try:
        yield
    except KoopmanError:
        raise
    except (OSError, RuntimeError, LookupError, ValueError, TypeError, ArithmeticError) as error:
        raise _refuse(path, f"damaged or truncated ({str(error).splitlines()[0]})") from error


def _check_regular(path: Path) -> int:
    with refusals(path, "read"):
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise FileError(f"{str(path)!r} is a directory, not a model file", "give RUN/model.h5")
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"{str(path)!r} is no regular file", "give RUN/model.h5")
        with path.open("rb") as file:
            start = file.read(len(SIGNATURE))
    if not start:
        raise _refuse(path, "the file is empty")
    if start != SIGNATURE:
        raise _refuse(path, "not an HDF5 file")
    return status.st_size


def _attribute(root: Any, name: str) -> Any:
    """One small scalar attribute, or None; looked at before it is read."""
    import h5py

    if not h5py.h5a.exists(root, name.encode()):
        return None
    attribute = h5py.h5a.open(root, name.encode())
    kind = attribute.dtype.kind
    if attribute.shape != () or kind not in "iuS" or attribute.get_storage_size() > 1024:
        return None
    value = np.empty((), attribute.dtype)
    attribute.read(value)
    return value[()]


def _check_header(path: Path, root: Any, schema: int) -> tuple[int, str]:
    import h5py

    if _attribute(root, "format") != FORMAT.encode():
        raise _refuse(path, "an HDF5 file, but not written by koopman")
    version, sha256 = _attribute(root, "schema"), _attribute(root, "sha256")
    if not isinstance(version, np.integer) or not isinstance(sha256, bytes):
        raise _refuse(path, "its header is damaged")
    if version > schema:
        raise ModelFileError(
            f"{str(path)!r} has schema {version}; this koopman reads up to schema {schema}",
            "use a newer koopman: pip install --upgrade koopman-cli",
        )
    if version < 1 or h5py.h5a.get_num_attrs(root) != 3:
        raise _refuse(path, "its header is damaged")
    return int(version), sha256.decode("ascii", "replace")


def _check_dataset(dataset: Any, limit: int) -> int:
    """Bytes the dataset claims; ValueError for anything that koopman does not write.

    The order matters: a virtual dataset may open other files as soon as its shape is asked.
    """
    import h5py

    layout = dataset.get_create_plist()
    kind = layout.get_layout()
    if kind not in (h5py.h5d.CHUNKED, h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
        raise ValueError("a virtual dataset")
    if layout.get_external_count():
        raise ValueError("data kept in another file")
    for i in range(layout.get_nfilters()):
        if layout.get_filter(i)[0] != h5py.h5z.FILTER_FLETCHER32:
            raise ValueError("an unexpected filter")
    dtype = dataset.dtype
    if dtype.kind not in "fiubcS":
        raise ValueError(f"a dataset of type {dtype}")
    shape = dataset.shape
    if shape is None:
        raise ValueError("a dataset without a shape")
    claims = [shape] + ([layout.get_chunk()] if kind == h5py.h5d.CHUNKED else [])
    claimed = max(math.prod(claim) for claim in claims) * dtype.itemsize
    if claimed > limit:
        raise ValueError(f"a dataset claims {counted(claimed, 'byte')}, the file has {limit}")
    return int(claimed)


def _walk(group: Any, prefix: str, seen: set[Any]) -> Iterator[tuple[str, Any]]:
    """(path, dataset) of everything below, through hard links only, each object once."""
    import h5py

    for name in group:
        path = f"{prefix}{name.decode('utf-8')}"
        if group.links.get_info(name).type != h5py.h5l.TYPE_HARD:
            raise ValueError(f"{path} is a link to somewhere else")
        node = h5py.h5o.open(group, name)
        address = h5py.h5o.get_info(node).addr
        if address in seen or path.count("/") > MAX_DEPTH:
            raise ValueError(f"{path} is linked twice or nested too deeply")
        seen.add(address)
        if h5py.h5a.get_num_attrs(node):
            raise ValueError(f"{path} carries attributes")
        if isinstance(node, h5py.h5g.GroupID):
            yield from _walk(node, f"{path}/", seen)
        elif isinstance(node, h5py.h5d.DatasetID):
            yield path, node
        else:
            raise ValueError(f"{path} is neither group nor dataset")  # noqa: TRY004 - of the file


def _text(array: NDArray[Any]) -> NDArray[Any]:
    import h5py

    info = h5py.check_string_dtype(array.dtype)
    if info is not None and info.encoding == "utf-8":
        return np.asarray(np.char.decode(array, "utf-8"))
    return array


def read(path: Path, schema: int) -> tuple[int, Arrays]:
    """Schema version and arrays of a file written by :func:`write`.

    Parameters
    ----------
    path : Path
        The file.
    schema : int
        Newest schema version that the caller understands.

    Raises
    ------
    FileError
        If there is no such file, or it may not be read.
    ModelFileError
        If it is damaged, foreign, too new, or refers to anything outside itself; found
        before memory for it is allocated.
    """
    import h5py

    size = _check_regular(path)
    with _damage(path), h5py.File(path, "r", locking=False) as f:
        root = f["/"].id
        version, sha256 = _check_header(path, root, schema)
        datasets = dict(_walk(root, "", {h5py.h5o.get_info(root).addr}))
        if sum(_check_dataset(d, size) for d in datasets.values()) > size:
            raise ValueError(
                f"its datasets claim more than the {counted(size, 'byte')} of the file"
            )
        arrays = {name: np.asarray(h5py.Dataset(d)[()]) for name, d in datasets.items()}
        dtypes = {name: h5py.Dataset(d).dtype for name, d in datasets.items()}
        arrays = {name: a.astype(dtypes[name], copy=False) for name, a in arrays.items()}
        if digest(version, arrays) != sha256:
            raise ValueError("its content does not have its checksum")
        return version, {name: _text(a) for name, a in arrays.items()}
