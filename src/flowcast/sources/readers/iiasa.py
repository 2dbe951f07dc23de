"""IIASA, SSP Public Database: population, GDP and urban share by country, pathway and model.

A row per model, scenario, region and variable with a column for each year, as the database exports
it (IAMC format), as CSV or workbook; or the same with a row for each year. Figures are in millions,
billions and percent there, and in persons, dollars and shares here: the unit is mapped, the figure
is not.

Sources
-------
IIASA, SSP Public Database, version 2.0, export of country data.
"""

from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_covariates, to_alpha2
from flowcast.sources.readers._iamc_tables import only, read_long
from flowcast.sources.readers._tables import parse_numbers, parse_years

__all__ = ["read_pathways"]

# Variable and unit of the file: our name, our unit, and what the figure is multiplied by.
KNOWN: Final[dict[tuple[str, str], tuple[str, str, float]]] = {
    ("Population", "million"): ("population", "persons", 1e6),
    ("GDP|PPP", "billion US$2005/yr"): ("gdp", "US$2005 PPP", 1e9),
    ("Population|Urban|Share", "%"): ("urban_share", "share", 0.01),
}


def read_pathways(path: Path, *, scenario: str, model: str = "") -> pd.DataFrame:
    """Read what the database has of one pathway.

    Parameters
    ----------
    path
        The export, CSV (plain or gzip) or workbook.
    scenario
        The pathway as the file names it, such as ``SSP2``.
    model
        Whose figures, where several models have given some.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, and as far as the file has them `population` (persons), `gdp`
        (dollars of 2005 at purchasing power parity, of a year) and `urban_share` (of 1).

    Raises
    ------
    InputError
        With every fault of the file; or if it has no such scenario, or figures of several models
        and none is asked for.
    """
    faults, left = Faults(str(path)), LeftOut()
    frame = read_long(path, faults)
    frame = only(frame, "scenario", scenario, left, faults)
    frame = only(frame, "model", model, left, faults)
    kinds = list(zip(frame["variable"], frame["unit"], strict=True))
    other = pd.Series([kind not in KNOWN for kind in kinds], index=frame.index)
    if other.all():
        allowed = ", ".join(f"{variable} in {unit}" for variable, unit in KNOWN)
        first = frame.iloc[0]
        faults.add(f"{first['variable']} in {first['unit']}", allowed, column="variable")
        faults.raise_if_any()
    frame = left.drop(frame, other, "another variable or unit")
    frame = frame.assign(place=to_alpha2(frame["region"], "alpha3"))
    frame = left.drop_codes(frame, "place", frame["region"])
    frame["year"] = parse_years(frame["year"], faults, "year")
    values = parse_numbers(frame["value"], faults, "value")
    faults.raise_if_any()
    meant = [KNOWN[kind] for kind in zip(frame["variable"], frame["unit"], strict=True)]
    # Rounded to the grain of the file: a product of floats is not quite the figure.
    frame["value"] = (values * [factor for _, _, factor in meant]).round(10)
    frame["name"] = [name for name, _, _ in meant]
    for row in frame.index[frame.duplicated(["place", "year", "name"])][:1]:
        faults.add("the same figure again", "each figure once", row=int(str(row)))
    faults.raise_if_any()
    units = {name: unit for name, unit, _ in KNOWN.values() if name in set(frame["name"])}
    wide = frame.pivot(index=["place", "year"], columns="name", values="value").reset_index()
    return as_covariates(wide, units, left, faults)
