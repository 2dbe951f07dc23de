"""Net migration as a residual: from vital events, and from survival ratios by cohort.

What a population has gained or lost beyond births and deaths is net migration, and so are all
errors of the four figures. With deaths unknown, survival ratios stand in for them: the cohort is
carried forward (migrants counted at the end), backward (at the start), or both are averaged (United
Nations 1970, Manual VI: Methods of measuring internal migration, chapter II).
"""

from typing import Final, Literal, get_args

import numpy as np
import pandas as pd
import xarray as xr

from flowcast.accounting._named import align, check_values, refuse_dims
from flowcast.errors import Faults, require_word

__all__ = ["follow_cohorts", "net_from_survival", "net_from_vital_events", "survival_ratios"]

Method = Literal["forward", "reverse", "average"]
Ratios = Literal["census", "life_table"]
METHODS: Final[tuple[str, ...]] = get_args(Method)


def net_from_vital_events(
    population_start: xr.DataArray,
    population_end: xr.DataArray,
    births: xr.DataArray,
    deaths: xr.DataArray,
) -> xr.DataArray:
    """Return net migration as population change less births plus deaths.

    ``N = (P1 - P0) - (B - D)``, over the period between the two dates (United Nations 1970).

    Parameters
    ----------
    population_start, population_end
        Persons at the two dates, on the same dims, such as (place,) or (place, sex).
    births, deaths
        Events in the period, on the same dims. Births to residents of the place count.

    Returns
    -------
    xarray.DataArray
        Persons; negative where more left than came.

    Raises
    ------
    InputError
        If dims or labels differ, or numbers are negative or not finite.

    Examples
    --------
    >>> def persons(*values):
    ...     return xr.DataArray(list(values), {"place": ["A", "B"]})
    >>> net_from_vital_events(
    ...     persons(100, 80), persons(110, 75), persons(12, 6), persons(8, 7)
    ... ).values.tolist()
    [6.0, -4.0]
    """
    faults = Faults("net migration")
    given = {
        "population_start": population_start,
        "population_end": population_end,
        "births": births,
        "deaths": deaths,
    }
    dims = [str(dim) for dim in population_start.dims]
    for name, array in given.items():
        refuse_dims(faults, name, array, dims)
    faults.raise_if_any()
    tables = {name: align(faults, name, array, population_start) for name, array in given.items()}
    for name, array in tables.items():
        check_values(faults, name, array)
    faults.raise_if_any()
    start, end, born, died = (table.astype(np.float64) for table in tables.values())
    return (end - start - born + died).transpose(*dims).rename(None)


def follow_cohorts(
    population: xr.DataArray,
    interval: float,
    *,
    births: xr.DataArray | None = None,
    dim: str = "age",
) -> xr.DataArray:
    """Return a population under the age that its cohorts have after an interval, without loss.

    Parameters
    ----------
    population
        Persons by age group at the start. Labels along `dim` are lowest ages; groups are equally
        wide, and the last is open. Other dims stay.
    interval
        Years, a multiple of the width of a group.
    births
        Births in the interval by the age group that the children are in at its end, with the
        labels of the groups below `interval`. Without it these groups are left out.
    dim
        The dim of age.

    Returns
    -------
    xarray.DataArray
        Persons, by age group at the end; the last group has everyone who is in it by then.

    Raises
    ------
    InputError
        If ages are not numbers that rise in equal steps, the interval does not fit them, births
        have other groups, or numbers are negative or not finite.

    Examples
    --------
    >>> ages = {"age": [0, 5, 10, 15]}
    >>> follow_cohorts(xr.DataArray([10.0, 9.0, 8.0, 30.0], ages), 5).to_series().to_dict()
    {5: 10.0, 10: 9.0, 15: 38.0}
    """
    faults = Faults("cohorts")
    others = [str(d) for d in population.dims if d != dim]
    refuse_dims(faults, "population", population, [dim], others)
    faults.raise_if_any()
    steps = _steps(faults, population, interval, dim)
    check_values(faults, "population", population)
    faults.raise_if_any()
    ages = population.indexes[dim]
    n = len(ages)
    data = population.astype(np.float64)
    moved = data.isel({dim: slice(0, n - 1 - steps)})
    last = data.isel({dim: slice(n - 1 - steps, n)}).sum(dim).expand_dims({dim: [ages[-1]]})
    parts = [moved.assign_coords({dim: ages[steps : n - 1]}), last]
    if births is not None:
        refuse_dims(faults, "births", births, [dim], others)
        faults.raise_if_any()
        young = data.isel({dim: slice(0, steps)})
        born = align(faults, "births", births.astype(np.float64), young)
        check_values(faults, "births", born)
        faults.raise_if_any()
        parts.insert(0, born)
    return xr.concat(parts, dim, join="exact").transpose(*population.dims)


def survival_ratios(
    population_start: xr.DataArray,
    population_end: xr.DataArray,
    interval: float,
    *,
    births: xr.DataArray | None = None,
    dim: str = "age",
) -> xr.DataArray:
    """Return what part of each cohort is left after an interval.

    Of two censuses of a closed population these are census survival ratios. With the person-years
    ``L_x`` of a life table for both populations, and ``births`` of the radix times the width of a
    group, they are those of the life table.

    Parameters
    ----------
    population_start, population_end
        Persons (or person-years) by age group at the two dates.
    interval, births, dim
        As in `follow_cohorts`.

    Returns
    -------
    xarray.DataArray
        Ratios, by age group at the end.

    Raises
    ------
    InputError
        As `follow_cohorts`; or if a cohort is empty at the start, so that it has no ratio.

    Examples
    --------
    >>> years = xr.DataArray([480.0, 470.0, 460.0, 1800.0], {"age": [0, 5, 10, 15]})
    >>> survival_ratios(years, years, 5).round(4).values.tolist()
    [0.9792, 0.9787, 0.7965]
    """
    faults = Faults("survival ratios")
    cohorts = follow_cohorts(population_start, interval, births=births, dim=dim)
    end = _same_ages(faults, "population_end", population_end, cohorts, dim)
    end = align(faults, "population_end", end, cohorts)
    check_values(faults, "population_end", end)
    what = "more than 0 persons in the cohort at the start"
    check_values(faults, "population_start", cohorts, above=True, what=what)
    faults.raise_if_any()
    return (end.astype(np.float64) / cohorts).transpose(*cohorts.dims, ...).rename(None)


def net_from_survival(
    cohort_start: xr.DataArray,
    population_end: xr.DataArray,
    survival: xr.DataArray,
    *,
    method: Method = "average",
    ratios: Ratios = "census",
) -> xr.DataArray:
    """Return net migration of each cohort from what is left of it.

    With S the survival ratio, P0 and P1 the cohort at the two dates: *forward* ``P1 - S P0``,
    migrants as they are at the end, as if all had moved just before; *reverse* ``P1 / S - P0``, as
    they were at the start, as if all had moved just after; *average* the mean of the two, which is
    ``(1 + S) / (2 S)`` times the forward figure (United Nations 1970, Manual VI, chapter II).

    Parameters
    ----------
    cohort_start
        Persons at the start under the age of the end, as `follow_cohorts` returns them. Any dims,
        such as (place, sex, age).
    population_end
        Persons at the end, on the same dims and labels.
    survival
        Ratios, by age at the end; may lack dims, such as places that share a life table.
    method
        ``"forward"``, ``"reverse"`` or ``"average"``.
    ratios
        Where the ratios are from. Those of a life table are at most 1; those of censuses can be
        more, where the later one counted an age better.

    Returns
    -------
    xarray.DataArray
        Persons; negative where more left than came.

    Raises
    ------
    InputError
        If dims or labels differ, persons are negative or not finite, or ratios are 0, negative, not
        finite, or above 1 in a life table.
    UsageError
        If there is no such method.

    Examples
    --------
    >>> ages = {"age": [5, 10]}
    >>> start, end = xr.DataArray([100.0, 90.0], ages), xr.DataArray([104.0, 72.0], ages)
    >>> survival = xr.DataArray([0.98, 0.96], ages)
    >>> net_from_survival(start, end, survival, method="forward").round(2).values.tolist()
    [6.0, -14.4]
    >>> net_from_survival(start, end, survival, method="reverse").round(2).values.tolist()
    [6.12, -15.0]
    """
    require_word("method", method, METHODS)
    require_word("ratios", ratios, get_args(Ratios))
    faults = Faults("net migration")
    dims = [str(dim) for dim in cohort_start.dims]
    refuse_dims(faults, "population_end", population_end, dims)
    refuse_dims(faults, "survival", survival, (), dims)
    faults.raise_if_any()
    end = align(faults, "population_end", population_end, cohort_start).astype(np.float64)
    ratio = align(faults, "survival", survival, cohort_start).astype(np.float64)
    check_values(faults, "cohort_start", cohort_start)
    check_values(faults, "population_end", end)
    most = 1.0 if ratios == "life_table" else np.inf
    what = "ratios above 0, and up to 1 in a life table" if most == 1.0 else "ratios above 0"
    check_values(faults, "survival", ratio, above=True, maximum=most, what=what)
    faults.raise_if_any()
    start = cohort_start.astype(np.float64)
    forward = end - ratio * start
    if method == "forward":
        net = forward
    elif method == "reverse":
        net = end / ratio - start
    else:
        net = forward * (1.0 + ratio) / (2.0 * ratio)
    return net.transpose(*dims).rename(None)


def _steps(faults: Faults, population: xr.DataArray, interval: float, dim: str) -> int:
    """Return by how many age groups cohorts move on."""
    ages = population.indexes.get(dim)
    if ages is None or len(ages) < 2 or not pd.api.types.is_numeric_dtype(ages.dtype):
        told = "no labels" if ages is None else ", ".join(str(a) for a in ages[:5])
        faults.add(told, "lowest ages of two groups or more, as numbers", column=dim)
        return 0
    widths = np.diff(np.asarray(ages, dtype=np.float64))
    if widths[0] <= 0.0 or not np.allclose(widths, widths[0]):
        told = ", ".join(f"{w:g}" for w in widths[:8])
        faults.add(f"age groups {told} years wide", "groups of one width, rising", column=dim)
        return 0
    steps = interval / widths[0]
    if not (steps >= 1.0 and np.isclose(steps, round(steps))):
        found = f"an interval of {interval:g} years"
        faults.add(found, f"a multiple of the width of a group, {widths[0]:g}")
    elif round(steps) >= len(ages):
        found = f"an interval of {interval:g} years"
        faults.add(found, f"less than all ages, {widths[0] * len(ages):g} years")
    return round(steps) if np.isfinite(steps) else 0


def _same_ages(
    faults: Faults, name: str, population: xr.DataArray, cohorts: xr.DataArray, dim: str
) -> xr.DataArray:
    """Return the population at the ages that the cohorts have."""
    refuse_dims(faults, name, population, [str(d) for d in cohorts.dims])
    faults.raise_if_any()
    ages, wanted = population.indexes.get(dim), cohorts.indexes[dim]
    if ages is None or not wanted.isin(ages).all():
        return population
    return population.sel({dim: wanted})
