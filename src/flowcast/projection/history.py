"""The past that a projection starts from: flows with their draws, and populations."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from flowcast.errors import Faults, UsageError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from numpy.typing import NDArray

    from flowcast.estimates import FlowEstimates

__all__ = ["FlowHistory", "history_from_estimates", "history_from_table", "make_history"]

MAX_DRAWS: Final = 200
"""Draws of the past that are looked at, at most: more say no more of its uncertainty."""
MAX_NAMED: Final = 12
_COLUMNS: Final = ("origin", "destination", "period", "flow")


@dataclass(frozen=True, slots=True, eq=False)
class FlowHistory:
    """Flows of the past between places, and how many people lived there.

    Attributes
    ----------
    flows
        Persons per period, dims (draw, origin, destination, period), float32; NaN where nothing is
        known and on the diagonal. Coordinate `period` is the year in which a period starts.
    population
        Persons at the start of each period, dims (place, period).
    length
        Years of a period, the same for all.
    name
        What messages and notes call it.
    notes
        What a reader has to know.
    """

    flows: "xr.DataArray"
    population: "xr.DataArray"
    length: int
    name: str
    notes: tuple[str, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        """Codes, sorted."""
        return tuple(self.flows["origin"].to_numpy().tolist())

    @property
    def periods(self) -> tuple[int, ...]:
        """Years in which periods start."""
        return tuple(self.flows["period"].to_numpy().tolist())

    @property
    def end(self) -> int:
        """Year in which the last period ends, and a projection starts."""
        return self.periods[-1] + self.length


def make_history(
    flows: "xr.DataArray",
    population: "xr.DataArray",
    *,
    length: int,
    name: str = "history",
    notes: Sequence[str] = (),
) -> FlowHistory:
    """Check flows and populations, and put them in order.

    Parameters
    ----------
    flows
        Persons per period, dims (draw,) origin, destination, period; origins and destinations are
        the same places, periods the years in which they start.
    population
        Persons at a year's start, dims (place, year); years that are not there are taken from the
        nearest, and a note says so.
    length
        Years of a period.
    name
        What messages call it.
    notes
        What a reader has to know.

    Raises
    ------
    InputError
        With every fault: places that differ, periods that do not follow each other, negative flows,
        places without population.

    Examples
    --------
    >>> import xarray as xr
    >>> flows = xr.DataArray([[[np.nan], [5.0]], [[3.0], [np.nan]]],
    ...     {"origin": ["A", "B"], "destination": ["A", "B"], "period": [2020]})
    >>> people = xr.DataArray([[100.0], [50.0]], {"place": ["A", "B"], "year": [2020]})
    >>> make_history(flows, people, length=1).end
    2021
    """
    faults = Faults(name)
    ordered = _in_order(flows, faults)
    faults.raise_if_any()
    places = ordered["origin"].to_numpy().tolist()
    periods = ordered["period"].to_numpy().tolist()
    steps = set(np.diff(periods).tolist())
    if steps - {length}:
        faults.add(
            f"periods from {periods}", f"each {length} years after the last", column="period"
        )
    values = ordered.to_numpy()
    negative = (values < 0).any(axis=(0, 3))
    for o, d in np.argwhere(negative)[:MAX_NAMED]:
        faults.add(f"negative flow {places[o]}/{places[d]}", "0 or more", column="flow")
    people, told = _populations(population, places, periods, faults)
    faults.raise_if_any()
    at = np.arange(len(places))
    values[:, at, at, :] = np.nan
    return FlowHistory(ordered, people, length, name, (*notes, *told))


def _in_order(flows: "xr.DataArray", faults: Faults) -> "xr.DataArray":
    wanted = ("origin", "destination", "period")
    if not set(wanted) <= set(flows.dims) <= {"draw", *wanted}:
        found = ", ".join(map(str, flows.dims))
        faults.add(f"dims {found}", "(draw,) origin, destination, period")
        return flows
    if "draw" not in flows.dims:
        flows = flows.expand_dims("draw")
    sides = [set(flows[side].to_numpy().tolist()) for side in wanted[:2]]
    if sides[0] != sides[1]:
        odd = sorted(map(str, sides[0] ^ sides[1]))
        faults.add(f"on one side only: {', '.join(odd[:MAX_NAMED])}", "the same places on both")
    step = -(-flows.sizes["draw"] // MAX_DRAWS)
    thinned = flows.isel(draw=slice(None, None, step)).transpose("draw", *wanted)
    if faults:
        return thinned
    places = sorted(sides[0])
    return thinned.sortby("period").sel(origin=places, destination=places).astype("float32").copy()


def _populations(
    population: "xr.DataArray", places: list[str], periods: list[int], faults: Faults
) -> "tuple[xr.DataArray, list[str]]":
    """Return populations at the start of periods, and what to say of years that are not there."""
    present = population.reindex(place=places).transpose("place", "year").sortby("year")
    values = present.to_numpy()
    known = np.isfinite(values) & (values > 0)
    for place in [places[i] for i in (~known.any(axis=1)).nonzero()[0]][:MAX_NAMED]:
        faults.add("no population above 0", "one year at least", column=place)
    if faults:
        return present, []
    years = present["year"].to_numpy()
    out = np.empty((len(places), len(periods)))
    filled: list[str] = []
    for i, place in enumerate(places):
        own = years[known[i]]
        nearest = np.abs(own[None, :] - np.array(periods)[:, None]).argmin(axis=1)
        out[i] = values[i, known[i]][nearest]
        if (own[nearest] != np.array(periods)).any():
            filled.append(place)
    notes = []
    if filled:
        some = ", ".join(filled[:MAX_NAMED]) + (" and others" if len(filled) > MAX_NAMED else "")
        notes.append(f"population of the nearest year where a period's own is not known: {some}")
    made = present.isel(year=0, drop=True).expand_dims(period=periods, axis=1).copy(data=out)
    return made.assign_attrs(units="persons"), notes


def history_from_estimates(estimates: "FlowEstimates", population: "xr.DataArray") -> FlowHistory:
    """Return the history that estimated flows give, with their draws.

    Parameters
    ----------
    estimates
        Flows on corridors.
    population
        As for `make_history`.

    Raises
    ------
    UsageError
        If the estimates are no flows, or periods are no whole years of one length.
    InputError
        As `make_history`.
    """
    import pandas as pd

    if estimates.measure != "flow" or estimates.quantity != "flow":
        raise UsageError(f"(estimates) | found {estimates.label}; allowed: flows on corridors")
    n_draws = estimates.n_draws
    step = -(-n_draws // MAX_DRAWS)
    drawn = estimates.draws.stack(sample=("chain", "draw")).isel(sample=slice(None, None, step))
    starts = pd.DatetimeIndex(drawn["period_start"].to_numpy())
    ends = pd.DatetimeIndex(drawn["period_end"].to_numpy())
    lengths = {
        end.year - start.year
        for start, end in zip(starts, ends, strict=True)
        if (start.month, start.day) == (end.month, end.day)
    }
    if len(lengths) != 1 or len(starts) != len(set(starts.year)):
        told = ", ".join(f"{a:%Y-%m-%d} to {b:%Y-%m-%d}" for a, b in zip(starts, ends, strict=True))
        raise UsageError(f"(estimates) | found periods {told}; allowed: whole years, all as long")
    origin, destination = (drawn[side].to_numpy().astype(str) for side in ("origin", "destination"))
    places = np.array(sorted({*origin, *destination}))
    shape = (drawn.sizes["sample"], len(places), len(places), len(starts))
    out = np.full(shape, np.nan, dtype=np.float32)
    cells = drawn.transpose("sample", "corridor", "period").to_numpy()
    out[:, np.searchsorted(places, origin), np.searchsorted(places, destination), :] = cells
    flows = _labelled(out, places.tolist(), starts.year.tolist())
    said = (
        f"flows of {estimates.name}, {shape[0]} of {n_draws} draws",
        *estimates.notes,
    )
    return make_history(flows, population, length=lengths.pop(), name=estimates.name, notes=said)


def history_from_table(
    table: "pd.DataFrame | Path | str",
    population: "xr.DataArray",
    *,
    length: int,
    absent: float | None = None,
) -> FlowHistory:
    """Return the history that a table of flows gives.

    Parameters
    ----------
    table
        Columns `origin`, `destination`, `period` (the year in which it starts), `flow` (persons per
        period), and `draw` if there are several draws. A data frame, or a CSV or Parquet file.
    population
        As for `make_history`.
    length
        Years of a period.
    absent
        Flow of pairs without a row; None where that is not known.

    Raises
    ------
    InputError
        With every fault, by row and column.

    Examples
    --------
    >>> import pandas as pd, xarray as xr
    >>> table = pd.DataFrame({"origin": ["A", "B"], "destination": ["B", "A"],
    ...                       "period": [2015, 2015], "flow": [10, 20]})
    >>> people = xr.DataArray([[100.0], [50.0]], {"place": ["A", "B"], "year": [2015]})
    >>> history_from_table(table, people, length=5).flows.shape
    (1, 2, 2, 1)
    """
    import pandas as pd

    name = str(table) if isinstance(table, Path | str) else "table"
    frame = _checked_table(table, Faults(name))
    places = sorted({*frame["origin"], *frame["destination"]})
    periods = sorted(set(frame["period"]))
    draws = sorted(set(frame["draw"]))
    shape = (len(draws), len(places), len(places), len(periods))
    out = np.full(shape, np.nan if absent is None else absent, dtype=np.float32)
    keys = (("draw", draws), ("origin", places), ("destination", places), ("period", periods))
    where = tuple(pd.Index(labels).get_indexer(frame[key]) for key, labels in keys)
    out[where] = frame["flow"].to_numpy()
    return make_history(_labelled(out, places, periods), population, length=length, name=name)


def _checked_table(table: "pd.DataFrame | Path | str", faults: Faults) -> "pd.DataFrame":
    """Return the rows with their types, after every check of a cell and of repeated rows."""
    import pandas as pd

    from flowcast._sheet import Sheet
    from flowcast._tabular import raw_from_frame, read_raw

    if isinstance(table, pd.DataFrame):
        raw = raw_from_frame(table, faults, sha256="")
    else:
        raw = read_raw(Path(table), faults)
    sheet = Sheet(raw, faults)
    for column in (c for c in _COLUMNS if not sheet.has(c)):
        faults.add("no such column", ", ".join((*_COLUMNS, "draw")), row=1, column=column)
    faults.raise_if_any()
    out: dict[str, pd.Series] = {
        side: sheet.cells(side).astype(str) for side in ("origin", "destination")
    }
    for side in out:
        sheet.required(side, "a place")
    whole = ("period", "draw") if sheet.has("draw") else ("period",)
    for column in (*whole, "flow"):
        sheet.required(column, "a number")
        values = sheet.numbers(column, "a number")
        if column in whole:
            inside, allowed = values == np.round(values), "a whole number"
        else:
            inside, allowed = values >= 0, "0 or more"
        sheet.limit(column, values, inside, allowed, given=np.ones(sheet.n, dtype=bool))
        out[column] = pd.Series(values)
    faults.raise_if_any()
    frame = pd.DataFrame(out)
    frame[list(whole)] = frame[list(whole)].astype(int)
    if "draw" not in frame:
        frame["draw"] = 0
    keys = ["origin", "destination", "period", "draw"]
    again = frame.duplicated(keys).to_numpy()
    sheet.refuse(again, "flow", lambda _: "another row", "one row for a pair, period and draw")
    faults.raise_if_any()
    return frame


def _labelled(
    values: "NDArray[np.float32]", places: list[str], periods: list[int]
) -> "xr.DataArray":
    import xarray as xr

    coords = {"origin": places, "destination": places, "period": periods}
    dims = ("draw", "origin", "destination", "period")
    return xr.DataArray(values, coords, dims, "flows", {"units": "persons per period"})
