"""Flows under another definition: draw by draw, first converted, then added up, then summarised."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from support import single_precision, stored_posterior, tiny_posterior

from flowcast.errors import UsageError
from flowcast.estimates import (
    aggregate,
    estimate_tables,
    flow_estimates,
    summarise,
    to_dataset,
)
from flowcast.model.reports import duration_weights
from flowcast.posterior import Posterior
from flowcast.tables import read_table, render_table, write_table
from flowcast.vocabulary import ESTIMATE_COLUMNS, ESTIMATE_MEASURES

GROUPS = {"north": ("DE", "NA"), "south": ("AT", "FR")}


def factors(posterior: Posterior, months: float) -> xr.DataArray:
    """Return the factor of each latent draw, worked out by the model's own weights."""
    parameters = posterior.tree["posterior"].to_dataset()["duration_increment"]
    kept = posterior.tree["latent"]["hyper_draw"].values
    own = np.stack([parameters.values[chain, kept[chain]] for chain in range(len(kept))])
    (weights,) = duration_weights(np.array([months]))
    return xr.DataArray(np.exp(own @ weights), dims=("chain", "draw"))


# --- draws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "months"),
    [("no-minimum", 0.0), ("1.25-months", 1.25), ("3-months", 3.0), ("permanent", 60.0)],
)
def test_every_draw_has_the_factor_of_its_own_hyper_parameters(name: str, months: float) -> None:
    posterior = tiny_posterior(3, 2, thin=3)
    usual = flow_estimates(posterior)
    other = usual.under(name)
    expected = usual.draws * factors(posterior, months)
    np.testing.assert_allclose(other.draws, expected, rtol=1e-12)
    xr.testing.assert_identical(other.draws, flow_estimates(posterior, definition=name).draws)


def test_estimates_carry_their_definition() -> None:
    usual = flow_estimates(tiny_posterior(3, 1))
    other = usual.under("3-months")
    assert usual.attrs == {"units": "persons per period", "definition_months": 12.0}
    assert other.attrs == {"units": "persons per period", "definition_months": 3.0}
    assert (usual.definition, other.definition) == (12.0, 3.0)
    assert aggregate(other, "net").draws.attrs == other.draws.attrs == other.attrs
    assert to_dataset(other)["flow"].attrs == other.attrs
    assert "definition 3-months>" in repr(other)
    assert "minimum stay of 3 months" in other._repr_html_()


def test_twelve_months_are_the_very_same_numbers() -> None:
    usual = flow_estimates(tiny_posterior(3, 2))
    for again in (usual.under("12-months"), usual.under("permanent").under(12)):
        xr.testing.assert_identical(again.draws, usual.draws)
        assert again.notes == usual.notes == ()


def test_a_definition_replaces_the_one_before() -> None:
    usual = flow_estimates(tiny_posterior(3, 2))
    direct, detour = usual.under("6-months"), usual.under("no-minimum").under("6-months")
    xr.testing.assert_identical(detour.draws, direct.draws)
    assert detour.notes == direct.notes
    assert len(direct.notes) == 1


def test_sums_are_not_converted_but_flows_are_before_they_are_added_up() -> None:
    flows = flow_estimates(tiny_posterior(4, 1))
    for total in (aggregate(flows, "net"), aggregate(flows, "flow", GROUPS)):
        with pytest.raises(UsageError, match="found sums of flows; allowed: flows, taken as 3-"):
            total.under("3-months")


def test_a_model_without_durations_says_why_it_refuses() -> None:
    flows = flow_estimates(tiny_posterior(3, 1, duration=False))
    xr.testing.assert_identical(flows.under("12-months").draws, flows.draws)
    with pytest.raises(UsageError) as caught:
        flows.under("3-months")
    told = str(caught.value)
    assert told.startswith("(definition) | found 3-months; allowed: 12-months, as model 'tiny'")
    assert "measurement.duration: false" in told
    assert "do not say how many moves" in told


# --- sums and intervals --------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
@pytest.mark.parametrize("by", [None, GROUPS])
def test_tables_summarise_sums_of_converted_draws(
    measure: str, by: dict[str, tuple[str, ...]] | None
) -> None:
    posterior = tiny_posterior(4, 2)
    table = summarise(
        posterior,
        measure=measure,  # type: ignore[arg-type]
        by=by,
        probs=[0.8],
        definition="3-months",
    )
    usual = aggregate(flow_estimates(posterior), measure, by)  # type: ignore[arg-type]
    draws = usual.draws * factors(posterior, 3.0)
    samples = draws.values.reshape(usual.n_draws, -1)  # cells are in the order of the rows
    np.testing.assert_allclose(table["mean"], samples.mean(axis=0), rtol=1e-9)
    for name, level in (("lower", 0.1), ("median", 0.5), ("upper", 0.9)):
        np.testing.assert_allclose(table[name], np.quantile(samples, level, axis=0), rtol=1e-9)


def test_the_interval_holds_the_uncertainty_of_the_conversion() -> None:
    """Flows that are known exactly are uncertain under another definition, by the factor's draws.

    Bounds are of the product: they are those of the factor times the flow.
    """
    flows = np.array([10.0, 20.0, 30.0, 40.0, 50.0, 60.0])[:, None]
    posterior = tiny_posterior(("AT", "DE", "FR"), 1, flows=flows)
    usual = summarise(posterior, probs=[0.9])
    other = summarise(posterior, probs=[0.9], definition="no-minimum")
    lower, upper = np.quantile(factors(posterior, 0.0), [0.05, 0.95])
    assert (usual["upper"] - usual["lower"]).abs().max() < 1e-9
    np.testing.assert_allclose(other["lower"], lower * flows.ravel(), rtol=1e-9)
    np.testing.assert_allclose(other["upper"], upper * flows.ravel(), rtol=1e-9)
    assert (other["sd"] > 0.0).all()


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
def test_stored_flows_are_converted_as_those_in_memory(
    measure: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    eager = single_precision(tiny_posterior(5, 2, seed=3))
    folder = tmp_path_factory.mktemp("stored") / "draws.zarr"
    lazy = stored_posterior(eager, folder, block_corridors=4)
    made = [
        summarise(one, measure=measure, definition="1.25-months")  # type: ignore[arg-type]
        for one in (eager, lazy)
    ]
    pd.testing.assert_frame_equal(*made, rtol=1e-12)
    parts = estimate_tables(lazy, [measure], definition="1.25-months", rows=7)  # type: ignore[list-item]
    pd.testing.assert_frame_equal(pd.concat(list(parts), ignore_index=True), made[1])
    assert made[0].attrs == made[1].attrs
    assert not lazy.log_flow.variable._in_memory


# --- what a table says ---------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
def test_a_column_says_which_definition_unless_it_is_the_usual_one(measure: str) -> None:
    posterior = tiny_posterior(3, 1)
    for definition, name in ((None, None), (12, None), ("12-months", None), (3, "3-months")):
        table = summarise(posterior, measure=measure, definition=definition)  # type: ignore[arg-type]
        more = [] if name is None else ["definition"]
        assert list(table) == [*ESTIMATE_COLUMNS, *more]
        if name:
            assert set(table["definition"]) == {name}
            assert table["definition"].dtype == "str"


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx", "json"])
@pytest.mark.parametrize("name", ["no-minimum", "4.5-months", "permanent"])
def test_files_keep_the_column(
    suffix: str, name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = summarise(tiny_posterior(3, 1), definition=name)
    file = tmp_path_factory.mktemp("tables") / f"t.{suffix}"
    write_table(table, file)
    pd.testing.assert_frame_equal(read_table(file), table, rtol=1e-14)


@pytest.mark.parametrize("format", ["html", "latex", "md", "json"])
@pytest.mark.parametrize("measure", ["flow", "net"])
def test_pages_say_definition_and_factor(format: str, measure: str) -> None:
    posterior = tiny_posterior(3, 1)
    table = summarise(posterior, measure=measure, definition="3-months")  # type: ignore[arg-type]
    text = str(render_table(table, format)).replace("\\", "")  # type: ignore[arg-type]
    lower, median, upper = np.quantile(factors(posterior, 3.0), [0.025, 0.5, 0.975])
    assert "minimum stay of 3 months" in text
    assert "converted from the definition 12-months to 3-months" in text
    assert f"{median:.3g} in the median (95% equal-tailed" in text
    assert f"interval {lower:.3g} to {upper:.3g})" in text
    assert "United Nations" not in text
    usual = str(render_table(summarise(posterior, measure=measure), format))  # type: ignore[arg-type]
    assert "converted" not in usual
