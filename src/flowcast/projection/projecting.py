"""Projections of scenarios: datasets of draws, made in memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from flowcast.errors import UsageError
from flowcast.projection._shifts import Shifts, make_shifts
from flowcast.projection.simulation import Offset, Path, simulate_draw
from flowcast.scenarios import apply_scenario
from flowcast.scenarios.composition import spec_of
from flowcast.scenarios.loading import ResolvedScenario
from flowcast.scenarios.spec import Scenario
from flowcast.vocabulary import PERSONS, RESIDENTS

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from flowcast.projection.process import FlowProcess
    from flowcast.projection.start import ProjectionStart

__all__ = ["Projection", "baseline_of", "dataset_of", "project", "project_block"]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Draws of one scenario.

    Attributes
    ----------
    data
        Dims draw, (birthplace,) origin, destination, place, period, date:

        ``flows`` (draw, origin, destination, period), float32, NaN on the diagonal;
        ``births, deaths, immigration, emigration`` (draw, place, period), persons per period;
        ``population`` (draw, place, date), persons at each period's start and the last one's end;
        ``stock`` (draw, birthplace, place), persons at the end, and ``native_born`` (draw, place,
        date), those who live where they were born, where birthplaces are known.

        In every draw the change of a population is births - deaths + immigration - emigration.
    scenario
        Its name.
    support
        Where drivers leave their history, as `ScenarioDrivers.support`.
    notes
        What a reader has to know.
    """

    data: "xr.Dataset"
    scenario: str
    support: "pd.DataFrame"
    notes: tuple[str, ...]


def baseline_of(
    process: "FlowProcess", start: "ProjectionStart", drivers: "xr.Dataset | None" = None
) -> "xr.Dataset":
    """Return the drivers of a projection without a scenario.

    Parameters
    ----------
    process, start
        Places and periods; `population` grows by births and deaths alone.
    drivers
        Others, annual, as `check_drivers` describes them; each is held at its last year where it
        ends before the projection does.

    Raises
    ------
    UsageError
        If a driver has no year up to the projection's first.
    """
    import xarray as xr

    places = list(process.places)
    years = list(range(start.periods[0], start.end + 1))
    rate = start.birth_rate.to_numpy() - start.death_rate.to_numpy()
    steps = np.log1p(rate * start.length) / start.length
    logs = np.cumsum(np.repeat(steps, start.length, axis=1), axis=1)
    people = start.population.to_numpy()[:, None] * np.exp(
        np.concatenate([np.zeros((len(places), 1)), logs], axis=1)
    )
    coords = {"place": places, "year": years}
    found = {"population": xr.DataArray(people, coords, attrs={"units": RESIDENTS})}
    out = xr.Dataset(found)
    if drivers is None:
        return out
    others = drivers.drop_vars("population", errors="ignore")
    known = others["year"].to_numpy()
    if not (known <= years[0]).any():
        raise UsageError(f"(drivers) | found years from {known.min()}; allowed: from {years[0]}")
    at = [int(known[known <= year].max()) for year in years]
    held = others.sel(year=at).assign_coords(year=years)
    return out.merge(held, join="left", combine_attrs="override")


def project(
    process: "FlowProcess",
    start: "ProjectionStart",
    scenarios: Sequence[ResolvedScenario | Scenario],
    *,
    baseline: "xr.Dataset | None" = None,
    history: "xr.Dataset | None" = None,
    draws: int | range | None = None,
    seed: int = 1,
    offset: Offset = Offset(),  # noqa: B008  # frozen
) -> dict[str, Projection]:
    """Project scenarios, the same draws through all of them.

    Parameters
    ----------
    process
        As from `fit_process`.
    start
        People and rates, of the same places, starting where the process ends.
    scenarios
        As from `read_scenario`.
    baseline
        Drivers without a scenario, as from `baseline_of`; None: population alone.
    history
        Drivers of the past: return periods are told from them, and what leaves them is noted.
    draws
        How many draws, or which (``range(100, 200)``); all those of the process if None. More than
        the process has use its draws again, with other innovations.
    seed
        Of innovations and uncertain drivers.
    offset
        Which draw each part is taken from.

    Returns
    -------
    dict
        Name of the scenario -> its projection, in memory. `flowcast.projection.run_projection` is
        for what is larger.

    Raises
    ------
    UsageError
        If places, years or names do not go together.
    InputError
        As `apply_scenario`.
    """
    wanted = range(process.n_draws) if draws is None else draws
    wanted = range(wanted) if isinstance(wanted, int) else wanted
    without = baseline_of(process, start) if baseline is None else baseline
    blocks = project_block(
        process, start, scenarios, without, wanted, history=history, seed=seed, offset=offset
    )
    return {
        name: Projection(
            dataset_of(process, start, name, paths, wanted, seed), name, support, notes
        )
        for name, (paths, support, notes) in blocks.items()
    }


def project_block(
    process: "FlowProcess",
    start: "ProjectionStart",
    scenarios: Sequence[ResolvedScenario | Scenario],
    baseline: "xr.Dataset",
    draws: range,
    *,
    history: "xr.Dataset | None" = None,
    seed: int = 1,
    offset: Offset = Offset(),  # noqa: B008  # frozen
) -> "dict[str, tuple[list[Path], pd.DataFrame, tuple[str, ...]]]":
    """Return some draws of scenarios: paths, where drivers leave their history, and notes."""
    _require_fit(process, start, scenarios)
    shifts: dict[str, Shifts] = {}
    told: dict[str, tuple[pd.DataFrame, tuple[str, ...]]] = {}
    chosen = range(draws.start + offset.drivers, draws.stop + offset.drivers)
    for scenario in scenarios:
        spec = spec_of(scenario)
        changed = apply_scenario(spec, baseline, draws=chosen, seed=seed, history=history)
        shifts[spec.name] = make_shifts(process, changed.data, baseline, start.periods)
        told[spec.name] = (changed.support, changed.notes)
        if shifts[spec.name].returning is not None and start.stock is None:
            raise UsageError(
                f"({spec.name}) | found return_propensity and no stocks by birthplace; "
                "allowed: stocks, or a scenario without it"
            )
    paths: dict[str, list[Path]] = {name: [] for name in shifts}
    for number, draw in enumerate(draws):
        made = simulate_draw(process, start, shifts, draw, seed, at=number, offset=offset)
        for name, path in made.items():
            paths[name].append(path)
    return {name: (paths[name], *told[name]) for name in shifts}


def _require_fit(
    process: "FlowProcess",
    start: "ProjectionStart",
    scenarios: Sequence[ResolvedScenario | Scenario],
) -> None:
    names = [spec_of(scenario).name for scenario in scenarios]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"(scenarios) | found {', '.join(twice)} twice; allowed: names that differ"
        )
    if tuple(start.population["place"].to_numpy().tolist()) != process.places:
        raise UsageError("(start) | found other places; allowed: those of the process")
    if start.periods[0] != process.end or start.length != process.length:
        found = f"periods of {start.length} years from {start.periods[0]}"
        allowed = f"of {process.length} from {process.end}, where the history ends"
        raise UsageError(f"(start) | found {found}; allowed: {allowed}")


def dataset_of(
    process: "FlowProcess",
    start: "ProjectionStart",
    name: str,
    paths: list[Path],
    draws: range,
    seed: int,
) -> "xr.Dataset":
    """Return paths as a dataset, as `Projection.data` describes it."""
    import xarray as xr

    from flowcast import __version__

    places, periods = list(process.places), list(start.periods)
    by_place = ("draw", "place", "period")
    flows = np.stack([path.flows for path in paths])
    at = np.arange(len(places))
    flows[:, at, at, :] = np.nan
    data: dict[str, tuple[tuple[str, ...], object, dict[str, str]]] = {
        "flows": (
            ("draw", "origin", "destination", "period"),
            flows,
            {"units": PERSONS, "long_name": "Migration flow"},
        )
    }
    for variable in ("immigration", "emigration", "births", "deaths"):
        values = np.stack([getattr(path, variable) for path in paths])
        label = {"units": PERSONS, "long_name": variable.capitalize()}
        data[variable] = (by_place, values, label)
    people = np.stack([path.population for path in paths])
    label = {"units": RESIDENTS, "long_name": "Population"}
    data["population"] = (("draw", "place", "date"), people, label)
    if paths and paths[0].stock is not None:
        stock = np.stack([path.stock for path in paths if path.stock is not None])
        label = {"units": RESIDENTS, "long_name": "Population by birthplace"}
        data["stock"] = (("draw", "birthplace", "place"), stock, {**label, "date": str(start.end)})
        natives = np.stack([path.natives for path in paths if path.natives is not None])
        label = {"units": RESIDENTS, "long_name": "Population born in the place"}
        data["native_born"] = (("draw", "place", "date"), natives, label)
    coords: dict[str, object] = {
        "draw": list(draws),
        "origin": places,
        "destination": places,
        "place": places,
        "period": periods,
        "period_end": ("period", [p + start.length for p in periods]),
        "date": [*periods, start.end],
    }
    if "stock" in data:
        coords["birthplace"] = places
    limited = sum(path.limited for path in paths)
    attrs = {
        "scenario": name,
        "model": f"flowcast {__version__}",
        "seed": seed,
        "limited": limited,
    }
    return xr.Dataset(data, coords, attrs)
