"""The page about accounting: its files, its commands and its numbers."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import flowcast.accounting
from flowcast._cli_accounting import METHODS
from flowcast.accounting import balance_stocks, read_stocks, read_vital_events
from flowcast.cli import app
from flowcast.tables import read_table

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "accounting.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture
def names() -> dict[str, Any]:
    """Run the example, and return its names."""
    (example,) = blocks("python")
    found: dict[str, Any] = {}
    exec(compile(example, "accounting.md", "exec"), found)
    return found


def test_the_example_gives_what_the_page_says(names: dict[str, Any]) -> None:
    flows = names["flows"]
    assert float(flows.sel(origin="BE", destination="AT").round()) == 44.0
    assert float(flows.sel(origin="AT", destination="CH")) == 0.0
    assert float(flows.sel(origin="CH", destination="AT").round(1)) == 0.2
    bounds = names["interval"].round().sel(destination="AT")
    assert bounds.sel(origin="BE").to_numpy().tolist() == [32.0, 55.0]
    assert bounds.sel(origin="CH").to_numpy().tolist() == [0.0, 18.0]


def test_the_example_files_are_those_of_the_example(
    names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stocks, vital = blocks("text")
    Path("start.csv").write_text(stocks)
    Path("vital.csv").write_text(vital)
    np.testing.assert_array_equal(read_stocks("start.csv"), names["start"])
    np.testing.assert_array_equal(read_vital_events("vital.csv")["births"], names["births"])
    labels = names["end"]["birthplace"].to_numpy()
    rows = [f"{b},{r},{float(names['end'].sel(birthplace=b, residence=r))}"
            for b in labels for r in labels]  # fmt: skip
    Path("end.csv").write_text("birthplace,residence,stock\n" + "\n".join(rows))
    (command,) = re.findall(r"^flowcast (accounting .+)$", PAGE, re.MULTILINE)
    done = CliRunner().invoke(app, command.split())
    assert done.exit_code == 0, done.stderr
    table = read_table("flows.csv").set_index(["origin", "destination"])["flow"]
    for (origin, destination), flow in table.items():  # type: ignore[misc]
        told = names["flows"].sel(origin=origin, destination=destination)
        assert flow == pytest.approx(float(told))


def test_the_page_has_every_method_and_every_function() -> None:
    told = set(re.findall(r"`([\w-]+)`", "\n".join(re.findall(r"^\| `.+$", PAGE, re.MULTILINE))))
    assert set(METHODS) <= told
    others = ("raking", "stock_uncertainty", "benchmarking", "bridge", "age_and_sex")
    pages = PAGE + "".join((DOCS / f"{name}.md").read_text(encoding="utf-8") for name in others)
    functions = [name for name in flowcast.accounting.__all__ if name.islower()]
    missing = [name for name in functions if name not in pages]
    assert missing == []


def test_the_page_is_in_the_index() -> None:
    assert "\naccounting\n" in (DOCS / "index.md").read_text(encoding="utf-8")


def test_the_balance_of_the_example_is_closed(names: dict[str, Any]) -> None:
    tables = balance_stocks(*(names[n] for n in ("start", "end", "births", "deaths")))
    assert float(tables["leavers"].sum() + tables["entrants"].sum()) == 0.0
