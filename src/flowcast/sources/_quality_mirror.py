"""Reports beside what the other side reports of the same corridor and year."""

from typing import Final

import numpy as np
import pandas as pd

from flowcast._observation_checks import MIRROR_KEY, number_groups
from flowcast.sources._quality_reports import GROUP, Reports, describe_duration
from flowcast.sources._quality_statistics import log_ratio, median_intervals

__all__ = ["mirror_by_definition", "mirror_by_year", "pair_reports", "summarise_mirror"]

SIDES: Final = ("origin", "destination")
ESTIMATE: Final = "estimate"


def pair_reports(reports: Reports) -> pd.DataFrame:
    """Return every report of a corridor with the mirror report of the same figure.

    A figure that is repeated from the other side (`mirror_of`) makes no pair. The mirror is that of
    the same source, or, where it has none, of the first other source by id; estimates are compared
    with reports of their own source only.

    Returns
    -------
    pandas.DataFrame
        One row a pair: columns of `GROUP`, `partner`, `year`; `left` and `right` (rows of
        `reports.newest`), `value`, `mirror_value`, `log_ratio` (report over mirror; NaN where both
        are 0), `mirror_source`, `own_definition`, `mirror_definition` (minimum stays in words) and
        `same_definition`.
    """
    table = reports.newest
    stay = table["duration_months"].map(describe_duration, na_action=None)
    named = table.assign(
        figure=number_groups(table, MIRROR_KEY), at=np.arange(len(table)), stay=stay
    )
    counted = named["pair"] & (named["measure"] != "net") & named["mirror_of"].isna()
    usable = named[counted & named["side"].isin(SIDES)]
    mirror = usable[["figure", "side", "source", "family", "value", "stay", "at"]]
    both = usable.merge(mirror, on="figure", suffixes=("", "_mirror"))
    own = both["source"] == both["source_mirror"]
    estimates = (both["family"] == ESTIMATE) | (both["family_mirror"] == ESTIMATE)
    both = both.assign(foreign=~own)[(both["side"] != both["side_mirror"]) & (own | ~estimates)]
    best = both.sort_values(["at", "foreign", "source_mirror"]).drop_duplicates("at")
    known = (best["stay"] != "unknown") & (best["stay_mirror"] != "unknown")
    pairs = best[[*GROUP, "partner", "year", "period_start", "value"]].assign(
        left=best["at"],
        right=best["at_mirror"],
        mirror_value=best["value_mirror"],
        log_ratio=log_ratio(best["value"], best["value_mirror"]),
        mirror_source=best["source_mirror"],
        own_definition=best["stay"],
        mirror_definition=best["stay_mirror"],
        same_definition=(best["stay"] == best["stay_mirror"]) & known,
    )
    return pairs.reset_index(drop=True)


def mirror_by_year(pairs: pd.DataFrame, prob: float) -> pd.DataFrame:
    """Return the median ratio of each reporter to its mirrors in each year, over corridors.

    Parameters
    ----------
    pairs
        From `pair_reports`.
    prob
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per `source, measure, reporter, side, year`: `ratio`, `lower`, `upper`, `n` (pairs)
        and `n_same` (pairs whose two reports are by the same known minimum stay).
    """
    by = [*GROUP, "period_start", "year"]
    # Age groups and sexes of a corridor are no pairs of their own: first one ratio a partner.
    partners = _by_partner(pairs, by)
    found = median_intervals(partners, by, "log_ratio", prob)
    same = partners[partners["log_ratio"].notna()].groupby(by)["same_definition"].sum()
    found = found.merge(same.rename("n_same").reset_index(), on=by, how="left")
    return found.drop(columns="period_start")


def summarise_mirror(pairs: pd.DataFrame, prob: float) -> pd.DataFrame:
    """Return the median ratio of each reporter to its mirrors in all years.

    The years of a corridor resemble one another. So each partner counts once, with the median of
    its years, and the interval is over partners.

    Returns
    -------
    pandas.DataFrame
        One row per `source, measure, reporter, side`: `ratio`, `lower`, `upper`, `n` (partners),
        `n_pairs` and `n_same`.
    """
    return _over_partners(pairs, GROUP, prob)


def mirror_by_definition(pairs: pd.DataFrame, prob: float) -> pd.DataFrame:
    """Return the same as `summarise_mirror`, apart for each pair of definitions.

    Returns
    -------
    pandas.DataFrame
        Columns of `summarise_mirror`, with `own_definition` and `mirror_definition`.
    """
    return _over_partners(pairs, [*GROUP, "own_definition", "mirror_definition"], prob)


def _over_partners(pairs: pd.DataFrame, by: list[str], prob: float) -> pd.DataFrame:
    found = median_intervals(_by_partner(pairs, by), by, "log_ratio", prob)
    known = pairs[pairs["log_ratio"].notna()].groupby(by)["same_definition"]
    counts = known.agg(n_pairs="size", n_same="sum").reset_index()
    return found.merge(counts, on=by, how="left")


def _by_partner(pairs: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the median log ratio of each partner; the middle of 0 and infinity is unknown."""
    known = pairs[pairs["log_ratio"].notna()].sort_values("log_ratio")
    groups = known.groupby([*by, "partner"])
    n = groups["log_ratio"].transform("size")
    rank = groups.cumcount()
    middle = known[(rank == (n - 1) // 2) | (rank == n // 2)]
    with np.errstate(invalid="ignore"):
        found = middle.groupby([*by, "partner"], as_index=False).agg(
            low=("log_ratio", "min"),
            high=("log_ratio", "max"),
            same_definition=("same_definition", "all"),
        )
        return found.assign(log_ratio=(found["low"] + found["high"]) / 2.0)
