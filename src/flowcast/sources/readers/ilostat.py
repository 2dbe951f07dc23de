"""ILOSTAT, inflow of foreign citizens by sex and country of citizenship (`MFL_NCIT_SEX_CCT_NB`).

Thousands of persons per year, by national definitions; a row is about one citizenship. One country
may be told by several sources (a register, a census), and each of them is a source of its own.

Sources
-------
ILO, ILOSTAT, bulk download facility: CSV of codes, one file per indicator, and its dictionaries.
"""

import re
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
    "ref_area": ("ref_area",),
    "provider": ("source",),
    "indicator": ("indicator",),
    "sex": ("sex",),
    "citizenship": ("classif1",),
    "time": ("time",),
    "value": ("obs_value",),
}
OPTIONAL: Final = {"part": ("classif2",), "flag": ("obs_status",)}
INDICATOR: Final = "MFL_NCIT_SEX_CCT_NB"
"""With or without the letter of the frequency, as editions differ."""
THOUSAND: Final = 1000.0
SEXES: Final = {"SEX_T": "", "SEX_M": "male", "SEX_F": "female"}
TOTAL: Final = "TOTAL"
CITIZENSHIP: Final = re.compile(r"CCT_(?:.*_)?([A-Z0-9]+)")
"""What comes last is the code of a country, or says that it is the total."""


def read_migration(path: Path) -> pd.DataFrame:
    """Read the foreign citizens who arrived, by citizenship.

    Parameters
    ----------
    path
        The CSV of codes, plain or gzip. Editions with a column `collection` are read as well.

    Returns
    -------
    pandas.DataFrame
        Observations of `flow` (of the total: `immigration`), criterion `citizenship`: persons per
        calendar year. The source is ``ilostat_migration_`` and ILOSTAT's code of the source. The
        minimum stay is not told, and left open.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = read_delimited(read_text(path, faults), faults)
    frame = _about_all(choose_columns(table, faults, NEEDED, OPTIONAL), left)
    codes = frame["citizenship"].str.extract(CITIZENSHIP)[0].fillna("").astype("str")
    frame = frame.assign(
        origin=to_alpha2(codes, "alpha3", {TOTAL: "", "": None}),
        destination=to_alpha2(frame["ref_area"], "alpha3"),
    )
    frame = left.drop_codes(frame, "destination", frame["ref_area"])
    frame = left.drop_codes(frame, "origin", frame["citizenship"].rename("classif1"))
    columns = {
        "source": "ilostat_migration_" + frame["provider"].map(_slug),
        "family": "administrative",
        "measure": (frame["origin"] == "").map({True: "immigration", False: "flow"}),
        "origin": frame["origin"],
        "destination": frame["destination"],
        **as_year(parse_years(frame["time"], faults, "time")),
        "value": (parse_numbers(frame["value"], faults, "obs_value") * THOUSAND).round(6),
        "reporter": "destination",
        "criterion": "citizenship",
        "sex": frame["sex"].map(SEXES).astype("str"),
        "flag": frame["flag"],
    }
    return as_observations(columns, frame.index, left, faults)


def _about_all(frame: pd.DataFrame, left: LeftOut) -> pd.DataFrame:
    """Return the rows of the indicator that are no parts of another one."""
    other = ~frame["indicator"].str.fullmatch(f"{INDICATOR}(_A)?")
    frame = left.drop(frame, other, f"an indicator other than {INDICATOR}")
    whole = (frame["part"] == "") | frame["part"].str.endswith(f"_{TOTAL}")
    frame = left.drop(frame, ~whole, "a part by a second class")
    return left.drop(frame, ~frame["sex"].isin(list(SEXES)), "sex unknown")


def _slug(code: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", code.lower()).strip("_") or "unnamed"
