"""IDMC, Global Internal Displacement Database: new displacements and displaced persons, by cause.

Country by year, as CSV or workbook. The contract knows no move within a country: the country
stands as origin, and the destination is empty. A displacement is a move (one person may move
several times in a year); a stock is persons on 31 December. Unrounded figures are taken where
the file has them.

Sources
-------
Internal Displacement Monitoring Centre, GIDD, README of the data set; HDX, "Internally displaced
persons (IDPs)".
"""

from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_observations, as_year, to_alpha2
from flowcast.sources.readers._files import ZIP_START, find_header, read_sheets, read_text
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
)

__all__ = ["read_displacement"]

PLACE: Final = {"ISO3": ("ISO3", "iso3"), "Year": ("Year", "year")}
FIGURES: Final = {
    ("conflict", "displacement"): (
        "Conflict Internal Displacements (Raw)",
        "Conflict Internal Displacements",
        "Conflict New Displacements",
    ),
    ("conflict", "stock"): (
        "Conflict Stock Displacement (Raw)",
        "Conflict Stock Displacement",
        "Conflict Total number of IDPs",
    ),
    ("disaster", "displacement"): (
        "Disaster Internal Displacements (Raw)",
        "Disaster Internal Displacements",
        "Disaster New Displacements",
    ),
    ("disaster", "stock"): (
        "Disaster Stock Displacement (Raw)",
        "Disaster Stock Displacement",
        "Disaster Total number of IDPs",
    ),
}
"""Names of each figure, the preferred first."""
MISSING: Final = ("", "..", "nan")


def read_displacement(path: Path) -> pd.DataFrame:
    """Read internal displacement by country, year and cause.

    A country-year that is not in the file is not a zero, and does not become one. Areas that are
    no country of ISO 3166 (Abyei) are left out.

    Parameters
    ----------
    path
        CSV (plain or gzip, with or without a row of HXL tags) or workbook.

    Returns
    -------
    pandas.DataFrame
        Observations of `displacement` (moves per calendar year) and `stock` (persons on 31
        December) from the sources `idmc_gidd_conflict` and `idmc_gidd_disaster`; the country
        is the origin.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = _read_table(path, faults)
    if "Event Name" in table.columns:
        faults.add("a table of events", "figures by country and year", row=1, column="Event Name")
        faults.raise_if_any()
    tags = table.iloc[:, 0].str.startswith("#")
    table = left.drop(table, tags, "a row of HXL tags")
    there = {
        key: next((n for n in names if n in table.columns), "") for key, names in FIGURES.items()
    }
    there = {key: name for key, name in there.items() if name}
    if not there:
        faults.add(
            "no column of displacements", repr(FIGURES["conflict", "displacement"][1]), row=1
        )
        faults.raise_if_any()
    frame = choose_columns(table, faults, {**PLACE, **{n: (n,) for n in there.values()}})
    frame = frame.assign(origin=to_alpha2(frame["ISO3"], "alpha3", {"AB9": None}))
    frame = left.drop_codes(frame, "origin", frame["ISO3"])
    years = parse_years(frame["Year"], faults, "Year")
    calendar = as_year(years)
    parts = [
        frame.assign(
            source=f"idmc_gidd_{cause}",
            measure=measure,
            value=parse_numbers(frame[name], faults, name, missing=MISSING),
            period_end=calendar["period_end"],
            period_start=calendar["period_start"]
            if measure == "displacement"
            else years.astype("str") + "-12-31",
        )
        for (cause, measure), name in there.items()
    ]
    long = pd.concat(parts)
    taken = ("source", "measure", "origin", "period_start", "period_end", "value")
    columns = {
        **{name: long[name] for name in taken},
        "family": "estimate",
        "destination": "",
        "reporter": "other",
    }
    return as_observations(columns, long.index, left, faults)


def _read_table(path: Path, faults: Faults) -> pd.DataFrame:
    """Return the table as text: of a CSV, or of the sheet of a workbook that has its header."""
    if not path.is_file() or not path.read_bytes().startswith(ZIP_START):
        return read_delimited(read_text(path, faults), faults)
    sheets = read_sheets(path, faults)
    for name, rows in sheets.items():
        quiet = Faults(str(path))
        if any({"ISO3", "Year"} <= {str(c) for c in row} for row in rows[:60]):
            at, header = find_header(rows, ["ISO3", "Year"], f"{path}, sheet {name!r}", quiet)
            body = [
                ["" if cell is None else str(cell).strip() for cell in row]
                for row in rows[at + 1 :]
            ]
            frame = pd.DataFrame(body, columns=header, dtype="str")
            frame.index = pd.RangeIndex(at + 2, at + 2 + len(frame))
            return frame[(frame != "").any(axis=1)]
    faults.add(
        f"the sheets {', '.join(map(repr, sheets))} without a header with ISO3 and Year",
        "a sheet of displacement data, such as '1_Displacement_data'",
    )
    faults.raise_if_any()
    raise AssertionError("unreachable: a fault was just added")
