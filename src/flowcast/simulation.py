"""A synthetic world with known truth, for tests, calibration, notebooks and benchmarks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from flowcast.config import CovariateTerm, ModelSpec, Process
from flowcast.errors import UsageError
from flowcast.model.forward import World, draw_world
from flowcast.model.hyper import draw_hyper
from flowcast.model.problem import Problem, with_values
from flowcast.model.totals import with_total_values
from flowcast.model.totals_rows import Totals
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, prepare
from flowcast.priors import Prior

__all__ = ["SimulatedWorld", "place_codes", "simulate_world", "simulation_spec"]

DURATIONS = (0.0, 3.0, 6.0, 12.0, 60.0)
SOURCE = "simulated"
DEFINITION_COLUMNS = ("duration_months", "undercount_class", "accuracy_class", "reports")


@dataclass(frozen=True, slots=True, eq=False)
class SimulatedWorld:
    """A world drawn from a model: what is reported, and what is true.

    Attributes
    ----------
    problem
        The problem with the simulated counts, ready to be fitted.
    world
        True latent flows, counts and coefficients.
    hyper
        True hyper-parameters by name.
    observations
        Reports in the observation contract.
    places, corridors
        Covariate tables.
    truth
        `origin, destination, year, log_flow` of every cell.
    """

    problem: Problem
    world: World
    hyper: Mapping[str, Any]
    observations: pd.DataFrame
    places: pd.DataFrame
    corridors: pd.DataFrame
    truth: pd.DataFrame

    def write(self, folder: str | Path) -> Path:
        """Write the four tables as CSV files into `folder`, and return it."""
        out = Path(folder)
        out.mkdir(parents=True, exist_ok=True)
        for name in ("observations", "places", "corridors", "truth"):
            getattr(self, name).to_csv(out / f"{name}.csv", index=False)
        return out

    def __repr__(self) -> str:
        grid = self.problem.grid
        return (
            f"<flowcast.SimulatedWorld: {len(grid.places)} places x {grid.n_period} periods, "
            f"{self.problem.reports.n} reports>"
        )


def simulation_spec(**parts: Any) -> ModelSpec:
    """Return the specification worlds are drawn from: gravity with three covariates.

    Parameters
    ----------
    **parts
        Fields of `ModelSpec` that replace the defaults, such as `tails` or `sampler`.
    """
    terms = (
        CovariateTerm(
            name="log_population_origin",
            column="log_population",
            side="origin",
            prior=Prior.make("normal", [0.7, 0.3]),
        ),
        CovariateTerm(
            name="log_population_destination",
            column="log_population",
            side="destination",
            prior=Prior.make("normal", [0.7, 0.3]),
        ),
        CovariateTerm(
            name="log_distance", column="log_distance", prior=Prior.make("normal", [-0.8, 0.3])
        ),
    )
    process = Process(intercept=Prior.make("normal", [6.0, 1.0]), covariates=terms)
    return ModelSpec(**({"name": "simulated", "codes": "declared", "process": process} | parts))


def place_codes(n_place: int) -> list[str]:
    """Return the codes of the places of a simulated world: ``W01``, ``W02`` and so on."""
    return [f"W{k:02d}" for k in range(1, n_place + 1)]


def _places(codes: list[str], rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"place": codes, "log_population": rng.normal(0.0, 1.0, len(codes))})


def _corridors(codes: list[str], rng: np.random.Generator) -> pd.DataFrame:
    at = rng.normal(size=(len(codes), 2))
    i, j = np.nonzero(~np.eye(len(codes), dtype=bool))
    distance = np.log(np.hypot(*(at[i] - at[j]).T) + 0.1)
    names = np.array(codes, dtype=object)
    return pd.DataFrame(
        {
            "origin": names[i],
            "destination": names[j],
            "log_distance": distance - np.mean(distance),
        }
    )


def _definitions(codes: list[str], rng: np.random.Generator, *, graded: bool) -> pd.DataFrame:
    """Give each reporter and side a minimum stay, classes, and whether it reports at all."""
    index = pd.MultiIndex.from_product([codes, ["origin", "destination"]])
    n = len(index)
    frame = pd.DataFrame(index=index)
    frame["duration_months"] = rng.choice(DURATIONS, n, p=[0.15, 0.15, 0.15, 0.45, 0.1])
    frame["undercount_class"] = rng.choice(["low", "high"], n)
    if graded:
        frame["accuracy_class"] = rng.choice(["high", "low"], n)
    silent = {"origin": 0.3, "destination": 0.15}
    frame["reports"] = [rng.random() > silent[side] for _, side in index]
    return frame


def _check_definitions(given: pd.DataFrame, codes: list[str]) -> pd.DataFrame:
    """Refuse definitions that do not say of every place and side what it reports."""
    sides = pd.MultiIndex.from_product([codes, ["origin", "destination"]])
    extra = sorted(set(map(str, given.columns)) - set(DEFINITION_COLUMNS))
    if extra or "reports" not in given.columns:
        found = f"columns {', '.join(map(str, given.columns))}"
        raise UsageError(
            f"(definitions) | found {found}; allowed: reports, and besides it "
            f"{', '.join(DEFINITION_COLUMNS[:-1])}"
        )
    if given.index.has_duplicates or set(given.index) != set(sides):
        raise UsageError(
            f"(definitions) | found {len(given)} rows; allowed: one for each of {codes[0]} to "
            f"{codes[-1]} as origin and as destination"
        )
    return given.loc[sides]


def _reports(
    corridors: pd.DataFrame,
    definitions: pd.DataFrame,
    years: list[int],
    missing: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    rows = corridors[["origin", "destination"]].merge(pd.DataFrame({"year": years}), how="cross")
    parts = []
    for side in ("origin", "destination"):
        own = definitions.xs(side, level=1).loc[rows[side]].reset_index(drop=True)
        keep = own["reports"].to_numpy(bool) & (rng.random(len(rows)) >= missing)
        parts.append(rows[keep].assign(reporter=side).join(own.drop(columns="reports")))
    frame = pd.concat(parts, ignore_index=True)
    return frame.assign(source=SOURCE, family="administrative", measure="flow", value=0.0)


def _with_totals(
    table: pd.DataFrame, totals: pd.DataFrame, definitions: pd.DataFrame
) -> pd.DataFrame:
    """Add rows of sums to the reports, each with the definition of its reporter."""
    start = pd.to_datetime(table["year"].astype(str) + "-01-01")
    periods = {"period_start": start, "period_end": start + pd.DateOffset(years=1)}
    who = totals["destination"].where(totals["reporter"] == "destination", totals["origin"])
    index = pd.MultiIndex.from_arrays([who, totals["reporter"]])
    known = [c for c in DEFINITION_COLUMNS[:2] if c in definitions]
    own = definitions[known].reindex(index).reset_index(drop=True)
    rows = totals.reset_index(drop=True).join(own)
    rows = rows.assign(source=SOURCE, family="administrative", value=0.0)
    for column in periods:
        rows[column] = pd.to_datetime(rows[column])
    return pd.concat([table.drop(columns="year").assign(**periods), rows], ignore_index=True)


def _fill_totals(table: pd.DataFrame, totals: Totals, drawn: NDArray[np.float64]) -> None:
    """Write figures of sums into the table: what was drawn for the rest, and the details."""
    rest = dict(zip(totals.row.tolist(), drawn.tolist(), strict=True))
    value = table["value"].to_numpy(float).copy()
    for one in totals.details:
        details = sum(sign * value[row] for row, sign in one.details)
        value[one.row] = rest.get(one.row, 0.0) + details
    table["value"] = value


def _dataset(places: pd.DataFrame, corridors: pd.DataFrame) -> xr.Dataset:
    pair = corridors.set_index(["origin", "destination"]).to_xarray()
    return xr.merge([places.set_index("place").to_xarray(), pair])


def simulate_world(
    n_place: int = 8,
    n_period: int = 5,
    *,
    seed: int = 1,
    spec: ModelSpec | None = None,
    hyper: Mapping[str, Any] | None = None,
    missing: float = 0.1,
    graded: bool = True,
    definitions: pd.DataFrame | None = None,
    totals: pd.DataFrame | None = None,
    codes: Sequence[str] | None = None,
) -> SimulatedWorld:
    """Draw a world: places, definitions, hyper-parameters, flows and reports.

    Parameters
    ----------
    n_place, n_period
        Size: ``n_place * (n_place - 1)`` corridors, yearly periods from 2010 on.
    seed
        Of everything.
    spec
        The model; by default `simulation_spec`.
    hyper
        True hyper-parameters; those not given are drawn from their priors.
    missing
        Share of the reports missing at random, besides reporters that report nothing.
    graded
        Whether reports carry an accuracy class; without, noise goes by reporter.
    definitions
        What each place reports, instead of a draw: indexed by place (`place_codes`) and side
        (``origin``, ``destination``), column `reports` (whether it reports at all) and, as far as
        known, `duration_months`, `undercount_class`, `accuracy_class`.
    totals
        Reports of sums to add: rows of the observation contract with `measure`, `origin`,
        `destination`, `reporter`, `period_start` and `period_end`. Their figures are drawn; their
        definition is that of the reporter. Give a specification with
        ``measurement.places_outside: ignore`` if an origin or destination is empty.
    codes
        Codes of the places, `n_place` of them, instead of `place_codes`: groupings want ISO codes.

    Returns
    -------
    SimulatedWorld
        Counts are Poisson around flow x definition x undercount x effects x noise.

    Raises
    ------
    UsageError
        If `hyper` names a hyper-parameter the model does not have, `definitions` does not cover
        every place and side, or nothing is left of `totals` once their details are taken off.

    Examples
    --------
    >>> world = simulate_world(4, 2, seed=3)
    >>> sorted(world.truth.columns)
    ['destination', 'log_flow', 'origin', 'year']
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 7]))
    codes = place_codes(n_place) if codes is None else list(codes)
    places, corridors = _places(codes, rng), _corridors(codes, rng)
    years = list(range(2010, 2010 + n_period))
    if definitions is None:
        definitions = _definitions(codes, rng, graded=graded)
    else:
        definitions = _check_definitions(definitions, codes)
    table = _reports(corridors, definitions, years, missing, rng)
    spec = spec or simulation_spec()
    if totals is not None:
        table = _with_totals(table, totals, definitions)
    observations = observations_from_frame(table, name=SOURCE, declared_places=set(codes))
    inputs = Inputs(spec, observations, _dataset(places, corridors), {})
    problem = prepare(inputs).problem
    if totals is not None and problem.totals is None:
        raise UsageError("(totals) | found sums that repeat their details; allowed: any others")
    drawn = dict(draw_hyper(problem, rng))
    unknown = sorted(set(hyper or {}) - set(drawn))
    if unknown:
        raise UsageError(f"(hyper) | found {', '.join(unknown)}; allowed: {', '.join(drawn)}")
    truth = drawn | dict(hyper or {})
    world = draw_world(problem, truth, rng)
    table.loc[problem.reports.row, "value"] = world.value
    if problem.totals is not None:
        _fill_totals(table, problem.totals, world.total)
        problem = with_total_values(problem, world.total)
    return SimulatedWorld(
        with_values(problem, world.value),
        world,
        truth,
        table,
        places,
        corridors,
        _truth(problem, world.log_flow, years),
    )


def _truth(problem: Problem, log_flow: NDArray[np.float64], years: list[int]) -> pd.DataFrame:
    grid = problem.grid
    return pd.DataFrame(
        {
            "origin": np.repeat(grid.origin_code, grid.n_period),
            "destination": np.repeat(grid.destination_code, grid.n_period),
            "year": np.tile(years, grid.n_corridor),
            "log_flow": log_flow.ravel(),
        }
    )
