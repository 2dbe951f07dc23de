"""Draws to flows, sums and intervals, against numbers worked out by hand."""

import itertools
from datetime import date

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import xarray as xr
from support import EVIDENCE_CYCLE, STEPS, corridors, tiny_posterior

from flowcast.errors import InputError, UsageError
from flowcast.estimates import (
    FlowEstimates,
    aggregate,
    duration_log_factor,
    flow_estimates,
    summarise,
    to_dataset,
)
from flowcast.estimates import aggregation as aggregation_module
from flowcast.estimates import summary as summary_module
from flowcast.estimates.operators import System, build_operator, join_evidence

TRIANGLE = ("AT", "DE", "FR")
# Corridors of the triangle in order: AT-DE, AT-FR, DE-AT, DE-FR, FR-AT, FR-DE.
PERSONS = np.array([10.0, 20.0, 30.0, 40.0, 50.0, 60.0])


def triangle(**options: object) -> FlowEstimates:
    """Return estimates whose every draw has the flows `PERSONS`."""
    flows = PERSONS[:, None]
    return flow_estimates(tiny_posterior(TRIANGLE, 1, flows=flows, **options))


def by_cell(estimates: FlowEstimates) -> dict[str, float]:
    """Return the first draw of the first period, by place or by 'origin-destination'."""
    values = estimates.draws.isel(chain=0, draw=0, period=0).values
    if estimates.measure == "flow":
        names = [f"{o}-{d}" for o, d in zip(estimates.origins, estimates.destinations, strict=True)]
    else:
        names = [str(place) for place in estimates.draws["place"].values]
    return dict(zip(names, np.round(values, 9), strict=True))


# --- draws ---------------------------------------------------------------------------------------


def test_draws_are_persons_with_units_in_double_precision() -> None:
    posterior = tiny_posterior(3, 2)
    draws = flow_estimates(posterior).draws
    assert draws.dims == ("chain", "draw", "corridor", "period")
    assert draws.dtype == np.float64
    assert draws.attrs == {"units": "persons per period", "definition_months": 12.0}
    np.testing.assert_allclose(draws, np.exp(posterior.log_flow), rtol=1e-14)


def test_single_precision_is_widened_before_it_is_raised() -> None:
    posterior = tiny_posterior(3, 1)
    latent = posterior.tree["latent"]
    latent["log_flow"] = latent["log_flow"].astype("float32")
    draws = flow_estimates(posterior).draws
    assert draws.dtype == np.float64
    np.testing.assert_array_equal(draws, np.exp(posterior.log_flow.values.astype("float64")))


def test_a_part_of_the_draws_equals_that_part_of_all() -> None:
    estimates = flow_estimates(tiny_posterior(3, 2), definition=3)
    part = estimates.select(period=1, corridor=slice(2, 5), draw=slice(0, 7))
    whole = estimates.draws.isel(period=1, corridor=slice(2, 5), draw=slice(0, 7))
    xr.testing.assert_identical(part, whole)


def test_estimates_say_what_they_are() -> None:
    estimates = flow_estimates(tiny_posterior(3, 2), definition=6)
    assert (estimates.measure, estimates.codes, estimates.name) == ("flow", "alpha2", "tiny")
    assert estimates.definition == 6.0
    assert "6 corridors x 2 periods (2020-01-01 to 2022-01-01), 80 draws" in repr(estimates)
    page = aggregate(estimates, "net")._repr_html_()
    assert "minimum stay of 6 months" in page
    assert "moves from or to elsewhere are not in it" in page


def test_declared_codes_are_not_taken_for_countries() -> None:
    posterior = tiny_posterior(("north<", "south"), 1, spec={"codes": "declared"})
    estimates = flow_estimates(posterior)
    assert estimates.codes == "declared"
    assert list(summarise(estimates, probs=[0.5])["origin"]) == ["north<", "south"]


def test_three_letter_codes_are_known_as_such() -> None:
    estimates = flow_estimates(tiny_posterior(("DEU", "FRA", "NAM"), 1))
    assert estimates.codes == "alpha3"
    assert set(by_cell(aggregate(estimates, "net", by=["western_europe"]))) == {"western_europe"}


# --- definitions ---------------------------------------------------------------------------------

INCREMENTS = xr.DataArray([0.2, 0.1, 0.3, 0.8], dims="step", coords={"step": list(STEPS)})


@pytest.mark.parametrize(
    ("months", "expected"),
    [
        (12, 0.0),
        (6, 0.3),
        (3, 0.4),
        (0, 0.6),
        (60, -0.8),
        (9, 0.15),
        (4.5, 0.35),
        (1.5, 0.5),
        (1.25, 0.4 + 0.2 * 1.75 / 3),
    ],
)
def test_log_factor_of_a_definition_by_hand(months: float, expected: float) -> None:
    assert float(duration_log_factor(INCREMENTS, months)) == pytest.approx(expected, abs=1e-12)


def test_steps_are_told_by_label_not_by_order() -> None:
    shuffled = INCREMENTS.isel(step=[2, 0, 3, 1])
    assert float(duration_log_factor(shuffled, 3)) == pytest.approx(0.4)


@pytest.mark.parametrize("months", [-1, 12.5, 24, 59, 61, np.nan, np.inf])
def test_other_definitions_are_refused(months: float) -> None:
    with pytest.raises(UsageError, match="0 to 12 months, or 60 for permanent"):
        flow_estimates(tiny_posterior(3, 1), definition=months)


def test_each_latent_draw_takes_the_factor_of_its_own_hyper_parameters() -> None:
    posterior = tiny_posterior(3, 1, thin=3, n_draws=5)
    ratio = flow_estimates(posterior, definition=0).draws / flow_estimates(posterior).draws
    steps = posterior.tree["posterior"]["duration_increment"]
    for chain in (0, 1):
        for k in range(5):
            rise = float(steps[chain, 3 * k].sel(step=list(STEPS[:3])).sum())
            cells = ratio.isel(chain=chain, draw=k)
            np.testing.assert_allclose(cells, np.exp(rise), rtol=1e-12)


def test_the_draws_of_a_thinned_posterior_need_not_be_in_order() -> None:
    posterior = tiny_posterior(3, 1, thin=1, n_draws=4)
    order = np.array([[3, 1, 0, 2], [0, 0, 2, 2]])
    posterior.tree["latent"].coords["hyper_draw"] = (("chain", "draw"), order)
    ratio = flow_estimates(posterior, definition=6).draws / flow_estimates(posterior).draws
    step = posterior.tree["posterior"]["duration_increment"].sel(step="6_to_12").values
    expected = np.exp(np.take_along_axis(step, order, axis=1))
    np.testing.assert_allclose(ratio.isel(corridor=0, period=0), expected, rtol=1e-12)


def test_a_model_without_durations_says_so_when_asked_for_another_definition() -> None:
    posterior = tiny_posterior(3, 1, duration=False)
    assert flow_estimates(posterior).definition == 12.0
    with pytest.raises(UsageError, match="'tiny' was fitted without durations"):
        flow_estimates(posterior, definition=6)
    with pytest.raises(UsageError, match="found permanent; allowed: 12-months"):
        summarise(posterior, definition=60)


def test_a_shorter_minimum_stay_counts_more_moves() -> None:
    posterior = tiny_posterior(4, 1)
    medians = [
        summarise(posterior, probs=[0.8], definition=months)["median"].to_numpy()
        for months in (60, 12, 6, 3, 0)
    ]
    assert all((more > fewer).all() for fewer, more in itertools.pairwise(medians))


def test_estimates_are_not_silently_given_in_another_definition() -> None:
    estimates = flow_estimates(tiny_posterior(3, 1))
    assert len(summarise(estimates, definition=12, probs=[0.5])) == 6
    with pytest.raises(UsageError, match=r"flows\.under\('3-months'\), before"):
        summarise(estimates, definition=3)


# --- sums ----------------------------------------------------------------------------------------


def test_immigration_emigration_and_net_by_hand() -> None:
    flows = triangle()
    assert by_cell(aggregate(flows, "immigration")) == {"AT": 80.0, "DE": 70.0, "FR": 60.0}
    assert by_cell(aggregate(flows, "emigration")) == {"AT": 30.0, "DE": 70.0, "FR": 110.0}
    assert by_cell(aggregate(flows, "net")) == {"AT": 50.0, "DE": 0.0, "FR": -50.0}


def test_moves_within_a_group_count_nowhere() -> None:
    flows = triangle()
    groups = {"germanic": ["AT", "DE"], "rest": ["FR"]}
    between = {"germanic-rest": 60.0, "rest-germanic": 110.0}
    assert by_cell(aggregate(flows, "flow", groups)) == between
    assert by_cell(aggregate(flows, "immigration", groups)) == {"germanic": 110.0, "rest": 60.0}
    assert by_cell(aggregate(flows, "emigration", groups)) == {"germanic": 60.0, "rest": 110.0}
    assert by_cell(aggregate(flows, "net", groups)) == {"germanic": 50.0, "rest": -50.0}


def test_places_in_no_group_have_no_cell_but_are_origins_and_destinations() -> None:
    flows = triangle()
    groups = {"germanic": ["AT", "DE"]}
    assert by_cell(aggregate(flows, "immigration", groups)) == {"germanic": 110.0}
    assert by_cell(aggregate(flows, "flow", {"a": ["AT"], "d": ["DE"]})) == {
        "a-d": 10.0,
        "d-a": 30.0,
    }


def test_groups_may_share_places_except_as_ends_of_flows() -> None:
    flows = triangle()
    groups = {"germanic": ["AT", "DE"], "large": ["DE", "FR"]}
    assert by_cell(aggregate(flows, "immigration", groups)) == {"germanic": 110.0, "large": 30.0}
    with pytest.raises(UsageError, match="found DE in several groups"):
        aggregate(flows, "flow", groups)


def test_a_single_id_or_code_is_a_group_too() -> None:
    flows = flow_estimates(tiny_posterior(("DK", "SE", "DE"), 1, flows=PERSONS[:, None]))
    # Corridors: DK-SE 10, DK-DE 20, SE-DK 30, SE-DE 40, DE-DK 50, DE-SE 60.
    assert by_cell(aggregate(flows, "immigration", "nordic")) == {"nordic": 110.0}
    pairs = {"DE-nordic": 110.0, "nordic-DE": 60.0}
    assert by_cell(aggregate(flows, "flow", ["nordic", "DE"])) == pairs
    assert by_cell(aggregate(flows, "net", {"one": "DE"})) == {"one": -50.0}


def test_members_that_are_not_among_the_places_are_told() -> None:
    flows = flow_estimates(tiny_posterior(("DK", "SE", "DE"), 1))
    notes = aggregate(flows, "flow", ["nordic", "DE"]).notes
    said = "nordic stands for its members among the places; not among them: FI, IS, NO"
    assert notes == (said,)
    assert summarise(flows, by=["nordic", "DE"], probs=[0.5]).attrs["notes"] == [said]


def test_members_of_a_grouping_are_those_of_each_period() -> None:
    """The United Kingdom left the European Union in 2020."""
    posterior = tiny_posterior(("GB", "FR", "CH"), 2, first_year=2019, flows=PERSONS[:, None])
    # Corridors: GB-FR 10, GB-CH 20, FR-GB 30, FR-CH 40, CH-GB 50, CH-FR 60.
    total = aggregate(flow_estimates(posterior), "immigration", "EU")
    np.testing.assert_allclose(total.draws[0, 0, 0], [110.0, 70.0])
    assert "EU has its members of 1 July of the middle year of each period" in total.notes
    fixed = aggregate(flow_estimates(posterior), "immigration", "EU28")
    np.testing.assert_allclose(fixed.draws[0, 0, 0], [110.0, 110.0])


def test_every_unknown_group_or_member_is_told_at_once() -> None:
    flows = triangle()
    with pytest.raises(InputError) as caught:
        aggregate(flows, "net", {"x": ["AT", "DEE"], "y": [], "z": ["FR", "US"]})
    faults = caught.value.faults
    assert [(f.column, f.found) for f in faults] == [
        ("x", "'DEE'"),
        ("y", "no member"),
        ("z", "'US'"),
    ]
    assert faults[0].hint == "DE"
    with pytest.raises(InputError, match=r"'Nordic'.*did you mean nordic") as caught:
        aggregate(flows, "net", ["Nordic", "caribbean", "AT"])
    assert "no member in 2020" in str(caught.value)
    with pytest.raises(InputError, match="found no group"):
        aggregate(flows, "net", [])


def test_grouping_ids_need_iso_codes() -> None:
    flows = flow_estimates(tiny_posterior(("a1", "b1"), 1, spec={"codes": "declared"}))
    with pytest.raises(InputError, match="as the codes are your own"):
        aggregate(flows, "net", "nordic")
    assert set(by_cell(aggregate(flows, "net", {"all a": ["a1"]}))) == {"all a"}


def test_unknown_measures_and_sums_of_sums_are_refused() -> None:
    flows = triangle()
    with pytest.raises(UsageError, match=r"'immigrations'.*did you mean immigration"):
        aggregate(flows, "immigrations")  # type: ignore[arg-type]
    net = aggregate(flows, "net")
    with pytest.raises(UsageError, match="found draws of net; allowed: draws of flows"):
        aggregate(net, "immigration")
    assert aggregate(flows) is flows


def test_sums_carry_the_coordinates_of_periods_and_draws() -> None:
    flows = flow_estimates(tiny_posterior(3, 2))
    total = aggregate(flows, "emigration").draws
    assert total.dims == ("chain", "draw", "place", "period")
    assert set(total.coords) >= {"place", "period_start", "period_end", "hyper_draw"}
    assert total.name == "emigration"


@pytest.mark.parametrize("block", [1, 7, 10_000])
def test_the_size_of_blocks_changes_nothing(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flows = flow_estimates(tiny_posterior(4, 2), definition=3)
    table, total = summarise(flows), aggregate(flows, "net").draws
    monkeypatch.setattr(summary_module, "BLOCK", block)
    monkeypatch.setattr(aggregation_module, "BLOCK", block)
    pd.testing.assert_frame_equal(summarise(flows), table, rtol=1e-12)
    xr.testing.assert_allclose(aggregate(flows, "net").draws, total, rtol=1e-12)


# --- operators and evidence ----------------------------------------------------------------------


def test_operators_agree_with_a_loop_over_corridors() -> None:
    origin, destination = corridors(("A", "B", "C", "D", "E"))
    system = System.of(origin, destination, "declared")
    member = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0]], dtype=bool)
    flows = np.random.default_rng(3).uniform(1, 9, len(origin))
    inside = [{"A", "B"}, {"C", "D"}]
    pairs = list(zip(origin, destination, flows, strict=True))
    arrivals = [sum(f for o, d, f in pairs if d in g and o not in g) for g in inside]
    departures = [sum(f for o, d, f in pairs if o in g and d not in g) for g in inside]
    across = [sum(f for o, d, f in pairs if o in g and d in h) for g, h in (inside, inside[::-1])]
    expected = {
        "immigration": arrivals,
        "emigration": departures,
        "net": np.subtract(arrivals, departures),
        "flow": across,
    }
    for measure, sums in expected.items():
        operator = build_operator(measure, member, system)  # type: ignore[arg-type]
        np.testing.assert_allclose(operator @ flows, sums)


def test_evidence_of_a_sum_is_the_union_in_the_order_of_the_vocabulary() -> None:
    words = np.array([["survey+digital"], ["none"], ["one_report"], ["none"]])
    rows = sp.csr_array([[1, 1, 1, 0], [0, 1, 0, 1], [-1, 0, 0, 0]])
    assert join_evidence(words, [rows]).ravel().tolist() == [
        "one_report+survey+digital",
        "none",
        "survey+digital",
    ]


def test_evidence_of_totals_comes_from_their_own_cells_and_periods() -> None:
    words = [
        ["both_reports", "none"],  # AT-DE
        ["none", "none"],  # AT-FR
        ["none", "stock"],  # DE-AT
        ["one_report", "none"],  # DE-FR
        ["none", "none"],  # FR-AT
        ["total", "none"],  # FR-DE
    ]
    flows = flow_estimates(tiny_posterior(TRIANGLE, 2, evidence=words))
    into = aggregate(flows, "immigration").evidence
    assert into.values.tolist() == [
        ["none", "stock"],
        ["both_reports+total", "none"],
        ["one_report", "none"],
    ]
    grouped = aggregate(flows, "immigration", {"germanic": ["AT", "DE"]}).evidence
    assert grouped.values.tolist() == [["total", "none"]]


# --- summaries -----------------------------------------------------------------------------------


def test_mean_median_sd_and_bounds_by_hand() -> None:
    """Draws 1 to 9 persons: quantiles interpolate between order statistics."""
    draws = np.arange(1.0, 10.0).reshape(1, 9, 1, 1)
    posterior = tiny_posterior(("AT", "DE"), 1, n_chains=1, n_draws=9, flows=draws)
    table = summarise(posterior, probs=[0.5, 0.8])
    first = table[table["origin"] == "AT"]
    np.testing.assert_allclose(first["mean"], 5.0)
    np.testing.assert_allclose(first["median"], 5.0)
    np.testing.assert_allclose(first["sd"], np.sqrt(7.5))
    np.testing.assert_allclose(first["lower"], [3.0, 1.8])
    np.testing.assert_allclose(first["upper"], [7.0, 8.2])


def test_all_chains_count() -> None:
    draws = np.array([[1.0, 1.0], [3.0, 3.0]]).reshape(2, 2, 1, 1)
    table = summarise(tiny_posterior(("AT", "DE"), 1, n_draws=2, flows=draws), probs=[0.5])
    assert table["mean"].round(12).tolist() == [2.0, 2.0]


def test_bounds_of_a_sum_are_not_the_sums_of_bounds() -> None:
    """Five independent flows of one size: the interval of the sum is about 5 / sqrt(5) wide."""
    flows = np.exp(np.random.default_rng(8).normal(6.0, 0.3, (2, 500, 30, 1)))
    posterior = tiny_posterior(6, 1, n_draws=500, flows=flows)
    cells = summarise(posterior, probs=[0.95])
    total = summarise(posterior, measure="immigration", probs=[0.95])
    wrong = (cells["upper"] - cells["lower"]).groupby(cells["destination"]).sum()
    right = (total["upper"] - total["lower"]).set_axis(total["destination"])
    assert (right < 0.6 * wrong).all()
    expected = flow_estimates(posterior).draws
    into = expected.isel(corridor=list(expected["destination"].values == "DE")).sum("corridor")
    row = total[total["destination"] == "DE"]
    np.testing.assert_allclose(row["lower"], np.quantile(into, 0.025), rtol=1e-12)
    np.testing.assert_allclose(row["upper"], np.quantile(into, 0.975), rtol=1e-12)


def test_rows_come_by_origin_destination_period_and_probability() -> None:
    table = summarise(tiny_posterior(("SE", "AT", "NA"), 3), probs=[0.95, 0.5, 0.5])
    order = ["origin", "destination", "period_start", "prob"]
    pd.testing.assert_frame_equal(table, table.sort_values(order).reset_index(drop=True))
    assert table["prob"].unique().tolist() == [0.5, 0.95]
    assert table["period_start"].unique().tolist() == ["2020-01-01", "2021-01-01", "2022-01-01"]


def test_each_row_tells_of_its_own_cell() -> None:
    """Every number is the corridor's and period's own, whatever the order of corridors."""
    flows = 10.0 * np.arange(1, 13)[:, None] + np.arange(2)
    posterior = tiny_posterior(("SE", "AT", "NA", "DE"), 2, flows=flows)
    estimates = flow_estimates(posterior)
    table = summarise(estimates, probs=[0.8]).set_index(["origin", "destination", "period_start"])
    words = posterior.evidence.values
    pairs = zip(*corridors(("SE", "AT", "NA", "DE")), strict=True)
    for k, (origin, destination) in enumerate(pairs):
        for t, start in enumerate(("2020-01-01", "2021-01-01")):
            row = table.loc[(origin, destination, start)]
            assert row["median"] == pytest.approx(flows[k, t])
            assert row["evidence"] == words[k, t]
            assert row["period_end"] == f"{int(start[:4]) + 1}-01-01"
    assert set(table["evidence"]) == set(EVIDENCE_CYCLE)


def test_periods_of_several_years_keep_their_bounds() -> None:
    posterior = tiny_posterior(("GB", "FR"), 1)
    latent = posterior.tree["latent"]
    for name, day in (("period_start", "2015-07-01"), ("period_end", "2020-07-01")):
        latent.coords[name] = ("period", [np.datetime64(day, "ns")])
    table = summarise(posterior, probs=[0.5])
    assert table["period_start"].map(date.fromisoformat).eq(date(2015, 7, 1)).all()
    assert table["period_end"].eq("2020-07-01").all()
    inside = aggregate(flow_estimates(posterior), "net", "EU")  # middle of the period: 2017
    assert inside.draws.isel(place=0).values == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("measure", "empty", "named"),
    [
        ("immigration", "origin", "destination"),
        ("emigration", "destination", "origin"),
        ("net", "origin", "destination"),
    ],
)
def test_the_other_side_of_a_total_is_empty(measure: str, empty: str, named: str) -> None:
    table = summarise(tiny_posterior(4, 1), measure=measure, probs=[0.8])  # type: ignore[arg-type]
    assert table[empty].isna().all()
    assert table[named].tolist() == ["AT", "DE", "FR", "NA"]
    assert table["measure"].eq(measure).all()


def test_sums_can_be_summarised_as_they_stand() -> None:
    flows = flow_estimates(tiny_posterior(4, 2))
    net = aggregate(flows, "net")
    pd.testing.assert_frame_equal(summarise(net), summarise(flows, measure="net"))


@pytest.mark.parametrize("probs", [[], [0.0], [1.0], [0.5, 80.0], [np.nan]])
def test_probabilities_lie_between_0_and_1(probs: list[float]) -> None:
    with pytest.raises(UsageError, match="allowed: probabilities between 0 and 1"):
        summarise(tiny_posterior(3, 1), probs=probs)


# --- origin x destination ------------------------------------------------------------------------


def test_a_dataset_has_origins_and_destinations_as_dims() -> None:
    flows = triangle(evidence=[["survey"], *[["none"]] * 5])
    data = to_dataset(flows)
    assert data["flow"].dims == ("chain", "draw", "origin", "destination", "period")
    table = data["flow"].isel(chain=0, draw=0, period=0)
    expected = [[np.nan, 10.0, 20.0], [30.0, np.nan, 40.0], [50.0, 60.0, np.nan]]
    np.testing.assert_allclose(table, expected)
    assert data["flow"].attrs["units"] == "persons per period"
    assert data["evidence"].sel(origin="AT", destination="DE").values.tolist() == ["survey"]
    assert data["evidence"].sel(origin="AT", destination="AT").values.tolist() == [""]
    xr.testing.assert_allclose(
        data["flow"].sum("origin").rename(destination="place").drop_vars("hyper_draw"),
        aggregate(flows, "immigration").draws.drop_vars("hyper_draw"),
    )


@pytest.mark.parametrize(
    ("measure", "side"),
    [("immigration", "destination"), ("emigration", "origin"), ("net", "destination")],
)
def test_a_dataset_of_totals_has_one_side(measure: str, side: str) -> None:
    total = aggregate(triangle(), measure)  # type: ignore[arg-type]
    data = to_dataset(total)
    assert data[measure].dims == ("chain", "draw", side, "period")
    assert data[side].values.tolist() == list(TRIANGLE)


def test_a_dataset_too_large_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation_module, "MAX_DENSE", 719)
    with pytest.raises(UsageError, match="found 720 numbers; allowed: 719"):
        to_dataset(triangle())
