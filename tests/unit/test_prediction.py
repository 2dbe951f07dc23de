"""Predictive distribution of reports that were not fitted."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support import laplace_posterior

from flowcast.errors import InputError
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports, predict
from flowcast.preparation import collect_inputs, prepare
from flowcast.simulation import SimulatedWorld, simulate_world
from flowcast.vocabulary import PREDICTION_QUANTILES

QUANTILES = [f"q{100 * q:g}" for q in PREDICTION_QUANTILES]


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return simulate_world(4, 3, seed=5, missing=0.1)


@pytest.fixture(scope="module")
def posterior(world: SimulatedWorld) -> Posterior:
    return laplace_posterior(world.problem, n_draws=200)


def observed(world: SimulatedWorld, table: pd.DataFrame, *more: str) -> Observations:
    codes = {*world.problem.grid.places, *more}
    return observations_from_frame(table, role="held_out", declared_places=codes)


def rows(world: SimulatedWorld, **changes: Any) -> pd.DataFrame:  # noqa: ANN401
    """Return the world's reports by destination, with changes."""
    table = world.observations
    return table[table["reporter"] == "destination"].reset_index(drop=True).assign(**changes)


def spread(found: pd.DataFrame) -> pd.Series:
    """Return the width of the 90 % equal-tailed intervals on the log scale."""
    return np.log((found["q95"] + 0.5) / (found["q5"] + 0.5))


def test_rows_are_kept_with_quantiles_beside_them(
    world: SimulatedWorld, posterior: Posterior
) -> None:
    given = observed(world, world.observations.sample(frac=1, random_state=1))
    found = predict(posterior, given)
    pd.testing.assert_frame_equal(found[list(given.table.columns)], given.table)
    assert list(found.columns[len(given.table.columns) :]) == ["mean", "median", "sd", *QUANTILES]
    assert QUANTILES[0] == "q2.5"
    assert QUANTILES[-1] == "q97.5"
    assert (np.diff(found[QUANTILES].to_numpy(), axis=1) >= 0).all()
    np.testing.assert_array_equal(found["median"], found["q50"])
    assert (found["sd"] > 0).all()


def test_fitted_reports_lie_where_they_are_predicted(
    world: SimulatedWorld, posterior: Posterior
) -> None:
    """What was fitted is covered at least as often as its probability promises."""
    found = predict(posterior, observed(world, world.observations))
    inside = (found["value"] >= found["q5"]) & (found["value"] <= found["q95"])
    assert inside.mean() > 0.85
    above = (found["value"] > found["median"]).mean()
    assert 0.3 < above < 0.7


def test_values_are_not_looked_at(world: SimulatedWorld, posterior: Posterior) -> None:
    table = world.observations
    one = predict(posterior, observed(world, table)).drop(columns="value")
    other = predict(posterior, observed(world, table.assign(value=7.0))).drop(columns="value")
    pd.testing.assert_frame_equal(one, other)


def test_a_seed_fixes_the_prediction(world: SimulatedWorld, posterior: Posterior) -> None:
    given = observed(world, world.observations)
    first, again, other = (predict(posterior, given, seed=s) for s in (1, 1, 2))
    pd.testing.assert_frame_equal(first, again)
    assert (first["mean"] != other["mean"]).mean() > 0.9


def test_draws_lead_back_to_rows_and_samples(world: SimulatedWorld, posterior: Posterior) -> None:
    given = observed(world, world.observations)
    row, count = draw_reports(posterior, given)
    assert sorted(row) == list(range(given.n))
    assert count.shape == (400, given.n)
    assert (count >= 0).all()
    found = predict(posterior, given)
    np.testing.assert_allclose(found.loc[row, "mean"], count.mean(axis=0))


def test_reports_by_a_new_source_are_less_certain(
    world: SimulatedWorld, posterior: Posterior
) -> None:
    """A source never seen has reporter and corridor effects from their priors."""
    known = predict(posterior, observed(world, rows(world)))
    new = predict(posterior, observed(world, rows(world, source="unseen")))
    assert np.isfinite(new[QUANTILES]).all(axis=None)
    assert (spread(new) > spread(known)).mean() > 0.9
    assert spread(new).median() > 1.2 * spread(known).median()


def test_a_class_never_seen_and_no_class_are_drawn_from_their_priors(
    world: SimulatedWorld, posterior: Posterior
) -> None:
    known = predict(posterior, observed(world, rows(world)))
    for changes in (
        {"accuracy_class": "medium"},
        {"accuracy_class": None},
        {"undercount_class": None},
        {"undercount_class": "medium"},
    ):
        found = predict(posterior, observed(world, rows(world, **changes)))
        assert np.isfinite(found[QUANTILES]).all(axis=None), changes
        assert not found["mean"].equals(known["mean"]), changes
    graded = spread(predict(posterior, observed(world, rows(world, accuracy_class=None))))
    assert graded.median() > spread(known).median()


def test_a_shorter_minimum_stay_is_expected_to_count_more(
    world: SimulatedWorld, posterior: Posterior
) -> None:
    none, year, permanent = (
        predict(posterior, observed(world, rows(world, duration_months=m)))["median"]
        for m in (0.0, 12.0, 60.0)
    )
    increments = posterior.tree["posterior"]["duration_increment"].mean(("chain", "draw"))
    assert np.log(none / year).median() == pytest.approx(float(increments[:3].sum()), abs=0.2)
    assert np.log(year / permanent).median() == pytest.approx(float(increments[3]), abs=0.2)


def test_a_reporters_own_period_never_seen_is_less_certain(tmp_path: Path) -> None:
    world = simulate_world(4, 3, seed=5, missing=0.0)
    reports = world.problem.reports
    first = world.observations["year"] < 2012
    fitted = observations_from_frame(
        pd.concat([world.observations[first], world.observations[~first].head(1)]),
        declared_places=set(world.problem.grid.places),
    )
    paths = world.write(tmp_path)
    inputs = collect_inputs(
        world.problem.spec, fitted, paths / "places.csv", paths / "corridors.csv"
    )
    problem = prepare(inputs).problem
    posterior = laplace_posterior(problem, n_draws=200)
    found = predict(posterior, observed(world, rows(world)))
    late = found["period_start"].dt.year == 2012
    assert reports.n > problem.reports.n
    assert spread(found)[late].median() > 1.1 * spread(found)[~late].median()


def test_ungraded_fits_predict_new_reporters_from_their_pool() -> None:
    world = simulate_world(4, 2, seed=6, graded=False)
    posterior = laplace_posterior(world.problem, n_draws=60)
    found = predict(posterior, observed(world, rows(world, source="unseen")))
    assert np.isfinite(found[QUANTILES]).all(axis=None)
    graded = predict(posterior, observed(world, rows(world, accuracy_class="low")))
    assert np.isfinite(graded[QUANTILES]).all(axis=None)


def test_places_and_periods_outside_the_fit_are_refused(
    world: SimulatedWorld, posterior: Posterior
) -> None:
    with pytest.raises(InputError, match=r"XX in \d+ rows"):
        predict(posterior, observed(world, rows(world, origin="XX").head(1), "XX"))
    with pytest.raises(InputError) as caught:
        predict(posterior, observed(world, pd.concat([rows(world, year=y).drop_duplicates(
            ["origin", "destination"]) for y in (1999, 2030)])))  # fmt: skip
    assert [f.found for f in caught.value.faults] == [
        "period from 1999-01-01",
        "period from 2030-01-01",
    ]
    assert caught.value.faults[0].allowed == "2010-01-01 to 2013-01-01"
    with pytest.raises(InputError, match="'estimate'"):
        predict(posterior, observed(world, rows(world, family="estimate")))
