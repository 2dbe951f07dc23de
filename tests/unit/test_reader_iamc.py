"""Drivers from files in IAMC format: which variables, units and regions, and every fault."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from reader_files import FIXTURES, write_book

from flowcast.errors import InputError
from flowcast.iamc import read_iamc
from flowcast.iamc.libraries import load_pyam, no_alarm
from flowcast.scenarios import apply_scenario, read_scenario
from flowcast.sources.readers import read_source

FILE = FIXTURES / "futures" / "iamc.csv"
WARMING = "AR6 climate diagnostics|Surface Temperature (GSAT)|MAGICCv7.5.3|50.0th Percentile"
HEADER = "Model,Scenario,Region,Variable,Unit,2020,2030"


def write(folder: Path, *rows: str) -> Path:
    path = folder / "own.csv"
    path.write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
    return path


def faults_of(path: Path, **options: object) -> list[str]:
    with pytest.raises(InputError) as refused:
        read_iamc(path, scenario="S", **options)  # type: ignore[arg-type]
    return [str(fault).removeprefix(f"({path}") for fault in refused.value.faults]


def test_what_drivers_are_made_of_is_taken_in_units_of_scenarios() -> None:
    frame = read_source("iamc", FILE, scenario="Middle", model="Model A")
    assert frame.attrs["units"] == {
        "Population": "persons",
        "GDP|PPP": "US$2017 PPP",
        WARMING: "°C",
    }
    people = frame.dropna(subset=["Population"]).set_index(["place", "year"])["Population"]
    assert people["NA", 2030] == 3e6
    assert people["TR", 2020] == 84e6
    assert people["world", 2040] == 9.1e9
    assert ("TR", 2040) not in people.index
    assert frame.set_index(["place", "year"]).loc[("world", 2030), WARMING] == 1.5
    assert frame.attrs["left_out"] == {
        "scenario other than Middle": 3,
        "model other than Model A": 3,
        "another variable": 3,
        "region 'Africa (R10)' is not one country": 3,
    }


def test_a_mapping_takes_and_names_variables() -> None:
    frame = read_iamc(FILE, scenario="Middle", model="Model A", mapping={"GDP|PPP": "gdp"})
    assert frame.to_dict("list") == {
        "place": ["DE", "DE", "DE"],
        "year": [2020, 2030, 2040],
        "gdp": [4.5e12, 5e12, 5.6e12],
    }


def test_a_workbook_and_a_pyam_table_give_the_same(tmp_path: Path) -> None:
    raw = pd.read_csv(FILE, keep_default_na=False)
    raw = raw[raw["Model"] == "Model A"]
    rows = [[*raw.columns], *raw.replace("", None).to_numpy().tolist(), ["© somebody"]]
    book = write_book(tmp_path / "data.xlsx", {"data": rows})
    with no_alarm():
        table = load_pyam().IamDataFrame(pd.read_csv(FILE, keep_default_na=False, na_values=[""]))
    options = {"scenario": "Middle", "model": "Model A"}
    one = read_iamc(FILE, **options)
    pd.testing.assert_frame_equal(read_iamc(book, **options), one)
    pd.testing.assert_frame_equal(read_iamc(table, **options), one)


@pytest.mark.parametrize(
    ("variable", "unit", "ours", "factor"),
    [
        ("Population|Urban [Share]", "%", "share", 0.01),
        ("Population|Urban|Share", "%", "share", 0.01),
        ("Population|Urban", "million", "persons", 1e6),
        ("Population", "thousand", "persons", 1e3),
        ("GDP|PPP", "billion US$2005/yr", "US$2005 PPP", 1e9),
        ("GDP|PPP [per capita]", "USD_2017/yr", "US$2017 PPP per person", 1.0),
        ("GDP|PPP [per capita]", "thousand US$2010/capita/yr", "US$2010 PPP per person", 1e3),
        ("Temperature|Global Mean", "°C", "°C", 1.0),
    ],
)
def test_units_are_mapped(
    variable: str, unit: str, ours: str, factor: float, tmp_path: Path
) -> None:
    frame = read_iamc(write(tmp_path, f"M,S,KOR,{variable},{unit},2,"), scenario="S")
    assert frame.attrs["units"] == {variable: ours}
    assert frame.loc[0].to_dict() == {"place": "KR", "year": 2020, variable: 2 * factor}


def test_every_fault_is_told_with_its_row_and_the_nearest(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "M,S,Germny,Population,million,1,2",
        "M,S,DEU,Population,milion,1,2",
        "M,S,DEU,GDP|PPP,billion EUR_2020/yr,1,2",
        "M,S,AUT,GDP|PPP,billion USD_2017/yr,1,2",
        "M,S,FRA,GDP|PPP,billion USD_2010/yr,1,2",
        "M,S,FRA,Population,million,x,2",
        "M,S,Southern Cone,Population,million,1,2",
    )
    assert faults_of(path) == [
        ", row 2, region) | found 'Germny'; allowed: a country by name or ISO code, or World; "
        "did you mean Germany?",
        ", row 3, unit) | found 'milion'; allowed: million, thousand, for Population; "
        "did you mean million?",
        ", row 4, unit) | found 'billion EUR_2020/yr'; allowed: dollars of a year, such as "
        "billion USD_2017/yr, for GDP|PPP",
        ", row 6, unit) | found 'billion USD_2010/yr'; allowed: one unit for GDP|PPP: US$2017 PPP",
        ", row 7, value) | found 'x'; allowed: a number, or ''",
    ]


def test_a_variable_that_is_not_there_and_a_figure_that_stands_twice_are_refused(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "M,S,DEU,Population,million,1,2", "M,S,Germany,Population,million,1,2")
    assert (
        faults_of(path) == [", row 3) | found the same figure again; allowed: each figure once"] * 2
    )
    asked = {"Populaton": "population", "Emissions|CO2": "emissions"}
    told = faults_of(path, mapping=asked)
    assert told[0].endswith("did you mean Population?")
    assert "no 'Emissions|CO2'; allowed: a variable of the file" in told[1]
    path = write(tmp_path, "M,S,DEU,Emissions|CO2,Mt CO2/yr,1,2")
    assert "only 'Emissions|CO2'; allowed: population and parts" in faults_of(path)[0]
    assert "found 'Emissions|CO2'" in faults_of(path, mapping={"Emissions|CO2": "e"})[0]


def test_groups_of_countries_are_not_taken_for_misspelt_ones(tmp_path: Path) -> None:
    groups = (
        "R5ASIA", "R5OECD90+EU", "R10CHINA+", "Africa (R10)", "Rest of Asia (R10)",
        "Countries of South Asia; primarily India", "Other countries of Asia", "Europe", "Asia",
        "OECD & EU (R5)", "Latin America (R5)", "Middle East (R10)", "Pacific OECD (R10)",
        "North America (R10)", "China (R9)", "USA (R9)", "Southern Africa (M49)",
        "MESSAGEix-GLOBIOM 1.1|Eastern Europe",
    )  # fmt: skip
    rows = [f"M,S,{group},Population,million,1,2" for group in groups]
    frame = read_iamc(write(tmp_path, "M,S,DEU,Population,million,1,2", *rows), scenario="S")
    assert set(frame["place"]) == {"DE"}
    assert len(frame.attrs["left_out"]) == len(groups)


def test_a_scenario_takes_its_drivers_from_such_a_file(tmp_path: Path) -> None:
    shutil.copy(FILE, tmp_path / "iamc.csv")
    page = Path(__file__).resolve().parents[2] / "docs" / "howto_iamc.md"
    text = page.read_text(encoding="utf-8").split("```yaml\n")[1].split("```")[0]
    (tmp_path / "own.yaml").write_text(text, encoding="utf-8")
    years = np.arange(2020, 2041)
    income = xr.DataArray(
        np.full((1, years.size), 50_000.0),
        {"place": ["DEU"], "year": years},
        attrs={"units": "US$2005 PPP per person"},
    )
    found = apply_scenario(
        read_scenario(tmp_path / "own.yaml"), xr.Dataset({"gdp_per_head": income})
    )
    grown = found.data["gdp_per_head"].sel(place="DEU", year=[2020, 2030, 2040]).to_numpy().ravel()
    heads = np.array([4500 / 83.5, 5000 / 82, 5600 / 80.25])
    np.testing.assert_allclose(grown, 50_000 * heads / heads[0], rtol=1e-9)


@pytest.mark.realdata
def test_exports_of_databases_are_read(shared: Path) -> None:
    folder = shared / "data" / "drivers" / "iamc_examples"
    path = folder / "tutorial_data.csv"
    raw = pd.read_csv(path)
    told = raw[raw["Variable"].str.contains("Temperature")].iloc[0]
    frame = read_iamc(path, scenario=told["Scenario"], model=told["Model"])
    value = frame.set_index(["place", "year"]).loc[("world", 2100), told["Variable"]]
    assert value == pytest.approx(told["2100"])
    book = folder / "test_SSP_database_raw_download.xlsx"
    with pytest.raises(InputError, match="only 'Primary Energy', 'Primary Energy"):
        read_iamc(book, scenario="scen_a")
