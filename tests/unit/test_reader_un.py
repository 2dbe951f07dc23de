"""United Nations: stocks of 2020 and 2024, flows of 2015, World Population Prospects."""

from pathlib import Path

import pandas as pd
import pytest
from reader_files import (
    FIXTURES,
    FLOWS_2015,
    FLOWS_BARE,
    STOCKS_2020,
    STOCKS_2024,
    Sheets,
    write_book,
)

from flowcast.covariates import read_covariates
from flowcast.errors import InputError
from flowcast.observations import observations_from_frame
from flowcast.sources.readers import read_source

WPP = FIXTURES / "wpp"


def read_book(reader: str, sheets: Sheets, folder: Path, **options: object) -> pd.DataFrame:
    frame = read_source(reader, write_book(folder / "book.xlsx", sheets), **options)
    observations_from_frame(frame)
    return frame


def with_cell(sheets: Sheets, sheet: str, row: int, column: int, cell: object) -> Sheets:
    """Return the sheets with one cell changed (row and column from 1)."""
    rows = [list(r) for r in sheets[sheet]]
    rows[row - 1][column - 1] = cell
    return {**sheets, sheet: rows}


def test_stocks_of_2024(tmp_path: Path) -> None:
    frame = read_book("un_stocks", STOCKS_2024, tmp_path)
    both = frame[(frame["sex"] == "") & (frame["period_start"] == "2024-07-01")]
    assert both[["origin", "destination", "value", "criterion", "flag"]].to_numpy().tolist() == [
        ["", "DE", 700, "birth", "B"],
        ["PL", "DE", 70, "birth", "B"],
        ["BR", "JP", 20, "citizenship", "C"],
    ]
    assert set(frame["measure"]) == {"stock"}
    assert set(frame["period_end"]) == {"1990-07-02", "2024-07-02"}
    men = frame[frame["sex"] == "male"]["value"]
    women = frame[frame["sex"] == "female"]["value"]
    assert men.sum() + women.sum() == frame[frame["sex"] == ""]["value"].sum()
    assert frame.attrs["left_out"] == {
        "destination code '900' is not one country": 2,
        "destination code '908' is not one country": 1,
        "origin code '2003' is not one country": 1,
        "no value": 3,
    }


def test_stocks_of_2020_have_other_columns(tmp_path: Path) -> None:
    frame = read_book("un_stocks", STOCKS_2020, tmp_path)
    assert frame[frame["sex"] == ""]["value"].tolist() == [11, 12]
    assert set(frame["source"]) == {"un_ims_2020"}
    assert set(frame["origin"]) == {"SS"}
    assert set(frame["flag"]) == {"B R"}
    assert frame.attrs["left_out"] == {"destination code '830' is not one country": 1}


def test_codes_as_text_and_a_file_without_sexes(tmp_path: Path) -> None:
    sheets: Sheets = {
        "Table 1": [
            ["Location code of destination", "Location code of origin", "2024"],
            ["008", "76.0", 5],
            [None, None, "a note"],
        ]
    }
    frame = read_book("un_stocks", sheets, tmp_path)
    assert frame[["origin", "destination", "value"]].to_numpy().tolist() == [["BR", "AL", 5]]
    assert frame.attrs["left_out"] == {"no code: a heading or a note": 1}


def test_a_cell_of_a_stock_that_is_no_figure(tmp_path: Path) -> None:
    sheets = with_cell(STOCKS_2024, "Table 1", 9, 9, "n.a.")
    with pytest.raises(InputError, match=r"sheet 'Table 1', row 9, 2024\) \| found 'n.a.'"):
        read_book("un_stocks", sheets, tmp_path)


@pytest.mark.parametrize(
    ("years", "words"),
    [([], "no column of a year"), ([1990, 2024, 2024], "2 columns 2024; allowed: one for both")],
)
def test_years_that_cannot_be(years: list[int], words: str, tmp_path: Path) -> None:
    head = ["Location code of destination", "Location code of origin", *years]
    with pytest.raises(InputError, match=words):
        read_book("un_stocks", {"Table 1": [head, [276, 616, *years]]}, tmp_path)


def test_a_sheet_under_another_name_is_asked_for(tmp_path: Path) -> None:
    path = write_book(tmp_path / "b.xlsx", {"Table_1": [["x"]]})
    with pytest.raises(
        InputError, match=r"no sheet 'Table 1', only 'Table_1'.*did you mean Table_1"
    ):
        read_source("un_stocks", path)


def test_a_sheet_without_a_header(tmp_path: Path) -> None:
    path = write_book(tmp_path / "b.xlsx", {"Table 1": [["x"], ["y"]]})
    with pytest.raises(InputError, match="no header in the first 2 rows"):
        read_source("un_stocks", path)


def test_flows_by_residence_and_citizenship(tmp_path: Path) -> None:
    frame = read_book("un_flows", FLOWS_2015, tmp_path)
    columns = ["measure", "origin", "destination", "period_start", "value", "reporter"]
    by_residence = frame[frame["criterion"] == "residence"]
    assert by_residence[columns].to_numpy().tolist() == [
        ["immigration", "", "SE", "1991-01-01", 490, "destination"],
        ["flow", "NO", "SE", "1991-01-01", 110, "destination"],
        ["flow", "YU", "SE", "1991-01-01", 40, "destination"],
        ["emigration", "SE", "", "1991-01-01", 240, "origin"],
        ["immigration", "", "SE", "2012-01-01", 1030, "destination"],
        ["flow", "NO", "SE", "2012-01-01", 120, "destination"],
        ["flow", "SE", "KR", "2012-01-01", 12, "origin"],
        ["emigration", "SE", "", "2012-01-01", 510, "origin"],
    ]
    by_passport = frame[frame["criterion"] == "citizenship"]
    assert by_passport[["origin", "destination", "value"]].to_numpy().tolist() == [
        ["SE", "FI", 31],
        ["SE", "FI", 32],
    ]
    assert frame.attrs["left_out"] == {
        "a note below the table": 1,
        "foreigners or citizens alone": 1,
        "partner 'Unknown' is not one country": 1,
        "no value": 1,
        "origin and destination are the same place": 2,
        "the country did not exist then": 1,
    }


def test_flows_without_the_title_block_and_with_numbers_as_text(tmp_path: Path) -> None:
    frame = read_book("un_flows", FLOWS_BARE, tmp_path)
    assert frame[["origin", "destination", "value"]].to_numpy().tolist() == [["AL", "IT", 81]]


def test_a_reporter_is_told_where_the_sheet_does_not(tmp_path: Path) -> None:
    sheets: Sheets = {"Italia by Residence": FLOWS_BARE["Italy by Residence"]}
    with pytest.raises(InputError, match=r"found a sheet of 'Italia'.*or tell `reporter`"):
        read_book("un_flows", sheets, tmp_path)
    assert read_book("un_flows", sheets, tmp_path, reporter="IT")["destination"].tolist() == ["IT"]


def test_faults_of_flows_are_told_together(tmp_path: Path) -> None:
    sheet = "Italy by Residence"
    wrong = with_cell(with_cell(FLOWS_BARE, sheet, 2, 1, "Tourists"), sheet, 2, 10, "x")
    with pytest.raises(InputError) as caught:
        read_book("un_flows", wrong, tmp_path)
    assert [fault.column for fault in caught.value.faults] == ["Type", "1995"]


def test_flows_without_years(tmp_path: Path) -> None:
    sheets: Sheets = {"Italy by Residence": [r[:9] for r in FLOWS_BARE["Italy by Residence"]]}
    with pytest.raises(InputError, match="no column of a year"):
        read_book("un_flows", sheets, tmp_path)


def test_net_migration_in_persons_and_of_2019_over_five_years() -> None:
    frame = read_source("wpp_net_migration", WPP / "WPP2024_Demographic_Indicators_Medium.csv")
    assert frame[["origin", "destination", "value"]].to_numpy().tolist() == [["", "AF", -65846]]
    assert frame.attrs["left_out"] == {
        "variant other than Medium": 1,
        "LocID '900' is not one country": 1,
        "no value": 1,
    }
    old = read_source("wpp_net_migration", WPP / "WPP2019_Period_Indicators_Medium.csv")
    assert old["value"].tolist() == [-314600]
    assert set(frame["source"]) == {"un_wpp_2024"}
    assert set(old["source"]) == {"un_wpp_2019"}
    assert old["period_start"].tolist() == ["2015-07-01"]
    assert old["period_end"].tolist() == ["2020-07-01"]
    observations_from_frame(old)


def test_an_edition_that_the_name_of_the_file_does_not_tell(tmp_path: Path) -> None:
    text = (WPP / "WPP2019_Period_Indicators_Medium.csv").read_text()
    (tmp_path / "net.csv").write_text(text)
    frame = read_source("wpp_net_migration", tmp_path / "net.csv")
    assert set(frame["source"]) == {"un_wpp_2019"}
    (tmp_path / "net.csv").write_text(text.replace("2015-2020", "2016"))
    frame = read_source("wpp_net_migration", tmp_path / "net.csv")
    assert set(frame["source"]) == {"un_wpp"}


def test_another_variant() -> None:
    path = WPP / "WPP2024_Demographic_Indicators_Medium.csv"
    assert read_source("wpp_net_migration", path, variant="High")["value"].tolist() == [-20000]
    with pytest.raises(InputError, match=r"no row that can be used \(variant other than Low: 4\)"):
        read_source("wpp_net_migration", path, variant="Low")


def test_population_serves_as_a_table_of_places(tmp_path: Path) -> None:
    frame = read_source("wpp_population", WPP / "WPP2024_Demographic_Indicators_Medium.csv")
    assert frame.to_numpy().tolist() == [
        ["AF", 2022, 40600, 1434, 276],
        ["NA", 2022, 2889, 81, 25],
    ]
    path = tmp_path / "places.csv"
    frame.to_csv(path, index=False)
    assert float(read_covariates(path)["births"].sum()) == 1515


def test_population_of_2019_had_a_file_of_its_own() -> None:
    frame = read_source("wpp_population", WPP / "WPP2019_TotalPopulationBySex.csv")
    assert frame.to_numpy().tolist() == [["AF", 1950, 7700]]
    assert list(frame.columns) == ["place", "year", "population"]


def test_population_of_a_span_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wpp.csv"
    text = (WPP / "WPP2024_Demographic_Indicators_Medium.csv").read_text()
    path.write_text(text.replace("Medium,2022,40.2", "Medium,2020-2022,40.2"))
    with pytest.raises(InputError, match=r"row 3, Time\) \| found '2020-2022'"):
        read_source("wpp_population", path)
    path.write_text(text.replace("Medium,2022,40.2", "Medium,early,40.2"))
    with pytest.raises(InputError, match="allowed: 2020 or 2015-2020"):
        read_source("wpp_net_migration", path)
