"""A synthetic world with known truth, for tests, calibration, notebooks and benchmarks."""

from collections.abc import Mapping
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
from flowcast.observations import observations_from_frame
from flowcast.preparation import Inputs, prepare
from flowcast.priors import Prior

__all__ = ["SimulatedWorld", "simulate_world", "simulation_spec"]

DURATIONS = (0.0, 3.0, 6.0, 12.0, 60.0)
SOURCE = "simulated"


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


def _places(codes: list[str], rng: np.random.Generator) -> pd.DataFrame:
    return pd.DataFrame({"place": codes, "log_population": rng.normal(0.0, 1.0, len(codes))})


def _corridors(codes: list[str], rng: np.random.Generator) -> pd.DataFrame:
    at = rng.normal(size=(len(codes), 2))
    pairs = [(i, j) for i in range(len(codes)) for j in range(len(codes)) if i != j]
    distance = [np.log(np.hypot(*(at[i] - at[j])) + 0.1) for i, j in pairs]
    return pd.DataFrame(
        {
            "origin": [codes[i] for i, _ in pairs],
            "destination": [codes[j] for _, j in pairs],
            "log_distance": np.array(distance) - np.mean(distance),
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


def _reports(
    corridors: pd.DataFrame,
    definitions: pd.DataFrame,
    years: list[int],
    missing: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    rows = corridors[["origin", "destination"]].merge(pd.DataFrame({"year": years}), how="cross")
    parts = [rows.assign(reporter=side, who=rows[side]) for side in ("origin", "destination")]
    frame = pd.concat(parts, ignore_index=True).merge(
        definitions.rename_axis(["who", "reporter"]).reset_index(), on=["who", "reporter"]
    )
    keep = frame["reports"] & (rng.random(len(frame)) >= missing)
    frame = frame[keep].drop(columns=["who", "reports"]).reset_index(drop=True)
    return frame.assign(source=SOURCE, family="administrative", measure="flow", value=0.0)


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

    Returns
    -------
    SimulatedWorld
        Counts are Poisson around flow x definition x undercount x effects x noise.

    Raises
    ------
    UsageError
        If `hyper` names a hyper-parameter the model does not have.

    Examples
    --------
    >>> world = simulate_world(4, 2, seed=3)
    >>> sorted(world.truth.columns)
    ['destination', 'log_flow', 'origin', 'year']
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, 7]))
    codes = [f"W{k:02d}" for k in range(1, n_place + 1)]
    places, corridors = _places(codes, rng), _corridors(codes, rng)
    years = list(range(2010, 2010 + n_period))
    table = _reports(corridors, _definitions(codes, rng, graded=graded), years, missing, rng)
    spec = spec or simulation_spec()
    observations = observations_from_frame(table, name=SOURCE, declared_places=set(codes))
    inputs = Inputs(spec, observations, _dataset(places, corridors), {})
    problem = prepare(inputs).problem
    drawn = dict(draw_hyper(problem, rng))
    unknown = sorted(set(hyper or {}) - set(drawn))
    if unknown:
        raise UsageError(f"(hyper) | found {', '.join(unknown)}; allowed: {', '.join(drawn)}")
    truth = drawn | dict(hyper or {})
    world = draw_world(problem, truth, rng)
    table.loc[problem.reports.row, "value"] = world.value
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
