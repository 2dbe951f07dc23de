"""Stock tables, vital events and seeds from files: both forms, and every fault with its place."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from flowcast.accounting import (
    read_accounts,
    read_seed,
    read_stocks,
    read_vital_events,
    tidy_flows,
)
from flowcast.errors import InputError, UsageError

TIDY = """birthplace,residence,stock
NA,NA,90
NA,ZA,10
ZA,ZA,50
"""
MATRIX = "birthplace,NA,ZA\nNA,90,10\nZA,0,50\n"
VITAL = "place,births,deaths\nZA,3,1\nNA,4,2\n"


Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str, name: str = "stocks.csv") -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return to_file


def faults_of(error: pytest.ExceptionInfo[InputError]) -> list[str]:
    """Return the faults without the folder of the test."""
    return [str(f).replace(str(Path(f.where).parent) + "/", "") for f in error.value.faults]


# --- what is read --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [TIDY, MATRIX], ids=["tidy", "matrix"])
def test_both_forms_say_the_same(write: Write, text: str) -> None:
    stocks = read_stocks(write(text))
    assert stocks.dims == ("birthplace", "residence")
    assert stocks["birthplace"].to_numpy().tolist() == ["NA", "ZA"]
    assert stocks.to_numpy().tolist() == [[90.0, 10.0], [0.0, 50.0]]
    assert stocks.attrs["units"] == "persons"


def test_a_matrix_may_leave_its_corner_empty_and_order_its_columns_otherwise(write: Write) -> None:
    """As spreadsheets and R write one."""
    stocks = read_stocks(write('"","ZA","NA"\n"NA",10,90\n"ZA",50,0\n'))
    assert stocks["residence"].to_numpy().tolist() == ["NA", "ZA"]
    assert stocks.to_numpy().tolist() == [[90.0, 10.0], [0.0, 50.0]]


def test_a_column_without_a_name_elsewhere_is_still_refused(write: Write) -> None:
    with pytest.raises(InputError, match="a column without a name"):
        read_stocks(write("birthplace,NA,\nNA,90,10\n"))


def test_parquet_and_numeric_codes(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"birthplace": [1, 1, 2], "residence": [1, 2, 2], "stock": [9.5, 1.0, 5.0]}
    )
    frame.to_parquet(tmp_path / "s.parquet")
    stocks = read_stocks(tmp_path / "s.parquet")
    assert stocks["birthplace"].to_numpy().tolist() == ["1", "2"]
    assert float(stocks[0, 0]) == 9.5


def test_vital_events_by_place_or_country(write: Write) -> None:
    events = read_vital_events(write(VITAL.replace("place", "country")))
    assert events["births"].sel(place="NA") == 4.0
    assert events["deaths"].sel(place="ZA") == 1.0


def test_accounts_bring_all_files_to_one_order(write: Write) -> None:
    start, end = write(TIDY, "start.csv"), write("birthplace,ZA,NA\nZA,55,1\nNA,12,80\n", "end.csv")
    vital = write(VITAL, "vital.csv")
    data = read_accounts(start, end, vital, vital)
    assert data["stock_end"].to_numpy().tolist() == [[80.0, 12.0], [1.0, 55.0]]
    assert data["births"].to_numpy().tolist() == [4.0, 3.0]
    assert set(read_accounts(start)) == {"stock_start"}


def test_births_alone_need_no_deaths(write: Write) -> None:
    births = write("place,births\nNA,4\nZA,3\n", "births.csv")
    deaths = write("place,deaths\nNA,2\nZA,1\n", "deaths.csv")
    data = read_accounts(write(TIDY), None, births, deaths)
    assert data["deaths"].to_numpy().tolist() == [2.0, 1.0]


def test_native_born_may_be_left_out_where_they_are_not_used(write: Write) -> None:
    path = write("birthplace,residence,stock\nNA,ZA,10\nZA,NA,5\n")
    stocks = read_stocks(path, native_born=False)
    assert stocks.to_numpy().tolist() == [[0.0, 10.0], [5.0, 0.0]]
    with pytest.raises(InputError) as refused:
        read_stocks(path)
    assert faults_of(refused) == [
        f"(stocks.csv) | found no native-born of {place}; allowed: "
        "a row for those who live where they were born"
        for place in ("NA", "ZA")
    ]


# --- what is refused -----------------------------------------------------------------------------


def test_every_fault_of_a_tidy_table_is_told_with_its_row_and_column(write: Write) -> None:
    text = TIDY + "ZA,NA,-3\nZA,,4\nNA,ZA,10\nZA,BW,many\nBW,NA,\n"
    with pytest.raises(InputError) as refused:
        read_stocks(write(text))
    assert faults_of(refused) == [
        "(stocks.csv, row 5, stock) | found -3; allowed: persons, 0 or more",
        "(stocks.csv, row 6, residence) | found an empty cell; allowed: a place",
        "(stocks.csv, row 7, birthplace) | found the same birthplace and residence as row 3; "
        "allowed: one row per birthplace and residence",
        "(stocks.csv, row 8, stock) | found text 'many'; allowed: persons, 0 or more",
        "(stocks.csv, row 9, stock) | found an empty cell; allowed: persons, 0 or more",
    ]


def test_every_fault_of_a_matrix_is_told_with_its_row_and_column(write: Write) -> None:
    text = 'birthplace,NA,ZA,BWA\nNA,"1,090",10,1\nZA,-2,50,\nBW,1,2,3\nNA,1,2,3\n'
    with pytest.raises(InputError) as refused:
        read_stocks(write(text))
    found = faults_of(refused)
    assert (
        "(stocks.csv, row 2, NA) | found text '1,090'; allowed: persons, 0 or more; "
        "did you mean 1090?" in found
    )
    assert "(stocks.csv, row 3, NA) | found -2; allowed: persons, 0 or more" in found
    assert (
        "(stocks.csv, row 5, birthplace) | found the same birthplace as row 2; allowed: one row "
        "per birthplace" in found
    )
    assert (
        "(stocks.csv, row 4, birthplace) | found 'BW', which has no column; allowed: a place "
        "that has a column too; did you mean BWA?" in found
    )
    assert any(
        f.startswith("(stocks.csv, row 1, BWA) | found a column without a row") for f in found
    )
    assert len(found) == 5


def test_a_misspelt_column_of_a_tidy_table_is_named(write: Write) -> None:
    with pytest.raises(InputError, match="did you mean residence"):
        read_stocks(write(TIDY.replace("residence", "residense")))
    with pytest.raises(InputError) as refused:
        read_stocks(write(TIDY.replace("stock", "stocks")))
    assert faults_of(refused) == [
        "(stocks.csv, row 1, stock) | found no such column; allowed: this column; "
        "did you mean stocks?"
    ]


def test_faults_of_all_files_come_together(write: Write) -> None:
    start = write(TIDY.replace("90", "-90"), "start.csv")
    vital = write("place,births\nNA,x\n", "vital.csv")
    with pytest.raises(InputError) as refused:
        read_accounts(start, "nowhere.csv", vital, vital)
    assert {Path(f.where).name for f in refused.value.faults} == {
        "start.csv", "nowhere.csv", "vital.csv",
    }  # fmt: skip


def test_places_that_one_file_lacks_are_named_with_the_one_meant(write: Write) -> None:
    start, vital = write(TIDY, "start.csv"), write(VITAL.replace("NA", "NAM"), "vital.csv")
    with pytest.raises(InputError) as refused:
        read_accounts(start, start, vital, vital)
    found = faults_of(refused)
    assert found[0].startswith("(vital.csv) | found no NA; allowed: every place of")
    assert found[0].endswith("did you mean NAM?")
    assert found[1].startswith("(vital.csv) | found NAM, which")
    assert len(found) == 2


def test_vital_events_have_one_row_a_place(write: Write) -> None:
    with pytest.raises(InputError) as refused:
        read_vital_events(write(VITAL + "NA,1,1\n,1,1\n"))
    assert faults_of(refused) == [
        "(stocks.csv, row 4, place) | found the same place as row 3; allowed: one row per place",
        "(stocks.csv, row 5, place) | found an empty cell; allowed: a place",
    ]


@pytest.mark.parametrize("name", ["nowhere.csv", "stocks.txt"])
def test_files_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "stocks.txt").write_text(TIDY)
    for read in (read_stocks, read_vital_events, read_seed):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


# --- seeds ---------------------------------------------------------------------------------------

SEED = "origin,destination,seed\nNA,ZA,2\nZA,NA,1\n"


def test_a_seed_needs_no_stayers(write: Write) -> None:
    seed = read_seed(write(SEED))
    assert seed.dims == ("origin", "destination")
    assert float(seed.sel(origin="NA", destination="ZA")) == 2.0
    assert np.isnan(np.diag(seed)).all()
    assert read_seed(write(SEED.replace("seed", "flow"))).equals(seed)
    assert read_seed(write(",NA,ZA\nNA,0,2\nZA,1,0\n")).dims == ("origin", "destination")


def test_a_seed_may_differ_by_birthplace(write: Write) -> None:
    rows = [f"{b},{o},{d},{v}" for b in "AB" for o, d, v in (("A", "B", 1), ("B", "A", 2))]
    seed = read_seed(write("birthplace,origin,destination,seed\n" + "\n".join(rows)))
    assert seed.dims == ("birthplace", "origin", "destination")
    assert float(seed.sel(birthplace="B", origin="B", destination="A")) == 2.0


def test_a_seed_says_every_move(write: Write) -> None:
    with pytest.raises(InputError) as refused:
        read_seed(write(SEED + "NA,BW,1\nZA,BW,1\n"))
    assert faults_of(refused) == [
        "(stocks.csv) | found no seed from BW to NA, ZA; allowed: a row for every two places, "
        "0 where nobody can move"
    ]


# --- tables --------------------------------------------------------------------------------------


def test_tidy_flows_have_a_row_for_every_corridor_and_none_for_stayers() -> None:
    labels = {"draw": [3, 4], "origin": ["A", "B"], "destination": ["A", "B"]}
    flows = xr.DataArray(np.arange(8.0).reshape(2, 2, 2), coords=labels).assign_coords(weight=0.9)
    frame = tidy_flows(flows.transpose("destination", "draw", "origin"))
    assert frame.columns.tolist() == ["draw", "origin", "destination", "flow"]
    assert frame.to_numpy().tolist() == [
        [3, "A", "B", 1.0], [3, "B", "A", 2.0], [4, "A", "B", 5.0], [4, "B", "A", 6.0],
    ]  # fmt: skip


def test_tidy_flows_need_an_origin() -> None:
    with pytest.raises(UsageError, match="origin"):
        tidy_flows(xr.DataArray([1.0], coords={"place": ["A"]}))
