"""What holds for predictions of any reports, in any order, with any values."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import laplace_posterior

from flowcast.errors import InputError
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports, predict
from flowcast.simulation import SimulatedWorld, simulate_world
from flowcast.vocabulary import PREDICTION_QUANTILES

QUANTILES = [f"q{100 * q:g}" for q in PREDICTION_QUANTILES]
PREDICTED = ["mean", "median", "sd", *QUANTILES]
FEW = settings(max_examples=15)


@cache
def fitted() -> tuple[SimulatedWorld, Posterior]:
    """Return a world and its fit without sampling; made once for all examples."""
    world = simulate_world(4, 2, seed=5, missing=0.1)
    return world, laplace_posterior(world.problem, n_draws=60)


def observed(table: pd.DataFrame, *more: str) -> Observations:
    codes = {*fitted()[0].problem.grid.places, *more}
    return observations_from_frame(table, role="held_out", declared_places=codes)


@st.composite
def reports(draw: st.DrawFn) -> pd.DataFrame:
    """Return some of the world's reports in any order, by a source that may be new."""
    table = fitted()[0].observations
    rows = draw(
        st.lists(st.integers(0, len(table) - 1), unique=True, min_size=2, max_size=len(table))
    )
    chosen = table.iloc[rows].reset_index(drop=True)
    return chosen.assign(source=draw(st.sampled_from(["simulated", "unseen"])))


@FEW
@given(reports(), st.integers(0, 2**31))
def test_quantiles_are_ordered_and_summarise_the_draws(table: pd.DataFrame, seed: int) -> None:
    given = observed(table)
    found = predict(fitted()[1], given, seed=seed)
    row, count = draw_reports(fitted()[1], given, seed=seed)
    assert (np.diff(found[QUANTILES].to_numpy(), axis=1) >= 0).all()
    assert found["mean"].between(count.min(axis=0)[np.argsort(row)], np.inf).all()
    for q, name in zip(PREDICTION_QUANTILES, QUANTILES, strict=True):
        below = (count <= found.loc[row, name].to_numpy()).mean(axis=0)
        assert (below >= q - 1.0 / len(count)).all(), name
    assert sorted(row) == list(range(len(table)))


@FEW
@given(reports(), st.integers(0, 2**31))
def test_predicted_reports_are_whole_persons(table: pd.DataFrame, seed: int) -> None:
    _, count = draw_reports(fitted()[1], observed(table), seed=seed)
    assert count.shape == (120, len(table))
    assert np.isfinite(count).all()
    assert (count >= 0).all()
    np.testing.assert_array_equal(count, np.round(count))


@FEW
@given(reports(), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(table: pd.DataFrame, random: object) -> None:
    order = list(range(len(table)))
    random.shuffle(order)  # type: ignore[attr-defined]
    straight = predict(fitted()[1], observed(table))
    shuffled = predict(fitted()[1], observed(table.iloc[order].reset_index(drop=True)))
    pd.testing.assert_frame_equal(
        shuffled[PREDICTED],
        straight[PREDICTED].iloc[order].reset_index(drop=True),
        check_exact=True,
    )


@FEW
@given(reports(), st.floats(0.0, 1e9), st.integers(0, 100))
def test_what_was_reported_is_not_looked_at(table: pd.DataFrame, value: float, seed: int) -> None:
    plain = predict(fitted()[1], observed(table), seed=seed)
    altered = predict(fitted()[1], observed(table.assign(value=value)), seed=seed)
    pd.testing.assert_frame_equal(altered[PREDICTED], plain[PREDICTED], check_exact=True)
    assert (altered["value"] == value).all()


@FEW
@given(reports())
def test_a_part_is_predicted_as_within_the_whole(table: pd.DataFrame) -> None:
    """Up to Monte Carlo error: 120 draws give a median to within about 0.12 sd."""
    world, posterior = fitted()
    source = table["source"].iloc[0]
    everything = predict(posterior, observed(world.observations.assign(source=source)))
    part = predict(posterior, observed(table))
    keys = ["origin", "destination", "period_start", "reporter"]
    joined = part.merge(everything, on=keys, suffixes=("", "_all"), validate="1:1")
    assert len(joined) == len(table)
    spread = np.log((joined["q95_all"] + 0.5) / (joined["q5_all"] + 0.5)) / 3.29
    shift = np.log((joined["median"] + 0.5) / (joined["median_all"] + 0.5))
    assert (shift.abs() < spread + 0.5).all()


@FEW
@given(reports(), st.data())
def test_superseded_vintages_have_no_prediction_and_change_none(
    table: pd.DataFrame, data: st.DataObject
) -> None:
    old = data.draw(
        st.lists(st.integers(0, len(table) - 1), unique=True, min_size=1, max_size=len(table))
    )
    newest = table.assign(vintage="2020-06-01")
    older = newest.iloc[old].assign(vintage="2019-06-01", value=1.0)
    alone = predict(fitted()[1], observed(newest))
    both = predict(fitted()[1], observed(pd.concat([newest, older], ignore_index=True)))
    n = len(newest)
    pd.testing.assert_frame_equal(both[PREDICTED].iloc[:n], alone[PREDICTED], check_exact=True)
    assert both[PREDICTED].iloc[n:].isna().all(axis=None)
    assert len(both) == n + len(old)


@FEW
@given(reports(), st.integers(1950, 2090).filter(lambda year: year not in (2010, 2011)))
def test_years_outside_the_fit_are_refused(table: pd.DataFrame, year: int) -> None:
    apart = table.drop_duplicates(["origin", "destination", "reporter"]).assign(year=year)
    with pytest.raises(InputError) as caught:
        predict(fitted()[1], observed(apart))
    assert [fault.found for fault in caught.value.faults] == [f"period from {year}-01-01"]
    assert caught.value.faults[0].allowed == "2010-01-01 to 2012-01-01"


@FEW
@given(reports(), st.sampled_from(["origin", "destination"]), st.data())
def test_a_place_outside_the_fit_is_refused_with_its_rows(
    table: pd.DataFrame, side: str, data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, len(table) - 1))
    table = table.copy()
    table.loc[row, side] = "elsewhere"
    with pytest.raises(InputError, match="elsewhere in 1 rows"):
        predict(fitted()[1], observed(table, "elsewhere"))


@FEW
@given(reports())
def test_estimates_of_others_are_refused(table: pd.DataFrame) -> None:
    with pytest.raises(InputError, match=f"{len(table)} rows with 'estimate'"):
        predict(fitted()[1], observed(table.assign(family="estimate")))


@FEW
@given(reports(), st.sampled_from(["survey", "census", "digital"]))
def test_a_family_that_was_not_fitted_has_its_prior(table: pd.DataFrame, family: str) -> None:
    found = predict(fitted()[1], observed(table.assign(family=family)))
    assert len(found) == len(table)
    assert (found["q97.5"] > found["q2.5"]).all()
