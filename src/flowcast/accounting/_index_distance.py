"""Indices of distance: how far moves go, and how fast flows fall with distance."""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import sparse

from flowcast.accounting._feasible import MAX_CELLS, possible_cells
from flowcast.accounting._index_flows import (
    PAIR,
    checked_flows,
    checked_population,
    off_diagonal,
)
from flowcast.accounting._named import align, cell_name, check_values, expand, refuse_dims
from flowcast.accounting._projection import project_entropy
from flowcast.errors import ConvergenceError, Faults

__all__ = ["distance_decay", "distance_moved"]

FloatArray = NDArray[np.float64]
TOLERANCE = 1e-9


def distance_moved(flows: xr.DataArray, distance: xr.DataArray) -> xr.Dataset:
    """Return the mean and the median distance of a move.

    ``mean_distance`` is ``sum m d / sum m``; ``median_distance`` is the shortest distance that at
    least half of the moves do not exceed (Bell et al. 2002, doi 10.1111/1467-985X.00247). Distances
    are between places, so that both depend on how the places are cut.

    Parameters
    ----------
    flows
        Persons, (..., origin, destination).
    distance
        Kilometres (or another unit), (origin, destination), 0 or more; its diagonal does not
        matter.

    Returns
    -------
    xarray.Dataset
        In the unit of `distance`, with the other dims of the flows.

    Raises
    ------
    InputError
        If dims or labels do not fit, numbers are negative or not finite, or there are no flows.

    Examples
    --------
    >>> places = {"origin": ["A", "B", "C"], "destination": ["A", "B", "C"]}
    >>> flows = xr.DataArray([[0.0, 6.0, 2.0], [0.0, 0.0, 0.0], [0.0, 2.0, 0.0]], places)
    >>> km = xr.DataArray([[0.0, 10.0, 40.0], [10.0, 0.0, 30.0], [40.0, 30.0, 0.0]], places)
    >>> found = distance_moved(flows, km)
    >>> float(found["mean_distance"]), float(found["median_distance"])
    (20.0, 10.0)
    """
    faults = Faults("distance")
    moves = checked_flows(faults, flows)
    corridors, km = _with_distance(faults, moves, distance, above=False)
    x = corridors.to_numpy()
    total = x.sum(axis=-1)
    if (total == 0.0).any():
        faults.add("a table without flows", "at least one flow", where="flows")
    faults.raise_if_any()
    order = np.argsort(km, kind="stable")
    upto = np.cumsum(x[..., order], axis=-1)
    # rounding of the sum must not push the middle move to the next distance
    middle = (upto >= 0.5 * total[..., None] * (1.0 - 1e-12)).argmax(axis=-1)
    one = corridors.isel(corridor=0, drop=True)
    return xr.Dataset(
        {
            "mean_distance": one.copy(data=x @ km / total),
            "median_distance": one.copy(data=km[order][middle]),
        }
    )


def distance_decay(
    flows: xr.DataArray, distance: xr.DataArray, population: xr.DataArray | None = None
) -> xr.Dataset:
    """Return how fast flows fall with distance: the exponent of a gravity model.

    Poisson maximum likelihood of ``E m_ij = a_i b_j d_ij^-g``, an effect for each origin and each
    destination (Flowerdew & Aitkin 1982, Journal of Regional Science 22(2), 191-202). With
    `population`, of ``E m_ij = k p_i^u p_j^v d_ij^-g``. The fit keeps the sums of the flows (by
    place, or in all) and the mean log distance of a move, and of all tables that do it is the one
    nearest to equal flows: so it is computed, by Newton's method on the dual. A flow of twice the
    distance is ``2^-g`` times as large.

    Parameters
    ----------
    flows
        Persons, (..., origin, destination).
    distance
        Kilometres (or another unit), (origin, destination), more than 0 off the diagonal.
    population
        Persons by ``place``; other dims as in `flows`.

    Returns
    -------
    xarray.Dataset
        ``decay``, g; and with `population` ``origin_population`` and ``destination_population``,
        u and v. No standard errors: flows vary far more than a Poisson distribution has it.

    Raises
    ------
    InputError
        If dims or labels do not fit, flows are negative or none, distances or populations not above
        0, or effects of places explain distances wholly, as they do of 3 places.
    ConvergenceError
        If there is no maximum, as where every flow goes to the nearest place.

    Examples
    --------
    >>> places = {"origin": list("ABCD"), "destination": list("ABCD")}
    >>> at = np.array([0.0, 10.0, 40.0, 45.0])
    >>> km = xr.DataArray(np.abs(at[:, None] - at) + np.eye(4), places)
    >>> found = distance_decay(1e6 * km**-1.5, km)
    >>> round(float(found["decay"]), 6)
    1.5
    """
    faults = Faults("distance decay")
    moves = checked_flows(faults, flows)
    people = None if population is None else checked_population(faults, population, moves)
    corridors, km = _with_distance(faults, moves, distance, above=True)
    if (corridors.sum("corridor") == 0.0).any():
        faults.add("a table without flows", "at least one flow", where="flows")
    faults.raise_if_any()
    cells = off_diagonal(moves)[1]
    one = corridors.isel(corridor=0, drop=True)
    names = ["decay"]
    if people is not None:
        names += ["origin_population", "destination_population"]
        sizes = {**one.sizes, "place": moves.sizes["origin"]}
        people = expand(people, sizes)
    found = np.empty((len(names), *one.shape))
    for at in np.ndindex(one.shape):
        log_people = None if people is None else np.log(people.to_numpy()[at])
        flow = corridors.to_numpy()[at]
        a, used = _terms(flow, np.log(km), cells, log_people)
        for name in (n for n, k in zip(names, _tangled(a, len(names)), strict=True) if k):
            found_here = f"{name.replace('_', ' of ')} that cannot be told from other effects"
            faults.add(found_here, "distances and populations that vary", where="distance")
        faults.raise_if_any()
        fit = project_entropy(np.full(len(used), flow[used].mean()), a, a @ flow[used])
        if not fit.gap <= TOLERANCE or _runs_away(a, a @ flow[used], fit.x):
            place = f" at {cell_name(one, at)}" if at else ""
            raise ConvergenceError(
                f"(distance decay{place}) | found no maximum of the likelihood, as it grows with "
                "ever steeper effects; allowed: flows that are not all on the edge of the possible"
            )
        signs = np.array([-1.0, 1.0, 1.0])[: len(names)]
        found[(slice(None), *at)] = signs * fit.potential[-len(names) :]
    return xr.Dataset({n: one.copy(data=v) for n, v in zip(names, found, strict=True)})


def _terms(
    flow: FloatArray, log_km: FloatArray, cells: NDArray[np.intp], log_people: FloatArray | None
) -> tuple[sparse.csr_array, NDArray[np.intp]]:
    """Return the terms of the log expectation, (term, cell), slopes last; and the cells used."""
    if log_people is not None:
        terms = [log_km, log_people[cells[:, 0]], log_people[cells[:, 1]]]
        rows = np.array([np.ones(len(flow)), *(term - term.mean() for term in terms)])
        return sparse.csr_array(rows), np.arange(len(flow))
    n = int(cells.max()) + 1
    sums = [np.bincount(cells[:, k], flow, minlength=n) for k in (0, 1)]
    # a place without moves out (or in) has expectation 0 there, and says nothing of distance
    used = np.flatnonzero((sums[0] > 0.0)[cells[:, 0]] & (sums[1] > 0.0)[cells[:, 1]])
    at, ones = np.arange(len(used)), np.ones(len(used))
    effects = [
        sparse.csr_array((ones, (cells[used, k], at)), shape=(n, len(used)))[sums[k] > 0.0]
        for k in (0, 1)
    ]
    centred = log_km[used] - log_km[used].mean()
    a = sparse.vstack([*effects, sparse.csr_array(centred[None, :])], format="csr")
    return sparse.csr_array(a), used


def _tangled(a: sparse.csr_array, n_slopes: int) -> list[bool]:
    """Return whether the other terms explain each slope's term wholly, so that it is not known."""
    products = (a @ a.T).toarray()
    found = []
    for k in range(len(products) - n_slopes, len(products)):
        rest = np.delete(np.arange(len(products)), k)
        inner, cross = products[np.ix_(rest, rest)], products[rest, k]
        explained = cross @ np.linalg.lstsq(inner, cross, rcond=1e-12)[0]
        found.append(bool(products[k, k] - explained <= 1e-10 * products[k, k]))
    return found


def _runs_away(a: sparse.csr_array, b: FloatArray, fitted: FloatArray) -> bool:
    """Return whether some expectations go to 0, so that coefficients have no finite maximum."""
    if len(fitted) > MAX_CELLS or fitted.min() > 1e-8 * fitted.mean():
        return False
    possible = possible_cells(a, b)
    return possible is not None and not possible.all()


def _with_distance(
    faults: Faults, moves: xr.DataArray, distance: xr.DataArray, *, above: bool
) -> tuple[xr.DataArray, FloatArray]:
    """Return flows and distances by corridor, or raise."""
    refuse_dims(faults, "distance", distance, PAIR)
    faults.raise_if_any()
    aligned = align(faults, "distance", distance, moves).transpose(*PAIR).astype(np.float64)
    faults.raise_if_any()
    off = xr.DataArray(~np.eye(moves.sizes["origin"], dtype=bool), dims=PAIR)
    what = "distances, more than 0" if above else "distances, 0 or more"
    check_values(faults, "distance", aligned.where(off, 1.0), above=above, what=what)
    faults.raise_if_any()
    corridors, cells = off_diagonal(moves)
    return corridors, aligned.to_numpy()[cells[:, 0], cells[:, 1]]
