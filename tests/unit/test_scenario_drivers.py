"""A scenario's drivers: every operation, shocks, paths from files, support, what is refused."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import ArrayLike

from flowcast.errors import InputError, UsageError
from flowcast.scenarios import (
    DRIVERS,
    Scenario,
    ScenarioDrivers,
    apply_scenario,
    baseline_drivers,
    check_drivers,
    read_scenario,
    return_level,
)
from flowcast.scenarios.distributions import Distribution, paired_uniforms

PLACES = ["DEU", "KEN", "NAM"]
YEARS = np.arange(2024, 2034)


def driver_of(name: str, values: ArrayLike, *, years: ArrayLike = YEARS) -> xr.DataArray:
    shape = (len(PLACES), np.size(years))
    filled = np.broadcast_to(np.asarray(values, dtype=float), shape).copy()
    coords = {"place": PLACES, "year": np.asarray(years)}
    return xr.DataArray(filled, coords, ("place", "year"), attrs={"units": DRIVERS[name].unit})


@pytest.fixture
def baseline() -> xr.Dataset:
    rng = np.random.default_rng(1)
    return xr.Dataset(
        {
            "population": driver_of("population", 1e6 * np.arange(1, 4)[:, None]),
            "gdp_per_head": driver_of("gdp_per_head", rng.uniform(1e3, 4e4, (3, 10))),
            "urban_share": driver_of("urban_share", [[0.7], [0.3], [0.5]]),
            "temperature": driver_of("temperature", [[10.0], [24.0], [20.0]]),
            "precipitation": driver_of("precipitation", rng.uniform(300, 900, (3, 10))),
            "crop_yield": driver_of("crop_yield", 100.0),
            "conflict": driver_of("conflict", [[0.0], [200.0], [10.0]]),
        }
    )


def scenario(**keys: Mapping[str, Mapping[str, Any]]) -> Scenario:
    """Return a typed scenario; what every entry needs is filled in."""
    whole: dict[str, Any] = {"name": "test"}
    for section, entries in keys.items():
        filled = {"unit": "ratio", "reference": "words"} if section != "data" else {}
        whole[section] = {
            name: {**filled, **({} if section == "data" else {"driver": name}), **entry}
            for name, entry in entries.items()
        }
    return Scenario.model_validate(whole)


def changed(baseline: xr.Dataset, name: str, **entry: Any) -> np.ndarray:  # noqa: ANN401
    spec = scenario(drivers={name: entry})
    return apply_scenario(spec, baseline).data[name].to_numpy()


# Operations


def test_a_scenario_without_a_change_is_the_baseline_to_the_last_bit(baseline: xr.Dataset) -> None:
    for name in ("baseline", "template"):
        for draws in (None, 5):
            found = apply_scenario(read_scenario(name), baseline, draws=draws)
            assert found.data.identical(baseline)
            assert found.notes == ()


def test_what_does_not_change_is_the_baseline_to_the_last_bit(baseline: xr.Dataset) -> None:
    entry = {"operation": "multiply", "value": 1.1, "places": "KEN", "years": "2030-"}
    found = apply_scenario(scenario(drivers={"conflict": entry}), baseline).data
    assert found.drop_vars("conflict").identical(baseline.drop_vars("conflict"))
    meant = np.zeros((3, 10), dtype=bool)
    meant[1, 6:] = True
    before, after = (data["conflict"].to_numpy() for data in (baseline, found))
    assert (after[~meant] == before[~meant]).all()
    np.testing.assert_allclose(after[meant], 220.0)


def test_set_takes_the_unit_of_the_file(baseline: xr.Dataset) -> None:
    found = changed(baseline, "urban_share", operation="set", value=60, unit="percent")
    np.testing.assert_allclose(found, 0.6)
    found = changed(
        baseline, "population", operation="add", value=2, unit="thousand persons", places=["NA"]
    )
    assert found[2].tolist() == [3_002_000.0] * 10


def test_a_path_grows_at_a_constant_rate_and_holds_between_its_years(baseline: xr.Dataset) -> None:
    found = changed(
        baseline,
        "population",
        operation="path",
        path={2026: 1.0, 2030: 16.0},
        unit="million persons",
        places="KEN",
    )
    np.testing.assert_allclose(found[1, 2:7], [1e6, 2e6, 4e6, 8e6, 16e6])
    assert (found[1, :2] == 2e6).all()
    assert (found[1, 7:] == 2e6).all()
    assert (found[0] == 1e6).all()


def test_a_path_of_degrees_is_straight(baseline: xr.Dataset) -> None:
    found = changed(baseline, "temperature", operation="path", path={2024: 10, 2033: 19}, unit="°C")
    np.testing.assert_allclose(found, np.tile(np.arange(10.0, 20.0), (3, 1)))


def test_an_anchored_path_tells_how_a_driver_changes(baseline: xr.Dataset) -> None:
    path = {"operation": "path", "path": {2020: 5.0, 2026: 10.0, 2033: 20.0}}
    income = changed(baseline, "gdp_per_head", **path, unit="US$2017 PPP per person", anchor=2026)
    before = baseline["gdp_per_head"].to_numpy()
    assert (income[:, :3] == before[:, :3]).all()
    np.testing.assert_allclose(income[:, 9], 2.0 * before[:, 2])
    warm = changed(baseline, "temperature", **path, unit="°C", anchor=2026, scale=0.5)
    np.testing.assert_allclose(warm[:, 9], [15.0, 29.0, 25.0])


def test_an_anchored_share_stays_a_share(baseline: xr.Dataset) -> None:
    path = {"operation": "path", "unit": "percent", "anchor": "first"}
    rising = changed(baseline, "urban_share", **path, path={2024: 50, 2033: 75})
    np.testing.assert_allclose(rising[:, 9], [0.85, 0.65, 0.75])
    falling = changed(baseline, "urban_share", **path, path={2024: 50, 2033: 25})
    np.testing.assert_allclose(falling[:, 9], [0.35, 0.15, 0.25])
    full = changed(baseline, "urban_share", **path, path={2024: 100, 2033: 100})
    assert (full == baseline["urban_share"].to_numpy()).all()


def test_the_first_anchor_is_the_first_year_of_both(baseline: xr.Dataset) -> None:
    path = {"operation": "path", "path": {2026: 1.0, 2033: 2.0}, "unit": "persons"}
    found = changed(baseline, "population", **path, anchor="first")
    assert (found[:, :3] == baseline["population"].to_numpy()[:, :3]).all()
    np.testing.assert_allclose(found[:, 9], [2e6, 4e6, 6e6])


def test_an_anchor_that_is_no_year_of_the_baseline_is_refused(baseline: xr.Dataset) -> None:
    path = {"operation": "path", "path": {2010: 1.0, 2020: 2.0}, "unit": "persons"}
    with pytest.raises(InputError, match="found anchor 2015; allowed: a year of the baseline"):
        changed(baseline, "population", **path, anchor=2015)
    with pytest.raises(InputError, match="no value between 2024 and 2033"):
        changed(baseline, "population", **path, anchor="first")


def test_a_driver_responds_to_another_one(baseline: xr.Dataset) -> None:
    drivers = {
        "harvest": {
            "driver": "crop_yield",
            "operation": "elasticity",
            "of": "precipitation",
            "value": 0.5,
        },
        "heat": {
            "driver": "crop_yield",
            "operation": "elasticity",
            "of": "temperature",
            "value": -0.05,
            "unit": "log per °C",
        },
        "precipitation": {"operation": "multiply", "value": 0.81, "places": "KEN"},
        "temperature": {"operation": "add", "value": 2.0, "unit": "°C"},
    }
    found = apply_scenario(scenario(drivers=drivers), baseline).data["crop_yield"]
    expected = 100.0 * np.exp(-0.1) * np.array([1.0, 0.9, 1.0])
    np.testing.assert_allclose(found, np.tile(expected[:, None], (1, 10)))


def test_a_response_to_what_began_at_nothing_is_refused(baseline: xr.Dataset) -> None:
    drivers = {
        "crop_yield": {"operation": "elasticity", "of": "conflict", "value": -0.1},
        "conflict": {"operation": "add", "value": 5, "unit": "deaths per year", "places": "DEU"},
    }
    with pytest.raises(InputError, match="conflict of DEU is 0 in the baseline"):
        apply_scenario(scenario(drivers=drivers), baseline)


def test_operations_have_one_order_whatever_that_of_the_file(baseline: xr.Dataset) -> None:
    entries = {
        "e": {"driver": "conflict", "operation": "add", "value": 7, "unit": "deaths per year"},
        "a": {"driver": "conflict", "operation": "multiply", "value": 3},
        "z": {
            "driver": "conflict",
            "operation": "path",
            "path": {2024: 50, 2033: 50},
            "unit": "deaths per year",
        },
        "m": {
            "driver": "conflict",
            "operation": "set",
            "value": 20,
            "unit": "deaths per year",
            "years": 2030,
        },
    }
    shocks = {
        "b": {
            "driver": "conflict",
            "operation": "add",
            "value": 1,
            "unit": "deaths per year",
            "start": 2030,
        },
        "c": {"driver": "conflict", "operation": "multiply", "value": 2, "start": 2030},
    }
    found = apply_scenario(scenario(drivers=entries, shocks=shocks), baseline).data["conflict"]
    assert (found.sel(year=2030) == (20 * 3 + 7) * 2 + 1).all()
    np.testing.assert_allclose(found.sel(year=2031), 50 * 3 + 7)
    turned = dict(reversed(entries.items()))
    again = apply_scenario(scenario(drivers=turned, shocks=shocks), baseline).data["conflict"]
    assert again.identical(found)


# Shocks


def test_a_factor_decays_towards_one(baseline: xr.Dataset) -> None:
    war = {"operation": "multiply", "value": 1.5, "start": 2027, "duration": 3, "half_life": 2}
    spec = scenario(shocks={"conflict": {**war, "places": ["KEN", "DEU"]}})
    found = apply_scenario(spec, baseline).data["conflict"].to_numpy()
    assert found[1, :3].tolist() == [200.0] * 3
    assert found[1, 3:6].tolist() == [300.0] * 3
    assert found[1, 7] == 250.0
    assert (found[0] == 0).all()
    assert (found[2] == 10).all()


def test_a_stop_decays_too(baseline: xr.Dataset) -> None:
    stop = {"operation": "multiply", "value": 0.0, "start": 2027, "half_life": 1}
    found = apply_scenario(scenario(shocks={"conflict": stop}), baseline).data["conflict"]
    assert found.sel(place="KEN").to_numpy()[3:7].tolist() == [0.0, 100.0, 150.0, 175.0]


@pytest.fixture
def history() -> xr.Dataset:
    rng = np.random.default_rng(2)
    years = np.arange(1980, 2024)
    dry = driver_of("drought", rng.normal(0.1, 0.8, (3, 44)), years=years)
    rain = driver_of("precipitation", rng.normal(600, 90, (3, 44)), years=years)
    rain[0, :5] = np.nan
    return xr.Dataset({"precipitation": rain, "drought": dry})


def test_a_drought_is_as_bad_as_one_year_in_fifty(
    baseline: xr.Dataset, history: xr.Dataset
) -> None:
    dry = {"return_period": 50, "tail": "low", "start": 2028, "unit": "mm per year"}
    spec = scenario(shocks={"precipitation": dry})
    found = apply_scenario(spec, baseline, history=history).data["precipitation"].to_numpy()
    past = history["precipitation"].to_numpy()
    level = return_level(past, 50, tail="low")
    factor = level / np.nanmean(past, axis=1)
    before = baseline["precipitation"].to_numpy()
    np.testing.assert_allclose(found[:, 4], before[:, 4] * factor)
    assert (factor < 0.8).all()
    assert (np.delete(found, 4, axis=1) == np.delete(before, 4, axis=1)).all()


def test_a_drought_on_a_scale_of_differences_is_added(
    baseline: xr.Dataset, history: xr.Dataset
) -> None:
    data = baseline.assign(drought=driver_of("drought", 0.5))
    dry = {
        "return_period": 20,
        "tail": "low",
        "start": 2028,
        "unit": "standard deviations",
        "distribution": "gumbel",
    }
    spec = scenario(shocks={"drought": dry})
    found = apply_scenario(spec, data, history=history).data["drought"].to_numpy()
    past = history["drought"].to_numpy()
    level = return_level(past, 20, tail="low", distribution="gumbel")
    np.testing.assert_allclose(found[:, 4], 0.5 + level - past.mean(axis=1))


def test_a_return_period_without_a_history_is_refused(
    baseline: xr.Dataset, history: xr.Dataset
) -> None:
    dry = {"return_period": 50, "tail": "low", "start": 2028, "unit": "mm per year"}
    spec = scenario(shocks={"precipitation": dry})
    with pytest.raises(InputError, match="no history of precipitation"):
        apply_scenario(spec, baseline)
    with pytest.raises(InputError, match="no history of DEU; "):
        apply_scenario(spec, baseline, history=history.isel(place=[1, 2]))
    with pytest.raises(InputError, match="fewer than 10 years of DEU; "):
        apply_scenario(spec, baseline, history=history.isel(year=slice(0, 14)))


# Corridors


def test_corridors_have_the_policies_of_the_baseline_by_definition(baseline: xr.Dataset) -> None:
    found = apply_scenario(read_scenario("no_migration"), baseline)
    openness = found.data["policy_openness"]
    assert openness.sizes == {"corridor": 6, "year": 10}
    assert (openness.sel(year=slice(None, 2024)) == 1).all()
    assert (openness.sel(year=slice(2025, None)) == 0).all()
    assert (found.data["origin"] != found.data["destination"]).all()
    check_drivers(found.data)


def test_a_matrix_changes_the_corridors_it_names(baseline: xr.Dataset) -> None:
    matrix = {"KEN": {"EU27_2020": "required"}, "*": {"NAM": "none"}}
    pairs = [(o, d) for o in PLACES for d in PLACES if o != d]
    data = baseline.assign_coords(
        origin=("corridor", [o for o, _ in pairs]), destination=("corridor", [d for _, d in pairs])
    )
    visa = xr.DataArray(np.full((6, 10), 3.0), dims=("corridor", "year"), attrs={"units": "state"})
    entry = {"operation": "set", "matrix": matrix, "unit": "state", "years": "2030-"}
    spec = scenario(drivers={"visa": entry})
    found = apply_scenario(spec, data.assign(visa=visa)).data["visa"].to_numpy()
    assert (found[:, :6] == 3).all()
    at_end = dict(zip(pairs, found[:, 9].tolist(), strict=True))
    assert at_end.pop(("KEN", "DEU")) == 2
    assert at_end.pop(("KEN", "NAM")) == at_end.pop(("DEU", "NAM")) == 0
    assert set(at_end.values()) == {3.0}


def test_a_driver_that_is_not_there_is_told(baseline: xr.Dataset) -> None:
    spec = scenario(drivers={"education": {"operation": "add", "value": 1, "unit": "years"}})
    with pytest.raises(InputError, match="no driver 'education', only population"):
        apply_scenario(spec, baseline)


def test_a_place_that_is_not_there_is_noted(baseline: xr.Dataset) -> None:
    found = apply_scenario(read_scenario("conflict_shock"), baseline)
    assert found.notes == ("shocks.conflict: nothing in the baseline is SDN; nothing changes",)
    assert found.data.identical(baseline)


# Uncertain values


def uncertain(shape: str, numbers: list[float], **more: Any) -> Scenario:  # noqa: ANN401
    entry = {"operation": "multiply", "value": {shape: numbers}, **more}
    return scenario(drivers={"conflict": entry})


def test_uncertain_values_are_quantiles_of_paired_numbers(baseline: xr.Dataset) -> None:
    spec = uncertain("uniform", [1.0, 2.0])
    found = apply_scenario(spec, baseline, draws=50, seed=7).data["conflict"]
    assert found.dims == ("draw", "place", "year")
    factor = 1.0 + paired_uniforms("drivers.conflict", 50, 7)
    np.testing.assert_allclose(found.sel(place="KEN", year=2030), 200.0 * factor)
    np.testing.assert_allclose(found.sel(place="NAM", year=2024), 10.0 * factor)
    middle = apply_scenario(spec, baseline).data["conflict"]
    assert middle.dims == ("place", "year")
    assert float(middle.sel(place="KEN", year=2030)) == 300.0


def test_places_may_differ(baseline: xr.Dataset) -> None:
    spec = uncertain("uniform", [1.0, 2.0], vary="by_place", places=["KEN", "NAM"])
    found = apply_scenario(spec, baseline, draws=4).data["conflict"].to_numpy()
    ratio = found[:, 1:] / baseline["conflict"].to_numpy()[1:]
    assert (ratio[:, 0] != ratio[:, 1]).any()
    np.testing.assert_allclose(ratio[:, 1, 0], 1 + paired_uniforms("drivers.conflict:NAM", 4, 1))
    alone = apply_scenario(spec, baseline.sel(place=["NAM"]), draws=4).data["conflict"]
    assert (alone.to_numpy()[:, 0] == found[:, 2]).all()


def test_draws_can_be_gone_through_in_parts(baseline: xr.Dataset) -> None:
    spec = uncertain("log_normal", [0.0, 0.5])
    whole = apply_scenario(spec, baseline, draws=20).data["conflict"]
    parts = [
        apply_scenario(spec, baseline, draws=range(n, n + 5)).data["conflict"]
        for n in range(0, 20, 5)
    ]
    assert (xr.concat(parts, "draw").to_numpy() == whole.to_numpy()).all()


def test_a_baseline_with_draws_is_changed_draw_by_draw(baseline: xr.Dataset) -> None:
    grown = baseline["conflict"] * xr.DataArray([1.0, 2.0, 3.0], dims="draw")
    data = baseline.assign(conflict=grown.assign_attrs(baseline["conflict"].attrs))
    spec = uncertain("uniform", [1.0, 2.0])
    found = apply_scenario(spec, data, draws=3).data["conflict"].sel(place="KEN", year=2030)
    factor = 1.0 + paired_uniforms("drivers.conflict", 3, 1)
    np.testing.assert_allclose(found, 200.0 * np.array([1, 2, 3]) * factor)
    with pytest.raises(UsageError, match="found 4; allowed: 3"):
        apply_scenario(spec, data, draws=4)


@pytest.mark.parametrize("draws", [0, range(5, 5), range(0, 10, 2)])
def test_other_draws_are_refused(baseline: xr.Dataset, draws: int | range) -> None:
    with pytest.raises(UsageError, match="1 or more, or a range"):
        apply_scenario(read_scenario("baseline"), baseline, draws=draws)


def test_more_draws_than_the_memory_holds_are_refused(
    baseline: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowcast.scenarios._work.MAX_BYTES", 1000)
    with pytest.raises(UsageError, match="a range of draws, one after another"):
        apply_scenario(uncertain("uniform", [1.0, 2.0]), baseline, draws=20)


def test_a_driver_that_leaves_its_plausible_range_is_refused(baseline: xr.Dataset) -> None:
    entry = {"operation": "add", "value": {"normal": [0.25, 0.1]}, "unit": "share"}
    spec = scenario(drivers={"urban_share": entry})
    with pytest.raises(InputError, match=r"DEU 2024 1\.\d+ in \d+% of draws \(10 years\)") as told:
        apply_scenario(spec, baseline, draws=100)
    (fault,) = told.value.faults
    assert fault.allowed == "0 to 1 share"
    assert "KEN" not in fault.found


# Support


@pytest.fixture
def warm(baseline: xr.Dataset) -> ScenarioDrivers:
    past = driver_of("temperature", [[9, 11], [23, 24.5], [20, 20]], years=[2000, 2001])
    entry = {"operation": "add", "value": {"uniform": [0.0, 2.0]}, "unit": "°C", "years": 2030}
    spec = scenario(drivers={"temperature": entry})
    history = xr.Dataset({"temperature": past})
    return apply_scenario(spec, baseline, draws=200, history=history)


def test_a_driver_outside_its_history_is_told_with_place_year_and_by_how_much(
    warm: ScenarioDrivers,
) -> None:
    table = warm.support.set_index("place")
    assert table["driver"].eq("temperature").all()
    assert table["year"].eq(2030).all()
    most = 2.0 * paired_uniforms("drivers.temperature", 200, 1)
    np.testing.assert_allclose(table.loc["DEU", "beyond"], most.max() - 1.0)
    np.testing.assert_allclose(table.loc["DEU", "relative"], (most.max() - 1.0) / 2.0)
    np.testing.assert_allclose(table.loc["DEU", "share"], (most > 1.0).mean())
    np.testing.assert_allclose(table.loc["KEN", "share"], (most > 0.5).mean())
    assert (table.loc["KEN", "low"], table.loc["KEN", "high"]) == (23.0, 24.5)
    assert table.loc["NAM", "relative"] == np.inf
    assert warm.support["place"].iloc[0] == "NAM"
    (note,) = warm.notes
    assert note.startswith("temperature leaves its history: NAM 2030, ")
    assert "°C beyond 20 to 20" in note
    assert note.endswith("; 3 places and years in all")


def test_no_history_is_no_warning(baseline: xr.Dataset) -> None:
    found = apply_scenario(read_scenario("baseline"), baseline)
    assert found.support.empty
    assert "beyond" in found.support.columns


def test_a_place_without_history_has_no_row(baseline: xr.Dataset) -> None:
    past = driver_of("conflict", [[1, 2], [np.nan, np.nan], [10, 10]], years=[2000, 2001])
    found = apply_scenario(
        read_scenario("baseline"), baseline, history=xr.Dataset({"conflict": past})
    )
    assert set(found.support["place"]) == {"DEU"}
    assert (found.support["beyond"] == 1).all()


# Drivers as data


def test_drivers_that_are_none_are_refused_with_every_fault(baseline: xr.Dataset) -> None:
    wrong = baseline.assign(
        populaton=baseline["population"],
        urban_share=baseline["urban_share"].assign_attrs(units="percent"),
        temperature=baseline["temperature"].isel(year=0, drop=True),
        conflict=baseline["conflict"] * np.nan,
        crop_yield=baseline["crop_yield"] - 101,
    )
    for name in ("conflict", "crop_yield"):
        wrong[name].attrs = baseline[name].attrs
    with pytest.raises(InputError) as refused:
        check_drivers(wrong)
    told = {fault.column: fault for fault in refused.value.faults}
    assert told[None].hint == "population"
    assert told["urban_share"].allowed == "share"
    assert told["temperature"].found == "dims place"
    assert told["conflict"].found.startswith("no value: DEU 2024 (10 years), KEN 2024")
    assert told["crop_yield"].found.startswith("values: DEU 2024 -1 (10 years)")
    assert len(refused.value.faults) == 5


def test_a_baseline_is_made_of_covariates() -> None:
    places, years = ["DE", "FR"], [2024, 2025]
    covariates = xr.Dataset(
        {
            "people": (
                ("place", "year"),
                [[83.0, 83.1], [68.0, 68.2]],
                {"units": "million persons"},
            ),
            "open": (
                ("origin", "destination"),
                [[9.0, 1.0], [2.0, 9.0]],
                {"units": "ratio"},
            ),
        },
        {"place": places, "origin": places, "destination": places, "year": years},
    )
    columns = {"population": "people", "policy_openness": "open"}
    found = baseline_drivers(covariates, columns, years)
    np.testing.assert_allclose(found["population"], [[83e6, 83.1e6], [68e6, 68.2e6]])
    assert found["policy_openness"].to_numpy().tolist() == [[1.0, 1.0], [2.0, 2.0]]
    assert found["origin"].to_numpy().tolist() == ["DE", "FR"]
    with pytest.raises(InputError) as refused:
        baseline_drivers(covariates, {"populaton": "people", "conflict": "peple"}, years)
    assert [fault.hint for fault in refused.value.faults] == ["population", "people"]
    with pytest.raises(InputError, match="no value: DE 2026"):
        baseline_drivers(covariates, {"population": "people"}, [2025, 2026])
    with pytest.raises(InputError, match="unit 'million persons'"):
        baseline_drivers(covariates, {"conflict": "people"}, years)


# Values from files

POPULATION = """model,scenario,region,variable,unit,2020,2030,2040
IIASA-WiC POP,SSP2,DEU,Population,million,80,88,96
IIASA-WiC POP,SSP2,KEN,Population,million,50,100,200
IIASA-WiC POP,SSP2,World,Population,million,7000,8000,9000
"""
GDP = """model,scenario,region,variable,unit,2020,2030
OECD Env-Growth,SSP2,DEU,GDP|PPP,billion US$2005/yr,3200,7040
OECD Env-Growth,SSP2,KEN,GDP|PPP,billion US$2005/yr,100,800
"""
URBAN = """model,scenario,region,variable,unit,2020,2030
NCAR,SSP2,DEU,Population|Urban|Share,%,75,80
NCAR,SSP2,KEN,Population|Urban|Share,%,25,50
"""
WARMING = "time,T,scenario\n2020,1.0,SSP245\n2040,2.0,SSP245\n"
FILES = {
    "iiasa_ssp_population/iamc_db_POP_Countries.csv": POPULATION,
    "iiasa_ssp_gdp/iamc_db_GDPppp_Countries.csv": GDP,
    "iiasa_ssp_urban_share/iamc_db_URB_Countries.csv": URBAN,
    "fair_global_temperature/fair_gmst_by_ssp.csv": WARMING,
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of publishers' files, with invented figures, where fetching would put them."""
    monkeypatch.setenv("FLOWCAST_DATA", str(tmp_path))
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def test_a_pathway_is_read_from_the_publishers_files(files: Path, baseline: xr.Dataset) -> None:
    found = apply_scenario(read_scenario("ssp2_45"), baseline, draws=300)
    data = found.data.sel(year=2030)
    growth = (8.8 / 8.0) ** (6 / 10)
    np.testing.assert_allclose(data["population"].sel(place="DEU"), 1e6 * growth)
    np.testing.assert_allclose(data["population"].sel(place="NAM"), 3e6)
    income = float(baseline["gdp_per_head"].sel(place="KEN", year=2024))
    np.testing.assert_allclose(data["gdp_per_head"].sel(place="KEN"), income * 4 ** (6 / 10))
    np.testing.assert_allclose(
        data["urban_share"].sel(place="KEN"), 1 - 0.7 * (1 - 0.5) / (1 - 0.35)
    )
    warming = data["temperature"].sel(place="NAM").to_numpy() - 20.0
    factor = Distribution.make("log_normal", [0.27, 0.15])
    uniforms = paired_uniforms("drivers.temperature.scale:NAM", 300, 1)
    np.testing.assert_allclose(warming, 0.3 * factor.quantile(uniforms))
    told = "; ".join(found.notes)
    assert "drivers.population: no path for NAM: as in the baseline" in told
    assert "drivers.gdp_per_head: the path does not reach 2031, 2032, 2033" in told
    assert "temperature" not in told


def test_a_file_that_is_not_there_is_told_with_where_to_put_it(
    files: Path, baseline: xr.Dataset
) -> None:
    (files / "iiasa_ssp_gdp" / "iamc_db_GDPppp_Countries.csv").unlink()
    with pytest.raises(InputError) as refused:
        apply_scenario(read_scenario("ssp2"), baseline)
    (fault,) = refused.value.faults
    assert fault.where == "ssp2, data.gdp"
    for part in ("SSP Public Database", "iamc_db_GDPppp_Countries.csv", "data.gdp.file", "IIASA"):
        assert part in fault.allowed


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"scenario": "SSP9"}, "no 'SSP9'; allowed: SSP2"),
        ({"model": "OECD"}, "no 'OECD'"),
        ({"scenario": None}, "found no scenario"),
        ({"column": "people"}, "no column 'people'; allowed: population"),
        ({"source": "world_bank_indicators", "file": "a.csv"}, "nothing: world_bank has none"),
        ({"file": "populaton.csv"}, "did you mean population.csv"),
    ],
)
def test_a_file_without_what_is_asked_for_is_refused(
    files: Path, baseline: xr.Dataset, entry: dict[str, str | None], said: str
) -> None:
    for name in ("population.csv", "a.csv"):
        (files / name).write_text(POPULATION, encoding="utf-8")
    data = {"source": "iiasa_ssp_population", "scenario": "SSP2", **entry}
    if data.get("file"):
        data["file"] = str(files / str(data["file"]))
    path = {"operation": "path", "data": "people", "unit": "persons"}
    spec = scenario(data={"people": data}, drivers={"population": path})
    with pytest.raises(InputError, match=said):
        apply_scenario(spec, baseline)


def test_a_table_of_ones_own_has_units_beside_it(tmp_path: Path, baseline: xr.Dataset) -> None:
    table = tmp_path / "heat.csv"
    table.write_text(
        "place,year,mid,lo,hi\nworld,2024,1,1,1\nworld,2034,2,1.5,3\nNAM,2024,0,0,0\n"
        "NAM,2034,10,10,10\n",
        encoding="utf-8",
    )
    units = "".join(f"{name},°C,\n" for name in ("mid", "lo", "hi"))
    (tmp_path / "heat.columns.csv").write_text(f"column,unit,description\n{units}", "utf-8")
    data = {"file": str(table), "column": "mid", "low": "lo", "high": "hi", "prob": 0.9}
    path = {"operation": "path", "data": "heat", "unit": "°C", "anchor": "first"}
    spec = scenario(data={"heat": data}, drivers={"temperature": path})
    found = apply_scenario(spec, baseline, draws=4000).data["temperature"].sel(year=2033)
    np.testing.assert_allclose(found.sel(place="NAM"), 29.0)
    rise = found.sel(place="DEU").to_numpy() - 10.0
    middle, low, high = np.quantile(rise, [0.5, 0.05, 0.95])
    np.testing.assert_allclose([middle, low, high], [0.9, 0.45, 1.8], atol=0.06)
    assert (found.sel(place="KEN").to_numpy() - 24.0 == pytest.approx(rise)) is True


def test_another_unit_than_the_file_has_is_refused(files: Path, baseline: xr.Dataset) -> None:
    data = {"source": "iiasa_ssp_population", "scenario": "SSP2"}
    path = {"operation": "path", "data": "people", "unit": "million persons"}
    spec = scenario(data={"people": data}, drivers={"population": path})
    with pytest.raises(InputError, match=r"unit 'persons' in .*; allowed: million persons"):
        apply_scenario(spec, baseline)


# The real files


def test_the_published_pathways_are_what_their_publisher_says(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOWCAST_DATA", str(tmp_path))
    folder = shared / "data" / "drivers" / "ssp_iiasa"
    names = {"population": "POP", "gdp": "GDPppp", "urban_share": "URB"}
    published = {"population": "population", "gdp": "gdp_ppp", "urban_share": "urban_share"}
    for name, code in names.items():
        target = tmp_path / f"iiasa_ssp_{name}" / f"iamc_db_{code}_Countries.csv"
        target.parent.mkdir()
        target.symlink_to(folder / f"ssp_{published[name]}_country.csv.gz")
    frame = pd.read_csv(folder / "ssp_population_country.csv.gz", keep_default_na=False)
    ssp3 = frame[(frame["model"] == "IIASA-WiC POP") & (frame["scenario"] == "SSP3")]
    wide = ssp3.pivot(index="iso3", columns="year", values="value")
    places, years = sorted(wide.index), [2020, 2050]
    start = np.repeat(wide.loc[places, 2020].to_numpy()[:, None], 2, axis=1) * 1e6
    coords = {"place": places, "year": years}
    baseline = xr.Dataset(
        {
            "population": (("place", "year"), start, {"units": "persons"}),
            "gdp_per_head": (
                ("place", "year"),
                start * 0 + 1e4,
                {"units": "US$2005 PPP per person"},
            ),
            "urban_share": (("place", "year"), start * 0 + 0.5, {"units": "share"}),
        },
        coords,
    )
    found = apply_scenario(read_scenario("ssp3"), baseline)
    after = found.data["population"].sel(year=2050).to_numpy()
    np.testing.assert_allclose(after, wide.loc[places, 2050].to_numpy() * 1e6, rtol=1e-12)
    assert float(found.data["urban_share"].max()) <= 1.0
    (note,) = found.notes
    assert note.startswith("drivers.gdp_per_head: no path for")
