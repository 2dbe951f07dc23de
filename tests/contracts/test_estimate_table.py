"""The estimate table as others rely on it: columns, types, rows, and all seven formats."""

import json
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from support import tiny_posterior

from flowcast._table_text import display_frame
from flowcast.estimates import summarise
from flowcast.tables import TABLE_FORMATS, read_table, render_table, write_table
from flowcast.vocabulary import ESTIMATE_COLUMNS, ESTIMATE_MEASURES

TEXT = ("origin", "destination", "period_start", "period_end", "measure", "kind", "evidence")
NUMBERS = ("mean", "median", "sd", "lower", "upper", "prob")
N_PLACE, N_PERIOD = 5, 2
PROBS = (0.5, 0.8, 0.95)


def make(measure: str) -> pd.DataFrame:
    posterior = tiny_posterior(N_PLACE, N_PERIOD, seed=11)
    return summarise(posterior, measure=measure, probs=PROBS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    return {measure: make(measure) for measure in ESTIMATE_MEASURES}


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
def test_columns_types_and_row_counts(measure: str, tables: dict[str, pd.DataFrame]) -> None:
    table = tables[measure]
    n_cell = N_PLACE * (N_PLACE - 1) if measure == "flow" else N_PLACE
    assert tuple(table.columns) == ESTIMATE_COLUMNS
    assert len(table) == n_cell * N_PERIOD * len(PROBS)
    assert table.dtypes[list(TEXT)].eq("str").all()
    assert table.dtypes[list(NUMBERS)].eq("float64").all()
    assert not table.duplicated([*TEXT[:5], "prob"]).any()
    assert table["kind"].eq("equal_tailed").all()
    assert table[list(NUMBERS)].notna().all(axis=None)
    assert isinstance(table.index, pd.RangeIndex)


def test_one_row_per_pair_for_one_period_and_probability() -> None:
    codes = [f"p{k:02}" for k in range(18)]
    posterior = tiny_posterior(codes, 1, n_draws=10, spec={"codes": "declared"})
    assert len(summarise(posterior, probs=[0.8])) == 306


def test_the_same_posterior_gives_the_same_bytes(tables: dict[str, pd.DataFrame]) -> None:
    for format in set(TABLE_FORMATS) - {"xlsx"}:  # a workbook holds the time of writing
        assert render_table(make("flow"), format) == render_table(tables["flow"], format)


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
@pytest.mark.parametrize("format", ["csv", "parquet", "json", "xlsx"])
def test_formats_for_computing_come_back_as_they_were(
    measure: str, format: str, tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    table, file = tables[measure], tmp_path / f"table.{format}"
    write_table(table, file)
    back = read_table(file)
    if format == "xlsx":  # openpyxl writes 16 digits
        pd.testing.assert_frame_equal(back, table, check_exact=False, rtol=1e-15, atol=0.0)
    else:
        pd.testing.assert_frame_equal(back, table, check_exact=True)


class Cells(HTMLParser):
    """Collects the cells of each row of a table's head and body."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open = False
        self.foot = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.foot |= tag == "tfoot"
        if self.foot:
            return
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
            self.open = True

    def handle_endtag(self, tag: str) -> None:
        self.open &= tag not in ("th", "td")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.rows[-1][-1] += data


def read_html(text: str) -> list[list[str]]:
    parser = Cells()
    parser.feed(text)
    return parser.rows


def read_markdown(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("|")]
    del lines[1]  # the rule below the header
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    return [[cell.strip().replace(r"\|", "|") for cell in row] for row in cells]


def read_latex(text: str) -> list[list[str]]:
    head, body = text.split(r"\endlastfoot")
    header = next(line for line in head.splitlines() if line.startswith("origin"))
    lines = [header, *body.split(r"\end{longtable}")[0].strip("\n").splitlines()]
    rows = [line.removesuffix(r"\\").split(" & ") for line in lines]
    return [[re.sub(r"\\([_%&#$])", r"\1", cell.strip()) for cell in row] for row in rows]


@pytest.mark.parametrize("measure", ESTIMATE_MEASURES)
@pytest.mark.parametrize(
    ("format", "read"), [("html", read_html), ("md", read_markdown), ("latex", read_latex)]
)
def test_formats_for_reading_show_every_cell_rounded(
    measure: str, format: str, read: object, tables: dict[str, pd.DataFrame]
) -> None:
    table = tables[measure]
    text = render_table(table, format)  # type: ignore[arg-type]
    rows = read(text)  # type: ignore[operator]
    assert rows[0] == list(ESTIMATE_COLUMNS)
    assert rows[1:] == display_frame(table).to_numpy().tolist()


def test_json_is_a_list_of_records_with_metadata(tables: dict[str, pd.DataFrame]) -> None:
    document = json.loads(str(render_table(tables["net"], "json")))
    assert set(document) == {"metadata", "rows"}
    assert document["metadata"]["unit"] == "persons per period"
    assert "equal-tailed" in document["metadata"]["intervals"]
    assert tuple(document["rows"][0]) == ESTIMATE_COLUMNS
    assert document["rows"][0]["origin"] is None
    assert len(document["rows"]) == len(tables["net"])


def test_a_workbook_has_a_sheet_that_says_what_it_shows(tables: dict[str, pd.DataFrame]) -> None:
    content = render_table(tables["flow"], "xlsx", notes={"licence": "CC BY 4.0"})
    assert isinstance(content, bytes)
    book = openpyxl.load_workbook(BytesIO(content))
    assert book.sheetnames == ["estimates", "about"]
    said = {row[0]: row[1] for row in book["about"].iter_rows(min_row=2, values_only=True)}
    assert said["licence"] == "CC BY 4.0"
    assert "equal-tailed credible intervals with probability 50%, 80% and 95%" in said["intervals"]
    assert {"caption", "unit", "definition", "source"} <= set(said)
    numbers = [row[5] for row in book["estimates"].iter_rows(min_row=2, values_only=True)]
    np.testing.assert_allclose(numbers, tables["flow"]["mean"], rtol=1e-15)


def test_a_csv_holds_the_table_and_nothing_else(tables: dict[str, pd.DataFrame]) -> None:
    lines = str(write_table(tables["immigration"])).splitlines()
    assert lines[0] == ",".join(ESTIMATE_COLUMNS)
    assert len(lines) == 1 + len(tables["immigration"])
    assert any(line.startswith(",NA,2020-01-01,2021-01-01,immigration,") for line in lines)
