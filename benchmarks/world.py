"""The world of 230 places, 1990 to 2024: stocks of the UN (2024), vital events and populations.

Nothing read here is ever committed. What had to be decided is written down in `read_world`.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from benchmarks.cases import read_table
from flowcast.accounting import account_series, events_between, share_unknown

YEARS = (1990, 1995, 2000, 2005, 2010, 2015, 2020, 2024)
THOUSAND = 1000.0
HALF_DIGIT = 0.0005
"""Vital events in thousands and rates per thousand are published with three decimals."""


@dataclass(frozen=True)
class World:
    """A series of accounts, places that were left out, and residents of unknown birthplace.

    `unknown` has dims (year, place), persons.
    """

    series: xr.Dataset
    dropped: tuple[str, ...]
    unknown: xr.DataArray


def read_world(data: Path, years: tuple[int, ...] = YEARS, *, others: str = "told") -> World:
    """Read the world's accounts.

    - Stocks are those of 1 July. A pair without a row is a zero, which includes missing figures.
    - Six territories that have vital events but no stocks (Kosovo, Guernsey, Jersey, Bonaire, St
      Barthélemy, St Martin) are left out.
    - Births and deaths are in thousands a calendar year: half of the first and the last year count.
      The half of 2024 is that of 2023, the last year published.
    - The table's residents are fewer than the population by the foreign-born under "others", 22
      million in 2020, which makes net migration wrong (Germany 1990-95: 1.5 instead of 2.7
      million). Unless the gap could come from rounding, they are shared out as the birthplaces that
      are told (``"told"``). But offices tell their largest groups only, Germany 28, the United
      States 60; so with ``"untold"`` they go to birthplaces that the table does not tell, by how
      many were born there and live abroad, and by distance, and are less certain. ``"left out"``:
      the table as it is.

    Parameters
    ----------
    data
        The folder `data/flows` of real data.
    years
        Of the tables.
    others
        Where people go whose birthplace is not told.
    """
    stocks = [
        read_table(data / "un_ims_2024" / name)
        for name in ("stock_birth_residence.csv.gz", "native_born_diagonal.csv.gz")
    ]
    annual = read_table(data / "wpp2024" / "wpp2024_annual.csv.gz")
    places = sorted(set(stocks[1]["residence"]))
    tables = stock_tables(pd.concat(stocks), places, years)
    vital = annual.pivot(index="iso3", columns="year").reindex(places)
    residents = mid_year(vital, years)
    gap = (residents - tables.sum("birthplace").rename(residence="place")).clip(min=0.0)
    gap = gap.where(gap > rounding(vital, years) * residents, 0.0)
    dates = [f"{year}-07-01" for year in years]
    told = [tables.sel(year=year, drop=True) for year in years]
    near = nearness(data, places)
    filled = told
    if others != "left out":
        filled = [
            share_unknown(
                table,
                table.sum("birthplace").rename(residence="place") + gap.sel(year=year),
                among=others,  # type: ignore[arg-type]
                like=abroad(table) * near,
            )
            for year, table in zip(years, told, strict=True)
        ]
    events = [
        [events_between(of_years(vital[name]), *pair) for pair in itertools.pairwise(dates)]
        for name in ("births", "deaths")
    ]
    series = account_series(filled, *events, dates=dates, told=told)
    return World(series, tuple(sorted(set(annual["iso3"]) - set(places))), gap)


def abroad(table: xr.DataArray) -> xr.DataArray:
    """Return how many were born in each place and live elsewhere, as far as tables tell."""
    return table.where(table["birthplace"] != table["residence"], 0.0).sum("residence")


def nearness(data: Path, places: list[str]) -> xr.DataArray:
    """Return distance to the power of -1.3, the usual elasticity of migration between countries.

    Where a distance is not known, it is the median of its residence.
    """
    table = read_table(data / "cepii_geodist" / "dist_cepii.csv.gz")
    wide = table.replace({"ROM": "ROU"}).pivot(index="iso_o", columns="iso_d", values="dist")
    wide = wide.reindex(index=places, columns=places)
    wide = wide.fillna(wide.median()).fillna(wide.stack().median())
    coords = {"birthplace": places, "residence": places}
    return xr.DataArray(wide.to_numpy(dtype=float) ** -1.3, coords=coords)


def stock_tables(frame: pd.DataFrame, places: list[str], years: tuple[int, ...]) -> xr.DataArray:
    """Return stocks, dims (year, birthplace, residence); zero where there is no row."""
    out = np.zeros((len(years), len(places), len(places)))
    frame = frame[frame["year"].isin(years)]
    at = pd.Index(places)
    when = pd.Index(years).get_indexer(pd.Index(frame["year"]))
    out[when, at.get_indexer(frame["birth"]), at.get_indexer(frame["residence"])] = frame["tot"]
    coords = {"year": list(years), "birthplace": places, "residence": places}
    return xr.DataArray(out, coords=coords)


def of_years(table: pd.DataFrame) -> xr.DataArray:
    """Return persons by place and calendar year, the year after the last one like the last one."""
    last = int(table.columns.max())
    table = table.assign(**{"after": table[last]}).rename(columns={"after": last + 1})
    values = THOUSAND * table.to_numpy(dtype=float)
    return xr.DataArray(
        values, coords={"place": list(table.index), "year": [int(y) for y in table.columns]}
    )


def mid_year(vital: pd.DataFrame, years: tuple[int, ...]) -> xr.DataArray:
    """Return populations of 1 July, dims (year, place); the last by growth."""
    people = THOUSAND * vital["pop_midyear_implied"]
    last = int(people.columns.max())
    people = people.assign(**{"after": people[last] + THOUSAND * vital["PopChange"][last]})
    people = people.rename(columns={"after": last + 1})
    values = people[list(years)].to_numpy(dtype=float).T
    return xr.DataArray(values, coords={"year": list(years), "place": list(people.index)})


def rounding(vital: pd.DataFrame, years: tuple[int, ...]) -> xr.DataArray:
    """Return how far, relatively, populations may be off that come from births and their rate."""
    share = HALF_DIGIT / vital["births"] + HALF_DIGIT / vital["cbr"]
    last = int(share.columns.max())
    columns = [min(year, last) for year in years]
    values = share[columns].to_numpy(dtype=float).T
    return xr.DataArray(values, coords={"year": list(years), "place": list(share.index)})
