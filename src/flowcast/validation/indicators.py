"""Held-out indicators: what another publisher measures, set against what was estimated.

An indicator is never fitted. Some measure what the model estimates, added up and under a definition
of their own (net migration, totals): these are compared as levels. Others only go with it (asylum
applications, stocks, remittances, an index): of these the ranks are compared. The catalogue says
which is which (`flowcast.validation.catalogue`), or the measure of a file of observations.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from flowcast._observation_checks import number_groups
from flowcast._source_roles import registered_role
from flowcast.definitions import describe_definition
from flowcast.errors import HeldOutError, InputError, UsageError
from flowcast.estimates import FlowEstimates, aggregate, aggregate_all, flow_estimates
from flowcast.model.cells import spans
from flowcast.observations import Observations
from flowcast.posterior import Posterior
from flowcast.scores import LOG_SHIFT, coverage, crps
from flowcast.validation.alignment import SIDES, lay_beside, nothing_compared
from flowcast.validation.association import association
from flowcast.validation.catalogue import Indicator
from flowcast.validation.indicator_tables import INCREASE, IndicatorTable
from flowcast.validation.scorecard import ALL_FOLDS, SCORECARD_COLUMNS
from flowcast.vocabulary import ESTIMATE_MEASURES, UN_DURATION_MONTHS, Quantity

__all__ = ["INDICATOR_SCHEME", "compare_indicator", "score_indicator"]

FloatArray = NDArray[np.float64]

INDICATOR_SCHEME: Final = "indicator"
PROBS: Final = (0.5, 0.8, 0.95)
FEWEST: Final = 3
"""Rows below which no correlation is told."""
SUMS: Final = ESTIMATE_MEASURES[1:]
DIRECTED: Final = ("rank_across", "rank_within", "elasticity")
SERIES_KEY: Final = (*SIDES, "reporter", "criterion", "age", "sex")


def score_indicator(posterior: Posterior, indicator: Observations | IndicatorTable) -> pd.DataFrame:
    """Score estimates against an indicator that was not fitted.

    Parameters
    ----------
    posterior
        A fit whose places cover the indicator's; other rows are left out, and counted.
    indicator
        A table of the catalogue (`read_indicator`): the same quantity is compared as levels, a
        related one by `association`. Or rows of the observation contract, in whichever role:
        `flow`, `immigration`, `emigration` and `net` are compared as levels, in persons over the
        row's period (added up over the model's periods); every other measure by ranks: of a pair
        of places with its flow, of a place with its immigration, or emigration where only the
        origin is named.

    Returns
    -------
    DataFrame
        The scorecard's columns, one indicator for each source and measure, ``source: measure``, or
        the catalogue's id:

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
            of the changes over time within a pair or place, where there are several periods;
        `rank_across`, `rank_within`, `elasticity`, `sign_agreement`, `share_above`
            of related indicators of the catalogue, as `association` says; `se` is by resampling
            places.

        There is no baseline: what to compare with is another model's scorecard. `attrs["notes"]`
        tells what the figures cannot show.

    Raises
    ------
    HeldOutError
        If a source of the indicator was fitted.
    InputError
        If no row can be compared.
    UsageError
        If it is context, which is not scored.

    Examples
    --------
    >>> from flowcast.validation import score_indicator
    >>> table = score_indicator(posterior, wpp)  # doctest: +SKIP
    """
    if isinstance(indicator, IndicatorTable):
        return _score_catalogued(posterior, indicator)
    _refuse_fitted(posterior, indicator.name, indicator.sources)
    compared, draws = compare_indicator(posterior, indicator)
    rows: list[tuple[object, ...]] = []
    notes: list[str] = []
    for (source, measure), group in compared.groupby(["source", "measure"], sort=True):
        name = f"{source}: {measure}"
        at = group.index.to_numpy()
        level = measure in ESTIMATE_MEASURES or (
            measure == "stock" and posterior.spec.quantity == "stock"
        )
        scored = list(_scores(group, draws[:, at], SERIES_KEY, level=level))
        every = indicator.table
        asked = ((every["source"] == source) & (every["measure"] == measure)).sum()
        scored.append(("n_not_compared", float(asked - len(group))))
        rows += [(INDICATOR_SCHEME, ALL_FOLDS, name, metric, value) for metric, value in scored]
        notes += _notes(posterior, name, str(measure))
    return _scorecard(posterior, rows, notes)


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
    kind = _kinds(table, posterior.spec.quantity)
    kinds = sorted(set(kind))
    at: list[NDArray[np.intp]] = []
    draws: list[FloatArray] = []
    for one, cells in zip(kinds, aggregate_all(flows, kinds), strict=True):
        own = np.flatnonzero(kind == one)
        beside = lay_beside(cells, table.iloc[own], codes=indicator.codes)
        if beside.n:
            at.append(own[beside.at])
            draws.append(beside.draws)
    if not at:
        raise InputError([nothing_compared(indicator.name, len(table), flows)])
    joined = np.concatenate(at)
    order = np.argsort(joined)
    out = table.iloc[joined[order]].reset_index(drop=True)
    return out.assign(years=spans(out)), np.concatenate(draws, axis=1)[:, order]


def _score_catalogued(posterior: Posterior, indicator: IndicatorTable) -> pd.DataFrame:
    """Score a table of the catalogue: levels of the same quantity, association of a related one."""
    entry = indicator.entry
    if entry.kind == "context":
        raise UsageError(
            f"({indicator.name}) | found {entry.id}, which is context for scenarios; allowed: "
            "indicators of the kinds same and related"
        )
    _refuse_fitted(posterior, indicator.name, (entry.id, *entry.sources))
    flows = flow_estimates(posterior)
    notes = [f"{entry.id} ({entry.title}): {entry.gap}"]
    if entry.kind == "same":
        scores, counts = _levels(flows, indicator)
        found: list[tuple[str, float, float]] = [(*score, np.nan) for score in scores]
    else:
        table = association(flows, indicator)
        counts = {str(name): int(n) for name, n in table.attrs.items()}
        found = []
        for metric, value, low, high, _, se, n in table.to_numpy(object).tolist():
            parts = {"": value, "_lower": low, "_upper": high, "_n": float(n)}
            found += [(metric + part, x, np.nan if part else se) for part, x in parts.items()]
        found.insert(0, ("n", float(counts["n"]), np.nan))
        notes += _wrong_way(table, entry)
        if counts["n_in_part"]:
            notes.append(
                f"{entry.id}: the run covers {counts['n_in_part']} of {counts['n']} rows in part; "
                "figures a year of different years are compared"
            )
    found.append(("n_not_compared", float(counts["n_not_compared"]), np.nan))
    if entry.aggregate in SUMS:
        notes.append(_bounds_note(posterior, entry.id))
    rows: list[tuple[object, ...]] = [(INDICATOR_SCHEME, ALL_FOLDS, entry.id, *x) for x in found]
    return _scorecard(posterior, rows, notes)


def _wrong_way(table: pd.DataFrame, entry: Indicator) -> Iterator[str]:
    """Yield what goes against the direction that the catalogue expects."""
    sign = 1.0 if entry.direction == "positive" else -1.0
    ends = sign * table[["lower", "upper"]].to_numpy(float)
    for metric in table.loc[ends.max(axis=1) < 0.0, "metric"]:
        if metric in DIRECTED:
            yield f"{entry.id}: {metric} goes against what is expected, {entry.direction}"


def _levels(
    flows: FlowEstimates, indicator: IndicatorTable
) -> tuple[list[tuple[str, float]], dict[str, int]]:
    """Return scores of levels, and how many rows were compared; natural increase is added."""
    entry, table = indicator.entry, indicator.table
    beside = lay_beside(aggregate(flows, entry.aggregate), table, codes=indicator.codes)
    if not beside.n:
        raise InputError([nothing_compared(indicator.name, len(table), flows)])
    rows = table.iloc[beside.at].reset_index(drop=True).assign(years=beside.years)
    draws = beside.draws
    if entry.estimate == "population_change":
        draws = draws + rows[INCREASE].to_numpy(float)
    counts = {"n": beside.n, "n_not_compared": len(table) - beside.n}
    return list(_scores(rows, draws, SIDES, level=True)), counts


def _scorecard(
    posterior: Posterior, rows: list[tuple[object, ...]], notes: list[str]
) -> pd.DataFrame:
    width = len(rows[0])
    columns = [*SCORECARD_COLUMNS[:5], "se"][:width]
    table = pd.DataFrame(rows, columns=columns).reindex(columns=list(SCORECARD_COLUMNS))
    table["model"] = posterior.spec.name
    table["fingerprint"] = posterior.info.get("fingerprint")
    table.attrs = {"model": posterior.spec.name, "notes": notes}
    return table


def _refuse_fitted(posterior: Posterior, name: str, sources: Iterable[str]) -> None:
    reports = posterior.tree["reports"].to_dataset()
    # Sources of sums are told by `info` alone, which fits outside of a run do not have.
    fitted = {*map(str, reports["source"].values), *posterior.info.get("sources", ())}
    roles = dict.fromkeys(sources, "heldout")
    # A part or an edition is named by the id and more after an underscore.
    for source in sorted(one for one in fitted if registered_role(one, roles) == "heldout"):
        raise HeldOutError(
            f"({name}) | found source {source}, which was fitted; "
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


def _scores(
    rows: pd.DataFrame, draws: FloatArray, series_key: Sequence[str], *, level: bool
) -> Iterator[tuple[str, float]]:
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
    series = number_groups(rows, series_key)
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
        notes.append(_bounds_note(posterior, name))
    return notes


def _bounds_note(posterior: Posterior, name: str) -> str:
    places = len({*posterior.log_flow["origin"].values.tolist()})
    return f"the estimate of {name} adds up moves among the {places} places of the fit"
