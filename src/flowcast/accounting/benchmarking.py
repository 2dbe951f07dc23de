"""Draws of flows adjusted to net migration and population change, nearest in relative entropy.

Every draw is multiplied by a factor of its origin and one of its destination, the smallest change
in the sense of Kullback and Leibler that gives each place the net migration drawn for it:
``x_ij = f_ij v_j / v_i``, with v = 1 for places without a margin. So births - deaths + net =
change holds in every draw, zeros stay zeros, and opposite flows keep their product.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._factors import find_factors
from flowcast.accounting._named import check_values, refuse_dims, same_labels
from flowcast.accounting.population import PopulationMargins
from flowcast.errors import Faults

__all__ = ["Benchmarked", "benchmark_flows"]

FloatArray = NDArray[np.float64]

PAIR: Final = ("origin", "destination")


@dataclass(frozen=True, slots=True, eq=False)
class Benchmarked:
    """Flows that fit the margins drawn for them.

    Attributes
    ----------
    flows
        Persons per period, dims as the flows given.
    margins
        What they fit: `births`, `deaths`, `change`, `net`, `immigration`, `emigration`; NaN where
        not given. Dims of the flows, with `place` for origin and destination.
    log_origin, log_destination
        Log factor of flows from each place, and to it; the same dims.
    gap
        Largest distance of a sum from its margin, relative to all moves that are in it, by table.
    notes
        Periods without margins, and what was spread over the places of a closed system.
    """

    flows: xr.DataArray
    margins: xr.Dataset
    log_origin: xr.DataArray
    log_destination: xr.DataArray
    gap: xr.DataArray
    notes: tuple[str, ...]


def benchmark_flows(
    flows: xr.DataArray, margins: PopulationMargins, *, seed: int = 1
) -> Benchmarked:
    """Adjust every draw of flows to margins drawn for it.

    Parameters
    ----------
    flows
        Persons per period, 0 or more; dims (origin, destination), if need be `period`, with first
        days and days after the last as coordinates `period_start` and `period_end`, and any others,
        such as (chain, draw), along which tables are separate. NaN is a flow that does not exist.
        The diagonal is left alone. Flows without `period` take margins of one period.
    margins
        Of moves among the places of the flows. Places without a margin stay free. Where every
        place has one, the sum of net migration has to be 0: what it is off in each draw is
        spread in proportion to the variances of net migration (least squares), and change follows.
        With a place ``rest_of_world``, which has no margin itself, nothing is spread.
    seed
        Of the margins' errors.

    Returns
    -------
    Benchmarked

    Raises
    ------
    InputError
        With every fault: dims, labels and periods that do not fit, values that are no flows, net
        migration that is further from 0 than its errors explain, and every place and period whose
        margin no table with the zeros of the flows has.
    ConvergenceError
        If a table that there is was not found.

    Examples
    --------
    >>> from flowcast.accounting import population_margins
    >>> import pandas as pd
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> flows = xr.DataArray([[0.0, 4.0], [1.0, 0.0]], places)
    >>> rows = [{"place": p, "year": 2020, "net": 0, "net_sd": 0} for p in "AB"]
    >>> found = benchmark_flows(flows, population_margins(pd.DataFrame(rows)))
    >>> found.flows.round(6).values.tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    faults = Faults("flows")
    others = [str(d) for d in flows.dims if d not in (*PAIR, "period")]
    refuse_dims(faults, "flows", flows, PAIR, [str(d) for d in flows.dims if d not in PAIR])
    faults.raise_if_any()
    same_labels(faults, "flows", flows, PAIR)
    check_values(faults, "flows", flows.fillna(0.0))
    bounds = _bounds(flows, margins, faults)
    faults.raise_if_any()
    if "origin" not in flows.indexes:
        faults.add("places without labels", "labels, as margins have them", where="flows")
    faults.raise_if_any()
    lone = "period" not in flows.dims
    full = flows.expand_dims("period") if lone else flows
    full = full.transpose(*others, "period", *PAIR)
    sizes = [full.sizes[dim] for dim in others]
    tables = full.to_numpy().astype(np.float64).reshape(-1, *full.shape[len(others) :])
    off = ~np.eye(full.sizes["origin"], dtype=bool)
    found = find_factors(
        lambda k: lambda draw: np.nan_to_num(tables[draw, k]) * off,
        [str(place) for place in full["origin"].to_numpy()],
        bounds,
        len(tables),
        margins,
        seed,
    )
    factor = (
        found.log_origin.swapaxes(1, 2)[..., None]
        + found.log_destination.swapaxes(1, 2)[..., None, :]
    )
    adjusted = tables * np.where(off, np.exp(factor), 1.0)
    place = full.isel(destination=0, drop=True).rename(origin="place")
    order = [*others, "place", "period"]

    def named(values: FloatArray) -> xr.DataArray:
        like = place.transpose(*order)
        out = like.copy(data=values.reshape(like.shape)).drop_attrs()
        return out.isel(period=0, drop=True) if lone else out

    one = full.isel(origin=0, destination=0, drop=True).drop_attrs()
    gap = one.copy(data=found.gap.reshape(*sizes, -1))
    out = full.copy(data=adjusted.reshape(full.shape))
    return Benchmarked(
        (out.isel(period=0, drop=True) if lone else out).transpose(*flows.dims),
        xr.Dataset({name: named(values) for name, values in found.margins.items()}),
        named(found.log_origin),
        named(found.log_destination),
        gap.isel(period=0, drop=True) if lone else gap,
        found.notes,
    )


def _bounds(
    flows: xr.DataArray, margins: PopulationMargins, faults: Faults
) -> list[NDArray[np.datetime64]]:
    """Return first day and day after the last of each period of the flows."""
    if "period" not in flows.dims:
        if len(margins.bounds) != 1:
            found = f"{len(margins.bounds)} periods for flows without a dim period"
            faults.add(found, "one", where=margins.name)
        return [margins.bounds[0]]
    names = ("period_start", "period_end")
    missing = [n for n in names if n not in flows.coords or flows[n].dims != ("period",)]
    for name in missing:
        faults.add(f"no coordinate {name} of period", "the dates of each period", where="flows")
    if missing:
        return []
    days = np.stack([flows[name].to_numpy().astype("datetime64[D]") for name in names], axis=1)
    return list(days)
