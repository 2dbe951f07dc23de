"""What the panels of a process see: logs of rates and shares, classes, drivers, bounds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowcast.projection._panel import PanelData
from flowcast.projection.effects import aligned, drivers_of, on_scale, period_means
from flowcast.projection.history import FlowHistory
from flowcast.projection.spec import ProjectionSpec
from flowcast.scenarios.catalogue import DRIVERS

if TYPE_CHECKING:
    import xarray as xr
    from numpy.typing import NDArray

__all__ = ["ProcessData", "make_panels", "prepare_process"]


@dataclass(frozen=True, slots=True)
class ProcessData:
    """What both panels are made of, of all draws of the history."""

    flows: "NDArray[np.float32]"
    population: "NDArray[np.float64]"
    length: int
    origin: "NDArray[np.intp]"
    destination: "NDArray[np.intp]"
    size_class: "NDArray[np.intp]"
    shared: "NDArray[np.intp]"
    shared_kind: "NDArray[np.intp]"
    leaving: tuple[str, ...]
    arriving: tuple[str, ...]
    bounds: "tuple[NDArray[np.float64], NDArray[np.float64]]"
    designs: "tuple[NDArray[np.float64], NDArray[np.float64]]"
    base: "dict[str, NDArray[np.float64]]"

    @property
    def n_draws(self) -> int:
        """How many draws the history has."""
        return len(self.flows)


def prepare_process(
    history: FlowHistory, spec: ProjectionSpec, drivers: "xr.Dataset | None"
) -> ProcessData:
    """Return all that both panels are made of."""
    flows = history.flows.to_numpy()
    origin, destination = (~np.eye(len(history.places), dtype=bool)).nonzero()
    cells = flows[:, origin, destination, :]
    count = np.isfinite(cells).sum(axis=(0, 2))
    mean = np.nan_to_num(cells).sum(axis=(0, 2), dtype=np.float64) / np.maximum(count, 1)
    # Classes nobody is in would have no data but their prior.
    size_class = np.unique(np.digitize(mean, spec.size_edges), return_inverse=True)[1]
    # What a destination's large corridors have in common is not told by its many small ones.
    cells_of = destination * (int(size_class.max()) + 1) + size_class
    groups, shared = np.unique(cells_of, return_inverse=True)
    base: dict[str, NDArray[np.float64]] = {}
    moved = dict(_history_of_drivers(history, drivers, base))
    people = np.log(history.population.to_numpy())
    moved["population"] = people - people[:, -1:]
    leaving = drivers_of(list(moved), "leaving", spec)
    arriving = drivers_of(list(moved), "arriving", spec)
    n_period = flows.shape[3]
    outward = np.empty((len(history.places), n_period, len(leaving)))
    for k, name in enumerate(leaving):
        outward[:, :, k] = moved[name]
    inward = np.empty((len(origin), n_period, len(arriving)))
    for k, name in enumerate(arriving):
        own = moved[name]
        inward[:, :, k] = own[destination] if DRIVERS[name].of == "place" else own
    bounds = _largest_jumps(flows, history, spec, size_class, origin, destination)
    return ProcessData(
        flows,
        history.population.to_numpy(),
        history.length,
        origin,
        destination,
        size_class,
        shared,
        groups % (int(size_class.max()) + 1),
        leaving,
        arriving,
        bounds,
        (outward, inward),
        base,
    )


def _largest_jumps(
    flows: "NDArray[np.float32]",
    history: FlowHistory,
    spec: ProjectionSpec,
    size_class: "NDArray[np.intp]",
    origin: "NDArray[np.intp]",
    destination: "NDArray[np.intp]",
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return the largest change of a log from one period to the next: of out-rates, of classes.

    Innovations have heavy tails, and the mean of the exponential of a Student-t is infinite: one
    corridor of thousands would now and then take everybody. No jump is projected that is larger
    than any that was seen.
    """
    # No mean of empty slices, of which numpy would warn: the diagonal and unknown pairs stay NaN.
    known = np.isfinite(flows).sum(axis=0)
    seen = np.where(known > 0, np.nansum(flows, axis=0, dtype=np.float64), np.nan) / known.clip(1)
    n_class = int(size_class.max()) + 1
    out, share = np.full(1, spec.largest_jump), np.full(n_class, spec.largest_jump)
    if flows.shape[3] < 2:
        return out, share
    total = np.nansum(seen, axis=1)
    at_least = spec.counted_from
    rates = np.log(np.maximum(total, at_least) / history.population.to_numpy())
    out[0] = np.abs(np.diff(rates, axis=1)).max()
    whole = np.where(total >= 1.0, total, np.nan)[origin]
    shares = np.log(np.maximum(seen[origin, destination], at_least) / whole)
    jumps = np.abs(np.diff(shares, axis=1))
    for c in range(n_class):
        own = jumps[size_class == c]
        if np.isfinite(own).any():
            share[c] = np.nanmax(own)
    return out, share


def _history_of_drivers(
    history: FlowHistory, drivers: "xr.Dataset | None", base: "dict[str, NDArray[np.float64]]"
) -> "Iterator[tuple[str, NDArray[np.float64]]]":
    """Yield drivers that cover the history, as deviations from its last period; fill the bases."""
    if drivers is None:
        return
    for name in map(str, drivers.data_vars):
        given = drivers[name]
        if name == "population" or name not in DRIVERS or "draw" in given.dims:
            continue
        variable = aligned(given, name, history.places)
        means = (
            None if variable is None else period_means(variable, history.periods, history.length)
        )
        if means is None:
            continue
        scaled = on_scale(name, means)
        base[name] = scaled[:, -1]
        yield name, scaled - scaled[:, -1:]


def make_panels(parts: ProcessData, spec: ProjectionSpec, draw: int) -> tuple[PanelData, PanelData]:
    """Return what the panels of out-rates and shares see in one draw of the history."""
    flows = parts.flows[draw].astype(np.float64)
    known = np.isfinite(flows)
    total = np.where(known, flows, 0.0).sum(axis=1)
    person_years = parts.population * parts.length
    counted = spec.counted_from
    some = known.any(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.where(total >= counted, np.log(total / person_years), np.nan)
        bound = np.where(some & (total < counted), np.log(counted / person_years), np.inf)
        cells = flows[parts.origin, parts.destination]
        # Shares of nearly nobody say nothing of who goes where.
        whole = np.where(total >= 1.0, total, np.nan)[parts.origin]
        shares = np.where(cells >= counted, np.log(cells / whole), np.nan)
        below = np.where(cells < counted, np.log(counted / whole), np.inf)
    n = len(parts.population)
    none = np.zeros(n, dtype=np.intp)
    return (
        PanelData(
            rates,
            bound,
            none,
            none,
            parts.designs[0],
            np.isfinite(rates).any(axis=1),
            np.zeros(1, dtype=np.intp),
        ),
        PanelData(
            shares,
            np.where(np.isnan(below), np.inf, below),
            parts.size_class,
            parts.shared,
            parts.designs[1],
            np.isfinite(shares).any(axis=1),
            parts.shared_kind,
            tuple(k for k, name in enumerate(parts.arriving) if DRIVERS[name].of == "place"),
        ),
    )
