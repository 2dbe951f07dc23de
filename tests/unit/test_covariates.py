"""Covariates: reading with units, looking up by cell, distances, missing values."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from flowcast.covariates import covariate_values, great_circle_km, impute, read_covariates
from flowcast.errors import InputError, UsageError

PLACES = "place,population,name\nDE,83,Germany\nAT,9,Austria\nNA,3,Namibia\n"
YEARLY = "place,year,gdp\nDE,2023,1\nDE,2024,2\nAT,2024,3\n"
CORRIDORS = "origin,destination,distance_km\nDE,AT,500\nAT,DE,510\n"
YEARLY_CORRIDORS = "origin,destination,year,visa\nDE,AT,2023,1\nDE,AT,2024,0\n"


def write(folder: Path, **files: str) -> dict[str, Path]:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.csv" for name in files}


def faults(folder: Path, places: str | None = None, corridors: str | None = None) -> list[str]:
    given = {"places": places, "corridors": corridors}
    paths = write(folder, **{k: v for k, v in given.items() if v is not None})
    with pytest.raises(InputError) as caught:
        read_covariates(paths.get("places"), paths.get("corridors"))
    return [str(f).replace(f"{folder}/", "") for f in caught.value.faults]


@pytest.fixture
def data(tmp_path: Path) -> xr.Dataset:
    paths = write(tmp_path, places=PLACES, corridors=CORRIDORS)
    return read_covariates(paths["places"], paths["corridors"])


def test_places_and_corridors_become_one_dataset(data: xr.Dataset) -> None:
    assert data["population"].dims == ("place",)
    assert data["distance_km"].dims == ("origin", "destination")
    assert data["place"].to_numpy().tolist() == ["AT", "DE", "NA"]
    assert data["population"].sel(place="NA").item() == 3
    assert data["distance_km"].sel(origin="AT", destination="DE").item() == 510
    assert np.isnan(data["distance_km"].sel(origin="AT", destination="AT").item())


def test_text_becomes_a_coordinate(data: xr.Dataset) -> None:
    assert "name" not in data.data_vars
    assert data["name"].sel(place="DE").item() == "Germany"


def test_a_year_gives_a_dim_year(tmp_path: Path) -> None:
    paths = write(tmp_path, places=YEARLY, corridors=YEARLY_CORRIDORS)
    data = read_covariates(paths["places"], paths["corridors"])
    assert data["gdp"].dims == ("place", "year")
    assert data["visa"].dims == ("origin", "destination", "year")
    assert data["gdp"].sel(place="DE", year=2023).item() == 1
    assert np.isnan(data["gdp"].sel(place="AT", year=2023).item())


def test_units_come_from_the_column_dictionary(tmp_path: Path) -> None:
    paths = write(tmp_path, places=PLACES)
    (tmp_path / "places.columns.csv").write_text(
        "column,unit,description\npopulation,persons,at the start of the year\n", encoding="utf-8"
    )
    attrs = read_covariates(paths["places"])["population"].attrs
    assert attrs == {"units": "persons", "description": "at the start of the year"}


def test_without_a_dictionary_the_unit_is_said_to_be_unknown(data: xr.Dataset) -> None:
    assert {v.attrs["units"] for v in data.data_vars.values()} == {"unknown unit"}


def test_a_dictionary_without_units_is_refused(tmp_path: Path) -> None:
    (tmp_path / "places.columns.csv").write_text("column,units\na,b\n", encoding="utf-8")
    assert faults(tmp_path, PLACES) == [
        "(places.columns.csv, row 1, unit) | found no such column; "
        "allowed: column, unit, description"
    ]


@pytest.mark.parametrize("alias", ["country", "iso2"])
def test_other_names_of_the_place_column(alias: str, tmp_path: Path) -> None:
    path = write(tmp_path, places=PLACES.replace("place", alias))["places"]
    assert read_covariates(path)["population"].dims == ("place",)


def test_spelling_fixes_apply(tmp_path: Path) -> None:
    path = write(tmp_path, places="place,x\nUK,1\nEL,2\n")["places"]
    assert read_covariates(path)["place"].to_numpy().tolist() == ["GB", "GR"]


def test_all_faults_of_both_files_are_told_together(tmp_path: Path) -> None:
    told = faults(
        tmp_path,
        places="place,population\nDE,83\nXQ,1\nAT,nine\nDE,84\n,1\nnordic,4\nIT,2\nES,3\n",
        corridors="origin,destination,km\nDE,DE,0\nDE,FRA,5\nDE,AT,inf\nDE,IT,1\nDE,IT,2\n",
    )
    assert [line.split(";")[0] for line in told] == [
        "(corridors.csv, row 2, destination) | found 'DE', the same as origin",
        "(corridors.csv, row 3, destination) | found 'FRA' in a file of alpha-2 codes",
        "(corridors.csv, row 4, km) | found inf",
        "(corridors.csv, row 6, origin) | found the same origin and destination as row 5",
        "(places.csv, row 3, place) | found 'XQ'",
        "(places.csv, row 4, population) | found text 'nine'",
        "(places.csv, row 5, place) | found the same place as row 2",
        "(places.csv, row 6, place) | found an empty cell",
        "(places.csv, row 7, place) | found 'nordic'",
    ]


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ("plaice,x\nDE,1\n", "row 1, place) | found no such column; allowed: this column; did you"),
        ("place,year,x\nDE,2024.5,1\n", "row 2, year) | found 2024.5"),
        ("place,year,x\nDE,,1\n", "row 2, year) | found an empty cell"),
        ("place,year,x\nDE,2024,1\nDE,2024,2\n", "row 3, place) | found the same place and year"),
        ("place,x\nDE,1\nFR\n", "row 3) | found 1 fields"),
    ],
)
def test_one_fault_is_told_as_one(places: str, told: str, tmp_path: Path) -> None:
    (only,) = faults(tmp_path, places)
    assert told in only


def test_a_name_in_both_files_is_refused(tmp_path: Path) -> None:
    told = faults(tmp_path, PLACES, CORRIDORS.replace("distance_km", "population"))
    assert "also in the places file" in told[0]


def test_one_of_the_two_files_is_needed() -> None:
    with pytest.raises(UsageError, match="neither places nor corridors"):
        read_covariates()


def test_declared_places(tmp_path: Path) -> None:
    paths = write(
        tmp_path,
        places="place,x\nnorth,1\nsouth,2\n",
        corridors="origin,destination,km\nnorth,south,3\nnorth,suoth,4\n",
    )
    data = read_covariates(paths["places"], declared_places={"north", "south"})
    assert data["place"].to_numpy().tolist() == ["north", "south"]
    with pytest.raises(InputError, match=r"'suoth'.*did you mean south"):
        read_covariates(paths["places"], paths["corridors"], declared_places="any")
    anything = read_covariates(None, paths["corridors"], declared_places="any")
    assert anything["km"].sel(origin="north", destination="suoth").item() == 4


def test_values_by_side(data: xr.Dataset) -> None:
    origin, destination = np.array(["DE", "AT", "DE"]), np.array(["AT", "DE", "NA"])
    year = np.array([2023, 2024, 2024])
    cells = {"origin": origin, "destination": destination, "year": year}
    np.testing.assert_array_equal(
        covariate_values(data, "population", side="origin", **cells), [83, 9, 83]
    )
    np.testing.assert_array_equal(
        covariate_values(data, "population", side="destination", **cells), [9, 83, 3]
    )
    np.testing.assert_array_equal(
        covariate_values(data, "distance_km", side="corridor", **cells), [500, 510, np.nan]
    )


def test_values_by_year_are_missing_where_unknown(tmp_path: Path) -> None:
    data = read_covariates(write(tmp_path, places=YEARLY)["places"])
    values = covariate_values(
        data,
        "gdp",
        origin=["DE", "DE", "AT", "AT", "FR"],
        destination="IT",
        year=[2023, 2024, 2024, 2023, 2024],
        side="origin",
    )
    np.testing.assert_array_equal(values, [1, 2, 3, np.nan, np.nan])


def test_values_take_pandas_text_columns(data: xr.Dataset) -> None:
    pandas = pytest.importorskip("pandas")
    codes = pandas.Series(["AT", None], dtype="str")
    values = covariate_values(
        data, "population", origin=codes, destination=codes, year=2024, side="origin"
    )
    np.testing.assert_array_equal(values, [9, np.nan])


def test_unknown_covariate_and_wrong_side_are_refused(data: xr.Dataset) -> None:
    cells = {"origin": ["DE"], "destination": ["AT"], "year": 2024}
    with pytest.raises(UsageError, match="did you mean population"):
        covariate_values(data, "populaton", side="origin", **cells)
    with pytest.raises(UsageError, match="a covariate of a place"):
        covariate_values(data, "population", side="corridor", **cells)
    with pytest.raises(UsageError, match="a covariate of a corridor"):
        covariate_values(data, "distance_km", side="origin", **cells)


@pytest.mark.parametrize(
    ("points", "km"),
    [
        ((0, 0, 0, 0), 0.0),
        ((0, 0, 0, 90), np.pi / 2 * 6371.0088),
        ((90, 0, -90, 0), np.pi * 6371.0088),
        ((0, 0, 0, 180), np.pi * 6371.0088),
        ((10, 179.5, 10, -179.5), 109.5),  # one degree of longitude at 10 degrees north
    ],
)
def test_great_circle(points: tuple[float, float, float, float], km: float) -> None:
    assert float(great_circle_km(*points)) == pytest.approx(km, abs=0.05)


def test_great_circle_broadcasts() -> None:
    lat, lon = np.array([48.2, 52.5]), np.array([16.4, 13.4])
    matrix = great_circle_km(lat[:, None], lon[:, None], lat, lon)
    assert matrix.shape == (2, 2)
    np.testing.assert_allclose(matrix, matrix.T)
    assert matrix[0, 1] == pytest.approx(523, abs=2)  # Vienna to Berlin


def test_impute_refuses_by_default_and_names_cells_and_rules() -> None:
    with pytest.raises(InputError) as caught:
        impute([1, np.nan, np.nan], name="gdp", labels=["DE", "AT", "FR"], year=2024)
    (fault,) = caught.value.faults
    assert fault.column == "gdp"
    assert fault.found == "no value for AT 2024, FR 2024"
    assert fault.allowed.endswith("mean, nearest_year, zero")


def test_impute_shortens_a_long_list_of_cells() -> None:
    labels = [f"P{i:02}" for i in range(20)]
    with pytest.raises(InputError, match="P11 and 8 more"):
        impute(np.full(20, np.nan), name="gdp", labels=labels)


def test_impute_leaves_complete_values_alone() -> None:
    filled = impute([1.0, 2.0], name="gdp")
    assert filled.values.tolist() == [1, 2]
    assert filled.n_imputed == 0


@pytest.mark.parametrize(("rule", "value"), [("mean", 2.0), ("zero", 0.0)])
def test_impute_by_a_constant(rule: str, value: float) -> None:
    given = np.array([1.0, np.nan, 3.0])
    filled = impute(given, rule, name="gdp")  # type: ignore[arg-type]
    assert filled.values.tolist() == [1.0, value, 3.0]
    assert filled.imputed.tolist() == [False, True, False]
    assert filled.rule == rule
    assert np.isnan(given[1])


def test_impute_from_the_nearest_year_of_the_same_place() -> None:
    filled = impute(
        [1.0, np.nan, np.nan, 4.0, np.nan],
        "nearest_year",
        name="gdp",
        labels=["DE", "DE", "DE", "DE", "DE"],
        year=[2000, 2001, 2002, 2004, 2009],
    )
    assert filled.values.tolist() == [1.0, 1.0, 1.0, 4.0, 4.0]
    assert filled.n_imputed == 3


def test_impute_does_not_borrow_from_another_place() -> None:
    with pytest.raises(InputError, match="no value for AT 2001"):
        impute([1.0, np.nan], "nearest_year", name="gdp", labels=["DE", "AT"], year=[2000, 2001])


def test_impute_has_nothing_to_average() -> None:
    with pytest.raises(InputError, match="no value for 0, 1"):
        impute([np.nan, np.nan], "mean", name="gdp")


def test_impute_refuses_unknown_rules_and_missing_labels() -> None:
    with pytest.raises(UsageError, match="did you mean mean"):
        impute([np.nan], "means", name="gdp")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="without labels and years"):
        impute([np.nan, 1.0], "nearest_year", name="gdp")
