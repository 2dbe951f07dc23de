"""Sums of draws: immigration, emigration, net migration, flows between groups."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, cast

import numpy as np
import scipy.sparse as sp
import xarray as xr
from numpy.typing import NDArray

from flowcast.errors import UsageError, require_word
from flowcast.estimates.conversion import SAMPLE_DIMS
from flowcast.estimates.flows import FlowEstimates
from flowcast.estimates.operators import (
    Grouping,
    Groups,
    System,
    build_groups,
    build_operator,
    join_evidence,
)
from flowcast.vocabulary import ESTIMATE_MEASURES, EstimateMeasure, Quantity

__all__ = ["aggregate", "aggregate_all", "measures_of", "to_dataset"]

BLOCK: Final = 12_000_000
"""Numbers worked on at a time (96 MB): a sum is touched once for each block."""
MAX_DENSE: Final = 50_000_000
"""Numbers that `to_dataset` lays out at most (400 MB)."""


def aggregate(
    estimates: FlowEstimates,
    measure: EstimateMeasure = "flow",
    by: Grouping | None = None,
) -> FlowEstimates:
    """Add up the draws of flows.

    Parameters
    ----------
    estimates
        Flows on corridors.
    measure
        ``immigration`` of a place is the sum over origins inside the system, ``emigration`` the sum
        over destinations, ``net`` the first minus the second. ``flow`` with groups is the flows
        between groups.
    by
        Groups: names with their members, or ids of groupings and codes of single places. Moves
        within a group count nowhere. Places in no group still count as origins and destinations of
        the groups' immigration and emigration, but have no cell themselves.

    Returns
    -------
    FlowEstimates
        On groups (dim `place`), or on pairs of groups (dim `corridor`).

    Raises
    ------
    InputError
        With every group or member that is unknown.
    UsageError
        If the measure is unknown, the draws are sums already, or groups that share a place were to
        be the ends of flows.
    """
    return aggregate_all(estimates, [measure], by)[0]


def aggregate_all(
    estimates: FlowEstimates, measures: Sequence[EstimateMeasure], by: Grouping | None = None
) -> list[FlowEstimates]:
    """Add up the draws of flows to several measures, in one pass over the flows.

    Parameters
    ----------
    estimates
        Flows on corridors.
    measures, by
        As for `aggregate`.

    Returns
    -------
    list of FlowEstimates
        One for each measure.

    Raises
    ------
    InputError, UsageError
        As `aggregate`.
    """
    measures = [_check_measure(measure, estimates.quantity) for measure in measures]
    if estimates.measure != "flow":
        raise UsageError(f"(measure) | found draws of {estimates.measure}; allowed: draws of flows")
    summed = [measure for measure in measures if measure != "flow" or by is not None]
    if not summed:
        return [estimates for _ in measures]
    system = System.of(list(estimates.origins), list(estimates.destinations), estimates.codes)
    groups = build_groups(by, system, _middle_years(estimates.period_bounds))
    operators = {
        measure: [build_operator(measure, member, system) for member in groups.member]
        for measure in summed
    }
    draws = _apply(estimates, list(operators.values()))
    made = {
        measure: _lay_out(estimates, measure, groups, system, own, values)
        for (measure, own), values in zip(operators.items(), draws, strict=True)
    }
    return [made.get(measure, estimates) for measure in measures]


def _lay_out(
    estimates: FlowEstimates,
    measure: EstimateMeasure,
    groups: Groups,
    system: System,
    operators: Sequence[sp.csr_array],
    values: NDArray[np.float64],
) -> FlowEstimates:
    """Return sums (chain, draw, cell, period) as estimates, with what they rest on."""
    coords = _cell_coords(measure, groups.names)
    dims = ("corridor" if measure == "flow" else "place", "period")
    words = join_evidence(estimates.evidence.values, operators)
    kept = estimates.select(corridor=slice(0, 0)).coords.items()
    draws = xr.DataArray(
        values,
        dims=(*SAMPLE_DIMS, *dims),
        coords={name: c for name, c in kept if "corridor" not in c.dims},
    )
    period = {"period": estimates.evidence["period"]}
    return replace(
        estimates,
        _stored=draws.assign_coords(coords),
        _log_factor=None,
        _margin_factors=None,
        measure=measure,
        evidence=xr.DataArray(words, dims=dims, coords={**coords, **period}),
        notes=(*estimates.notes, *groups.notes, *_describe_bounds(measure, system)),
    )


def _describe_bounds(measure: EstimateMeasure, system: System) -> tuple[str, ...]:
    if measure == "flow":
        return ()
    what = "net migration" if measure == "net" else measure
    moves = f"moves among the {len(system.places)} places of the estimates"
    return (f"{what} adds up {moves}; moves from or to elsewhere are not in it",)


def _check_measure(measure: str, quantity: Quantity) -> EstimateMeasure:
    """Return the measure as it is worked with: stocks are the flows of a model of stocks."""
    allowed = measures_of(quantity)
    require_word("measure", measure, allowed)
    return "flow" if measure == "stock" else cast("EstimateMeasure", measure)


def measures_of(quantity: Quantity) -> tuple[str, ...]:
    """Return the measures that a model of flows, or of stocks, has."""
    return ESTIMATE_MEASURES if quantity == "flow" else ("stock",)


def _middle_years(bounds: NDArray[np.datetime64]) -> list[int]:
    middle = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) // 2
    return [0 if np.isnat(day) else int(str(day)[:4]) for day in middle]


def _cell_coords(measure: EstimateMeasure, names: Sequence[str]) -> dict[str, Any]:
    if measure != "flow":
        return {"place": list(names)}
    pairs = [(start, end) for start in names for end in names if start != end]
    return {
        "origin": ("corridor", [start for start, _ in pairs]),
        "destination": ("corridor", [end for _, end in pairs]),
    }


def _apply(
    estimates: FlowEstimates, operators: Sequence[Sequence[sp.csr_array]]
) -> list[NDArray[np.float64]]:
    """Return the sums of each measure, (chain, draw, cell, period), a block of corridors at a time.

    A flow that does not exist, as one of its places did not, is no part of a sum. A sum of nothing
    else does not exist either.
    """
    sizes, n_period = estimates.sizes, estimates.sizes["period"]
    # Columns are cut out for every block; neighbouring periods often share one operator.
    columns = [_share([sp.csc_array(one) for one in own]) for own in operators]
    shapes = [(own[0].shape[0], n_period) for own in operators]
    sums = [np.zeros((*shape, estimates.n_draws)) for shape in shapes]
    found = [np.zeros(shape) for shape in shapes]
    for cells in estimates.blocks(BLOCK):
        flows = estimates.block(cells)
        exists = ~np.isnan(flows[..., 0])
        flows[~exists] = 0.0
        for own, total, count in zip(columns, sums, found, strict=True):
            _add_block(own, cells, flows, exists, total, count)
    for each, total, count in zip(operators, sums, found, strict=True):
        wanted = np.stack([np.diff(one.indptr) > 0 for one in each], axis=1)
        total[wanted & (count == 0)] = np.nan
    return [
        np.moveaxis(total, -1, 0).reshape(sizes["chain"], sizes["draw"], *total.shape[:2])
        for total in sums
    ]


def _share(operators: Sequence[sp.csc_array]) -> list[tuple[slice, sp.csc_array]]:
    """Return runs of periods with the operator that they share."""
    starts = [0] + [
        k for k in range(1, len(operators)) if not _is_same(operators[k - 1], operators[k])
    ]
    stops = [*starts[1:], len(operators)]
    return [(slice(k, stop), operators[k]) for k, stop in zip(starts, stops, strict=True)]


def _is_same(one: sp.csc_array, other: sp.csc_array) -> bool:
    parts = ((a.indptr, a.indices, a.data) for a in (one, other))
    return all(np.array_equal(a, b) for a, b in zip(*parts, strict=True))


def _add_block(
    operators: Sequence[tuple[slice, sp.csc_array]],
    cells: slice,
    flows: NDArray[np.float64],
    exists: NDArray[np.bool_],
    total: NDArray[np.float64],
    count: NDArray[np.float64],
) -> None:
    """Add a block of flows (corridor, period, sample) to sums (cell, period, sample)."""
    for periods, operator in operators:
        part = sp.csr_array(operator[:, cells])
        rows = np.flatnonzero(np.diff(part.indptr))
        part, block = part[rows], flows[:, periods]
        sums = part @ block.reshape(len(block), -1)
        total[rows, periods] += sums.reshape(len(rows), *block.shape[1:])
        count[rows, periods] += abs(part) @ exists[:, periods].astype(float)


def to_dataset(estimates: FlowEstimates) -> xr.Dataset:
    """Return the draws with origins and destinations as dims of their own.

    Parameters
    ----------
    estimates
        Flows on corridors, or sums on places.

    Returns
    -------
    xarray.Dataset
        A variable named after the measure, persons per period, and `evidence`. Dims (chain, draw,
        origin, destination, period) for flows, where a place to itself is missing; otherwise
        (chain, draw, destination, period), or `origin` for emigration.

    Raises
    ------
    UsageError
        If that would take more than 400 MB; ask for fewer cells with `FlowEstimates.select`.
    """
    side = "origin" if estimates.measure == "emigration" else "destination"
    if estimates.measure != "flow":
        data = {estimates.measure: estimates.draws, "evidence": estimates.evidence}
        return xr.Dataset(data).rename(place=side)
    system = System.of(list(estimates.origins), list(estimates.destinations), estimates.codes)
    n_place, sizes = len(system.places), estimates.sizes
    size = estimates.n_draws * n_place**2 * sizes["period"]
    if size > MAX_DENSE:
        raise UsageError(
            f"(to_dataset) | found {size:,} numbers; allowed: {MAX_DENSE:,}; take "
            "FlowEstimates.draws, or a part of them with FlowEstimates.select"
        )
    draws, words = estimates.draws, estimates.evidence.values
    flow = np.full((sizes["chain"], sizes["draw"], n_place, n_place, sizes["period"]), np.nan)
    flow[:, :, system.origin, system.destination] = draws.values
    evidence = np.full((n_place, n_place, sizes["period"]), "", dtype=words.dtype)
    evidence[system.origin, system.destination] = words
    cells = ("origin", "destination", "period")
    coords = {name: c for name, c in draws.coords.items() if "corridor" not in c.dims}
    return xr.Dataset(
        {"flow": ((*SAMPLE_DIMS, *cells), flow, draws.attrs), "evidence": (cells, evidence)},
        {**coords, "origin": list(system.places), "destination": list(system.places)},
    )
