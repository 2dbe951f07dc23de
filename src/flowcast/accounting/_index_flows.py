"""What all indices of a table of flows begin with."""

from typing import Final

import numpy as np
import xarray as xr

from flowcast.accounting._named import align, check_values, refuse_dims, same_labels
from flowcast.errors import Faults

__all__ = ["PAIR", "checked_flows", "checked_population", "off_diagonal"]

PAIR: Final = ("origin", "destination")


def checked_flows(faults: Faults, flows: xr.DataArray) -> xr.DataArray:
    """Return flows as (..., origin, destination) with a diagonal of 0, or raise.

    Raises
    ------
    InputError
        If dims are missing, places differ between the two, or flows are negative or not finite.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> checked_flows(Faults("flows"), xr.DataArray([[7, 1], [2, 8]], places)).values.tolist()
    [[0.0, 1.0], [2.0, 0.0]]
    """
    refuse_dims(faults, "flows", flows, PAIR, [str(d) for d in flows.dims])
    faults.raise_if_any()
    same_labels(faults, "flows", flows, PAIR)
    if flows.sizes["origin"] < 2:
        faults.add("1 place", "2 places or more", where="flows")
    faults.raise_if_any()
    off = xr.DataArray(~np.eye(flows.sizes["origin"], dtype=bool), dims=PAIR)
    moves = flows.astype(np.float64).where(off, 0.0).transpose(..., *PAIR)
    check_values(faults, "flows", moves)
    faults.raise_if_any()
    return moves.rename(None)


def checked_population(
    faults: Faults, population: xr.DataArray, moves: xr.DataArray
) -> xr.DataArray:
    """Return the population by place, in the order of the flows, or raise.

    Raises
    ------
    InputError
        If dims or labels do not fit, or a population is not above 0.

    Examples
    --------
    >>> moves = xr.DataArray([[0.0, 1.0], [2.0, 0.0]], dims=PAIR)
    >>> checked_population(Faults("x"), xr.DataArray([5, 6], dims="place"), moves).values.tolist()
    [5.0, 6.0]
    """
    others = [str(d) for d in moves.dims if d not in PAIR]
    refuse_dims(faults, "population", population, ["place"], others)
    faults.raise_if_any()
    like = moves.isel(destination=0, drop=True).rename(origin="place")
    people = align(faults, "population", population, like).astype(np.float64)
    check_values(faults, "population", people, above=True, what="persons, more than 0")
    faults.raise_if_any()
    return people.rename(None)


def off_diagonal(moves: xr.DataArray) -> tuple[xr.DataArray, np.ndarray[tuple[int, int]]]:
    """Return the flows off the diagonal as (..., corridor), and which cells they were."""
    n = moves.sizes["origin"]
    cells = np.argwhere(~np.eye(n, dtype=bool))
    values = moves.to_numpy()[..., cells[:, 0], cells[:, 1]]
    others = [d for d in moves.dims if d not in PAIR]
    coords = {d: moves.indexes[d] for d in others if d in moves.indexes}
    return xr.DataArray(values, coords, [*others, "corridor"]), cells
