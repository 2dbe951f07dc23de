"""Rows of the contract on the model's cells: stocks by year, figures of a part of a year."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.places import is_grouping
from flowcast.vocabulary import Period, Quantity

__all__ = [
    "LONGER",
    "WHOLE_YEAR",
    "as_cells",
    "calendar_years",
    "middles_of_years",
    "parts_of_year",
    "spans",
]

SPAN: Final = "span"
"""Column with the years that a report covers, where this is not the length of its period."""
WHOLE_YEAR: Final = 0.98
"""A report of so much of a year or more is one of the year."""
LONGER: Final = 1.5
"""A report of more years than this is one of several years."""
_TIE: Final = pd.Timedelta(days=2)
"""From one July to another, five years on, the middle is New Year: leap days must not decide."""
_SUMMED: Final = ("value", "sample_size", "censored_below", SPAN)
_KEY: Final = (
    "source", "family", "measure", "origin", "destination", "period_start", "period_end",
    "reporter", "duration_months", "undercount_class", "accuracy_class", "criterion", "age", "sex",
)  # fmt: skip


def spans(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return how many years each report covers, (row,)."""
    days = (table["period_end"] - table["period_start"]).dt.days.to_numpy(float)
    length = (days / 365.25).round(2)
    if SPAN not in table:
        return np.asarray(length)
    own = table[SPAN].to_numpy(float)
    return np.where(np.isnan(own), length, own)


def parts_of_year(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows cover a part of their calendar year, (row,)."""
    if SPAN not in table:
        return np.zeros(len(table), dtype=bool)
    return np.asarray((table[SPAN] < WHOLE_YEAR).to_numpy())


def middles_of_years(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows cover several years and stand for the one in their middle, (row,)."""
    if SPAN not in table:
        return np.zeros(len(table), dtype=bool)
    return np.asarray((table[SPAN] > LONGER).to_numpy() & calendar_years(table))


def calendar_years(table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows have a calendar year as their period, (row,)."""
    start, end = table["period_start"], table["period_end"]
    first = (start.dt.day_of_year == 1) & (end.dt.day_of_year == 1)
    return np.asarray((first & (end.dt.year == start.dt.year + 1)).to_numpy())


def as_cells(
    table: pd.DataFrame,
    quantity: Quantity,
    period: Period = "shortest",
    *,
    add_up: bool = True,
) -> pd.DataFrame:
    """Return the table with what the model's cells are under the measure ``flow``.

    Parameters
    ----------
    table
        Observation table.
    quantity
        Stocks are dated by the year in which their period begins: whoever counts on another day of
        it is off by less than the counts themselves are.
    period
        With ``year``, a figure of a part of a calendar year becomes a report of that year, with the
        years it covers in the column `span`. With ``middle_year`` also a flow between two places
        over several years does, of the year that contains the middle of its period.
    add_up
        Whether the parts of one year that one source reports are added up to one report; it keeps
        the label of the first. An index is averaged instead.

    Returns
    -------
    pandas.DataFrame
        Labels of rows are kept, so that they lead back to the table.
    """
    if quantity == "stock":
        stock = table["measure"] == "stock"
        dated = table.assign(measure=table["measure"].where(~stock, "flow"))
        return _by_year(dated, np.ones(len(table), dtype=bool))
    if period == "shortest":
        return table
    if period == "middle_year":
        table = _in_the_middle(table)
    last = table["period_end"] - pd.Timedelta(days=1)
    one_year = (table["period_start"].dt.year == last.dt.year).to_numpy()
    days = (table["period_end"] - table["period_start"]).dt.days.to_numpy(float)
    share = days / np.where(table["period_start"].dt.is_leap_year, 366.0, 365.0)
    part = one_year & (share < WHOLE_YEAR)
    if not part.any():
        return table
    span = table.get(SPAN, np.nan)
    dated = _by_year(table.assign(**{SPAN: np.where(part, share, span)}), part)
    return _add_up(dated, part) if add_up else dated


def _in_the_middle(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with flows over several years at the year in their middle."""
    length = spans(table)
    pair = table["origin"].notna() & table["destination"].notna()
    for side in ("origin", "destination"):
        groups = [code for code in table[side].dropna().unique() if is_grouping(str(code))]
        pair &= ~table[side].isin(groups)
    long = ((table["measure"] == "flow") & pair).to_numpy() & (length > LONGER)
    if not long.any():
        return table
    middle = table["period_start"] + (table["period_end"] - table["period_start"]) / 2 + _TIE
    moved = table.assign(
        period_start=table["period_start"].where(~long, middle.dt.normalize()),
        **{SPAN: np.where(long, length, np.nan)},
    )
    return _by_year(moved, long)


def _by_year(table: pd.DataFrame, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the table with the calendar year as period of some rows."""
    year = table["period_start"].dt.year
    unit = table["period_start"].dtype
    out = {}
    for name, later in (("period_start", 0), ("period_end", 1)):
        parts = pd.DataFrame({"year": year + later, "month": 1, "day": 1})
        out[name] = table[name].where(~rows, pd.to_datetime(parts).astype(unit))
    return table.assign(**out)


def _add_up(table: pd.DataFrame, part: NDArray[np.bool_]) -> pd.DataFrame:
    """Return the table with the parts of a year by one source as one row."""
    parts = table[part]
    group = parts.groupby(list(_KEY), dropna=False, sort=False)
    first = ~parts.duplicated(list(_KEY))
    number = group.ngroup()
    sums = {name: group[name].sum(min_count=1) for name in _SUMMED}
    size = group.size().to_numpy()
    square = (parts["standard_error"] ** 2).groupby(number).sum(min_count=1).to_numpy()
    whole = (parts["standard_error"].notna()).groupby(number).all().to_numpy()
    floored = (parts["censored_below"].notna()).groupby(number).all().to_numpy()
    merged = parts[first].copy()
    for name, values in sums.items():
        merged[name] = values.to_numpy()
    merged["standard_error"] = np.where(whole, np.sqrt(square), np.nan)
    merged["censored_below"] = np.where(floored, merged["censored_below"], np.nan)
    index = (merged["measure"] == "index").to_numpy()
    for name in ("value", "censored_below"):
        merged.loc[index, name] = (merged[name] / size)[index]
    merged.loc[index, SPAN] = 1.0
    return pd.concat([table[~part], merged]).sort_index()
