"""The page about uncertain stocks: its example, its file, its command and its defaults."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from flowcast.accounting import StockErrors, read_stock_errors
from flowcast.accounting.stock_errors import COMPONENTS, PlaceQuality
from flowcast.cli import app
from flowcast.estimates import aggregate
from flowcast.tables import read_table
from flowcast.vocabulary import ESTIMATE_COLUMNS

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "stock_uncertainty.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Run the example, and return its names."""
    found: dict[str, Any] = {}
    exec(compile(block("python"), "stock_uncertainty.md", "exec"), found)
    return found


def test_the_example_runs_and_both_ways_agree(names: dict[str, Any]) -> None:
    draws, by_hand = names["flows"].draws.isel(chain=0), names["by_hand"]
    pair = (draws["origin"] == "BE") & (draws["destination"] == "AT")
    np.testing.assert_allclose(
        draws.values[:, pair.values][:, 0], by_hand.sel(origin="BE", destination="AT"), rtol=1e-5
    )
    assert names["net"]["evidence"].unique().tolist() == ["stock"]
    assert len(names["net"]) == 6
    groups = aggregate(names["flows"], "immigration", {"north": ["BE"], "alps": ["AT", "CH"]})
    assert groups.sizes["place"] == 2


def test_the_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "errors.yaml").write_text(block("yaml"))
    errors = read_stock_errors(tmp_path / "errors.yaml")
    assert errors.coverage.low.sd == 0.15
    assert errors.vintage_of("DE") == (2011.0, 2022.0)
    assert errors.grade("AF", "deaths") == errors.deaths.medium


def test_the_command_writes_what_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = ["birthplace,DE,AF", "DE,90000,10", "AF,900,5000"]
    Path("start.csv").write_text("\n".join(rows))
    Path("end.csv").write_text("\n".join(rows).replace("900,", "1200,"))
    Path("vital.csv").write_text("place,births,deaths\nDE,300,200\nAF,30,20\n")
    Path("errors.yaml").write_text(block("yaml"))
    (command,) = re.findall(r"^flowcast (accounting .+)$", PAGE, re.MULTILINE)
    done = CliRunner().invoke(app, command.replace("--draws 1000", "--draws 20").split())
    assert done.exit_code == 0, done.stderr
    assert tuple(read_table("estimates.csv").columns) == ESTIMATE_COLUMNS


def test_the_defaults_told_are_those_there_are() -> None:
    errors = StockErrors()
    rows = {cells[1].strip().split("`")[1]: cells for line in PAGE.splitlines()
            if line.startswith("| `") and len(cells := line.split("|")) == 7}  # fmt: skip
    assert set(rows) == set(COMPONENTS)
    for component, cells in rows.items():
        for grade, cell in zip(("high", "medium", "low"), cells[2:5], strict=True):
            error = getattr(errors, component).of(grade)
            numbers = [float(number) for number in cell.split(";")]
            told = [error.bias, error.sd] if component == "coverage" else [error.sd]
            assert numbers == told
            assert error.persistent == (0.99 if component == "population" else 0.75)
            assert error.correlation == 0.9


def test_every_key_is_on_the_page() -> None:
    fields = {*StockErrors.model_fields, *PlaceQuality.model_fields}
    assert [name for name in fields if f"`{name}" not in PAGE] == []
    assert set(yaml.safe_load(block("yaml"))) <= set(StockErrors.model_fields)


def test_the_page_is_in_the_index() -> None:
    assert "\nstock_uncertainty\n" in (DOCS / "index.md").read_text(encoding="utf-8")
