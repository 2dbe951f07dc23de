"""Readers for indicators: arrivals, scholars, change of population, states: taken and left."""

from pathlib import Path

import pytest
from reader_files import FIXTURES, FSI_2006, write_book

from flowcast.errors import InputError
from flowcast.sources.readers import read_source

WPP = FIXTURES / "wpp" / "WPP2024_Demographic_Indicators_Change.csv"


def test_change_of_population_is_in_persons_with_births_and_deaths() -> None:
    frame = read_source("wpp_population_change", WPP)
    assert frame.to_numpy().tolist() == [
        ["AF", 2022, -64688.0, 1434.0, 276.0],
        ["NA", 2022, 61.0, 80.0, 30.0],
        ["NA", 2023, 62.0, 81.0, 29.0],
    ]
    assert set(frame.attrs["units"].values()) == {"persons per year"}
    high = read_source("wpp_population_change", WPP, variant="High")
    assert high["change"].tolist() == [70.0]


def test_arrivals_are_by_iso_codes_and_missing_ones_are_no_zeros() -> None:
    frame = read_source("unhcr_arrivals", FIXTURES / "unhcr" / "flows.csv")
    assert frame.to_numpy().tolist() == [["AT", "AU", 2022, 5.0], ["UA", "PL", 2022, 1200.0]]
    assert frame.attrs["left_out"] == {
        "coo_iso 'UNK' is not one country": 1,
        "a total": 1,
        "origin and destination are the same place": 1,
        "no value": 1,
    }


def test_moves_of_scholars_have_codes_of_either_kind() -> None:
    three = read_source("scholar_moves", FIXTURES / "scholars" / "scopus_countryflows.csv")
    two = read_source("scholar_moves", FIXTURES / "scholars" / "openalex_countryflows.csv")
    assert three.to_numpy().tolist() == [["US", "DE", 2014, 1270.0], ["NA", "ZA", 2014, 12.0]]
    assert two.to_numpy().tolist() == [["US", "DE", 2014, 1270.0], ["NA", "ZA", 2015, 12.0]]
    assert three.attrs["left_out"] == {
        "migrationfrom 'EUE' is not one country": 1,
        "migrationfrom '' is not one country": 1,
        "origin and destination are the same place": 1,
    }


def test_fragility_is_read_from_workbook_and_csv(tmp_path: Path) -> None:
    frame = read_source("fragile_states", FIXTURES / "political" / "fsi.csv")
    assert frame.to_numpy().tolist() == [["SO", 2023, 111.9], ["NA", 2023, 63.1]]
    assert frame.attrs["left_out"] == {"country 'Northland' is not one country": 1}
    old = read_source("fragile_states", write_book(tmp_path / "fsi.xlsx", FSI_2006))
    assert old.to_numpy().tolist() == [["SD", 2006, 112.3], ["NA", 2006, 73.2]]


def test_rows_that_repeat_a_total_count_once(tmp_path: Path) -> None:
    path = tmp_path / "fsi.csv"
    path.write_text("geo,t,total,code\nSDN,2006,112.3,C1\nSDN,2006,112.3,C2\n")
    assert read_source("fragile_states", path)["fsi_total"].tolist() == [112.3]
    path.write_text("geo,t,total,code\nSDN,2006,112.3,C1\nSDN,2006,112.4,C2\n")
    with pytest.raises(InputError, match="SD 2006 again"):
        read_source("fragile_states", path)


def test_indices_of_democracy_are_those_asked_for() -> None:
    path = FIXTURES / "political" / "vdem.csv"
    frame = read_source("vdem_indices", path)
    assert frame.to_numpy().tolist() == [["NA", 2020, 0.637]]
    assert frame.attrs["left_out"] == {"country 'ZZB' is not one country": 1, "no value": 1}
    both = read_source("vdem_indices", path, columns="v2x_polyarchy, v2x_libdem")
    assert both["v2x_libdem"].tolist() == [0.551, 0.55]
