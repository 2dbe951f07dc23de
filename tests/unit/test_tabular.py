"""Raw tables: what becomes of the cells of files as other programs write them."""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flowcast._sheet import Sheet
from flowcast._tabular import RawTable, raw_from_frame, read_raw
from flowcast.errors import Faults, InputError

HEADER = "origin,destination,value\n"


def read(folder: Path, content: str | bytes, name: str = "table.csv") -> tuple[RawTable, Faults]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    faults = Faults(name)
    return read_raw(path, faults), faults


def cells(raw: RawTable) -> list[list[str | None]]:
    """Return the cells row by row, None where one is missing."""
    frame = raw.frame.astype(object)
    return frame.where(frame.notna(), None).to_numpy().tolist()


def refused(folder: Path, content: str | bytes, name: str = "table.csv") -> list[str]:
    with pytest.raises(InputError) as caught:
        read(folder, content, name)
    return [str(fault) for fault in caught.value.faults]


# --- text as it stands ---------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["NA", "null", "NULL", "nan", "NaN", "None", "n/a", "N/A", "-"])
def test_words_that_readers_take_for_missing_are_kept(text: str, tmp_path: Path) -> None:
    raw, _ = read(tmp_path, f"{HEADER}{text},DE,1\n")
    assert cells(raw) == [[text, "DE", "1"]]


@pytest.mark.parametrize("text", ["007", "1e3", "1.50", "1,234", "TRUE", "2024-01-01", "1_000"])
def test_nothing_is_guessed(text: str, tmp_path: Path) -> None:
    raw, _ = read(tmp_path, f'{HEADER}AT,DE,"{text}"\n')
    assert cells(raw) == [["AT", "DE", text]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("last", [True, False], ids=["ended", "not ended"])
def test_line_ends_and_marks_of_other_systems_change_nothing(
    end: str, mark: bytes, last: bool, tmp_path: Path
) -> None:
    text = end.join(["origin,destination,value", "NA,DE,1", "AT,,2"]) + (end if last else "")
    raw, faults = read(tmp_path, mark + text.encode())
    assert list(raw.frame.columns) == ["origin", "destination", "value"]
    assert cells(raw) == [["NA", "DE", "1"], ["AT", None, "2"]]
    assert raw.rows.tolist() == [2, 3]
    assert not faults


def test_quotes_hold_commas_quotes_and_line_breaks(tmp_path: Path) -> None:
    text = f'{HEADER}"Bonn, Berlin","the ""old"" one",1\n"two\nlines",DE,2\nAT,DE,3\n'
    raw, _ = read(tmp_path, text)
    assert cells(raw) == [
        ["Bonn, Berlin", 'the "old" one', "1"],
        ["two\nlines", "DE", "2"],
        ["AT", "DE", "3"],
    ]
    assert raw.rows.tolist() == [2, 3, 5]


def test_spaces_around_cells_and_names_go_and_spaces_within_stay(tmp_path: Path) -> None:
    raw, _ = read(tmp_path, "origin , destination,\tvalue\n AT ,New  York,\u00a0 3\n")
    assert list(raw.frame.columns) == ["origin", "destination", "value"]
    assert cells(raw) == [["AT", "New  York", "3"]]


def test_a_cell_of_spaces_is_missing(tmp_path: Path) -> None:
    raw, _ = read(tmp_path, f'{HEADER}AT,"  ",1\n')
    assert cells(raw) == [["AT", None, "1"]]


def test_letters_of_every_language_survive(tmp_path: Path) -> None:
    raw, _ = read(tmp_path, f"{HEADER}Österreich,Côte d'Ivoire,日本\n")
    assert cells(raw) == [["Österreich", "Côte d'Ivoire", "日本"]]


# --- rows and their numbers ----------------------------------------------------------------------


@pytest.mark.parametrize("blank", ["\n", ",,\n", " , ,\n", "\r\n"])
def test_blank_rows_are_left_out_and_counted(blank: str, tmp_path: Path) -> None:
    raw, faults = read(tmp_path, f"{HEADER}AT,DE,1\n{blank}{blank}DE,AT,2\n")
    assert cells(raw) == [["AT", "DE", "1"], ["DE", "AT", "2"]]
    assert raw.rows.tolist() == [2, 5]
    assert not faults


def test_ragged_rows_are_told_by_number_and_the_others_are_read(tmp_path: Path) -> None:
    text = f"{HEADER}AT,DE,1\nAT,DE\nDE,AT,2,3\n\nDE,FR,4\n"
    raw, faults = read(tmp_path, text)
    assert [(fault.row, fault.found) for fault in faults] == [(3, "2 fields"), (4, "4 fields")]
    assert all(fault.allowed == "3 fields as in row 1" for fault in faults)
    assert cells(raw) == [["AT", "DE", "1"], ["DE", "FR", "4"]]
    assert raw.rows.tolist() == [2, 6]
    assert raw.left_out == (frozenset({"AT", "DE"}), frozenset({"DE", "AT", "2", "3"}))


def test_a_decimal_comma_shows_as_one_field_too_many(tmp_path: Path) -> None:
    _, faults = read(tmp_path, f"{HEADER}AT,DE,1\nAT,DE,1,5\n")
    assert [str(fault) for fault in faults] == [
        "(table.csv, row 3) | found 4 fields; allowed: 3 fields as in row 1"
    ]


def test_a_table_of_ragged_rows_alone_is_refused_by_those_rows(tmp_path: Path) -> None:
    told = refused(tmp_path, f"{HEADER}AT\nDE\n")
    assert told == [
        f"(table.csv, row {row}) | found 1 fields; allowed: 3 fields as in row 1" for row in (2, 3)
    ]


def test_the_fast_and_the_careful_way_read_the_same(tmp_path: Path) -> None:
    """A blank line at the end makes the reader go row by row."""
    body = 'NA," x ",007\n"a ""b""",,1e5\nÅland,DE,null\n'
    fast, _ = read(tmp_path, HEADER + body, "fast.csv")
    careful, _ = read(tmp_path, HEADER + body + "\n", "careful.csv")
    pd.testing.assert_frame_equal(fast.frame, careful.frame)
    assert fast.rows.tolist() == careful.rows.tolist() == [2, 3, 4]


# --- headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("a,b,a", "found column 'a' 2 times; allowed: each column once, by name"),
        ("a,b, a ", "found column 'a' 2 times; allowed: each column once, by name"),
        ("a,,b", "found a column without a name; allowed: each column once, by name"),
        ("a;b;c", "found fields separated by ';'; allowed: fields separated by ','"),
        ("a\tb\tc", "found fields separated by '\\\\t'; allowed: fields separated by ','"),
    ],
)
def test_columns_that_cannot_be_told_apart_are_refused(
    header: str, told: str, tmp_path: Path
) -> None:
    assert refused(tmp_path, f"{header}\n1,2,3\n") == [f"(table.csv, row 1) | {told}"]


def test_every_fault_of_a_header_is_told(tmp_path: Path) -> None:
    told = refused(tmp_path, "a,b,a,,b\n1,2,3,4,5\n")
    assert [text.split("found ")[1].split(";")[0] for text in told] == [
        "column 'a' 2 times",
        "column 'b' 2 times",
        "a column without a name",
    ]


def test_names_in_another_case_are_other_columns(tmp_path: Path) -> None:
    raw, _ = read(tmp_path, "a,A\n1,2\n")
    assert list(raw.frame.columns) == ["a", "A"]


# --- files ---------------------------------------------------------------------------------------


def test_the_hash_is_that_of_the_bytes_as_they_lie_on_disk(tmp_path: Path) -> None:
    content = gzip.compress(f"{HEADER}AT,DE,1\n".encode(), mtime=0)
    raw, _ = read(tmp_path, content, "table.csv.gz")
    assert raw.sha256 == hashlib.sha256(content).hexdigest()
    assert cells(raw) == [["AT", "DE", "1"]]


def test_endings_are_told_in_any_case(tmp_path: Path) -> None:
    raw, _ = read(tmp_path, f"{HEADER}AT,DE,1\n", "TABLE.CSV")
    assert cells(raw) == [["AT", "DE", "1"]]


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_another_encoding_is_told_with_the_row_of_the_first_byte(
    encoding: str, tmp_path: Path
) -> None:
    told = refused(tmp_path, f"{HEADER}AT,DE,1\nÖsterreich,DE,2\n".encode(encoding))
    assert told == [
        "(table.csv, row 3) | found byte 0xd6 that is not UTF-8; allowed: a file saved as UTF-8"
    ]


def test_the_encoding_of_a_compressed_file_is_checked_too(tmp_path: Path) -> None:
    content = gzip.compress(f"{HEADER}Österreich,DE,2\n".encode("latin-1"), mtime=0)
    (told,) = refused(tmp_path, content, "table.csv.gz")
    assert "table.csv.gz, row 2) | found byte 0xd6" in told


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("table.csv", "", "found an empty file"),
        ("table.csv", HEADER, "found a table without rows"),
        ("table.csv", HEADER + ",,\n\n", "found a table without rows"),
        ("table.csv.gz", gzip.compress(b"", mtime=0), "found a"),
        ("table.tsv", "a\tb\n", "found a file ending in '.tsv'"),
        ("table.xls", "old", "found a file ending in '.xls'"),
    ],
)
def test_files_without_a_table_are_refused(
    name: str, content: str | bytes, told: str, tmp_path: Path
) -> None:
    (fault,) = refused(tmp_path, content, name)
    assert fault.startswith(f"({name}")
    assert told in fault


# --- spreadsheets, Parquet and frames ------------------------------------------------------------


def test_numbers_stored_as_text_keep_their_zeros_in_a_workbook(tmp_path: Path) -> None:
    path = tmp_path / "table.xlsx"
    pd.DataFrame({"origin": ["NA", "AT"], "code": ["007", "010"], "value": [3, 4.5]}).to_excel(
        path, index=False
    )
    raw = read_raw(path, Faults("table.xlsx"))
    assert raw.frame["origin"].tolist() == ["NA", "AT"]
    assert raw.frame["code"].tolist() == ["007", "010"]
    assert raw.frame["value"].astype(float).tolist() == [3.0, 4.5]


def test_empty_rows_of_a_workbook_are_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "table.xlsx"
    pd.DataFrame({"a": ["x", None, "y"], "b": ["1", None, None]}).to_excel(path, index=False)
    raw = read_raw(path, Faults("table.xlsx"))
    assert cells(raw) == [["x", "1"], ["y", None]]
    assert raw.rows.tolist() == [2, 4]


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float32", "float64", "Int64"])
def test_numbers_of_parquet_stay_numbers(dtype: str, tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pd.DataFrame({"value": pd.Series([1, 2, 120], dtype=dtype)}).to_parquet(path)
    faults = Faults("table.parquet")
    sheet = Sheet(read_raw(path, faults), faults)
    assert sheet.numbers("value", "a number").tolist() == [1.0, 2.0, 120.0]
    assert not faults


def test_categories_and_objects_of_parquet_become_text(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    words = ["NA", None, "AT "]
    frame = pd.DataFrame({"kind": pd.Categorical(words), "plain": pd.Series(words, dtype=object)})
    frame.assign(n=[1, 2, 3]).to_parquet(path)
    raw = read_raw(path, Faults("table.parquet"))
    for column in ("kind", "plain"):
        found = raw.frame[column]
        assert isinstance(found.dtype, pd.StringDtype)
        assert found.isna().tolist() == [False, True, False]
        assert found.dropna().tolist() == ["NA", "AT"]


def test_booleans_are_not_taken_for_numbers() -> None:
    raw = raw_from_frame(pd.DataFrame({"value": [True, False]}), Faults("frame"), sha256="")
    assert raw.frame["value"].tolist() == ["True", "False"]


def test_the_index_of_a_frame_does_not_matter() -> None:
    frame = pd.DataFrame({"a": ["x", "", "y"]}, index=[30, 10, 20])
    raw = raw_from_frame(frame, Faults("frame"), sha256="ab")
    assert cells(raw) == [["x"], ["y"]]
    assert raw.rows.tolist() == [2, 4]
    assert raw.sha256 == "ab"
    assert frame["a"].tolist() == ["x", "", "y"]


def test_a_frame_with_two_columns_of_one_name_is_refused() -> None:
    frame = pd.DataFrame(np.ones((1, 2)), columns=["a", "a"])
    with pytest.raises(InputError, match="column 'a' 2 times"):
        raw_from_frame(frame, Faults("frame"), sha256="")


# --- cells under check ---------------------------------------------------------------------------


def sheet_of(**columns: list[str]) -> Sheet:
    faults = Faults("t.csv")
    return Sheet(raw_from_frame(pd.DataFrame(columns), faults, sha256=""), faults)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("1,234", "1234"),
        ("1.234.567", "1234567"),
        ("1 234", "1234"),
        ("1'234", "1234"),
        ("1\u00a0234", "1234"),
        ("-1,234", "-1234"),
        ("12,34", ""),
        ("many", ""),
    ],
)
def test_grouped_numbers_are_refused_with_the_plain_one(text: str, plain: str) -> None:
    sheet = sheet_of(value=["1", text])
    assert np.isnan(sheet.numbers("value", "a number")[1])
    (fault,) = sheet.faults
    assert (fault.row, fault.column, fault.hint or "") == (3, "value", plain)


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("2024-02-29", True),
        ("2024-02-29 00:00:00", True),
        ("2024-02-29T00:00:00.000", True),
        ("2023-02-29", False),
        ("2024-13-01", False),
        ("29.02.2024", False),
        ("2024-2-9", False),
        ("2024-02-29 12:00:00", False),
        ("20240229", False),
    ],
)
def test_dates_are_iso_dates_without_time(text: str, good: bool) -> None:
    sheet = sheet_of(period_start=["2020-01-01", text])
    found = sheet.dates("period_start")
    assert found[0] == pd.Timestamp("2020-01-01")
    assert found.isna().tolist() == [False, not good]
    assert [fault.row for fault in sheet.faults] == ([] if good else [3])


def test_a_refused_cell_is_not_refused_again() -> None:
    sheet = sheet_of(value=["x", "5", "inf"])
    values = sheet.numbers("value", "a number")
    sheet.limit("value", values, values < 3, "below 3", given=np.ones(3, dtype=bool))
    assert [(fault.row, fault.found) for fault in sheet.faults] == [
        (2, "text 'x'"),
        (4, "inf"),
        (3, "5"),
    ]
    assert sheet.clean("value").tolist() == [False, False, False]
    assert sheet.clean("another").all()
