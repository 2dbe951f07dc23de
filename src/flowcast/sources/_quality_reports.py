"""Reports in the form that the data quality report works on: who reports what, when, and where.

Nothing is corrected: rows get the place that reports them, their period in words, file and row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._observation_checks import KEY_WORDS, find_clashes, number_groups
from flowcast.errors import Fault, InputError, UsageError
from flowcast.observations import Observations
from flowcast.places import exists_in, is_grouping
from flowcast.vocabulary import OBSERVATION_KEY, PERMANENT_MONTHS

__all__ = ["GROUP", "Reports", "collect", "describe_duration", "living_places"]

GROUP: Final = ["source", "measure", "reporter", "side"]
"""Columns that make one reporter's reports by one source."""
FIGURE: Final = [
    name.replace("reporter", "side") for name in OBSERVATION_KEY if name not in ("vintage",)
]
"""Rows that agree in these are vintages of one another."""
SERIES: Final = ["source", "measure", "origin", "destination", "side", "criterion", "age", "sex"]
OTHER: Final = "other"
MONTH_DAYS: Final = 30.4375
SHORTEST_MONTH: Final = 28


@dataclass(frozen=True, slots=True, eq=False)
class Reports:
    """What is assessed.

    Attributes
    ----------
    newest
        The newest vintage of every figure, in an order that does not depend on that of the rows.
        Columns of the contract, with `side` for its `reporter` (``origin``, ``destination``,
        ``other``), and: `reporter` (the place that reports, ``other`` if it is neither), `partner`
        (the other place), `year` (a calendar year, or the ISO interval of another period), `file`,
        `row`, `pair` (whether both sides are single places), `series` and `time` (numbers of the
        figure's series and, within series of one length of period, of the period).
    every
        All vintages, with `figure` (number of the figure), `order` (oldest first) and `label` (name
        of the vintage).
    places
        Single places of the input, sorted.
    declared
        Whether the codes are a user's own.
    """

    newest: pd.DataFrame
    every: pd.DataFrame
    places: tuple[str, ...]
    declared: bool


def collect(
    observations: Sequence[Observations],
    rows: Sequence[NDArray[np.int64]] | None,
    vintages: Sequence[str] | None,
) -> Reports:
    """Join observations, and add to every row what the assessment needs.

    Parameters
    ----------
    observations
        One for each file.
    rows
        Row numbers as an editor counts them, shape (row,) for each; by default the first is 2.
    vintages
        Names of the observations as vintages of one another, the oldest first; None if they are
        different data.

    Raises
    ------
    UsageError
        If there are none, their codes are of different kinds, or names and observations differ in
        number.
    InputError
        If a figure stands in two of them, and they are not vintages.
    """
    kinds = list(dict.fromkeys(one.codes for one in observations))
    if len(kinds) != 1:
        found = " and ".join(kinds) or "no observations"
        raise UsageError(f"(quality) | found {found}; allowed: observations of one kind of codes")
    if vintages is not None and len(vintages) != len(observations):
        raise UsageError(
            f"(quality) | found {len(vintages)} vintages of {len(observations)} observations; "
            "allowed: a name for each"
        )
    joined = _join(observations, rows)
    if vintages is None:
        _refuse_clashes(joined)
    every = _add_vintages(_add_words(joined), vintages)
    latest = every.sort_values("order").drop_duplicates("figure", keep="last")
    newest = latest.sort_values("canonical", ignore_index=True)
    places = tuple(p for p in sorted(_codes(joined)) if not is_grouping(p))
    newest["pair"] = newest["origin"].isin(places) & newest["destination"].isin(places)
    return Reports(_add_series(newest), every, places, kinds[0] == "declared")


def _join(
    observations: Sequence[Observations], rows: Sequence[NDArray[np.int64]] | None
) -> pd.DataFrame:
    parts = []
    for k, one in enumerate(observations):
        numbers = np.arange(2, one.n + 2) if rows is None else rows[k]
        parts.append(one.table.assign(file=one.name, file_number=k, row=numbers))
    return pd.concat(parts, ignore_index=True)


def _refuse_clashes(joined: pd.DataFrame) -> None:
    allowed = f"{KEY_WORDS}; or files that are named as vintages of one another"
    faults = [
        Fault(
            str(joined["file"].iloc[i]),
            f"{what} row {joined['row'].iloc[j]} of {joined['file'].iloc[j]}",
            allowed,
            int(joined["row"].iloc[i]),
        )
        for clashes, what in zip(
            find_clashes(joined), ("the same key as", "a period that overlaps that of"), strict=True
        )
        for i, j in clashes
    ]
    if faults:
        raise InputError(faults)


def _add_words(joined: pd.DataFrame) -> pd.DataFrame:
    """Add who reports, about whom, and for which year."""
    table = joined.rename(columns={"reporter": "side"})
    at_origin, other = table["side"] == "origin", table["side"] == OTHER
    reporter = table["origin"].where(at_origin, table["destination"])
    partner = table["destination"].where(at_origin, table["origin"])
    both = table["origin"].fillna("") + ">" + table["destination"].fillna("")
    return table.assign(
        reporter=reporter.mask(other, OTHER),
        partner=partner.mask(other, both).fillna(""),
        year=_name_periods(table),
    )


def _name_periods(table: pd.DataFrame) -> pd.Series:
    start, end = table["period_start"], table["period_end"]
    whole = (start.dt.day_of_year == 1) & (end == start + pd.DateOffset(years=1))
    interval = start.dt.strftime("%Y-%m-%d") + "/" + end.dt.strftime("%Y-%m-%d")
    names: pd.Series = start.dt.strftime("%Y").where(whole, interval)
    return names


def _add_vintages(table: pd.DataFrame, names: Sequence[str] | None) -> pd.DataFrame:
    """Add the figure, and the order of its vintages: by date if all have one, else by file."""
    dated = bool(table["vintage"].notna().all())
    keys = ["vintage", "file_number"] if dated else ["file_number", "vintage"]
    ordered = table.sort_values([*FIGURE, *keys], na_position="first", ignore_index=True)
    day = ordered["vintage"].dt.strftime("%Y-%m-%d").fillna("undated")
    label = day
    if names is not None:
        file = ordered["file_number"].map(dict(enumerate(names)))
        label = file + ", " + day if dated else file
    position = np.arange(len(ordered))
    return ordered.assign(
        figure=number_groups(ordered, FIGURE), order=position, label=label, canonical=position
    )


def _add_series(newest: pd.DataFrame) -> pd.DataFrame:
    """Add numbers of the series, and of the periods of each length."""
    start = newest["period_start"].to_numpy().astype("datetime64[D]").astype(np.float64)
    end = newest["period_end"].to_numpy().astype("datetime64[D]").astype(np.float64)
    days = end - start
    step = np.where(days < SHORTEST_MONTH, days, np.round(days / MONTH_DAYS) * MONTH_DAYS)
    time = np.round((start - start.min()) / step).astype(np.int64)
    table = newest.assign(step=step, time=time)
    return table.assign(series=number_groups(table, [*SERIES, "step"]))


def _codes(joined: pd.DataFrame) -> set[str]:
    return set(pd.concat([joined["origin"], joined["destination"]]).dropna())


def living_places(reports: Reports, start: pd.Timestamp, end: pd.Timestamp) -> frozenset[str]:
    """Return the places of the input that existed on some day of a half-open period."""
    if reports.declared:
        return frozenset(reports.places)
    years = range(start.year, (end - pd.Timedelta(days=1)).year + 1)
    return frozenset(p for p in reports.places if any(exists_in(p, year) for year in years))


def describe_duration(months: float) -> str:
    """Return a minimum stay in words.

    Examples
    --------
    >>> describe_duration(1.25), describe_duration(60.0), describe_duration(float("nan"))
    ('1.25 months', 'permanent', 'unknown')
    """
    if np.isnan(months):
        return "unknown"
    return "permanent" if months == PERMANENT_MONTHS else f"{months:g} months"
