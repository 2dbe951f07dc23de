"""The embedded data of the demo is what its README says."""

import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowcast.covariates import great_circle_km, read_covariates
from flowcast.observations import Observations, read_observations
from flowcast.resources import embedded_path

FOLDER = embedded_path("data", "europe_2024")
COUNTRIES = [
    *["AT", "BE", "BG", "DE", "EE", "ES", "FI", "FR", "GB"],
    *["HR", "IT", "LT", "NL", "NO", "PL", "RO", "SE", "SK"],
]
FULL_REPORTERS = [c for c in COUNTRIES if c not in ("ES", "FR", "GB", "PL")]
SILENT_PAIRS = {("PL", "GB"), ("GB", "PL"), ("FR", "PL"), ("FR", "GB"), ("GB", "FR")}


@pytest.fixture(scope="module")
def observations() -> Observations:
    return read_observations(FOLDER / "observations.csv")


def read(name: str) -> pd.DataFrame:
    return pd.read_csv(FOLDER / name, keep_default_na=False, na_values=[""])


def test_coverage_is_as_published(observations: Observations) -> None:
    (line,) = observations.coverage().to_dict("records")
    counts = {k: line[k] for k in ("n_rows", "n_pairs_both", "n_pairs_one", "n_pairs_none")}
    assert counts == {"n_rows": 517, "n_pairs_both": 216, "n_pairs_one": 85, "n_pairs_none": 5}
    assert line["n_places"] == 18
    assert line["n_zero"] == 1
    assert line["n_mirrored"] == 8
    assert observations.codes == "alpha2"
    assert observations.fixes == ()


def test_the_pairs_without_a_report_are_the_five_named(observations: Observations) -> None:
    table = observations.table
    reported = set(zip(table["origin"], table["destination"], strict=True))
    pairs = {(a, b) for a in COUNTRIES for b in COUNTRIES if a != b}
    assert pairs - reported == SILENT_PAIRS


def test_the_one_zero_is_slovakia_to_estonia_by_slovakia(observations: Observations) -> None:
    table = observations.table
    zero = table[table["value"] == 0]
    assert zero[["origin", "destination", "reporter"]].to_numpy().tolist() == [
        ["SK", "EE", "origin"]
    ]


def test_full_reporters_report_all_their_pairs(observations: Observations) -> None:
    table = observations.table
    for country in FULL_REPORTERS:
        for side in ("origin", "destination"):
            rows = table[(table["reporter"] == side) & (table[side] == country)]
            assert len(rows) == 17, (country, side)


def test_the_eight_mirror_rows_are_romanias_and_equal_the_partner(
    observations: Observations,
) -> None:
    table = observations.table
    key = ["origin", "destination"]
    rows = table[table["mirror_of"].notna()]
    assert set(rows.loc[rows["mirror_of"] == "destination", "destination"]) == set(
        ["BG", "DE", "ES", "FI", "HR", "SE"]
    )
    assert set(rows.loc[rows["mirror_of"] == "origin", "origin"]) == {"DE", "ES"}
    assert (rows.apply(lambda r: r[r["reporter"]], axis=1) == "RO").all()
    pairs = rows.merge(
        table, left_on=[*key, "mirror_of"], right_on=[*key, "reporter"], suffixes=("", "_twin")
    )
    assert len(pairs) == 8
    assert (pairs["value"] == pairs["value_twin"]).all()
    immigration = rows[rows["mirror_of"] == "origin"].set_index("origin")["value"]
    assert immigration.to_dict() == {"DE": 57774, "ES": 47044}


def test_spread_of_the_two_reports_is_as_published(observations: Observations) -> None:
    wide = observations.table.pivot_table(
        index=["origin", "destination"], columns="reporter", values="value", observed=True
    ).dropna()
    wide.columns = [f"by_{c}" for c in wide.columns]
    wide = wide[(wide > 0).all(axis=1)]
    ratio = np.log(wide["by_destination"] / wide["by_origin"])
    assert len(ratio) == 215
    assert ratio.mean() == pytest.approx(0.229, abs=5e-4)
    assert ratio.std() == pytest.approx(1.095, abs=5e-4)
    assert (wide.min(axis=1) < 50).sum() == 41


def test_every_definition_has_reasons_and_is_used(observations: Observations) -> None:
    definitions = read("definitions.csv")
    table = observations.table
    place = table["origin"].where(table["reporter"] == "origin", table["destination"])
    used = set(zip(place, table["reporter"], strict=True))
    assert set(zip(definitions["reporter"], definitions["side"], strict=True)) == used
    reasons = definitions[["duration_reason", "undercount_reason", "accuracy_reason"]]
    assert reasons.notna().to_numpy().all()
    assert (reasons.map(len) > 20).to_numpy().all()


def test_observations_carry_the_definitions_of_their_reporter(observations: Observations) -> None:
    table = observations.table
    table["place"] = table["origin"].where(table["reporter"] == "origin", table["destination"])
    joined = table.merge(
        read("definitions.csv"),
        left_on=["place", "reporter"],
        right_on=["reporter", "side"],
        suffixes=("", "_defined"),
    )
    assert len(joined) == 517
    for column in ("duration_months", "undercount_class", "accuracy_class"):
        assert (joined[column] == joined[f"{column}_defined"]).all(), column


@pytest.mark.parametrize(
    ("place", "side", "months"),
    [("DE", "destination", 1.25), ("DE", "origin", 0), ("SK", "origin", 60), ("SE", "origin", 12)],
)
def test_durations_that_are_known(place: str, side: str, months: float) -> None:
    definitions = read("definitions.csv").set_index(["reporter", "side"])
    assert definitions.loc[(place, side), "duration_months"] == months


def test_covariates_cover_all_places_and_corridors_with_units() -> None:
    data = read_covariates(FOLDER / "places.csv", FOLDER / "corridors.csv")
    assert data["place"].to_numpy().tolist() == COUNTRIES
    off_diagonal = ~np.eye(18, dtype=bool)
    for name, variable in data.data_vars.items():
        assert variable.attrs["units"] != "unknown unit", name
        values = variable.to_numpy()
        wanted = values[off_diagonal] if values.ndim == 2 else values
        assert np.isfinite(wanted).all(), name
    assert int(np.nansum(data["contiguity"])) == 2 * 17
    assert data["name"].sel(place="GB").item() == "United Kingdom"


def test_corridors_are_symmetric_and_measured_between_capitals() -> None:
    data = read_covariates(FOLDER / "places.csv", FOLDER / "corridors.csv")
    for name in ("distance_km", "contiguity", "common_language"):
        values = data[name].to_numpy()
        np.testing.assert_array_equal(values, values.T)
    expected = great_circle_km(
        data["capital_lat"].sel(place="AT"),
        data["capital_lon"].sel(place="AT"),
        data["capital_lat"].sel(place="SK"),
        data["capital_lon"].sel(place="SK"),
    )
    # Vienna and Bratislava are some 55 km apart; the file is rounded to 0.1 km.
    found = data["distance_km"].sel(origin="AT", destination="SK").item()
    assert found == pytest.approx(float(expected), abs=0.05)
    assert 50 < found < 60


@pytest.mark.parametrize(
    ("a", "b", "shared"), [("AT", "DE", 1), ("BE", "NL", 1), ("FI", "SE", 1), ("NO", "SE", 0)]
)
def test_common_language(a: str, b: str, shared: int) -> None:
    data = read_covariates(FOLDER / "places.csv", FOLDER / "corridors.csv")
    assert data["common_language"].sel(origin=a, destination=b).item() == shared


@pytest.mark.parametrize("name", ["observations", "places", "corridors"])
def test_column_dictionaries_describe_exactly_the_columns(name: str) -> None:
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert read(f"{name}.columns.csv")["column"].tolist() == header


def test_readme_names_source_and_licence() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert (
        "Source: Eurostat, migr_imm5prv and migr_emi3nxt, update of 2 July 2026; "
        "selection and country codes changed." in text
    )
    assert "CC BY 4.0" in text


def test_make_stops_where_a_mirror_is_not_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = runpy.run_path(str(FOLDER / "make.py"))
    reports = read("observations.csv")[
        ["origin", "destination", "year", "value", "reporter", "flag"]
    ]
    again = made["make_observations"](reports, read("definitions.csv"))
    written = tmp_path / "observations.csv"
    again.to_csv(written, index=False, lineterminator="\n", float_format="%.10g")
    assert written.read_bytes() == (FOLDER / "observations.csv").read_bytes()
    romania = (reports["origin"] == "RO") & (reports["reporter"] == "origin")
    reports.loc[romania, "value"] += 1
    with pytest.raises(ValueError, match="not the same figure"):
        made["mark_mirrors"](reports)
    assert "make" not in sys.modules
