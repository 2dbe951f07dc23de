"""The scorecard: scores of single reports, and what they come to by fold and kind of report."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast.scores import (
    LOG_SHIFT,
    absolute_log_error,
    coverage,
    crps,
    interval_score,
    pit,
    uniform_distance,
)

__all__ = ["ALL_FOLDS", "SCORECARD_COLUMNS", "score_reports", "summarise_scores"]

FloatArray = NDArray[np.float64]

SCORECARD_COLUMNS: Final = ("scheme", "fold", "indicator", "metric", "value", "baseline")
ALL_FOLDS: Final = "all"
PROBS: Final = (0.5, 0.8, 0.95)
SMALL: Final = 50
"""Reports below this are told apart: they carry little but noise."""


def score_reports(draws: FloatArray, value: FloatArray, seed: int) -> pd.DataFrame:
    """Score the predictive draws of reports, one row a report.

    Parameters
    ----------
    draws : ndarray, shape (sample, report)
        Persons, 0 or more; NaN in all samples of a report without a prediction.
    value : ndarray, shape (report,)
        What was reported, persons.
    seed
        Of the randomised probability integral transform.

    Returns
    -------
    DataFrame
        `mae_log` (absolute log error of the median), `crps` and `interval_score_95` in persons,
        `crps_log` of log(value + 1/2), `coverage_50`, `_80`, `_95` (1 or 0) and `pit`; NaN where
        there is no prediction.
    """
    there = np.isfinite(draws).all(axis=0)
    drawn, seen = draws[:, there], value[there]
    log_drawn, log_seen = np.log(drawn + LOG_SHIFT), np.log(seen + LOG_SHIFT)
    scores: dict[str, FloatArray] = {
        "mae_log": absolute_log_error(drawn, seen),
        "crps": crps(drawn, seen),
        "crps_log": crps(log_drawn, log_seen),
        "interval_score_95": interval_score(drawn, seen, 0.95),
    }
    for prob, held in zip(PROBS, coverage(drawn, seen, PROBS), strict=True):
        scores[f"coverage_{100 * prob:.0f}"] = held
    scores["pit"] = pit(drawn, seen, np.random.default_rng(np.random.SeedSequence([seed, 19])))
    return pd.DataFrame(scores, index=np.flatnonzero(there)).reindex(np.arange(len(value)))


def summarise_scores(
    reports: pd.DataFrame, model: pd.DataFrame, baseline: pd.DataFrame
) -> Iterable[tuple[str, str, float, float]]:
    """Yield indicator, metric, value and baseline.

    Parameters
    ----------
    reports
        `value` and `reporter` of each predicted report, and `horizon`, 0 for none.
    model, baseline
        Scores from `score_reports`, one row for each of the reports.

    Yields
    ------
    indicator, metric : str
        Indicators are the kinds of report that occur. Metrics are means of the scores; `n`, how
        many reports; and `pit_distance`, of the transforms from uniform.
    value, baseline : float
        The baseline is NaN where it lacks a prediction for one of the reports: both are always of
        the same reports.
    """
    kinds: dict[str, NDArray[np.bool_]] = {
        "reports": np.ones(len(reports), dtype=bool),
        "reports_by_destination": (reports["reporter"] == "destination").to_numpy(),
        "reports_by_origin": (reports["reporter"] == "origin").to_numpy(),
        f"reports_below_{SMALL}": (reports["value"] < SMALL).to_numpy(),
        f"reports_from_{SMALL}": (reports["value"] >= SMALL).to_numpy(),
    }
    for ahead in sorted(set(reports["horizon"]) - {0}):
        kinds[f"reports_{ahead}_ahead"] = (reports["horizon"] == ahead).to_numpy()
    for kind, rows in kinds.items():
        if not rows.any():
            continue
        own, other = model[rows], baseline[rows]
        yield kind, "n", float(rows.sum()), float(other["pit"].notna().sum())
        for metric in own.columns.drop("pit"):
            yield (
                kind,
                str(metric),
                float(own[metric].mean()),
                float(other[metric].mean(skipna=False)),
            )
        yield kind, "pit_distance", _pit_distance(own), _pit_distance(other)


def _pit_distance(scores: pd.DataFrame) -> float:
    transform = scores["pit"].to_numpy()
    return float("nan") if np.isnan(transform).any() else uniform_distance(transform)
