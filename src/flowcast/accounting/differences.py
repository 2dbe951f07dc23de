"""The simplest estimators: differences of stocks, and rates applied to stocks.

They make no account: nobody is born, dies or is followed, and people who move on between two places
that are both not where they were born are moved by none of them but the rates of growth.
"""

from typing import Literal, get_args

import numpy as np
import xarray as xr

from flowcast.accounting._accounts import BIRTHPLACE, RESIDENCE, align, flow_array
from flowcast.accounting._margins import FloatArray
from flowcast.errors import Fault, InputError, UsageError, require_word

__all__ = ["Negative", "difference_flows", "growth_flows", "rate_flows"]

Negative = Literal["drop", "reverse"]


def difference_flows(
    start: xr.DataArray, end: xr.DataArray, *, negative: Negative = "drop"
) -> xr.DataArray:
    r"""Take the growth of each group of foreign-born for a flow from where they were born.

    Drop-negative: :math:`x_{ij} = \max(s^2_{ij} - s^1_{ij}, 0)` for birthplace i and residence j.
    Reverse-negative takes what a group shrank by for a return, :math:`x_{ij} = \max(s^2_{ij} -
    s^1_{ij}, 0) + \max(s^1_{ji} - s^2_{ji}, 0)`. Native-born, births and deaths do not enter: the
    deaths of foreign-born lower the first and, worse, count as returns in the second.

    Parameters
    ----------
    start, end
        Stocks at the start and at the end of the period, persons; dims (birthplace, residence), and
        any others such as draw.
    negative
        What becomes of groups that shrink: ``"drop"`` or ``"reverse"``.

    Returns
    -------
    xarray.DataArray
        Persons per period; dims (origin, destination) after the further ones, nothing on the
        diagonal.

    Raises
    ------
    InputError
        With every number that is none, or negative, and every place that the other table lacks.
    UsageError
        If dims or labels are missing, or `negative` is another word.

    References
    ----------
    Abel & Cohen (2019), doi 10.1038/s41597-019-0089-3, who name them; drop-negative in Beine,
    Docquier & Özden (2011), doi 10.1016/j.jdeveco.2009.10.004, reverse-negative in Beine & Parsons
    (2015), doi 10.1111/sjoe.12098.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> start = xr.DataArray([[90.0, 10.0], [8.0, 50.0]], coords=places)
    >>> end = xr.DataArray([[90.0, 14.0], [5.0, 50.0]], coords=places)
    >>> difference_flows(start, end).values.tolist()
    [[0.0, 4.0], [0.0, 0.0]]
    >>> difference_flows(start, end, negative="reverse").values.tolist()
    [[0.0, 7.0], [0.0, 0.0]]
    """
    require_word("negative", negative, get_args(Negative))
    accounts = align(start, end)
    growth = accounts.end - accounts.start
    flows = np.maximum(growth, 0.0)
    if negative == "reverse":
        flows += np.maximum(-growth, 0.0).swapaxes(-1, -2)
    return flow_array(accounts, flows, attrs={"method": f"{negative}-negative"})


def rate_flows(
    start: xr.DataArray,
    end: xr.DataArray | None = None,
    births: xr.DataArray | None = None,
    deaths: xr.DataArray | None = None,
    *,
    total: float | None = None,
) -> xr.DataArray:
    r"""Share a total of moves among corridors as the foreign-born are shared at the start.

    :math:`x_{ij} = M s^1_{ij} / \sum_{i \ne j} s^1_{ij}`. Without a total, M is the sum of net
    migration without its sign, :math:`M = \sum_j |\sum_b s^2_{bj} - \sum_b s^1_{bj} - b_j + d_j|`.
    Births and deaths left out count as none.

    Parameters
    ----------
    start, end
        Stocks, persons; dims (birthplace, residence), and any others such as draw. The end is only
        needed where no total is given.
    births, deaths
        Persons in the period; dims (place), and any others.
    total
        Moves in the period, persons.

    Returns
    -------
    xarray.DataArray
        Persons per period; dims (origin, destination) after the further ones, nothing on the
        diagonal. Zero throughout if nobody lives abroad and the total is 0.

    Raises
    ------
    InputError
        With every number that is none, or negative; if nobody lives abroad at the start while there
        are moves to share out.
    UsageError
        If there is neither a total nor an end, or the total is no number of persons; as in
        `difference_flows`.

    References
    ----------
    Dennett (2016), doi 10.1002/9781118937464.ch7; with this total, Abel & Cohen (2019),
    doi 10.1038/s41597-019-0089-3.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> start = xr.DataArray([[90.0, 10.0], [30.0, 50.0]], coords=places)
    >>> rate_flows(start, total=20.0).values.tolist()
    [[0.0, 5.0], [15.0, 0.0]]
    """
    if total is None and end is None:
        raise UsageError("(total) | found neither a total nor stocks at the end; allowed: either")
    if total is not None and not 0.0 <= total < np.inf:
        raise UsageError(f"(total) | found {total:g}; allowed: persons, 0 or more")
    accounts = align(start, start if end is None else end, births, deaths)
    if total is None:
        change = (accounts.end - accounts.start).sum(axis=-2)
        moves: FloatArray = np.abs(change - accounts.births + accounts.deaths).sum(axis=-1)
    else:
        moves = np.full(accounts.shape, float(total))
    abroad = accounts.start * ~np.eye(len(accounts.places), dtype=bool)
    n_abroad = abroad.sum(axis=(-2, -1))
    if ((n_abroad == 0.0) & (moves > 0.0)).any():
        raise InputError(
            [
                Fault(
                    "stocks at the start",
                    "nobody who lives abroad",
                    "some foreign-born, as their shares are those of the moves",
                )
            ]
        )
    scale = np.divide(moves, n_abroad, out=np.zeros_like(moves), where=n_abroad > 0.0)
    flows = abroad * scale[..., None, None]
    return flow_array(accounts, flows, attrs={"method": "rates", "reference": "Dennett (2016)"})


def growth_flows(start: xr.DataArray, end: xr.DataArray) -> xr.DataArray:
    r"""Estimate transitions that the groups of all birthplaces would share; some can be negative.

    If people moved from i to j with one probability wherever they were born, then :math:`S^2 = S^1
    P` with birthplaces in rows, so that :math:`P = (S^1)^{-1} S^2` and :math:`x_{ij} = P_{ij}
    \sum_b s^1_{bi}`. Nothing keeps P within 0 and 1: **negative flows are no fault of the
    arithmetic**, but say that the groups did not move alike. Births and deaths are within P.

    Parameters
    ----------
    start, end
        Stocks, persons; dims (birthplace, residence), and any others such as draw.

    Returns
    -------
    xarray.DataArray
        Persons per period, possibly negative; dims (origin, destination) after the further ones,
        nothing on the diagonal.

    Raises
    ------
    InputError
        If the stocks at the start are singular: two groups live alike, or one is empty; as in
        `difference_flows`.
    UsageError
        As in `difference_flows`.

    References
    ----------
    Rogers & von Rabenau (1971), Estimation of interregional migration streams from
    place-of-birth-by-residence data, Demography 8(2), 185-194.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> start = xr.DataArray([[100.0, 0.0], [0.0, 50.0]], coords=places)
    >>> end = xr.DataArray([[90.0, 10.0], [5.0, 45.0]], coords=places)
    >>> growth_flows(start, end).values.tolist()
    [[0.0, 10.0], [5.0, 0.0]]
    """
    accounts = align(start, end)
    rank = np.linalg.matrix_rank(_by_row(accounts.start))
    if (rank < len(accounts.places)).any():
        found = f"a singular table, of rank {int(rank.min())} for {len(accounts.places)} places"
        raise InputError(
            [
                Fault(
                    "stocks at the start",
                    found,
                    "groups that live differently",
                    column=f"{BIRTHPLACE}, {RESIDENCE}",
                )
            ]
        )
    growth = np.linalg.solve(accounts.start, accounts.end)
    flows = accounts.start.sum(axis=-2)[..., None] * growth
    return flow_array(accounts, flows, attrs={"method": "rogers-von-rabenau"})


def _by_row(stock: FloatArray) -> FloatArray:
    """Return rows that sum to 1, so that small birthplaces count as much for the rank as large."""
    total = stock.sum(axis=-1, keepdims=True)
    return np.divide(stock, total, out=np.zeros_like(stock), where=total > 0.0)
