"""Sums of draws: immigration, emigration, net migration, flows between groups."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from flowcast.errors import UsageError, nearest
from flowcast.estimates.flows import SAMPLE_DIMS, FlowEstimates
from flowcast.estimates.operators import (
    Grouping,
    System,
    build_groups,
    build_operator,
    join_evidence,
)
from flowcast.vocabulary import ESTIMATE_MEASURES, EstimateMeasure

__all__ = ["aggregate", "to_dataset"]

BLOCK: Final = 4_000_000
"""Numbers worked on at a time (32 MB)."""
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
    _check_measure(measure)
    if estimates.measure != "flow":
        raise UsageError(f"(measure) | found draws of {estimates.measure}; allowed: draws of flows")
    if measure == "flow" and by is None:
        return estimates
    system = System.of(list(estimates.origins), list(estimates.destinations), estimates.codes)
    groups = build_groups(by, system, _middle_years(estimates.period_bounds))
    operators = [build_operator(measure, member, system) for member in groups.member]
    coords = _cell_coords(measure, groups.names)
    dims = ("corridor" if measure == "flow" else "place", "period")
    words = join_evidence(estimates.evidence.values, operators)
    evidence = estimates.evidence
    return replace(
        estimates,
        _stored=_apply(estimates, operators, dims[0]).assign_coords(coords),
        _log_factor=None,
        measure=measure,
        evidence=xr.DataArray(words, dims=dims, coords={**coords, "period": evidence["period"]}),
        notes=(*estimates.notes, *groups.notes, *_describe_bounds(measure, system)),
    )


def _describe_bounds(measure: EstimateMeasure, system: System) -> tuple[str, ...]:
    if measure == "flow":
        return ()
    what = "net migration" if measure == "net" else measure
    moves = f"moves among the {len(system.places)} places of the estimates"
    return (f"{what} adds up {moves}; moves from or to elsewhere are not in it",)


def _check_measure(measure: str) -> None:
    if measure not in ESTIMATE_MEASURES:
        hint = nearest(measure, ESTIMATE_MEASURES)
        raise UsageError(
            f"(measure) | found {measure!r}; allowed: {', '.join(ESTIMATE_MEASURES)}"
            + (f"; did you mean {hint}?" if hint else "")
        )


def _middle_years(bounds: NDArray[np.datetime64]) -> list[int]:
    middle = bounds[:, 0] + (bounds[:, 1] - bounds[:, 0]) // 2
    return [int(str(day)[:4]) for day in middle]


def _cell_coords(measure: EstimateMeasure, names: Sequence[str]) -> dict[str, Any]:
    if measure != "flow":
        return {"place": list(names)}
    pairs = [(start, end) for start in names for end in names if start != end]
    return {
        "origin": ("corridor", [start for start, _ in pairs]),
        "destination": ("corridor", [end for _, end in pairs]),
    }


def _apply(estimates: FlowEstimates, operators: Sequence[Any], dim: str) -> xr.DataArray:
    """Apply each period's operator to each draw, a block of draws at a time."""
    like = estimates.select(corridor=slice(0, 0))
    n_chain, n_draw, _, n_period = like.shape
    out = np.empty((n_chain, n_draw, operators[0].shape[0], n_period))
    step = max(1, BLOCK // max(1, n_chain * estimates.sizes["corridor"]))
    for k, operator in enumerate(operators):
        for start in range(0, n_draw, step):
            rows = slice(start, start + step)
            flows = estimates.select(period=k, draw=rows).values
            flat = flows.reshape(-1, flows.shape[-1])
            out[:, rows, :, k] = (operator @ flat.T).T.reshape(*flows.shape[:2], -1)
    kept = {name: c for name, c in like.coords.items() if "corridor" not in c.dims}
    return xr.DataArray(out, dims=(*SAMPLE_DIMS, dim, "period"), coords=kept)


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
