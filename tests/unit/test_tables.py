"""Tables for reading and for computing: what is shown, said and refused."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import tiny_posterior

from flowcast import tables as tables_module
from flowcast._table_text import build_about, build_caption, display_frame
from flowcast.errors import InputError, UsageError
from flowcast.estimates import summarise
from flowcast.tables import TABLE_FORMATS, read_table, render_table, write_table


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return summarise(tiny_posterior(("AT", "NA"), 1), probs=[0.8, 0.95])


# --- what is shown -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("persons", "shown"),
    [
        (0.0, "0"),
        (0.4, "0"),
        (-0.4, "0"),
        (7.6, "8"),
        (999.4, "999"),
        (999.6, "1,000"),
        (1234.0, "1,230"),
        (1235.1, "1,240"),
        (-98_765.0, "-98,800"),
        (1_234_567.0, "1,230,000"),
        (np.nan, ""),
        (np.inf, "inf"),
    ],
)
def test_persons_are_shown_whole_with_three_digits(persons: float, shown: str) -> None:
    frame = pd.DataFrame({"measure": ["flow"], "upper": [persons]})
    assert display_frame(frame)["upper"].tolist() == [shown]


def test_only_persons_are_rounded_to_persons() -> None:
    """The mean of a parameter is not a number of persons."""
    parameters = pd.DataFrame({"parameter": ["sd_noise"], "mean": [0.31234], "ess_bulk": [1200]})
    assert display_frame(parameters).iloc[0].tolist() == ["sd_noise", "0.312", "1200"]
    assert "unit" not in build_about(parameters)
    reports = pd.DataFrame({"measure": ["flow"], "value": [10.0], "q2.5": [4.4], "score": [0.123]})
    assert display_frame(reports).iloc[0].tolist() == ["flow", "10", "4", "0.123"]


def test_probabilities_are_shown_as_percent_and_missing_as_nothing() -> None:
    frame = pd.DataFrame(
        {"origin": [None, "NA"], "prob": [0.95, 0.29], "kind": ["equal_tailed"] * 2}
    )
    shown = display_frame(frame)
    assert shown.to_numpy().tolist() == [["", "95%", "equal_tailed"], ["NA", "29%", "equal_tailed"]]
    assert frame["prob"].tolist() == [0.95, 0.29]


# --- what is said --------------------------------------------------------------------------------


def test_the_caption_states_unit_definition_probability_and_kind(table: pd.DataFrame) -> None:
    about = build_about(table)
    assert build_caption(table, about) == (
        "Migration flows, 2020-01-01 to 2021-01-01 (last day excluded), persons per period, "
        "changes of usual residence with a minimum stay of 12 months (United Nations). "
        "Lower and upper are bounds of equal-tailed credible intervals with probability "
        "80% and 95%."
    )
    assert about["source"] == "flowcast estimates, model tiny"


@pytest.mark.parametrize(
    ("probs", "said"),
    [([0.8], "probability 80%"), ([0.5, 0.8, 0.95], "probability 50%, 80% and 95%")],
)
def test_probabilities_are_listed_in_words(probs: list[float], said: str) -> None:
    about = build_about(summarise(tiny_posterior(2, 1), probs=probs))
    assert about["intervals"].endswith(said)


def test_another_definition_is_said_and_not_called_the_united_nations() -> None:
    about = build_about(summarise(tiny_posterior(2, 1), definition=3))
    assert about["definition"] == "changes of usual residence with a minimum stay of 3 months"


def test_notes_are_laid_over_and_an_empty_one_takes_away(table: pd.DataFrame) -> None:
    about = build_about(table, {"source": "", "notes": "provisional", "licence": "CC BY"})
    assert "source" not in about
    assert about["notes"] == "provisional"
    assert about["licence"] == "CC BY"


def test_a_table_without_intervals_claims_none() -> None:
    frame = pd.DataFrame({"place": ["AT"], "rate": [1.5]})
    assert build_about(frame) == {}
    assert build_caption(frame, {}) == "Table."


@pytest.mark.parametrize("format", ["html", "latex", "md"])
def test_formats_for_reading_carry_caption_notes_and_source(format: str) -> None:
    table = summarise(tiny_posterior(3, 1), measure="net", probs=[0.8])
    text = str(render_table(table, format)).replace(r"\%", "%")  # type: ignore[arg-type]
    for said in (
        "equal-tailed credible intervals with probability 80%",
        "minimum stay of 12 months",
        "persons per period",
        "Notes: net migration adds up moves among the 3 places of the estimates",
        "rounded to whole persons and to 3 significant digits",
        "Source: flowcast estimates, model tiny.",
    ):
        assert said in text


@pytest.mark.parametrize("format", ["html", "latex", "md", "json"])
def test_a_caption_of_ones_own_replaces_the_whole(format: str, table: pd.DataFrame) -> None:
    text = write_table(table, None, format, caption="Mine alone")  # type: ignore[arg-type]
    assert "Mine alone" in str(text)
    assert "last day excluded" not in str(text)


def test_what_is_special_to_a_format_is_escaped() -> None:
    frame = pd.DataFrame({"origin": ["a|b", "<i>", "50% & x_y {z} #1 $ ~ ^ \\"], "value": 1.5})
    assert r"a\|b" in str(render_table(frame, "md"))
    page = str(render_table(frame, "html", caption="<b>bold</b>"))
    assert "&lt;i&gt;" in page
    assert "<caption>&lt;b&gt;bold&lt;/b&gt;</caption>" in page
    latex = str(render_table(frame, "latex", caption="50% & x_y"))
    assert r"50\% \& x\_y \{z\} \#1 \$" in latex
    assert r"\caption{50\% \& x\_y}" in latex


def test_a_long_latex_table_is_not_cut() -> None:
    long = pd.DataFrame({"measure": "flow", "median": np.arange(300.0)})
    with pd.option_context("styler.render.max_elements", 10):
        text = str(render_table(long, "latex"))
    assert sum(line.startswith("flow &") for line in text.splitlines()) == 300


def test_html_stands_alone_and_numbers_are_aligned(table: pd.DataFrame) -> None:
    page = str(render_table(table, "html"))
    assert page.startswith("<!DOCTYPE html>")
    assert '<meta charset="utf-8">' in page
    assert page.count('<th scope="col" class="n">') == 6
    assert page.count("<tr><td") == len(table) + 2  # the closing lines: rounding, source


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["parquet", "xlsx"])
def test_binary_formats_want_a_file(format: str, table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match=r"without a file to write; allowed: a path \(--out\)"):
        write_table(table, None, format)  # type: ignore[arg-type]


def test_an_unknown_format_is_refused_with_the_nearest(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'xlxs'.*did you mean xlsx"):
        write_table(table, None, "xlxs")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"ending in '\.doc'"):
        write_table(table, tmp_path / "table.doc")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("t.csv", b"origin,"),
        ("t.tex", b"\\begin{longtable}"),
        ("t.HTML", b"<!DOCTYPE"),
        ("t.md", b"Migration flows,"),
        ("t.json", b"{"),
        ("t.parquet", b"PAR1"),
        ("t.xlsx", b"PK"),
    ],
)
def test_the_ending_of_a_file_tells_its_format(
    name: str, begins: bytes, table: pd.DataFrame, tmp_path: Path
) -> None:
    assert write_table(table, tmp_path / name) is None
    assert (tmp_path / name).read_bytes().startswith(begins)


def test_a_named_format_wins_over_the_ending(table: pd.DataFrame, tmp_path: Path) -> None:
    write_table(table, tmp_path / "table.txt", "md")
    assert (tmp_path / "table.txt").read_text().startswith("Migration flows")
    assert write_table(table) == write_table(table, None, "csv")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    table: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "table.csv"
    file.write_text("old")

    def fail(handle: int) -> None:
        raise OSError(f"disk full ({handle})")

    monkeypatch.setattr(tables_module.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_table(table, file)
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]
    monkeypatch.undo()
    write_table(table, file)
    assert file.read_text().startswith("origin")
    assert list(tmp_path.iterdir()) == [file]


def test_others_may_read_what_was_written(table: pd.DataFrame, tmp_path: Path) -> None:
    """Temporary files are often private; a table is as readable as any new file."""
    plain = tmp_path / "plain"
    plain.touch()
    write_table(table, tmp_path / "table.csv")
    assert (tmp_path / "table.csv").stat().st_mode == plain.stat().st_mode


def test_a_missing_folder_is_named(table: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found no folder"):
        write_table(table, tmp_path / "absent" / "table.csv")


def test_too_many_rows_for_excel_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "EXCEL_ROWS", 4)
    assert render_table(pd.DataFrame({"a": range(3)}), "xlsx")
    with pytest.raises(UsageError, match="found 4 rows for xlsx; allowed: 3"):
        render_table(pd.DataFrame({"a": range(4)}), "xlsx")


# --- reading -------------------------------------------------------------------------------------


def test_words_stay_words_and_numbers_become_double_precision(tmp_path: Path) -> None:
    file = tmp_path / "published.csv"
    file.write_text("origin,destination,median,persons,remark\nNA,,12,1,\n,DE,0.1,,see 2\n")
    frame = read_table(file)
    assert frame["origin"].tolist()[0] == "NA"
    assert frame["destination"].isna().tolist() == [True, False]
    assert frame["median"].tolist() == [12.0, 0.1]
    assert frame["persons"].dtype == np.float64
    assert frame["remark"].isna().tolist() == [True, False]
    assert frame.dtypes[["origin", "destination", "remark"]].eq("str").all()


def test_dates_of_other_programs_become_iso_dates(tmp_path: Path) -> None:
    file = tmp_path / "dates.parquet"
    pd.DataFrame({"period_start": pd.to_datetime(["2024-01-01"]), "median": [1]}).to_parquet(file)
    frame = read_table(file)
    assert frame["period_start"].tolist() == ["2024-01-01"]
    assert frame["median"].tolist() == [1.0]


@pytest.mark.parametrize("name", ["table.html", "table.md", "table.tex", "table"])
def test_formats_for_reading_are_not_read_back(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("anything")
    with pytest.raises(InputError, match=r"allowed: \.csv, \.csv\.gz, \.parquet, \.xlsx, \.json"):
        read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "said"),
    [("[1, 2]", "other content"), ("{", "other content"), ('{"rows": []}', "'metadata'")],
)
def test_other_json_is_refused(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(text)
    with pytest.raises(InputError, match=said):
        read_table(file)
    with pytest.raises(InputError, match="No such file"):
        read_table(tmp_path / "absent.json")


def test_rows_with_a_wrong_number_of_fields_are_told(tmp_path: Path) -> None:
    file = tmp_path / "table.csv"
    file.write_text("origin,median\nAT,1\nDE,2,3\n")
    with pytest.raises(InputError, match="row 3"):
        read_table(file)


def test_json_has_no_infinities_nor_nan() -> None:
    frame = pd.DataFrame({"log_ratio": [np.inf, -np.inf, np.nan, 0.5], "n": [1, 2, 3, 4]})
    document = json.loads(str(render_table(frame, "json")), parse_constant=pytest.fail)
    assert [row["log_ratio"] for row in document["rows"]] == ["inf", "-inf", None, 0.5]
    assert [row["n"] for row in document["rows"]] == [1, 2, 3, 4]


def test_an_empty_table_can_be_written() -> None:
    empty = summarise(tiny_posterior(2, 1), probs=[0.8]).head(0)
    for format in TABLE_FORMATS:
        assert render_table(empty, format)
