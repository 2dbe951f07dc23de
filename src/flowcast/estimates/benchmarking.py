"""Draws of estimated flows adjusted to net migration and population change."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.accounting._factors import find_factors
from flowcast.accounting.population import PopulationMargins
from flowcast.errors import UsageError
from flowcast.estimates.conversion import SAMPLE_DIMS
from flowcast.estimates.flows import FlowEstimates, flow_estimates
from flowcast.posterior import Posterior
from flowcast.vocabulary import UN_DURATION_MONTHS

__all__ = ["benchmark_estimates"]

FloatArray = NDArray[np.float64]


def benchmark_estimates(
    estimates: FlowEstimates | Posterior, margins: PopulationMargins, *, seed: int = 1
) -> FlowEstimates:
    """Return the flows with every draw adjusted to margins drawn for it.

    Parameters
    ----------
    estimates
        Flows on corridors by the 12-month definition, or a posterior.
    margins
        Net migration and population change of moves among the places of the estimates, in
        their periods. Periods and places without margins stay as they are.
    seed
        Of the margins' errors.

    Returns
    -------
    FlowEstimates
        As `flowcast.accounting.benchmark_flows` adjusts them: each draw times a factor of its
        origin and one of its destination, which are held instead of the flows.

    Raises
    ------
    UsageError
        If the estimates are sums, stocks, of another definition, or benchmarked already.
    InputError
        With every place, period or margin that does not fit.
    """
    if isinstance(estimates, Posterior):
        estimates = flow_estimates(estimates)
    _require_flows(estimates)
    places = sorted({*estimates.origins.tolist(), *estimates.destinations.tolist()})
    ends = [
        np.searchsorted(places, side.astype(str))
        for side in (estimates.origins, estimates.destinations)
    ]

    def tables(period: int) -> Callable[[int], FloatArray]:
        part = estimates.select(period=slice(period, period + 1)).to_numpy()
        flows = np.nan_to_num(part.reshape(estimates.n_draws, -1))

        def table(draw: int) -> FloatArray:
            out = np.zeros((len(places), len(places)))
            out[ends[0], ends[1]] = flows[draw]
            return out

        return table

    found = find_factors(
        tables, places, list(estimates.period_bounds), estimates.n_draws, margins, seed
    )
    sizes = [estimates.sizes[dim] for dim in SAMPLE_DIMS]
    dims = (*SAMPLE_DIMS, "place", "period")
    factors = {
        name: (dims, values.reshape(*sizes, *values.shape[1:]))
        for name, values in (
            ("origin", found.log_origin),
            ("destination", found.log_destination),
        )
    }
    said = f"benchmarked: every draw adjusted to the margins of {margins.name}, seed {seed}"
    return replace(
        estimates,
        benchmarked=True,
        notes=(*estimates.notes, said, *found.notes),
        _margin_factors=xr.Dataset(factors, {"place": places}),
    )


def _require_flows(estimates: FlowEstimates) -> None:
    found = None
    if estimates.quantity != "flow":
        found = "stocks"
    elif estimates.measure != "flow":
        found = "sums of flows"
    elif estimates.definition != UN_DURATION_MONTHS:
        found = f"flows of a minimum stay of {estimates.definition:g} months"
    elif estimates.benchmarked:
        found = "flows that are benchmarked"
    if found:
        raise UsageError(
            f"(benchmark) | found {found}; allowed: flows of the 12-month definition, before "
            "anything is added up"
        )
