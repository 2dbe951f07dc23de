"""Demographic accounting: flows that turn one stock table into the next, given births and deaths.

Three steps: births and deaths are taken out of the stocks, the totals of each birthplace at the two
dates are made equal (closed or open), and people are allocated from the first table to the second.
"""

from typing import Final, Literal, get_args

import numpy as np
import xarray as xr

from flowcast.accounting._accounts import (
    BIRTHPLACE,
    RESIDENCE,
    Accounts,
    Index,
    align,
    align_seed,
    flow_array,
    over_draws,
)
from flowcast.accounting._kernels import (
    adjust,
    allocate,
    allocate_by_birthplace,
    balance_closed,
    balance_open,
)
from flowcast.accounting._margins import FloatArray
from flowcast.errors import require_word
from flowcast.vocabulary import RESIDENTS

__all__ = [
    "Allocation",
    "Matching",
    "System",
    "balance_stocks",
    "balanced",
    "check_words",
    "demographic_flows",
]

System = Literal["closed", "open", "open-dr"]
Matching = Literal["before", "after"]
Allocation = Literal["minimisation", "independence"]
SYSTEMS: Final[tuple[str, ...]] = get_args(System)
MATCHINGS: Final[tuple[str, ...]] = get_args(Matching)
ALLOCATIONS: Final[tuple[str, ...]] = get_args(Allocation)


def balance_stocks(
    start: xr.DataArray,
    end: xr.DataArray,
    births: xr.DataArray | None = None,
    deaths: xr.DataArray | None = None,
    *,
    system: System = "closed",
    matching: Matching = "before",
) -> xr.Dataset:
    """Return the tables between which people move: no births, no deaths, equal birthplace totals.

    What `demographic_flows` does before it allocates anybody, to be looked at.

    Parameters
    ----------
    start, end, births, deaths, system, matching
        As in `demographic_flows`.

    Returns
    -------
    xarray.Dataset
        `start` and `end`: who lives where, balanced. `leavers` and `entrants`: who left the world
        from where or entered it to where, zero in a closed system. Persons, dims (birthplace,
        residence) after the further ones.

    Raises
    ------
    InputError, UsageError
        As in `demographic_flows`.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> first = xr.DataArray([[90.0, 10.0], [5.0, 50.0]], coords=places)
    >>> then = xr.DataArray([[80.0, 16.0], [5.0, 50.0]], coords=places)
    >>> tables = balance_stocks(first, then, system="open-dr")
    >>> tables["leavers"].round(2).values.tolist()
    [[3.6, 0.4], [0.0, 0.0]]
    """
    check_words(system, matching)
    accounts = align(start, end, births, deaths)
    tables = over_draws(accounts, lambda index: balanced(accounts, index, system, matching))
    labels = {dim: list(accounts.places) for dim in (BIRTHPLACE, RESIDENCE)}
    names = ("start", "end", "leavers", "entrants")
    dims = (*accounts.dims, BIRTHPLACE, RESIDENCE)
    return xr.Dataset(
        {
            name: (dims, table, {"units": RESIDENTS})
            for name, table in zip(names, tables, strict=True)
        },
        coords={**accounts.coords, **labels},
        attrs={"system": system, "matching": matching},
    )


def check_words(system: str, matching: str, allocation: str = "minimisation") -> None:
    """Refuse other words than those of `demographic_flows`.

    Raises
    ------
    UsageError
        With the nearest allowed word.
    """
    require_word("system", system, SYSTEMS)
    require_word("matching", matching, MATCHINGS)
    require_word("allocation", allocation, ALLOCATIONS)


def balanced(
    accounts: Accounts, index: Index, system: str, matching: str
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return start, end, leavers and entrants of one draw, shape (birthplace, residence) each.

    Raises
    ------
    Refused
        If the numbers do not make an account.
    """
    start, end = adjust(
        accounts.start[index],
        accounts.end[index],
        accounts.births[index],
        accounts.deaths[index],
        matching if system == "closed" else None,
    )
    if system == "closed":
        return *balance_closed(start, end), np.zeros_like(start), np.zeros_like(end)
    return balance_open(start, end, swapped=system == "open-dr")


def demographic_flows(
    start: xr.DataArray,
    end: xr.DataArray,
    births: xr.DataArray | None = None,
    deaths: xr.DataArray | None = None,
    *,
    system: System = "closed",
    matching: Matching = "before",
    allocation: Allocation = "minimisation",
    seed: xr.DataArray | None = None,
    by_birthplace: bool = False,
    stayers: bool = False,
) -> xr.DataArray:
    r"""Estimate the flows that turn the stocks at the start into those at the end.

    1. Births are taken from the native-born at the end (from all groups of a place in proportion
       where they outnumber them), deaths from all groups at the start in proportion. In a closed
       system the native-born of both tables are scaled, *before* or *after* that, until the world
       grows by births minus deaths; each table takes half of the gap.
    2. Each birthplace gets the same total at both dates. ``"closed"``: both tables are raked to
       the mean of its totals, residents of each place held. ``"open"``: the difference leaves the
       world, in proportion to where the group lives at the end, or enters it, in proportion to
       where it lived at the start, as far as there are people. ``"open-dr"``: the other way round.
    3. For each birthplace b, with balanced stocks :math:`s^1_{bi}, s^2_{bj}`: minimisation lets
       :math:`x_{iib} = \min(s^1_{bi}, s^2_{bi})` people stay, and the others move with
       :math:`x_{ijb} = a_{bi} c_{bj} / \sum_i a_{bi}`, where a and c are what is left at either
       date. Independence: :math:`x_{ijb} = s^1_{bi} s^2_{bj} / \sum_i s^1_{bi}`. Both are exact
       limits of raking a table of ones. With a seed m, :math:`x_{ijb} = u_{bi} m_{ijb} v_{bj}` with
       the same margins; zeros of m stay.

    Parameters
    ----------
    start, end
        Stocks at the start and at the end of the period, persons; dims (birthplace, residence), and
        any others such as draw.
    births, deaths
        Persons in the period; dims (place), and any others. Left out, nobody is born or dies.
    system
        ``"closed"``, ``"open"`` or ``"open-dr"``.
    matching
        ``"before"`` or ``"after"``; only a closed system has it.
    allocation
        ``"minimisation"``: as many stay as can, or ``"independence"``.
    seed
        Prior flows up to scale; dims (origin, destination), and birthplace if they differ by it.
        With minimisation its diagonal is not used.
    by_birthplace
        Whether flows are told by birthplace. Otherwise they are never all in memory.
    stayers
        Whether those who stay stand on the diagonal; otherwise zeros do.

    Returns
    -------
    xarray.DataArray
        Persons per period; dims ([birthplace,] origin, destination) after the further ones.

    Raises
    ------
    InputError
        With every number that is none, or negative, and every place that another array lacks; with
        the places of which more die or are born than live there, the birthplaces whose totals a
        closed system cannot reach, and those whose stocks the zeros of the seed make impossible. Of
        several draws, with the faults of the first that has some.
    UsageError
        If dims or labels are missing, one of births and deaths is given without the other, or an
        option is another word.

    References
    ----------
    Abel (2013), doi 10.4054/DemRes.2013.28.18 (``open-dr``); Abel & Sander (2014),
    doi 10.1126/science.1248676 (``closed``); Abel & Cohen (2019), doi 10.1038/s41597-019-0089-3;
    independence: Azose & Raftery (2019), doi 10.1073/pnas.1722334116.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> first = xr.DataArray([[90.0, 10.0], [5.0, 50.0]], coords=places)
    >>> then = xr.DataArray([[80.0, 20.0], [8.0, 47.0]], coords=places)
    >>> demographic_flows(first, then).values.tolist()
    [[0.0, 10.0], [3.0, 0.0]]
    >>> demographic_flows(first, then, allocation="independence").round(1).values.tolist()
    [[0.0, 22.3], [15.3, 0.0]]
    """
    check_words(system, matching, allocation)
    accounts = align(start, end, births, deaths)
    stay = allocation == "minimisation"
    prior = None if seed is None else align_seed(seed, accounts, diagonal=not stay)
    spread = allocate_by_birthplace if by_birthplace else allocate

    def flows(index: Index) -> tuple[FloatArray]:
        before, after, *_ = balanced(accounts, index, system, matching)
        return (spread(before, after, stay=stay, seed=prior),)

    (values,) = over_draws(accounts, flows)
    attrs = {"method": "demographic accounting", "system": system, "allocation": allocation}
    if system == "closed":
        attrs["matching"] = matching
    return flow_array(accounts, values, stayers=stayers, attrs=attrs)
