"""IDMC and IOM: displacement within countries, and missing migrants."""

import json
from pathlib import Path

import pandas as pd
import pytest
from reader_files import FIXTURES, GIDD_2022, write_book

from flowcast.covariates import read_covariates
from flowcast.errors import InputError
from flowcast.observations import observations_from_frame
from flowcast.sources.readers import read_source

IDMC, IOM = FIXTURES / "idmc", FIXTURES / "iom"
COLUMNS = ["source", "measure", "origin", "period_start", "value"]


def rows(frame: pd.DataFrame) -> list[list[object]]:
    observations_from_frame(frame)
    assert set(frame["destination"]) == {""}
    listed: list[list[object]] = frame[COLUMNS].to_numpy().tolist()
    return listed


def test_displacement_by_cause_unrounded_where_the_file_has_it() -> None:
    frame = read_source("idmc_displacement", IDMC / "displacement_data.csv")
    assert rows(frame) == [
        ["idmc_gidd_conflict", "displacement", "SD", "2022-01-01", 314],
        ["idmc_gidd_conflict", "displacement", "PH", "2022-01-01", 123],
        ["idmc_gidd_conflict", "stock", "SD", "2022-12-31", 3553],
        ["idmc_gidd_disaster", "displacement", "SD", "2022-01-01", 105],
        ["idmc_gidd_disaster", "displacement", "PH", "2022-01-01", 5445],
        ["idmc_gidd_disaster", "stock", "SD", "2022-12-31", 227],
    ]
    assert frame.attrs["left_out"] == {
        "a row of HXL tags": 1,
        "ISO3 'AB9' is not one country": 1,
        "no value": 2,
    }


def test_displacement_of_2020_was_called_new() -> None:
    frame = read_source("idmc_displacement", IDMC / "displacement_data_2020.csv")
    assert frame["value"].tolist() == [84, 79, 2134, 2276, 272, 454, 454]
    assert len(rows(frame)) == 7


def test_displacement_in_a_workbook(tmp_path: Path) -> None:
    frame = read_source("idmc_displacement", write_book(tmp_path / "gidd.xlsx", GIDD_2022))
    assert rows(frame) == [
        ["idmc_gidd_conflict", "stock", "SD", "2022-12-31", 3600],
        ["idmc_gidd_disaster", "displacement", "SD", "2022-01-01", 100],
    ]


def test_a_table_without_displacement(tmp_path: Path) -> None:
    path = tmp_path / "idmc.csv"
    path.write_text("ISO3,Year,Name\nSDN,2022,Sudan\n")
    with pytest.raises(InputError, match="no column of displacements"):
        read_source("idmc_displacement", path)


def test_a_table_of_events_is_not_one_of_years(tmp_path: Path) -> None:
    path = tmp_path / "idmc.csv"
    path.write_text("ISO3,Year,Event Name,Disaster Internal Displacements\nSDN,2022,Flood,5\n")
    with pytest.raises(InputError, match="a table of events; allowed: figures by country"):
        read_source("idmc_displacement", path)


def test_faults_name_row_and_column(tmp_path: Path) -> None:
    path = tmp_path / "idmc.csv"
    path.write_text("ISO3,Year,Conflict New Displacements\nSDN,2022,many\nSDN,20 22,5\n")
    with pytest.raises(InputError) as caught:
        read_source("idmc_displacement", path)
    assert [(f.row, f.column) for f in caught.value.faults] == [
        (2, "Conflict New Displacements"),
        (3, "Year"),
    ]


def test_operations_are_sources_and_causes_are_added_up() -> None:
    frame = read_source("dtm_displacement", IOM / "dtm_admin0.json")
    assert rows(frame) == [
        ["iom_dtm_monthly_overview", "stock", "SD", "2024-05-31", 740],
        ["iom_dtm_armed_clashes_overview", "stock", "SD", "2024-05-31", 510],
    ]
    assert frame["flag"].tolist() == ["Conflict;Natural disaster", "Conflict"]
    assert frame.attrs["left_out"] == {
        "admin0Pcode '' is not one country": 1,
        "an earlier round with the same date": 1,
    }


def test_version_2_of_the_api_told_no_cause() -> None:
    frame = read_source("dtm_displacement", IOM / "dtm_admin0_v2.json")
    assert rows(frame) == [["iom_dtm_site_assessment", "stock", "HT", "2023-06-20", 160]]
    assert "flag" not in frame


def test_an_answer_without_success_and_a_date_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "dtm.json"
    path.write_text('{"isSuccess": false, "errorMessages": ["no such operation"], "result": null}')
    with pytest.raises(InputError, match=r"an answer without success .*no such operation"):
        read_source("dtm_displacement", path)
    body = json.loads((IOM / "dtm_admin0_v2.json").read_text())
    body["result"][0]["reportingDate"] = "June 2023"
    path.write_text(json.dumps(body))
    with pytest.raises(InputError, match=r"row 1, reportingDate\) \| found 'June 2023'"):
        read_source("dtm_displacement", path)


def test_missing_migrants_by_country_of_the_incident_or_of_origin(tmp_path: Path) -> None:
    frame = read_source("missing_migrants", IOM / "missing_migrants.csv")
    assert frame.to_numpy().tolist() == [["LY", 2023, 7]]
    assert frame.attrs["left_out"] == {"country 'Unknown' is not one country": 1}
    by_origin = read_source("missing_migrants", IOM / "missing_migrants.csv", by="origin")
    assert by_origin.to_numpy().tolist() == [["ER", 2023, 1]]
    path = tmp_path / "places.csv"
    frame.to_csv(path, index=False)
    assert float(read_covariates(path)["dead_and_missing"].sum()) == 7


def test_missing_migrants_before_2022_had_no_country_of_incident() -> None:
    path = IOM / "missing_migrants_2021.csv"
    assert read_source("missing_migrants", path, by="origin").to_numpy().tolist() == [
        ["GT", 2020, 3]
    ]
    with pytest.raises(InputError, match="no such column; allowed: a column 'Country of Incident'"):
        read_source("missing_migrants", path)
