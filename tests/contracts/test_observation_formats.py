"""One table of reports, whatever program wrote the file: the same observations."""

import csv
import gzip
import io
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowcast.errors import InputError
from flowcast.observations import read_observations
from flowcast.vocabulary import OBSERVATION_COLUMNS

COLUMNS = (
    *["source", "family", "measure", "origin", "destination", "period_start", "period_end"],
    *["value", "reporter", "duration_months", "undercount_class", "standard_error"],
    *["censored_below", "mirror_of", "age", "vintage", "flag"],
)
START, END, VINTAGE = date(2024, 1, 1), date(2025, 1, 1), date(2026, 7, 2)
Row = tuple[Any, ...]


def row(*ends: str | None, value: float, **cells: Any) -> Row:  # noqa: ANN401
    """Return a row of typed cells; None is empty."""
    origin, destination = ends
    given = {
        "source": "register",
        "family": "administrative",
        "measure": "flow",
        "origin": origin,
        "destination": destination,
        "period_start": START,
        "period_end": END,
        "value": value,
        "reporter": "destination",
        **cells,
    }
    return tuple(given.get(name) for name in COLUMNS)


ROWS = [
    row("NA", "DE", value=12, duration_months=12, undercount_class="low", vintage=VINTAGE),
    row("NA", "DE", value=0, reporter="origin", duration_months=2.5, flag="p"),
    row("DE", "UK", value=1234567, age="0-14", standard_error=0.1),
    row("DE", "UK", value=1234567, age="0-14", reporter="origin", mirror_of="destination"),
    row(None, "FR", value=88, measure="immigration"),
    row("FR", None, value=0.5, measure="emigration", reporter="origin"),
    row("CH", "AT", value=5, family="survey", source="läbour survey", censored_below=10),
]


def as_text(cell: Any) -> str:  # noqa: ANN401
    return "" if cell is None else str(cell)


def write_csv(path: Path, *, end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> None:
    path.write_bytes(csv_bytes(end, quoting))


def csv_bytes(end: str, quoting: int) -> bytes:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([COLUMNS, *([as_text(c) for c in cells] for cells in ROWS)])
    return buffer.getvalue().encode()


def write_gzip(path: Path) -> None:
    path.write_bytes(gzip.compress(csv_bytes("\n", csv.QUOTE_MINIMAL)))


def write_parquet(path: Path, *, text: bool = False) -> None:
    """Write with pyarrow alone, typed or as text, without any metadata of pandas."""
    columns = {
        name: [as_text(c) or None if text else c for c in cells]
        for name, cells in zip(COLUMNS, zip(*ROWS, strict=True), strict=True)
    }
    numbers = {"value", "duration_months", "standard_error", "censored_below"}
    types = {name: pa.string() if text or name not in numbers else pa.float64() for name in COLUMNS}
    if not text:
        types |= dict.fromkeys(("period_start", "period_end", "vintage"), pa.timestamp("us"))
    arrays = {
        name: pa.array(
            [datetime(c.year, c.month, c.day) if isinstance(c, date) else c for c in cells],
            types[name],
        )
        for name, cells in columns.items()
    }
    pq.write_table(pa.table(arrays), path)


def write_workbook(path: Path, *, text: bool = False) -> None:
    """Write with openpyxl alone: numbers and dates as such, or everything stored as text."""
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.append(list(COLUMNS))
    for cells in ROWS:
        sheet.append([as_text(c) or None for c in cells] if text else list(cells))
    book.create_sheet("remarks").append(["not read"])
    book.save(path)


WRITERS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "csv": ("flows.csv", write_csv),
    "csv of Windows": ("flows.csv", lambda path: write_csv(path, end="\r\n")),
    "csv in quotes": ("flows.csv", lambda path: write_csv(path, quoting=csv.QUOTE_ALL)),
    "gzip": ("flows.csv.gz", write_gzip),
    "parquet": ("flows.parquet", write_parquet),
    "parquet of text": ("flows.parquet", lambda path: write_parquet(path, text=True)),
    "workbook": ("flows.xlsx", write_workbook),
    "workbook of text": ("flows.xlsx", lambda path: write_workbook(path, text=True)),
}


def written(how: str, folder: Path) -> Path:
    name, write = WRITERS[how]
    write(folder / name)
    return folder / name


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return read_observations(written("csv", tmp_path_factory.mktemp("plain"))).table


def test_the_table_is_what_was_written(expected: pd.DataFrame) -> None:
    """What the formats are compared with, checked cell by cell first."""
    assert list(expected.columns) == list(OBSERVATION_COLUMNS)
    ends = expected[["origin", "destination"]].astype(object)
    assert ends.where(ends.notna(), None).to_numpy().tolist() == [
        ["NA", "DE"],
        ["NA", "DE"],
        ["DE", "GB"],
        ["DE", "GB"],
        [None, "FR"],
        ["FR", None],
        ["CH", "AT"],
    ]
    assert expected["value"].tolist() == [12.0, 0.0, 1234567.0, 1234567.0, 88.0, 0.5, 5.0]
    assert expected["duration_months"].dropna().tolist() == [12.0, 2.5]
    assert expected["vintage"].dropna().tolist() == [pd.Timestamp(VINTAGE)]
    assert expected["period_end"].unique().tolist() == [pd.Timestamp(END)]
    assert expected["source"].iloc[-1] == "läbour survey"


@pytest.mark.parametrize("how", WRITERS)
def test_every_format_gives_identical_observations(
    how: str, expected: pd.DataFrame, tmp_path: Path
) -> None:
    found = read_observations(written(how, tmp_path))
    pd.testing.assert_frame_equal(found.table, expected, check_exact=True)
    assert found.codes == "alpha2"


@pytest.mark.parametrize("how", WRITERS)
def test_replaced_codes_are_told_with_the_same_rows(how: str, tmp_path: Path) -> None:
    found = read_observations(written(how, tmp_path))
    assert found.fixes == ((4, "destination", "UK", "GB"), (5, "destination", "UK", "GB"))


@pytest.mark.parametrize("how", WRITERS)
def test_faults_are_told_with_the_same_rows_and_words(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = [row("DE", "XZ", value=3), row("DE", "DE", value=4), row("AT", "DE", value=-5)]
    monkeypatch.setitem(globals(), "ROWS", [*ROWS, *bad])
    with pytest.raises(InputError) as caught:
        read_observations(written(how, tmp_path))
    told = {(fault.row, fault.column) for fault in caught.value.faults}
    assert {number for number, _ in told} == {9, 10, 11}
    assert {(9, "destination"), (11, "value")} <= told
    assert "found -5" in str(caught.value)


def test_hashes_tell_the_files_apart(tmp_path: Path) -> None:
    found = [read_observations(written(how, tmp_path)).sha256 for how in ("csv", "csv of Windows")]
    assert found[0] != found[1]
