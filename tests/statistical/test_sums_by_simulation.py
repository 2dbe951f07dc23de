"""Draws conditioned on sums against brute force: many draws without the sums, weighted."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from support import changed

from flowcast.model.latent import draw_latent
from flowcast.model.problem import Problem
from flowcast.model.sites import initial_sites, update_sites
from flowcast.model.totals import condition_on_totals
from flowcast.model.totals_measure import Measure, log_likelihood
from flowcast.model.totals_state import State, condition_state
from flowcast.simulation import simulate_world, simulation_spec

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

CODES = ["DK", "FR", "SE"]
N_DRAWS = 600
N_BRUTE = 300_000
BATCH = 10_000


def make_problem(seed: int) -> tuple[Problem, dict[str, Any]]:
    """Return a world of three places: an immigration total, a net figure, and a two-year sum."""
    index = pd.MultiIndex.from_product([CODES, ["origin", "destination"]])
    definitions = pd.DataFrame({"reports": True, "duration_months": 12.0}, index=index)
    definitions["accuracy_class"] = "low"
    definitions.loc[[("SE", "origin"), ("DK", "destination")], "reports"] = False
    rows = [("flow", "SE", "DK", "origin", 2010, 2012)]
    for year in (2010, 2011):
        rows.append(("immigration", None, "DK", "destination", year, year + 1))
        rows.append(("net", None, "SE", "destination", year, year + 1))
    columns = ["measure", "origin", "destination", "reporter", "period_start", "period_end"]
    totals = pd.DataFrame(rows, columns=columns)
    for column in columns[-2:]:
        totals[column] = totals[column].astype(str) + "-01-01"
    # Normal tails: weights of corridors without reports are drawn, and brute force has them fixed.
    light = {"reports": None, "innovations": None, "reporters": None}
    spec = changed(simulation_spec(), measurement={"places_outside": "ignore"}, tails=light)
    world = simulate_world(
        3,
        2,
        seed=seed,
        spec=spec,
        definitions=definitions,
        totals=totals,
        codes=CODES,
        missing=0.2,
        hyper={"sd_noise_total": 0.5},
    )
    return world.problem, dict(world.hyper)


def brute_force(
    state: State, measure: Measure, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return mean and sd of the log flows given the sums, (block, period), and the effective draws.

    Draws without the sums are weighted by the likelihood of the sums.
    """
    own, frame = state.own.corridors, state.frame
    flows, logs = [], []
    for _ in range(N_BRUTE // BATCH):
        by = state.descend(rng.standard_normal((len(state.coefficients), BATCH)))
        alone = state.own.root @ rng.standard_normal((own.n_state, BATCH))
        cells = state.cells[:, None] + state.own.follow(by) + alone
        entries = frame.select @ cells + frame.unit @ (state.coefficients[:, None] + by)
        logs.append(log_likelihood(measure, entries + state.offset[:, None]))
        flows.append(cells.reshape(-1, own.width, BATCH)[:, : own.n_period])
    flow, log_weight = np.concatenate(flows, axis=2), np.concatenate(logs)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    mean = flow @ weight
    sd = np.sqrt((flow - mean[:, :, None]) ** 2 @ weight)
    return mean, sd, 1.0 / float(np.sum(weight**2))


@pytest.mark.parametrize("seed", [2, 7])
def test_conditioned_draws_have_the_moments_of_weighted_ones(seed: int) -> None:
    problem, hyper = make_problem(seed)
    sites = update_sites(problem, hyper, initial_sites(problem))
    state = condition_state(problem, hyper, sites)
    assert problem.totals is not None
    variance = np.full(problem.totals.n, hyper["sd_noise_total"] ** 2)
    measure = Measure(problem.totals, variance, poisson=True)
    rng = np.random.default_rng(seed)
    mean, sd, n_effective = brute_force(state, measure, rng)
    assert n_effective > 1000
    plain, held = [], []
    for _ in range(N_DRAWS):
        flow, coefficient = draw_latent(problem, hyper, sites, rng)
        plain.append(flow[state.own.corridors.corridor])
        moved = condition_on_totals(problem, hyper, sites, flow, coefficient, rng)
        held.append(moved[0][state.own.corridors.corridor])
    error = sd * np.sqrt(1.0 / N_DRAWS + 1.0 / n_effective)
    assert (np.abs(np.mean(held, axis=0) - mean) / error).max() < 4.0
    ratio = np.std(held, axis=0) / sd
    assert np.abs(ratio - 1.0).max() < 4.0 * np.sqrt(0.5 / N_DRAWS + 0.5 / n_effective) + 0.03
    # The draws without the sums would not pass: the sums do say something.
    assert (np.abs(np.mean(plain, axis=0) - mean) / error).max() > 8.0
    assert (sd / np.std(plain, axis=0)).min() < 0.8
