"""IOM: displaced persons of the Displacement Tracking Matrix, and the Missing Migrants Project.

DTM's operations in one country overlap, so each is a source of its own, and their figures are
never added up; causes within one round are. Missing Migrants counts incidents, which become deaths
and missing persons per country and year: a covariate of places, not a flow.

Sources
-------
IOM, DTM API, country level data on internally displaced persons (versions 2 and 3); IOM, Missing
Migrants Project, data dictionary of the downloadable CSV.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import LeftOut, as_covariates, as_observations, to_alpha2
from flowcast.sources.readers._files import read_json, read_text
from flowcast.sources.readers._names import name_to_alpha2
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
    table_of_records,
)

__all__ = ["read_displacement", "read_missing_migrants"]

DTM: Final = {
    "operation": ("operation",),
    "place": ("admin0Pcode",),
    "persons": ("numPresentIdpInd",),
    "date": ("reportingDate",),
    "round": ("roundNumber",),
}
DTM_OPTIONAL: Final = {"reason": ("displacementReason",)}
DAY: Final = re.compile(r"(\d{4}-\d{2}-\d{2})(T.*)?")
DEATHS: Final = {
    "year": ("Incident Year", "Incident year", "Reported Year"),
    "deaths": ("Total Number of Dead and Missing", "Total Dead and Missing"),
}
COUNTRIES: Final = {
    "incident": ("Country of Incident",),
    "origin": ("Country of Origin", "Country of origin"),
}
MISSING: Final = ("", "None", "nan")


def read_displacement(path: Path) -> pd.DataFrame:
    """Read persons displaced within a country, as the DTM API tells them (admin level 0).

    Of several rounds of an operation with one date, the last counts; the others are left out.

    Parameters
    ----------
    path
        The JSON answer of version 2 or 3, plain or gzip.

    Returns
    -------
    pandas.DataFrame
        Observations of `stock`: persons present on the reporting date. The country is the origin,
        the destination is empty; the source is ``iom_dtm_`` and the operation's name; causes are
        in `flag`.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = _read_result(read_json(path, faults), faults)
    frame = choose_columns(table, faults, DTM, DTM_OPTIONAL)
    days = frame["date"].str.extract(DAY)[0].astype("str")
    dates = pd.to_datetime(days, format="%Y-%m-%d", errors="coerce")
    for row, cell in frame.loc[dates.isna(), "date"].items():
        faults.add(
            repr(cell), "a date, 2024-05-31T00:00:00", row=int(str(row)), column="reportingDate"
        )
    frame["persons"] = parse_numbers(frame["persons"], faults, "numPresentIdpInd", missing=MISSING)
    frame["round"] = parse_numbers(frame["round"], faults, "roundNumber", missing=MISSING)
    frame = frame.assign(origin=to_alpha2(frame["place"], "alpha3"), day=dates)
    frame = left.drop_codes(frame, "origin", frame["place"].rename("admin0Pcode"))
    last = frame.groupby(["operation", "origin", "day"], dropna=False)["round"].transform("max")
    frame = left.drop(frame, frame["round"] < last, "an earlier round with the same date")
    columns = {
        "source": "iom_dtm_" + frame["operation"].map(_slug),
        "family": "survey",
        "measure": "stock",
        "origin": frame["origin"],
        "destination": "",
        "period_start": frame["day"].dt.strftime("%Y-%m-%d"),
        "period_end": (frame["day"] + pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d"),
        "value": frame["persons"],
        "reporter": "other",
        "flag": frame["reason"],
    }
    return as_observations(columns, frame.index, left, faults, add_up=True)


def _read_result(parsed: object, faults: Faults) -> pd.DataFrame:
    """Return the rows of an answer as text; the index is their number, from 1."""
    body: Mapping[str, object] = parsed if isinstance(parsed, dict) else {}
    if body.get("isSuccess") is False:
        faults.add(f"an answer without success ({body.get('errorMessages')})", "a list of figures")
        faults.raise_if_any()
    return table_of_records(body.get("result"), faults, "result")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "unnamed"


def read_missing_migrants(
    path: Path, *, by: Literal["incident", "origin"] = "incident"
) -> pd.DataFrame:
    """Read dead and missing migrants per country and year.

    Parameters
    ----------
    path
        The CSV of incidents, plain or gzip.
    by
        Whether a country is that of the incident, or that from which the migrants came. Editions
        before 2022 tell only the second. Incidents with an unknown country, or several, are left
        out.

    Returns
    -------
    pandas.DataFrame
        Covariates: `place`, `year`, `dead_and_missing` (persons a year).

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = read_delimited(read_text(path, faults), faults)
    frame = choose_columns(table, faults, {**DEATHS, "country": COUNTRIES[by]})
    frame["year"] = parse_years(frame["year"], faults, "year")
    deaths = parse_numbers(frame["deaths"], faults, "dead and missing", missing=MISSING)
    frame["place"] = (
        frame["country"]
        .map({name: name_to_alpha2(name) for name in frame["country"].unique()})
        .astype("str")
    )
    frame = left.drop_codes(frame.assign(dead_and_missing=deaths), "place", frame["country"])
    faults.raise_if_any()
    frame = left.drop(frame, frame["dead_and_missing"].isna(), "no value")
    counted = frame[["place", "year", "dead_and_missing"]]
    total = counted.groupby(["place", "year"]).sum().reset_index()
    return as_covariates(total, {"dead_and_missing": "persons per year"}, left, faults)
