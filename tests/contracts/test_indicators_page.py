"""The page about indicators: its table is the catalogue, its recipe runs."""

import re
from pathlib import Path

import pandas as pd
import pytest
from support import tiny_posterior

import flowcast
from flowcast.validation import Indicator, load_catalogue
from flowcast.validation.catalogue import INDICATOR_COLUMNS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "howto_indicators.md").read_text("utf-8")
HEADER = "| id | measures | held against | kind | definition gap |"


def line_of(entry: Indicator) -> str:
    against = f"`{entry.estimate}`" if entry.estimate else ""
    against += " (run)" if entry.window == "run" else ""
    cells = (f"`{entry.id}`", entry.measures, against, entry.kind, entry.gap)
    return f"| {' | '.join(cells)} |"


def test_the_table_is_the_catalogue() -> None:
    lines = PAGE.splitlines()
    start = lines.index(HEADER) + 2
    shown = lines[start : start + len(load_catalogue()) + 1]
    assert shown == [*map(line_of, load_catalogue()), ""]


def test_how_to_add_one_names_columns_of_the_catalogue() -> None:
    part = PAGE.split("## Add one")[1].split("##")[0]
    named = set(re.findall(r"`(\w+)`", part))
    assert {"window", "bound", "transform", "gap", "direction"} <= named
    assert named - set(INDICATOR_COLUMNS) <= {
        "heldout", "covariate", "same", "related", "context", "positive", "negative", "origin",
        "destination", "year", "period_start", "period_end", "value", "natural_increase", "growth",
        "turned", "run", "upper", "source",
    }  # fmt: skip


def test_metrics_of_the_page_are_those_of_the_association(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places = ("AT", "DE", "FR", "PL")
    rows = [
        (o, d, year, 7 * i + 3 * j + (5 * i * j * (year % 7)) % 11 + 1)
        for i, o in enumerate(places)
        for j, d in enumerate(places)
        for year in range(2020, 2024)
        if o != d
    ]
    columns = ["origin", "destination", "year", "value"]
    pd.DataFrame(rows, columns=columns).to_csv("asylum.csv", index=False)
    known = tiny_posterior(places, 4)
    monkeypatch.setattr(flowcast, "read_run", lambda _: known, raising=False)
    (recipe,) = re.findall(r"^```python\n(.+?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, pd.DataFrame] = {}
    exec(compile(recipe, "howto_indicators", "exec"), names)
    told = set(re.findall(r"^\| `(\w+)` \| ", PAGE.split("| metric |")[1].split("\n\n")[0], re.M))
    assert set(names["table"]["metric"]) == told - {"share_above"}
