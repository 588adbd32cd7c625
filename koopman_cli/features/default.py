"""What to take where nothing was asked for, and why."""

from __future__ import annotations

from koopman_cli.features.available import heavy_atoms, missing
from koopman_cli.features.base import Context
from koopman_cli.features.spec import Part
from koopman_cli.features.torsions import find_torsions, product_count
from koopman_cli.nouns import counted

#: Products of torsions are added by themselves while there are fewer columns than this.
PRODUCT_LIMIT = 300


def default_parts(context: Context) -> tuple[tuple[Part, ...], str]:
    """Featurizers for an input without a specification.

    Returns
    -------
    parts : tuple of Part
        Torsions with their products below :data:`PRODUCT_LIMIT` columns, torsions above;
        heavy-atom distances without torsions; the columns of an array as they are.
    note : str
        The choice and its reason, for the report.

    Raises
    ------
    DataError
        An MD input without torsions and with fewer than two heavy atoms.
    """
    if context.first.kind != "md":
        return (Part("identity"),), "features: identity, the default for arrays"
    topology = context.first.topology
    count = len(find_torsions(topology).names)
    width = 2 * count + product_count(count)
    if count and width < PRODUCT_LIMIT:
        why = (
            f"{counted(width, 'column')} from {count} backbone angles, products below "
            f"{PRODUCT_LIMIT}"
        )
        parts = (Part("torsions"), Part("torsion-products"))
        return parts, f"features: torsions+torsion-products ({why}), the default for MD"
    if count:
        why = f"{counted(2 * count, 'column')}; with products they would be {width}"
        return (Part("torsions"),), f"features: torsions ({why}), the default for large MD"
    if len(heavy_atoms(topology)) < 2:
        raise missing("default features", topology)
    why = "there are no backbone torsions"
    return (Part("heavy-distances"),), f"features: heavy-distances, since {why}"
