"""United Nations, International Migration Flows to and from Selected Countries, 2015 revision.

One workbook per reporting country, with a sheet for each criterion: `by Residence` and `by
Citizenship`. A row is a partner, a column a year; two dots mean that there is no figure. How long
a stay makes a migrant differs by country and is not in the workbooks, so it is left open.

Sources
-------
United Nations, Department of Economic and Social Affairs, Population Division (2015),
POP/DB/MIG/Flow/Rev.2015.
"""

import re
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults, nearest
from flowcast.sources.readers._common import LeftOut, as_observations, as_year
from flowcast.sources.readers._files import Row, find_header, read_sheets
from flowcast.sources.readers._names import name_to_alpha2
from flowcast.sources.readers._tables import parse_numbers

__all__ = ["read_flows"]

SHEET: Final = re.compile(r"(?!Regions\b)(.+?) by (Residence|Citizenship)")
"""A sheet of regions repeats the figures of the country's sheet, added up."""
NEEDED: Final = ("Type", "Coverage", "OdName")
DIRECTIONS: Final = {"immigrants": "destination", "emigrants": "origin"}
COVERAGES: Final = ("Both", "Foreigners", "Citizens")
TOTALS: Final = ("Total", "World")
MISSING: Final = ("..", "")
YEAR: Final = re.compile(r"(19|20)\d\d")


def read_flows(path: Path, *, reporter: str | None = None) -> pd.DataFrame:
    """Read the workbook of one reporting country.

    Rows about all partners become totals. Only rows that cover both foreigners and citizens are
    taken (parts of them are left out, and so are regions, unknown and stateless). Where two
    partners of the file are one country of the code list, their figures are added up.

    Parameters
    ----------
    path
        The workbook.
    reporter
        Alpha-2 code of the reporting country, where the sheets' names do not tell it.

    Returns
    -------
    pandas.DataFrame
        Observations of `flow`, `immigration` and `emigration`: persons per calendar year.
        `criterion` is ``residence`` or ``citizenship``; in an emigration by citizenship the
        destination is the country of citizenship.

    Raises
    ------
    InputError
        With every fault of the workbook.
    """
    faults = Faults(str(path))
    sheets = read_sheets(path, faults)
    found = {name: match for name in sheets if (match := SHEET.fullmatch(name.strip()))}
    if not found:
        first = next(iter(sheets), "")
        faults.add(
            f"the sheets {', '.join(map(repr, sheets))}",
            "a sheet '<country> by Residence' or '<country> by Citizenship'",
            hint=nearest(first, ["by Residence", "by Citizenship"]),
        )
    codes = {name: reporter or name_to_alpha2(match[1]) for name, match in found.items()}
    for name in (n for n, code in codes.items() if code is None):
        faults.add(
            f"a sheet of {found[name][1]!r}",
            "the name of a country (or tell `reporter`)",
            where=f"{path}, sheet {name!r}",
        )
    faults.raise_if_any()
    left = LeftOut()
    parts = [
        _read_sheet(sheets[name], f"{path}, sheet {name!r}", match[2].lower(), left, faults).assign(
            place=codes[name]
        )
        for name, match in found.items()
    ]
    faults.raise_if_any()
    long = pd.concat(parts)
    inflow = long["reporter"] == "destination"
    total = long["other"] == ""
    measure = inflow.map({True: "immigration", False: "emigration"}).where(total, "flow")
    columns = {
        "source": "un_flows_2015",
        "family": "administrative",
        "measure": measure,
        "origin": long["other"].where(inflow, long["place"]),
        "destination": long["place"].where(inflow, long["other"]),
        **as_year(long["year"]),
        **{name: long[name] for name in ("value", "reporter", "criterion")},
    }
    return as_observations(columns, long.index, left, faults)


def _read_sheet(
    rows: list[Row], where: str, criterion: str, left: LeftOut, faults: Faults
) -> pd.DataFrame:
    """Return the figures of a sheet: `other`, `reporter`, `criterion`, `year`, `value`."""
    at, names = find_header(rows, NEEDED, where, faults)
    years = [(i, int(n[:4])) for i, n in enumerate(names) if YEAR.fullmatch(n.removesuffix(".0"))]
    sheet = Faults(where)
    if not years:
        sheet.add("no column of a year", "1980, 1981, ...", row=at + 1)
    kind, cover, partner = (names.index(name) for name in NEEDED)
    body = {i: row for i, row in enumerate(rows[at + 1 :], start=at + 2) if _is_filled(row)}
    frame = pd.DataFrame(
        {
            "direction": [str(row[kind]).strip().lower() for row in body.values()],
            "coverage": [str(row[cover]).strip() for row in body.values()],
            "partner": [str(row[partner]).strip() for row in body.values()],
        },
        index=pd.Index(list(body)),
        dtype="str",
    )
    frame = left.drop(frame, ~frame["coverage"].isin(COVERAGES), "a note below the table")
    for row, word in frame.loc[~frame["direction"].isin(list(DIRECTIONS)), "direction"].items():
        sheet.add(repr(word), "Immigrants or Emigrants", row=int(str(row)), column="Type")
    frame = left.drop(frame, frame["coverage"] != "Both", "foreigners or citizens alone")
    table = {name: "" if name in TOTALS else name_to_alpha2(name) for name in set(frame["partner"])}
    frame["other"] = frame["partner"].map(table).astype("str")
    frame["reporter"] = frame["direction"].map(DIRECTIONS).astype("str")
    frame = left.drop_codes(frame.assign(criterion=criterion), "other", frame["partner"])
    parts = []
    for column, year in years:
        raw = pd.Series([body[i][column] for i in frame.index], index=frame.index, dtype=object)
        value = parse_numbers(raw, sheet, str(year), missing=MISSING)
        parts.append(frame.assign(year=year, value=value))
    faults.extend(sheet)
    return pd.concat(parts) if parts else frame.assign(year=1980, value=float("nan"))


def _is_filled(row: Row) -> bool:
    return sum(cell is not None and str(cell).strip() != "" for cell in row) > 0
