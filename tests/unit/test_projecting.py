"""Projections of a process made by hand: people balance, scenarios are paired, faults are told."""

import numpy as np
import pytest
import xarray as xr
from tests.projection_world import PLACES, START, N, make_people, make_process

from flowcast.errors import InputError, UsageError
from flowcast.projection import Offset, Projection, baseline_of, make_start, project
from flowcast.projection.history import history_from_table
from flowcast.scenarios import Scenario, read_scenario

FLOWS = ("flows", "immigration", "emigration", "population")


def scenario(name: str, **change: object) -> Scenario:
    """Return a scenario that changes one driver."""
    spec = {"unit": "ratio", "reference": "invented", **change}
    return Scenario.model_validate(
        {"name": name, "title": name, "narrative": name, "drivers": {"it": spec}}
    )


@pytest.fixture(scope="module")
def pair() -> dict[str, Projection]:
    """A baseline and two scenarios of places with stocks."""
    return project(
        make_process(),
        make_people(stocked=True),
        [read_scenario("baseline"), read_scenario("no_migration"), read_scenario("return_wave")],
    )


@pytest.mark.parametrize("name", ["baseline", "no_migration", "return_wave"])
def test_populations_balance_in_every_draw(pair: dict[str, Projection], name: str) -> None:
    data = pair[name].data
    change = data["population"].diff("date").to_numpy()
    parts = data["births"] - data["deaths"] + data["immigration"] - data["emigration"]
    assert np.abs(change - parts.transpose("draw", "place", "period").to_numpy()).max() < 1e-6


@pytest.mark.parametrize("name", ["baseline", "no_migration", "return_wave"])
def test_the_world_neither_gains_nor_loses(pair: dict[str, Projection], name: str) -> None:
    data = pair[name].data
    net = (data["immigration"] - data["emigration"]).sum("place")
    assert np.abs(net).max() < 1e-6


def test_stocks_add_up_to_populations(pair: dict[str, Projection]) -> None:
    data = pair["return_wave"].data
    np.testing.assert_allclose(
        data["stock"].sum("birthplace"), data["population"].isel(date=-1), rtol=1e-12
    )
    assert float(data["stock"].min()) >= 0.0
    at_home = np.diagonal(data["stock"].to_numpy(), axis1=1, axis2=2)
    np.testing.assert_array_equal(data["native_born"].isel(date=-1), at_home)


def test_flows_are_what_places_send_and_take(pair: dict[str, Projection]) -> None:
    data = pair["baseline"].data
    np.testing.assert_allclose(data["flows"].sum("destination"), data["emigration"], rtol=1e-6)
    np.testing.assert_allclose(data["flows"].sum("origin"), data["immigration"], rtol=1e-6)


def test_closed_borders_stop_everybody(pair: dict[str, Projection]) -> None:
    data = pair["no_migration"].data
    assert float(data["flows"].max()) == 0.0
    grown = data["births"] - data["deaths"]
    np.testing.assert_allclose(
        data["population"].diff("date").to_numpy(), grown.to_numpy(), rtol=1e-6
    )


def test_a_wave_of_returns_moves_people_home_and_nobody_else(pair: dict[str, Projection]) -> None:
    gain = (pair["return_wave"].data - pair["baseline"].data)["flows"]
    home = gain.sel(destination="SYR", origin=["AUT", "DEU", "POL"], period=2026)
    assert float(home.min()) > 0.0
    before = gain.sel(period=START)
    assert float(np.abs(before).max()) == 0.0


def test_a_scenario_without_change_is_the_baseline() -> None:
    same = scenario("same", driver="policy_openness", operation="multiply", value=1.0)
    made = project(make_process(), make_people(), [read_scenario("baseline"), same])
    for name in FLOWS:
        xr.testing.assert_identical(
            made["same"].data[name].drop_attrs(), made["baseline"].data[name].drop_attrs()
        )


def test_draws_are_the_same_in_any_block_and_company() -> None:
    process, start = make_process(), make_people()
    both = [read_scenario("baseline"), read_scenario("no_migration")]
    whole = project(process, start, both, draws=6)["baseline"].data
    part = project(process, start, both[:1], draws=range(2, 4))["baseline"].data
    for name in FLOWS:
        np.testing.assert_array_equal(whole[name].sel(draw=[2, 3]), part[name])


def test_more_draws_than_the_process_has_take_other_innovations() -> None:
    data = project(make_process(2), make_people(), [read_scenario("baseline")], draws=4)
    flows = data["baseline"].data["flows"]
    assert not np.array_equal(flows.isel(draw=0), flows.isel(draw=2), equal_nan=True)


def test_an_offset_takes_a_part_from_another_draw() -> None:
    process, start, one = make_process(), make_people(), [read_scenario("baseline")]
    whole = project(process, start, one, draws=6)["baseline"].data["flows"]
    ahead = Offset(parameters=2, innovations=2, drivers=2)
    moved = project(process, start, one, draws=4, offset=ahead)["baseline"].data["flows"]
    np.testing.assert_array_equal(moved, whole.isel(draw=slice(2, None)))
    half = project(process, start, one, draws=4, offset=Offset(innovations=2))["baseline"].data
    assert not np.array_equal(half["flows"], moved, equal_nan=True)
    assert not np.array_equal(half["flows"], whole.isel(draw=slice(4)), equal_nan=True)


def test_more_open_corridors_take_more_people_and_only_they() -> None:
    wider = scenario(
        "wider", driver="policy_openness", operation="multiply", value=2.0, corridors="SYR/DEU"
    )
    made = project(make_process(), make_people(years=1), [read_scenario("baseline"), wider])
    ratio = made["wider"].data["flows"] / made["baseline"].data["flows"]
    np.testing.assert_allclose(ratio.sel(origin="SYR", destination="DEU"), 2.0, rtol=1e-5)
    others = ratio.where((ratio.origin != "SYR") | (ratio.destination != "DEU"))
    np.testing.assert_allclose(others.to_numpy()[np.isfinite(others)], 1.0, rtol=1e-6)


def test_a_driver_acts_by_its_effect() -> None:
    process, start = make_process(), make_people(years=1)
    income = xr.DataArray(
        np.full((N, 2), 1e4), {"place": list(PLACES), "year": [START, START + 1]},
        attrs={"units": "US$2005 PPP per person"},
    )  # fmt: skip
    baseline = baseline_of(process, start, xr.Dataset({"gdp_per_head": income}))
    richer = scenario(
        "richer", driver="gdp_per_head", operation="multiply", value=float(np.e), places="SYR"
    )
    made = project(process, start, [read_scenario("baseline"), richer], baseline=baseline)
    left = xr.ufuncs.log(made["richer"].data["emigration"] / made["baseline"].data["emigration"])
    effect = process.posterior["effect_leaving"].sel(leaving="gdp_per_head")
    np.testing.assert_allclose(left.sel(place="SYR", period=START), effect, atol=1e-9)
    np.testing.assert_allclose(left.sel(place="DEU"), 0.0, atol=1e-9)


def test_free_movement_acts_where_the_baseline_does_not_name_it() -> None:
    process = make_process()
    free = scenario(
        "free", driver="free_movement", operation="set", value="yes", unit="state",
        corridors="POL/DEU",
    )  # fmt: skip
    made = project(process, make_people(years=1), [read_scenario("baseline"), free])
    gain = xr.ufuncs.log(made["free"].data["flows"] / made["baseline"].data["flows"])
    effect = process.posterior["effect_arriving"].sel(arriving="free_movement")
    told = gain.sel(origin="POL", destination="DEU", period=START)
    np.testing.assert_allclose(told, effect, atol=1e-5)


def test_a_population_path_changes_births_or_deaths() -> None:
    more = scenario(
        "more", driver="population", operation="multiply", value=1.1, unit="ratio",
        places="POL", years="2027-",
    )  # fmt: skip
    made = project(make_process(), make_people(), [read_scenario("baseline"), more])
    gain = made["more"].data["births"] - made["baseline"].data["births"]
    assert float(gain.sel(place="POL", period=2026).min()) > 3e6
    assert float(np.abs(gain.sel(place="DEU", period=2026)).max()) == 0.0
    data = made["more"].data
    parts = data["births"] - data["deaths"] + data["immigration"] - data["emigration"]
    change = data["population"].diff("date").to_numpy()
    assert np.abs(change - parts.to_numpy()).max() < 1e-6


def test_five_year_periods() -> None:
    process, start = make_process(length=5), make_people(length=5, years=10)
    data = project(process, start, [read_scenario("baseline")])["baseline"].data
    assert data["period"].to_numpy().tolist() == [2025, 2030]
    assert data["period_end"].to_numpy().tolist() == [2030, 2035]


def test_returns_need_stocks() -> None:
    with pytest.raises(UsageError, match="no stocks by birthplace"):
        project(make_process(), make_people(), [read_scenario("return_wave")])


def test_a_scenario_may_not_come_twice() -> None:
    with pytest.raises(UsageError, match="baseline twice"):
        project(make_process(), make_people(), [read_scenario("baseline")] * 2)


def test_the_start_must_be_the_end_of_the_history() -> None:
    late = make_people(length=5, years=10)
    with pytest.raises(UsageError, match=f"of 1 from {START}"):
        project(make_process(), late, [read_scenario("baseline")])


def test_faults_of_people_are_told_together() -> None:
    grid = {"place": ["AUT", "DEU"], "year": [2020]}
    people = xr.Dataset(
        {
            "population": (("place", "year"), [[100.0], [np.nan]]),
            "births": (("place", "year"), [[90.0], [1.0]]),
        },
        grid,
    )
    with pytest.raises(InputError, match="no population of DEU"):
        make_start(people, ["AUT", "DEU"], 2020, 2021, length=1)
    with pytest.raises(InputError, match=r"0\.9 a person and year in AUT"):
        make_start(people.isel(place=[0]), ["AUT"], 2020, 2021, length=1)


def test_faults_of_a_history_name_row_and_column() -> None:
    import pandas as pd

    people = xr.DataArray([[1e5]] * 3, {"place": ["A", "B", "C"], "year": [2020]})
    table = pd.DataFrame(
        {
            "origin": ["A", "A", "B", "B"],
            "destination": ["B", "B", "C", None],
            "period": ["2020", "2020", "2020.5", "2020"],
            "flow": ["1", "2", "3", "-4"],
        }
    )
    with pytest.raises(InputError) as told:
        history_from_table(table, people, length=1)
    text = str(told.value)
    for part in ("row 4, period", "row 5, flow", "row 5, destination"):
        assert part in text


def test_a_history_needs_periods_of_one_length() -> None:
    import pandas as pd

    people = xr.DataArray([[1e5]] * 3, {"place": ["A", "B", "C"], "year": [2020]})
    rows = [(o, d, t, 5) for t in (2010, 2015, 2017) for o in "ABC" for d in "ABC" if o != d]
    table = pd.DataFrame(rows, columns=["origin", "destination", "period", "flow"])
    with pytest.raises(InputError, match="each 5 years after the last"):
        history_from_table(table, people, length=5)
