"""Held-out indicators: what another publisher measures, set against what was estimated.

An indicator is never fitted. Some measure what the model estimates, added up and under a definition
of their own (net migration, totals): these are compared as levels. Others only go with it (asylum
applications, stocks, remittances, an index): of these the ranks are compared.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from flowcast._observation_checks import number_groups
from flowcast.definitions import describe_definition
from flowcast.errors import Fault, HeldOutError, InputError
from flowcast.estimates import FlowEstimates, aggregate_all, flow_estimates
from flowcast.model.cells import spans
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.scores import LOG_SHIFT, coverage, crps
from flowcast.validation.scorecard import ALL_FOLDS, SCORECARD_COLUMNS
from flowcast.vocabulary import ESTIMATE_MEASURES, UN_DURATION_MONTHS, Quantity

__all__ = ["INDICATOR_SCHEME", "compare_indicator", "score_indicator"]

FloatArray = NDArray[np.float64]

INDICATOR_SCHEME: Final = "indicator"
PROBS: Final = (0.5, 0.8, 0.95)
FEWEST: Final = 3
"""Rows below which no correlation is told."""
SIDES: Final = ["origin", "destination"]
SUMS: Final = ESTIMATE_MEASURES[1:]


def score_indicator(posterior: Posterior, indicator: Observations) -> pd.DataFrame:
    """Score estimates against an indicator that was not fitted.

    Parameters
    ----------
    posterior
        A fit whose places cover the indicator's; other rows are left out, and counted.
    indicator
        Rows of the observation contract, in whichever role. `flow`, `immigration`, `emigration` and
        `net` are compared as levels, in persons over the row's period (added up over the model's
        periods); every other measure by ranks: of a pair of places with its flow, of a place with
        its immigration, or emigration where only the origin is named.

    Returns
    -------
    DataFrame
        The scorecard's columns, one indicator for each source and measure, ``source: measure``:

        `n`, `n_not_compared`
            rows compared, and rows outside the places and periods of the fit;
        `mae`, `bias`
            of the median, persons a year; bias is estimate minus indicator;
        `crps`, `coverage_50`, `_80`, `_95`
            of the indicator's figures by the draws; it takes them for the truth under our
            definition, which they are not, so that a gap of definitions shows here;
        `correlation`, `rank_correlation`, with `_lower` and `_upper`
            median and 80 % equal-tailed interval over the draws; for indicators of another kind
            `log_correlation` of values + 1/2;
        `within_correlation`
            of the changes over time within a pair or place, where there are several periods.

        There is no baseline: what to compare with is another model's scorecard. `attrs["notes"]`
        tells what the figures cannot show.

    Raises
    ------
    HeldOutError
        If a source of the indicator was fitted.
    InputError
        If no row can be compared.

    Examples
    --------
    >>> from flowcast.validation import score_indicator
    >>> table = score_indicator(posterior, wpp)  # doctest: +SKIP
    """
    _refuse_fitted(posterior, indicator)
    compared, draws = compare_indicator(posterior, indicator)
    rows, notes = [], []
    for (source, measure), group in compared.groupby(["source", "measure"], sort=True):
        name = f"{source}: {measure}"
        at = group.index.to_numpy()
        level = measure in ESTIMATE_MEASURES or (
            measure == "stock" and posterior.spec.quantity == "stock"
        )
        scored = list(_scores(group, draws[:, at], level=level))
        every = indicator.table
        asked = ((every["source"] == source) & (every["measure"] == measure)).sum()
        scored.append(("n_not_compared", float(asked - len(group))))
        rows += [(INDICATOR_SCHEME, ALL_FOLDS, name, metric, value) for metric, value in scored]
        notes += _notes(posterior, name, str(measure))
    table = pd.DataFrame(rows, columns=list(SCORECARD_COLUMNS[:5]))
    table = table.reindex(columns=list(SCORECARD_COLUMNS))
    table["model"] = posterior.spec.name
    table["fingerprint"] = posterior.info.get("fingerprint")
    table.attrs = {"model": posterior.spec.name, "notes": notes}
    return table


def compare_indicator(
    posterior: Posterior, indicator: Observations
) -> tuple[pd.DataFrame, FloatArray]:
    """Lay the estimates beside an indicator's figures.

    Parameters
    ----------
    posterior, indicator
        As for `score_indicator`.

    Returns
    -------
    table : DataFrame
        The indicator's rows that can be compared, with `years` that each covers.
    draws : ndarray, shape (sample, row)
        What was estimated for each, persons over its period.

    Raises
    ------
    InputError
        If no row can be compared.
    """
    table = indicator.table
    flows = flow_estimates(posterior)
    bounds = flows.period_bounds
    kind = _kinds(table, posterior.spec.quantity)
    kinds = sorted(set(kind))
    kept: list[int] = []
    draws: list[FloatArray] = []
    for one, cells in zip(kinds, aggregate_all(flows, kinds), strict=True):
        where = _cells(cells)
        for at, key, start, end in _asked(table, kind == one, cells.measure):
            span = _span(bounds, start, end)
            if key not in where or span is None:
                continue
            cell = slice(where[key], where[key] + 1)
            kept.append(at)
            draws.append(cells.block(cell)[0, span].sum(axis=0))
    if not kept:
        raise InputError(
            [
                Fault(
                    indicator.name,
                    f"{len(table)} rows, none of the fit's places and periods",
                    f"places such as {', '.join(sorted(posterior.log_flow['origin'].values)[:3])}, "
                    f"{str(bounds.min())[:10]} to {str(bounds.max())[:10]}",
                )
            ]
        )
    order = np.argsort(kept)
    out = table.iloc[[kept[k] for k in order]].reset_index(drop=True)
    return out.assign(years=spans(out)), np.stack([draws[k] for k in order], axis=1)


def _refuse_fitted(posterior: Posterior, indicator: Observations) -> None:
    reports = posterior.tree["reports"].to_dataset()
    # Sources of sums are told by `info` alone, which fits outside of a run do not have.
    fitted = {*map(str, reports["source"].values), *posterior.info.get("sources", ())}
    for source in sorted(fitted & set(indicator.sources)):
        raise HeldOutError(
            f"({indicator.name}) | found source {source}, which was fitted; "
            "allowed: sources that the fit has not seen"
        )


def _kinds(table: pd.DataFrame, quantity: Quantity) -> NDArray[np.object_]:
    """Return the estimate that each row is compared with, (row,)."""
    if quantity == "stock":
        return np.full(len(table), "flow", dtype=object)
    measure = table["measure"].to_numpy(object)
    pair = table[["origin", "destination"]].notna().all(axis=1)
    other = np.where(pair, "flow", np.where(table["destination"].notna(), *ESTIMATE_MEASURES[1:3]))
    return np.where(np.isin(measure, ESTIMATE_MEASURES), measure, other).astype(object)


def _cells(cells: FlowEstimates) -> dict[tuple[object, object], int]:
    """Return the position of each cell by origin and destination; a net figure is by place."""
    sides = zip(cells.origins, cells.destinations, strict=True)
    return {key: k for k, key in enumerate(sides)}


def _asked(
    table: pd.DataFrame, mask: NDArray[np.bool_], measure: str
) -> Iterator[tuple[int, tuple[object, object], np.datetime64, np.datetime64]]:
    """Yield position, sides, first day and day after the last of the rows of one kind."""
    for at in np.flatnonzero(mask):
        row = table.iloc[at]
        origin, destination = (row[s] if isinstance(row[s], str) else None for s in SIDES)
        if measure == "net" and destination is None:  # of its origin: named on the other side
            origin, destination = None, origin
        elif measure == "immigration":
            origin = None
        elif measure == "emigration":
            destination = None
        start, end = (np.datetime64(row[name], "D") for name in ("period_start", "period_end"))
        yield int(at), (origin, destination), start, end


def _span(bounds: NDArray[np.datetime64], start: np.datetime64, end: np.datetime64) -> slice | None:
    """Return the periods that make up a row's, None where none do."""
    first, last = np.flatnonzero(bounds[:, 0] == start), np.flatnonzero(bounds[:, 1] == end)
    if not len(first) or not len(last) or last[0] < first[0]:
        return None
    return slice(int(first[0]), int(last[0]) + 1)


def _scores(rows: pd.DataFrame, draws: FloatArray, *, level: bool) -> Iterator[tuple[str, float]]:
    """Yield metric and value of one indicator; draws are (sample, row)."""
    value, years = rows["value"].to_numpy(float), rows["years"].to_numpy(float)
    yield "n", float(len(value))
    if level:
        off = (np.median(draws, axis=0) - value) / years
        yield "mae", float(np.abs(off).mean())
        yield "bias", float(off.mean())
        yield "crps", float((crps(draws, value) / years).mean())
        for prob, held in zip(PROBS, coverage(draws, value, PROBS), strict=True):
            yield f"coverage_{100 * prob:.0f}", float(held.mean())
        yield from _with_interval("correlation", _correlate(draws / years, value / years))
    else:
        logs = (np.log(np.maximum(x, 0.0) + LOG_SHIFT) for x in (draws, value))
        yield from _with_interval("log_correlation", _correlate(*logs))
    ranked = rankdata(draws / years, axis=1), rankdata(value / years)
    yield from _with_interval("rank_correlation", _correlate(*ranked))
    series = number_groups(rows, [*SIDES, "reporter", "criterion", "age", "sex"])
    if len(np.unique(series)) < len(series):
        within = _deviations(draws / years, series), _deviations((value / years)[None], series)[0]
        yield from _with_interval("within_correlation", _correlate(*within))


def _correlate(draws: FloatArray, value: FloatArray) -> FloatArray:
    """Return the correlation of each draw with the values, (sample,); NaN where it has none."""
    if len(value) < FEWEST:
        return np.full(len(draws), np.nan)
    x = draws - draws.mean(axis=1, keepdims=True)
    y = value - value.mean()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(x @ y / np.sqrt((x * x).sum(axis=1) * (y @ y)))


def _deviations(numbers: FloatArray, series: NDArray[np.int64]) -> FloatArray:
    """Return numbers (sample, row) less the mean of their series; single rows become 0."""
    size = np.bincount(series)
    total = np.stack([np.bincount(series, one, len(size)) for one in numbers])
    return np.asarray(numbers - (total / size)[:, series])


def _with_interval(name: str, sample: FloatArray) -> Iterator[tuple[str, float]]:
    low, middle, high = np.quantile(sample, [0.1, 0.5, 0.9])
    yield name, float(middle)
    yield f"{name}_lower", float(low)
    yield f"{name}_upper", float(high)


def _notes(posterior: Posterior, name: str, measure: str) -> list[str]:
    """Return what the scores of one indicator cannot show."""
    if measure not in ESTIMATE_MEASURES:
        return [f"{name} is another kind of figure: only its order and its changes are compared"]
    notes = [
        f"{name} is taken for the truth: its own error, and what it counts otherwise than "
        f"{describe_definition(UN_DURATION_MONTHS)}, shows as an error of the estimates"
    ]
    if measure in SUMS:
        places = len({*posterior.log_flow["origin"].values.tolist()})
        notes.append(f"the estimate of {name} adds up moves among the {places} places of the fit")
    return notes
