"""Crossings of persons at a border, counted into flows; nothing about a person leaves.

A record of entries and exits has a row for each person and crossing, as border management systems
(IOM's MIDAS, for instance) keep it. It stays in memory: nothing is written, no number about fewer
persons than the threshold is returned, and messages name rows and columns, but no cell.

Sources
-------
United Nations (1998), Recommendations on Statistics of International Migration, Revision 1 (the
duration rule). Hundepool, A. et al. (2012), Statistical Disclosure Control, Wiley,
doi:10.1002/9781118348239 (thresholds and complementary disclosure).
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, get_args

import numpy as np
import pandas as pd

from flowcast.errors import UsageError
from flowcast.places import convert_code, exists_in
from flowcast.sources._crossings import COLUMNS, By, read_record
from flowcast.vocabulary import OBSERVATION_COLUMNS, UN_DURATION_MONTHS

__all__ = ["COLUMNS", "By", "flows_from_crossings"]

DAYS_OF_MONTH: Final = 365.2425 / 12
MOVE: Final = "move"
REMARKABLE: Final = ("recorded twice", "inconsistent", "residence unknown", "undecided")
"""Crossings that are told beside the flows, in the order in which the first that holds counts."""


@dataclass(frozen=True, slots=True)
class _Rules:
    """What was asked for: alpha-2 code of the country, months, persons, and what partners are."""

    country: str
    duration_months: float
    threshold: int
    by: By

    def matures(self, times: pd.Series) -> pd.Series:
        """Return when a stay or an absence that began at these times has lasted long enough."""
        months = int(self.duration_months)
        days = (self.duration_months - months) * DAYS_OF_MONTH
        later: pd.Series = times + pd.DateOffset(months=months)
        return later + pd.Timedelta(days=days)


def flows_from_crossings(
    source: str | os.PathLike[str] | pd.DataFrame,
    country: str,
    *,
    duration_months: float = UN_DURATION_MONTHS,
    threshold: int = 10,
    by: By = "residence",
    start: str | None = None,
    end: str | None = None,
) -> pd.DataFrame:
    """Count the flows to and from a country in a record of crossings at its border.

    Who lives elsewhere, enters and does not leave within the duration is an immigrant of the year
    of the entry; who lives in the country, leaves and does not come back within it is an emigrant
    of the year of the exit. A stay or absence ends at the person's next crossing; where that has
    the same direction, one between them was not recorded, and the first is inconsistent. So are an
    entry and an exit at the same time, which are left out of the sequence.

    Parameters
    ----------
    source
        A CSV (also ``.csv.gz``, Parquet, Excel) or a frame with a row for each person and crossing,
        and the columns of `COLUMNS`: `person` (a pseudonym), `direction`, `time`
        (``YYYY-MM-DD HH:MM``, local), `residence`, and `nationality`, or `partner` (or `going_to`),
        as `by` needs it. Countries are codes or names; empty is unknown. Other columns are not
        used.
    country
        The country whose border it is, ISO 3166.
    duration_months
        Minimum stay or absence, 0 to 12; fractions are parts of a mean month.
    threshold
        Persons below which no number is returned.
    by
        What the other side of a flow is: the previous residence of immigrants and the next one of
        emigrants (the country that they go to), or the nationality.
    start, end
        First day of the record, and first day after it, ``YYYY-MM-DD``. By default the days of the
        first crossing and after the last one.

    Returns
    -------
    pandas.DataFrame
        Columns of the observation contract, source ``border_crossings``: `flow` by partner,
        `immigration` and `emigration` of all, persons per calendar year (who moves twice counts
        twice). There is no row for a flow below the threshold, nor for a total that would give
        such flows away: what it holds beyond the flows that are told must be nobody, or
        `threshold` persons or more. Years in which moves can be undecided, or that the record does
        not cover whole, have the `flag` ``incomplete``. ``attrs["counts"]`` has the persons with
        crossings that were undecided, inconsistent, recorded twice or of unknown residence, as a
        number or as ``"fewer than 10"``.

    Raises
    ------
    InputError
        With every fault of the record, by row and column, and without the cell; or if there is no
        such country.
    UsageError
        If an option is not what it may be.

    Examples
    --------
    >>> rows = pd.DataFrame({
    ...     "person": ["a", "b", "c", "c"],
    ...     "direction": ["entry", "entry", "entry", "exit"],
    ...     "time": [f"2020-0{month}-01 10:00" for month in (3, 4, 5, 6)],
    ...     "residence": "KE", "partner": "KE",
    ... })
    >>> flows = flows_from_crossings(rows, "RW", threshold=2, start="2020-01-01", end="2022-01-01")
    >>> flows[["measure", "origin", "destination", "value"]].to_numpy().tolist()
    [['flow', 'KE', 'RW', 2.0], ['immigration', '', 'RW', 2.0]]
    >>> flows.attrs["counts"]["undecided"]
    'fewer than 2'
    """
    rules = _check_rules(convert_code(country, "alpha2"), duration_months, threshold, by)
    given = {name: _check_day(name, day) for name, day in (("start", start), ("end", end))}
    record = read_record(source, rules.by, given["start"], given["end"])
    first = given["start"] or record["time"].min().normalize()
    last = given["end"] or record["time"].max().normalize() + pd.Timedelta(days=1)
    crossings = _classify(record, rules, last)
    flows = _tabulate(_moves(crossings, rules), rules)
    flows["flag"] = _flags(flows["period_start"], rules, first, last)
    flows = flows[[column for column in OBSERVATION_COLUMNS if column in flows]]
    flows.attrs = {"counts": _counts(crossings, rules.threshold)}
    return flows


def _check_rules(country: str, duration_months: float, threshold: int, by: By) -> _Rules:
    """Return the rules; options that are not allowed are told together."""
    wrong = []
    if not 0 <= duration_months <= UN_DURATION_MONTHS:
        wrong.append(f"found duration_months {duration_months}; allowed: months from 0 to 12")
    if type(threshold) is not int or threshold < 1:
        wrong.append(f"found threshold {threshold}; allowed: whole persons, 1 or more")
    if by not in get_args(By):
        wrong.append(f"found by {by!r}; allowed: {', '.join(get_args(By))}")
    if wrong:
        raise UsageError("\n".join(f"(crossings) | {text}" for text in wrong))
    return _Rules(country, float(duration_months), threshold, by)


def _check_day(name: str, day: str | None) -> pd.Timestamp | None:
    if day is None:
        return None
    try:
        return pd.to_datetime(day, format="%Y-%m-%d")
    except (ValueError, TypeError):
        raise UsageError(
            f"(crossings) | found {name} {day!r}; allowed: a day, 2020-01-01"
        ) from None


def _classify(record: pd.DataFrame, rules: _Rules, end: pd.Timestamp) -> pd.DataFrame:
    """Return the crossings with their `outcome`; rows in another order make no difference."""
    ordered = _in_order(record)
    twice = ordered.duplicated(["person", "time", "entry"])
    both = ordered[~twice].duplicated(["person", "time"], keep=False)
    chain = ordered[~twice][~both]
    follows = chain["person"].eq(chain["person"].shift(-1))
    again = follows & chain["entry"].eq(chain["entry"].shift(-1))
    matures = rules.matures(chain["time"])
    lasts = (chain["time"].shift(-1) >= matures).where(follows, matures <= end)
    moves = chain["entry"] != (chain["residence"] == rules.country)
    conditions = [again, chain["residence"] == "", moves & lasts, moves & ~follows]
    names = ["inconsistent", "residence unknown", MOVE, "undecided"]
    outcome = pd.Series(np.select(conditions, names, ""), index=chain.index)
    outcome = outcome.reindex(ordered.index, fill_value="inconsistent")
    return ordered.assign(outcome=outcome.mask(twice, "recorded twice"))


def _in_order(record: pd.DataFrame) -> pd.DataFrame:
    """Return the crossings by person and time; of two records of one, always the same is first."""
    codes = {
        name: pd.Categorical(record[name], categories=sorted(record[name].unique())).codes
        for name in ("partner", "residence")
    }
    keys = (codes["partner"], codes["residence"], record["entry"], record["time"], record["person"])
    return record.iloc[np.lexsort(keys)].reset_index(drop=True)


def _moves(crossings: pd.DataFrame, rules: _Rules) -> pd.DataFrame:
    """Return `person`, `year`, `entry` and `partner` of the moves; empty: no flow can be named."""
    moves = crossings[crossings["outcome"] == MOVE]
    frame = moves[["person", "entry", "partner"]].assign(year=moves["time"].dt.year)
    pairs = frame[["partner", "year"]].drop_duplicates()
    pairs["named"] = [
        _can_be_named(str(code), int(year), rules) for code, year in pairs.itertuples(index=False)
    ]
    named = frame.merge(pairs, how="left")
    return named.assign(partner=named["partner"].where(named["named"].astype(bool), ""))


def _can_be_named(code: str, year: int, rules: _Rules) -> bool:
    """Return whether the contract has a flow with this place in this year.

    People outlive the country of their passport, but nobody comes from a place that is gone.
    """
    known = code not in ("", rules.country)
    return known and (rules.by == "nationality" or exists_in(code, year))


def _tabulate(moves: pd.DataFrame, rules: _Rules) -> pd.DataFrame:
    """Return the flows and totals that may be told, in the columns of the contract."""
    side = ["year", "entry"]
    cells = _count(moves, [*side, "partner"])
    told = cells[(cells["partner"] != "") & (cells["persons"] >= rules.threshold)]
    rest = moves.merge(told[[*side, "partner"]], how="left", indicator="told")
    rest = rest[rest["told"] == "left_only"]
    totals = _count(moves, side).merge(
        _count(rest, side).rename(columns={"persons": "withheld"})[[*side, "withheld"]], how="left"
    )
    withheld = totals["withheld"].fillna(0)
    safe = (withheld == 0) | (withheld >= rules.threshold)
    totals = totals[safe & (totals["persons"] >= rules.threshold)].assign(partner="")
    rows = pd.concat([told, totals[told.columns]], ignore_index=True)
    rows = rows.assign(total=rows["partner"] == "")
    return _as_contract(rows.sort_values(["year", "entry", "total", "partner"]), rules)


def _count(moves: pd.DataFrame, keys: Collection[str]) -> pd.DataFrame:
    """Return moves (`value`) and different `persons` of each group."""
    groups = moves.groupby(list(keys), as_index=False)
    return groups.agg(value=("person", "size"), persons=("person", "nunique"))


def _as_contract(rows: pd.DataFrame, rules: _Rules) -> pd.DataFrame:
    """Return rows of `year`, `entry`, `partner`, `total` and `value` under the contract's names."""
    entry, total = rows["entry"].astype(bool), rows["total"].astype(bool)
    of_all = entry.map({True: "immigration", False: "emigration"}).astype("str")
    inward = entry.map({True: "destination", False: "origin"}).astype("str")
    year = rows["year"].astype(int)
    frame = pd.DataFrame(
        {
            "source": "border_crossings",
            "family": "administrative",
            "measure": of_all.where(total, "flow"),
            "origin": rows["partner"].where(entry, rules.country),
            "destination": rows["partner"].mask(entry, rules.country),
            "period_start": year.astype("str") + "-01-01",
            "period_end": (year + 1).astype("str") + "-01-01",
            "value": rows["value"].astype(float),
            "reporter": inward,
            "duration_months": rules.duration_months,
            "criterion": "residence" if rules.by == "residence" else "citizenship",
        }
    )
    return frame.reset_index(drop=True)


def _flags(starts: pd.Series, rules: _Rules, first: pd.Timestamp, last: pd.Timestamp) -> pd.Series:
    """Return ``incomplete`` for years with days outside the record, or moves it cannot decide."""
    begin = pd.to_datetime(starts, format="%Y-%m-%d")
    whole = (begin >= first) & (rules.matures(begin + pd.DateOffset(years=1)) <= last)
    return whole.map({True: "", False: "incomplete"}).astype("str")


def _counts(crossings: pd.DataFrame, threshold: int) -> dict[str, int | str]:
    """Return the persons behind each remarkable outcome; few of them are not told how many."""
    persons = crossings.groupby("outcome")["person"].nunique()
    few = f"fewer than {threshold}"
    found = {name: int(persons.get(name, 0)) for name in REMARKABLE}
    return {name: n if n >= threshold else few for name, n in found.items()}
