"""Draws of uncertain stock tables and vital events, which go through every estimator.

None of the estimators has an interval by itself. What goes into them is uncertain: foreign-born are
missed, taken for native-born or for citizens, and figures between two censuses are made up from
both. `StockErrors` says how much; here it becomes draws. A table at a date that ends one period and
begins the next is the same in both.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._accounts import BIRTHPLACE, PLACE, RESIDENCE, Accounts, align
from flowcast.accounting._stock_draws import Drawn, StockModel, build_model, draw_one
from flowcast.accounting.stock_errors import StockErrors, unknown_places
from flowcast.errors import Faults, InputError, UsageError
from flowcast.vocabulary import RESIDENTS

__all__ = [
    "account_periods",
    "account_series",
    "draw_accounts",
    "draw_series",
    "lay_out",
    "stock_model",
]

YEARS: Final = 5.0
"""Between two tables whose dates are not given."""
DAYS: Final = 365.25
TABLES: Final = ("stock_start", "stock_end")


def account_series(
    stocks: Sequence[xr.DataArray],
    births: Sequence[xr.DataArray] | None = None,
    deaths: Sequence[xr.DataArray] | None = None,
    *,
    dates: Sequence[str] | None = None,
    told: Sequence[xr.DataArray] | None = None,
) -> xr.Dataset:
    """Put stock tables of several dates and the vital events between them together.

    Parameters
    ----------
    stocks
        Persons, one table a date, in the order of time; dims (birthplace, residence).
    births, deaths
        Persons, one array a period between two neighbouring dates; dim (place). Left out, nobody is
        born or dies.
    dates
        ISO dates of the tables. Without them the tables are taken to be five years apart, which
        matters for errors that are correlated in time, and periods have no name.
    told
        The tables as they were published, where `stocks` have more: people whom `share_unknown` put
        where a table has a zero are less certain than those it tells.

    Returns
    -------
    xarray.Dataset
        `stock` (date, birthplace, residence), `births` and `deaths` (period, place), all in the
        order of the first table's birthplaces, with the coordinates `year` (date), `period_start`
        and `period_end` (period); `shared_out` (birthplace, residence), pairs of which some date's
        table told nobody and has people here.

    Raises
    ------
    InputError
        With every number that is none, or negative, and every place that an array lacks, for every
        period.
    UsageError
        If there are fewer than two tables, or not as many dates or periods as belong to them; if
        dates do not increase.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> table = xr.DataArray([[90.0, 10.0], [5.0, 50.0]], coords=places)
    >>> series = account_series([table, table * 1.1], dates=["2015-07-01", "2020-07-01"])
    >>> dict(series.sizes), series["period_start"].dt.year.values.tolist()
    ({'date': 2, 'birthplace': 2, 'residence': 2, 'period': 1, 'place': 2}, [2015])
    """
    tables = list(stocks)
    events = [None if given is None else list(given) for given in (births, deaths)]
    _check_numbers(len(tables), events, dates)
    faults, found = Faults("accounts"), []
    times = _times(dates, len(tables))
    if BIRTHPLACE in tables[0].coords:
        tables = [_in_order(table, tables[0]) for table in tables]
    for k, (start, end) in enumerate(itertools.pairwise(tables)):
        own = [None if given is None else given[k] for given in events]
        try:
            found.append(_without_draws(align(start, end, *own)))
        except InputError as error:
            where = f"period {k + 1}" if len(tables) > 2 else ""
            faults.extend(
                replace(fault, where=f"{where}, {fault.where}" if where else fault.where)
                for fault in error.faults
            )
    faults.raise_if_any()
    data = _dataset(found, times)
    return data.assign(shared_out=_shared_out(data["stock"], told))


def _check_numbers(
    n_table: int, events: Sequence[list[xr.DataArray] | None], dates: Sequence[str] | None
) -> None:
    if n_table < 2:
        raise UsageError(f"(stocks) | found {n_table} tables; allowed: two or more")
    for name, given, wanted in (
        ("births", events[0], n_table - 1),
        ("deaths", events[1], n_table - 1),
        ("dates", dates, n_table),
    ):
        if given is not None and len(given) != wanted:
            raise UsageError(
                f"({name}) | found {len(given)}; allowed: {wanted} for {n_table} tables"
            )


def _times(dates: Sequence[str] | None, n_date: int) -> NDArray[np.datetime64] | None:
    if dates is None:
        return None
    try:
        times = pd.DatetimeIndex(pd.to_datetime(list(dates), format="%Y-%m-%d"))
    except ValueError as error:
        raise UsageError(f"(dates) | found {', '.join(dates)}: {error}") from None
    if n_date > 1 and not (times[1:] > times[:-1]).all():
        raise UsageError(f"(dates) | found {', '.join(dates)}; allowed: later and later dates")
    return times.to_numpy().astype("datetime64[s]")


def _in_order(table: xr.DataArray, like: xr.DataArray) -> xr.DataArray:
    """Return a table in the order of another's birthplaces, or as it is where that cannot be."""
    if not {BIRTHPLACE, RESIDENCE} <= set(table.coords) & set(table.dims):
        return table
    wanted = like[BIRTHPLACE].to_numpy().tolist()
    same = all(set(table[dim].values.tolist()) == set(wanted) for dim in (BIRTHPLACE, RESIDENCE))
    unique = all(table.indexes[dim].is_unique for dim in (BIRTHPLACE, RESIDENCE))
    return table.sel({BIRTHPLACE: wanted, RESIDENCE: wanted}) if same and unique else table


def _shared_out(stock: xr.DataArray, told: Sequence[xr.DataArray] | None) -> xr.DataArray:
    if told is None:
        return xr.zeros_like(stock.isel(date=0, drop=True), dtype=bool).drop_vars(
            "year", errors="ignore"
        )
    like = stock.isel(date=0, drop=True)
    before = np.stack([_in_order(table, like).transpose(*like.dims).to_numpy() for table in told])
    if before.shape != stock.shape:
        raise UsageError(f"(told) | found {before.shape}; allowed: as the stocks, {stock.shape}")
    added = ((before == 0.0) & (stock.to_numpy() > 0.0)).any(axis=0)
    return xr.DataArray(added, coords={dim: like[dim] for dim in like.dims}, dims=like.dims)


def _without_draws(account: Accounts) -> Accounts:
    if account.dims:
        told = ", ".join(map(str, account.dims))
        raise UsageError(f"(stocks) | found dim {told}; allowed: tables without draws")
    return account


def _dataset(found: Sequence[Accounts], times: NDArray[np.datetime64] | None) -> xr.Dataset:
    places, n_period = list(found[0].places), len(found)
    stock = np.stack([found[0].start, *(one.end for one in found)])
    years = YEARS * np.arange(n_period + 1)
    if times is not None:
        years = 1970.0 + times.astype("datetime64[D]").astype(float) / DAYS
    bounds = np.full(n_period + 1, "NaT", "datetime64[s]") if times is None else times
    data = xr.Dataset(
        {
            "stock": (("date", BIRTHPLACE, RESIDENCE), stock),
            "births": (("period", PLACE), np.stack([one.births for one in found])),
            "deaths": (("period", PLACE), np.stack([one.deaths for one in found])),
        },
        coords={
            BIRTHPLACE: places,
            RESIDENCE: places,
            PLACE: places,
            "period": np.arange(n_period),
            "year": ("date", years),
            "period_start": ("period", bounds[:-1]),
            "period_end": ("period", bounds[1:]),
        },
    )
    for name in data.data_vars:
        data[name].attrs["units"] = RESIDENTS
    return data if times is None else data.assign_coords(date=times)


def stock_model(series: xr.Dataset, errors: StockErrors | None = None) -> StockModel:
    """Lay a series and its errors out for drawing.

    Parameters
    ----------
    series
        From `account_series`.
    errors
        By default `StockErrors()`.

    Raises
    ------
    InputError
        With every place that has a quality but no stocks.
    UsageError
        If sources have years but the tables have no dates.
    """
    believed = StockErrors() if errors is None else errors
    places = tuple(map(str, series[PLACE].values.tolist()))
    faults = unknown_places(believed, places)
    if faults:
        raise InputError(faults)
    if "date" not in series.coords and any(map(believed.vintage_of, places)):
        raise UsageError(
            "(dates) | found none; allowed: dates of the tables, as sources have years"
        )
    return build_model(
        places,
        series["year"].to_numpy(),
        series["stock"].to_numpy(),
        series["births"].to_numpy(),
        series["deaths"].to_numpy(),
        series["shared_out"].to_numpy(),
        believed,
    )


def draw_series(
    series: xr.Dataset,
    errors: StockErrors | None = None,
    *,
    draws: int = 1000,
    seed: int = 1,
    first: int = 0,
) -> xr.Dataset:
    """Draw stock tables of several dates and vital events.

    Parameters
    ----------
    series
        From `account_series`.
    errors
        How far off the tables may be; by default `StockErrors()`.
    draws, first
        Draws `first` to ``first + draws - 1`` are returned. Each is the same whichever others are
        asked for, so that many can be made a few at a time.
    seed
        Of all random numbers.

    Returns
    -------
    xarray.Dataset
        `stock_start` and `stock_end` (draw, period, birthplace, residence), `births` and `deaths`
        (draw, period, place): what the estimators take. The end of a period and the start of the
        next are one table, and share memory.

    Raises
    ------
    InputError, UsageError
        As `stock_model`; if there is no draw to make.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> table = xr.DataArray([[900.0, 100.0], [50.0, 500.0]], coords=places)
    >>> drawn = draw_series(account_series([table] * 3), draws=4)
    >>> drawn["stock_end"].dims
    ('draw', 'period', 'birthplace', 'residence')
    >>> bool((drawn["stock_end"][:, 0] == drawn["stock_start"][:, 1]).all())
    True
    """
    if draws < 1 or first < 0:
        raise UsageError(f"(draws) | found {draws} from {first} on; allowed: 1 or more, from 0 on")
    model = stock_model(series, errors)
    drawn = [draw_one(model, seed, k) for k in range(first, first + draws)]
    return lay_out(series, drawn, first)


def lay_out(series: xr.Dataset, drawn: Sequence[Drawn], first: int) -> xr.Dataset:
    """Label draws as the estimators take them; see `draw_series`."""
    stock, births, deaths = (np.stack(arrays) for arrays in zip(*drawn, strict=True))
    dims, events = ("draw", "period", BIRTHPLACE, RESIDENCE), ("draw", "period", PLACE)
    kept = series.drop_vars([*series.data_vars, "year", "date"], errors="ignore")
    coords = {**kept.coords, "draw": np.arange(first, first + len(drawn))}
    attrs = {"units": RESIDENTS}
    parts = zip(TABLES, (stock[:, :-1], stock[:, 1:]), strict=True)
    variables: dict[str, Any] = {name: (dims, values, attrs) for name, values in parts}
    variables |= {"births": (events, births, attrs), "deaths": (events, deaths, attrs)}
    return xr.Dataset(variables, coords=coords)


def account_periods(series: xr.Dataset) -> xr.Dataset:
    """Return the tables of a series as the estimators take them, without errors.

    Parameters
    ----------
    series
        From `account_series`.

    Returns
    -------
    xarray.Dataset
        `stock_start` and `stock_end` (period, birthplace, residence), `births` and `deaths`
        (period, place).

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> table = xr.DataArray([[90.0, 10.0], [5.0, 50.0]], coords=places)
    >>> account_periods(account_series([table] * 3))["stock_end"].sizes["period"]
    2
    """
    as_told = Drawn(*(series[name].to_numpy() for name in ("stock", "births", "deaths")))
    return lay_out(series, [as_told], 0).isel(draw=0, drop=True)


def draw_accounts(
    start: xr.DataArray,
    end: xr.DataArray,
    births: xr.DataArray | None = None,
    deaths: xr.DataArray | None = None,
    errors: StockErrors | None = None,
    *,
    draws: int = 1000,
    seed: int = 1,
    dates: tuple[str, str] | None = None,
) -> xr.Dataset:
    """Draw the stock tables at two dates and the vital events between them.

    Parameters
    ----------
    start, end
        Stocks, persons; dims (birthplace, residence).
    births, deaths
        Persons in the period; dim (place). Left out, nobody is born or dies.
    errors
        How far off they may be; by default `StockErrors()`.
    draws, seed
        As for `draw_series`.
    dates
        ISO dates of the tables; without them they are five years apart.

    Returns
    -------
    xarray.Dataset
        `stock_start`, `stock_end` (draw, birthplace, residence), `births`, `deaths` (draw, place).

    Raises
    ------
    InputError, UsageError
        As `account_series` and `draw_series`.

    Examples
    --------
    >>> from flowcast.accounting import demographic_flows
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> first = xr.DataArray([[9000.0, 1000], [500, 5000]], coords=places)
    >>> then = xr.DataArray([[8900.0, 1100], [540, 4960]], coords=places)
    >>> drawn = draw_accounts(first, then, draws=50)
    >>> tables = (drawn[name] for name in ("stock_start", "stock_end", "births", "deaths"))
    >>> demographic_flows(*tables).quantile([0.1, 0.9], "draw").dims
    ('quantile', 'origin', 'destination')
    """
    events = [None if given is None else [given] for given in (births, deaths)]
    series = account_series([start, end], *events, dates=dates)
    drawn = draw_series(series, errors, draws=draws, seed=seed)
    return drawn.isel(period=0, drop=True)
