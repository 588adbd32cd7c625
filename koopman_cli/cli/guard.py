"""One place where every way to end becomes an exit code and at most two lines.

0 done; 1 bug; 2 usage; 3 bad data; 4 no support for a model; 5 file system; 6 memory or
device; 7 model file; 130/143 interrupted; 141 the reader of our output went away.
"""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from koopman_cli.cli.early import AGAIN, STOPPED
from koopman_cli.errors import (
    FileError,
    KoopmanError,
    ResourceError,
    UsageError,
    did_you_mean,
)

#: What an interruption leaves to be gone on with, where it does.
TRAINING = "the training so far is kept in {!r}; add --resume to go on"
CELLS = "finished cells are kept in {!r}; the same command without --force goes on from there"

#: Options of one verb that another does without.
ELSEWHERE = {
    ("vamp-score", "--resume"): "finished cells are kept: the same command with the same --out, "
    "without --force, goes on from there"
}


class Terminated(KeyboardInterrupt):
    """SIGTERM, travelling like Ctrl-C so that temporary files are removed on the way."""


class Ears:
    """Hears Ctrl-C and SIGTERM, and remembers them.

    Compiled modules that are interrupted while they import one another report an ImportError
    instead, or go on as if nothing had been; what was heard tells what it was.

    heard : what the last signal raised
    """

    heard: KeyboardInterrupt | None = None

    def listen(self) -> None:
        """Raise KeyboardInterrupt or Terminated; a SIGINT that is ignored stays so."""
        self.heard = None
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self._hear)
        signal.signal(signal.SIGTERM, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        self.heard = KeyboardInterrupt() if number == signal.SIGINT else Terminated()
        raise self.heard

    def obey(self) -> None:
        """Raise again what was heard and went under."""
        if self.heard is not None:
            raise self.heard


EARS = Ears()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def report(message: str, hint: str) -> None:
    """Write the two lines of an error to stderr."""
    lines = f"Error: {_one_line(message)}\nHint: {_one_line(hint)}\n"
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    # Where nobody can read the lines the exit code still tells.
    with suppress(OSError):
        sys.stderr.write(lines.encode(encoding, "backslashreplace").decode(encoding))
        sys.stderr.flush()


def _from_click(error: click.ClickException) -> KoopmanError:
    if isinstance(error, click.FileError):
        return FileError(error.format_message(), "check the path and its permissions")
    context = getattr(error, "ctx", None)
    where = f"`{context.command_path} --help`" if context else "`koopman --help`"
    hint = _nearest(error) or f"see {where} for what can be given"
    if isinstance(error, click.NoSuchOption):
        return UsageError(f"no such option: {error.option_name}", hint)
    return UsageError(error.format_message().rstrip("."), hint)


def _nearest(error: click.ClickException) -> str | None:
    """What may have been meant by a misspelt option or choice; None where nothing is near."""
    verb = str(getattr(getattr(error, "ctx", None), "info_name", None))
    if isinstance(error, click.NoSuchOption) and (verb, error.option_name) in ELSEWHERE:
        return ELSEWHERE[verb, error.option_name]
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        near = get_close_matches(error.option_name, error.possibilities, n=2)
        return f"did you mean {' or '.join(near)}?" if near else None
    kind = getattr(getattr(error, "param", None), "type", None)
    if isinstance(kind, click.Choice):
        given = re.match(r"'(.*)' is not one of", getattr(error, "message", ""), re.DOTALL)
        return did_you_mean(given[1], [str(c) for c in kind.choices]) if given else None
    return None


def _from_python(error: BaseException) -> KoopmanError | None:
    cause = str(error)
    refused = isinstance(error, OSError) and error.errno == errno.ENOMEM
    refused = refused or (isinstance(error, ImportError) and "annot allocate memory" in cause)
    if isinstance(error, MemoryError) or refused:
        more = f" ({cause})" if cause else ""
        return ResourceError(f"out of memory{more}", "use fewer features or a larger --stride")
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("koopman_cli"):
        return FileError(
            f"the Python package {error.name!r} is not installed", f"pip install {error.name}"
        )
    if isinstance(error, OSError) and error.errno is not None:
        name = f"{error.filename}: " if error.filename else ""
        hint = {
            errno.ENOSPC: "free some space, or choose another place with --out",
            errno.EACCES: "check the permissions",
            errno.ENOENT: "check the path",
        }.get(error.errno, "check the path, its permissions and the free space")
        return FileError(f"{name}{error.strerror}", hint)
    return None


def open_streams() -> None:
    """Give a closed stdin, stdout or stderr a place to go: no data file may take its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def run_guarded(command: click.Command, args: list[str]) -> int:
    """Run a click command; return its exit code, never a traceback unless ``--debug``."""
    debug = "--debug" in args
    try:
        EARS.listen()
        return _run(command, list(args))
    except BrokenPipeError:
        # Python would complain once more while closing stdout; give it nothing to close.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (KeyboardInterrupt, click.Abort) as stop:
        return _report_stop(stop)
    except Exception as error:  # noqa: BLE001 - the last net; nothing may print a traceback
        if EARS.heard is not None:
            return _report_stop(EARS.heard)
        return _report_exception(error, debug)


def _report_stop(stop: BaseException) -> int:
    """Tell of an interruption; its exit code."""
    code = 143 if isinstance(stop, Terminated) else 130
    report(STOPPED[code], getattr(stop, "kept", AGAIN))
    return code


def leave(code: int) -> NoReturn:
    """End the process with an exit code.

    An interrupt that fell into code that Python was executing from a string (dataclasses do
    that) is remembered by the interpreter, which would kill itself by SIGINT at its end although
    the interrupt was caught: scripts would see -2 and not 130.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code in STOPPED:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


@contextmanager
def going_on_with(place: Path, told: str = TRAINING) -> Iterator[None]:
    """Let an interruption say that what lies in a folder, or a file, can be gone on with."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if place.is_dir() or (place.exists() and place.stat().st_size):
            stop.kept = told.format(str(place))  # type: ignore[attr-defined]
        raise


def _run(command: click.Command, args: list[str]) -> int:
    """Parse and run, without click's own ways of ending (they hide signals and pipes)."""
    if "_KOOPMAN_COMPLETE" in os.environ:
        command.main(args, prog_name="koopman")
    code = 0
    try:
        with command.make_context("koopman", args) as context:
            command.invoke(context)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message())
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    sys.stdout.flush()
    return code


def _report_exception(error: Exception, debug: bool) -> int:
    known: KoopmanError | None
    if isinstance(error, click.ClickException):
        known = _from_click(error)
    else:
        known = error if isinstance(error, KoopmanError) else _from_python(error)
    if debug:
        traceback.print_exception(error)
    if known is None:
        report(
            f"this is a bug in koopman: {type(error).__name__}: {error}",
            "run again with --debug and report the traceback",
        )
        return 1
    report(str(known), known.hint)
    return known.code
