"""Files of displacement to one tidy table, each figure once, nothing filled in."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from flowcast.displacement.catalogue import SOURCES, DisplacementSource
from flowcast.errors import Faults, require_word
from flowcast.sources.readers._common import LeftOut, to_alpha2
from flowcast.sources.readers._files import read_text
from flowcast.sources.readers._tables import (
    add_limited,
    choose_columns,
    parse_numbers,
    read_delimited,
    row_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "UNIT", "add_up", "read_displacement", "whole_years"]

UNIT: Final = ("place", "destination", "hazard")
"""What tells units apart; empty where a source does not have it."""
COLUMNS: Final = (*UNIT, "period", "count")
MISSING: Final = ("", "NA", "nan")


def read_displacement(source: str, path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read a file of displacement.

    Parameters
    ----------
    source
        A key of `flowcast.displacement.catalogue.SOURCES`: it says what is counted, and what a
        missing row means.
    path
        CSV, plain or gzip.

    Returns
    -------
    pandas.DataFrame
        `place` (that people leave, or are displaced within), `destination`, `hazard` (or reason,
        or route), `period` (start of the year, month or week) and `count`. Places are alpha-2
        codes, or names of areas within a country. Rows without a figure are left out, and counted
        in ``attrs["left_out"]`` with codes that are not one country. ``attrs["source"]`` is the
        source.

    Raises
    ------
    UsageError
        If there is no such source.
    InputError
        With every fault of the file.
    """
    require_word("source", source, SOURCES)
    told = SOURCES[source]
    faults, left = Faults(os.fspath(path)), LeftOut()
    table = read_delimited(read_text(Path(path), faults), faults)
    frame = choose_columns(table, faults, told.columns)
    counts = parse_numbers(frame["count"], faults, told.columns["count"][0], missing=MISSING)
    for row, value in counts[(counts < 0) | (counts % 1 > 0)].items():
        add_limited(
            faults, f"{value:g}", "whole numbers, 0 or more", row=row_of(row), column="count"
        )
    frame = frame.assign(count=counts, period=_periods(frame["period"], told, faults))
    faults.raise_if_any()
    frame = left.drop(frame, frame["count"].isna(), "no figure")
    frame = _with_places(frame, told, left)
    for name in UNIT:
        if name not in frame:
            frame[name] = ""
    _check_rows(frame, told, left, faults)
    frame = add_up(frame)
    frame.attrs.update(source=source, left_out=dict(left.counts))
    return frame


def _check_rows(
    frame: pd.DataFrame, told: DisplacementSource, left: LeftOut, faults: Faults
) -> None:
    """Refuse a figure that stands twice, and a file of which nothing is left."""
    if not told.parts:
        again = frame.duplicated([*UNIT, "period"])
        for row in frame.index[again]:
            add_limited(faults, "the same figure again", "each figure once", row=row_of(row))
    if frame.empty:
        reasons = "; ".join(f"{reason}: {n}" for reason, n in left.counts.items())
        faults.add(f"no row that can be used ({reasons})", "at least one figure of a place")
    faults.raise_if_any()


def _with_places(frame: pd.DataFrame, told: DisplacementSource, left: LeftOut) -> pd.DataFrame:
    """Return the rows whose places are known, those that were left counted."""
    frame = frame.rename(columns={"origin": "place"})
    for side in ("place", "destination"):
        if side not in frame or told.codes == "name":
            continue
        raw = frame[side]
        frame[side] = to_alpha2(raw, told.codes, told.special)
        frame = left.drop_codes(frame, side, raw)
    if "destination" in frame and told.codes != "name":
        same = frame["place"] == frame["destination"]
        frame = left.drop(frame, same, "origin and destination are the same place")
    return frame.copy()


def _periods(cells: pd.Series, told: DisplacementSource, faults: Faults) -> pd.Series:
    """Return the first day of each period; any other cell is a fault."""
    if told.period == "date":
        days = pd.to_datetime(cells, format="%Y-%m-%d", errors="coerce")
        allowed = "a date such as 2015-03-01"
    elif told.period == "week":
        number = pd.to_numeric(cells, errors="coerce")
        year, week = number // 100, number % 100
        good = year.between(1900, 2200) & week.between(0, 52)
        # Weeks of the source begin on 1 January: week 0 is that of the first days.
        days = pd.to_datetime(year.where(good).map(_text, na_action="ignore"), errors="coerce")
        days += pd.to_timedelta(week.where(good) * 7, unit="D")
        allowed = "a week such as 201601"
    else:
        years = pd.to_numeric(cells, errors="coerce")
        good = years.between(1900, 2200) & (years % 1 == 0)
        days = pd.to_datetime(years.where(good).map(_text, na_action="ignore"), errors="coerce")
        allowed = "a calendar year"
    for row, cell in cells[days.isna()].items():
        add_limited(faults, repr(cell), allowed, row=row_of(row), column=told.columns["period"][0])
    return days


def _text(year: float) -> str:
    return f"{year:.0f}-01-01"


def add_up(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a tidy table in which each unit has one row for each period."""
    keys = [*UNIT, "period"]
    return frame.groupby(keys, sort=True).agg({"count": "sum"}).reset_index()[list(COLUMNS)]


def whole_years(periods: pd.Series) -> "NDArray[np.int64]":
    """Return the calendar year in which each period begins."""
    return np.asarray(periods.dt.year, dtype=np.int64)
