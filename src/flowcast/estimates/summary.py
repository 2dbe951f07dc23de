"""Draws to the estimate table: mean, median, sd and equal-tailed credible intervals."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.api.extensions import ExtensionArray

from flowcast.accounting.population import PopulationMargins
from flowcast.definitions import name_definition, parse_definition
from flowcast.errors import UsageError
from flowcast.estimates.aggregation import aggregate, aggregate_all, measures_of
from flowcast.estimates.benchmarking import benchmark_estimates
from flowcast.estimates.flows import FlowEstimates, flow_estimates
from flowcast.estimates.operators import Grouping
from flowcast.posterior import Posterior
from flowcast.vocabulary import (
    BENCHMARKED_COLUMN,
    DEFAULT_PROBS,
    DEFINITION_COLUMN,
    ESTIMATE_COLUMNS,
    INTERVAL_KIND,
    UN_DURATION_MONTHS,
    EstimateMeasure,
)

__all__ = ["estimate_tables", "summarise"]

BLOCK: Final = 4_000_000
"""Numbers that a thread works on at a time (32 MB)."""
THREADS: Final = 2
PART_ROWS: Final = 200_000
"""Rows of a part of a table: some 40 MB."""
ALL: Final = slice(None)


def summarise(
    estimates: FlowEstimates | Posterior,
    *,
    measure: EstimateMeasure | None = None,
    probs: Sequence[float] = DEFAULT_PROBS,
    by: Grouping | None = None,
    definition: float | str | None = None,
    benchmark: PopulationMargins | None = None,
    seed: int = 1,
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
        Minimum stay that makes a move count, for a posterior: ``no-minimum``, ``permanent``,
        ``N-months`` with N from 0 to 12, or months as a number; 12 months by default.
    benchmark, seed
        Margins that the draws are adjusted to, and the seed of their errors, as for
        `benchmark_estimates`. Every row then comes twice, free and benchmarked.

    Returns
    -------
    pandas.DataFrame
        Columns `vocabulary.ESTIMATE_COLUMNS`, in the order of origin, destination, period and
        probability. `mean`, `median`, `sd`, `lower` and `upper` are persons per period. The origin
        of immigration and the destination of emigration are missing; for net migration the place
        stands as destination and the origin is missing. Under another definition than 12 months a
        last column `definition` says which, such as ``3-months``; with margins a last column
        `benchmarked` is True in rows that were adjusted to them. `attrs` holds unit, definition,
        model and notes.

    Raises
    ------
    UsageError
        If a probability, measure or definition cannot be served.
    InputError
        With every group or member that is unknown.
    """
    wanted = _check_probs(probs)
    estimates = _in_definition(estimates, definition)
    if benchmark is not None:
        held = benchmark_estimates(estimates, benchmark, seed=seed)
        both = [summarise(one, measure=measure, probs=wanted, by=by) for one in (estimates, held)]
        for table, benchmarked in zip(both, (False, True), strict=True):
            table[BENCHMARKED_COLUMN] = benchmarked
        frame = pd.concat(both).sort_index(kind="stable").reset_index(drop=True)
        frame.attrs = both[1].attrs
        return frame
    if by is not None or measure not in (None, estimates.label):
        own = cast("EstimateMeasure", measures_of(estimates.quantity)[0])
        estimates = aggregate(estimates, measure or own, by)
    return _table(estimates, _statistics(estimates, wanted), wanted, _order(estimates))


def estimate_tables(
    estimates: FlowEstimates | Posterior,
    measures: Sequence[EstimateMeasure] | None = None,
    *,
    probs: Sequence[float] = DEFAULT_PROBS,
    by: Grouping | None = None,
    definition: float | str | None = None,
    rows: int = PART_ROWS,
) -> Iterator[pd.DataFrame]:
    """Yield the estimate tables of several measures in parts, none of which is large.

    Parameters
    ----------
    estimates, probs, by, definition
        As for `summarise`.
    measures
        Which, in this order; by default all there are. What has to be added up is added up in one
        pass over the draws.
    rows
        How long a part is, about.

    Yields
    ------
    pandas.DataFrame
        Rows as `summarise` returns them, in the same order.

    Raises
    ------
    UsageError, InputError
        As `summarise`.
    """
    wanted = _check_probs(probs)
    flows = _in_definition(estimates, definition)
    step = max(1, rows // (flows.sizes["period"] * len(wanted)))
    wanted_measures = measures or cast("list[EstimateMeasure]", measures_of(flows.quantity))
    for one in aggregate_all(flows, wanted_measures, by):
        statistics, order = _statistics(one, wanted), _order(one)
        for start in range(0, len(order.cells), step):
            yield _table(one, statistics, wanted, order, slice(start, start + step))


def _check_probs(probs: Sequence[float]) -> list[float]:
    wrong = [f"{prob:g}" for prob in probs if not 0.0 < prob < 1.0]
    if wrong or not probs:
        raise UsageError(
            f"(prob) | found {', '.join(wrong) or 'none'}; allowed: probabilities between 0 and 1, "
            "such as 0.8"
        )
    return sorted({float(prob) for prob in probs})


def _in_definition(
    estimates: FlowEstimates | Posterior, definition: float | str | None
) -> FlowEstimates:
    months = None if definition is None else parse_definition(definition)
    if isinstance(estimates, Posterior):
        return flow_estimates(
            estimates, definition=UN_DURATION_MONTHS if months is None else months
        )
    if months is not None and months != estimates.definition:
        name = name_definition(months)
        raise UsageError(
            f"(definition) | found {name} for estimates under "
            f"{name_definition(estimates.definition)}; allowed: flows.under({name!r}), before "
            "anything is added up"
        )
    return estimates


def _statistics(estimates: FlowEstimates, probs: Sequence[float]) -> dict[str, NDArray[np.float64]]:
    """Return mean, median and sd (cell, period); lower and upper (cell, period, prob)."""
    n_cell, n_period, n_prob = (
        estimates.sizes[estimates.cell_dim],
        estimates.sizes["period"],
        len(probs),
    )
    out = {name: np.empty((n_cell, n_period)) for name in ("mean", "median", "sd")}
    out |= {name: np.empty((n_cell, n_period, n_prob)) for name in ("lower", "upper")}
    tails = (1.0 - np.array(probs)) / 2.0
    levels = np.concatenate([[0.5], tails, 1.0 - tails])

    def summarise_block(cells: slice) -> None:
        sample = estimates.block(cells)
        out["mean"][cells] = sample.mean(axis=-1)
        out["sd"][cells] = sample.std(axis=-1, ddof=1)
        quantiles = _quantiles(sample, levels)
        out["median"][cells] = quantiles[..., 0]
        out["lower"][cells] = quantiles[..., 1 : 1 + n_prob]
        out["upper"][cells] = quantiles[..., 1 + n_prob :]

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(summarise_block, estimates.blocks(BLOCK)):
            pass
    return out


def _quantiles(sample: NDArray[np.float64], levels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quantiles over the last axis, which is sorted in place; levels become the last one.

    The same numbers as `numpy.quantile`, which takes four times as long for several levels.
    """
    sample.sort(axis=-1)  # what is not a number comes last
    position = levels * (sample.shape[-1] - 1)
    below = np.floor(position).astype(np.intp)
    above = np.minimum(below + 1, sample.shape[-1] - 1)
    lower, upper, part = sample[..., below], sample[..., above], position - below
    gap = upper - lower
    out = np.where(part < 0.5, lower + gap * part, upper - gap * (1.0 - part))
    out[np.isnan(sample[..., -1])] = np.nan
    return np.asarray(out)


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """The order of rows: cells by origin and destination, then periods.

    Attributes
    ----------
    cells, periods
        Positions in the estimates.
    names
        Text of each cell (`origin`, `destination`) and period (`period_start`, `period_end`).
    """

    cells: NDArray[np.intp]
    periods: NDArray[np.intp]
    names: Mapping[str, ExtensionArray]


def _order(estimates: FlowEstimates) -> _Order:
    sides = {"origin": estimates.origins, "destination": estimates.destinations}
    keys = [[code or "" for code in sides[side]] for side in ("destination", "origin")]
    cells = np.lexsort(keys)
    bounds = estimates.period_bounds
    periods = np.argsort(bounds[:, 0], kind="stable")
    names = {side: _text(codes[cells]) for side, codes in sides.items()}
    for k, name in enumerate(("period_start", "period_end")):
        days = bounds[periods, k]
        # Stocks whose dates nobody told have periods without a name.
        names[name] = _text(None if np.isnat(day) else str(day) for day in days)
    return _Order(cells, periods, names)


def _table(
    estimates: FlowEstimates,
    statistics: dict[str, NDArray[np.float64]],
    probs: Sequence[float],
    order: _Order,
    part: slice = ALL,
) -> pd.DataFrame:
    """Lay the statistics of some cells, as positions in the order of rows, out as rows."""
    cells = order.cells[part]
    shape = (len(cells), len(order.periods), len(probs))
    ordered = np.ix_(cells, order.periods)
    cell, period, prob = (k.ravel() for k in np.indices(shape, dtype=np.int32))
    columns: dict[str, object] = {
        "measure": _text([estimates.label]).repeat(len(cell)),
        "prob": np.array(probs)[prob],
        "kind": _text([INTERVAL_KIND]).repeat(len(cell)),
        "evidence": _text(estimates.evidence.values[ordered].ravel()).repeat(shape[2]),
    }
    for name, text in order.names.items():
        row = period if name.startswith("period") else cell
        columns[name] = (text if name.startswith("period") else text[part]).take(row)
    for name, values in statistics.items():
        wide = values[..., None] if values.ndim == 2 else values
        columns[name] = np.broadcast_to(wide[ordered], shape).ravel()
    shown = list(ESTIMATE_COLUMNS)
    if estimates.definition != UN_DURATION_MONTHS:  # a file alone would not tell it from the usual
        columns[DEFINITION_COLUMN] = _text([name_definition(estimates.definition)]).repeat(
            len(cell)
        )
        shown.append(DEFINITION_COLUMN)
    frame = pd.DataFrame({name: columns[name] for name in shown}, copy=False)
    frame.attrs = {
        "model": estimates.name,
        "unit": estimates.unit,
        "definition_months": estimates.definition,
        "notes": list(estimates.notes),
        "method": estimates.method,
        "exact": estimates.exact,
    }
    return frame


def _text(values: Iterable[str | None]) -> ExtensionArray:
    return pd.array(list(values), dtype="str")
