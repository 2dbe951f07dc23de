"""Published figures made fit for an account: events between two dates, residents of unknown birth.

Vital events are published by calendar year and stocks in the middle of one; stock tables often lack
those whose birthplace nobody knows, who are residents all the same.
"""

from typing import Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from flowcast.accounting._accounts import BIRTHPLACE, PLACE, RESIDENCE
from flowcast.errors import Faults, UsageError, require_word

__all__ = ["events_between", "share_unknown"]

YEAR = "year"
Among = Literal["told", "untold"]


def events_between(annual: xr.DataArray, start: str, end: str) -> xr.DataArray:
    """Add up events of calendar years between two dates.

    The events of a year are taken to be spread evenly over it, so that from 1 July to 1 July half
    of the first year and half of the last one count.

    Parameters
    ----------
    annual
        Persons a calendar year; dims (place, year), any others too.
    start, end
        ISO dates; the end is not included.

    Returns
    -------
    xarray.DataArray
        Persons in the period, without the dim `year`.

    Raises
    ------
    UsageError
        If the dates do not follow one another, or a year is missing.

    Examples
    --------
    >>> coords = {"place": ["A"], "year": [2019, 2020, 2021]}
    >>> births = xr.DataArray([[10.0, 20.0, 40.0]], coords=coords)
    >>> float(events_between(births, "2019-07-01", "2021-07-01").sel(place="A"))
    45.0
    """
    first, last = (_position(pd.Timestamp(date)) for date in (start, end))
    if not first < last:
        raise UsageError(f"(dates) | found {start} to {end}; allowed: a later end")
    years = np.arange(int(first), int(np.ceil(last)))
    known = set(annual[YEAR].values.tolist())
    missing = [str(year) for year in years if year not in known]
    if missing:
        told = ", ".join(missing)
        raise UsageError(
            f"(year) | found none for {told}; allowed: every year from {start} to {end}"
        )
    share = np.minimum(years + 1, last) - np.maximum(years, first)
    weight = xr.DataArray(share, coords={YEAR: years})
    return (annual.sel({YEAR: years}) * weight).sum(YEAR)


def _position(date: pd.Timestamp) -> float:
    """Return the date in years; months count alike, so that 1 July is the middle."""
    return date.year + (date.month - 1) / 12.0 + (date.day - 1) / date.days_in_month / 12.0


def share_unknown(
    stock: xr.DataArray,
    population: xr.DataArray,
    *,
    among: Among = "told",
    like: xr.DataArray | None = None,
    most: float = 1.0,
) -> xr.DataArray:
    """Bring the residents of each place up to its population by those whose birthplace is not told.

    Two kinds of people are not told. Some gave no birthplace: they are shared out as the
    foreign-born are whose birthplace is known (``"told"``). Others are counted under "others" by an
    office that tells its largest groups only: they were born where the table has a zero
    (``"untold"``), and are shared out among these birthplaces as `like` says.

    Parameters
    ----------
    stock
        Persons, native-born included; dims (birthplace, residence).
    population
        Persons; dim (place). Where it is less than the table has, or missing, the table stays.
    among
        Birthplaces that get them: ``"told"`` or ``"untold"``.
    like
        What people are shared out by among those untold; dims (birthplace, residence). By default
        people born there who live abroad, wherever the table tells them.
    most
        Times that known foreign-born may grow where they get them: where nearly all are unknown,
        the few known are no guide, and the rest counts as native-born.

    Returns
    -------
    xarray.DataArray
        As `stock`. Who finds no birthplace is native-born.

    Raises
    ------
    InputError
        If a place has no population.
    UsageError
        If `among` is another word.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B", "C"], "residence": ["A", "B", "C"]}
    >>> table = [[90.0, 10.0, 0.0], [5.0, 50.0, 0.0], [0.0, 5.0, 9.0]]
    >>> stock = xr.DataArray(table, coords=places)
    >>> people = xr.DataArray([98.0, 65.0, 12.0], coords={"place": ["A", "B", "C"]})
    >>> share_unknown(stock, people).values.tolist()
    [[90.0, 10.0, 0.0], [8.0, 50.0, 0.0], [0.0, 5.0, 12.0]]
    >>> share_unknown(stock, people, among="untold").values.tolist()
    [[90.0, 10.0, 2.0], [5.0, 50.0, 1.0], [3.0, 5.0, 9.0]]
    """
    require_word("among", among, get_args(Among))
    faults = Faults("population")
    known = set(population[PLACE].values.tolist())
    for place in stock[RESIDENCE].values.tolist():
        if place not in known:
            faults.add(f"no {place}", "every residence of the stocks", column=PLACE)
    faults.raise_if_any()
    people = population.sel({PLACE: stock[RESIDENCE].values}).rename({PLACE: RESIDENCE})
    native = stock[BIRTHPLACE] == stock[RESIDENCE]
    unknown = (people - stock.sum(BIRTHPLACE)).clip(min=0.0).fillna(0.0)
    foreign = stock.where(~native, 0.0)
    if among == "told":
        weight, limit = foreign, most * foreign.sum(BIRTHPLACE)
    else:
        abroad = foreign.sum(RESIDENCE) if like is None else like
        weight = (abroad * xr.ones_like(stock)).where(~native & (stock == 0.0), 0.0)
        limit = xr.full_like(unknown, np.inf)
    total = weight.sum(BIRTHPLACE)
    placed = unknown.where(unknown < limit, limit).where(total > 0.0, 0.0)
    out = stock + weight * (placed / total.where(total > 0.0, 1.0))
    out = out + native * (unknown - placed)
    return out.transpose(*stock.dims).assign_attrs(stock.attrs)
