"""Stocks at a date between two tables, for flows over shorter periods than those between tables."""

import numpy as np
import xarray as xr

from flowcast.accounting._accounts import BIRTHPLACE, PLACE, RESIDENCE
from flowcast.accounting._named import align, check_values, refuse_dims, same_labels
from flowcast.errors import Faults, UsageError

__all__ = ["interpolate_stocks"]

PAIR = (BIRTHPLACE, RESIDENCE)


def interpolate_stocks(
    start: xr.DataArray, end: xr.DataArray, share: float, population: xr.DataArray | None = None
) -> xr.DataArray:
    """Return the stocks at a date between two tables.

    Foreign-born groups grow at a constant rate, ``s1^(1 - share) s2^share``; where one table has
    nobody, by a constant number. What happened in between is in neither table: a group that came
    and left again is not found, and a sudden flow is spread over all years.

    Parameters
    ----------
    start, end
        Persons by (birthplace, residence), native-born included, and any further dims (draws).
    share
        Of the time between them, 0 to 1.
    population
        Residents at the date, by place: the native-born are what the foreign-born leave of them.
        Without it they are interpolated as the others are.

    Returns
    -------
    xarray.DataArray
        Persons, dims as of `start` and `end`.

    Raises
    ------
    InputError
        If dims, labels or values do not fit, or there are more foreign-born than residents.
    UsageError
        If the share is none.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> start = xr.DataArray([[1000.0, 40], [0, 500]], places)
    >>> end = xr.DataArray([[1000.0, 90], [10, 500]], places)
    >>> people = xr.DataArray([1010.0, 570], {"place": ["A", "B"]})
    >>> interpolate_stocks(start, end, 0.5, people).round(6).values.tolist()
    [[1005.0, 60.0], [5.0, 510.0]]
    """
    if not 0.0 <= share <= 1.0:
        raise UsageError(f"(share) | found {share:g}; allowed: a share of the time, 0 to 1")
    faults = Faults("stocks")
    for name, table in (("start", start), ("end", end)):
        refuse_dims(faults, name, table, PAIR, [str(d) for d in table.dims if d not in PAIR])
    faults.raise_if_any()
    for name, table in (("start", start), ("end", end)):
        same_labels(faults, name, table, PAIR)
        check_values(faults, name, table)
    end = align(faults, "end", end, start)
    faults.raise_if_any()
    both = (start > 0.0) & (end > 0.0)
    geometric = start.where(both, 1.0) ** (1.0 - share) * end.where(both, 1.0) ** share
    between = geometric.where(both, (1.0 - share) * start + share * end)
    if population is None:
        return between
    return _closed(between, population, faults)


def _closed(table: xr.DataArray, population: xr.DataArray, faults: Faults) -> xr.DataArray:
    """Return the table with the native-born that the foreign-born leave of a population."""
    refuse_dims(
        faults, "population", population, (PLACE,), [str(d) for d in table.dims if d not in PAIR]
    )
    faults.raise_if_any()
    people = population.rename({PLACE: RESIDENCE})
    people = align(faults, "population", people, table)
    check_values(faults, "population", people)
    faults.raise_if_any()
    own = xr.DataArray(np.eye(table.sizes[BIRTHPLACE], dtype=bool), dims=PAIR)
    native = people - table.where(~own, 0.0).sum(BIRTHPLACE)
    check_values(faults, "population", native, what="no fewer residents than foreign-born")
    faults.raise_if_any()
    return table.where(~own, native).transpose(*table.dims)
