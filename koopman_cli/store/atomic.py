"""Files that are either whole or not there, and the file system's refusals in plain words."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from koopman_cli.errors import FileError

_CURES = {
    errno.ENOENT: ("no such file or directory", "check the spelling of the path"),
    errno.EACCES: ("permission denied", "choose a place that you may read and write"),
    errno.EPERM: ("permission denied", "choose a place that you may read and write"),
    errno.EROFS: ("the file system is read-only", "choose another place with --out"),
    errno.ENOSPC: ("no space left on the device", "free some space or choose another --out"),
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another --out"),
    errno.EFBIG: ("the file would exceed the size limit", "raise it (ulimit -f) or use less data"),
    errno.EEXIST: ("a file of this name is in the way", "choose another path"),
    errno.ENOTDIR: ("a part of the path is a file", "choose a path below a directory"),
    errno.EISDIR: ("it is a directory", "give the path of a file"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter name"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n)"),
}


def file_error(path: Path, error: OSError, doing: str) -> FileError:
    """The :class:`FileError` that says what the file system refused and what to do.

    >>> import errno
    >>> e = file_error(Path("a.h5"), OSError(errno.ENOSPC, "x"), "write")
    >>> str(e)
    "cannot write 'a.h5': no space left on the device"
    """
    cause, cure = _CURES.get(
        error.errno or 0, (error.strerror or str(error), "check the path and the file system")
    )
    return FileError(f"cannot {doing} {str(path)!r}: {cause}", cure)


@contextmanager
def refusals(path: Path, doing: str) -> Iterator[None]:
    """Turn every OSError of the block into :func:`file_error`."""
    try:
        yield
    except OSError as error:
        raise file_error(path, error, doing) from error


def sibling(path: Path, suffix: str) -> Path:
    """A hidden, unused name beside ``path``, on the same file system."""
    return path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.{suffix}")


def sync_directory(path: Path) -> None:
    """Make a rename inside ``path`` durable, where the system can."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError:  # Windows cannot open directories; the rename itself is done
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def exchange(one: Path, other: Path) -> bool:
    """Swap two paths in a single step, so that neither is ever missing.

    Returns
    -------
    bool
        False where the system cannot do it; nothing has changed then.
    """
    import ctypes

    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    done: int = rename(here, os.fsencode(one), here, os.fsencode(other), swap)
    return done == 0


def write_durable(path: Path, content: bytes) -> None:
    """Write a new file and wait until it is on the disk; raises OSError."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def write_atomic(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step: readers see the old file or the new one.

    Raises
    ------
    FileError
        If the file system refuses; ``path`` is then as it was and nothing is left beside it.
    """
    partial = sibling(path, "part")
    with refusals(path, "write"):
        try:
            write_durable(partial, content)
            partial.replace(path)
            sync_directory(path.parent)
        finally:
            partial.unlink(missing_ok=True)
