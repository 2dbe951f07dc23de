"""The scorecard: scores of single reports, and what they come to by fold and kind of report."""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.scores import (
    LOG_SHIFT,
    absolute_log_error,
    coverage,
    crps,
    crps_above,
    interval_score,
    log_score,
    pit,
    rank_correlation,
    uniform_distance,
    within_skill,
)
from flowcast.validation.baselines.rows import N_DRAWS
from flowcast.validation.baselines.rows import PROBS as QUANTILES
from flowcast.validation.classes import ALL_REPORTS, fine_kinds, main_kinds

__all__ = [
    "ALL_FOLDS",
    "ALONE",
    "PIT_BINS",
    "PROBS",
    "SCORECARD_COLUMNS",
    "Row",
    "clustered_se",
    "score_reports",
    "summarise_scores",
]

FloatArray = NDArray[np.float64]

SCORECARD_COLUMNS: Final = (
    "scheme", "fold", "indicator", "metric", "value", "baseline", "against", "apart",
    "difference", "se", "se_folds", "model", "fingerprint",
)  # fmt: skip
ALL_FOLDS: Final = "all"
ALONE: Final = ""
"""Among baselines: none. The model by itself, on all reports it predicts; missing in the table."""
PROBS: Final = (0.5, 0.8, 0.95)
PIT_BINS: Final = tuple(f"pit_{10 * k}_{10 * k + 10}" for k in range(10))
"""Shares of reports by tenth of the probability integral transform, in percent."""
FINE_METRICS: Final = ("mae_log", "crps", "crps_log", "coverage_80")
"""What fine kinds of reports are scored by: there are many kinds, of few reports each."""
NO_MEAN: Final = ("pit", "log_median")
BLOCK: Final = 2048
"""Reports scored at once by the log score, which takes several arrays of the size of the draws."""


class Row(NamedTuple):
    """A row of the scorecard, but for scheme and fold; without a baseline its numbers are NaN."""

    indicator: str
    metric: str
    value: float
    baseline: float = np.nan
    against: str = ALONE
    difference: float = np.nan
    se: float = np.nan
    se_folds: float = np.nan


def score_reports(
    draws: FloatArray, value: FloatArray, seed: int, tail: float | None = None
) -> pd.DataFrame:
    """Score the predictive draws of reports, one row a report.

    Parameters
    ----------
    draws : ndarray, shape (sample, report)
        Persons, 0 or more; NaN in all samples of a report without a prediction.
    value : ndarray, shape (report,)
        What was reported, persons.
    seed
        Of the randomised probability integral transform.
    tail
        Persons above which `crps_tail` looks; without it there is no such column.

    Returns
    -------
    DataFrame
        `mae_log` (absolute log error of the median), `crps`, `crps_tail` and `interval_score_50`,
        `_80`, `_95` in persons, `crps_log` of log(value + 1/2), `log_score`, `coverage_50`, `_80`,
        `_95` (1 or 0), `pit` and `log_median`, log(median + 1/2); NaN where there is no
        prediction. `crps` and `crps_tail` are those of 99 quantiles, as baselines have: with heavy
        tails on the log scale persons have no mean, and the largest draw alone would decide.
    """
    there = np.isfinite(draws).all(axis=0)
    drawn, seen = draws[:, there], value[there]
    persons = drawn if len(drawn) <= N_DRAWS else np.quantile(drawn, QUANTILES, axis=0)
    log_drawn, log_seen = np.log(drawn + LOG_SHIFT), np.log(seen + LOG_SHIFT)
    scores: dict[str, FloatArray] = {
        "mae_log": absolute_log_error(drawn, seen),
        "crps": crps(persons, seen),
        "crps_log": crps(log_drawn, log_seen),
        "log_score": _in_blocks(drawn, seen),
    }
    if tail is not None:
        scores["crps_tail"] = crps_above(persons, seen, tail)
    for prob in PROBS:
        scores[f"interval_score_{100 * prob:.0f}"] = interval_score(drawn, seen, prob)
    for prob, held in zip(PROBS, coverage(drawn, seen, PROBS), strict=True):
        scores[f"coverage_{100 * prob:.0f}"] = held
    scores["pit"] = pit(drawn, seen, np.random.default_rng(np.random.SeedSequence([seed, 19])))
    scores["log_median"] = np.log(np.median(drawn, axis=0) + LOG_SHIFT)
    return pd.DataFrame(scores, index=np.flatnonzero(there)).reindex(np.arange(len(value)))


def _in_blocks(draws: FloatArray, value: FloatArray) -> FloatArray:
    starts = range(0, max(len(value), 1), BLOCK)
    parts = [log_score(draws[:, at : at + BLOCK], value[at : at + BLOCK]) for at in starts]
    return np.concatenate(parts)


def summarise_scores(
    reports: pd.DataFrame,
    model: pd.DataFrame,
    baselines: Mapping[str, pd.DataFrame],
    *,
    every_fold: bool,
) -> Iterator[Row]:
    """Yield the rows of one fold, or of all together.

    Parameters
    ----------
    reports
        As from `describe_reports`, with `fold` beside it.
    model
        Its scores from `score_reports`, one row for each of the reports.
    baselines
        By name, the same of each baseline.
    every_fold
        Whether these are the reports of all folds: then the finer kinds are scored as well, all
        kinds against every baseline, and there are standard errors over folds.

    Yields
    ------
    Row
        Metrics are means of scores; `n`, how many reports; `pit_distance`, of the transforms from
        uniform; `rank_correlation` and `within_skill` of the medians. Rows against a baseline are
        of the reports that both predict, of which `n` has the number under `baseline`.
    """
    cluster = pd.factorize(reports["corridor"])[0]
    fold = pd.factorize(reports["fold"])[0]
    series = pd.factorize(reports["series"])[0]
    groups = pd.DataFrame({"cluster": cluster, "fold": fold, "series": series}).astype(np.int64)
    groups["log_value"] = np.log(reports["value"].to_numpy(np.float64) + LOG_SHIFT)
    fine = list(fine_kinds(reports)) if every_fold else []
    for kinds, metrics in ((main_kinds(reports), None), (fine, FINE_METRICS)):
        for kind, rows in kinds:
            for name, other in baselines.items():
                if every_fold or kind == ALL_REPORTS:
                    shared = rows & other["pit"].notna().to_numpy()
                    n = float(rows.sum()), float(shared.sum())
                    yield Row(kind, "n", n[0], n[1], name, n[0] - n[1])
                    if shared.any():
                        both = _score(groups[shared], model[shared], other[shared], metrics)
                        yield from (row._replace(indicator=kind, against=name) for row in both)
            yield Row(kind, "n", float(rows.sum()))
            for row in _score(groups[rows], model[rows], None, metrics):
                yield row._replace(indicator=kind)
    if every_fold:
        yield from _pit_shares(model["pit"])


def _score(
    groups: pd.DataFrame,
    own: pd.DataFrame,
    other: pd.DataFrame | None,
    metrics: tuple[str, ...] | None,
) -> Iterator[Row]:
    """Yield every metric of some reports, with no kind and no baseline's name yet."""
    names = list(metrics or own.columns.drop(list(NO_MEAN)))
    mine = own[names].to_numpy(np.float64)
    theirs = np.full_like(mine, np.nan) if other is None else other[names].to_numpy(np.float64)
    gap = mine if other is None else mine - theirs
    se = (clustered_se(gap, groups[by].to_numpy()) for by in ("cluster", "fold"))
    columns = (mine.mean(axis=0), theirs.mean(axis=0), *se)
    for name, value, baseline, by_corridor, by_fold in zip(names, *columns, strict=True):
        yield Row("", name, value, baseline, "", value - baseline, by_corridor, by_fold)
    if metrics is not None:
        return
    # What cannot be told of so few reports is left out.
    whole = {name: number for name, number in _whole(groups, own).items() if not np.isnan(number)}
    beside = _whole(groups, other) if other is not None else dict.fromkeys(whole, np.nan)
    for name, number in whole.items():
        yield Row("", name, number, beside[name], "", number - beside[name])


def _whole(groups: pd.DataFrame, scores: pd.DataFrame) -> dict[str, float]:
    """Return what is of many reports at once."""
    point, seen = scores["log_median"].to_numpy(), groups["log_value"].to_numpy()
    return {
        "pit_distance": uniform_distance(scores["pit"].to_numpy()),
        "rank_correlation": rank_correlation(point, seen),
        "within_skill": within_skill(point, seen, groups["series"].to_numpy()),
    }


def clustered_se(scores: FloatArray, cluster: NDArray[np.int64]) -> FloatArray:
    """Return the standard error of each column's mean where rows of a cluster are dependent.

    ``sqrt(C / (C - 1) sum_c (sum_{i in c} (x_i - mean))**2) / n`` of C clusters; NaN of one.
    """
    labels, position = np.unique(cluster, return_inverse=True)
    if len(labels) < 2:
        return np.full(scores.shape[1], np.nan)
    sums = np.zeros((len(labels), scores.shape[1]))
    np.add.at(sums, position, scores - scores.mean(axis=0))
    total = (sums**2).sum(axis=0) * len(labels) / (len(labels) - 1)
    return np.asarray(np.sqrt(total) / len(scores))


def _pit_shares(transform: pd.Series) -> Iterator[Row]:
    if not len(transform):
        return
    tenth = np.minimum((10.0 * transform.to_numpy()).astype(np.int64), 9)
    share = np.bincount(tenth, minlength=10) / len(transform)
    for metric, one in zip(PIT_BINS, share, strict=True):
        yield Row(ALL_REPORTS, metric, float(one))
