"""Where people who leave a place go: shares of destinations, drawn for each draw of the total.

Of the y_o persons who leave origin o in a year,

    counts_o ~ Dirichlet-multinomial(y_o, kappa p_o),   p_o = softmax over destinations of b . x_od,

where x has the log of the corridor's own discounted share in the past, whether the places are
neighbours, and the log of their distance; kappa says how far shares of a year are from p. So people
are allocated without loss, and a corridor that was never taken has a small share rather than none.
Which destinations report is known for the past and assumed to stay as in the last year.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import xarray as xr
from scipy.optimize import minimize
from scipy.special import digamma, gammaln, log_softmax

from flowcast.displacement.panel import DisplacementPanel
from flowcast.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    type Floats = NDArray[np.float64]

__all__ = ["Allocation", "allocate", "fit_allocation"]

TERMS: Final = ("past_share", "neighbours", "log_distance")
HALF_LIFE: Final = 2.0
"""Years after which a past share counts for half."""
FLOOR: Final = 1e-5
"""Share of a corridor that was never taken."""
PRIOR_SD: Final = (1.0, 1.0, 1.0, 3.0)
"""Of the coefficients, around 1 for the past share and 0 for the others, and of log kappa."""


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Coefficients with their uncertainty, and what they act on in the years to come.

    Attributes
    ----------
    origins, destinations
        Codes, sorted.
    features
        After the last year, (origin, destination, term).
    possible
        Whether people can be counted there: the destination reports, and is not the origin.
    mode, covariance
        Of the coefficients and log kappa.
    """

    origins: tuple[str, ...]
    destinations: tuple[str, ...]
    features: "Floats"
    possible: "NDArray[np.bool_]"
    mode: "Floats"
    covariance: "Floats"


def fit_allocation(
    panel: DisplacementPanel,
    *,
    distance_km: xr.DataArray,
    neighbours: xr.DataArray,
    years: int = 8,
) -> Allocation:
    """Fit shares of destinations to a panel of pairs, by the mode and a normal around it.

    Parameters
    ----------
    panel
        Pairs of what is known, and no later.
    distance_km, neighbours
        Dims (origin, destination): kilometres; 1 for a common border, else 0. A pair that lacks
        them takes the mean distance, and no border.
    years
        Last years that are fitted.

    Raises
    ------
    UsageError
        If the panel has no destinations, or fewer than three years.
    """
    origins = np.unique(panel.names("place"))
    destinations = np.unique(panel.names("destination"))
    if destinations.tolist() == [""] or len(panel.years) < 3:
        raise UsageError(
            f"(panel) | found {len(destinations)} destinations, {len(panel.years)} years; "
            "allowed: pairs, over three years or more"
        )
    cube = np.full((len(origins), len(destinations), len(panel.years)), np.nan)
    at = [np.searchsorted(origins, panel.names("place"))]
    at += [np.searchsorted(destinations, panel.names("destination"))]
    cube[at[0], at[1]] = panel.values
    reports = np.isfinite(cube).any(axis=0)
    apart = origins[:, None] != destinations[None, :]
    place = {"origin": origins, "destination": destinations}
    logs = np.log(distance_km.reindex(place).to_numpy())
    fixed = [neighbours.reindex(place).fillna(0.0).to_numpy(), logs - np.nanmean(logs)]
    fixed = [np.nan_to_num(one) for one in fixed]
    past = _past_shares(np.nan_to_num(cube))
    first = max(1, len(panel.years) - years)
    data = []
    for t in range(first, len(panel.years)):
        x = np.stack([np.log(past[t] + FLOOR), *fixed], axis=-1)
        data.append((x, np.nan_to_num(cube[:, :, t]), apart & reports[None, :, t]))
    mode, covariance = _fit(data)
    features = np.stack([np.log(past[-1] + FLOOR), *fixed], axis=-1)
    possible = apart & reports[None, :, -1]
    return Allocation(
        tuple(origins.tolist()), tuple(destinations.tolist()), features, possible, mode, covariance
    )


def _past_shares(cube: "Floats") -> "Floats":
    """Return discounted shares before each year, and after the last, (year + 1, o, d)."""
    decay = 0.5 ** (1.0 / HALF_LIFE)
    counts = np.zeros(cube.shape[:2])
    found = [counts]
    for t in range(cube.shape[2]):
        counts = decay * counts + cube[:, :, t]
        found.append(counts)
    total = np.stack(found).sum(axis=2, keepdims=True)
    return np.asarray(np.stack(found) / np.maximum(total, 1.0))


def _fit(
    data: "list[tuple[Floats, Floats, NDArray[np.bool_]]]",
) -> "tuple[Floats, Floats]":
    """Return mode and covariance of coefficients and log kappa."""
    centre = np.array([1.0, 0.0, 0.0, np.log(20.0)])
    precision = np.array(PRIOR_SD) ** -2.0

    def value(theta: "Floats") -> "tuple[float, Floats]":
        total = 0.5 * float((precision * (theta - centre) ** 2).sum())
        slope = precision * (theta - centre)
        for x, y, possible in data:
            found, own = _minus_log(theta, x, y, possible)
            total, slope = total + found, slope + own
        return total, slope

    found = minimize(value, centre, jac=True, method="L-BFGS-B")
    mode = np.asarray(found.x)
    step = 1e-4
    hessian = np.stack(
        [
            (value(mode + step * e)[1] - value(mode - step * e)[1]) / (2 * step)
            for e in np.eye(len(mode))
        ]
    )
    covariance = np.linalg.inv(0.5 * (hessian + hessian.T))
    return mode, covariance


def _minus_log(
    theta: "Floats", x: "Floats", y: "Floats", possible: "NDArray[np.bool_]"
) -> "tuple[float, Floats]":
    """Return minus the log density of a year's counts, and its gradient."""
    kappa = np.exp(theta[-1])
    there = possible.any(axis=1) & (np.where(possible, y, 0.0).sum(axis=1) > 0)
    x, y, possible = x[there], np.where(possible, y, 0.0)[there], possible[there]
    share = np.where(possible, np.exp(_log_shares(theta[:-1], x, possible)), 0.0)
    alpha = np.where(possible, np.maximum(kappa * share, 1e-12), 1.0)
    n = y.sum(axis=1)
    log = gammaln(kappa) - gammaln(kappa + n)
    log += np.where(possible, gammaln(alpha + y) - gammaln(alpha), 0.0).sum(axis=1)
    each = digamma(kappa) - digamma(kappa + n)[:, None] + digamma(alpha + y) - digamma(alpha)
    pull = np.where(possible, each * alpha, 0.0)
    mean = (share[..., None] * x).sum(axis=1, keepdims=True)
    slope = (pull[..., None] * (x - mean)).sum(axis=(0, 1))
    return -float(log.sum()), -np.append(slope, pull.sum())


def _log_shares(coefficients: "Floats", x: "Floats", possible: "NDArray[np.bool_]") -> "Floats":
    """Return log shares, minus infinity where nobody can be counted, (origin, destination)."""
    score = np.where(possible, x @ coefficients, -np.inf)
    return np.asarray(log_softmax(score, axis=1))


def allocate(allocation: Allocation, totals: xr.DataArray, *, seed: int = 1) -> xr.DataArray:
    """Draw where the people of each draw go, nobody lost.

    Shares of each year are drawn anew around those that the past of the last year known gives.

    Parameters
    ----------
    allocation
        From `fit_allocation`.
    totals
        Draws of the persons who leave, dims (chain, draw, unit, year), the coordinate `place`.
    seed
        Of the draws.

    Returns
    -------
    xarray.DataArray
        Dims (chain, draw, origin, destination, year), whole persons, for the origins of both.

    Raises
    ------
    UsageError
        If no origin is in both.
    """
    places = totals["place"].to_numpy()
    both = [place for place in allocation.origins if place in set(places.tolist())]
    both = [p for p in both if allocation.possible[allocation.origins.index(p)].any()]
    if not both:
        raise UsageError("(totals) | found no origin of the allocation; allowed: some")
    own = [allocation.origins.index(place) for place in both]
    asked = [places.tolist().index(place) for place in both]
    values = totals.transpose("chain", "draw", "unit", "year").to_numpy()[:, :, asked]
    n_chain, n_draw, n_origin, n_year = values.shape
    rng = np.random.default_rng([seed, 51])
    theta = rng.multivariate_normal(allocation.mode, allocation.covariance, (n_chain, n_draw))
    x, possible = allocation.features[own], allocation.possible[own]
    out = np.zeros((n_chain, n_draw, n_origin, len(allocation.destinations), n_year))
    for chain, draw in np.ndindex(n_chain, n_draw):
        share = np.exp(_log_shares(theta[chain, draw, :-1], x, possible))
        alpha = np.exp(theta[chain, draw, -1]) * share
        for year in range(n_year):
            drawn = rng.standard_gamma(alpha) * possible
            total = drawn.sum(axis=1, keepdims=True)
            probs = np.where(total > 0, drawn / np.where(total > 0, total, 1.0), share)
            people = np.round(values[chain, draw, :, year]).astype(np.int64)
            out[chain, draw, :, :, year] = rng.multinomial(people, probs)
    coords = {
        "chain": totals["chain"], "draw": totals["draw"], "origin": both,
        "destination": list(allocation.destinations), "year": totals["year"],
    }  # fmt: skip
    dims = ("chain", "draw", "origin", "destination", "year")
    made = xr.DataArray(out, dims=dims, coords=coords, name="count")
    made.attrs.update(totals.attrs)
    return made
