"""ILOSTAT, remittances, governance indicators, audiences and search indices: taken and left."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reader_files import FIXTURES, REMITTANCES_2017, REMITTANCES_2021, Sheets, write_book

from flowcast.covariates import read_covariates
from flowcast.errors import Fault, InputError, UsageError
from flowcast.observations import observations_from_frame
from flowcast.sources.readers import READERS, read_source

ILO, MGI = FIXTURES / "ilostat", FIXTURES / "mgi"
AUDIENCE, SEARCH = FIXTURES / "audience", FIXTURES / "search"


def pairs(frame: pd.DataFrame, *more: str) -> list[list[object]]:
    observations_from_frame(frame)
    columns = ["origin", "destination", "value", *more]
    rows: list[list[object]] = frame[columns].to_numpy().tolist()
    return rows


def faults_of(reader: str, path: Path, **options: object) -> list[Fault]:
    with pytest.raises(InputError) as caught:
        read_source(reader, path, **options)
    return list(caught.value.faults)


# --- ILOSTAT -------------------------------------------------------------------------------------


def test_inflows_by_citizenship_are_thousands_and_sources_stand_apart() -> None:
    frame = read_source("ilostat_migration", ILO / "MFL_NCIT_SEX_CCT_NB_A.csv")
    assert pairs(frame, "source", "measure", "sex", "flag") == [
        ["PL", "NL", 21500, "ilostat_migration_fx_214", "flow", "", ""],
        ["PL", "NL", 9250, "ilostat_migration_fx_214", "flow", "female", "B"],
        ["", "NL", 151000, "ilostat_migration_fx_214", "immigration", "", ""],
        ["PL", "NL", 19750, "ilostat_migration_bb_7", "flow", "", "E"],
    ]
    assert set(frame["criterion"]) == {"citizenship"}
    assert "duration_months" not in frame
    assert frame.attrs["left_out"] == {
        "an indicator other than MFL_NCIT_SEX_CCT_NB": 1,
        "sex unknown": 1,
        "ref_area 'X01' is not one country": 1,
        "classif1 'CCT_REGION_ASIA' is not one country": 1,
        "no value": 1,
    }


def test_inflows_of_the_edition_with_collections_and_a_second_class() -> None:
    frame = read_source("ilostat_migration", ILO / "MFL_NCIT_SEX_CCT_NB_2016.csv")
    assert pairs(frame, "measure", "flag") == [
        ["IN", "AU", 12500, "flow", ""],
        ["", "AU", 90000, "immigration", "U"],
    ]
    assert frame.attrs["left_out"] == {"a part by a second class": 1}


def test_thousands_are_whole_persons_again(tmp_path: Path) -> None:
    path = tmp_path / "ilo.csv"
    text = (ILO / "MFL_NCIT_SEX_CCT_NB_A.csv").read_text()
    path.write_text(text.replace(",21.5,", ",1.005,").replace('"2019",151', '"2019Q1",151'))
    assert [(f.row, f.column) for f in faults_of("ilostat_migration", path)] == [(4, "time")]
    path.write_text(text.replace(",21.5,", ",1.005,"))
    assert read_source("ilostat_migration", path)["value"].iloc[0] == 1005


# --- bilateral remittances -----------------------------------------------------------------------


def test_remittances_are_covariates_of_corridors(tmp_path: Path) -> None:
    path = write_book(tmp_path / "matrix.xlsx", REMITTANCES_2021)
    frame = read_source("bilateral_remittances", path)
    assert READERS["bilateral_remittances"].gives == "corridors"
    assert frame.to_numpy().tolist() == [
        ["DE", "EG", 2021, 12.5],
        ["DE", "KE", 2021, 31],
        ["DE", "NA", 2021, 0],
        ["KE", "NA", 2021, 0.75],
        ["VN", "KE", 2021, 7],
    ]
    assert frame.attrs["units"] == {"remittances_usd_million": "millions of US dollars per year"}
    assert frame.attrs["left_out"] == {
        "a row without figures": 1,
        "sending 'Other North' is not one country": 4,
        "sending 'World' is not one country": 4,
        "receiving 'World' is not one country": 3,
        "origin and destination are the same place": 1,
        "no value": 1,
    }
    frame.to_csv(tmp_path / "corridors.csv", index=False)
    data = read_covariates(corridors_path=tmp_path / "corridors.csv")
    known = data["remittances_usd_million"].sel(origin="DE", destination="KE", year=2021)
    assert known.item() == 31


def test_remittances_of_the_edition_with_the_year_in_its_title(tmp_path: Path) -> None:
    frame = read_source("bilateral_remittances", write_book(tmp_path / "a.xlsx", REMITTANCES_2017))
    assert frame.to_numpy().tolist() == [["KR", "CD", 2017, 3], ["KR", "TR", 2017, 14]]


CORNER = "receiving (across) / sending (down)"


@pytest.mark.parametrize(
    ("sheets", "words"),
    [
        ({"Matrix": [[CORNER, "Kenya"], ["Germany", 3]]}, r"'Matrix'\) \| found no year in title"),
        (
            {"BRM 2021": [["From 2010 to 2012"], [CORNER, "Kenya"], ["Germany", "three"]]},
            r"row 3, amount\) \| found 'three'",
        ),
        ({"M": [["2010, 2012"], [CORNER, "Kenya"], ["Germany", 3]]}, "found 2010, 2012 in title"),
        ({"BRM 2021": [[CORNER, "Kenya"], ["Germany", None]]}, "a matrix without figures"),
        (
            {name: [[CORNER, "Kenya"], ["Germany", 3]] for name in ("A 2021", "B 2021")},
            r"row 2\) \| found DE KE 2021 again; allowed: one row per origin, destination and year",
        ),
        ({"2021": [["destination (across) / origin (down)", "Kenya"]]}, "no matrix in 2021"),
        ({"2021": [[CORNER, "World"], ["World", 3]]}, "no row that can be used"),
    ],
)
def test_what_is_no_matrix_of_a_year(sheets: Sheets, words: str, tmp_path: Path) -> None:
    path = write_book(tmp_path / "a.xlsx", sheets)
    with pytest.raises(InputError, match=words) as caught:
        read_source("bilateral_remittances", path)
    assert all(fault.where.startswith(str(path)) for fault in caught.value.faults)


def test_every_year_of_a_workbook_is_taken(tmp_path: Path) -> None:
    sheets = {f"BRM {year}": [[CORNER, "Kenya"], ["Germany", year]] for year in (2020, 2021)}
    frame = read_source("bilateral_remittances", write_book(tmp_path / "a.xlsx", sheets))
    assert frame["year"].tolist() == [2020, 2021]


# --- governance indicators -----------------------------------------------------------------------


def test_answers_are_one_and_zero_and_partial_ones_are_left_out() -> None:
    frame = read_source("governance_indicators", MGI / "mgi.csv")
    expected = [["KE", 2018, np.nan, 1], ["KE", 2022, 1, np.nan], ["NA", 2021, 1, 0]]
    assert frame.columns.tolist() == ["place", "year", "mgi_1_1", "mgi_1_2"]
    pd.testing.assert_frame_equal(
        frame, pd.DataFrame(expected, columns=frame.columns), check_dtype=False
    )
    assert frame.attrs["units"]["mgi_1_1"] == "1 yes, 0 no"
    assert frame.attrs["left_out"] == {
        "country 'AFR' is not one country": 1,
        "a partial answer": 1,
        "no value": 1,
    }


def test_answers_of_the_edition_with_names() -> None:
    frame = read_source("governance_indicators", MGI / "mgi_2018.csv")
    assert frame.to_numpy().tolist() == [["MD", 2017, 1], ["VN", 2017, 0]]
    assert frame.columns[2] == "mgi_3_4"


def test_answers_that_are_none_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "mgi.csv"
    path.write_text(
        "iso3,year,indicator_code,answer\n"
        "NAM,2021,1.1,perhaps\nNAM,2021,,yes\nNAM,21,1.2,no\nKEN,2021,1.1,yes\nKEN,2021,1.1,no\n"
    )
    told = [(f.row, f.column) for f in faults_of("governance_indicators", path)]
    assert told == [(2, "answer"), (3, "indicator"), (4, "year"), (6, None)]
    path.write_text("iso3,year,indicator_code,answer\nNAM,2021,1.1,partially\n")
    with pytest.raises(InputError, match=r"no row that can be used \(a partial answer: 1\)"):
        read_source("governance_indicators", path)


def test_indicators_without_a_figure_are_refused_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "indicator.json"
    record = {
        "indicator": {"id": "SP.POP.TOTL", "value": "Population, total"},
        "country": {"id": "NA", "value": "Namibia"},
        "countryiso3code": "NAM",
        "date": "2022",
        "value": None,
    }
    path.write_text(json.dumps([{"page": 1, "pages": 1}, [record]]))
    with pytest.raises(InputError, match=r"no row that can be used \(no value: 1\)"):
        read_source("world_bank", path)


# --- audiences -----------------------------------------------------------------------------------


def test_audiences_are_the_lower_end_of_a_range_with_its_floor() -> None:
    path = AUDIENCE / "audience.csv"
    frame = read_source("advertising_audience", path)
    assert pairs(frame, "censored_below", "age", "sex") == [
        ["KE", "DE", 12100, 1000, "", ""],
        ["KE", "DE", 1000, 1000, "25-29", "male"],
        ["NA", "ZA", 8400, 1000, "", ""],
        ["", "ZA", 410000, 1000, "", ""],
    ]
    assert set(frame["period_start"]) == {"2022-05-31"}
    assert set(frame["period_end"]) == {"2022-06-01"}
    assert frame.attrs["left_out"] == {
        "origin 'Latin America' is not one country": 1,
        "sex unknown": 1,
        "no value": 1,
    }
    upper = read_source("advertising_audience", path, bound="upper")
    assert upper["value"].tolist() == [14200, 1000, 9900, 483000]


def test_audiences_of_the_edition_with_one_figure_and_two_floors() -> None:
    path = AUDIENCE / "audience_2017.csv"
    frame = read_source("advertising_audience", path)
    assert pairs(frame, "censored_below") == [
        ["PL", "GB", 640000, 20],
        ["PL", "NO", 20, 20],
        ["PL", "NO", 1000, 1000],
        ["PL", "SE", 1500, 500],
    ]
    assert read_source("advertising_audience", path, bound="upper").equals(frame)


def test_what_is_wrong_with_an_audience_is_told_together(tmp_path: Path) -> None:
    path = tmp_path / "audience.csv"
    path.write_text(
        "date,origin,destination,users_lower_bound,users_upper_bound,floor\n"
        "2022-05-31,KE,DE,2000,1000,\n31 May,KE,FR,1000,2000,\n2022-05-31,KE,IT,many,2000,low\n"
    )
    told = [(f.row, f.column) for f in faults_of("advertising_audience", path)]
    assert told == [(2, None), (3, "date"), (4, "lower end"), (4, "censored_below")]
    with pytest.raises(UsageError, match="found bound 'middle'; allowed: lower, upper"):
        read_source("advertising_audience", path, bound="middle")


# --- search indices ------------------------------------------------------------------------------


def test_an_index_by_week_with_places_in_its_columns() -> None:
    frame = read_source("search_index", SEARCH / "multiTimeline.csv", destination="DEU")
    rows = pairs(frame.fillna({"censored_below": -1}).query("censored_below > 0"), "source")
    assert rows == [["NA", "DE", 0, "search_index_germany_jobs"]]
    assert pairs(frame, "period_start", "period_end")[:2] == [
        ["KE", "DE", 55, "2022-01-02", "2022-01-09"],
        ["KE", "DE", 100, "2022-01-09", "2022-01-16"],
    ]
    assert frame["censored_below"].dropna().tolist() == [1]
    assert frame["origin"].tolist() == ["KE", "KE", "NA", "NA", "", ""]
    assert frame.attrs["left_out"] == {"place 'Nairobi County' is not one country": 2}


def test_an_index_by_month_without_a_place_takes_the_one_that_is_told() -> None:
    path = SEARCH / "multiTimeline_month.csv"
    frame = read_source("search_index", path, origin="KE")
    assert pairs(frame, "period_start", "period_end") == [
        ["KE", "", 74, "2021-12-01", "2022-01-01"],
        ["KE", "", 100, "2022-01-01", "2022-02-01"],
    ]
    with pytest.raises(UsageError, match="found terms of no place"):
        read_source("search_index", path)
    with pytest.raises(UsageError, match="found origin 'Gondor'"):
        read_source("search_index", path, origin="Gondor")


def test_an_index_of_the_report_of_2014_ends_where_its_section_ends() -> None:
    frame = read_source("search_index", SEARCH / "report_2014.csv", destination="DE")
    assert pairs(frame, "source", "period_start", "period_end")[2:] == [
        ["KE", "DE", 100, "search_index_germany", "2013-12-22", "2013-12-29"],
        ["KE", "DE", 84, "search_index_germany", "2013-12-29", "2014-01-05"],
    ]
    assert frame.attrs["left_out"] == {"a row of a further section": 6}


@pytest.mark.parametrize(
    ("lines", "row", "column"),
    [
        (["Week,visa: (Kenya)", "2022-01-02,101"], 4, "index"),
        (["Week,visa: (Kenya)", "2022-01-02,-3"], 4, "value"),
        (["Week,visa: (Kenya)", "2022-01,5"], 4, "Week"),
        (["Month,visa: (Kenya)", "2022-13,5"], 4, "Month"),
        (["Day,visa: (Kenya)", "2022-01-02T05,5"], 4, "Day"),
        (["Day,visa: (Kenya)", "2022-01-02,5", "2022-01-02,5"], 5, None),
        (["Time,visa: (Kenya)", "2022-01-02T05,5"], 1, None),
    ],
)
def test_cells_that_are_no_index(
    lines: list[str], row: int, column: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "multiTimeline.csv"
    path.write_text("\n".join(["Category: All categories", "", *lines, ""]))
    told = [(f.row, f.column) for f in faults_of("search_index", path, destination="DE")]
    assert told == [(row, column)]


def test_a_report_that_stops_in_a_later_section_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "report.csv"
    path.write_text((SEARCH / "report_2014.csv").read_text().rstrip()[:-3])
    with pytest.raises(InputError, match="may be cut off"):
        read_source("search_index", path, destination="DE")
