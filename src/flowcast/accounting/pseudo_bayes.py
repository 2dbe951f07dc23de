"""Pseudo-Bayes flows: between as little movement as the stocks allow and independence of origin."""

from typing import Final, Literal

import numpy as np
import xarray as xr

from flowcast.accounting._accounts import (
    DESTINATION,
    ORIGIN,
    Index,
    align,
    align_seed,
    flow_array,
    over_draws,
)
from flowcast.accounting._kernels import allocate, allocate_by_birthplace
from flowcast.accounting._margins import FloatArray
from flowcast.accounting.demographic import Matching, System, balanced, check_words
from flowcast.errors import Fault, InputError, UsageError

__all__ = ["DEFAULT_WEIGHT", "calibrate_weight", "pseudo_bayes_flows"]

DEFAULT_WEIGHT: Final = 0.87
"""Of minimisation: Azose & Raftery 2019, doi 10.1073/pnas.1722334116."""


def pseudo_bayes_flows(
    start: xr.DataArray,
    end: xr.DataArray,
    births: xr.DataArray | None = None,
    deaths: xr.DataArray | None = None,
    *,
    weight: float | Literal["estimated"] = DEFAULT_WEIGHT,
    system: System = "closed",
    matching: Matching = "before",
    seed: xr.DataArray | None = None,
    by_birthplace: bool = False,
    stayers: bool = False,
) -> xr.DataArray:
    r"""Estimate flows as a weighted mean of those by minimisation and those by independence.

    :math:`x = w x^{min} + (1 - w) x^{ind}`, birthplace by birthplace. Minimisation moves too few
    people, as nobody who is counted at one place at both dates has been away, and none returns;
    independence moves far too many, as nobody prefers to stay.

    Parameters
    ----------
    start, end, births, deaths, system, matching, seed, by_birthplace, stayers
        As in `demographic_flows`. A seed is used in both parts.
    weight
        Of minimisation, between 0 and 1; .87 is that of Azose & Raftery, calibrated to flows
        between European countries. ``"estimated"`` is the pseudo-Bayes rule for tables of counts,
        :math:`w = N / (N + K)` with :math:`K = (N^2 - \sum x^2) / \sum (x - y)^2`, where x and y
        are the two tables by birthplace, origin and destination, stayers included, and N is the
        number of people. It takes each person for an independent draw, so that among millions it
        says next to 1: it is fit for samples, not for countries.

    Returns
    -------
    xarray.DataArray
        As from `demographic_flows`, with the coordinate `weight` (on the further dims).

    Raises
    ------
    InputError
        As from `demographic_flows`.
    UsageError
        If the weight is neither between 0 and 1 nor ``"estimated"``; as from `demographic_flows`.

    References
    ----------
    Azose & Raftery (2019), doi 10.1073/pnas.1722334116. The rule: Fienberg & Holland (1973),
    doi 10.1080/01621459.1973.10481405; Bishop, Fienberg & Holland (1975), Discrete Multivariate
    Analysis, chapter 12.

    Examples
    --------
    >>> places = {"birthplace": ["A", "B"], "residence": ["A", "B"]}
    >>> first = xr.DataArray([[90.0, 10.0], [5.0, 50.0]], coords=places)
    >>> then = xr.DataArray([[80.0, 20.0], [8.0, 47.0]], coords=places)
    >>> pseudo_bayes_flows(first, then).round(1).values.tolist()
    [[0.0, 11.6], [4.6, 0.0]]
    >>> float(pseudo_bayes_flows(first, then, weight="estimated").weight.round(2))
    0.77
    """
    check_words(system, matching)
    estimated = weight == "estimated"
    if not estimated and (isinstance(weight, str) or not 0.0 <= weight <= 1.0):
        raise UsageError(f"(weight) | found {weight!r}; allowed: between 0 and 1, or 'estimated'")
    accounts = align(start, end, births, deaths)
    prior = None if seed is None else align_seed(seed, accounts, diagonal=True)
    spread = allocate_by_birthplace if by_birthplace else allocate

    def flows(index: Index) -> tuple[FloatArray, float]:
        before, after, *_ = balanced(accounts, index, system, matching)
        values = spread(before, after, stay=True, seed=prior)
        free = spread(before, after, stay=False, seed=prior)
        own = _table_weight(before, after, prior) if estimated else float(weight)
        values *= own
        values += np.multiply(free, 1.0 - own, out=free)
        return values, own

    values, weights = over_draws(accounts, flows)
    attrs = {"method": "pseudo-Bayes", "system": system}
    if system == "closed":
        attrs["matching"] = matching
    array = flow_array(accounts, values, stayers=stayers, attrs=attrs)
    return array.assign_coords(weight=(accounts.dims, weights))


def _table_weight(start: FloatArray, end: FloatArray, seed: FloatArray | None) -> float:
    """Return N / (N + K), a birthplace at a time."""
    people, squares, apart = float(start.sum()), 0.0, 0.0
    for b in range(len(start)):
        own = seed[b : b + 1] if seed is not None and seed.ndim == 3 else seed
        one = start[b : b + 1], end[b : b + 1]
        least = allocate_by_birthplace(*one, stay=True, seed=own)
        free = allocate_by_birthplace(*one, stay=False, seed=own)
        squares += float((least**2).sum())
        apart += float(((least - free) ** 2).sum())
    if not people or not apart:
        return 1.0
    return people / (people + (people**2 - squares) / apart)


def calibrate_weight(
    minimisation: xr.DataArray, independence: xr.DataArray, known: xr.DataArray
) -> float:
    r"""Return the weight under which flows that are known come out best.

    The w between 0 and 1 that minimises :math:`\sum_{ij} |y_{ij} - w x^{min}_{ij} - (1 - w)
    x^{ind}_{ij}|` over the corridors whose flow y is known; a weighted median, so exact. Azose &
    Raftery calibrated theirs to flows between European countries in that spirit; the criterion here
    is our own, and robust to a few corridors that no stock can explain.

    Parameters
    ----------
    minimisation, independence
        Flows as from `demographic_flows`; dims (origin, destination).
    known
        Flows of some corridors over the same period, persons; dims (origin, destination), NaN where
        unknown. Its places may be fewer.

    Returns
    -------
    float

    Raises
    ------
    InputError
        If a known flow is negative or infinite, its place is unknown, or no corridor is known on
        which the two differ.

    References
    ----------
    Azose & Raftery (2019), doi 10.1073/pnas.1722334116.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> least = xr.DataArray([[0.0, 10.0], [3.0, 0.0]], coords=places)
    >>> free = xr.DataArray([[0.0, 30.0], [13.0, 0.0]], coords=places)
    >>> known = xr.DataArray([[np.nan, 12.0], [np.nan, np.nan]], coords=places)
    >>> calibrate_weight(least, free, known)
    0.9
    """
    dims = (ORIGIN, DESTINATION)
    for dim in dims:
        lacking = set(known[dim].to_numpy()) - set(minimisation[dim].to_numpy())
        if lacking:
            raise InputError(
                Fault("known flows", str(code), "a place of the estimates", column=dim)
                for code in sorted(lacking)
            )
    labels = {dim: known[dim] for dim in dims}
    least, free = (
        one.sel(labels).transpose(*dims).to_numpy() for one in (minimisation, independence)
    )
    told = known.transpose(*dims).to_numpy()
    if (told < 0.0).any() or np.isinf(told).any():
        raise InputError([Fault("known flows", "a negative or infinite flow", "0 or more")])
    apart = known[ORIGIN].to_numpy()[:, None] != known[DESTINATION].to_numpy()
    used = apart & ~np.isnan(told) & (least != free)
    if not used.any():
        allowed = "corridors on which the two estimates differ"
        raise InputError([Fault("known flows", "none to calibrate by", allowed)])
    slope = (least - free)[used]
    return float(np.clip(_weighted_median((told - free)[used] / slope, np.abs(slope)), 0.0, 1.0))


def _weighted_median(values: FloatArray, weights: FloatArray) -> float:
    order = np.argsort(values)
    passed = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(passed, passed[-1] / 2.0)])
