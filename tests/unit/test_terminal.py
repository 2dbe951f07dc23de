"""Printed tables: aligned text without a terminal, drawn by rich on one."""

import pytest

from flowcast._terminal import Column, format_table, say, show_table

COLUMNS = [Column("place"), Column("persons", right=True)]
ROWS = [["Åland", "12"], ["[bold]", "1,234,567"]]


def test_columns_are_aligned_and_nothing_trails() -> None:
    assert format_table("Flows", COLUMNS, ROWS).splitlines() == [
        "Flows",
        "place     persons",
        "------  ---------",
        "Åland          12",
        "[bold]  1,234,567",
    ]


def test_a_table_without_rows_still_has_its_head() -> None:
    assert format_table("Flows", COLUMNS, []).splitlines()[1:] == [
        "place  persons",
        "-----  -------",
    ]


def test_a_row_of_the_wrong_length_is_a_mistake() -> None:
    with pytest.raises((ValueError, IndexError)):
        format_table("Flows", COLUMNS, [["only one"]])


def test_without_a_terminal_tables_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    show_table("Flows", COLUMNS, ROWS)
    assert capsys.readouterr().out == format_table("Flows", COLUMNS, ROWS) + "\n"


def test_on_a_terminal_rich_draws_and_takes_no_cell_for_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    show_table("Flows", COLUMNS, ROWS)
    shown = capsys.readouterr().out
    assert "[bold]" in shown
    assert "1,234,567" in shown
    assert "─" in shown


def test_messages_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    say("done")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "done\n")
