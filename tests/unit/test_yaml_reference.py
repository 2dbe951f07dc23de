"""The reference of model files is what the classes say, and says something about every key."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field

from flowcast.config import CovariateTerm, MeasurementEffect, ModelSpec, Sampler, dump_model
from flowcast.priors import ELICITED, PRIOR_SHAPES
from flowcast.projection import ProjectionSpec, read_projection_spec
from flowcast.scenarios import DRIVERS, read_scenario
from flowcast.scenarios.distributions import SHAPES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "tools" / "yaml_reference.py"))


@pytest.fixture(scope="module")
def page(tool: dict[str, Any]) -> str:
    return str(tool["build_page"]())


def rows(page: str) -> list[list[str]]:
    """Return the cells of the tables of keys: key, type, default, meaning."""
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.count(" | ") == 3]
    return [cells for cells in lines if cells[0].startswith("`")]


def test_page_and_classes_are_in_step(page: str) -> None:
    committed = (ROOT / "docs" / "model_yaml.md").read_text(encoding="utf-8")
    assert committed == page, "run: python tools/yaml_reference.py"


def test_check_tells_whether_the_page_is_in_step(
    tool: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    elsewhere = tmp_path / "model_yaml.md"
    tool["main"].__globals__["PAGE"] = elsewhere
    tool["main"].__globals__["SCENARIO_PAGE"] = tmp_path / "scenario_yaml.md"
    assert tool["main"](["--check"]) == 1
    assert "NOT in step" in capsys.readouterr().out
    assert tool["main"]([]) == 0
    assert tool["main"](["--check"]) == 0
    elsewhere.write_text(elsewhere.read_text() + "by hand")
    assert tool["main"](["--check"]) == 1


def every_key(tree: dict[str, Any]) -> set[str]:
    inner = [every_key(value) for value in tree.values() if isinstance(value, dict)]
    return {str(key) for key in tree}.union(*inner)


def test_every_key_of_a_dumped_model_is_on_the_page(page: str) -> None:
    terms = {"process": {"covariates": [{"name": "a", "column": "b"}]}}
    dumped = yaml.safe_load(dump_model(ModelSpec.model_validate({"name": "full", **terms})))
    keys = every_key(dumped) | every_key(dumped["process"]["covariates"][0])
    keys -= set(PRIOR_SHAPES)
    told = {cells[0].strip("`") for cells in rows(page)}
    assert keys - told == set()


def test_every_key_has_a_meaning_of_its_own_words(page: str) -> None:
    assert len(rows(page)) > 50
    assert [cells[0] for cells in rows(page) if len(cells[3].split()) < 2] == []
    assert "folder" not in {cells[0].strip("`") for cells in rows(page)}


def test_no_meaning_is_left_without_a_field_or_told_twice(tool: dict[str, Any]) -> None:
    models = {model.__name__: model for _, model in tool["SECTIONS"]}
    for name in tool["MEANINGS"]:
        model, field = name.split(".")
        assert field in models[model].model_fields
        assert field not in tool["attribute_docstrings"](models[model]), name


def test_every_class_of_the_specification_has_a_section(tool: dict[str, Any]) -> None:
    def classes(model: type[BaseModel]) -> set[type[BaseModel]]:
        inner = [f.annotation for f in model.model_fields.values()]
        direct = {a for a in inner if isinstance(a, type) and issubclass(a, BaseModel)}
        return direct.union({model}, *(classes(m) for m in direct))

    assert classes(ModelSpec) | {CovariateTerm, MeasurementEffect} == {
        model for _, model in tool["SECTIONS"]
    }


def test_links_lead_to_sections_of_the_page(page: str, tool: dict[str, Any]) -> None:
    headings = {tool["anchor"](line[3:]) for line in page.splitlines() if line.startswith("## ")}
    assert set(re.findall(r"\]\(#([^)]+)\)", page)) <= headings
    files = set(re.findall(r"\]\(([a-z_]+\.md)\)", page))
    assert files
    assert all((ROOT / "docs" / file).is_file() for file in files)


def test_every_prior_stands_on_the_page_with_its_numbers(page: str) -> None:
    assert [name for name in ELICITED if f"`{name}`" not in page] == []
    assert [shape for shape in PRIOR_SHAPES if f"`{shape}`" not in page] == []
    assert "`elicited.immigration_low` | `{beta: [57.49, 8.07]}`" in page


def test_the_example_is_a_valid_model(page: str) -> None:
    block = re.search(r"```yaml\n(.+?)```", page, re.DOTALL)
    assert block
    spec = ModelSpec.model_validate(yaml.safe_load(block[1]))
    assert spec.process.covariates[0].prior.numbers == (0.7, 0.3)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("draws", "whole number at least 10"),
        ("target_accept", "number above 0.5, below 1"),
        ("codes", "`iso`, `declared`"),
        ("corridors", "text, or `null`"),
        ("reports", "number above 2, or `null`"),
        ("observations", "list: text"),
        ("covariates", "list: [section](#processcovariates)"),
        ("duration", "`true`, `false`"),
        ("sd_noise", "[prior](#priors)"),
    ],
)
def test_types_are_told_in_words(page: str, key: str, said: str) -> None:
    assert [cells[1] for cells in rows(page) if cells[0] == f"`{key}`"] == [said]


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("name", "**must be given**"),
        ("title", "empty"),
        ("seed", "`1`"),
        ("max_rhat", "`1.01`"),
        ("reverse", "`false`"),
        ("corridor_effects", "`true`"),
        ("places", "`null`"),
        ("sd_innovation", "`{half_normal: [0.5]}`"),
        ("share_emigration_high", "`elicited.emigration_high`"),
    ],
)
def test_defaults_are_told_as_they_are_written(page: str, key: str, said: str) -> None:
    assert said in [cells[2] for cells in rows(page) if cells[0] == f"`{key}`"]


# The page on scenario files


@pytest.fixture(scope="module")
def scenario_page(tool: dict[str, Any]) -> str:
    return str(tool["build_scenario_page"]())


def test_the_scenario_page_is_in_step_with_its_classes(scenario_page: str) -> None:
    committed = (ROOT / "docs" / "scenario_yaml.md").read_text(encoding="utf-8")
    assert committed == scenario_page, "run: python tools/yaml_reference.py"


def test_every_key_and_driver_of_scenarios_is_on_their_page(
    scenario_page: str, tool: dict[str, Any]
) -> None:
    told = {cells[0].strip("`") for cells in rows(scenario_page)}
    models = [model for _, model in tool["SCENARIO_SECTIONS"]]
    assert {name for model in models for name in model.model_fields} <= told
    assert [c[0] for c in rows(scenario_page) if len(c[3].split()) < 2] == []
    assert [name for name in (*DRIVERS, *SHAPES) if f"| `{name}` |" not in scenario_page] == []
    assert "| `years` | years, or `null` |" in scenario_page
    assert "| `of` | [driver](#drivers), or `null` |" in scenario_page


def test_links_lead_to_sections_of_the_scenario_page(
    scenario_page: str, tool: dict[str, Any]
) -> None:
    headings = [line[3:] for line in scenario_page.splitlines() if line.startswith("## ")]
    links = set(re.findall(r"\]\(#([^)]+)\)", scenario_page))
    assert links <= {tool["anchor"](heading) for heading in headings}


def test_the_example_is_a_valid_scenario(scenario_page: str, tmp_path: Path) -> None:
    block = re.search(r"```yaml\n(.+?)```", scenario_page, re.DOTALL)
    assert block
    path = tmp_path / "dry_decade.yaml"
    path.write_text(block[1], encoding="utf-8")
    assert set(read_scenario(path).spec.shocks) == {"drought"}


class Planted(BaseModel):
    """A class with the ways a field can be described."""

    told: int = 1
    """What it
    means."""
    silent: int = 2
    after: int = Field(default=3, ge=1, le=9)
    """And this."""
    "not a second one"


def test_docstrings_belong_to_the_field_above_them(tool: dict[str, Any]) -> None:
    assert tool["attribute_docstrings"](Planted) == {"told": "What it means.", "after": "And this."}
    assert tool["limits"](Planted.model_fields["after"]) == " at least 1, at most 9"
    assert tool["limits"](Sampler.model_fields["draws"]) == " at least 10"


def test_the_projection_page_is_in_step_and_its_example_is_valid(
    tool: dict[str, Any], tmp_path: Path
) -> None:
    page = tool["PROJECTION_PAGE"].read_text(encoding="utf-8")
    assert page == tool["build_projection_page"]()
    for _, model in tool["PROJECTION_SECTIONS"]:
        for key in model.model_fields:
            assert f"| `{key}` |" in page
    example = tmp_path / "settings.yaml"
    example.write_text(page.split("```yaml\n")[1].split("```")[0], encoding="utf-8")
    settings = read_projection_spec(example)
    assert settings.draws == 1000
    assert settings.effects["gdp_per_head"].leaving.numbers == (0.0, 0.1)
    # Drivers that the file leaves out keep their defaults.
    assert settings.effects["visa"] == ProjectionSpec().effects["visa"]
