"""Indices of states by country and year: fragility (Fund for Peace), democracy (V-Dem).

They are drivers for scenarios and no reports of flows. The Fragile States Index comes as a workbook
for each year, with names of countries; V-Dem as a CSV with more than a thousand columns, of which
those asked for are taken.

Sources
-------
The Fund for Peace, Fragile States Index, methodology; V-Dem Institute, V-Dem Codebook.
"""

from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_covariates
from flowcast.sources.readers._files import ZIP_START, find_header, read_sheets, read_text
from flowcast.sources.readers._names import place_to_alpha2
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
)

__all__ = ["read_fragility", "read_vdem"]

FRAGILITY: Final = {
    "country": ("Country", "geo"),
    "year": ("Year", "t"),
    "fsi_total": ("Total", "total"),
}
VDEM: Final = {"country": ("country_text_id", "iso3"), "year": ("year",)}
PARTS: Final[dict[str, str | None]] = {"psg": None, "zzb": None, "sml": None}
"""Gaza, Zanzibar and Somaliland, which V-Dem codes beside the countries they belong to."""


def read_fragility(path: Path) -> pd.DataFrame:
    """Read the total of the Fragile States Index.

    Parameters
    ----------
    path
        The workbook of a year (first sheet), or a CSV with the columns `Country`, `Year` and
        `Total`, plain or gzip. Rows that repeat a total, one for each of its parts, count once.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, `fsi_total` (0 to 120, 120 the most fragile).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    frame = choose_columns(_read_table(path, faults), faults, FRAGILITY)
    frame = frame.assign(year=frame["year"].str.slice(0, 4)).drop_duplicates()
    frame = frame.assign(place=place_to_alpha2(frame["country"]))
    frame = left.drop_codes(frame, "place", frame["country"])
    frame["year"] = parse_years(frame["year"], faults, "year")
    frame["fsi_total"] = parse_numbers(frame["fsi_total"], faults, "Total")
    return as_covariates(frame, {"fsi_total": "score, 0 to 120"}, left, faults)


def read_vdem(path: Path, *, columns: str = "v2x_polyarchy") -> pd.DataFrame:
    """Read indices of the country-year file of V-Dem.

    Parameters
    ----------
    path
        The CSV, plain, gzip or alone in a zip archive.
    columns
        Names of the indices, separated by commas.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year` and the indices. Historical states, and parts of a country that
        V-Dem codes by themselves, are left out.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    names = [name.strip() for name in columns.split(",") if name.strip()]
    table = read_delimited(read_text(path, faults), faults)
    frame = choose_columns(table, faults, {**VDEM, **{name: (name,) for name in names}})
    frame = frame.assign(place=place_to_alpha2(frame["country"], PARTS))
    frame = left.drop_codes(frame, "place", frame["country"])
    frame["year"] = parse_years(frame["year"], faults, "year")
    for name in names:
        frame[name] = parse_numbers(frame[name], faults, name, missing=("", "NA"))
    return as_covariates(frame, dict.fromkeys(names, "0 to 1"), left, faults)


def _read_table(path: Path, faults: Faults) -> pd.DataFrame:
    """Return the table as text, of a CSV or of the first sheet of a workbook."""
    if not path.is_file() or not path.read_bytes().startswith(ZIP_START):
        return read_delimited(read_text(path, faults), faults)
    name, rows = next(iter(read_sheets(path, faults).items()))
    needed = [spellings[0] for spellings in FRAGILITY.values()]
    at, header = find_header(rows, needed, f"{path}, sheet {name!r}", faults)
    cells = [["" if c is None else str(c).strip() for c in row] for row in rows[at + 1 :]]
    frame = pd.DataFrame(cells, columns=header, dtype="str")
    frame.index = pd.RangeIndex(at + 2, at + 2 + len(frame))
    return frame[(frame != "").any(axis=1)]
