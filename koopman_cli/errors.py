"""Errors that a user can act on: one sentence of cause, one of cure, one exit code.

Every anticipated failure is raised as a :class:`KoopmanError`; the command line prints
it as two lines (``Error: ...`` / ``Hint: ...``) and leaves with :attr:`KoopmanError.code`.
Anything else that escapes is a bug and leaves with 1.
"""

from __future__ import annotations


class KoopmanError(Exception):
    """A failure with a cause and a cure.

    Parameters
    ----------
    message : str
        What is wrong, naming the file, frame or feature.
    hint : str
        What to do about it.

    Examples
    --------
    >>> error = DataError("a.npy: frame 7 is not finite", "add --drop-nonfinite")
    >>> error.code, str(error), error.hint
    (3, 'a.npy: frame 7 is not finite', 'add --drop-nonfinite')
    """

    code = 1

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(KoopmanError):
    """The request itself makes no sense (exit 2)."""

    code = 2


class DataError(KoopmanError):
    """The input is damaged, inconsistent or not what it claims to be (exit 3)."""

    code = 3


class SupportError(KoopmanError):
    """The data are fine but cannot support the model asked for (exit 4)."""

    code = 4


class FileError(KoopmanError):
    """The file system refuses: missing, denied, full, locked (exit 5)."""

    code = 5


class ResourceError(KoopmanError):
    """Memory or device does not suffice (exit 6)."""

    code = 6


class ModelFileError(KoopmanError):
    """A stored model is damaged, unsafe or too new (exit 7)."""

    code = 7


def did_you_mean(word: str, choices: list[str] | tuple[str, ...]) -> str:
    """A hint for a misspelt word: the nearest choice, else all of them.

    >>> did_you_mean("tcia", ["tica", "vamp"])
    'did you mean tica? Choices: tica, vamp'
    >>> did_you_mean("zzz", ["tica", "vamp"])
    'choices: tica, vamp'
    >>> did_you_mean("TICA", ["tica", "vamp"])
    'did you mean tica? Choices: tica, vamp'
    >>> did_you_mean("rsmd", ["RMSD"])
    'did you mean RMSD? Choices: RMSD'
    """
    from difflib import get_close_matches

    lowered = {choice.lower(): choice for choice in choices}
    near = get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.5)
    listed = ", ".join(choices)
    return f"did you mean {lowered[near[0]]}? Choices: {listed}" if near else f"choices: {listed}"
