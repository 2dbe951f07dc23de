"""Stock tables, vital events and seeds from files, and flows back to tidy tables.

A stock table says how many people born in one place live in another at a date, native-born among
them. Codes of places are taken as they are; all files of an account must use the same.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import xarray as xr

from flowcast.accounting._accounts import BIRTHPLACE, DESTINATION, ORIGIN, PLACE, RESIDENCE
from flowcast.accounting._tables import MAX_NAMED, PERSONS_ALLOWED, read_pairs, read_places
from flowcast.errors import Faults, UsageError, nearest
from flowcast.vocabulary import RESIDENTS

__all__ = ["read_accounts", "read_seed", "read_stocks", "read_vital_events", "tidy_flows"]

STOCK: Final = "stock"
SEED_COLUMNS: Final = ("seed", "flow")
PLACE_ALIASES: Final = ("country",)
VITAL: Final = ("births", "deaths")

type AnyPath = str | os.PathLike[str]


def read_stocks(path: AnyPath, *, native_born: bool = True) -> xr.DataArray:
    r"""Read a stock table.

    Parameters
    ----------
    path
        A ``.csv``, ``.csv.gz``, ``.parquet`` or ``.xlsx`` file, tidy (columns `birthplace,
        residence, stock`) or a matrix (birthplaces in the first column, one column a residence).
        In a tidy file nobody lives where a pair has no row.
    native_born
        Whether every place needs its native-born. Without, those that are missing are 0, which
        `difference_flows` and the shares of `rate_flows` do not mind.

    Returns
    -------
    xarray.DataArray
        Persons; dims (birthplace, residence), both with the same labels in the file's order.

    Raises
    ------
    InputError
        With every fault of the file.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "stocks.csv"
    >>> _ = file.write_text("birthplace,NA,ZA\nNA,90,10\nZA,5,50\n")
    >>> stocks = read_stocks(file)
    >>> stocks.dims, float(stocks.sel(birthplace="NA", residence="ZA"))
    (('birthplace', 'residence'), 10.0)
    """
    faults = Faults("stocks")
    table = _stocks(Path(path), faults, native_born=native_born)
    faults.raise_if_any()
    assert table is not None
    return table


def _stocks(path: Path, faults: Faults, *, native_born: bool) -> xr.DataArray | None:
    table = read_pairs(path, (BIRTHPLACE, RESIDENCE), (STOCK,), faults, allowed=PERSONS_ALLOWED)
    if table is None:
        return None
    if native_born:
        for place, own in zip(table[BIRTHPLACE].to_numpy(), np.diag(table), strict=True):
            if np.isnan(own):
                allowed = "a row for those who live where they were born"
                faults.add(f"no native-born of {place}", allowed, where=str(path))
    return table.fillna(0.0).rename(STOCK).assign_attrs(units=RESIDENTS, source=str(path))


def read_vital_events(path: AnyPath, columns: Sequence[str] = VITAL) -> xr.Dataset:
    """Read births and deaths of a period.

    Parameters
    ----------
    path
        A table with one row a place: `place` (or `country`), `births`, `deaths`.
    columns
        Those of the last two that are wanted.

    Returns
    -------
    xarray.Dataset
        Persons in the period; dim `place`.

    Raises
    ------
    InputError
        With every fault of the file.
    """
    faults = Faults("vital events")
    data = _vital(Path(path), columns, faults)
    faults.raise_if_any()
    assert data is not None
    return data


def _vital(path: Path, columns: Sequence[str], faults: Faults) -> xr.Dataset | None:
    data = read_places(path, PLACE, PLACE_ALIASES, columns, faults)
    if data is not None:
        for name in columns:
            data[name].attrs |= {"units": RESIDENTS, "source": str(path)}
    return data


def read_accounts(
    start: AnyPath,
    end: AnyPath | None = None,
    births: AnyPath | None = None,
    deaths: AnyPath | None = None,
    *,
    native_born: bool = True,
) -> xr.Dataset:
    """Read the stocks at two dates and the vital events between them, and check them together.

    Parameters
    ----------
    start, end
        Stock tables, as for `read_stocks`.
    births, deaths
        Tables of vital events, as for `read_vital_events`; may be the same file.
    native_born
        As for `read_stocks`.

    Returns
    -------
    xarray.Dataset
        `stock_start` and `stock_end` (birthplace, residence), `births` and `deaths` (place), in
        persons and one order of places; those that were given.

    Raises
    ------
    InputError
        With every fault of every file, and every place that a file lacks or has beyond the first.
    """
    faults = Faults("accounts")
    read = _read_all(start, end, births, deaths, faults, native_born=native_born)
    first = read["stock_start"][1]
    if first is not None:
        places = first[BIRTHPLACE].to_numpy().tolist()
        # Births and deaths may stand in one file, whose places are looked at once.
        others = {path: t for path, t in list(read.values())[1:] if t is not None}
        for path, table in others.items():
            _same_places(path, table, places, Path(start), faults)
    faults.raise_if_any()
    tables = {name: table for name, (_, table) in read.items() if table is not None}
    return xr.Dataset(
        {
            name: table.sel(dict.fromkeys(table.dims, np.array(places))).rename(name)
            for name, table in tables.items()
        }
    )


def _read_all(
    start: AnyPath,
    end: AnyPath | None,
    births: AnyPath | None,
    deaths: AnyPath | None,
    faults: Faults,
    *,
    native_born: bool,
) -> dict[str, tuple[Path, xr.DataArray | None]]:
    """Return what each file says, or None where it cannot be used; a file is read once."""
    read: dict[str, tuple[Path, xr.DataArray | None]] = {}
    for name, path in (("stock_start", start), ("stock_end", end)):
        if path is not None:
            read[name] = Path(path), _stocks(Path(path), faults, native_born=native_born)
    files: dict[Path, list[str]] = {}
    for name, path in zip(VITAL, (births, deaths), strict=True):
        if path is not None:
            files.setdefault(Path(path), []).append(name)
    for file, names in files.items():
        data = _vital(file, names, faults)
        read |= {name: (file, None if data is None else data[name]) for name in names}
    return read


def _same_places(
    path: Path, table: xr.DataArray, places: list[str], first: Path, faults: Faults
) -> None:
    there = table[table.dims[0]].to_numpy().tolist()
    lacking = [p for p in places if p not in set(there)]
    beyond = [p for p in there if p not in set(places)]
    for place in lacking:
        faults.add(
            f"no {place}", f"every place of {first}", where=str(path), hint=nearest(place, beyond)
        )
    for place in beyond:
        faults.add(
            f"{place}, which {first} does not have",
            "the same places",
            where=str(path),
            hint=nearest(place, lacking),
        )


def read_seed(path: AnyPath) -> xr.DataArray:
    """Read a seed: what flows are like, up to scale, before the stocks have their say.

    Parameters
    ----------
    path
        Tidy (columns `origin, destination, seed`, and `birthplace` if it differs by it; `flow` is
        accepted for `seed`) or a matrix (origins in the first column, one column a destination).
        A move that cannot happen is a 0 and not an absent row.

    Returns
    -------
    xarray.DataArray
        Dims (origin, destination), and birthplace before them if the file has it; NaN where the
        file has no row for staying.

    Raises
    ------
    InputError
        With every fault of the file, and every origin that lacks destinations.
    """
    faults, file = Faults("seed"), Path(path)
    keys, allowed = (BIRTHPLACE, ORIGIN, DESTINATION), "a number, 0 or more"
    table = read_pairs(file, keys, SEED_COLUMNS, faults, allowed=allowed)
    if table is not None:
        _refuse_gaps(file, table, faults)
    faults.raise_if_any()
    assert table is not None
    return table.rename("seed").assign_attrs(source=str(file))


def _refuse_gaps(file: Path, table: xr.DataArray, faults: Faults) -> None:
    places = table[ORIGIN].to_numpy()
    absent = np.isnan(table.to_numpy()) & ~np.eye(len(places), dtype=bool)
    rows = absent.reshape(-1, len(places))
    groups = table[BIRTHPLACE].to_numpy() if BIRTHPLACE in table.dims else [None]
    for k in np.flatnonzero(rows.any(axis=1)):
        group, origin = groups[k // len(places)], places[k % len(places)]
        gone = places[rows[k]].tolist()
        more = f" and {len(gone) - MAX_NAMED} more" if len(gone) > MAX_NAMED else ""
        born = "" if group is None else f" of those born in {group}"
        found = f"no seed from {origin} to {', '.join(gone[:MAX_NAMED])}{more}{born}"
        faults.add(found, "a row for every two places, 0 where nobody can move", where=str(file))


def tidy_flows(flows: xr.DataArray) -> pd.DataFrame:
    """Return flows as a tidy table: one row a corridor, without those from a place to itself.

    Parameters
    ----------
    flows
        As from the estimators of this package; dims (origin, destination), and any others.

    Returns
    -------
    pandas.DataFrame
        Columns: the further dims, `birthplace` if it is one, `origin`, `destination`, `flow`.

    Raises
    ------
    UsageError
        If a dim is missing.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> tidy_flows(xr.DataArray([[0.0, 3.0], [1.5, 0.0]], coords=places)).values.tolist()
    [['A', 'B', 3.0], ['B', 'A', 1.5]]
    """
    dims = [*(d for d in flows.dims if d not in (ORIGIN, DESTINATION)), ORIGIN, DESTINATION]
    if not {ORIGIN, DESTINATION} <= set(flows.dims):
        found = ", ".join(map(str, flows.dims))
        raise UsageError(f"(flows) | found dims {found}; allowed: origin, destination and others")
    plain = flows.transpose(*dims).reset_coords(drop=True)
    sizes = [plain.sizes[d] for d in dims]
    places = [plain[d].to_numpy() for d in (ORIGIN, DESTINATION)]
    apart = np.broadcast_to(places[0][:, None] != places[1], sizes)
    at = np.nonzero(apart)
    columns = {str(d): plain[d].to_numpy()[at[k]] for k, d in enumerate(dims)}
    return pd.DataFrame({**columns, "flow": plain.to_numpy()[apart]})
