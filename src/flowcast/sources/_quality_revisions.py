"""Revisions: what a newer vintage says of figures that an older one had."""

import numpy as np
import pandas as pd

from flowcast.sources._quality_reports import GROUP, Reports
from flowcast.sources._quality_statistics import log_ratio, median_intervals

__all__ = ["compare_vintages", "summarise_revisions"]

UNREVISED = 1e-9
"""Relative difference below which two values are one that was written in two ways."""


def compare_vintages(reports: Reports) -> pd.DataFrame:
    """Return every figure that has two vintages, the newest beside the one before it.

    Returns
    -------
    pandas.DataFrame
        One row a figure and pair of vintages that follow on one another, the largest revisions
        first: columns of `GROUP`, `partner`, `origin`, `destination`, `year`, `criterion`, `age`,
        `sex`, `old_vintage`, `new_vintage`, `old`, `new` (persons), `log_ratio` (new over old; NaN
        where both are 0), `revised`, `file`, `row` (of the newer one).
    """
    every = reports.every.sort_values("order")
    before = every.groupby("figure")[["value", "label"]].shift()
    columns = ["partner", "origin", "destination", "year", "period_start"]
    groups = ["criterion", "age", "sex"]
    table = every[[*GROUP, *columns, *groups]].assign(
        old_vintage=before["label"],
        new_vintage=every["label"],
        old=before["value"],
        new=every["value"],
        file=every["file"],
        row=every["row"],
    )
    table = table[before["value"].notna()]
    signed = (table["measure"] == "net").to_numpy()
    logs = np.where(signed, np.nan, log_ratio(table["new"].abs(), table["old"].abs()))
    same = np.isclose(table["new"], table["old"], rtol=UNREVISED, atol=0.0)
    table = table.assign(log_ratio=logs, revised=~same)
    size = table["log_ratio"].abs().where(table["revised"], -1.0)
    order = size.sort_values(ascending=False, kind="stable", na_position="last").index
    return table.loc[order].reset_index(drop=True)


def summarise_revisions(revisions: pd.DataFrame, prob: float) -> pd.DataFrame:
    """Return how much each reporter's figures of a year were revised.

    Parameters
    ----------
    revisions
        From `compare_vintages`.
    prob
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per `source, measure, reporter, side, year`: `compared` figures, of which `revised`;
        `ratio`, `lower`, `upper`, `n` (median of new over old among the revised ones); `largest`
        (the ratio furthest from 1) and `largest_partner`.
    """
    by = [*GROUP, "period_start", "year"]
    counts = revisions.groupby(by)["revised"].agg(compared="size", revised="sum").reset_index()
    changed = revisions[revisions["revised"]]
    found = counts.merge(median_intervals(changed, by, "log_ratio", prob), on=by, how="left")
    # The largest revisions stand first.
    first = changed.drop_duplicates(by)[[*by, "log_ratio", "partner"]]
    found = found.merge(first, on=by, how="left").rename(columns={"partner": "largest_partner"})
    found["n"] = found["n"].fillna(0).astype("int64")
    found["largest"] = np.exp(found["log_ratio"])
    return found.drop(columns=["log_ratio", "period_start"])
