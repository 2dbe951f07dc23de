"""Published futures: pathways of society and temperatures, from the files of their publishers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reader_files import FIXTURES

from flowcast.errors import InputError
from flowcast.sources.readers import read_source

FUTURES = FIXTURES / "futures"


def test_a_column_for_each_year_and_a_row_for_each_are_the_same() -> None:
    wide = read_source("ssp_pathways", FUTURES / "ssp_wide.csv", scenario="SSP2")
    assert wide.attrs["units"] == {"population": "persons"}
    assert wide.to_dict("list") == {
        "place": ["DE", "DE", "DE", "NA", "NA"],
        "year": [2010, 2015, 2020, 2010, 2015],
        "population": [80.5e6, 81e6, 80e6, 2e6, 2.25e6],
    }
    assert wide.attrs["left_out"] == {
        "scenario other than SSP2": 3,
        "region 'World' is not one country": 3,
    }
    long = read_source("ssp_pathways", FUTURES / "ssp_long.csv", scenario="SSP2", model="NCAR")
    assert long.attrs["units"] == {"urban_share": "share"}
    assert long["urban_share"].tolist() == [0.74, 0.755]


def test_figures_of_several_models_are_refused_unless_one_is_asked_for() -> None:
    path = FUTURES / "ssp_long.csv"
    with pytest.raises(InputError, match="several: IIASA GDP, NCAR, OECD Env-Growth; allowed: one"):
        read_source("ssp_pathways", path, scenario="SSP2")
    frame = read_source("ssp_pathways", path, scenario="SSP2", model="OECD Env-Growth")
    assert frame["gdp"].tolist() == [2.8e12, 3.0005e12]
    with pytest.raises(InputError, match=r"no 'OECD'; allowed: IIASA GDP"):
        read_source("ssp_pathways", path, scenario="SSP2", model="OECD")


@pytest.mark.parametrize(
    ("reader", "file", "scenario", "hint"),
    [
        ("ssp_pathways", "ssp_wide.csv", "SSP-2", "SSP2"),
        ("country_temperature", "country_temperature.csv", "RCP8.5", "rcp85"),
        ("global_temperature", "global_temperature.csv", "ssp245", "SSP245"),
    ],
)
def test_another_scenario_is_refused_with_the_nearest(
    reader: str, file: str, scenario: str, hint: str
) -> None:
    with pytest.raises(InputError, match=f"did you mean {hint}"):
        read_source(reader, FUTURES / file, scenario=scenario)


def test_temperatures_of_countries_have_bounds_and_that_of_the_world_has_none() -> None:
    by_country = read_source(
        "country_temperature", FUTURES / "country_temperature.csv", scenario="rcp85"
    )
    assert by_country.loc[1].to_dict() == {
        "place": "NA",
        "year": 2030,
        "temperature_change": 0.8,
        "temperature_change_p10": 0.5,
        "temperature_change_p90": 1.2,
    }
    world = read_source("global_temperature", FUTURES / "global_temperature.csv", scenario="SSP245")
    assert set(world["place"]) == {"world"}
    assert set(world.attrs["units"].values()) == {"°C"}


def test_the_published_files_are_read_whole(shared: Path) -> None:
    folder = shared / "data" / "drivers"
    table = folder / "ssp_iiasa" / "ssp_gdp_ppp_country.csv.gz"
    gdp = read_source("ssp_pathways", table, scenario="SSP5", model="OECD Env-Growth")
    raw = pd.read_csv(table, keep_default_na=False)
    own = raw[(raw["scenario"] == "SSP5") & (raw["model"] == "OECD Env-Growth")]
    assert gdp["place"].nunique() == own["iso3"].nunique() == 184
    np.testing.assert_allclose(gdp["gdp"].sum(), own["value"].sum() * 1e9, rtol=1e-12)
    warm = read_source(
        "country_temperature",
        folder / "cmip5_country_temperature" / "ensemble_annual_2006_2105.csv.gz",
        scenario="rcp85",
    )
    assert len(warm) == 170 * 100
    bounds = warm["temperature_change_p90"] - warm["temperature_change_p10"]
    assert (bounds >= 0).all()
    world = read_source(
        "global_temperature",
        folder / "global_climate_paths" / "fair_gmst_co2_by_ssp.csv.gz",
        scenario="SSP370",
    )
    assert world["year"].tolist() == list(range(1850, 2101))
