"""Indices of connectivity: how evenly flows are spread over corridors, origins and destinations."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._index_flows import PAIR, checked_flows, off_diagonal
from flowcast.accounting.raking import Margins, rake
from flowcast.errors import Faults

__all__ = ["connectivity"]

FloatArray = NDArray[np.float64]


def connectivity(flows: xr.DataArray) -> xr.Dataset:
    r"""Return how evenly flows are spread.

    With n places, ``N = n (n - 1)`` corridors, flows M_ij that sum to M, and sums over corridors:

    - ``connectivity``: corridors with a flow, as a share of N (Bell et al. 2002, doi
      10.1111/1467-985X.00247);
    - ``inequality_equal``, ``inequality_expected``: ``sum |M_ij - E_ij| / (2 M)``, the share of
      moves that would have to go elsewhere; E_ij is M / N, or what origin and destination totals
      lead to expect off the diagonal (quasi-independence; Bell et al. 2002);
    - ``gini``: ``sum |M_ij - M_kl| / (2 (N - 1) M)`` over pairs of corridors (Plane & Mulligan
      1997, Demography 34(2), 251-262, with the denominator of Bell et al. 2002, so that one single
      flow has 1);
    - ``row_share``, ``column_share``, ``exchange_share``: what pairs of corridors with the same
      origin, with the same destination, and of opposite direction are of that sum;
    - ``gini_out``, ``gini_in``: the Gini index of each place's flows over its n - 1 destinations
      (or origins), ``sum |M_ij - M_ik| / (2 (n - 2) M_i)``; ``weighted_gini_out`` and
      ``weighted_gini_in`` their means, weighted by the moves out of (or into) the place, and
      ``weighted_gini`` the mean of both. NaN with fewer than 3 places;
    - ``coefficient_of_variation``: standard deviation of flows over their mean (Rogers & Raymer
      1998, International Journal of Population Geography 4(1), 63-80); and
      ``aggregate_coefficient_of_variation``: those of each place's out- and inflows, weighted by
      its moves, added up (Rogers & Sweeney 1998, Professional Geographer 50(2), 232-242);
    - ``theil``: ``sum (M_ij / M) log(N M_ij / M)``, between 0 and log N (Theil 1967, Economics and
      information theory).

    Parameters
    ----------
    flows
        Persons, (..., origin, destination).

    Returns
    -------
    xarray.Dataset
        Each with the other dims; ``gini_out`` and ``gini_in`` by ``place`` too. None depends on
        the unit of the flows.

    Raises
    ------
    InputError
        If dims or labels do not fit, flows are negative, or there are none.

    Notes
    -----
    Weighted Gini indices are weighted means, from 0 to 1; some programs divide them by n once more.

    Examples
    --------
    >>> places = {"origin": ["A", "B", "C"], "destination": ["A", "B", "C"]}
    >>> flows = xr.DataArray([[0.0, 20.0, 0.0], [20.0, 0.0, 0.0], [20.0, 0.0, 0.0]], places)
    >>> found = connectivity(flows)
    >>> float(found["connectivity"]), round(float(found["gini"]), 3)
    (0.5, 0.6)
    """
    faults = Faults("connectivity")
    moves = checked_flows(faults, flows)
    if (moves.sum(PAIR) == 0.0).any():
        faults.add("a table without flows", "at least one flow", where="flows")
    faults.raise_if_any()
    corridors, _ = off_diagonal(moves)
    x, table = corridors.to_numpy(), moves.to_numpy()
    n, total = moves.sizes["origin"], x.sum(axis=-1)
    share = x / total[..., None]
    expected = _expected(moves).to_numpy()
    found = {
        "connectivity": (x > 0.0).mean(axis=-1),
        "inequality_equal": 0.5 * np.abs(share - 1.0 / x.shape[-1]).sum(axis=-1),
        "inequality_expected": 0.5 * np.abs(table - expected).sum(axis=(-2, -1)) / total,
        **_ginis(x, table, total, n),
        "coefficient_of_variation": x.std(axis=-1) / x.mean(axis=-1),
        "aggregate_coefficient_of_variation": _variation(table, total, n),
        "theil": _theil(share),
    }
    others = [d for d in moves.dims if d not in PAIR]
    out = {name: (others, value) for name, value in found.items()}
    by_place = {
        name: ([*others, "place"], _gini(lines))
        for name, lines in (("gini_out", _lines(table, n)), ("gini_in", _lines(_turned(table), n)))
    }
    coords = {d: moves.indexes[d] for d in others if d in moves.indexes}
    if "origin" in moves.indexes:
        coords["place"] = moves.indexes["origin"].rename("place")
    return xr.Dataset({**out, **by_place}, coords)


def _expected(moves: xr.DataArray) -> xr.DataArray:
    """Return flows that have the same sums and are independent off the diagonal."""
    off = xr.DataArray(~np.eye(moves.sizes["origin"], dtype=bool), dims=PAIR)
    seed = moves.isel({d: 0 for d in moves.dims if d not in PAIR}, drop=True)
    seed = seed.copy(data=off.to_numpy().astype(np.float64))
    others = [str(d) for d in moves.dims if d not in PAIR]
    margins: Margins = {dim: moves.sum(other) for dim, other in (PAIR, PAIR[::-1])}
    return rake(seed, margins, each=others).table.transpose(*moves.dims)


def _lines(table: FloatArray, n: int) -> FloatArray:
    """Return each place's flows without the diagonal, (..., place, n - 1)."""
    off = ~np.eye(n, dtype=bool)
    return table[..., off].reshape(*table.shape[:-1], n - 1)


def _turned(table: FloatArray) -> FloatArray:
    return np.swapaxes(table, -1, -2)


def _spread(values: FloatArray) -> FloatArray:
    """Return ``sum |x - y|`` over all ordered pairs along the last axis, from the sorted values."""
    n = values.shape[-1]
    weight = 2.0 * np.arange(1, n + 1) - n - 1.0
    return np.asarray(2.0 * (np.sort(values, axis=-1) @ weight))


def _gini(values: FloatArray) -> FloatArray:
    """Return the Gini index along the last axis; 0 where there are no flows at all."""
    n = values.shape[-1]
    if n < 2:
        return np.full(values.shape[:-1], np.nan)
    total = values.sum(axis=-1)
    return np.asarray(_spread(values) / (2.0 * (n - 1) * np.where(total > 0.0, total, 1.0)))


def _ginis(x: FloatArray, table: FloatArray, total: FloatArray, n: int) -> dict[str, FloatArray]:
    rows, columns = _lines(table, n), _lines(_turned(table), n)
    spread = _spread(x)
    everything = np.where(spread > 0.0, spread, 1.0)
    exchange = np.abs(table - _turned(table)).sum(axis=(-2, -1))
    out = (_gini(rows) * rows.sum(axis=-1)).sum(axis=-1) / total
    into = (_gini(columns) * columns.sum(axis=-1)).sum(axis=-1) / total
    return {
        "gini": _gini(x),
        "row_share": _spread(rows).sum(axis=-1) / everything,
        "column_share": _spread(columns).sum(axis=-1) / everything,
        "exchange_share": exchange / everything,
        "weighted_gini_out": out,
        "weighted_gini_in": into,
        "weighted_gini": (out + into) / 2.0,
    }


def _variation(table: FloatArray, total: FloatArray, n: int) -> FloatArray:
    """Return the weighted coefficients of variation of out- and inflows, added up."""
    parts = np.zeros_like(total)
    for lines in (_lines(table, n), _lines(_turned(table), n)):
        # the coefficient is sd / mean, and the mean is moves / (n - 1): the moves cancel
        parts = parts + lines.std(axis=-1).sum(axis=-1) * (n - 1) / total
    return np.asarray(parts)


def _theil(share: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(share > 0.0, share * np.log(share * share.shape[-1]), 0.0)
    return np.asarray(terms.sum(axis=-1))
