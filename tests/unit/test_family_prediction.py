"""Reports of every family that were not fitted: their figures, and what was not known of them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import family_problem, family_rows, laplace_posterior

from flowcast._figures import draw_figures, effect_sum, saved_reports
from flowcast.model.reports import COUNTED, RELATIVE, SAMPLED, Reports
from flowcast.observations import Observations, observations_from_frame
from flowcast.posterior import Posterior
from flowcast.prediction import draw_reports, predict
from flowcast.simulation import SimulatedWorld, simulate_world

NEW = {"source", "family", "criterion", "span", "reading", "sampling", "floor"}
"""Variables of reports that runs had not before there were families."""
CELL: dict[str, Any] = {"origin": "DE", "destination": "AT", "year": 2020, "value": 0.0}
CELL |= {"measure": "flow", "reporter": "destination"}
LFS = {"source": "lfs", "family": "survey"}
QUANTILES = ["q2.5", "q50", "q97.5"]


@pytest.fixture(scope="module")
def flows() -> Posterior:
    return laplace_posterior(family_problem(seed=1), n_draws=150)


@pytest.fixture(scope="module")
def stocks() -> Posterior:
    return laplace_posterior(family_problem(seed=1, quantity="stock"), n_draws=50)


def observed(*rows: dict[str, Any]) -> Observations:
    frame = pd.DataFrame([CELL | row for row in rows])
    return observations_from_frame(frame, role="held_out")


def drawn(posterior: Posterior, *rows: dict[str, Any], seed: int = 1) -> np.ndarray:
    """Return predictive draws of the rows, in their order."""
    row, count = draw_reports(posterior, observed(*rows), seed=seed)
    return np.asarray(count[:, np.argsort(row)])


def test_every_family_is_predicted(flows: Posterior, stocks: Posterior) -> None:
    for posterior, quantity in ((flows, "flow"), (stocks, "stock")):
        given = observations_from_frame(family_rows(quantity), role="held_out")
        found = predict(posterior, given)
        assert len(found) == given.n
        numbers = found[["mean", *QUANTILES]].to_numpy()
        assert np.isfinite(numbers).all()
        assert (numbers >= 0).all()
        assert (np.diff(found[QUANTILES].to_numpy(), axis=1) >= 0).all()


# --- figures -------------------------------------------------------------------------------------


def some_reports(posterior: Posterior, reading: int, n: int = 3) -> Reports:
    reports, _ = saved_reports(posterior, np.arange(20))
    return reports.take(np.flatnonzero(reports.reading == reading)[:n])


def figures(posterior: Posterior, reports: Reports, error: float) -> np.ndarray:
    log_mean = np.full((20_000, reports.n), np.log(400.0))
    rng = np.random.default_rng(4)
    return draw_figures(posterior, reports, np.full(reports.n, error), log_mean, rng)


def test_counts_are_drawn_as_counts(flows: Posterior) -> None:
    found = figures(flows, some_reports(flows, COUNTED), np.nan)
    np.testing.assert_array_equal(found, np.round(found))
    np.testing.assert_allclose(found.mean(axis=0), 400.0, rtol=0.01)
    np.testing.assert_allclose(found.var(axis=0), 400.0, rtol=0.05)


def test_a_survey_has_its_error_in_persons_or_relative(flows: Posterior) -> None:
    reports = some_reports(flows, SAMPLED)
    reports = replace(reports, sampling=np.array([0.09, 0.04, 0.01]))
    absolute, relative = figures(flows, reports, 25.0), figures(flows, reports, np.nan)
    np.testing.assert_allclose(absolute.std(axis=0), 25.0, rtol=0.03)
    np.testing.assert_allclose(relative.std(axis=0), [120.0, 80.0, 40.0], rtol=0.03)
    np.testing.assert_allclose(absolute.mean(axis=0), 400.0, rtol=0.01)
    assert (figures(flows, reports, 2000.0) == 0.0).mean() == pytest.approx(0.42, abs=0.02)


def test_an_index_is_what_its_elasticity_makes_of_the_flow(flows: Posterior) -> None:
    found = figures(flows, some_reports(flows, RELATIVE), np.nan)
    np.testing.assert_allclose(found, 400.0**0.7 - 0.5)


def test_a_standard_error_widens_the_prediction_by_itself(flows: Posterior) -> None:
    same = LFS | {"standard_error": 1e-3}
    narrow = drawn(flows, same)[:, 0]
    error = 3.0 * narrow.std()
    wide = drawn(flows, same | {"standard_error": error})[:, 0]
    # The same draws of all else, and an error beside.
    assert np.std(wide - narrow) == pytest.approx(error, rel=0.4)
    assert wide.std() > 2.0 * narrow.std()


def test_a_small_sample_predicts_worse_than_a_large_one(flows: Posterior) -> None:
    large, small = (drawn(flows, LFS | {"sample_size": n})[:, 0] for n in (100_000, 10))
    assert small.std() / small.mean() > large.std() / large.mean()
    assert np.std(small - large) / large.mean() == pytest.approx(np.sqrt(1.5 / 10), rel=0.6)


def test_floors_do_not_hide_what_is_predicted(flows: Posterior) -> None:
    meta = {"source": "platform", "family": "digital", "year": 2021}
    plain = drawn(flows, meta)
    floored = drawn(flows, meta | {"censored_below": 1000.0, "value": 1000.0})
    np.testing.assert_array_equal(plain, floored)


# --- effects -------------------------------------------------------------------------------------


def sums_of(posterior: Posterior, reports: Reports, seed: int = 2) -> np.ndarray:
    """Return the sums of declared effects and biases of reports, (sample, report)."""
    from flowcast._expectation import grid_of, stack_draws

    draws = stack_draws(posterior, np.unique(reports.corridor))
    rng = np.random.default_rng(seed)
    return effect_sum(posterior, grid_of(posterior), reports, draws.coefficient, rng)


def test_fitted_effects_are_those_of_the_draws(flows: Posterior) -> None:
    reports, _ = saved_reports(flows, np.arange(20))
    platform = reports.take(np.flatnonzero(reports.source == "platform"))
    terms = flows.tree["coefficients"].to_dataset()
    values = terms["coefficient"].to_numpy().reshape(300, -1)
    by_name = dict(zip(terms["term"].to_numpy().tolist(), values.T, strict=True))
    rate = {"AT": 0.3, "BE": 0.4, "DE": 0.5, "FR": 0.35, "PL": 0.6}
    origin = flows.log_flow["origin"].to_numpy()[platform.corridor]
    found = sums_of(flows, platform)
    for k in range(platform.n):
        wanted = by_name["bias_digital[platform]"] + by_name[f"drift[{2019 + platform.period[k]}]"]
        wanted = wanted + np.log(rate[str(origin[k])]) * by_name["penetration"]
        np.testing.assert_allclose(found[:, k], wanted)
    # Nothing is new, so that no random number is needed.
    np.testing.assert_array_equal(found, sums_of(flows, platform, seed=3))


def test_effects_that_were_not_fitted_have_their_prior(flows: Posterior) -> None:
    reports, _ = saved_reports(flows, np.arange(20))
    lfs = reports.take(np.flatnonzero(reports.source == "lfs")[:2])
    other = replace(lfs, source=np.full(2, "new", dtype=object))
    draws = np.concatenate([sums_of(flows, other, seed=s) for s in range(40)])
    # Both reports carry one coefficient.
    np.testing.assert_array_equal(draws[:, 0], draws[:, 1])
    assert draws[:, 0].mean() == pytest.approx(-0.05, abs=4 * 0.2 / np.sqrt(len(draws)))
    assert draws[:, 0].std() == pytest.approx(0.2, rel=0.05)
    # By citizenship there is one more, and a period of its own of the platform.
    citizens = replace(other, criterion=np.full(2, "citizenship", dtype=object))
    draws = np.concatenate([sums_of(flows, citizens, seed=s) for s in range(40)])
    assert draws[:, 0].std() == pytest.approx(np.hypot(0.2, 0.3), rel=0.05)


def test_a_new_survey_is_less_certain_than_the_one_that_was_fitted(flows: Posterior) -> None:
    fitted = LFS | {"standard_error": 1e-3}
    known, new = (
        np.log(drawn(flows, fitted | {"source": s})[:, 0]).std() for s in ("lfs", "unseen")
    )
    assert new > 1.3 * known


def test_a_family_that_was_not_fitted_is_predicted() -> None:
    world = simulate_world(3, 2, seed=4)
    posterior = laplace_posterior(world.problem, n_draws=60)
    table = world.observations.head(1).drop(columns=["accuracy_class", "undercount_class"])
    codes = set(world.problem.grid.places)

    def spread(**changes: Any) -> float:  # noqa: ANN401
        given = observations_from_frame(
            table.assign(**changes), role="held_out", declared_places=codes
        )
        return float(np.log(draw_reports(posterior, given)[1] + 0.5).std())

    assert np.isfinite(spread(source="lfs", family="survey"))
    # Of a platform next to nothing is known before its first figures.
    assert spread(source="meta", family="digital") > spread(source="lfs", family="survey")


# --- older runs ----------------------------------------------------------------------------------


def without(posterior: Posterior, names: set[str]) -> Posterior:
    groups = {name: node.to_dataset() for name, node in posterior.tree.children.items()}
    groups["reports"] = groups["reports"].drop_vars(sorted(names))
    return replace(posterior, tree=xr.DataTree.from_dict(groups))


@pytest.fixture(scope="module")
def older() -> tuple[SimulatedWorld, Posterior]:
    world = simulate_world(4, 2, seed=5, missing=0.1)
    return world, laplace_posterior(world.problem, n_draws=30)


def test_older_runs_predict_as_they_did(older: tuple[SimulatedWorld, Posterior]) -> None:
    world, posterior = older
    assert set(map(str, posterior.tree["reports"].data_vars)) >= NEW
    codes = set(world.problem.grid.places)
    given = observations_from_frame(world.observations, role="held_out", declared_places=codes)
    old = predict(without(posterior, NEW), given)
    pd.testing.assert_frame_equal(old, predict(posterior, given))


def test_what_older_runs_lack_is_that_of_registers(
    older: tuple[SimulatedWorld, Posterior],
) -> None:
    world, posterior = older
    found, _ = saved_reports(without(posterior, NEW), np.arange(12))
    wanted = world.problem.reports
    for name in ("source", "family", "criterion", "reading", "unit", "graded", "censored"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
    np.testing.assert_array_equal(found.sampling, 0.0)


def test_reports_are_kept_as_they_were_fitted(flows: Posterior) -> None:
    found, data = saved_reports(flows, np.arange(20))
    wanted = family_problem(seed=1).reports
    for name in Reports.__dataclass_fields__:
        if name != "row":
            np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name), err_msg=name)
    some, _ = saved_reports(flows, np.array([3, 7]))
    np.testing.assert_array_equal(some.value, wanted.value[np.isin(wanted.corridor, [3, 7])])
    assert data.sizes["report"] == wanted.n
