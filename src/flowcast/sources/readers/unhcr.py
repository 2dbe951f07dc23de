"""UNHCR Refugee Data Finder: refugees, asylum-seekers, applications for asylum, arrivals.

The answer of its API (JSON), and its CSV, which begins with some lines of description. `coo` and
`coa` are codes of UNHCR's own, in which AUS is Austria; only the columns with ISO codes are read.
Editions before 2020 (popstats) have names and no codes. UNHCR shows counts of 1 to 4 as 5; that
is not undone.

Sources
-------
UNHCR, Refugee Statistics API, documentation of `population` and `asylum-applications`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pandas as pd

from flowcast.errors import Faults
from flowcast.sources.readers._common import (
    LeftOut,
    as_corridors,
    as_observations,
    as_year,
    to_alpha2,
)
from flowcast.sources.readers._files import read_json, read_text
from flowcast.sources.readers._names import name_to_alpha2
from flowcast.sources.readers._tables import (
    choose_columns,
    parse_numbers,
    parse_years,
    read_delimited,
    table_of_records,
)

__all__ = ["read_applications", "read_arrivals", "read_population"]

YEAR: Final = ("year", "Year")
ISO: Final = {
    "coo_iso": ("coo_iso", "Country of origin (ISO)", "Country of Origin (ISO)"),
    "coa_iso": ("coa_iso", "Country of asylum (ISO)", "Country of Asylum (ISO)"),
}
NAMES: Final = {
    "coo_iso": ("Origin",),
    "coa_iso": ("Country / territory of asylum/residence",),
}
STOCKS: Final = {
    "refugees": (
        "refugees",
        "Refugees under UNHCR's mandate",
        "Refugees under UNHCR mandate",
        "Refugees (incl. refugee-like situations)",
    ),
    "asylum_seekers": ("asylum_seekers", "Asylum-seekers", "Asylum-seekers (pending cases)"),
    "oip": ("oip", "Other people in need of international protection"),
}
ARRIVED: Final = ("refugees", "Refugees")
ARRIVALS: Final = "refugee_arrivals"
APPLIED: Final = ("applied", "Applications", "Applied during year")
KINDS: Final = {
    "kind": ("app_type", "Application type"),
    "unit": ("app_pc", "Cases / Persons"),
}
SPECIAL: Final[dict[str, str | None]] = {"-": "", "UNK": None, "XXA": None, "TIB": None}
"""A dash is all countries together: the question was not asked by country."""
MISSING: Final = ("", "-", "*", "nan", "None")
HEADER_WITHIN: Final = 40


def read_population(path: Path) -> pd.DataFrame:
    """Read refugees, asylum-seekers and others in need of international protection.

    Internally displaced persons, returnees and stateless persons are not taken: they are not
    abroad, or not by origin. Unknown origin and stateless persons are left out.

    Parameters
    ----------
    path
        JSON of the API; CSV of the Refugee Data Finder, or the zip archive in which it comes; a
        CSV of popstats (before 2020).

    Returns
    -------
    pandas.DataFrame
        Observations of `stock` (persons on 31 December) from the sources
        `unhcr_population_refugees`, `unhcr_population_asylum_seekers` and `unhcr_population_oip`;
        `criterion` is ``citizenship``.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = _read_table(path, faults)
    there = {k: names for k, names in STOCKS.items() if any(n in table.columns for n in names)}
    if not there:
        faults.add("no column of persons", " or ".join(repr(n[0]) for n in STOCKS.values()), row=1)
        faults.raise_if_any()
    frame = _choose(table, there, {}, left, faults)
    years = parse_years(frame["year"], faults, "year")
    parts = [
        frame.assign(
            source=f"unhcr_population_{name}",
            value=parse_numbers(frame[name], faults, name, missing=MISSING),
        )
        for name in there
    ]
    long = pd.concat(parts)
    year = pd.concat([years] * len(parts)).astype("str")
    columns = {
        "source": long["source"],
        "family": "administrative",
        "measure": "stock",
        **{name: long[name] for name in ("origin", "destination", "value")},
        "period_start": year + "-12-31",
        "period_end": (year.astype(int) + 1).astype("str") + "-01-01",
        "reporter": "other",
        "criterion": "citizenship",
    }
    return as_observations(columns, long.index, left, faults)


def read_applications(path: Path) -> pd.DataFrame:
    """Read new applications for asylum.

    Applications of all procedures and stages are added up. Appeals, repeated and reopened ones
    are left out, and those of unknown kind (all of 2000 and 2001); and so is a figure any part of
    which counts cases instead of persons.

    Parameters
    ----------
    path
        JSON of the API; CSV of the Refugee Data Finder, or the zip archive in which it comes; a
        CSV of popstats (before 2020).

    Returns
    -------
    pandas.DataFrame
        Observations of `asylum_applications`: persons per calendar year, criterion citizenship.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    table = _read_table(path, faults)
    frame = _choose(table, {"applied": APPLIED}, KINDS, left, faults)
    new = frame["kind"].str.startswith("N") | (frame["kind"] == "")
    frame = left.drop(frame, ~new, "not told to be a new application")
    pair = [frame[name] for name in ("origin", "destination", "year")]
    in_cases = frame["unit"].str.startswith("C").groupby(pair, dropna=False).transform("any")
    frame = left.drop(frame, in_cases, "counted in cases, not in persons")
    columns = {
        "source": "unhcr_asylum_applications",
        "family": "administrative",
        "measure": "asylum_applications",
        "origin": frame["origin"],
        "destination": frame["destination"],
        **as_year(parse_years(frame["year"], faults, "year")),
        "value": parse_numbers(frame["applied"], faults, "applied", missing=MISSING),
        "reporter": "other",
        "criterion": "citizenship",
    }
    return as_observations(columns, frame.index, left, faults, add_up=True)


def read_arrivals(path: Path) -> pd.DataFrame:
    """Read the refugees who were newly recognised or registered in a year.

    Parameters
    ----------
    path
        CSV of the flow data set, plain or gzip, with the columns `year`, `coo_iso`, `coa_iso` and
        `refugees`.

    Returns
    -------
    pandas.DataFrame
        Covariates of corridors: `origin`, `destination`, `year` and `refugee_arrivals` (persons per
        year). Totals and unknown origins are left out.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults, left = Faults(str(path)), LeftOut()
    frame = _choose(_read_table(path, faults), {ARRIVALS: ARRIVED}, {}, left, faults)
    total = (frame["origin"] == "") | (frame["destination"] == "")
    frame = left.drop(frame, total, "a total")
    same = frame["origin"] == frame["destination"]
    frame = left.drop(frame, same, "origin and destination are the same place")
    frame = frame.assign(
        year=parse_years(frame["year"], faults, "year"),
        **{ARRIVALS: parse_numbers(frame[ARRIVALS], faults, "refugees", missing=MISSING)},
    )
    return as_corridors(frame, {ARRIVALS: "persons per year"}, left, faults)


def _read_table(path: Path, faults: Faults) -> pd.DataFrame:
    """Return the table of a JSON answer or of a CSV, as text."""
    text = read_text(path, faults)
    if text.lstrip().startswith(("{", "[")):
        return _read_items(read_json(path, faults), faults)
    lines = text.splitlines()[:HEADER_WITHIN]
    header = [i for i, line in enumerate(lines) if line.lower().startswith(("year,", '"year"'))]
    if not header:
        faults.add("no header with the column Year", "a line that begins with Year", row=1)
        faults.raise_if_any()
    return _spread(read_delimited(text, faults, skip=header[0]))


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """Give each population type of a long table of popstats a column of its own."""
    if not {"Population type", "Value"} <= set(table.columns):
        return table
    kind, value = table["Population type"], table["Value"]
    known = {name for names in STOCKS.values() for name in names}
    columns = {str(name): value.where(kind == name, "") for name in kind.unique() if name in known}
    return table.assign(**columns)


def _read_items(parsed: object, faults: Faults) -> pd.DataFrame:
    """Return the items of an answer; the index is their number, from 1."""
    body: Mapping[str, object] = parsed if isinstance(parsed, dict) else {}
    table = table_of_records(body.get("items"), faults, "items")
    pages = body.get("maxPages", 1)
    if isinstance(pages, int) and pages > 1:
        faults.add(
            f"page {body.get('page', 1)} of {pages}",
            "the whole answer (ask with a higher limit)",
            column="maxPages",
        )
    faults.raise_if_any()
    return table


def _choose(
    table: pd.DataFrame,
    figures: Mapping[str, tuple[str, ...]],
    optional: Mapping[str, tuple[str, ...]],
    left: LeftOut,
    faults: Faults,
) -> pd.DataFrame:
    """Return `year`, `origin`, `destination` and the figures; by names in old editions."""
    # Not even as a suggestion: in UNHCR's own codes AUS is Austria.
    table = table.drop(columns=["coo", "coa"], errors="ignore")
    named = all(any(n in table.columns for n in names) for names in NAMES.values())
    places = NAMES if named else ISO
    frame = choose_columns(table, faults, {"year": YEAR, **places, **figures}, optional)
    for side, column in (("origin", "coo_iso"), ("destination", "coa_iso")):
        if named:
            known = {name: name_to_alpha2(name) for name in frame[column].unique()}
            frame[side] = frame[column].map(known).astype("str")
        else:
            frame[side] = to_alpha2(frame[column], "alpha3", SPECIAL)
        frame = left.drop_codes(frame, side, frame[column])
    both = (frame["origin"] == "") & (frame["destination"] == "")
    return left.drop(frame, both, "the world as a whole")
