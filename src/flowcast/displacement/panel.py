"""Panels of displacement: units by period, with zeros where a source means zero, and drivers.

A count is a number, zero included, or unknown (NaN). Which of the two a missing row is, the source
says (`flowcast.displacement.catalogue.SOURCES`), and nothing else decides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.displacement.catalogue import SOURCES
from flowcast.displacement.reading import COLUMNS, UNIT, add_up, whole_years
from flowcast.errors import Faults, UsageError

__all__ = ["DisplacementPanel", "add_kinds", "join_drivers", "make_panel", "sum_units", "to_years"]

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class DisplacementPanel:
    """Displacement by unit and year.

    Attributes
    ----------
    counts
        Dims (unit, year): persons or movements a year; NaN is unknown. Coordinates `place`,
        `destination` and `hazard` of each unit, empty where the source has none.
    source
        Where it comes from.
    kind
        What is counted.
    smallest
        Smaller counts are published as this.
    """

    counts: xr.DataArray
    source: str
    kind: str
    smallest: int = 1

    @property
    def values(self) -> Floats:
        """Counts as an array, (unit, year)."""
        return np.asarray(self.counts.to_numpy(), dtype=np.float64)

    @property
    def years(self) -> NDArray[np.int64]:
        """Calendar years, without gaps."""
        return np.asarray(self.counts["year"].to_numpy(), dtype=np.int64)

    def names(self, part: str) -> NDArray[np.str_]:
        """Return `place`, `destination` or `hazard` of each unit."""
        return np.asarray(self.counts[part].to_numpy(), dtype=np.str_)

    @property
    def entered(self) -> NDArray[np.bool_]:
        """Whether each unit has had a row of its own by the end of each year, (unit, year).

        A panel has the units of which anything was ever told. Of the years before a unit's first
        row it is known that nothing happened *because* something did later: who learns from them
        learns that quiet places are about to have displacement.
        """
        known = np.isfinite(self.values)
        if SOURCES[self.source].absent != "unknown":
            known &= np.nan_to_num(self.values) > 0
        return np.maximum.accumulate(known, axis=1)

    @property
    def units(self) -> pd.MultiIndex:
        """Place, destination and hazard of each unit."""
        return pd.MultiIndex.from_arrays([self.names(part) for part in UNIT], names=UNIT)


def make_panel(
    table: pd.DataFrame,
    *,
    since: int | None = None,
    until: int | None = None,
    units: pd.MultiIndex | None = None,
) -> DisplacementPanel:
    """Lay a table of annual figures out by unit and year, by the rule of its source.

    Parameters
    ----------
    table
        As from `read_displacement` (and `to_years`, if its periods are shorter).
    since
        First year; earlier rows are not looked at. By default that of the first row.
    until
        Last year that is known. Later rows are not looked at, so that units that first appear
        later are not there. By default that of the last row.
    units
        Which units, as `DisplacementPanel.units`; by default those with a row.

    Returns
    -------
    DisplacementPanel

    Raises
    ------
    UsageError
        If columns or the source are missing, a unit has two figures for a year, or no row is left.

    Examples
    --------
    >>> rows = [["PH", "", "Storm", "2008", 5.0], ["PH", "", "Storm", "2010", 7.0]]
    >>> table = pd.DataFrame(rows, columns=["place", "destination", "hazard", "period", "count"])
    >>> table["period"] = pd.to_datetime(table["period"])
    >>> table.attrs["source"] = "idmc_disaster"
    >>> make_panel(table).values.tolist()
    [[5.0, 0.0, 7.0]]
    >>> table.attrs["source"] = "idmc_conflict"
    >>> make_panel(table).values.tolist()
    [[5.0, nan, 7.0]]
    """
    source = _checked(table)
    told = SOURCES[source]
    years = whole_years(table["period"])
    first = int(years.min(initial=9999)) if since is None else since
    last = int(years.max(initial=0)) if until is None else until
    known = table[(years >= first) & (years <= last)]
    if known.empty:
        raise UsageError(f"(table) | found no row from {first} to {last}; allowed: at least one")
    span = np.arange(first, last + 1)
    index = pd.MultiIndex.from_frame(known[list(UNIT)])
    wanted = index.unique().sort_values() if units is None else units
    at = (wanted.get_indexer(index), whole_years(known["period"]) - first)
    inside = at[0] >= 0
    values = np.full((len(wanted), len(span)), np.nan)
    values[at[0][inside], at[1][inside]] = known["count"].to_numpy(dtype=float)[inside]
    watched = _watched(told.absent, known, wanted, span)
    values[np.isnan(values) & watched] = 0.0
    coords = {part: ("unit", wanted.get_level_values(part).to_numpy(dtype=str)) for part in UNIT}
    counts = xr.DataArray(
        values, dims=("unit", "year"), coords={**coords, "year": span}, name="count"
    )
    return DisplacementPanel(counts, source, table.attrs.get("kind", told.kind), told.smallest)


def _watched(
    absent: str, known: pd.DataFrame, units: pd.MultiIndex, span: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return where a missing row is a zero, (unit, year)."""
    shape = (len(units), len(span))
    if absent == "unknown":
        return np.zeros(shape, dtype=bool)
    if absent == "zero":
        return np.ones(shape, dtype=bool)
    years = whole_years(known["period"])
    if absent == "zero_where_period_reported":
        return np.broadcast_to(np.isin(span, years), shape)
    reports = set(zip(known["destination"], years.tolist(), strict=True))
    destinations = sorted(set(units.get_level_values("destination")))
    by_destination = np.array([[(d, int(y)) in reports for y in span] for d in destinations])
    place = pd.Index(destinations).get_indexer(units.get_level_values("destination"))
    return np.asarray(by_destination[place], dtype=bool)


def _checked(table: pd.DataFrame) -> str:
    source = str(table.attrs.get("source", ""))
    if source not in SOURCES:
        raise UsageError(f"(source) | found {source!r}; allowed: {', '.join(SOURCES)}")
    faults = Faults("table")
    for name in COLUMNS:
        if name not in table:
            faults.add("no such column", ", ".join(COLUMNS), column=name)
    faults.raise_if_any()
    years = table.assign(period=whole_years(table["period"]))
    again = years[years.duplicated([*UNIT, "period"])]
    if len(again):
        row = again.iloc[0]
        name = " ".join(str(row[part]) for part in UNIT if row[part])
        raise UsageError(
            f"(table) | found {len(again) + 1} figures of {name} in {row['period']} or alike; "
            "allowed: one of a unit and year (`to_years` adds up shorter periods)"
        )
    return source


def to_years(table: pd.DataFrame) -> pd.DataFrame:
    """Add months or weeks up to years.

    A year in which the source did not report from start to end is left out: its sum would lack a
    part. What "report" means is the source's rule; for weeks, any row of any unit.

    Parameters
    ----------
    table
        As from `read_displacement`.

    Returns
    -------
    pandas.DataFrame
        The same columns, `period` the start of the year.
    """
    period = SOURCES[str(table.attrs["source"])].period
    if period == "year":
        return table
    seen = pd.Series(table["period"].unique())
    slots = seen.dt.month if period == "date" else (seen.dt.day_of_year - 1) // 7
    have = slots.groupby(seen.dt.year).nunique()
    need = 12 if period == "date" else 52
    whole = have.index[have >= need]
    kept = table[table["period"].dt.year.isin(whole)].copy()
    kept["period"] = pd.to_datetime(kept["period"].dt.year.astype("str") + "-01-01")
    out = add_up(kept)
    out.attrs.update(table.attrs)
    return out


def sum_units(table: pd.DataFrame, over: str) -> pd.DataFrame:
    """Add figures of one kind up over destinations, or over hazards.

    Parameters
    ----------
    table
        As from `read_displacement`.
    over
        ``"destination"`` or ``"hazard"``.

    Returns
    -------
    pandas.DataFrame
        The same columns, `over` empty.
    """
    out = add_up(table.assign(**{over: ""}))
    out.attrs.update(table.attrs)
    return out


def add_kinds(first: pd.DataFrame, second: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Add up two tables whose persons cannot be the same, unit by unit.

    Whether they cannot is for the caller to know: of the sources here only refugees registered as a
    group and applications for asylum, both from UNHCR's flow data set, which counts a person in one
    or the other. Any other pair of kinds is refused.

    Raises
    ------
    UsageError
        For any other pair.
    """
    sources = {str(first.attrs.get("source")), str(second.attrs.get("source"))}
    if sources != {"unhcr_refugees", "unhcr_asylum"}:
        raise UsageError(
            f"(kinds) | found {' and '.join(sorted(sources))}; allowed: unhcr_refugees and "
            "unhcr_asylum, or a person may be counted twice"
        )
    out = add_up(pd.concat([first, second]))
    out.attrs.update(source=first.attrs["source"], kind=kind)
    return out


def join_drivers(
    panel: DisplacementPanel, drivers: Mapping[str, pd.Series], *, hold: int = 3
) -> xr.Dataset:
    """Put drivers beside a panel: of its places and years, never from a later year.

    The figure of a year is that of the place in that year; where there is none, the last earlier
    one, if it is at most `hold` years old; else it is missing (NaN), and a model puts in the mean.

    Parameters
    ----------
    panel
        What they shall explain.
    drivers
        Series by name, indexed by place (alpha-2) and year, each key once.
    hold
        Years for which a figure may stand in.

    Returns
    -------
    xarray.Dataset
        Dims (unit, year), a variable for each driver; ``attrs["held"]`` says how many cells of each
        hold an earlier figure, ``attrs["missing"]`` how many have none.

    Raises
    ------
    UsageError
        If a driver has two figures for a place and year, or none for any place of the panel.

    Examples
    --------
    >>> counts = xr.DataArray(
    ...     np.ones((1, 3)), dims=("unit", "year"),
    ...     coords={"place": ("unit", ["PH"]), "destination": ("unit", [""]),
    ...             "hazard": ("unit", [""]), "year": [2008, 2009, 2010]})
    >>> panel = DisplacementPanel(counts, "idmc_conflict", "conflict")
    >>> deaths = pd.Series([4.0], index=pd.MultiIndex.from_tuples([("PH", 2009)]))
    >>> join_drivers(panel, {"deaths": deaths})["deaths"].to_numpy().tolist()
    [[nan, 4.0, 4.0]]
    """
    if hold < 0:
        raise UsageError(f"(hold) | found {hold}; allowed: 0 or more years")
    places = panel.names("place")
    years = panel.years
    early = np.arange(years[0] - hold, years[-1] + 1)
    found: dict[str, tuple[tuple[str, str], Floats]] = {}
    held, missing = {}, {}
    for name, series in drivers.items():
        if series.index.duplicated().any():
            again = series.index[series.index.duplicated()][0]
            raise UsageError(
                f"(driver {name}) | found two figures for {again}; allowed: one of a place and year"
            )
        wide = series.unstack().reindex(index=pd.Index(places), columns=early)
        if not len(wide) or wide.isna().to_numpy().all():
            raise UsageError(f"(driver {name}) | found no place of the panel; allowed: some")
        filled = wide.ffill(axis=1, limit=hold) if hold else wide
        own = wide.to_numpy(dtype=float)[:, hold:]
        values = filled.to_numpy(dtype=float)[:, hold:]
        held[name] = int((np.isnan(own) & np.isfinite(values)).sum())
        missing[name] = int(np.isnan(values).sum())
        found[name] = (("unit", "year"), values)
    coords = {part: ("unit", panel.names(part)) for part in UNIT}
    out = xr.Dataset(found, coords={**coords, "year": years})
    out.attrs.update(held=held, missing=missing)
    return out
