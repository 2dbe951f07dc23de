"""What the drivers of a scenario do to rates, shares, flows and populations, period by period."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flowcast.errors import UsageError
from flowcast.projection.effects import aligned, on_scale, period_means
from flowcast.scenarios.catalogue import DRIVERS

if TYPE_CHECKING:
    import xarray as xr

    from flowcast.projection.process import FlowProcess

__all__ = ["Shifts", "make_shifts"]

type Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shifts:
    """Deviations of drivers from their base, and factors.

    Arrays of places are (draw or 1, place, period), of corridors (draw or 1, origin, destination,
    period), the diagonal without meaning.

    Attributes
    ----------
    leaving, arriving
        Position of the driver's effect in the process, and its deviations: on out-rates, and on
        shares of destinations.
    between
        The same of corridors, on flows.
    openness, returning
        Factors of flows, and of returns.
    growth
        Natural growth of the scenario less that of the baseline, as a log rate of the period.
    """

    leaving: tuple[tuple[int, Floats], ...]
    arriving: tuple[tuple[int, Floats], ...]
    between: tuple[tuple[int, Floats], ...]
    openness: Floats | None = None
    returning: Floats | None = None
    growth: Floats | None = None


def make_shifts(
    process: "FlowProcess",
    drivers: "xr.Dataset",
    baseline: "xr.Dataset",
    periods: Sequence[int],
    *,
    keep: frozenset[str] | None = None,
) -> Shifts:
    """Return what drivers do in each period.

    Parameters
    ----------
    process
        Whose effects are meant, and whose bases.
    drivers
        Of the scenario, annual, as `apply_scenario` returns them.
    baseline
        Without the scenario: where a driver has no base from the history, its first period's mean.
    periods
        Years in which they start.
    keep
        Drivers that follow the scenario; the others are as in the baseline. None: all.

    Raises
    ------
    UsageError
        If a driver does not cover the periods or lacks places.
    """
    effects = {
        side: {str(name): k for k, name in enumerate(process.posterior[side].to_numpy())}
        for side in ("leaving", "arriving")
    }
    out: dict[str, list[tuple[int, Floats]]] = {"leaving": [], "arriving": [], "between": []}
    factors: dict[str, Floats] = {}
    for name in map(str, drivers.data_vars):
        source = drivers if keep is None or name in keep or name not in baseline else baseline
        if keep is not None and name not in keep and name not in baseline:
            continue
        values = _values(source[name], name, process, periods)
        if name in ("policy_openness", "return_propensity"):
            if (values != 1.0).any():
                factors[name] = values
            continue
        if name == "population":
            growth = _growth(source[name], baseline[name], process, periods)
            if (growth != 0.0).any():
                factors["growth"] = growth
            continue
        deviation = on_scale(name, values) - _base(name, process, baseline, periods)
        if not deviation.any():
            continue
        for side in ("leaving", "arriving"):
            if name in effects[side]:
                key = side if DRIVERS[name].of == "place" else "between"
                out[key].append((effects[side][name], deviation))
    return Shifts(
        tuple(out["leaving"]),
        tuple(out["arriving"]),
        tuple(out["between"]),
        factors.get("policy_openness"),
        factors.get("return_propensity"),
        factors.get("growth"),
    )


def _values(
    variable: "xr.DataArray", name: str, process: "FlowProcess", periods: Sequence[int]
) -> Floats:
    """Return means of periods with a dim for draws: (draw or 1, place, period) or of corridors."""
    own = aligned(variable, name, process.places)
    if own is None:
        raise UsageError(f"({name}) | found places missing; allowed: all {len(process.places)}")
    means = period_means(own, periods, process.length)
    if means is None:
        first, last = periods[0], periods[-1] + process.length - 1
        raise UsageError(f"({name}) | found years missing; allowed: all of {first} to {last}")
    if "draw" not in own.dims:
        means = means[None]
    return means if DRIVERS[name].of == "place" else _square(means, len(process.places))


def _square(values: Floats, n_place: int) -> Floats:
    """Return corridors, (draw, corridor, period), as (draw, origin, destination, period)."""
    out = np.ones((len(values), n_place, n_place, values.shape[2]))
    out[:, ~np.eye(n_place, dtype=bool)] = values
    return out


def _base(
    name: str, process: "FlowProcess", baseline: "xr.Dataset", periods: Sequence[int]
) -> Floats:
    if name in process.base:
        known = process.base[name].to_numpy()[None, :, None]
        return known if DRIVERS[name].of == "place" else _square(known, len(process.places))
    default = DRIVERS[name].default
    if name not in baseline and default is not None:
        return on_scale(name, np.array(default))
    first = _values(baseline[name], name, process, periods[:1])
    # Of an uncertain baseline the middle: the base is one number.
    return on_scale(name, first).mean(axis=0, keepdims=True)


def _growth(
    scenario: "xr.DataArray",
    baseline: "xr.DataArray",
    process: "FlowProcess",
    periods: Sequence[int],
) -> Floats:
    """Return by how much faster populations grow than in the baseline, as logs of each period."""
    logs = []
    for variable in (scenario, baseline):
        own = aligned(variable, "population", process.places)
        if own is None:
            raise UsageError("(population) | found places missing; allowed: all of the process")
        years = own["year"].to_numpy()
        # What happens after the last year is not told: growth stays as in the baseline.
        at = [int(np.searchsorted(years, min(y, years[-1]))) for y in _dates(process, periods)]
        values = own.transpose(..., "place", "year").to_numpy()[..., at]
        logs.append(np.log(values if values.ndim == 3 else values[None]))
    return np.asarray(np.diff(logs[0] - logs[1], axis=2))


def _dates(process: "FlowProcess", periods: Sequence[int]) -> list[int]:
    return [*periods, periods[-1] + process.length]
