"""``--set``: settings of families, one value each or several that make a grid."""

from __future__ import annotations

from collections.abc import Sequence

from koopman_cli.errors import UsageError


def split_setting(item: str) -> tuple[str, str, str]:
    """Family ("" if none is named), name and value of ``[family.]NAME=VALUE``.

    >>> split_setting("edmd.degree=3"), split_setting("rtol=1e-8")
    (('edmd', 'degree', '3'), ('', 'rtol', '1e-8'))
    """
    name, equals, value = item.partition("=")
    if not equals or not name:
        raise UsageError(f"--set {item}: no NAME=VALUE", "for example --set degree=3")
    owner, _, own = name.rpartition(".")
    return owner, own, value


def grid_settings(
    items: Sequence[str], models: Sequence[str]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Values of every setting by family; commas separate the values of a grid.

    A setting without a family goes to every family that has it.

    Raises
    ------
    UsageError
        If no family has a setting, or a value is missing.

    Examples
    --------
    >>> grid_settings(["edmd.centers=10,20", "rtol=1e-8"], ["tica", "edmd"])["edmd"]
    {'centers': ('10', '20'), 'rtol': ('1e-8',)}
    """
    from dataclasses import fields

    from koopman_cli.errors import did_you_mean
    from koopman_cli.models import family

    known = {name: tuple(f.name for f in fields(family(name))) for name in models}
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for item in items:
        owner, own, text = split_setting(item)
        values = tuple(v.strip() for v in text.split(",") if v.strip())
        if not values:
            raise UsageError(f"--set {item}: no value", "for example --set degree=2,3")
        owners = [owner] if owner else [name for name in models if own in known[name]]
        if not owners:
            every = tuple(dict.fromkeys(s for names in known.values() for s in names))
            raise UsageError(
                f"--set {item}: none of {', '.join(models)} has a setting {own!r}",
                did_you_mean(own, every),
            )
        for name in owners:
            found.setdefault(name, {})[own] = values
    return found
