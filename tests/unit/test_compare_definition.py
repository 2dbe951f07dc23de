"""Tables of unlike definitions are not compared, as far as they say which they are of."""

from pathlib import Path

import pandas as pd
import pytest
from support import tiny_posterior

from flowcast.compare import compare_runs, compare_tables, render
from flowcast.errors import UsageError
from flowcast.estimates import summarise
from flowcast.tables import read_table, write_table


def table(definition: str = "12-months") -> pd.DataFrame:
    return summarise(tiny_posterior(3, 1), probs=[0.8], definition=definition)


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx", "json"])
def test_a_usual_table_is_not_mixed_with_another(suffix: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.{suffix}" for name in ("usual", "short")]
    for file, definition in zip(files, ("12-months", "3-months"), strict=True):
        write_table(table(definition), file)
    usual, short = (read_table(file) for file in files)
    with pytest.raises(UsageError, match="found 12-months in old, 3-months in new; allowed"):
        compare_tables(usual, short, names=("old", "new"))
    assert compare_tables(short, short).definitions == ("3-months", "3-months")
    assert compare_tables(usual, usual).definitions == ("12-months", "12-months")


def test_a_table_of_several_definitions_is_refused() -> None:
    mixed = pd.concat([table("3-months"), table("6-months")], ignore_index=True)
    unsaid = pd.DataFrame(mixed.drop(columns=["definition", "evidence"]).to_dict("list"))
    with pytest.raises(UsageError, match="found 3-months and 6-months in b; allowed"):
        compare_tables(unsaid, mixed)


def test_what_a_table_knows_of_itself_is_enough() -> None:
    """Columns were taken away, and the attributes stayed."""
    short = table("3-months").drop(columns="definition")
    with pytest.raises(UsageError, match="found 3-months in a, 12-months in b"):
        compare_tables(short, table())


def test_a_published_table_that_does_not_say_is_compared_and_that_is_said() -> None:
    published = pd.DataFrame(table()[["origin", "destination", "period_start", "period_end"]])
    published = published.assign(median=5.0)
    published.attrs = {}
    change = compare_tables(table("permanent"), published, names=("mine", "theirs"))
    assert change.definitions == ("permanent", None)
    assert "definition: permanent; theirs does not say" in render(change)
    usual = compare_tables(table(), published)
    assert usual.definitions == ("12-months", None)
    assert "definition" not in render(usual)


@pytest.mark.parametrize(
    ("word", "alike"), [("3", True), ("3.0-months", True), ("a quarter", False), ("6", False)]
)
def test_other_spellings_of_a_definition_are_the_same_one(word: str, alike: bool) -> None:
    short = table("3-months")
    other = short.assign(definition=word)
    if alike:
        assert compare_tables(short, other).definitions == ("3-months", "3-months")
        return
    with pytest.raises(UsageError, match="tables of one definition"):
        compare_tables(short, other)


def test_runs_under_a_definition_by_name_say_which() -> None:
    a, b = tiny_posterior(3, 1), tiny_posterior(3, 1, seed=2)
    change = compare_runs(a, b, definition="3-months")
    assert change.definitions == ("3-months", "3-months")
    assert render(change).splitlines()[2] == "definition: 3-months"
    assert "definition" not in render(compare_runs(a, b))
