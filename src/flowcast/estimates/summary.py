"""Draws to the estimate table: mean, median, sd and equal-tailed credible intervals."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

from flowcast.errors import UsageError
from flowcast.estimates.aggregation import aggregate
from flowcast.estimates.flows import SAMPLE_DIMS, FlowEstimates, flow_estimates
from flowcast.estimates.operators import Grouping
from flowcast.posterior import Posterior
from flowcast.vocabulary import (
    DEFAULT_PROBS,
    ESTIMATE_COLUMNS,
    INTERVAL_KIND,
    PERSONS,
    UN_DURATION_MONTHS,
    EstimateMeasure,
)

__all__ = ["summarise"]

BLOCK: Final = 4_000_000
"""Numbers worked on at a time (32 MB)."""


def summarise(
    estimates: FlowEstimates | Posterior,
    *,
    measure: EstimateMeasure | None = None,
    probs: Sequence[float] = DEFAULT_PROBS,
    by: Grouping | None = None,
    definition: float | None = None,
) -> pd.DataFrame:
    """Return the estimate table: one row per cell and probability.

    Parameters
    ----------
    estimates
        Flows, sums of flows, or a posterior.
    measure, by
        What to add up first, as for `aggregate`; by default nothing.
    probs
        Probabilities of the equal-tailed credible intervals, between 0 and 1.
    definition
        Minimum stay in months, for a posterior; 12 by default.

    Returns
    -------
    pandas.DataFrame
        Columns `vocabulary.ESTIMATE_COLUMNS`, in the order of origin, destination, period and
        probability. `mean`, `median`, `sd`, `lower` and `upper` are persons per period. The origin
        of immigration and the destination of emigration are missing; for net migration the place
        stands as destination and the origin is missing. `attrs` holds unit, definition, model and
        notes.

    Raises
    ------
    UsageError
        If a probability, measure or definition cannot be served.
    InputError
        With every group or member that is unknown.
    """
    wanted = _check_probs(probs)
    estimates = _in_definition(estimates, definition)
    if by is not None or measure not in (None, estimates.measure):
        estimates = aggregate(estimates, measure or "flow", by)
    return _table(estimates, _statistics(estimates, wanted), wanted)


def _check_probs(probs: Sequence[float]) -> list[float]:
    wrong = [f"{prob:g}" for prob in probs if not 0.0 < prob < 1.0]
    if wrong or not probs:
        raise UsageError(
            f"(prob) | found {', '.join(wrong) or 'none'}; allowed: probabilities between 0 and 1, "
            "such as 0.8"
        )
    return sorted({float(prob) for prob in probs})


def _in_definition(estimates: FlowEstimates | Posterior, definition: float | None) -> FlowEstimates:
    if isinstance(estimates, Posterior):
        months = UN_DURATION_MONTHS if definition is None else definition
        return flow_estimates(estimates, definition=months)
    if definition not in (None, estimates.definition):
        raise UsageError(
            f"(definition) | found {definition:g} months for estimates of the "
            f"{estimates.definition:g}-month definition; allowed: flow_estimates(posterior, "
            f"definition={definition:g}), which makes them anew"
        )
    return estimates


def _statistics(estimates: FlowEstimates, probs: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """Return mean, median and sd (cell, period); lower and upper (cell, period, prob)."""
    n_cell, n_period = estimates.sizes[estimates.cell_dim], estimates.sizes["period"]
    out = {name: np.empty((n_cell, n_period)) for name in ("mean", "median", "sd")}
    out |= {name: np.empty((n_cell, n_period, len(probs))) for name in ("lower", "upper")}
    tails = (1.0 - np.array(probs)) / 2.0
    levels = np.concatenate([[0.5], tails, 1.0 - tails])
    for cells, period, sample in _blocks(estimates):
        quantiles = np.quantile(sample, levels, axis=1)
        out["mean"][cells, period] = sample.mean(axis=1)
        out["sd"][cells, period] = sample.std(axis=1, ddof=1)
        out["median"][cells, period] = quantiles[0]
        out["lower"][cells, period] = quantiles[1 : 1 + len(probs)].T
        out["upper"][cells, period] = quantiles[1 + len(probs) :].T
    return out


def _blocks(estimates: FlowEstimates) -> Iterator[tuple[slice, int, NDArray[np.float64]]]:
    """Yield cells, period and their draws, shape (cell, sample)."""
    step = max(1, BLOCK // estimates.n_draws)
    dim = estimates.cell_dim
    for period in range(estimates.sizes["period"]):
        for start in range(0, estimates.sizes[dim], step):
            cells = slice(start, start + step)
            indexers: dict[str, int | slice] = {dim: cells, "period": period}
            part = estimates.select(**indexers)
            values = part.transpose(dim, *SAMPLE_DIMS).values
            yield cells, period, values.reshape(values.shape[0], -1)


def _table(
    estimates: FlowEstimates, statistics: dict[str, NDArray[np.float64]], probs: Sequence[float]
) -> pd.DataFrame:
    """Lay the statistics out as rows, in the order of origin, destination, period, prob."""
    shape = statistics["lower"].shape
    origins, destinations = estimates.origins, estimates.destinations
    cells = np.lexsort([[code or "" for code in side] for side in (destinations, origins)])
    periods = np.argsort(estimates.period_bounds[:, 0], kind="stable")
    ordered = np.ix_(cells, periods)
    cell, period, prob = (k.ravel() for k in np.indices(shape))
    columns: dict[str, object] = {
        "origin": _text(origins[cells])[cell],
        "destination": _text(destinations[cells])[cell],
        "measure": estimates.measure,
        "prob": np.array(probs)[prob],
        "kind": INTERVAL_KIND,
        "evidence": _text(estimates.evidence.values[ordered].ravel()).repeat(shape[2]),
    }
    for k, name in enumerate(("period_start", "period_end")):
        columns[name] = _text(estimates.period_bounds[periods, k].astype(str))[period]
    for name, values in statistics.items():
        wide = values[..., None] if values.ndim == 2 else values
        columns[name] = np.broadcast_to(wide[ordered], shape).ravel()
    frame = pd.DataFrame(columns)[list(ESTIMATE_COLUMNS)]
    frame.attrs = {
        "model": estimates.name,
        "unit": PERSONS,
        "definition_months": estimates.definition,
        "notes": list(estimates.notes),
    }
    return frame.astype({"measure": "str", "kind": "str"})


def _text(values: Iterable[str | None]) -> ExtensionArray:
    return pd.array(list(values), dtype="str")
