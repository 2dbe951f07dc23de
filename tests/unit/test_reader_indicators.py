"""Meta's flows and connectedness, World Bank indicators, OECD's migration database."""

import json
from pathlib import Path

import pandas as pd
import pytest
from reader_files import FIXTURES

from flowcast.errors import InputError, UsageError
from flowcast.observations import observations_from_frame
from flowcast.sources.readers import read_source

META, BANK, OECD = FIXTURES / "meta", FIXTURES / "world_bank", FIXTURES / "oecd"


def pairs(frame: pd.DataFrame, *more: str) -> list[list[object]]:
    observations_from_frame(frame)
    rows: list[list[object]] = frame[["origin", "destination", "value", *more]].to_numpy().tolist()
    return rows


def test_flows_by_month_where_na_is_namibia() -> None:
    frame = read_source("meta_flows", META / "international_migration_flow.csv")
    assert pairs(frame, "period_start", "period_end") == [
        ["NA", "ZA", 24, "2022-11-01", "2022-12-01"],
        ["NA", "ZA", 19, "2022-12-01", "2023-01-01"],
        ["AD", "ES", 31, "2022-12-01", "2023-01-01"],
    ]
    assert set(frame["family"]) == {"digital"}
    assert set(frame["duration_months"]) == {12}


def test_flows_with_months_as_days() -> None:
    frame = read_source("meta_flows", META / "international_migration_flow_days.csv")
    assert pairs(frame, "period_start") == [["NA", "ZA", 19, "2022-12-01"]]


def test_a_month_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "flows.csv"
    path.write_text(
        "country_from,country_to,migration_month,num_migrants\nNA,ZA,2022-13,5\nNA,ZA,2022,5\n"
    )
    with pytest.raises(InputError) as caught:
        read_source("meta_flows", path)
    assert [(f.row, f.column) for f in caught.value.faults] == [
        (2, "migration_month"),
        (3, "migration_month"),
    ]


def test_connectedness_and_its_later_columns() -> None:
    frame = read_source("meta_connectedness", META / "sci_2021.tsv", month="2021-10")
    assert pairs(frame) == [["NA", "ZA", 1200], ["ZA", "NA", 1200]]
    assert set(frame["measure"]) == {"index"}
    assert frame.attrs["left_out"] == {"origin and destination are the same place": 1}
    later = read_source("meta_connectedness", META / "sci_2025.csv", month="2025-10")
    assert pairs(later, "period_end") == [["NA", "ZA", 1300, "2025-11-01"]]


@pytest.mark.parametrize("month", [None, "October 2021", "2021-00"])
def test_connectedness_needs_the_month_of_the_edition(month: str | None) -> None:
    with pytest.raises(UsageError, match="allowed: the month of the edition"):
        read_source("meta_connectedness", META / "sci_2021.tsv", month=month)


def test_the_published_index(shared: Path) -> None:
    path = shared / "data" / "flows" / "sci_2021" / "sci_country_country_oct2021.csv.gz"
    frame = read_source("meta_connectedness", path, month="2021-10")
    assert len(frame) == 185 * 184
    assert observations_from_frame(frame).n == len(frame)


def test_indicators_of_countries_without_regions() -> None:
    frame = read_source("world_bank", BANK / "SP.POP.TOTL.json")
    assert frame.to_numpy().tolist() == [["NA", 2022, 2889], ["XK", 2022, 1762]]
    assert frame.attrs["units"] == {"SP.POP.TOTL": "Population, total"}
    assert frame.attrs["left_out"] == {"country 'AFE' is not one country": 1, "no value": 1}


def test_indicators_of_version_1_have_two_letters() -> None:
    frame = read_source("world_bank", BANK / "SP.POP.TOTL_v1.json")
    assert frame.to_numpy().tolist() == [["BR", 2006, 187000]]
    assert frame.attrs["left_out"] == {"country '1W' is not one country": 1}


def test_several_indicators_stand_side_by_side(tmp_path: Path) -> None:
    head, records = json.loads((BANK / "SP.POP.TOTL.json").read_text())
    other = {**records[1], "indicator": {"id": "NY.GDP", "value": "GDP"}, "value": 4.5}
    path = tmp_path / "two.json"
    path.write_text(json.dumps([head, [*records, {**other, "unit": "US$"}]]))
    frame = read_source("world_bank", path)
    assert frame[frame["place"] == "NA"][["SP.POP.TOTL", "NY.GDP"]].to_numpy().tolist() == [
        [2889, 4.5]
    ]
    assert frame.attrs["units"]["NY.GDP"] == "US$"
    path.write_text(json.dumps([head, [*records, records[1]]]))
    with pytest.raises(InputError, match=r"row 5\) \| found the same figure again"):
        read_source("world_bank", path)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ([{"message": [{"id": "120", "key": "Invalid value"}]}], "an error message"),
        ([{"page": 1, "pages": 1}, []], "no records"),
        ([{"page": 1, "pages": 3}, [{"date": "2020"}]], "page 1 of 3; allowed: the whole answer"),
        ([{"page": 1, "pages": 1}, [{"date": "2020"}]], r"row 1, country\) \| found no such key"),
    ],
)
def test_answers_that_hold_no_whole_table(answer: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(answer))
    with pytest.raises(InputError, match=words):
        read_source("world_bank", path)


def test_the_migration_database() -> None:
    frame = read_source("oecd_migration", OECD / "mig.csv")
    assert pairs(frame, "source", "measure", "criterion", "sex", "flag") == [
        ["IN", "CA", 1280, "oecd_imd", "flow", "citizenship", "", "A"],
        ["", "CA", 4060, "oecd_imd", "immigration", "citizenship", "", "A"],
        ["IN", "CA", 640, "oecd_imd", "flow", "citizenship", "female", "E"],
        ["JP", "CN", 700, "oecd_imd", "flow", "citizenship", "", "A"],
        ["PL", "CA", 150, "oecd_imd", "stock", "citizenship", "", "A"],
    ]
    assert frame.attrs["left_out"] == {
        "a row of attributes, without a figure": 1,
        "a variable other than B11 to B15": 1,
        "REF_AREA 'OECD' is not one country": 1,
    }


def test_the_foreign_born_have_a_dataflow_and_codes_of_their_own() -> None:
    frame = read_source("oecd_migration", OECD / "mig_popf.csv")
    assert pairs(frame, "measure", "criterion", "sex", "flag") == [
        ["XK", "FR", 31, "stock", "birth", "", "A"],
        ["YU", "FR", 44, "stock", "birth", "", "A"],
        ["", "FR", 900, "stock", "birth", "female", "B"],
    ]
    assert set(frame.attrs["left_out"]) == {
        "partner 'CSK_F' is not one country",
        "partner 'EU15' is not one country",
    }


def test_the_migration_database_of_oecd_stat() -> None:
    frame = read_source("oecd_migration", OECD / "mig_oecdstat.csv")
    assert pairs(frame, "measure", "flag") == [
        ["AF", "AU", 310, "flow", ""],
        ["", "AU", 2700, "asylum_applications", "e"],
        ["AF", "AU", 4600, "stock", ""],
    ]


def test_parts_of_a_figure_of_the_database_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "mig.csv"
    text = (OECD / "mig.csv").read_text()
    whole = "CAN,IND,A,B11,_T,_Z,_Z"
    more = [
        line.replace(whole, part)
        for line in text.splitlines()
        if whole in line
        for part in (
            "CAN,IND,A,B11,_T,POL,_Z",
            "CAN,IND,A,B11,_T,_Z,ISCED11_5",
            "CAN,IND,A,B11,X,_Z,_Z",
        )
    ]
    path.write_text("\n".join([*text.splitlines(), *more, ""]))
    left = read_source("oecd_migration", path).attrs["left_out"]
    assert left["a part by birthplace"] == 1
    assert left["a part by education"] == 1
    assert left["sex unknown"] == 1
