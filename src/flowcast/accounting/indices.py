"""Indices of migration: how much, to what effect, between which places, how far, at what age.

The battery of Bell et al. (2002, doi 10.1111/1467-985X.00247) and what came after it, for one table
of flows or for draws of it: dims other than origin and destination stay, so that an index of draws
has draws, and its interval is taken from them. The diagonal is never counted.
"""

import numpy as np
import xarray as xr

from flowcast.accounting._index_age import age_profile, schedule_indices
from flowcast.accounting._index_connectivity import connectivity
from flowcast.accounting._index_distance import distance_decay, distance_moved
from flowcast.accounting._index_flows import PAIR, checked_flows, checked_population
from flowcast.errors import Faults

__all__ = [
    "age_profile",
    "connectivity",
    "distance_decay",
    "distance_moved",
    "impact",
    "intensity",
    "schedule_indices",
    "streams",
]


def intensity(flows: xr.DataArray, population: xr.DataArray) -> xr.Dataset:
    """Return how much people move.

    ``crude_migration_intensity`` is ``100 M / P``, moves between places per 100 persons (Bell et
    al. 2002, doi 10.1111/1467-985X.00247; with transitions in place of moves it is the crude
    migration probability). It grows with the number n of places; ``courgeau_k`` divides it by
    ``log(n^2)``, so that systems of different n can be compared (Courgeau 1973, doi
    10.2307/1530972).

    Parameters
    ----------
    flows
        Persons, (..., origin, destination).
    population
        Persons at risk by ``place``; other dims as in `flows`.

    Returns
    -------
    xarray.Dataset
        Both per 100 persons, with the other dims.

    Raises
    ------
    InputError
        If dims or labels do not fit, flows are negative, or a population is not above 0.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> flows = xr.DataArray([[0.0, 30.0], [10.0, 0.0]], places)
    >>> people = xr.DataArray([500.0, 1500.0], {"place": ["A", "B"]})
    >>> float(intensity(flows, people)["crude_migration_intensity"])
    2.0
    """
    faults = Faults("intensity")
    moves = checked_flows(faults, flows)
    people = checked_population(faults, population, moves)
    crude = 100.0 * moves.sum(PAIR) / people.sum("place")
    k = crude / np.log(float(moves.sizes["origin"]) ** 2)
    return xr.Dataset({"crude_migration_intensity": crude, "courgeau_k": k})


def impact(flows: xr.DataArray, population: xr.DataArray) -> xr.Dataset:
    """Return how far moves redistribute the population.

    With inflow D and outflow O of each place:

    - ``effectiveness``: ``100 sum |D - O| / sum (D + O)``, the part of moves that is not undone by
      moves the other way (Shryock & Siegel 1976, The methods and materials of demography);
    - ``aggregate_net_migration_rate``: ``100 sum |D - O| / (2 P)``, persons redistributed per 100
      of the population (Bell et al. 2002, doi 10.1111/1467-985X.00247). It is the crude migration
      intensity times the effectiveness, over 100.

    Parameters
    ----------
    flows, population
        As in `intensity`.

    Returns
    -------
    xarray.Dataset
        Both from 0 to 100, with the other dims; effectiveness is NaN where nobody moves.

    Raises
    ------
    InputError
        As `intensity`.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> flows = xr.DataArray([[0.0, 30.0], [10.0, 0.0]], places)
    >>> people = xr.DataArray([500.0, 1500.0], {"place": ["A", "B"]})
    >>> found = impact(flows, people)
    >>> float(found["effectiveness"]), float(found["aggregate_net_migration_rate"])
    (50.0, 1.0)
    """
    faults = Faults("impact")
    moves = checked_flows(faults, flows)
    people = checked_population(faults, population, moves)
    came = moves.sum("origin").rename(destination="place")
    left = moves.sum("destination").rename(origin="place")
    shifted = abs(came - left).sum("place")
    turnover = (came + left).sum("place")
    effectiveness = 100.0 * shifted / turnover.where(turnover > 0.0)
    rate = 50.0 * shifted / people.sum("place")
    return xr.Dataset({"effectiveness": effectiveness, "aggregate_net_migration_rate": rate})


def streams(flows: xr.DataArray, population: xr.DataArray) -> xr.Dataset:
    """Return indices of each corridor.

    With populations p that sum to P and flows m that sum to M:

    - ``velocity``: ``100 (m_ij / p_i) / (p_j / P)``, the out-migration rate to j per share of the
      population that j has (Bogue, Shryock & Hoermann 1957, Subregional migration in the United
      States);
    - ``net_velocity``: velocity less that of the opposite corridor, ``100 (m_ij - m_ji) P / (p_i
      p_j)``;
    - ``preference``: ``100 m_ij / E_ij``, with E_ij in proportion to ``p_i p_j`` and the same sum
      as the flows: above 100 where more move than the two populations would lead to expect (Bachi
      1956, cited with the others in United Nations 1970, Manual VI, chapter IV);
    - ``effectiveness``: ``100 (m_ij - m_ji) / (m_ij + m_ji)``, from -100 to 100.

    Parameters
    ----------
    flows, population
        As in `intensity`.

    Returns
    -------
    xarray.Dataset
        (..., origin, destination); NaN on the diagonal, and where nobody moves either way.

    Raises
    ------
    InputError
        As `intensity`.

    Examples
    --------
    >>> places = {"origin": ["A", "B"], "destination": ["A", "B"]}
    >>> flows = xr.DataArray([[0.0, 30.0], [10.0, 0.0]], places)
    >>> people = xr.DataArray([500.0, 1500.0], {"place": ["A", "B"]})
    >>> found = streams(flows, people).sel(origin="A", destination="B")
    >>> {str(name): round(float(value), 2) for name, value in found.items()}
    {'velocity': 8.0, 'net_velocity': 5.33, 'preference': 150.0, 'effectiveness': 50.0}
    """
    faults = Faults("streams")
    moves = checked_flows(faults, flows)
    people = checked_population(faults, population, moves)
    swapped = moves.rename(origin="destination", destination="origin").transpose(*moves.dims)
    pairs = people.rename(place="origin") * people.rename(place="destination")
    off = moves.where(xr.DataArray(~np.eye(moves.sizes["origin"], dtype=bool), dims=PAIR))
    velocity = 100.0 * off * people.sum("place") / pairs
    expected = pairs.where(off.notnull())
    total, both = moves.sum(PAIR), off + swapped
    preference = 100.0 * off * expected.sum(PAIR) / expected / total.where(total > 0.0)
    found = {
        "velocity": velocity,
        "net_velocity": 100.0 * (off - swapped) * people.sum("place") / pairs,
        "preference": preference,
        "effectiveness": 100.0 * (off - swapped) / both.where(both > 0.0),
    }
    return xr.Dataset({name: value.transpose(*moves.dims) for name, value in found.items()})
