"""IIASA, SSP Public Database: population, GDP and urban share by country, pathway and model.

A row per model, scenario, region and variable with a column for each year, as the database exports
it (IAMC format), as CSV or workbook; or the same with a row for each year. Figures are in millions,
billions and percent there, and in persons, dollars and shares here: the unit is mapped, the figure
is not.

Sources
-------
IIASA, SSP Public Database, version 2.0, export of country data.
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults, nearest
from flowcast.sources.readers._common import LeftOut, as_covariates, to_alpha2
from flowcast.sources.readers._files import find_header, read_sheets, read_text
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
)

__all__ = ["read_pathways"]

NEEDED: Final[dict[str, tuple[str, ...]]] = {
    "model": ("model",),
    "scenario": ("scenario",),
    "region": ("region", "iso3"),
    "variable": ("variable",),
    "unit": ("unit",),
}
YEAR: Final = re.compile(r"\d{4}")
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
    frame = _long(_read(path, faults), faults)
    frame = _only(frame, "scenario", scenario, left, faults)
    frame = _only(frame, "model", model, left, faults)
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


def _read(path: Path, faults: Faults) -> pd.DataFrame:
    """Return the table with its column names in small letters; the index is the row."""
    if path.name.lower().endswith(".xlsx"):
        rows = next(iter(read_sheets(path, faults).values()))
        titles = [name.title() for name in NEEDED]
        position, names = find_header(rows, titles, str(path), faults)
        cells = [["" if c is None else str(c).strip() for c in row] for row in rows[position + 1 :]]
        index = pd.RangeIndex(position + 2, position + 2 + len(cells))
        table = pd.DataFrame(cells, columns=names, index=index, dtype="str")
        # Below the figures stands a note on copyright, without a region.
        table = table[table["Region"] != ""]
    else:
        table = read_delimited(read_text(path, faults), faults)
    return table.rename(columns=lambda name: str(name).casefold())


def _long(table: pd.DataFrame, faults: Faults) -> pd.DataFrame:
    """Return a row for each year."""
    years = [str(name) for name in table.columns if YEAR.fullmatch(str(name))]
    if not years:
        return choose_columns(table, faults, {**NEEDED, "year": ("year",), "value": ("value",)})
    frame = choose_columns(table, faults, NEEDED)
    parts = [frame.assign(year=year, value=table[year]) for year in years]
    whole = pd.concat(parts)
    return whole[whole["value"] != ""]


def _only(
    frame: pd.DataFrame, column: str, wanted: str, left: LeftOut, faults: Faults
) -> pd.DataFrame:
    """Return the rows with one value of a column; with none asked for, there may be one only."""
    there = sorted(set(frame[column]))
    if not wanted and len(there) > 1:
        faults.add(f"several: {', '.join(there)}", f"one, as {column}", column=column)
    elif wanted and wanted not in there:
        hint = nearest(wanted, there)
        faults.add(f"no {wanted!r}", ", ".join(there) or "rows", column=column, hint=hint)
    faults.raise_if_any()
    if not wanted:
        return frame
    return left.drop(frame, frame[column] != wanted, f"{column} other than {wanted}")
