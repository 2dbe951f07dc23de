"""OECD, International Migration Database: inflows, outflows, asylum seekers and stocks.

SDMX-CSV of the OECD Data Explorer (dataflows `DF_MIG` and, for the foreign-born, `DF_MIG_POPF`),
and the CSV of OECD.Stat before 2024. Each country reports by its own definition, which the files
do not tell: the minimum stay is left open.

Sources
-------
OECD, International Migration Database, metadata; OECD Data Explorer, API documentation, CSV
formats.
"""

from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_observations, as_year, to_alpha2
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
)

__all__ = ["read_migration"]

NEEDED: Final = {
    "geo": ("REF_AREA", "COU"),
    "variable": ("MEASURE", "VAR"),
    "partner": ("CITIZENSHIP", "BIRTH_COUNTRY", "CO2"),
    "sex": ("SEX", "GEN"),
    "time": ("TIME_PERIOD", "YEA"),
    "value": ("OBS_VALUE", "Value"),
}
OPTIONAL: Final = {
    "birth": ("BIRTH_PLACE",),
    "education": ("EDUCATION_LEV",),
    "flag": ("OBS_STATUS", "Flag Codes"),
}
VARIABLES: Final = {
    "B11": ("flow", "immigration", "destination", "citizenship"),
    "B12": ("flow", "emigration", "origin", "citizenship"),
    "B13": ("asylum_applications", "asylum_applications", "destination", "citizenship"),
    "B14": ("stock", "stock", "destination", "birth"),
    "B15": ("stock", "stock", "destination", "citizenship"),
}
"""Measure by partner, measure of the total, reporter, and criterion of each variable."""
ALL: Final = ("_T", "TOT", "W", "WLD")
NOT_MEANT: Final = ("_Z", "")
"""A dimension that does not apply to the variable, or that the edition did not have."""
SPECIAL: Final[dict[str, str | None]] = {
    **dict.fromkeys(ALL, ""),
    "ANT_F": "AN",
    "SUN_F": "SU",
    "YUG_F": "YU",
    # Both are CS in ISO 3166 alpha-2, and a stock's year does not tell them apart.
    "CSK_F": None,
    "SCG_F": None,
}
SEXES: Final = {
    "_T": "",
    "TOT": "",
    "T": "",
    "_Z": "",
    "": "",
    "M": "male",
    "F": "female",
    "WMN": "female",
    "MEN": "male",
}


def read_migration(path: Path) -> pd.DataFrame:
    """Read inflows, outflows, asylum seekers and stocks of the database.

    Variables other than B11 to B15 (naturalisations, labour force) are left out, and so are
    parts by education or birthplace, and groups of countries.

    Parameters
    ----------
    path
        The CSV, plain or gzip.

    Returns
    -------
    pandas.DataFrame
        Observations: flows in persons per calendar year; a stock's day in the year is not told,
        and its period is the year.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = read_delimited(read_text(path, faults), faults)
    frame = choose_columns(table, faults, NEEDED, OPTIONAL)
    bare = (frame["time"] == "") & (frame["value"] == "")
    frame = left.drop(frame, bare, "a row of attributes, without a figure")
    other = ~frame["variable"].isin(list(VARIABLES))
    frame = left.drop(frame, other, "a variable other than B11 to B15")
    parts = ~frame["education"].isin([*ALL, *NOT_MEANT])
    frame = left.drop(frame, parts, "a part by education")
    frame = left.drop(frame, ~frame["sex"].isin(list(SEXES)), "sex unknown")
    detailed = ~frame["birth"].isin([*ALL, *NOT_MEANT])
    frame = left.drop(frame, detailed, "a part by birthplace")
    frame = frame.assign(
        place=to_alpha2(frame["geo"], "alpha3"),
        other=to_alpha2(frame["partner"], "alpha3", SPECIAL),
    )
    frame = left.drop_codes(frame, "place", frame["geo"].rename("REF_AREA"))
    frame = left.drop_codes(frame, "other", frame["partner"])
    about = {
        name: [VARIABLES[v][i] for v in frame["variable"]]
        for i, name in enumerate(("measure", "total", "reporter", "criterion"))
    }
    frame = frame.assign(**about)
    inward = frame["reporter"] == "destination"
    columns = {
        "source": "oecd_imd",
        "family": "administrative",
        "measure": frame["measure"].where(frame["other"] != "", frame["total"]),
        "origin": frame["other"].where(inward, frame["place"]),
        "destination": frame["place"].where(inward, frame["other"]),
        **as_year(parse_years(frame["time"], faults, "time")),
        "value": parse_numbers(frame["value"], faults, "value", missing=("", "..")),
        "sex": frame["sex"].map(SEXES).astype("str"),
        **{name: frame[name] for name in ("reporter", "criterion", "flag")},
    }
    return as_observations(columns, frame.index, left, faults)
