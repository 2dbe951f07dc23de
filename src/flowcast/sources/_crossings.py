"""A record of crossings as a table, checked; messages name row and column, and never a cell."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import pandas as pd

from flowcast._tabular import RawTable, raw_from_frame, read_raw
from flowcast.errors import Fault, Faults, InputError
from flowcast.sources.readers._names import place_to_alpha2
from flowcast.sources.readers._tables import add_limited, choose_columns

__all__ = ["COLUMNS", "By", "read_record"]

By = Literal["residence", "nationality"]

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "person": ("person", "person_id", "pseudonym", "traveller", "traveller_id", "traveler_id"),
    "direction": ("direction", "movement", "movement_type", "crossing_type", "entry_exit"),
    "time": ("time", "date_time", "datetime", "crossing_time", "movement_time", "timestamp"),
    "nationality": ("nationality", "nationality_code", "citizenship", "country_of_citizenship"),
    "residence": ("residence", "country_of_residence", "residence_country", "usual_residence"),
    "partner": ("partner", "partner_country", "country_from_to"),
    "coming_from": ("coming_from", "country_of_departure", "departure_country", "arriving_from"),
    "going_to": ("going_to", "country_of_destination", "destination_country", "departing_to"),
}
"""The columns of a record, and how each is spelt; capitals, spaces and hyphens do not matter."""

ENTRY: Final = ("entry", "enter", "in", "arrival", "arrive")
EXIT: Final = ("exit", "leave", "out", "departure", "depart")
NOWHERE: Final = ("", "xxa", "xxb", "xxc", "xxx", "zzz", "unknown", "stateless", "refugee", "other")
"""Marks of travel documents and systems for no country, or none that is known."""
PASSPORTS: Final = {"d": "DE", **dict.fromkeys(("gbd", "gbn", "gbo", "gbp", "gbs"), "GB")}
"""Codes of travel documents (ICAO 9303) that ISO 3166 does not have."""
MOMENT: Final = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?")
YEARS: Final = (1900, 2200)
SIDE: Final[Mapping[By, str]] = {"residence": "partner", "nationality": "nationality"}
"""The column that tells the other side, of emigrants or of all."""
NAMED: Final = re.compile(r"column '.*'")


def read_record(
    source: str | os.PathLike[str] | pd.DataFrame,
    by: By,
    start: pd.Timestamp | None,
    end: pd.Timestamp | None,
) -> pd.DataFrame:
    """Read a record of crossings.

    Parameters
    ----------
    source
        A file or a frame with the columns of `COLUMNS`.
    by
        Whether the partner is a residence or the nationality.
    start, end
        Half-open span in which times must lie, as far as it is given.

    Returns
    -------
    pandas.DataFrame
        `person` (a number), `entry` (or exit), `time`, `residence` and `partner` (alpha-2; empty
        where it is not known).

    Raises
    ------
    InputError
        With every fault of the record, by row and column, and without the cell.
    """
    faults = Faults("crossings" if isinstance(source, pd.DataFrame) else os.fspath(source))
    try:
        if isinstance(source, pd.DataFrame):
            raw = raw_from_frame(source, faults, sha256="")
        else:
            raw = read_raw(Path(source), faults)
        table = _choose(raw, by, faults)
    except InputError as error:
        # Where the header is missing, the first person's cells stand in its place.
        raise InputError(_without_names(fault) for fault in error.faults) from None
    empty = table["person"] == ""
    _refuse(empty, "person", "an empty cell", "a pseudonym", faults)
    words = table["direction"].str.casefold()
    entry = words.isin(ENTRY)
    _refuse(~entry & ~words.isin(EXIT), "direction", "no direction", "entry or exit", faults)
    time = _times(table["time"], start, end, faults)
    residence = _places(table["residence"], "residence", faults)
    partner = _places(table[SIDE[by]], SIDE[by], faults)
    faults.raise_if_any()
    return pd.DataFrame(
        {
            "person": pd.factorize(table["person"])[0],
            "entry": entry,
            "time": time,
            "residence": residence,
            "partner": partner if by == "nationality" else residence.where(entry, partner),
        }
    )


def _choose(raw: RawTable, by: By, faults: Faults) -> pd.DataFrame:
    """Return the columns that are used, as text; the index is the row of the file."""
    frame = raw.frame.set_axis(pd.Index(raw.rows), axis=0)
    frame.columns = [re.sub(r"[\W_]+", "_", str(name)).strip("_").lower() for name in frame]
    needed = {name: COLUMNS[name] for name in ("person", "direction", "time", "residence")}
    known = {**COLUMNS, "partner": (*COLUMNS["partner"], *COLUMNS["going_to"])}
    needed[SIDE[by]] = known[SIDE[by]]
    table = choose_columns(frame, faults, needed)
    if table.empty:
        faults.add("a record without rows", "at least one crossing")
        faults.raise_if_any()
    return pd.DataFrame({name: _as_text(table[name]) for name in table}, index=table.index)


def _as_text(cells: pd.Series) -> pd.Series:
    """Return cells as text; typed times and their zones become local time."""
    if pd.api.types.is_datetime64_any_dtype(cells):
        cells = cells.dt.tz_localize(None).dt.strftime("%Y-%m-%d %H:%M:%S.%f")
    return cells.astype("str").fillna("")


def _times(
    cells: pd.Series, start: pd.Timestamp | None, end: pd.Timestamp | None, faults: Faults
) -> pd.Series:
    """Return the times; other cells, and times outside the record, are faults."""
    written = cells.str.fullmatch(MOMENT)
    times = pd.to_datetime(cells.where(written), format="ISO8601", errors="coerce")
    good = times.dt.year.between(*YEARS)
    _refuse(~good, "time", "no date and time", "YYYY-MM-DD HH:MM", faults)
    outside = pd.Series(False, index=cells.index)
    outside |= times < start if start is not None else False
    outside |= times >= end if end is not None else False
    allowed = "a time from start on and before end"
    _refuse(good & outside, "time", "a time outside the record", allowed, faults)
    return times


def _places(cells: pd.Series, name: str, faults: Faults) -> pd.Series:
    """Return alpha-2 codes, empty where no country is told; anything else is a fault."""
    special = {**dict.fromkeys(NOWHERE, ""), **PASSPORTS}
    distinct = pd.Series(cells.unique(), dtype="str")
    codes = dict(zip(distinct, place_to_alpha2(distinct, special), strict=True))
    places = cells.map(codes).astype("str")
    allowed = "an ISO 3166 code or a name of a country, or nothing"
    _refuse(places.isna(), name, "no country", allowed, faults)
    return places


def _refuse(mask: pd.Series, column: str, found: str, allowed: str, faults: Faults) -> None:
    """Tell rows and column, and never what stands there: it may tell who it was."""
    # More rows than are told would only cost time.
    for row in mask.index[mask.to_numpy()][:50]:
        add_limited(faults, found, allowed, row=int(row), column=column)


def _without_names(fault: Fault) -> Fault:
    """Return the fault without the names of columns that the record has."""
    if fault.row is None:
        return fault
    return replace(fault, found=NAMED.sub("a column's name", fault.found), hint="")
