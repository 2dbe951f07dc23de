"""Breaks in series: years in which the level of all of a reporter's reports shifts."""

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._observation_checks import number_groups
from flowcast.sources._quality_reports import GROUP, Reports
from flowcast.sources._quality_series import Levels
from flowcast.sources._quality_statistics import LEAST_SD, NORMAL, median_intervals

__all__ = ["BREAK_Z", "STATUSES", "find_changes"]

type Floats = NDArray[np.float64]

BREAK_Z: Final = 5.0
"""Robust standard deviations from which on the change of a year is a break."""
MIN_PERSONS: Final = 20.0
"""Persons in both years together; below, the change of a corridor is mostly chance."""
MIN_CORRIDORS: Final = 5
MIN_OTHERS: Final = 3
"""Other years needed to know how much a level usually changes."""
FEW_OTHERS: Final = 6
"""With fewer other years, the spread over all reporters counts where it is larger."""
MEDIAN_SE: Final = float(np.sqrt(np.pi / 2.0))
"""Standard error of a median of normal values, in standard deviations over the root of n."""
KEPT: Final = 0.5
"""Share of a change that must still be there later, for it to be a break."""
BREAK, ODD_YEAR, OPEN, NONE = "break", "odd year", "break or odd year", ""
STATUSES: Final = (BREAK, ODD_YEAR, OPEN, NONE)


def find_changes(reports: Reports, levels: Levels, prob: float) -> pd.DataFrame:
    """Return how the level of each reporter's reports changes from year to year, and mark breaks.

    The change of a year is the median over corridors of the log of this year's report over last
    year's. It is marked where it departs from the median of the reporter's other years by at least
    five times its spread, which is made of that of the other years (from the median absolute
    deviation) and the standard error over corridors.

    Parameters
    ----------
    reports, levels
        What is assessed.
    prob
        Probability of the intervals.

    Returns
    -------
    pandas.DataFrame
        One row per `source, measure, reporter, side, year` that follows on another one: `ratio`
        (level over that of the year before), `lower`, `upper`, `n` (corridors), `usual` (median
        ratio of the other years), `z` (NaN where corridors or other years are too few), `kept`
        (share of the change that is still there later; NaN if no later year tells) and `status`:
        ``break`` if at least half is, ``odd year`` if not, ``break or odd year`` if that cannot be
        told, empty for a year like the others.
    """
    changes = _corridor_changes(levels)
    by = ["group", "time"]
    found = median_intervals(changes, by, "change", prob)
    spread = changes.groupby(by)["change"].agg(_spread).rename("spread").reset_index()
    found = found.merge(spread, on=by)
    found["log"] = np.log(found["ratio"])
    found["error"] = MEDIAN_SE * found["spread"] / np.sqrt(found["n"])
    found = _score(found)
    found = found.merge(_later(levels, found), on=by, how="left")
    found["status"] = _status(found)
    names = _names(reports)
    found = found.merge(names, on=by).sort_values([*GROUP, "period_start"], ignore_index=True)
    columns = [*GROUP, "year", "ratio", "lower", "upper", "n", "usual", "z", "kept", "status"]
    return found[columns]


def _corridor_changes(levels: Levels) -> pd.DataFrame:
    """Return the log change of every series with enough persons in two years running."""
    now, last = levels.values[:, 1:], levels.values[:, :-1]
    persons = np.exp(now) + np.exp(last) - 1.0
    series, time = np.nonzero(persons >= MIN_PERSONS)  # NaN is not
    change = (now - last)[series, time]
    return pd.DataFrame({"group": levels.group[series], "time": time + 1, "change": change})


def _spread(values: "pd.Series[float]") -> float:
    return float(NORMAL * (values - values.median()).abs().median())


def _score(found: pd.DataFrame) -> pd.DataFrame:
    """Add the usual change of the other years, and z."""
    judged = (found["n"] >= MIN_CORRIDORS).to_numpy()
    usual, spread = np.full(len(found), np.nan), np.full(len(found), np.nan)
    others = np.zeros(len(found), dtype=np.int64)
    change, group = found["log"].to_numpy(), found["group"].to_numpy()
    for k in np.flatnonzero(judged):
        rest = change[judged & (group == group[k]) & (np.arange(len(found)) != k)]
        others[k] = len(rest)
        if len(rest) >= MIN_OTHERS:
            usual[k] = np.median(rest)
            spread[k] = max(NORMAL * np.median(np.abs(rest - usual[k])), LEAST_SD)
    known = ~np.isnan(spread)
    typical = np.median(spread[known]) if known.any() else np.nan
    spread = np.where(others < FEW_OTHERS, np.fmax(spread, typical), spread)
    total = np.sqrt(spread**2 + found["error"].to_numpy() ** 2)
    z = np.where(known, (change - usual) / total, np.nan)
    return found.assign(usual=np.exp(usual), z=z)


def _later(levels: Levels, found: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each change that is still there in the up to three years after it."""
    usual = found.groupby("group")["usual"].median()
    trend = np.log(usual.reindex(np.arange(levels.group.max() + 1)).to_numpy())[levels.group]
    lag = (levels.n_before + 1) / 2.0 + (levels.n_after + 1) / 2.0
    shift = levels.after - levels.before - trend[:, None] * lag
    series, time = np.nonzero(~np.isnan(shift))
    table = pd.DataFrame(
        {"group": levels.group[series], "time": time, "shift": shift[series, time]}
    )
    shifts = table.groupby(["group", "time"])["shift"].median().reset_index()
    both = found.merge(shifts, on=["group", "time"], how="inner")
    departure = both["log"] - np.log(both["usual"])
    kept = both["shift"] / departure.where(departure != 0.0)
    return both[["group", "time"]].assign(kept=kept)


def _status(found: pd.DataFrame) -> NDArray[np.str_]:
    marked = found["z"].abs() >= BREAK_Z
    conditions = [marked & (found["kept"] >= KEPT), marked & found["kept"].notna(), marked]
    return np.select(conditions, [BREAK, ODD_YEAR, OPEN], default=NONE)


def _names(reports: Reports) -> pd.DataFrame:
    table = reports.newest
    numbered = table.assign(group=number_groups(table, GROUP))
    return numbered[["group", "time", *GROUP, "year", "period_start"]].drop_duplicates(
        ["group", "time"]
    )
