"""An append-only list of finished pieces of work that survives being killed.

One line per piece: a checksum and its JSON. A line that a kill cut short does not carry its
checksum and is passed over; whoever appends next begins a line of its own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from koopman_cli.errors import FileError
from koopman_cli.store.atomic import refusals


def _line(entry: Mapping[str, Any]) -> bytes:
    text = json.dumps(entry, sort_keys=True, allow_nan=False)
    return f"{_digest(text)} {text}\n".encode()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Journal:
    """Entries with a ``key``, in the order in which they were finished."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, dict[str, Any]]:
        """All whole entries by key; empty where there is no file yet.

        Raises
        ------
        FileError
            If the file system refuses.
        """
        if not self.path.exists():
            return {}
        with refusals(self.path, "read"):
            lines = self.path.read_text("utf-8", "replace").splitlines()
        found: dict[str, dict[str, Any]] = {}
        for line in lines:
            digest, _, text = line.partition(" ")
            if digest == _digest(text):
                entry = json.loads(text)
                found.setdefault(entry["key"], entry)
        return found

    def append(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Write entries and wait until they are on the disk."""
        content = b"".join(_line(entry) for entry in entries)
        if not content:
            return
        with refusals(self.path, "write"), self.path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    content = b"\n" + content
            file.write(content)
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from appending; the lock ends with this process.

        Raises
        ------
        FileError
            If another process is at work there.
        """
        import fcntl

        with refusals(self.path, "write"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("ab")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES):
                    yield
                    return
                raise FileError(
                    f"{str(self.path.parent)!r} is in use by another koopman",
                    "wait until it ends, or choose another --out",
                ) from error
            yield
