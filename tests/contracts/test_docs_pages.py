"""What the documentation tells a user to write is what flowcast reads."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from support import corridors, tiny_posterior

import flowcast
from flowcast.config import ModelSpec, apply_overrides
from flowcast.observations import read_observations
from flowcast.vocabulary import (
    CRITERIA,
    ESTIMATE_COLUMNS,
    EVIDENCE,
    FAMILIES,
    GRADES,
    MEASURES,
    NO_EVIDENCE,
    OBSERVATION_COLUMNS,
    REPORTERS,
    REQUIRED_OBSERVATION_COLUMNS,
)

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = (
    "data_contract",
    "glossary",
    "howto_change_a_prior",
    "howto_own_data",
    "measurement",
    "model_yaml",
    "reading_intervals",
)


def read(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", read(page), re.DOTALL | re.MULTILINE)


def table_rows(page: str) -> dict[str, list[str]]:
    """Return the table rows of a page whose first cell names columns, by each name."""
    rows: dict[str, list[str]] = {}
    for line in read(page).splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for name in re.findall(r"`(\w+)`", cells[0]) if line.startswith("| `") else []:
            rows[name] = cells
    return rows


def test_the_contract_describes_exactly_the_columns_there_are() -> None:
    assert set(table_rows("data_contract")) == {*OBSERVATION_COLUMNS, "year"}


def test_the_contract_says_which_columns_are_needed() -> None:
    needed = {name for name, cells in table_rows("data_contract").items() if cells[1] == "yes"}
    assert needed == set(REQUIRED_OBSERVATION_COLUMNS)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ("family", FAMILIES),
        ("measure", MEASURES),
        ("reporter", REPORTERS),
        ("undercount_class", GRADES),
        ("accuracy_class", GRADES),
        ("criterion", CRITERIA),
    ],
)
def test_the_contract_lists_the_words_a_column_takes(column: str, words: tuple[str, ...]) -> None:
    told = re.findall(r"`(\w+)`", table_rows("data_contract")[column][2])
    assert set(words) <= set(told)


def test_the_contract_names_the_columns_of_the_estimate_table() -> None:
    end = read("data_contract").split("## What comes out")[1]
    assert [name for name in ESTIMATE_COLUMNS if f"`{name}`" not in end] == []


@pytest.mark.parametrize("page", ["data_contract", "howto_own_data"])
def test_example_files_are_read_without_a_fault(page: str, tmp_path: Path) -> None:
    (example,) = blocks(page, "text")
    path = tmp_path / "my_flows.csv"
    path.write_text(example, encoding="utf-8")
    observations = read_observations(path)
    assert observations.n == example.count("\n") - 1
    assert observations.codes == "alpha2"


def test_the_recipe_for_a_matrix_makes_a_readable_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    codes = ["DE", "NA", "SE"]
    matrix = pd.DataFrame([[1.0, 2.0, np.nan], [4.0, 5.0, 0.0], [7.0, 8.0, 9.0]], codes, codes)
    matrix.to_excel("arrivals.xlsx")
    (recipe,) = blocks("howto_own_data", "python")
    exec(compile(recipe, "howto_own_data", "exec"), {})
    table = read_observations("my_flows.csv").table.set_index(["origin", "destination"])
    assert table["value"].to_dict() == {
        ("DE", "NA"): 2.0,
        ("NA", "DE"): 4.0,
        ("NA", "SE"): 0.0,
        ("SE", "DE"): 7.0,
        ("SE", "NA"): 8.0,
    }


def test_the_recipe_for_a_belief_gives_the_numbers_it_claims() -> None:
    belief, _ = blocks("howto_change_a_prior", "python")
    *statements, last = belief.strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(statements), names)
    assert eval(last, names).tolist() == [0.9, 0.95, 0.98]
    assert "about .90, .95 and .98" in read("howto_change_a_prior")


def overrides_told() -> list[dict[str, Any]]:
    page = read("howto_change_a_prior") + read("model_yaml")
    found = [dict([text.split("=", 1)]) for text in re.findall(r"--set '([^']+)'", page)]
    told = [{key: yaml.safe_load(value) for key, value in one.items()} for one in found]
    return told + [yaml.safe_load(text) for text in re.findall(r"overrides=({.+?}})", page)]


@pytest.mark.parametrize("overrides", overrides_told(), ids=str)
def test_overrides_are_keys_of_a_model(overrides: dict[str, Any]) -> None:
    spec = ModelSpec.model_validate(apply_overrides({"name": "a"}, overrides))
    assert spec != ModelSpec(name="a")


def test_overrides_are_shown_in_both_ways() -> None:
    assert len(overrides_told()) >= 4


@pytest.mark.parametrize("page", ["howto_change_a_prior", "measurement", "model_yaml"])
def test_yaml_examples_are_parts_of_a_valid_model(page: str) -> None:
    for text in blocks(page, "yaml"):
        ModelSpec.model_validate({"name": "a", **yaml.safe_load(text)})


def test_priors_that_matter_are_keys_of_a_model() -> None:
    names = re.findall(r"^\| `(\w+)\.(\w+)(\*?)`", read("howto_change_a_prior"), re.MULTILINE)
    assert len(names) >= 4
    spec = ModelSpec(name="a")
    for part, key, star in names:
        fields = type(getattr(spec, part)).model_fields
        assert any(f.startswith(key) for f in fields) if star else key in fields


def test_the_recipe_for_comparing_two_flows_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    places = ["NO", "PL", "SE"]
    origin, destination = corridors(places)
    flows = np.ones((2, 40, 6, 1))
    pairs = list(zip(origin, destination, strict=True))
    flows[:, :10, pairs.index(("PL", "NO"))] = 2.0
    known = tiny_posterior(places, 1, flows=flows)
    monkeypatch.setattr(flowcast, "read_run", lambda _: known, raising=False)
    (recipe,) = blocks("reading_intervals", "python")
    names: dict[str, Any] = {}
    exec(compile(recipe, "reading_intervals", "exec"), names)
    assert names["probability"] == 0.25


def test_the_glossary_has_every_word_of_the_evidence_column() -> None:
    missing = [word for word in (*EVIDENCE, NO_EVIDENCE) if f"`{word}`" not in read("glossary")]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([\w./]+\.md)\)", read(page)):
        assert (DOCS / target).is_file(), target


@pytest.mark.parametrize("page", PAGES)
def test_no_page_calls_a_credible_interval_by_another_name(page: str) -> None:
    said = [line for line in read(page).splitlines() if "onfidence interval" in line]
    assert all("ever" in line or "another concept" in line for line in said)
