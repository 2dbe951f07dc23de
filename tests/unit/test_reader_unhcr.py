"""UNHCR: answers of the API, its CSV, and the tables of popstats before 2020."""

import json
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reader_files import FIXTURES

from flowcast.errors import InputError
from flowcast.observations import observations_from_frame
from flowcast.sources.readers import read_source

FOLDER = FIXTURES / "unhcr"


def read(reader: str, name: str) -> pd.DataFrame:
    frame = read_source(reader, FOLDER / name)
    observations_from_frame(frame)
    return frame


def pairs(frame: pd.DataFrame) -> list[list[object]]:
    rows: list[list[object]] = (
        frame[["source", "origin", "destination", "value"]].to_numpy().tolist()
    )
    return rows


def test_population_by_iso_codes_not_by_those_of_unhcr() -> None:
    frame = read("unhcr_population", "population.json")
    assert pairs(frame) == [
        ["unhcr_population_refugees", "AF", "AT", 420],
        ["unhcr_population_refugees", "VE", "CO", 90],
        ["unhcr_population_refugees", "", "TR", 3600],
        ["unhcr_population_asylum_seekers", "AF", "AT", 61],
        ["unhcr_population_asylum_seekers", "VE", "CO", 12],
        ["unhcr_population_asylum_seekers", "", "TR", 310],
        ["unhcr_population_oip", "VE", "CO", 2500],
    ]
    assert set(frame["measure"]) == {"stock"}
    assert set(frame["period_start"]) == {"2022-12-31"}
    assert set(frame["period_end"]) == {"2023-01-01"}
    assert frame.attrs["left_out"] == {
        "coo_iso 'UNK' is not one country": 1,
        "no value": 3,
        "origin and destination are the same place": 2,
    }


def test_population_csv_begins_with_a_description() -> None:
    assert pairs(read("unhcr_population", "population.csv")) == [
        ["unhcr_population_refugees", "ER", "AT", 14],
        ["unhcr_population_asylum_seekers", "ER", "AT", 5],
    ]


def test_popstats_has_names_and_hides_figures() -> None:
    frame = read("unhcr_population", "popstats_2017.csv")
    assert pairs(frame) == [["unhcr_population_refugees", "SY", "EG", 1160]]
    assert frame.attrs["left_out"] == {
        "coo_iso 'Various/Unknown' is not one country": 1,
        "no value": 1,
    }


def test_popstats_time_series_have_a_row_for_each_type() -> None:
    frame = read("unhcr_population", "popstats_time_series_2016.csv")
    assert pairs(frame) == [["unhcr_population_refugees", "AF", "PK", 1200]]
    assert set(frame["period_start"]) == {"1980-12-31"}


def test_new_applications_are_added_up_over_procedures() -> None:
    frame = read("unhcr_applications", "asylum-applications.json")
    assert pairs(frame) == [["unhcr_asylum_applications", "AF", "AT", 257]]
    assert set(frame["measure"]) == {"asylum_applications"}
    assert frame.attrs["left_out"] == {
        "not told to be a new application": 1,
        "counted in cases, not in persons": 2,
    }


def test_applications_of_popstats() -> None:
    frame = read("unhcr_applications", "asylum_seekers_2017.csv")
    assert pairs(frame) == [["unhcr_asylum_applications", "IR", "AL", 129]]


def test_the_world_as_a_whole_and_one_page_of_several(tmp_path: Path) -> None:
    body = json.loads((FOLDER / "population.json").read_text())
    body["items"][0].update(coo_iso="-", coa_iso="-")
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(body))
    frame = read_source("unhcr_population", path)
    assert frame.attrs["left_out"]["the world as a whole"] == 1
    body["maxPages"] = 7
    path.write_text(json.dumps(body))
    with pytest.raises(InputError, match=r"page 1 of 7; allowed: the whole answer"):
        read_source("unhcr_population", path)


def test_codes_of_unhcr_are_not_even_suggested(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text(
        (FOLDER / "population.json").read_text().replace("coo_iso", "x").replace("coa_iso", "y")
    )
    with pytest.raises(InputError) as caught:
        read_source("unhcr_population", path)
    assert [fault.column for fault in caught.value.faults] == ["coo_iso", "coa_iso"]
    assert {"coo", "coa"}.isdisjoint(fault.hint for fault in caught.value.faults)


@pytest.mark.parametrize(
    ("items", "words"),
    [([], "no rows"), ([1, 2], "something other than rows"), (None, "no such section")],
)
def test_an_answer_without_rows(items: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps({"page": 1, "maxPages": 1, "items": items}))
    with pytest.raises(InputError, match=words):
        read_source("unhcr_applications", path)


def test_faults_are_told_by_number_of_item(tmp_path: Path) -> None:
    body = json.loads((FOLDER / "population.json").read_text())
    body["items"][0]["refugees"] = "4,20"
    body["items"][3]["year"] = "2022/23"
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(body))
    with pytest.raises(InputError) as caught:
        read_source("unhcr_population", path)
    assert [(f.row, f.column) for f in caught.value.faults] == [(1, "refugees"), (4, "year")]


def test_a_table_without_any_figure_of_persons(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("Year,Country of origin (ISO),Country of asylum (ISO)\n2020,AFG,AUT\n")
    with pytest.raises(InputError, match="no column of persons; allowed: 'refugees'"):
        read_source("unhcr_population", path)


PARTS = st.lists(
    st.tuples(
        st.sampled_from(["AFG", "SYR"]), st.sampled_from(["AUT", "DEU"]), st.integers(0, 10**6)
    ),
    min_size=1,
)


@settings(max_examples=40)
@given(parts=PARTS)
def test_values_are_sums_of_the_files_own_cells(
    parts: list[tuple[str, str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    items = [
        {"year": 2020, "coo_iso": o, "coa_iso": d, "app_type": "N", "app_pc": "P", "applied": n}
        for o, d, n in parts
    ]
    path = tmp_path_factory.mktemp("unhcr") / "a.json"
    path.write_text(json.dumps({"items": items}))
    frame = read_source("unhcr_applications", path)
    assert frame["value"].sum() == sum(n for _, _, n in parts)
    assert len(frame) == len({(o, d) for o, d, _ in parts})


def test_the_publishers_own_tables(shared: Path) -> None:
    folder = shared / "data" / "drivers" / "unhcr_refugees"
    stocks = read_source("unhcr_population", folder / "population.csv.gz")
    year = stocks[
        (stocks["period_start"] == "2022-12-31") & (stocks["source"] == "unhcr_population_refugees")
    ]
    raw = pd.read_csv(folder / "population.csv.gz", keep_default_na=False, na_values=[""])
    raw = raw[(raw["year"] == 2022) & ~raw["coo_iso"].isin(["UNK", "XXA", "TIB"])]
    raw = raw[(raw["coo_iso"] != raw["coa_iso"]) & (raw["coa_iso"] != "UNK")]
    assert year["value"].sum() == raw["refugees"].sum()
    assert observations_from_frame(stocks).n == len(stocks)
