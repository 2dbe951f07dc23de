"""Tables of indicators: from publishers' files by their readers, laid out, and every fault."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from reader_files import FIXTURES, REMITTANCES_2021, STOCKS_2024, write_book

from flowcast.errors import Fault, InputError
from flowcast.validation import indicator_table, load_catalogue, read_indicator
from flowcast.validation.indicator_tables import TABLE_COLUMNS

SIDES = ["origin", "destination"]


def cells(table: pd.DataFrame, *columns: str) -> list[list[Any]]:
    shown = table[list(columns)].astype(object)
    rows: list[list[Any]] = shown.where(shown.notna(), None).to_numpy().tolist()
    return rows


def faults_of(rows: list[dict[str, Any]], indicator: str = "asylum_unhcr") -> Sequence[Fault]:
    with pytest.raises(InputError) as refused:
        indicator_table(pd.DataFrame(rows), indicator, name="mine")
    return refused.value.faults


ROW = {"origin": "SY", "destination": "DE", "year": 2015, "value": 10.0}


# From publishers' files


def test_stocks_become_growth_between_dates_by_birthplace(tmp_path: Path) -> None:
    read = read_indicator("stock_growth_un", write_book(tmp_path / "ims.xlsx", STOCKS_2024))
    assert tuple(read.table) == TABLE_COLUMNS
    shown = read.table.assign(start=read.table["period_start"].astype(str))
    shown = shown.assign(end=shown["period_end"].astype(str))
    assert cells(shown, *SIDES, "start", "end", "value") == [
        ["PL", "DE", "1990-07-01", "2024-07-01", 40.0]
    ]
    # Japan counts by citizenship, Germany's total names no origin.
    assert read.left_out["a part, or not what the indicator measures"] > 0
    assert read.left_out["a total, not a pair of places"] > 0
    assert read.left_out["the last date of a stock"] == 1


def test_remittances_are_turned(tmp_path: Path) -> None:
    read = read_indicator(
        "remittances_world_bank", write_book(tmp_path / "b.xlsx", REMITTANCES_2021)
    )
    assert ["KE", "DE", 31.0] in cells(read.table, *SIDES, "value")  # sent from Germany to Kenya


def test_change_of_population_has_births_less_deaths() -> None:
    path = FIXTURES / "wpp" / "WPP2024_Demographic_Indicators_Change.csv"
    read = read_indicator("population_change_wpp", path)
    assert cells(read.table, *SIDES, "value", "natural_increase")[0] == [
        None, "AF", -64688.0, 1158.0,
    ]  # fmt: skip
    net = read_indicator("net_migration_wpp", path)
    increase = read.table["natural_increase"] + net.table["value"]
    assert increase.tolist() == pytest.approx(read.table["value"].tolist(), abs=2.0)


def test_others_are_wired_to_their_readers() -> None:
    index = read_indicator("connectedness_meta", FIXTURES / "meta" / "sci_2021.tsv")
    assert set(index.table["period_start"].astype(str)) == {"2021-10-01"}
    asylum = read_indicator("asylum_unhcr", FIXTURES / "unhcr" / "asylum_applications.csv")
    assert (asylum.table["value"] > 0).any()
    arrivals = read_indicator("refugee_arrivals_unhcr", FIXTURES / "unhcr" / "flows.csv")
    assert cells(arrivals.table, *SIDES, "value")[1] == ["UA", "PL", 1200.0]
    eurostat = read_indicator("asylum_eurostat", FIXTURES / "eurostat" / "migr_asyappctza.tsv")
    assert eurostat.n > 0
    moves = read_indicator(
        "scholar_moves_openalex", FIXTURES / "scholars" / "openalex_countryflows.csv"
    )
    assert moves.codes == "alpha2"
    fragile = read_indicator("fragile_states", FIXTURES / "political" / "fsi.csv")
    assert cells(fragile.table, "destination", "value")[1] == ["NA", 63.1]


def test_without_a_column_the_mean_of_the_answers_is_taken() -> None:
    read = read_indicator("migration_governance", FIXTURES / "mgi" / "mgi.csv")
    assert ["NA", 0.5] in cells(read.table, "destination", "value")


def test_editions_are_joined_and_what_is_twice_is_told(tmp_path: Path) -> None:
    for name, year in (("a.csv", 2014), ("b.csv", 2015)):
        (tmp_path / name).write_text(f"origin,destination,year,value\nSY,DE,{year},7\n")
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert read_indicator("asylum_unhcr", files).table["value"].tolist() == [7.0, 7.0]
    with pytest.raises(InputError, match="the same figure again"):
        read_indicator("asylum_unhcr", [files[0], files[0]])


def test_a_reader_that_gives_another_covariate_is_told() -> None:
    entry = load_catalogue().entry("fragile_states").model_copy(update={"column": "fsi_c1"})
    with pytest.raises(InputError, match=r"covariates fsi_total; allowed: one named fsi_c1"):
        read_indicator(entry, FIXTURES / "political" / "fsi.csv")


def test_faults_of_a_publishers_file_are_those_of_its_reader(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    path.write_text("year,coo_iso,coa_iso,refugee\n2022,AUT,AUS,5\n")
    with pytest.raises(InputError, match="did you mean refugee"):
        read_indicator("refugee_arrivals_unhcr", path)
    with pytest.raises(InputError, match="no such file"):
        read_indicator("foreign_born_lfs", tmp_path / "none.csv")


# Laid out


def test_a_file_of_observations_will_do() -> None:
    observed = pd.DataFrame(
        [
            ROW
            | {"source": "mine", "family": "administrative", "measure": "flow", "reporter": "other"}
        ]
    )
    read = indicator_table(observed, "asylum_unhcr")
    assert cells(read.table, "indicator", *SIDES, "value") == [["asylum_unhcr", "SY", "DE", 10.0]]


def test_negative_figures_and_own_places_are_taken() -> None:
    rows = [{**ROW, "origin": "Nord", "destination": "Sud", "value": -3.0}]
    read = indicator_table(pd.DataFrame(rows), "stock_growth_un", declared_places={"Nord", "Sud"})
    assert (read.codes, read.table["value"].item()) == ("declared", -3.0)


def test_all_faults_are_told_at_once_with_their_rows() -> None:
    found = faults_of(
        [
            ROW,
            {**ROW, "origin": "SYX"},
            {**ROW, "destination": None},
            {**ROW, "year": 2016.5},
            {**ROW, "year": 2017, "value": None},
            {**ROW, "destination": "SY"},
            ROW,
        ]
    )
    assert [(f.row, f.column) for f in found] == [
        (3, "origin"), (4, "destination"), (5, "year"), (6, "value"), (7, "destination"),
        (8, "value"),
    ]  # fmt: skip


def test_missing_columns_and_another_indicators_table_are_told() -> None:
    assert [f.column for f in faults_of([{"origin": "SY", "destination": "DE"}])] == ["value", None]
    (fault,) = faults_of([ROW | {"indicator": "asylum_eurostat"}])
    assert (fault.row, fault.allowed) == (2, "asylum_unhcr")
    (fault,) = faults_of([ROW | {"origin": None}], "population_change_wpp")
    assert fault.column == "natural_increase"


@pytest.mark.parametrize(
    ("indicator", "empty"),
    [("immigration_national", "destination"), ("detections_frontex", "origin")],
)
def test_a_total_names_its_place(indicator: str, empty: str) -> None:
    (fault,) = faults_of([ROW | {empty: None}], indicator)
    assert fault.column == empty
