"""How draws are laid out in the posterior's tree: names, dims, coordinates, against the reports."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import varied_spec

from flowcast.model.sites import initial_sites
from flowcast.simulation import SimulatedWorld, simulate_world
from flowcast.trees import build_evidence, build_tree, hyper_dataset

N_CHAIN, N_DRAW = 2, 6
INDEX = np.array([0, 2, 5])


@pytest.fixture(scope="module")
def world() -> SimulatedWorld:
    return simulate_world(4, 3, seed=5, missing=0.4)


def hyper_values(world: SimulatedWorld) -> dict[str, Any]:
    """Return draws of every hyper-parameter of the world, each element known by its number."""
    shape = (N_CHAIN, N_DRAW)
    return {
        name: np.arange(np.prod((*shape, *np.shape(value))), dtype=float).reshape(
            *shape, *np.shape(value)
        )
        for name, value in world.hyper.items()
    }


def made(world: SimulatedWorld, **changes: Any) -> xr.DataTree:  # noqa: ANN401
    problem = world.problem
    cells = (problem.grid.n_corridor, problem.grid.n_period)
    latent = np.arange(N_CHAIN * len(INDEX) * np.prod(cells)).reshape(N_CHAIN, len(INDEX), *cells)
    arguments: dict[str, Any] = {
        "hyper": hyper_dataset(problem, hyper_values(world)),
        "stats": {
            "diverging": np.zeros((N_CHAIN, N_DRAW), dtype=bool),
            "gradient": np.zeros((N_CHAIN, N_DRAW, 3)),
        },
        "sites": initial_sites(problem),
        "latent": latent / 10.0,
        "coefficient": np.zeros((N_CHAIN, len(INDEX), problem.coefficients.n)),
        "index": INDEX,
        "prior": None,
    }
    return build_tree(problem, **(arguments | changes))


# --- evidence ------------------------------------------------------------------------------------


def test_evidence_counts_the_sides_that_report_a_cell(world: SimulatedWorld) -> None:
    """Counted again from the table of reports, without the model's arrays."""
    sides = world.observations.groupby(["origin", "destination", "year"])["reporter"].nunique()
    words = {0: "none", 1: "one_report", 2: "both_reports"}
    keys = pd.MultiIndex.from_frame(world.truth[["origin", "destination", "year"]])
    expected = sides.reindex(keys, fill_value=0).map(words).to_numpy()
    found = build_evidence(world.problem)
    assert found.shape == (12, 3)
    assert found.ravel().tolist() == expected.tolist()
    assert set(expected) == {"none", "one_report", "both_reports"}


def test_two_sources_of_one_side_are_one_report(world: SimulatedWorld) -> None:
    """Evidence says which sides speak, not how often."""
    from dataclasses import replace

    reports = world.problem.reports
    one_sided = replace(reports, side=np.full(reports.n, "immigration", dtype=object))
    found = build_evidence(replace(world.problem, reports=one_sided))
    assert set(found.ravel()) == {"none", "one_report"}


# --- hyper-parameters ----------------------------------------------------------------------------


def test_hyper_parameters_keep_their_numbers_under_named_dims(world: SimulatedWorld) -> None:
    values = hyper_values(world)
    data = hyper_dataset(world.problem, values)
    assert set(map(str, data.data_vars)) == set(values)
    assert data["sd_corridor"].dims == ("chain", "draw")
    assert data["sd_noise"].dims == ("chain", "draw", "noise_class")
    for name, array in values.items():
        np.testing.assert_array_equal(data[name], array)
    assert data["draw"].to_numpy().tolist() == list(range(N_DRAW))


def test_elements_are_found_by_the_names_of_what_they_belong_to(world: SimulatedWorld) -> None:
    data = hyper_dataset(world.problem, hyper_values(world))
    assert data["step"].values.tolist() == ["0_to_3", "3_to_6", "6_to_12", "12_to_60"]
    assert data["side"].values.tolist() == ["immigration", "emigration"]
    classes = {
        f"{'immigration' if side == 'destination' else 'emigration'}_{grade}"
        for side, grade in world.observations[["reporter", "accuracy_class"]].itertuples(
            index=False
        )
    }
    assert set(data["noise_class"].values.tolist()) == classes
    last = data["duration_increment"].sel(step="12_to_60", chain=0, draw=0)
    assert float(last) == 3.0


def test_reporters_without_a_class_have_a_noise_sd_of_their_own() -> None:
    world = simulate_world(4, 2, seed=6, graded=False)
    data = hyper_dataset(world.problem, hyper_values(world))
    assert data["sd_noise_reporter"].dims == ("chain", "draw", "noise_reporter")
    table = world.observations
    expected = {f"immigration:{d}" for d in table[table["reporter"] == "destination"].destination}
    expected |= {f"emigration:{o}" for o in table[table["reporter"] == "origin"].origin}
    assert set(data["noise_reporter"].values.tolist()) == expected
    assert "sd_noise" not in data


# --- the tree ------------------------------------------------------------------------------------


def test_a_tree_has_the_groups_that_a_posterior_promises(world: SimulatedWorld) -> None:
    groups = {"posterior", "sample_stats", "latent", "coefficients", "reports", "cells"}
    assert set(made(world).children) == groups
    prior = hyper_dataset(world.problem, hyper_values(world))
    log_report = np.ones((7, world.problem.reports.n))
    tree = made(world, prior=(prior, log_report))
    assert set(tree.children) == groups | {"prior", "prior_predictive"}
    xr.testing.assert_identical(tree["prior"].to_dataset(), prior)
    assert tree["prior_predictive"]["log_report"].dims == ("sample", "report")
    assert tree["prior_predictive"].sizes["sample"] == 7


def test_a_likelihood_belongs_to_the_kept_draws(world: SimulatedWorld) -> None:
    told = np.arange(6.0).reshape(2, 3)
    found = made(world, log_likelihood=told)["log_likelihood"].to_dataset()["collapsed"]
    np.testing.assert_array_equal(found, told)
    assert found.dims == ("chain", "draw")
    latent = made(world)["latent"].to_dataset()
    for dim in found.dims:
        np.testing.assert_array_equal(found[dim], latent[dim])


def test_latent_flows_know_their_corridor_period_and_draw(world: SimulatedWorld) -> None:
    latent = made(world)["latent"].to_dataset()
    flow = latent["log_flow"]
    assert flow.dims == ("chain", "draw", "corridor", "period")
    assert flow.dtype == np.float32
    assert flow.attrs == {"units": "log persons per period", "definition": "12 months"}
    # 2 chains x 3 draws x 12 corridors x 3 periods, counted through in tenths.
    assert float(flow[0, 0, 0, 1]) == pytest.approx(0.1)
    assert float(flow[1, 2, 11, 2]) == pytest.approx(21.5)
    pairs = list(zip(latent["origin"].values, latent["destination"].values, strict=True))
    assert pairs == list(
        world.truth[["origin", "destination"]].drop_duplicates().itertuples(index=False, name=None)
    )
    starts = latent["period_start"].values.astype("datetime64[D]").astype(str)
    ends = latent["period_end"].values.astype("datetime64[D]").astype(str)
    assert starts.tolist() == ["2010-01-01", "2011-01-01", "2012-01-01"]
    assert ends.tolist() == ["2011-01-01", "2012-01-01", "2013-01-01"]
    np.testing.assert_array_equal(latent["hyper_draw"], [INDEX, INDEX])


def test_statistics_that_are_not_one_number_a_draw_are_left_out(world: SimulatedWorld) -> None:
    stats = made(world)["sample_stats"].to_dataset()
    assert list(stats.data_vars) == ["diverging"]
    assert stats["diverging"].dims == ("chain", "draw")


def test_reports_lead_back_to_the_table_they_came_from(world: SimulatedWorld) -> None:
    reports = made(world)["reports"].to_dataset()
    names = ["origin", "destination", "period", "side", "reporter", "value"]
    found = reports[names].to_dataframe().reset_index(drop=True)
    table = world.observations
    by_destination = table["reporter"] == "destination"
    expected = pd.DataFrame(
        {
            "origin": table["origin"],
            "destination": table["destination"],
            "period": table["year"] - 2010,
            "side": by_destination.map({True: "immigration", False: "emigration"}),
            "reporter": table["destination"].where(by_destination, table["origin"]),
            "value": table["value"],
        }
    )
    keys = ["origin", "destination", "period", "side"]
    pd.testing.assert_frame_equal(
        found.sort_values(keys, ignore_index=True).astype({"period": int}),
        expected.sort_values(keys, ignore_index=True),
        check_dtype=False,
    )
    assert reports["duration"].dims == ("report", "step_index")
    assert reports["duration"].shape == (len(table), 4)


def test_terms_carry_their_group_and_scale_weight(world: SimulatedWorld) -> None:
    from dataclasses import replace

    sites = initial_sites(world.problem)
    units = world.problem.coefficients.n_unit
    assert units > 1
    weighted = replace(sites, unit_weight=2.0 + np.arange(units))
    terms = made(world, sites=weighted)["coefficients"].to_dataset()
    assert set(terms["group"].values) == {
        "intercept",
        "covariate",
        "origin",
        "destination",
        "reporter",
        "reporter_period",
    }
    weight = dict(zip(terms["group"].values, terms["unit_weight"].values, strict=True))
    assert weight["intercept"] == weight["covariate"] == weight["origin"] == 1.0
    own = terms["unit_weight"].values[terms["group"].values == "reporter"]
    assert sorted(own) == sorted(set(own))
    assert own.min() >= 2.0


def test_a_bare_model_has_no_effects_of_reporters() -> None:
    world = simulate_world(3, 2, seed=2, spec=varied_spec("bare"), missing=0.0)
    tree = made(world)
    assert set(tree["coefficients"]["group"].values) == {"intercept", "covariate"}
    assert set(tree["coefficients"]["unit_weight"].values) == {1.0}
    assert set(map(str, tree["posterior"].data_vars)) == {"sd_noise"}
