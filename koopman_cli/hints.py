"""Commands in hints, complete enough to be typed as they stand."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

from koopman_cli.errors import SupportError
from koopman_cli.nouns import counted
from koopman_cli.types import FeatureSpec, ReadOptions

#: What stands for the input until it is known how that was given.
PLACE = "vamp-score PATH"

#: Settings that a comparison of ranks varies itself.
VARIED = ("rank", "energy")


def rank_command(model: str, rank: int, lag: int) -> str:
    """The command that compares an eighth, a quarter and half of a rank on held-out data.

    Examples
    --------
    >>> rank_command("dmd", 47, 1)
    'koopman vamp-score PATH --model dmd --lag 1 --set dmd.rank=5,11,23 --dim 5,11,23'
    """
    ranks = ",".join(str(r) for r in sorted({max(rank // k, 1) for k in (8, 4, 2)}))
    return f"koopman {PLACE} --model {model} --lag {lag} --set {model}.rank={ranks} --dim {ranks}"


def completed(
    text: str,
    paths: Sequence[str],
    read: ReadOptions,
    more: Mapping[str, str | None],
    settings: Mapping[str, Any],
) -> str:
    """A text whose command names the paths, how they are read, and the settings of the fit.

    Parameters
    ----------
    text : str
        With ``vamp-score PATH``, or returned as it is.
    paths : sequence of str
        None for arrays in memory, where PATH stays.
    read : ReadOptions
    more : mapping
        Further options by name, None where not given.
    settings : mapping
        Of the model, by name with its family.

    Examples
    --------
    >>> read = ReadOptions(anomaly="cycle:12", join=True, var=("u", "v"))
    >>> completed("koopman vamp-score PATH --lag 1", ["my a.nc"], read, {}, {"dmd.delays": 2})
    "koopman vamp-score 'my a.nc' --var u,v --join --anomaly cycle:12 --lag 1 --set dmd.delays=2"
    """
    if PLACE not in text or not paths:
        return text
    kept = {k: v for k, v in settings.items() if k.rpartition(".")[2] not in VARIED}
    last = "".join(" " + shlex.join(["--set", f"{name}={value}"]) for name, value in kept.items())
    return text.replace(PLACE, f"vamp-score {located(paths, read, more)}") + last


def located(paths: Sequence[str], read: ReadOptions, more: Mapping[str, str | None]) -> str:
    """The paths, how they are read, and further options, as they are typed."""
    default = ReadOptions()
    asked = {f.name: getattr(read, f.name) for f in fields(ReadOptions)}
    asked = {name: value for name, value in asked.items() if value != getattr(default, name)}
    words = list(paths)
    for name, value in {**asked, **more}.items():
        if value is None:
            continue
        words.append("--" + name.replace("_", "-"))
        if value is not True:
            words.append(",".join(value) if isinstance(value, tuple) else str(value))
    return shlex.join(words)


@contextmanager
def fewer_features(
    spec: FeatureSpec, paths: Sequence[str], read: ReadOptions, more: Mapping[str, str | None]
) -> Iterator[None]:
    """Refusals of too few frames name the features of a molecule, and a command that needs fewer.

    Raises
    ------
    SupportError
        Of what runs inside.
    """
    try:
        yield
    except SupportError as error:
        if spec.kind != "md" or not str(error).endswith("functions"):
            raise
        command = f"koopman fit {located(paths or ['PATH'], read, {**more, 'features': 'rmsd'})}"
        raise SupportError(
            f"{error} of {spec.text} ({counted(len(spec.names), 'column')})",
            f"take fewer residues (--select), more data, or a single column: {command}",
        ) from error
