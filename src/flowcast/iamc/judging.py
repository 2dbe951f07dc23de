"""Whether a table in IAMC format keeps to code lists."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from flowcast._iamc_codes import definitions_folder
from flowcast.errors import Faults, nearest
from flowcast.iamc.libraries import load_nomenclature, no_alarm

if TYPE_CHECKING:
    from nomenclature import DataStructureDefinition
    from pyam import IamDataFrame

__all__ = ["validate_iamc"]


def validate_iamc(
    data: "IamDataFrame", definitions: str | os.PathLike[str] | None = None
) -> "DataStructureDefinition":
    """Check variables, units and regions against code lists, with `nomenclature`.

    A directional region ``A>B`` is right where both A and B are in the list: `nomenclature` itself
    wants every pair listed, of which there are tens of thousands.

    Parameters
    ----------
    data
        The table.
    definitions
        Folder of code lists in nomenclature's form; by default flowcast's own.

    Returns
    -------
    nomenclature.DataStructureDefinition
        The code lists that it keeps to.

    Raises
    ------
    InputError
        With every variable, unit and region that is not in the lists, and the nearest that is;
        and with whatever else `nomenclature` finds.
    """
    nomenclature = load_nomenclature()
    faults = Faults("IamDataFrame")
    with no_alarm():
        lists = nomenclature.DataStructureDefinition(Path(definitions or definitions_folder()))
        others = [name for name in lists.dimensions if name != "region"]
        if "region" in lists.dimensions:
            _judge_regions(data.region, lists, faults)
        try:
            lists.validate(data, dimensions=others)
        except nomenclature.exceptions.NomenclatureValidationError as group:
            _judge_variables(data, lists, faults)
            _tell_others(group, faults)
    faults.raise_if_any()
    return lists


def _judge_regions(
    regions: Iterable[str], lists: "DataStructureDefinition", faults: Faults
) -> None:
    known = set(lists.region.keys())
    for region in (r for r in regions if r not in known):
        ends = region.split(">")
        wrong = [end for end in ends if end not in known] or ([region] if len(ends) != 2 else [])
        for end in wrong:
            told = "a region of the code list, or two of them as A>B"
            also = f" in {region!r}" if end != region else ""
            faults.add(f"{end!r}{also}", told, column="region", hint=nearest(end, known))


def _judge_variables(
    data: "IamDataFrame", lists: "DataStructureDefinition", faults: Faults
) -> None:
    known = lists.variable.mapping
    for variable in lists.variable.validate_items(data.variable):
        told = "a variable of the code list"
        faults.add(repr(variable), told, column="variable", hint=nearest(variable, known))
    for variable, units in data.unit_mapping.items():
        if variable not in known:
            continue
        allowed = known[variable].units
        for unit in {units} if isinstance(units, str) else set(units):
            if unit not in allowed:
                told = f"{' or '.join(map(repr, allowed))}, for {variable}"
                faults.add(repr(unit), told, column="unit", hint=nearest(unit, allowed))


def _tell_others(group: BaseException, faults: Faults) -> None:
    """Pass on what is no unknown name and no unit, in nomenclature's words."""
    told = ("UnknownVariableError", "UnknownRegionError", "WrongUnitError")
    for error in getattr(group, "exceptions", ()):
        if type(error).__name__ not in told:
            faults.add(" ".join(str(error).split()), "what nomenclature accepts")
