"""How far a related quantity goes with the estimates: ranks, elasticity, signs of changes.

Draws are aggregated first; each has its own association, and the figures told are the median over
draws with an equal-tailed interval. Beside it stands how much the answer depends on which places
happen to be there: the standard error of a bootstrap over places. Whether an estimate of one
quantity covers a figure of another is never asked.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._observation_checks import number_groups
from flowcast.errors import InputError, UsageError
from flowcast.estimates import FlowEstimates, aggregate
from flowcast.model.cells import spans
from flowcast.validation.alignment import SIDES, Beside, lay_beside, nothing_compared
from flowcast.validation.catalogue import Indicator
from flowcast.validation.indicator_tables import IndicatorTable

__all__ = ["ASSOCIATION_COLUMNS", "PROB", "association"]

FloatArray = NDArray[np.float64]
Index = NDArray[np.int64]

ASSOCIATION_COLUMNS: Final = ("metric", "value", "lower", "upper", "prob", "se", "n")
PROB: Final = 0.8
"""Probability of the intervals over draws, equal-tailed."""
DRAWS: Final = 200
"""Draws that are looked at, evenly spaced: enough for a median and the ends of an interval."""
RESAMPLES: Final = 200
FEWEST: Final = 5
"""Rows of a period, or places of a bootstrap, below which nothing is told."""
LEAST: Final = 3
"""Different rows that a period must keep in a resample."""
SERIES: Final = 4
"""Periods that a pair or place needs for a correlation over time."""
SHORTEST: Final = 0.01
"""Years; a stock has the length of a day, which cancels."""
TINY: Final = 1e-9
"""A sum of squares below it is none."""


class _Sample(NamedTuple):
    """Rows that are compared.

    Attributes
    ----------
    x
        Estimates a year, (sample, row).
    y
        The indicator a year, (row,).
    series, period
        Number of each row's pair or place, and of its time, (row,).
    start
        First day of its time, (row,).
    places
        Number of each place behind a row, (row, 1 or 2).
    """

    x: FloatArray
    y: FloatArray
    series: Index
    period: Index
    start: NDArray[np.datetime64]
    places: Index


class _Statistic(NamedTuple):
    """A figure of one draw (row,) under weights of rows (row,), and of how many things it is."""

    name: str
    of: Callable[[FloatArray, FloatArray], float]
    n: int


def association(
    estimates: FlowEstimates, indicator: IndicatorTable, *, seed: int = 1
) -> pd.DataFrame:
    """Return how far a related indicator goes with the estimates.

    Parameters
    ----------
    estimates
        Flows on corridors, under any definition; those of the indicator's kind are added up.
    indicator
        Of the kind ``related``. Rows are compared where at least half of their time is covered by
        the estimates, as figures a year.
    seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        Columns `metric`, `value` (median over draws), `lower` and `upper` (equal-tailed interval
        of probability `prob`), `se` and `n`:

        `rank_across`
            Spearman's correlation across pairs or places within a period, the mean over periods
            weighted by their rows. n: rows.
        `rank_within`
            the same over time within a pair or place with at least four periods, the mean over
            them. Of estimates that do not change, or a constant indicator, it is 0 or left out. n:
            pairs or places.
        `elasticity`
            slope of the log estimate on the log indicator across pairs or places, with a level for
            each period; rows where both are above zero. Errors of the indicator pull it towards 0.
        `sign_agreement`
            share of changes from one period to the next that have the same sign, of those in
            which the indicator changes. By chance it is about a half. n: changes.
        `share_above`
            share of rows whose indicator is above the estimate, where the estimate is an upper
            bound.

        `se` is the standard deviation over 200 resamples of places, all rows of a place together
        and a pair as often as the product of its places (Snijders & Borgatti 1999, Connections
        22(2), 161-170); it does not hold the posterior's uncertainty, and the interval does not
        hold this one. NaN with fewer than five places. A side with a single place is kept.

        Rows that are not there are missing, never zero; zeros count by rank and by sign. Whether
        a source of the indicator was fitted is for `score_indicator` to see, which knows the fit.
        ``attrs`` counts rows: `n`, `n_not_compared`, and `n_in_part`, whose time the estimates
        cover in part.

    Raises
    ------
    UsageError
        If the indicator is not of the kind ``related``, or the estimates are sums already.
    InputError
        If no row can be compared.

    Examples
    --------
    >>> from flowcast.validation import read_indicator
    >>> asylum = read_indicator("asylum_unhcr", "unhcr_asylum_applications.zip")  # doctest: +SKIP
    >>> association(flow_estimates(posterior), asylum)  # doctest: +SKIP
    """
    entry = indicator.entry
    if entry.kind != "related":
        raise UsageError(
            f"(association) | found {entry.id}, of the kind {entry.kind}; allowed: related "
            "indicators (flowcast indicators list --kind related)"
        )
    rows = indicator.table
    beside = lay_beside(
        aggregate(estimates, entry.aggregate),
        rows,
        codes=indicator.codes,
        pairs=entry.estimate == "pair_sum",
        cover="run" if entry.window == "run" else "half",
        n_draws=DRAWS,
    )
    if not beside.n:
        raise InputError([nothing_compared(indicator.name, len(rows), estimates)])
    sample = _sample(rows, beside)
    statistics = list(_statistics(sample, entry))
    ones = np.ones(len(sample.y))
    draws = np.array([[one.of(x, ones) for one in statistics] for x in sample.x])
    errors = _standard_errors(sample, statistics, draws, seed)
    tail = (1 - PROB) / 2
    ends = np.quantile(draws, [tail, 0.5, 1 - tail], axis=0).T
    told = [
        (one.name, middle, low, high, PROB, se, one.n)
        for one, (low, middle, high), se in zip(statistics, ends, errors, strict=True)
    ]
    table = pd.DataFrame(told, columns=list(ASSOCIATION_COLUMNS))
    partly = beside.years < 0.99 * spans(rows.iloc[beside.at])
    table.attrs = {
        "n": beside.n, "n_not_compared": len(rows) - beside.n, "n_in_part": int(partly.sum())
    }  # fmt: skip
    return table


def _sample(rows: pd.DataFrame, beside: Beside) -> _Sample:
    """Return the rows as numbers; the two directions of a pair become one, their mean."""
    own = rows.iloc[beside.at].reset_index(drop=True)
    own[SIDES] = pd.DataFrame(beside.sides, dtype=object)
    rate = own["value"].to_numpy(float) / np.maximum(spans(own), SHORTEST)
    cell = number_groups(own, [*SIDES, "period_start", "period_end"])
    _, first = np.unique(cell, return_index=True)
    mean = np.bincount(cell, rate) / np.bincount(cell)
    kept = own.iloc[first]
    named = [side for side in SIDES if kept[side].notna().any()]
    codes, _ = pd.factorize(kept[named].to_numpy(object).ravel())
    return _Sample(
        (beside.draws / beside.years)[:, first],
        mean[cell[first]],
        number_groups(kept, SIDES),
        number_groups(kept, ["period_start", "period_end"]),
        kept["period_start"].to_numpy("datetime64[D]"),
        codes.reshape(len(kept), len(named)).astype(np.int64),
    )


def _statistics(sample: _Sample, entry: Indicator) -> Iterator[_Statistic]:
    """Yield what can be told of these rows."""
    _, y, series, period, _, _ = sample
    enough = np.flatnonzero((np.bincount(period) >= FEWEST)[period])
    if len(enough):
        groups = period[enough]

        def across(x: FloatArray, w: FloatArray) -> float:
            x, w = x[enough], w[enough]
            r = _correlations(_ranks(x, groups, w), _ranks(y[enough], groups, w), groups, w)
            n = np.bincount(groups, w > 0.0)
            there = np.isfinite(r) & (n >= LEAST)
            return float(np.average(r[there], weights=n[there])) if there.any() else np.nan

        yield _Statistic("rank_across", across, len(enough))
    positive = np.flatnonzero((sample.x > 0.0).all(axis=0) & (y > 0.0))
    if entry.aggregate != "net" and len(positive) >= FEWEST:
        log_y = np.log(y[positive])

        def slope(x: FloatArray, w: FloatArray) -> float:
            own, at = w[positive], period[positive]
            a, b = (_less_mean(one, at, own) for one in (np.log(x[positive]), log_y))
            return float(own @ (a * b) / (own @ b**2)) if own @ b**2 > TINY else np.nan

        yield _Statistic("elasticity", slope, len(positive))
    if entry.window == "own":
        yield from _over_time(y, series, sample.start)
    if entry.bound == "upper":
        yield _Statistic("share_above", lambda x, w: _average(y > x, w), len(y))


def _over_time(y: FloatArray, series: Index, start: NDArray[np.datetime64]) -> Iterator[_Statistic]:
    """Yield what can be told of changes over time within a pair or place."""
    order = np.lexsort((start, series))
    later, earlier = order[1:], order[:-1]
    moved = (series[later] == series[earlier]) & (y[later] != y[earlier])
    later, earlier = later[moved], earlier[moved]
    if len(later) >= FEWEST:
        signs = np.sign(y[later] - y[earlier])
        yield _Statistic(
            "sign_agreement",
            lambda x, w: _average(np.sign(x[later] - x[earlier]) == signs, w[later]),
            len(later),
        )
    ones = np.ones(len(y))
    long = np.bincount(series) >= SERIES
    ranks = _ranks(y, series, ones)
    varies = np.bincount(series, _less_mean(ranks, series, ones) ** 2) > TINY
    _, first = np.unique(series, return_index=True)
    told = np.flatnonzero(long & varies)
    if len(told):

        def within(x: FloatArray, w: FloatArray) -> float:
            r = _correlations(_ranks(x, series, ones), ranks, series, ones)
            return _average(np.nan_to_num(r[told]), w[first[told]])

        yield _Statistic("rank_within", within, len(told))


def _ranks(values: FloatArray, groups: Index, w: FloatArray) -> FloatArray:
    """Return ranks within groups, but for a constant of the group; equal values share theirs.

    A row of weight 2 counts as two.
    """
    order = np.lexsort((values, groups))
    v, g = values[order], groups[order]
    new = np.concatenate([[True], (v[1:] != v[:-1]) | (g[1:] != g[:-1])])
    tie = np.cumsum(new) - 1
    size = np.bincount(tie, w[order])
    out = np.empty(len(values))
    out[order] = (np.cumsum(size) - size / 2)[tie]
    return out


def _less_mean(values: FloatArray, groups: Index, w: FloatArray) -> FloatArray:
    """Return values less the weighted mean of their group; a group without weight becomes 0."""
    total = np.bincount(groups, w)
    mean = np.bincount(groups, w * values) / np.where(total > 0.0, total, 1.0)
    return np.where(total[groups] > 0.0, values - mean[groups], 0.0)


def _correlations(a: FloatArray, b: FloatArray, groups: Index, w: FloatArray) -> FloatArray:
    """Return the correlation within each group; NaN where one of the two does not vary."""
    a, b = (_less_mean(one, groups, w) for one in (a, b))
    aa, bb, ab = (np.bincount(groups, w * one) for one in (a * a, b * b, a * b))
    varies = (aa > TINY) & (bb > TINY)
    return np.where(varies, ab / np.sqrt(np.where(varies, aa * bb, 1.0)), np.nan)


def _average(values: FloatArray | NDArray[np.bool_], w: FloatArray) -> float:
    return float(w @ values / w.sum()) if w.sum() > 0.0 else np.nan


def _standard_errors(
    sample: _Sample, statistics: list[_Statistic], draws: FloatArray, seed: int
) -> FloatArray:
    """Return the standard error of each statistic by resampling places, (statistic,).

    Each resample looks at a draw of its own and at how far it departs from all places' figure.
    """
    varied = [k for k, side in enumerate(sample.places.T) if len(np.unique(side)) > 1]
    used, at = np.unique(sample.places[:, varied], return_inverse=True)
    if len(used) < FEWEST:
        return np.full(len(statistics), np.nan)
    rng = np.random.default_rng(np.random.SeedSequence([seed, 31]))
    gaps = np.empty((RESAMPLES, len(statistics)))
    for k in range(RESAMPLES):
        drawn = rng.multinomial(len(used), np.full(len(used), 1 / len(used))).astype(float)
        w = np.prod(drawn[at.reshape(-1, len(varied))], axis=1)
        own = k % len(sample.x)
        gaps[k] = [one.of(sample.x[own], w) for one in statistics] - draws[own]
    there = np.isfinite(gaps).sum(axis=0) > RESAMPLES // 2
    out = np.full(len(statistics), np.nan)
    out[there] = np.nanstd(gaps[:, there], axis=0, ddof=1)
    return out
