"""Schedules of places with few migrants get close to the truth, as the others have told.

Seeded, so that a failure means a change in the code and not bad luck.
"""

import numpy as np
import pytest
import xarray as xr

from flowcast.accounting import (
    FIVE_YEAR_AGES,
    Schedule,
    age_shares,
    check_age_table,
    fit_schedules,
)
from flowcast.inference.ages import AGE_SAMPLER, AgePosterior, sample_schedules
from flowcast.model.ages import age_terms, rc_parameters

pytestmark = [pytest.mark.statistical, pytest.mark.slow]

SAMPLER = AGE_SAMPLER.model_copy(
    update={"draws": 400, "tune": 400, "chains": 2, "seed": 3, "min_ess": 100.0, "max_rhat": 1.03}
)
MEAN = {
    "child_weight": -0.8,
    "constant_weight": -0.8,
    "alpha1": -2.2,
    "peak_age": 27.0,
    "alpha2": -2.4,
    "lambda2": -1.0,
}
SPREAD = {
    "child_weight": 0.3,
    "constant_weight": 0.3,
    "alpha1": 0.15,
    "peak_age": 2.0,
    "alpha2": 0.2,
    "lambda2": 0.2,
}
MIGRANTS = np.array([0, *[40] * 5, *[300] * 3, *[3_000] * 2, 100_000, 100_000])
FEW = slice(1, 6)
NOISE = 0.08

World = tuple[xr.DataArray, xr.DataArray, AgePosterior]


@pytest.fixture(scope="module")
def world() -> World:
    """Return migrants, their true shares, and the posterior."""
    rng = np.random.default_rng(12)
    n = len(MIGRANTS)
    terms = {
        name: MEAN[name] + SPREAD[name] * rng.standard_normal(n)
        for name in age_terms(7, exposure=False)
    }
    labels = {"place": [f"P{k}" for k in range(n)], "age": list(FIVE_YEAR_AGES)}
    form = check_age_table(xr.DataArray(np.ones((n, 18)), labels))
    truth = Schedule.of(
        **{k: xr.DataArray(v, dims="place") for k, v in rc_parameters(terms, form).items()}
    )
    shares = age_shares(truth, FIVE_YEAR_AGES)
    drawn = [
        rng.multinomial(size, rng.dirichlet(18.0 * share / NOISE**2))
        for size, share in zip(MIGRANTS, shares.to_numpy(), strict=True)
    ]
    migrants = xr.DataArray(np.array(drawn, dtype=float), labels)
    return migrants, shares, sample_schedules(migrants, sampler=SAMPLER)


def draws(world: World) -> np.ndarray:
    return age_shares(world[2].schedule, FIVE_YEAR_AGES).to_numpy().reshape(-1, len(MIGRANTS), 18)


def test_the_chains_agree(world: World) -> None:
    gate = world[2].gate
    assert gate.passed, gate.failures
    assert world[2].schedule.values.dims == ("chain", "draw", "place", "parameter")
    assert world[2].schedule.values["place"].to_numpy()[0] == "P0"


def test_places_with_dozens_of_migrants_are_nearer_to_the_truth_than_their_own_figures(
    world: World,
) -> None:
    """And than a schedule fitted to the place alone; by the sum of absolute differences."""
    migrants, truth, _ = world
    off = np.abs(draws(world).mean(axis=0) - truth.to_numpy()).sum(axis=1)
    figures = np.abs(migrants / migrants.sum("age") - truth)[FEW].sum("age").to_numpy()
    alone = age_shares(fit_schedules(migrants[FEW]).schedule, FIVE_YEAR_AGES)
    own = np.abs(alone.to_numpy() - truth.to_numpy()[FEW]).sum(axis=1)
    assert off[FEW].mean() < figures.mean() / 2.5
    assert off[FEW].mean() < own.mean() / 1.5


def test_places_with_many_migrants_keep_to_their_own_figures(world: World) -> None:
    migrants, truth, _ = world
    off = np.abs(draws(world).mean(axis=0) - truth.to_numpy()).sum(axis=1)
    assert off[-2:].max() < 0.08
    own = fit_schedules(migrants[-2:]).fitted
    fitted = age_shares(world[2].schedule, FIVE_YEAR_AGES).mean(("chain", "draw"))[-2:]
    assert float(abs(own / own.sum("age") - fitted).sum("age").max()) < 0.05


def test_intervals_hold_the_truth_as_often_as_they_say(world: World) -> None:
    """Ages of a place depend on each other, so the band is wide: 13 places, 90 % intervals."""
    low, high = np.quantile(draws(world), (0.05, 0.95), axis=0)
    truth = world[1].to_numpy()
    assert 0.78 < np.mean((low <= truth) & (truth <= high)) < 0.99


def test_fewer_migrants_leave_more_uncertainty(world: World) -> None:
    width = draws(world).std(axis=0).mean(axis=1)
    assert width[0] > width[FEW].mean() > width[6:9].mean() > width[-2:].mean()


def test_a_place_without_data_is_as_uncertain_as_places_differ(world: World) -> None:
    new = age_shares(world[2].schedule_new, FIVE_YEAR_AGES).to_numpy().reshape(-1, 18)
    empty = draws(world)[:, 0]
    np.testing.assert_allclose(new.mean(axis=0), empty.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(new.std(axis=0).mean(), empty.std(axis=0).mean(), rtol=0.25)
    truth = world[1].to_numpy()
    low, high = np.quantile(new, (0.005, 0.995), axis=0)
    assert np.mean((low <= truth) & (truth <= high)) > 0.9


def test_noise_beyond_counting_is_found(world: World) -> None:
    low, high = np.quantile(world[2].tree["posterior"]["noise"], (0.005, 0.995))
    assert low < NOISE < high
