"""Outliers among single reports, and breaks in all the reports of a reporter."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from flowcast._observation_checks import number_groups
from flowcast.sources._quality_reports import GROUP, Reports
from flowcast.sources._quality_statistics import (
    NORMAL,
    WINDOW,
    combine_sides,
    neighbour_medians,
    poisson_variance,
    robust_centre,
    robust_spread,
    widening,
)

__all__ = ["OUTLIER_Z", "Levels", "find_outliers", "make_levels"]

type Floats = NDArray[np.float64]

HALF: Final = 0.5
"""Added to a count before its log is taken, so that a report of 0 has one."""
OUTLIER_Z: Final = 6.0
"""Robust standard deviations from which on a report is listed."""
SAMPLING: Final = np.array([np.nan, 1.0, 0.5, 0.449])
"""Variance of the median of 1, 2 and 3 normal values, in variances of one."""
MIN_OWN: Final = 6
"""Reports of a series from which on its own spread counts, where it is larger."""
SITE: Final = ["source", "measure", "reporter", "side", "partner", "origin", "destination", "year"]


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """Reports on the log scale, a series in each row.

    Attributes
    ----------
    values
        Log of persons plus one half, shape (series, period); NaN where there is no report.
    before, n_before, after, n_after
        As from `neighbour_medians`.
    group
        Number of the reporter of each series, shape (series,).
    series, time
        Place of each row of `reports.newest`, shape (row,).
    """

    values: Floats
    before: Floats
    n_before: NDArray[np.int64]
    after: Floats
    n_after: NDArray[np.int64]
    group: NDArray[np.int64]
    series: NDArray[np.int64]
    time: NDArray[np.int64]


def make_levels(reports: Reports) -> Levels:
    """Bring the reports into the shape (series, period); a negative net figure has no log."""
    table = reports.newest
    series, time = table["series"].to_numpy(), table["time"].to_numpy()
    value = table["value"].to_numpy(dtype=np.float64)
    shape = (int(series.max()) + 1, int(time.max()) + 1)
    values = np.full(shape, np.nan)
    values[series, time] = np.log(np.where(_counts(table), value, np.nan) + HALF)
    group = np.zeros(shape[0], dtype=np.int64)
    group[series] = number_groups(table, GROUP)
    return Levels(values, *neighbour_medians(values), group, series, time)


def _counts(table: pd.DataFrame) -> NDArray[np.bool_]:
    return ((table["measure"] != "net") & (table["value"] >= 0)).to_numpy(dtype=bool)


def find_outliers(reports: Reports, levels: Levels, pairs: pd.DataFrame) -> pd.DataFrame:
    """List the reports that depart from their neighbouring years, or from their mirror.

    Both departures are robust z values: the log of the report minus what is expected, over a spread
    that is made of the reporter's usual one (from the median absolute deviation [1]_) and the
    Poisson variance of a count. A report departs from its neighbours only if it does from the years
    before *and* from those after, and from its mirror only if the ratio is odd for the reporter
    *and* for the other one; then neither a shift of level nor a reporter with another definition
    makes outliers of single reports. The ratio is compared with that of the corridor's own years if
    there are six of them, else with that of the reporter's other corridors.

    Parameters
    ----------
    reports, levels
        What is assessed.
    pairs
        From `pair_reports`.

    Returns
    -------
    pandas.DataFrame
        The largest first: `source, measure, reporter, side, partner, origin, destination, year`,
        `criterion`, `age`, `sex`, `value`, `expected` (persons), `z`, `basis` (what it departs
        from), `file`, `row`. In `attrs`: how many reports were `judged` by either.

    References
    ----------
    .. [1] B. Iglewicz, D. C. Hoaglin, How to Detect and Handle Outliers, ASQC Quality Press 1993.
    """
    z, expected = _from_years(reports.newest, levels)
    mirror_z, mirror_expected = _from_mirror(reports.newest, pairs)
    by_years, by_mirror = np.abs(z) >= OUTLIER_Z, np.abs(mirror_z) >= OUTLIER_Z
    blamed = np.zeros(len(z), dtype=bool)
    # Where the other report departs from its own years, it is that one, and told as such.
    blamed[pairs["left"]] = by_years[pairs["right"]]
    by_mirror &= by_years | ~blamed
    basis = np.select(
        [by_years & by_mirror, by_years, by_mirror],
        ["neighbouring years and mirror report", "neighbouring years", "mirror report"],
        default="",
    )
    found = reports.newest[[*SITE, "criterion", "age", "sex", "value", "file", "row"]].assign(
        expected=np.where(by_years, expected, mirror_expected),
        z=np.where(by_years, z, mirror_z),
        basis=basis,
    )
    listed = found[by_years | by_mirror]
    order = listed["z"].abs().sort_values(ascending=False, kind="stable").index
    listed = listed.loc[order].reset_index(drop=True)
    listed.attrs["judged"] = int((~np.isnan(z) | ~np.isnan(mirror_z)).sum())
    return listed


def _from_years(table: pd.DataFrame, levels: Levels) -> tuple[Floats, Floats]:
    """Return z and expected persons of each report against the years around it."""
    at = (levels.series, levels.time)
    sides = [
        _from_one_side(table, levels, around[at], count[at])
        for around, count in (
            (levels.before, levels.n_before),
            (levels.after, levels.n_after),
        )
    ]
    (z_before, from_before), (z_after, from_after) = sides
    z, is_before = combine_sides(z_before, z_after)
    expected = np.where(is_before, from_before, from_after)
    # The first and the last years of a series have one side; it must be whole to count.
    for only, count, other, persons in (
        (z_before, levels.n_before[at], z_after, from_before),
        (z_after, levels.n_after[at], z_before, from_after),
    ):
        end = np.isnan(other) & (count == WINDOW)
        z, expected = np.where(end, only, z), np.where(end, persons, expected)
    return z, expected


def _from_one_side(
    table: pd.DataFrame, levels: Levels, around: Floats, count: NDArray[np.int64]
) -> tuple[Floats, Floats]:
    value = table["value"].to_numpy(dtype=np.float64)
    frame = pd.DataFrame(
        {
            "departure": levels.values[levels.series, levels.time] - around,
            "group": levels.group[levels.series],
            "series": levels.series,
            "time": levels.time,
        }
    )
    centre, wider = robust_centre(frame, "departure", "group", "time")
    expected = np.maximum(np.exp(around + centre) - HALF, 0.0)
    frame["residual"] = frame["departure"] - centre
    frame["chance"] = poisson_variance(value, expected) * (1.0 + SAMPLING[count])
    sd = wider * robust_spread(frame, "residual", "chance", "group")
    sd = np.maximum(sd, _own_spread(frame))
    return (frame["residual"] / np.sqrt(sd**2 + frame["chance"])).to_numpy(), expected


def _own_spread(frame: pd.DataFrame) -> Floats:
    """Return the spread of each row's series; 0 where it is too short to have one."""
    size = frame["residual"].abs().groupby(frame["series"])
    enough = size.transform("count") >= MIN_OWN
    variance = (NORMAL * size.transform("median")) ** 2
    chance = frame["chance"].groupby(frame["series"]).transform("median")
    beyond = (variance - chance).clip(lower=0.0).where(enough, 0.0)
    return np.sqrt(beyond.to_numpy(dtype=np.float64))


def _from_mirror(table: pd.DataFrame, pairs: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return z and expected persons of each report against its mirror; NaN without one."""
    z, expected = np.full(len(table), np.nan), np.full(len(table), np.nan)
    group = number_groups(table, GROUP)
    known = pairs.assign(
        time=table["time"].to_numpy()[pairs["left"]],
        series=table["series"].to_numpy()[pairs["left"]],
        # A ratio to 0 says nothing of what is usual.
        both=(pairs["value"] > 0) & (pairs["mirror_value"] > 0),
    )
    # A corridor with several years is compared with its own usual ratio, which scatters far less
    # from year to year than from partner to partner; one with few, with the reporter's others.
    several = (known.groupby("series")["both"].transform("sum") >= MIN_OWN).to_numpy(dtype=bool)
    for part, within in ((known[several], True), (known[~several], False)):
        if len(part):
            at = part["left"].to_numpy()
            z[at], expected[at] = _against_both(part, group, within=within)
    return z, expected


def _against_both(
    pairs: pd.DataFrame, group: NDArray[np.int64], *, within: bool
) -> tuple[Floats, Floats]:
    """Return z and expected persons by what is usual for the reporter and for the other one."""
    own, from_own = _against_usual(pairs, group[pairs["left"]], within=within)
    other, from_other = _against_usual(pairs, group[pairs["right"]], within=within)
    combined, is_own = combine_sides(own, other)
    return combined, np.where(is_own, from_own, from_other)


def _against_usual(
    pairs: pd.DataFrame, group: NDArray[np.int64], *, within: bool
) -> tuple[Floats, Floats]:
    """Return z and expected persons, given the usual ratio of a group of reporters."""
    value = pairs["value"].to_numpy(dtype=np.float64)
    mirror = pairs["mirror_value"].to_numpy(dtype=np.float64)
    departure = np.log(value + HALF) - np.log(mirror + HALF)
    frame = pairs[["time", "series"]].assign(departure=departure, group=group)
    centre, wider = robust_centre(frame, "departure", "group", "time")
    if within:
        beyond = pd.Series(departure - centre, index=frame.index).where(pairs["both"])
        years = beyond.groupby(frame["series"])
        centre = centre + years.transform("median").to_numpy()
        wider = wider * widening(years.transform("count").to_numpy(dtype=np.float64))
    expected = np.maximum((mirror + HALF) * np.exp(centre) - HALF, 0.0)
    frame["residual"] = departure - centre
    frame["chance"] = poisson_variance(value, expected) + 1.0 / (mirror + HALF)
    sd = wider * robust_spread(frame, "residual", "chance", "group")
    sd = np.maximum(sd, _own_spread(frame)) if within else sd
    return (frame["residual"] / np.sqrt(sd**2 + frame["chance"])).to_numpy(), expected
