"""Paths: values of a driver by place and year, where a scenario gives any, and following them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowcast.errors import Fault, InputError
from flowcast.places import is_grouping
from flowcast.scenarios._targets import Codes
from flowcast.scenarios._work import Work, block_of, few, find_targets, lay
from flowcast.scenarios.catalogue import DRIVERS, Driver
from flowcast.scenarios.drivers import labels_of
from flowcast.scenarios.futures import read_future
from flowcast.scenarios.spec import Change, Scenario

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["GivenPath", "follow_path", "interpolate", "meant_years", "read_path"]


@dataclass(frozen=True, slots=True)
class GivenPath:
    """Values by place and year, with bounds where the file has them.

    Attributes
    ----------
    value
        In the driver's unit (or on another base), shape (place, year); NaN where none is given.
    low, high
        Bounds, or None.
    prob
        Probability between them.
    """

    value: "NDArray[np.float64]"
    low: "NDArray[np.float64] | None" = None
    high: "NDArray[np.float64] | None" = None
    prob: float = 0.8

    def at(self, uniforms: "NDArray[np.float64] | None") -> "NDArray[np.float64]":
        """Return the path at quantiles, shape (draw, place, year); or as it is, (place, year).

        Parameters
        ----------
        uniforms
            Shape (draw, 1) or (draw, place); None where nothing is drawn.
        """
        from scipy import stats

        if self.low is None or self.high is None or uniforms is None:
            return self.value
        score = stats.norm.ppf(uniforms) / stats.norm.ppf((1.0 + self.prob) / 2.0)
        scaled = score[..., None]
        up, down = self.high - self.value, self.value - self.low
        return np.asarray(self.value + np.where(scaled > 0, up, down) * scaled)


def read_path(
    spec: Scenario,
    change: Change,
    labels: "list[str]",
    years: "NDArray[np.int64]",
    codes: Codes,
) -> GivenPath:
    """Return the path of a change, on the places and years of a dataset.

    Parameters
    ----------
    spec, change
        The scenario, and a change of it with `operation: path`.
    labels, years
        Places (or corridors) and years of the dataset.
    codes
        From a code of the file to those of the dataset.

    Raises
    ------
    InputError
        As `read_future`, or if the file is in another unit than the change says.
    """
    known = DRIVERS[change.driver]
    log = known.scale == "ratio"
    factor = known.factor(change.unit)
    if change.path is not None:
        at, values = zip(*sorted(change.path.items()), strict=True)
        line = interpolate(np.array(at), np.array(values, dtype=np.float64), years, log=log)
        return GivenPath(np.tile(line * factor, (len(labels), 1)))
    assert change.data is not None  # checked when the scenario was read
    future = read_future(spec, change.data)
    if future.unit != change.unit:
        where = f"{spec.name}, data.{change.data}"
        allowed = f"{change.unit}, as the change of {change.driver} says"
        raise InputError([Fault(where, f"unit {future.unit!r} in {future.path}", allowed)])
    found = {
        name: _on_grid(future.table, name, labels, years, codes, log=log) * factor
        for name in ("value", "low", "high")
        if name in future.table
    }
    return GivenPath(found["value"], found.get("low"), found.get("high"), future.prob)


def _on_grid(
    table: "pd.DataFrame",
    column: str,
    labels: "list[str]",
    years: "NDArray[np.int64]",
    codes: Codes,
    *,
    log: bool,
) -> "NDArray[np.float64]":
    """Return one column by place and year; a place's own values go before those of a grouping."""
    found = np.full((len(labels), len(years)), np.nan)
    position = {label: i for i, label in enumerate(labels)}
    groups = {str(place): rows for place, rows in table.groupby("place")}
    for place in sorted(groups, key=lambda name: (not is_grouping(name), name)):
        rows = groups[place].sort_values("year")
        line = interpolate(rows["year"].to_numpy(), rows[column].to_numpy(), years, log=log)
        for label in codes(place):
            if label in position:
                found[position[label]] = line
    return found


def interpolate(
    at: "NDArray[np.integer]",
    values: "NDArray[np.float64]",
    years: "NDArray[np.int64]",
    *,
    log: bool,
) -> "NDArray[np.float64]":
    """Return values in years between those given, and NaN outside them.

    Parameters
    ----------
    at, values
        Years, rising, and their values, shape (given,).
    years
        Years wanted, shape (year,).
    log
        At a constant rate of growth between two years, if both values are positive; otherwise on a
        straight line.

    Examples
    --------
    >>> interpolate(np.array([2020, 2030]), np.array([1.0, 4.0]), np.array([2020, 2025, 2031]),
    ...             log=True).tolist()
    [1.0, 2.0, nan]
    """
    grows = log and bool((values > 0).all())
    line = np.interp(years, at, np.log(values) if grows else values)
    line = np.exp(line) if grows else line
    # A year that is given has its own value, not that of a round trip through the logarithm.
    exact = {int(year): value for year, value in zip(at, values, strict=True)}
    line = np.array([exact.get(int(y), x) for y, x in zip(years, line, strict=True)])
    return np.where((years >= at[0]) & (years <= at[-1]), line, np.nan)


def follow_path(
    work: Work, key: str, change: Change, variable: "xr.DataArray", values: "NDArray[np.float64]"
) -> "NDArray[np.float64]":
    """Return values that follow a path; where it has none, they stay, and that is noted.

    Parameters
    ----------
    work, key, change
        The work, and a change with `operation: path`.
    variable, values
        The driver's labels, and its values until now, shape ((draw), place, year).

    Raises
    ------
    InputError
        As `read_path`, or if the anchor is no year of the baseline.
    """
    rows = find_targets(work, key, change, variable)
    labels, years = labels_of(variable), variable["year"].to_numpy()
    columns = meant_years(change, years)
    if not len(rows) or not len(columns):
        return values
    path = read_path(work.spec, change, labels, years, work.codes)
    given = path.at(work.uniforms(key, change, labels))
    at = None if change.anchor is None else _anchor(work, change, given, years)
    columns = columns if at is None else columns[columns > at]
    picked, before = block_of(given, rows, columns), block_of(values, rows, columns)
    if at is not None:
        base, then = block_of(values, rows, at), block_of(given, rows, at)
        names = [labels[i] for i in rows]
        value = 1.0 if change.scale is None else change.scale
        scale = work.amount(f"{key}.scale", change, value, names)[..., None]
        picked = _since(base, then, picked, scale, DRIVERS[change.driver])
    gaps = np.isnan(picked)
    _note_gaps(work, key, gaps, [labels[i] for i in rows], years[columns])
    return lay(values, rows, columns, np.where(gaps, before, picked))


def _since(
    base: "NDArray[np.float64]",
    then: "NDArray[np.float64]",
    now: "NDArray[np.float64]",
    scale: "NDArray[np.float64]",
    known: Driver,
) -> "NDArray[np.float64]":
    """Return the baseline with the change of a path since its anchor."""
    if known.scale == "interval":
        return np.asarray(base + (now - then) * scale)
    if known.scale == "ratio":
        return np.asarray(base * (now / then) ** scale)
    # A difference or a ratio alone could take a share past 1.
    left = np.where(then < 1.0, (1.0 - now) / np.where(then < 1.0, 1.0 - then, 1.0), 1.0)
    rising = 1.0 - (1.0 - base) * left**scale
    # Where nothing changes, not even the last digit does.
    return np.where(
        now > then, rising, np.where(now < then, base * (now / then) ** scale, base + 0 * now)
    )


def meant_years(change: Change, years: "NDArray[np.int64]") -> "NDArray[np.intp]":
    """Return which years of a dataset a change means."""
    meant = np.ones(len(years), dtype=bool)
    if change.years is not None:
        meant = np.logical_or.reduce([(years >= a) & (years <= b) for a, b in change.years])
    return meant.nonzero()[0]


def _anchor(
    work: Work, change: Change, given: "NDArray[np.float64]", years: "NDArray[np.int64]"
) -> "NDArray[np.intp]":
    """Return where the anchor stands among the years, shape (1,)."""
    if change.anchor == "first":
        has = np.isfinite(given).any(axis=tuple(range(given.ndim - 1)))
        where = has.nonzero()[0][:1]
        found = f"no value between {years[0]} and {years[-1]}"
    else:
        where = (years == change.anchor).nonzero()[0]
        found = f"anchor {change.anchor}"
    if not len(where):
        allowed = f"a year of the baseline ({years[0]} to {years[-1]}) that the path has"
        raise InputError([Fault(work.spec.name, found, allowed, column=change.driver)])
    return np.asarray(where)


def _note_gaps(
    work: Work,
    key: str,
    gaps: "NDArray[np.bool_]",
    labels: list[str],
    years: "NDArray[np.int64]",
) -> None:
    """Note the places without a path, and the years in which those that have one have none."""
    flat = gaps.any(axis=0) if gaps.ndim == 3 else gaps
    without = flat.all(axis=1)
    if without.any():
        names = few(label for label, gone in zip(labels, without, strict=True) if gone)
        work.notes.append(f"{key}: no path for {names}: as in the baseline")
    some = flat[~without].any(axis=0)
    if some.any():
        told = few(str(year) for year in years[some])
        work.notes.append(f"{key}: the path does not reach {told}: as in the baseline")
