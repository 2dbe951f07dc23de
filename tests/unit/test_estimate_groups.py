"""Sums over groups of countries, against sums worked out by hand.

Five countries, two of them outside the European Union, one that leaves it. The flow of each
corridor is a power of two, so that every sum tells which corridors are in it.
"""

import numpy as np
import pandas as pd
import pytest
from support import corridors, tiny_posterior

from flowcast.errors import InputError, UsageError
from flowcast.estimates import FlowEstimates, aggregate, flow_estimates, summarise, to_dataset

PLACES = ("CH", "DE", "GB", "NO", "PL")
PAIRS = list(zip(*corridors(PLACES), strict=True))
PERSONS = 2.0 ** np.arange(len(PAIRS))
INSIDE = ("DE", "PL")
OUTSIDE = ("CH", "GB", "NO")


def estimates(n_periods: int = 1, first_year: int = 2024, **options: object) -> FlowEstimates:
    """Return estimates whose every draw has the flows `PERSONS`."""
    flows = PERSONS[:, None]
    made = tiny_posterior(PLACES, n_periods, first_year=first_year, flows=flows, **options)
    return flow_estimates(made)


def moves(origins: tuple[str, ...], destinations: tuple[str, ...]) -> float:
    """Return the persons who go from any of the origins to any of the destinations."""
    return sum(
        persons
        for (start, end), persons in zip(PAIRS, PERSONS, strict=True)
        if start in origins and end in destinations
    )


def told(found: FlowEstimates, period: int = 0) -> dict[str, float]:
    values = found.draws.isel(chain=1, draw=3, period=period).values
    if found.measure == "flow":
        names = [f"{a}-{b}" for a, b in zip(found.origins, found.destinations, strict=True)]
    else:
        names = [str(name) for name in found.draws["place"].values]
    return {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}


def test_the_union_and_the_rest_exchange_what_crosses_its_border() -> None:
    groups = {"union": INSIDE, "rest": OUTSIDE}
    assert told(aggregate(estimates(), "flow", groups)) == {
        "rest-union": moves(OUTSIDE, INSIDE),
        "union-rest": moves(INSIDE, OUTSIDE),
    }


def test_a_grouping_by_id_is_its_members_by_name() -> None:
    flows = estimates()
    for measure in ("immigration", "emigration", "net"):
        by_id = told(aggregate(flows, measure, ["EU27_2020"]))  # type: ignore[arg-type]
        by_name = told(aggregate(flows, measure, {"EU27_2020": INSIDE}))  # type: ignore[arg-type]
        assert by_id == by_name
    assert told(aggregate(flows, "net", "EU27_2020")) == {
        "EU27_2020": moves(OUTSIDE, INSIDE) - moves(INSIDE, OUTSIDE)
    }


def test_groups_that_overlap_each_count_their_own_border() -> None:
    groups = {"continent": ("CH", "DE", "PL"), "union": INSIDE, "germanophone": ("CH", "DE")}
    everybody = set(PLACES)
    expected = {name: moves(tuple(everybody - set(codes)), codes) for name, codes in groups.items()}
    found = told(aggregate(estimates(), "immigration", groups))
    assert found == expected
    assert list(found) == sorted(groups)


@pytest.mark.parametrize("measure", ["immigration", "emigration", "net"])
def test_a_group_of_everybody_exchanges_nothing(measure: str) -> None:
    assert told(aggregate(estimates(), measure, {"all": PLACES})) == {"all": 0.0}  # type: ignore[arg-type]


def test_a_member_named_twice_counts_once() -> None:
    once = told(aggregate(estimates(), "emigration", {"union": ["DE", "PL"]}))
    twice = told(aggregate(estimates(), "emigration", {"union": ["DE", "PL", "DE"]}))
    assert once == twice == {"union": moves(INSIDE, OUTSIDE)}


def test_groups_and_single_places_stand_side_by_side() -> None:
    found = told(aggregate(estimates(), "flow", ["EU27_2020", "CH"]))
    assert found == {
        "CH-EU27_2020": moves(("CH",), INSIDE),
        "EU27_2020-CH": moves(INSIDE, ("CH",)),
    }


def test_regions_may_not_meet_as_ends_of_flows_if_they_share_a_country() -> None:
    with pytest.raises(UsageError, match="found DE, PL in several groups"):
        aggregate(estimates(), "flow", ["EU27_2020", "europe"])


# --- membership that changes ---------------------------------------------------------------------


def test_a_country_that_leaves_changes_sides_in_the_year_it_left() -> None:
    found = aggregate(estimates(3, first_year=2018), "immigration", "EU")
    inside, rest = ("DE", "GB", "PL"), ("CH", "NO")
    assert told(found, 0) == told(found, 1) == {"EU": moves(rest, inside)}
    assert told(found, 2) == {"EU": moves(OUTSIDE, INSIDE)}


def test_a_country_that_joins_in_may_is_a_member_of_that_year() -> None:
    """Members are those of 1 July: Poland joined on 1 May 2004."""
    found = aggregate(estimates(2, first_year=2003), "emigration", "EU")
    assert told(found, 0) == {"EU": moves(("DE", "GB"), ("CH", "NO", "PL"))}
    assert told(found, 1) == {"EU": moves(("DE", "GB", "PL"), ("CH", "NO"))}


def test_flows_between_two_changing_groups_follow_both() -> None:
    found = aggregate(estimates(2, first_year=2019), "flow", ["EU", "EFTA"])
    assert told(found, 0) == {
        "EFTA-EU": moves(("CH", "NO"), ("DE", "GB", "PL")),
        "EU-EFTA": moves(("DE", "GB", "PL"), ("CH", "NO")),
    }
    assert told(found, 1) == {
        "EFTA-EU": moves(("CH", "NO"), INSIDE),
        "EU-EFTA": moves(INSIDE, ("CH", "NO")),
    }


@pytest.mark.parametrize("fixed", ["EU28", "EU27_2020"])
def test_a_fixed_list_holds_in_every_period(fixed: str) -> None:
    found = aggregate(estimates(3, first_year=2018), "net", fixed)
    assert told(found, 0) == told(found, 2)
    assert not any("1 July" in note for note in found.notes)


def test_members_that_are_missing_and_change_are_both_told() -> None:
    notes = aggregate(estimates(2, first_year=2019), "net", "EU").notes
    missing, changing, border = notes
    assert missing.startswith("EU stands for its members among the places; not among them: AT, BE")
    assert "GB" not in missing.split("not among them: ")[1].split(", ")
    assert changing == "EU has its members of 1 July of the middle year of each period"
    assert border.startswith("net migration adds up moves among the 5 places of the estimates")


def test_a_year_without_members_is_refused_by_name() -> None:
    with pytest.raises(InputError) as caught:
        aggregate(estimates(1, first_year=1957), "net", "EU")
    (fault,) = caught.value.faults
    assert (fault.column, fault.found) == ("EU", "no member in 1957")


# --- what sums rest on ---------------------------------------------------------------------------


def evidence(**cells: str) -> list[list[str]]:
    """Return evidence by corridor, given as ``DE_PL="survey"``; "none" elsewhere."""
    return [[cells.get(f"{start}_{end}", "none")] for start, end in PAIRS]


def words(found: FlowEstimates) -> dict[str, str]:
    names = [str(name) for name in found.evidence["place"].values]
    return dict(zip(names, found.evidence.values[:, 0].tolist(), strict=True))


def test_a_total_rests_on_whatever_any_of_its_moves_rests_on() -> None:
    given = evidence(CH_DE="one_report+survey", NO_PL="both_reports", GB_DE="survey+stock")
    flows = estimates(evidence=given)
    groups = {"union": INSIDE, "rest": OUTSIDE}
    assert words(aggregate(flows, "immigration", groups)) == {
        "union": "both_reports+one_report+survey+stock",
        "rest": "none",
    }
    assert words(aggregate(flows, "emigration", groups)) == {
        "union": "none",
        "rest": "both_reports+one_report+survey+stock",
    }


def test_moves_within_a_group_lend_it_no_evidence() -> None:
    flows = estimates(evidence=evidence(DE_PL="both_reports", PL_DE="both_reports"))
    for measure in ("immigration", "emigration", "net"):
        assert words(aggregate(flows, measure, {"union": INSIDE})) == {"union": "none"}  # type: ignore[arg-type]


def test_net_migration_rests_on_both_directions() -> None:
    flows = estimates(evidence=evidence(DE_CH="digital", CH_DE="total"))
    assert words(aggregate(flows, "net", {"union": INSIDE})) == {"union": "digital+total"}


# --- draws and tables ----------------------------------------------------------------------------


def test_bounds_of_a_group_come_from_its_draws() -> None:
    """The two flows into Germany trade places between the draws: their sum never moves."""
    draws = np.array([10.0, 20.0, 30.0, 40.0, 50.0])
    flows = np.ones((1, 5, 6, 1))
    codes = ("CH", "DE", "NO")
    pairs = list(zip(*corridors(codes), strict=True))
    flows[0, :, pairs.index(("CH", "DE")), 0] = draws
    flows[0, :, pairs.index(("NO", "DE")), 0] = draws[::-1]
    posterior = tiny_posterior(codes, 1, n_chains=1, n_draws=5, flows=flows)
    table = summarise(posterior, measure="immigration", by={"germany": ["DE"]}, probs=[0.5])
    (row,) = table.to_dict("records")
    assert [row[name] for name in ("mean", "median", "lower", "upper")] == pytest.approx([60.0] * 4)
    assert row["sd"] == pytest.approx(0.0, abs=1e-9)
    single = summarise(posterior, probs=[0.5]).set_index(["origin", "destination"])
    assert single.loc[("CH", "DE"), ["lower", "upper"]].tolist() == pytest.approx([20.0, 40.0])


def test_the_table_of_groups_has_a_row_for_each_pair_period_and_probability() -> None:
    table = summarise(estimates(2), by={"union": INSIDE, "rest": OUTSIDE}, probs=[0.8, 0.5])
    keys = table[["origin", "destination", "period_start", "prob"]]
    assert len(table) == len(keys.drop_duplicates()) == 2 * 2 * 2
    assert set(zip(table["origin"], table["destination"], strict=True)) == {
        ("rest", "union"),
        ("union", "rest"),
    }
    assert table["kind"].unique().tolist() == ["equal_tailed"]


def test_net_migration_of_groups_that_divide_the_places_sums_to_nothing() -> None:
    groups = {"union": INSIDE, "efta": ("CH", "NO"), "island": ("GB",)}
    net = aggregate(estimates(2), "net", groups).draws
    np.testing.assert_allclose(net.sum("place"), 0.0, atol=1e-6)
    assert net.max() > 0


def test_totals_of_groups_become_a_dataset_named_by_group() -> None:
    data = to_dataset(aggregate(estimates(), "emigration", {"union": INSIDE, "rest": OUTSIDE}))
    assert data["emigration"].dims == ("chain", "draw", "origin", "period")
    out = data["emigration"].sel(origin="union").values
    np.testing.assert_allclose(out, moves(INSIDE, OUTSIDE))
    assert pd.Index(data["origin"].values).tolist() == ["rest", "union"]
