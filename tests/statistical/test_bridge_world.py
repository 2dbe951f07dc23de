"""Flows from stocks in a simulated world: they improve corridors that nobody reports, and cover.

Half of the places have registers that report everybody who comes and goes; of the moves between the
others only stocks tell, by a factor and with noise that are learned where both speak. Seeded.
"""

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast.accounting import StockSource, bridge_flows
from flowcast.config import validate_model
from flowcast.model.coordinates import build_coordinates
from flowcast.model.density import find_mode
from flowcast.model.sweeps import Chain, refine
from flowcast.model.trajectory import mirror_symmetric
from flowcast.observations import Observations, observations_from_frame
from flowcast.preparation import Inputs, prepare

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

PLACES = ("AT", "BE", "CH", "DE", "DK", "ES", "FI", "FR")
REPORTERS = PLACES[:4]
PERIOD = ("2000-07-01", "2005-07-01")
BIAS, NOISE, ERROR = 0.8, 0.4, 0.2
"""Of the log of flows from stocks: what they exceed flows by, what is unlike, what draws know."""
N_WORLDS = 12
N_DRAWS = 120


def world(rng: np.random.Generator) -> xr.DataArray:
    """Return log flows of effects of origins, destinations and corridors."""
    n = len(PLACES)
    log_flow = 6.0 + 0.5 * rng.standard_normal((n, 1)) + 0.5 * rng.standard_normal(n)
    log_flow = log_flow + rng.standard_normal((n, n))
    return xr.DataArray(log_flow, {"origin": list(PLACES), "destination": list(PLACES)})


def reports(log_flow: xr.DataArray, rng: np.random.Generator) -> Observations:
    rows = [
        {
            "source": "offices",
            "family": "administrative",
            "measure": "flow",
            "origin": o,
            "destination": d,
            "period_start": PERIOD[0],
            "period_end": PERIOD[1],
            "reporter": side,
            "undercount_class": "low",
            "accuracy_class": "high",
            "value": rng.poisson(
                (0.88 if side == "destination" else 0.73)
                * np.exp(float(log_flow.sel(origin=o, destination=d)) + 0.15 * rng.normal())
            ),
        }
        for o in PLACES
        for d in PLACES
        for side, place in (("origin", o), ("destination", d))
        if o != d and place in REPORTERS
    ]
    return observations_from_frame(pd.DataFrame(rows))


def stock_flows(log_flow: xr.DataArray, rng: np.random.Generator) -> Observations:
    centre = log_flow + BIAS + NOISE * rng.standard_normal(log_flow.shape)
    shape = (60, 1, *log_flow.shape)
    days = [np.datetime64(day) for day in PERIOD]
    coords = {
        **{dim: list(PLACES) for dim in ("origin", "destination")},
        "period_start": ("period", days[:1]),
        "period_end": ("period", days[1:]),
    }
    # the error of the stocks is in the centre of the draws, and around it
    values = np.exp(
        centre.to_numpy()
        + ERROR * (rng.standard_normal(log_flow.shape) + rng.standard_normal(shape))
    )
    array = xr.DataArray(values, coords, ("draw", "period", "origin", "destination"))
    return bridge_flows(array, [StockSource("censuses", "00")], "closed")


def fitted(*sources: Observations, seed: int) -> pd.DataFrame:
    """Return median and 80 % interval of the log flow of each corridor."""
    measurement = {"bias_census": {"normal": [0, 1]}, "duration": False}
    spec = validate_model({"name": "world", "measurement": measurement}, "world")
    problem = prepare(Inputs(spec, sources[0].concat(*sources[1:]), None, {})).problem
    rng, mode = np.random.default_rng(seed), find_mode(problem)
    coordinates = build_coordinates(mode)
    chain = Chain(mirror_symmetric(coordinates), 0.3)
    points = rng.standard_normal((N_DRAWS, len(mode.x)))
    start = [coordinates.unconstrained(z) for z in points]
    drawn = [refine(mode.density, chain, x, rng, n_sweeps=3, every=0).log_flow for x in start]
    bounds = np.quantile(np.array(drawn)[:, :, 0], [0.1, 0.5, 0.9], axis=0)
    index = pd.MultiIndex.from_arrays([problem.grid.origin_code, problem.grid.destination_code])
    return pd.DataFrame(bounds.T, index=index, columns=["low", "middle", "high"])


@pytest.fixture(scope="module")
def judged() -> pd.DataFrame:
    """Return error and coverage of silent corridors by world, without and with stocks."""
    parts = []
    for k in range(N_WORLDS):
        rng = np.random.default_rng([7, k])
        log_flow = world(rng)
        offices, stocks = reports(log_flow, rng), stock_flows(log_flow, rng)
        truth = log_flow.to_series()
        for name, sources in (("without", (offices,)), ("with", (offices, stocks))):
            table = fitted(*sources, seed=k)
            silent = ~table.index.get_level_values(0).isin(REPORTERS)
            silent &= ~table.index.get_level_values(1).isin(REPORTERS)
            table = table[silent].assign(truth=truth.reindex(table.index[silent]))
            parts.append(table.assign(world=k, sources=name))
    cells = pd.concat(parts)
    cells["error"] = (cells["middle"] - cells["truth"]).abs()
    cells["covered"] = (cells["truth"] >= cells["low"]) & (cells["truth"] <= cells["high"])
    cells["width"] = cells["high"] - cells["low"]
    return cells


def test_silent_corridors_are_known_better(judged: pd.DataFrame) -> None:
    by = judged.groupby(["world", "sources"])["error"].mean().unstack("sources")
    assert (by["with"] < by["without"]).sum() >= N_WORLDS - 1
    assert by["with"].mean() < 0.7 * by["without"].mean()


def test_intervals_cover_and_are_narrower(judged: pd.DataFrame) -> None:
    """12 silent corridors a world share its level; three sweeps leave a little too little."""
    by = judged.groupby("sources")
    assert 0.70 <= by["covered"].mean()["with"] <= 0.90
    assert by["width"].mean()["with"] < 0.7 * by["width"].mean()["without"]
