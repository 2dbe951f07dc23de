"""Simulated worlds: their tables agree with each other, with the truth and with what was asked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import varied_spec

from flowcast.config import Sampler, Tails
from flowcast.covariates import read_covariates
from flowcast.errors import InputError, UsageError
from flowcast.observations import read_observations
from flowcast.simulation import SimulatedWorld, place_codes, simulate_world, simulation_spec

TABLES = ("observations", "places", "corridors", "truth")


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return simulate_world(5, 3, seed=8, missing=0.0)


def test_a_world_has_every_corridor_and_period_once(world: SimulatedWorld) -> None:
    codes = ["W01", "W02", "W03", "W04", "W05"]
    pairs = [(o, d) for o in codes for d in codes if o != d]
    assert world.places["place"].tolist() == codes
    corridors = world.corridors[["origin", "destination"]].itertuples(index=False, name=None)
    assert list(corridors) == pairs
    cells = world.truth[["origin", "destination", "year"]].itertuples(index=False, name=None)
    assert list(cells) == [(o, d, y) for o, d in pairs for y in (2010, 2011, 2012)]


def test_the_table_of_truth_is_the_world_behind_the_reports(world: SimulatedWorld) -> None:
    wide = world.truth.pivot(index=["origin", "destination"], columns="year", values="log_flow")
    np.testing.assert_array_equal(wide.to_numpy(), world.world.log_flow)
    grid = world.problem.grid
    assert [o for o, _ in wide.index] == list(grid.origin_code)
    assert [d for _, d in wide.index] == list(grid.destination_code)


def test_reported_counts_stand_in_the_row_of_their_cell() -> None:
    """Without definitions, undercount, effects and noise a report is Poisson around its flow."""
    spec = varied_spec("bare")
    labels = simulate_world(5, 4, seed=3, spec=spec).problem.labels["noise_class"]
    quiet = {"sd_noise": np.full(len(labels), 1e-9)}
    world = simulate_world(5, 4, seed=3, spec=spec, hyper=quiet)
    joined = world.observations.merge(
        world.truth, on=["origin", "destination", "year"], validate="m:1"
    )
    assert len(joined) == len(world.observations) > 40
    expected = np.exp(joined["log_flow"])
    score = (joined["value"] - expected) / np.sqrt(expected + 1.0)
    assert score.abs().max() < 6.0
    assert 0.6 < (score**2).mean() < 1.5
    assert joined["log_flow"].std() > 0.3


def test_counts_are_whole_and_the_problem_has_the_same(world: SimulatedWorld) -> None:
    value = world.observations["value"].to_numpy()
    assert (value >= 0).all()
    np.testing.assert_array_equal(value, np.round(value))
    np.testing.assert_array_equal(world.problem.reports.value, world.world.value)
    np.testing.assert_array_equal(value[world.problem.reports.row], world.world.value)


def test_a_reporter_keeps_one_definition_and_reports_all_or_nothing(world: SimulatedWorld) -> None:
    table = world.observations
    who = table["origin"].where(table["reporter"] == "origin", table["destination"])
    by = table.groupby([who.rename("who"), "reporter"])
    for column in ("duration_months", "undercount_class", "accuracy_class"):
        assert (by[column].nunique() == 1).all(), column
    assert set(by.size()) == {4 * 3}
    assert set(table["duration_months"]) <= {0.0, 3.0, 6.0, 12.0, 60.0}
    assert not table.duplicated(["origin", "destination", "year", "reporter"]).any()


def test_reports_go_missing_at_about_the_given_share() -> None:
    n = len(simulate_world(10, 4, seed=4, missing=0.0).observations)
    left = len(simulate_world(10, 4, seed=4, missing=0.5).observations)
    # Binomial(n, 1/2): five standard deviations either way.
    assert abs(left - n / 2) < 5.0 * np.sqrt(n / 4)


def test_a_world_without_reports_is_refused() -> None:
    with pytest.raises(InputError, match="without rows"):
        simulate_world(3, 2, missing=1.0)


def test_without_grades_noise_goes_by_reporter() -> None:
    world = simulate_world(4, 2, seed=6, graded=False)
    assert "accuracy_class" not in world.observations
    assert world.problem.labels["noise_class"] == ()
    assert len(world.hyper["sd_noise_reporter"]) == len(world.problem.labels["noise_reporter"]) > 1
    assert simulate_world(4, 2, seed=6).problem.labels["noise_reporter"] == ()


def test_distances_are_symmetric_and_centred(world: SimulatedWorld) -> None:
    wide = world.corridors.pivot(index="origin", columns="destination", values="log_distance")
    matrix = wide.to_numpy()
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_allclose(matrix[off], matrix.T[off], atol=1e-12)
    assert world.corridors["log_distance"].mean() == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(np.diag(matrix)).all()


@pytest.mark.parametrize("name", TABLES)
def test_a_seed_fixes_every_table(name: str) -> None:
    one, again, other = (simulate_world(3, 2, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(getattr(one, name), getattr(again, name), check_exact=True)
    assert not getattr(one, name).equals(getattr(other, name))


def test_given_hyper_parameters_are_the_truth_and_the_others_stay() -> None:
    free = simulate_world(4, 2, seed=9)
    given = simulate_world(4, 2, seed=9, hyper={"sd_corridor": 0.123})
    assert given.hyper["sd_corridor"] == 0.123
    assert free.hyper["sd_corridor"] != 0.123
    assert set(given.hyper) == set(free.hyper)
    for name in set(free.hyper) - {"sd_corridor"}:
        np.testing.assert_array_equal(given.hyper[name], free.hyper[name])
    # The same coefficients; only what the corridors add is larger or smaller.
    np.testing.assert_array_equal(given.world.coefficient, free.world.coefficient)
    assert not np.array_equal(given.world.log_flow, free.world.log_flow)


def test_parts_of_the_specification_can_be_replaced() -> None:
    spec = simulation_spec(tails=Tails(reports=None), sampler=Sampler(draws=33), name="other")
    assert (spec.name, spec.codes, spec.sampler.draws) == ("other", "declared", 33)
    assert spec.tails.reports is None
    names = [term.name for term in spec.process.covariates]
    assert names == ["log_population_origin", "log_population_destination", "log_distance"]
    assert [term.side for term in spec.process.covariates][:2] == ["origin", "destination"]


def test_written_tables_are_read_back_by_the_contracts(
    world: SimulatedWorld, tmp_path: Path
) -> None:
    folder = world.write(tmp_path / "deep" / "world")
    assert sorted(p.name for p in folder.iterdir()) == sorted(f"{name}.csv" for name in TABLES)
    codes = set(world.places["place"])
    read = read_observations(folder / "observations.csv", declared_places=codes)
    assert read.codes == "declared"
    np.testing.assert_array_equal(read.table["value"], world.observations["value"])
    assert read.table["origin"].tolist() == world.observations["origin"].tolist()
    covariates = read_covariates(
        folder / "places.csv", folder / "corridors.csv", declared_places="any"
    )
    found = covariates["log_population"].sel(place="W03").item()
    assert found == pytest.approx(world.places["log_population"][2], rel=1e-12)


def test_a_world_says_its_size(world: SimulatedWorld) -> None:
    n = len(world.observations)
    assert repr(world) == f"<flowcast.SimulatedWorld: 5 places x 3 periods, {n} reports>"


def test_unknown_hyper_parameters_are_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"found sd_coridor; allowed: .*sd_corridor"):
        simulate_world(4, 2, hyper={"sd_coridor": 9.0})


def given_definitions(n_place: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([place_codes(n_place), ["destination", "origin"]])
    frame = pd.DataFrame({"duration_months": 6.0, "reports": True}, index=index)
    frame.loc[("W01", "origin"), "reports"] = False
    frame.loc[("W02", "destination"), "duration_months"] = 12.0
    return frame


def test_definitions_can_be_given() -> None:
    table = simulate_world(3, 2, definitions=given_definitions(3), missing=0.0).observations
    assert len(table) == 2 * 3 * 2 * 2 - 4
    assert not ((table["reporter"] == "origin") & (table["origin"] == "W01")).any()
    twelve = (table["reporter"] == "destination") & (table["destination"] == "W02")
    assert set(table.loc[twelve, "duration_months"]) == {12.0}
    assert set(table.loc[~twelve, "duration_months"]) == {6.0}
    assert "accuracy_class" not in table


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.iloc[1:], "found 5 rows; allowed: one for each of W01 to W03"),
        (lambda d: pd.concat([d, d.iloc[:1]]), "found 7 rows"),
        (lambda d: d.drop(columns="reports"), "found columns duration_months; allowed: reports"),
        (lambda d: d.assign(duration=1.0), "columns duration_months, reports, duration"),
    ],
)
def test_definitions_that_do_not_fit_the_world_are_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame], why: str
) -> None:
    with pytest.raises(UsageError, match=why):
        simulate_world(3, 2, definitions=change(given_definitions(3)))
